"""A small but realistic plan: owned racks, a one-year reservation, on-demand machines and an API.

Every way of getting capacity brings the cash rows it has in life (price paths, lead time, rent,
idle energy, book value, end value; a reservation whose payments run past the horizon), so that a
report that survives this plan has met each kind of formula the ledger knows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from planner.finance import ledger
from planner.finance.calendar import CALENDAR, calendar_quantities
from planner.finance.ledger import Line
from planner.result import (
    ApiRow,
    AuditLine,
    BindingLimit,
    Block,
    CandidateRow,
    ClassCost,
    ClassTraffic,
    FleetRow,
    LatencyCurve,
    LatencyPoint,
    LedgerInput,
    Period,
    Plan,
    PoolRow,
    SizingTrail,
    SourceRow,
    TrailItem,
    TrailStep,
)

START = "2027-01"
OWNED = "GB200 NVL72 at hq, owned"
RESERVED = "HGX H100 at us-east, reserved 1 year"
ON_DEMAND = "HGX H100 at us-east, on demand"
API = "Llama 3.1 405B by Nebius, API"

OWNED_LINES = (
    Line("buy_gb200", "Racks ordered", "racks", "quantity", group=OWNED),
    Line("energy_gb200", "Energy drawn, above idle", "kWh", "quantity", group=OWNED),
    Line(
        "price_gb200",
        "Price of a rack, adders included",
        "USD/rack",
        "calculation",
        "capex_gb200 * (1 + adders_frac) * (1 + capex_growth) ** years",
        group=OWNED,
    ),
    Line(
        "capex_cash_gb200",
        "Purchase",
        "USD",
        "cash",
        "buy_gb200 * price_gb200",
        "capex",
        OWNED,
    ),
    Line(
        "up_gb200",
        "Racks in service",
        "racks",
        "calculation",
        "prev + lag(buy_gb200, lead_gb200)",
        group=OWNED,
    ),
    Line(
        "maintain_gb200",
        "Maintenance and insurance",
        "USD",
        "cash",
        "up_gb200 * in_horizon * capex_gb200 * maintenance_frac / 12",
        "maintenance",
        OWNED,
    ),
    Line(
        "rent_gb200",
        "Colocation rent on contracted power",
        "USD",
        "cash",
        "up_gb200 * in_horizon * kw_gb200 * rent_hq * (1 + rent_growth) ** years",
        "rent",
        OWNED,
    ),
    Line(
        "tariff_hq",
        "Electricity price",
        "USD/kWh",
        "calculation",
        "power_hq * (1 + power_growth) ** years",
        group=OWNED,
    ),
    Line(
        "power_gb200",
        "Energy, idle and load, with PUE",
        "USD",
        "cash",
        "(up_gb200 * in_horizon * kw_gb200 * idle_frac * hours + energy_gb200)"
        " * pue_hq * tariff_hq",
        "energy",
        OWNED,
    ),
    Line(
        "book_gb200",
        "Market value of racks held",
        "USD",
        "calculation",
        "prev * (1 - decline_year) ** (1 / 12) + capex_cash_gb200 / (1 + adders_frac)",
        group=OWNED,
    ),
    Line(
        "end_gb200",
        "End value, after condition and selling cost",
        "USD",
        "cash",
        "-last_month * book_gb200 * condition_frac * (1 - selling_frac)",
        "end value",
        OWNED,
    ),
)
RESERVED_LINES = (
    Line("sign_h100", "Nodes signed", "nodes", "quantity", group=RESERVED),
    Line(
        "rate_h100",
        "Rate signed in this month",
        "USD/node/h",
        "calculation",
        "gpus_h100 * reserved_h100 * (1 + rental_growth) ** years",
        group=RESERVED,
    ),
    Line(
        "signed_h100",
        "Obligation signed in this month",
        "USD/h",
        "calculation",
        "sign_h100 * rate_h100",
        group=RESERVED,
    ),
    Line(
        "owed_h100",
        "Obligation in force",
        "USD/h",
        "calculation",
        "prev + signed_h100 - lag(signed_h100, term_1y)",
        group=RESERVED,
    ),
    Line(
        "pay_h100",
        "Reservation payments",
        "USD",
        "cash",
        "owed_h100 * hours * (1 + support_frac)",
        "commitments",
        RESERVED,
    ),
)
ON_DEMAND_LINES = (
    Line("rent_hours_h100", "Node hours", "h", "quantity", group=ON_DEMAND),
    Line(
        "pay_rent_h100",
        "On-demand rent",
        "USD",
        "cash",
        "rent_hours_h100 * gpus_h100 * demand_h100 * (1 + rental_growth) ** years"
        " * (1 + support_frac)",
        "on demand",
        ON_DEMAND,
    ),
)
API_LINES = (
    Line("api_in", "Input tokens", "Mtokens", "quantity", group=API),
    Line("api_out", "Output tokens", "Mtokens", "quantity", group=API),
    Line(
        "pay_api",
        "API fees",
        "USD",
        "cash",
        "(api_in * api_price_in + api_out * api_price_out) * (1 + api_growth) ** years",
        "api",
        API,
    ),
)
LINES = (*CALENDAR, *OWNED_LINES, *RESERVED_LINES, *ON_DEMAND_LINES, *API_LINES)

INPUTS: tuple[tuple[str, str, str, float, str, str], ...] = (
    ("discount_rate", "Discount rate", "1/year", 0.08, "finance.discount_rate", "scenario"),
    ("discount_timing", "Cash falls before month end by", "months", 0.5, "", "scenario"),
    (
        "tail_value_frac",
        "Value kept of obligations after the horizon",
        "frac",
        0.25,
        "horizon.tail_value_frac",
        "scenario",
    ),
    (
        "decline_year",
        "Yearly decline of resale value",
        "1/year",
        0.30,
        "finance.residual.decline_per_year",
        "estimated",
    ),
    (
        "condition_frac",
        "Used-condition factor",
        "frac",
        0.72,
        "finance.residual.condition_frac",
        "estimated",
    ),
    (
        "selling_frac",
        "Cost of selling",
        "frac",
        0.10,
        "finance.residual.selling_cost_frac",
        "estimated",
    ),
    (
        "capex_growth",
        "Yearly change of purchase prices",
        "1/year",
        -0.10,
        "finance.price_paths.capex_per_year",
        "scenario",
    ),
    (
        "rental_growth",
        "Yearly change of rental prices",
        "1/year",
        -0.05,
        "finance.price_paths.rental_per_year",
        "scenario",
    ),
    (
        "api_growth",
        "Yearly change of token prices",
        "1/year",
        -0.15,
        "finance.price_paths.api_per_year",
        "scenario",
    ),
    (
        "power_growth",
        "Yearly rise of electricity",
        "1/year",
        0.03,
        "finance.escalators.electricity_per_year",
        "scenario",
    ),
    (
        "rent_growth",
        "Yearly rise of colocation rent",
        "1/year",
        0.04,
        "finance.escalators.rent_per_year",
        "scenario",
    ),
    ("adders_frac", "Network, storage, installation", "frac", 0.06, "", "derived"),
    (
        "maintenance_frac",
        "Maintenance and insurance of the price a year",
        "1/year",
        0.05,
        "",
        "estimated",
    ),
    (
        "support_frac",
        "Support uplift on rented machines",
        "frac",
        0.05,
        "finance.adders.cloud_support_frac",
        "estimated",
    ),
    ("capex_gb200", "GB200 NVL72, price of a rack", "USD/rack", 3_100_000.0, "", "quoted"),
    ("lead_gb200", "GB200 NVL72, order to in service", "months", 6.0, "", "estimated"),
    ("kw_gb200", "GB200 NVL72, contracted power of a rack", "kW/rack", 132.0, "", "quoted"),
    ("idle_frac", "Power drawn idle, of contracted", "frac", 0.30, "", "estimated"),
    ("pue_hq", "PUE at hq", "ratio", 1.25, "", "scenario"),
    ("power_hq", "Electricity at hq", "USD/kWh", 0.089, "", "quoted"),
    ("rent_hq", "Colocation rent at hq", "USD/kW/month", 194.95, "", "quoted"),
    ("term_1y", "Term of a one-year reservation", "months", 12.0, "", "quoted"),
    ("gpus_h100", "GPUs in an HGX H100 node", "GPU/node", 8.0, "", "quoted"),
    ("reserved_h100", "H100, reserved one year", "USD/GPU/h", 4.82, "", "quoted"),
    ("demand_h100", "H100, on demand", "USD/GPU/h", 6.88, "", "quoted"),
    ("api_price_in", "Llama 3.1 405B, input tokens", "USD/Mtoken", 1.0, "", "quoted"),
    ("api_price_out", "Llama 3.1 405B, output tokens", "USD/Mtoken", 3.0, "", "quoted"),
)


def small_plan(
    *, months: int = 36, title: str = "Assistant and nightly digest, 405B", **changes: Any
) -> Plan:
    """The plan, with any field of `Plan` replaced by `changes`."""
    total = months + 12
    quantities = _quantities(months)
    inputs = {name: value for name, _, _, value, _, _ in INPUTS}
    padded = {
        key: np.concatenate([row, np.zeros(total - len(row))]) for key, row in quantities.items()
    }
    values = ledger.evaluate(
        LINES, inputs, {**calendar_quantities(START, months, total), **padded}, total
    )
    counted = ledger.cash(LINES, values) * values["counted"]
    npv = float(ledger.present_value(counted, values["discount_factor"]))
    fields: dict[str, Any] = {
        "tool_version": "0.1.0",
        "created_at": "2026-11-21T09:00:00+00:00",
        "scenario": _scenario(months, title),
        "scenario_sha256": "9f2c1d7a5be04c33" * 4,
        "status": "optimal",
        "gap_asked_frac": 0.001,
        "npv_usd": npv,
        "bound_usd": npv * 0.9994,
        "gap_frac": 0.0006,
        "rounding_usd": 41_250.0,
        "seconds": {"candidates": 0.8, "build": 0.6, "solve": 3.9, "audit": 0.1},
        "ledger_inputs": _inputs(),
        "ledger_quantities": {key: row.tolist() for key, row in quantities.items()},
        "ledger_lines": ledger.dump(LINES),
        **_machines(months),
        **_explanations(npv),
    }
    return Plan(**{**fields, **changes})


def _scenario(months: int, title: str) -> dict[str, Any]:
    return {
        "name": "assistant_405b",
        "title": title,
        "description": "An internal assistant and a nightly digest on one 405B model; "
        "owned racks at headquarters against rented nodes and a token API.",
        "horizon": {"start": START, "months": months, "period": "quarter", "tail_value_frac": 0.25},
        "finance": {"discount_rate": 0.08, "discounting": "mid"},
        "planning": {"load_blocks": 4},
    }


def _inputs() -> list[LedgerInput]:
    return [
        LedgerInput(
            name=name,
            label=label,
            unit=unit,
            value=value,
            scenario_path=path,
            source="scenario file" if basis == "scenario" else "price notes, vendor pages",
            as_of="2026-11-02",
            basis=basis,
        )
        for name, label, unit, value, path, basis in INPUTS
    ]


def _quantities(months: int) -> dict[str, np.ndarray]:
    bought = np.zeros(months)
    bought[[0, 12]] = 2.0, 1.0
    signed = np.zeros(months)
    signed[[0, 12, 27]] = 12.0, 4.0, 6.0
    month = np.arange(months)
    return {
        "buy_gb200": bought,
        "energy_gb200": np.where(month >= 6, 60_000.0 + 900.0 * month, 0.0),
        "sign_h100": signed,
        "rent_hours_h100": np.where(month < 6, 3_100.0, 180.0 + 4.0 * month),
        "api_in": 900.0 + 35.0 * month,
        "api_out": 110.0 + 4.0 * month,
    }


def _machines(months: int) -> dict[str, Any]:
    periods = [
        Period(
            label=f"{2027 + q // 4}-Q{q % 4 + 1}",
            first_month=3 * q,
            months=3,
            fiscal_year=f"FY{2027 + q // 4}",
        )
        for q in range(months // 3)
    ]
    count = len(periods)
    # Of a mean quarter's 2,184 hours; each quarter has the calendar's.
    shares = {
        "weekday 9-17": 520 / 2184,
        "weekday 17-9": 1040 / 2184,
        "weekend 9-17": 208 / 2184,
        "weekend 17-9": 416 / 2184,
    }
    hours = calendar_quantities(START, months, months)["hours"].reshape(count, 3).sum(axis=1)
    blocks = [
        Block(label=label, day=label.split()[0], hours=(share * hours).tolist())
        for label, share in shares.items()
    ]
    growth = np.linspace(1.0, 2.2, count)
    peak = [[round(24 * g * f, 3) for f in (1.0, 0.4, 0.3, 0.15)] for g in growth]
    mean = [[round(0.7 * x, 3) for x in row] for row in peak]
    api = [0.06] * count
    early, late = [1.0] * 2 + [0.0] * (count - 2), [0.0] * 2 + [1.0] * (count - 2)
    share_owned = [[0.70 * b] * 4 for b in late]
    share_rented = [[0.94 * a + 0.24 * b] * 4 for a, b in zip(early, late, strict=True)]
    racks = [0.0, 0.0, 2.0, 2.0, 2.0, 2.0] + [3.0] * (count - 6)
    nodes = [12.0] * 4 + [4.0] * 4 + [0.0] + [6.0] * (count - 9)
    demand = [4.3, 4.3] + [0.4] * (count - 2)
    return {
        "periods": periods,
        "blocks": blocks,
        "demand": [
            ClassTraffic(
                name="assistant",
                kind="online",
                models=["llama-3.1-405b"],
                peak_rps=peak,
                mean_rps=mean,
                input_tokens_mean=1850.0,
                output_tokens_mean=240.0,
                prefix_cache_hit_frac=0.35,
            ),
            ClassTraffic(
                name="digest",
                kind="batch",
                models=["llama-3.1-405b"],
                peak_rps=[[0.0] * 4] * count,
                mean_rps=[[1.2] * 4] * count,
                input_tokens_mean=5200.0,
                output_tokens_mean=600.0,
                prefix_cache_hit_frac=0.0,
            ),
        ],
        "fleet": [
            FleetRow(
                option="owned",
                accelerator="gb200-nvl72",
                accelerator_title="GB200 NVL72",
                site="hq",
                lot_name="rack",
                lot_gpus=72,
                lot_kw=132.0,
                lots_ordered=[2.0 if t == 0 else 1.0 if t == 4 else 0.0 for t in range(count)],
                lots_in_service=racks,
                lots_by_block=[[n] * 4 for n in racks],
            ),
            FleetRow(
                option="reserved_1y",
                accelerator="hgx-h100",
                accelerator_title="HGX H100",
                site="us-east",
                lot_name="node",
                lot_gpus=8,
                lot_kw=10.2,
                lots_ordered=[{0: 12.0, 4: 4.0, 9: 6.0}.get(t, 0.0) for t in range(count)],
                lots_in_service=nodes,
                lots_by_block=[[n] * 4 for n in nodes],
            ),
            FleetRow(
                option="on_demand",
                accelerator="hgx-h100",
                accelerator_title="HGX H100",
                site="us-east",
                lot_name="node",
                lot_gpus=8,
                lot_kw=10.2,
                lots_ordered=[np.ceil(n * 2) for n in demand],
                lots_in_service=demand,
                lots_by_block=[[n * 2, n, n / 2, 0.0] for n in demand],
            ),
        ],
        "pools": [
            PoolRow(
                candidate=OWNED_CANDIDATE,
                site="hq",
                replicas_peak=[9.0 * n for n in racks],
                replicas=[[9.0 * n] * 4 for n in racks],
                served_frac=share_owned,
            ),
            PoolRow(
                candidate=RENTED_CANDIDATE,
                site="us-east",
                replicas_peak=[n + 4 for n in nodes],
                replicas=[[n + 4, n, n, n] for n in nodes],
                served_frac=share_rented,
            ),
            PoolRow(
                candidate=BATCH_CANDIDATE,
                site="us-east",
                replicas_peak=[4.0] * count,
                replicas=[[0.0, 4.0, 4.0, 4.0]] * count,
                served_frac=[[0.0, 1.5, 0.0, 1.5]] * count,
            ),
        ],
        "apis": [
            ApiRow(
                demand_class="assistant",
                provider="nebius",
                product="nebius/llama-3.1-405b",
                model="llama-3.1-405b",
                served_frac=[[a] * 4 for a in api],
            )
        ],
    }


OWNED_CANDIDATE = "assistant/llama-3.1-405b/gb200-nvl72/fp8+fp8/tensorrt-llm/tp8pp1ep1/chunked"
RENTED_CANDIDATE = "assistant/llama-3.1-405b/hgx-h100/fp8+fp8/vllm/tp8pp1ep1/chunked"
BATCH_CANDIDATE = "digest/llama-3.1-405b/hgx-h100/fp8+fp8/vllm/tp8pp1ep1/chunked"


def candidate(identity: str, **fields: Any) -> CandidateRow:
    """A row whose names are read from its id, as `class/model/accelerator/formats/...`."""
    who, model, accelerator, formats, engine, degrees, mode = identity.split("/")
    weights, kv = formats.split("+")
    tp = int(degrees.split("pp")[0].removeprefix("tp"))
    return CandidateRow(
        id=identity,
        demand_class=who,
        model=model,
        accelerator=accelerator,
        quantization=weights,
        kv_dtype=kv,
        engine=engine,
        tp=tp,
        pp=1,
        ep=1,
        mode=mode,
        gpus=tp,
        **{"feasible": True, **fields},
    )


def _candidates() -> list[CandidateRow]:
    served = {
        "recovery_frac": 0.995,
        "weights_gb": 51.2,
        "overhead_gb": 6.1,
        "kv_tokens": 412_000.0,
        "sequences_max": 180.0,
        "decode_step_ms": 21.4,
        "full_step_ms": 148.0,
        "ttft_zero_load_ms": 310.0,
        "tpot_zero_load_ms": 19.2,
        "label": "calibrated",
    }
    return [
        candidate(
            OWNED_CANDIDATE,
            **served,
            kv_gb=118.0,
            lambda_star_rps=1.9,
            stability_rps=2.6,
            rate_rps=2.1,
            offset_rps=0.6,
            binding="tpot",
            output_tokens_per_s_per_gpu=57.0,
            usd_per_mtoken=1.18,
            usd_per_mtoken_way="owned at hq",
        ),
        candidate(
            RENTED_CANDIDATE,
            **served,
            kv_gb=9.4,
            lambda_star_rps=1.0,
            stability_rps=1.7,
            rate_rps=1.7,
            offset_rps=0.4,
            binding="kv_cache",
            output_tokens_per_s_per_gpu=33.0,
            usd_per_mtoken=2.95,
            usd_per_mtoken_way="reserved 1 year at us-east",
        ),
        candidate(
            BATCH_CANDIDATE,
            **served,
            kv_gb=9.4,
            lambda_star_rps=0.55,
            stability_rps=0.55,
            rate_rps=0.55,
            offset_rps=0.0,
            binding="utilization_cap",
            output_tokens_per_s_per_gpu=41.0,
            usd_per_mtoken=2.10,
            usd_per_mtoken_way="reserved 1 year at us-east",
        ),
        candidate(
            "assistant/llama-3.1-405b/hgx-h100/bf16+bf16/vllm/tp8pp1ep1/chunked",
            feasible=False,
            reason="weights need 101.4 GB of 72.0 GB usable on one accelerator",
        ),
        candidate(
            "assistant/llama-3.1-405b/hgx-h100/int4+fp8/vllm/tp4pp1ep1/chunked",
            feasible=False,
            reason="quality kept 0.962 is below the floor 0.98 of class assistant",
        ),
    ]


TRAIL_TITLES = (
    "Traffic",
    "Tokens a request",
    "Promises",
    "Model and format",
    "Memory of one replica",
    "Step time",
    "Zero-load latency",
    "Rate of one replica",
    "Pool capacity",
    "Replicas at the peak",
    "Spare machines",
    "Machines",
    "Cost",
)


def _trail(who: str) -> SizingTrail:
    steps = [
        TrailStep(
            number=number,
            title=title,
            items=[
                TrailItem(label=f"{title}: planned", value=12.5 * number, unit="requests/s"),
                TrailItem(
                    label=f"{title}: how",
                    value="P99 of 5-minute rates" if number < 7 else "from the step above",
                    unit="",
                    note="busiest month of the last period" if number == 1 else "",
                ),
            ],
        )
        for number, title in enumerate(TRAIL_TITLES, 1)
    ]
    return SizingTrail(demand_class=who, steps=steps)


def _curve(identity: str, stable_rps: float, operating_rps: float) -> LatencyCurve:
    points = []
    for share in np.linspace(0.05, 0.93, 16).tolist():
        points.append(
            LatencyPoint(
                rps=stable_rps * share,
                output_tokens_per_s_per_gpu=stable_rps * share * 240 / 8,
                ttft_ms=420.0 + 260.0 * share / (1 - share),
                tpot_ms=19.0 + 22.0 * share**2,
            )
        )
    return LatencyCurve(
        candidate=identity,
        demand_class="assistant",
        ttft_target_ms=2000.0,
        tpot_target_ms=40.0,
        operating_rps=operating_rps,
        points=points,
    )


def _explanations(npv_usd: float) -> dict[str, Any]:
    return {
        "class_costs": [
            ClassCost(
                demand_class="assistant",
                npv_usd=npv_usd * 0.86,
                input_mtokens=2_900_000.0,
                output_mtokens=376_000.0,
                usd_per_mtoken=5.41,
            ),
            ClassCost(
                demand_class="digest",
                npv_usd=npv_usd * 0.14,
                input_mtokens=590_000.0,
                output_mtokens=68_000.0,
                usd_per_mtoken=4.36,
            ),
        ],
        "candidates": _candidates(),
        "trails": [_trail("assistant"), _trail("digest")],
        "curves": [_curve(OWNED_CANDIDATE, 2.6, 1.6), _curve(RENTED_CANDIDATE, 1.7, 0.9)],
        "binding": [
            BindingLimit(
                family="site_power", where="hq, 2028-Q1", used=396.0, limit=400.0, unit="kW"
            ),
            BindingLimit(
                family="budget", where="FY2027", used=6_572_000.0, limit=7_000_000.0, unit="USD"
            ),
        ],
        "audit": [
            AuditLine(family="demand_served", rows=96, worst_rel=0.0, where="", holds=True),
            AuditLine(family="slo_capacity", rows=144, worst_rel=2e-9, where="hq", holds=True),
            AuditLine(family="site_power", rows=12, worst_rel=-0.01, where="hq", holds=True),
            AuditLine(family="cost", rows=1, worst_rel=1e-12, where="", holds=True),
        ],
        "sources": [
            SourceRow(
                what="GB200 NVL72, price of a rack",
                value="3,100,000",
                unit="USD/rack",
                source="price notes 2026, range 2-3 M, all-in with fabric about 5 M",
                as_of="2026-03-01",
                basis="estimated",
                used_in="prices",
            ),
            SourceRow(
                what="H100, on demand",
                value="6.88",
                unit="USD/GPU/h",
                source="AWS p5 on-demand price list",
                as_of="2026-01-21",
                basis="quoted",
                used_in="prices",
                stale=True,
            ),
        ],
        "notes": [
            "The price of GB200 NVL72 is estimated: no public list price exists.",
            "Within a block the peaks of all classes are taken as coincident.",
        ],
    }
