"""A plan in, verdicts out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from planner.candidates.evaluate import evaluate
from planner.candidates.subject import Subject, subject_of
from planner.candidates.table import Table
from planner.candidates.traffic import traffic
from planner.errors import ScenarioError
from planner.files.catalog import load_catalog
from planner.result import Plan, TestedPool, Verification
from planner.schema.catalog import Catalog
from planner.schema.scenario import Scenario
from planner.simulate.pool import Run
from planner.verification.loads import Load, hardest, loads
from planner.verification.trials import Trial, trial

Progress = Callable[[str, float, "float | None"], None]
"""what is simulated, seconds since the start, no gap"""
Verdict = Literal["kept", "broken", "exposed"]
SAME_REL = 1e-6
"""A rate that differs by more was computed from other figures."""


def verify(
    plan: Plan,
    *,
    catalog: Catalog | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Verification:
    """Simulate every load of a plan, or name the harder one that was simulated.

    Parameters
    ----------
    catalog : rows the plan was made with; the packaged ones if not given.
    seed : of all random numbers.
    progress : told before every trial.

    Raises
    ------
    ScenarioError : the catalog gives other rates than the plan holds.
    """
    started = time.perf_counter()
    rows = catalog or load_catalog()
    subjects = _subjects(plan, rows)
    every = loads(plan, rows)
    trials = tried(every, subjects, seed=seed, progress=progress)
    found = [_verdict(load, trials, subjects[load.candidate]) for load in every]
    return Verification(
        scenario=str(plan.scenario["name"]),
        scenario_sha256=plan.scenario_sha256,
        seed=seed,
        kept=all(row.verdict != "broken" for row in found),
        pools=found,
        seconds=time.perf_counter() - started,
        requests=sum(row.requests for row in found),
        notes=_notes(plan),
    )


def _subjects(plan: Plan, catalog: Catalog) -> dict[str, Subject]:
    """Used candidates with the numbers that the plan was made from."""
    scenario = Scenario.model_validate_json(json.dumps(plan.scenario), strict=True)
    load = traffic(scenario, catalog)
    table = evaluate(scenario, catalog, load)
    place = {name: i for i, name in enumerate(table.names)}
    measured = {row.id for row in plan.candidates if row.rate_stated}
    used = {pool.candidate for pool in plan.pools} - measured
    _same_figures(plan, table, place, used)
    return {name: subject_of(scenario, catalog, table, place[name]) for name in sorted(used)}


def _same_figures(plan: Plan, table: Table, place: dict[str, int], used: set[str]) -> None:
    """Refuse other figures: the stability limit follows from all of a replica's numbers."""
    planned = {row.id: row.stability_rps for row in plan.candidates if row.id in used}
    problems = []
    for name in sorted(used):
        now = float(table.stability_rps[place[name]]) if name in place else np.nan
        then = planned.get(name)
        if then is None or not np.isclose(now, then, rtol=SAME_REL, atol=0.0):
            problems.append(f"{name}: planned with a limit of {then} requests/s, now {now:.6g}")
    if problems:
        where = str(plan.scenario["name"])
        raise ScenarioError(where, [*problems, "solve it again, or give its --catalog"])


def tried(
    every: Sequence[Load],
    subjects: dict[str, Subject],
    *,
    seed: int,
    progress: Progress | None = None,
) -> list[Trial]:
    """Trials that decide every load: the hardest first, then what those do not decide."""
    started = time.perf_counter()
    done: list[Trial] = []

    def undecided(some: Sequence[Load]) -> list[Load]:
        return [load for load in some if not any(_decides(other, load) for other in done)]

    # Those with a node out come last: what is kept with all replicas up decides many of them.
    for condition in ("normal", "node_out"):
        while left := undecided([load for load in every if load.condition == condition]):
            load = hardest(left)
            if progress is not None:
                now = f"simulate {load.demand_class}, {load.name}"
                progress(now, time.perf_counter() - started, None)
            done.append(trial(subjects[load.candidate], load, seed=seed))
    return done


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
    broken: Verdict = "broken" if load.condition == "normal" else "exposed"
    row = TestedPool(
        candidate=load.candidate,
        demand_class=load.demand_class,
        site=load.site,
        period=load.period,
        block=load.block,
        condition=load.condition,
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
