"""The pipeline on one screen: a scenario in, a plan out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.alternatives import bands, reuse
from planner.alternatives.attach import with_options
from planner.alternatives.beside import Beside
from planner.alternatives.kept import fingerprint
from planner.alternatives.outcome import GAP_FRAC, TIME_LIMIT_S
from planner.alternatives.variants import STANDARD, standard
from planner.answer import unit_price
from planner.answer.decided import Decided
from planner.answer.plan import limits_in_use, plan
from planner.answer.tax import in_convention
from planner.candidates import evaluate as model
from planner.candidates.assemble import build
from planner.candidates.case import Case
from planner.candidates.lower import lowered
from planner.candidates.offers import offers
from planner.candidates.table import rows
from planner.candidates.traffic import traffic
from planner.errors import InfeasibleError, StoppedError
from planner.files.catalog import load_catalog
from planner.files.names import notes
from planner.result import CandidateRow, Plan
from planner.schema.catalog import Catalog
from planner.schema.demand import Online
from planner.schema.scenario import Scenario
from planner.units import MILLI

if TYPE_CHECKING:
    from planner.optimize.highs import Progress as SolverProgress

REFINE_ROUNDS = 12
"""Most times that rates are simulated and the program is solved again."""
EXPLORING_GAP, EXPLORING_S = 0.02, 10.0
"""Gap and longest time of a search that only asks which candidates a plan leans on."""

OPTIONS_WAIT_S = 60.0
"""Longest wait for options once the plan is there; a note names how many are missing."""

Progress = Callable[[str, float, "float | None"], None]
"""step, seconds since the start, gap where there is one"""


def solve(
    scenario: Scenario,
    *,
    catalog: Catalog | None = None,
    gap: float = 1e-3,
    time_limit_s: float = 300.0,
    refine: bool = False,
    options: bool = False,
    shares: Mapping[str, float] | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Cheapest fleet for a scenario, proven within `gap`.

    Parameters
    ----------
    catalog : rows to plan with; the packaged ones if not given.
    gap : (cost - bound) / cost at which the search ends.
    time_limit_s : wall time of the search.
    refine : simulate the rates of what a plan leans on, until all it uses are; what was
        simulated before is remembered in the user's cache. Without it formulas alone decide.
    options : compare it with all on demand, all reserved, all owned, API only and nothing, each
        solved to 1 % in a second process meanwhile; answers are kept in the user's cache.
    shares : by candidate, the part of its rates to plan with; all of them where missing.
    progress : told about every step, and the gap while solving.

    Raises
    ------
    ScenarioError : a site or class lacks what planning needs.
    InfeasibleError : no fleet meets the scenario, with the limits that fall short.
    StoppedError : time ran out before any plan.
    """
    clock = _Clock(progress)
    question = case(scenario, catalog or load_catalog(), clock)
    if shares:
        question = lowered(question, shares)
    leaned_on = _LeanedOn()
    if refine:
        question, leaned_on = _prepared(question, clock, time_limit_s)
    with _beside(question) if options else nullcontext() as others:
        if refine:
            answer = _refined(question, leaned_on, clock, gap, time_limit_s)
        else:
            answer = _answer(_optimized(question, question, clock, gap, time_limit_s), clock, gap)
        return answer if others is None else _compared(answer, others, clock, question)


@dataclass(frozen=True)
class _LeanedOn:
    """Positions of the table whose rates are simulated, and where the cache keeps them."""

    key: str = ""
    places: tuple[int, ...] = ()


def _prepared(question: Case, clock: _Clock, time_limit_s: float) -> tuple[Case, _LeanedOn]:
    """The case with simulated rates of what a plan will lean on, and what that is.

    What the same question leaned on before is simulated at once; else what the relaxation uses,
    until all of it is simulated.
    """
    from planner.candidates import refine  # brings the compiler, half a second
    from planner.files import cache
    from planner.optimize.solve import serving_in_relaxation

    key = refine.question_key(question)
    known = cache.recalled(key)
    if known is not None:
        places = tuple(int(i) for i in known)
        return _simulated(question, places, clock), _LeanedOn(key, places)
    places = ()
    for _ in range(REFINE_ROUNDS):
        clock.step("relax")
        problem, axes = build(refine.optimistic(question))
        serving = serving_in_relaxation(problem, time_limit_s=time_limit_s)
        more = _formulaic(question, [axes.kept[c] for c in serving])
        if not more:
            break
        more = refine.challengers(question, more)
        places += tuple(more)
        question = _simulated(question, more, clock)
    return question, _LeanedOn(key, places)


