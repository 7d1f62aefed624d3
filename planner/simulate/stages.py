"""Answers made on other replicas than prompts: what happens after a prompt's cache has moved.

A prompt is computed on a prefill replica, its cache moves over that replica's link (one prompt
after the other, then a latency), and the decode replica with the least cache in use or asked for
takes it in when it has room for the cache and a sequence. Its first step computes the prompt's
last token again and so makes the first token that the user sees: time to first token holds the
transfer and the wait for the decode replica. So do engines that answer through the decode worker:
vLLM, whose decode instance starts from the first token again (github.com/vllm-project/vllm, issue
25373; issue 50913 measures the way of that token through the transfer), SGLang and NVIDIA Dynamo
(docs.nvidia.com/dynamo, design docs, disaggregated serving).

A sequence that a decode replica pre-empts has lost the cache that came: the replica computes its
prompt and answer so far again, as it does for those of a decode replica that failed. Prompts of
a prefill replica that failed start again on another. A cache on its way always comes, and takes
no room where it came from.

Nothing flows back from decode to prefill, so a stretch of the stream is computed first, then its
caches are taken in in the order in which they come.
"""

from __future__ import annotations

import math
from typing import Any

from planner.simulate.compiled import compiled
from planner.simulate.engine import advance, enqueue
from planner.simulate.routing import fail
from planner.simulate.state import NONE


@compiled
def take_in(prefill: Any, decode: Any, numbers: Any, outages: Any, until: float) -> None:
    """Bring all caches that have moved by `until` to decode replicas; failures by then happen."""
    failure = 0
    while True:
        source = _next(prefill)
        if source == NONE:
            break
        one = prefill.replicas[source]
        slot = one.moving
        now = prefill.requests[slot].moved
        if now > until:
            break
        while failure < outages.shape[0] and outages[failure, 0] <= now:
            fail(decode, numbers, outages[failure])
            failure += 1
        one.moving = prefill.requests[slot].after
        for j in range(decode.replicas.size):
            if decode.replicas[j].now < now:
                advance(decode, numbers, j, now)
        enqueue(decode, _emptiest(decode, now, slot), slot)
    while failure < outages.shape[0]:
        fail(decode, numbers, outages[failure])
        failure += 1


@compiled
def _next(prefill: Any) -> int:
    """Prefill replica whose cache is the next to come; NONE if none moves."""
    found, soonest = NONE, math.inf
    for j in range(prefill.replicas.size):
        slot = prefill.replicas[j].moving
        if slot != NONE and prefill.requests[slot].moved < soonest:
            found, soonest = j, prefill.requests[slot].moved
    return found


@compiled
def _emptiest(decode: Any, now: float, slot: int) -> int:
    """Replica with the least cache in use or asked for; of those in service, if any is.

    Ties go to the first from a place that differs from request to request.
    """
    replicas = decode.replicas.size
    best, least, soonest = 0, math.inf, math.inf
    for i in range(replicas):
        j = (slot + i) % replicas
        one = decode.replicas[j]
        up, load = max(one.up_again, now), one.held + one.waiting
        if up < soonest or (up == soonest and load < least):
            best, least, soonest = j, load, up
    return best
