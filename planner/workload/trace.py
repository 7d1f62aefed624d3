"""Token lengths of a trace: a log-normal where one fits, else a histogram; what pairing costs.

Everything works on distinct lengths with their counts, so that ten million requests are summed
once and then cost what a few thousand distinct lengths cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr
from scipy.stats import rankdata

from planner.workload.lengths import P95_TO_MEAN_MAX, sigma_from_cv, sigma_from_p95

Array = NDArray[np.float64]

DISTANCE_MAX = 0.05
"""Largest distance between trace and log-normal, as a share of requests, that counts as a fit."""
MISS_MAX = 0.10
"""Largest relative miss of the figure that a log-normal is not given: CV, or p95."""
BINS = 24
BODY_FRAC = 0.90
"""Below this share of requests bins hold equal numbers of requests."""
P95_CELL = (0.945, 0.955)
TAIL_CUTS = (0.925, *P95_CELL, 0.97, 0.98, 0.987, 0.992, 0.996, 0.998, 1.0)
"""Edges of the bins above `BODY_FRAC`; 14 equal ones lie below it."""
P95_MISS_MAX = 0.01
"""Where the bin around p95 misses it by more, the bin holds p95 alone."""
PARTS = (0.02, 0.03, 0.05, 0.1, 0.15, 0.15, 0.15, 0.15, 0.1, 0.05, 0.03, 0.02)
"""Parts of prompts, and of answers, in the table of their pairs, narrow where lengths are extreme:
of five public traces, cached tokens read in decode come within 4.1 %, as with 32 equal parts; 8
equal parts miss by up to 21 %, a correlation alone (Gaussian copula) by up to 27 %."""
PAIRS_MAX = 1_000_000
"""Requests from which ranks and sums of input and output are taken, evenly spread."""


@dataclass(frozen=True)
class Distribution:
    """Distinct lengths, ascending, with the number of requests of each; both (lengths,)."""

    values: Array
    counts: Array

    @property
    def requests(self) -> float:
        """Number of requests."""
        return float(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean length [tokens]."""
        return float(self.values @ self.counts) / self.requests

    @property
    def cv(self) -> float:
        """Standard deviation / mean."""
        spread = float((self.values - self.mean) ** 2 @ self.counts) / self.requests
        return math.sqrt(spread) / self.mean

    def quantile(self, share: float) -> float:
        """Smallest length that at least `share` of requests do not exceed [tokens]."""
        reached = np.cumsum(self.counts) / self.requests
        return float(self.values[int(np.searchsorted(reached, share - 1e-12))])


@dataclass(frozen=True)
class LengthFit:
    """One side of a request as the scenario states it, beside what the trace has."""

    form: str
    """lognormal p95, lognormal cv, or histogram."""
    mean: float
    p50: float
    p95: float
    cv: float
    longest: float
    values: tuple[float, ...]
    """Of the histogram; empty for a log-normal."""
    weights: tuple[float, ...]
    lognormal_distance: float
    """Largest difference of the distribution functions of trace and nearer log-normal."""
    lognormal_miss: float
    """Relative miss of that log-normal in the figure it is not given; inf where none exists."""
    fitted_p95: float
    fitted_cv: float


@dataclass(frozen=True)
class Dependence:
    """How input and output go together, and what it costs to take them as independent."""

    pearson: float
    rank: float
    """Spearman."""
    decode_reads_ratio: float
    """Cached tokens read over a request's decode: in the trace / with independent lengths."""
    total_p95: float
    """p95 of input + output [tokens]."""
    total_p95_independent: float


def distribution(lengths: ArrayLike) -> Distribution:
    """Distinct lengths and their counts.

    Examples
    --------
    >>> found = distribution([30, 10, 10, 50])
    >>> found.values.tolist(), found.counts.tolist(), found.mean, found.quantile(0.5)
    ([10.0, 30.0, 50.0], [2.0, 1.0, 1.0], 25.0, 10.0)
    """
    values, counts = np.unique(np.asarray(lengths), return_counts=True)
    return Distribution(values.astype(float), counts.astype(float))


