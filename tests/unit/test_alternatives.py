"""Options on equal service: restricted, solved beside the plan, kept, joined to one ledger."""

import os
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

from planner.alternatives import beside as beside_module
from planner.alternatives import kept
from planner.alternatives.attach import with_options
from planner.alternatives.beside import Beside
from planner.alternatives.outcome import outcome
from planner.alternatives.variants import Variant, only, standard
from planner.report.ledger_view import view
from planner.report.option_figures import option_figures
from planner.schema.supply import Option
from tests import small_world
from tests.formulas import on_formulas
from tests.small_world import CHAT, catalog, known, scenario

HOURS_2027 = 8760


@pytest.fixture(scope="module")
def answers():
    question = known(scenario())
    return {variant.name: outcome(variant) for variant in standard(question)}


def test_all_on_demand_is_lots_times_hours_times_price(answers):
    row = answers["on_demand"].row
    (machines,) = row.fleet
    # Flat traffic: the same lots in every hour of every period, 8 accelerators a lot.
    lots = machines.lots_by_block[0][0]
    price = next(
        given.value for given in answers["on_demand"].inputs if given.name.endswith("usd_per_gpu_h")
    )
    support = next(
        given.value for given in answers["on_demand"].inputs if given.name == "cloud_support_frac"
    )
    expected = lots * machines.lot_gpus * price * HOURS_2027 * (1 + support)
    plan = small_world.decide(scenario())[1]
    figures = option_figures(with_options(plan, [answers["on_demand"]], 1))[1]
    assert figures.cash_usd.sum() == pytest.approx(expected)
    assert row.status == "solved"
    assert row.served_frac == 1.0
    assert figures.capex_usd == 0.0
    assert figures.firm_frac == 0.0
    assert figures.peak_usd == pytest.approx(expected)  # nothing ever comes back


def test_a_variant_costs_what_a_scenario_of_that_option_costs(answers):
    alone = small_world.decide(scenario(supply={"options": ["reserved_1y"]}))[1]
    row = answers["reserved_1y"].row
    assert row.npv_usd == pytest.approx(alone.npv_usd, rel=0.01)
    assert {machines.option for machines in row.fleet} == {"reserved_1y"}


def test_machines_that_come_late_say_from_when(answers):
    row = answers["owned"].row
    assert row.status == "late"
    assert row.serves_from == "2027-Q2"
    assert row.reasons[0] == "lead time 3 months (L40S): nothing can serve 2027-Q1"
    # Flat traffic: 90 of 365 days are in the first quarter.
    assert row.served_frac == pytest.approx(275 / 365)


def test_an_option_that_the_scenario_excludes_says_so(answers):
    row = answers["api"].row
    assert row.status == "infeasible"
    assert row.reasons == ["chat: the scenario does not allow api (supply.options)"]
    assert row.npv_usd is None


@pytest.mark.parametrize(
    ("chat", "reason"),
    [
        ({"api_allowed": False}, "chat: it may not go to an API (api_allowed)"),
        (
            {"residency": ["us"]},
            "chat: it must stay in us (residency), which no API promises",
        ),
    ],
)
def test_why_no_api(chat, reason):
    question = known(scenario(demand=[{**CHAT, **chat}], supply={"options": ["on_demand", "api"]}))
    variant = Variant("api", "API only", partial(only, question, (Option.api,)), (Option.api,))
    assert outcome(variant).row.reasons == [reason]


def test_a_quota_that_is_too_small_is_named_in_words():
    few = {"accelerator": "l40s", "site": "cloud", "option": "on_demand", "lots_max": 1}
    question = known(scenario(supply={"stock": [few]}, demand=[{**CHAT, "requests_per_s": 500}]))
    variant = next(v for v in standard(question) if v.name == "on_demand")
    row = outcome(variant).row
    assert row.status == "infeasible"
    assert row.reasons[0].startswith("on demand quota: l40s, cloud")


def test_any_function_that_gives_a_case_is_a_variant():
    fresh = partial(known, scenario(supply={"options": ["on_demand"]}))
    row = outcome(Variant("fresh", "Evaluated anew", fresh)).row
    assert row.status == "solved"
    assert row.npv_usd == pytest.approx(outcome(standard(known(scenario()))[0]).row.npv_usd)


