"""Sheet Assets: the register of machines, written down in the books and for tax, order by order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from openpyxl.utils import get_column_letter

from planner.finance.ledger import Line
from planner.finance.tax import TAX_YEARS
from planner.report.assets import Vintage, register
from planner.report.ledger_view import AFTER, Array, View, lags
from planner.report.page import Book, Page
from planner.report.sheet_annual import HEAD
from planner.report.sheet_costs import MONTH_ROW, CostsSheet
from planner.report.style import CENTS, COUNT, MONEY, MONTH, PERCENT, WITHOUT_ROUNDING
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

TITLE = "Assets"
USD_FORMAT = WITHOUT_ROUNDING[MONEY]
LOTS, ORDER_MONTH, ORDERED, LEAD, SERVICE_MONTH, SERVED, COST = range(3, 10)
"""Columns of the register."""
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
    basis: str
    """Federal tax basis at the last year's end, before disposal; blank without income tax."""
    basis_usd: float
    basis_in_costs: str


@dataclass(frozen=True)
class _Ledger:
    """What the rows are made from."""

    view: View
    costs: CostsSheet
    inputs: Mapping[str, str]
    """Address of each input."""


@dataclass(frozen=True)
class _Row:
    """A vintage in the register, and the ledger lines of its group."""

    vintage: Vintage
    number: int
    """Row of the register."""
    lines: Mapping[str, Line]
    """By category; "bought" is the quantity."""

    @property
    def label(self) -> str:
        return f"{self.vintage.group}; ordered {self.vintage.ordered:%b %Y}"

    def at(self, column: int) -> str:
        """Cell of the register."""
        return f"${get_column_letter(column)}${self.number}"


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
    page = book.page(TITLE, widths=(58, 12, *[14] * columns))
    page.heading("Asset register", _NOTE)
    if shown:
        text = "Another option is shown: rows are the plan's orders, amounts are not."
        page.formula(
            3, LABEL, f'=IF({shown},"Orders of the plan.","{text}")', "Orders of the plan.", "note"
        )
    of = _Ledger(view, costs, inputs)
    rows = _register(page, of, vintages)
    total = HEAD + 1 + len(rows)
    writer = Yearly(page, years, total + 2)
    writer.head("Years")
    ends = _year_ends(view, years)
    last_month = writer.month_ends(costs, ends.tolist(), "Last month of the year, in the horizon")
    depreciation = _books(writer, of, rows, last_month)
    basis = _tax(writer, of, rows, last_month)
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
        depreciation=page.address(depreciation, FIRST - 1),
        depreciation_usd=float(sum(view.values[key].sum() for key in written)),
        depreciation_in_costs=added(costs.total(key) for key in written),
        basis=page.address(basis, writer.last) if basis else "",
        basis_usd=sum(v.tax_basis_usd["federal"][len(years) - 1] for v in vintages)
        if basis else 0.0,
        basis_in_costs="+".join(ledger_at(costs, key, horizon) for key in federal),
    )  # fmt: skip


def _year_ends(view: View, years: Sequence[str]) -> Array:
    """Number of the last month of each fiscal year within the horizon."""
    months = [int(view.in_year(year).sum()) for year in years]
    return np.cumsum(months).astype(float)


def _register(
    page: Page,
    of: _Ledger,
    vintages: Sequence[Vintage],
) -> list[_Row]:
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
        rows.append(_Row(vintage, number, lines))
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


def _vintage(page: Page, of: _Ledger, row: _Row) -> None:
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


@dataclass
class _Block:
    """A table with a row a vintage, and its total."""

    first: int
    total: int


