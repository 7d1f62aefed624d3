r"""Stalls: time that the prefill of other prompts takes out of one request's decode.

Decode is work that every prefill interrupts, so a request that needs c seconds of steps of its own
ends after the *delay busy period* of c: each prompt that arrives meanwhile, or that gathered behind
the request's own, starts a period of prefill that its successors prolong. Behind a work-aware
balancer prompts join a replica that prefills only where all do, and seldom the one that holds the
most requests. Counts are zero with their own chance, else the sum has the moments given here.

References
----------
Conway, Maxwell, Miller, Theory of Scheduling, 1967, section 8-6 (delay busy periods):
E = c / (1 - rho), Var = lambda c E[X^2] / (1 - rho)^3. Sakasegawa, Annals of the Institute of
Statistical Mathematics 29, 1977 (chance that k servers are all busy).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.perf.arrivals import Arrivals, any_arrival, arrivals_after
from planner.perf.lengths import Lengths
from planner.perf.prefill_queue import StepTimes, chunks_of
from planner.perf.replica import Replica
from planner.perf.steps import Steps

Array = NDArray[np.float64]

TINY = 1e-30
UTILIZATION_MAX = 0.98
"""Periods of prefill have no end beyond it."""


@dataclass(frozen=True)
class Stall:
    """Time that the prefill of one prompt adds to the steps of those who decode."""

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
    """The same of a replica that does not."""


@dataclass(frozen=True)
class Stalled:
    """Stalls of one request's decode; arrays (candidates, nodes)."""

    any_frac: Array
    """Chance that there is any."""
    mean_s: Array
    """Of their sum, where there is any."""
    variance_s2: Array
    """Of their sum, where there is any."""


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
    return Stall(np.maximum(nodes @ lengths.weights, TINY), np.maximum(square, TINY))


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


def routed(utilization: Array, avoided: Array, replicas: float) -> Routed:
    """Arrivals at replicas that prefill, and at those that do not (Sakasegawa).

    Examples
    --------
    Alone, a replica gets all prompts whatever it does; of many, at half load, none while it
    prefills and so twice the mean while it does not.

    >>> one = routed(np.array([0.5]), np.array([0.0]), 1.0)
    >>> one.to_busy.tolist(), one.to_idle.tolist()
    ([1.0], [1.0])
    >>> many = routed(np.array([0.5]), np.array([0.0]), 5000.0)
    >>> many.to_busy.round(6).tolist(), many.to_idle.round(6).tolist()
    ([0.0], [2.0])
    """
    rho = np.clip(utilization, TINY, UTILIZATION_MAX)
    all_busy = rho ** (np.sqrt(2.0 * (replicas + 1.0)) - 1.0)
    to_idle = (1.0 - all_busy) / (1.0 - rho) * (1.0 - avoided)
    return Routed(all_busy, np.asarray(all_busy / rho), np.asarray(to_idle))


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
    to_busy, to_idle = route.to_busy[:, None], route.to_idle[:, None]
    calm = gathering * to_busy + (every - gathering) * to_idle
    count = calm + arrivals_after(every, arrivals) - every
    behind = gathering * to_busy + arrivals_after(gathering, arrivals) - gathering
    any_frac = np.maximum(any_arrival(calm, arrivals), 1e-9)
    spread = _count_variance(count, any_frac, arrivals)
    spread = spread + ((rate_rps * route.to_busy) ** 2 * ttft_variance_s2)[:, None]
    ends = 1.0 - route.all_busy
    one, square = (stall.mean_s / ends)[:, None], (stall.square_s2 / ends**3)[:, None]
    total = count * one - np.minimum(filled_s[:, None], behind * one)
    with_drag = 2.0 * (stall.square_s2 / stall.mean_s / ends**2)[:, None] * drag_s
    variance = count * (square - one**2 + with_drag) + spread * one**2
    mean = total / any_frac
    beyond = (variance + total**2) / any_frac - mean**2
    return Stalled(any_frac, mean, np.maximum(beyond, square - one**2))


def _count_variance(count: Array, any_frac: Array, arrivals: Arrivals) -> Array:
    """Variance of a number of arrivals: geometric in one cluster, that of the stream at most.

    Where Poisson both ends are the mean.
    """
    cluster = count / any_frac
    geometric = any_frac * cluster * (2.0 * cluster - 1.0) - count**2
    stream = 1.0 + max(arrivals.scv - 1.0, 0.0) / arrivals.replicas
    return np.asarray(np.clip(geometric, count, stream * count), float)
