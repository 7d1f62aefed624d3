"""Simulated rates in place of the formulas', for the candidates that a plan leans on."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.candidates.case import Case
from planner.candidates.prune import pruned
from planner.candidates.subject import Subject, promise_of, subject_of
from planner.candidates.table import Table
from planner.files.cache import key_of, remembered
from planner.perf.pooling import capacity_line
from planner.schema.demand import Online
from planner.simulate.pool import Pool
from planner.simulate.rates import refined_rate

Array = NDArray[np.float64]

SIZES = (1, 2, 4, 8, 32)
"""Pools that are simulated; one between two of them is taken to carry, each, what the smaller
one does."""
BATCHES, SEED = 4, 1
MARGINS = 0.02, 0.04
"""The plan takes the lower end of the confidence interval, but at least the first and at most the
second share below the value: other requests must keep the promise too."""
NOISE_FRAC = 1e-9


def refined(case: Case, places: Sequence[int], tell: Callable[[str], None]) -> Case:
    """The case with simulated rates at the given positions of its table."""
    table = case.table
    rates, slope, offset = table.pool_rps.copy(), table.rate_rps.copy(), table.offset_rps.copy()
    alone, simulated = table.lambda_star_rps.copy(), table.simulated.copy()
    reasons = list(table.reasons)
    sizes = np.array(table.pool_sizes, float)
    for i in places:
        tell(f"simulate {table.names[i]}")
        d = table.configurations[i].demand_class
        rates[i] = _pool_rates(subject_of(case.scenario, case.catalog, table, i), table, i)
        rates[i] = np.minimum(rates[i], case.scenario.planning.utilization_max
                              * table.stability_rps[i])  # fmt: skip
        rates[i] *= case.lowered.get(table.names[i], 1.0)
        alone[i], simulated[i] = rates[i, 0], True
        if rates[i, -1] <= 0:
            reasons[i] = "keeps its promise at no rate in simulation"
            continue
        expected = max(float(case.traffic.load.peak_rps[d].max()) / rates[i, -1], 1.0)
        a, delta = capacity_line(sizes, rates[i] * sizes, expected)
        slope[i], offset[i] = float(a), float(delta) if delta > NOISE_FRAC * a else 0.0
    found = replace(
        table, pool_rps=rates, rate_rps=slope, offset_rps=offset, lambda_star_rps=alone,
        simulated=simulated, reasons=tuple(reasons),
    )  # fmt: skip
    return replace(case, table=replace(found, pruned_by=pruned(found)))


def _pool_rates(subject: Subject, table: Table, i: int) -> Array:
    """Rate of one replica in pools of the table's sizes [1/s]."""
    guesses = np.interp(SIZES, table.pool_sizes, table.pool_rps[i])

    def at(place: int) -> float:
        return _planned(subject, SIZES[place], float(guesses[place]))

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as threads:
        # The largest first: it takes longest.
        order = range(len(SIZES) - 1, -1, -1)
        found = np.array(list(threads.map(at, order))[::-1])
    found = np.maximum.accumulate(found)
    below = np.searchsorted(SIZES, table.pool_sizes, side="right") - 1
    return np.asarray(found[below], float)


def _planned(subject: Subject, replicas: int, guess_rps: float) -> float:
    """Rate that a plan takes for one replica of a pool [1/s]."""
    demand = subject.demand
    assert isinstance(demand, Online)
    promise = promise_of(subject)
    numbers, asked = subject.numbers, subject.requests
    guess = guess_rps if guess_rps > 0 else 0.1 * subject.stability_rps

    def compute() -> tuple[float, float]:
        found = refined_rate(
            Pool(numbers, replicas), asked, promise, guess_rps=guess,
            limit_rps=subject.stability_rps, arrival_cv=demand.arrival_cv, batches=BATCHES,
            seed=SEED,
        )  # fmt: skip
        return found.value, found.low

    lengths = [x.tobytes().hex() for x in (asked.prompts, asked.answers, asked.hits)]
    key = key_of(numbers, lengths, promise, guess, subject.stability_rps, demand.arrival_cv,
                 replicas, BATCHES, SEED)  # fmt: skip
    value, low = remembered(key, compute)
    return float(np.clip(low, (1 - MARGINS[1]) * value, (1 - MARGINS[0]) * value))
