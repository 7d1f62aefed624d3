"""Sheet Assets: the register of machines, written down in the books and for tax, order by order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from openpyxl.utils import get_column_letter

from planner.report.assets import Vintage, register
from planner.report.assets_part import (
    COST,
    LEAD,
    LOTS,
    ORDER_MONTH,
    ORDERED,
    SERVED,
    SERVICE_MONTH,
    TITLE,
    USD_FORMAT,
    Block,
    Ledger,
    OrderRow,
    balance_row,
    difference,
    write_block,
    year_ends,
)
from planner.report.assets_sale import Sale, write_sale
from planner.report.assets_tax import DeferredTotal, write_deferred, write_tax_books
from planner.report.ledger_view import AFTER, View, lags
from planner.report.page import Book, Page
from planner.report.sheet_annual import HEAD
from planner.report.sheet_costs import MONTH_ROW, CostsSheet
from planner.report.style import CENTS, COUNT, MONEY, MONTH
from planner.report.yearly import (
    FIRST,
    LABEL,
    UNIT,
    Yearly,
    added,
    ledger_at,
    ledger_cell,
    ledger_span,
)

_NOTE = (
    "USD, nominal. One row an order; book values in a straight line from entry into service, "
    "before disposal at the end of the horizon."
)
_REGISTER = (
    "Lots", "Month of order", "Ordered", "Lead time, months", "Month in service", "In service",
    "Cost, USD",
)  # fmt: skip
_LATE = "not delivered"


@dataclass(frozen=True)
class AssetsSheet:
    """Where the totals stand, and their values at the solve."""

    cost: str
    cost_usd: float
    cost_in_costs: str
    depreciation: str
    depreciation_usd: float
    depreciation_in_costs: str
    net_book: str
    """At the last year's end, before disposal."""
    net_book_usd: float
    basis: str
    """Federal tax basis at the last year's end, before disposal; blank without income tax."""
    basis_usd: float
    basis_in_costs: str
    deferred: DeferredTotal | None
    """Deferred tax of machines; None without income tax."""
    sales: tuple[Sale, ...]
    """Proceeds and gain at the end of the horizon."""


def write_assets(
    book: Book, view: View, costs: CostsSheet, inputs: Mapping[str, str], shown: str
) -> AssetsSheet | None:
    """Write the sheet; None where nothing is bought.

    Parameters
    ----------
    inputs : address of each input.
    shown : condition that the sheets show the plan and no other option; blank where none is.
    """
    vintages = register(view)
    if not vintages:
        return None
    years = tuple(year for year in view.years if year != AFTER)
    columns = max(len(years) + 1, len(_REGISTER))
    page = book.page(TITLE, widths=(50, 9, *[13] * columns))
    page.heading("Asset register", _NOTE)
    if shown:
        text = "Another option is shown: rows are the plan's orders, amounts are not."
        page.formula(
            3, LABEL, f'=IF({shown},"Orders of the plan.","{text}")', "Orders of the plan.", "note"
        )
    of = Ledger(view, costs, inputs)
    rows = _register(page, of, vintages)
    total = HEAD + 1 + len(rows)
    writer = Yearly(page, years, total + 2)
    writer.head("Years")
    ends = year_ends(view, years)
    last_month = writer.month_ends(costs, ends.tolist(), "Last month of the year, in the horizon")
    depreciation, net_book = _books(writer, of, rows, last_month)
    basis = write_tax_books(writer, of, rows, last_month)
    later = write_deferred(writer, of, rows, last_month, net_book=net_book, basis=basis)
    sales = write_sale(writer, of, rows, last_month, net_book=net_book, basis=basis)
    page.freeze(HEAD + 1, UNIT)
    page.print_setup()
    orders = [line.key for line in view.lines if line.category == "orders"]
    written = [line.key for line in view.lines if line.category == "depreciation"
               and line.kind == "book"]  # fmt: skip
    federal = [line.key for line in view.lines if line.category == "federal basis"]
    horizon = f"'{TITLE}'!{get_column_letter(writer.last)}${last_month}"
    return AssetsSheet(
        cost=page.address(total, COST),
        cost_usd=sum(v.cost_usd for v in vintages),
        cost_in_costs="+".join(f"SUM({ledger_span(costs, key)})" for key in orders),
        depreciation=page.address(depreciation.total, FIRST - 1),
        depreciation_usd=float(sum(view.values[key].sum() for key in written)),
        depreciation_in_costs=added(costs.total(key) for key in written),
        net_book=page.address(net_book.total, writer.last),
        net_book_usd=sum(v.net_book_usd[len(years) - 1] for v in vintages),
        basis=page.address(basis["federal"].total, writer.last) if basis else "",
        basis_usd=sum(v.tax_basis_usd["federal"][len(years) - 1] for v in vintages)
        if basis else 0.0,
        basis_in_costs="+".join(ledger_at(costs, key, horizon) for key in federal),
        deferred=later,
        sales=sales,
    )  # fmt: skip


