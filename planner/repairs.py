"""Repair of a plan whose promises break in simulation: lower what broke, solve and verify again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from planner import pipeline
from planner.candidates.subject import Subject, promise_of
from planner.errors import InfeasibleError, StoppedError
from planner.files.catalog import load_catalog
from planner.perf.pooling import carried_rps
from planner.result import CandidateRow, Plan, Repair, RepairRound, TestedPool, Verification
from planner.schema.catalog import Catalog
from planner.schema.demand import Online
from planner.simulate.pool import Pool
from planner.simulate.rates import refined_rate
from planner.verification.replays import Ask
from planner.verification.subjects import question_of, subjects
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
    planned on simulated ones to the largest that keeps its promise where it broke, solves again
    and verifies. A plan that keeps its promises comes back as it is.

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

    def verified(answer: Plan) -> Verification:
        return verify(
            answer, catalog=rows, seed=seed, taken_per_node_day=taken_per_node_day, replay=replay,
            progress=progress,
        )  # fmt: skip

    verdict = found or verified(plan)
    shares: dict[str, float] = {}
    steps: list[RepairRound] = []
    ended = f"a promise still breaks after {rounds} rounds"
    while not verdict.kept and len(steps) < rounds:
        try:
            lower = _tightened(answer, verdict, rows, shares, seed)
            if steps and not lower:
                ended = "no load breaks at a rate it was planned for: nothing is left to lower"
                break
            shares |= lower
            new = pipeline.solve(
                question_of(plan), catalog=rows, gap=plan.gap_asked_frac, refine=True,
                time_limit_s=time_limit_s, shares=shares, progress=progress,
            )  # fmt: skip
            verdict = verified(new)
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
    notes = [
        f"Rates of {name} planned at {share:.1%} of what simulation first gave: a promise broke."
        for name, share in (steps[-1].lowered if steps else {}).items()
    ]
    return answer.model_copy(
        update={
            "verification": verdict.model_copy(update={"repair": story}),
            "notes": [*answer.notes, *notes],
        }
    )


def _tightened(
    plan: Plan, verdict: Verification, catalog: Catalog, shares: dict[str, float], seed: int
) -> dict[str, float]:
    """Lower shares for candidates that broke at a rate for which they were planned.

    What was planned on formulas, or asked for more than it was planned for, only needs the next
    solve, on simulated rates.
    """
    rows = {row.id: row for row in plan.candidates}
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
    if not worst:
        return {}
    known = subjects(plan, question_of(plan), catalog)
    return {
        name: shares.get(name, 1.0)
        * _held_share(known[name], load, planned_rps=_planned_rps(rows[name], load), seed=seed)
        for name, load in worst.items()
    }


def _planned_rps(row: CandidateRow, load: TestedPool) -> float:
    """Rate of one replica that the candidate was planned for, in a pool of the load's size."""
    replicas = max(load.replicas, 1.0)
    pool_rps = carried_rps(
        replicas, peak_replicas=replicas, rate_rps=row.rate_rps or 0.0,
        offset_rps=row.offset_rps or 0.0, small_rps=row.small_rps,
    )  # fmt: skip
    return max(float(pool_rps) / replicas, load.rps_per_replica)


def _held_share(subject: Subject, load: TestedPool, *, planned_rps: float, seed: int) -> float:
    """Largest rate that holds where the load broke, less a margin, over the rate planned there."""
    if isinstance(subject.demand, Online):
        found = refined_rate(
            Pool(subject.numbers, load.replicas_simulated), subject.requests, promise_of(subject),
            guess_rps=load.rps_per_replica, limit_rps=subject.stability_rps,
            arrival_cv=subject.demand.arrival_cv, seed=seed + SEED_APART,
        )  # fmt: skip
        held = found.value
    else:
        held = load.throughput_rps or 0.0
    return min(max(held / planned_rps, LEAST_SHARE), 1.0) * (1 - MARGIN)
