"""Loads: every pool, period and block of a plan as replicas and a rate each, hardest first.

A load is no harder than another of the same candidate whose rate a replica is at least as high
in a pool no larger: work-aware balancing of more replicas never waits longer. Where nodes that
are out take a whole pool, the class's other pools get its traffic, each by what it is planned for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from planner.candidates.assemble import packed_gpus
from planner.reliability import spares
from planner.result import CandidateRow, Plan, PoolRow
from planner.result.verification import Condition

SOME = 1e-9
"""Shares and rates below this are solver noise."""
SLACK = 1e-6
"""Rounding of whole replicas, and of rates that are meant to be equal."""
POOL_MAX = 32
"""Replicas simulated of a larger pool, at the same rate a replica."""
OUT = {"normal": "", "spares_out": "out as planned for", "one_more_out": "one more out"}
"""What a condition is called."""


@dataclass(frozen=True)
class Node:
    """What fails at once, of one accelerator at one site."""

    gpus: int
    out_frac: float
    """Share of time in which one is out."""


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
    nodes_out: int = 0
    node_replicas: int = 0
    """Replicas that one node takes with it."""
    idle_nodes: int = 0
    """Whole nodes that stand idle beside the pool."""
    taken_from: str = ""
    """Pool lost whole, part of whose traffic this one gets; the nodes out are that one's."""

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
        nodes = f"{self.nodes_out} node{'s' if self.nodes_out != 1 else ''}"
        out = f", {nodes} {OUT[self.condition]}" if self.nodes_out else ""
        more = f", in place of {self.taken_from}" if self.taken_from else ""
        return f"{self.site}, {self.period}, {self.block}{out}{more}"

    @property
    def pool(self) -> str:
        """Which pool, whenever."""
        return f"{self.candidate} at {self.site}"

    def no_harder_than(self, other: Load) -> bool:
        """Whether what keeps the other load's promise keeps this one's."""
        return (
            self.candidate == other.candidate
            and self.rps_each <= other.rps_each * (1 + SLACK)
            and min(self.whole, POOL_MAX) >= min(other.whole, POOL_MAX)
        )


@dataclass(frozen=True)
class Room:
    """Machines of one accelerator at one site at one time, and what they host; accelerators."""

    held: float
    firm: float
    """Of them held over the whole period: bought or committed."""
    used: float
    whole: float
    """Used where every replica is a whole one."""


@dataclass(frozen=True)
class _Place:
    """Machines of one accelerator on which a pool stands."""

    where: tuple[str, str]
    """Accelerator, site."""
    node: Node
    gpus: float
    """Accelerators of one replica, or unit, as they fill lots."""
    rooms: list[list[Room]]
    """[period][block]"""

    def lost(self, gpus_out: float, idle: float) -> int:
        """Replicas that accelerators out take, as far as idle ones do not cover them.

        A unit loses all that it does when a part of it is lost.
        """
        return max(math.ceil((gpus_out - idle) / self.gpus - SLACK), 0)


@dataclass(frozen=True)
class _Standing:
    """A pool at one time with all nodes up."""

    load: Load
    rate: float
    """Of the whole pool."""
    planned_each: float
    """Rate of one replica that the plan counts on."""
    simulated: bool
    places: tuple[_Place, ...]
    idle: tuple[float, ...]
    """Accelerators that stand idle beside the pool, by place."""
    planned_out: tuple[int, ...]
    """Nodes that may be out while the availability target holds, by place."""

    def left(self, gpus_out: Mapping[tuple[str, str], float]) -> float:
        """Replicas left with accelerators out, by accelerator and site."""
        lost = [
            place.lost(gpus_out.get(place.where, 0.0), idle)
            for place, idle in zip(self.places, self.idle, strict=True)
        ]
        return max(self.load.replicas - max(lost), 0.0)


def simulated(row: CandidateRow) -> bool:
    """Whether the simulator knows how this candidate batches."""
    return row.mode != "static"


def planned_each_rps(row: CandidateRow) -> float:
    """By which pools share traffic: the rate that the plan counts on for each replica."""
    return row.rate_rps or row.stability_rps or 1.0


