"""Tax part of sheet Assets: what each order deducts by fiscal year, and the basis left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from openpyxl.utils import get_column_letter

from planner.finance import deferred
from planner.finance.tax import TAX_YEARS
from planner.report.assets_part import (
    COST,
    ORDER_MONTH,
    SERVICE_MONTH,
    TITLE,
    Block,
    Ledger,
    OrderRow,
    balance_row,
    write_block,
    year_ends,
)
from planner.report.ledger_view import View, lags
from planner.report.sheet_costs import CostsSheet
from planner.report.style import PERCENT
from planner.report.yearly import FIRST, Yearly, ledger_at, ledger_span


def write_tax_books(
    writer: Yearly,
    of: Ledger,
    rows: Sequence[OrderRow],
    ends: int,
) -> dict[str, Block]:
    """Deductions and basis for tax; the basis left, federal and state; empty without income tax."""
    systems = list(rows[0].vintage.tax_basis_usd)
    if not systems:
        return {}
    years = write_block(
        writer, "Tax year of the order in each fiscal year (below 1: not in service)", rows,
        lambda row, _: _tax_year(writer, row, ends), lambda row: _tax_years(of.view, row, writer),
        sums=False, unit="number", style="0_);-0_);0_)", totalled=False,
    )  # fmt: skip
    share = write_block(
        writer, "Share deducted in the year by the method alone", rows,
        lambda row, place: _method_share(of.costs, row, years.first + place),
        lambda row: _method_shares(of.view, row, writer),
        sums=False, unit="frac", style=PERCENT, totalled=False,
    )  # fmt: skip
    return {who: _system(writer, of, rows, who, ends=ends, years=years, share=share)
            for who in systems}  # fmt: skip


@dataclass(frozen=True)
class DeferredTotal:
    """Deferred tax of all orders at the ends of all years, as formulas, and of the ledger."""

    found: str
    found_usd: float
    expected: str
    expected_usd: float


def write_deferred(
    writer: Yearly, of: Ledger, rows: Sequence[OrderRow], ends: int, *, net_book: Block,
    basis: Mapping[str, Block],
) -> DeferredTotal | None:  # fmt: skip
    """Net book value less tax basis, times the rates: what tax is still to come on each order."""
    keys = [line.key for line in of.view.lines if line.category == deferred.MACHINES]
    if not keys or not basis:
        return None
    values = {row.name: row.value for row in of.view.inputs}
    rates = {"federal": (of.inputs["tax_rate"], values["tax_rate"])}
    if "state" in basis:
        rates["state"] = (
            f"{of.inputs['state_tax_rate']}*(1-{of.inputs['tax_rate']})",
            values["state_tax_rate"] * (1 - values["tax_rate"]),
        )
    count = len(writer.labels)

    def formula(_: OrderRow, place: int) -> str:
        return "=" + "+".join(
            f"({{c}}{net_book.first + place}-{{c}}{basis[who].first + place})*{rate}"
            for who, (rate, _) in rates.items()
        )

    def usd(row: OrderRow) -> list[float]:
        kept = np.array(row.vintage.net_book_usd[:count])
        parts = [(kept - np.array(row.vintage.tax_basis_usd[who][:count])) * rate
                 for who, (_, rate) in rates.items()]  # fmt: skip
        return [float(x) for x in np.sum(parts, axis=0)]

    found = write_block(
        writer, "Deferred tax liability at year end, before disposal (asset negative; no cash)",
        rows, formula, usd, sums=False,
    )  # fmt: skip
    balance_row(writer, of, deferred.MACHINES, found.total, ends)
    ledger = np.sum([of.view.at_year_end(of.view.values[key])[:count] for key in keys], axis=0)
    spans = [f"SUM('{TITLE}'!{writer.span(row)})" for row in (found.total, found.total + 1)]
    return DeferredTotal(spans[0], float(sum(sum(usd(row)) for row in rows)),
                         spans[1], float(ledger.sum()))  # fmt: skip


def _tax_year(writer: Yearly, row: OrderRow, ends: int) -> str:
    """Fiscal years from that of entry into service on: those that end no earlier."""
    first = get_column_letter(FIRST)
    span = f"${first}${ends}:{{c}}${ends}"
    return f"=SUMPRODUCT(({span}>={row.at(SERVICE_MONTH)})*1)"


def _service(view: View, row: OrderRow) -> int:
    (lead,) = lags([row.lines["placed in service"]])
    return row.vintage.month + 1 + round(next(x.value for x in view.inputs if x.name == lead))


def _tax_years(view: View, row: OrderRow, writer: Yearly) -> list[float]:
    ends = year_ends(view, writer.labels)
    return [float(x) for x in np.cumsum(ends >= _service(view, row))]


def _method_share(costs: CostsSheet, row: OrderRow, years: int) -> str:
    """Of a tax year whose month of the deduction lies within the horizon."""
    year, service = f"{{c}}{years}", row.at(SERVICE_MONTH)
    horizon = f"SUM({ledger_span(costs, 'in_horizon')})"
    shares = ",".join(
        ledger_at(costs, f"placed_share_{k}", f"MIN({service},{horizon})")
        for k in range(1, TAX_YEARS + 1)
    )
    late = f"{service}+12*({year}-1)>{horizon}"
    return f"=IF(OR({year}<1,{late}),0,CHOOSE(MAX({year},1),{shares}))"


def _method_shares(view: View, row: OrderRow, writer: Yearly) -> list[float]:
    service, found = _service(view, row), []
    for year in map(round, _tax_years(view, row, writer)):
        inside = year >= 1 and service + 12 * (year - 1) <= view.horizon_months
        found.append(float(view.values[f"placed_share_{year}"][service - 1]) if inside else 0.0)
    return found


def _system(
    writer: Yearly,
    of: Ledger,
    rows: Sequence[OrderRow],
    who: str,
    *,
    ends: int,
    years: Block,
    share: Block,
) -> Block:
    """Deductions and basis left, federal or state; the basis."""
    count, first = len(writer.labels), get_column_letter(FIRST)
    allowed = "" if who == "federal" else f"*{of.inputs['state_bonus_conforms']}"

    def deduction(row: OrderRow, place: int) -> str:
        bonus = f"{ledger_at(of.costs, 'bonus_share', row.at(ORDER_MONTH))}{allowed}"
        method = f"{{c}}{share.first + place}"
        at_once = f"IF({{c}}{years.first + place}=1,{bonus},0)"
        return f"={row.at(COST)}*({at_once}+(1-{bonus})*{method})"

    def deducted(row: OrderRow) -> list[float]:
        left = np.array(row.vintage.tax_basis_usd[who][:count])
        ordered = np.where(year_ends(of.view, writer.labels) > row.vintage.month,
                           row.vintage.cost_usd, 0.0)  # fmt: skip
        return [float(x) for x in np.diff([0.0, *(ordered - left)])]

    title = f"Tax depreciation by fiscal year, {who}"
    found = write_block(writer, title, rows, deduction, deducted, sums=True)
    basis = write_block(
        writer, f"Tax basis at year end, {who}, before disposal", rows,
        lambda row, place: (
            f"=IF({row.at(ORDER_MONTH)}<={{c}}${ends},{row.at(COST)},0)"
            f"-SUM(${first}{found.first + place}:{{c}}{found.first + place})"
        ),
        lambda row: row.vintage.tax_basis_usd[who][:count], sums=False,
    )  # fmt: skip
    balance_row(writer, of, f"{who} basis", basis.total, ends)
    return basis
