"""Which replica a request goes to, and what happens to requests when a replica fails.

A router sees the queues as they were when the step in progress began: results of a step are
known when it ends.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any, NamedTuple

from planner.simulate.compiled import compiled
from planner.simulate.engine import advance, enqueue, evict
from planner.simulate.state import E2E, NONE, TTFT


class Routing(IntEnum):
    """Policies."""

    RANDOM = 0
    ROUND_ROBIN = 1
    LEAST_PENDING = 2
    """Fewest prompt tokens to compute; then fewest requests."""
    PREFIX_AFFINE = 3
    """The replica that holds the prompt's prefix, unless it is far behind the least loaded."""


RANDOM, ROUND_ROBIN, PREFIX_AFFINE = 0, 1, 3


class Rules(NamedTuple):
    """How requests are routed and counted."""

    policy: int
    patience: int
    """Prompt tokens by which a prefix's replica may be behind the least loaded."""
    counted: int
    """1 if statistics count the requests."""
    prompt_max: int
    """Tokens that the cache of a replica which computes prompts holds."""
    tokens_max: int
    """Tokens that the cache of a replica which makes answers holds."""


@compiled
def feed(world: Any, numbers: Any, rules: Any, piece: Any, outages: Any) -> int:
    """Run the pool up to the last arrival of this piece of the stream; refused requests.

    Requests that no cache of a replica can hold to their end are refused, and counted as late.
    """
    failure, refused = 0, 0
    for a in range(piece.times_s.size):
        now = piece.times_s[a]
        while failure < outages.shape[0] and outages[failure, 0] <= now:
            fail(world, numbers, outages[failure])
            failure += 1
        grown = piece.prompts[a] + piece.answers[a] - 1
        if piece.prompts[a] > rules.prompt_max or grown > rules.tokens_max:
            refused += 1
            for row in (TTFT, E2E):
                world.counts[row, -1] += _counted(rules, piece, a)
            continue
        for j in range(world.replicas.size):
            if world.replicas[j].now < now:
                advance(world, numbers, j, now)
        j = _choose(world, rules, piece, a)
        slot = _new_request(world, rules, piece, a)
        if rules.policy == PREFIX_AFFINE and j != piece.homes[a]:
            world.requests[slot].hit = 0
        enqueue(world, j, slot)
    return refused


@compiled
def drain(world: Any, numbers: Any) -> None:
    """Run every replica until it is idle."""
    for j in range(world.replicas.size):
        advance(world, numbers, j, math.inf)


@compiled
def _new_request(world: Any, rules: Any, piece: Any, a: int) -> int:
    last = world.free.size - 1
    world.free[last] -= 1
    slot: int = world.free[world.free[last]]
    request = world.requests[slot]
    request.arrived = piece.times_s[a]
    request.prompt, request.answer, request.hit = piece.prompts[a], piece.answers[a], piece.hits[a]
    request.made, request.base, request.place = 0, request.prompt, NONE
    request.counted, request.moved = _counted(rules, piece, a), 0.0
    return slot


@compiled
def _counted(rules: Any, piece: Any, a: int) -> int:
    """1 if statistics count the request."""
    seen: bool = piece.unseen.size == 0 or piece.unseen[a] == 0
    return rules.counted if seen else 0


@compiled
def _choose(world: Any, rules: Any, piece: Any, a: int) -> int:
    """Replica for a request; one that is down only where all are."""
    now, home = piece.times_s[a], piece.homes[a]
    if rules.policy == RANDOM:
        return _next_up(world, now, int(piece.draws[a] * world.replicas.size))
    if rules.policy == ROUND_ROBIN:
        return _next_up(world, now, (piece.offset + a) % world.replicas.size)
    least: int = _least_pending(world, now, piece.draws[a])
    if rules.policy == PREFIX_AFFINE and world.replicas[home].up_again <= now:
        behind = _seen_tokens(world, home, now) - _seen_tokens(world, least, now)
        if behind <= rules.patience:
            return int(home)
    return least


@compiled
def _next_up(world: Any, now: float, start: int) -> int:
    """The first replica in service from `start` on; `start` where none is."""
    for i in range(world.replicas.size):
        j = (start + i) % world.replicas.size
        if world.replicas[j].up_again <= now:
            return int(j)
    return start


@compiled
def _seen_tokens(world: Any, j: int, now: float) -> int:
    """Prompt tokens to compute, with those of the step in progress."""
    one = world.replicas[j]
    return int(one.pending + (one.last_chunk if one.now > now else 0))


@compiled
def _least_pending(world: Any, now: float, draw: float) -> int:
    """Fewest prompt tokens to compute; ties by requests held, then from a random start."""
    replicas = world.replicas.size
    start = int(draw * replicas)
    best, least, fewest, soonest = start, 1 << 62, 1 << 62, math.inf
    for i in range(replicas):
        j = (start + i) % replicas
        one = world.replicas[j]
        up = max(one.up_again, now)
        tokens, held = _seen_tokens(world, j, now), one.running + one.queued
        better = tokens < least or (tokens == least and held < fewest)
        if up < soonest or (up == soonest and better):
            best, least, fewest, soonest = j, tokens, held, up
    return best


@compiled
def fail(world: Any, numbers: Any, outage: Any) -> None:
    """Replica out: (time, replica, up again). Its requests start again elsewhere.

    A step in progress still completes. Tokens already sent stay sent: prompt and answer so far
    are computed again.
    """
    now, j = outage[0], int(outage[1])
    for other in range(world.replicas.size):
        advance(world, numbers, other, now)
    one = world.replicas[j]
    one.up_again = outage[2]
    while one.running > 0:
        slot = evict(world, numbers, j)
        enqueue(world, _least_pending(world, now, 0.0), slot)
    slot = one.first
    left = one.queued
    one.first, one.last, one.queued, one.pending, one.waiting = NONE, NONE, 0, 0, 0
    for _ in range(left):
        following = world.requests[slot].after
        if world.requests[slot].moved > 0:
            world.requests[slot].hit = 0
        enqueue(world, _least_pending(world, now, 0.0), slot)
        slot = following
    one.now = max(one.now, one.up_again)
    one.last_chunk = 0
