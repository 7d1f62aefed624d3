"""Largest rate at which a pool keeps its promises in simulation: the formulas' lambda*, refined.

Every batch has its own requests, the same at every rate, so that each batch has its own largest
rate, found by false position on the worse of the two percentiles over its target; their spread
gives the confidence interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from planner.perf.bracket import largest_passing
from planner.simulate.arrivals import Requests
from planner.simulate.pool import Pool, Run, simulate
from planner.simulate.statistics import Estimate, estimate

RATE_RTOL = 0.004
"""Width at which a search ends, as a share of the rate."""
STEEPNESS = 1.0
"""Percentile over target grows by this power of the rate, until two rates tell."""
STEP_MAX = 0.5
"""Longest step towards a bracket, of the rate's logarithm."""
EXCESS_MAX = 8.0
"""Bound on the logarithm of percentile over target: that of an unstable pool has none."""
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

    def excess(self, run: Run) -> float:
        """Logarithm of the worse percentile over its target, over all batches of a run.

        At most 0 where both hold. Answers of one token have no TPOT.
        """
        ttft = run.ttft_s(self.ttft_percentile).value / self.ttft_s
        tpot = run.tpot_s(self.tpot_percentile).value / self.tpot_s
        worst = max(ttft, 0.0 if math.isnan(tpot) else tpot)
        return math.log(min(max(worst, math.exp(-EXCESS_MAX)), math.exp(EXCESS_MAX)))

    def kept_by(self, run: Run) -> bool:
        """Whether both hold over all batches of a run."""
        return self.excess(run) <= 0


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

    def largest(own: int, guess: float, steepness: float) -> tuple[float, float]:
        def excess(rate_rps: float) -> float:
            run = simulate(
                pool, requests, rate_rps=rate_rps * pool.replicas, arrival_cv=arrival_cv,
                count=size, batches=1, seed=own,
            )  # fmt: skip
            return promise.excess(run)

        return _largest(excess, guess, limit_rps, steepness)

    # Batches differ by a few percent: the first one's rate is where the others begin.
    first, steepness = largest(seeds[0], guess_rps, STEEPNESS)
    near = first if first > 0 else guess_rps
    rates = np.array([first, *(largest(own, near, steepness)[0] for own in seeds[1:])])
    return estimate(float(rates.mean()), rates)


def _largest(
    excess: Callable[[float], float], guess: float, limit: float, steepness: float
) -> tuple[float, float]:
    """Largest rate without excess, and how steep excess is there; 0 and `limit` bound it.

    Steps of a bit more than the excess asks for lead from the guess to a bracket; false position
    closes it.
    """
    ends: dict[bool, tuple[float, float]] = {}
    rate, slope = min(guess, limit), steepness
    while len(ends) < 2:
        if rate < LEAST_FRAC * guess:
            return 0.0, steepness
        value = excess(rate)
        ends[value > 0] = rate, value
        if value <= 0 and rate >= limit:
            return limit, steepness
        step = min(abs(value) / slope + RATE_RTOL / 2, STEP_MAX)
        rate = min(rate * math.exp(math.copysign(step, -value if value else 1.0)), limit)
        slope /= 2
    (low, at_low), (high, at_high) = ends[False], ends[True]
    found, _ = largest_passing(
        lambda rates, _: np.array([excess(float(rates[0]))]), np.array([low]), np.array([high]),
        at_low=np.array([at_low]), at_high=np.array([at_high]), rtol=RATE_RTOL,
    )  # fmt: skip
    rise = (at_high - at_low) / math.log(high / low)
    return float(found[0]), min(max(rise, STEEPNESS / 4), STEEPNESS * 16)