def lognormal_distance(found: Distribution, *, mean: float, sigma: float) -> float:
    r"""Kolmogorov's distance to a log-normal, :math:`\max_x |F(x) - F_{ln}(x)|`, in 0..1.

    Examples
    --------
    All requests at the median of the log-normal: half of it lies on either side.

    >>> round(lognormal_distance(distribution([100]), mean=100 * math.exp(0.5), sigma=1.0), 9)
    0.5
    """
    location = math.log(mean) - sigma**2 / 2
    smooth = ndtr((np.log(found.values) - location) / sigma)
    upper = np.cumsum(found.counts) / found.requests
    lower = upper - found.counts / found.requests
    return float(np.maximum(np.abs(upper - smooth), np.abs(lower - smooth)).max())


def histogram(found: Distribution) -> tuple[Array, Array]:
    """Lengths and shares of about 24 bins with the mean and p95 of the trace.

    Bins hold equal shares of requests up to the 90th percentile and narrower ones in the tail;
    each is represented by its own mean, so that the mean is kept. The bin around the 95th
    percentile is as wide as keeps p95 within 1 %; where a jump of the distribution lies in it,
    only the requests of exactly that length make the bin.

    Returns
    -------
    values, weights : (bins,) [tokens], shares of requests with sum 1.

    Examples
    --------
    >>> values, weights = histogram(distribution([10] * 3 + [50]))
    >>> values.tolist(), weights.tolist()
    ([10.0, 50.0], [0.75, 0.25])
    """
    if len(found.values) <= BINS:
        return found.values, found.counts / found.requests
    requests = np.concatenate([[0.0], np.cumsum(found.counts)]) / found.requests
    tokens = np.concatenate([[0.0], np.cumsum(found.counts * found.values)]) / found.requests
    cuts = np.concatenate([np.linspace(0, BODY_FRAC, BINS - len(TAIL_CUTS) + 1), TAIL_CUTS])
    p95 = found.quantile(0.95)
    cell = np.interp(P95_CELL, requests, tokens)
    if abs((cell[1] - cell[0]) / (P95_CELL[1] - P95_CELL[0]) / p95 - 1) > P95_MISS_MAX:
        place = int(np.searchsorted(found.values, p95))
        low, high = requests[place], requests[place + 1]
        inside = np.isin(cuts, P95_CELL) | ((cuts > low) & (cuts < high))
        cuts = np.unique(np.concatenate([cuts[~inside], [low, high]]))
    weights = np.diff(cuts)
    return np.diff(np.interp(cuts, requests, tokens)) / weights, weights


def fit_lengths(lengths: ArrayLike) -> LengthFit:
    """Log-normal by mean and p95, or by mean and CV, whichever is nearer; else a histogram.

    A log-normal counts as a fit where it differs from the trace by at most 5 % of requests
    anywhere and meets the figure that it is not given (CV or p95) within 10 %.

    Raises
    ------
    ValueError : a length that is not positive, or no length.

    Examples
    --------
    >>> fit_lengths([8] * 90 + [4000] * 10).form
    'histogram'
    """
    found = distribution(lengths)
    if not len(found.values) or found.values[0] <= 0:
        raise ValueError("lengths must be positive, and there must be one")
    p95, cv = found.quantile(0.95), found.cv
    form, distance, miss, fitted = _nearer_lognormal(found, p95, cv)
    values: Array = np.array([])
    weights = values
    if not form or distance > DISTANCE_MAX or miss > MISS_MAX:
        form = "histogram"
        values, weights = histogram(found)
        binned = Distribution(values, weights)
        fitted = (binned.quantile(0.95), binned.cv)
    return LengthFit(
        form=form,
        mean=found.mean,
        p50=found.quantile(0.5),
        p95=p95,
        cv=cv,
        longest=float(found.values[-1]),
        values=tuple(values.tolist()),
        weights=tuple(weights.tolist()),
        lognormal_distance=distance,
        lognormal_miss=miss,
        fitted_p95=fitted[0],
        fitted_cv=fitted[1],
    )


