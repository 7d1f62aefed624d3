"""The same figures of several plans side by side, each with its change against the first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from planner.finance.metrics import capital_recovery_factor, monthly_rate
from planner.report.figures import optimized
from planner.report.ledger_view import AFTER, CAPEX, View, is_firm, view
from planner.result import FleetRow, Plan
from planner.units import MONTHS_PER_YEAR

Family = Literal["money", "unit cost", "machines", "solve"]
WITHIN = "within tolerance of the gaps"
OPEN = "no bound known: not optimized for these inputs"


@dataclass(frozen=True)
class Metric:
    """One figure of every plan, in their order."""

    family: Family
    label: str
    unit: str
    values: tuple[float | None, ...]
    """None where a plan has no such figure."""
    comparable: tuple[bool, ...]
    """Whether the difference to the first plan means anything."""
    tolerance: tuple[float | None, ...] = ()
    """Of a difference to the first, from the gaps; None: no bound known. Empty: not bounded."""

    def change(self, number: int) -> float | None:
        """Value of a plan less the first's."""
        value, first = self.values[number], self.values[0]
        if not self.comparable[number] or value is None or first is None:
            return None
        return value - first

    def relative(self, number: int) -> float | None:
        """The change as a share of the first's."""
        change, first = self.change(number), self.values[0]
        return change / abs(first) if change is not None and first else None

    def note(self, number: int) -> str:
        """Whether the change is too small to mean anything."""
        change = self.change(number)
        if not self.tolerance or number == 0 or change is None:
            return ""
        tolerance = self.tolerance[number]
        if tolerance is None:
            return OPEN
        return WITHIN if abs(change) <= tolerance else ""


@dataclass(frozen=True)
class Side:
    """A plan with its evaluated ledger and how it may be compared with the first."""

    plan: Plan
    seen: View
    same_months: bool
    """Start and length of the horizon are the first plan's."""
    same_currency: bool

    @property
    def gap_usd(self) -> float:
        """Most that the cheapest fleet could cost less; inf where no bound is known."""
        return max(self.plan.npv_usd - self.plan.bound_usd, 0.0)

    @property
    def annualized(self) -> float:
        """Level cost a year with the same present value at the plan's own rate [USD/year].

        Twelve equal payments a year at the months' ends.
        """
        rate = next((i.value for i in self.seen.inputs if i.name == "discount_rate"), 0.0)
        months = self.seen.horizon_months
        if not months:
            return 0.0
        factor = capital_recovery_factor(rate=monthly_rate(rate), count=months)
        return self.seen.npv_usd * factor * MONTHS_PER_YEAR


def sides(plans: Sequence[Plan]) -> tuple[Side, ...]:
    """Plans with what comparing them needs."""
    first = plans[0]
    return tuple(
        Side(
            plan,
            view(plan),
            same_months=not months_differ(first, plan),
            same_currency=currency(first) == currency(plan),
        )
        for plan in plans
    )


def months_differ(first: Plan, second: Plan) -> str:
    """Why months of two plans do not lie side by side; blank where they do."""
    ours, theirs = _span(first), _span(second)
    if ours == theirs:
        return ""
    return f"{ours[1]} months from {ours[0]} against {theirs[1]} months from {theirs[0]}"


def _span(plan: Plan) -> tuple[str, int]:
    return str(plan.scenario["horizon"]["start"]), sum(period.months for period in plan.periods)


def currency(plan: Plan) -> str:
    """Currency that the scenario reports in."""
    return str(plan.scenario.get("finance", {}).get("currency", "USD"))


def metrics(given: Sequence[Side]) -> tuple[Metric, ...]:
    """All figures; money of another horizon or currency stands there but is not compared."""
    return (*_money(given), *_unit_costs(given), *_machines(given), *_solves(given))


