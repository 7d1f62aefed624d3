"""The pipeline on one screen: a scenario in, a plan out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext

import numpy as np

from planner import refinement
from planner.alternatives import bands, reuse
from planner.alternatives.attach import with_options
from planner.alternatives.beside import Beside
from planner.alternatives.kept import fingerprint
from planner.alternatives.outcome import GAP_FRAC, TIME_LIMIT_S
from planner.alternatives.variants import STANDARD, standard
from planner.answer import unit_price
from planner.answer.decided import Decided
from planner.answer.plan import limits_in_use, plan
from planner.candidates import evaluate as model
from planner.candidates.case import Case
from planner.candidates.lower import lowered
from planner.candidates.offers import offers
from planner.candidates.rows import rows
from planner.candidates.traffic import traffic
from planner.decide import Clock, decided
from planner.errors import InfeasibleError
from planner.files.catalog import load_catalog
from planner.files.names import notes
from planner.progress import Tell
from planner.result import CandidateRow, Plan
from planner.schema.catalog import Catalog
from planner.schema.demand import Online
from planner.schema.scenario import Scenario
from planner.units import MILLI

OPTIONS_WAIT_S = 90.0
"""Longest wait for options once the plan is there; a note names how many are missing."""


def solve(
    scenario: Scenario,
    *,
    catalog: Catalog | None = None,
    gap: float = 1e-3,
    time_limit_s: float = 300.0,
    refine: bool = True,
    options: bool = False,
    shares: Mapping[str, float] | None = None,
    least: Mapping[str, int] | None = None,
    progress: Tell | None = None,
) -> Plan:
    """Cheapest fleet for a scenario, proven within `gap`.

    Parameters
    ----------
    catalog : rows to plan with; the packaged ones if not given.
    gap : (cost - bound) / cost at which the search ends.
    time_limit_s : wall time of everything up to the plan; reports and options come on top.
    refine : plan on simulated rates alone, proven against all others; what was simulated before
        is remembered in the user's cache. Without it formulas alone decide.
    options : compare it with all on demand, all reserved, all owned, API only and nothing, each
        solved to 1 % in a second process meanwhile; answers are kept in the user's cache.
    shares : by candidate, the part of its rates to plan with; all of them where missing.
    least : by candidate, the fewest replicas of its pools, as for `candidates.lower`.
    progress : told about every step, and the gap while solving.

    Raises
    ------
    ScenarioError : a site or class lacks what planning needs.
    InfeasibleError : no fleet meets the scenario, with the limits that fall short.
    StoppedError : time ran out before any plan.
    """
    clock = Clock(progress, time_limit_s)
    question = case(scenario, catalog or load_catalog(), clock)
    if shares or least:
        question = lowered(question, shares or {}, least)
    if refine:
        question = refinement.prepared(question, clock)
    with _beside(question) if options else nullcontext() as others:
        if refine:
            found = refinement.planned(question, clock, gap=gap)
        else:
            found = decided(question, question, clock, gap=gap)
        answer = _answer(found, clock, gap)
        return answer if others is None else _compared(answer, others, clock, question)


def _beside(question: Case) -> Beside:
    """The standard options and the sides of the error band at work in another process.

    At the rates of the plan that they are compared with, as far as those are simulated.
    """
    if question.table.simulated.any():
        from planner.candidates.optimistic import settled  # brings the compiler

        question = settled(question)
    key = fingerprint(question, gap=GAP_FRAC, limit_s=TIME_LIMIT_S)
    asked = (*standard(question), *bands.variants(question), *reuse.variants(question))
    return Beside([(variant, key) for variant in asked])


def _compared(answer: Plan, others: Beside, clock: Clock, question: Case) -> Plan:
    """The plan with its options; one that stopped early waits for none."""
    clock.step("options")
    found = others.answers(wait_s=OPTIONS_WAIT_S if answer.status == "optimal" else 0.0)
    seconds = {**answer.seconds, **clock.seconds()}
    compared = with_options(answer, found[: len(STANDARD)], len(STANDARD))
    banded = bands.with_band_costs(compared, found[len(STANDARD) :])
    valued = reuse.with_reuse_values(banded, found[len(STANDARD) :], question.catalog)
    return valued.model_copy(update={"seconds": seconds})


def _answer(found: Decided, clock: Clock, gap: float) -> Plan:
    """The plan of what was decided, audited."""
    from planner.optimize import audit, explain

    clock.step("report")
    problem, solution = found.problem, found.solution
    binding = limits_in_use(
        [(b.family, b.labels, b.used, b.limit, b.unit) for b in explain.binding(problem, solution)]
    )
    seconds = {**clock.seconds(), **{f"solver {k}": v for k, v in solution.seconds.items()}}
    audited = audit.audit(problem, solution)
    return plan(found, gap_asked_frac=gap, audit=audited, binding=binding, seconds=seconds)


def case(scenario: Scenario, catalog: Catalog, clock: Clock | None = None) -> Case:
    """Everything known before the optimizer decides.

    Raises
    ------
    InfeasibleError : a class that no machine and no API can serve, with the nearest misses.
    """
    clock = clock or Clock(None, math.inf)
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
    end_ms, end = table.e2e_zero_s / MILLI, ""
    if demand.slo.e2e_ms is not None:
        late = np.maximum(late, end_ms / demand.slo.e2e_ms)
    reached = [i for i in mine if np.isfinite(late[i])]
    if not reached:
        return []
    i = min(reached, key=lambda i: float(late[i]))
    if demand.slo.e2e_ms is not None:
        share = demand.slo.e2e_percentile * 100
        end = f" and E2E p{share:g} {end_ms[i]:,.4g} ms (target {demand.slo.e2e_ms:g})"
    return [
        f"{demand.name}: nearest is {table.names[i]}, at zero load TTFT "
        f"p{demand.slo.ttft_percentile * 100:g} {ttft_ms[i]:,.4g} ms (target "
        f"{demand.slo.ttft_ms:g}) and TPOT p{demand.slo.tpot_percentile * 100:g} "
        f"{tpot_ms[i]:,.4g} ms (target {demand.slo.tpot_ms:g}){end}"
    ]
