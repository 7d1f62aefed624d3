"""Simulated rates in place of the formulas', for chosen candidates; several side by side.

What simulation says is remembered by a digest of all that it follows from.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from planner.candidates.case import Case
from planner.candidates.enumerate import Configuration
from planner.candidates.mix_rates import kept
from planner.candidates.prune import pruned
from planner.candidates.subject import Subject, pool_of, promise_of, subject_of
from planner.candidates.table import TOO_FEW, Table
from planner.files.cache import key_of, remembered
from planner.perf.pooling import capacity_line
from planner.perf.pressure import kv_wait_frac
from planner.perf.steps import take
from planner.progress import Counting, Tell
from planner.schema.demand import Online
from planner.simulate.pool import simulate
from planner.simulate.rates import counted_requests, refined_rate

Array = NDArray[np.float64]
T = TypeVar("T")

SIZES = (1, 2, 4, 8, 32)
"""Pools that are simulated; one between two of them is taken to carry, each, what the smaller
one does."""
PRESSED_SIZE = 8
"""Replicas of the pool whose pre-emptions are counted."""
BATCHES, SEED = 4, 1
LEAST_GUESS = 0.1
"""Of the stability limit, where the search begins if the formulas give no rate."""
MARGINS = 0.025, 0.04
"""The plan takes the lower end of the confidence interval, but at least the first and at most the
second share below the value: other requests must keep the promise too."""
NOISE_FRAC = 1e-9
LARGE_REPLICAS = 32
"""Pools expected to be larger than this shrink, off their peak, to fractions of a few replicas: one
of 1,770 replicas was left with 1.98 there, and one alone broke its promise at their rate."""
SPREAD_MARGIN = 0.01
"""Share by which simulation over formulas may differ between engines that run the same model in one
layout and format: among 89 candidates of chat_8b it did by up to 0.9 %."""


def refined(case: Case, places: Sequence[int], tell: Tell, deadline: float = math.inf) -> Case:
    """The case with simulated rates at the given positions of its table.

    Parameters
    ----------
    deadline : on the clock of `time.monotonic`; what is not begun by then stays as it is.
    """
    once = dict.fromkeys(case.table.pool(i)[0] for i in places)
    found = side_by_side(lambda i: _of_pool(case, i), [*once], "candidates", tell, deadline)
    known = {i: one for pool in found if pool is not None for i, one in pool.items()}
    if not known:
        return case
    table = case.table
    rates, slope, offset = table.pool_rps.copy(), table.rate_rps.copy(), table.offset_rps.copy()
    alone, ratio = table.lambda_star_rps.copy(), table.simulated_ratio.copy()
    waiting, preempted = table.kv_wait_frac.copy(), table.preempted_frac.copy()
    reasons, most = list(table.reasons), table.most_ratio.copy()
    for i, one in known.items():
        before, rates[i] = table.pool_rps[i], one.pool_rps
        rates[i] *= case.lowered.get(table.names[i], 1.0)
        alone[i] = rates[i, 0]
        over = np.divide(rates[i], before, out=np.ones(len(before)), where=before > 0)
        ratio[i] = over[-1]
        for j in mates(table, i):
            most[j] = np.minimum(most[j], over * (1 + SPREAD_MARGIN))
        if rates[i, -1] <= 0:
            reasons[i] = "keeps its promise at no rate in simulation"
            continue
        if table.configurations[i].shared_by:  # fitted once for all of its classes
            slope[i], offset[i] = ratio[i] * slope[i], ratio[i] * offset[i]
        else:
            (slope[i],), (offset[i],) = lines(case, np.array([i]), rates[i : i + 1])
        reasons[i] = "" if slope[i] > 0 else TOO_FEW
        waiting[i], preempted[i] = one.kv_wait_frac, one.preempted_frac
    after = replace(
        table, pool_rps=rates, rate_rps=slope, offset_rps=offset, lambda_star_rps=alone,
        simulated_ratio=ratio, most_ratio=most, reasons=tuple(reasons), kv_wait_frac=waiting,
        preempted_frac=preempted,
    )  # fmt: skip
    return replace(case, table=replace(after, pruned_by=pruned(after)))


def mates(table: Table, i: int) -> list[int]:
    """Positions that differ from one in the engine alone, itself among them; of a mix its own."""
    if table.configurations[i].shared_by:
        return table.pool(i)

    def make(one: Configuration) -> tuple[object, ...]:
        own = (one.demand_class, one.model, one.accelerator, one.quantization, one.kv_dtype,
               one.tp, one.pp, one.ep, one.dp, one.mode, one.draft)  # fmt: skip
        if one.decode is None:
            return own
        return (*own, one.prefill_replicas, one.decode_replicas, make(one.decode))

    own = make(table.configurations[i])
    return [j for j, other in enumerate(table.configurations) if make(other) == own]


def whole_rates(sizes: Array, rates_rps: Array) -> Array:
    """Rates of one replica where just fewer than so many replicas stand, (..., sizes).

    Examples
    --------
    Just fewer than two are one for a part of the time, which carries what one carries.

    >>> whole_rates(np.array([1.0, 2.0, 4.0]), np.array([3.0, 4.0, 5.0])).tolist()
    [3.0, 3.0, 5.0]
    """
    before = np.concatenate([rates_rps[..., :1], rates_rps[..., :-1]], axis=-1)
    return np.where(np.diff(sizes, prepend=0.0) == 1, before, rates_rps)


def lines(case: Case, places: NDArray[np.intp], rates_rps: Array) -> tuple[Array, Array]:
    """Slopes and offsets of pools that carry these rates a replica, (places, pool sizes).

    Pools of fewer replicas than a pool may have carry nothing.
    """
    sizes = np.array(case.table.pool_sizes, float)
    fewest = case.table.least[places]
    rates_rps = np.where(sizes < fewest[:, None], 0.0, rates_rps)
    peaks = case.traffic.load.peak_rps.max(axis=(1, 2))
    peak = peaks[[case.table.configurations[i].demand_class for i in places.tolist()]]
    expected = np.maximum(peak / rates_rps[:, -1], fewest)
    held = np.where((expected > LARGE_REPLICAS)[:, None], whole_rates(sizes, rates_rps), rates_rps)
    a, delta = capacity_line(sizes, held * sizes, expected)
    return a, np.where(delta > NOISE_FRAC * a, delta, 0.0)


def side_by_side(
    one: Callable[[int], T], places: Sequence[int], of: str, tell: Tell, deadline: float
) -> list[T | None]:
    """One answer for each position, in order; None for those not begun by the deadline.

    Threads suffice: the simulator runs beside other threads. Ctrl-C ends what is under way.
    """
    through = Counting("simulate", len(places), of, tell)

    def timed(i: int) -> T | None:
        if time.monotonic() >= deadline:
            return None
        found = one(i)
        through()
        return found

    threads = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)
    try:
        return list(threads.map(timed, places))
    finally:
        threads.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Found:
    """What simulation says of one candidate."""

    pool_rps: Array
    """Planned rate of one replica in pools of the table's sizes [1/s]."""
    kv_wait_frac: float
    preempted_frac: float


