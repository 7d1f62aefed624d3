r"""Units of prefill and decode replicas: largest rates and percentiles of disaggregated serving.

A unit is x prefill and y decode replicas, perhaps on different accelerators; a pool is k units. A
prompt is computed on one of k x prefill replicas (requests whose answer is one token), its cache
moves over that replica's link, one prompt after the other, and one of k y decode replicas takes it
in: requests that find all but the last token of their prompt, which their first step computes
again. That step makes the first token that a user sees, so

.. math:: TTFT = W_p + S_p + W_l + I b / B + l + W_d + S_d

with waits W and services S of prefill, link and decode, I prompt tokens of b bytes, and a link of
B bytes/s and latency l. Engines that answer through the decode worker do so: vLLM, whose decode
instance starts from the first token again (github.com/vllm-project/vllm, issue 25373; issue 50913
measures the way of that token), SGLang, and NVIDIA Dynamo on top of them (docs.nvidia.com/dynamo,
design docs, disaggregated serving). Time per output token counts from there and holds no transfer.

The formulas of both stages are those of `queueing`; the link is a queue M/G/1. Waits of the three
are taken as independent, their sum as gamma. Decode sees the burstiness of the pool's stream:
prefill smooths it, which is left out, on the safe side. Against simulation (8B to 405B and
experts, three pairs of lengths, pools of 1 to 8 units) the largest rate errs by 2 % in the mean
with Poisson arrivals, 9 in 10 within 4 %; by 3 % with arrivals of CV 2, 9 in 10 within 6 %; it is
too high by 7 % at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from planner.perf import queueing
from planner.perf.admission import Blocking
from planner.perf.arrivals import Arrivals
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
from planner.perf.prefill_queue import UTILIZATION_MAX, Wait, Work, wait_time
from planner.perf.queueing import Binding, Capacity, Promise, largest_rate, log_ratio, quantile
from planner.perf.replica import Replica
from planner.perf.steps import take

Array = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Transfer:
    """Move of a prompt's cache; arrays (candidates,)."""

    token_bytes: Array
    """Cache of one prompt token."""
    link_bytes_s: Array
    """Of one prefill replica, all its accelerators' ports together [bytes/s]; inf costs no time."""
    latency_s: Array
    """From the last byte to the decode replica's turn: handshakes and notice."""

    @property
    def token_s(self) -> Array:
        """Time for which one prompt token keeps the link busy [s]."""
        with np.errstate(divide="ignore"):
            return np.asarray(self.token_bytes / self.link_bytes_s, float)


@dataclass(frozen=True)
class Unit:
    """x prefill and y decode replicas that serve together; arrays (candidates,)."""

    prefill: Replica
    decode: Replica
    prefill_replicas: Array
    """x"""
    decode_replicas: Array
    """y"""
    transfer: Transfer


@dataclass(frozen=True)
class _Group:
    """Candidates of one x and one y, which the formulas of a stage take as numbers."""

    index: Whole
    """Their places."""
    unit: Unit
    lengths: Lengths
    prefill: Arrivals
    link: Arrivals
    decode: Arrivals

    def take(self, index: Whole) -> _Group:
        """Some of them, by their places within the group."""
        return replace(self, index=self.index[index], unit=_take(self.unit, index))


@dataclass(frozen=True)
class _Settled:
    """All three queues at one rate; arrays (candidates,)."""

    ready: Point
    """Prefill, with what follows it up to the first token."""
    answering: Point
    spread: Spread
    """Of the decode replicas' batches and caches."""
    blocked: Blocking
    """Wait for room or a sequence at the decode replica."""
    link_frac: Array
    """Utilization of a prefill replica's link."""

    @property
    def steady(self) -> NDArray[np.bool_]:
        """Whether all keep up."""
        both = self.ready.steady & self.answering.steady
        return np.asarray(both & (self.link_frac < UTILIZATION_MAX))

    def late(self, ttft_s: Array) -> Array:
        """P(TTFT > ttft_s)."""
        return ttft_exceeds(self.ready, self.blocked, ttft_s)[0]

    def slow(self, tpot_s: Array) -> Array:
        """P(mean time per output token of a request > tpot_s)."""
        return tpot_exceeds(self.answering, self.spread, tpot_s)


def stability_limit(unit: Unit, lengths: Lengths) -> Array:
    """Rate of one unit that its scarcest stage or its links carry [1/s], (candidates,)."""
    prefill, link, decode = stage_limits(unit, lengths)
    return np.minimum(np.minimum(prefill, link), decode)


def stage_limits(unit: Unit, lengths: Lengths) -> tuple[Array, Array, Array]:
    """Rates of one unit that prefill, links and decode carry [1/s], each (candidates,).

    See `queueing.stability_limit`; the links' is inf where they cost no time.
    """
    prompts, answers = _prompts(lengths), _answers(lengths)
    x, y = unit.prefill_replicas, unit.decode_replicas
    moved = unit.transfer.token_s * lengths.input_mean
    with np.errstate(divide="ignore"):
        link = x / moved
    prefill = x * queueing.stability_limit(unit.prefill, prompts)
    return prefill, link, y * queueing.stability_limit(_answering(unit.decode), answers)


