r"""Gaps between the tokens of a stream: a mixture with a jump in it.

A step that only decodes takes tau; one that also carries a chunk of somebody's prompt takes up to
the full budget's time, often five or ten times as long, and every request that decodes then waits
it out. The chance that a gap is longer than y falls slowly, drops at tau to the share of gaps that
meet a chunk, and drops again at the full step: a percentile of gaps jumps from one to the other as
traffic grows past the point where that share is what the percentile leaves out.

.. math:: P(gap > y) = (1 - c) P(\tau > y) + c [f P(full > y) + (1 - f) P(rest > y)]

c is the share of gaps that meet a chunk, counted by token: chunk-carrying steps of a request times
the sequences that decode in one, over its own gaps (O - 1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.perf.decode_tail import HERMITE, Spread, gamma_tail, met_more
from planner.perf.operating_point import Point
from planner.perf.prefill_queue import chunks_of
from planner.perf.steps import decode_step_s

Array = NDArray[np.float64]

TINY = 1e-12


def chunk_share(point: Point) -> Array:
    """Share of gaps that meet a chunk, (candidates,).

    Beside a chunk decode those that its prompt met when it came, and those that waited before it.
    """
    steps, lengths = point.steps, point.lengths
    # Of prompts that come while a step runs: what finds the replica idle has nobody beside it.
    each = steps.prefill_frac / np.maximum(point.rate_rps * steps.step_s, TINY)
    each = np.minimum(each, lengths.extra_chunks(point.times.room_tokens) + 1.0)
    ahead = point.rate_rps * point.wait.overall_s
    beside = point.sequences + met_more(point.sequences, point.arrivals) + ahead
    met = each * beside / max(lengths.decode_steps, TINY)
    return np.asarray(np.clip(met, 0.0, 1.0), float)


def gap_exceeds(point: Point, spread: Spread, gap_s: Array) -> Array:
    """P(gap between two tokens of a request > gap_s), by token, (candidates,); 0 if O is 1."""
    if point.lengths.decode_steps <= 0:
        return np.zeros_like(point.rate_rps)
    share = chunk_share(point)
    return (1.0 - share) * plain_exceeds(point, spread, gap_s) + share * carrying_exceeds(
        point, gap_s
    )


def plain_exceeds(point: Point, spread: Spread, gap_s: Array) -> Array:
    """P(a decode-only step > gap_s) as tokens see it: larger batches hold more of them."""
    steps, lengths = point.steps, point.lengths
    more = spread.sequences**2 / np.maximum(steps.decode_sequences, TINY)
    batch = steps.decode_sequences + more
    held = steps.kv_tokens + more * lengths.kv_steps / lengths.decode_steps
    context_sd = lengths.kv_steps / lengths.decode_steps
    held_sd = np.sqrt(spread.kv_tokens**2 + context_sd**2)

    def step_s(node: float) -> Array:
        return decode_step_s(
            point.replica,
            sequences=np.maximum(batch + node * spread.sequences, 1.0),
            kv_tokens=np.maximum(held + node * held_sd, 0.0),
        )

    low, middle, high = (step_s(node) for node, _ in HERMITE)
    mean = (low + 4.0 * middle + high) / 6.0
    variance = (low**2 + 4.0 * middle**2 + high**2) / 6.0 - mean**2
    floor = point.replica.overhead_s + point.replica.weights_s
    return gamma_tail(gap_s - floor, mean - floor, np.maximum(variance, 0.0))


def carrying_exceeds(point: Point, gap_s: Array) -> Array:
    """P(a chunk-carrying step > gap_s): whole budgets, and what is left of prompts."""
    full = np.minimum(point.steps.full_frac / np.maximum(point.steps.prefill_frac, TINY), 1.0)
    return full * _full_exceeds(point, gap_s) + (1.0 - full) * _rest_exceeds(point, gap_s)


def _full_exceeds(point: Point, gap_s: Array) -> Array:
    """P(a step of the whole budget > gap_s): its context lies anywhere in its prompt."""
    lengths, times = point.lengths, point.times
    by_token = lengths.weights * lengths.input_tokens
    most = np.outer(point.replica.prefill_context_s * times.room_tokens, lengths.input_tokens)
    left = (gap_s - times.full_s)[:, None]
    beyond = np.clip(1.0 - left / np.maximum(most, TINY), 0.0, 1.0)
    return np.asarray(beyond @ (by_token / by_token.sum()), float)


def _rest_exceeds(point: Point, gap_s: Array) -> Array:
    """P(a step with the rest of a prompt > gap_s), others that came meanwhile beside it."""
    replica, lengths, times = point.replica, point.lengths, point.times
    _, last = chunks_of(lengths, times.room_tokens)
    own = last @ lengths.weights
    beside = np.maximum(point.steps.partial_tokens - own, 0.0)
    number = beside / max(lengths.computed, TINY)
    some = np.maximum(-np.expm1(-number), TINY)
    mean = beside / some
    square = number * lengths.input_square * (1.0 - lengths.prefix_hit_frac) ** 2 + beside**2
    variance = np.maximum(square / some - mean**2, 0.0)
    decoded = replica.decode_tokens * point.sequences
    # Context of a rest: all that was computed before it, and half of itself.
    found = lengths.input_tokens - lengths.computed_tokens
    context = last * (found + lengths.computed_tokens - 0.5 * last)
    every = times.plain_s - np.maximum(replica.weights_s, replica.token_s * decoded)
    alone = every + replica.prefill_step_s
    left = (gap_s - alone)[:, None] - replica.prefill_context_s[:, None] * context
    slope = replica.token_s + replica.prefill_context_s * lengths.context_rate
    room = left - replica.token_s[:, None] * (decoded[:, None] + last)
    streams = left < replica.weights_s[:, None]
    needed = np.where(streams, -1.0, room / slope[:, None])
    beyond = some[:, None] * gamma_tail(needed, mean[:, None], variance[:, None])
    fits = needed < times.room_tokens[:, None] - last
    return np.asarray(np.where(needed <= 0, 1.0, beyond * fits) @ lengths.weights, float)
