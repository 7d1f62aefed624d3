"""Token lengths of requests as deterministic joint samples of input and output.

A marginal distribution is cut into strata of equal probability and each stratum is represented
by its own mean, so that no tail is lost: the mean of the samples is the stated mean. Input and
output are then paired by bit reversal with a digital shift (a shifted Hammersley set [1]_): the
plane is filled evenly, and unlike the plain set the longest prompts do not meet the longest
answers, so that heavy tails stay uncorrelated too. Where shares of pairs are stated, the same set
is bent to them; the lengths of either side stay as they are.

.. [1] H. Niederreiter, Random Number Generation and Quasi-Monte Carlo Methods, SIAM, 1992,
       doi:10.1137/1.9781611970081, chapter 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]

SAMPLES = 4096
"""Samples of a class; a power of two."""
Z_95 = float(ndtri(0.95))
P95_TO_MEAN_MAX = math.exp(Z_95**2 / 2)
"""Largest p95 / mean of any log-normal, 3.868."""


def sigma_from_p95(*, mean: float, p95: float) -> float:
    r"""Shape of the log-normal with this mean and 95th percentile.

    .. math:: \frac{p_{95}}{m} = e^{z\sigma - \sigma^2/2}
              \;\Rightarrow\; \sigma = z - \sqrt{z^2 - 2 \ln(p_{95}/m)},\quad z = 1.645

    The smaller of two roots: the larger one puts nearly all requests near zero.

    Raises
    ------
    ValueError : p95 not above the mean, or above 3.868 x mean, which no log-normal reaches.

    Examples
    --------
    >>> round(sigma_from_p95(mean=1.0, p95=math.exp(Z_95 - 0.5)), 9)  # sigma 1
    1.0
    """
    ratio = p95 / mean
    if not 1 < ratio <= P95_TO_MEAN_MAX:
        raise ValueError(f"p95 / mean is {ratio:g}; a log-normal has 1 to {P95_TO_MEAN_MAX:.3f}")
    return Z_95 - math.sqrt(Z_95**2 - 2 * math.log(ratio))


def sigma_from_cv(*, cv: float) -> float:
    r"""Shape of the log-normal with this coefficient of variation, :math:`\sqrt{\ln(1 + cv^2)}`.

    Examples
    --------
    >>> round(sigma_from_cv(cv=math.sqrt(math.e - 1)), 9)
    1.0
    """
    return math.sqrt(math.log1p(cv**2))


def lognormal_strata(*, mean: float, sigma: float, samples: int = SAMPLES) -> Array:
    r"""Mean of every stratum of equal probability of a log-normal, ascending, shape (samples,).

    .. math:: x_i = n\,m\,[\Phi(z_{i+1} - \sigma) - \Phi(z_i - \sigma)],\quad \Phi(z_i) = i/n

    Examples
    --------
    Two strata, sigma 1: the lower half of requests holds Phi(-1) = 15.9 % of the tokens.

    >>> lognormal_strata(mean=100.0, sigma=1.0, samples=2).round(2).tolist()
    [31.73, 168.27]
    """
    shares = ndtr(ndtri(np.linspace(0, 1, samples + 1)) - sigma)
    return np.asarray(samples * mean * np.diff(shares), float)


def histogram_strata(
    *, values: Sequence[float], weights: Sequence[float], samples: int = SAMPLES
) -> Array:
    """Mean of every stratum of equal probability of a histogram, ascending, shape (samples,).

    Tokens accumulate piecewise linearly in requests, so the stratum means are differences of
    that line; only strata that straddle two values hold a value between them.

    Examples
    --------
    >>> histogram_strata(values=[300, 100], weights=[1, 3], samples=4).tolist()
    [100.0, 100.0, 100.0, 300.0]
    """
    order = np.argsort(values)
    ascending = np.asarray(values, float)[order]
    share = np.asarray(weights, float)[order] / np.sum(weights)
    requests = np.concatenate([[0.0], np.cumsum(share)])
    tokens = np.concatenate([[0.0], np.cumsum(share * ascending)])
    cuts = np.linspace(0, requests[-1], samples + 1)
    return np.asarray(samples * np.diff(np.interp(cuts, requests, tokens)), float)


def whole_tokens(lengths: Array, *, max_context: ArrayLike) -> Array:
    """Whole lengths in [1, max_context] with the mean of `lengths`, same order and shape.

    `max_context` is whole, one for all lengths or one for each. Where clipping moves the mean, one
    factor on all lengths restores it; fractions are carried from one sample to the next, so that
    rounding moves the sum by half a token at most.

    Raises
    ------
    ValueError : a mean below 1, or above `max_context`, which no clipped lengths can have.

    Examples
    --------
    >>> whole_tokens(np.array([0.5, 1.5, 4.0]), max_context=3).tolist()  # mean 2 is kept
    [1.0, 2.0, 3.0]
    """
    most, mean = np.asarray(max_context, float), float(lengths.mean())
    if not 1 <= mean <= most.mean():
        raise ValueError(f"mean length {mean:g} lies outside 1 to {most.mean():g} tokens")
    clipped = np.clip(lengths * _factor(lengths, mean, most), 1, most)
    return np.diff(np.floor(np.cumsum(clipped) + 0.5), prepend=0.0)


def _factor(lengths: Array, mean: float, max_context: Array) -> float:
    def excess(log_factor: float) -> float:
        return float(np.clip(lengths * math.exp(log_factor), 1, max_context).mean()) - mean

    if abs(excess(0.0)) <= 1e-9 * mean:
        return 1.0
    # At the ends every length is 1, or every length is max_context: the root lies between.
    low = -math.log(float(lengths.max()))
    high = math.log(float(max_context.max()) / float(lengths[lengths > 0].min()))
    return math.exp(float(brentq(excess, low, high, xtol=1e-12)))


def token_lengths(
    *,
    mean: float | None = None,
    p95: float | None = None,
    cv: float | None = None,
    values: Sequence[float] = (),
    weights: Sequence[float] = (),
    max_context: int,
    samples: int = SAMPLES,
) -> Array:
    """Lengths of one side of a request [tokens], ascending, shape (samples,).

    Parameters
    ----------
    mean, p95, cv : of a log-normal; mean with exactly one of the two.
    values, weights : or a histogram.
    max_context : longest length; longer ones are cut and the rest scaled to keep the mean.

    Raises
    ------
    ValueError : no description, two descriptions, or one that cannot be met.

    Examples
    --------
    >>> token_lengths(values=[8, 24], weights=[1, 1], max_context=100, samples=4).tolist()
    [8.0, 8.0, 24.0, 24.0]
    """
    if len(values):
        strata = histogram_strata(values=values, weights=weights, samples=samples)
        return np.sort(whole_tokens(strata, max_context=max_context))
    if mean is None or (p95 is None) == (cv is None):
        raise ValueError("lengths need mean with p95 or cv, or values with weights")
    if p95 is not None:
        sigma = sigma_from_p95(mean=mean, p95=p95)
    elif cv is not None:
        sigma = sigma_from_cv(cv=cv)
    strata = lognormal_strata(mean=mean, sigma=sigma, samples=samples)
    return np.sort(whole_tokens(strata, max_context=max_context))


def joint_samples(
    *,
    inputs: Array,
    outputs: Array,
    pair_shares: Sequence[float] = (),
    parts: Sequence[float] = (),
) -> tuple[Array, Array]:
    """Pair ascending input and output lengths, both (samples,): uncorrelated, or as stated.

    Inputs stay ascending: a simulation draws from the pairs, it does not walk through them.

    Parameters
    ----------
    pair_shares : of requests, (k * k,): prompts by part, shortest first, and for each of them
        answers by part; none pairs them as independent.
    parts : (k,) sizes of the parts; equal ones where missing.

    Raises
    ------
    ValueError : lengths of unequal number, a number that is no power of two, or shares that make
        no square of the parts.

    Examples
    --------
    >>> joint_samples(inputs=np.arange(4.0), outputs=np.arange(4.0))[1].tolist()
    [2.0, 0.0, 3.0, 1.0]

    The shorter half of the prompts has the longer half of the answers:

    >>> joint_samples(
    ...     inputs=np.arange(4.0), outputs=np.arange(4.0), pair_shares=[0, 0.5, 0.5, 0]
    ... )[1].tolist()
    [3.0, 2.0, 1.0, 0.0]
    """
    count = len(inputs)
    if count != len(outputs):
        raise ValueError(f"{count} inputs, {len(outputs)} outputs")
    shift = 2 * count // 3  # binary 1010...: every other digit flipped
    ranks = bit_reversal(count) ^ shift
    if len(pair_shares):
        sizes = parts or [1.0] * math.isqrt(len(pair_shares))
        if len(sizes) ** 2 != len(pair_shares):
            raise ValueError(f"{len(pair_shares)} shares of pairs, {len(sizes)} parts")
        table = np.reshape(np.asarray(pair_shares, float), (len(sizes), len(sizes)))
        ranks = np.argsort(np.argsort(_bent((ranks + 0.5) / count, table, sizes)))
    return inputs, outputs[ranks]


def _bent(even: Array, table: Array, sizes: Sequence[float]) -> Array:
    """Places of answers among all, given evenly spread ones and the shares of each prompt's part.

    By inversion of the conditional distribution, which is linear within a part.
    """
    edges = np.concatenate([[0.0], np.cumsum(sizes)]) / np.sum(sizes)
    row = np.searchsorted(edges, (np.arange(len(even)) + 0.5) / len(even)) - 1
    found = np.empty_like(even)
    for i in range(len(sizes)):
        reached = np.concatenate([[0.0], np.cumsum(table[i])])
        found[row == i] = np.interp(even[row == i], reached / reached[-1], edges)
    return found


def bit_reversal(count: int) -> NDArray[np.int64]:
    """Positions 0 to count - 1 with their binary digits in reverse order.

    Raises
    ------
    ValueError : `count` is no power of two.

    Examples
    --------
    >>> bit_reversal(8).tolist()  # 1 = 001 becomes 100 = 4
    [0, 4, 2, 6, 1, 5, 3, 7]
    """
    digits = count.bit_length() - 1
    if count != 1 << digits:
        raise ValueError(f"{count} samples: a power of two is needed")
    positions = np.arange(count)
    reverse = np.zeros(count, np.int64)
    for digit in range(digits):
        reverse |= ((positions >> digit) & 1) << (digits - 1 - digit)
    return reverse
