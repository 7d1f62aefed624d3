"""Sheet Costs: the ledger by month, one formula a row, the same in every column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from openpyxl.utils import get_column_letter

from planner.finance.ledger import Line
from planner.report.cells import Grid, template
from planner.report.ledger_view import View, category_of, is_firm
from planner.report.page import Book, Page
from planner.report.style import COUNT, FINE, MONEY, MONTH, money_or_count
from planner.units import MONTHS_PER_YEAR

LABEL, CATEGORY, FIRM, UNIT, TOTAL, OPEN, FIRST = range(1, 8)
"""Columns of every monthly sheet."""
MONTH_ROW, YEAR_ROW, PERIOD_ROW, TOP = 4, 5, 6, 7
"""Rows of the time line on every monthly sheet, and the first row below it."""
WIDTHS = (33, 12, 8, 9, 13, 1.5)
_LEAST_USD = 0.005
_MONTH_LEAST, _WIDTH_A_LETTER = 9.0, 0.85
"""Width of a month's column at least, and of each letter of its largest amount."""
FIRM_WORD, USED_WORD = "firm", "as used"
_CALENDAR_GROUP = "Calendar"
_NOTE = "USD, nominal; cost is positive. Violet: solved quantities. Black: formulas."
ON_PAPER = "On paper: totals. Months are for the screen; Annual and P&L print the years."


@dataclass(frozen=True)
class CostsSheet:
    """Where the ledger stands."""

    title: str
    grid: Grid
    last_row: int
    printed_months: int
    """Months that are printed of cash."""

    def column(self, letter: str, *, fixed: bool) -> str:
        """All ledger rows of one column."""
        mark = "$" if fixed else ""
        return f"{self.title}!{mark}{letter}${TOP}:{mark}{letter}${self.last_row}"

    def total(self, key: str) -> str:
        """Address of a money line's total."""
        return f"{self.title}!${get_column_letter(TOTAL)}${self.grid.rows[key]}"


def write_costs(
    book: Book,
    view: View,
    inputs: Mapping[str, str],
    chosen: Mapping[str, str] | None = None,
    *,
    printed_months: int,
) -> CostsSheet:
    """Write the sheet.

    Parameters
    ----------
    inputs : address of each input.
    chosen : formulas of quantity lines that another sheet supplies; {c} is the month's column.
    printed_months : see months_paid.
    """
    page = book.page("Costs", widths=(*WIDTHS, *month_widths([view])))
    page.heading("Costs by month", _NOTE)
    page.put(MONTH_ROW - 1, LABEL, ON_PAPER, "note")
    time_line(page, view)
    rows = _rows(view)
    grid = Grid(FIRST, view.months, rows["month"], rows, inputs)
    group = None
    for line in view.lines:
        if _group(line) != group:
            group = _group(line)
            page.band(rows[line.key] - 1, 1, grid.last_column, "group")
            page.put(rows[line.key] - 1, LABEL, group, "group")
        _write_line(page, line, view, grid, chosen or {})
    page.freeze(TOP, FIRST)
    print_totals(page)
    return CostsSheet(page.sheet.title, grid, max(rows.values()), printed_months)


def time_line(page: Page, view: View) -> None:
    """Months, fiscal years and periods, in the same columns on every monthly sheet."""
    for row, label in ((MONTH_ROW, "Month"), (YEAR_ROW, "Fiscal year"), (PERIOD_ROW, "Period")):
        look = "head" if row == MONTH_ROW else "subhead left"
        page.band(row, 1, OPEN, look)
        page.put(row, LABEL, label, look)
    page.row(MONTH_ROW, CATEGORY, ("Category", "Owed", "Unit"), "head unit")
    page.put(MONTH_ROW, TOTAL, "Total", "head right")
    page.row(MONTH_ROW, FIRST, view.dates, "head right", MONTH)
    page.row(YEAR_ROW, FIRST, view.fiscal_years, "subhead")
    page.row(PERIOD_ROW, FIRST, view.periods, "subhead")


