"""Capacity: a pool has the replicas that its share of the traffic needs.

Index      c candidate (one class on one configuration), q pool of one candidate, or of a mix's
           (under its first candidate), s site, t period, b load block, k replicas of a small pool
Decision   served[c, s, t, b]   share of the class's traffic                   share
           open[q, s, t]        pool serves in this period                     0 or 1
           size[q, s, t, k]     pool has k replicas and carries what k do      0 or 1
           peak[q, s, t]        most replicas                                  whole number
Given      full[c, t, b]        replicas that would carry the whole class      replicas
                                = peak_rps (batch: mean_rps) / rate_rps
           offset[q]            replicas lost in an open pool                  replicas
                                = offset_rps / rate_rps
           small[q, k]          what k replicas carry = small_rps / rate_rps   replicas
           lost[q, k]           largest of j - small[q, j] over j <= k, from 0 to offset

    load[b] + offset * line  <=  peak + sum_k (min(small[k], whole[b]) - k) * size[k]
    sum_k k * size[k]        <=  peak
    load[b] / whole[b]       <=  line + sum_k min(1, small[k] / whole[b]) * size[k]
    sum of load / whole over the blocks other than b*  <=  (blocks - 1) * open
    with  load[b] = sum over the pool's candidates of full * served,  whole[b] the same of full,
          line = open - sum_k size  >=  0

The first row stands for every block in which the load may be largest at shares that are equal in
all blocks: the busiest of a class, of a mix each that no other block exceeds in all its classes.

The line a k - delta lies below what every pool carries, by much for few replicas. Where that
matters a pool is either small, and carries what k replicas do, or one on the line: these rows are
the convex hull of that choice (less the least size of a pool on the line, which never pays
there). Everywhere else `size` is absent and `line` is `open`.

The most replicas are active in one block b*, where all classes of the pool together ask most.
Elsewhere a pool keeps active what the line passing through its own size needs, load + lost: whole
replicas are charged once, fractions where the machines bought for the peak stand idle anyway.
Where nothing is lost (offset 0) no pool needs opening. The rows on shares hold for those that are
equal in all blocks as tightly as one row a block; with sizes there is one a block where a size
could be short.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyomo.environ as pyo

from planner.optimize import sets
from planner.optimize.checks import row
from planner.problem import Array, AuditRow, Flags, Problem, Solution

NOISE_REL = 5e-8
"""Half the solver's row tolerance: a number this near a whole one is that number."""
ROUNDING = 1e-9
"""A coefficient this small is a difference of equal numbers."""
FITS_REL = 5e-7
"""A load above what a small pool carries by less is the solver's noise; half the audit's."""


def members(m: pyo.ConcreteModel, key: tuple[int, int, int, int]) -> list[tuple[float, Any]]:
    """Replicas that carry each whole class of a pool in a block, and the share served of it."""
    at, (c, s, t, b) = m.at, key
    shares = [(d, (d, s, t, b)) for d in at.members[c]]
    return [(at.full[d][t][b], m.served[of]) for d, of in shares if of in m.SERVED]


def share(m: pyo.ConcreteModel, c: int, s: int, t: int, b: int) -> Any:
    """Share served of what is asked of a pool in a block, in replicas; an expression."""
    parts = members(m, (c, s, t, b))
    whole = m.at.pool_full[c][t][b]
    return pyo.quicksum([full / whole * served for full, served in parts])


def active(m: pyo.ConcreteModel, c: int, s: int, t: int, b: int) -> Any:
    """Replicas active in a block, an expression; 0 without traffic."""
    at = m.at
    if not at.asked[c][t][b]:
        return 0.0
    if not at.batch[at.class_of[c]] and b == at.fullest[c][t]:
        return m.peak[c, s, t]
    return _needed(m, (c, s, t, b), at.lost[c])


def _needed(m: pyo.ConcreteModel, key: tuple[int, int, int, int], lost: list[float]) -> Any:
    """Load of a block and what the pool loses, on the line or at its size; an expression."""
    at, (c, s, t, _) = m.at, key
    offset = at.offset[c]
    is_open = m.open[c, s, t] if offset > 0 else 0.0
    load = pyo.quicksum([full * served for full, served in members(m, key)])
    gains = [(offset - lost[k - 1], m.size[c, s, t, k]) for k in at.sizes[c][t]]
    return (
        load
        + offset * is_open
        - pyo.quicksum([gain * size for gain, size in gains if abs(gain) > ROUNDING])
    )


