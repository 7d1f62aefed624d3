"""Variants without reuse of prompts: no prefix cache, and replicas chosen regardless of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from planner.alternatives.bands import evaluated
from planner.alternatives.outcome import Answered
from planner.alternatives.variants import Variant
from planner.candidates.case import Case
from planner.candidates.traffic import REMAINING, class_lengths
from planner.result import Plan, ReuseValue
from planner.schema.catalog import Catalog
from planner.schema.demand import Batch, Online

CACHE, ROUTING = "no_prefix_cache", "no_cache_routing"
LATE = (
    "What prefix caching and cache-aware routing are worth was not solved in time: stopped early."
)
TITLES = {CACHE: "Without prefix caching", ROUTING: "Without cache-aware routing"}


def variants(question: Case) -> list[Variant]:
    """Questions without each kind of reuse; none where no class has prefix hits."""
    hits = [getattr(demand, "prefix_cache_hit_frac", 0.0) for demand in question.scenario.demand]
    if not any(hits):
        return []
    return [
        Variant(name, TITLES[name], partial(with_hits, question, kept))
        for name, kept in kept_fracs(question.catalog).items()
    ]


def kept_fracs(catalog: Catalog) -> dict[str, float]:
    """Share of the plan's prefix hits that remains in each variant."""
    return {CACHE: 0.0, ROUTING: catalog.assumptions[REMAINING].value}


def with_hits(question: Case, kept_frac: float) -> Case:
    """The case with a share of every class's prefix hits.

    Raises
    ------
    InfeasibleError : a class that nothing serves then.
    """
    demand = tuple(
        one.model_copy(update={"prefix_cache_hit_frac": kept_frac * one.prefix_cache_hit_frac})
        if isinstance(one, Online | Batch)
        else one
        for one in question.scenario.demand
    )
    scenario = question.scenario.model_copy(update={"demand": demand})
    lengths = tuple(class_lengths(one, question.catalog) for one in demand)
    traffic = replace(question.traffic, lengths=lengths)
    return evaluated(replace(question, traffic=traffic), scenario, question.catalog)


def with_reuse_values(plan: Plan, found: Sequence[Answered], catalog: Catalog) -> Plan:
    """The plan with what each kind of reuse saves, or a note where that is missing.

    As it is where no class has prefix hits: then none was asked for.
    """
    kept = kept_fracs(catalog)
    values = [
        ReuseValue(
            name=one.row.name, title=one.row.title, kept_frac=kept[one.row.name],
            status=one.row.status, reasons=one.row.reasons, npv_usd=one.row.npv_usd,
            bound_usd=one.row.bound_usd, plan_npv_usd=plan.npv_usd,
        )
        for one in found
        if one.row.name in TITLES
    ]  # fmt: skip
    asked = any(one.get("prefix_cache_hit_frac") for one in plan.scenario.get("demand", []))
    notes = [*plan.notes, LATE] if asked and len(values) < len(TITLES) else plan.notes
    return plan.model_copy(update={"reuse_values": values, "notes": notes})
