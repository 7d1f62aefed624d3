"""Latency-throughput curves of the pools that serve, with the operating point on them."""

from __future__ import annotations

import numpy as np

from planner.answer.decided import Decided
from planner.perf import curve as model
from planner.result import LatencyCurve, LatencyPoint
from planner.schema.demand import Online
from planner.units import MILLI

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


def _curve(decided: Decided, c: int, s: int, demand: Online) -> LatencyCurve:
    i, table = decided.axes.kept[c], decided.case.table
    config, slo = table.configurations[i], demand.slo
    lengths = table.in_steps(i)
    gain = float(table.replica.decode_gain[i])
    per_gpu = table.lengths[config.demand_class].output_mean / config.gpus
    promise = {
        "ttft_percentile": slo.ttft_percentile,
        "tpot_percentile": slo.tpot_percentile,
        "arrival_cv": demand.arrival_cv,
        "replicas": float(max(decided.solution.replicas_peak[c, s].max(), 1.0)),
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
    outside = float(table.request_s[i])
    points = [
        LatencyPoint(
            rps=float(curve.rate_rps[0, k]),
            output_tokens_per_s_per_gpu=float(curve.rate_rps[0, k]) * per_gpu,
            ttft_ms=float(curve.ttft_s[0, k] + outside) / MILLI,
            tpot_ms=float(curve.tpot_s[0, k] / gain) / MILLI,
            ttft_slow_ms=_ms(slow.ttft_s[0, k] + outside),
            ttft_fast_ms=_ms(fast.ttft_s[0, k] + outside),
            tpot_slow_ms=_ms(slow.tpot_s[0, k] / gain),
            tpot_fast_ms=_ms(fast.tpot_s[0, k] / gain),
            e2e_ms=_end_ms(curve, k, outside),
            e2e_slow_ms=_end_ms(slow, k, outside),
            e2e_fast_ms=_end_ms(fast, k, outside),
        )
        for k in range(POINTS)
        if np.isfinite(curve.ttft_s[0, k])
        and np.isfinite(curve.tpot_s[0, k])
        and (curve.e2e_s is None or np.isfinite(curve.e2e_s[0, k]))
    ]
    return LatencyCurve(
        candidate=table.names[i],
        demand_class=demand.name,
        ttft_target_ms=slo.ttft_ms,
        tpot_target_ms=slo.tpot_ms,
        e2e_target_ms=slo.e2e_ms,
        operating_rps=_operating_rps(decided, c, s),
        points=points,
    )


def _end_ms(curve: model.LatencyCurve, k: int, outside_s: float) -> float | None:
    """To the last token; None where it is not promised, or nothing is steady."""
    return None if curve.e2e_s is None else _ms(curve.e2e_s[0, k] + outside_s)


def _ms(seconds: float) -> float | None:
    return float(seconds) / MILLI if np.isfinite(seconds) else None


def _operating_rps(decided: Decided, c: int, s: int) -> float:
    """Peak rate that reaches one replica of the pool in its fullest block [1/s]."""
    p, x = decided.problem, decided.solution
    rate = x.served_frac[c, s] * p.demand.peak_rps[p.pools.class_of[c]]
    active = x.replicas[c, s]
    each = np.divide(rate, active, out=np.zeros_like(rate), where=active > 0)
    return float(each.max())
