"""What reuse of prompts saves: the same question with fewer prefix hits."""

from functools import partial

import pytest

from planner.alternatives.outcome import Answered, outcome
from planner.alternatives.reuse import variants, with_hits, with_reuse_values
from planner.alternatives.variants import Variant
from planner.candidates.traffic import REMAINING
from planner.report.reuse_words import reuse_words
from planner.report.sheet_annual import Scale
from planner.result import OptionRow
from tests import small_world
from tests.plan_fixture import small_plan
from tests.small_world import known, scenario


def question(hit, requests_per_s=20):
    chat = {
        **small_world.CHAT, "prefix_cache_hit_frac": hit, "requests_per_s": requests_per_s,
    }  # fmt: skip
    return known(scenario(demand=[chat]))


def test_nothing_is_asked_without_prefix_hits():
    assert variants(question(0.0)) == []
    assert [v.name for v in variants(question(0.5))] == ["no_prefix_cache", "no_cache_routing"]


def test_only_the_hits_change():
    base = question(0.6)
    without, routed_blindly = (variant.case() for variant in variants(base))
    assert without.traffic.lengths[0].prefix_hit_frac == 0.0
    # 60 % of the prompt times 0.263 of the hits.
    assert base.catalog.assumptions[REMAINING].value == 0.263
    assert routed_blindly.traffic.lengths[0].prefix_hit_frac == pytest.approx(0.1578)
    for other in (without, routed_blindly):
        assert other.offers is base.offers
        assert other.traffic.load is base.traffic.load
    # More prompt to compute: fewer requests, and fewest without any hit.
    rates = [case.table.rate_rps for case in (without, routed_blindly, base)]
    assert (rates[0] <= rates[1]).all()
    assert (rates[1] < rates[2]).any()


def test_all_hits_kept_is_the_question_itself():
    base = question(0.6)
    assert with_hits(base, 1.0).table.rate_rps == pytest.approx(base.table.rate_rps)


def answered(name, npv, bound, status="solved"):
    return Answered(OptionRow(name=name, title=name, status=status, npv_usd=npv, bound_usd=bound))


def test_worth_is_the_difference_in_cost():
    base = question(0.6)
    plan = small_plan().model_copy(update={"npv_usd": 10e6})
    found = [
        answered("no_prefix_cache", 13e6, 12.9e6),
        answered("no_cache_routing", None, None, "unsolved"),
        answered("band_p50", 9e6, 9e6),
    ]  # fmt: skip
    done = with_reuse_values(plan, found, base.catalog)
    cache, routing = done.reuse_values
    assert (cache.worth_usd, cache.worth_least_usd) == (3e6, pytest.approx(2.9e6))
    assert routing.worth_usd is None
    first, second = reuse_words(done, Scale("Million"))
    assert "costs 3.0 USD million more in net present terms, at least 2.9" in first
    assert "26% of the prefix hits remain" in second
    assert "not solved in its time" in second


def test_what_was_not_solved_is_said():
    base, plan = question(0.6), small_plan()
    asked = plan.model_copy(update={"scenario": {"demand": [{"prefix_cache_hit_frac": 0.6}]}})
    late = with_reuse_values(asked, [answered("no_prefix_cache", 1.0, 1.0)], base.catalog)
    assert [note for note in late.notes if "cache-aware routing" in note]
    assert with_reuse_values(plan, [], base.catalog).notes == plan.notes


def test_solved_without_reuse_the_same_demand_costs_more():
    base = question(0.6, requests_per_s=200)  # several nodes: fewer will do
    costs = [
        outcome(Variant("plan", "", partial(with_hits, base, kept))).row.npv_usd
        for kept in (1.0, 0.0)
    ]
    assert costs[1] > costs[0]
