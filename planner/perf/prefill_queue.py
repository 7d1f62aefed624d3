r"""Waiting for prefill: a queue served in prompt tokens, in units of time.

While prompts wait, every step is full, so a prompt of I' tokens to compute occupies the replica
for its share of full steps plus its own attention. Mean waits: Pollaczek-Khinchine for Poisson
arrivals, GI/M/1 with gamma gaps scaled by the Allen-Cunneen variability factor when bursty,
Sakasegawa's G/G/k for k replicas behind a work-aware balancer. The wait, given that there is
one, is taken as gamma with the shape of the M/G/1 workload (exponential tails are accurate
beyond the 90th percentile: Abate, Choudhury, Whitt, Operations Research 43(5), 1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.perf.arrivals import Arrivals, arrivals_after, delay_probability
from planner.perf.lengths import Lengths
from planner.perf.replica import Replica
from planner.perf.steps import Steps, decode_step_s, full_step_s, work_s

Array = NDArray[np.float64]

UTILIZATION_MAX = 0.999
TINY = 1e-30


@dataclass(frozen=True)
class Wait:
    """Waiting time of a queue: how often, and mean and variance where there is one."""

    utilization: Array
    prob: Array
    mean_s: Array
    """Given that there is a wait."""
    variance_s2: Array
    """Given that there is a wait."""

    @property
    def overall_s(self) -> Array:
        """Mean over all requests."""
        return np.asarray(self.prob * self.mean_s, float)


@dataclass(frozen=True)
class StepTimes:
    """The two extreme steps at a mean load, and what prefill adds."""

    plain_s: Array
    """tau: decode only."""
    full_s: Array
    """Whole token budget, attention apart."""
    fill_s: Array
    """Arithmetic by which a full step exceeds tau: `full_s` - `plain_s` - prefill_step_s."""
    room_tokens: Array
    """Budget left for prefill."""


@dataclass(frozen=True)
class Service:
    """Time from a request's turn to its first token; arrays (candidates, nodes)."""

    free_s: Array
    """Of a request that did not wait."""
    queued_s: Array
    """Of a request that waited: more prompts have gathered to fill its last step."""
    mean_s: Array
    """Over both, without the remainder of the step in progress."""


def wait_time(
    first: Array, second: Array, third: Array, *, rate_rps: Array, arrivals: Arrivals
) -> Wait:
    r"""Wait in a GI/G/1 queue, or G/G/k where `arrivals.replicas` = k > 1.

    .. math:: E[W] = \lambda E[X^2] / (2 (1 - \rho)) \quad\text{(M/G/1)}

    Parameters
    ----------
    first, second, third : E[X], E[X^2], E[X^3] of the service time [s, s^2, s^3].
    rate_rps : arrivals per server.

    Returns
    -------
    Utilization is capped at 0.999: callers reject such loads before they use the wait.

    Examples
    --------
    Service of exactly 1 s at 0.5/s waits 0.5 x 1 / (2 x 0.5) = 0.5 s in the mean.

    >>> one = np.array([1.0])
    >>> w = wait_time(one, one, one, rate_rps=np.array([0.5]), arrivals=Arrivals(1.0))
    >>> float(w.overall_s[0]), float(w.prob[0])
    (0.5, 0.5)
    """
    rho = np.minimum(rate_rps * first, UTILIZATION_MAX)
    workload = rate_rps * second / (2.0 * (1.0 - rho))
    workload_square = 2.0 * workload**2 + rate_rps * third / (3.0 * (1.0 - rho))
    scv = np.maximum(workload_square * rho / np.maximum(workload**2, TINY) - 1.0, 1e-6)
    service_scv = np.maximum(second / first**2 - 1.0, 0.0)
    delayed = delay_probability(rho, arrivals.scv)
    if arrivals.replicas > 1:
        prob, mean = _pooled(first, rho, delayed, service_scv, arrivals)
    elif arrivals.bursty:
        factor = (arrivals.scv + service_scv) / (arrivals.scv + 1.0)
        prob, mean = delayed, first / (1.0 - delayed) * factor
    else:
        prob = np.maximum(rho, 1e-12)
        mean = workload / prob * (arrivals.scv + service_scv) / (1.0 + service_scv)
    return Wait(rate_rps * first, prob, mean, scv * mean**2)


def _pooled(
    first: Array, rho: Array, delayed: Array, service_scv: Array, arrivals: Arrivals
) -> tuple[Array, Array]:
    """Probability and conditional mean of the wait behind a work-aware balancer (Sakasegawa)."""
    k = arrivals.replicas
    prob = np.clip(rho ** (np.sqrt(2.0 * (k + 1.0)) - 2.0) * delayed, 1e-12, 1.0)
    factor = (arrivals.scv + service_scv) / (arrivals.scv + 1.0)
    return prob, first / (k * (1.0 - delayed)) * factor


