"""A trace of requests against the plan's pools: as it was recorded, or at the planned rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from planner.candidates.subject import Subject
from planner.errors import ScenarioError
from planner.files.traces import Trace
from planner.result import Plan, ReplayedTrace
from planner.schema.demand import Online
from planner.schema.scenario import Scenario
from planner.simulate.arrivals import Piece
from planner.simulate.pool import Pool, Run
from planner.simulate.timeline import timeline
from planner.verification.loads import SLACK, Load, hardest
from planner.verification.trials import attained, broken

Array = NDArray[np.float64]
RateOf = Literal["plan", "trace"]
STRETCH_FRAC = 0.05
"""Of the trace's time; the first stretch only warms the pool, the spread of the others gives the
confidence interval."""
WINDOW_S = 300.0
"""Plans are sized for five-minute rates."""
PEAK_QUANTILE = 0.99
SCALE_ROUNDS, SCALE_RTOL = 30, 1e-3
LEAST_REQUESTS = 200
"""Fewer say nothing of a percentile."""


@dataclass(frozen=True)
class Ask:
    """A trace, and how it is to be replayed."""

    trace: Trace
    demand_class: str = ""
    """Blank where the plan has one online class."""
    rate: RateOf = "plan"


@dataclass(frozen=True)
class _Scaled:
    times_s: Array
    note: str


def replayed(
    ask: Ask,
    plan: Plan,
    scenario: Scenario,
    loads: Sequence[Load],
    known: Mapping[str, Subject],
    *,
    seed: int,
    tell: Callable[[str], None] = lambda step: None,
) -> list[ReplayedTrace]:
    """The trace against every pool of its class, each where it is busiest.

    Raises
    ------
    ScenarioError : no such class, no times in the trace, too few requests.
    """
    name = _class_of(ask, scenario)
    mine = [x for x in loads if x.demand_class == name and x.condition == "normal" and not x.down]
    if not mine:
        raise ScenarioError(ask.trace.name, [f"no simulated pool of the plan serves {name}"])
    groups: dict[tuple[str, str], list[Load]] = {}
    for load in mine:
        groups.setdefault((load.candidate, load.site), []).append(load)
    found = []
    for number, some in enumerate(groups.values()):
        load = hardest(some)
        tell(f"replay {ask.trace.name} against {load.name}")
        found.append(_one(ask, plan, load, known[load.candidate], seed + number))
    return found


def _class_of(ask: Ask, scenario: Scenario) -> str:
    online = [demand.name for demand in scenario.demand if isinstance(demand, Online)]
    wanted = ask.demand_class or (online[0] if len(online) == 1 else "")
    problems = []
    if wanted not in online:
        given = f"{wanted!r} is none of them" if wanted else "name one with --class"
        problems.append(f"online classes of the plan: {', '.join(online) or 'none'}; {given}")
    if ask.trace.time_s is None:
        problems.append("has no time stamps: a replay needs them")
    if len(ask.trace.input_tokens) < LEAST_REQUESTS:
        few = f"{len(ask.trace.input_tokens):,} requests, {LEAST_REQUESTS:,} are the fewest"
        problems.append(f"has {few} that a percentile is read from")
    if problems:
        raise ScenarioError(ask.trace.name, problems)
    return wanted


def _one(ask: Ask, plan: Plan, load: Load, subject: Subject, seed: int) -> ReplayedTrace:
    demand, trace = subject.demand, ask.trace
    assert isinstance(demand, Online)
    assert trace.time_s is not None
    share = _share(plan, load)
    draw = np.random.default_rng(seed)
    taken = np.flatnonzero(draw.random(len(trace.time_s)) < share)
    planned_rps = load.rps_each * load.replicas
    scaled = _scaled(trace.time_s[taken], ask.rate, planned_rps)
    piece = _piece(trace, taken, scaled.times_s, demand=demand, replicas=load.whole, draw=draw)
    run = _run(piece, Pool(subject.numbers, load.whole))
    figures = attained(run, demand.slo, subject.request_s)
    reason, arrived = broken(*figures), float(run.arrived.sum())
    hits = "hits as recorded" if trace.hit_tokens is not None else (
        f"{demand.prefix_cache_hit_frac:.0%} of each prompt found in the prefix cache, as planned"
    )  # fmt: skip
    return ReplayedTrace(
        trace=trace.name,
        candidate=load.candidate,
        demand_class=load.demand_class,
        site=load.site,
        period=load.period,
        block=load.block,
        replicas=load.whole,
        rate=ask.rate,
        rate_note=f"{scaled.note}; {hits}",
        mean_rps=_mean_rps(scaled.times_s),
        peak_rps=_peak_rps(scaled.times_s, 1.0),
        share_frac=share,
        requests=int(run.ttft.sum()),
        seconds=float(scaled.times_s[-1]),
        verdict="broken" if reason else "kept",
        reason=reason,
        ttft=figures[0],
        tpot=figures[1],
        token_itl=figures[2],
        utilization=float(run.utilization.mean()),
        kv_mean_frac=float(run.kv_frac.mean()),
        kv_max_frac=float(run.kv_frac_max.max()),
        preempted_frac=float(run.preempted.sum()) / arrived,
        refused_frac=float(run.refused.sum()) / arrived,
    )


def _share(plan: Plan, load: Load) -> float:
    """Of the class's traffic that the pool serves in the load's period and block."""
    t = next(i for i, period in enumerate(plan.periods) if period.label == load.period)
    b = next(i for i, block in enumerate(plan.blocks) if block.label == load.block)
    pool = next(
        p for p in plan.pools if (p.candidate, p.site) == (load.candidate, load.site)
    )  # fmt: skip
    return min(pool.served_frac[t][b], 1.0)


def _scaled(times_s: Array, rate: RateOf, planned_rps: float) -> _Scaled:
    """Times from 0, stretched so that the trace's busy five minutes have the planned rate."""
    start = times_s - times_s[0]
    if rate == "trace" or start[-1] <= 0:
        return _Scaled(start, "rate as recorded")
    factor = planned_rps / _mean_rps(start)
    what = "mean rate"
    for _ in range(SCALE_ROUNDS):
        if start[-1] / factor < 2 * WINDOW_S:
            factor, what = planned_rps / _mean_rps(start), "mean rate"
            break
        what = f"p{PEAK_QUANTILE * 100:g} of five-minute rates"
        wrong = planned_rps / _peak_rps(start, factor)
        factor *= wrong
        if abs(wrong - 1) < SCALE_RTOL:
            break
    note = f"time runs {factor:.3g} times as fast: its {what} is the planned {planned_rps:.4g}/s"
    return _Scaled(start / factor, note)