def months_paid(views: Iterable[View]) -> int:
    """Months up to the last in which any option pays: the others hold zeros and stay unprinted.

    At least the horizon.
    """
    return max(
        max(seen.horizon_months, int(np.flatnonzero(_paid(seen)).max(initial=-1)) + 1)
        for seen in views
    )


def _paid(seen: View) -> NDArray[np.bool_]:
    """Months with more than what rounding leaves."""
    return np.asarray(np.abs(seen.cash_usd) >= _LEAST_USD)


def month_widths(views: Sequence[View]) -> list[float]:
    """Of each month's column, as wide as the largest amount of any option needs."""
    largest = max(
        float(np.abs(row).max(initial=0.0)) for seen in views for row in seen.values.values()
    )
    width = max(_MONTH_LEAST, _WIDTH_A_LETTER * len(f"({largest:,.0f})"))
    return [width] * views[0].months


def print_months(page: Page, months: int, last_row: int = 0) -> None:
    """A year of months a page, down to a row, all rows unless given."""
    last = get_column_letter(FIRST + months - 1)
    page.sheet.print_area = f"A1:{last}{last_row or page.sheet.max_row}"
    page.print_setup(
        titles=f"{MONTH_ROW}:{PERIOD_ROW}", columns="A:E",
        pages_wide=-(-months // MONTHS_PER_YEAR),
    )  # fmt: skip


def print_totals(page: Page) -> None:
    """Labels and totals in portrait: nobody reads a ledger by month on paper."""
    page.sheet.print_area = f"A1:{get_column_letter(TOTAL)}{page.sheet.max_row}"
    page.print_setup(titles=f"{MONTH_ROW}:{MONTH_ROW}", portrait=True)


def _group(line: Line) -> str:
    return line.group or _CALENDAR_GROUP


def _rows(view: View) -> dict[str, int]:
    """Row of each line: ledger order, a heading where the group changes."""
    rows, row, group = {}, TOP - 1, None
    for line in view.lines:
        if _group(line) != group:
            row += 1 if group is None else 2
            group = _group(line)
        row += 1
        rows[line.key] = row
    return rows


def _write_line(page: Page, line: Line, view: View, grid: Grid, chosen: Mapping[str, str]) -> None:
    row, values = grid.rows[line.key], view.values[line.key]
    style = line_format(line, values)
    cash, money = line.kind == "cash", line.kind in ("cash", "book", "tax")
    page.put(row, LABEL, line.label, "label bold" if cash else "label")
    if cash:
        page.put(row, CATEGORY, category_of(line), "unit")
        page.put(row, FIRM, FIRM_WORD if is_firm(line) else USED_WORD, "unit")
    if money:
        span = grid.span(row).replace("$", "")
        page.formula(
            row, TOTAL, f"=SUM({span})", float(values.sum()),
            "label bold" if cash else "label", number_format=style,
        )  # fmt: skip
    page.put(row, UNIT, line.unit, "unit")
    if line.kind == "quantity" and line.key not in chosen:
        page.row(row, FIRST, values.tolist(), "solved", style)
        return
    text = chosen.get(line.key) or template(line.key, line.formula, grid)
    look = "label bold" if cash else "link" if line.key in chosen else "calculation"
    for column, (here, before), value in zip(
        range(FIRST, grid.last_column + 1), grid.letters(), values.tolist(), strict=True
    ):
        page.formula(row, column, text.format(c=here, p=before), value, look, number_format=style)


def line_format(line: Line, values: np.ndarray) -> str:
    """Number format of a row: whole quantities without decimals."""
    if line.unit in ("factor", "years"):
        return FINE
    if line.unit in ("USD", "month", "flag", "h"):
        return MONEY if line.unit == "USD" else COUNT
    largest = float(np.abs(values).max(initial=0.0))
    return money_or_count(line.unit, largest, whole=bool((values == np.round(values)).all()))
