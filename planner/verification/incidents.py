"""Bad hours: a node fails at the peak, replicas still start, nodes are taken again and again.

Steady states with nodes out are loads (see `loads`); here is the way there: requests of lost
replicas start again elsewhere, and the rest carries all traffic until replicas are back.
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
from planner.result import CandidateRow, Incident, Plan
from planner.result.verification import IncidentKind
from planner.schema.catalog import Catalog
from planner.schema.demand import Online
from planner.schema.scenario import Scenario
from planner.simulate.arrivals import Piece
from planner.simulate.pool import Outage
from planner.simulate.timeline import Timeline, drawn, joined_pieces, timeline
from planner.units import HOURS_PER_DAY, SECONDS_PER_HOUR
from planner.verification.loads import Load, hardest
from planner.verification.trials import late_fracs

Array = NDArray[np.float64]
Whole = NDArray[np.int64]
REPLICA_START_S = "replica-start-s"
WARM_S, WINDOW_S, WINDOWS_SEEN = 600.0, 60.0, 5
"""Before the hour; shares are read in running spans of five minutes."""
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


def cases(
    plan: Plan,
    loads: Sequence[Load],
    scenario: Scenario,
    catalog: Catalog,
    *,
    taken_per_node_day: float = 0.0,
    seed: int = 0,
) -> list[Case]:
    """Bad hours of every online pool at its hardest load.

    Parameters
    ----------
    taken_per_node_day : how often a node is taken back, as spot machines are; 0 is never.
    """
    own = {site.name for site in scenario.sites if site.kind != "cloud"}
    online = {demand.name for demand in scenario.demand if isinstance(demand, Online)}
    rows = {row.id: row for row in plan.candidates}
    found = []
    for some in _pools(loads, online):
        load = hardest(some)
        found.append(_node_fails(load, catalog, own=load.site in own))
        found += _replicas_start(some, rows[load.candidate], plan, catalog)
        if taken_per_node_day > 0:
            found.append(_interruptions(load, catalog, taken_per_node_day, seed))
    return found


def simulated(case: Case, subject: Subject, *, seed: int) -> Incident:
    """Simulate one bad hour."""
    demand, load = subject.demand, case.load
    assert isinstance(demand, Online)
    line = _line(case, subject, demand, seed)
    first = int(np.searchsorted(line.starts_s, WARM_S))
    ttft, tpot = line.ttft[first:], line.tpot[first:]
    late = np.nan_to_num(late_fracs(line.run.ttft, line.run.tpot, demand.slo, subject.request_s))
    allowed = np.array([1 - demand.slo.ttft_percentile, 1 - demand.slo.tpot_percentile])
    worse = int(np.argmax(late / allowed))
    by_span = _running(ttft, tpot, demand, subject.request_s)
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


def _pools(loads: Sequence[Load], online: set[str]) -> Iterator[list[Load]]:
    """Normal loads of every online pool that has a replica."""
    groups: dict[tuple[str, str], list[Load]] = {}
    for load in loads:
        if load.condition == "normal" and load.demand_class in online and not load.down:
            groups.setdefault((load.candidate, load.site), []).append(load)
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


def _replicas_start(
    some: Sequence[Load], row: CandidateRow, plan: Plan, catalog: Catalog
) -> Iterator[Case]:
    """From the next quieter block of the period, where machines are rented by the hour."""
    load = max(some, key=lambda x: x.rps_each * x.replicas)
    here = {(name, load.site) for name in row.accelerators}
    mine = [fleet for fleet in plan.fleet if (fleet.accelerator, fleet.site) in here]
    by_hour = any(fleet.option == "on_demand" for fleet in mine)
    quieter = [x for x in some if x.period == load.period and x.whole < load.whole]
    if not by_hour or not quieter:
        return
    before = max(quieter, key=lambda x: x.replicas)
    size = min(load.whole, REPLICAS_MAX)
    up = max(1, math.floor(size * before.whole / load.whole))
    back_s = assumption(catalog, REPLACEMENT_H).value * SECONDS_PER_HOUR
    outages = tuple(Outage(0.0, j, WARM_S + back_s) for j in range(up, size))
    yield Case(
        "replicas_start", load, size, before.rps_each * up, outages, size - up, back_s,
        f"rented when {load.block} begins, not before",
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

    parts = [
        stretch(case.rps_before, 0.0, WARM_S, seed),
        stretch(case.load.rps_each * case.replicas, WARM_S, SECONDS_PER_HOUR, seed + 1),
    ]
    pool = pool_of(subject, case.replicas, case.outages)
    return timeline(pool, joined_pieces(parts), window_s=WINDOW_S, counted_from_s=WARM_S)


def _running(ttft: Whole, tpot: Whole, demand: Online, request_s: float) -> Array:
    """Late shares of both promises in running spans of windows, (spans, 2)."""
    spans = max(len(ttft) - WINDOWS_SEEN + 1, 1)
    found = [
        late_fracs(ttft[i : i + WINDOWS_SEEN], tpot[i : i + WINDOWS_SEEN], demand.slo, request_s)
        for i in range(spans)
    ]
    return np.asarray(np.nan_to_num(np.array(found)), float)


def _recovered_s(late_spans: NDArray[np.bool_]) -> float | None:
    """From the start of the hour to the end of the last span that is worse than promised."""
    late = np.flatnonzero(late_spans)
    if late.size == 0:
        return 0.0
    if late[-1] == len(late_spans) - 1:
        return None
    return float((late[-1] + WINDOWS_SEEN) * WINDOW_S)
