"""Repair of a plan whose promises break in simulation: change what broke, solve, verify again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from planner import pipeline
from planner.candidates.subject import Subject, pool_of, promise_of
from planner.errors import InfeasibleError, StoppedError
from planner.files.catalog import load_catalog
from planner.perf.pooling import carried_rps
from planner.result import (
    CandidateRow,
    Plan,
    Repair,
    RepairRound,
    ReplayedTrace,
    TestedPool,
    Verification,
)
from planner.result.verification import alike
from planner.schema.catalog import Catalog
from planner.schema.demand import Online
from planner.simulate.rates import refined_rate
from planner.verification.replays import LARGER, Ask, Mend, beyond_plan, mends
from planner.verification.subjects import grounds, question_of
from planner.verification.verify import verify

Progress = Callable[[str, float, "float | None"], None]
"""what is done, seconds since this step's start, gap where there is one"""
ROUNDS = 4
MARGIN = 0.01
"""Rates are lowered by this much below those that held, so that other requests hold too."""
LEAST_SHARE = 0.1
"""A candidate that holds at less keeps this much in one round."""
SLACK = 1e-6
"""Relative; loads and planned rates that differ by less are equal."""
SEED_APART = 1_000
"""From the seed that found a rate wanting to the one that measures what holds."""


@dataclass(frozen=True)
class Change:
    """With what candidates are planned, by name."""

    shares: dict[str, float] = field(default_factory=dict)
    """Part of the rates first planned with."""
    least: dict[str, int] = field(default_factory=dict)
    """Fewest replicas of a pool."""

    def __bool__(self) -> bool:
        return bool(self.shares or self.least)

    def tighter(self, other: Change) -> Change:
        """The lower shares and the larger pools of both."""
        shares, least = self.shares, self.least
        return Change(
            {n: min(shares.get(n, 1.0), other.shares.get(n, 1.0)) for n in shares | other.shares},
            {n: max(least.get(n, 1), other.least.get(n, 1)) for n in least | other.least},
        )


def repair(
    plan: Plan,
    *,
    found: Verification | None = None,
    catalog: Catalog | None = None,
    rounds: int = ROUNDS,
    time_limit_s: float = 300.0,
    seed: int = 0,
    taken_per_node_day: float = 0.0,
    replay: Sequence[Ask] = (),
    progress: Progress | None = None,
) -> Plan:
    """A plan that keeps its promises in simulation, with what that cost; its verification says.

    Each round plans on simulated rates, lowers those of every candidate that broke though it was
    planned on simulated ones to the largest that keeps its promise where it broke, under a trace
    too, solves again and verifies. Where a trace's requests come at once, so that none of its
    rates is kept, the candidate's pools get as many replicas as keep it instead. A plan that keeps
    its promises comes back as it is, and so does one that cannot be mended: where a trace asks for
    more than was planned, or a promise could not be tried.

    Parameters
    ----------
    found : the plan's verification, where it was verified with this seed before.
    catalog : rows the plan was made with; the packaged ones if not given.
    rounds : most rounds.
    time_limit_s : of every solve.
    seed, taken_per_node_day, replay : as for `verify`.
    progress : told about every step.

    Raises
    ------
    ScenarioError : the catalog gives other rates than the plan holds.
    """
    rows = catalog or load_catalog()
    before, answer, started = plan, plan, time.perf_counter()

    def tell(step: str) -> None:
        if progress is not None:
            progress(step, time.perf_counter() - started, None)

    def verified(answer: Plan) -> Verification:
        return verify(
            answer, catalog=rows, seed=seed, taken_per_node_day=taken_per_node_day, replay=replay,
            progress=progress,
        )  # fmt: skip

    verdict = found or verified(plan)
    change = Change()
    steps: list[RepairRound] = []
    ended = f"a promise still breaks after {rounds} rounds"
    while not verdict.kept and len(steps) < rounds:
        try:
            more = _tightened(
                answer, verdict, rows, change, seed=seed, replay=replay, tell=tell
            )  # fmt: skip
            if not more and (steps or _settled(answer, verdict)):
                ended = _why_not(verdict)
                break
            change = change.tighter(more)
            new = pipeline.solve(
                question_of(plan), catalog=rows, gap=plan.gap_asked_frac, refine=True,
                time_limit_s=time_limit_s, shares=change.shares, least=change.least,
                progress=progress,
            )  # fmt: skip
            verdict = verified(new)
        except InfeasibleError as error:
            what = "so many replicas" if change.least else "the lowered rates"
            ended = f"no fleet meets {what}: {'; '.join(error.reasons)}"
            break
        except (KeyboardInterrupt, StoppedError):
            ended = "stopped"
            break
        answer = new
        tried = RepairRound(lowered=change.shares, npv_usd=new.npv_usd, broken=verdict.broken)
        steps.append(tried.model_copy(update={"least_replicas": change.least}))
    if not steps and verdict.kept:
        return plan.model_copy(update={"verification": verdict})
    return _told(before, answer, verdict, steps, "every promise holds" if verdict.kept else ended)


