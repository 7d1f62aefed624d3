r"""Waiting for prefill: a queue served in prompt tokens, in units of time.

While prompts wait, every step is full, so a prompt of I' tokens to compute occupies the replica
for its share of full steps plus its own attention, and short ones for what their steps cost beyond
that. A wait is a geometric sum of ladder heights, those of gamma gaps: Pollaczek-Khinchine for
Poisson arrivals, GI/M/1 for exponential prompts, GI/M/k for k replicas behind a work-aware
balancer, with 1 / k of the mean. Steps that only decode are vacations of prefill: what is left of
them adds to every wait. Tails are taken as gamma (exponential tails are accurate beyond the 90th
percentile: Abate, Choudhury, Whitt, Operations Research 43(5), 1995; ladder heights: Asmussen,
Applied Probability and Queues, 2003, ch. VIII; vacations: Fuhrmann, Cooper, Operations Research
33(5), 1985).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.perf.arrivals import Arrivals, arrivals_after, delay_probability, met_by_arrivals
from planner.perf.lengths import Lengths
from planner.perf.replica import Replica
from planner.perf.steps import Steps, decode_step_s, full_step_s, work_s

Array = NDArray[np.float64]

UTILIZATION_MAX = 0.999
TINY = 1e-30
TINY_S = 1e-12
FAR = 3.0
"""Wait, in means, up to which what gathers meanwhile is taken as linear: that of late requests."""


@dataclass(frozen=True)
class Wait:
    """Waiting time of a queue: how often, and mean and variance where there is one."""

    utilization: Array
    prob: Array
    mean_s: Array
    """Given that there is a wait."""
    variance_s2: Array
    """Given that there is a wait."""
    joining: Array
    """Rate at which others join a replica that prefills, over their mean rate."""

    @property
    def overall_s(self) -> Array:
        """Mean over all requests."""
        return np.asarray(self.prob * self.mean_s, float)


@dataclass(frozen=True)
class Work:
    """Moments of the time for which one prompt keeps prefill busy, (candidates,)."""

    first_s: Array
    second_s2: Array
    ladder_s: Array
    """Mean of what is left of a prompt when the next one comes meanwhile."""
    ladder_s2: Array
    """Its second moment."""


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
    filled_s: Array
    """Part of it in which later prompts fill the last step."""
    varying_s: Array
    """Part of `free_s` that varies: the step in progress, and how many come later."""
    free_variance_s2: Array
    """Of that part."""
    queued_variance_s2: Array
    """Of `queued_s`, at the mean wait."""
    longer: Array
    """Time to first token grows by so much with each second of wait: more prompts gather in it."""


def wait_time(
    work: Work, *, rate_rps: Array, arrivals: Arrivals, vacation_s: Array | float = 0.0
) -> Wait:
    r"""Wait in a GI/G/1 queue, or G/G/k where `arrivals.replicas` = k > 1.

    .. math:: W | W > 0 = H_1 + ... + H_N, \quad P(N = n) = (1 - \sigma) \sigma^{n-1}

    A wait is a geometric sum of ladder heights H (what is left of a prompt when the next one
    comes), with sigma the chance to wait: exact for M/G/1 (Pollaczek-Khinchine) and GI/M/1. In
    between, the mean moves with the load from that of a lone cluster to the Allen-Cunneen limit
    of heavy traffic. With k replicas the chance is that of GI/M/k and the mean 1 / k.

    Parameters
    ----------
    work : moments of the service time.
    rate_rps : arrivals per server.
    vacation_s : mean time for which an arrival keeps its server from others before service: they
        are sent elsewhere while there is one without (k > 1).

    Returns
    -------
    Utilization is capped at 0.999: callers reject such loads before they use the wait.

    Examples
    --------
    Service of exactly 1 s at 0.5/s waits 0.5 x 1 / (2 x 0.5) = 0.5 s in the mean.

    >>> one = np.array([1.0])
    >>> w = wait_time(Work(one, one, one / 2, one / 3), rate_rps=one / 2, arrivals=Arrivals(1.0))
    >>> float(w.overall_s[0]), float(w.prob[0])
    (0.5, 0.5)
    """
    k, first = arrivals.replicas, work.first_s
    rho = np.minimum(rate_rps * first, UTILIZATION_MAX)
    delayed = delay_probability(rho, arrivals.scv)
    avoided = rho if k == 1.0 else np.minimum(rho + rate_rps * vacation_s, UTILIZATION_MAX)
    met = met_by_arrivals(avoided, arrivals)
    service_scv = np.maximum(work.second_s2 / first**2 - 1.0, 0.0)
    crowded = first * (arrivals.scv + service_scv) / (arrivals.scv + 1.0)
    height = work.ladder_s + rho * (crowded - work.ladder_s)
    prob = np.clip(met.all_busy, 1e-12, 1.0)
    mean = height / (k * (1.0 - delayed))
    height_scv = work.ladder_s2 / work.ladder_s**2 - 1.0
    scv = np.maximum(height_scv * (1.0 - delayed) + delayed, 1e-6)
    return Wait(rate_rps * first, prob, mean, scv * mean**2, met.all_busy / met.busy_frac)


def step_times(replica: Replica, *, sequences: Array, kv_tokens: Array) -> StepTimes:
    """Decode-only and full step at a decode load (candidates,)."""
    plain = decode_step_s(replica, sequences=sequences, kv_tokens=kv_tokens)
    plain = np.where(sequences > 0, plain, TINY_S)  # where none decodes there are no such steps
    full = full_step_s(replica, sequences=sequences, kv_tokens=kv_tokens)
    decoded = replica.decode_tokens * sequences
    fill = work_s(replica, replica.budget_tokens) - work_s(replica, decoded)
    room = np.maximum(replica.budget_tokens - decoded, 1.0)
    return StepTimes(plain, full, np.maximum(fill, 0.0), room)


def prefill_work(
    replica: Replica,
    lengths: Lengths,
    times: StepTimes,
    arrivals: Arrivals,
    alone_s: Array | float = 0.0,
) -> Work:
    r"""Moments of a prompt's share of full steps and its own attention.

    .. math:: E[H^n] = E[X^{n+a}] / E[X^a] \cdot E[(1 - U^{1/a})^n]

    for gamma gaps of shape a = 1 / scv: the gap that ends within X has density t^(a-1) where
    gaps are short, and longer prompts are met more often, as X^a. Residual life where a = 1.
    `alone_s` is what a prompt takes beyond its share, (candidates,): see `unshared_s`.
    """
    share = times.full_s / times.room_tokens
    x = np.outer(share, lengths.computed_tokens)
    x += np.outer(replica.prefill_context_s, lengths.context_tokens)
    x += np.broadcast_to(alone_s, share.shape)[:, None]
    first = share * lengths.computed + replica.prefill_context_s * lengths.context_mean + alone_s
    second = (x * x) @ lengths.weights * lengths.square_ratio
    a = 1.0 / max(arrivals.scv, 1.0)

    def moment(order: float) -> Array:
        """E[X^order]; cells' means lose of it as of E[X^2], order (order - 1) / 2 times."""
        lost = lengths.square_ratio ** (order * (order - 1.0) / 2.0)
        return np.asarray(x**order @ lengths.weights * lost, float)

    met = (1.0 + a) * moment(a)
    return Work(first, second, moment(1.0 + a) / met, 2.0 * moment(2.0 + a) / ((2.0 + a) * met))


