r"""End-to-end latency: from a request's arrival to the last token of its answer.

.. math:: E2E = W + S + (O - 1) \tau + \sum stalls

Lengths decide its tail: it is summed over the nodes of the answer's length, and what the other
terms add to each is a gamma of their mean and variance, one for each way in which a request may
begin (it does not wait, it waits for prefill, it meets the cache full) and its decode may go (with
stalls or without). An answer's length within its node's cell is part of that gamma, so that the
chance is smooth in the target. Wait and stalls are taken as independent, and so are the lengths of
prompt and answer: a prompt is a small part of the time that its answer takes.

Over many steps bursts even out, and the mean decode decides. Two estimates of it err to opposite
sides, so the smaller is taken: that of the stalls one by one, with the sequences that a request
meets beyond the mean (`_crowded`), right for a replica alone and long in bursty pools; and that of
the settled mean step H, longer where a fluctuating load n feeds on itself with the step's
elasticity epsilon,

.. math:: E[D] = H \, E[O - 1] \, (1 + \epsilon \, Var(n) / n^2)

right in pools and long alone. Neither holds a constant; both were chosen on half of the simulated
cells of `tests.benchmarks.e2e_rates`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.perf.admission import Blocking
from planner.perf.decode_tail import Decoding, Spread, gamma_tail, met_more
from planner.perf.operating_point import Point, decoding_of, ttft_exceeds
from planner.perf.steps import decode_step_s

Array = NDArray[np.float64]

Way = tuple[Array, Array, Array]
"""Chance, mean and variance of a time."""

TINY = 1e-9


def e2e_exceeds(
    ready: Point, blocked: Blocking, answering: Point, spread: Spread, e2e_s: Array
) -> Array:
    """P(time from arrival to the last token > e2e_s), (candidates,).

    Parameters
    ----------
    ready, blocked : up to the first token.
    answering, spread : where the answer is made; the same point on a replica that does both.
    """
    lengths = answering.lengths
    if lengths.decode_steps <= 0:
        return ttft_exceeds(ready, blocked, e2e_s)[0]
    decodes = decoding_of(answering, spread)
    least, width = cells(lengths.output_tokens)
    ways, first = _stalls(decodes), _first_token(ready, blocked)
    slower = _slower(answering, spread, decodes, ways)
    total = np.zeros_like(e2e_s)
    for weight, plain in decodes.plain_s:
        token_s = slower * plain
        left, within = e2e_s[:, None] - (least - 1.0) * token_s, width * token_s
        for chance, stall_mean, stall_variance in ways:
            stalled, scatter = slower * stall_mean, slower**2 * stall_variance
            for prob, mean, variance in first:
                tail = gamma_tail(
                    left,
                    mean[:, None] + stalled + within / 2.0,
                    variance[:, None] + scatter + within**2 / 12.0,
                )
                total += weight * prob * ((chance * tail) @ lengths.weights)
    return total


def _slower(point: Point, spread: Spread, decodes: Decoding, ways: list[Way]) -> Array:
    """Mean decode over that of `decodes`, (candidates, 1): see the module's text."""
    weights, steps = point.lengths.weights, point.steps
    stalls = sum(chance * mean for chance, mean, _ in ways)
    own = sum(weight * plain for weight, plain in decodes.plain_s)
    mean = (decodes.tokens * own + stalls) @ weights
    varied = (spread.sequences / np.maximum(point.sequences, TINY)) ** 2
    # Of a prompt that finds the replica idle nobody's decode is stalled.
    unmet = np.maximum(steps.arrivals - point.rate_rps * steps.step_s, 0.0)
    settled = (steps.step_s - unmet * point.stall.mean_s) * float(decodes.tokens[0] @ weights)
    settled = settled * (1.0 + steps.elasticity * np.minimum(varied, 1.0))
    return np.asarray(np.minimum(settled / mean, _crowded(point, spread)), float)[:, None]


def _crowded(point: Point, spread: Spread) -> Array:
    """Mean decode over that among the sequences that a request meets, (candidates,).

    Most steps of most requests fall into times of large batches: they see Var(n) / n sequences
    more than the mean. Those are one, itself, where arrivals are Poisson and steps do not answer to
    their load; bursts that it meets are counted with it.
    """
    seen = spread.sequences**2 / np.maximum(point.sequences, TINY)
    more = np.maximum(seen - 1.0 - met_more(point.sequences, point.arrivals), 0.0)
    context = point.lengths.kv_steps / point.lengths.decode_steps

    def step_s(sequences: Array) -> Array:
        return decode_step_s(point.replica, sequences=sequences, kv_tokens=sequences * context)

    plain, alone = step_s(point.sequences), step_s(np.zeros_like(seen))
    grown = step_s(point.sequences + more) / plain - 1.0
    return np.asarray(1.0 + grown * plain / np.maximum(alone, TINY), float)


def cells(tokens: Array) -> tuple[Array, Array]:
    """Node less half its cell's width, and that width: as far as to the nearer of its neighbours.

    So lengths that jump from one value to another are not smeared over what lies between.

    Examples
    --------
    >>> least, width = cells(np.array([10.0, 20.0, 40.0]))
    >>> least.tolist(), width.tolist()
    ([5.0, 15.0, 30.0], [10.0, 10.0, 20.0])
    """
    if tokens.size == 1:
        return tokens, np.zeros(1)
    gaps = np.diff(tokens)
    nearer = np.minimum(np.append(gaps[0], gaps), np.append(gaps, gaps[-1]))
    half = np.minimum(nearer / 2.0, tokens - 1.0)
    return tokens - half, 2.0 * half


def _first_token(point: Point, blocked: Blocking) -> list[Way]:
    """Ways in which a request begins: chance, mean and variance of its time to first token."""
    wait, service, weights = point.wait, point.service, point.lengths.weights
    free, queued = service.free_s @ weights, service.queued_s @ weights
    free_square, queued_square = service.free_s**2 @ weights, service.queued_s**2 @ weights
    spread = np.maximum(queued_square - queued**2, 0.0)
    open_ = 1.0 - blocked.prob
    found = [
        (open_ * (1.0 - wait.prob), free, np.maximum(free_square - free**2, 0.0)),
        (open_ * wait.prob, wait.mean_s + queued, wait.variance_s2 + spread),
    ]
    if np.any(blocked.prob > TINY):
        waited = wait.prob * (wait.variance_s2 + wait.mean_s**2) - wait.overall_s**2
        mean = wait.overall_s + blocked.mean_s + queued
        found.append((blocked.prob, mean, waited + blocked.mean_s**2 + spread))
    return found


def _stalls(decodes: Decoding) -> list[Way]:
    """Ways in which a decode goes: chance, mean and variance of its stalls, (candidates, nodes)."""
    stall, stalls = decodes.stall, decodes.stalls
    none = np.zeros_like(stalls.any_frac)
    scale, one, more = stalls.one_scale, stalls.one_frac, 1.0 - stalls.one_frac
    mean = one * scale * stall.mean_s[:, None] + more * stalls.mean_s
    square = one * scale**2 * stall.square_s2[:, None]
    square = square + more * (stalls.variance_s2 + stalls.mean_s**2)
    return [
        (1.0 - stalls.any_frac, none, none),
        (stalls.any_frac, mean, np.maximum(square - mean**2, 0.0)),
    ]
