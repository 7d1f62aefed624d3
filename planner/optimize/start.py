"""A first plan, from the pools of a plan that is known, or those that the relaxation uses.

HiGHS finds the bound fast and a good plan late: on a synthetic fleet of two racks and 48
candidates the search alone stood at 10.2 M USD after 120 s, and started from the plan found here
in 4 s at 8.8 M USD. The search that follows may choose any pool; nothing is cut off for good.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from dataclasses import replace

import pyomo.environ as pyo

from planner.optimize.highs import (
    HighsSession,
    Matrix,
    Outcome,
    Progress,
    Report,
    solve_matrix,
)
from planner.problem import Array

Pools = Collection[tuple[int, ...]]
"""(c, s) or (c, s, t); c is the first candidate of the pool"""

FROM_WHOLE_COLUMNS = 400
"""Smaller programs are solved before a first plan is of use."""
TIME_FRAC = 0.2
"""Part of the time limit spent here at most."""
GAP_FRAC = 5e-3
NEAR_GAP_FRAC = 2e-3
"""Among the pools of a known plan, which are few enough to be solved further."""
SERVES = 1e-6
"""A share above this is more than a solver's noise."""


def first_plan(
    m: pyo.ConcreteModel,
    session: HighsSession,
    *,
    gap: float,
    time_limit_s: float,
    near: Pools = (),
    progress: Report | None = None,
) -> Outcome:
    """Best plan on few pools and the bound of the relaxation; no values where none was found.

    Where a plan is known only its pools, (c, s), in every period. Without one, or where they do
    not suffice, first only pools in the periods in which they serve in the relaxation, then the
    same pools in every period, from the plan of the first.
    """
    began = time.monotonic()
    best = Outcome("stopped", None, math.inf, -math.inf, 0.0)
    if int(session.matrix.whole.sum()) < FROM_WHOLE_COLUMNS:
        return best
    linear = session.solve_relaxed(TIME_FRAC * time_limit_s)
    if linear.status != "optimal" or linear.values is None:
        return replace(linear, values=None, bound=-math.inf)
    best = replace(best, bound=linear.bound, interrupted=linear.interrupted)
    few = [(NEAR_GAP_FRAC, near)] if near else []
    few += [(GAP_FRAC, serving(m, session, linear.values, axes)) for axes in (3, 2)]
    for gap_frac, pools in few:
        spent = time.monotonic() - began
        if best.interrupted or spent >= TIME_FRAC * time_limit_s:
            break
        outcome = solve_matrix(
            narrowed(m, session, pools),
            gap=max(gap_frac, gap),
            time_limit_s=TIME_FRAC * time_limit_s - spent,
            start=best.values,
            progress=later(progress, spent, linear.bound),
        )
        best = replace(best, interrupted=outcome.interrupted)
        if outcome.values is not None and outcome.objective < best.objective:
            best = replace(best, values=outcome.values, objective=outcome.objective)
        if pools is near and best.values is not None:
            break
    return replace(best, seconds=time.monotonic() - began)


def serving(m: pyo.ConcreteModel, session: HighsSession, values: Array, axes: int) -> Pools:
    """Pools (c, s, t) or (c, s) that serve in these values."""
    used = (key for key, v in m.served.items() if session.value_of(values, v) > SERVES)
    return {(m.at.first[c], *more[: axes - 1]) for c, *more in used}


def narrowed(m: pyo.ConcreteModel, session: HighsSession, pools: Pools) -> Matrix:
    """The program with no pools but these."""
    axes = {len(pool) for pool in pools}
    upper = session.matrix.column_upper.copy()
    for variable in (m.served, m.open, m.peak):
        for (c, *more), v in variable.items():
            j = session.position.get(id(v))
            names = ((m.at.first[c], *more[: n - 1]) for n in axes)
            if j is not None and not any(name in pools for name in names):
                upper[j] = 0.0
    return replace(session.matrix, column_upper=upper)


def later(report: Report | None, seconds: float, bound: float | None = None) -> Report | None:
    """The same report for a solve that began `seconds` later, whose bound may be another's."""
    if report is None:
        return None

    def shifted(now: Progress) -> None:
        report(
            Progress(now.seconds + seconds, now.incumbent, now.bound if bound is None else bound)
        )

    return shifted
