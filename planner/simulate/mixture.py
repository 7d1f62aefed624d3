"""Mixed streams: classes that share a pool, each held to its own promise.

A request is of one class by chance. Which requests are counted changes nothing of what happens,
so a run for each class with the same random numbers, in which only its own requests are counted,
gives the percentiles of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from planner.simulate.arrivals import Requests
from planner.simulate.pool import Pool, Run, simulate
from planner.simulate.rates import Promise, counted_requests, rate_without_excess
from planner.simulate.statistics import Estimate

RARE_COUNT = 2_000
"""Requests of every class that are counted in a batch: of so many a 95th percentile is known."""
COUNT_MOST = 400_000


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


def refined_mix_rate(
    pool: Pool,
    members: Sequence[Member],
    *,
    guess_rps: float,
    limit_rps: float,
    arrival_cv: float = 1.0,
    batches: int = 4,
    seed: int = 0,
    count: int | None = None,
) -> Estimate:
    """Largest total rate of one replica at which every member's promise holds [1/s].

    Arguments as for `rates.refined_rate`.
    """

    def excess(rate_rps: float, own: int) -> float:
        runs = simulate_mix(
            pool, members, rate_rps=rate_rps * pool.replicas, arrival_cv=arrival_cv,
            count=count, batches=1, seed=own,
        )  # fmt: skip
        return max(m.promise.excess(run) for m, run in zip(members, runs, strict=True))

    return rate_without_excess(
        excess, guess_rps=guess_rps, limit_rps=limit_rps, batches=batches, seed=seed
    )


def _count(pool: Pool, members: Sequence[Member]) -> int:
    rarest = min(m.share for m in members) / sum(m.share for m in members)
    return min(max(counted_requests(pool), int(RARE_COUNT / rarest)), COUNT_MOST)
