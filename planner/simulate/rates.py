"""Largest rate at which a pool keeps its promises in simulation: the formulas' lambda*, refined.

Short runs find two rates, one that keeps the promise and one that breaks it. Between them the
logarithm of a percentile over its target is nearly straight in the rate's logarithm, for each
promise by itself: long runs at one or two rates nearby, all on the same requests, give the rate
at which the first of the promises breaks, and their batches its confidence interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.simulate.arrivals import Requests
from planner.simulate.pool import Pool, Run, joined, simulate
from planner.simulate.statistics import Estimate, estimate, quantile

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

NEAR = 0.02
"""Logarithm of two rates within which one follows from the other's percentiles."""
WIDE = 0.15
"""Logarithm of two rates of short runs between which long ones begin."""
STEEPNESS = 2.0
"""Percentile over target grows by this power of the rate, until two rates tell."""
RISE_LIMITS = 0.25, 40.0
"""Of that power where two rates tell: what requests of a sample say of it is uncertain."""
STEP_LEAST, STEP_MAX = 0.03, 0.5
"""Shortest and longest step of short runs, of the rate's logarithm."""
EXCESS_MAX = 8.0
"""Bound on the logarithm of percentile over target: that of an unstable pool has none."""
LEAST_FRAC = 0.005
"""Share of the guess below which no rate is tried."""
TRIES = 5
"""Most rates of long runs."""
COUNT_LEAST, COUNT_EACH = 10_000, 320
"""Requests counted in a batch: at least, and for each replica."""
SHORT_FRAC = 0.4
"""Of those, in a short run."""
HALF_WIDTH = 0.02
"""Of the confidence interval, as a share of the rate: wider ones ask for more batches."""
BATCHES_MAX = 16
SEEDS_APART = 1_000_003
"""From the seed of some batches to that of the next ones."""


@dataclass(frozen=True)
class Promise:
    """Targets in the engine [s] and the share that must meet each; inf is none.

    Shares of requests; of gaps between tokens, shares of all gaps.
    """

    ttft_s: float
    ttft_percentile: float
    tpot_s: float
    tpot_percentile: float
    gap_s: float = math.inf
    gap_percentile: float = 0.95
    e2e_s: float = math.inf
    e2e_percentile: float = 0.95

    def excesses(self, run: Run) -> Array:
        """Logarithms of the percentiles over their targets, over all batches of a run, (4,).

        Of time to first token, time per output token, gaps between tokens and time to the last
        token. At most 0 where the promise holds. Answers of one token have no gaps.
        """
        return self._over([counts.sum(axis=0) for counts in _counts(run)])

    def excesses_by_batch(self, run: Run) -> Array:
        """The same for each batch, (batches, 4)."""
        return np.array([self._over(counts) for counts in zip(*_counts(run), strict=True)])

    def kept_by(self, run: Run) -> bool:
        """Whether all hold over all batches of a run."""
        return bool(self.excesses(run).max() <= 0)

    def _over(self, counts: Sequence[Whole]) -> Array:
        targets = (
            (self.ttft_s, self.ttft_percentile), (self.tpot_s, self.tpot_percentile),
            (self.gap_s, self.gap_percentile), (self.e2e_s, self.e2e_percentile),
        )  # fmt: skip
        known = np.array([
            quantile(own, percentile) / target_s if target_s < math.inf else 0.0
            for own, (target_s, percentile) in zip(counts, targets, strict=True)
        ])  # fmt: skip
        known = np.where(np.isnan(known), 0.0, known)
        return np.asarray(np.log(np.clip(known, math.exp(-EXCESS_MAX), math.exp(EXCESS_MAX))))


def _counts(run: Run) -> tuple[Whole, ...]:
    """What promises are made on, in the order of their targets, each (batches, bins)."""
    return run.ttft, run.tpot, run.itl, run.e2e


@dataclass(frozen=True)
class _Point:
    """What was seen at a rate."""

    rate_rps: float
    excesses: Array
    """(4,), as of `Promise.excesses`."""

    @property
    def kept(self) -> bool:
        return bool(self.excesses.max() <= 0)


@dataclass(frozen=True)
class _Asked:
    """A pool, what comes to it and what it promised; rates are of one replica, or unit."""

    pool: Pool
    requests: Requests
    promise: Promise
    arrival_cv: float
    limit_rps: float
    count: int
    seed: int

    def run(self, rate_rps: float, *, batches: int, frac: float = 1.0, more: int = 0) -> Run:
        """Batches at a rate; `more` counts those drawn before."""
        return simulate(
            self.pool, self.requests, rate_rps=rate_rps * self.pool.units,
            arrival_cv=self.arrival_cv, count=max(int(frac * self.count), 1), batches=batches,
            seed=self.seed + more * SEEDS_APART,
        )  # fmt: skip

    def short(self, rate_rps: float) -> _Point:
        """What one short run shows."""
        return self.point(rate_rps, self.run(rate_rps, batches=1, frac=SHORT_FRAC))

    def point(self, rate_rps: float, run: Run) -> _Point:
        """What a run shows."""
        return _Point(rate_rps, self.promise.excesses(run))

    def root(self, rate_rps: float, excesses: Array, rise: Array) -> float:
        """Rate at which the first promise breaks, seen from a rate nearby."""
        step = float((-excesses / rise).min())
        return min(rate_rps * math.exp(min(max(step, -STEP_MAX), STEP_MAX)), self.limit_rps)


