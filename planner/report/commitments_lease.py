"""Accounting view on sheet Commitments: which contracts would be leases, and their schedules.

Each contract's schedule comes from its own payments: what remains to be paid, discounted month by
month. The ledger carries balances forward instead, for all contracts of an option at once, so that
the totals of the two are a check of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from openpyxl.utils import get_column_letter

from planner.finance import lease_lines
from planner.finance.leases import DISCLAIMER
from planner.finance.metrics import monthly_rate
from planner.report.commitments_part import (
    END_MONTH,
    MONTHLY,
    RATE,
    START_MONTH,
    TERM,
    TITLE,
    UPFRONT,
    USD_FORMAT,
    VALUE,
    CommitmentsPart,
    label,
)
from planner.report.contracts import LeaseView, borrowing_input, leases, upfront_input
from planner.report.ledger_view import Array
from planner.report.sheet_costs import PERIOD_ROW
from planner.report.style import COUNT, PERCENT, PERCENT_FINE
from planner.report.yearly import LABEL, TOTAL, UNIT, ledger_at, ledger_span

_FACTS = f"{DISCLAIMER} State the facts in finance.lease; no cash follows from them."
_LIVE = (
    "The schedule follows prices, terms, the share paid upfront and the borrowing rate; whether a "
    "contract is a lease is as solved."
)


@dataclass(frozen=True)
class LeaseTotal:
    """A row of all leases against the same of the ledger, as formulas, summed over the periods."""

    what: str
    found: str
    found_usd: float
    expected: str
    expected_usd: float


@dataclass(frozen=True)
class _Rows:
    """Where one contract's schedule stands."""

    liability: int
    asset: int
    cost: int


@dataclass(frozen=True)
class _Values:
    """One contract's schedule at period ends, at the solve. Arrays (periods,)."""

    so_far: Array
    """Months of the term."""
    paid: Array
    """So far, without what is paid when signed."""
    interest: Array
    """So far."""
    liability: Array
    asset: Array
    cost: Array
    """So far."""

    @staticmethod
    def of(one: LeaseView, ends: Sequence[int]) -> _Values:
        """Of a lease on the balance sheet."""
        found = one.schedule
        assert found is not None
        so_far = np.clip(np.array(ends) - one.contract.month, 0, len(found.payment))

        def total(row: Array) -> Array:
            return np.asarray(np.append(0.0, np.cumsum(row))[so_far], float)

        def balance(row: Array) -> Array:
            return np.asarray(np.append(0.0, row)[so_far], float)

        return _Values(
            so_far.astype(float), total(found.payment), total(found.interest),
            balance(found.liability), balance(found.asset), total(found.expense),
        )  # fmt: skip


def write_leases(sheet: CommitmentsPart) -> tuple[LeaseTotal, ...]:
    """Accounting view of each contract, and the schedule of those on the balance sheet."""
    if not sheet.found:
        return ()
    page, writer = sheet.page, sheet.writer
    page.band(writer.row, LABEL, MONTHLY, "head")
    page.put(writer.row, LABEL, "Accounting view, as solved", "head")
    page.put(writer.row, UNIT, "Kind", "head unit")
    page.put(writer.row, TOTAL, "Why", "head unit")
    writer.row += 1
    seen = leases(sheet.plan, sheet.view, list(sheet.found))
    for one in seen:
        page.put(writer.row, LABEL, label(one.contract, sheet.view))
        page.put(writer.row, UNIT, one.read.treatment.replace("_", " "), "text left")
        page.put(writer.row, TOTAL, one.read.reason, "text left")
        writer.row += 1
    held = [(place, one) for place, one in enumerate(seen) if one.schedule is not None]
    writer.note(_FACTS)
    if not held:
        return ()
    writer.note(_LIVE)
    writer.row += 1
    return _schedules(sheet, held)


def _schedules(
    sheet: CommitmentsPart, held: Sequence[tuple[int, LeaseView]]
) -> tuple[LeaseTotal, ...]:
    writer = sheet.writer
    writer.head("Right of use", total="At the start")
    rate = _rates(sheet)
    values = [_Values.of(one, sheet.ends) for _, one in held]
    rows = [
        _schedule(sheet, place, one, seen, rate)
        for (place, one), seen in zip(held, values, strict=True)
    ]
    return _totals(sheet, rows, values)


def _rates(sheet: CommitmentsPart) -> str:
    """The borrowing rate of a year and of a month; address of the second."""
    writer, page = sheet.writer, sheet.page
    name = borrowing_input(sheet.view)
    value = next(row.value for row in sheet.view.inputs if row.name == name)
    letter = get_column_letter(TOTAL)
    of_year = f"={sheet.inputs[name]}"
    words = "Borrowing rate" if name == lease_lines.BORROWING_RATE[0] else (
        "Borrowing rate: none is stated, the discount rate")  # fmt: skip
    for text, unit, formula, shown, style in (
        (words, "1/year", of_year, value, PERCENT),
        ("of a month", "1/month", f"=(1+${letter}${writer.row})^(1/12)-1", monthly_rate(value),
         PERCENT_FINE),
    ):  # fmt: skip
        page.put(writer.row, LABEL, text)
        page.put(writer.row, UNIT, unit, "unit")
        page.formula(writer.row, TOTAL, formula, shown, "link", number_format=style)
        writer.row += 1
    return f"${letter}${writer.row - 1}"