def _mean_rps(times_s: Array) -> float:
    return len(times_s) / max(float(times_s[-1] - times_s[0]), 1e-9)


def _peak_rps(times_s: Array, factor: float) -> float:
    """Rate that 99 % of five-minute windows stay below, with time run so much faster."""
    windows = np.floor(times_s / factor / WINDOW_S).astype(np.int64)
    whole = int(windows[-1])  # the last window is cut off by the end
    if whole < 1:
        return _mean_rps(times_s / factor)
    counts = np.bincount(windows[windows < whole], minlength=whole)
    return float(np.quantile(counts, PEAK_QUANTILE)) / WINDOW_S


def _run(piece: Piece, pool: Pool) -> Run:
    """The run, its counts by stretch of the trace."""
    window_s = STRETCH_FRAC * float(piece.times_s[-1])
    line = timeline(pool, piece, window_s=window_s, counted_from_s=window_s)
    counted = line.starts_s >= window_s * (1 - SLACK)
    return replace(line.run, ttft=line.ttft[counted], tpot=line.tpot[counted])


def _piece(
    trace: Trace,
    taken: NDArray[np.intp],
    times_s: Array,
    *,
    demand: Online,
    replicas: int,
    draw: np.random.Generator,
) -> Piece:
    """The taken requests at the times given."""
    prompts = trace.input_tokens[taken].astype(np.int64)
    if trace.hit_tokens is None:
        hits = (prompts * demand.prefix_cache_hit_frac).astype(np.int64)
    else:
        hits = trace.hit_tokens[taken].astype(np.int64)
    return Piece(
        offset=0,
        times_s=times_s,
        prompts=prompts,
        answers=trace.output_tokens[taken].astype(np.int64),
        hits=hits,
        draws=draw.random(len(taken)),
        homes=draw.integers(replicas, size=len(taken)),
    )
