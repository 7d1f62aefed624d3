"""The sequences of one replica that decode, as a heap of slots by the step in which they end."""

from __future__ import annotations

from typing import Any

from planner.simulate.compiled import compiled
from planner.simulate.state import NONE


@compiled
def push(requests: Any, heap: Any, count: int, slot: int) -> None:
    """Add a slot to a heap of `count`."""
    heap[count] = slot
    requests[slot].place = count
    _rise(requests, heap, count)


@compiled
def remove(requests: Any, heap: Any, count: int, place: int) -> None:
    """Take out the slot at a place; the heap then has `count` - 1."""
    requests[heap[place]].place = NONE
    last = count - 1
    if place == last:
        return
    heap[place] = heap[last]
    requests[heap[place]].place = place
    _rise(requests, heap, place)
    _sink(requests, heap, last, place)


@compiled
def _rise(requests: Any, heap: Any, place: int) -> None:
    slot = heap[place]
    ends = requests[slot].ends
    while place > 0:
        above = (place - 1) // 2
        other = heap[above]
        if requests[other].ends <= ends:
            break
        heap[place] = other
        requests[other].place = place
        place = above
    heap[place] = slot
    requests[slot].place = place


@compiled
def _sink(requests: Any, heap: Any, count: int, place: int) -> None:
    slot = heap[place]
    ends = requests[slot].ends
    while True:
        below = 2 * place + 1
        if below >= count:
            break
        if below + 1 < count and requests[heap[below + 1]].ends < requests[heap[below]].ends:
            below += 1
        other = heap[below]
        if requests[other].ends >= ends:
            break
        heap[place] = other
        requests[other].place = place
        place = below
    heap[place] = slot
    requests[slot].place = place
