"""Trials: one load, simulated until its promise is decided."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from planner.candidates.subject import Subject, pool_of
from planner.result import Attained
from planner.schema.demand import Batch, Online, Slo
from planner.simulate.pool import Run, joined, percentile_of, simulate
from planner.simulate.statistics import Estimate, share_above
from planner.units import MILLI
from planner.verification.loads import POOL_MAX, Load
from planner.verification.promised import NAMES, Promised, promised
from planner.verification.shared import ALONE, Arriving, arriving

Whole = NDArray[np.int64]

COUNT_LEAST, COUNT_EACH = 20_000, 600
"""Requests counted in a batch: at least, and for each replica."""
COUNT_MOST = 200_000
"""Of a class that is rare among others, no more requests of all of them in a batch."""
BATCHES = 4
WORKERS = os.cpu_count() or 1
ROUNDS = 3
"""A percentile whose interval holds the target is simulated again, each time twice as long."""
POOL_LAST = 128
"""Replicas simulated of a pool that breaks its promise with `POOL_MAX`, if it has so many."""
BATCH_REQUESTS = 20_000
"""Backlog from which the throughput of a batch class is measured."""


@dataclass(frozen=True)
class Trial:
    """What simulation says of one load."""

    load: Load
    reason: str
    """Empty where the promise is kept."""
    replicas: int = 0
    run: Run | None = None
    throughput_rps: float | None = None
    attained: Mapping[str, Attained] = field(default_factory=dict)
    """By their names in results."""


def trial(
    subject: Subject, load: Load, *, seed: int, others: Mapping[str, Subject] = ALONE
) -> Trial:
    """Simulate a load; a large pool is tried with more replicas before it is found wanting.

    Of a shared pool all classes come and the load's own promise is judged.

    Parameters
    ----------
    others : by candidate, classes that share the pool among them.
    """
    if load.down:
        return Trial(load, "no replica is left")
    if isinstance(subject.demand, Batch):
        return _throughput(subject, load, seed)
    come = arriving(load, subject, others)
    found = _latency(subject, come, load, min(load.whole, POOL_MAX), seed=seed)
    if found.reason and load.whole > POOL_MAX:
        return _latency(subject, come, load, min(load.whole, POOL_LAST), seed=seed)
    return found


def _throughput(subject: Subject, load: Load, seed: int) -> Trial:
    """A replica that always has work must finish at least what it is asked."""
    pool = pool_of(subject, 1)
    run = simulate(
        pool,
        subject.requests,
        rate_rps=math.inf,
        count=BATCH_REQUESTS,
        batches=2,
        seed=seed,
        workers=WORKERS,
    )
    most = float((run.finished / run.drained_s).mean())
    reason = ""
    if most < load.rps_each:
        reason = f"finishes {most:.4g} of {load.rps_each:.4g} requests/s"
    if run.refused.any():
        share = run.refused.sum() / run.arrived.sum()
        reason = reason or (f"refuses {share:.2%} of requests" if share > 0.01 else "")
    return Trial(load, reason, 1, run, throughput_rps=most)


def _latency(subject: Subject, come: Arriving, load: Load, replicas: int, *, seed: int) -> Trial:
    assert isinstance(subject.demand, Online)
    slo, runs = subject.demand.slo, list[Run]()
    least = min(math.ceil(COUNT_LEAST * come.all_per_own), COUNT_MOST)
    for round_ in range(ROUNDS):
        more = simulate(
            pool_of(subject, replicas),
            come.requests,
            rate_rps=load.all_each * replicas,
            arrival_cv=come.arrival_cv,
            count=max(least, COUNT_EACH * replicas),
            batches=BATCHES << max(round_ - 1, 0),
            seed=seed + round_,
            workers=WORKERS,
        )
        runs.append(more)
        run = joined(runs)
        found = attained(run, slo, subject.request_s)
        if not any(a.low_ms <= a.target_ms <= a.high_ms for a in found.values()):
            break
    return Trial(load, broken(found), replicas, run, attained=found)


def attained(run: Run, slo: Slo, request_s: float) -> dict[str, Attained]:
    """Promised figures at their percentiles beside their targets, by their names in results.

    Answers of one token have no time per token and no gaps.
    """
    found = {}
    for one in promised(slo, request_s):
        counts: Whole = getattr(run, one.counts)
        if counts.any():
            late = share_above(counts.sum(axis=0), one.target_s)
            found[one.field] = _figure(percentile_of(counts, one.percentile), one, late)
    return found


def _figure(found: Estimate, one: Promised, late_frac: float) -> Attained:
    value, low, high = ((x + one.outside_s) / MILLI for x in (found.value, found.low, found.high))
    return Attained(
        percentile=one.percentile,
        target_ms=one.target_ms,
        value_ms=value,
        low_ms=low,
        high_ms=high,
        late_frac=late_frac,
    )


def broken(attained: Mapping[str, Attained]) -> str:
    """What comes later than promised, and by how much; empty where nothing does."""
    late = [
        f"{NAMES[name]} p{found.percentile * 100:g} {_ms(found.value_ms)} ms "
        f"({_ms(found.low_ms)} to {_ms(found.high_ms)}), promised {_ms(found.target_ms)}"
        for name, found in attained.items()
        if found.value_ms > found.target_ms
    ]
    return "; ".join(late)


def _ms(value: float) -> str:
    """Three digits at least: 33.3, 1,234."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