def _simulated(question: Case, places: Sequence[int], clock: _Clock) -> Case:
    from planner.candidates import refine

    clock.step("simulate")
    return refine.refined(question, places, clock.detail)


def _refined(
    question: Case, leaned_on: _LeanedOn, clock: _Clock, gap: float, time_limit_s: float
) -> Plan:
    """Plan on simulated rates alone, cheapest even if formulas err by their margin elsewhere."""
    from planner.candidates import refine
    from planner.files import cache

    places, near = leaned_on.places, max(gap, EXPLORING_GAP)
    for _ in range(REFINE_ROUNDS):
        limit_s = time_limit_s if near == gap else min(time_limit_s, EXPLORING_S)
        try:
            decided = _optimized(question, refine.optimistic(question), clock, near, limit_s)
        except StoppedError:
            if near == gap:
                raise
            near = gap
            continue
        more = _formulaic(question, [decided.axes.kept[c] for c, _ in decided.used_pools])
        if not more and near > gap and decided.solution.gap_frac > gap:
            near = gap
            continue
        if not more:
            cache.keep(leaned_on.key, places)
            return _answer(decided, clock, gap)
        more = refine.challengers(question, more)
        places += tuple(more)
        question = _simulated(question, more, clock)
    bound_usd = decided.solution.bound_usd
    last = _answer(_optimized(question, question, clock, gap, time_limit_s), clock, gap)
    return last.model_copy(
        update={"bound_usd": bound_usd, "gap_frac": 1 - bound_usd / last.npv_usd}
    )


def _beside(question: Case) -> Beside:
    """The standard options and the sides of the error band at work in another process.

    At the rates of the plan that they are compared with, as far as those are simulated.
    """
    if question.table.simulated.any():
        from planner.candidates import refine

        question = refine.settled(question)
    key = fingerprint(question, gap=GAP_FRAC, limit_s=TIME_LIMIT_S)
    asked = (*standard(question), *bands.variants(question), *reuse.variants(question))
    return Beside([(variant, key) for variant in asked])


def _compared(answer: Plan, others: Beside, clock: _Clock, question: Case) -> Plan:
    """The plan with its options; one that stopped early waits for none."""
    clock.step("options")
    found = others.answers(wait_s=OPTIONS_WAIT_S if answer.status == "optimal" else 0.0)
    seconds = {**answer.seconds, **clock.seconds()}
    compared = with_options(answer, found[: len(STANDARD)], len(STANDARD))
    banded = bands.with_band_costs(compared, found[len(STANDARD) :])
    valued = reuse.with_reuse_values(banded, found[len(STANDARD) :], question.catalog)
    return valued.model_copy(update={"seconds": seconds})


def _formulaic(question: Case, used: Sequence[int]) -> list[int]:
    """Used positions of online classes whose rates are the formulas'."""
    online = [isinstance(demand, Online) for demand in question.scenario.demand]
    return question.table.formulaic(sorted(set(used)), online)


def _optimized(
    question: Case, seen: Case, clock: _Clock, gap: float, time_limit_s: float
) -> Decided:
    """Cheapest fleet with the rates of `seen`; reports show the question's."""
    from planner.optimize.solve import optimize  # Pyomo takes half a second to import

    def decide(now: Case) -> Decided:
        clock.step("assemble")
        problem, axes = build(replace(now, table=seen.table))
        clock.step("solve")
        solution = optimize(problem, gap=gap, time_limit_s=time_limit_s, progress=clock.solving)
        shown = replace(now.table, pruned_by=seen.table.pruned_by)
        return Decided(replace(now, table=shown), problem, axes, solution)

    return in_convention(question, decide)


def _answer(decided: Decided, clock: _Clock, gap: float) -> Plan:
    """The plan of what was decided, audited."""
    from planner.optimize import audit, explain

    clock.step("report")
    problem, solution = decided.problem, decided.solution
    binding = limits_in_use(
        [(b.family, b.labels, b.used, b.limit, b.unit) for b in explain.binding(problem, solution)]
    )
    seconds = {**clock.seconds(), **{f"solver {k}": v for k, v in solution.seconds.items()}}
    audited = audit.audit(problem, solution)
    return plan(decided, gap_asked_frac=gap, audit=audited, binding=binding, seconds=seconds)


