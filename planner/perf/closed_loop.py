"""Closed loop: latency and throughput when a fixed number of clients each wait for an answer.

This is how benchmarks load a server. The number of decoding sequences is the fixed point of
D = N (O-1) TPOT / (TTFT + (O-1) TPOT). Benchmarks of equal lengths restart in step; the share
`waves_frac` of requests that meet such a wave is a property of the traffic and is 0 in
production, where this module serves only to compare with measurements.

.. [1] J. D. C. Little, "A proof for the queuing formula L = lambda W", Oper. Res. 9(3), 1961.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planner.perf.shapes import Array, Flags, Numbers, Serving
from planner.perf.step_time import iteration_s

BISECTIONS = 40
NEARBY, STEP_MAX = 1.01, 1.5
"""Secant steps: how far the second point lies, and the most a step goes, as factors."""
BUSY_FRAC_MAX = 0.95
"""Prefill queues are evaluated up to this share of steps that carry prefill."""
QUEUE_SLACK = 1.1
"""Finite clients keep the prefill queue finite: rho / (1.1 - rho) instead of rho / (1 - rho)."""


@dataclass(frozen=True)
class Traffic:
    """Closed-loop load; arrays that broadcast against the candidates."""

    clients: Array
    """N, requests kept in flight."""
    prompt_tokens: Array
    """I, mean."""
    output_tokens: Array
    """O, mean, above 1."""
    sequences_max: Array
    """Most sequences that run at once: memory or engine limit; the rest queue."""
    budget_tokens: Array
    """Most tokens in one step of one attention group."""
    waves_frac: Array
    """Share of requests that restart together; 0 in production."""
    separate_prefill: Flags
    """Prefill steps carry no decode (SGLang), rather than mixed."""


@dataclass(frozen=True)
class Operation:
    """Where the loop settles; arrays of the broadcast shape."""

    tpot_s: Array
    """Mean time per output token after the first."""
    ttft_s: Array
    """Mean time to first token, queueing for a place included."""
    requests_per_s: Array
    decode_sequences: Array


def _wave(serving: Serving, traffic: Traffic, budget: Array) -> tuple[Array, Array]:
    """Mean TPOT and TTFT of requests that start together [s]: prefill all, then decode all.

    With b batches of prompts a request waits for (b + 1) / 2 of them until its first token and
    for the other (b - 1) / 2 until its second.
    """
    running = np.minimum(traffic.clients, traffic.sequences_max)
    batches = np.maximum(1.0, running * traffic.prompt_tokens / budget)
    tokens = np.minimum(running * traffic.prompt_tokens, budget)
    step = iteration_s(
        serving,
        prefill_tokens=tokens,
        decode_sequences=0.0,
        context_tokens=0.0,
        prefill_context_tokens=traffic.prompt_tokens / 2,
        prompt_ends=tokens / traffic.prompt_tokens,
    )
    together = iteration_s(
        serving,
        prefill_tokens=0.0,
        decode_sequences=running,
        context_tokens=traffic.prompt_tokens + traffic.output_tokens / 2,
    )
    held_s = (batches - 1) / 2 * step
    request_s = serving.coefficients.request_s
    return together + held_s / (traffic.output_tokens - 1), request_s + held_s + step


def latencies(serving: Serving, traffic: Traffic, decode: Array) -> tuple[Array, Array]:
    """Mean TPOT and TTFT (without the wait for a place) at D decoding sequences [s]."""
    prompt, more = traffic.prompt_tokens, traffic.output_tokens - 1
    budget = traffic.budget_tokens * serving.layout.attention_groups
    mean_prefill = decode * prompt / more
    chunk = np.clip(np.maximum(mean_prefill, np.minimum(prompt, budget)), 1.0, budget)
    carries = np.minimum(1.0, mean_prefill / chunk)
    context = prompt + traffic.output_tokens / 2

    def step(prefill: Numbers, sequences: Numbers) -> Array:
        return iteration_s(
            serving,
            prefill_tokens=prefill,
            decode_sequences=sequences,
            context_tokens=context,
            prefill_context_tokens=prompt / 2,
            prompt_ends=np.asarray(prefill, float) / prompt,
        )

    plain_s, mixed_s = step(0.0, decode), step(chunk, decode)
    extra_s = np.where(traffic.separate_prefill, step(chunk, 0.0), mixed_s - plain_s)
    free_tpot_s = plain_s + carries * extra_s
    prefill_s = np.maximum(1.0, prompt / chunk) * mixed_s
    busy = np.minimum(carries, BUSY_FRAC_MAX)
    queue_s = 0.5 * prefill_s * busy / (QUEUE_SLACK - busy)
    free_ttft_s = serving.coefficients.request_s + 0.5 * free_tpot_s + queue_s + prefill_s
    wave_tpot_s, wave_ttft_s = _wave(serving, traffic, budget)
    share = traffic.waves_frac
    tpot_s = (1 - share) * free_tpot_s + share * wave_tpot_s
    return tpot_s, (1 - share) * free_ttft_s + share * wave_ttft_s


def _held(serving: Serving, traffic: Traffic, decode: Array) -> tuple[Array, Array, Array]:
    """Decoding sequences that the loop would hold if it decoded D at a time, TPOT and TTFT."""
    more = traffic.output_tokens - 1
    running = np.minimum(traffic.clients, traffic.sequences_max)
    tpot_s, ttft_s = latencies(serving, traffic, decode)
    return running * more * tpot_s / (ttft_s + more * tpot_s), tpot_s, ttft_s


def _bisected(serving: Serving, traffic: Traffic, high: Array) -> Array:
    low = np.zeros_like(high)
    for _ in range(BISECTIONS):
        decode = 0.5 * (low + high)
        held, _, _ = _held(serving, traffic, decode)
        low, high = np.where(held > decode, decode, low), np.where(held > decode, high, decode)
    return np.asarray(0.5 * (low + high))


def _corrected(serving: Serving, traffic: Traffic, high: Array, near: Array) -> Array:
    """One secant step from a root nearby, within the bracket."""
    ahead = np.where(near * NEARBY < high, near * NEARBY, near / NEARBY)
    here, _, _ = _held(serving, traffic, near)
    there, _, _ = _held(serving, traffic, ahead)
    slope = (there - here) / (ahead - near) - 1
    step = np.where(slope < 0, (near - here) / np.where(slope < 0, slope, -1.0), 0.0)
    return np.asarray(np.clip(near + step, near / STEP_MAX, np.minimum(near * STEP_MAX, high)))


def closed_loop(serving: Serving, traffic: Traffic, *, near: Array | None = None) -> Operation:
    """Operating point of N clients, by bisection on the decoding sequences D.

    With D too small the loop would hold more than D, with D = N it holds fewer: the root is
    bracketed. Requests beyond `sequences_max` wait their turn by Little's law [1]_.

    Parameters
    ----------
    serving, traffic : broadcast against each other.
    near : D of almost the same system; one secant step from it replaces the bisection, to
        second order in the distance (derivatives of a fit).

    Returns
    -------
    Arrays of the broadcast shape.
    """
    more = traffic.output_tokens - 1
    running = np.minimum(traffic.clients, traffic.sequences_max)
    budget = traffic.budget_tokens * serving.layout.attention_groups
    shape = np.broadcast_shapes(running.shape, serving.layout.tensor_gpus.shape)
    high = np.minimum(running, budget * more / traffic.prompt_tokens) + np.zeros(shape)
    if near is None:
        decode = _bisected(serving, traffic, high)
    else:
        decode = _corrected(serving, traffic, high, np.minimum(near, high))
    tpot_s, ttft_s = latencies(serving, traffic, decode)
    requests_per_s = decode / (more * tpot_s)
    wait_s = (traffic.clients - running) / requests_per_s
    return Operation(tpot_s, ttft_s + wait_s, requests_per_s, decode)
