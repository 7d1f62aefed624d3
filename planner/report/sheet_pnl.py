"""Sheets P&L and P&L months: what the plan costs in the books, against what is paid."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.pagebreak import Break

from planner.finance.ledger import Line
from planner.report.charts import Band, place, stacked_columns
from planner.report.ledger_view import Array, View
from planner.report.page import Book, Page
from planner.report.profit import Cost, costs_of, of_part
from planner.report.sheet_annual import HEAD, AnnualSheet, cost_chart
from planner.report.sheet_cash import CashSheet, monthly, time_links
from planner.report.sheet_costs import (
    FIRST,
    LABEL,
    MONTH_ROW,
    ON_PAPER,
    TOP,
    TOTAL,
    WIDTHS,
    YEAR_ROW,
    CostsSheet,
    month_widths,
    print_totals,
)
from planner.report.style import MONEY, WITHOUT_ROUNDING
from planner.report.yearly import FIRST as YEARS_FIRST
from planner.report.yearly import TOTAL as YEARS_TOTAL
from planner.report.yearly import Yearly, added

MONTHS, YEARS = "P&L months", "P&L"
USD_FORMAT = WITHOUT_ROUNDING[MONEY]
_CHART_ROWS, _ROWS_A_PAGE = 13, 38
"""The charts stand below the years where one printed page holds both, else above the lines."""
_MONTHS_NOTE = (
    "USD, nominal; cost is positive. Purchases and prepayments count as they are used up."
)
_YEARS_NOTE = (
    "{unit}, nominal; cost is positive. Contracts are services, unless finance.lease states facts "
    "that make them leases (sheet Commitments); not accounting advice."
)


@dataclass
class ProfitSheet:
    """Where profit and loss stands by month."""

    last_column: int
    rows: dict[str, int] = field(default_factory=dict)
    """Row of each cost by its label."""
    operating: int = 0
    before_tax: int = 0
    total_row: int = 0
    cash_row: int = 0
    less_row: int = 0
    balance_row: int = 0
    years_total: str = ""
    """Address of the total of all years, in the display unit."""

    def span(self, row: int) -> str:
        """All months of a row from another sheet, columns fixed."""
        last = get_column_letter(self.last_column)
        return f"'{MONTHS}'!${get_column_letter(FIRST)}{row}:${last}{row}"

    def total(self, row: int) -> str:
        """Address of a row's total."""
        return f"'{MONTHS}'!${get_column_letter(TOTAL)}${row}"


def write_profit(
    book: Book, view: View, costs: CostsSheet, cash: CashSheet, annual: AnnualSheet
) -> ProfitSheet:
    """Write both sheets."""
    sheet = _months(book, view, costs, cash)
    _years(book, view, costs, sheet, annual)
    return sheet


def _months(book: Book, view: View, costs: CostsSheet, cash: CashSheet) -> ProfitSheet:
    page = book.page(MONTHS, widths=(*WIDTHS, *month_widths([view])))
    page.heading("Profit and loss by month", _MONTHS_NOTE)
    page.put(MONTH_ROW - 1, LABEL, ON_PAPER, "note")
    time_links(page, view, costs)
    sheet, rows, row = ProfitSheet(costs.grid.last_column), costs_of(view), TOP
    parts = {part: [x for x in rows if x.part == part] for part in ("operating", "spread", "tax")}
    row = _costs(
        page, view, costs, sheet, row=row, title="Expenses when paid", rows=parts["operating"]
    )
    sheet.operating = row
    _subtotal(
        page, sheet, row, label="Operating cost", rows=parts["operating"],
        values=of_part(view, "operating"),
    )  # fmt: skip
    row = _costs(
        page, view, costs, sheet, row=row + 2, title="Spread over time", rows=parts["spread"]
    )
    sheet.before_tax = row + 1
    monthly(
        page, sheet, row + 1, "Cost before tax",
        "=" + "+".join(f"{{c}}{r}" for r in (sheet.operating, *_at(sheet, parts["spread"]))),
        values=of_part(view, "operating", "spread"), look="total",
    )  # fmt: skip
    row = row + 3
    if parts["tax"]:
        row = _costs(page, view, costs, sheet, row=row, title="Income tax", rows=parts["tax"])
    sheet.total_row = row
    monthly(
        page, sheet, row, "Cost in profit and loss",
        "=" + "+".join(f"{{c}}{r}" for r in (sheet.before_tax, *_at(sheet, parts["tax"]))),
        values=view.profit_usd, look="total",
    )  # fmt: skip
    _against_cash(page, view, cash, sheet, row + 2)
    page.freeze(TOP, FIRST)
    print_totals(page)
    return sheet


