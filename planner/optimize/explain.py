"""Why the plan is what it is, and why there is none: limits that bind, limits that fall short.

The elastic pass gives every limit a slack and finds the least total slack, each relative to its
limit, that admits a whole-number fleet: first one family at a time, since a reader wants to know
which single limit is enough to raise, then all together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo
from scipy.sparse import csr_array, hstack

from planner.optimize import sets
from planner.optimize.highs import HighsSession, Matrix, family_rows, relaxed, solve_matrix
from planner.optimize.inventory import held_lots
from planner.optimize.limits import capex_by_year_usd, types_used
from planner.optimize.objective import money_unit_usd
from planner.optimize.power import used_kw
from planner.problem import Array, Flags, Problem, Solution

ELASTIC_LIMIT_S = 20.0
SHORT = 1e-6
UNITS = {
    "site_power": "kW",
    "rack_positions": "racks",
    "stock": "lots",
    "on_demand_quota": "lots",
    "capex_budget": "USD",
    "accelerator_types": "SKUs",
    "on_premises_share": "of the volume",
    "demand_served": "of the traffic",
    "batch_served": "of the day's volume",
}
LIMITS = (
    "site_power",
    "rack_positions",
    "stock",
    "on_demand_quota",
    "capex_budget",
    "accelerator_types",
)
PROMISES = ("on_premises_share", "demand_served", "batch_served")


@dataclass(frozen=True)
class Binding:
    """A limit with no room for one more of the smallest thing that it limits."""

    family: str
    labels: tuple[str, ...]
    used: float
    limit: float
    unit: str


@dataclass(frozen=True)
class Shortfall:
    """By how much one limit is too low, in its own unit."""

    family: str
    labels: tuple[str, ...]
    short: float
    limit: float

    def sentence(self) -> str:
        """One line for the reader: site_power: hq, 2027-Q3: 140 kW short of 1,200 kW."""
        where, unit = f"{self.family}: {sets.where(self.labels)}", UNITS[self.family]
        if self.family in PROMISES:
            return f"{where}: {self.short:.1%} {unit} cannot be met"
        return f"{where}: {_figure(self.short)} {unit} short of {_figure(self.limit)} {unit}"


def _figure(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 or abs(x - round(x)) < SHORT else f"{x:,.3g}"


def unservable(p: Problem) -> list[str]:
    """Promises that no fleet of any size could keep."""
    reasons, pools = [], sets.usable_pools(p)
    served = {int(p.pools.class_of[c]) for c, _ in pools}
    at_home = {int(p.pools.class_of[c]) for c, s in pools if p.sites.on_premises[s]}
    by_api = set(p.api_class.tolist())
    for d, name in enumerate(p.labels.classes):
        if not sets.has_traffic(p)[d].any():
            continue
        if d not in served | by_api:
            reasons.append(f"demand_served: {name}: no candidate may serve it at any site")
        elif p.demand.on_premises_min_frac[d] > 0 and d not in at_home:
            reasons.append(f"on_premises_share: {name}: no candidate may serve it on premises")
    return reasons


def short_limits(p: Problem, m: pyo.ConcreteModel, session: HighsSession) -> list[str]:
    """Reasons why no fleet exists, the smallest remedy first; one sentence each."""
    families = np.array(family_rows(session.rows))
    enough: list[tuple[float, str, list[Shortfall]]] = []
    for family in [f for f in (*LIMITS, "on_premises_share") if (families == f).any()]:
        found = _least_slack(p, session, families == family)
        if found:
            enough.append((sum(s.short / _size(s.limit) for s in found), family, found))
    if enough:
        alone = " (this alone is enough)" if len(enough) > 1 else ""
        ordered = sorted(enough, key=lambda one: one[:2])
        lines = [s + alone for _, _, found in ordered for s in _sentences(p, found)]
        unkept = any(family in PROMISES for _, family, _ in enough)
        return [*lines, *(_not_yet(p) if unkept else ())]
    together = np.isin(families, LIMITS)
    found = _least_slack(p, session, together) if together.any() else None
    if found is None:
        found = _least_slack(p, session, np.isin(families, (*LIMITS, *PROMISES)))
    return [*_sentences(p, found or []), *_not_yet(p)] or ["no single limit explains it"]


def _size(limit: float) -> float:
    return max(abs(limit), 1.0)


def _least_slack(p: Problem, session: HighsSession, relax: Flags) -> list[Shortfall] | None:
    """Least relative slack of the chosen rows that admits a fleet; None if none does."""
    elastic = elastic_matrix(session.matrix, relax)
    linear = solve_matrix(relaxed(elastic, elastic.column_lower, elastic.column_upper))
    if linear.values is None:
        return None
    outcome = solve_matrix(elastic, gap=0.01, time_limit_s=ELASTIC_LIMIT_S)
    if outcome.status == "infeasible":
        return None
    values = linear.values if outcome.values is None else outcome.values
    short = values[session.matrix.cost.size :]
    rows = np.flatnonzero(relax)
    return [
        _shortfall(p, session, int(i), float(slack))
        for i, slack in zip(rows, short, strict=True)
        if slack > SHORT
    ]


def elastic_matrix(matrix: Matrix, relax: Flags) -> Matrix:
    """The program with a slack in each chosen row and only relative slack as cost."""
    rows = np.flatnonzero(relax)
    limit = np.where(np.isfinite(matrix.row_upper), matrix.row_upper, matrix.row_lower)[rows]
    # An equality (all demand served) falls short from below; an upper limit is raised.
    sign = np.where(np.isfinite(matrix.row_lower[rows]), 1.0, -1.0)
    at = (rows, np.arange(rows.size))
    slack = csr_array((sign, at), shape=(matrix.row_lower.size, rows.size))
    zeros, more = np.zeros(matrix.cost.size), np.full(rows.size, math.inf)
    return Matrix(
        cost=np.concatenate([zeros, 1.0 / np.maximum(np.abs(limit), 1.0)]),
        offset=0.0,
        column_lower=np.concatenate([matrix.column_lower, np.zeros(rows.size)]),
        column_upper=np.concatenate([matrix.column_upper, more]),
        whole=np.concatenate([matrix.whole, np.zeros(rows.size, dtype=bool)]),
        rows=csr_array(hstack([matrix.rows, slack])),
        row_lower=matrix.row_lower,
        row_upper=matrix.row_upper,
    )


def _shortfall(p: Problem, session: HighsSession, i: int, slack: float) -> Shortfall:
    constraint = session.rows[i]
    family = constraint.parent_component().local_name
    bound = session.matrix.row_upper[i]
    limit = float(bound if math.isfinite(bound) else session.matrix.row_lower[i])
    unit = money_unit_usd(p) if family == "capex_budget" else 1.0
    return Shortfall(family, _labels(p, family, constraint.index()), slack * unit, limit * unit)


def _labels(p: Problem, family: str, index: Any) -> tuple[str, ...]:
    """Names of a row; the block of a quota is left out, since the worst one is shown."""
    names = p.labels
    axes: dict[str, tuple[Sequence[str], ...]] = {
        "site_power": (names.sites, names.periods),
        "rack_positions": (names.sites, names.periods),
        "stock": (names.accelerators, names.sites, names.periods),
        "on_demand_quota": (names.accelerators, names.sites, names.periods),
        "capex_budget": (names.fiscal_years,),
        "accelerator_types": (),
        "on_premises_share": (names.classes, names.periods),
        "demand_served": (names.classes, names.periods),
        "batch_served": (names.classes, names.periods),
    }
    position = index if isinstance(index, tuple) else (index,)
    return tuple(axis[i] for axis, i in zip(axes[family], position, strict=False)) or ("fleet",)


def _sentences(p: Problem, found: Sequence[Shortfall]) -> list[str]:
    """Worst shortfall of each family and place, with the number of periods that share it."""
    periods = set(p.labels.periods)
    groups = sets.grouped(
        ((one.family, tuple(x for x in one.labels if x not in periods)), one) for one in found
    )
    lines = []
    for group in groups.values():
        worst = max(group, key=lambda one: one.short)
        count = len({x for one in group for x in one.labels if x in periods})
        more = f", worst of {count} periods" if count > 1 else ""
        lines.append(worst.sentence() + more)
    return lines


def _not_yet(p: Problem) -> Iterator[str]:
    """Sites at which nothing that is ordered can be in service at the start."""
    for s, site in enumerate(p.labels.sites):
        can = p.machines.purchasable[:, s]
        if not can.any() or p.machines.on_demand[:, s].any():
            continue
        first = int(p.machines.lead_periods[can, s].min())
        if first > 0:
            period = p.labels.periods[min(first, len(p.labels.periods) - 1)]
            yield f"lead_time: {site}: nothing ordered now is in service before {period}"


def binding(p: Problem, x: Solution) -> list[Binding]:
    """Limits that the plan uses up, so that not one more lot, rack or SKU fits."""
    return [*_full_sites(p, x), *_out_of_stock(p, x), *_spent_years(p, x), *_all_types(p, x)]


def _full_sites(p: Problem, x: Solution) -> Iterator[Binding]:
    power = used_kw(p, x)
    racks = x.racks_used.sum(axis=0)
    for s, site in enumerate(p.labels.sites):
        can = p.machines.purchasable[:, s] | p.machines.committable[:, :, s].any(axis=0)
        smallest = float(p.machines.lot_kw[can].min()) if can.any() else 0.0
        for t, period in enumerate(p.labels.periods):
            where = (site, period)
            for family, used, limit, step in (
                ("site_power", power[s, t], p.sites.it_kw[s, t], smallest),
                ("rack_positions", racks[s, t], p.sites.racks[s, t], 1.0),
            ):
                if used > 0 and used + step > limit * (1 + SHORT):
                    yield Binding(family, where, float(used), float(limit), UNITS[family])


def _out_of_stock(p: Problem, x: Solution) -> Iterator[Binding]:
    hourly = x.lots_on_demand.max(axis=3, initial=0.0)
    for family, standing, most in (
        ("stock", held_lots(p, x) + hourly, p.machines.lots_max),
        ("on_demand_quota", hourly, p.machines.on_demand_max),
    ):
        full = np.isfinite(most) & (standing > 0) & (standing + 1.0 > most * (1 + SHORT))
        for g, s, t in np.argwhere(full).tolist():
            where = (p.labels.accelerators[g], p.labels.sites[s], p.labels.periods[t])
            limit = float(most[g, s, t])
            yield Binding(family, where, float(standing[g, s, t]), limit, UNITS[family])


def _spent_years(p: Problem, x: Solution) -> Iterator[Binding]:
    cash = capex_by_year_usd(p, x)
    for y, year in enumerate(p.labels.fiscal_years):
        prices = p.costs.capex_usd[:, :, p.limits.fiscal_year_of == y]
        prices = prices[p.machines.purchasable]
        step = float(prices[prices > 0].min(initial=math.inf))
        limit = float(p.limits.capex_max_usd[y])
        if math.isfinite(limit) and math.isfinite(step) and cash[y] + step > limit * (1 + SHORT):
            yield Binding("capex_budget", (year,), float(cash[y]), limit, UNITS["capex_budget"])


def _all_types(p: Problem, x: Solution) -> Iterator[Binding]:
    used, limit = types_used(p, x), p.limits.accelerator_types_max
    if used >= limit and limit < len(p.labels.accelerators):
        unit = UNITS["accelerator_types"]
        yield Binding("accelerator_types", ("fleet",), float(used), float(limit), unit)


def shadow_prices_usd(p: Problem, session: HighsSession, values: Array) -> dict[str, Array]:
    """Dollars that one more unit of each limit saves, by family, in row order."""
    families = np.array(family_rows(session.rows))
    dual = session.shadow_prices(values) * money_unit_usd(p)
    return {family: -dual[families == family] for family in LIMITS if (families == family).any()}
