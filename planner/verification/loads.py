"""Loads: every pool, period and block of a plan as replicas and a rate each, hardest first.

A load is no harder than another of the same candidate whose rate a replica is at least as high
in a pool no larger: work-aware balancing of more replicas never waits longer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from planner.result import CandidateRow, Plan, PoolRow
from planner.schema.catalog import Catalog

SOME = 1e-9
"""Shares and rates below this are solver noise."""
SLACK = 1e-6
"""Rounding of whole replicas, and of rates that are meant to be equal."""
POOL_MAX = 32
"""Replicas simulated of a larger pool, at the same rate a replica."""
Condition = Literal["normal", "node_out"]


@dataclass(frozen=True)
class Load:
    """A pool under load in one period and block."""

    candidate: str
    demand_class: str
    site: str
    period: str
    block: str
    condition: Condition
    replicas: float
    """Active, less those that are down."""
    rps_each: float
    """Rate of one replica."""

    @property
    def whole(self) -> int:
        """Whole replicas that surely run."""
        return max(1, math.floor(self.replicas + SLACK))

    @property
    def down(self) -> bool:
        """Whether nothing is left to serve."""
        return not math.isfinite(self.rps_each)

    @property
    def name(self) -> str:
        """Where and when, for a reader."""
        out = ", a node out" if self.condition == "node_out" else ""
        return f"{self.site}, {self.period}, {self.block}{out}"

    def no_harder_than(self, other: Load) -> bool:
        """Whether what keeps the other load's promise keeps this one's."""
        return (
            self.candidate == other.candidate
            and self.rps_each <= other.rps_each * (1 + SLACK)
            and min(self.whole, POOL_MAX) >= min(other.whole, POOL_MAX)
        )


def loads(plan: Plan, catalog: Catalog) -> list[Load]:
    """Every load of the plan, and beside it that with a node out where replicas fall with it.

    Pools on rates that a user measured have no step times to simulate, and no load here.
    """
    rows = {row.id: row for row in plan.candidates}
    found = []
    for pool in plan.pools:
        row = rows[pool.candidate]
        if row.rate_stated:
            continue
        node_gpus = catalog.accelerators[row.accelerator].gpus_per_node
        for t, b, rate in _rates(plan, pool, row):
            replicas, idle = _replicas(plan, rows, pool, (t, b))
            load = Load(
                pool.candidate, row.demand_class, pool.site, plan.periods[t].label,
                plan.blocks[b].label, "normal", replicas, rate / replicas,
            )  # fmt: skip
            found.append(load)
            if node_gpus - idle > SLACK:
                found.append(_node_out(load, math.ceil((node_gpus - idle) / row.gpus - SLACK)))
    return found


def hardest(some: Sequence[Load]) -> Load:
    """Highest rate a replica, then the smallest pool: none of the others is harder."""
    return max(some, key=lambda load: (load.rps_each, -min(load.whole, POOL_MAX)))


def _rates(plan: Plan, pool: PoolRow, row: CandidateRow) -> Iterator[tuple[int, int, float]]:
    """Period, block and rate [1/s] wherever the pool serves."""
    demand = next(d for d in plan.demand if d.name == row.demand_class)
    rates = demand.mean_rps if demand.kind == "batch" else demand.peak_rps
    for t in range(len(plan.periods)):
        for b in range(len(plan.blocks)):
            rate = pool.served_frac[t][b] * rates[t][b]
            if rate > SOME:
                yield t, b, rate


def _node_out(load: Load, lost: int) -> Load:
    """The same traffic on the replicas that are left."""
    left = load.replicas - lost
    total = load.replicas * load.rps_each
    return Load(
        load.candidate, load.demand_class, load.site, load.period, load.block, "node_out",
        max(left, 0.0), total / left if left >= 1 else math.inf,
    )  # fmt: skip


def _replicas(
    plan: Plan, rows: dict[str, CandidateRow], pool: PoolRow, at: tuple[int, int]
) -> tuple[float, float]:
    """Replicas of a pool at a time, and accelerators that then stand idle beside it.

    The plan counts parts of replicas away from the peak, where machines stand idle: they are
    whole where the idle ones suffice for all pools on these machines. Else a part of a replica
    is a whole one for a part of the block.
    """
    t, b = at
    accelerator = rows[pool.candidate].accelerator
    held = sum(
        f.lots_by_block[t][b] * f.lot_gpus
        for f in plan.fleet
        if f.site == pool.site and f.accelerator == accelerator
    )
    beside = [
        (p.replicas[t][b], rows[p.candidate].gpus)
        for p in plan.pools
        if p.site == pool.site and rows[p.candidate].accelerator == accelerator
    ]
    used = sum(replicas * gpus for replicas, gpus in beside)
    whole = sum(math.ceil(replicas - SLACK) * gpus for replicas, gpus in beside)
    mine = pool.replicas[t][b]
    if whole <= held + SLACK:
        return max(math.ceil(mine - SLACK), 1.0), held - whole
    return max(mine, 1.0), held - used
