r"""Stalls: time that the prefill of other prompts takes out of one request's decode.

Decode is work that every prefill interrupts, so a request that needs c seconds of steps of its own
ends after the *delay busy period* of c: each prompt that arrives meanwhile, or that gathered behind
the request's own, starts a period of prefill that its successors prolong. Behind a work-aware
balancer prompts join a replica that prefills only where all do, and seldom the one that holds the
most requests. Counts are zero with their own chance, else the sum has the moments given here.

References
----------
Conway, Maxwell, Miller, Theory of Scheduling, 1967, section 8-6 (delay busy periods):
E = c / (1 - rho), Var = lambda c E[X^2] / (1 - rho)^3. Takacs, Introduction to the Theory of
Queues, 1962 (chance that k servers are all busy).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.perf.arrivals import Arrivals, any_arrival, arrivals_after, met_by_arrivals, silence
from planner.perf.lengths import Lengths
from planner.perf.prefill_queue import StepTimes, chunks_of
from planner.perf.replica import Replica
from planner.perf.steps import Steps

Array = NDArray[np.float64]

TINY = 1e-30
LEAST = 1e-9
"""Arrivals that count as none."""
UTILIZATION_MAX = 0.98
"""Periods of prefill have no end beyond it."""


@dataclass(frozen=True)
class Stall:
    """Time that the prefill of one prompt adds to the steps of those who decode."""

    nodes_s: Array
    """Of each node's prompt, short prompts first, (candidates, nodes)."""
    weights: Array
    """Share of prompts of each node, (nodes,)."""
    mean_s: Array
    square_s2: Array
    """Second moment over prompts."""


@dataclass(frozen=True)
class Routed:
    """Where prompts go, seen from one replica; arrays (candidates,)."""

    all_busy: Array
    """Chance that a prompt finds every replica at prefill."""
    to_busy: Array
    """Rate at which prompts join a replica that prefills, over the mean rate."""
    to_idle: Array
    """The same of a replica that does not, (candidates, nodes)."""


@dataclass(frozen=True)
class Stalled:
    """Stalls of one request's decode; arrays (candidates, nodes)."""

    any_frac: Array
    """Chance that there is any."""
    one_frac: Array
    """Chance that it is the only one, where there is any."""
    one_scale: Array
    """Sum over the stall of that prompt: successors prolong it, the own last step shortens it."""
    mean_s: Array
    """Of their sum, where there are two or more."""
    variance_s2: Array
    """Of their sum, where there are two or more."""


def stall_time(replica: Replica, lengths: Lengths, *, steps: Steps, times: StepTimes) -> Stall:
    """Stall of one prompt: arithmetic beyond what the weights' streaming hides, and extras.

    A step that streams the weights anyway computes its first tokens for nothing. Prompts that
    share a step share that, and the prefill extra: both count the prefill steps there are for
    each prompt, not its own chunks. One that finds the replica idle starts a step of its own.
    """
    before, last = chunks_of(lengths, times.room_tokens)
    chunks = lengths.extra_chunks(times.room_tokens) + 1.0
    shared = np.minimum(steps.prefill_frac / np.maximum(steps.arrivals * chunks, TINY), 1.0)
    shared = 1.0 - steps.busy_frac * (1.0 - shared)
    token_s = replica.token_s[:, None]
    hidden_s = (replica.token_s * times.room_tokens - times.fill_s)[:, None]
    spared_s = before * hidden_s + np.minimum(hidden_s, token_s * last)
    extra_s = replica.prefill_step_s[:, None] * (before + 1.0)
    nodes = token_s * lengths.computed_tokens + shared[:, None] * (extra_s - spared_s)
    nodes += np.outer(replica.prefill_context_s, lengths.context_tokens)
    square = (nodes * nodes) @ lengths.weights * lengths.square_ratio
    mean = np.maximum(nodes @ lengths.weights, TINY)
    order = np.argsort(lengths.computed_tokens, kind="stable")
    ascending = np.maximum(nodes, 0.0)[:, order]
    return Stall(ascending, lengths.weights[order], mean, np.maximum(square, TINY))


