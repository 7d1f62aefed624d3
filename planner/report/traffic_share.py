"""How much of each class's traffic each pool and API serves, and how full the pools are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from planner.perf.pooling import carried_rps
from planner.result import CandidateRow, ClassTraffic, Plan, PoolRow, WholePool

Array = NDArray[np.float64]


def volume_weights(plan: Plan, traffic: ClassTraffic) -> Array:
    """Share of a class's requests that falls in each block, shape (periods, blocks).

    A batch class's served shares count against the mean rate of their day type, so its weight is
    that mean times the block's hours.
    """
    hours = np.array([block.hours for block in plan.blocks]).T
    mean_rps = np.array(traffic.mean_rps, float)
    if traffic.kind == "batch":
        for day in ("weekday", "weekend"):
            here = np.array([block.day == day for block in plan.blocks])
            if here.any():
                in_day = hours[:, here]
                mean = (mean_rps[:, here] * in_day).sum(axis=1) / in_day.sum(axis=1)
                mean_rps[:, here] = mean[:, None]
    volume = mean_rps * hours
    total = volume.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(volume, total, out=np.zeros_like(volume), where=total > 0))


def share_by_period(plan: Plan, traffic: ClassTraffic, served_frac: list[list[float]]) -> Array:
    """Share of a class's requests that a pool or API serves, shape (periods,)."""
    return np.asarray((np.array(served_frac) * volume_weights(plan, traffic)).sum(axis=1))


def part_rps(pool: WholePool, part: PoolRow, candidate: CandidateRow) -> Array:
    """Rate of a class that its part of a pool carries, promises kept, shape (periods, blocks).

    Of a shared pool its share of the active replicas.
    """
    active = np.array(pool.replicas)
    share = np.divide(part.replicas, active, out=np.zeros_like(active), where=active > 0)
    carried = carried_rps(
        active,
        peak_replicas=np.array(pool.replicas_peak)[:, None],
        rate_rps=candidate.rate_rps or 0.0,
        offset_rps=candidate.offset_rps or 0.0,
        small_rps=candidate.small_rps,
    )
    return np.asarray(share * carried)


def fullness(plan: Plan, pool: WholePool) -> Array:
    """Peak load over SLO capacity in the fullest block, shape (periods,); 0 where closed.

    Batch has no peak, its mean rate is the load. Parts of a shared pool are as full as the whole.
    """
    rows = {row.id: row for row in plan.candidates}
    demand = {row.name: row for row in plan.demand}
    parts = [_load_frac(pool, part, rows, demand) for part in pool.parts]
    return np.asarray(np.max(parts, axis=0).max(axis=1))


def _load_frac(
    pool: WholePool,
    part: PoolRow,
    rows: Mapping[str, CandidateRow],
    demand: Mapping[str, ClassTraffic],
) -> Array:
    """Load over capacity of a part, (periods, blocks)."""
    row = rows[part.candidate]
    traffic = demand[row.demand_class]
    peak = np.array(traffic.mean_rps if traffic.kind == "batch" else traffic.peak_rps)
    load = np.array(part.served_frac) * peak
    capacity = part_rps(pool, part, row)
    full = np.where(capacity > 0, capacity, np.nan)
    return np.where(load > 0, load / full, 0.0)


def served_parts(plan: Plan, demand_class: str) -> list[tuple[str, list[list[float]]]]:
    """Pools and APIs that may serve a class: label and served share [period][block]."""
    classes = {row.id: row.demand_class for row in plan.candidates}
    pools = [
        (f"{pool.candidate}, {pool.site}", pool.served_frac)
        for pool in plan.pools
        if classes.get(pool.candidate) == demand_class
    ]
    apis = [
        (f"{api.product}, API", api.served_frac)
        for api in plan.apis
        if api.demand_class == demand_class
    ]
    return pools + apis


def served_by_period(plan: Plan, demand_class: str) -> Array:
    """Share of a class's requests that is served at all, shape (periods,); 1 where all is."""
    traffic = next(row for row in plan.demand if row.name == demand_class)
    total = np.zeros(len(plan.periods))
    for _, served in served_parts(plan, demand_class):
        total = total + share_by_period(plan, traffic, served)
    return total
