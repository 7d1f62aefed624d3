"""Block on the Decision sheet: what the performance model's error costs."""

from __future__ import annotations

from openpyxl.utils import get_column_letter

from planner.report.page import Page
from planner.report.sheet_annual import Scale
from planner.result import BandCost, BandCosts

LABEL, UNIT, NPV, DIFFERENCE, BOUND = range(1, 6)
TITLES = {
    "p50": "Planned at p50, as predicted",
    "p80": "Planned at p80",
    "p95": "Planned at p95",
    "halved": "As planned, with half the error band",
}
_STATES = {"infeasible": "no fleet keeps its promises", "unsolved": "not solved in its time"}


def write_band_costs(page: Page, costs: BandCosts, scale: Scale, row: int) -> int:
    """Cost at each side of the band; returns the next free row."""
    page.put(row, LABEL, "Steps of the performance model", "head")
    page.put(row, UNIT, "Unit", "head unit")
    page.row(row, NPV, ("Net present", "To the plan", "At least"), "head right")
    lines = [*costs.rows, costs.halved]
    own = row + 1 + next(i for i, line in enumerate(lines) if line.status == "plan")
    plan_usd = next(line.npv_usd for line in costs.rows if line.status == "plan") or 0.0
    for number, line in enumerate(lines, row + 1):
        _line(page, line, scale, number, own=own, plan_usd=plan_usd)
    return row + 1 + len(lines)


def _line(page: Page, line: BandCost, scale: Scale, row: int, *, own: int, plan_usd: float) -> None:
    look = "label bold" if line.status == "plan" else "label"
    page.put(row, LABEL, TITLES[line.name], look)
    page.put(row, UNIT, scale.unit, "unit")
    if line.npv_usd is None:
        page.put(row, NPV, _STATES[line.status], "text left")
        return
    page.put(row, NPV, line.npv_usd / scale.usd, "solved", scale.number_format)
    if line.bound_usd is not None:
        page.put(row, BOUND, line.bound_usd / scale.usd, "solved", scale.number_format)
    if line.status == "plan":
        return
    if line.status == "late":
        page.put(row, DIFFERENCE, "serves less", "text right")
        return
    letter = get_column_letter(NPV)
    formula, value = f"={letter}{row}-{letter}{own}", (line.npv_usd - plan_usd) / scale.usd
    page.formula(row, DIFFERENCE, formula, value, "calculation", number_format=scale.number_format)


def words(costs: BandCosts, scale: Scale) -> str:
    """What a benchmark is worth, in one sentence."""
    worth = costs.worth_usd
    if worth is None:
        return "What a benchmark is worth is not known: the fleet with half the band is not solved."
    amount = f"{worth / scale.usd:,.1f} {scale.unit}"
    return (
        f"A benchmark that halves the error band is worth up to {amount}, if it finds the "
        "estimate right; fleets are as solved, each within its gap (at least: no fleet costs less)."
    )
