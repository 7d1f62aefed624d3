"""A trace of requests against the plan's pools: what it attains, and which rate it would keep."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.candidates.subject import Subject, pool_of
from planner.errors import ScenarioError
from planner.files.traces import Trace
from planner.perf.pooling import POOL_SIZES
from planner.progress import Count, Stage, Tell, unheard
from planner.result import Plan, ReplayedTrace
from planner.schema.demand import Online
from planner.schema.scenario import Scenario
from planner.simulate.pool import Pool, Run
from planner.simulate.timeline import COUNTED, timeline
from planner.verification.loads import POOL_MAX, SLACK, Load, hardest
from planner.verification.shared import planned_beside
from planner.verification.streams import RateOf, Stream, stream_of
from planner.verification.subjects import Grounds
from planner.verification.trials import attained, broken

Array = NDArray[np.float64]
STRETCH_FRAC = 0.05
"""Of the trace's time; the first stretch only warms the pool, the spread of the others gives the
confidence interval."""
LEAST_REQUESTS = 200
"""Fewer say nothing of a percentile."""
MUCH = 1.02
"""From this ratio to what was planned something is named as a reason."""
SEEDS_APART = 1_000
"""From the seed of a trace's share to that of what comes beside it."""
SLOWEST, HELD_RTOL = 0.1, 0.01
"""Of the search for the rate that a trace keeps: share of the rate at which it breaks."""
LARGER = tuple(size + 1 for size in POOL_SIZES if size <= POOL_MAX)
"""Replicas of pools that are tried where no rate is kept: a plan can ask for as many at least."""


@dataclass(frozen=True)
class Ask:
    """A trace, and how it is to be replayed."""

    trace: Trace
    demand_class: str = ""
    """Blank where the plan has one online class."""
    rate: RateOf = "plan"


@dataclass(frozen=True)
class _Job:
    """A trace against one pool."""

    load: Load
    subject: Subject
    demand: Online
    stream: Stream
    share: float
    """Of the class's traffic that the pool's whole replicas serve."""
    of: int
    """Jobs of the trace in all."""

    @property
    def planned_rps(self) -> float:
        """Of the whole replicas."""
        return self.load.rps_each * self.load.whole


def replayed(
    ask: Ask,
    on: Grounds,
    *,
    seed: int,
    tell: Tell = unheard,
) -> list[ReplayedTrace]:
    """The trace against every pool of its class, each where it is busiest.

    Raises
    ------
    ScenarioError : no such class, no times in the trace, too few requests.
    """
    found = []
    for number, job in enumerate(_jobs(ask, on, seed)):
        tell(Stage("replay", Count(number, job.of, "pools")))
        found.append(_row(ask, job))
    return found


@dataclass(frozen=True)
class Mend:
    """What would keep a trace that breaks a pool."""

    load: Load
    frac: float
    """Share of its rate; 0 where not even a tenth is kept: requests come at once, at any rate."""
    replicas: int = 0
    """Then so many keep it at its rate; 0 where `LARGER` has none."""


def mends(
    ask: Ask,
    on: Grounds,
    *,
    seed: int,
    tell: Tell = unheard,
) -> list[Mend]:
    """What would keep the trace in every pool that it breaks.

    There is no entry where it breaks because it asks for more than was planned, which is the
    demand's to correct.
    """
    found = []
    for number, job in enumerate(_jobs(ask, on, seed)):
        tell(Stage("search what keeps the trace", Count(number, job.of, "pools")))
        if _reason(job, job.stream) and not _beyond(ask.rate, job.stream.peak_rps, job.planned_rps):
            frac = _held_frac(job)
            found.append(Mend(job.load, frac, 0 if frac else _keeping(job)))
    return found


def beyond_plan(row: ReplayedTrace) -> bool:
    """Whether a trace asks a pool for more than was planned."""
    return row.planned_rps is not None and _beyond(row.rate, row.peak_rps, row.planned_rps)