def counted_requests(pool: Pool) -> int:
    """Requests of a batch that are counted."""
    answering = pool.decode.replicas if pool.decode is not None else 0
    return max(COUNT_LEAST, COUNT_EACH * max(pool.replicas, answering))


def refined_rate(
    pool: Pool,
    requests: Requests,
    promise: Promise,
    *,
    guess_rps: float,
    limit_rps: float,
    arrival_cv: float = 1.0,
    batches: int = 4,
    seed: int = 0,
    count: int | None = None,
) -> Estimate:
    """Largest rate of one replica of the pool at which all promises hold [1/s], with interval.

    Of a pool of two stages, all rates are those of one unit of both.

    Parameters
    ----------
    guess_rps : of one replica, where the search begins: the formulas' rate.
    limit_rps : of one replica, none above is tried: the stability limit, or the most that a plan
        would use.
    arrival_cv : of the pool's stream.
    batches : at least; up to 16 where the interval is wide.
    count : requests of each batch that are counted; 320 a replica, at least 10,000.

    Returns
    -------
    0 where the promise holds not even at 0.5 % of the guess.

    Raises
    ------
    ValueError
        Where a rate is not positive.
    """
    if not (guess_rps > 0 and limit_rps > 0):
        raise ValueError(f"rates must be positive, got {guess_rps} and {limit_rps}")
    size = counted_requests(pool) if count is None else count
    asked = _Asked(pool, requests, promise, arrival_cv, limit_rps, size, seed)
    ends = _bracket(asked, guess_rps)
    if ends is None:
        return Estimate(0.0, 0.0, 0.0)
    rise = _rise(*ends, otherwise=np.full(len(ends[0].excesses), STEEPNESS))
    rate, run, rise = _closest(asked, _crossing(asked, ends, rise), rise, batches)
    while True:
        own = [asked.root(rate, each, rise) for each in promise.excesses_by_batch(run)]
        value = asked.root(rate, promise.excesses(run), rise)
        found = estimate(value, np.array(own))
        if found.high - value <= HALF_WIDTH * value or len(own) >= max(BATCHES_MAX, batches):
            return found
        run = joined([run, asked.run(rate, batches=batches, more=len(own))])


def _bracket(asked: _Asked, guess_rps: float) -> tuple[_Point, _Point] | None:
    """Rates near each other, one kept and one broken in short runs; both `limit_rps` if it is kept.

    None where no rate is kept.
    """
    ends: dict[bool, _Point] = {}
    rate, steepness = min(guess_rps, asked.limit_rps), STEEPNESS
    while rate >= LEAST_FRAC * guess_rps:
        point = asked.short(rate)
        ends[point.kept] = point
        if point.kept and rate >= asked.limit_rps:
            return point, point
        if len(ends) == 2:
            kept, broken = ends[True].rate_rps, ends[False].rate_rps
            if math.log(broken / kept) <= WIDE:
                return ends[True], ends[False]
            rate = math.sqrt(kept * broken)
            continue
        step = float(point.excesses.max()) / steepness
        step = math.copysign(min(max(abs(step), STEP_LEAST), STEP_MAX), 1 if point.kept else -1)
        rate, steepness = min(rate * math.exp(step), asked.limit_rps), steepness / 2
    return None


def _rise(low: _Point, high: _Point, *, otherwise: Array) -> Array:
    """Powers of the rate by which percentiles over their targets grow between two rates."""
    if low.rate_rps == high.rate_rps:
        return otherwise
    rise = (high.excesses - low.excesses) / math.log(high.rate_rps / low.rate_rps)
    return np.clip(rise, *RISE_LIMITS)


def _crossing(asked: _Asked, ends: tuple[_Point, _Point], rise: Array) -> float:
    """Rate between two at which the first promise breaks."""
    low, high = ends
    rate = asked.root(low.rate_rps, low.excesses, rise)
    return min(rate, high.rate_rps)


def _closest(asked: _Asked, rate_rps: float, rise: Array, batches: int) -> tuple[float, Run, Array]:
    """A rate near the largest that keeps the promise, its run, and how percentiles rise there."""
    before: _Point | None = None
    for _ in range(TRIES):
        run = asked.run(rate_rps, batches=batches)
        point = asked.point(rate_rps, run)
        if before is not None:
            low, high = sorted((before, point), key=lambda each: each.rate_rps)
            rise = _rise(low, high, otherwise=rise)
        following = asked.root(rate_rps, point.excesses, rise)
        if abs(math.log(following / rate_rps)) <= NEAR:
            break
        rate_rps, before = following, point
    return point.rate_rps, run, rise
