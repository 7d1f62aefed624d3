"""The plan's cash rows, recomputed by month: what every report prints, from one evaluation.

Nothing here is stored in the plan; it follows from the plan's inputs, quantities and lines, so a
changed input gives every report the same new numbers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from planner.finance import ledger
from planner.finance.calendar import calendar_quantities
from planner.finance.ledger import Line
from planner.finance.reach import is_bounded, lag_calls, months_beyond
from planner.result import LedgerInput, OptionRow, Plan
from planner.units import MONTHS_PER_YEAR

Array = NDArray[np.float64]
AFTER = "After horizon"
"""Fiscal year and period of the months in which only obligations remain."""
CAPEX, TAX = "capex", "tax"
"""Categories of purchases and of income tax."""
OBLIGATION = "obligation"
"""Category of rows of what is still owed at month end."""


@dataclass(frozen=True)
class View:
    """Every month of the ledger. Arrays have shape (months,), money is USD, cost is positive."""

    inputs: tuple[LedgerInput, ...]
    lines: tuple[Line, ...]
    values: dict[str, Array]
    dates: tuple[date, ...]
    """First day of each month."""
    fiscal_years: tuple[str, ...]
    """Of each month; AFTER beyond the horizon."""
    periods: tuple[str, ...]
    """Label of each month's period; AFTER beyond the horizon."""
    horizon_months: int

    @property
    def months(self) -> int:
        """Months of the horizon and of the obligations beyond it."""
        return len(self.dates)

    @property
    def cash_lines(self) -> tuple[Line, ...]:
        """Lines that are paid."""
        return tuple(line for line in self.lines if line.kind == "cash")

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories of the cash lines, purchases first, else in order of appearance."""
        found = dict.fromkeys(category_of(line) for line in self.cash_lines)
        return tuple(sorted(found, key=lambda category: category != CAPEX))

    @property
    def years(self) -> tuple[str, ...]:
        """Fiscal years in order of time."""
        return tuple(dict.fromkeys(self.fiscal_years))

    def category_usd(self, category: str) -> Array:
        """Cash of one category by month."""
        rows = [self.values[line.key] for line in self.cash_lines if category_of(line) == category]
        return np.sum(rows, axis=0) if rows else np.zeros(self.months)

    @property
    def cash_usd(self) -> Array:
        """All cash by month."""
        rows = [self.category_usd(category) for category in self.categories]
        return np.sum(rows, axis=0) if rows else np.zeros(self.months)

    @property
    def firm_usd(self) -> Array:
        """Cash by month that is owed once its order is signed."""
        rows = [self.values[line.key] for line in self.cash_lines if is_firm(line)]
        return np.sum(rows, axis=0) if rows else np.zeros(self.months)

    @property
    def profit_lines(self) -> tuple[Line, ...]:
        """Lines of profit and loss: cash that is an expense when paid, and the books' rows."""
        return tuple(
            line
            for line in self.lines
            if line.kind == "book" or (line.kind == "cash" and not line.deferred)
        )

    @property
    def profit_usd(self) -> Array:
        """Profit and loss by month, cost positive; over the whole life the sum of all cash."""
        rows = [self.values[line.key] for line in self.profit_lines]
        return np.sum(rows, axis=0) if rows else np.zeros(self.months)

    @property
    def obligations_usd(self) -> Array:
        """Signed or ordered and not yet paid, at each month's end: what ending all would cost."""
        rows = [self.values[line.key] for line in self.lines if line.category == OBLIGATION]
        return np.sum(rows, axis=0) if rows else np.zeros(self.months)

    def at_year_end(self, row: Array) -> Array:
        """Value in the last month of each fiscal year, in the order of `years`."""
        return np.array([row[self.in_year(year)][-1] for year in self.years])

    @property
    def weight(self) -> Array:
        """Discount factor times the share of cash that counts."""
        return np.asarray(self.values["discount_factor"] * self.values["counted"], float)

    @property
    def npv_usd(self) -> float:
        """Present value of all cash that counts."""
        return float((self.cash_usd * self.weight).sum())

    def by_year(self, row: Array) -> Array:
        """Sums by fiscal year, in the order of `years`."""
        return np.array([row[self.in_year(year)].sum() for year in self.years])

    def in_year(self, year: str) -> NDArray[np.bool_]:
        """Months of one fiscal year."""
        return np.array([label == year for label in self.fiscal_years])


