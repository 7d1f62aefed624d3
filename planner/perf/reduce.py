"""Reduce: the step-time model of each candidate to the eight linear numbers of a `Replica`.

Queueing and pooling need a step time that is linear in what a step carries. Cache reads and
prefill attention are linear already and are taken over exactly at the mean lengths. The rest is
fitted on a few points of the operating range, each residual closed from above so that the
replica errs slow:

- decode: a secant through D/4 and D, D the most sequences that run. Experts touched make the
  curve concave: it lies above its secant inside, so the secant is lifted by the largest gap;
- prefill: token_s is the slope between a half and a full budget, where arithmetic rules;
  prefill_step_s closes what is left at smaller chunks (experts not touched by decode alone,
  uncaptured launches). A decoding sequence in a prefill step pays both token_s and sequence_s,
  which overlap.

Over 1,873 benchmarked candidates, D from a quarter to all and P from 0 to the budget, the replica
is slow by 1.0 % in the median for dense models (95th percentile 6.6 %) and by 3.5 % for mixtures
of experts (15 %), and fast by at most 6 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from planner.perf.replica import Replica
from planner.perf.shapes import Array, Numbers, Serving
from planner.perf.step_time import iteration_terms_s

WEIGHT_TERMS = ("dense", "head", "experts")
CONTEXT_TERMS = ("kv", "prefill_attention")
LOW_FRAC = 0.25
"""The operating range starts at this share of the most sequences."""
LIFT_FRACS = (0.375, 0.5, 0.7)
"""Shares at which the secant is lifted to the curve."""
CHUNK_FRACS = (1 / 32, 1 / 8, 1 / 2)
"""Shares of the token budget at which prefill steps are closed from above."""
HELD_OUTPUT_FRAC = 0.6
"""Share of the mean output that a running sequence holds, for capacity."""


@dataclass(frozen=True)
class Lengths:
    """Mean lengths of the class that a candidate serves; (candidates,) or scalars."""

    prompt_tokens: Array
    output_tokens: Array

    @property
    def context_tokens(self) -> Array:
        """Mean tokens that a decoding sequence holds: the prompt and half of the output."""
        return self.prompt_tokens + self.output_tokens / 2

    @property
    def held_tokens(self) -> Array:
        """Mean tokens that capacity must provide for a running sequence."""
        return self.prompt_tokens + HELD_OUTPUT_FRAC * self.output_tokens


@dataclass(frozen=True)
class _Step:
    """One step's terms, apart by how the replica treats them."""

    weights: Array
    fixed: Array
    """All but weights, cache reads and prefill attention."""

    @property
    def base(self) -> Array:
        return self.weights + self.fixed


@dataclass(frozen=True)
class _Line:
    """Linear step time without cache reads and prefill attention."""

    most: Array
    overhead: Array
    weights: Array
    sequence: Array
    token: Array


def _step(serving: Serving, lengths: Lengths, prefill: Numbers, decode: Numbers) -> _Step:
    terms = iteration_terms_s(
        serving,
        prefill_tokens=prefill,
        decode_sequences=decode,
        context_tokens=0.0,
        prefill_context_tokens=0.0,
        prompt_ends=np.asarray(prefill, float) / lengths.prompt_tokens,
    )
    weights = sum(terms[name] for name in WEIGHT_TERMS)
    rest = sum(value for name, value in terms.items() if name not in WEIGHT_TERMS)
    return _Step(weights=np.asarray(weights), fixed=np.asarray(rest))


def _context_costs(serving: Serving, lengths: Lengths) -> tuple[Array, Array]:
    """Seconds per cached token read, and per prefill token and token it attends to."""
    context, reach = lengths.context_tokens, lengths.prompt_tokens / 2
    loaded = iteration_terms_s(
        serving,
        prefill_tokens=1.0,
        decode_sequences=1.0,
        context_tokens=context,
        prefill_context_tokens=reach,
    )
    # Recurrent state is read whatever the context: it belongs to the sequence.
    state = iteration_terms_s(serving, prefill_tokens=0.0, decode_sequences=1.0, context_tokens=0.0)
    kv_token_s = (loaded["kv"] - state["kv"]) / context
    return np.asarray(kv_token_s), np.asarray(loaded["prefill_attention"] / reach)


def _decode_line(serving: Serving, lengths: Lengths, most: Array) -> tuple[Array, Array, Array]:
    """Intercept of steps without prefill, weights in it, and slope per sequence."""
    low, high = most * LOW_FRAC, most
    first, last = (_step(serving, lengths, 0.0, count) for count in (low, high))
    slope = (last.base - first.base) / (high - low)
    weight_slope = (last.weights - first.weights) / (high - low)
    weights = np.maximum(last.weights - weight_slope * high, 0.0)
    intercept = last.base - slope * high
    for share in LIFT_FRACS:
        gap = _step(serving, lengths, 0.0, share * most).base - slope * share * most
        intercept = np.maximum(intercept, gap)
    return intercept, weights, slope


