"""A plan in, verdicts out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from planner.candidates.subject import Subject
from planner.files.catalog import load_catalog
from planner.result import Incident, Plan, TestedPool, Verification
from planner.result.verification import Verdict
from planner.schema.catalog import Catalog
from planner.simulate.pool import Run
from planner.verification.incidents import Case, cases, simulated
from planner.verification.loads import OUT, Load, hardest, loads, middle
from planner.verification.replays import Ask, replayed
from planner.verification.subjects import nodes, question_of, subjects, unserved
from planner.verification.trials import WORKERS, Trial, trial

Progress = Callable[[str, float, "float | None"], None]
"""what is simulated, seconds since the start, no gap"""


def verify(
    plan: Plan,
    *,
    catalog: Catalog | None = None,
    seed: int = 0,
    taken_per_node_day: float = 0.0,
    replay: Sequence[Ask] = (),
    progress: Progress | None = None,
) -> Verification:
    """Simulate every load of a plan, or name the harder one that was simulated.

    Parameters
    ----------
    catalog : rows the plan was made with; the packaged ones if not given.
    seed : of all random numbers.
    taken_per_node_day : how often a node is taken away at random, as spot machines are; 0 is
        never.
    replay : traces to be tried beside the planned traffic.
    progress : told before every trial.

    Raises
    ------
    ScenarioError : the catalog gives other rates than the plan holds; a trace cannot be replayed.
    """
    started = time.perf_counter()

    def tell(step: str) -> None:
        if progress is not None:
            progress(step, time.perf_counter() - started, None)

    rows, scenario = catalog or load_catalog(), question_of(plan)
    known = subjects(plan, scenario, rows)
    every = loads(plan, nodes(scenario, rows), scenario.limits.availability_target)
    traces = [
        row
        for ask in replay
        for row in replayed(ask, plan, scenario, every, known, seed=seed, tell=tell)
    ]
    trials = tried(every, known, seed=seed, tell=tell)
    bad = cases(plan, every, scenario, rows, taken_per_node_day=taken_per_node_day, seed=seed)
    incidents = _simulated(bad, known, seed=seed, tell=tell)
    found = [_verdict(load, trials, known[load.candidate]) for load in every]
    short = unserved(plan)
    return Verification(
        scenario=scenario.name,
        scenario_sha256=plan.scenario_sha256,
        seed=seed,
        kept=not short
        and all(row.verdict != "broken" for row in found)
        and all(row.verdict != "broken" for row in traces),
        pools=found,
        unserved=short,
        incidents=incidents,
        traces=traces,
        seconds=time.perf_counter() - started,
        requests=sum(row.requests for row in found),
        notes=_notes(plan),
    )


def tried(
    every: Sequence[Load],
    subjects: dict[str, Subject],
    *,
    seed: int,
    tell: Callable[[str], None] = lambda step: None,
) -> list[Trial]:
    """Trials that decide every load: the hardest first, then halves of what is undecided."""
    done: list[Trial] = []

    def undecided(some: Sequence[Load]) -> list[Load]:
        return [load for load in some if not any(_decides(other, load) for other in done)]

    # Those with nodes out come last: what is kept with all replicas up decides many of them.
    for condition in OUT:
        while left := undecided([load for load in every if load.condition == condition]):
            load = _next(left, done)
            tell(f"simulate {load.demand_class}, {load.name}")
            done.append(trial(subjects[load.candidate], load, seed=seed))
    return done


def _next(left: Sequence[Load], done: Sequence[Trial]) -> Load:
    """The hardest; of a candidate that broke already, the middle one of what is undecided."""
    top = hardest(left)
    if any(other.reason and other.load.candidate == top.candidate for other in done):
        return middle([load for load in left if load.candidate == top.candidate])
    return top


def _simulated(
    bad: Sequence[Case], known: dict[str, Subject], *, seed: int, tell: Callable[[str], None]
) -> list[Incident]:
    """Bad hours side by side, in the order asked."""

    def one(case: Case) -> Incident:
        return simulated(case, known[case.load.candidate], seed=seed)

    if bad:
        tell(f"simulate {len(bad)} hours with failures")
    with ThreadPoolExecutor(max_workers=WORKERS) as threads:
        return list(threads.map(one, bad))


def _decides(done: Trial, load: Load) -> bool:
    """A kept load decides those no harder, a broken one those no easier."""
    if done.load == load:
        return True
    return done.load.no_harder_than(load) if done.reason else load.no_harder_than(done.load)


def _verdict(load: Load, trials: list[Trial], subject: Subject) -> TestedPool:
    """By the load's own trial, or another that decides it."""
    own = [done for done in trials if done.load == load]
    if own:
        return _row(load, own[0], subject, simulated=True)
    other = next(done for done in trials if _decides(done, load))
    return _row(load, other, subject, simulated=False)


def _row(load: Load, done: Trial, subject: Subject, *, simulated: bool) -> TestedPool:
    broken: Verdict = "exposed" if load.condition == "one_more_out" else "broken"
    row = TestedPool(
        candidate=load.candidate,
        demand_class=load.demand_class,
        site=load.site,
        period=load.period,
        block=load.block,
        condition=load.condition,
        nodes_out=load.nodes_out,
        replicas=load.replicas,
        rps_per_replica=load.rps_each,
        verdict=broken if done.reason else "kept",
        reason=done.reason,
        decided_by="" if simulated else done.load.name,
        utilization=load.rps_each / subject.stability_rps,
    )
    return row if done.run is None or not simulated else _measured(row, done, done.run)


def _measured(row: TestedPool, done: Trial, run: Run) -> TestedPool:
    arrived = float(run.arrived.sum())
    return row.model_copy(
        update={
            "replicas_simulated": done.replicas,
            "requests": int(run.ttft.sum()),
            "ttft": done.ttft,
            "tpot": done.tpot,
            "token_itl": done.token_itl,
            "throughput_rps": done.throughput_rps,
            "kv_mean_frac": float(run.kv_frac.mean()),
            "kv_max_frac": float(run.kv_frac_max.max()),
            "preempted_frac": float(run.preempted.sum()) / arrived,
            "refused_frac": float(run.refused.sum()) / arrived,
        }
    )


def _notes(plan: Plan) -> list[str]:
    found = [
        "Each load is held at its block's peak rate without end; in fact a peak lasts minutes.",
        "Replicas take their steps as the performance model says: simulation tries the queueing, "
        "not the step times.",
    ]
    measured = {row.id for row in plan.candidates if row.rate_stated}
    for name in sorted({pool.candidate for pool in plan.pools} & measured):
        found.append(f"Not simulated, its rate is a measurement: {name}.")
    if plan.apis:
        found.append("Traffic sent to APIs is not simulated: its latency is the provider's.")
    return found