def _at(sheet: ProfitSheet, rows: list[Cost]) -> list[int]:
    return [sheet.rows[row.label] for row in rows]


def _costs(
    page: Page,
    view: View,
    costs: CostsSheet,
    sheet: ProfitSheet,
    *,
    row: int,
    title: str,
    rows: list[Cost],
) -> int:
    """One part under its heading; the next free row."""
    page.band(row, 1, sheet.last_column, "group")
    page.put(row, LABEL, title, "group")
    for number, cost in enumerate(rows, row + 1):
        sheet.rows[cost.label] = number
        formula = "=" + added(f"{costs.title}!{{c}}{costs.grid.rows[key]}" for key in cost.keys)
        monthly(page, sheet, number, cost.label, formula, values=cost.usd(view), look="link")
    return row + 1 + len(rows)


def _subtotal(
    page: Page, sheet: ProfitSheet, row: int, *, label: str, rows: list[Cost], values: Array
) -> None:
    at = _at(sheet, rows) or [row - 1]
    formula = f"=SUM({{c}}{min(at)}:{{c}}{max(at)})"
    monthly(page, sheet, row, label, formula, values=values, look="total")


def _against_cash(page: Page, view: View, cash: CashSheet, sheet: ProfitSheet, row: int) -> None:
    page.band(row, 1, sheet.last_column, "group")
    page.put(row, LABEL, "Against cash", "group")
    sheet.cash_row, sheet.less_row, sheet.balance_row = row + 1, row + 2, row + 3
    less = view.cash_usd - view.profit_usd
    monthly(
        page, sheet, sheet.cash_row, "Cash out", f"={cash.title}!{{c}}{cash.total_row}",
        values=view.cash_usd, look="link",
    )  # fmt: skip
    monthly(
        page, sheet, sheet.less_row, "Cash out less cost (total: 0 over the whole life)",
        f"={{c}}{sheet.cash_row}-{{c}}{sheet.total_row}", values=less, look="calculation",
        style=USD_FORMAT,
    )  # fmt: skip
    monthly(
        page, sheet, sheet.balance_row, "Paid and not yet cost, month end (unpaid negative)",
        f"={{p}}{sheet.balance_row}+{{c}}{sheet.less_row}", values=np.cumsum(less),
        look="calculation", summed=False, style=USD_FORMAT,
    )  # fmt: skip


def _years(
    book: Book, view: View, costs: CostsSheet, sheet: ProfitSheet, annual: AnnualSheet
) -> None:
    scale = annual.scale
    page = book.page(YEARS, widths=(58, 14, 15, *[15] * len(view.years)))
    page.heading("Profit and loss by fiscal year", _YEARS_NOTE.format(unit=scale.unit))
    writer = Yearly(page, view.years, HEAD)
    writer.head("Cost in the books")
    rows: dict[str, int] = {}
    for cost in costs_of(view):
        if cost.part == "tax" and "before" not in rows:
            rows["before"] = _year(writer, view, annual, sheet, "Cost before tax", what="before")
        rows[cost.label] = _year(writer, view, annual, sheet, cost.label, what=cost)
    total = _year(writer, view, annual, sheet, "Cost in profit and loss", what="total")
    sheet.years_total = page.address(total, YEARS_TOTAL)
    writer.row += 1
    writer.group("Against cash")
    for label, name in (("Cash out", "cash"), ("Cash out less cost", "less")):
        _year(writer, view, annual, sheet, label, what=name)
    _balance(writer, view, annual, writer.row - 1)
    apart = writer.row + _CHART_ROWS > _ROWS_A_PAGE
    page.sheet.row_breaks.append(Break(id=writer.row + (0 if apart else _CHART_ROWS + 1)))
    labels = Band(YEARS, HEAD, YEARS_FIRST, writer.last, list(view.years))
    bands = [
        (cost.label, Band(YEARS, rows[cost.label], YEARS_FIRST, writer.last,
                          (view.by_year(cost.usd(view)) / scale.usd).tolist()))
        for cost in costs_of(view)
    ]  # fmt: skip
    chart = stacked_columns(f"Profit and loss by fiscal year, {scale.unit}", labels, bands)
    half = (58 + 14 + 15 * (1 + len(view.years))) / 2
    for drawn, left in ((chart, 0.0), (cost_chart(view, annual), half)):
        place(page, drawn, writer.row + 1, left=left, width=half - 1, height=_CHART_ROWS)
    writer.row += _CHART_ROWS + 2
    _lines(writer, view, costs, annual, total)
    page.freeze(HEAD + 1, YEARS_TOTAL)
    page.print_setup()


