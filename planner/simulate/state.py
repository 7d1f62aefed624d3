"""What a simulated pool remembers: its replicas and the requests in flight, as records.

Requests live in numbered slots. A slot is queued at a replica (linked by `after`), then running
(linked in order of admission by `earlier` and `later`); a running one that decodes is in the
replica's heap, ordered by the step in which it ends. One whose answer is made on another replica
than its prompt is linked by `after` to those whose cache leaves there, too, until it is queued
again. All sequences that decode gain equally many tokens a step (one, or the mean where drafted
tokens are verified), so a step costs the same whatever their number.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from planner.perf.replica import Replica

Array = NDArray[np.float64]
Whole = NDArray[np.int64]
Records = NDArray[np.void]

NONE = -1
"""No slot."""
TTFT, TPOT, ITL, E2E = range(4)
"""Rows of `World.counts`: one array, for every further one slows each call that passes a world."""
GAIN_PARTS = 64
"""The gain of a decode step is rounded down to this part of a token."""

REPLICA = np.dtype(
    [
        ("now", np.float64),  # its last step ends here; it may lie ahead of the pool's clock
        ("up_again", np.float64),  # out of service until then
        ("step", np.int64),
        ("decoding", np.int64),  # sequences
        ("counted", np.int64),  # of them, those that statistics count
        ("running", np.int64),  # sequences that hold cache
        ("queued", np.int64),  # requests without cache
        ("read", np.float64),  # tokens that a decode step reads
        ("held", np.float64),  # tokens of the cache in use or reserved
        ("pending", np.int64),  # prompt tokens to compute
        ("waiting", np.int64),  # tokens of the cache that the queued ask for
        ("last_chunk", np.int64),  # prompt tokens of the step that ends at `now`
        ("first", np.int64),  # queue
        ("last", np.int64),
        ("newest", np.int64),  # running
        ("partial", np.int64),  # running, prompt not finished: at most one, and the newest
        ("busy_s", np.float64),
        ("held_s", np.float64),  # integral of `held`
        ("decoding_s", np.float64),  # integral of `decoding`
        ("most_held", np.float64),
        ("preempted", np.int64),
        ("steps", np.int64),
        ("hands_over", np.int64),  # 1 where answers are made on other replicas; only then:
        ("moving", np.int64),  # requests whose cache moves there, in order, linked by `after`
        ("moving_last", np.int64),
        ("link_free", np.float64),  # the last of them has left then
        ("link_token_s", np.float64),  # time for which one token keeps the link busy
        ("link_latency_s", np.float64),  # what comes on top
    ]
)

REQUEST = np.dtype(
    [
        ("arrived", np.float64),
        ("first_token", np.float64),
        ("last_token", np.float64),  # before its cache was taken, if it was
        ("prompt", np.int64),
        ("answer", np.int64),
        ("hit", np.int64),  # prompt tokens found in the prefix cache
        ("made", np.int64),  # answer tokens at the last (re)start of decode
        ("base", np.int64),  # tokens to hold before decode
        ("done", np.int64),  # of them, computed or found
        ("began", np.int64),  # step after which decode started
        ("ends", np.int64),  # step in which it ends
        ("place", np.int64),  # in the heap, NONE while it does not decode
        ("after", np.int64),
        ("earlier", np.int64),
        ("later", np.int64),
        ("counted", np.int64),  # 1 if statistics count it
        ("moved", np.float64),  # when its cache came from another replica; 0 if none did
    ]
)


class Numbers(NamedTuple):
    """The step-time numbers of one replica, see `planner.perf.replica`."""

    overhead_s: float
    prefill_step_s: float
    weights_s: float
    token_s: float
    sequence_s: float
    kv_token_s: float
    prefill_context_s: float
    budget: int
    sequences_max: int
    kv_tokens: int
    decode_tokens: int = 1
    """That a decoding sequence computes in a step."""
    decode_gain: float = 1.0
    """Tokens that its answer gains by it: a multiple of 1/64, so that sums of it are exact."""


def numbers_of(replica: Replica, candidate: int = 0) -> Numbers:
    """One candidate's numbers; no more sequences than tokens fit into a step.

    Raises
    ------
    ValueError
        Where a number is not finite or a capacity is below 1.
    """
    row = {name: float(np.atleast_1d(values)[candidate]) for name, values in vars(replica).items()}
    if not all(np.isfinite(value) for value in row.values()):
        raise ValueError(f"a replica's numbers must be finite, got {row}")
    budget = int(row.pop("budget_tokens"))
    verified = int(row.pop("decode_tokens"))
    gain = math.floor(row.pop("decode_gain") * GAIN_PARTS) / GAIN_PARTS
    sequences = min(int(row.pop("sequences_max")), budget // verified)
    cache = int(row.pop("kv_tokens"))
    if min(budget, sequences, cache) < 1:
        raise ValueError(f"budget {budget}, sequences {sequences}, cache {cache}: nothing runs")
    return Numbers(
        **row, budget=budget, sequences_max=sequences, kv_tokens=cache, decode_tokens=verified,
        decode_gain=gain,
    )  # fmt: skip


class World(NamedTuple):
    """A pool of equal replicas and everything in flight."""

    replicas: Records
    """(replicas,) of REPLICA"""
    requests: Records
    """(slots,) of REQUEST"""
    heaps: Whole
    """(replicas, sequences): slots that decode, a heap by `ends`"""
    free: Whole
    """(slots + 1,): slots not in use, and last their number"""
    ready: Whole
    """(sequences,): scratch of one step"""
    counts: Whole
    """(4, bins): see `statistics` and the properties below"""
    finished: Whole
    """(1,)"""

    @property
    def ttft(self) -> Whole:
        """Requests by time to first token, (bins,)."""
        row: Whole = self.counts[TTFT]
        return row

    @property
    def tpot(self) -> Whole:
        """Requests by time per output token after it, (bins,)."""
        row: Whole = self.counts[TPOT]
        return row

    @property
    def itl(self) -> Whole:
        """Gaps between deliveries of one request, by length, (bins,)."""
        row: Whole = self.counts[ITL]
        return row

    @property
    def e2e(self) -> Whole:
        """Requests by time from arrival to last token, (bins,)."""
        row: Whole = self.counts[E2E]
        return row


def new_world(numbers: Numbers, *, replicas: int, slots: int, bins: int) -> World:
    """An idle pool that makes its answers where it computes prompts."""
    return World(
        replicas=_idle(replicas),
        requests=np.zeros(slots, REQUEST),
        heaps=np.zeros((replicas, numbers.sequences_max), np.int64),
        free=np.append(np.arange(slots), slots),
        ready=np.zeros(numbers.sequences_max, np.int64),
        counts=np.zeros((4, bins), np.int64),
        finished=np.zeros(1, np.int64),
    )


def two_stages(
    world: World, numbers: Numbers, *, replicas: int, token_s: float, latency_s: float
) -> tuple[World, World]:
    """An idle pool that only computes prompts, and an idle one of these numbers for answers.

    They share the requests in flight and the statistics.
    """
    world.replicas["hands_over"] = 1
    world.replicas["link_token_s"], world.replicas["link_latency_s"] = token_s, latency_s
    decode = world._replace(
        replicas=_idle(replicas),
        heaps=np.zeros((replicas, numbers.sequences_max), np.int64),
        ready=np.zeros(numbers.sequences_max, np.int64),
    )
    return world, decode


def _idle(replicas: int) -> Records:
    found = np.zeros(replicas, REPLICA)
    for name in ("first", "last", "newest", "partial", "moving", "moving_last"):
        found[name] = NONE
    return found


def more_slots(world: World, least: int) -> World:
    """The same world with at least so many free slots."""
    free = int(world.free[-1])
    if free >= least:
        return world
    old = world.requests.size
    new = max(2 * old, old + least)
    slots = np.concatenate([world.free[:free], np.arange(old, new)])
    requests = np.zeros(new, REQUEST)
    requests[:old] = world.requests
    grown = np.zeros(new + 1, np.int64)
    grown[: slots.size] = slots
    grown[-1] = slots.size
    return world._replace(requests=requests, free=grown)
