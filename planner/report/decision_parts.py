"""Parts of sheet Decision that compare and close it: options, what breaks the plan, approval."""

from __future__ import annotations

from planner.report.checks import Parts
from planner.report.paper import FIRST, LABEL, UNIT, Paper
from planner.report.sensitivity import Exposure
from planner.report.sheet_options import DIFFERENCE, NPV, PEAK
from planner.report.sheet_sensitivity import HIGH, LESS, LOW, MORE, SensitivitySheet
from planner.report.style import PERCENT
from planner.result import OptionRow

BREAKS_MOST = 3
"""Drivers on the page, those that move the cost most."""
_SERVES = {
    "plan": "serves all",
    "solved": "serves all",
    "infeasible": "cannot serve",
    "unsolved": "not solved",
    "nothing": "serves no one",
}


def options(paper: Paper, parts: Parts, row: int) -> int:
    """Each option's cost beside the plan's; returns the next free row."""
    if parts.options is None or parts.scenarios is None:
        return row
    page, scale = paper.page, paper.annual.scale
    paper.section(row, "Against what")
    columns = ("Net present cost", "Above the plan", "Peak cash")
    paper.head(row + 1, "Same demand and promises", columns)
    page.put(row + 1, FIRST + 3, "Service", "head unit")
    figures = {one.row.name: one for one in parts.scenarios.figures}
    row += 2
    for option in parts.plan.options:
        page.put(row, LABEL, option.title, "label bold" if option.status == "plan" else "label")
        page.put(row, UNIT, scale.unit, "unit")
        page.put(row, FIRST + 3, _service(option), "note")
        if option.name in figures:
            one, plan = figures[option.name], parts.scenarios.figures[0]
            cells = [(NPV, one.npv_usd), (PEAK, one.peak_usd)]
            if option.equal_service:
                cells.insert(1, (DIFFERENCE, one.npv_usd - plan.npv_usd))
            else:
                page.put(row, FIRST + 1, "n/a", "text right")
            for column, usd in cells:
                at = FIRST + (NPV, DIFFERENCE, PEAK).index(column)
                source = parts.options.cell(option.name, column)
                page.formula(
                    row, at, f"={source}", usd / scale.usd, "link",
                    number_format=scale.number_format,
                )  # fmt: skip
        else:
            page.row(row, FIRST, ("n/a",) * 3, "text right")
        row += 1
    return row


def _service(option: OptionRow) -> str:
    if option.status == "late":
        return f"only from {option.serves_from} on"
    return _SERVES[option.status]


def breaks(paper: Paper, parts: Parts, row: int) -> int:
    """The drivers that move the cost most; returns the next free row."""
    if parts.sensitivity is None:
        return row
    page, scale, sheet = paper.page, paper.annual.scale, parts.sensitivity
    paper.section(row, "What breaks it")
    columns = ("If it changes by", "cost changes by", "or changes by", "cost changes by")
    paper.head(row + 1, "Same fleet, one driver at a time", columns)
    row += 2
    for number, one in enumerate(sheet.exposures[:BREAKS_MOST]):
        page.put(row, LABEL, one.driver.label)
        page.put(row, UNIT, scale.unit, "unit")
        for at, column, value, style in _driver_cells(one, sheet, scale.usd, scale.number_format):
            source = sheet.cell(number, column)
            page.formula(row, at, f"={source}", value, "link", number_format=style)
        row += 1
    return row


def _driver_cells(
    one: Exposure, sheet: SensitivitySheet, unit_usd: float, money: str
) -> list[tuple[int, int, float, str]]:
    """Column here, column there, value, format."""
    base = sheet.base_usd
    return [
        (FIRST, LOW, one.driver.low, PERCENT),
        (FIRST + 1, LESS, (one.low_usd - base) / unit_usd, money),
        (FIRST + 2, HIGH, one.driver.high, PERCENT),
        (FIRST + 3, MORE, (one.high_usd - base) / unit_usd, money),
    ]


def approval(paper: Paper, row: int) -> int:
    """Lines to sign, and exactly what is signed; returns the next free row."""
    page, plan = paper.page, paper.plan
    paper.section(row, "Approval")
    for number, label in enumerate(("Prepared by", "Reviewed by", "Approved by"), row + 1):
        page.put(number, LABEL, label)
        page.band(number, UNIT, FIRST + 2, "signature")
        page.put(number, FIRST + 3, "Date", "text right")
        page.band(number, FIRST + 4, paper.last, "signature")
        page.sheet.row_dimensions[number].height = 17
    facts = (f"Scenario SHA-256 {plan.scenario_sha256}",
             f"inference-fleet-planner {plan.tool_version}, solved {plan.created_at}")  # fmt: skip
    for number, fact in enumerate(facts, row + 4):
        page.put(number, LABEL, fact, "note")
    return row + 7
