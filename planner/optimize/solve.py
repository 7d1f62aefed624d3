"""From a problem to a whole-number plan: build, solve, fix what is whole, solve the rest again.

The plan that comes back is one that can be ordered: whole lots, whole replicas at the peak,
whole lots on demand wherever the quota leaves room to round up. Its cost is recomputed from
those quantities, so that what rounding costs is part of the gap.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyomo.environ as pyo

from planner.errors import InfeasibleError, PlannerError, StoppedError
from planner.optimize import capacity, explain, objective, racks
from planner.optimize.audit import require
from planner.optimize.build import build
from planner.optimize.capacity import whole_above
from planner.optimize.highs import HighsSession, Outcome, Progress
from planner.optimize.start import SERVES, Pools, first_plan, later
from planner.problem import Array, Flags, Problem, Solution

GAP_FOR_THE_PROGRAM_FRAC = 0.9
"""Part of the asked gap given to the solver; the rest is left for rounding."""
NOISE = 1e-9
"""Shares and lots below this are a solver's zero."""
TIDY_REL, TIDY_ABS = 1e-9, 1e-7
"""By which the objective may rise where traffic is gathered: rounding."""

ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True)
class _Built:
    m: pyo.ConcreteModel
    session: HighsSession
    unit_usd: float


def optimize(
    p: Problem,
    *,
    gap: float = 1e-3,
    time_limit_s: float = 300.0,
    near: Collection[tuple[str, str]] = (),
    progress: ProgressCallback | None = None,
) -> Solution:
    """Cheapest fleet within a relative gap.

    Parameters
    ----------
    gap : (cost - bound) / cost at which the search ends.
    time_limit_s : wall time of the search itself; building comes on top.
    near : candidates and sites that serve in a plan that is known, by name; the search begins
        there. Names that the problem does not have are passed over.
    progress : called a few times a second with money in USD.

    Raises
    ------
    InfeasibleError
        If no fleet meets the problem, with the limits that fall short.
    StoppedError
        If the time ran out before any plan was found.
    """
    impossible = explain.unservable(p)
    if impossible:
        raise InfeasibleError(impossible)
    built, seconds = _built(p)
    pools = _pools(p, built, near)
    outcome = _search(built, gap * GAP_FOR_THE_PROGRAM_FRAC, time_limit_s, pools, progress)
    values = _plan_or_raise(p, built, outcome, time_limit_s)
    started = time.monotonic()
    values = _whole(p, built, values)
    x = _solution(p, built, values, outcome.bound)
    seconds |= {"solve": outcome.seconds, "fix": time.monotonic() - started}
    x = replace(x, seconds=seconds, status="optimal" if x.gap_frac <= gap else "stopped")
    x = replace(x, interrupted=outcome.interrupted)
    require(p, x)
    return x


@dataclass(frozen=True)
class Leaning:
    """What a search for something cheaper found."""

    serving: tuple[int, ...]
    """Candidates that serve in the best that it saw; none where it saw nothing."""
    bound_usd: float
    """No fleet costs less."""
    interrupted: bool = False


def leaning(
    p: Problem,
    *,
    beat_usd: float = 0.0,
    time_limit_s: float,
    progress: ProgressCallback | None = None,
) -> Leaning:
    """Candidates that a fleet leans on that costs less than `beat_usd`, or that none does.

    Answered by the relaxation where that does not cost less, or where nothing is to be beaten;
    else by a search that ends with the first such fleet, or with the proof that there is none.
    """
    if explain.unservable(p):
        return Leaning((), math.inf)
    built, _ = _built(p)
    started, beat = time.monotonic(), beat_usd / built.unit_usd
    found = built.session.solve_relaxed(time_limit_s)
    bound = found.bound
    if beat > 0 and bound < beat and not found.interrupted:
        found = built.session.solve(
            gap=0.0,
            time_limit_s=max(time_limit_s - (time.monotonic() - started), 0.0),
            progress=_in_usd(progress, built.unit_usd),
            enough=lambda now: now.incumbent < beat or now.bound >= beat,
            cutoff=beat,
        )
        bound = max(bound, min(found.bound, beat))
    serving: tuple[int, ...] = ()
    if found.values is not None:
        served = _array(built, found.values, built.m.served, p.pools.energy_usd.shape)
        serving = tuple(np.flatnonzero((served > SERVES).any(axis=(1, 2, 3))).tolist())
    return Leaning(serving, bound * built.unit_usd, found.interrupted)