def _told(
    before: Plan, answer: Plan, verdict: Verification, steps: list[RepairRound], ended: str
) -> Plan:
    """The last plan with its verification and the story of the repair."""
    story = Repair(
        npv_before_usd=before.npv_usd, npv_after_usd=answer.npv_usd, rounds=steps, ended=ended
    )
    last = steps[-1:] or [RepairRound(lowered={}, npv_usd=before.npv_usd, broken=0)]
    notes = [
        f"Rates of {names} planned at {share:.1%} of what simulation first gave: a promise broke."
        for share, names in alike(last[0].lowered)
    ]
    notes += [
        f"Pools of {names} planned with {n:,} replicas or more: fewer cannot answer in time what a "
        "trace asks at once."
        for n, names in alike(last[0].least_replicas)
    ]
    if notes:
        notes.append(f"The repair costs {story.cost_usd:+,.0f} USD ({story.cost_frac:+.2%}).")
    return answer.model_copy(
        update={
            "verification": verdict.model_copy(update={"repair": story}),
            "notes": [*answer.notes, *notes],
        }
    )


def _broken_traces(verdict: Verification) -> list[ReplayedTrace]:
    return [row for row in verdict.traces if row.verdict == "broken"]


def _settled(plan: Plan, verdict: Verification) -> bool:
    """Whether another solve would give the same: only traces break, on simulated rates."""
    traces = _broken_traces(verdict)
    simulated = {row.id for row in plan.candidates if row.simulated}
    return len(traces) == verdict.broken and all(
        row.candidate in simulated or beyond_plan(row) for row in traces
    )


def _why_not(verdict: Verification) -> str:
    """Why nothing that could be changed mends what is left."""
    traces = _broken_traces(verdict)
    found = [
        f"{row.trace}: {row.advice}"
        if beyond_plan(row)
        else f"{row.trace}: {row.candidate} keeps its promise at no tenth of the rate, and in no "
        f"pool of up to {LARGER[-1]} replicas: {row.reason}"
        for row in traces
    ]
    if len(traces) < verdict.broken:
        found.append("no load breaks at a rate it was planned for: nothing is left to lower")
    if verdict.unverified:
        found.append("static batches are not simulated")
    return "; ".join(dict.fromkeys(found))


