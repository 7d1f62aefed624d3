"""Capacity: a pool has the replicas that its share of the traffic needs.

Index      c candidate (one class on one configuration), s site, t period, b load block
Decision   served[c, s, t, b]   share of the class's traffic                   share
           open[c, s, t]        pool serves in this period                     0 or 1
           peak[c, s, t]        replicas in the class's busiest block b*       whole number
Given      full[c, t, b]        replicas that would carry the whole class      replicas
                                = peak_rps (batch: mean_rps) / rate_rps
           offset[c]            replicas lost in an open pool                  replicas
                                = offset_rps / rate_rps

    full[c, t, b*] * served[c, s, t, b*] + offset[c] * open[c, s, t]  <=  peak[c, s, t]   online
    served[c, s, t, b*]                                               <=  open[c, s, t]
    sum of served over the other blocks                               <=  (blocks - 1) * open

The left side of the first row is also what a pool keeps active in any other block: whole
replicas are charged where each class has its peak, fractions elsewhere, where the machines
bought for the peak stand idle anyway. Where nothing is lost (offset 0) no pool needs opening.
The last two rows hold for shares that are equal in all blocks as tightly as one row a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyomo.environ as pyo

from planner.optimize import sets
from planner.optimize.checks import row
from planner.problem import Array, AuditRow, Problem, Solution


def replicas_needed(full: Any, served: Any, offset: Any, is_open: Any) -> Any:
    """Replicas that carry a share of a class's traffic; Pyomo variables or solved arrays.

    >>> replicas_needed(4.0, 0.5, 0.25, 1)  # half of what 4 replicas carry, a quarter lost
    2.25
    """
    return full * served + offset * is_open


def active(m: pyo.ConcreteModel, c: int, s: int, t: int, b: int) -> Any:
    """Replicas active in a block, an expression; 0 without traffic."""
    at = m.at
    d = at.class_of[c]
    if not at.traffic[d][t][b]:
        return 0.0
    if not at.batch[d] and b == at.busiest[d][t]:
        return m.peak[c, s, t]
    is_open = m.open[c, s, t] if at.offset[c] > 0 else 0.0
    return replicas_needed(at.full[c][t][b], m.served[c, s, t, b], at.offset[c], is_open)


def add(m: pyo.ConcreteModel, p: Problem) -> None:
    """Add the family to a model that declares `served`, `open` and `peak`."""
    at = m.at

    @m.Constraint(m.WHOLE_POOLS, doc="whole replicas carry the peak [replicas]")
    def replica_capacity(m: Any, c: int, s: int, t: int) -> Any:
        b = at.busiest[at.class_of[c]][t]
        is_open = m.open[c, s, t] if at.offset[c] > 0 else 0.0
        need = replicas_needed(at.full[c][t][b], m.served[c, s, t, b], at.offset[c], is_open)
        return need <= m.peak[c, s, t]

    @m.Constraint(m.LOSSY_POOLS, doc="a pool that serves at the peak is open [share]")
    def pool_open(m: Any, c: int, s: int, t: int) -> Any:
        d = at.class_of[c]
        if at.batch[d]:
            return pyo.Constraint.Skip
        return m.served[c, s, t, at.busiest[d][t]] <= m.open[c, s, t]

    weight = sets.volume_frac(p).tolist()

    @m.Constraint(m.LOSSY_POOLS, doc="a pool that serves in any block is open [share]")
    def pool_open_elsewhere(m: Any, c: int, s: int, t: int) -> Any:
        d = at.class_of[c]
        blocks = [b for b in m.BLOCKS if at.traffic[d][t][b]]
        if at.batch[d]:  # its shares may exceed 1, its volume may not
            volume = [weight[d][t][b] * m.served[c, s, t, b] for b in blocks]
            return pyo.quicksum(volume) <= m.open[c, s, t]
        others = [b for b in blocks if b != at.busiest[d][t]]
        if not others:
            return pyo.Constraint.Skip
        return pyo.quicksum([m.served[c, s, t, b] for b in others]) <= len(others) * m.open[c, s, t]


def pool_is_open(x_served: Array) -> Array:
    """1 where a pool serves in any block of a period, (candidates, sites, periods, 1)."""
    return np.asarray((x_served.max(axis=3, keepdims=True) > 0).astype(float))


def check(p: Problem, x: Solution) -> Iterator[AuditRow]:
    """Audit: replicas suffice in every block, peaks are the largest, only allowed pools serve."""
    labels = p.labels
    axes = (labels.candidates, labels.sites, labels.periods, labels.blocks)
    full = np.where(p.pools.rate_rps[:, None, None] > 0, sets.full_replicas(p), 0.0)
    offset = sets.offset_replicas(p)[:, None, None, None]
    is_open = pool_is_open(x.served_frac) * sets.has_traffic(p)[p.pools.class_of][:, None]
    need = replicas_needed(full[:, None], x.served_frac, offset, is_open)
    yield row("replica_capacity", need - x.replicas, axes, scale=need)
    over = x.replicas - x.replicas_peak[..., None]
    yield row("replicas_peak", over, axes, scale=x.replicas)
    usable = np.zeros(p.pools.allowed.shape, dtype=bool)
    for c, s in sets.usable_pools(p):
        usable[c, s] = True
    forbidden = np.where(usable[..., None], 0.0, x.served_frac.max(axis=3))
    yield row("pool_allowed", forbidden, axes[:3])
