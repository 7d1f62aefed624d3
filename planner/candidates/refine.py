"""Simulated rates in place of the formulas', for the candidates that a plan leans on.

Until a candidate is simulated, the search sees it with an optimistic rate, the formulas' plus
their error margin: what is then found among simulated candidates alone beats all the others too,
and the search's bound holds for the rates that simulation would give them.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from planner.candidates.case import Case
from planner.candidates.prune import pruned
from planner.candidates.subject import Subject, pool_of, promise_of, subject_of
from planner.candidates.table import Table
from planner.files.cache import key_of, remembered
from planner.perf.pooling import capacity_line
from planner.perf.pressure import kv_wait_frac
from planner.perf.steps import take
from planner.schema.demand import Online
from planner.simulate.pool import simulate
from planner.simulate.rates import counted_requests, refined_rate

Array = NDArray[np.float64]

SIZES = (1, 2, 4, 8, 32)
"""Pools that are simulated; one between two of them is taken to carry, each, what the smaller
one does."""
PRESSED_SIZE = 8
"""Replicas of the pool whose pre-emptions are counted."""
BATCHES, SEED = 4, 1
MARGINS = 0.02, 0.04
"""The plan takes the lower end of the confidence interval, but at least the first and at most the
second share below the value: other requests must keep the promise too."""
NOISE_FRAC = 1e-9
ERROR_MARGIN = 0.12
"""Share by which simulation may exceed the formulas' rate of a pool: in pools of 32 of
enterprise_405b it exceeds it by 6 to 10 %, on the four accelerators tried."""
SPREAD_MARGIN = 0.01
"""Share by which that excess may differ within a class and accelerator: of 34 candidates of
enterprise_405b none had a ratio of simulation to formula above its group's first by 0.3 %."""
CHALLENGERS = 2
"""Candidates beside those used that are simulated in one round, a class and accelerator."""


def optimistic(case: Case) -> Case:
    """The case with every rate not simulated raised to the most that simulation may give it.

    At most the share of the stability limit that is planned at all. What pools of all sizes
    carry, and the line below it, move together; pruning follows them.
    """
    most = case.scenario.planning.utilization_max * case.table.stability_rps
    return _at_rates(
        case, np.minimum(case.table.rate_rps * _most_ratio(case.table, case.table), most)
    )


def settled(case: Case, *, learned: Table | None = None) -> Case:
    """The case with rates not simulated as simulation has proven the formulas so far.

    They take the highest ratio of simulation to formula seen for the class and accelerator, never
    more than 1: for comparisons that need no proof.

    Parameters
    ----------
    learned : table whose simulated rates teach; the case's own if not given.
    """
    ratio = np.minimum(_most_ratio(case.table, learned or case.table) / (1 + SPREAD_MARGIN), 1.0)
    return _at_rates(case, case.table.rate_rps * ratio)


def _at_rates(case: Case, rate_rps: Array) -> Case:
    """Lines of the capacity of positions not simulated, scaled to other slopes."""
    table, open_ = case.table, np.array(_open(case), np.intp)
    slope, offset, pools = table.rate_rps.copy(), table.offset_rps.copy(), table.pool_rps.copy()
    ratio = rate_rps[open_] / slope[open_]
    offset[open_] *= ratio
    pools[open_] *= ratio[:, None]
    slope[open_] = rate_rps[open_]
    found = replace(table, rate_rps=slope, offset_rps=offset, pool_rps=pools)
    return replace(case, table=replace(found, pruned_by=pruned(found)))


def _most_ratio(table: Table, learned: Table) -> Array:
    """Most that simulation may give over the formulas' rate, (configurations,)."""
    seen: dict[tuple[int, str], float] = {}
    for i in np.flatnonzero(learned.simulated).tolist():
        key = _kind(learned, i)
        seen[key] = max(seen.get(key, 0.0), float(learned.simulated_ratio[i]))

    def most(i: int) -> float:
        ratio = seen.get(_kind(table, i))
        return 1 + ERROR_MARGIN if ratio is None else ratio * (1 + SPREAD_MARGIN)

    return np.array([most(i) for i in range(len(table.names))])


