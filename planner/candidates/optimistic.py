"""The most that simulation may give: rates of candidates that are not simulated, seen from above.

The search for something cheaper than a plan on simulated rates sees all others with these: where it
finds nothing, none of them matters. A bound is a rate at which a short run breaks the promise, or
follows from an engine that runs the same; else it is what no plan exceeds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.candidates.case import Case
from planner.candidates.prune import pruned
from planner.candidates.refine import (
    MARGINS,
    NOISE_FRAC,
    SEED,
    SPREAD_MARGIN,
    key_for,
    lines,
    mates,
    refined,
    side_by_side,
)
from planner.candidates.subject import Subject, pool_of, promise_of, subject_of
from planner.candidates.table import Table
from planner.files.cache import remembered
from planner.progress import Tell
from planner.schema.demand import Online
from planner.simulate.pool import simulate
from planner.simulate.rates import counted_requests

Array = NDArray[np.float64]
Kind = tuple[tuple[int, ...], str]

ERROR_MARGIN = 0.12
"""Share by which simulation may exceed the formulas' rate of a pool: where a short run at that rate
keeps the promise, this much more is tried, and so on."""
TEST_SIZE, TEST_FRAC = 32, 0.4
"""Pool of a run that only tells whether a promise breaks at a rate, and its share of the requests
of a batch."""
RIVAL_BATCHES = 4
"""Such runs, all of which must break the promise, where a rate is near another's."""


def optimistic(case: Case) -> Case:
    """The case with every rate not simulated raised to the most that simulation may give it.

    At most the share of the stability limit that is planned at all, in pools of every size, and
    more replicas never carry less each. What pools carry and the lines below it move together;
    pruning follows them. Mixes stay as they are: simulation never plans them above their row.
    """
    table = case.table
    own = [i for i in _open(case) if not table.configurations[i].shared_by]
    open_ = np.array(own, np.intp)
    if not open_.size:
        return case
    most = _most_planned(case)[open_, None]
    formulas = table.pool_rps[open_]
    known = np.isfinite(table.most_ratio[open_]) & (formulas > 0)
    ratio = np.where(known, table.most_ratio[open_], 1.0)
    rates = np.where(known, np.minimum(formulas * ratio, most), most)
    rates = np.minimum.accumulate(rates[:, ::-1], axis=1)[:, ::-1]
    slope, offset = table.rate_rps.copy(), table.offset_rps.copy()
    slope[open_], offset[open_] = lines(case, open_, rates)
    pools = table.pool_rps.copy()
    pools[open_] = rates
    return _with_lines(case, slope, offset, pools)


def settled(case: Case, *, learned: Table | None = None) -> Case:
    """The case with rates not simulated as simulation has proven the formulas so far.

    They take the highest ratio of simulation to formula seen for the class and accelerator, never
    more than 1: for comparisons that need no proof.

    Parameters
    ----------
    learned : table whose simulated rates teach; the case's own if not given.
    """
    table, open_ = case.table, _open(case)
    taught, seen = learned or table, dict[Kind, float]()
    for i in np.flatnonzero(taught.simulated).tolist():
        kind = _kind(taught, i)
        seen[kind] = max(seen.get(kind, 0.0), float(taught.simulated_ratio[i]))
    slope, offset, pools = table.rate_rps.copy(), table.offset_rps.copy(), table.pool_rps.copy()
    for i in open_:
        ratio = min(seen.get(_kind(table, i), 1.0), 1.0)
        slope[i], offset[i], pools[i] = ratio * slope[i], ratio * offset[i], ratio * pools[i]
    return _with_lines(case, slope, offset, pools)


def proven(case: Case) -> Case:
    """The case with candidates of which every rate that simulation could give is simulated."""
    table, reasons = case.table, list(case.table.reasons)
    open_ = _open(case)
    for i in open_:
        reasons[i] = "not simulated"
    left = list(pruned(replace(table, reasons=tuple(reasons))))
    for i in open_:
        left[i] = "not simulated"
    return replace(case, table=replace(table, pruned_by=tuple(left)))


