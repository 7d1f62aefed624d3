"""Sheet Cash: cash out by category and month, its present value, and what adds up to the NPV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from openpyxl.utils import get_column_letter

from planner.report.ledger_view import Array, View
from planner.report.page import Book, Page
from planner.report.sheet_costs import (
    CATEGORY,
    FIRM_WORD,
    FIRST,
    LABEL,
    MONTH_ROW,
    PERIOD_ROW,
    TOP,
    TOTAL,
    UNIT,
    WIDTHS,
    YEAR_ROW,
    CostsSheet,
    month_widths,
    print_months,
    time_line,
)
from planner.report.style import FINE, MONEY, MONTH, TEXT

NPV_NAME = "NetPresentCost"
_NOTE = "USD, nominal; cost is positive, so a lower net present cost is better."


class Monthly(Protocol):
    """A sheet with a column a month."""

    def span(self, row: int) -> str:
        """All months of a row from another sheet, columns fixed."""


@dataclass(frozen=True)
class CashSheet:
    """Where cash stands."""

    title: str
    categories: dict[str, int]
    """Row of each category."""
    total_row: int
    firm_row: int
    pv_row: int
    cumulative_row: int
    cumulative_pv_row: int
    last_column: int

    def span(self, row: int) -> str:
        """All months of a row from another sheet, columns fixed."""
        last = get_column_letter(self.last_column)
        return f"{self.title}!${get_column_letter(FIRST)}{row}:${last}{row}"

    def total(self, row: int) -> str:
        """Address of a row's total."""
        return f"{self.title}!${get_column_letter(TOTAL)}${row}"


def write_cash(book: Book, view: View, costs: CostsSheet) -> CashSheet:
    """Write the sheet."""
    page = book.page("Cash", widths=(*WIDTHS, *month_widths([view])))
    page.heading("Cash out and present value", _NOTE)
    time_links(page, view, costs)
    sheet = _layout(page, view, costs)
    _section(page, TOP, "Cash out by category", sheet)
    for category, row in sheet.categories.items():
        page.put(row, CATEGORY, category, "unit")
        formula = (
            f"=SUMIFS({costs.column('{c}', fixed=False)},{costs.column('$B', fixed=False)},$B{row})"
        )
        label = category.capitalize() if category != "api" else "API"
        monthly(page, sheet, row, label, formula, values=view.category_usd(category), look="link")
    first, last = min(sheet.categories.values()), max(sheet.categories.values())
    monthly(
        page, sheet, sheet.total_row, "Cash out", f"=SUM({{c}}{first}:{{c}}{last})",
        values=view.cash_usd, look="total",
    )  # fmt: skip
    _firm(page, view, costs, sheet)
    _present_value(page, view, costs, sheet)
    page.freeze(TOP, FIRST)
    print_months(page, costs.printed_months)
    book.name(NPV_NAME, page.address(sheet.pv_row, TOTAL))
    return sheet


def _layout(page: Page, view: View, costs: CostsSheet) -> CashSheet:
    categories = {category: TOP + 1 + i for i, category in enumerate(view.categories)}
    total = TOP + 1 + len(categories)
    pv = total + 6
    return CashSheet(
        page.sheet.title, categories, total, total + 1, pv, pv + 1, pv + 2, costs.grid.last_column
    )


def time_links(page: Page, view: View, costs: CostsSheet) -> None:
    """The time line of sheet Costs."""
    time_line(page, view)
    days: list[float | str] = [_serial(day.toordinal()) for day in view.dates]
    rows: tuple[tuple[int, Sequence[float | str], str, str], ...] = (
        (MONTH_ROW, days, "head right", MONTH),
        (YEAR_ROW, view.fiscal_years, "subhead", TEXT),
        (PERIOD_ROW, view.periods, "subhead", TEXT),
    )
    for row, values, look, style in rows:
        for column, (letter, _), value in zip(
            range(FIRST, costs.grid.last_column + 1), costs.grid.letters(), values, strict=True
        ):
            page.formula(
                row, column, f"={costs.title}!{letter}${row}", value, look, number_format=style
            )


def _serial(ordinal: int) -> float:
    """Days since the spreadsheet's epoch, 1899-12-30."""
    return float(ordinal - 693_594)


def _section(page: Page, row: int, title: str, sheet: CashSheet) -> None:
    page.band(row, 1, sheet.last_column, "group")
    page.put(row, LABEL, title, "group")


def monthly(
    page: Page,
    sheet: Monthly,
    row: int,
    label: str,
    formula: str,
    *,
    values: Array,
    look: str,
    unit: str = "USD",
    style: str = MONEY,
    summed: bool = True,
) -> None:
    """One row: {c} is this month's column, {p} the one before."""
    bold = "total" in look
    if bold:
        page.band(row, CATEGORY, FIRST - 1, "label total")
    page.put(row, LABEL, label, "label total" if bold else "label")
    page.put(row, UNIT, unit, "unit total" if bold else "unit")
    if summed:
        span = sheet.span(row).split("!")[1].replace("$", "")
        total_look = "total" if bold else "label bold"
        page.formula(
            row, TOTAL, f"=SUM({span})", float(values.sum()), total_look, number_format=style
        )
    for column, value in enumerate(values.tolist(), FIRST):
        text = formula.format(c=get_column_letter(column), p=get_column_letter(column - 1))
        page.formula(row, column, text, value, look, number_format=style)


def _firm(page: Page, view: View, costs: CostsSheet, sheet: CashSheet) -> None:
    row = sheet.firm_row
    page.put(row, CATEGORY, FIRM_WORD, "unit")
    formula = (
        f"=SUMIFS({costs.column('{c}', fixed=False)},{costs.column('$C', fixed=False)},$B{row})"
    )
    monthly(page, sheet, row, "of it firm once signed", formula, values=view.firm_usd, look="link")


def _present_value(page: Page, view: View, costs: CostsSheet, sheet: CashSheet) -> None:
    pv, total, rows = sheet.pv_row, sheet.total_row, costs.grid.rows
    _section(page, pv - 3, "Present value", sheet)
    for row, key, label in (
        (pv - 2, "discount_factor", "Discount factor"),
        (pv - 1, "counted", "Share of cash that counts"),
    ):
        formula = f"={costs.title}!{{c}}{rows[key]}"
        monthly(
            page, sheet, row, label, formula, values=view.values[key], look="link",
            unit="factor", style=FINE, summed=False,
        )  # fmt: skip
    present = view.cash_usd * view.weight
    monthly(
        page, sheet, pv, "Present value of cash out (total: net present cost)",
        f"={{c}}{total}*{{c}}{pv - 2}*{{c}}{pv - 1}", values=present, look="total",
    )  # fmt: skip
    for row, source, values, label in (
        (sheet.cumulative_row, total, view.cash_usd, "Cash out so far"),
        (sheet.cumulative_pv_row, pv, present, "Present value so far"),
    ):
        formula = f"={{p}}{row}+{{c}}{source}"
        monthly(
            page, sheet, row, label, formula,
            values=np.cumsum(values), look="calculation", summed=False,
        )  # fmt: skip
