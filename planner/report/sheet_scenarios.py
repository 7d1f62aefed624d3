"""Sheet Scenarios: one cell chooses whose solved quantities drive Costs and Cash.

Every option's cash at the solve and its quantities by month stand here as values, in the same
columns as on Costs, which looks up the row of the option chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation

from planner.finance.calendar import CALENDAR
from planner.report.ledger_view import View
from planner.report.option_figures import OptionFigures
from planner.report.page import Book, Page
from planner.report.sheet_costs import (
    CATEGORY,
    FIRST,
    LABEL,
    TOP,
    TOTAL,
    UNIT,
    WIDTHS,
    line_format,
    month_widths,
    time_line,
)
from planner.report.style import COUNT, MONEY, TEAL
from planner.units import MONTHS_PER_YEAR

SWITCH_NAME = "Scenario"
"""Global name of the cell that chooses."""
PLAN_NUMBER = 1
_CASH = TOP + 4
"""Heading of the options' cash; the first option stands below it."""
_NOTE = (
    "Change the blue cell: Costs, Cash, Annual and Decision's money follow the option of that "
    "number."
)
_NOT_PRINTED = (
    "Fleet, Sizing trail and Latency always show the plan. Later months and all quantities are "
    "stored values, not printed."
)


@dataclass(frozen=True)
class ScenariosSheet:
    """Where the options stand."""

    title: str
    figures: tuple[OptionFigures, ...]
    """The plan first; the option chosen is counted from 1."""
    saved: dict[str, int]
    """Row of what the plan saves by month against each option of equal service."""
    blocks: dict[str, int]
    """First row of each quantity line that any option uses."""
    last_column: int
    shown: str
    """Address of the title of the option chosen."""
    next_row: int
    """First free row."""

    def cash(self, number: int) -> str:
        """Cash by month of one option, counted from 0."""
        return self.span(_CASH + 1 + number)

    def span(self, row: int) -> str:
        """All months of a row from another sheet."""
        last = get_column_letter(self.last_column)
        return f"{self.title}!${get_column_letter(FIRST)}${row}:${last}${row}"

    def chosen(self, key: str) -> str:
        """Formula of a quantity line; {c} is the month's column."""
        first = self.blocks[key]
        last = first + len(self.figures) - 1
        return f"=INDEX({self.title}!{{c}}${first}:{{c}}${last},{SWITCH_NAME})"

    @property
    def npv_chosen(self) -> str:
        """Formula of the stored net present cost of the option chosen."""
        letter = get_column_letter(TOTAL)
        first, last = _CASH + 1, _CASH + len(self.figures)
        return f"=INDEX({self.title}!${letter}${first}:${letter}${last},{SWITCH_NAME})"

    def npv(self, number: int) -> str:
        """Address of one option's stored net present cost, counted from 0."""
        return f"{self.title}!${get_column_letter(TOTAL)}${_CASH + 1 + number}"


def shows_plan(scenarios: ScenariosSheet | None) -> str:
    """Condition that the plan is shown and no other option; blank where there is none."""
    return f"{SWITCH_NAME}={PLAN_NUMBER}" if scenarios is not None else ""


def write_scenarios(
    book: Book, view: View, figures: Sequence[OptionFigures]
) -> ScenariosSheet | None:
    """Write the sheet; None where the plan was compared with nothing."""
    if len(figures) < 2:
        return None
    page = book.page(
        "Scenarios", widths=(*WIDTHS, *month_widths([x.view for x in figures])), tab=TEAL
    )
    page.heading("Scenarios", _NOTE)
    time_line(page, view)
    last = FIRST + view.months - 1
    _switch(book, page, figures, last)
    _cash(page, figures, last)
    saved = _saved(page, figures, last)
    blocks, next_row = _quantities(
        page, view, figures, last, first=_CASH + len(figures) + len(saved) + 4
    )
    page.freeze(TOP, FIRST)
    page.put(3, LABEL, _NOT_PRINTED, "note")
    page.sheet.print_area = (
        f"A1:{get_column_letter(min(last, FIRST + MONTHS_PER_YEAR - 1))}{_CASH + len(figures)}"
    )
    page.print_setup()
    shown = page.address(TOP + 2, TOTAL)
    return ScenariosSheet(page.sheet.title, tuple(figures), saved, blocks, last, shown, next_row)