def _room(m: pyo.ConcreteModel, c: int, s: int, t: int, b: int) -> Any:
    """Share of what is asked that a pool of its size may serve at all, an expression."""
    short = [
        (max(1.0 - m.at.small[c][k - 1] / m.at.pool_full[c][t][b], 0.0), m.size[c, s, t, k])
        for k in m.at.sizes[c][t]
    ]
    return m.open[c, s, t] - pyo.quicksum([part * size for part, size in short if part > ROUNDING])


def add(m: pyo.ConcreteModel, p: Problem) -> None:
    """Add the family to a model that declares `served`, `open`, `size` and `peak`."""
    at = m.at
    peaks = [(c, s, t, b) for c, s, t in m.WHOLE_POOLS for b in at.peaks[c][t]]

    @m.Constraint(peaks, doc="whole replicas carry the peak [replicas]")
    def replica_capacity(m: Any, c: int, s: int, t: int, b: int) -> Any:
        if not at.asked[c][t][b]:
            return pyo.Constraint.Skip
        carried = [min(small, at.pool_full[c][t][b]) for small in at.small[c]]
        lost = [k - most for k, most in enumerate(carried, start=1)]
        return _needed(m, (c, s, t, b), lost) <= m.peak[c, s, t]

    _open(m, p)
    _sizes(m)


def _open(m: pyo.ConcreteModel, p: Problem) -> None:
    at, weight = m.at, sets.volume_frac(p).tolist()

    @m.Constraint(m.LOSSY_POOLS, doc="a pool that serves at the peak is open [share]")
    def pool_open(m: Any, c: int, s: int, t: int) -> Any:
        b = at.fullest[c][t]
        if at.batch[at.class_of[c]]:
            return pyo.Constraint.Skip
        return share(m, c, s, t, b) <= _room(m, c, s, t, b)

    @m.Constraint(m.LOSSY_POOLS, doc="a pool that serves in any block is open [share]")
    def pool_open_elsewhere(m: Any, c: int, s: int, t: int) -> Any:
        d = at.class_of[c]
        blocks = [b for b in m.BLOCKS if at.asked[c][t][b]]
        if at.batch[d]:  # its shares may exceed 1, its volume may not
            volume = [weight[d][t][b] * m.served[c, s, t, b] for b in blocks]
            return pyo.quicksum(volume) <= m.open[c, s, t]
        others = [b for b in blocks if b != at.fullest[c][t]]
        if not others:
            return pyo.Constraint.Skip
        shares = [share(m, c, s, t, b) for b in others]
        return pyo.quicksum(shares) <= len(others) * m.open[c, s, t]


def _sizes(m: pyo.ConcreteModel) -> None:
    at = m.at
    sized = sorted({(c, s, t) for c, s, t, _ in m.SIZES})
    elsewhere = [
        (c, s, t, b)
        for c, s, t in sized
        for b in m.BLOCKS
        if b != at.fullest[c][t] and at.pool_full[c][t][b] > at.small[c][at.sizes[c][t][0] - 1]
    ]

    @m.Constraint(sized, doc="an open pool has one size at most [share]")
    def pool_size(m: Any, c: int, s: int, t: int) -> Any:
        return pyo.quicksum([m.size[c, s, t, k] for k in at.sizes[c][t]]) <= m.open[c, s, t]

    @m.Constraint(sized, doc="a small pool has the replicas of its size [replicas]")
    def size_replicas(m: Any, c: int, s: int, t: int) -> Any:
        return pyo.quicksum([k * m.size[c, s, t, k] for k in at.sizes[c][t]]) <= m.peak[c, s, t]

    @m.Constraint(elsewhere, doc="a small pool serves what its size carries [share]")
    def size_carries(m: Any, c: int, s: int, t: int, b: int) -> Any:
        return share(m, c, s, t, b) <= _room(m, c, s, t, b)


def pool_is_open(p: Problem, served: Array) -> Array:
    """1 where a pool serves in a period and a block has traffic, under its first candidate.

    (candidates, sites, periods, blocks)
    """
    traffic = sets.has_traffic(p)[p.pools.class_of].astype(float)
    ever = sets.by_pool(p, served).max(axis=3, keepdims=True) > 0
    return np.asarray((ever & (sets.by_pool(p, traffic) > 0)[:, None]).astype(float))