def category_of(line: Line) -> str:
    """Category of a cash line; blank ones are other."""
    return line.category or "other"


def is_firm(line: Line) -> bool:
    """Whether cash is owed once its order is signed: purchases and commitments, before tax."""
    if category_of(line) == TAX:
        return False
    words = f"{line.key} {line.category} {line.group}".lower()
    return category_of(line) == CAPEX or "reserved" in words or "commitment" in words


def view(plan: Plan, option: OptionRow | None = None) -> View:
    """Evaluate the plan's ledger, for the plan's quantities or for those of one of its options.

    Months after the horizon only where obligations can fall, of the plan or of any option: all
    have the same months.
    """
    lines = ledger.load(plan.ledger_lines)
    inputs = {row.name: row.value for row in plan.ledger_inputs}
    horizon = sum(period.months for period in plan.periods)
    total = _total_months(plan, lines, inputs, horizon)
    quantities = (option or plan).ledger_quantities
    whole = _view(plan, lines, total, quantities)
    later = _owes_later(whole) or any(
        _owes_later(_view(plan, lines, total, other.ledger_quantities)) for other in plan.options
    )
    return whole if later else _view(plan, lines, horizon, quantities)


def _owes_later(seen: View) -> bool:
    """Whether anything is paid after the horizon, or would be if a term were longer."""
    return any(
        seen.values[line.key][seen.horizon_months :].any()
        or (is_firm(line) and category_of(line) != CAPEX and seen.values[line.key].any())
        for line in seen.cash_lines
    )


def _view(
    plan: Plan, lines: tuple[Line, ...], total: int, solved: Mapping[str, Sequence[float]]
) -> View:
    inputs = {row.name: row.value for row in plan.ledger_inputs}
    horizon = sum(period.months for period in plan.periods)
    when = plan.scenario["horizon"]
    calendar = calendar_quantities(
        str(when["start"]), horizon, total,
        fiscal_year_start_month=int(when.get("fiscal_year_start_month", 1)),
    )  # fmt: skip
    quantities = {key: _cut(row, total) for key, row in solved.items()}
    after = [AFTER] * (total - horizon)
    return View(
        inputs=tuple(plan.ledger_inputs),
        lines=lines,
        values=ledger.evaluate(lines, inputs, {**quantities, **calendar}, total),
        dates=tuple(_dates(str(when["start"]), total)),
        fiscal_years=(*_spread((p.fiscal_year, p.months) for p in plan.periods), *after),
        periods=(*_spread((p.label, p.months) for p in plan.periods), *after),
        horizon_months=horizon,
    )


def _total_months(plan: Plan, lines: Sequence[Line], inputs: dict[str, float], horizon: int) -> int:
    """Horizon plus as far as cash decided within it can reach."""
    given = max((len(row) for row in plan.ledger_quantities.values()), default=0)
    return max(horizon + months_beyond(lines, inputs), given)


def lags(lines: Sequence[Line]) -> frozenset[str]:
    """Names of the inputs by which lines look back."""
    return _months_in(call for line in lines for call in lag_calls(_tree(line)))


def terms(lines: Sequence[Line]) -> frozenset[str]:
    """Names of the inputs after whose months something ends: x - lag(x, term).

    What ends with the horizon at the latest is left out.
    """
    ends = (
        node.right
        for line in lines
        if not is_bounded(_tree(line))
        for node in ast.walk(_tree(line))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)
    )
    return _months_in(node for node in ends if isinstance(node, ast.Call))


def _tree(line: Line) -> ast.expr:
    return ledger.parse(line.formula or "0")


def _months_in(calls: Iterable[ast.Call]) -> frozenset[str]:
    return frozenset(
        node.id
        for call in calls
        if ledger.called(call) == "lag"
        for node in ast.walk(call.args[1])
        if isinstance(node, ast.Name)
    )


def _cut(row: Sequence[float], months: int) -> Array:
    """A row of this many months, zeros where it is shorter."""
    return np.pad(np.asarray(row[:months], float), (0, max(0, months - len(row))))


def _dates(start: str, months: int) -> list[date]:
    year, month = map(int, start.split("-"))
    steps = [month - 1 + i for i in range(months)]
    return [date(year + s // MONTHS_PER_YEAR, s % MONTHS_PER_YEAR + 1, 1) for s in steps]


def _spread(labels: Iterable[tuple[str, int]]) -> list[str]:
    return [label for label, months in labels for _ in range(months)]