def _tightened(
    plan: Plan,
    verdict: Verification,
    catalog: Catalog,
    change: Change,
    *,
    seed: int,
    replay: Sequence[Ask],
    tell: Callable[[str], None],
) -> Change:
    """Lower shares, or larger pools, for candidates that broke at a rate they were planned for.

    What was planned on formulas, or asked for more than it was planned for, only needs the next
    solve, on simulated rates.
    """
    rows = {row.id: row for row in plan.candidates}
    worst = _worst(verdict, rows)
    traces = _broken_traces(verdict)
    if not worst and not any(rows[row.candidate].simulated for row in traces):
        return Change()
    on, shares = grounds(plan, catalog), change.shares
    held = dict[str, float]()
    for name, load in worst.items():
        tell(f"search the rate that {name} holds")
        held[name] = shares.get(name, 1.0) * _held_share(on.known[name], rows[name], load, seed)
    found = Change(held)
    for ask in replay if traces else ():
        for mend in mends(ask, on, seed=seed, tell=tell):
            row = rows[mend.load.candidate]
            if row.simulated:
                found = found.tighter(_mended(mend, row, plan.candidates, shares))
    return found


def _mended(
    mend: Mend, row: CandidateRow, every: Sequence[CandidateRow], shares: Mapping[str, float]
) -> Change:
    """What keeps a trace, for a candidate and those alike."""
    names = _alike(row, every)
    if mend.replicas:
        return Change(least=dict.fromkeys(names, mend.replicas))
    if not mend.frac:
        return Change()
    at = mend.load
    held = _share(mend.frac * at.rps_each, row, at.replicas, at.rps_each)
    share = shares.get(row.id, 1.0) * held
    return Change({name: min(share, shares.get(name, 1.0)) for name in names})


def _alike(row: CandidateRow, every: Sequence[CandidateRow]) -> list[str]:
    """The candidate first, and those that differ from it in formats and engine alone.

    What a trace asks beyond the planned lengths and gaps it asks of all of them.
    """
    others = [
        other.id
        for other in every
        if other.rate_rps
        and (other.demand_class, other.model, other.accelerator, other.gpus, other.mode)
        == (row.demand_class, row.model, row.accelerator, row.gpus, row.mode)
    ]
    return [row.id, *(name for name in others if name != row.id)]


def _worst(verdict: Verification, rows: Mapping[str, CandidateRow]) -> dict[str, TestedPool]:
    """By candidate the load of highest rate that broke within the rate planned for it."""
    worst: dict[str, TestedPool] = {}
    for load in verdict.pools:
        row = rows[load.candidate]
        planned = (row.rate_rps or 0.0) * (1 + SLACK)
        by_simulation = row.simulated or load.throughput_rps is not None
        if load.verdict == "broken" and load.requests and by_simulation:
            if load.rps_per_replica > planned:
                continue
            other = worst.get(load.candidate)
            if other is None or load.rps_per_replica > other.rps_per_replica:
                worst[load.candidate] = load
    return worst


def _held_share(subject: Subject, row: CandidateRow, load: TestedPool, seed: int) -> float:
    """Part of its rates that a candidate holds where it broke."""
    if isinstance(subject.demand, Online):
        found = refined_rate(
            pool_of(subject, load.replicas_simulated), subject.requests, promise_of(subject),
            guess_rps=load.rps_per_replica, limit_rps=subject.stability_rps,
            arrival_cv=subject.demand.arrival_cv, seed=seed + SEED_APART,
        )  # fmt: skip
        held = found.value
    else:
        held = load.throughput_rps or 0.0
    return _share(held, row, load.replicas, load.rps_per_replica)


def _share(held_rps: float, row: CandidateRow, replicas: float, asked_rps: float) -> float:
    """Largest rate that holds, less a margin, over the rate planned there."""
    held = held_rps / _planned_rps(row, replicas, asked_rps)
    return min(max(held, LEAST_SHARE), 1.0) * (1 - MARGIN)


def _planned_rps(row: CandidateRow, replicas: float, asked_rps: float) -> float:
    """Rate of one replica that the candidate was planned for, in a pool so large."""
    size = max(replicas, 1.0)
    pool_rps = carried_rps(
        size, peak_replicas=size, rate_rps=row.rate_rps or 0.0, offset_rps=row.offset_rps or 0.0,
        small_rps=row.small_rps,
    )  # fmt: skip
    return max(float(pool_rps) / size, asked_rps)