def _register(
    page: Page,
    of: Ledger,
    vintages: Sequence[Vintage],
) -> list[OrderRow]:
    page.band(HEAD, 1, COST, "head")
    page.put(HEAD, LABEL, "Order", "head")
    page.put(HEAD, UNIT, "Unit", "head unit")
    page.row(HEAD, LOTS, _REGISTER, "head right")
    page.sheet.row_dimensions[HEAD].height = 26
    rows = []
    for number, vintage in enumerate(vintages, HEAD + 1):
        found = [line for line in of.view.lines if line.group == vintage.group]
        lines = {line.category: line for line in found if line.kind != "tax"}
        lines["bought"] = next(line for line in found if line.kind == "quantity")
        rows.append(OrderRow(vintage, number, lines))
        _vintage(page, of, rows[-1])
    total = HEAD + 1 + len(rows)
    page.band(total, 1, COST, "total")
    page.put(total, LABEL, "All orders", "label total")
    page.put(total, UNIT, "USD", "unit total")
    letter = get_column_letter(COST)
    page.formula(
        total, COST, f"=SUM({letter}{HEAD + 1}:{letter}{total - 1})",
        sum(v.cost_usd for v in vintages), "total", number_format=MONEY,
    )  # fmt: skip
    return rows


def _vintage(page: Page, of: Ledger, row: OrderRow) -> None:
    view, costs, vintage, number = of.view, of.costs, row.vintage, row.number
    bought, orders, placed = (row.lines[x] for x in ("bought", "orders", "placed in service"))
    (lead,) = lags([placed])
    months = next(x.value for x in view.inputs if x.name == lead)
    page.put(number, LABEL, row.label)
    page.put(number, UNIT, bought.unit, "unit")
    page.put(number, ORDER_MONTH, vintage.month + 1, "solved", COUNT)
    served = vintage.month + 1 + months
    dates = f"{costs.title}!{costs.grid.span(MONTH_ROW).replace(str(MONTH_ROW), f'${MONTH_ROW}')}"
    horizon = f"SUM({ledger_span(costs, 'in_horizon')})"
    start, service = row.at(ORDER_MONTH), row.at(SERVICE_MONTH)
    late = vintage.in_service is None
    cells: tuple[tuple[int, str, float | str, str], ...] = (
        (LOTS, f"={ledger_cell(costs, bought.key, vintage.month)}", vintage.lots, CENTS),
        (ORDERED, f"=INDEX({dates},1,{start})", _serial(vintage.ordered.toordinal()), MONTH),
        (LEAD, f"={of.inputs[lead]}", months, COUNT),
        (SERVICE_MONTH, f"={start}+{row.at(LEAD)}", served, COUNT),
        (
            SERVED, f'=IF({service}>{horizon},"{_LATE}",INDEX({dates},1,MIN({service},{horizon})))',
            _LATE if vintage.in_service is None else _serial(vintage.in_service.toordinal()),
            MONTH,
        ),
        (COST, f"={ledger_cell(costs, orders.key, vintage.month)}", vintage.cost_usd, MONEY),
    )  # fmt: skip
    for column, formula, value, style in cells:
        look = "text right" if column == SERVED and late else "link"
        page.formula(number, column, formula, value, look, number_format=style)


def _serial(ordinal: int) -> float:
    """Days since the spreadsheet's epoch, 1899-12-30."""
    return float(ordinal - 693_594)


def _books(
    writer: Yearly,
    of: Ledger,
    rows: Sequence[OrderRow],
    ends: int,
) -> tuple[Block, Block]:
    """Depreciation and net book value."""
    count, first = len(writer.labels), get_column_letter(FIRST)
    life = of.inputs["book_life_years"]

    def accumulated(row: OrderRow, column: str) -> str:
        held = f"{{{column}}}${ends}-{row.at(SERVICE_MONTH)}+1"
        return f"MAX(0,MIN({held},12*{life}))"

    def depreciation(row: OrderRow, _: int) -> str:
        now, before = accumulated(row, "c"), accumulated(row, "p")
        return f"={row.at(COST)}/(12*{life})*({now}-{before})"

    found = write_block(
        writer, "Book depreciation by fiscal year", rows, depreciation,
        lambda row: np.diff([0.0, *row.vintage.book_depreciation_usd[:count]]).tolist(), sums=True,
    )  # fmt: skip
    _ledger_row(writer, of, "depreciation", "book", found.total)
    value = write_block(
        writer, "Net book value at year end, before disposal", rows,
        lambda row, place: (
            f"=IF({row.at(ORDER_MONTH)}<={{c}}${ends},{row.at(COST)},0)"
            f"-SUM(${first}{found.first + place}:{{c}}{found.first + place})"
        ),
        lambda row: row.vintage.net_book_usd[:count], sums=False,
    )  # fmt: skip
    balance_row(writer, of, "net book value", value.total, ends)
    return found, value


def _ledger_row(writer: Yearly, of: Ledger, category: str, kind: str, total: int) -> None:
    """The same of sheet Costs, and the difference."""
    keys = [x.key for x in of.view.lines if (x.category, x.kind) == (category, kind)]
    sums = sum(of.view.by_year(of.view.values[key]) for key in keys)
    count = len(writer.labels)
    values = np.asarray(sums, float)[:count].tolist()
    formula = f"={writer.of_label(of.costs, keys)}"
    writer.summed("of sheet Costs", "USD", formula, values, style=USD_FORMAT)
    difference(writer, total)
