"""Loads: every pool, period and block of a plan as replicas and a rate each, hardest first.

A load is no harder than another of the same candidate whose rate a replica is at least as high
in a pool no larger: work-aware balancing of more replicas never waits longer. Where nodes that
are out take a whole pool, the class's other pools get its traffic, each by what it is planned for.

A pool that several classes share is a load for each of them: the same replicas, its own rate, and
beside it the rates of the others, none of which may be higher where one load decides another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from planner.candidates.assemble import packed_gpus
from planner.reliability import spares
from planner.result import CandidateRow, Plan, PoolRow, WholePool, whole_pools
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
class Beside:
    """Another class that shares the pool."""

    candidate: str
    rps_each: float
    """Rate of one replica."""
    worth: float = 1.0
    """Requests of the load's class that one of these counts for in the plan."""


@dataclass(frozen=True)
class Load:
    """A pool under load in one period and block, as one of its classes sees it."""

    candidate: str
    demand_class: str
    site: str
    period: str
    block: str
    condition: Condition
    replicas: float
    """Active, less those that are down."""
    rps_each: float
    """Rate of one replica, of the class."""
    nodes_out: int = 0
    node_replicas: int = 0
    """Replicas that one node takes with it."""
    idle_nodes: int = 0
    """Whole nodes that stand idle beside the pool."""
    taken_from: str = ""
    """Pool lost whole, part of whose traffic this one gets; the nodes out are that one's."""
    beside: tuple[Beside, ...] = ()
    """Other classes that share the pool."""

    @property
    def asked(self) -> list[tuple[str, float]]:
        """Candidate and rate of one replica of every class, its own first."""
        others = [(other.candidate, other.rps_each) for other in self.beside]
        return [(self.candidate, self.rps_each), *others]

    @property
    def all_each(self) -> float:
        """Rate of one replica, of all classes."""
        return sum(rate for _, rate in self.asked)

    @property
    def work_each(self) -> float:
        """The same as requests of this class that the plan holds for as much work."""
        return self.rps_each + sum(other.rps_each * other.worth for other in self.beside)

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
        theirs = {one.candidate: one.rps_each for one in other.beside}
        return (
            self.candidate == other.candidate
            and self.rps_each <= other.rps_each * (1 + SLACK)
            and all(
                one.rps_each <= theirs.get(one.candidate, 0.0) * (1 + SLACK) for one in self.beside
            )
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
class _Asked:
    """What one class asks of a pool."""

    candidate: str
    demand_class: str
    rate: float
    """Of the whole pool."""
    planned_each: float
    """Rate of one replica that the plan counts on, with nothing but this class."""


@dataclass(frozen=True)
class _Standing:
    """A pool at one time with all nodes up."""

    load: Load
    """With neither class nor rate."""
    asked: tuple[_Asked, ...]
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

    def pool_of(self, demand_class: str) -> str:
        """What the pool is called where the class is concerned; of others its first name."""
        mine = [one for one in self.asked if one.demand_class == demand_class]
        return f"{(mine or self.asked)[0].candidate} at {self.load.site}"

    def loads(
        self, replicas: float, more: Mapping[str, float] | None = None, *,
        condition: Condition = "normal", nodes_out: int = 0,
    ) -> list[Load]:  # fmt: skip
        """How each class sees the pool on so many replicas, with more traffic by class."""
        extra = more or {}

        def each(one: _Asked) -> float:
            rate = one.rate + extra.get(one.demand_class, 0.0)
            return rate / replicas if replicas >= 1 - SLACK else math.inf

        return [
            replace(
                self.load, candidate=mine.candidate, demand_class=mine.demand_class,
                condition=condition, nodes_out=nodes_out, replicas=replicas, rps_each=each(mine),
                beside=tuple(
                    Beside(one.candidate, each(one), mine.planned_each / one.planned_each)
                    for one in self.asked
                    if one is not mine
                ),
            )
            for mine in self.asked
        ]  # fmt: skip


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
    times: dict[tuple[str, str], list[_Standing]] = {}
    every = list(_standing(plan, nodes, availability))
    for one in every:
        times.setdefault((one.load.period, one.load.block), []).append(one)
    found = []
    for one in every:
        found += one.loads(one.load.replicas)
        beside = [x for x in times[one.load.period, one.load.block] if x is not one]
        for condition, out in _conditions(one.planned_out):
            found += _with_out(one, condition, out, beside)
    return found


def _standing(
    plan: Plan, nodes: Mapping[tuple[str, str], Node], availability: float
) -> Iterator[_Standing]:
    rows = {row.id: row for row in plan.candidates}
    for pool in whole_pools(plan.pools):
        row = rows[pool.first.candidate]
        if row.rate_stated:
            continue
        places = tuple(_place(plan, rows, pool, nodes, name) for name in row.accelerators)
        for t, b, asked in _asked_by_time(plan, pool, rows):
            standing = [_replicas(pool.replicas[t][b], at.rooms[t][b]) for at in places]
            replicas, idle = min(n for n, _ in standing), tuple(left for _, left in standing)
            load = Load(
                "", "", pool.site, plan.periods[t].label, plan.blocks[b].label, "normal",
                replicas, 0.0,
                node_replicas=max(math.ceil(at.node.gpus / at.gpus - SLACK) for at in places),
                idle_nodes=min(
                    math.floor(left / at.node.gpus + SLACK)
                    for at, left in zip(places, idle, strict=True)
                ),
            )  # fmt: skip
            yield _Standing(
                load, asked, simulated(row), places, idle,
                tuple(_planned_out(at.rooms[t], at.node, availability) for at in places),
            )  # fmt: skip


def hardest(some: Sequence[Load]) -> Load:
    """Most work a replica, then the smallest pool: none of the others is harder.

    Among loads of a shared pool others may have a higher rate of one class.
    """
    return max(some, key=_hardness)


def middle(some: Sequence[Load]) -> Load:
    """The middle one by hardness: whichever way it turns out, it decides about half of them."""
    return sorted(some, key=_hardness)[len(some) // 2]


def _hardness(load: Load) -> tuple[float, int]:
    return load.work_each, -min(load.whole, POOL_MAX)


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


def _asked_by_time(
    plan: Plan, pool: WholePool, rows: Mapping[str, CandidateRow]
) -> Iterator[tuple[int, int, tuple[_Asked, ...]]]:
    """Period, block and what classes ask wherever the pool serves."""
    parts = [(part, rows[part.candidate]) for part in pool.parts]
    rates = [_rates(plan, part, row.demand_class) for part, row in parts]
    for t in range(len(plan.periods)):
        for b in range(len(plan.blocks)):
            asked = tuple(
                _Asked(row.id, row.demand_class, by_time[t][b],
                       planned_each_rps(row))
                for (_, row), by_time in zip(parts, rates, strict=True)
                if by_time[t][b] > SOME
            )  # fmt: skip
            if asked:
                yield t, b, asked


def _rates(plan: Plan, part: PoolRow, demand_class: str) -> list[list[float]]:
    """Rate [1/s] that a pool serves of a class, [period][block]."""
    demand = next(d for d in plan.demand if d.name == demand_class)
    rates = demand.mean_rps if demand.kind == "batch" else demand.peak_rps
    return [
        [share * rate for share, rate in zip(shares, of_period, strict=True)]
        for shares, of_period in zip(part.served_frac, rates, strict=True)
    ]


def _with_out(
    one: _Standing, condition: Condition, out: tuple[int, ...], beside: Sequence[_Standing]
) -> list[Load]:
    """The same traffic on the replicas that are left; where none is, on other pools."""
    places = zip(one.places, out, strict=True)
    gpus_out = {place.where: float(n * place.node.gpus) for place, n in places}
    found = one.loads(one.left(gpus_out), condition=condition, nodes_out=sum(out))
    return [*found, *_taken_over(one, found[0], gpus_out, beside)] if found[0].down else found


def _taken_over(
    one: _Standing,
    lost: Load,
    gpus_out: Mapping[tuple[str, str], float],
    beside: Sequence[_Standing],
) -> Iterator[Load]:
    """What other pools carry in place of one that is lost whole; none where none can be tried.

    Pools on the same machines lose what the nodes out hold beyond the lost pool. All classes of a
    pool that gets traffic of one are tried.
    """
    more_out = {
        place.where: gpus_out[place.where] - one.load.replicas * place.gpus for place in one.places
    }
    able = [(x, x.left(more_out)) for x in beside if x.simulated]
    able = [(x, left) for x, left in able if left >= 1]
    for (other, left), more in zip(able, _handed_on(one, able), strict=True):
        if not more:
            continue
        for load in other.loads(left, more, condition=lost.condition, nodes_out=lost.nodes_out):
            own = load.demand_class if load.demand_class in more else next(iter(more))
            yield replace(load, taken_from=one.pool_of(own))


def _handed_on(one: _Standing, able: Sequence[tuple[_Standing, float]]) -> list[dict[str, float]]:
    """More rate by class of each other pool, by what its replicas are planned for."""
    found: list[dict[str, float]] = [{} for _ in able]
    for lost in one.asked:
        weights = [
            left * sum(x.planned_each for x in other.asked if x.demand_class == lost.demand_class)
            for other, left in able
        ]
        for more, weight in zip(found, weights, strict=True):
            if weight:
                more[lost.demand_class] = lost.rate * weight / sum(weights)
    return found


def lot_gpus(plan: Plan, accelerator: str, site: str) -> int:
    """Accelerators that are bought or rented together."""
    return next(
        row.lot_gpus for row in plan.fleet if (row.accelerator, row.site) == (accelerator, site)
    )


def _place(
    plan: Plan,
    rows: Mapping[str, CandidateRow],
    pool: WholePool,
    nodes: Mapping[tuple[str, str], Node],
    accelerator: str,
) -> _Place:
    where = (accelerator, pool.site)
    rooms = [
        [room(plan, rows, *where, (t, b)) for b in range(len(plan.blocks))]
        for t in range(len(plan.periods))
    ]
    gpus = _packed(rows[pool.first.candidate], accelerator, lot_gpus(plan, *where))
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
        (p.replicas[t][b], _packed(rows[p.first.candidate], accelerator, lot))
        for p in whole_pools(plan.pools)
        if p.site == site and accelerator in rows[p.first.candidate].accelerators
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
