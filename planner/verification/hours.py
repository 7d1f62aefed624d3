"""One bad hour of a class, simulated: its pools share the traffic as replicas leave and come back.

As long as replicas are missing, all pools of the class share its traffic, each by what those of
its replicas that run are planned for; the hour is judged over all of the class's requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.candidates.subject import Subject, pool_of
from planner.result import Incident
from planner.result.verification import IncidentKind
from planner.schema.demand import Online
from planner.simulate.pool import Outage
from planner.simulate.statistics import share_above
from planner.simulate.timeline import drawn, timeline
from planner.units import SECONDS_PER_HOUR
from planner.verification.loads import Load
from planner.verification.promised import Promised, promised
from planner.verification.shared import arriving

Array = NDArray[np.float64]
WARM_S, WINDOW_S, WINDOWS_SEEN = 600.0, 60.0, 5
"""Before the hour; shares are read in running spans of five minutes."""
END_S = WARM_S + SECONDS_PER_HOUR
WINDOWS = round(END_S / WINDOW_S)


@dataclass(frozen=True)
class Part:
    """A pool of the class in the hour."""

    load: Load
    replicas: int
    """Simulated."""
    planned_each: float
    """By which traffic is shared."""
    each_before: float
    """Rate of one replica until the hour begins."""
    outages: tuple[Outage, ...] = ()

    @property
    def scale(self) -> float:
        """Replicas of the pool for each that is simulated."""
        return self.load.replicas / self.replicas

    def up(self, at_s: float) -> int:
        """Replicas in service."""
        down = {one.replica for one in self.outages if one.start_s <= at_s < one.end_s}
        return self.replicas - len(down)


@dataclass(frozen=True)
class Case:
    """One bad hour of a class to simulate; the pool that is hit comes first."""

    kind: IncidentKind
    parts: tuple[Part, ...]
    replicas_out: int
    back_s: float
    back_by: str

    @property
    def load(self) -> Load:
        """Of the pool that is hit."""
        return self.parts[0].load

    @property
    def requests(self) -> float:
        """About so many are simulated at once."""
        return max(x.load.all_each * x.replicas for x in self.parts) * SECONDS_PER_HOUR


def simulated(case: Case, known: Mapping[str, Subject], *, seed: int) -> Incident:
    """Simulate one bad hour.

    Parameters
    ----------
    known : candidates by name.
    """
    demand, load, hit = known[case.load.candidate].demand, case.load, case.parts[0]
    assert isinstance(demand, Online)
    asked = promised(demand.slo, 0.0)
    allowed = np.array([one.allowed_frac for one in asked])
    late, counted = _counted(case, known, seed)
    of_hour = _share(late.sum(axis=0), counted.sum(axis=0))
    by_span = _share(_running(late), _running(counted))
    worse = int(np.argmax(of_hour / allowed))
    return Incident(
        kind=case.kind,
        candidate=load.candidate,
        demand_class=load.demand_class,
        site=load.site,
        period=load.period,
        block=load.block,
        replicas=hit.replicas,
        rps_per_replica=load.rps_each,
        replicas_out=case.replicas_out,
        taken_over_by=[part.load.pool for part in case.parts[1:]],
        back_s=case.back_s,
        back_by=case.back_by,
        promise=asked[worse].name,
        late_frac=float(of_hour[worse]),
        promised_late_frac=float(allowed[worse]),
        worst_frac=float(by_span[:, worse].max()),
        recovered_s=_recovered_s(np.atleast_1d((by_span > allowed).any(axis=1))),
    )


def rates(case: Case) -> tuple[Array, Array]:
    """Times from which rates hold [s], and rates of all simulated replicas of each pool.

    (times,) and (times, parts). The first ends when the hour begins; the others begin with it and
    wherever a replica leaves or comes back.
    """
    edges = {t for part in case.parts for out in part.outages for t in (out.start_s, out.end_s)}
    times = [WARM_S, *sorted(t for t in edges if WARM_S < t < END_S)]
    before = [part.each_before * part.replicas for part in case.parts]
    return np.array([0.0, *times]), np.array([before, *(_shared(case.parts, t) for t in times)])


def _shared(parts: Sequence[Part], at_s: float) -> list[float]:
    """Rates as planned where all replicas are up, or none is; else by what those up can do."""
    planned = np.array([part.load.rps_each * part.replicas for part in parts])
    up, size = (np.array(x) for x in ([x.up(at_s) for x in parts], [x.replicas for x in parts]))
    if (up == size).all() or not up.any():
        return [float(x) for x in planned]
    scale = np.array([part.scale for part in parts])
    able = up * np.array([part.planned_each for part in parts])
    return [float(x) for x in (planned * scale).sum() / (able * scale).sum() * able]


def _counted(case: Case, known: Mapping[str, Subject], seed: int) -> tuple[Array, Array]:
    """Late ones and all, by window of the hour and promised figure, over all pools of the class."""
    times, by_part = rates(case)
    found = [
        part.scale * _of_part(part, known, times, by_part[:, number], seed + number)
        for number, part in enumerate(case.parts)
    ]
    late, counted = np.sum(found, axis=0)
    return np.asarray(late, float), np.asarray(counted, float)


def _of_part(
    part: Part, known: Mapping[str, Subject], times_s: Array, rates_rps: Array, seed: int
) -> Array:
    """Late ones and all of one pool, (2, windows of the hour, promised figures).

    Of a pool that classes share the others' rates are taken to move in step with this one's.
    """
    subject = known[part.load.candidate]
    come = arriving(part.load, subject, known)
    demand, first = subject.demand, round(WARM_S / WINDOW_S)
    assert isinstance(demand, Online)
    asked = promised(demand.slo, subject.request_s)
    found = np.zeros((2, WINDOWS, len(asked)))
    piece = drawn(
        come.requests, starts_s=times_s, rates_rps=rates_rps * come.all_per_own, end_s=END_S,
        arrival_cv=come.arrival_cv, replicas=part.replicas, seed=seed,
    )  # fmt: skip
    if piece.times_s.size and piece.times_s[-1] >= WARM_S:
        pool = pool_of(subject, part.replicas, part.outages)
        line = timeline(pool, piece, window_s=WINDOW_S, counted_from_s=WARM_S)
        places = np.rint(line.starts_s / WINDOW_S).astype(int)
        for number, one in enumerate(asked):
            counts = getattr(line, one.counts)
            found[1, places, number] = counts.sum(axis=1)
            found[0, places, number] = [_late(row, one) for row in counts]
    return found[:, first:]


def _late(counts: NDArray[np.int64], one: Promised) -> float:
    total = float(counts.sum())
    return total * share_above(counts, one.target_s) if total else 0.0


def _share(late: Array, counted: Array) -> Array:
    """Late ones of all; 0 of none."""
    return np.divide(late, counted, out=np.zeros(late.shape), where=counted > 0)


def _running(by_window: Array) -> Array:
    """Sums over running spans of windows."""
    seen = np.lib.stride_tricks.sliding_window_view(by_window, WINDOWS_SEEN, axis=0)
    return np.asarray(seen.sum(axis=-1), float)


def _recovered_s(late_spans: NDArray[np.bool_]) -> float | None:
    """From the start of the hour to the end of the last span that is worse than promised."""
    late = np.flatnonzero(late_spans)
    if late.size == 0:
        return 0.0
    if late[-1] == len(late_spans) - 1:
        return None
    return float((late[-1] + WINDOWS_SEEN) * WINDOW_S)
