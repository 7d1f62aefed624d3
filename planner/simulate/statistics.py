"""Percentiles and confidence intervals from counts in fixed bins: memory does not grow.

Bins are of equal width in the logarithm of the time. Bin 0 holds shorter times, the last bin
longer ones and requests that were refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from planner.simulate.compiled import compiled

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

LEAST_S = 1e-5
BINS_PER_E = 500
"""Bins in which time grows by e: each is 0.2 % wide."""
BINS = 11_513
"""Up to 1e5 s; two more for what lies outside."""
CONFIDENCE = 0.95


@compiled
def bin_of(seconds: float) -> int:
    """Bin of a time; 0 below `LEAST_S`, the last beyond 1e5 s."""
    if seconds <= LEAST_S:
        return 0
    return min(1 + int(BINS_PER_E * math.log(seconds / LEAST_S)), BINS + 1)


@compiled
def count(table: Any, seconds: float, times: int = 1) -> None:
    """Count one request, or several of the same time."""
    table[bin_of(seconds)] += times


@compiled
def count_series(table: Any, first: float, growth: float, steps: int, times: int) -> None:
    """Count the times of so many steps, each longer than the one before, `times` times each.

    Bin by bin, not step by step: thousands of steps of decode differ by a few percent.
    """
    seconds, left = first, steps
    while left > 0:
        place, fit = bin_of(seconds), left
        if growth > 0.0 and place <= BINS:
            edge = LEAST_S * math.exp(place / BINS_PER_E)
            fit = min(left, max(int((edge - seconds) / growth) + 1, 1))
        table[place] += fit * times
        seconds += fit * growth
        left -= fit


def quantile(counts: Whole, percentile: float) -> float:
    """Time that `percentile` of the requests do not exceed [s]; nan of none.

    Between the two ends of a bin by the rank within it; inf in the last bin.
    """
    total = int(counts.sum())
    if total == 0:
        return math.nan
    rank = percentile * total
    cumulated = np.cumsum(counts)
    at = int(np.searchsorted(cumulated, rank - 1e-9))
    if at == 0:
        return LEAST_S
    if at > BINS:
        return math.inf
    within = (rank - float(cumulated[at - 1])) / float(counts[at])
    return LEAST_S * math.exp((at - 1 + within) / BINS_PER_E)


def share_above(counts: Whole, seconds: float) -> float:
    """Share of the requests that take longer; of those in the bin of `seconds`, by its place there.

    nan of none.

    Examples
    --------
    One request of three lies above 1 s: the one refused.

    >>> table = np.zeros(BINS + 2, np.int64)
    >>> table[bin_of(0.1)], table[-1] = 2, 1
    >>> round(share_above(table, 1.0), 6)
    0.333333
    """
    total = int(counts.sum())
    if total == 0:
        return math.nan
    if seconds <= LEAST_S:
        return 1.0 - float(counts[0]) / total
    at = bin_of(seconds)
    if at > BINS:
        return float(counts[-1]) / total
    within = BINS_PER_E * math.log(seconds / LEAST_S) - (at - 1)
    below = float(counts[:at].sum()) + within * float(counts[at])
    return 1.0 - below / total


def mean(counts: Whole) -> float:
    """Mean time, each request at the middle of its bin [s]; inf where one was refused."""
    total = int(counts.sum())
    if total == 0 or counts[-1]:
        return math.inf if total else math.nan
    middles = LEAST_S * np.exp((np.arange(BINS + 1) - 0.5) / BINS_PER_E)
    return float(counts[:-1] @ middles) / total


@dataclass(frozen=True)
class Estimate:
    """A figure with its confidence interval of 95 % over independent batches."""

    value: float
    low: float
    high: float


def estimate(value: float, by_batch: Array) -> Estimate:
    """Interval of Student's t around `value` from independent batches.

    No finite interval follows from fewer than two batches.

    Examples
    --------
    Batches 1 and 3: standard error 1, t of one degree of freedom 12.706.

    >>> two = estimate(2.0, np.array([1.0, 3.0]))
    >>> round(two.low, 3), round(two.high, 3)
    (-10.706, 14.706)
    """
    known = by_batch[np.isfinite(by_batch)]
    if known.size < 2 or known.size < by_batch.size or not math.isfinite(value):
        return Estimate(value, -math.inf, math.inf)
    t = float(special.stdtrit(known.size - 1, 0.5 + CONFIDENCE / 2))
    half = t * float(known.std(ddof=1)) / math.sqrt(known.size)
    return Estimate(value, value - half, value + half)
