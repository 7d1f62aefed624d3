"""A pool under a stream of requests: percentiles with confidence intervals, use and occupancy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from planner.simulate.arrivals import PIECE, Piece, Requests, stream
from planner.simulate.routing import Routing, Rules, drain, feed
from planner.simulate.stages import take_in
from planner.simulate.state import Numbers, World, more_slots, new_world, two_stages
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
class Stage:
    """Equal replicas that make the answers to prompts computed elsewhere, see `stages`."""

    numbers: Numbers
    """The extra of steps with prefill is not charged: its single tokens run like decode."""
    replicas: int
    token_s: float
    """Time for which one prompt token's cache keeps the link of a prefill replica busy."""
    latency_s: float = 0.0
    """From the end of that to the decode replica."""
    units: int = 1
    """Of prefill and decode replicas that are bought together: rates of one are asked for."""
    outages: tuple[Outage, ...] = ()


@dataclass(frozen=True)
class Pool:
    """Equal replicas behind a router; with `decode` they only compute prompts."""

    numbers: Numbers
    replicas: int = 1
    routing: Routing = Routing.LEAST_PENDING
    patience_tokens: int = PATIENCE_TOKENS
    outages: tuple[Outage, ...] = ()
    """The same in every batch."""
    decode: Stage | None = None

    @property
    def units(self) -> int:
        """What the rates of one are asked for: replicas, or units of both stages."""
        return self.replicas if self.decode is None else self.decode.units

    @property
    def numbers_of_answers(self) -> Numbers:
        """Of the replicas that make answers."""
        if self.decode is None:
            return self.numbers
        return self.decode.numbers._replace(prefill_step_s=0.0)


@dataclass(frozen=True)
class Run:
    """What a pool did; counts by time have shape (batches, bins), the rest (batches,).

    Of a pool of two stages cache and sequences are those of the decode replicas.
    """

    ttft: Whole
    tpot: Whole
    itl: Whole
    """Gaps between deliveries of a request: one a decode step, whatever tokens it yields."""
    e2e: Whole
    """Requests by time from arrival to last token."""
    arrived: Whole
    finished: Whole
    refused: Whole
    preempted: Whole
    utilization: Array
    """Share of time in which a step runs, mean over replicas; this and the next three from the
    first request counted to the last."""
    kv_frac: Array
    """Cache in use, mean over busy time."""
    decoding: Array
    """Sequences that decode, mean over busy time."""
    kv_frac_max: Array
    """Cache in use, most of any replica."""
    drained_s: Array
    """Simulated time to the last token."""
    prefill_utilization: Array
    """As `utilization`, of the replicas that only compute prompts; 0 where there are none."""

    def ttft_s(self, percentile: float) -> Estimate:
        """Time to first token at a percentile of requests; inf counts those refused."""
        return percentile_of(self.ttft, percentile)

    def ttft_mean_s(self) -> Estimate:
        """Mean time to first token."""
        return estimate(mean(self.ttft.sum(axis=0)), np.array([mean(row) for row in self.ttft]))

    def tpot_s(self, percentile: float) -> Estimate:
        """Time per output token at a percentile of requests of two tokens or more."""
        return percentile_of(self.tpot, percentile)

    def itl_s(self, percentile: float) -> Estimate:
        """Gap between two deliveries at a percentile of all gaps of all requests."""
        return percentile_of(self.itl, percentile)

    def e2e_s(self, percentile: float) -> Estimate:
        """Time from arrival to last token at a percentile of requests; inf counts those refused."""
        return percentile_of(self.e2e, percentile)


def percentile_of(counts: Whole, percentile: float) -> Estimate:
    """Time at a percentile of what is counted in all batches, counts (batches, bins)."""
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
    cuts = _cuts(count, _flying(pool, requests, rate_rps))

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


