"""A pool under a stream of requests: percentiles with confidence intervals, use and occupancy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from planner.simulate.arrivals import PIECE, Piece, Requests, stream
from planner.simulate.routing import Routing, Rules, drain, feed
from planner.simulate.state import Numbers, World, more_slots, new_world
from planner.simulate.statistics import BINS, Estimate, estimate, mean, quantile

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

WARM_FRAC, WARM_FILLS = 0.15, 4
"""Requests before any is counted: at least this share of those counted, and so many times those
in flight in the mean."""
COOL_FRAC, COOL_FILLS = 0.05, 1
"""Requests after the last that is counted, so that it too meets traffic."""
PATIENCE_TOKENS = 16_384
"""How far the replica that holds a prefix may be behind before another is taken."""


@dataclass(frozen=True)
class Outage:
    """A replica out of service."""

    start_s: float
    replica: int
    end_s: float


@dataclass(frozen=True)
class Pool:
    """Equal replicas behind a router."""

    numbers: Numbers
    replicas: int = 1
    routing: Routing = Routing.LEAST_PENDING
    patience_tokens: int = PATIENCE_TOKENS
    outages: tuple[Outage, ...] = ()
    """The same in every batch."""


@dataclass(frozen=True)
class Run:
    """What a pool did; counts by time have shape (batches, bins), the rest (batches,)."""

    ttft: Whole
    tpot: Whole
    arrived: Whole
    finished: Whole
    refused: Whole
    preempted: Whole
    utilization: Array
    """Share of time in which a step runs, mean over replicas; this and the next two from the
    first request counted to the last."""
    kv_frac: Array
    """Cache in use, mean over busy time."""
    decoding: Array
    """Sequences that decode, mean over busy time."""
    kv_frac_max: Array
    """Cache in use, most of any replica."""
    drained_s: Array
    """Simulated time to the last token."""

    def ttft_s(self, percentile: float) -> Estimate:
        """Time to first token at a percentile of requests; inf counts those refused."""
        return _percentile(self.ttft, percentile)

    def ttft_mean_s(self) -> Estimate:
        """Mean time to first token."""
        return estimate(mean(self.ttft.sum(axis=0)), np.array([mean(row) for row in self.ttft]))

    def tpot_s(self, percentile: float) -> Estimate:
        """Time per output token at a percentile of requests of two tokens or more."""
        return _percentile(self.tpot, percentile)


def _percentile(counts: Whole, percentile: float) -> Estimate:
    by_batch = np.array([quantile(row, percentile) for row in counts])
    return estimate(quantile(counts.sum(axis=0), percentile), by_batch)


def simulate(
    pool: Pool,
    requests: Requests,
    *,
    rate_rps: float,
    arrival_cv: float = 1.0,
    count: int = 20_000,
    batches: int = 4,
    seed: int = 0,
    workers: int = 1,
) -> Run:
    """Independent batches, each from an idle pool to an idle pool.

    Parameters
    ----------
    rate_rps : of the pool's whole stream; inf gives all requests at once.
    arrival_cv : coefficient of variation of the stream's gaps.
    count : requests of each batch that are counted; others come before and after them.
    workers : threads that run batches side by side; they change no result.

    Raises
    ------
    ValueError
        Where a rate, CV or number is not positive.
    """
    if not (rate_rps > 0 and arrival_cv > 0 and pool.replicas > 0 and min(count, batches) > 0):
        raise ValueError("rate, CV, replicas, count and batches must be positive")
    seeds = np.random.SeedSequence(seed).generate_state(batches, np.uint64).tolist()
    flying = in_flight(pool.numbers, requests, rate_rps / pool.replicas)
    cuts = _cuts(count, pool.replicas * flying)

    def batch(own: int) -> Run:
        pieces = stream(
            requests, rate_rps=rate_rps, arrival_cv=arrival_cv, cuts=cuts,
            replicas=pool.replicas, seed=own,
        )  # fmt: skip
        return replay(pool, pieces, counted=cuts[:2])

    if workers == 1:
        return joined([batch(own) for own in seeds])
    with ThreadPoolExecutor(max_workers=workers) as threads:
        return joined(list(threads.map(batch, seeds)))


def joined(runs: Sequence[Run]) -> Run:
    """Batches of several runs side by side."""
    return Run(
        *(np.concatenate([getattr(run, f.name) for run in runs], axis=0) for f in fields(Run))
    )


def in_flight(numbers: Numbers, requests: Requests, rate_rps: float) -> int:
    r"""Sequences that one replica decodes at a rate, in the mean, by Little's law.

    .. math:: n = \frac{\lambda E[O] (o + W)}{1 - \lambda C}

    o + W is a step with nothing but weights to read, C the work that a request adds to steps: its
    tokens, its sequence in every step, its context in prefill and in decode. At most the
    sequences that the engine runs.
    """
    prompt, answer = requests.prompts.astype(float), requests.answers.astype(float)
    fresh = prompt - requests.hits

    def mean(values: Array) -> float:
        return float(np.average(values, weights=requests.weights))

    work = (
        numbers.prefill_step_s
        + numbers.token_s * mean(fresh + answer)
        + numbers.sequence_s * mean(answer)
        + numbers.kv_token_s * mean(answer * (prompt + answer / 2))
        + numbers.prefill_context_s * mean(fresh * (prompt - fresh / 2))
    )
    left = 1.0 - rate_rps * work
    if not left > 0:
        return numbers.sequences_max
    step_s = numbers.overhead_s + numbers.weights_s
    decoding = rate_rps * mean(answer) * step_s / left
    return min(math.ceil(decoding), numbers.sequences_max)


def _cuts(count: int, full: int) -> tuple[int, int, int]:
    """First request counted, first no longer counted, end."""
    warm = max(int(WARM_FRAC * count), WARM_FILLS * full)
    cool = max(int(COOL_FRAC * count), COOL_FILLS * full)
    return warm, warm + count, warm + count + cool


def replay(
    pool: Pool,
    pieces: Iterable[Piece],
    *,
    counted: tuple[int, int],
    watch: Callable[[World], None] | None = None,
) -> Run:
    """One batch of given requests, from an idle pool to an idle pool.

    Parameters
    ----------
    pieces : consecutive requests; one at least starts with number counted[0].
    counted : number of the first request that is counted, and of the first that no longer is;
        no piece reaches across either.
    watch : shown the pool after every piece, and when it is idle again.

    Raises
    ------
    ValueError
        Where no piece starts between the two.
    """
    world = new_world(pool.numbers, replicas=pool.replicas, slots=PIECE, bins=BINS + 2)
    outages = _rows(pool.outages)
    refused, arrived, clock = 0, 0, -np.inf
    marks: dict[str, Array] = {}
    for piece in pieces:
        counts = counted[0] <= piece.offset < counted[1]
        until = float(piece.times_s[-1])
        due = outages[(outages[:, 0] > clock) & (outages[:, 0] <= until)]
        world = more_slots(world, piece.times_s.size)
        if counts:
            marks.setdefault("start", _used(world, max(clock, 0.0)))
        refused += _feed(world, pool, piece, due, counted=counts)
        arrived += piece.times_s.size
        if counts:
            marks["end"] = _used(world, until)
        if watch is not None:
            watch(world)
        clock = until
    if not marks:
        raise ValueError(f"no request from {counted[0]} to {counted[1]}: nothing is counted")
    drain(world, pool.numbers)
    if watch is not None:
        watch(world)
    found = {
        "ttft": world.ttft,
        "tpot": world.tpot,
        "arrived": arrived,
        "finished": int(world.finished[0]),
        "refused": refused,
        "preempted": int(world.replicas["preempted"].sum()),
        "kv_frac_max": float(world.replicas["most_held"].max()) / pool.numbers.kv_tokens,
        "drained_s": float(world.replicas["now"].max()),
        **_use(pool, marks["end"] - marks["start"]),
    }
    return Run(**{name: np.array([value]) for name, value in found.items()})


def _rows(outages: Sequence[Outage]) -> Array:
    """(outages, 3): start, replica, end; in order of time."""
    rows = sorted((o.start_s, o.replica, o.end_s) for o in outages)
    return np.array(rows, float).reshape(-1, 3)


def _feed(world: World, pool: Pool, piece: Piece, outages: Array, *, counted: bool) -> int:
    rules = Rules(int(pool.routing), pool.patience_tokens, int(counted))
    return int(feed(world, pool.numbers, rules, piece, outages))


def _used(world: World, clock: float) -> Array:
    """Time passed, and integrals over busy time: steps, cache, sequences."""
    sums = [float(world.replicas[name].sum()) for name in ("busy_s", "held_s", "decoding_s")]
    return np.array([clock, *sums])


def _use(pool: Pool, used: Array) -> dict[str, float]:
    seconds, busy, held, decoding = used.tolist()
    return {
        "utilization": busy / (seconds * pool.replicas) if seconds > 0 else 1.0,
        "kv_frac": held / busy / pool.numbers.kv_tokens if busy > 0 else 0.0,
        "decoding": decoding / busy if busy > 0 else 0.0,
    }