def case(scenario: Scenario, catalog: Catalog, clock: _Clock | None = None) -> Case:
    """Everything known before the optimizer decides.

    Raises
    ------
    InfeasibleError : a class that no machine and no API can serve, with the nearest misses.
    """
    clock = clock or _Clock(None)
    clock.step("prices and traffic")
    priced, load = offers(scenario, catalog), traffic(scenario, catalog)
    clock.step("candidates")
    found = Case(scenario, catalog, priced, load, model.evaluate(scenario, catalog, load))
    hopeless = _hopeless(found)
    if hopeless:
        raise InfeasibleError(hopeless)
    return found


def evaluate(scenario: Scenario, *, catalog: Catalog | None = None) -> list[CandidateRow]:
    """Every way to serve each class, with its price, or why it cannot."""
    rows_of = catalog or load_catalog()
    priced, load = offers(scenario, rows_of), traffic(scenario, rows_of)
    known = Case(scenario, rows_of, priced, load, model.evaluate(scenario, rows_of, load))
    price, way = unit_price.cheapest(known)
    return rows(known.table, price, way)


def check(scenario: Scenario, catalog: Catalog) -> list[str]:
    """What a reader should know before planning.

    Raises
    ------
    ScenarioError : a site or class lacks what planning needs.
    """
    traffic(scenario, catalog)
    return [*notes(scenario, catalog), *offers(scenario, catalog).notes]


def _hopeless(known: Case) -> list[str]:
    """Classes that nothing can serve: the commonest reasons, and who comes nearest."""
    found, obtainable = [], known.offers.accelerators()
    for d, name in enumerate(known.table.classes):
        mine = [i for i, c in enumerate(known.table.configurations) if c.demand_class == d]
        able = {
            known.table.configurations[i].accelerators for i in mine if not known.table.reasons[i]
        }
        served = any(obtainable.issuperset(names) for names in able)
        if served or any(api.demand_class == d for api in known.offers.apis):
            continue
        if able:
            on = ", ".join(map(" + ".join, sorted(able)))
            found.append(
                f"{name}: could be served on {on}, but nothing that the scenario allows offers "
                "them at a price: supply.options, supply.prices, sites"
            )
            continue
        reasons = Counter(known.table.reasons[i] for i in mine)
        common = sorted(reasons, key=lambda why: (-reasons[why], why))[:3]
        found.append(f"{name}: none of {len(mine)} configurations can serve: {'; '.join(common)}")
        found += _nearest(known, d, mine)
    return found


def _nearest(known: Case, demand_class: int, mine: list[int]) -> list[str]:
    """The configuration that misses an online class's promise by least, without other traffic."""
    demand, table = known.scenario.demand[demand_class], known.table
    if not isinstance(demand, Online):
        return []
    ttft_ms, tpot_ms = table.ttft_zero_s / MILLI, table.tpot_zero_s / MILLI
    late = np.maximum(ttft_ms / demand.slo.ttft_ms, tpot_ms / demand.slo.tpot_ms)
    reached = [i for i in mine if np.isfinite(late[i])]
    if not reached:
        return []
    i = min(reached, key=lambda i: float(late[i]))
    return [
        f"{demand.name}: nearest is {table.names[i]}, at zero load TTFT "
        f"p{demand.slo.ttft_percentile * 100:g} {ttft_ms[i]:,.4g} ms (target "
        f"{demand.slo.ttft_ms:g}) and TPOT p{demand.slo.tpot_percentile * 100:g} "
        f"{tpot_ms[i]:,.4g} ms (target {demand.slo.tpot_ms:g})"
    ]


class _Clock:
    """Wall time by step, and the progress callback."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._start = time.perf_counter()
        self._marks: list[tuple[str, float]] = []

    def step(self, name: str) -> None:
        """A step begins."""
        self._marks.append((name, time.perf_counter()))
        if self._progress is not None:
            self._progress(name, time.perf_counter() - self._start, None)

    def detail(self, text: str) -> None:
        """What a step is at."""
        if self._progress is not None:
            self._progress(text, time.perf_counter() - self._start, None)

    def solving(self, now: SolverProgress) -> None:
        """The solver reports."""
        if self._progress is not None:
            self._progress("solve", time.perf_counter() - self._start, now.gap_frac)

    def seconds(self) -> dict[str, float]:
        """Seconds of each step so far."""
        ends = [at for _, at in self._marks[1:]] + [time.perf_counter()]
        found: dict[str, float] = {}
        for (name, at), end in zip(self._marks, ends, strict=True):
            found[name] = found.get(name, 0.0) + end - at
        return found
