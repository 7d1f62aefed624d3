"""What can exist: index sets and derived bounds, computed once and read by every family.

A pool is a candidate at a site that may host it. Only what the problem allows becomes a
subscript, so a model never holds a variable that is zero by definition.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from planner.problem import Array, Flags, Problem, Whole

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Pool = tuple[int, int]
Machine = tuple[int, int]

WHOLE_ON_DEMAND_BELOW = 4096
"""On-demand lots are whole in the program below this bound; above, rounding up costs < 0.03 %.

The bound counts every class on its hungriest candidate, so it is far above what a plan rents: a
bound of 32 made a small synthetic fleet 3.4 % dearer by rounding up afterwards, a bound of 256 a
fleet of 45 rented nodes 0.2 %."""


SIZED_FROM = 1e-6
"""Replicas by which a small pool carries more than the line, from which it is one by choice."""


@dataclass(frozen=True)
class Lookup:
    """Subscripts and derived figures behind one model; floats are plain for Pyomo."""

    pools: tuple[Pool, ...]
    """(c, s)"""
    members: dict[int, list[int]]
    """[c] candidates of the pool whose first is c"""
    first: list[int]
    """[c] the first candidate of its pool"""
    pools_of_class: dict[int, list[Pool]]
    pools_of_machine: dict[Machine, list[Pool]]
    """A pool stands under every accelerator that it uses"""
    apis_of_class: dict[int, list[int]]
    machines: tuple[Machine, ...]
    """(g, s) where a pool may stand"""
    class_of: list[int]
    batch: list[bool]
    busiest: list[list[int]]
    """[d][t] block of the largest sizing rate"""
    fullest: list[list[int]]
    """[c][t] block of the largest load of the pool whose first is c, if it serves all"""
    peaks: list[list[list[int]]]
    """[c][t] blocks in which its load may be largest, whatever shares it serves"""
    traffic: list[list[list[bool]]]
    """[d][t][b] any traffic at all"""
    asked: list[list[list[bool]]]
    """[c][t][b] any traffic of the pool whose first is c"""
    full: list[list[list[float]]]
    """[c][t][b] replicas that carry the whole class"""
    pool_full: list[list[list[float]]]
    """[c][t][b] replicas that carry all classes of the pool whose first is c"""
    offset: list[float]
    """[c] replicas lost in an open pool"""
    small: list[list[float]]
    """[c][k - 1] what k replicas carry, in replicas of the line"""
    lost: list[list[float]]
    """[c][k - 1] replicas lost in a pool of k"""
    sizes: list[list[list[int]]]
    """[c][t] replicas of the small pools to choose from"""
    replica_nodes: list[list[float]]
    """[c][g] nodes of one replica"""
    machines_of: list[list[int]]
    """[c] accelerators that a replica uses"""
    lot_nodes: list[float]
    """[g] nodes of one lot"""
    nodes_max: list[list[list[list[float]]]]
    """[g][s][t][b] most nodes that all traffic could need"""


def sizing_rps(p: Problem) -> Array:
    """Rate that sizes capacity [1/s], (classes, periods, blocks): peak online, mean for batch."""
    batch = p.demand.batch[:, None, None]
    return np.asarray(np.where(batch, p.demand.mean_rps, p.demand.peak_rps))


def has_traffic(p: Problem) -> Flags:
    """(classes, periods, blocks): whether there is anything to serve."""
    return (p.demand.peak_rps > 0) | (p.demand.mean_rps > 0)


def full_replicas(p: Problem) -> Array:
    """Replicas that carry the whole class, (candidates, periods, blocks); inf where rate is 0."""
    rate = p.pools.rate_rps[:, None, None]
    rps = sizing_rps(p)[p.pools.class_of]
    return np.asarray(np.divide(rps, rate, out=np.full(rps.shape, np.inf), where=rate > 0))


def first_of_pool(p: Problem) -> Whole:
    """First candidate of each candidate's pool, (candidates,)."""
    return p.pools.first_of