def _of_pool(case: Case, i: int) -> dict[int, _Found]:
    """What simulation says of all candidates of a pool."""
    return _mix(case, i) if case.table.configurations[i].shared_by else {i: _one(case, i)}


def _mix(case: Case, i: int) -> dict[int, _Found]:
    """All candidates of a mix keep the same share of their rates."""
    table, full = case.table, case.lowered.get(case.table.names[i], 1.0)
    seen = kept(case, i, sizes=SIZES, pressed_size=PRESSED_SIZE, margin=MARGINS[0], seed=SEED)
    return {
        j: _Found(
            seen.share * table.pool_rps[j] / full, float(table.kv_wait_frac[j]), seen.preempted_frac
        )
        for j in table.pool(i)
    }


def _one(case: Case, i: int) -> _Found:
    table, subject = case.table, subject_of(case.scenario, case.catalog, case.table, i)
    most_rps = case.scenario.planning.utilization_max * subject.stability_rps
    found = _planned(subject, np.interp(SIZES, table.pool_sizes, table.pool_rps[i]), most_rps)
    rates = _at_table_sizes(found, table)
    if rates[-1] <= 0:
        return _Found(rates, math.nan, math.nan)
    demand = subject.demand
    assert isinstance(demand, Online)
    waiting = np.full(1, np.nan)
    if subject.one.decode is None:
        waiting = kv_wait_frac(
            take(table.replica, np.array([i])), table.in_steps(i), rates[-1:],
            arrival_cv=demand.arrival_cv, replicas=table.pool_sizes[-1],
            stability_rps=table.stability_rps[i : i + 1],
        )  # fmt: skip
    pressed = float(rates[table.pool_sizes.index(PRESSED_SIZE)])
    return _Found(rates, float(waiting[0]), _preempted_frac(subject, demand.arrival_cv, pressed))