def _block(
    writer: Yearly,
    title: str,
    rows: Sequence[_Row],
    formula: Callable[[_Row, int], str],
    values: Callable[[_Row], Sequence[float]],
    *,
    sums: bool,
    unit: str = "USD",
    style: str = USD_FORMAT,
    totalled: bool = True,
) -> _Block:
    """`formula` of a vintage and its place in the register; `sums` for flows, not balances."""
    writer.row += 1
    writer.group(title)
    first, found = writer.row, []
    for place, row in enumerate(rows):
        write = writer.summed if sums else writer.write
        found.append(list(values(row)))
        write(row.label, unit, formula(row, place), found[-1], style=style)
    if not totalled:
        return _Block(first, 0)
    write = writer.summed if sums else writer.write
    total = write(
        "All orders", unit, f"=SUM({{c}}{first}:{{c}}{writer.row - 1})",
        np.sum(found, axis=0).tolist(), style=style, look="total",
    )  # fmt: skip
    return _Block(first, total)


def _books(
    writer: Yearly,
    of: _Ledger,
    rows: Sequence[_Row],
    ends: int,
) -> int:
    """Depreciation and net book value; the row of all depreciation."""
    count, first = len(writer.labels), get_column_letter(FIRST)
    life = of.inputs["book_life_years"]

    def accumulated(row: _Row, column: str) -> str:
        held = f"{{{column}}}${ends}-{row.at(SERVICE_MONTH)}+1"
        return f"MAX(0,MIN({held},12*{life}))"

    def depreciation(row: _Row, _: int) -> str:
        now, before = accumulated(row, "c"), accumulated(row, "p")
        return f"={row.at(COST)}/(12*{life})*({now}-{before})"

    found = _block(
        writer, "Book depreciation by fiscal year", rows, depreciation,
        lambda row: np.diff([0.0, *row.vintage.book_depreciation_usd[:count]]).tolist(), sums=True,
    )  # fmt: skip
    _ledger_row(writer, of, "depreciation", "book", found.total)
    value = _block(
        writer, "Net book value at year end, before disposal", rows,
        lambda row, place: (
            f"=IF({row.at(ORDER_MONTH)}<={{c}}${ends},{row.at(COST)},0)"
            f"-SUM(${first}{found.first + place}:{{c}}{found.first + place})"
        ),
        lambda row: row.vintage.net_book_usd[:count], sums=False,
    )  # fmt: skip
    _balance_row(writer, of, "net book value", value.total, ends)
    return found.total


def _ledger_row(writer: Yearly, of: _Ledger, category: str, kind: str, total: int) -> None:
    """The same of sheet Costs, and the difference."""
    keys = [x.key for x in of.view.lines if (x.category, x.kind) == (category, kind)]
    sums = sum(of.view.by_year(of.view.values[key]) for key in keys)
    count = len(writer.labels)
    values = np.asarray(sums, float)[:count].tolist()
    formula = f"={writer.of_label(of.costs, keys)}"
    writer.summed("of sheet Costs", "USD", formula, values, style=USD_FORMAT)
    _difference(writer, total)


def _balance_row(writer: Yearly, of: _Ledger, category: str, total: int, ends: int) -> None:
    keys = [line.key for line in of.view.lines if line.category == category]
    formula = "=" + "+".join(ledger_at(of.costs, key, f"{{c}}${ends}") for key in keys)
    values = np.sum([of.view.at_year_end(of.view.values[key]) for key in keys], axis=0)
    writer.write("of sheet Costs", "USD", formula, values[: len(writer.labels)].tolist(),
                 style=USD_FORMAT)  # fmt: skip
    _difference(writer, total)


def _difference(writer: Yearly, total: int) -> None:
    zeros = [0.0] * len(writer.labels)
    formula = f"={{c}}{total}-{{c}}{writer.row - 1}"
    writer.write("Difference", "USD", formula, zeros, style=USD_FORMAT, look="calculation")


def _tax(
    writer: Yearly,
    of: _Ledger,
    rows: Sequence[_Row],
    ends: int,
) -> int:
    """Deductions and basis for tax; the row of the federal basis, 0 without income tax."""
    systems = list(rows[0].vintage.tax_basis_usd)
    if not systems:
        return 0
    years = _block(
        writer, "Tax year of the order in each fiscal year (below 1: not in service)", rows,
        lambda row, _: _tax_year(writer, row, ends), lambda row: _tax_years(of.view, row, writer),
        sums=False, unit="number", style="0_);-0_);0_)", totalled=False,
    )  # fmt: skip
    share = _block(
        writer, "Share deducted in the year by the method alone", rows,
        lambda row, place: _method_share(of.costs, row, years.first + place),
        lambda row: _method_shares(of.view, row, writer),
        sums=False, unit="frac", style=PERCENT, totalled=False,
    )  # fmt: skip
    found = {who: _system(writer, of, rows, who, ends=ends, years=years, share=share)
             for who in systems}  # fmt: skip
    return found["federal"]


