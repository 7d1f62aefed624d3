"""Decode under load: how far batch and cache fluctuate, and the tail of time per output token.

Prefill stalls decode, so the prompts that arrive while a request decodes set its time per output
token (TPOT), and shot noise of prefill swells the number of sequences in flight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from planner.perf.arrivals import Arrivals, arrivals_after
from planner.perf.lengths import Lengths
from planner.perf.prefill_queue import Service, StepTimes, Wait, chunks_of
from planner.perf.replica import Replica
from planner.perf.steps import Steps, decode_step_s

Array = NDArray[np.float64]

TINY = 1e-30
VARIANCE_MIN = 1e-10
"""Least variance / mean^2 of a gamma tail: below it the tail is a step."""
BEHIND_FRAC = 0.5
"""Share of the prefill that gathers behind a waiting request which stalls its decode; the rest is
offset by what is still queued when its decode ends. Against simulation 0.5 brings the error of
TPOT-bound rates from 11 to 8 % in the mean (10 to 6 % on cases it was not chosen on)."""
HERMITE = ((-np.sqrt(3.0), 1.0 / 6.0), (0.0, 2.0 / 3.0), (np.sqrt(3.0), 1.0 / 6.0))
"""Three-point Gauss-Hermite rule for a standard normal: (node, weight)."""


@dataclass(frozen=True)
class Stall:
    """Time that the prefill of one prompt adds to the steps of those who decode."""

    mean_s: Array
    square_s2: Array
    """Second moment over prompts."""


@dataclass(frozen=True)
class Spread:
    """Standard deviations of the decode batch and of the tokens it and prefill hold."""

    sequences: Array
    kv_tokens: Array


def gamma_tail(x: Array, mean: Array, variance: Array) -> Array:
    """P(Y > x) for a gamma of this mean and variance; 1 where x <= 0. Shapes broadcast.

    A mean of 0 leaves no tail beyond 0.

    Examples
    --------
    Mean 1 and variance 1 is exponential: P(Y > 0) = 1, P(Y > 2) = e^-2.

    >>> one = np.array([1.0, 1.0])
    >>> gamma_tail(np.array([0.0, 2.0]), one, one).round(6).tolist()
    [1.0, 0.135335]
    """
    mean = np.maximum(mean, TINY)
    rate = mean / np.maximum(variance, VARIANCE_MIN * mean**2 + TINY)
    shape, scaled = np.broadcast_arrays(mean * rate, x * rate)
    out = np.ones(shape.shape)
    tail = scaled > 0
    out[tail] = special.gammaincc(shape[tail], scaled[tail])
    return out


def stall_time(replica: Replica, lengths: Lengths, *, steps: Steps, times: StepTimes) -> Stall:
    """Stall of one prompt: its share of full steps' arithmetic, its attention, its extra steps.

    Prompts that share a step share its prefill extra, so that part counts the prefill steps
    there are for each prompt, not its own chunks.
    """
    token_s = times.fill_s / times.room_tokens
    chunks = lengths.extra_chunks(times.room_tokens) + 1.0
    shared = np.minimum(steps.prefill_frac / np.maximum(steps.arrivals * chunks, TINY), 1.0)
    extra_s = replica.prefill_step_s * shared
    mean = token_s * lengths.computed + replica.prefill_context_s * lengths.context_mean
    nodes = np.outer(token_s, lengths.computed_tokens)
    nodes += np.outer(replica.prefill_context_s, lengths.context_tokens)
    if np.any(extra_s > 0):
        mean = mean + extra_s * chunks
        before, _ = chunks_of(lengths, times.room_tokens)
        nodes += extra_s[:, None] * (before + 1.0)
    return Stall(mean, (nodes * nodes) @ lengths.weights * lengths.square_ratio)


def spread(
    lengths: Lengths,
    arrivals: Arrivals,
    *,
    rate_rps: Array,
    steps: Steps,
    sequences: Array,
    kv_tokens: Array,
    times: StepTimes,
    stall: Stall,
    service: Service,
) -> Spread:
    """Fluctuation of the decode batch and of the cache, pooled over the replicas.

    Infinite-server variance of a renewal stream, amplified by the step time's answer to its own
    load, plus decode stalled by prefill shot noise.
    """
    calm = 1.0 - steps.elasticity
    peaked = _peakedness(sequences, arrivals.scv)
    noise = stall.square_s2 + (arrivals.scv - 1.0) * stall.mean_s**2
    window = 2.0 * calm * max(lengths.decode_steps, 1.0) * times.plain_s**2
    stalled = np.clip(rate_rps * noise * steps.step_s / window, 0.0, 1.0)
    batch = sequences * peaked / calm + sequences**2 * stalled
    held = service.mean_s @ (lengths.weights * lengths.input_tokens**2)
    tokens = rate_rps * (steps.step_s * lengths.kv_square_steps + held) * peaked / calm
    tokens = tokens + kv_tokens**2 * stalled
    return Spread(np.sqrt(batch / arrivals.replicas), np.sqrt(tokens / arrivals.replicas))


def _peakedness(sequences: Array, scv: float) -> Array:
    """Variance / mean of a GI/M/infinity population, at least 1 (Poisson)."""
    psi = (1.0 + scv / np.maximum(sequences, 1e-9)) ** (-1.0 / scv)
    return np.asarray(np.maximum(1.0 + psi / (1.0 - psi) - sequences, 1.0), float)


def mean_and_variance_s(wait: Wait, service: Service, lengths: Lengths) -> tuple[Array, Array]:
    """Mean and variance over requests of the time to first token [s, s^2]."""
    own = service.mean_s @ lengths.weights
    own_square = service.mean_s**2 @ lengths.weights
    waited_square = wait.prob * (wait.variance_s2 + wait.mean_s**2)
    variance = waited_square - wait.overall_s**2 + own_square - own**2
    return wait.overall_s + own, np.maximum(variance, 0.0)


def tpot_tail(
    replica: Replica,
    lengths: Lengths,
    arrivals: Arrivals,
    *,
    tpot_s: Array,
    rate_rps: Array,
    sequences: Array,
    kv_tokens: Array,
    times: StepTimes,
    stall: Stall,
    spread: Spread,
    ttft_mean_s: Array,
    ttft_variance_s2: Array,
) -> Array:
    """P(mean time per output token of a request > tpot_s), shape (candidates,); 0 if O is 1.

    A request of O tokens exceeds y where the prefill done during its decode, that which arrives
    meanwhile and part of that which gathered behind it, exceeds (O-1)(y - tau). Its own presence
    counts: batch and cache are those that a busy replica has. No token takes longer than a full
    step.
    """
    if lengths.decode_steps <= 0:
        return np.zeros_like(rate_rps)
    with_own = 1.0 / np.maximum(-np.expm1(-sequences), TINY)
    tokens = np.maximum(lengths.output_tokens - 1.0, 1.0)[None, :]
    window_s = BEHIND_FRAC * ttft_mean_s[:, None] + tokens * tpot_s[:, None]
    mean = stall.mean_s[:, None] * arrivals_after(rate_rps[:, None] * window_s, arrivals)
    noise = stall.square_s2 + (arrivals.scv - 1.0) * stall.mean_s**2
    noise = rate_rps / arrivals.replicas * np.maximum(noise, 0.0)
    early = (BEHIND_FRAC * rate_rps * stall.mean_s) ** 2 * ttft_variance_s2
    variance = noise[:, None] * window_s + early[:, None]
    chunk_s = replica.prefill_context_s * times.room_tokens * lengths.context_rate
    total = np.zeros_like(rate_rps)
    for node, weight in HERMITE:
        plain = decode_step_s(
            replica,
            sequences=np.maximum(sequences * with_own + node * spread.sequences, 0.0),
            kv_tokens=np.maximum(kv_tokens * with_own + node * spread.kv_tokens, 0.0),
        )
        allowed = tokens * (tpot_s - plain)[:, None]
        longest = times.full_s + chunk_s + plain - times.plain_s
        beyond = gamma_tail(allowed, mean, variance) @ lengths.weights
        total += weight * np.where(tpot_s >= longest, 0.0, beyond)
    return total