def _year(
    writer: Yearly,
    view: View,
    annual: AnnualSheet,
    sheet: ProfitSheet,
    label: str,
    *,
    what: Cost | str,
) -> int:
    """A row of the monthly sheet by fiscal year."""
    if isinstance(what, Cost):
        source, usd, look = sheet.rows[what.label], what.usd(view), "link"
    else:
        source, usd, look = {
            "before": (sheet.before_tax, of_part(view, "operating", "spread"), "link total"),
            "total": (sheet.total_row, view.profit_usd, "link total"),
            "cash": (sheet.cash_row, view.cash_usd, "link"),
            "less": (sheet.less_row, view.cash_usd - view.profit_usd, "link"),
        }[what]
    years = sheet.span(YEAR_ROW)
    formula = f"=SUMIFS({sheet.span(source)},{years},{{c}}${HEAD})/{annual.scale.name}"
    values = (view.by_year(usd) / annual.scale.usd).tolist()
    style = WITHOUT_ROUNDING[annual.scale.number_format]
    return writer.summed(label, annual.scale.unit, formula, values, style=style, look=look)


def _balance(writer: Yearly, view: View, annual: AnnualSheet, less: int) -> None:
    so_far = np.cumsum(view.by_year(view.cash_usd - view.profit_usd)) / annual.scale.usd
    first = get_column_letter(YEARS_FIRST)
    writer.write(
        "Paid and not yet cost, year end (unpaid negative)", annual.scale.unit,
        f"=SUM(${first}{less}:{{c}}{less})", so_far.tolist(),
        style=WITHOUT_ROUNDING[annual.scale.number_format], look="calculation",
    )  # fmt: skip


def _lines(writer: Yearly, view: View, costs: CostsSheet, annual: AnnualSheet, total: int) -> None:
    """Every ledger line of the plan, under what it is paid for."""
    scale, style = annual.scale, WITHOUT_ROUNDING[annual.scale.number_format]
    shown = _chosen(view)
    writer.head("Cost in the books by line of sheet Costs")
    group, first = None, writer.row
    for line in shown:
        if line.group != group:
            group = line.group
            writer.group(group or "Whole plan")
        values = (view.by_year(view.values[line.key]) / scale.usd).tolist()
        formula = f"=({writer.of_label(costs, [line.key])})/{scale.name}"
        writer.summed(line.label, scale.unit, formula, values, style=style)
    rest = view.profit_usd - np.sum([view.values[line.key] for line in shown], axis=0)
    formula = f"={{c}}{total}-SUM({{c}}{first}:{{c}}{writer.row - 1})"
    writer.summed(
        "Lines of what the plan does not use", scale.unit, formula,
        (view.by_year(rest) / scale.usd).tolist(), style=style, look="calculation",
    )  # fmt: skip


def _chosen(view: View) -> list[Line]:
    """Lines of what has a quantity in the plan, and those that rest on no quantity of their own."""
    used: dict[str, bool] = {}
    for line in view.lines:
        if line.kind == "quantity":
            used[line.group] = used.get(line.group, False) or bool(view.values[line.key].any())
    return [line for line in view.profit_lines if used.get(line.group, True)]
