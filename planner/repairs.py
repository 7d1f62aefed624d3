"""Repair of a plan whose promises break in simulation: lower what broke, solve and verify again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from planner import pipeline
from planner.candidates.subject import Subject, pool_of, promise_of
from planner.errors import InfeasibleError, StoppedError
from planner.files.catalog import load_catalog
from planner.perf.pooling import carried_rps
from planner.progress import Count, Stage, Tell
from planner.result import (
    CandidateRow,
    Plan,
    Repair,
    RepairRound,
    ReplayedTrace,
    TestedPool,
    Verification,
)
from planner.schema.catalog import Catalog
from planner.schema.demand import Online
from planner.simulate.mixture import largest_mix_rate
from planner.simulate.rates import refined_rate
from planner.verification.replays import Ask, beyond_plan, held_fracs
from planner.verification.shared import mixed_stream
from planner.verification.subjects import grounds, question_of
from planner.verification.verify import verify

ROUNDS = 4
MARGIN = 0.01
"""Rates are lowered by this much below those that held, so that other requests hold too."""
LEAST_SHARE = 0.1
"""A candidate that holds at less keeps this much in one round."""
SLACK = 1e-6
"""Relative; loads and planned rates that differ by less are equal."""
SEED_APART = 1_000
"""From the seed that found a rate wanting to the one that measures what holds."""


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
    progress: Tell | None = None,
) -> Plan:
    """A plan that keeps its promises in simulation, with what that cost; its verification says.

    Each round plans on simulated rates, lowers those of every candidate that broke though it was
    planned on simulated ones to the largest that keeps its promise where it broke, under a trace
    too, solves again and verifies. A plan that keeps its promises comes back as it is, and so does
    one that rates cannot mend: where a trace asks for more than was planned, or a promise could
    not be tried.

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
    before, answer = plan, plan
    steps: list[RepairRound] = []

    def tell(stage: Stage) -> None:
        if progress is not None:
            progress(replace(stage, within=Count(len(steps) + 1, rounds, "round")))

    def verified(answer: Plan, tell: Tell | None) -> Verification:
        return verify(
            answer, catalog=rows, seed=seed, taken_per_node_day=taken_per_node_day, replay=replay,
            progress=tell,
        )  # fmt: skip

    verdict = found or verified(plan, progress)
    shares: dict[str, float] = {}
    ended = f"a promise still breaks after {rounds} rounds"
    while not verdict.kept and len(steps) < rounds:
        try:
            lower = _tightened(answer, verdict, rows, shares, seed=seed, replay=replay, tell=tell)
            if not lower and (steps or _settled(answer, verdict)):
                ended = _why_not(verdict)
                break
            shares |= lower
            new = pipeline.solve(
                question_of(plan), catalog=rows, gap=plan.gap_asked_frac, refine=True,
                time_limit_s=time_limit_s, shares=shares, progress=tell,
            )  # fmt: skip
            verdict = verified(new, tell)
        except InfeasibleError as error:
            ended = f"no fleet meets the lowered rates: {'; '.join(error.reasons)}"
            break
        except (KeyboardInterrupt, StoppedError):
            ended = "stopped"
            break
        answer = new
        steps.append(
            RepairRound(lowered=dict(shares), npv_usd=answer.npv_usd, broken=verdict.broken)
        )
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
    alike: dict[float, list[str]] = {}
    for name, share in (steps[-1].lowered if steps else {}).items():
        alike.setdefault(share, []).append(name)
    notes = [
        f"Rates of {names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''} planned at "
        f"{share:.1%} of what simulation first gave: a promise broke."
        for share, names in alike.items()
    ]
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
    """Why lower rates do not mend what is left."""
    traces = _broken_traces(verdict)
    found = [f"{row.trace}: {row.advice}" for row in traces]
    if len(traces) < verdict.broken:
        found.append("no load breaks at a rate it was planned for: nothing is left to lower")
    if verdict.unverified:
        found.append("static batches are not simulated")
    return "; ".join(dict.fromkeys(found))


