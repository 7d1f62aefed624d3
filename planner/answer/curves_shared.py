"""Latency-throughput curves of a pool that several classes share, as one of them sees them.

Rates are of all classes together, on the shares at which the pool's load is highest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.answer.decided import Decided
from planner.perf.curve import FIRST_FRAC, LAST_FRAC
from planner.perf.mixture import Member, mixed, percentiles
from planner.perf.queueing import stability_limit
from planner.perf.replica import Replica
from planner.schema.demand import Online
from planner.units import MILLI

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SharedPool:
    """The stream of a shared pool at its fullest hour."""

    members: tuple[Member, ...]
    shares: tuple[float, ...]
    """Of the requests, by member."""
    own: int
    """Which member is looked at."""
    replicas: float
    operating_rps: float
    """Of all members, of one replica."""

    @property
    def output_mean(self) -> float:
        """Tokens of a request, mean over all."""
        return mixed([m.lengths for m in self.members], self.shares).output_mean

    def rates(self, replica: Replica, points: int) -> Array:
        """Rates from 2 % to 98 % of the stability limit, (points,)."""
        stream = mixed([m.lengths for m in self.members], self.shares)
        stable = float(stability_limit(replica, stream)[0])
        return stable * np.linspace(FIRST_FRAC, LAST_FRAC, points)

    def latencies(self, replica: Replica, rates: Array) -> tuple[Array, Array]:
        """TTFT and TPOT of the member looked at [s], each (points,); inf beyond the limit."""
        found = [
            percentiles(replica, self.members, self.shares, rate, replicas=self.replicas)[self.own]
            for rate in rates.tolist()
        ]
        ttft, tpot = (np.concatenate(column) for column in zip(*found, strict=True))
        return ttft, tpot


def shared_pool(decided: Decided, c: int, s: int) -> SharedPool | None:
    """The pool of a candidate at a site; None where it serves this class alone."""
    parts = decided.parts(c, s)
    if len(parts) == 1:
        return None
    p, x = decided.problem, decided.solution
    rates = x.served_frac[parts, s] * p.demand.peak_rps[p.pools.class_of[parts]]
    work = (rates / p.pools.rate_rps[parts][:, None, None]).sum(axis=0)
    t, b = np.unravel_index(int(work.argmax()), work.shape)
    now = rates[:, t, b]
    come = [(d, rate) for d, rate in zip(parts, now.tolist(), strict=True) if rate > 0 or d == c]
    total = float(now.sum())
    return SharedPool(
        members=tuple(_member(decided, d) for d, _ in come),
        shares=tuple(rate / total for _, rate in come),
        own=[d for d, _ in come].index(c),
        replicas=float(max(decided.whole_peak(c, s).max(), 1.0)),
        operating_rps=total / float(decided.whole_replicas(c, s)[t, b]),
    )


def _member(decided: Decided, c: int) -> Member:
    table, i = decided.case.table, decided.axes.kept[c]
    demand = decided.case.scenario.demand[table.configurations[i].demand_class]
    assert isinstance(demand, Online)
    slo = demand.slo
    return Member(
        table.in_steps(i), slo.ttft_ms * MILLI, slo.ttft_percentile, slo.tpot_ms * MILLI,
        slo.tpot_percentile, demand.arrival_cv,
    )  # fmt: skip
