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
GRID = 1024
"""Points of the tables, equal steps in the fourth root of rate x time."""
RENEWAL_SIGMAS = 8.0
"""Standard deviations of their number beyond the mean up to which arrivals are summed."""
SERVERS_MAX = 512
"""Of more than these an arrival finds all busy as seldom as of these."""
NEAR = 1e-6
"""Difference of two rates, in those of one server, below which its quotients take their limit."""
TINY = 1e-12


@dataclass(frozen=True)
class Arrivals:
    """Burstiness of a pool's stream and the number of replicas that share it."""

    scv: float
    replicas: float = 1.0

    @property
    def bursty(self) -> bool:
        """Whether gaps vary more than in a Poisson stream."""
        return self.scv > POISSON_BELOW


@dataclass(frozen=True)
class Clusters:
    """Gamma gaps of one scv, tabulated at rate x time = (index x spacing)^4."""

    spacing: float
    quiet: Array
    """-ln P(gap > t)"""
    batch: Array
    """Arrivals in an interval that has any, whenever it begins."""
    excess: Array
    """Renewal function less rate x time: what a cluster brings beyond the mean."""

    def at(self, expected: Array, values: Array) -> Array:
        """One of the tables at rate x time, linear between its points; the last beyond it."""
        place = np.minimum(np.sqrt(np.sqrt(np.maximum(expected, 0.0))) / self.spacing, GRID - 1.001)
        left = place.astype(np.int64)
        return np.asarray(values[left] + (place - left) * (values[left + 1] - values[left]), float)


@lru_cache(maxsize=64)
def clusters(scv: float) -> Clusters:
    r"""Tables up to where 1 gap in 1,000 is longer.

    With shape a = 1 / scv the n-th arrival after one has gamma distribution of shape n a, so the
    renewal function is the sum of these; an interval of length t that begins anywhere has an
    arrival with chance rate x the integral of P(gap > s) over it.
    """
    a = 1.0 / scv
    last = scv * special.gammainccinv(a, GAP_SURVIVAL_MIN)
    spacing = float(last**0.25) / (GRID - 1)
    times = (np.arange(GRID) * spacing) ** 4
    survival = np.maximum(special.gammaincc(a, times / scv), GAP_SURVIVAL_MIN)
    covered = times * special.gammaincc(a, times / scv) + special.gammainc(a + 1.0, times / scv)
    batch = np.divide(times, covered, out=np.ones(GRID), where=covered > 0)
    most = int(last + RENEWAL_SIGMAS * np.sqrt(scv * last)) + 1
    renewals = sum(special.gammainc(n * a, times / scv) for n in range(1, most + 1))
    excess = np.clip(renewals - times, 0.0, (scv - 1.0) / 2.0)
    excess[-1] = (scv - 1.0) / 2.0
    return Clusters(spacing, -np.log(survival), batch, np.asarray(excess, float))


def step_batch(expected: Array, arrivals: Arrivals) -> Array:
    """Prompts of one step that has any, `expected` = rate x step; 1 where Poisson.

    Of those that come to a pool together, one replica gets its share.

    Examples
    --------
    Poisson prompts are taken as they come; others share steps, fewer in a pool.

    >>> step_batch(np.array([0.5]), Arrivals(1.0)).tolist()
    [1.0]
    >>> alone, pooled = (step_batch(np.array([0.1]), Arrivals(4.0, k)) for k in (1.0, 8.0))
    >>> bool(1.0 < pooled[0] < alone[0])
    True
    """
    if not arrivals.bursty:
        return np.ones_like(expected)
    table, k = clusters(arrivals.scv), arrivals.replicas
    together = np.maximum(table.at(k * expected, table.batch), k * expected)
    calm = k * expected / -np.expm1(-np.maximum(k * expected, TINY))
    return np.asarray(1.0 + np.maximum(together / calm - 1.0, 0.0) / k, float)


def arrivals_after(expected: Array, arrivals: Arrivals) -> Array:
    """Mean requests in (0, t] after an arrival, `expected` = rate x t (renewal function).

    The excess over the mean is that of the pool in the time in which it expects k x, so each of
    its k replicas sees its share.
    """
    if not arrivals.bursty:
        return expected
    table, k = clusters(arrivals.scv), arrivals.replicas
    return np.asarray(expected + table.at(k * expected, table.excess) / k, float)