def _nearer_lognormal(
    found: Distribution, p95: float, cv: float
) -> tuple[str, float, float, tuple[float, float]]:
    """Form, distance, miss, and (p95, cv) of the nearer log-normal; no form where none exists."""
    best: tuple[str, float, float, tuple[float, float]] = ("", math.inf, math.inf, (p95, cv))
    shapes = {}
    if 1 < p95 / found.mean <= 0.998 * P95_TO_MEAN_MAX:  # at the limit sigma loses its digits
        shapes["lognormal p95"] = sigma_from_p95(mean=found.mean, p95=p95)
    if cv > 0:
        shapes["lognormal cv"] = sigma_from_cv(cv=cv)
    for form, sigma in shapes.items():
        distance = lognormal_distance(found, mean=found.mean, sigma=sigma)
        fitted = (_lognormal_p95(found.mean, sigma), math.sqrt(math.expm1(sigma**2)))
        miss = max(abs(fitted[0] / p95 - 1), abs(fitted[1] / cv - 1))
        if distance < best[1]:
            best = (form, distance, miss, fitted)
    return best


def _lognormal_p95(mean: float, sigma: float) -> float:
    return mean * math.exp(math.sqrt(2 * math.log(P95_TO_MEAN_MAX)) * sigma - sigma**2 / 2)


def dependence(inputs: ArrayLike, outputs: ArrayLike) -> Dependence:
    r"""Correlation of input and output, and what treating them as independent changes.

    Cached tokens read over a decode are :math:`I (O-1) + (O-1) O / 2` a request. Independent
    totals come from one fixed shuffle of the outputs.

    Parameters
    ----------
    inputs, outputs : (requests,) [tokens], the same request at the same place.

    Examples
    --------
    Reads of the two requests are 0 and 2 x 100 + 3, mean 101.5; independent lengths would read
    mean 55 x 1 + 1.5 = 56.5.

    >>> found = dependence([10, 100], [1, 3])
    >>> round(found.pearson, 6), round(found.decode_reads_ratio, 6) == round(101.5 / 56.5, 6)
    (1.0, True)
    """
    prompt, answer = np.asarray(inputs, float), np.asarray(outputs, float)
    covariance = float(np.mean((prompt - prompt.mean()) * (answer - answer.mean())))
    scale = float(prompt.std() * answer.std())
    own = float(np.mean((answer - 1) * answer) / 2)
    apart = float(prompt.mean() * (answer.mean() - 1)) + own
    step = -(-len(prompt) // PAIRS_MAX)
    some, others = prompt[::step], answer[::step]
    shuffled = np.random.default_rng(0).permutation(others)
    return Dependence(
        pearson=covariance / scale if scale > 0 else 0.0,
        rank=_correlation(rankdata(some), rankdata(others)),
        decode_reads_ratio=(apart + covariance) / apart if apart > 0 else 1.0,
        total_p95=float(np.quantile(some + others, 0.95)),
        total_p95_independent=float(np.quantile(some + shuffled, 0.95)),
    )


def pair_shares(inputs: ArrayLike, outputs: ArrayLike, *, parts: Sequence[float] = PARTS) -> Array:
    """Shares of requests by part of all prompts (rows, shortest first) and of all answers.

    Equal lengths at a border are dealt to both sides at random, so that parts have their sizes.

    Parameters
    ----------
    inputs, outputs : (requests,) [tokens], the same request at the same place.
    parts : (k,) sizes of the parts as shares of requests, sum 1.

    Returns
    -------
    (k, k), sum 1; row and column sums are the sizes of the parts but for part of a request.

    Examples
    --------
    >>> pair_shares([1, 2, 3, 4], [9, 8, 6, 7], parts=[0.5, 0.5]).tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """
    prompt, answer = np.asarray(inputs), np.asarray(outputs)
    step, k = -(-len(prompt) // PAIRS_MAX), len(parts)
    edges, draw = np.cumsum([0.0, *parts]), np.random.default_rng(0)
    row, column = (_part(side[::step], edges, draw) for side in (prompt, answer))
    return np.bincount(row * k + column, minlength=k**2).reshape(k, k) / len(row)


def _part(lengths: NDArray[Any], edges: Array, draw: np.random.Generator) -> NDArray[np.int64]:
    """Which of the parts each length lies in."""
    order = np.lexsort((draw.random(len(lengths)), lengths))
    found = np.empty(len(lengths), np.int64)
    found[order] = np.searchsorted(edges, (np.arange(len(lengths)) + 0.5) / len(lengths)) - 1
    return found


def _correlation(one: Array, other: Array) -> float:
    a, b = one - one.mean(), other - other.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else 0.0