def whole_above(x: Array) -> Array:
    """Least whole number not below x, where a solver's noise above a whole number is that number.

    >>> whole_above(np.array([3.00000001, 3.2, 0.0]))
    array([3., 4., 0.])
    """
    return np.asarray(np.ceil(x - NOISE_REL * np.maximum(np.abs(x), 1.0)) + 0.0)


def load_replicas(p: Problem, served: Array) -> Array:
    """Replicas of the line, nothing lost, under what each pool serves; shape of `served`.

    Of all candidates of a pool, under the first.
    """
    full = np.where(p.pools.rate_rps[:, None, None] > 0, sets.full_replicas(p), 0.0)
    return sets.by_pool(p, full[:, None] * served)


def replicas_active(p: Problem, served: Array, chosen: Array) -> Array:
    """Replicas in every block: whole in a class's busiest, what is needed elsewhere.

    Parameters
    ----------
    chosen : 1 where the program chose a small pool, (candidates, sites, periods), else 0. Others
        are small ones too where that takes no more replicas.
    """
    load = load_replicas(p, served)
    is_open = pool_is_open(p, served)
    fullest, peaks = _fullest(p), _at_peak(p)
    on_line = (load + sets.offset_replicas(p)[:, None, None, None]) * is_open
    most = whole_above(np.where(peaks, on_line, 0.0).max(axis=3))
    size = _least_size(p, load)
    size = np.where((size <= most) | (chosen > 0.5), size, np.inf)
    need = _needed_in(p, load, size[..., None]) * is_open
    whole = np.where(np.isfinite(size), size, most)[..., None] * is_open
    return np.asarray(np.where(fullest, whole, need))


def _fullest(p: Problem) -> Flags:
    """The block in which an online pool is charged whole, (candidates, 1, periods, blocks)."""
    online = ~p.demand.batch[p.pools.class_of][:, None, None]
    here = np.arange(len(p.labels.blocks)) == sets.fullest_block(p)[..., None]
    return np.asarray(here & online)[:, None]


def _at_peak(p: Problem) -> Flags:
    """Blocks in which an online pool's load may be largest, (candidates, 1, periods, blocks)."""
    found = np.zeros(sets.full_replicas(p).shape, bool)
    for c, by_period in enumerate(sets.peaks(p)):
        for t, blocks in enumerate(by_period):
            found[c, t, blocks] = not p.demand.batch[p.pools.class_of[c]]
    return found[:, None]


def _least_size(p: Problem, load: Array) -> Array:
    """Replicas of a small pool that carries every block, (candidates, sites, periods); else inf."""
    small, most = sets.small_replicas(p), load.max(axis=3)
    size = np.full(most.shape, np.inf)
    for k in range(small.shape[1], 0, -1):
        carries = small[:, k - 1, None, None]
        size = np.where(most <= carries + FITS_REL * np.maximum(carries, 1.0), float(k), size)
    return np.where(p.demand.batch[p.pools.class_of][:, None, None], np.inf, size)


def _needed_in(p: Problem, load: Array, size: Array) -> Array:
    """Replicas that a load needs in pools of a small size, or on the line where that is inf."""
    need = load + sets.offset_replicas(p)[:, None, None, None]
    for k, lost in enumerate(sets.small_lost(p).T, start=1):
        need = np.where(size == k, np.minimum(load + lost[:, None, None, None], k), need)
    return need


def check(p: Problem, x: Solution) -> Iterator[AuditRow]:
    """Audit: replicas suffice in every block, peaks are the largest, only allowed pools serve."""
    labels = p.labels
    axes = (labels.candidates, labels.sites, labels.periods, labels.blocks)
    load = load_replicas(p, x.served_frac)
    is_open = pool_is_open(p, x.served_frac)
    at_peak = np.where(_fullest(p), x.replicas, 0.0).max(axis=3)
    small = _least_size(p, load) <= at_peak + NOISE_REL
    size = np.where(small, at_peak, np.inf)[..., None]
    need = _needed_in(p, load, size) * is_open
    yield row("replica_capacity", need - x.replicas, axes, scale=need)
    over = x.replicas - x.replicas_peak[..., None]
    yield row("replicas_peak", over, axes, scale=x.replicas)
    usable = np.zeros(p.pools.allowed.shape, dtype=bool)
    for c, s in sets.usable_pools(p):
        usable[c, s] = True
    forbidden = np.where(usable[..., None], 0.0, x.served_frac.max(axis=3))
    yield row("pool_allowed", forbidden, axes[:3])