def lambda_star(
    unit: Unit,
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
) -> Capacity:
    """Largest rate at which both percentile promises hold [1/s of one unit].

    Parameters
    ----------
    ttft_s, tpot_s : targets, a number or (candidates,); inf where there is none.
    ttft_percentile, tpot_percentile : share of requests that must meet them, 0.95.
    arrival_cv : coefficient of variation of the gaps of the stream that enters the pool.
    replicas : k, units in the pool.
    utilization_max : most of the stability limit to plan; 0.8, or 0.7 where arrival_cv > 1.3.
    stability_rps : `stability_limit` where it is known already.

    Returns
    -------
    Rate 0 with `UNREACHABLE` where the promise fails without load (see `zero_load`), and with
    `KV_CACHE` where a cache cannot hold a request at the higher of the two percentiles.
    """
    shape = unit.prefill_replicas.shape
    stable = stability_limit(unit, lengths) if stability_rps is None else stability_rps
    if utilization_max is None:
        utilization_max = queueing.trusted_utilization(arrival_cv)
    promise = queueing.promise_of(
        shape, Arrivals(arrival_cv**2, replicas), ttft_s=ttft_s, ttft_percentile=ttft_percentile,
        tpot_s=tpot_s, tpot_percentile=tpot_percentile,
    )  # fmt: skip
    rate, codes = np.zeros(shape), np.full(shape, int(Binding.KV_CACHE))
    fit = _fits(unit, lengths, max(ttft_percentile, tpot_percentile)) & (stable > 0)
    for group in _groups(unit, lengths, fit, arrival_cv=arrival_cv, replicas=replicas):
        at = group.index
        found = _largest(group, promise, stable=stable[at], utilization_max=utilization_max)
        rate[at], codes[at] = found.rate_rps, found.binding
    return Capacity(rate, stable, codes)