def step_times(replica: Replica, *, sequences: Array, kv_tokens: Array) -> StepTimes:
    """Decode-only and full step at a decode load (candidates,)."""
    plain = decode_step_s(replica, sequences=sequences, kv_tokens=kv_tokens)
    full = full_step_s(replica, sequences=sequences, kv_tokens=kv_tokens)
    decoded = replica.decode_tokens * sequences
    fill = work_s(replica, replica.budget_tokens) - work_s(replica, decoded)
    room = np.maximum(replica.budget_tokens - decoded, 1.0)
    return StepTimes(plain, full, np.maximum(fill, 0.0), room)


def occupancy_moments(
    replica: Replica, lengths: Lengths, times: StepTimes
) -> tuple[Array, Array, Array]:
    """E[X], E[X^2], E[X^3] of a prompt's share of full steps and its own attention [s^n]."""
    share = times.full_s / times.room_tokens
    x = np.outer(share, lengths.computed_tokens)
    x += np.outer(replica.prefill_context_s, lengths.context_tokens)
    first = share * lengths.computed + replica.prefill_context_s * lengths.context_mean
    square = x * x
    second = square @ lengths.weights * lengths.square_ratio
    third = (square * x) @ lengths.weights * lengths.cube_ratio
    return first, second, third


def chunks_of(lengths: Lengths, room_tokens: Array) -> tuple[Array, Array]:
    """Whole chunks before the last, and tokens of the last, both (candidates, nodes)."""
    before = np.ceil(lengths.computed_tokens / room_tokens[:, None] - 1e-9) - 1.0
    return before, lengths.computed_tokens - before * room_tokens[:, None]


def service_time(
    replica: Replica,
    lengths: Lengths,
    arrivals: Arrivals,
    *,
    rate_rps: Array,
    steps: Steps,
    sequences: Array,
    kv_tokens: Array,
    times: StepTimes,
    wait: Wait,
    stall_s: Array,
) -> Service:
    """Own chunks, the last of them filled up by later prompts, and the step in progress.

    Parameters
    ----------
    sequences, kv_tokens : decode load that a prompt meets, (candidates,).
    stall_s : mean time that one prompt's prefill adds to steps, (candidates,).
    """
    before, last = chunks_of(lengths, times.room_tokens)
    decoded = replica.decode_tokens * sequences
    every = replica.overhead_s + replica.prefill_step_s
    every = every + replica.sequence_s * sequences + replica.kv_token_s * kv_tokens
    work = np.maximum(
        replica.weights_s[:, None], replica.token_s[:, None] * (decoded[:, None] + last)
    )
    own = before * times.full_s[:, None] + every[:, None] + work
    own += np.outer(replica.prefill_context_s, lengths.context_tokens)
    residual = 0.5 * steps.busy_frac * times.plain_s
    most = (times.fill_s / times.room_tokens)[:, None] * (times.room_tokens[:, None] - last)
    scale = stall_s[:, None] / np.maximum(np.maximum(most, stall_s[:, None]), TINY)
    in_front = before * times.full_s[:, None]

    def filled(waited: Array) -> Array:
        exposed = (waited + residual)[:, None] + in_front
        later = arrivals_after(rate_rps[:, None] * exposed, arrivals)
        return np.asarray(most * -np.expm1(-scale * later), float)

    free, queued = own + filled(np.zeros_like(residual)), own + filled(wait.mean_s)
    ahead = residual + _gated_s(
        replica, lengths, rate_rps=rate_rps, steps=steps, times=times, wait=wait
    )
    prob = wait.prob[:, None]
    return Service(
        free_s=free + ahead[:, None],
        queued_s=queued + ahead[:, None],
        mean_s=prob * queued + (1.0 - prob) * free,
    )


def _gated_s(
    replica: Replica,
    lengths: Lengths,
    *,
    rate_rps: Array,
    steps: Steps,
    times: StepTimes,
    wait: Wait,
) -> Array:
    """Batch service is gated: prompts that arrive in a step wait for its end [s]."""
    tokens = steps.arrivals * lengths.computed / np.maximum(steps.prefill_frac, 1e-9)
    empty = np.clip(1.0 - tokens / times.room_tokens, 0.0, 1.0)
    share = np.minimum(
        np.minimum(rate_rps * replica.token_s * lengths.computed, wait.utilization), UTILIZATION_MAX
    )
    return np.asarray(empty * share * times.plain_s / (1.0 - share), float)
