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

    Between the cluster in progress and its limit, x + (scv - 1) / 2; the excess is the pool's,
    so each of its replicas sees its share.
    """
    if not arrivals.bursty:
        return expected
    clustered = batch_mean(expected, arrivals.scv) - 1.0
    excess = np.clip(clustered - expected, 0.0, (arrivals.scv - 1.0) / 2.0)
    return np.asarray(expected + excess / arrivals.replicas, float)


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