def loads(plan: Plan, nodes: Mapping[tuple[str, str], Node], availability: float) -> list[Load]:
    """Every load of the plan with all nodes up, with those out that are planned for, and one more.

    Pools on rates that a user measured have no step times to simulate, and no load here.

    Parameters
    ----------
    nodes : by accelerator and site.
    availability : share of time for which the plan keeps spare nodes.
    """
    times: dict[tuple[str, str, str], list[_Standing]] = {}
    every = list(_standing(plan, nodes, availability))
    for one in every:
        load = one.load
        times.setdefault((load.demand_class, load.period, load.block), []).append(one)
    found = []
    for one in every:
        load = one.load
        found.append(load)
        beside = [x for x in times[load.demand_class, load.period, load.block] if x is not one]
        for condition, out in _conditions(one.planned_out):
            found += _with_out(one, condition, out, beside)
    return found


def _standing(
    plan: Plan, nodes: Mapping[tuple[str, str], Node], availability: float
) -> Iterator[_Standing]:
    rows = {row.id: row for row in plan.candidates}
    for pool in plan.pools:
        row = rows[pool.candidate]
        if row.rate_stated:
            continue
        places = tuple(_place(plan, rows, pool, nodes, name) for name in row.accelerators)
        for t, b, rate in _rates(plan, pool, row):
            standing = [_replicas(pool.replicas[t][b], at.rooms[t][b]) for at in places]
            replicas, idle = min(n for n, _ in standing), tuple(left for _, left in standing)
            load = Load(
                pool.candidate, row.demand_class, pool.site, plan.periods[t].label,
                plan.blocks[b].label, "normal", replicas,
                rate / replicas if replicas else math.inf,
                node_replicas=max(math.ceil(at.node.gpus / at.gpus - SLACK) for at in places),
                idle_nodes=min(
                    math.floor(left / at.node.gpus + SLACK)
                    for at, left in zip(places, idle, strict=True)
                ),
            )  # fmt: skip
            yield _Standing(
                load, rate, planned_each_rps(row), simulated(row), places,
                idle, tuple(_planned_out(at.rooms[t], at.node, availability) for at in places),
            )  # fmt: skip


def hardest(some: Sequence[Load]) -> Load:
    """Highest rate a replica, then the smallest pool: none of the others is harder."""
    return max(some, key=_hardness)


