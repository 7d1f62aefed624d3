"""A plan in, verdicts out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from planner.candidates.subject import Subject
from planner.files.catalog import load_catalog
from planner.progress import Count, Counting, Stage, Tell, unheard
from planner.result import Incident, Plan, TestedPool, Verification
from planner.result.verification import HANDED_ON, Verdict
from planner.schema.catalog import Catalog
from planner.simulate.pool import Run
from planner.verification.ahead import rented_ahead, words
from planner.verification.hours import Case
from planner.verification.hours import simulated as bad_hour
from planner.verification.incidents import cases
from planner.verification.loads import OUT, Load, hardest, middle, simulated
from planner.verification.replays import Ask, replayed
from planner.verification.shared import utilization
from planner.verification.subjects import grounds, unserved
from planner.verification.trials import WORKERS, Trial, trial

REQUESTS_LARGE = 2_000_000
"""In an hour with failures, from which it is simulated by itself."""


def verify(
    plan: Plan,
    *,
    catalog: Catalog | None = None,
    seed: int = 0,
    taken_per_node_day: float = 0.0,
    replay: Sequence[Ask] = (),
    progress: Tell | None = None,
) -> Verification:
    """Simulate every load of a plan, or name the harder one that was simulated.

    Parameters
    ----------
    catalog : rows the plan was made with; the packaged ones if not given.
    seed : of all random numbers.
    taken_per_node_day : how often a node is taken away at random, as spot machines are; 0 is
        never.
    replay : traces to be tried beside the planned traffic.
    progress : told of every trial and hour that is through.

    Raises
    ------
    ScenarioError : the catalog gives other rates than the plan holds; a trace cannot be replayed.
    """
    started, tell = time.perf_counter(), progress or unheard
    tell(Stage("read the plan"))
    on = grounds(plan, catalog or load_catalog())
    traces = [row for ask in replay for row in replayed(ask, on, seed=seed, tell=tell)]
    trials = tried(_asked(on.able), on.known, seed=seed, tell=tell)
    bad = cases(on, taken_per_node_day=taken_per_node_day, seed=seed)
    incidents = _simulated(bad, on.known, seed=seed, tell=tell)
    earlier = rented_ahead(plan, on.block_of_hour, incidents)
    found = _verdicts(on.loads, trials, on.known)
    short = unserved(plan)
    verdicts = {row.verdict for row in found} | {row.verdict for row in traces}
    return Verification(
        scenario=on.scenario.name,
        scenario_sha256=plan.scenario_sha256,
        seed=seed,
        kept=not (short or {"broken", "unverified"} & verdicts),
        pools=found,
        unserved=short,
        incidents=incidents,
        rented_ahead=earlier,
        traces=traces,
        seconds=time.perf_counter() - started,
        requests=sum(row.requests for row in found),
        notes=[*_notes(plan), *words(incidents, earlier, plan)],
    )


def _asked(every: Sequence[Load]) -> list[Load]:
    """Loads with a trial of their own: all but those of lost pools that others stand in for."""
    stood_in = set(_stand_ins(every))
    return [load for load in every if not (load.down and _key(load, load.pool) in stood_in)]


def _key(load: Load, pool: str) -> tuple[str, ...]:
    """A pool with nodes out, at a time."""
    return pool, load.demand_class, load.period, load.block, load.condition


def _stand_ins(every: Sequence[Load]) -> dict[tuple[str, ...], list[Load]]:
    """By pool lost whole: what others carry in its place."""
    found: dict[tuple[str, ...], list[Load]] = {}
    for load in every:
        if load.taken_from:
            found.setdefault(_key(load, load.taken_from), []).append(load)
    return found


def tried(
    every: Sequence[Load],
    subjects: Mapping[str, Subject],
    *,
    seed: int,
    tell: Tell = unheard,
) -> list[Trial]:
    """Trials that decide every load: the hardest first, then halves of what is undecided."""
    done, left = list[Trial](), list(every)
    while left:
        tell(Stage("verify", Count(len(every) - len(left), len(every), "loads")))
        # Those with nodes out come last: what is kept with all replicas up decides many of them.
        first = min((load.condition for load in left), key=list(OUT).index)
        load = _next([load for load in left if load.condition == first], done)
        done.append(trial(subjects[load.candidate], load, seed=seed, others=subjects))
        left = [other for other in left if not _decides(done[-1], other)]
    return done


def _next(left: Sequence[Load], done: Sequence[Trial]) -> Load:
    """The hardest; of a candidate that broke already, the middle one of what is undecided."""
    top = hardest(left)
    if any(other.reason and other.load.candidate == top.candidate for other in done):
        return middle([load for load in left if load.candidate == top.candidate])
    return top


def _simulated(
    bad: Sequence[Case], known: Mapping[str, Subject], *, seed: int, tell: Tell
) -> list[Incident]:
    """Bad hours side by side, in the order asked."""
    through = Counting("verify", len(bad), "hours with failures", tell)

    def one(case: Case) -> Incident:
        found = bad_hour(case, known, seed=seed)
        through()
        return found

    # A large one fills the memory that several small ones share.
    large = {case: one(case) for case in bad if case.requests > REQUESTS_LARGE}
    with ThreadPoolExecutor(max_workers=WORKERS) as threads:
        small = threads.map(one, [case for case in bad if case not in large])
        return [large[case] if case in large else next(small) for case in bad]


def _decides(done: Trial, load: Load) -> bool:
    """A kept load decides those no harder, a broken one those no easier."""
    if done.load == load:
        return True
    return done.load.no_harder_than(load) if done.reason else load.no_harder_than(done.load)


def _verdicts(
    every: Sequence[Load], trials: Sequence[Trial], known: Mapping[str, Subject]
) -> list[TestedPool]:
    """One for each load, in the order asked."""
    stand_ins, rows = _stand_ins(every), dict[Load, TestedPool]()
    # A lost pool's verdict is that of what stands in for it: those come first.
    for load in sorted(every, key=lambda load: load.down):
        others = stand_ins.get(_key(load, load.pool), []) if load.down else []
        if load.candidate not in known:
            rows[load] = _plain(load, "unverified", "static batches are not simulated")
        elif others:
            rows[load] = _stood_in(load, [rows[other] for other in others])
        else:
            rows[load] = _verdict(load, trials, known)
    return [rows[load] for load in every]


def _stood_in(load: Load, others: Sequence[TestedPool]) -> TestedPool:
    """Of a pool lost whole: the worst verdict of those that carry its traffic."""
    worst = next((row for row in others if row.verdict != "kept"), others[0])
    names = " and ".join(f"{row.candidate} at {row.site}" for row in others)
    return _plain(load, worst.verdict, worst.reason).model_copy(
        update={"decided_by": f"{HANDED_ON}{names}"}
    )


def _verdict(load: Load, trials: Sequence[Trial], known: Mapping[str, Subject]) -> TestedPool:
    """By the load's own trial, or another that decides it."""
    own = [done for done in trials if done.load == load]
    done = own[0] if own else next(done for done in trials if _decides(done, load))
    broken: Verdict = "exposed" if load.condition == "one_more_out" else "broken"
    row = _plain(load, broken if done.reason else "kept", done.reason).model_copy(
        update={
            "decided_by": "" if own else done.load.name,
            "utilization": utilization(load, known),
        }
    )
    return row if done.run is None or not own else _measured(row, done, done.run)


def _plain(load: Load, verdict: Verdict, reason: str) -> TestedPool:
    return TestedPool(
        candidate=load.candidate,
        demand_class=load.demand_class,
        site=load.site,
        period=load.period,
        block=load.block,
        condition=load.condition,
        nodes_out=load.nodes_out,
        takes_over=load.taken_from,
        replicas=load.replicas,
        rps_per_replica=load.rps_each,
        rps_beside={other.candidate: other.rps_each for other in load.beside},
        verdict=verdict,
        reason=reason,
    )


def _measured(row: TestedPool, done: Trial, run: Run) -> TestedPool:
    arrived = float(run.arrived.sum())
    return row.model_copy(
        update={
            "replicas_simulated": done.replicas,
            "requests": int(run.ttft.sum()),
            **done.attained,
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
    used = {pool.candidate for pool in plan.pools}
    for row in sorted((row for row in plan.candidates if row.id in used), key=lambda row: row.id):
        if row.rate_stated:
            found.append(f"Not simulated, its rate is a measurement: {row.id}.")
        elif not simulated(row):
            found.append(f"Not verified, static batches are not simulated: {row.id}.")
    if plan.apis:
        found.append("Traffic sent to APIs is not simulated: its latency is the provider's.")
    return found
