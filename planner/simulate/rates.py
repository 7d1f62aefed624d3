"""Largest rate at which a pool keeps its promises in simulation: the formulas' lambda*, refined.

Every batch has its own requests, the same at every rate, so that each batch has its own largest
rate, found by bisection; their spread gives the confidence interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from planner.simulate.arrivals import Requests
from planner.simulate.pool import Pool, Run, simulate
from planner.simulate.statistics import Estimate, estimate

RATE_RTOL = 0.004
"""Width at which a bisection ends, as a share of the rate."""
GROWTH = 1.25
"""Factor by which a bracket is widened, and by which that factor grows."""
GROWTH_NEAR = 1.02
"""The same from another batch's rate."""
LEAST_FRAC = 0.005
"""Share of the guess below which no rate is tried."""
COUNT_LEAST, COUNT_EACH = 20_000, 500
"""Requests counted in a batch: at least, and for each replica."""


@dataclass(frozen=True)
class Promise:
    """Targets in the engine [s] and the share of requests that must meet each; inf is none."""

    ttft_s: float
    ttft_percentile: float
    tpot_s: float
    tpot_percentile: float

    def kept_by(self, run: Run) -> bool:
        """Whether both hold over all batches of a run; answers of one token have no TPOT."""
        tpot = run.tpot_s(self.tpot_percentile).value
        slow = not math.isnan(tpot) and tpot > self.tpot_s
        return run.ttft_s(self.ttft_percentile).value <= self.ttft_s and not slow


def counted_requests(pool: Pool) -> int:
    """Requests of a batch that are counted."""
    return max(COUNT_LEAST, COUNT_EACH * pool.replicas)


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
    """Largest rate of one replica of the pool at which both promises hold [1/s], with interval.

    Parameters
    ----------
    guess_rps : of one replica, where the search begins: the formulas' rate.
    limit_rps : of one replica, none above is tried: the stability limit.
    arrival_cv : of the pool's stream.
    count : requests of each batch that are counted; 500 a replica, at least 20,000.

    Returns
    -------
    0 where the promise holds in no batch even at 0.5 % of the guess.

    Raises
    ------
    ValueError
        Where a rate is not positive.
    """
    if not (guess_rps > 0 and limit_rps > 0):
        raise ValueError(f"rates must be positive, got {guess_rps} and {limit_rps}")
    seeds = np.random.SeedSequence(seed).generate_state(batches, np.uint32).tolist()
    size = counted_requests(pool) if count is None else count

    def largest(own: int, guess: float, growth: float) -> float:
        def holds(rate_rps: float) -> bool:
            run = simulate(
                pool, requests, rate_rps=rate_rps * pool.replicas, arrival_cv=arrival_cv,
                count=size, batches=1, seed=own,
            )  # fmt: skip
            return promise.kept_by(run)

        return _largest(holds, min(guess, limit_rps), limit_rps, growth)

    # Batches differ by a few percent: the first one's rate is where the others begin.
    first = largest(seeds[0], guess_rps, GROWTH)
    near = first if first > 0 else guess_rps
    rates = np.array([first, *(largest(own, near, GROWTH_NEAR) for own in seeds[1:])])
    return estimate(float(rates.mean()), rates)


def _largest(holds: Callable[[float], bool], guess: float, limit: float, growth: float) -> float:
    """Bisection between a rate that holds and one that does not, found from a guess."""
    low, high = 0.0, limit
    rate, step = guess, growth
    while rate >= LEAST_FRAC * guess:
        if holds(rate):
            low = rate
            if rate >= limit or high < limit:
                break
            rate = min(rate * step, limit)
        else:
            high = rate
            if low > 0:
                break
            rate /= step
        step *= growth
    if low == limit:
        return limit
    while low > 0 and high - low > RATE_RTOL * high:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