def members_of(p: Problem) -> dict[int, list[int]]:
    """Candidates of each pool, by the first."""
    return grouped((c, i) for i, c in enumerate(first_of_pool(p).tolist()))


def by_pool(p: Problem, of_candidates: Array) -> Array:
    """Sums over the candidates of each pool, under the first; 0 under the others."""
    total = np.zeros(of_candidates.shape)
    np.add.at(total, first_of_pool(p), of_candidates)
    return total


def pool_full_replicas(p: Problem) -> Array:
    """Replicas that carry all classes of a pool, (candidates, periods, blocks), under the first."""
    return by_pool(p, full_replicas(p))


def fullest_block(p: Problem) -> Whole:
    """Block in which a pool that serves all of its classes needs most, (candidates, periods)."""
    return np.asarray(pool_full_replicas(p).argmax(axis=2), dtype=np.int64)


def peak_blocks(full: Array) -> list[int]:
    """Blocks in which a pool's load may be largest at the same shares in all of them.

    Parameters
    ----------
    full : replicas that carry each class whole, (classes of the pool, blocks).

    Examples
    --------
    The second block asks less of both classes than the third; the others are each one's largest.

    >>> peak_blocks(np.array([[4.0, 1.0, 2.0], [1.0, 1.0, 3.0]]))
    [0, 2]
    """
    blocks = range(full.shape[1])

    def beaten(b: int, by: int) -> bool:
        no_more = bool(np.all(full[:, b] <= full[:, by]))
        return no_more and (by < b or bool(np.any(full[:, b] < full[:, by])))

    return [b for b in blocks if not any(beaten(b, other) for other in blocks if other != b)]


def peaks(p: Problem) -> list[list[list[int]]]:
    """Blocks in which a pool's load may be largest, by first candidate and period."""
    full, members = full_replicas(p), members_of(p)
    periods = range(full.shape[1])
    return [
        [peak_blocks(full[members[c], t]) if c in members else [] for t in periods]
        for c in range(full.shape[0])
    ]


def offset_replicas(p: Problem) -> Array:
    """Replicas lost once in an open pool, (candidates,); 0 where rate is 0."""
    rate, offset = p.pools.rate_rps, p.pools.offset_rps
    return np.asarray(np.divide(offset, rate, out=np.zeros(rate.shape), where=rate > 0))


def small_replicas(p: Problem) -> Array:
    """What 1, 2, 3 replicas carry, in replicas of the line, (candidates, 3); 0 where rate is 0."""
    rate = p.pools.rate_rps[:, None]
    small = p.pools.small_rps
    return np.asarray(np.divide(small, rate, out=np.zeros(small.shape), where=rate > 0))


def small_lost(p: Problem) -> Array:
    """Replicas lost in pools of 1, 2, 3, (candidates, 3).

    So many that a pool that keeps load + lost active, at any part of its load, has at least the
    replicas that carry it.
    """
    small = small_replicas(p)
    lost = np.maximum.accumulate(np.arange(1, small.shape[1] + 1) - small, axis=1)
    return np.asarray(np.clip(lost, 0.0, offset_replicas(p)[:, None]))


def small_sizes(p: Problem) -> list[list[list[int]]]:
    """Sizes of small pools to choose from, by first candidate and period.

    Those that carry more than the line, where few replicas carry all classes of the pool: in a
    larger fleet the line is close.
    """
    small, offset, full = small_replicas(p), offset_replicas(p), pool_full_replicas(p)
    most = np.where(p.demand.batch[p.pools.class_of][:, None], np.inf, full.max(axis=2))
    sizes = np.arange(1, small.shape[1] + 1)
    above = small > np.maximum(sizes - offset[:, None], 0.0) + SIZED_FROM

    def choices(c: int, t: int) -> list[int]:
        if offset[c] <= 0 or not 0 < most[c, t] <= small[c, -1]:
            return []
        last = int(np.argmax(small[c] >= most[c, t]))
        return [k for k in sizes[: last + 1].tolist() if above[c, k - 1]]

    return [[choices(c, t) for t in range(full.shape[1])] for c in range(full.shape[0])]