def _beyond(rate: RateOf, peak_rps: float, planned_rps: float) -> bool:
    return rate == "trace" and peak_rps > MUCH * planned_rps


def _jobs(
    ask: Ask,
    on: Grounds,
    seed: int,
) -> Iterator[_Job]:
    name = class_of(ask, on.scenario)
    mine = [x for x in on.able if x.demand_class == name and x.condition == "normal" and not x.down]
    if not mine:
        raise ScenarioError(
            ask.trace.name,
            [
                f"no pool that can be simulated serves {name}: its traffic goes to APIs, to static "
                "batches or to pools on measured rates"
            ],
        )
    groups: dict[tuple[str, str], list[Load]] = {}
    for load in mine:
        groups.setdefault((load.candidate, load.site), []).append(load)
    models = {row.id: row.model for row in on.plan.candidates}
    for number, some in enumerate(groups.values()):
        load = hardest(some)
        context = on.catalog.models[models[load.candidate]].max_context
        subject = on.known[load.candidate]
        share = _share(on.plan, load) * min(load.whole / load.replicas, 1.0)
        assert isinstance(subject.demand, Online)
        stream = stream_of(
            ask.trace, demand=subject.demand, rate=ask.rate, share=share,
            planned_rps=load.rps_each * load.whole, replicas=load.whole,
            context_tokens=context, seed=seed + number,
        )  # fmt: skip
        stream = replace(
            stream, beside=planned_beside(load, on.known, stream, seed + number + SEEDS_APART)
        )
        yield _Job(load, subject, subject.demand, stream, share, len(groups))


def class_of(ask: Ask, scenario: Scenario) -> str:
    """The class that a trace is replayed as.

    Raises
    ------
    ScenarioError : no such class, no times in the trace, too few requests.
    """
    online = [demand.name for demand in scenario.demand if isinstance(demand, Online)]
    wanted = ask.demand_class or (online[0] if len(online) == 1 else "")
    problems = []
    if not online:
        problems.append("no class is online: a trace is replayed against the promises of one")
    elif wanted not in online:
        given = f"{wanted!r} is none of them" if wanted else "name one with --class"
        problems.append(f"online classes of the plan: {', '.join(online)}; {given}")
    if ask.trace.time_s is None:
        problems.append("has no time stamps: a replay needs them")
    if len(ask.trace.input_tokens) < LEAST_REQUESTS:
        few = f"{len(ask.trace.input_tokens):,} requests, {LEAST_REQUESTS:,} are the fewest"
        problems.append(f"has {few} that a percentile is read from")
    if problems:
        raise ScenarioError(ask.trace.name, problems)
    return wanted


def _share(plan: Plan, load: Load) -> float:
    """Of the class's traffic that the pool serves in the load's period and block."""
    t = next(i for i, period in enumerate(plan.periods) if period.label == load.period)
    b = next(i for i, block in enumerate(plan.blocks) if block.label == load.block)
    pool = next(
        p for p in plan.pools if (p.candidate, p.site) == (load.candidate, load.site)
    )  # fmt: skip
    return min(pool.served_frac[t][b], 1.0)


def _row(ask: Ask, job: _Job) -> ReplayedTrace:
    load, stream = job.load, job.stream
    run = _run(stream, pool_of(job.subject, load.whole))
    figures = attained(run, job.demand.slo, job.subject.request_s)
    reason, arrived = broken(figures), float(run.arrived.sum())
    hits = "hits as recorded" if ask.trace.hit_tokens is not None else (
        f"{job.demand.prefix_cache_hit_frac:.0%} of each prompt found in the prefix cache, as "
        "planned"
    )  # fmt: skip
    return ReplayedTrace(
        trace=ask.trace.name,
        candidate=load.candidate,
        demand_class=load.demand_class,
        site=load.site,
        period=load.period,
        block=load.block,
        replicas=load.whole,
        rate=ask.rate,
        rate_note=f"{stream.note}; {hits}",
        mean_rps=stream.mean_rps,
        peak_rps=stream.peak_rps,
        planned_rps=job.planned_rps,
        share_frac=job.share,
        requests=int(run.ttft.sum()),
        seconds=float(stream.piece.times_s[-1]),
        verdict="broken" if reason else "kept",
        reason=reason,
        advice="; ".join(_advice(job, ask.rate)) if reason else "",
        **figures,
        utilization=float(run.utilization.mean()),
        kv_mean_frac=float(run.kv_frac.mean()),
        kv_max_frac=float(run.kv_frac_max.max()),
        preempted_frac=float(run.preempted.sum()) / arrived,
        refused_frac=float(run.refused.sum()) / arrived,
    )