def middle(some: Sequence[Load]) -> Load:
    """The middle one by hardness: whichever way it turns out, it decides about half of them."""
    return sorted(some, key=_hardness)[len(some) // 2]


def _hardness(load: Load) -> tuple[float, int]:
    return load.rps_each, -min(load.whole, POOL_MAX)


def _conditions(planned: tuple[int, ...]) -> Iterator[tuple[Condition, tuple[int, ...]]]:
    """Conditions beside the normal one, with the nodes out of each accelerator."""
    if any(planned):
        yield "spares_out", planned
    for k in range(len(planned)):
        yield "one_more_out", tuple(n + (k == i) for i, n in enumerate(planned))


def _planned_out(rooms: Sequence[Room], node: Node, availability: float) -> int:
    """Nodes that may be out at once while the availability target still holds.

    Spares are kept for the nodes that must be up in the period's busiest block, less what is
    rented by the hour: a provider replaces that.
    """
    most = max(now.used - (now.held - now.firm) for now in rooms)
    needed = max(math.ceil(most / node.gpus - SLACK), 0)
    return int(spares(needed, node.out_frac, availability))


def _rates(plan: Plan, pool: PoolRow, row: CandidateRow) -> Iterator[tuple[int, int, float]]:
    """Period, block and rate [1/s] wherever the pool serves."""
    demand = next(d for d in plan.demand if d.name == row.demand_class)
    rates = demand.mean_rps if demand.kind == "batch" else demand.peak_rps
    for t in range(len(plan.periods)):
        for b in range(len(plan.blocks)):
            rate = pool.served_frac[t][b] * rates[t][b]
            if rate > SOME:
                yield t, b, rate


def _with_out(
    one: _Standing, condition: Condition, out: tuple[int, ...], beside: Sequence[_Standing]
) -> list[Load]:
    """The same traffic on the replicas that are left; where none is, on the class's other pools."""
    places = zip(one.places, out, strict=True)
    gpus_out = {place.where: float(n * place.node.gpus) for place, n in places}
    left = one.left(gpus_out)
    lost = left < one.load.replicas
    load = replace(
        one.load,
        condition=condition,
        nodes_out=sum(out),
        replicas=left,
        rps_each=one.load.rps_each if not lost else one.rate / left if left >= 1 else math.inf,
    )
    return [load, *_taken_over(one, load, gpus_out, beside)] if load.down else [load]


def _taken_over(
    one: _Standing,
    lost: Load,
    gpus_out: Mapping[tuple[str, str], float],
    beside: Sequence[_Standing],
) -> Iterator[Load]:
    """What other pools carry in place of one that is lost whole; none where none can be tried.

    Pools on the same machines lose what the nodes out hold beyond the lost pool.
    """
    more_out = {
        place.where: gpus_out[place.where] - one.load.replicas * place.gpus for place in one.places
    }
    able = [(x, x.left(more_out)) for x in beside if x.simulated]
    able = [(x, left) for x, left in able if left >= 1]
    total = sum(left * x.planned_each for x, left in able)
    for other, left in able:
        rate = other.rate + one.rate * left * other.planned_each / total
        yield replace(
            other.load, condition=lost.condition, nodes_out=lost.nodes_out, replicas=left,
            rps_each=rate / left, taken_from=lost.pool,
        )  # fmt: skip


def lot_gpus(plan: Plan, accelerator: str, site: str) -> int:
    """Accelerators that are bought or rented together."""
    return next(
        row.lot_gpus for row in plan.fleet if (row.accelerator, row.site) == (accelerator, site)
    )


def _place(
    plan: Plan,
    rows: Mapping[str, CandidateRow],
    pool: PoolRow,
    nodes: Mapping[tuple[str, str], Node],
    accelerator: str,
) -> _Place:
    where = (accelerator, pool.site)
    rooms = [
        [room(plan, rows, *where, (t, b)) for b in range(len(plan.blocks))]
        for t in range(len(plan.periods))
    ]
    gpus = _packed(rows[pool.candidate], accelerator, lot_gpus(plan, *where))
    return _Place(where, nodes[where], gpus, rooms)


def _packed(row: CandidateRow, accelerator: str, lot: int) -> float:
    """Accelerators of a kind that one replica or unit takes of lots."""
    return sum(
        copies * packed_gpus(gpus, lot) for name, gpus, copies in row.parts if name == accelerator
    )


def room(
    plan: Plan,
    rows: Mapping[str, CandidateRow],
    accelerator: str,
    site: str,
    at: tuple[int, int],
) -> Room:
    """What there is of an accelerator at a site in one period and block."""
    (t, b), lot = at, lot_gpus(plan, accelerator, site)
    mine = [f for f in plan.fleet if (f.site, f.accelerator) == (site, accelerator)]
    by_option = [(f.option, f.lots_by_block[t][b] * f.lot_gpus) for f in mine]
    beside = [
        (p.replicas[t][b], _packed(rows[p.candidate], accelerator, lot))
        for p in plan.pools
        if p.site == site and accelerator in rows[p.candidate].accelerators
    ]
    return Room(
        held=sum(gpus for _, gpus in by_option),
        firm=sum(gpus for option, gpus in by_option if option != "on_demand"),
        used=sum(replicas * gpus for replicas, gpus in beside),
        whole=sum(math.ceil(replicas - SLACK) * gpus for replicas, gpus in beside),
    )


def _replicas(planned: float, now: Room) -> tuple[float, float]:
    """Replicas of a pool at a time, and accelerators that then stand idle beside it.

    The plan counts parts of replicas away from the peak, where machines stand idle: they are
    whole where the idle ones suffice for all pools on these machines. Else a part of a replica
    is a whole one for a part of the block. Where machines are too few, every pool goes short by
    the same share.
    """
    if now.whole <= now.held * (1 + SLACK):
        return max(math.ceil(planned - SLACK), 1.0), now.held - now.whole
    if now.used <= now.held * (1 + SLACK):
        return max(planned, 1.0), now.held - now.used
    left = planned * now.held / now.used
    return (left if left >= 1 - SLACK else 0.0), 0.0
