"""Sale part of sheet Assets: what machines bring at the end of the horizon, and the gain on it.

No machine leaves service earlier: the plan neither retires nor resells within the horizon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from openpyxl.utils import get_column_letter

from planner.finance.ledger import whole_years
from planner.finance.lines import kept_key
from planner.report.assets_part import (
    ORDER_MONTH,
    SERVICE_MONTH,
    USD_FORMAT,
    Block,
    Ledger,
    OrderRow,
)
from planner.report.style import COUNT
from planner.report.yearly import LABEL, UNIT, Yearly, added, ledger_at

MONTHS, PROCEEDS, BOOK, GAIN, BASIS, TAXED = range(3, 9)
"""Columns of the table."""
_HEAD = ("Months in service", "Proceeds", "Net book value", "Gain (loss negative)",
         "Tax basis, federal", "Taxable gain")  # fmt: skip
_NOTE = (
    "Proceeds are cash of the horizon's last month: price of the servers x value kept x condition "
    "x (1 - cost of selling)."
)


@dataclass(frozen=True)
class Sale:
    """A total of all orders and the same of the ledger, as formulas and values."""

    what: str
    found: str
    found_usd: float
    expected: str
    expected_usd: float


def write_sale(
    writer: Yearly, of: Ledger, rows: Sequence[OrderRow], ends: int, *, net_book: Block,
    basis: Mapping[str, Block],
) -> tuple[Sale, ...]:  # fmt: skip
    """Proceeds, book value, gain and taxable gain of each order."""
    sold = {kind: [x.key for x in of.view.lines if (x.category, x.kind) == at] for kind, at in (
        ("proceeds", ("end value", "cash")), ("gain on disposal", ("disposal", "book")),
    )}  # fmt: skip
    if not all(sold.values()):
        return ()
    page, last = writer.page, TAXED if basis else GAIN
    writer.row += 1
    page.band(writer.row, LABEL, last, "head")
    page.put(writer.row, LABEL, "Sale at the end of the horizon", "head")
    page.put(writer.row, UNIT, "Unit", "head unit")
    page.row(writer.row, MONTHS, _HEAD[: last - MONTHS + 1], "head right")
    page.sheet.row_dimensions[writer.row].height = 26
    writer.row += 1
    first = writer.row
    for place, row in enumerate(rows):
        held = get_column_letter(writer.last)
        left = f"{held}{basis['federal'].first + place}" if basis else ""
        _order(writer, of, row, end=f"${held}${ends}", book=f"{held}{net_book.first + place}",
               basis=left)  # fmt: skip
    total = writer.row
    page.put(total, LABEL, "All orders", "label total")
    page.put(total, UNIT, "USD", "unit total")
    page.put(total, MONTHS, None, "total")
    for column in range(PROCEEDS, last + 1):
        letter = get_column_letter(column)
        usd = sum(_usd(of, row)[column] for row in rows)
        page.formula(total, column, f"=SUM({letter}{first}:{letter}{total - 1})", usd, "total",
                     number_format=USD_FORMAT)  # fmt: skip
    writer.row += 1
    writer.note(_NOTE)
    return tuple(
        Sale(
            what, page.address(total, column), sum(_usd(of, row)[column] for row in rows),
            f"-({added(of.costs.total(key) for key in sold[what])})",
            -float(sum(of.view.values[key].sum() for key in sold[what])),
        )
        for what, column in (("proceeds", PROCEEDS), ("gain on disposal", GAIN))
    )  # fmt: skip


def _order(writer: Yearly, of: Ledger, row: OrderRow, *, end: str, book: str, basis: str) -> None:
    page, at = writer.page, writer.row
    cell = {x: f"{get_column_letter(x)}{at}" for x in range(MONTHS, TAXED + 1)}
    bought = row.lines["bought"].key
    paid = ledger_at(of.costs, f"{bought.removesuffix('_bought')}_servers_usd", row.at(ORDER_MONTH))
    kept = _kept(of, cell[MONTHS])
    condition = f"{of.inputs['condition_frac']}*(1-{of.inputs['selling_cost_frac']})"
    formulas = {
        MONTHS: f"=MAX(0,{end}-{row.at(SERVICE_MONTH)}+1)",
        PROCEEDS: f"=IF({cell[MONTHS]}=0,0,{paid}*{kept}*{condition})",
        BOOK: f"={book}",
        GAIN: f"={cell[PROCEEDS]}-{cell[BOOK]}",
    }
    if basis:
        formulas |= {BASIS: f"={basis}", TAXED: f"={cell[PROCEEDS]}-{cell[BASIS]}"}
    page.put(at, LABEL, row.label)
    page.put(at, UNIT, "USD", "unit")
    values = _usd(of, row)
    for column, formula in formulas.items():
        style = COUNT if column == MONTHS else USD_FORMAT
        look = "link" if column == PROCEEDS else "calculation"
        page.formula(at, column, formula, values[column], look, number_format=style)
    writer.row += 1


def _kept(of: Ledger, months: str) -> str:
    """Value kept of the price after some months: the residual curve, or the yearly decline."""
    years = [kept_key(k) for k in range(1, 100) if kept_key(k) in of.inputs]
    if not years:
        return f"(1-{of.inputs['decline_per_year']})^({months}/12)"
    lost, before = [], "1"
    for number, name in enumerate(years):
        here = f"MAX(0,MIN({months}-({whole_years(number)}),12))/12"
        lost.append(f"{here}*({before}-{of.inputs[name]})")
        before = of.inputs[name]
    return f"(1-{'-'.join(lost)})"


def _usd(of: Ledger, row: OrderRow) -> dict[int, float]:
    """All columns of an order at the solve."""
    one, horizon = row.vintage, of.view.horizon_months
    last = int(np.unique(of.view.fiscal_years[:horizon]).size) - 1
    served = 0 if one.in_service is None else horizon - of.view.dates.index(one.in_service)
    book = one.net_book_usd[last]
    found = {MONTHS: float(served), PROCEEDS: one.end_value_usd, BOOK: book,
             GAIN: one.end_value_usd - book}  # fmt: skip
    if one.tax_basis_usd:
        basis = one.tax_basis_usd["federal"][last]
        found |= {BASIS: basis, TAXED: one.end_value_usd - basis}
    return found