def _tightened(
    plan: Plan,
    verdict: Verification,
    catalog: Catalog,
    shares: dict[str, float],
    *,
    seed: int,
    replay: Sequence[Ask],
    tell: Tell,
) -> dict[str, float]:
    """Lower shares for candidates that broke at a rate for which they were planned.

    What was planned on formulas, or asked for more than it was planned for, only needs the next
    solve, on simulated rates.
    """
    rows = {row.id: row for row in plan.candidates}
    worst = _worst(verdict, rows)
    traces = _broken_traces(verdict)
    if not worst and not any(rows[row.candidate].simulated for row in traces):
        return {}
    on = grounds(plan, catalog)
    lower: dict[str, float] = {}
    for load in worst.values():
        tell(Stage("find rates that hold", Count(len(lower), len(worst), "candidates")))
        # Candidates of one mix have one row: they are lowered together.
        pool = list(load.asked_rps)
        held = _held_share(on.known, rows, load, seed) * min(shares.get(n, 1.0) for n in pool)
        lower |= {name: min(held, lower.get(name, 1.0)) for name in pool}
    for ask in replay if traces else ():
        for at, frac in held_fracs(ask, on, seed=seed):
            row = rows[at.candidate]
            if row.simulated:
                held = _share(frac * at.rps_each, row, at.replicas, at.rps_each)
                for name in _alike(row, plan.candidates):
                    before = shares.get(name, 1.0)
                    share = min(shares.get(row.id, 1.0) * held, before)
                    lower[name] = min(lower.get(name, before), share)
    return lower


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
        by_simulation = rows[load.candidate].simulated or load.throughput_rps is not None
        if load.verdict == "broken" and load.requests and by_simulation:
            asked = _asked_replicas(load, rows)
            if asked > 1 + SLACK:
                continue
            other = worst.get(load.candidate)
            if other is None or asked > _asked_replicas(other, rows):
                worst[load.candidate] = load
    return worst


def _asked_replicas(load: TestedPool, rows: Mapping[str, CandidateRow]) -> float:
    """Replicas of the planned line that one replica is asked for, by all classes of its pool."""
    return sum(_over(rps, rows[name].rate_rps) for name, rps in load.asked_rps.items())


def _over(rps: float, rate_rps: float | None) -> float:
    return rps / rate_rps if rate_rps else math.inf


def _held_share(
    known: Mapping[str, Subject], rows: Mapping[str, CandidateRow], load: TestedPool, seed: int
) -> float:
    """Part of its rates that a candidate holds where it broke; of a mix that of its whole row."""
    subject, row = known[load.candidate], rows[load.candidate]
    asked = sum(load.asked_rps.values())
    if len(load.asked_rps) > 1:
        held = _held_mix(known, load, asked, seed)
    elif isinstance(subject.demand, Online):
        held = refined_rate(
            pool_of(subject, load.replicas_simulated), subject.requests, promise_of(subject),
            guess_rps=asked, limit_rps=subject.stability_rps,
            arrival_cv=subject.demand.arrival_cv, seed=seed + SEED_APART,
        ).value  # fmt: skip
    else:
        held = load.throughput_rps or 0.0
    # As requests of this class alone that are the same part of what the plan counts on.
    alone = (row.rate_rps or 0.0) * _asked_replicas(load, rows)
    return _share(held / asked * alone, row, load.replicas, alone)


def _held_mix(known: Mapping[str, Subject], load: TestedPool, asked: float, seed: int) -> float:
    """Largest rate of all classes together at which every promise of a shared pool holds."""
    stream, cv = mixed_stream(load.asked_rps, known)
    return largest_mix_rate(
        pool_of(known[load.candidate], load.replicas_simulated), stream, guess_rps=asked,
        limit_rps=asked, arrival_cv=cv, seed=seed + SEED_APART,
    )  # fmt: skip


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
