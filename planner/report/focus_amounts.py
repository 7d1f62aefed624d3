"""What lies behind a FOCUS export: profit and loss by month, single orders, use of commitments.

Profit and loss is every cash row in the month it is paid, but for what is paid for later months:
the books' rows recognize that over time. Where the ledger has no such rows for machines bought,
their price is spread evenly from entry into service to the end of the horizon; over the whole life
both sum to the cash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.errors import PlannerError
from planner.finance import deferred
from planner.finance.ledger import Line
from planner.report.ledger_view import CAPEX, View, category_of, lags, terms, view
from planner.result import FleetRow, Plan

Array = NDArray[np.float64]
END_VALUE, DISPOSAL = "end value", "disposal"
COMMITMENTS, AMORTIZATION = "commitments", "amortization"
BOOK = "book"
"""Kind of the rows in which the books recognize what was paid before."""
FIRST_USED = ("owned", "colo", "reserved_3y", "reserved_1y", "on_demand")
"""Machines of one kind at one site are filled in this order: what is paid for anyway first."""


@dataclass(frozen=True)
class Order:
    """One order of a group, alone, shape (months,)."""

    month: int
    lots: float
    lines: tuple[Line, ...]
    values: Mapping[str, Array]
    """Rows as far as this order reaches."""
    months: int

    def cash_usd(self, *categories: str, deferred: bool | None = None) -> Array:
        """Cash of these categories; of deferred rows only, or of others only, where asked."""
        return self._sum(
            line
            for line in self.lines
            if line.kind == "cash"
            and category_of(line) in categories
            and deferred in (None, is_deferred(line))
        )

    def cash_of(self, line: Line) -> Array:
        """One cash row; zero of another kind."""
        return self._sum(iter([line] if line.kind == "cash" else []))

    def book_usd(self, category: str) -> Array:
        """Books' rows of a category."""
        return self._sum(line for line in self.lines if is_book(line) and line.category == category)

    def _sum(self, lines: Iterator[Line]) -> Array:
        total = np.zeros(self.months)
        for line in lines:
            row = self.values[line.key]
            total[: len(row)] += row
        return total


def is_book(line: Line) -> bool:
    """Whether a row recognizes in the books what was paid before."""
    kind: str = line.kind
    return kind == BOOK


def is_charged(line: Line) -> bool:
    """Whether a book row stands for something charged: all but deferred tax."""
    return is_book(line) and line.category != deferred.TAX


def is_deferred(line: Line) -> bool:
    """Whether a ledger that keeps books says that a cash row is no expense when paid."""
    return bool(getattr(line, "deferred", False))


def groups(seen: View) -> dict[str, tuple[Line, ...]]:
    """Rows of each group that has money, in the ledger's order."""
    money = dict.fromkeys(line.group for line in seen.lines if line.kind == "cash" or is_book(line))
    return {group: tuple(line for line in seen.lines if line.group == group) for group in money}


def spread_by_us(lines: tuple[Line, ...]) -> bool:
    """Whether a group buys machines and has no books of its own."""
    bought = any(line.kind == "cash" and category_of(line) == CAPEX for line in lines)
    return bought and not any(is_book(line) for line in lines)


def orders(plan: Plan, seen: View, lines: tuple[Line, ...], lot_name: str) -> list[Order]:
    """Each order of a group evaluated alone; rows are linear in orders, so that they add up.

    The order's row is the quantity counted in lots.
    """
    counted = [line for line in lines if line.kind == "quantity" and line.unit == f"{lot_name}s"]
    found = []
    for line in counted:
        for month in np.flatnonzero(seen.values[line.key]).tolist():
            lots = float(seen.values[line.key][month])
            single = {line.key: [0.0] * month + [lots]}
            quantities = {**plan.ledger_quantities, **single}
            alone = view(plan.model_copy(update={"ledger_quantities": quantities}))
            found.append(Order(month, lots, lines, alone.values, seen.months))
    return found


def straight_line(plan: Plan, seen: View, lines: tuple[Line, ...], lot_name: str) -> Array:
    """Price of a group's purchases, even over their months in service."""
    total, horizon = np.zeros(seen.months), seen.horizon_months
    lead = _lead_months(seen, lines)
    for order in orders(plan, seen, lines, lot_name):
        first = min(order.month + lead, horizon - 1)
        price = float(order.cash_usd(CAPEX).sum())
        total[first:horizon] += price / (horizon - first)
    return total


def _lead_months(seen: View, lines: tuple[Line, ...]) -> int:
    """Longest time by which a group's rows follow its orders, but for terms."""
    values = {row.name: row.value for row in seen.inputs}
    leads = lags(lines) - terms(lines)
    return max((round(values[name]) for name in leads if name in values), default=0)


def profit_usd(plan: Plan, seen: View) -> Array:
    """Profit and loss before deferred tax by month, cost positive [USD], shape (months,)."""
    total = np.zeros(seen.months)
    for group, lines in groups(seen).items():
        ours = spread_by_us(lines)
        for line in lines:
            later = is_deferred(line) or (ours and category_of(line) == CAPEX)
            if is_charged(line) or (line.kind == "cash" and not later):
                total += seen.values[line.key]
        if ours:
            total += straight_line(plan, seen, lines, lot_name_of(plan, group, lines))
    return total


def lot_name_of(plan: Plan, group: str, lines: tuple[Line, ...]) -> str:
    """How a group counts its orders: node or rack.

    Raises
    ------
    ValueError : no row counts lots, so that an order cannot be told from another.
    """
    names = {row.lot_name for row in plan.fleet}
    for line in lines:
        if line.kind == "quantity" and line.unit.removesuffix("s") in names:
            return line.unit.removesuffix("s")
    raise ValueError(f"{group}: no row counts its orders in {', '.join(sorted(names)) or 'lots'}")


def used_frac(plan: Plan, row: FleetRow) -> Array:
    """Share of a row's lot-hours that replicas use, shape (periods,); 0 where it has none.

    A pool needs active replicas x accelerators a replica; machines are filled as in FIRST_USED.
    """
    hours = np.array([block.hours for block in plan.blocks], float).T
    left = _needed_lots(plan, row)
    for other in sorted(plan.fleet, key=lambda one: FIRST_USED.index(one.option)):
        if (other.accelerator, other.site) != (row.accelerator, row.site):
            continue
        held = np.asarray(other.lots_by_block, float)
        taken = np.minimum(left, held)
        if other is row:
            have = (held * hours).sum(axis=1)
            used = (taken * hours).sum(axis=1)
            share = np.divide(used, have, out=np.zeros_like(used), where=have > 0)
            return np.asarray(share, float)
        left = left - taken
    raise ValueError(f"{row.option} {row.accelerator} at {row.site} is not in the plan's fleet")


def _needed_lots(plan: Plan, row: FleetRow) -> Array:
    """Lots that active replicas fill, (periods, blocks)."""
    candidates = {one.id: one for one in plan.candidates}
    total = np.zeros((len(plan.periods), len(plan.blocks)))
    for pool in plan.pools:
        if pool.candidate not in candidates:
            raise PlannerError(f"{pool.candidate}: a pool of the plan is no candidate of it")
        one = candidates[pool.candidate]
        if pool.site == row.site:
            total += np.asarray(pool.replicas, float) * one.gpus_on(row.accelerator) / row.lot_gpus
    return total