def percentiles(
    unit: Unit,
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

    inf beyond the stability limit. `rate_rps` is of one unit, a number or (candidates,).
    """
    stable = stability_limit(unit, lengths) if stability_rps is None else stability_rps
    rate = np.broadcast_to(np.asarray(rate_rps, float), stable.shape)
    rate = np.maximum(rate, stable * queueing.ZERO_LOAD_FRAC)
    ttft, tpot = np.full(stable.shape, np.inf), np.full(stable.shape, np.inf)
    stream = Arrivals(arrival_cv**2, replicas)
    for group in _groups(unit, lengths, rate < stable, arrival_cv=arrival_cv, replicas=replicas):
        at = group.index
        settled = _settle(group, rate[at], stable[at])
        for found, exceeds, allowed in (
            (ttft, settled.late, 1.0 - ttft_percentile),
            (tpot, settled.slow, queueing.allowed_frac(tpot_percentile, stream)),
        ):
            times = quantile(exceeds, at.shape, allowed)
            found[at] = np.where(settled.steady, times, np.inf)
    return ttft, tpot


def zero_load(
    unit: Unit,
    lengths: Lengths,
    *,
    ttft_percentile: float,
    tpot_percentile: float,
    stability_rps: Array | None = None,
) -> tuple[Array, Array]:
    """TTFT and TPOT percentiles without other traffic: no promise below them can be kept [s].

    Each (candidates,); inf where a cache cannot hold a mean request.
    """
    return percentiles(
        unit,
        lengths,
        0.0,
        ttft_percentile=ttft_percentile,
        tpot_percentile=tpot_percentile,
        arrival_cv=1.0,
        stability_rps=stability_rps,
    )


def _prompts(lengths: Lengths) -> Lengths:
    """The same prompts with answers of one token."""
    return replace(
        lengths,
        output_tokens=np.ones_like(lengths.output_tokens),
        total_tokens=lengths.input_tokens + 1.0,
        output_mean=1.0,
        decode_steps=0.0,
        output_scv=0.0,
        kv_steps=0.0,
        kv_steps_scv=0.0,
        kv_square_steps=0.0,
    )


def _answers(lengths: Lengths) -> Lengths:
    """The same requests with all of the prompt but one token found."""
    return replace(
        lengths,
        prefix_hit_frac=1.0 - 1.0 / lengths.input_mean,
        chunk_counts=np.zeros_like(lengths.chunk_counts),
    )


def _answering(replica: Replica) -> Replica:
    """Its steps compute single tokens of prompts, as if these decoded: no extra for prefill."""
    return replace(replica, prefill_step_s=np.zeros_like(replica.prefill_step_s))


def _groups(
    unit: Unit, lengths: Lengths, wanted: NDArray[np.bool_], *, arrival_cv: float, replicas: float
) -> Iterator[_Group]:
    """Those wanted, by the numbers of prefill and decode replicas."""
    scv = arrival_cv**2
    shapes = np.stack([unit.prefill_replicas, unit.decode_replicas], axis=1)
    for x, y in np.unique(shapes[wanted], axis=0).tolist():
        index = np.flatnonzero(wanted & (shapes == (x, y)).all(axis=1))
        yield _Group(
            index=index,
            unit=_take(unit, index),
            lengths=lengths,
            prefill=Arrivals(scv, x * replicas),
            link=Arrivals(1.0),
            decode=Arrivals(scv, y * replicas),
        )


def _take(unit: Unit, index: Whole) -> Unit:
    transfer = Transfer(**{f.name: getattr(unit.transfer, f.name)[index] for f in fields(Transfer)})
    return Unit(
        take(unit.prefill, index),
        take(unit.decode, index),
        unit.prefill_replicas[index],
        unit.decode_replicas[index],
        transfer,
    )


def _settle(group: _Group, rate_rps: Array, stability_rps: Array) -> _Settled:
    """All three queues at a rate of one unit, (candidates,)."""
    unit, lengths = group.unit, group.lengths
    each_rps = rate_rps / unit.prefill_replicas
    ready = operate(unit.prefill, _prompts(lengths), group.prefill, rate_rps=each_rps)
    own = _answering(unit.decode), _answers(lengths), group.decode
    answering = operate(*own, rate_rps=rate_rps / unit.decode_replicas)
    spread = spread_of(answering)
    blocked = admission_of(answering, spread, stability_rps / unit.decode_replicas)
    link = _link_wait(unit.transfer, lengths, each_rps, group.link)
    moved = np.outer(unit.transfer.token_s, lengths.input_tokens) + unit.transfer.latency_s[:, None]
    after = moved + answering.service.free_s
    begun, first = ready.service, answering.service
    service = replace(
        begun,
        free_s=begun.free_s + after,
        queued_s=begun.queued_s + after,
        varying_s=begun.varying_s + first.varying_s,
        free_variance_s2=begun.free_variance_s2 + first.free_variance_s2,
        queued_variance_s2=begun.queued_variance_s2 + first.free_variance_s2,
    )
    wait = _sum(_sum(ready.wait, link), answering.wait)
    ready = replace(ready, service=service, wait=wait)
    return _Settled(ready, answering, spread, blocked, link.utilization)


def _link_wait(transfer: Transfer, lengths: Lengths, rate_rps: Array, arrivals: Arrivals) -> Wait:
    """Wait for a link that moves one prompt's cache after the other."""
    token_s = np.maximum(transfer.token_s, 1e-15)
    first, second = token_s * lengths.input_mean, token_s**2 * lengths.input_square
    third = token_s**3 * lengths.input_cube
    left = Work(first, second, second / (2.0 * first), third / (3.0 * first))
    return wait_time(left, rate_rps=rate_rps, arrivals=arrivals)


def _sum(one: Wait, other: Wait) -> Wait:
    """Independent waits one after the other; all else is the first's."""
    prob = 1.0 - (1.0 - one.prob) * (1.0 - other.prob)
    mean = one.overall_s + other.overall_s
    square = 2.0 * one.overall_s * other.overall_s
    for wait in (one, other):
        square = square + wait.prob * (wait.variance_s2 + wait.mean_s**2)
    mean, square = mean / prob, square / prob
    variance = np.maximum(square - mean**2, 0.0)
    return replace(one, prob=prob, mean_s=mean, variance_s2=variance)


def _largest(group: _Group, promise: Promise, *, stable: Array, utilization_max: float) -> Capacity:
    """Largest rates of a group at which the promise holds."""

    def worst(rate: Array, index: Whole) -> tuple[Array, Whole]:
        some = group.take(index)
        return _violation(_settle(some, rate, stable[index]), queueing.of(promise, some.index))

    everyone = np.ones(stable.shape, bool)
    return largest_rate(worst, holds=everyone, stable=stable, utilization_max=utilization_max)


def _violation(settled: _Settled, promise: Promise) -> tuple[Array, Whole]:
    """Logarithm of the worse of the two chances to exceed over its allowance, and its cause."""
    chance, unblocked = ttft_exceeds(settled.ready, settled.blocked, promise.ttft_s)
    late = log_ratio(chance, promise.ttft_miss_frac)
    slow = log_ratio(settled.slow(promise.tpot_s), promise.tpot_miss_frac)
    only_blocked = log_ratio(unblocked, promise.ttft_miss_frac) <= 0
    code = np.where(only_blocked, Binding.KV_CACHE, Binding.TTFT)
    code = np.where(slow > late, Binding.TPOT, code)
    full = settled.answering.occupied.kv_frac > settled.ready.wait.utilization
    unstable = np.where(full, Binding.KV_CACHE, Binding.STABILITY)
    worst = np.where(settled.steady, np.maximum(late, slow), queueing.WORST)
    return worst, np.where(settled.steady, code, unstable).astype(np.int64)


def _fits(unit: Unit, lengths: Lengths, percentile: float) -> NDArray[np.bool_]:
    """Whether a prompt finds room where it is computed, and its answer, too, where it is made."""
    prompt = _prompts(lengths).request_tokens(percentile)
    whole = lengths.request_tokens(percentile)
    return np.asarray((unit.prefill.kv_tokens >= prompt) & (unit.decode.kv_tokens >= whole))