def _advice(job: _Job, rate: RateOf) -> Iterator[str]:
    """How the trace differs from what was planned, and what would help."""
    stream, fit = job.stream, f"fit {job.load.demand_class} to it (planner workload fit)"
    planned = job.subject.requests
    longer = [
        f"{what} {own.mean() / asked.mean():.2f} times as long"
        for what, own, asked in (
            ("prompts", stream.piece.prompts, planned.prompts),
            ("answers", stream.piece.answers, planned.answers),
        )
        if own.mean() > MUCH * asked.mean()
    ]
    if longer:
        yield f"it has {' and '.join(longer)} as planned: {fit}"
    if stream.refused_s.size:
        yield "requests beyond the context are refused: a model with a longer one would serve them"
    if _beyond(rate, stream.peak_rps, job.planned_rps):
        over = stream.peak_rps / job.planned_rps
        yield (
            f"its busiest five minutes have {over:.2f} times the planned {job.planned_rps:.4g}/s: "
            f"raise the rate of {job.load.demand_class}, or {fit}"
        )
    else:
        yield (
            "--repair plans at the rate that it keeps; where it keeps none, for requests come at "
            "once, with more replicas"
        )


def _reason(job: _Job, stream: Stream, replicas: int | None = None) -> str:
    run = _run(stream, pool_of(job.subject, replicas or job.load.whole))
    return broken(attained(run, job.demand.slo, job.subject.request_s))


def _held_frac(job: _Job) -> float:
    """Largest share of the rate at which the pool keeps its promise; by bisection."""
    low, high = SLOWEST, 1.0
    if _reason(job, job.stream.slower(1 / low)):
        return 0.0
    while high / low > 1 + HELD_RTOL:
        middle = math.sqrt(low * high)
        if _reason(job, job.stream.slower(1 / middle)):
            high = middle
        else:
            low = middle
    return low


def _keeping(job: _Job) -> int:
    """Fewest replicas, of those tried, that keep the promise under the same stream; 0: none."""
    larger = (n for n in LARGER if n > job.load.whole)
    return next((n for n in larger if not _reason(job, job.stream, n)), 0)


def _run(stream: Stream, pool: Pool) -> Run:
    """The run, its counts by stretch of the trace."""
    window_s = STRETCH_FRAC * float(stream.piece.times_s[-1])
    line = timeline(pool, stream.all, window_s=window_s, counted_from_s=window_s)
    counted = line.starts_s >= window_s * (1 - SLACK)
    run = replace(line.run, **{name: getattr(line, name)[counted] for name in COUNTED})
    return _with_refused(run, stream.refused_s, line.starts_s[counted])


def _with_refused(run: Run, refused_s: Array, starts_s: Array) -> Run:
    """Requests beyond the context count as arrived, refused and late."""
    if not refused_s.size:
        return run
    late = refused_s[refused_s >= starts_s[0]]
    ttft, e2e = run.ttft.copy(), run.e2e.copy()
    for counts in (ttft, e2e):
        np.add.at(counts, (np.searchsorted(starts_s, late, side="right") - 1, -1), 1)
    return replace(
        run, ttft=ttft, e2e=e2e, refused=run.refused + refused_s.size,
        arrived=run.arrived + refused_s.size,
    )  # fmt: skip
