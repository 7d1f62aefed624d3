"""The small realistic plan beside options made of parts of it: every figure from its ledger."""

from __future__ import annotations

from planner.alternatives.outcome import nothing
from planner.report.ledger_view import view
from planner.result import OptionRow, Plan
from tests.plan_fixture import small_plan


def option(plan: Plan, name: str, title: str, **quantities: float) -> OptionRow:
    """The plan's quantities, each times a factor; those not named times 0."""
    scaled = {
        key: [x * quantities.get(key, 0.0) for x in row]
        for key, row in plan.ledger_quantities.items()
    }
    fields = {"name": name, "title": title, "status": "solved", "ledger_quantities": scaled}
    row = OptionRow.model_validate(fields)
    npv = view(plan, row).npv_usd
    update = {"npv_usd": npv, "bound_usd": npv * 0.995, "gap_frac": 0.005}
    return row.model_copy(update=update)


def compared_plan(**changes: object) -> Plan:
    """The plan, twice its rented hours, twice its racks from late on, no API, nothing."""
    plan = small_plan(**changes)  # type: ignore[arg-type]
    rented = option(plan, "on_demand", "All on demand", rent_hours_h100=40.0)
    owned = option(plan, "owned", "All owned", buy_gb200=2.0, energy_gb200=1.5)
    late = owned.model_copy(
        update={"status": "late", "serves_from": "2027-Q3", "reasons": ["lead time 6 months"]}
    )
    refused = OptionRow(
        name="api", title="API only", status="infeasible", reasons=["=no provider"], served_frac=0.0
    )
    rows = [plan.as_option(), rented, late, refused, nothing(plan)]
    return plan.model_copy(update={"options": rows})