def _switch(book: Book, page: Page, figures: Sequence[OptionFigures], last: int) -> None:
    """The cell that chooses, and the name of what it chooses."""
    page.band(TOP, 1, last, "group")
    page.put(TOP, LABEL, "Switch", "group")
    page.put(TOP + 1, LABEL, f"Option shown, 1 to {len(figures)}", "label bold")
    page.put(TOP + 1, UNIT, "number", "unit")
    page.put(TOP + 1, TOTAL, PLAN_NUMBER, "input", COUNT)
    book.name(SWITCH_NAME, page.address(TOP + 1, TOTAL))
    rule = DataValidation("whole", operator="between", formula1="1", formula2=str(len(figures)))
    rule.errorTitle, rule.error = "Option", f"a whole number from 1 to {len(figures)}"
    rule.add(f"{get_column_letter(TOTAL)}{TOP + 1}")
    page.sheet.add_data_validation(rule)
    page.put(TOP + 2, LABEL, "which is")
    first, end = _CASH + 1, _CASH + len(figures)
    page.formula(
        TOP + 2, TOTAL, f"=INDEX($A${first}:$A${end},{SWITCH_NAME})", figures[0].row.title,
        "text right",
    )  # fmt: skip


def _cash(page: Page, figures: Sequence[OptionFigures], last: int) -> None:
    page.band(_CASH, 1, last, "group")
    page.put(_CASH, LABEL, "Cash out at the solve, total: net present cost", "group")
    page.put(_CASH, CATEGORY, "Number", "group")
    for number, option in enumerate(figures, 1):
        row = _CASH + number
        page.put(row, LABEL, option.row.title)
        page.put(row, CATEGORY, number, "number left", COUNT)
        page.put(row, UNIT, "USD", "unit")
        page.put(row, TOTAL, option.npv_usd, "solved", MONEY)
        page.row(row, FIRST, option.cash_usd.tolist(), "solved", MONEY)


def _saved(page: Page, figures: Sequence[OptionFigures], last: int) -> dict[str, int]:
    """Cash of each option of equal service less the plan's."""
    row = _CASH + len(figures) + 2
    found: dict[str, int] = {}
    if not any(option.row.equal_service for option in figures[1:]):
        return found
    page.band(row, 1, last, "group")
    page.put(row, LABEL, "Cash that the plan saves against", "group")
    for number, option in enumerate(figures):
        if number == 0 or not option.row.equal_service:
            continue
        here, theirs = row + 1 + len(found), _CASH + 1 + number
        found[option.row.name] = here
        page.put(here, LABEL, option.row.title)
        page.put(here, UNIT, "USD", "unit")
        values = (option.cash_usd - figures[0].cash_usd).tolist()
        span = f"{get_column_letter(FIRST)}{here}:{get_column_letter(last)}{here}"
        page.formula(here, TOTAL, f"=SUM({span})", sum(values), "label bold", number_format=MONEY)
        for column, value in enumerate(values, FIRST):
            letter = get_column_letter(column)
            formula = f"={letter}{theirs}-{letter}${_CASH + 1}"
            page.formula(here, column, formula, value, number_format=MONEY)
    return found


def _quantities(
    page: Page, view: View, figures: Sequence[OptionFigures], last: int, *, first: int
) -> tuple[dict[str, int], int]:
    """A row an option for each quantity line that any of them uses."""
    calendar, row = {line.key for line in CALENDAR}, first
    blocks: dict[str, int] = {}
    for line in view.lines:
        if line.kind != "quantity" or line.key in calendar:
            continue
        values = [option.view.values[line.key] for option in figures]
        if not np.any(values):
            continue
        page.band(row, 1, last, "group")
        page.put(row, LABEL, f"{line.group}: {line.label.lower()}", "group")
        style = line_format(line, np.asarray(values))
        for number, (option, by_month) in enumerate(zip(figures, values, strict=True), 1):
            page.put(row + number, LABEL, option.row.title)
            page.put(row + number, CATEGORY, number, "number left", COUNT)
            page.put(row + number, UNIT, line.unit, "unit")
            page.put(row + number, TOTAL, float(by_month.sum()), "solved", style)
            page.row(row + number, FIRST, by_month.tolist(), "solved", style)
        blocks[line.key] = row + 1
        row += len(figures) + 2
    return blocks, row
