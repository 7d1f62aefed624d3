"""Latency-throughput curve of each candidate: what a report plots beside the operating point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from planner.perf import disaggregated, queueing
from planner.perf.disaggregated import Unit
from planner.perf.lengths import Lengths
from planner.perf.replica import Replica

Array = NDArray[np.float64]

FIRST_FRAC, LAST_FRAC = 0.02, 0.98
"""Ends of the curve as shares of the stability limit."""


@dataclass(frozen=True)
class LatencyCurve:
    """Arrays (candidates, points); latency at the percentiles, inf where nothing is steady."""

    rate_rps: Array
    output_tokens_per_s: Array
    ttft_s: Array
    tpot_s: Array
    e2e_s: Array | None = None
    """To the last token; None where it is not asked for."""


def latency_curve(
    replica: Replica | Unit,
    lengths: Lengths,
    *,
    ttft_percentile: float,
    tpot_percentile: float,
    arrival_cv: float,
    replicas: float = 1.0,
    points: int = 16,
    e2e_percentile: float | None = None,
) -> LatencyCurve:
    """Latency of one replica or unit at `points` rates from 2 % to 98 % of its stability limit."""
    stable = _stability_limit(replica, lengths)
    rate = stable[:, None] * np.linspace(FIRST_FRAC, LAST_FRAC, points)
    return latencies_at(
        replica, lengths, rate, ttft_percentile=ttft_percentile, tpot_percentile=tpot_percentile,
        arrival_cv=arrival_cv, replicas=replicas, e2e_percentile=e2e_percentile,
    )  # fmt: skip


def latencies_at(
    replica: Replica | Unit,
    lengths: Lengths,
    rate_rps: Array,
    *,
    ttft_percentile: float,
    tpot_percentile: float,
    arrival_cv: float,
    replicas: float = 1.0,
    e2e_percentile: float | None = None,
) -> LatencyCurve:
    """Latency at given rates of one replica or unit, (candidates, points); inf beyond its limit."""
    stable = _stability_limit(replica, lengths)

    def at(rate: Array) -> tuple[Array, Array]:
        if isinstance(replica, Unit):
            return disaggregated.percentiles(
                replica, lengths, rate, ttft_percentile=ttft_percentile,
                tpot_percentile=tpot_percentile, arrival_cv=arrival_cv, replicas=replicas,
                stability_rps=stable,
            )  # fmt: skip
        return queueing.percentiles(
            replica, lengths, rate, ttft_percentile=ttft_percentile,
            tpot_percentile=tpot_percentile, arrival_cv=arrival_cv, replicas=replicas,
            stability_rps=stable,
        )  # fmt: skip

    columns = [at(rate_rps[:, i]) for i in range(rate_rps.shape[1])]
    ttft, tpot = (np.stack(column, axis=1) for column in zip(*columns, strict=True))
    e2e = None
    if e2e_percentile is not None:
        ends = [
            e2e_at(
                replica, lengths, rate_rps[:, i], percentile=e2e_percentile, stability_rps=stable,
                arrival_cv=arrival_cv, replicas=replicas,
            )
            for i in range(rate_rps.shape[1])
        ]  # fmt: skip
        e2e = np.stack(ends, axis=1)
    return LatencyCurve(rate_rps, rate_rps * lengths.output_mean, ttft, tpot, e2e)


def e2e_at(
    replica: Replica | Unit,
    lengths: Lengths,
    rate_rps: ArrayLike,
    *,
    percentile: float,
    stability_rps: Array,
    arrival_cv: float = 1.0,
    replicas: float = 1.0,
) -> Array:
    """Time to the last token of one replica or unit at a percentile of requests [s], (candidates,).

    At rate 0 that without other traffic.
    """
    if isinstance(replica, Unit):
        return disaggregated.e2e_at(
            replica, lengths, rate_rps, percentile=percentile, stability_rps=stability_rps,
            arrival_cv=arrival_cv, replicas=replicas,
        )  # fmt: skip
    return queueing.e2e_at(
        replica, lengths, rate_rps, percentile=percentile, stability_rps=stability_rps,
        arrival_cv=arrival_cv, replicas=replicas,
    )  # fmt: skip


def _stability_limit(replica: Replica | Unit, lengths: Lengths) -> Array:
    if isinstance(replica, Unit):
        return disaggregated.stability_limit(replica, lengths)
    return queueing.stability_limit(replica, lengths)