def _built(p: Problem) -> tuple[_Built, dict[str, float]]:
    started = time.monotonic()
    m = build(p)
    between = time.monotonic()
    session = HighsSession(m)
    seconds = {"build": between - started, "compile": time.monotonic() - between}
    return _Built(m, session, objective.money_unit_usd(p)), seconds


def _pools(p: Problem, built: _Built, names: Collection[tuple[str, str]]) -> Pools:
    """Positions (c, s) of pools, of those that the problem has."""
    names = set(names)
    return {
        (built.m.at.first[c], s)
        for c, s in built.m.at.pools
        if (p.labels.candidates[c], p.labels.sites[s]) in names
    }


def _search(
    built: _Built, gap: float, time_limit_s: float, near: Pools, report: ProgressCallback | None
) -> Outcome:
    """First plan, then the search from there; the better plan and the higher bound of both."""
    report = _in_usd(report, built.unit_usd)
    session = built.session
    start = first_plan(
        built.m, session, gap=gap, time_limit_s=time_limit_s, near=near, progress=report
    )
    if start.interrupted:
        return start
    outcome = session.solve(
        gap=gap,
        time_limit_s=max(time_limit_s - start.seconds, 0.0),
        progress=later(report, start.seconds),
        start=start.values,
    )
    seconds = start.seconds + outcome.seconds
    if start.values is None:
        return replace(outcome, seconds=seconds)
    bound = max(outcome.bound, start.bound) if outcome.values is not None else start.bound
    best = outcome if outcome.objective <= start.objective else start
    return replace(best, status=outcome.status, bound=bound, seconds=seconds)


def _in_usd(report: ProgressCallback | None, unit_usd: float) -> ProgressCallback | None:
    if report is None:
        return None
    return lambda now: report(Progress(now.seconds, now.incumbent * unit_usd, now.bound * unit_usd))


def _plan_or_raise(p: Problem, built: _Built, outcome: Outcome, time_limit_s: float) -> Array:
    if outcome.values is None and outcome.status == "infeasible":
        raise InfeasibleError(explain.short_limits(p, built.m, built.session))
    if outcome.status == "unbounded":
        raise PlannerError("a price is negative enough to earn money by buying without end")
    if outcome.values is None:
        raise StoppedError(f"no plan found in {outcome.seconds:.0f} of {time_limit_s:.0f} s")
    return outcome.values


def _whole(p: Problem, built: _Built, values: Array) -> Array:
    """Values with every whole column rounded, on-demand lots too, and the rest solved again."""
    session = built.session
    whole = session.matrix.whole
    values = _again(session, np.where(whole, np.round(values), values), whole)
    rented = _columns(session, built.m.on_demand)
    up = np.where(rented, whole_above(values), values)
    up = np.minimum(up, np.where(rented, _room(p, built, values), math.inf))
    return _tidied(p, built, _again(session, up, whole | rented), whole | rented)


def _tidied(p: Problem, built: _Built, values: Array, fixed: Flags) -> Array:
    """The same cost with traffic in the pools that carry most of it anyway, where that is free.

    Away from the peak many divisions of the traffic cost the same, and a solver's are scattered.
    As they were where this finds nothing.
    """
    session, served = built.session, built.m.served
    share = _carried_frac(p, _array(built, values, served, p.pools.energy_usd.shape))
    weights = np.zeros(values.shape)
    for (c, s, *_), v in served.items():
        j = session.position.get(id(v))
        if j is not None:
            weights[j] = 1.0 - share[c, s]
    cost = float(session.matrix.cost @ values) + session.matrix.offset
    most = cost + max(TIDY_REL * abs(cost), TIDY_ABS)
    found = session.solve_tidied(values, fixed, weights, most)
    if found.status != "optimal" or found.values is None:
        return values
    return np.where(fixed, values, found.values)


