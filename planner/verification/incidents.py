"""Bad hours: a node fails at the peak, replicas still start, nodes are taken again and again.

Steady states with nodes out are loads (see `loads`); here is the way there: requests of lost
replicas start again elsewhere in their pool, and the class's other pools take over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planner.candidates.machines import REPLACEMENT_H, SOFT_REPAIR_H
from planner.candidates.offers import assumption
from planner.result import CandidateRow
from planner.schema.catalog import Catalog
from planner.schema.demand import Online
from planner.simulate.pool import Outage
from planner.units import HOURS_PER_DAY, SECONDS_PER_HOUR
from planner.verification.hours import END_S, WARM_S, Case, Part
from planner.verification.loads import POOL_MAX, SLACK, Load, hardest, planned_each_rps
from planner.verification.step_ups import hardest_starts
from planner.verification.subjects import Grounds

REPLICA_START_S = "replica-start-s"
REPLICAS_MAX = 64
"""Simulated of a larger pool that is hit, of which the same node is a larger share."""


@dataclass(frozen=True)
class _Hit:
    """A pool that is hit, at its hardest load."""

    load: Load
    beside: Sequence[Load]
    """Of the class's other pools at the same time."""
    rows: Mapping[str, CandidateRow]
    catalog: Catalog

    @property
    def size(self) -> int:
        """Replicas simulated."""
        return min(self.load.whole, REPLICAS_MAX)


def cases(on: Grounds, *, taken_per_node_day: float = 0.0, seed: int = 0) -> list[Case]:
    """Bad hours of every online pool at its hardest load, and of its class's hardest step-up.

    Parameters
    ----------
    taken_per_node_day : how often a node is taken back, as spot machines are; 0 is never.
    """
    own = {site.name for site in on.scenario.sites if site.kind != "cloud"}
    rows = {row.id: row for row in on.plan.candidates}
    online = [demand.name for demand in on.scenario.demand if isinstance(demand, Online)]
    normal = [load for load in on.able if load.condition == "normal" and not load.down]
    found = []
    for some in _pools(normal, online):
        load = hardest(some)
        beside = [x for x in normal if _at(x) == _at(load) and x.pool != load.pool]
        hit = _Hit(load, beside, rows, on.catalog)
        found.append(_node_fails(hit, own=load.site in own))
        if taken_per_node_day > 0:
            found.append(_interruptions(hit, taken_per_node_day, seed))
    for name in online:
        found += _replicas_start(on, normal, name, rows)
    return found


def _at(load: Load) -> tuple[str, str, str]:
    """Whose pools stand in for one another."""
    return load.demand_class, load.period, load.block


def _pools(normal: Sequence[Load], online: Sequence[str]) -> Iterator[list[Load]]:
    """Loads of every online pool."""
    groups: dict[str, list[Load]] = {}
    for load in normal:
        if load.demand_class in online:
            groups.setdefault(load.pool, []).append(load)
    yield from groups.values()


def _part(
    load: Load,
    rows: Mapping[str, CandidateRow],
    outages: Sequence[Outage] = (),
    *,
    each_before: float | None = None,
) -> Part:
    """A pool as it is simulated; one that nothing happens to in fewer replicas."""
    size = min(load.whole, REPLICAS_MAX if outages else POOL_MAX)
    before = load.rps_each if each_before is None else each_before
    return Part(load, size, planned_each_rps(rows[load.candidate]), before, tuple(outages))


def _node_fails(hit: _Hit, *, own: bool) -> Case:
    load, catalog = hit.load, hit.catalog
    if load.idle_nodes:
        back_s, back_by = assumption(catalog, REPLICA_START_S).value, "an idle node starts"
    elif own:
        back_s = assumption(catalog, SOFT_REPAIR_H).value * SECONDS_PER_HOUR
        back_by = "reset and reboot; no node is idle"
    else:
        back_s = assumption(catalog, REPLACEMENT_H).value * SECONDS_PER_HOUR
        back_by = "the provider replaces it"
    out = min(load.node_replicas, hit.size)
    failed = _part(load, hit.rows, [Outage(WARM_S, j, WARM_S + back_s) for j in range(out)])
    return Case("node_fails", (failed, *_others(hit, back_s)), out, back_s, back_by)


def _others(hit: _Hit, back_s: float) -> Iterator[Part]:
    """The class's other pools; those on the same machines lose the rest of the node that fails."""
    rest = max(1 - hit.load.whole / hit.load.node_replicas, 0.0)
    mine = set(hit.rows[hit.load.candidate].accelerators)
    for load in hit.beside:
        out = 0
        if load.site == hit.load.site and mine & set(hit.rows[load.candidate].accelerators):
            out = min(math.ceil(load.node_replicas * rest - SLACK), load.whole)
        yield _part(load, hit.rows, [Outage(WARM_S, j, WARM_S + back_s) for j in range(out)])


def _replicas_start(
    on: Grounds, normal: Sequence[Load], name: str, rows: Mapping[str, CandidateRow]
) -> list[Case]:
    """The hour in which most of a class only starts with a block; none where nothing does."""
    back_s = assumption(on.catalog, REPLACEMENT_H).value * SECONDS_PER_HOUR
    found = []
    for start in hardest_starts(on.plan, normal, name, on.block_of_hour):
        load = start.load
        size = min(load.whole, REPLICAS_MAX)
        up = min(int(start.up * size / load.replicas + SLACK), size)
        outages = [Outage(0.0, j, WARM_S + back_s) for j in range(up, size)]
        before = start.rate_before / load.replicas
        found.append(_part(load, rows, outages, each_before=before))
    if not found:
        return []
    found.sort(key=lambda part: -len(part.outages) * part.scale * part.planned_each)
    by = f"rented when {found[0].load.block} begins; until then what runs carries it all"
    return [Case("replicas_start", tuple(found), len(found[0].outages), back_s, by)]


def _interruptions(hit: _Hit, per_node_day: float, seed: int) -> Case:
    """Nodes of one pool are taken at random over the hour; each comes back on another machine."""
    back_s = assumption(hit.catalog, REPLACEMENT_H).value * SECONDS_PER_HOUR
    taken = _part(hit.load, hit.rows, _taken(hit, per_node_day, back_s, seed))
    together = max((taken.replicas - taken.up(out.start_s) for out in taken.outages), default=0)
    by = f"{per_node_day:g} a node and day; the provider gives another"
    parts = (taken, *(_part(other, hit.rows) for other in hit.beside))
    return Case("interruptions", parts, together, back_s, by)


def _taken(hit: _Hit, per_node_day: float, back_s: float, seed: int) -> list[Outage]:
    """Outages of nodes that are taken at random; one that is out is not taken again."""
    each = min(hit.load.node_replicas, hit.size)
    draw = np.random.default_rng(seed)
    outages, free = list[Outage](), dict[int, float]()
    nodes = math.ceil(hit.size / each)
    count = int(draw.poisson(per_node_day / HOURS_PER_DAY * nodes))
    for at in np.sort(draw.uniform(WARM_S, END_S, count)).tolist():
        node = int(draw.integers(nodes))
        if free.get(node, 0.0) <= at:
            free[node] = at + back_s
            mine = range(node * each, min((node + 1) * each, hit.size))
            outages += [Outage(at, j, at + back_s) for j in mine]
    return outages
