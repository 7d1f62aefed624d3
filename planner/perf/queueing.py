"""Largest request rate at which a replica keeps its latency promises, and its percentiles.

The analytic model prices every candidate: mean-step fixed point, prefill queue, stalls of decode,
gaps between tokens, admission to the cache. Against simulation of the same step-time equation (8B
to 405B and experts, prompts of 500 to 8,000 tokens, lengths of CV 1 and 1.5, pools of 1 to 16) the
largest rate errs by 3 % in the mean with Poisson arrivals, 9 in 10 within 7 %. With arrivals of
CV 2 it errs by 6 %, to the safe side but for prompts of 8,000 tokens in pools of 2 to 8, whose
time per token makes it up to 20 % too high. Promises on gaps between tokens err by 5 %. Nothing
is planned above 80 % of the stability limit, or 70 % when bursty: there the formulas are not to be
trusted.

References
----------
Abate, Choudhury, Whitt, Exponential approximations for tail probabilities in queues,
Operations Research 43(5), 1995. Takacs, Introduction to the Theory of Queues, 1962, ch. 2
(GI/M/k). Li, Dai, Peng, Throughput-optimal scheduling for LLM inference, arXiv 2504.07347, 2025
(stability).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from planner.perf.admission import Blocking
from planner.perf.arrivals import Arrivals
from planner.perf.bracket import largest_passing
from planner.perf.decode_tail import Spread
from planner.perf.lengths import Lengths
from planner.perf.operating_point import (
    Point,
    admission_of,
    operate,
    spread_of,
    tpot_exceeds,
    ttft_exceeds,
)
from planner.perf.replica import Replica
from planner.perf.steps import rate_ceiling, take
from planner.perf.token_gaps import gap_exceeds

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

BURST_MARGIN = 0.2
"""Chances predicted for bursty streams to exceed a time per token are low by up to this share
(1 - 1 / CV^2), which counts where clusters decide and the rate moves by several percent for each
percent of chance. Calibrated on half of the simulated cells, tested on the others
(`tests.benchmarks.rates`). Time to first token needs none."""
GAP_MARGIN = 1.1
"""Predicted share of long gaps x this meets the target; calibrated and tested in the same way."""
UTILIZATION_MAX = 0.8
UTILIZATION_MAX_BURSTY = 0.7
BURSTY_CV = 1.3
"""Error of the formulas grows beyond these shares of the stability limit."""
STABILITY_FRAC = 0.99
"""Occupancy of prefill, cache or slots that counts as the stability limit."""
ZERO_LOAD_FRAC = 1e-4
"""Share of the stability limit that stands for no load."""
FITS_PERCENTILE = 0.99
"""Requests of batch classes whose tokens the cache must hold."""
RATE_RTOL = 1e-3
TIME_RANGE_S = (1e-6, 1e5)
TIME_HALVINGS = 20
"""Of the logarithm of that range: to 2e-5 of the time."""
WORST = 8.0
"""Bound on the logarithm of (chance to exceed / chance allowed)."""


class Binding(IntEnum):
    """What keeps the rate from being higher."""

    TTFT = 0
    TPOT = 1
    KV_CACHE = 2
    STABILITY = 3
    UTILIZATION_CAP = 4
    UNREACHABLE = 5
    TOKEN_ITL = 6
    """Gaps between tokens: see `token_gaps` for the jump in them."""


@dataclass(frozen=True)
class Capacity:
    """Largest rates; arrays (candidates,)."""

    rate_rps: Array
    """Of one replica: all promises hold at it; 0 where none does."""
    stability_rps: Array
    """Beyond it the queue grows without end."""
    binding: Whole
    """`Binding` codes."""


@dataclass(frozen=True)
class Promise:
    """Targets over candidates, and the share of requests that may exceed each."""

    ttft_s: Array
    ttft_miss_frac: float
    tpot_s: Array
    tpot_miss_frac: float
    gap_s: Array | None
    """None: gaps between single tokens are not promised."""
    gap_miss_frac: float


def throughput_max(replica: Replica, lengths: Lengths) -> Array:
    """Rate of a class without latency promise: the stability limit [1/s], (candidates,).

    0 where the cache cannot hold the 99th percentile of prompt + answer.
    """
    return np.where(fits(replica, lengths, FITS_PERCENTILE), stability_limit(replica, lengths), 0.0)


def stability_limit(replica: Replica, lengths: Lengths) -> Array:
    """Rate at which prefill, cache or slots are used to 99 % in the mean [1/s], (candidates,).

    It does not depend on burstiness: Poisson arrivals are taken.
    """
    arrivals = Arrivals(1.0)
    high = rate_ceiling(replica, lengths) * (1.0 + RATE_RTOL)

    def crowded(rate: Array, index: Whole) -> Array:
        point = operate(take(replica, index), lengths, arrivals, rate_rps=rate)
        fullest = np.maximum(point.wait.utilization, point.occupied.fullest_frac / STABILITY_FRAC)
        level = np.where(point.steps.steady, np.log(np.maximum(fullest, 1e-9)), WORST)
        return np.clip(level, -WORST, WORST)

    everyone = np.arange(high.size)
    low = high * ZERO_LOAD_FRAC
    at_low, at_high = crowded(low, everyone), np.maximum(crowded(high, everyone), RATE_RTOL)
    low = np.where(at_low <= 0, low, 0.0)
    limit, _ = largest_passing(
        crowded, low, high, at_low=np.minimum(at_low, 0.0), at_high=at_high, rtol=RATE_RTOL
    )
    return limit


def lambda_star(
    replica: Replica,
    lengths: Lengths,
    *,
    ttft_s: ArrayLike,
    ttft_percentile: float,
    tpot_s: ArrayLike,
    tpot_percentile: float,
    arrival_cv: float,
    replicas: float = 1.0,
    utilization_max: float | None = None,
    stability_rps: Array | None = None,
    gap_s: ArrayLike | None = None,
    gap_percentile: float = 0.95,
) -> Capacity:
    """Largest rate at which all percentile promises hold [1/s of one replica].

    Parameters
    ----------
    replica : step-time numbers, (candidates,).
    ttft_s, tpot_s : targets, a number or (candidates,); inf where there is none.
    ttft_percentile, tpot_percentile : share of requests that must meet them, 0.95.
    arrival_cv : coefficient of variation of the gaps of the stream that enters the pool.
    replicas : k behind a work-aware balancer; 1 for a replica on its own.
    utilization_max : most of the stability limit to plan; 0.8, or 0.7 where arrival_cv > 1.3.
    stability_rps : `stability_limit` where it is known already.
    gap_s : target of the gap between two tokens, as `tpot_s`, and gap_percentile the share of all
        gaps that must meet it; None where there is none.

    Returns
    -------
    Rate 0 with `UNREACHABLE` where the promise fails without load (see `zero_load`), and with
    `KV_CACHE` where the cache cannot hold a request at the higher of the two percentiles.
    """
    shape = replica.overhead_s.shape
    arrivals = Arrivals(arrival_cv**2, replicas)
    promise = promise_of(
        shape, arrivals, ttft_s=ttft_s, ttft_percentile=ttft_percentile, tpot_s=tpot_s,
        tpot_percentile=tpot_percentile, gap_s=gap_s, gap_percentile=gap_percentile,
    )  # fmt: skip
    if utilization_max is None:
        utilization_max = trusted_utilization(arrival_cv)
    stable = stability_limit(replica, lengths) if stability_rps is None else stability_rps
    holds = fits(replica, lengths, max(ttft_percentile, tpot_percentile)) & (stable > 0)

    def worst(rate: Array, index: Whole) -> tuple[Array, Whole]:
        point = operate(take(replica, index), lengths, arrivals, rate_rps=rate)
        spread = spread_of(point)
        blocked = admission_of(point, spread, stable[index])
        return violation(point, spread, blocked, of(promise, index))

    return largest_rate(worst, holds=holds, stable=stable, utilization_max=utilization_max)


def largest_rate(
    worst: Callable[[Array, Whole], tuple[Array, Whole]],
    *,
    holds: NDArray[np.bool_],
    stable: Array,
    utilization_max: float,
) -> Capacity:
    """Largest rate without violation, of candidates that can hold a request.

    Parameters
    ----------
    worst : `violation` of (rates, positions): above 0 where a promise breaks, and its cause.
    holds : candidates whose cache can hold a long request, (candidates,).
    """
    rate, binding = np.zeros(stable.shape), np.full(stable.shape, int(Binding.KV_CACHE))
    fit = np.flatnonzero(holds)
    if fit.size:
        rate[fit], binding[fit] = _search(
            lambda guess, index: worst(guess, fit[index]),
            stable=stable[fit],
            utilization_max=utilization_max,
        )
    return Capacity(rate, stable, binding)


def _search(
    worst: Callable[[Array, Whole], tuple[Array, Whole]], *, stable: Array, utilization_max: float
) -> tuple[Array, Whole]:
    """Rate and binding of candidates that can hold a request."""
    codes = np.full(stable.shape, int(Binding.UNREACHABLE))

    def broken(rate: Array, index: Whole) -> Array:
        excess, code = worst(rate, index)
        failing = excess > 0
        codes[index[failing]] = code[failing]
        return excess

    everyone = np.arange(stable.size)
    low, high = stable * ZERO_LOAD_FRAC, stable * min(utilization_max, STABILITY_FRAC)
    at_low = broken(low, everyone)
    reached = at_low <= 0
    codes[~reached] = int(Binding.UNREACHABLE)
    rate = np.where(reached, low, 0.0)
    open_ = np.flatnonzero(reached)
    at_high = broken(high[open_], open_)
    capped = at_high <= 0
    cap = Binding.STABILITY if utilization_max >= STABILITY_FRAC else Binding.UTILIZATION_CAP
    rate[open_[capped]], codes[open_[capped]] = high[open_[capped]], int(cap)
    rest = open_[~capped]
    rate[rest], _ = largest_passing(
        lambda guess, index: broken(guess, rest[index]),
        low[rest],
        high[rest],
        at_low=at_low[rest],
        at_high=at_high[~capped],
        rtol=RATE_RTOL,
    )
    return rate, codes


def violation(
    point: Point, spread: Spread, blocked: Blocking, promise: Promise
) -> tuple[Array, Whole]:
    """Logarithm of the worst of the chances to exceed over its allowance, and its cause.

    Each (candidates,).
    """
    ttft, ttft_open = ttft_exceeds(point, blocked, promise.ttft_s)
    late = log_ratio(ttft, promise.ttft_miss_frac)
    slow = log_ratio(tpot_exceeds(point, spread, promise.tpot_s), promise.tpot_miss_frac)
    unblocked = log_ratio(ttft_open, promise.ttft_miss_frac) <= 0
    code = np.where(slow > late, Binding.TPOT, np.where(unblocked, Binding.KV_CACHE, Binding.TTFT))
    worst = np.maximum(late, slow)
    if promise.gap_s is not None:
        gaps = log_ratio(gap_exceeds(point, spread, promise.gap_s), promise.gap_miss_frac)
        code = np.where(gaps > worst, Binding.TOKEN_ITL, code)
        worst = np.maximum(worst, gaps)
    full = point.occupied.kv_frac > point.wait.utilization
    code = np.where(point.steady, code, np.where(full, Binding.KV_CACHE, Binding.STABILITY))
    return np.where(point.steady, worst, WORST), code.astype(np.int64)


def allowed_frac(percentile: float, arrivals: Arrivals) -> float:
    """Predicted chance to exceed that is allowed, with the margin of bursty streams."""
    return (1.0 - percentile) / (1.0 + BURST_MARGIN * max(1.0 - 1.0 / arrivals.scv, 0.0))


def log_ratio(chance: Array, allowed: float) -> Array:
    """ln(chance / allowed) within +-WORST; undefined chances count as broken."""
    known = np.where(np.isfinite(chance), chance, 1e9)
    return np.clip(np.log(np.maximum(known, 1e-30) / allowed), -WORST, WORST)


def percentiles(
    replica: Replica,
    lengths: Lengths,
    rate_rps: ArrayLike,
    *,
    ttft_percentile: float,
    tpot_percentile: float,
    arrival_cv: float,
    replicas: float = 1.0,
    stability_rps: Array | None = None,
) -> tuple[Array, Array]:
    """TTFT and TPOT at the percentiles [s], each (candidates,).

    inf beyond the stability limit. `rate_rps` is of one replica, a number or (candidates,).
    At the rate of `lambda_star` they are at most the targets.
    """
    stable = stability_limit(replica, lengths) if stability_rps is None else stability_rps
    rate = np.broadcast_to(np.asarray(rate_rps, float), stable.shape)
    rate = np.maximum(rate, stable * ZERO_LOAD_FRAC)
    arrivals = Arrivals(arrival_cv**2, replicas)
    point = operate(replica, lengths, arrivals, rate_rps=rate)
    spread = spread_of(point)
    blocked = admission_of(point, spread, stable)

    def late(time_s: Array) -> Array:
        return ttft_exceeds(point, blocked, time_s)[0]

    def slow(time_s: Array) -> Array:
        return tpot_exceeds(point, spread, time_s)

    unknown = ~(point.steady & (rate < stable))
    each = allowed_frac(tpot_percentile, arrivals)
    ttft = np.where(unknown, np.inf, quantile(late, stable.shape, 1.0 - ttft_percentile))
    tpot = np.where(unknown, np.inf, quantile(slow, stable.shape, each))
    return ttft, tpot


def zero_load(
    replica: Replica,
    lengths: Lengths,
    *,
    ttft_percentile: float,
    tpot_percentile: float,
    stability_rps: Array | None = None,
) -> tuple[Array, Array]:
    """TTFT and TPOT percentiles without other traffic: no promise below them can be kept [s].

    Each (candidates,); inf where the cache cannot hold a mean request.
    """
    return percentiles(
        replica,
        lengths,
        0.0,
        ttft_percentile=ttft_percentile,
        tpot_percentile=tpot_percentile,
        arrival_cv=1.0,
        stability_rps=stability_rps,
    )


def gap_zero_load(
    replica: Replica, lengths: Lengths, *, percentile: float, stability_rps: Array
) -> Array:
    """Gap between two tokens at a percentile without other traffic [s], (candidates,).

    inf where the cache cannot hold a mean request.
    """
    point = operate(
        replica, lengths, Arrivals(1.0), rate_rps=np.maximum(stability_rps, TIME_RANGE_S[0])
        * ZERO_LOAD_FRAC,
    )  # fmt: skip
    spread = spread_of(point)

    def long(time_s: Array) -> Array:
        return gap_exceeds(point, spread, time_s)

    gap = quantile(long, stability_rps.shape, (1.0 - percentile) / GAP_MARGIN)
    return np.where(point.steady & (stability_rps > 0), gap, np.inf)


def quantile(exceeds: Callable[[Array], Array], shape: tuple[int, ...], miss_frac: float) -> Array:
    """Least time that at most `miss_frac` of requests exceed [s]; inf beyond a day, 0 if none."""
    low, high = (np.full(shape, np.log(bound)) for bound in TIME_RANGE_S)
    never = exceeds(np.exp(low)) <= miss_frac
    beyond = ~(exceeds(np.exp(high)) <= miss_frac)
    for _ in range(TIME_HALVINGS):
        middle = (low + high) / 2.0
        meets = exceeds(np.exp(middle)) <= miss_frac
        low, high = np.where(meets, low, middle), np.where(meets, middle, high)
    return np.where(beyond, np.inf, np.where(never, 0.0, np.exp(high)))


def trusted_utilization(arrival_cv: float) -> float:
    """Share of the stability limit beyond which the formulas are not to be trusted."""
    return UTILIZATION_MAX_BURSTY if arrival_cv > BURSTY_CV else UTILIZATION_MAX


def promise_of(
    shape: tuple[int, ...],
    arrivals: Arrivals,
    *,
    ttft_s: ArrayLike,
    ttft_percentile: float,
    tpot_s: ArrayLike,
    tpot_percentile: float,
    gap_s: ArrayLike | None = None,
    gap_percentile: float = 0.95,
) -> Promise:
    """Targets, a number or (candidates,), for candidates of this shape under a stream."""
    return Promise(
        _finite(ttft_s, shape),
        1.0 - ttft_percentile,
        _finite(tpot_s, shape),
        allowed_frac(tpot_percentile, arrivals),
        None if gap_s is None else _finite(gap_s, shape),
        allowed_frac(gap_percentile, arrivals) / GAP_MARGIN,
    )


def fits(replica: Replica, lengths: Lengths, percentile: float) -> NDArray[np.bool_]:
    """Whether the cache holds a request at this percentile of prompt + answer, (candidates,)."""
    return np.asarray(replica.kv_tokens >= lengths.request_tokens(percentile))


def _finite(target_s: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Target of each candidate; beyond a day is none, and infinity spoils arithmetic."""
    return np.broadcast_to(np.minimum(np.asarray(target_s, float), TIME_RANGE_S[1]), shape)


def of(promise: Promise, index: Whole) -> Promise:
    """The promise to some candidates."""
    return Promise(
        promise.ttft_s[index],
        promise.ttft_miss_frac,
        promise.tpot_s[index],
        promise.tpot_miss_frac,
        None if promise.gap_s is None else promise.gap_s[index],
        promise.gap_miss_frac,
    )