def _open(case: Case) -> list[int]:
    """Positions that can serve on rates of the formulas."""
    online = [isinstance(demand, Online) for demand in case.scenario.demand]
    return case.table.formulaic(np.flatnonzero(case.table.feasible).tolist(), online)


def _kind(table: Table, i: int) -> tuple[int, str]:
    """Class and accelerators: within these, simulation differs from the formulas by one ratio."""
    return table.configurations[i].demand_class, table.configurations[i].hardware


def challengers(case: Case, used: Sequence[int]) -> list[int]:
    """The used positions, and those that may beat them on the same accelerator.

    At most `CHALLENGERS` for each class and accelerator, by the rate that an accelerator may
    carry; rates not simulated count as `settled` where they must be beaten.
    """
    table = case.table
    gpus = np.array([c.gpus for c in table.configurations], float)
    hopeful, likely = optimistic(case).table.rate_rps / gpus, settled(case).table.rate_rps / gpus
    known = {*used, *np.flatnonzero(table.simulated & table.feasible).tolist()}
    found = list(used)
    for kind in sorted({_kind(table, i) for i in used}):
        best = max(likely[i] for i in known if _kind(table, i) == kind)
        others = [
            i for i in _open(case)
            if i not in known and _kind(table, i) == kind and hopeful[i] > best
        ]  # fmt: skip
        found += sorted(others, key=lambda i: (-hopeful[i], i))[:CHALLENGERS]
    return found


def question_key(case: Case) -> str:
    """Digest of what decides which candidates a plan leans on."""
    table = case.table
    return key_of(
        "leaned on", case.scenario.model_dump_json(), table.names, table.rate_rps.tobytes().hex()
    )


def refined(case: Case, places: Sequence[int], tell: Callable[[str], None]) -> Case:
    """The case with simulated rates at the given positions of its table."""
    if not places:
        return case
    table = case.table
    rates, slope, offset = table.pool_rps.copy(), table.rate_rps.copy(), table.offset_rps.copy()
    alone, ratio = table.lambda_star_rps.copy(), table.simulated_ratio.copy()
    waiting, preempted = table.kv_wait_frac.copy(), table.preempted_frac.copy()
    reasons = list(table.reasons)
    sizes = np.array(table.pool_sizes, float)
    for i, found in zip(places, _simulated(case, places, tell), strict=True):
        d = table.configurations[i].demand_class
        most = case.scenario.planning.utilization_max * table.stability_rps[i]
        before, rates[i] = table.pool_rps[i, -1], np.minimum(found, most)
        rates[i] *= case.lowered.get(table.names[i], 1.0)
        alone[i] = rates[i, 0]
        ratio[i] = rates[i, -1] / before if before > 0 else 1.0
        if rates[i, -1] <= 0:
            reasons[i] = "keeps its promise at no rate in simulation"
            continue
        expected = max(float(case.traffic.load.peak_rps[d].max()) / rates[i, -1], 1.0)
        a, delta = capacity_line(sizes, rates[i] * sizes, expected)
        slope[i], offset[i] = float(a), float(delta) if delta > NOISE_FRAC * a else 0.0
        waiting[i], preempted[i] = _pressure(case, i, rates[i])
    after = replace(
        table, pool_rps=rates, rate_rps=slope, offset_rps=offset, lambda_star_rps=alone,
        simulated_ratio=ratio, reasons=tuple(reasons), kv_wait_frac=waiting,
        preempted_frac=preempted,
    )  # fmt: skip
    return replace(case, table=replace(after, pruned_by=pruned(after)))


