"""Trials: one load, simulated until its promise is decided."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.candidates.subject import Subject, pool_of
from planner.result import Attained
from planner.schema.demand import Batch, Online, Slo
from planner.simulate.pool import Run, joined, simulate
from planner.simulate.statistics import Estimate, share_above
from planner.units import MILLI
from planner.verification.loads import POOL_MAX, Load
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
    ttft: Attained | None = None
    tpot: Attained | None = None
    token_itl: Attained | None = None


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
        if not any(a is not None and a.low_ms <= a.target_ms <= a.high_ms for a in found):
            break
    return Trial(load, broken(*found), replicas, run, None, *found)


def attained(
    run: Run, slo: Slo, request_s: float
) -> tuple[Attained, Attained | None, Attained | None]:
    """Time to first token, per token, and gap between tokens at the promised percentiles.

    Beside their targets; None of what is not promised, or of answers of one token.
    """
    ttft, tpot = run.ttft_s(slo.ttft_percentile), run.tpot_s(slo.tpot_percentile)
    late = late_fracs(run.ttft, run.tpot, slo, request_s)
    first = _figure(ttft, request_s, slo.ttft_percentile, slo.ttft_ms, late[0])
    if math.isnan(tpot.value):
        return first, None, None
    each = _figure(tpot, 0.0, slo.tpot_percentile, slo.tpot_ms, late[1])
    if slo.token_itl_ms is None:
        return first, each, None
    gap, share = run.itl_s(slo.token_itl_percentile), slo.token_itl_percentile
    over = share_above(run.itl.sum(axis=0), slo.token_itl_ms * MILLI)
    return first, each, _figure(gap, 0.0, share, slo.token_itl_ms, over)


def late_fracs(ttft: Whole, tpot: Whole, slo: Slo, request_s: float) -> tuple[float, float]:
    """Shares of requests whose first token, and whose others, come later than promised.

    Parameters
    ----------
    ttft, tpot : (batches, bins) counts of requests by time.
    """
    return (
        share_above(ttft.sum(axis=0), slo.ttft_ms * MILLI - request_s),
        share_above(tpot.sum(axis=0), slo.tpot_ms * MILLI),
    )


def _figure(
    found: Estimate, more_s: float, percentile: float, target_ms: float, late_frac: float
) -> Attained:
    value, low, high = ((x + more_s) / MILLI for x in (found.value, found.low, found.high))
    return Attained(
        percentile=percentile,
        target_ms=target_ms,
        value_ms=value,
        low_ms=low,
        high_ms=high,
        late_frac=late_frac,
    )


def broken(ttft: Attained, tpot: Attained | None, token_itl: Attained | None = None) -> str:
    """What comes later than promised, and by how much; empty where nothing does."""
    late = [
        f"{name} p{found.percentile * 100:g} {_ms(found.value_ms)} ms "
        f"({_ms(found.low_ms)} to {_ms(found.high_ms)}), promised {_ms(found.target_ms)}"
        for name, found in (("TTFT", ttft), ("TPOT", tpot), ("token ITL", token_itl))
        if found is not None and found.value_ms > found.target_ms
    ]
    return "; ".join(late)


def _ms(value: float) -> str:
    """Three digits at least: 33.3, 1,234."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
