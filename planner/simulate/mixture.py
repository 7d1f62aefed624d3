"""Mixed streams: classes that share a pool, each held to its own promise.

A request is of one class by chance. Which requests are counted changes nothing of what happens,
so a run for each class with the same random numbers, in which only its own requests are counted,
gives the percentiles of each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from planner.simulate.arrivals import Requests
from planner.simulate.pool import Pool, Run, simulate
from planner.simulate.rates import Promise, counted_requests

RARE_COUNT = 2_000
"""Requests of every class that are counted in a batch: of so many a 95th percentile is known."""
COUNT_MOST = 400_000
STEP = 1.25
"""Factor from one rate to the next until one is kept and one broken."""
RATE_RTOL = 0.01
LEAST_FRAC = 0.01
"""Share of the guess below which no rate is tried."""


@dataclass(frozen=True)
class Member:
    """One class of a mixed stream."""

    requests: Requests
    share: float
    """Of the stream's requests."""
    promise: Promise


def mixed_requests(members: Sequence[Member], counted: int | None = None) -> Requests:
    """Requests of all members by their shares; statistics count one member's, or all.

    Examples
    --------
    >>> from planner.simulate.arrivals import requests_of
    >>> none = Promise(np.inf, 0.95, np.inf, 0.95)
    >>> short, long = requests_of(np.array([8.0, 9.0]), np.array([4.0, 4.0])), requests_of(
    ...     np.array([90.0]), np.array([4.0]))
    >>> both = mixed_requests([Member(short, 0.5, none), Member(long, 0.5, none)], counted=1)
    >>> both.weights.tolist(), both.unseen.tolist()
    ([0.25, 0.25, 0.5], [1, 1, 0])
    """
    parts = [m.requests for m in members]
    weights = [np.full(m.requests.prompts.size, m.share / m.requests.prompts.size) for m in members]
    kinds = np.repeat(np.arange(len(parts)), [p.prompts.size for p in parts])
    all_ = Requests(
        prompts=np.concatenate([p.prompts for p in parts]),
        answers=np.concatenate([p.answers for p in parts]),
        hits=np.concatenate([p.hits for p in parts]),
        weights=np.concatenate(weights) / sum(m.share for m in members),
    )
    return all_ if counted is None else replace(all_, unseen=(kinds != counted).astype(np.int64))


def simulate_mix(
    pool: Pool,
    members: Sequence[Member],
    *,
    rate_rps: float,
    arrival_cv: float = 1.0,
    count: int | None = None,
    batches: int = 4,
    seed: int = 0,
    workers: int = 1,
) -> list[Run]:
    """A run for each member in which its requests are counted, all of the same stream.

    Parameters
    ----------
    rate_rps : of the pool's whole stream.
    count : requests of each batch from first to last that is counted, of all members; so many
        that each member has 2,000 if not given.
    """
    size = _count(pool, members) if count is None else count
    return [
        simulate(
            pool, mixed_requests(members, d), rate_rps=rate_rps, arrival_cv=arrival_cv,
            count=size, batches=batches, seed=seed, workers=workers,
        )
        for d in range(len(members))
    ]  # fmt: skip


def largest_mix_rate(
    pool: Pool,
    members: Sequence[Member],
    *,
    guess_rps: float,
    limit_rps: float,
    arrival_cv: float = 1.0,
    count: int | None = None,
    batches: int = 4,
    seed: int = 0,
) -> float:
    """Largest total rate of one replica at which every member's promise holds, to 1 % [1/s].

    The same requests at every rate; 0 where the promises hold not even at 1 % of the guess.

    Parameters
    ----------
    guess_rps : of one replica, where the search begins: the formulas' rate.
    limit_rps : of one replica, none above is tried: the stability limit.
    """

    def kept(rate_rps: float) -> bool:
        runs = simulate_mix(
            pool, members, rate_rps=rate_rps * pool.replicas, arrival_cv=arrival_cv,
            count=count, batches=batches, seed=seed,
        )  # fmt: skip
        return all(m.promise.kept_by(run) for m, run in zip(members, runs, strict=True))

    low, high = 0.0, min(guess_rps, limit_rps)
    while kept(high):
        if high >= limit_rps:
            return high
        low, high = high, min(high * STEP, limit_rps)
    while low == 0.0:
        if high < LEAST_FRAC * guess_rps:
            return 0.0
        lower = high / STEP
        low, high = (lower, high) if kept(lower) else (0.0, lower)
    while high > low * (1.0 + RATE_RTOL):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if kept(middle) else (low, middle)
    return low


def _count(pool: Pool, members: Sequence[Member]) -> int:
    rarest = min(m.share for m in members) / sum(m.share for m in members)
    return min(max(counted_requests(pool), int(RARE_COUNT / rarest)), COUNT_MOST)