def _pressure(case: Case, i: int, rates_rps: Array) -> tuple[float, float]:
    """Shares of requests that wait for cache (formula) and that lose it (simulated).

    Parameters
    ----------
    rates_rps : planned rate of one replica in pools of the table's sizes.
    """
    table, subject = case.table, subject_of(case.scenario, case.catalog, case.table, i)
    demand = subject.demand
    assert isinstance(demand, Online)
    waiting = np.full(1, np.nan)
    if subject.one.decode is None:
        waiting = kv_wait_frac(
            take(table.replica, np.array([i])), table.in_steps(i), rates_rps[-1:],
            arrival_cv=demand.arrival_cv, replicas=table.pool_sizes[-1],
            stability_rps=table.stability_rps[i : i + 1],
        )  # fmt: skip
    rate = float(rates_rps[table.pool_sizes.index(PRESSED_SIZE)])
    return float(waiting[0]), _preempted_frac(subject, demand.arrival_cv, rate)


def _preempted_frac(subject: Subject, arrival_cv: float, rate_rps: float) -> float:
    """Share of the requests of one batch whose cache is taken back at a rate of each replica."""
    pool, asked = pool_of(subject, PRESSED_SIZE), subject.requests

    def compute() -> tuple[float]:
        run = simulate(
            pool, asked, rate_rps=rate_rps * PRESSED_SIZE, arrival_cv=arrival_cv,
            count=counted_requests(pool), batches=1, seed=SEED,
        )  # fmt: skip
        return (float(run.preempted.sum() / run.arrived.sum()),)

    lengths = [x.tobytes().hex() for x in (asked.prompts, asked.answers, asked.hits)]
    key = key_of("preempted", pool, lengths, rate_rps, arrival_cv, SEED)
    return remembered(key, compute)[0]


def _simulated(case: Case, places: Sequence[int], tell: Callable[[str], None]) -> list[Array]:
    """Rate of one replica in pools of the table's sizes [1/s], an array for each position."""
    table, lock = case.table, Lock()
    subjects = [subject_of(case.scenario, case.catalog, table, i) for i in places]
    guesses = [np.interp(SIZES, table.pool_sizes, table.pool_rps[i]) for i in places]
    done = itertools.count(1)

    def at(job: tuple[int, int]) -> float:
        place, size = job
        found = _planned(subjects[place], SIZES[size], float(guesses[place][size]))
        with lock:
            tell(f"simulate {len(places)} candidates, {next(done)} of {len(jobs)} pools")
        return found

    # The largest pools first: they take longest.
    jobs = [(place, size) for size in range(len(SIZES) - 1, -1, -1) for place in range(len(places))]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as threads:
        found = dict(zip(jobs, threads.map(at, jobs), strict=True))
    return [
        _at_table_sizes(np.array([found[place, size] for size in range(len(SIZES))]), table)
        for place in range(len(places))
    ]


def _at_table_sizes(found: Array, table: Table) -> Array:
    """Between and beyond the sizes simulated, the rate of the smaller one."""
    below = np.searchsorted(SIZES, table.pool_sizes, side="right") - 1
    return np.asarray(np.maximum.accumulate(found)[below], float)


def _planned(subject: Subject, replicas: int, guess_rps: float) -> float:
    """Rate that a plan takes for one replica of a pool [1/s]."""
    demand = subject.demand
    assert isinstance(demand, Online)
    promise = promise_of(subject)
    asked = subject.requests
    guess = guess_rps if guess_rps > 0 else 0.1 * subject.stability_rps

    def compute() -> tuple[float, float]:
        found = refined_rate(
            pool_of(subject, replicas), asked, promise, guess_rps=guess,
            limit_rps=subject.stability_rps, arrival_cv=demand.arrival_cv, batches=BATCHES,
            seed=SEED,
        )  # fmt: skip
        return found.value, found.low

    lengths = [x.tobytes().hex() for x in (asked.prompts, asked.answers, asked.hits)]
    key = key_of(subject.one, lengths, promise, guess, subject.stability_rps, demand.arrival_cv,
                 replicas, BATCHES, SEED)  # fmt: skip
    value, low = remembered(key, compute)
    return float(np.clip(low, (1 - MARGINS[1]) * value, (1 - MARGINS[0]) * value))