def _with_lines(case: Case, slope: Array, offset: Array, pools: Array) -> Case:
    found = replace(case.table, rate_rps=slope, offset_rps=offset, pool_rps=pools)
    return replace(case, table=replace(found, pruned_by=pruned(found)))


def _most_planned(case: Case) -> Array:
    """Rates of one replica that no plan exceeds [1/s], (configurations,)."""
    share = [case.lowered.get(name, 1.0) for name in case.table.names]
    most = case.scenario.planning.utilization_max * case.table.stability_rps
    return np.asarray(most * np.array(share))


def _open(case: Case) -> list[int]:
    """Positions that can serve on rates of the formulas, on accelerators that can be had."""
    online = [isinstance(demand, Online) for demand in case.scenario.demand]
    return case.table.formulaic(np.flatnonzero(case.table.feasible).tolist(), online)


def _gpus(table: Table) -> Array:
    return np.array([c.gpus for c in table.configurations], float)


def _kind(table: Table, i: int) -> Kind:
    """Class, or classes of a mix, and accelerators: those that compete for the same machines."""
    config = table.configurations[i]
    return config.shared_by or (config.demand_class,), config.hardware


def _bounded(case: Case, kinds: Collection[Kind], tell: Tell, deadline: float) -> Case:
    """The case with bounds, from one short run each, for what may matter of some accelerators.

    A rate `ERROR_MARGIN` above the formulas' at which the promise breaks bounds a candidate, and
    those that differ from it in the engine; where it is kept, a higher one is tried. What cannot
    carry more an accelerator than the formulas' best stays as it is.
    """
    gpus = _gpus(case.table)
    likely = case.table.rate_rps / gpus
    able = np.flatnonzero(case.table.feasible).tolist()
    best = {kind: max(likely[i] for i in able if _kind(case.table, i) == kind) for kind in kinds}
    while time.monotonic() < deadline:
        seen = optimistic(case).table
        kept = {*seen.kept.tolist()}.intersection(_open(case))
        first: dict[int, int] = {}
        for i in sorted(kept):
            kind = _kind(seen, i)
            loose = np.isinf(case.table.most_ratio[i, -1])
            if kind in best and loose and seen.rate_rps[i] / gpus[i] > best[kind]:
                first.setdefault(mates(seen, i)[0], i)
        if not first:
            break
        case = _within(case, sorted(first.values()), tell, deadline)
    return case


def _within(case: Case, places: Sequence[int], tell: Tell, deadline: float) -> Case:
    """The case with these bounded, in growing steps of the margin."""
    left, margin, most = list(places), 1 + ERROR_MARGIN, _most_planned(case)
    table = case.table
    while left and time.monotonic() < deadline:
        rates = {i: min(margin * table.pool_rps[i, -1], most[i]) for i in left}
        sure = [i for i in left if rates[i] >= most[i]]
        asked = {i: rate for i, rate in rates.items() if i not in sure}
        broken = [*sure, *_broken(case, asked, 1, tell, deadline)]
        case = _bound(case, dict.fromkeys(broken, margin))
        left, margin = [i for i in left if i not in broken], margin**2
    return case


def _bound(case: Case, ratios: Mapping[int, float]) -> Case:
    """The case with these ratios as bounds, a bit more for those that differ in the engine."""
    most = case.table.most_ratio.copy()
    for i, ratio in ratios.items():
        for j in mates(case.table, i):
            margin = 1.0 if i == j else 1 + SPREAD_MARGIN
            most[j] = np.minimum(most[j], ratio * margin)
    return replace(case, table=replace(case.table, most_ratio=most))