def busiest_block(p: Problem) -> Whole:
    """Block in which a class needs most capacity, (classes, periods)."""
    return np.asarray(sizing_rps(p).argmax(axis=2), dtype=np.int64)


def volume_frac(p: Problem) -> Array:
    """Share of a period's mean volume that arrives in a block, (classes, periods, blocks)."""
    volume = p.demand.mean_rps * p.demand.hours
    total = volume.sum(axis=2, keepdims=True)
    return np.asarray(np.divide(volume, total, out=np.zeros(volume.shape), where=total > 0))


def lot_nodes(p: Problem) -> Array:
    """Nodes of one lot, (accelerators,): 18 trays of a rack, 1 of a node bought alone."""
    return np.asarray(p.machines.lot_gpus / p.machines.node_gpus)


def replica_nodes(p: Problem) -> Array:
    """Nodes of one replica, (candidates, accelerators); below one where replicas share a node."""
    return np.asarray(p.pools.replica_gpus / p.machines.node_gpus)


def machines_used(p: Problem) -> list[list[int]]:
    """Accelerators that a replica of each candidate uses."""
    return [np.flatnonzero(gpus > 0).tolist() for gpus in p.pools.replica_gpus]


def spared(p: Problem) -> Flags:
    """(accelerators, sites) where spares are ours to keep."""
    return (p.machines.spare_slope > 0) | (p.machines.spare_offset > 0)


def hosted(p: Problem) -> Flags:
    """(accelerators, sites) where machines can be had at all."""
    machines = p.machines
    return machines.purchasable | machines.on_demand | machines.committable.any(axis=0)