def _schedule(
    sheet: CommitmentsPart, place: int, one: LeaseView, seen: _Values, rate: str
) -> _Rows:
    writer, view, costs = sheet.writer, sheet.view, sheet.costs
    assert one.schedule is not None
    writer.group(f"{label(one.contract, view)}, {one.read.treatment} lease")
    start, last, term = (sheet.at(place, x) for x in (START_MONTH, END_MONTH, TERM))
    by_hour = f"{sheet.at(place, RATE)}*(1-{sheet.inputs[upfront_input(view, one.contract.key)]})"
    hours, months = ledger_span(costs, "hours"), ledger_span(costs, "month")
    end = f"{{c}}${sheet.ends_row}"
    so_far = writer.write(
        "Months of the term so far", "months", f"=MAX(0,MIN({end},{last})-{start}+1)",
        seen.so_far.tolist(), style=COUNT, look="calculation",
    )  # fmt: skip
    until = f"({start}+{{c}}{so_far}-1)"
    paid = writer.write(
        "Payments so far, without what is paid when signed", "USD",
        f"=IF({{c}}{so_far}=0,0,{by_hour}*SUMPRODUCT({hours}*({months}>={start})"
        f"*({months}<={until})))",
        seen.paid.tolist(), style=USD_FORMAT,
    )  # fmt: skip

    def worth(first: str, then: str) -> str:
        inside = f"({months}>={first})*({months}<={last})"
        return f"{by_hour}*SUMPRODUCT({hours}*{inside}*(1+{rate})^({then}-{months}))"

    begun = f"${get_column_letter(TOTAL)}"
    liability = writer.write(
        "Lease liability", "USD",
        f"=IF({{c}}{so_far}=0,0,{worth(f'({until}+1)', f'({until}+1)')})",
        seen.liability.tolist(), style=USD_FORMAT,
        total="=" + worth(start, start), total_value=one.schedule.initial_liability,
    )  # fmt: skip
    interest = writer.write(
        "Interest so far", "USD",
        f"=IF({{c}}{so_far}=0,0,{{c}}{liability}+{{c}}{paid}-{begun}{liability})",
        seen.interest.tolist(), style=USD_FORMAT, look="calculation",
    )  # fmt: skip
    asset = writer.row
    operating = one.read.treatment == "operating"
    even = f"{sheet.at(place, VALUE) if operating else f'{begun}{asset}'}/{term}*{{c}}{so_far}"
    left = f"{begun}{asset}-({even}" + (f"-{{c}}{interest})" if operating else ")")
    writer.write(
        "Right-of-use asset", "USD", f"=IF({{c}}{so_far}=0,0,{left})", seen.asset.tolist(),
        style=USD_FORMAT, look="calculation",
        total=f"={begun}{liability}+{sheet.at(place, UPFRONT)}",
        total_value=one.schedule.initial_asset,
    )  # fmt: skip
    _flow(sheet, "Payments of the period", paid, seen.paid)
    _flow(sheet, "Interest of the period", interest, seen.interest)
    before = even.replace("{c}", "{p}")
    spread = f"{even}-{before}"
    cost = writer.write(
        "Expense of the period", "USD",
        f"={spread}" if operating else f"={spread}+{{c}}{interest}-{{p}}{interest}",
        np.diff(seen.cost, prepend=0.0).tolist(), style=USD_FORMAT, look="calculation",
    )  # fmt: skip
    return _Rows(liability, asset, cost)


def _flow(sheet: CommitmentsPart, words: str, row: int, so_far: Array) -> None:
    """What a running total adds in each period."""
    values = np.diff(so_far, prepend=0.0).tolist()
    sheet.writer.write(words, "USD", f"={{c}}{row}-{{p}}{row}", values, style=USD_FORMAT,
                       look="calculation")  # fmt: skip


def _totals(
    sheet: CommitmentsPart, rows: Sequence[_Rows], values: Sequence[_Values]
) -> tuple[LeaseTotal, ...]:
    """All leases together, and the same of sheet Costs where its rows have them."""
    writer, view, costs = sheet.writer, sheet.view, sheet.costs
    writer.group("All leases")
    spent = [x.key for x in view.lines if x.kind == "book" and x.category in lease_lines.COSTS]
    so_far = np.cumsum(sum((view.values[key] for key in spent), np.zeros(view.months)))
    lines = (
        ("Lease liability", [row.liability for row in rows], [x.liability for x in values],
         *_balances(sheet, lease_lines.LIABILITY)),
        ("Right-of-use asset", [row.asset for row in rows], [x.asset for x in values],
         *_balances(sheet, lease_lines.ASSET)),
        ("Expense of the period", [row.cost for row in rows],
         [np.diff(x.cost, prepend=0.0) for x in values],
         writer.of_label(costs, spent, PERIOD_ROW),
         np.diff(sheet.at_ends(so_far), prepend=0.0).tolist()),
    )  # fmt: skip
    found = []
    for words, each, by_lease, of_costs, ledger_usd in lines:
        usd = np.sum(by_lease, axis=0).tolist()
        formula = "=" + "+".join(f"{{c}}{row}" for row in each)
        total = writer.write(words, "USD", formula, usd, style=USD_FORMAT, look="total")
        if not spent:
            continue
        same = writer.write("of sheet Costs", "USD", f"={of_costs}", ledger_usd, style=USD_FORMAT)
        here, there = (f"SUM('{TITLE}'!{writer.span(row)})" for row in (total, same))
        found.append(LeaseTotal(words.lower(), here, sum(usd), there, sum(ledger_usd)))
    return tuple(found)


def _balances(sheet: CommitmentsPart, category: str) -> tuple[str, list[float]]:
    """Formula and values of the ledger's balances at period ends."""
    keys = [line.key for line in sheet.view.lines if line.category == category]
    end = f"{{c}}${sheet.ends_row}"
    usd = sum((sheet.view.values[key] for key in keys), np.zeros(sheet.view.months))
    return "+".join(ledger_at(sheet.costs, key, end) for key in keys), sheet.at_ends(usd)
