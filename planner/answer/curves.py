"""Latency-throughput curves of the pools that serve, with the operating point on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.answer.curves_shared import SharedPool, shared_pool
from planner.answer.decided import Decided
from planner.perf import curve as model
from planner.perf.replica import Replica
from planner.result import LatencyCurve, LatencyPoint
from planner.schema.demand import Online
from planner.units import MILLI

Array = NDArray[np.float64]
POINTS = 14


def curves(decided: Decided) -> list[LatencyCurve]:
    """One curve for each used candidate that the model knows, in pools of the size planned."""
    seen: dict[int, int] = {}
    for c, s in decided.used_pools:
        seen.setdefault(c, s)
    found = []
    for c, s in seen.items():
        demand = decided.case.scenario.demand[int(decided.problem.pools.class_of[c])]
        known = decided.case.table.configurations[decided.axes.kept[c]].measured_rps is None
        if isinstance(demand, Online) and known:
            found.append(_curve(decided, c, s, demand))
    return found


@dataclass(frozen=True)
class Latencies:
    """Of the engine [s], each (points,)."""

    ttft: Array
    tpot: Array
    e2e: Array | None = None
    """None where it is not promised, or the pool is shared."""

    def steady(self, k: int) -> bool:
        """Whether all are finite at a point."""
        return all(np.isfinite(x[k]) for x in (self.ttft, self.tpot, self.e2e) if x is not None)

    def end_ms(self, k: int, outside_s: float) -> float | None:
        """To the last token, the path included; None where it is not known."""
        return None if self.e2e is None else _ms(self.e2e[k] + outside_s)


@dataclass(frozen=True)
class _Rates:
    """Latencies at rates of one replica, (points,), planned and at the ends of the error band."""

    rps: Array
    output_tokens: float
    """Of a request, mean."""
    planned: Latencies
    slow: Latencies
    fast: Latencies


def _curve(decided: Decided, c: int, s: int, demand: Online) -> LatencyCurve:
    i, table = decided.axes.kept[c], decided.case.table
    pool = shared_pool(decided, c, s)
    found = _alone(decided, c, s, demand) if pool is None else _shared(decided, i, pool)
    gain = float(table.replica.decode_gain[i])
    outside = float(table.request_s[i])
    per_gpu = found.output_tokens / table.configurations[i].gpus
    points = [
        LatencyPoint(
            rps=float(found.rps[k]),
            output_tokens_per_s_per_gpu=float(found.rps[k]) * per_gpu,
            ttft_ms=float(found.planned.ttft[k] + outside) / MILLI,
            tpot_ms=float(found.planned.tpot[k] / gain) / MILLI,
            ttft_slow_ms=_ms(found.slow.ttft[k] + outside),
            ttft_fast_ms=_ms(found.fast.ttft[k] + outside),
            tpot_slow_ms=_ms(found.slow.tpot[k] / gain),
            tpot_fast_ms=_ms(found.fast.tpot[k] / gain),
            e2e_ms=found.planned.end_ms(k, outside),
            e2e_slow_ms=found.slow.end_ms(k, outside),
            e2e_fast_ms=found.fast.end_ms(k, outside),
        )
        for k in range(POINTS)
        if found.planned.steady(k)
    ]
    classes = decided.problem.labels.classes
    of = decided.problem.pools.class_of
    return LatencyCurve(
        candidate=table.names[i],
        demand_class=demand.name,
        shared_with=[classes[of[d]] for d in decided.parts(c, s) if d != c],
        ttft_target_ms=demand.slo.ttft_ms,
        tpot_target_ms=demand.slo.tpot_ms,
        e2e_target_ms=None if found.planned.e2e is None else demand.slo.e2e_ms,
        operating_rps=_operating_rps(decided, c, s) if pool is None else pool.operating_rps,
        points=points,
    )


def _alone(decided: Decided, c: int, s: int, demand: Online) -> _Rates:
    """Of a pool that serves one class."""
    i, table, slo = decided.axes.kept[c], decided.case.table, demand.slo
    lengths = table.in_steps(i)
    promise = {
        "ttft_percentile": slo.ttft_percentile,
        "tpot_percentile": slo.tpot_percentile,
        "arrival_cv": demand.arrival_cv,
        "replicas": float(max(decided.whole_peak(c, s).max(), 1.0)),
    }
    share = None if slo.e2e_ms is None else slo.e2e_percentile
    curve = model.latency_curve(
        table.serving(i), lengths, **promise, points=POINTS, e2e_percentile=share
    )
    slow, fast = (
        model.latencies_at(
            table.serving(i, end), lengths, curve.rate_rps, **promise, e2e_percentile=share
        )
        for end in (table.band_high_frac, table.band_low_frac)
    )
    tokens = table.lengths[table.configurations[i].demand_class].output_mean
    planned, at_slow, at_fast = (_of_one(one) for one in (curve, slow, fast))
    return _Rates(curve.rate_rps[0], tokens, planned, at_slow, at_fast)


def _of_one(found: model.LatencyCurve) -> Latencies:
    """Of the one candidate of a curve."""
    end = None if found.e2e_s is None else found.e2e_s[0]
    return Latencies(found.ttft_s[0], found.tpot_s[0], end)


def _shared(decided: Decided, i: int, pool: SharedPool) -> _Rates:
    """Of a pool that several classes share: rates of all of them, latencies of this one."""
    table = decided.case.table
    one, slow, fast = (
        table.serving(i, end) for end in (None, table.band_high_frac, table.band_low_frac)
    )
    assert isinstance(one, Replica)
    assert isinstance(slow, Replica)
    assert isinstance(fast, Replica)
    rates = pool.rates(one, POINTS)
    planned, at_slow, at_fast = (Latencies(*pool.latencies(x, rates)) for x in (one, slow, fast))
    return _Rates(rates, pool.output_mean, planned, at_slow, at_fast)


def _ms(seconds: float) -> float | None:
    return float(seconds) / MILLI if np.isfinite(seconds) else None


def _operating_rps(decided: Decided, c: int, s: int) -> float:
    """Peak rate that reaches one replica of the pool in its fullest block [1/s]."""
    p, x = decided.problem, decided.solution
    rate = x.served_frac[c, s] * p.demand.peak_rps[p.pools.class_of[c]]
    active = decided.whole_replicas(c, s)
    each = np.divide(rate, active, out=np.zeros_like(rate), where=active > 0)
    return float(each.max())