def usable_pools(p: Problem) -> list[Pool]:
    """(c, s) that may serve: all that a replica uses can be had there."""
    lacking = (p.pools.replica_gpus > 0) @ ~hosted(p)
    usable = p.pools.allowed & (p.pools.rate_rps > 0)[:, None] & ~lacking
    return [(c, s) for c, s in np.argwhere(usable).tolist()]


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Values by key, in order; a key without values reads as an empty list."""
    groups: defaultdict[K, list[V]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups


def shift_factor(p: Problem) -> Array:
    """Most of its own rate that a class can run in one block, (classes, periods, blocks).

    1 online; for batch the whole day type's volume over the block's own.
    """
    volume = p.demand.mean_rps * p.demand.hours
    day = np.zeros(volume.shape)
    for kind in np.unique(p.demand.day_of_block):
        same = p.demand.day_of_block == kind
        day[..., same] = volume[..., same].sum(axis=2, keepdims=True)
    factor = np.divide(day, volume, out=np.ones(volume.shape), where=volume > 0)
    return np.where(p.demand.batch[:, None, None], factor, 1.0)


def nodes_max(p: Problem, pools: Iterable[Pool]) -> Array:
    """Most nodes that all traffic could need, whole, (accelerators, sites, periods, blocks).

    Every class whole on its hungriest candidate, and one more replica for a class that is
    split, so that the bound never cuts off a split that rounds up twice.
    """
    need = full_replicas(p) * shift_factor(p)[p.pools.class_of]
    need = np.ceil(need + offset_replicas(p)[:, None, None])
    nodes = (need + 1.0)[:, None] * replica_nodes(p)[..., None, None]
    classes, accelerators = len(p.labels.classes), len(p.labels.accelerators)
    shape = (classes, accelerators, len(p.labels.sites), *need.shape[1:])
    worst = np.zeros(shape)
    for c, s in pools:
        at = (p.pools.class_of[c], slice(None), s)
        worst[at] = np.maximum(worst[at], nodes[c])
    return np.asarray(np.ceil(worst.sum(axis=0)))


def look_up(p: Problem) -> Lookup:
    """Everything that the families ask for by subscript."""
    pools, first = usable_pools(p), first_of_pool(p).tolist()
    class_of, machines_of = p.pools.class_of.tolist(), machines_used(p)
    shared = sorted({(first[c], s) for c, s in pools})
    of_machine = grouped(((g, s), (c, s)) for c, s in shared for g in machines_of[c])
    asked = by_pool(p, has_traffic(p)[p.pools.class_of].astype(float)) > 0
    return Lookup(
        pools=tuple(pools),
        members=members_of(p),
        first=first,
        pools_of_class=grouped((class_of[c], (c, s)) for c, s in pools),
        pools_of_machine=of_machine,
        apis_of_class=grouped((d, a) for a, d in enumerate(p.api_class.tolist())),
        machines=tuple(sorted(of_machine)),
        class_of=class_of,
        batch=p.demand.batch.tolist(),
        busiest=busiest_block(p).tolist(),
        fullest=fullest_block(p).tolist(),
        peaks=peaks(p),
        traffic=has_traffic(p).tolist(),
        asked=asked.tolist(),
        full=full_replicas(p).tolist(),
        pool_full=pool_full_replicas(p).tolist(),
        offset=offset_replicas(p).tolist(),
        small=small_replicas(p).tolist(),
        lost=small_lost(p).tolist(),
        sizes=small_sizes(p),
        replica_nodes=replica_nodes(p).tolist(),
        machines_of=machines_of,
        lot_nodes=lot_nodes(p).tolist(),
        nodes_max=nodes_max(p, pools).tolist(),
    )


def served_index(p: Problem, at: Lookup) -> list[tuple[int, int, int, int]]:
    """(c, s, t, b) with traffic."""
    return [
        (c, s, t, b)
        for c, s in at.pools
        for t in range(len(p.labels.periods))
        for b in range(len(p.labels.blocks))
        if at.traffic[at.class_of[c]][t][b]
    ]


def pool_index(p: Problem, at: Lookup) -> list[tuple[int, int, int]]:
    """(c, s, t) of first candidates with traffic in any block."""
    periods, pools = range(len(p.labels.periods)), sorted({(at.first[c], s) for c, s in at.pools})
    return [(c, s, t) for c, s in pools for t in periods if any(at.asked[c][t])]


def bought_index(p: Problem, at: Lookup) -> list[tuple[int, int, int]]:
    """(g, s, t) of orders that come into service within the horizon."""
    periods, lead = len(p.labels.periods), p.machines.lead_periods.tolist()
    return [
        (g, s, t)
        for g, s in at.machines
        if p.machines.purchasable[g, s]
        for t in range(periods - lead[g][s])
    ]


def signed_index(p: Problem, at: Lookup) -> list[tuple[int, int, int, int]]:
    """(o, g, s, t) of commitments that may be signed."""
    return [
        (o, g, s, t)
        for o in range(len(p.labels.commitments))
        for g, s in at.machines
        if p.machines.committable[o, g, s]
        for t in range(len(p.labels.periods))
    ]


def on_demand_index(p: Problem, at: Lookup) -> list[tuple[int, int, int, int]]:
    """(g, s, t, b) that may be rented by the hour."""
    return [
        (g, s, t, b)
        for g, s in at.machines
        if p.machines.on_demand[g, s]
        for t in range(len(p.labels.periods))
        for b in range(len(p.labels.blocks))
    ]


def held_machines(p: Problem, at: Lookup) -> list[Machine]:
    """(g, s) where lots can be owned or committed."""
    held = p.machines.purchasable | p.machines.committable.any(axis=0)
    return [(g, s) for g, s in at.machines if held[g, s]]


def lots_cap(p: Problem, at: Lookup, g: int, s: int, t: int) -> int:
    """Most lots of a SKU that a period could use, spares included; a valid big-M."""
    nodes = max(at.nodes_max[g][s][t])
    spares = float(p.machines.spare_slope[g, s]) * nodes + float(p.machines.spare_offset[g, s])
    return int(np.ceil((nodes + spares) / at.lot_nodes[g])) + 1


def where(labels: Iterable[Any]) -> str:
    """Labels as a reader sees them: hq, 2027-Q3."""
    return ", ".join(str(label) for label in labels)
