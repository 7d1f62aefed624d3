"""One replica, step by step: decode first, then chunks of prompts in order of arrival.

A step computes one token of every sequence that decodes (or verifies several drafted ones, of
which a mean number is kept), then prompt tokens up to its budget: the rest of a prompt begun
earlier, then prompts that wait. A prompt's cache is reserved whole when it is admitted. Where
decode finds no room, the newest sequence gives its cache back and is computed again later;
nothing is admitted in such a step. Steps that only decode are taken together up to the next end
of a sequence: their times form an arithmetic series.

Where another replica makes the answer, a prompt's cache leaves over the replica's link as soon as
it is computed, one after the other; see `stages`.
"""

from __future__ import annotations

import math
from typing import Any

from planner.simulate import heap
from planner.simulate.compiled import compiled
from planner.simulate.state import E2E, ITL, NONE, TPOT, TTFT
from planner.simulate.statistics import count, count_series


@compiled
def advance(world: Any, numbers: Any, j: int, until: float) -> None:
    """Run replica j until its next step would not start before `until`."""
    one = world.replicas[j]
    while one.now < until:
        if one.running == 0 and one.queued == 0:
            if until < math.inf:
                one.now = until
            return
        evicted = _make_room(world, numbers, j)
        if one.partial != NONE or (not evicted and _admissible(world, numbers, j)):
            _mixed_step(world, numbers, j, not evicted)
        else:
            _decode_steps(world, numbers, j, until)


@compiled
def enqueue(world: Any, j: int, slot: int) -> None:
    """Put a request at the end of replica j's queue."""
    one, request = world.replicas[j], world.requests[slot]
    request.after = NONE
    if one.last == NONE:
        one.first = slot
    else:
        world.requests[one.last].after = slot
    one.last = slot
    one.queued += 1
    one.waiting += request.base
    one.pending += request.base - _found(request)


@compiled
def _found(request: Any) -> int:
    """Prompt tokens that need no computing; the last one always does."""
    return int(min(request.hit, request.base - 1))


@compiled
def _make_room(world: Any, numbers: Any, j: int) -> bool:
    """Evict the newest until every sequence that decodes has room for one more token."""
    one = world.replicas[j]
    evicted = False
    while one.decoding > 0 and one.held + numbers.decode_gain * one.decoding > numbers.kv_tokens:
        slot = evict(world, numbers, j)
        request = world.requests[slot]
        request.after = one.first
        one.first = slot
        if one.last == NONE:
            one.last = slot
        one.queued += 1
        one.waiting += request.base
        one.pending += request.base - _found(request)
        one.preempted += 1
        evicted = True
    return evicted


@compiled
def evict(world: Any, numbers: Any, j: int) -> int:
    """Take the cache of the newest running sequence; it must be computed again."""
    one = world.replicas[j]
    slot: int = one.newest
    request = world.requests[slot]
    if request.place == NONE:
        one.held -= request.base
        one.pending -= request.base - request.done
        one.partial = NONE
    else:
        gained = (one.step - request.began) * numbers.decode_gain
        tokens = request.base + gained
        heap.remove(world.requests, world.heaps[j], one.decoding, request.place)
        one.decoding -= 1
        one.counted -= request.counted
        one.held -= tokens
        one.read -= tokens
        request.last_token = one.now
        request.made = min(request.made + int(gained), request.answer - 1)
        request.base = request.prompt + request.made
    if request.moved > 0:
        request.hit = 0  # a cache that came from elsewhere is found once
    _unlink(world, j, slot)
    return slot


@compiled
def _unlink(world: Any, j: int, slot: int) -> None:
    """Take a slot out of the running ones."""
    one, request = world.replicas[j], world.requests[slot]
    if request.later == NONE:
        one.newest = request.earlier
    else:
        world.requests[request.later].earlier = request.earlier
    if request.earlier != NONE:
        world.requests[request.earlier].later = request.later
    one.running -= 1


@compiled
def _admissible(world: Any, numbers: Any, j: int) -> bool:
    """Whether the first of the queue finds a sequence, budget and cache."""
    one = world.replicas[j]
    if one.queued == 0 or one.running >= numbers.sequences_max:
        return False
    grown = numbers.decode_gain * one.decoding
    need: float = one.held + grown + world.requests[one.first].base
    return bool(need <= numbers.kv_tokens)


@compiled
def _admit(world: Any, j: int) -> int:
    """Move the first of the queue to the running ones, its cache reserved."""
    one = world.replicas[j]
    slot: int = one.first
    request = world.requests[slot]
    one.first = request.after
    if one.first == NONE:
        one.last = NONE
    one.queued -= 1
    one.waiting -= request.base
    one.running += 1
    one.held += request.base
    request.done = _found(request)
    request.place = NONE
    request.earlier, request.later = one.newest, NONE
    if one.newest != NONE:
        world.requests[one.newest].later = slot
    one.newest = slot
    return slot


@compiled
def _mixed_step(world: Any, numbers: Any, j: int, may_admit: bool) -> None:
    """One step that computes prompt tokens beside the decoding sequences."""
    one = world.replicas[j]
    decoded = numbers.decode_tokens * one.decoding
    left = numbers.budget - decoded
    tokens, context, finished = 0, 0.0, 0
    while left > 0:
        slot = one.partial
        if slot == NONE:
            if not (may_admit and _admissible(world, numbers, j)):
                break
            slot = _admit(world, j)
        request = world.requests[slot]
        chunk = min(left, request.base - request.done)
        context += chunk * (request.done + 0.5 * chunk)
        request.done += chunk
        left -= chunk
        tokens += chunk
        one.partial = slot
        if request.done == request.base:
            one.partial = NONE
            world.ready[finished] = slot
            finished += 1
    fixed = numbers.overhead_s + (numbers.prefill_step_s if tokens > 0 else 0.0)
    work = max(numbers.weights_s, numbers.token_s * (tokens + decoded))
    extra = numbers.kv_token_s * one.read + numbers.prefill_context_s * context
    one.pending -= tokens
    seconds = fixed + work + extra + numbers.sequence_s * one.decoding
    count(world.counts[ITL], seconds, one.counted)
    _take(one, numbers, 1, seconds, tokens)
    _end_sequences(world, numbers, j)
    for i in range(finished):
        _first_token(world, numbers, j, world.ready[i])