def answered(case: Case, leaned: Sequence[int], tell: Tell, deadline: float = math.inf) -> Case:
    """The case with what it takes to decide whether a plan should lean on these.

    First they get bounds, and all that may matter of their accelerators. Then, where one of an
    accelerator's candidates is simulated already, others are only asked whether they carry more an
    accelerator: where four runs say no, that is their bound. The rest is simulated, mixes always.
    """
    loose = {_kind(case.table, i) for i in leaned if np.isinf(case.table.most_ratio[i, -1])}
    if loose:
        found = _bounded(case, loose, tell, deadline)
        if (found.table.most_ratio != case.table.most_ratio).any():
            return found
    asked, locate = _rivals(case, leaned)
    broken = _broken(case, asked, RIVAL_BATCHES, tell, deadline)
    case = _bound(case, {i: asked[i] / case.table.pool_rps[i, -1] for i in broken})
    return refined(case, sorted(locate | (asked.keys() - set(broken))), tell, deadline)


def rivalled(case: Case, places: Sequence[int]) -> bool:
    """Whether each of these has a simulated rival on its accelerator."""
    known = np.flatnonzero(case.table.simulated & case.table.feasible).tolist()
    leaders = {_kind(case.table, i) for i in known}
    return all(_kind(case.table, i) in leaders for i in places)


def _rivals(case: Case, leaned: Sequence[int]) -> tuple[dict[int, float], set[int]]:
    """Rates of one replica that would beat the best simulated on its accelerator; and the others.

    Asked are those leaned on and what else may beat it; the others, to be simulated, are those of
    accelerators without any simulated, those that already are known to carry no more, and mixes.
    """
    table, seen = case.table, optimistic(case).table
    gpus = _gpus(table)
    hopeful, largest = seen.rate_rps / gpus, table.pool_rps[:, -1] / gpus
    kept = {*seen.kept.tolist()}.intersection(_open(case))
    asked, others = dict[int, float](), set[int]()
    for kind in sorted({_kind(table, i) for i in leaned}):
        mine = {i for i in leaned if _kind(table, i) == kind}
        known = np.flatnonzero(table.simulated & table.feasible).tolist()
        leaders = [i for i in known if _kind(table, i) == kind]
        if not leaders or len(kind[0]) > 1:
            others |= mine
            continue
        leader = max(leaders, key=lambda i: largest[i])
        rivals = mine | {i for i in kept if _kind(table, i) == kind}
        above = {i for i in rivals if hopeful[i] > hopeful[leader] * (1 + NOISE_FRAC)}
        others |= mine - above
        asked |= {i: float(largest[leader] * gpus[i]) for i in above}
    return asked, others


def _broken(
    case: Case, rates_rps: Mapping[int, float], batches: int, tell: Tell, deadline: float
) -> list[int]:
    """Positions that keep their promise in no batch at a planned rate of one replica [1/s]."""

    def one(i: int) -> bool:
        subject = subject_of(case.scenario, case.catalog, case.table, i)
        # Planned rates lie at least so much below what simulation finds.
        rate = rates_rps[i] / case.lowered.get(case.table.names[i], 1.0) / (1 - MARGINS[0])
        return _breaks(subject, rate, batches)

    found = side_by_side(one, list(rates_rps), "short runs", tell, deadline)
    return [i for i, breaks in zip(rates_rps, found, strict=True) if breaks]


def _breaks(subject: Subject, rate_rps: float, batches: int) -> bool:
    """Whether the promise breaks in every one of some short runs of a large pool."""
    promise, demand = promise_of(subject), subject.demand
    assert isinstance(demand, Online)

    def compute() -> tuple[float]:
        pool = pool_of(subject, TEST_SIZE)
        run = simulate(
            pool, subject.requests, rate_rps=rate_rps * TEST_SIZE, arrival_cv=demand.arrival_cv,
            count=int(TEST_FRAC * counted_requests(pool)), batches=batches, seed=SEED,
        )  # fmt: skip
        return (float(promise.excesses_by_batch(run).max(axis=1).min()),)

    return remembered(key_for("test", subject, TEST_SIZE, batches, rate_rps), compute)[0] > 0