def avoided_frac(sequences: Array, *, utilization: Array, replicas: float) -> Array:
    """Share of its arrivals that a replica is spared because one request is with it already.

    Among d free replicas the balancer takes the one that holds the fewest requests, so that with
    many to choose from a replica gets a new one where an old one left: of n requests, the tagged
    one does not leave, which spares it a share 1 / n. (1 - 1/d) of that with d to choose from.

    Examples
    --------
    A replica alone is spared nothing; one of many, which holds this request only, everything.

    >>> avoided_frac(np.array([1e-9]), utilization=np.array([0.0]), replicas=1.0).tolist()
    [0.0]
    >>> avoided_frac(np.array([1e-9]), utilization=np.array([0.5]), replicas=8.0).round(6).tolist()
    [0.75]
    """
    choices = np.maximum(replicas * (1.0 - utilization), 1.0)
    seen = np.maximum(sequences, 1e-9)
    return np.asarray((1.0 - 1.0 / choices) * -np.expm1(-seen) / seen, float)


def routed(utilization: Array, avoided: Array, arrivals: Arrivals) -> Routed:
    """Arrivals at replicas that prefill, and at those that do not.

    Examples
    --------
    Alone, a replica gets all prompts whatever it does; of many, at half load, none while it
    prefills and so twice the mean while it does not.

    >>> none = np.zeros((1, 1))
    >>> one = routed(np.array([0.5]), none, Arrivals(1.0))
    >>> one.to_busy.tolist(), one.to_idle.tolist()
    ([1.0], [[1.0]])
    >>> many = routed(np.array([0.5]), none, Arrivals(1.0, 5000.0))
    >>> many.to_busy.round(5).tolist(), many.to_idle.round(5).tolist()
    ([0.0], [[2.0]])
    """
    met = met_by_arrivals(np.clip(utilization, TINY, UTILIZATION_MAX), arrivals)
    if arrivals.replicas == 1.0:
        return Routed(
            np.clip(utilization, TINY, UTILIZATION_MAX),
            np.ones(utilization.size),
            np.ones((utilization.size, 1)),
        )
    to_idle = (1.0 - met.all_busy) / (1.0 - np.minimum(met.busy_frac, UTILIZATION_MAX))
    return Routed(met.all_busy, met.all_busy / met.busy_frac, to_idle[:, None] * (1.0 - avoided))


def stalled(
    stall: Stall,
    arrivals: Arrivals,
    *,
    decode_s: Array,
    drag_s: Array,
    filled_s: Array,
    rate_rps: Array,
    route: Routed,
    ttft_mean_s: Array,
    ttft_variance_s2: Array,
) -> Stalled:
    r"""Sum of the stalls of a request, by the compound of its arrivals.

    .. math:: E[S | n] = n X / (1 - \rho), \quad E[S^2 | n = 1] = E[X^2] / (1 - \rho)^3

    Parameters
    ----------
    decode_s : c, its own steps, (candidates, nodes).
    drag_s : time by which one prompt that arrives meanwhile lengthens its later steps,
        (candidates, nodes). It is part of the mean step already, but comes together with stalls.
    filled_s : prefill of those behind it that its own last chunk's step took along, (candidates,).
    ttft_mean_s, ttft_variance_s2 : time in which prompts gather behind its own, (candidates,).
    """
    gathering = (rate_rps * ttft_mean_s)[:, None]
    every = gathering + rate_rps[:, None] * decode_s
    to_busy, to_idle = route.to_busy[:, None], route.to_idle
    renewed = arrivals_after(gathering, arrivals)
    behind = renewed * to_busy
    number = arrivals_after(every, arrivals)
    count = np.maximum(behind + (number - renewed) * to_idle, LEAST)
    any_frac = _any(count, every, number, to_busy, arrivals)
    one_frac, spread = _scatter(count, any_frac, arrivals)
    spread = spread + ((rate_rps * route.to_busy) ** 2 * ttft_variance_s2)[:, None]
    each = count / any_frac
    used = (rate_rps * stall.mean_s)[:, None]
    longer = used * each / (1.0 - np.minimum(route.all_busy, UTILIZATION_MAX))[:, None]
    later = arrivals_after(every / 2.0 + longer, arrivals) - arrivals_after(every / 2.0, arrivals)
    growth = 1.0 + later * to_busy / each
    alone = silence(every / 2.0 + used, arrivals) - silence(every / 2.0, arrivals)
    one_frac = one_frac * np.exp(-alone * to_busy)
    one, square = stall.mean_s[:, None] * growth, stall.square_s2[:, None] * growth**3
    # Those behind it, and those of a burst, are not among the mean step's.
    clustered = 1.0 - (every - gathering) * to_idle / count
    joined_s = np.maximum(clustered, 0.0) * drag_s
    total = count * (one + joined_s) - np.minimum(filled_s[:, None], behind * one)
    with_drag = 2.0 * (stall.square_s2 / stall.mean_s)[:, None] * growth**2 * drag_s
    variance = count * (square - one**2 + with_drag) + spread * one**2
    scale = total / np.maximum(count * one, TINY)
    several = np.maximum(1.0 - one_frac, LEAST)
    own = scale * stall.mean_s[:, None]
    mean = np.maximum((total / any_frac - one_frac * own) / several, own)
    single = stall.square_s2[:, None]
    beyond = ((variance + total**2) / any_frac - one_frac * single * scale**2) / several - mean**2
    least = single - stall.mean_s[:, None] ** 2
    return Stalled(any_frac, one_frac, scale, mean, np.maximum(beyond, least))


