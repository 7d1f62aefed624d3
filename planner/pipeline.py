"""The pipeline on one screen: a scenario in, a plan out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from planner.answer import unit_price
from planner.answer.decided import Decided
from planner.answer.plan import limits_in_use, plan
from planner.answer.tax import assuming, mid_quarter_years
from planner.candidates import evaluate as model
from planner.candidates.assemble import build
from planner.candidates.case import Case
from planner.candidates.offers import offers
from planner.candidates.table import rows
from planner.candidates.traffic import traffic
from planner.errors import InfeasibleError
from planner.files.catalog import load_catalog
from planner.files.names import notes
from planner.result import CandidateRow, Plan
from planner.schema.catalog import Catalog
from planner.schema.demand import Online
from planner.schema.scenario import Scenario
from planner.units import MILLI

if TYPE_CHECKING:
    from planner.optimize.highs import Progress as SolverProgress

REFINE_ROUNDS = 8
"""Most times that rates are simulated and the plan is solved again."""

CONVENTION_ROUNDS = 4
"""Most solves until the purchases ask for the tax convention under which they were chosen."""

Progress = Callable[[str, float, "float | None"], None]
"""step, seconds since the start, gap where there is one"""


def solve(
    scenario: Scenario,
    *,
    catalog: Catalog | None = None,
    gap: float = 1e-3,
    time_limit_s: float = 300.0,
    refine: bool = False,
    progress: Progress | None = None,
) -> Plan:
    """Cheapest fleet for a scenario, proven within `gap`.

    Parameters
    ----------
    catalog : rows to plan with; the packaged ones if not given.
    gap : (cost - bound) / cost at which the search ends.
    time_limit_s : wall time of the search.
    refine : simulate the rates of the candidates used and solve again, until all used are.
    progress : told about every step, and the gap while solving.

    Raises
    ------
    ScenarioError : a site or class lacks what planning needs.
    InfeasibleError : no fleet meets the scenario, with the limits that fall short.
    StoppedError : time ran out before any plan.
    """
    clock = _Clock(progress)
    question = case(scenario, catalog or load_catalog(), clock)
    answer, formulaic = _solved(question, clock, gap, time_limit_s)
    for _ in range(REFINE_ROUNDS if refine else 0):
        if not formulaic:
            break
        from planner.candidates.refine import refined  # brings the compiler, half a second

        question = refined(question, formulaic, clock.step)
        answer, formulaic = _solved(question, clock, gap, time_limit_s)
    return answer


def _solved(
    question: Case, clock: _Clock, gap: float, time_limit_s: float
) -> tuple[Plan, list[int]]:
    """Plan of a case, and the candidates it uses whose rates are the formulas'."""
    from planner.optimize import audit, explain  # Pyomo takes half a second to import
    from planner.optimize.solve import optimize

    for _ in range(CONVENTION_ROUNDS):
        clock.step("assemble")
        problem, axes = build(question)
        clock.step("solve")
        solution = optimize(problem, gap=gap, time_limit_s=time_limit_s, progress=clock.solving)
        decided = Decided(question, problem, axes, solution)
        asked = mid_quarter_years(decided)
        if asked == question.offers.tax_calendar.mid_quarter:
            break
        question = assuming(question, asked)
    clock.step("report")
    audited = audit.audit(problem, solution)
    binding = limits_in_use(
        [(b.family, b.labels, b.used, b.limit, b.unit) for b in explain.binding(problem, solution)]
    )
    seconds = {**clock.seconds(), **{f"solver {k}": v for k, v in solution.seconds.items()}}
    answer = plan(decided, gap_asked_frac=gap, audit=audited, binding=binding, seconds=seconds)
    used = sorted({axes.kept[c] for c, _ in decided.used_pools})
    online = [isinstance(demand, Online) for demand in decided.case.scenario.demand]
    return answer, decided.case.table.formulaic(used, online)


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
            known.table.configurations[i].accelerator for i in mine if not known.table.reasons[i]
        }
        if able & obtainable or any(api.demand_class == d for api in known.offers.apis):
            continue
        if able:
            found.append(
                f"{name}: could be served on {', '.join(sorted(able))}, but nothing that the "
                "scenario allows offers them at a price: supply.options, supply.prices, sites"
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
