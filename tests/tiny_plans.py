"""Plans of one year whose money can be added up by hand: rented machines, an API, owned machines.

The discount rate is 0 unless given, so that the net present cost is the sum of the cash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planner.finance import ledger
from planner.finance.calendar import CALENDAR
from planner.finance.ledger import Line
from planner.finance.offers import api_key
from planner.report.ledger_view import view
from planner.result import ClassCost, FleetRow, LedgerInput, Period, Plan

MONTHS = 12
RENTED, OWNED, API = "H100 at us, on demand", "B200 at hq, owned", "m of seller for chat"
API_KEY = api_key("chat-seller-m")
RENT_LINES = (
    Line("rent_hours", "Rented", "node-h", "quantity", group=RENTED),
    Line("rent_usd", "On-demand machines", "USD", "cash", "rent_hours * rent_price", "on demand",
         RENTED),
)  # fmt: skip
OWNED_LINES = (
    Line("bought", "Ordered", "nodes", "quantity", group=OWNED),
    Line("servers_usd", "Servers", "USD", "cash", "bought * node_usd", "capex", OWNED),
    Line("in_service", "In service", "nodes", "calculation", "prev + lag(bought, lead)",
         group=OWNED),
    Line("energy_usd", "Energy", "USD", "cash", "in_service * node_kw * tariff * in_horizon",
         "energy", OWNED),
    Line("upkeep_usd", "Maintenance", "USD", "cash",
         "in_service * node_usd * upkeep_frac / 12 * in_horizon", "maintenance", OWNED),
)  # fmt: skip
API_LINES = (
    Line(f"{API_KEY}_input_mtokens", "Input tokens", "Mtokens", "quantity", group=API),
    Line(f"{API_KEY}_input_usd", "Input tokens", "USD", "cash",
         f"{API_KEY}_input_mtokens * api_price", "api", API),
)  # fmt: skip
UNITS = {
    "discount_rate": "1/year", "discount_timing": "months", "tail_value_frac": "frac",
    "rent_price": "USD/h", "node_usd": "USD", "lead": "months", "node_kw": "kW",
    "tariff": "USD/kW/month", "upkeep_frac": "1/year", "api_price": "USD/Mtoken",
    "tax_rate": "frac", "month_usd": "USD", "term": "months",
}  # fmt: skip
ALWAYS = {"discount_rate": 0.0, "discount_timing": 0.0, "tail_value_frac": 0.0}


def tiny_plan(
    *,
    lines: Sequence[Line],
    inputs: Mapping[str, float],
    quantities: Mapping[str, float | Sequence[float]],
    mtokens: Mapping[str, float],
    costs: Mapping[str, float] | None = None,
    scenario: Mapping[str, Any] | None = None,
    months: int = MONTHS,
    gap_usd: float = 0.0,
    **more: Any,
) -> Plan:
    """A plan with these rows; a quantity is one number every month, or a list by month.

    `mtokens` are the tokens of each class, `costs` the present value of each (of the only class:
    all of it).
    """
    every = (*CALENDAR, *lines)
    given = {key: _monthly(row, months) for key, row in quantities.items()}
    start = (scenario or {}).get("horizon", {}).get("start", "2027-01")
    base = {"name": "tiny", "horizon": {"start": start, "months": months}}
    fields: dict[str, Any] = {
        **{name: [] for name in ("blocks", "demand", "fleet", "pools", "apis", "candidates",
                                 "trails", "curves", "binding", "audit", "sources", "notes")},
        "tool_version": "0", "created_at": "2026-11-01T00:00:00+00:00",
        "scenario": {**base, **(scenario or {})}, "scenario_sha256": "0" * 64,
        "status": "optimal", "gap_asked_frac": 0.001, "npv_usd": 0.0, "bound_usd": 0.0,
        "gap_frac": 0.0, "rounding_usd": 0.0, "seconds": {}, "class_costs": [],
        "periods": [Period(label="2027", first_month=0, months=months, fiscal_year="FY2027")],
        "ledger_inputs": [_input(name, value) for name, value in {**ALWAYS, **inputs}.items()],
        "ledger_quantities": given, "ledger_lines": ledger.dump(every),
    }  # fmt: skip
    plan = Plan(**{**fields, **more})
    npv = view(plan).npv_usd
    shares = costs or {name: npv / len(mtokens) for name in mtokens}
    classes = [
        ClassCost(demand_class=name, npv_usd=shares[name], input_mtokens=count,
                  output_mtokens=0.0, usd_per_mtoken=shares[name] / count)
        for name, count in mtokens.items()
    ]  # fmt: skip
    update = {"npv_usd": npv, "bound_usd": npv - gap_usd, "class_costs": classes}
    return plan.model_copy(update={**update, **more})


def _monthly(row: float | Sequence[float], months: int) -> list[float]:
    return [float(row)] * months if isinstance(row, int | float) else list(row)


def _input(name: str, value: float) -> LedgerInput:
    return LedgerInput(name=name, label=name, unit=UNITS[name], value=value, source="a letter",
                       as_of="2026-11-01", basis="quoted")  # fmt: skip


def rented(hours: float = 100.0, price: float = 2.0, mtokens: float = 1000.0, **more: Any) -> Plan:
    """Nodes by the hour, the same hours every month."""
    return tiny_plan(
        lines=RENT_LINES, inputs={"rent_price": price}, quantities={"rent_hours": hours},
        mtokens={"chat": mtokens}, **more,
    )  # fmt: skip


def machines(option: str, ordered: Sequence[float], in_service: Sequence[float]) -> FleetRow:
    """A row of the fleet: H100 nodes of eight at us."""
    return FleetRow(
        option=option, accelerator="h100", accelerator_title="H100", site="us",  # type: ignore[arg-type]
        lot_name="node", lot_gpus=8, lot_kw=10.0, lots_ordered=list(ordered),
        lots_in_service=list(in_service), lots_by_block=[[n] for n in in_service],
    )  # fmt: skip
