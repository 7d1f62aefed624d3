"""Simulated rates of mixes: the share of its row that a pool keeps, one for all of its classes.

A pool of every size that the plan may need is asked on a few mixtures: the one expected at the
busiest hour, and those in which each class is nearly alone. The smallest share of the row at which
every class's promise holds in all of them is planned; never more than the row, which lies below the
formulas' border on mixtures that are not simulated too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.candidates.case import Case
from planner.candidates.mix_rows import expected_rps
from planner.candidates.subject import Subject, pool_of, promise_of, subject_of
from planner.candidates.table import Table
from planner.files.cache import key_of, remembered
from planner.perf.mix_region import shares_of
from planner.perf.pooling import carried_rps
from planner.schema.demand import Online
from planner.simulate.mixture import Member, largest_mix_rate, mixed_requests
from planner.simulate.pool import simulate
from planner.simulate.rates import counted_requests

Array = NDArray[np.float64]

NEARLY_ALONE = 0.9
"""Share of the requests that are of one class, where the others are almost absent."""
LEAST_SHARE = 0.02
"""Of a class in the mixture expected: rarer ones take too many requests to be seen."""
BATCHES = 2


@dataclass(frozen=True)
class Kept:
    """What simulation says of a mix."""

    share: float
    """Of its planned row, at most 1; 0 where no rate keeps the promises."""
    preempted_frac: float
    """Of requests whose cache is taken back; NaN where no rate keeps the promises."""


@dataclass(frozen=True)
class _Stream:
    """Requests of several classes by their shares."""

    subjects: tuple[Subject, ...]
    shares: Array
    seed: int

    @property
    def members(self) -> list[Member]:
        """The classes as the simulator counts them."""
        each = zip(self.subjects, self.shares.tolist(), strict=True)
        return [Member(one.requests, share, promise_of(one)) for one, share in each]

    @property
    def arrival_cv(self) -> float:
        """Of the gaps of the stream."""
        cvs = [_online(one).arrival_cv for one in self.subjects]
        return float(np.sqrt(self.shares @ np.square(cvs)))

    def kept_rps(self, replicas: int, most_rps: float) -> float:
        """Largest rate of one replica at which all promises hold, none above the most asked."""
        return largest_mix_rate(
            pool_of(self.subjects[0], replicas), self.members, guess_rps=most_rps,
            limit_rps=most_rps, arrival_cv=self.arrival_cv, batches=BATCHES, seed=self.seed,
        )  # fmt: skip

    def preempted_frac(self, replicas: int, rate_rps: float) -> float:
        """Share of the requests of one batch whose cache is taken back at a rate of a replica."""
        pool = pool_of(self.subjects[0], replicas)
        run = simulate(
            pool, mixed_requests(self.members), rate_rps=rate_rps * replicas,
            arrival_cv=self.arrival_cv, count=counted_requests(pool), batches=1, seed=self.seed,
        )  # fmt: skip
        return float(run.preempted.sum() / run.arrived.sum())


def kept(
    case: Case, i: int, *, sizes: Sequence[int], pressed_size: int, margin: float, seed: int
) -> Kept:
    """Share of its row at which a mix keeps every promise.

    Parameters
    ----------
    i : position of any of its candidates.
    sizes : pools that may be asked; none beyond the first that carries all traffic.
    margin : share by which the plan stays below what simulation keeps.
    """
    table, pool = case.table, case.table.pool(i)
    subjects = tuple(subject_of(case.scenario, case.catalog, table, j) for j in pool)
    full = case.lowered.get(table.names[i], 1.0)
    expected = expected_rps(table, case.traffic, tuple(pool))
    need = float((expected / table.rate_rps[pool]).sum() + table.offset_rps[i] / table.rate_rps[i])
    asked = [k for before, k in zip((0, *sizes), sizes, strict=False) if before < need * full]
    streams = [_Stream(subjects, shares, seed) for shares in _mixtures(expected)]
    planned = [[_carried(table, pool, each.shares, k) / full for each in streams] for k in asked]
    pressed = _carried(table, pool, streams[0].shares, pressed_size) / full

    def compute() -> tuple[float, float]:
        share = 1.0
        for k, rates in zip(asked, planned, strict=True):
            for each, rate in zip(streams, rates, strict=True):
                if share * rate > 0:
                    most = share * rate / (1.0 - margin)
                    share *= each.kept_rps(k, most) / most
        lost = streams[0].preempted_frac(pressed_size, share * pressed) if share else math.nan
        return share, lost

    key = key_of(
        "mix", subjects[0].one, [_asked(one) for one in subjects], asked, planned, pressed,
        [each.shares.tolist() for each in streams], margin, seed, BATCHES,
    )  # fmt: skip
    return Kept(*remembered(key, compute))


def _mixtures(expected: Array) -> Array:
    """Shares of the classes, (mixtures, classes); the one expected first.

    Examples
    --------
    >>> _mixtures(np.array([3.0, 1.0])).round(3).tolist()
    [[0.75, 0.25], [0.9, 0.1], [0.1, 0.9]]
    """
    count = len(expected)
    usual = np.maximum(shares_of(expected), LEAST_SHARE)
    rest = (1.0 - NEARLY_ALONE) / (count - 1)
    alone = np.full((count, count), rest) + np.eye(count) * (NEARLY_ALONE - rest)
    return np.concatenate([usual[None] / usual.sum(), alone])


def _carried(table: Table, pool: list[int], shares: Array, replicas: int) -> float:
    """Total rate of one replica that a plan gives pools of a size on a mixture [1/s]."""
    small = table.small_rps
    most = [
        float(
            carried_rps(
                replicas, peak_replicas=replicas, rate_rps=float(table.rate_rps[j]),
                offset_rps=float(table.offset_rps[j]), small_rps=small[j].tolist(),
            )
        )
        for j in pool
    ]  # fmt: skip
    return 1.0 / float((shares / most).sum()) / replicas if min(most) > 0 else 0.0


def _asked(subject: Subject) -> tuple[object, ...]:
    """What comes of one class, and its promise."""
    asked = subject.requests
    lengths = [x.tobytes().hex() for x in (asked.prompts, asked.answers, asked.hits)]
    return lengths, promise_of(subject), _online(subject).arrival_cv


def _online(subject: Subject) -> Online:
    assert isinstance(subject.demand, Online)
    return subject.demand
