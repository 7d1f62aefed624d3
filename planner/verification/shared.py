"""What comes to a pool that several classes share, as the statistics of one of them see it.

All classes' requests in one stream, of which one class's are counted: with the same random
numbers the same thing happens whichever class is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from planner.candidates.subject import Subject, promise_of
from planner.schema.demand import Online
from planner.simulate.arrivals import Piece, Requests
from planner.simulate.mixture import Member, mixed_requests
from planner.simulate.timeline import drawn
from planner.verification.loads import Load
from planner.verification.streams import Stream

ALONE: Mapping[str, Subject] = MappingProxyType({})
"""No class beside the load's own."""


@dataclass(frozen=True)
class Arriving:
    """A pool's stream; its gaps as variable as `perf.mixture` takes those of mixed classes."""

    requests: Requests
    """Of all classes; statistics count the load's own."""
    arrival_cv: float
    all_per_own: float = 1.0
    """Requests for each one that is counted."""


def arriving(load: Load, subject: Subject, others: Mapping[str, Subject] = ALONE) -> Arriving:
    """What comes to the pool of a load.

    Parameters
    ----------
    others : by candidate, classes that share the pool among them.
    """
    if not load.beside:
        return Arriving(subject.requests, _cv(subject))
    stream, cv = mixed_stream(dict(load.asked), {**others, load.candidate: subject})
    return Arriving(mixed_requests(stream, counted=0), cv, load.all_each / load.rps_each)


def mixed_stream(
    asked_rps: Mapping[str, float], known: Mapping[str, Subject]
) -> tuple[list[Member], float]:
    """Classes of one stream, and the coefficient of variation of the gaps between requests.

    Parameters
    ----------
    asked_rps : rate of each, by candidate.
    """
    total = sum(asked_rps.values())
    shares = [(known[name], rps / total) for name, rps in asked_rps.items()]
    squares = sum(share * _cv(one) ** 2 for one, share in shares)
    return [Member(one.requests, share, promise_of(one)) for one, share in shares], math.sqrt(
        squares
    )


def planned_beside(
    load: Load, known: Mapping[str, Subject], stream: Stream, seed: int
) -> Piece | None:
    """Other classes' planned requests while a trace of the load's own runs; None where none come.

    On the load's whole replicas.
    """
    seconds = float(stream.piece.times_s[-1])
    others = load.all_each - load.rps_each
    if not load.beside or others * load.whole * seconds < 1.0:
        return None
    beside, cv = mixed_stream({x.candidate: x.rps_each for x in load.beside}, known)
    return drawn(
        mixed_requests(beside), starts_s=np.zeros(1), rates_rps=np.array([others * load.whole]),
        end_s=seconds, arrival_cv=cv, replicas=load.whole, seed=seed,
    )  # fmt: skip


def utilization(load: Load, subjects: Mapping[str, Subject]) -> float:
    """Rate over the rate at which the queue would grow without end; of several classes the sum."""
    return sum(rate / subjects[name].stability_rps for name, rate in load.asked)


def _cv(subject: Subject) -> float:
    return subject.demand.arrival_cv if isinstance(subject.demand, Online) else 1.0