def any_arrival(expected: Array, arrivals: Arrivals) -> Array:
    """P(some request of the pool in (0, t] after an arrival), `expected` = rate x t of a replica.

    Examples
    --------
    >>> any_arrival(np.array([0.5]), Arrivals(1.0)).round(6).tolist()  # 1 - e^-0.5
    [0.393469]
    """
    if not arrivals.bursty:
        return np.asarray(-np.expm1(-arrivals.replicas * expected), float)
    return np.asarray(-np.expm1(-silence(expected, arrivals) * arrivals.replicas), float)


def silence(expected: Array, arrivals: Arrivals) -> Array:
    """-ln P(no request in (0, t] after an arrival) of one replica, `expected` = rate x t."""
    if not arrivals.bursty:
        return expected
    table, k = clusters(arrivals.scv), arrivals.replicas
    return np.maximum(table.at(k * expected, table.quiet) / k, expected / arrivals.scv)


@dataclass(frozen=True)
class Met:
    """What an arrival finds of a pool's servers."""

    all_busy: Array
    """Chance that none is free."""
    busy_frac: Array
    """Mean share of them that is busy."""


def met_by_arrivals(utilization: Array, arrivals: Arrivals) -> Met:
    """Servers that an arrival finds busy, of k at this utilization: see `servers`.

    Examples
    --------
    >>> calm = met_by_arrivals(np.array([0.5]), Arrivals(1.0, 4.0))
    >>> bursty = met_by_arrivals(np.array([0.5]), Arrivals(4.0, 4.0))
    >>> calm.busy_frac.round(5).tolist(), bool(bursty.all_busy[0] > calm.all_busy[0])
    ([0.5], True)
    """
    rho = np.clip(utilization, TINY, 1.0 - 1e-9)
    if arrivals.replicas == 1.0:
        alone = delay_probability(rho, arrivals.scv)
        return Met(alone, alone)
    known = servers(max(arrivals.scv, 1.0), int(min(arrivals.replicas, SERVERS_MAX)))
    place, places = np.sqrt(np.sqrt(rho)), np.linspace(0.0, 1.0, GRID + 1)
    found = (np.interp(place, places, values) for values in (known.all_busy, known.busy_frac))
    return Met(*(np.maximum(values, TINY) for values in found))


@lru_cache(maxsize=256)
def servers(scv: float, k: int) -> Met:
    r"""What arrivals with gamma gaps meet of k exponential servers (GI/M/k), k > 1.

    .. math:: P = \frac{1}{(1 - \sigma) S}, \quad S = \frac{1}{1 - \sigma} + \sum_{j=1}^k T_j, \quad
        T_j = \binom{k}{j} \frac{1}{C_j (1 - \phi_j)} \frac{k (1 - \phi_j) - j}{k (1 - \sigma) - j}

    .. math:: \phi_j = (1 + j c_a^2 / k \rho)^{-1 / c_a^2}, \quad
        C_j = \prod_{i \le j} \phi_i / (1 - \phi_i)

    and (C_1 / S) x the sum of T_2 ... T_k servers that are busy where not all are (Takacs,
    Introduction to the Theory of Queues, 1962, ch. 2). Poisson arrivals: Erlang's C. With lognormal
    services of CV 1 simulated chances are within 0.015 of it.

    Returns
    -------
    Tables at equal steps of the utilization's fourth root from 0 to 1.
    """
    rho = np.linspace(0.0, 1.0, GRID + 1)[1:-1, None] ** 4
    idle = 1.0 - delay_probability(rho, scv)
    j = np.arange(1.0, k + 1.0)

    def transform(s: Array) -> Array:
        """Of the gaps, at s times the rate of one server."""
        return np.asarray((1.0 + s * scv / (k * rho)) ** (-1.0 / scv), float)

    phi = transform(j)
    beyond = j - k * idle
    beyond = np.where(np.abs(beyond) < NEAR, NEAR, beyond)  # a limit: both differences are 0
    ratio = 1.0 + k * (transform(k * idle + beyond) - (1.0 - idle)) / beyond
    moments = np.cumsum(np.log(phi) - np.log1p(-phi), axis=1)
    ways = special.gammaln(k + 1.0) - special.gammaln(j + 1.0) - special.gammaln(k - j + 1.0)
    terms = ways - moments + np.log(np.maximum(ratio, TINY) / (1.0 - phi))
    total = np.logaddexp(-np.log(idle[:, 0]), special.logsumexp(terms, axis=1))
    all_busy = np.exp(-total) / idle[:, 0]
    some = np.exp(moments[:, 0] - total + special.logsumexp(terms[:, 1:], axis=1))
    tables = (all_busy, some / k + all_busy)
    return Met(*(np.concatenate([[0.0], values, [1.0]]) for values in tables))


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
