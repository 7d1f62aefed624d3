"""Bad hours: a node fails at the peak, replicas still start, nodes are taken again and again.

Steady states with nodes out are loads (see `loads`); here is the way there: requests of lost
replicas start again elsewhere, and the rest carries all traffic until replicas are back. A pool
that one node takes whole answers nobody until then: other pools are not asked within the hour.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.candidates.machines import REPLACEMENT_H, SOFT_REPAIR_H
from planner.candidates.offers import assumption
from planner.candidates.subject import Subject, pool_of
from planner.result import Incident
from planner.result.verification import IncidentKind
from planner.schema.catalog import Catalog
from planner.schema.demand import Online
from planner.simulate.arrivals import Piece
from planner.simulate.pool import Outage
from planner.simulate.statistics import share_above
from planner.simulate.timeline import Timeline, drawn, joined_pieces, timeline
from planner.units import HOURS_PER_DAY, SECONDS_PER_HOUR
from planner.verification.loads import SLACK, Load, hardest
from planner.verification.promised import Promised, promised
from planner.verification.step_ups import Start, hardest_starts
from planner.verification.subjects import Grounds

Array = NDArray[np.float64]
Whole = NDArray[np.int64]
REPLICA_START_S = "replica-start-s"
WARM_S, WINDOW_S, WINDOWS_SEEN = 600.0, 60.0, 5
"""Before the hour; shares are read in running spans of five minutes."""
LEAST_BEFORE = 0.01
"""Rate before a block, over that in it, of a pool that then only stands by."""
REPLICAS_MAX = 64
"""Simulated of a larger pool, of which the same node is a larger share."""


@dataclass(frozen=True)
class Case:
    """One bad hour to simulate."""

    kind: IncidentKind
    load: Load
    replicas: int
    rps_before: float
    """Of the pool, until the hour begins."""
    outages: tuple[Outage, ...]
    replicas_out: int
    back_s: float
    back_by: str
    rps_meanwhile: float | None = None
    """Of the pool until all replicas are back, where others are missing too."""

    @property
    def requests(self) -> float:
        """About so many are simulated."""
        return self.load.rps_each * self.replicas * SECONDS_PER_HOUR


def cases(on: Grounds, *, taken_per_node_day: float = 0.0, seed: int = 0) -> list[Case]:
    """Bad hours of every online pool at its hardest load, and at its class's hardest step-up.

    Parameters
    ----------
    taken_per_node_day : how often a node is taken back, as spot machines are; 0 is never.
    """
    own = {site.name for site in on.scenario.sites if site.kind != "cloud"}
    online = [demand.name for demand in on.scenario.demand if isinstance(demand, Online)]
    normal = [load for load in on.able if load.condition == "normal" and not load.down]
    found = []
    for some in _pools(normal, online):
        load = hardest(some)
        found.append(_node_fails(load, on.catalog, own=load.site in own))
        if taken_per_node_day > 0:
            found.append(_interruptions(load, on.catalog, taken_per_node_day, seed))
    for name in online:
        starts = hardest_starts(on.plan, normal, name, on.block_of_hour)
        found += [_replicas_start(start, on.catalog) for start in starts]
    return found


def simulated(case: Case, subject: Subject, *, seed: int) -> Incident:
    """Simulate one bad hour."""
    demand, load = subject.demand, case.load
    assert isinstance(demand, Online)
    line = _line(case, subject, demand, seed)
    first = int(np.searchsorted(line.starts_s, WARM_S))
    asked = promised(demand.slo, subject.request_s)
    late = np.array([_late_frac(getattr(line.run, one.counts), one) for one in asked])
    allowed = np.array([one.allowed_frac for one in asked])
    worse = int(np.argmax(late / allowed))
    by_span = np.stack([_running(getattr(line, one.counts)[first:], one) for one in asked], axis=1)
    return Incident(
        kind=case.kind,
        candidate=load.candidate,
        demand_class=load.demand_class,
        site=load.site,
        period=load.period,
        block=load.block,
        replicas=case.replicas,
        rps_per_replica=load.rps_each,
        replicas_out=case.replicas_out,
        back_s=case.back_s,
        back_by=case.back_by,
        late_frac=float(late[worse]),
        promised_late_frac=float(allowed[worse]),
        worst_frac=float(by_span[:, worse].max(initial=0.0)),
        recovered_s=_recovered_s(np.atleast_1d((by_span > allowed).any(axis=1))),
    )


def _pools(normal: Sequence[Load], online: Sequence[str]) -> Iterator[list[Load]]:
    """Loads of every online pool."""
    groups: dict[str, list[Load]] = {}
    for load in normal:
        if load.demand_class in online:
            groups.setdefault(load.pool, []).append(load)
    yield from groups.values()


def _node_fails(load: Load, catalog: Catalog, *, own: bool) -> Case:
    size = min(load.whole, REPLICAS_MAX)
    out = min(load.node_replicas, size)
    if load.idle_nodes:
        back_s, back_by = assumption(catalog, REPLICA_START_S).value, "an idle node starts"
    elif own:
        back_s = assumption(catalog, SOFT_REPAIR_H).value * SECONDS_PER_HOUR
        back_by = "reset and reboot; no node is idle"
    else:
        back_s = assumption(catalog, REPLACEMENT_H).value * SECONDS_PER_HOUR
        back_by = "the provider replaces it"
    outages = tuple(Outage(WARM_S, j, WARM_S + back_s) for j in range(out))
    return Case(
        "node_fails", load, size, load.rps_each * size, outages, out, back_s, back_by
    )  # fmt: skip


def _replicas_start(start: Start, catalog: Catalog) -> Case:
    load = start.load
    size = min(load.whole, REPLICAS_MAX)
    part = size / load.replicas
    up = min(int(start.up * part + SLACK), size)
    back_s = assumption(catalog, REPLACEMENT_H).value * SECONDS_PER_HOUR
    outages = tuple(Outage(0.0, j, WARM_S + back_s) for j in range(up, size))
    before = max(start.rate_before, LEAST_BEFORE * start.rate)
    return Case(
        "replicas_start", load, size, before * part, outages, size - up, back_s,
        f"rented when {load.block} begins; until then what runs carries it all",
        rps_meanwhile=start.rate * part,
    )  # fmt: skip


def _interruptions(load: Load, catalog: Catalog, per_node_day: float, seed: int) -> Case:
    """Nodes are taken at random over the hour; each comes back on another machine."""
    size = min(load.whole, REPLICAS_MAX)
    each = min(load.node_replicas, size)
    back_s = assumption(catalog, REPLACEMENT_H).value * SECONDS_PER_HOUR
    draw = np.random.default_rng(seed)
    outages, free = list[Outage](), dict[int, float]()
    nodes = math.ceil(size / each)
    count = int(draw.poisson(per_node_day / HOURS_PER_DAY * nodes))
    for at in np.sort(draw.uniform(WARM_S, WARM_S + SECONDS_PER_HOUR, count)).tolist():
        node = int(draw.integers(nodes))
        if free.get(node, 0.0) <= at:
            free[node] = at + back_s
            mine = range(node * each, min((node + 1) * each, size))
            outages += [Outage(at, j, at + back_s) for j in mine]
    together = max(
        (sum(o.start_s <= at.start_s < o.end_s for o in outages) for at in outages), default=0
    )
    return Case(
        "interruptions", load, size, load.rps_each * size, tuple(outages), together, back_s,
        f"{per_node_day:g} a node and day; the provider gives another",
    )  # fmt: skip


def _line(case: Case, subject: Subject, demand: Online, seed: int) -> Timeline:
    def stretch(rate_rps: float, start_s: float, seconds: float, own: int) -> Piece:
        return drawn(
            subject.requests, rate_rps=rate_rps, arrival_cv=demand.arrival_cv, seconds=seconds,
            replicas=case.replicas, seed=own, start_s=start_s,
        )  # fmt: skip

    rate, first_s = case.load.rps_each * case.replicas, 0.0
    parts = [stretch(case.rps_before, 0.0, WARM_S, seed)]
    if case.rps_meanwhile is not None:
        first_s = min(case.back_s, SECONDS_PER_HOUR)
        parts.append(stretch(case.rps_meanwhile, WARM_S, first_s, seed + 2))
    if first_s < SECONDS_PER_HOUR:
        parts.append(stretch(rate, WARM_S + first_s, SECONDS_PER_HOUR - first_s, seed + 1))
    pool = pool_of(subject, case.replicas, case.outages)
    return timeline(pool, joined_pieces(parts), window_s=WINDOW_S, counted_from_s=WARM_S)


def _late_frac(counts: Whole, one: Promised) -> float:
    """Share that comes later than promised, of counts (windows, bins); 0 of none."""
    return float(np.nan_to_num(share_above(counts.sum(axis=0), one.target_s)))


def _running(counts: Whole, one: Promised) -> Array:
    """Late shares in running spans of windows, (spans,)."""
    spans = max(len(counts) - WINDOWS_SEEN + 1, 1)
    return np.array([_late_frac(counts[i : i + WINDOWS_SEEN], one) for i in range(spans)])


def _recovered_s(late_spans: NDArray[np.bool_]) -> float | None:
    """From the start of the hour to the end of the last span that is worse than promised."""
    late = np.flatnonzero(late_spans)
    if late.size == 0:
        return 0.0
    if late[-1] == len(late_spans) - 1:
        return None
    return float((late[-1] + WINDOWS_SEEN) * WINDOW_S)