def _money(given: Sequence[Side]) -> Iterator[Metric]:
    unit = currency(given[0].plan)
    same = tuple(side.same_months and side.same_currency for side in given)
    money = tuple(side.same_currency for side in given)
    yield _bounded(given, "Net present cost", unit, [s.seen.npv_usd for s in given], same)
    yearly = [s.annualized for s in given]
    yield _bounded(given, "Annualized cost", f"{unit}/year", yearly, money)
    for label, figure in _TOTALS.items():
        yield Metric("money", label, unit, tuple(figure(side.seen) for side in given), same)
    for category in dict.fromkeys(c for side in given for c in side.seen.categories if c != CAPEX):
        totals = tuple(float(side.seen.category_usd(category).sum()) for side in given)
        yield Metric("money", f"of it {category}", unit, totals, same)
    for year in dict.fromkeys(y for side in given for y in side.seen.years):
        label = "Cash out after the horizon" if year == AFTER else f"Cash out in {year}"
        yield Metric("money", label, unit, tuple(_in_year(s.seen, year) for s in given), same)


_TOTALS: dict[str, Callable[[View], float]] = {
    "Cash out, undiscounted": lambda seen: float(seen.cash_usd.sum()),
    "Firm once signed": lambda seen: sum(
        float(seen.values[line.key].sum()) for line in seen.cash_lines if is_firm(line)
    ),
    "Purchases (capex)": lambda seen: float(seen.category_usd(CAPEX).sum()),
    "All other cash (opex)": lambda seen: float(
        seen.cash_usd.sum() - seen.category_usd(CAPEX).sum()
    ),
}


def _bounded(
    given: Sequence[Side], label: str, unit: str, values: Sequence[float], same: tuple[bool, ...]
) -> Metric:
    """A figure that moves with the net present cost, so that the gaps bound its error."""
    gaps = [
        abs(value) * side.gap_usd / abs(side.seen.npv_usd) if side.seen.npv_usd else 0.0
        for value, side in zip(values, given, strict=True)
    ]
    tolerance = tuple(gaps[0] + gap if math.isfinite(gaps[0] + gap) else None for gap in gaps)
    return Metric("money", label, unit, tuple(values), same, tolerance)


def _in_year(seen: View, year: str) -> float | None:
    return float(seen.cash_usd[seen.in_year(year)].sum()) if year in seen.years else None


def _unit_costs(given: Sequence[Side]) -> Iterator[Metric]:
    """Cost of a token, for classes in the order of their first plan."""
    unit = f"{currency(given[0].plan)}/Mtoken"
    same = tuple(side.same_currency for side in given)
    costs = [{row.demand_class: row.usd_per_mtoken for row in s.plan.class_costs} for s in given]
    for name in dict.fromkeys(name for cost in costs for name in cost):
        values = tuple(_finite(cost.get(name)) for cost in costs)
        yield Metric("unit cost", f"A million tokens of {name}", unit, values, same)


def _machines(given: Sequence[Side]) -> Iterator[Metric]:
    yes = (True,) * len(given)
    for label, unit, figure in (
        ("Accelerators in service, most of any period", "GPUs", _gpus),
        ("of them owned", "GPUs", lambda row, t: _gpus(row, t) if _own(row) else 0.0),
        ("Contracted IT power of own machines, most", "kW", _own_kw),
        ("IT power of all machines in service, most", "kW", _kw),
    ):
        yield Metric("machines", label, unit, tuple(_peak(s.plan, figure) for s in given), yes)


Figure = Callable[[FleetRow, int], float]


def _peak(plan: Plan, figure: Figure) -> float:
    """Most of any period, over the machines together."""
    periods = range(len(plan.periods))
    return max((sum(figure(row, t) for row in plan.fleet) for t in periods), default=0.0)


def _own(row: FleetRow) -> bool:
    return row.option in ("owned", "colo")


def _gpus(row: FleetRow, t: int) -> float:
    return row.lots_in_service[t] * row.lot_gpus


def _kw(row: FleetRow, t: int) -> float:
    return row.lots_in_service[t] * row.lot_kw


def _own_kw(row: FleetRow, t: int) -> float:
    return _kw(row, t) if _own(row) else 0.0


def _solves(given: Sequence[Side]) -> Iterator[Metric]:
    no = (False,) * len(given)
    gaps = tuple(s.plan.gap_frac if optimized(s.plan) else None for s in given)
    yield Metric("solve", "Gap to the cheapest possible", "frac", gaps, no)
    bounds = tuple(_finite(s.plan.bound_usd) for s in given)
    yield Metric("solve", "No fleet costs less than", currency(given[0].plan), bounds, no)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