def _tax_year(writer: Yearly, row: _Row, ends: int) -> str:
    """Fiscal years from that of entry into service on: those that end no earlier."""
    first = get_column_letter(FIRST)
    span = f"${first}${ends}:{{c}}${ends}"
    return f"=SUMPRODUCT(({span}>={row.at(SERVICE_MONTH)})*1)"


def _service(view: View, row: _Row) -> int:
    (lead,) = lags([row.lines["placed in service"]])
    return row.vintage.month + 1 + round(next(x.value for x in view.inputs if x.name == lead))


def _tax_years(view: View, row: _Row, writer: Yearly) -> list[float]:
    ends = _year_ends(view, writer.labels)
    return [float(x) for x in np.cumsum(ends >= _service(view, row))]


def _method_share(costs: CostsSheet, row: _Row, years: int) -> str:
    """Of a tax year whose month of the deduction lies within the horizon."""
    year, service = f"{{c}}{years}", row.at(SERVICE_MONTH)
    horizon = f"SUM({ledger_span(costs, 'in_horizon')})"
    shares = ",".join(
        ledger_at(costs, f"placed_share_{k}", f"MIN({service},{horizon})")
        for k in range(1, TAX_YEARS + 1)
    )
    late = f"{service}+12*({year}-1)>{horizon}"
    return f"=IF(OR({year}<1,{late}),0,CHOOSE(MAX({year},1),{shares}))"


def _method_shares(view: View, row: _Row, writer: Yearly) -> list[float]:
    service, found = _service(view, row), []
    for year in map(round, _tax_years(view, row, writer)):
        inside = year >= 1 and service + 12 * (year - 1) <= view.horizon_months
        found.append(float(view.values[f"placed_share_{year}"][service - 1]) if inside else 0.0)
    return found


def _system(
    writer: Yearly,
    of: _Ledger,
    rows: Sequence[_Row],
    who: str,
    *,
    ends: int,
    years: _Block,
    share: _Block,
) -> int:
    """Deductions and basis left, federal or state; the row of all basis."""
    count, first = len(writer.labels), get_column_letter(FIRST)
    allowed = "" if who == "federal" else f"*{of.inputs['state_bonus_conforms']}"

    def deduction(row: _Row, place: int) -> str:
        bonus = f"{ledger_at(of.costs, 'bonus_share', row.at(ORDER_MONTH))}{allowed}"
        method = f"{{c}}{share.first + place}"
        at_once = f"IF({{c}}{years.first + place}=1,{bonus},0)"
        return f"={row.at(COST)}*({at_once}+(1-{bonus})*{method})"

    def deducted(row: _Row) -> list[float]:
        left = np.array(row.vintage.tax_basis_usd[who][:count])
        ordered = np.where(_year_ends(of.view, writer.labels) > row.vintage.month,
                           row.vintage.cost_usd, 0.0)  # fmt: skip
        return [float(x) for x in np.diff([0.0, *(ordered - left)])]

    found = _block(writer, f"Tax depreciation by fiscal year, {who}", rows, deduction, deducted,
                   sums=True)  # fmt: skip
    basis = _block(
        writer, f"Tax basis at year end, {who}, before disposal", rows,
        lambda row, place: (
            f"=IF({row.at(ORDER_MONTH)}<={{c}}${ends},{row.at(COST)},0)"
            f"-SUM(${first}{found.first + place}:{{c}}{found.first + place})"
        ),
        lambda row: row.vintage.tax_basis_usd[who][:count], sums=False,
    )  # fmt: skip
    _balance_row(writer, of, f"{who} basis", basis.total, ends)
    return basis.total