def test_one_ledger_serves_all_options_and_the_plan_stays(answers):
    plan = small_world.decide(scenario())[1]
    joined = with_options(plan, list(answers.values()), len(answers))
    assert view(joined).npv_usd == pytest.approx(plan.npv_usd, abs=0.005)
    assert [row.name for row in joined.options] == [
        "plan", "on_demand", "reserved_1y", "reserved_3y", "owned", "api", "nothing"
    ]  # fmt: skip
    for figures in option_figures(joined):
        assert figures.npv_usd == pytest.approx(figures.row.npv_usd, rel=1e-9, abs=0.01)
    keys = [line["key"] for line in joined.ledger_lines]
    assert len(keys) == len(set(keys)) > len(plan.ledger_lines)


def test_doing_nothing_costs_and_serves_nothing(answers):
    plan = small_world.decide(scenario())[1]
    row = with_options(plan, [], 0).options[-1]
    assert (row.name, row.npv_usd, row.served_frac) == ("nothing", 0.0, 0.0)
    assert "chat is not served" in row.reasons[0]


def test_answers_survive_the_cache_to_the_last_digit(answers):
    for answer in answers.values():
        assert kept.read(kept.written(answer)) == answer


def test_the_fingerprint_follows_rates_and_scenario():
    question = known(scenario())
    again = known(scenario())
    other = known(scenario(finance={"discount_rate": 0.11}))
    keys = [kept.fingerprint(q, gap=0.01, limit_s=30.0) for q in (question, again, other)]
    assert keys[0] == keys[1] != keys[2]
    question.table.rate_rps[0] *= 1.1
    assert kept.fingerprint(question, gap=0.01, limit_s=30.0) != keys[0]


@pytest.fixture
def fresh_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.slow
def test_solve_with_options_in_a_second_process(fresh_cache):
    alone = on_formulas(scenario(), catalog=catalog())
    plan = on_formulas(scenario(), catalog=catalog(), options=True)
    assert plan.npv_usd == pytest.approx(alone.npv_usd, abs=0.005)
    assert view(plan).npv_usd == pytest.approx(alone.npv_usd, abs=0.005)
    assert alone.options == []
    assert [row.status for row in plan.options] == [
        "plan", "solved", "solved", "infeasible", "late", "infeasible", "nothing"
    ]  # fmt: skip
    # Five options, two other sides of the error band and half of it.
    assert len(list(fresh_cache.rglob("options/*.json"))) == 5 + 3
    started = time.perf_counter()
    again = on_formulas(scenario(), catalog=catalog(), options=True)
    assert [row.seconds for row in again.options] == [row.seconds for row in plan.options]
    assert time.perf_counter() - started < 60


def slow_case():
    time.sleep(600)


def never():
    """A case that is never there."""
    time.sleep(600)


def has_ended(process_id: int) -> bool:
    for _ in range(100):
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_a_plan_that_stopped_early_waits_for_no_option(fresh_cache):
    with Beside([(Variant("slow", "Never", never), "key")]) as others:
        started = time.perf_counter()
        assert others.answers(wait_s=0.5) == []
        assert time.perf_counter() - started < 5
        process = others.process_id
    assert has_ended(process)


PARENT = """
import os, sys, time
from planner.alternatives.beside import Beside
from planner.alternatives.variants import Variant
from tests.unit.test_alternatives import never
others = Beside([(Variant("slow", "Never", never), "key")])
print(others.process_id, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_a_killed_parent_leaves_no_orphan(fresh_cache):
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    process = int(parent.stdout.readline())
    time.sleep(4)  # the other process is at work
    os.kill(process, 0)
    parent.kill()
    parent.wait()
    assert has_ended(process)


def test_what_the_second_process_cannot_do_this_one_does(monkeypatch, fresh_cache):
    monkeypatch.setattr(beside_module, "_START", "raise SystemExit(1)")
    question = known(scenario())
    with Beside([(standard(question)[0], "key")]) as others:
        (answer,) = others.answers(wait_s=60)
    assert answer.row.status == "solved"


def test_options_left_out_are_said():
    plan = small_world.decide(scenario())[1]
    assert "2 of 2 options were not solved: stopped early." in with_options(plan, [], 2).notes


def test_restricting_keeps_everything_else():
    question = known(scenario())
    cloud = only(question, (Option.on_demand,))
    assert cloud.table is question.table
    assert cloud.traffic is question.traffic
    assert not cloud.offers.owned
    assert not cloud.offers.commitments
    assert np.array_equal([*cloud.offers.on_demand], [*question.offers.on_demand])