def _flying(pool: Pool, requests: Requests, rate_rps: float) -> int:
    """Requests in the pool, in the mean."""
    own = requests
    answering = 0
    if pool.decode is not None:
        own = replace(requests, answers=np.ones_like(requests.answers))
        rest = replace(requests, hits=requests.prompts)
        each = in_flight(pool.numbers_of_answers, rest, rate_rps / pool.decode.replicas)
        answering = pool.decode.replicas * each
    return answering + pool.replicas * in_flight(pool.numbers, own, rate_rps / pool.replicas)


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
    worlds = _Worlds(pool)
    refused, arrived, clock = 0, 0, -np.inf
    marks: dict[str, Array] = {}
    for piece in pieces:
        counts = counted[0] <= piece.offset < counted[1]
        until = float(piece.times_s[-1])
        if counts:
            marks.setdefault("start", worlds.used(max(clock, 0.0)))
        refused += worlds.feed(piece, after=clock, counted=counts)
        arrived += piece.times_s.size
        if counts:
            marks["end"] = worlds.used(until)
        if watch is not None:
            watch(worlds.answers)
        clock = until
    if not marks:
        raise ValueError(f"no request from {counted[0]} to {counted[1]}: nothing is counted")
    worlds.drain()
    world = worlds.answers
    if watch is not None:
        watch(world)
    found = {
        "ttft": world.ttft,
        "tpot": world.tpot,
        "itl": world.itl,
        "e2e": world.e2e,
        "arrived": arrived,
        "finished": int(world.finished[0]),
        "refused": refused,
        "preempted": int(world.replicas["preempted"].sum()),
        "kv_frac_max": float(world.replicas["most_held"].max()) / worlds.numbers.kv_tokens,
        "drained_s": float(world.replicas["now"].max()),
        **worlds.use(marks["end"] - marks["start"]),
    }
    return Run(**{name: np.array([value]) for name, value in found.items()})


class _Worlds:
    """A pool's state: the replicas that requests come to, and those that answer them."""

    def __init__(self, pool: Pool) -> None:
        self.pool, self.numbers, stage = pool, pool.numbers_of_answers, pool.decode
        self.outages, self.later_outages = _rows(pool.outages), _rows(())
        self.entry = new_world(pool.numbers, replicas=pool.replicas, slots=PIECE, bins=BINS + 2)
        self.answers = self.entry
        if stage is not None:
            self.later_outages = _rows(stage.outages)
            self.entry, self.answers = two_stages(
                self.entry, self.numbers, replicas=stage.replicas, token_s=stage.token_s,
                latency_s=stage.latency_s,
            )  # fmt: skip

    def feed(self, piece: Piece, *, after: float, counted: bool) -> int:
        """Run up to the last arrival of a piece of the stream; refused requests."""
        pool, until = self.pool, float(piece.times_s[-1])
        self.entry = more_slots(self.entry, piece.times_s.size)
        rules = Rules(
            int(pool.routing), pool.patience_tokens, int(counted), pool.numbers.kv_tokens,
            _longest(self.numbers),
        )  # fmt: skip
        due = _due(self.outages, after, until)
        refused = int(feed(self.entry, pool.numbers, rules, piece, due))
        self._take_in(until, _due(self.later_outages, after, until))
        return refused

    def drain(self) -> None:
        """Run every replica until it is idle; none fails any more."""
        drain(self.entry, self.pool.numbers)
        self._take_in(np.inf, _rows(()))
        drain(self.answers, self.numbers)

    def _take_in(self, until: float, due: Array) -> None:
        """Caches that have moved by then come to the replicas that answer."""
        if self.pool.decode is None:
            self.answers = self.entry
            return
        self.answers = self.answers._replace(requests=self.entry.requests, free=self.entry.free)
        take_in(self.entry, self.answers, self.numbers, due, until)

    def used(self, clock: float) -> Array:
        """Time passed, busy time where requests enter, and integrals over that of answering.

        These are steps, cache and sequences.
        """
        sums = [
            float(self.answers.replicas[name].sum()) for name in ("busy_s", "held_s", "decoding_s")
        ]
        return np.array([clock, float(self.entry.replicas["busy_s"].sum()), *sums])

    def use(self, used: Array) -> dict[str, float]:
        """Mean use between two times, by the difference of what was used."""
        seconds, prefill, busy, held, decoding = used.tolist()
        time = seconds * self.answers.replicas.size
        own = seconds * self.entry.replicas.size if self.pool.decode is not None else np.inf
        return {
            "utilization": busy / time if seconds > 0 else 1.0,
            "kv_frac": held / busy / self.numbers.kv_tokens if busy > 0 else 0.0,
            "decoding": decoding / busy if busy > 0 else 0.0,
            "prefill_utilization": prefill / own if seconds > 0 else 1.0,
        }


def _longest(numbers: Numbers) -> int:
    """Tokens of the longest request that a replica's cache holds to its end.

    Where a step gains several, the last one may carry a sequence past its answer.
    """
    gain = numbers.decode_gain
    return numbers.kv_tokens - (math.ceil(gain) if gain > 1 else 0)


def _rows(outages: Sequence[Outage]) -> Array:
    """(outages, 3): start, replica, end; in order of time."""
    rows = sorted((o.start_s, o.replica, o.end_s) for o in outages)
    return np.array(rows, float).reshape(-1, 3)


def _due(outages: Array, after: float, until: float) -> Array:
    """Those that start after one time and not after another."""
    return outages[(outages[:, 0] > after) & (outages[:, 0] <= until)]
