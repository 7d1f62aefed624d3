"""Parts of sheet Decision that compare and close it: options, what breaks the plan, approval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from planner.report.checks import Parts
from planner.report.page import Page
from planner.report.sensitivity import Exposure
from planner.report.sheet_annual import AnnualSheet
from planner.report.sheet_options import DIFFERENCE, NPV, PEAK
from planner.report.sheet_sensitivity import HIGH, LESS, LOW, MORE, SensitivitySheet
from planner.report.style import PERCENT
from planner.result import OptionRow, Plan

LABEL, UNIT, FIRST = 1, 2, 3
BREAKS_MOST = 3
"""Drivers on the page, those that move the cost most."""
_SERVES = {
    "plan": "serves all",
    "solved": "serves all",
    "infeasible": "cannot serve",
    "unsolved": "not solved",
    "nothing": "serves no one",
}


class Writer(Protocol):
    """What the sheet gives its parts."""

    page: Page
    plan: Plan
    annual: AnnualSheet
    widths: Sequence[float]

    @property
    def last(self) -> int:
        """Last column."""

    def section(self, row: int, title: str) -> None:
        """Heading over the whole width."""


def options(writer: Writer, parts: Parts, row: int) -> int:
    """Each option's cost beside the plan's; returns the next free row."""
    if parts.options is None or parts.scenarios is None:
        return row
    page, scale = writer.page, writer.annual.scale
    writer.section(row, "Against what")
    page.band(row + 1, LABEL, writer.last, "head")
    page.put(row + 1, LABEL, "Same demand, horizon and promises", "head")
    page.put(row + 1, UNIT, "Unit", "head unit")
    page.row(row + 1, FIRST, ("Net present cost", "Above the plan", "Peak cash"), "head right")
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
    return row + 1


def _service(option: OptionRow) -> str:
    if option.status == "late":
        return f"only from {option.serves_from} on"
    return _SERVES[option.status]


def breaks(writer: Writer, parts: Parts, row: int) -> int:
    """The drivers that move the cost most; returns the next free row."""
    if parts.sensitivity is None:
        return row
    page, scale, sheet = writer.page, writer.annual.scale, parts.sensitivity
    writer.section(row, "What breaks it")
    page.band(row + 1, LABEL, writer.last, "head")
    page.put(row + 1, LABEL, "Same fleet, one driver at a time", "head")
    page.put(row + 1, UNIT, "Unit", "head unit")
    page.row(row + 1, FIRST, ("Low", "Changes cost by", "High", "Changes cost by"), "head right")
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


def approval(writer: Writer, row: int) -> int:
    """Lines to sign, and exactly what is signed; returns the next free row."""
    page, plan = writer.page, writer.plan
    writer.section(row, "Approval")
    for number, label in enumerate(("Prepared by", "Reviewed by", "Approved by"), row + 1):
        page.put(number, LABEL, label)
        page.band(number, UNIT, FIRST + 1, "signature")
        page.put(number, FIRST + 2, "Date", "text right")
        page.band(number, FIRST + 3, writer.last, "signature")
        page.sheet.row_dimensions[number].height = 20
    page.put(
        row + 4, LABEL,
        f"Scenario SHA-256 {plan.scenario_sha256}; inference-fleet-planner {plan.tool_version}, "
        f"{plan.created_at}", "note",
    )  # fmt: skip
    return row + 6