def _preempted_frac(subject: Subject, arrival_cv: float, rate_rps: float) -> float:
    """Share of the requests of one batch whose cache is taken back at a rate of each replica."""
    pool, asked = pool_of(subject, PRESSED_SIZE), subject.requests

    def compute() -> tuple[float]:
        run = simulate(
            pool, asked, rate_rps=rate_rps * PRESSED_SIZE, arrival_cv=arrival_cv,
            count=counted_requests(pool), batches=1, seed=SEED,
        )  # fmt: skip
        return (float(run.preempted.sum() / run.arrived.sum()),)

    return remembered(key_for("preempted", subject, PRESSED_SIZE, rate_rps), compute)[0]


def _at_table_sizes(found: Array, table: Table) -> Array:
    """Between and beyond the sizes simulated, the rate of the smaller one."""
    below = np.searchsorted(SIZES, table.pool_sizes, side="right") - 1
    return np.asarray(np.maximum.accumulate(found)[below], float)


def _planned(subject: Subject, guesses_rps: Array, most_rps: float) -> Array:
    """Rates that a plan takes for one replica of pools of `SIZES` [1/s].

    Parameters
    ----------
    guesses_rps : of one replica, by size: the formulas'.
    most_rps : no plan uses more.
    """
    guesses = np.where(guesses_rps > 0, guesses_rps, LEAST_GUESS * subject.stability_rps)
    limit_rps = min(most_rps / (1 - MARGINS[0]), subject.stability_rps)
    key = key_for("rates", subject, SIZES, guesses.tolist(), limit_rps, BATCHES)
    kept = remembered(key, lambda: _simulated_rates(subject, guesses, limit_rps))
    value, low = np.array(kept).reshape(len(SIZES), 2).T
    planned = np.clip(low, (1 - MARGINS[1]) * value, (1 - MARGINS[0]) * value)
    return np.asarray(planned.clip(max=most_rps))


def _simulated_rates(subject: Subject, guesses_rps: Array, limit_rps: float) -> list[float]:
    """Largest rate of one replica and the lower end of its interval, size after size [1/s].

    What a pool carries over its guess is the next larger one's guess; beyond the limit, which no
    larger pool falls below, nothing is simulated.
    """
    promise, demand = promise_of(subject), subject.demand
    assert isinstance(demand, Online)
    found: list[float] = []
    value, low, ratio = 0.0, 0.0, 1.0
    for size, guess in zip(SIZES, guesses_rps.tolist(), strict=True):
        if value < limit_rps:
            rate = refined_rate(
                pool_of(subject, size), subject.requests, promise,
                guess_rps=max(ratio * guess, value), limit_rps=limit_rps,
                arrival_cv=demand.arrival_cv, batches=BATCHES, seed=SEED,
            )  # fmt: skip
            value, low = rate.value, rate.low
            ratio = value / guess if value > 0 else ratio
        found += value, low
    return found


def key_for(what: str, subject: Subject, *parts: object) -> str:
    """Digest of a candidate, its requests and its promise, and of what is asked of them."""
    asked, demand = subject.requests, subject.demand
    assert isinstance(demand, Online)
    lengths = [x.tobytes().hex() for x in (asked.prompts, asked.answers, asked.hits)]
    return key_of(what, subject.one, lengths, promise_of(subject), demand.arrival_cv, SEED, *parts)
