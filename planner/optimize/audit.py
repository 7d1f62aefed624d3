"""Audit: every constraint family and the cost, recomputed in numpy from quantities alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from planner.errors import PlannerError
from planner.optimize import (
    capacity,
    demand,
    fleet,
    inventory,
    limits,
    power,
    racks,
    redundancy,
)
from planner.optimize.checks import row
from planner.optimize.objective import cost_usd
from planner.problem import AuditRow, Problem, Solution

TOLERANCE_REL = 1e-6
CHECKS = (
    demand.check,
    capacity.check,
    fleet.check,
    inventory.check,
    redundancy.check,
    power.check,
    racks.check,
    limits.check,
)


def audit(p: Problem, x: Solution) -> list[AuditRow]:
    """Worst row of every family; a family without rows holds."""
    found = [row for check in CHECKS for row in check(p, x)]
    return [*found, *_numbers(x), _cost(p, x)]


def require(p: Problem, x: Solution) -> list[AuditRow]:
    """Audit that must pass.

    Raises
    ------
    PlannerError
        If any family is off by more than 1e-6 of its size.
    """
    rows = audit(p, x)
    broken = [r for r in rows if not r.worst_rel <= TOLERANCE_REL]
    if broken:
        lines = "; ".join(f"{r.family}: {r.where}, {r.worst_rel:.1e} relative" for r in broken)
        raise PlannerError(f"the plan breaks its own constraints: {lines}")
    return rows


def _numbers(x: Solution) -> Iterator[AuditRow]:
    whole = {
        "lots_bought": x.lots_bought,
        "lots_signed": x.lots_signed,
        "replicas_peak": x.replicas_peak,
        "racks_used": x.racks_used,
    }
    parts = {
        "lots_on_demand": x.lots_on_demand,
        "replicas": x.replicas,
        "served_frac": x.served_frac,
        "api_frac": x.api_frac,
    }
    names = tuple(whole)
    off = [float(np.abs(v - np.round(v)).max(initial=0.0)) for v in whole.values()]
    yield row("whole_numbers", np.array(off), (names,))
    every = {**whole, **parts}
    below = [float((-v).max(initial=0.0)) for v in every.values()]
    yield row("no_negative", np.array(below), (tuple(every),))


def _cost(p: Problem, x: Solution) -> AuditRow:
    again = cost_usd(p, x)
    error = np.array([abs(again - x.cost_usd), x.bound_usd - again])
    return row("cost", error, (("cost", "bound"),), scale=again)