def _carried_frac(p: Problem, served: Array) -> Array:
    """Share of its class's peaks that a pool carries at its own, (candidates, sites).

    Peaks of all periods; of a pool of several classes the largest of its shares.
    """
    rate = np.where(p.demand.batch[:, None, None], p.demand.mean_rps, p.demand.peak_rps)
    carried = (served * rate[p.pools.class_of][:, None]).max(axis=3).sum(axis=2)
    whole = rate.max(axis=2).sum(axis=1)[p.pools.class_of][:, None]
    share = np.divide(carried, whole, out=np.zeros(carried.shape), where=whole > 0)
    most = np.zeros_like(share)
    np.maximum.at(most, p.pools.first_of, share)
    return np.asarray(most[p.pools.first_of], float)


def _again(session: HighsSession, values: Array, fixed: Flags) -> Array:
    outcome = session.solve_fixed(values, fixed)
    if outcome.status != "optimal" or outcome.values is None:
        raise PlannerError("the plan's whole numbers admit no solution: numerical trouble")
    return np.where(fixed, values, outcome.values)


def _columns(session: HighsSession, variables: Any) -> Flags:
    chosen = np.zeros(len(session.columns), dtype=bool)
    for v in variables.values():
        j = session.position.get(id(v))
        if j is not None:
            chosen[j] = True
    return chosen


def _room(p: Problem, built: _Built, values: Array) -> Array:
    """Most lots on demand that stock and quota allow beside what is held, by column."""
    room = np.full(values.shape, math.inf)
    held = _held(p, built, values)
    for (g, s, t, _b), v in built.m.on_demand.items():
        j = built.session.position.get(id(v))
        if j is not None:
            left = p.machines.lots_max[g, s, t] - held[g, s, t]
            room[j] = max(float(min(left, p.machines.on_demand_max[g, s, t])), values[j])
    return room


def _held(p: Problem, built: _Built, values: Array) -> Array:
    owned = _array(built, values, built.m.owned, p.costs.buy_usd.shape)
    committed = _array(built, values, built.m.committed, p.costs.commit_usd.shape)
    return np.asarray(np.round(owned + committed.sum(axis=0)))


def _array(built: _Built, values: Array, variables: Any, shape: tuple[int, ...]) -> Array:
    """Solved values of an indexed variable as an array; 0 where there is none."""
    solved = np.zeros(shape)
    for key, v in variables.items():
        solved[key] = built.session.value_of(values, v)
    return np.where(np.abs(solved) < NOISE, 0.0, solved)


def _solution(p: Problem, built: _Built, values: Array, bound: float) -> Solution:
    m = built.m
    served = _array(built, values, m.served, p.pools.energy_usd.shape)
    sizes = _array(built, values, m.size, (*served.shape[:3], p.pools.small_rps.shape[1] + 1))
    replicas = capacity.replicas_active(p, served, sizes.max(axis=3))
    x = Solution(
        lots_bought=np.round(_array(built, values, m.bought, p.costs.buy_usd.shape)),
        lots_signed=np.round(_array(built, values, m.signed, p.costs.commit_usd.shape)),
        lots_on_demand=_array(built, values, m.on_demand, p.costs.on_demand_usd.shape),
        replicas_peak=whole_above(replicas.max(axis=3, initial=0.0)),
        replicas=replicas,
        served_frac=served,
        api_frac=_array(built, values, m.api, p.costs.api_usd.shape),
        racks_used=np.zeros(p.costs.buy_usd.shape),
        cost_usd=0.0,
        bound_usd=0.0,
        status="stopped",
        seconds={},
    )
    cost = objective.cost_usd(p, x)
    bound_usd = min(bound * built.unit_usd, cost)
    return replace(x, racks_used=racks.racks_needed(p, x), cost_usd=cost, bound_usd=bound_usd)