@compiled
def _decode_steps(world: Any, numbers: Any, j: int, until: float) -> None:
    """Steps that only decode, up to the next end, a full cache, or the step begun at `until`."""
    one = world.replicas[j]
    sequences = one.decoding
    steps = world.requests[world.heaps[j, 0]].ends - one.step
    grown = numbers.decode_gain * sequences
    steps = min(steps, int((numbers.kv_tokens - one.held) // grown))
    tokens = numbers.decode_tokens * sequences
    fixed = numbers.overhead_s + max(numbers.weights_s, numbers.token_s * tokens)
    first = fixed + numbers.sequence_s * sequences + numbers.kv_token_s * one.read
    growth = numbers.kv_token_s * grown
    gap = until - one.now
    if _series(first, growth, steps) > gap:
        steps = _steps_to(first, growth, gap)
    if one.counted > 0:
        count_series(world.counts[ITL], first, growth, steps, one.counted)
    _take(one, numbers, steps, _series(first, growth, steps), 0)
    _end_sequences(world, numbers, j)


@compiled
def _series(first: float, growth: float, steps: int) -> float:
    """Time of so many steps, each longer than the one before by `growth` [s]."""
    return steps * first + 0.5 * growth * steps * (steps - 1)


@compiled
def _steps_to(first: float, growth: float, gap: float) -> int:
    """Fewest steps that reach `gap`; at least one."""
    half = first - 0.5 * growth
    root = 2.0 * gap / (half + math.sqrt(half * half + 2.0 * growth * gap))
    steps = max(1, int(root))
    while steps > 1 and _series(first, growth, steps - 1) >= gap:
        steps -= 1
    while _series(first, growth, steps) < gap:
        steps += 1
    return steps


@compiled
def _take(one: Any, numbers: Any, steps: int, seconds: float, tokens: int) -> None:
    """Let time pass: every decoding sequence grows by the gain of each step."""
    grown = steps * (numbers.decode_gain * one.decoding)
    one.now += seconds
    one.step += steps
    one.steps += steps
    one.busy_s += seconds
    one.held_s += (one.held + 0.5 * grown) * seconds
    one.decoding_s += one.decoding * seconds
    one.read += grown
    one.held += grown
    one.most_held = max(one.most_held, one.held)
    one.last_chunk = tokens


@compiled
def _end_sequences(world: Any, numbers: Any, j: int) -> None:
    """Release the sequences that end with this step."""
    one = world.replicas[j]
    while one.decoding > 0 and world.requests[world.heaps[j, 0]].ends == one.step:
        slot = world.heaps[j, 0]
        request = world.requests[slot]
        heap.remove(world.requests, world.heaps[j], one.decoding, 0)
        one.decoding -= 1
        one.counted -= request.counted
        tokens = request.base + (one.step - request.began) * numbers.decode_gain
        one.held -= tokens
        one.read -= tokens
        _count_answer(world, one, request)
        _release(world, j, slot)


@compiled
def _first_token(world: Any, numbers: Any, j: int, slot: int) -> None:
    """A prompt is computed: its next token exists, and decode begins with the next step."""
    one, request = world.replicas[j], world.requests[slot]
    if one.hands_over:
        _hand_over(world, j, slot)
        return
    if request.made == 0:
        request.first_token = one.now
        if request.counted:
            count(world.counts[TTFT], one.now - request.arrived)
    elif request.counted:
        count(world.counts[ITL], one.now - request.last_token)
    request.made += 1
    if request.made == request.answer:
        one.held -= request.base
        _count_answer(world, one, request)
        _release(world, j, slot)
        return
    request.began = one.step
    request.ends = one.step + math.ceil((request.answer - request.made) / numbers.decode_gain)
    heap.push(world.requests, world.heaps[j], one.decoding, slot)
    one.decoding += 1
    one.counted += request.counted
    one.read += request.base


@compiled
def _hand_over(world: Any, j: int, slot: int) -> None:
    """The prompt's cache takes its turn on the replica's link, then its latency."""
    one, request = world.replicas[j], world.requests[slot]
    one.held -= request.base
    _unlink(world, j, slot)
    one.link_free = max(one.now, one.link_free) + one.link_token_s * request.prompt
    request.moved = one.link_free + one.link_latency_s
    request.hit = request.prompt
    request.after = NONE
    if one.moving == NONE:
        one.moving = slot
    else:
        world.requests[one.moving_last].after = slot
    one.moving_last = slot


@compiled
def _count_answer(world: Any, one: Any, request: Any) -> None:
    """End-to-end time, and time per output token after the first: answers of one have none."""
    if not request.counted:
        return
    count(world.counts[E2E], one.now - request.arrived)
    if request.answer > 1:
        count(world.counts[TPOT], (one.now - request.first_token) / (request.answer - 1))


@compiled
def _release(world: Any, j: int, slot: int) -> None:
    _unlink(world, j, slot)
    last = world.free.size - 1
    world.free[world.free[last]] = slot
    world.free[last] += 1
    world.finished[0] += 1
