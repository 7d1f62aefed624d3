"""Demand: all traffic is served, online in its block, batch within its day type.

Index      d demand class, c candidate, s site, a API product, t period, b load block
Decision   served[c, s, t, b]   share of the class's traffic in the block     share
           api[a, t, b]         the same, sent to an API                      share
Given      volume_frac[d, t, b] share of the period's mean volume             share
           on_premises_min_frac[d]                                            share

    online  sum_cs served[c, s, t, b] + sum_a api[a, t, b]  =  1                  every block
    batch   sum_b w[b] * (sum_cs served + sum_a api)        =  sum_b w[b]         every day type
    place   sum_cs,b w[b] * served on premises             >=  on_premises_min_frac

with w = volume_frac. Batch weights a block by the volume that it would carry at its mean rate,
so a share above 1 in one block is work moved there from another block of the same day type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyomo.environ as pyo

from planner.optimize import sets
from planner.optimize.checks import row
from planner.problem import Array, AuditRow, Problem, Solution


def weighted(weights: Iterable[Any], shares: Iterable[Any]) -> Any:
    """Volume served: sum of weight x share; Pyomo variables or solved arrays."""
    return sum(w * x for w, x in zip(weights, shares, strict=True))


def carried(m: pyo.ConcreteModel, d: int, t: int, b: int) -> Any:
    """Share of a class's traffic that any pool or API carries in a block."""
    at = m.at
    terms = [m.served[c, s, t, b] for c, s in at.pools_of_class[d]]
    return pyo.quicksum([*terms, *(m.api[a, t, b] for a in at.apis_of_class[d])])


def add(m: pyo.ConcreteModel, p: Problem) -> None:
    """Add the family to a model that declares `served` and `api`."""
    at, weight = m.at, sets.volume_frac(p).tolist()
    day_of = p.demand.day_of_block.tolist()
    days = sorted(set(day_of))

    @m.Constraint(m.CLASSES, m.PERIODS, m.BLOCKS, doc="all online traffic is served [share]")
    def demand_served(m: Any, d: int, t: int, b: int) -> Any:
        if at.batch[d] or not at.traffic[d][t][b]:
            return pyo.Constraint.Skip
        return carried(m, d, t, b) == 1.0

    @m.Constraint(m.CLASSES, m.PERIODS, days, doc="all batch is done within its day [share]")
    def batch_served(m: Any, d: int, t: int, day: int) -> Any:
        blocks = [b for b in m.BLOCKS if day_of[b] == day and at.traffic[d][t][b]]
        total = sum(weight[d][t][b] for b in blocks)
        if not at.batch[d] or not total:
            return pyo.Constraint.Skip
        # Divided by the day's volume, so that the row reads as a share, like the online row.
        terms = [carried(m, d, t, b) for b in blocks]
        return weighted((weight[d][t][b] / total for b in blocks), terms) == 1.0

    _on_premises(m, p, weight)


def _on_premises(m: pyo.ConcreteModel, p: Problem, weight: list[list[list[float]]]) -> None:
    at, least = m.at, p.demand.on_premises_min_frac.tolist()
    own = p.sites.on_premises.tolist()

    @m.Constraint(m.CLASSES, m.PERIODS, doc="part of the volume stays on premises [share]")
    def on_premises_share(m: Any, d: int, t: int) -> Any:
        if least[d] <= 0 or not any(weight[d][t]):
            return pyo.Constraint.Skip
        blocks = [b for b in m.BLOCKS if weight[d][t][b] > 0]
        keys = [(c, s, t, b) for c, s in at.pools_of_class[d] if own[s] for b in blocks]
        weights = [weight[d][t][b] for _, _, _, b in keys]
        return weighted(weights, [m.served[k] for k in keys]) >= least[d]


def carried_frac(p: Problem, x: Solution) -> Array:
    """Share of traffic carried by pools and APIs, (classes, periods, blocks)."""
    shape = p.demand.mean_rps.shape
    total = np.zeros(shape)
    np.add.at(total, p.pools.class_of, x.served_frac.sum(axis=1))
    np.add.at(total, p.api_class, x.api_frac)
    return total


def check(p: Problem, x: Solution) -> Iterator[AuditRow]:
    """Audit: every online block, every batch day, every on-premises promise."""
    carried_by_block, traffic = carried_frac(p, x), sets.has_traffic(p)
    labels = p.labels
    online = traffic & ~p.demand.batch[:, None, None]
    error = np.where(online, np.abs(carried_by_block - 1.0), np.nan)
    yield row("demand_served", error, (labels.classes, labels.periods, labels.blocks))

    weight = sets.volume_frac(p)
    days = sorted(set(p.demand.day_of_block.tolist()))
    batch = np.full((len(labels.classes), len(labels.periods), len(days)), np.nan)
    for i, day in enumerate(days):
        w = np.where(p.demand.day_of_block == day, weight, 0.0)
        total = w.sum(axis=2)
        missing = np.abs(weighted([w], [carried_by_block]).sum(axis=2) - total)
        counts = p.demand.batch[:, None] & (total > 0)
        batch[..., i] = np.where(counts, missing, np.nan)
    yield row("batch_served", batch, (labels.classes, labels.periods, [f"day {i}" for i in days]))

    own = np.zeros(weight.shape)
    np.add.at(own, p.pools.class_of, x.served_frac[:, p.sites.on_premises].sum(axis=1))
    least = np.broadcast_to(p.demand.on_premises_min_frac[:, None], own.shape[:2])
    short = least - weighted([weight], [own]).sum(axis=2)
    short = np.where((least > 0) & (weight.sum(axis=2) > 0), short, np.nan)
    yield row("on_premises_share", short, (labels.classes, labels.periods))
