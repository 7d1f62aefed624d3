"""Arrivals: what burstiness does to waiting, for renewal streams with gamma-distributed gaps.

`scv` is the squared coefficient of variation of the gaps between requests (1 is Poisson) of the
stream that enters the pool; `replicas` says behind how many replicas a work-aware balancer
spreads it. Rates are per replica throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]

POISSON_BELOW = 1.001
"""Streams this close to Poisson, or smoother, take the Poisson formulas."""
GAP_SURVIVAL_MIN = 1e-3
NEWTON_STEPS = 12
GRID = 2048
"""Points of the table of gap survival, equal steps in the fourth root of rate x time."""


@dataclass(frozen=True)
class Arrivals:
    """Burstiness of a pool's stream and the number of replicas that share it."""

    scv: float
    replicas: float = 1.0

    @property
    def bursty(self) -> bool:
        """Whether gaps vary more than in a Poisson stream."""
        return self.scv > POISSON_BELOW


def batch_mean(expected: Array, scv: float) -> Array:
    """Requests of one cluster as a step sees them: 1 / P(gap > step); 1 where Poisson.

    `expected` is rate x step. Clusters are taken as geometric batches.
    """
    if scv <= POISSON_BELOW:
        return np.ones_like(expected)
    spacing, table = _clusters(scv)
    place = np.minimum(np.sqrt(np.sqrt(np.maximum(expected, 0.0))) / spacing, GRID - 1.001)
    left = place.astype(np.int64)
    return np.asarray(table[left] + (place - left) * (table[left + 1] - table[left]), float)


@lru_cache(maxsize=64)
def _clusters(scv: float) -> tuple[float, Array]:
    """1 / P(gap > t) at rate t = (index x spacing)^4, up to where it meets its bound."""
    last = scv * special.gammainccinv(1.0 / scv, GAP_SURVIVAL_MIN)
    spacing = float(last**0.25) / (GRID - 1)
    survival = special.gammaincc(1.0 / scv, (np.arange(GRID) * spacing) ** 4 / scv)
    return spacing, np.asarray(1.0 / np.maximum(survival, GAP_SURVIVAL_MIN), float)


def arrivals_after(expected: Array, arrivals: Arrivals) -> Array:
    """Mean requests in (0, t] after an arrival, `expected` = rate x t (renewal function).

    Between the cluster in progress and its limit, x + (scv - 1) / 2; the excess is that of the
    pool in the time in which it expects k x, so each of its k replicas sees its share.
    """
    if not arrivals.bursty:
        return expected
    pooled = arrivals.replicas * expected
    clustered = batch_mean(pooled, arrivals.scv) - 1.0
    excess = np.clip(clustered - pooled, 0.0, (arrivals.scv - 1.0) / 2.0)
    return np.asarray(expected + excess / arrivals.replicas, float)


def any_arrival(expected: Array, arrivals: Arrivals) -> Array:
    """P(some request in (0, t] after an arrival), `expected` = rate x t.

    Each replica sees its share of the logarithm of the chance that the pool's next gap is longer;
    in long times at least the tail of gamma gaps, exp(-x / scv).

    Examples
    --------
    >>> any_arrival(np.array([0.5]), Arrivals(1.0)).round(6).tolist()  # 1 - e^-0.5
    [0.393469]
    """
    if not arrivals.bursty:
        return np.asarray(-np.expm1(-expected), float)
    shared = np.log(batch_mean(arrivals.replicas * expected, arrivals.scv)) / arrivals.replicas
    return np.asarray(-np.expm1(-np.maximum(shared, expected / arrivals.scv)), float)


def delay_probability(utilization: Array, scv: float) -> Array:
    r"""Probability that an arrival finds one exponential server busy (GI/M/1 root sigma).

    .. math:: \sigma = (1 + (1 - \sigma) c_a^2 / \rho)^{-1 / c_a^2}

    rho itself for Poisson and smoother streams. Newton in x = 1 - sigma from x = 1: the
    function is convex with its wanted root above 0, so every iterate stays beyond it.

    Examples
    --------
    >>> delay_probability(np.array([0.5]), 1.0).tolist()
    [0.5]
    """
    if scv <= POISSON_BELOW:
        return np.asarray(utilization, float)
    rho = np.maximum(utilization, 1e-9)
    x = np.ones_like(rho)
    for _ in range(NEWTON_STEPS):
        base = 1.0 + x * scv / rho
        power = base ** (-1.0 / scv)
        slope = 1.0 - power / (base * rho)
        x = np.clip(x - (power - 1.0 + x) / np.maximum(slope, 1e-9), 1e-6, 1.0)
    return np.asarray(1.0 - x, float)