def _any(count: Array, every: Array, number: Array, to_busy: Array, arrivals: Arrivals) -> Array:
    """Chance that one replica gets a prompt at all, of `count` in the mean.

    Alone, that of the stream. In a pool those that come together go different ways: the next one
    joins a replica that has just got one only if all prefill, so a cluster of M brings it
    1 + (M - 1) to_busy / k, and clusters come to it as if Poisson.
    """
    some = any_arrival(every, arrivals)
    if arrivals.replicas > 1.0:
        cluster = arrivals.replicas * number / np.maximum(some, TINY) if arrivals.bursty else 1.0
        group = 1.0 + (cluster - 1.0) * to_busy / arrivals.replicas
        some = -np.expm1(-count / group)
    return np.clip(some, LEAST, count)


def _scatter(count: Array, any_frac: Array, arrivals: Arrivals) -> tuple[Array, Array]:
    r"""Chance that of some arrivals there is but one, and the variance of their number.

    Negative binomial of this mean n and chance of none, Poisson where that is e^-n:

    .. math:: -\ln P_0 / n = -q \ln q / (1 - q), \quad P_1 = n q P_0, \quad Var = n / q
    """
    none = np.maximum(1.0 - any_frac, TINY)
    evenness = np.clip(-np.log(none) / np.maximum(count, TINY), _EVENNESS[0], 1.0)
    q = np.interp(evenness, _EVENNESS, _Q)
    stream = 1.0 + max(arrivals.scv - 1.0, 0.0) / arrivals.replicas
    one = np.minimum(count * q * none / any_frac, 1.0)
    return np.asarray(one, float), np.asarray(np.minimum(1.0 / q, stream) * count, float)


def one_exceeds(stall: Stall, limit_s: Array) -> Array:
    """P(one prompt's stall > limit_s), (candidates, any), stalls linear between their nodes.

    Examples
    --------
    Nodes of 1 s and 3 s, as likely: cells from 0 to 2 s and from 2 to 4 s.

    >>> two = Stall(np.array([[1.0, 3.0]]), np.array([0.5, 0.5]), np.array([2.0]), np.array([5.0]))
    >>> one_exceeds(two, np.array([[1.0, 3.0, 5.0]])).round(6).tolist()
    [[0.75, 0.25, 0.0]]
    """
    if not limit_s.size:
        return limit_s
    nodes = np.maximum.accumulate(stall.nodes_s, axis=1)
    inner = (nodes[:, 1:] + nodes[:, :-1]) / 2.0
    if inner.shape[1]:
        ends = 2.0 * nodes[:, :1] - inner[:, :1], 2.0 * nodes[:, -1:] - inner[:, -1:]
    else:
        ends = nodes * (1.0 - 1e-9), nodes * (1.0 + 1e-9)
    borders = np.concatenate([np.maximum(ends[0], 0.0), inner, ends[1]], axis=1)
    last = np.maximum(borders[:, -1:], TINY)
    row = 2.0 * np.arange(len(borders))[:, None]
    beyond = np.tile(1.0 - np.concatenate([[0.0], np.cumsum(stall.weights)]), len(borders))
    asked = np.minimum(np.maximum(limit_s / last, 0.0), 1.0 + 1e-6)
    found = np.interp((row + asked).ravel(), (row + borders / last).ravel(), beyond)
    return np.where(asked > 1.0, 0.0, found.reshape(asked.shape))


_Q = np.geomspace(1e-6, 1.0, 400)
_EVENNESS = np.concatenate([-_Q[:-1] * np.log(_Q[:-1]) / (1.0 - _Q[:-1]), [1.0]])
