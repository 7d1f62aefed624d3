"""Variants on the performance model's error: steps planned otherwise, and half the band.

Traffic, offers and limits are the plan's. Candidates are evaluated anew with other steps; where
the plan's rates are simulated, what simulation made of the formulas' rates is carried over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from planner.alternatives.outcome import Answered
from planner.alternatives.variants import Variant
from planner.candidates.case import Case
from planner.candidates.evaluate import evaluate
from planner.errors import InfeasibleError
from planner.perf.bands import PLAN_SHARES
from planner.result import BandCost, BandCosts, OptionRow, Plan
from planner.schema.catalog import Catalog
from planner.schema.scenario import Scenario

PREFIX = "band_"
"""Of the names of these variants."""
HALVED = "halved"
HALF = 0.5
"""Power of both factors of a band half as wide."""


def band_variants(question: Case) -> Mapping[str, Callable[[], Case]]:
    """Cases by name: the values of plan_at that are not the question's, and half the band."""
    own = question.scenario.planning.plan_at
    sides = {name: partial(planned_at, question, name) for name in PLAN_SHARES if name != own}
    return {**sides, HALVED: partial(with_half_the_band, question)}


def variants(question: Case) -> list[Variant]:
    """The same to be solved."""
    titles = {HALVED: "Half the error band"}
    return [
        Variant(f"{PREFIX}{name}", titles.get(name, f"Planned at {name}"), case)
        for name, case in band_variants(question).items()
    ]


def planned_at(question: Case, plan_at: str) -> Case:
    """The case with steps at another side of the band.

    Raises
    ------
    InfeasibleError : a class that nothing serves then.
    """
    planning = question.scenario.planning.model_copy(update={"plan_at": plan_at})
    scenario = question.scenario.model_copy(update={"planning": planning})
    return evaluated(question, scenario, question.catalog)


def with_half_the_band(question: Case) -> Case:
    """The case as if a benchmark had halved every band and found the estimates right."""
    return evaluated(question, question.scenario, halved(question.catalog))


def halved(catalog: Catalog) -> Catalog:
    """The catalog with bands half as wide on a scale of logarithms.

    Examples
    --------
    >>> from planner.files.catalog import load_catalog
    >>> rows = load_catalog()
    >>> name = "band_tpot_dense_high_frac"
    >>> narrow = halved(rows).calibration[name].value
    >>> abs(narrow**2 - rows.calibration[name].value) < 1e-12
    True
    """
    calibration = {
        name: row.model_copy(update={"value": row.value**HALF})
        for name, row in catalog.calibration.items()
        if name.startswith("band_") and name.endswith("_frac")
    }
    corrections = {
        name: row.model_copy(
            update={
                "band_low_frac": row.band_low_frac**HALF,
                "band_high_frac": row.band_high_frac**HALF,
            }
        )
        for name, row in catalog.corrections.items()
    }
    return catalog.model_copy(
        update={
            "calibration": catalog.calibration | calibration,
            "corrections": catalog.corrections | corrections,
        }
    )


def evaluated(question: Case, scenario: Scenario, catalog: Catalog) -> Case:
    """The case with its candidates evaluated anew, on rates that simulation has taught so far.

    Raises
    ------
    InfeasibleError : a class that nothing serves then.
    """
    table = evaluate(scenario, catalog, question.traffic)
    found = replace(question, scenario=scenario, catalog=catalog, table=table)
    if question.table.simulated.any():
        from planner.candidates.optimistic import settled  # noqa: PLC0415  (brings the compiler)

        found = settled(found, learned=question.table)
    obtainable = found.offers.accelerators()
    able = {
        config.demand_class
        for config, reason in zip(table.configurations, table.reasons, strict=True)
        if not reason and obtainable.issuperset(config.accelerators)
    } | {api.demand_class for api in found.offers.apis}
    lost = [name for d, name in enumerate(table.classes) if d not in able]
    if lost:
        raise InfeasibleError([f"{name}: no configuration keeps its promise" for name in lost])
    return found


def with_band_costs(plan: Plan, found: Sequence[Answered]) -> Plan:
    """The plan with its cost at each side of the band, or a note where any is missing."""
    own = str(plan.scenario["planning"]["plan_at"])
    rows = {
        one.row.name.removeprefix(PREFIX): one.row
        for one in found
        if one.row.name.startswith(PREFIX)
    }
    if rows.keys() != {*PLAN_SHARES, HALVED} - {own}:
        note = "Cost at the other sides of the error band was not solved in time: stopped early."
        return plan.model_copy(update={"notes": [*plan.notes, note]})
    planned = BandCost(
        name=own, status="plan", npv_usd=plan.npv_usd, bound_usd=plan.bound_usd,
        gap_frac=plan.gap_frac,
    )  # fmt: skip
    costs = BandCosts(
        planned_at=own,
        rows=[planned if name == own else _cost(name, rows[name]) for name in PLAN_SHARES],
        halved=_cost(HALVED, rows[HALVED]),
    )
    return plan.model_copy(update={"band_costs": costs})


def _cost(name: str, row: OptionRow) -> BandCost:
    return BandCost(
        name=name, status=row.status, reasons=row.reasons, npv_usd=row.npv_usd,
        bound_usd=row.bound_usd, gap_frac=row.gap_frac,
    )  # fmt: skip
