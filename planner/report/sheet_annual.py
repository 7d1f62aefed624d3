"""Sheet Annual: cash by fiscal year, in thousands or millions as its unit column says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from openpyxl.utils import get_column_letter

from planner.report.charts import Band, place, stacked_columns
from planner.report.ledger_view import Array, View
from planner.report.page import Book, Page
from planner.report.sheet_cash import CashSheet
from planner.report.sheet_costs import YEAR_ROW
from planner.report.sheet_inputs import SCALES
from planner.report.style import CENTS, TENTHS

LABEL, UNIT, TOTAL, FIRST = range(1, 5)
HEAD = 4
_MILLIONS_FROM_USD = 3e6
"""Below this net present cost, tables are in thousands."""


@dataclass(frozen=True)
class Scale:
    """Display unit of tables for readers."""

    name: str
    """Thousand or Million, a global name of the workbook."""

    @property
    def usd(self) -> float:
        """USD in one unit."""
        return SCALES[self.name]

    @property
    def unit(self) -> str:
        """Text of the unit column."""
        return f"USD {self.name.lower()}"

    @property
    def number_format(self) -> str:
        """Cents of a million, tenths of a thousand."""
        return CENTS if self.name == "Million" else TENTHS


def scale_of(npv_usd: float) -> Scale:
    """Millions where the plan costs millions."""
    return Scale("Million" if abs(npv_usd) >= _MILLIONS_FROM_USD else "Thousand")


@dataclass(frozen=True)
class AnnualSheet:
    """Where the years stand."""

    title: str
    scale: Scale
    rows: dict[str, int]
    """Row of each category."""
    total_row: int
    firm_row: int
    """What of the total is owed once signed."""
    pv_row: int
    cumulative_row: int
    last_column: int

    def cell(self, row: int, column: int) -> str:
        """Address from another sheet."""
        return f"{self.title}!${get_column_letter(column)}${row}"


def write_annual(book: Book, view: View, cash: CashSheet) -> AnnualSheet:
    """Write the sheet."""
    scale, last = scale_of(view.npv_usd), FIRST + len(view.years) - 1
    page = book.page("Annual", widths=(44, 14, 15, *[15] * len(view.years)))
    page.heading("Cash by fiscal year", f"{scale.unit}, nominal; cost is positive.")
    page.put(HEAD, LABEL, "Cash out", "head")
    page.put(HEAD, UNIT, "Unit", "head unit")
    page.row(HEAD, TOTAL, ("Total", *view.years), "head right")
    rows = {category: HEAD + 1 + i for i, category in enumerate(cash.categories)}
    total = HEAD + 1 + len(rows)
    sheet = AnnualSheet(page.sheet.title, scale, rows, total, total + 1, total + 3, total + 4, last)
    for category, row in rows.items():
        label = category.capitalize() if category != "api" else "API"
        values = view.by_year(view.category_usd(category))
        _yearly(
            page, sheet, row, label, cash=cash, source=cash.categories[category], values_usd=values
        )
    _total(page, view, sheet)
    firm = view.by_year(view.firm_usd)
    _yearly(
        page, sheet, sheet.firm_row, "of it firm once signed", cash=cash, source=cash.firm_row,
        values_usd=firm,
    )  # fmt: skip
    present = view.by_year(view.cash_usd * view.weight)
    _yearly(
        page,
        sheet,
        sheet.pv_row,
        "Present value",
        cash=cash,
        source=cash.pv_row,
        values_usd=present,
    )
    _cumulative(page, view, sheet)
    place(page, cost_chart(view, sheet), sheet.cumulative_row + 3, left=0, width=118, height=18)
    page.freeze(HEAD + 1, TOTAL)
    page.print_setup(one_page=True)
    return sheet


def _yearly(
    page: Page,
    sheet: AnnualSheet,
    row: int,
    label: str,
    *,
    cash: CashSheet,
    source: int,
    values_usd: Array,
) -> None:
    scale = sheet.scale
    _labels(page, sheet, row, label, float(values_usd.sum()) / scale.usd)
    years = cash.span(YEAR_ROW).replace(str(YEAR_ROW), f"${YEAR_ROW}")
    for column, value in enumerate((values_usd / scale.usd).tolist(), FIRST):
        letter = get_column_letter(column)
        formula = f"=SUMIFS({cash.span(source)},{years},{letter}${HEAD})/{scale.name}"
        page.formula(row, column, formula, value, "link", number_format=scale.number_format)


def _labels(page: Page, sheet: AnnualSheet, row: int, label: str, total: float) -> None:
    first, last = get_column_letter(FIRST), get_column_letter(sheet.last_column)
    page.put(row, LABEL, label)
    page.put(row, UNIT, sheet.scale.unit, "unit")
    formula = f"=SUM({first}{row}:{last}{row})"
    page.formula(row, TOTAL, formula, total, "label bold", number_format=sheet.scale.number_format)


def _total(page: Page, view: View, sheet: AnnualSheet) -> None:
    row, scale = sheet.total_row, sheet.scale
    first, last = min(sheet.rows.values()), max(sheet.rows.values())
    values = (view.by_year(view.cash_usd) / scale.usd).tolist()
    page.put(row, LABEL, "Cash out", "label total")
    page.put(row, UNIT, scale.unit, "unit total")
    for column, value in enumerate((sum(values), *values), TOTAL):
        letter = get_column_letter(column)
        formula = f"=SUM({letter}{first}:{letter}{last})"
        page.formula(row, column, formula, value, "total", number_format=scale.number_format)


def _cumulative(page: Page, view: View, sheet: AnnualSheet) -> None:
    row, scale = sheet.cumulative_row, sheet.scale
    page.put(row, LABEL, "Cash out so far")
    page.put(row, UNIT, scale.unit, "unit")
    first = get_column_letter(FIRST)
    values = np.cumsum(view.by_year(view.cash_usd)) / scale.usd
    for column, value in enumerate(values.tolist(), FIRST):
        letter = get_column_letter(column)
        formula = f"=SUM(${first}{sheet.total_row}:{letter}{sheet.total_row})"
        page.formula(row, column, formula, value, "calculation", number_format=scale.number_format)


def cost_chart(view: View, sheet: AnnualSheet) -> object:
    """Stacked columns: cash by category in each fiscal year."""
    labels = Band(sheet.title, HEAD, FIRST, sheet.last_column, list(view.years))
    bands = []
    for category, row in sheet.rows.items():
        values = (view.by_year(view.category_usd(category)) / sheet.scale.usd).tolist()
        label = category.capitalize() if category != "api" else "API"
        bands.append((label, Band(sheet.title, row, FIRST, sheet.last_column, values)))
    return stacked_columns(f"Cash by fiscal year, {sheet.scale.unit}", labels, bands)