def unshared_s(
    replica: Replica, lengths: Lengths, *, steps: Steps, sequences: Array, times: StepTimes
) -> Array:
    """Time that a prompt takes beyond its share of a full step, (candidates,).

    Steps that are not full spread what they cost anyway over fewer tokens. Where n >= 1 prompts
    share a step in the mean, their number is taken as Poisson and one at least: a prompt meets
    steps of many more often, with 2 n - 1 in the mean while n is small.
    """
    number = steps.arrivals / np.maximum(steps.prefill_frac, TINY_S)
    tokens = lengths.computed * np.maximum(number, 2.0 * number - 1.0)
    fixed_s = times.full_s - work_s(replica, replica.budget_tokens)
    step_s = fixed_s + work_s(replica, replica.decode_tokens * sequences + tokens)
    token_s = step_s / np.maximum(tokens, 1.0)
    beyond_s = np.maximum(token_s - times.full_s / times.room_tokens, 0.0)
    return np.asarray(lengths.computed * beyond_s, float)


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
    scatter = lengths.input_square / lengths.input_mean**2  # over prompts, E[I^2] / E[I]^2
    joining = wait.joining[:, None]

    def filled(waited: Array) -> tuple[Array, Array]:
        """Mean and variance of it over their number: Poisson, that of a cluster geometric."""
        expected = rate_rps[:, None] * ((waited + residual)[:, None] + in_front)
        later = joining * arrivals_after(expected, arrivals)
        left = np.exp(-scale * later)
        number = later * scatter + (later - joining * expected) ** 2
        return most * (1.0 - left), (most * scale * left) ** 2 * number

    later, later_variance = filled(np.zeros_like(residual))
    behind, behind_variance = filled(wait.mean_s)
    free, queued = own + later, own + behind
    phase = (residual * (2.0 / 3.0 * times.plain_s - residual))[:, None]
    more = (filled(FAR * wait.mean_s)[0] - behind) / ((FAR - 1.0) * wait.mean_s)[:, None]
    prob = wait.prob[:, None]
    return Service(
        free_s=free + residual[:, None],
        queued_s=queued + residual[:, None],
        mean_s=prob * queued + (1.0 - prob) * free,
        filled_s=prob * behind + (1.0 - prob) * later,
        varying_s=residual[:, None] + later,
        free_variance_s2=phase + later_variance,
        queued_variance_s2=phase + behind_variance,
        longer=1.0 + more,
    )