def _verifying(serving: Serving, lengths: Lengths, line: _Line, tokens: Array) -> _Line:
    """The line where every decoding sequence computes several tokens in a step.

    Weights or arithmetic of all tokens are on the line already; what they leave of a step, at a
    quarter to all of the sequences, is closed from above by a slope per sequence and overhead.
    """

    def gap(count: Array) -> Array:
        work = np.maximum(line.weights, line.token * tokens * count)
        truth = _step(serving, lengths, 0.0, tokens * count).base
        return np.asarray(truth - line.overhead - work)

    low, high = line.most * LOW_FRAC, line.most
    slope = np.maximum((gap(high) - gap(low)) / (high - low), 0.0)
    more = np.zeros_like(slope)
    for share in (LOW_FRAC, *LIFT_FRACS, 1.0):
        more = np.maximum(more, gap(share * line.most) - slope * share * line.most)
    several = tokens > 1
    return replace(
        line,
        overhead=np.where(several, line.overhead + more, line.overhead),
        sequence=np.where(several, slope, line.sequence),
    )


def _token_s(serving: Serving, lengths: Lengths, budget: Array, most: Array) -> Array:
    """Cost per batched token: the slope between a half and a full budget of prefill."""
    half, full = (_step(serving, lengths, share * budget, most / 2).base for share in (0.5, 1.0))
    return np.asarray(np.maximum((full - half) / (0.5 * budget), 0.0))


def _prefill_step_s(
    serving: Serving, lengths: Lengths, budget: Array, line: _Line, tokens: Array
) -> Array:
    """Extra of a step that carries prefill: the largest that the other terms leave open."""
    extra, decode = np.zeros_like(line.token), LOW_FRAC * line.most
    decoded = tokens * decode
    for prefill in (share * budget for share in CHUNK_FRACS):
        work = np.maximum(line.weights, line.token * (prefill + decoded))
        known = line.overhead + line.sequence * decode + work
        extra = np.maximum(extra, _step(serving, lengths, prefill, decoded).base - known)
    return extra


def _line(serving: Serving, lengths: Lengths, budget: Array, most: Array) -> _Line:
    intercept, weights, sequence = _decode_line(serving, lengths, most)
    token = _token_s(serving, lengths, budget, most)
    # Decode alone must stay on its line: the floor is raised to what its tokens could cost,
    # and what is added to it is taken from the overhead.
    weights = np.clip(token * most, weights, intercept)
    return _Line(most, intercept - weights, weights, sequence, token)


def reduce_to_replica(
    serving: Serving,
    lengths: Lengths,
    *,
    kv_tokens: Numbers,
    budget_tokens: Numbers = 8192.0,
    sequences_max: Numbers = 256.0,
    decode_tokens: Numbers = 1.0,
) -> Replica:
    """Replica of each candidate for one class of mean lengths.

    Parameters
    ----------
    serving, lengths : candidates, and the class each serves.
    kv_tokens : tokens that the cache holds (`memory.kv_tokens`); with 0 nothing runs, and
        sequences_max of the replica is 0.
    budget_tokens : most tokens of one step; 8192 with chunked prefill, the larger of that and
        the 99th percentile prompt without.
    sequences_max : most sequences that the engine runs (its own limit).
    decode_tokens : tokens that a decoding sequence computes in a step: 1, or 1 and those drafted.

    Returns
    -------
    Arrays of shape (candidates,).
    """
    held = np.asarray(kv_tokens, float) / lengths.held_tokens
    most = np.minimum(np.asarray(sequences_max, float), held)
    budget = np.asarray(budget_tokens, float) * serving.layout.attention_groups
    tokens = np.asarray(decode_tokens, float)
    line = _line(serving, lengths, budget, np.maximum(most, 1.0))
    if np.any(tokens > 1):
        line = _verifying(serving, lengths, line, tokens)
    prefill_step = _prefill_step_s(serving, lengths, budget, line, tokens)
    kv_token_s, prefill_context_s = _context_costs(serving, lengths)
    zeros = np.zeros(np.broadcast_shapes(prefill_step.shape, most.shape))
    return Replica(
        overhead_s=line.overhead + zeros,
        prefill_step_s=prefill_step + zeros,
        weights_s=line.weights + zeros,
        token_s=line.token + zeros,
        sequence_s=line.sequence + zeros,
        kv_token_s=kv_token_s + zeros,
        prefill_context_s=prefill_context_s + zeros,
        budget_tokens=budget + zeros,
        sequences_max=np.floor(most) + zeros,
        kv_tokens=np.asarray(kv_tokens, float) + zeros,
        decode_tokens=tokens + zeros,
    )
