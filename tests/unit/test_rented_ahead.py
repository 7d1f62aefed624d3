"""Machines rented before their block: how many hours more, and what they cost."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import planner
from planner.candidates.traffic import traffic
from planner.files.plan_json import read_plan
from planner.result import Incident
from planner.verification.ahead import lot_hours_ahead, rented_ahead, words
from planner.verification.subjects import question_of
from tests.formulas import on_formulas
from tests.small_world import CHAT, CLOUD, catalog, scenario

PORTFOLIO = Path(__file__).parents[2] / "reports" / "portfolio" / "plan.json"


def incident(**more):
    return Incident(
        kind="replicas_start", candidate="c", demand_class="chat", site="cloud", period="2027-Q1",
        block="day", replicas=4, rps_per_replica=1.0, replicas_out=4, back_s=900.0, back_by="",
        late_frac=0.5, promised_late_frac=0.05, worst_frac=1.0, **more,
    )  # fmt: skip


def four_weeks(lots):
    """A period of four weeks in blocks: night, day, and the weekend's night and day."""
    hours = [20 * 16.0, 20 * 8.0, 8 * 16.0, 8 * 8.0]
    plan = SimpleNamespace(
        periods=[SimpleNamespace(label="2027-Q1", months=1)],
        blocks=[SimpleNamespace(label=str(h), hours=[h]) for h in hours],
    )
    day = [0] * 8 + [1] * 8 + [0] * 8
    of_hour = np.array([day, [b + 2 for b in day]])
    row = SimpleNamespace(lots_by_block=[lots])
    return lot_hours_ahead(plan, row, of_hour, 900.0).tolist()


def test_hours_ahead_by_hand():
    # A quarter of an hour for each machine more: 20 weekday mornings of 5, 8 of the weekend of 2.
    assert four_weeks([1.0, 6.0, 1.0, 3.0]) == [pytest.approx(0.25 * (20 * 5 + 8 * 2))]
    # Midnights: four Fridays to Saturday, where 3 more run, four Sundays to Monday, where 3 fewer.
    assert four_weeks([1.0, 1.0, 4.0, 4.0]) == [pytest.approx(0.25 * 4 * 3)]
    assert four_weeks([4.0, 4.0, 1.0, 1.0]) == [pytest.approx(0.25 * 4 * 3)]
    assert four_weeks([2.0, 2.0, 2.0, 2.0]) == [0.0]


def test_what_it_costs_by_hand():
    # Prices are flat for a year: each of these hours costs what the planned ones do, with support.
    question = scenario(
        demand=[{**CHAT, "requests_per_s": 100, "profile": "office"}], sites=[CLOUD],
        supply={"options": ["on_demand"]},
    )  # fmt: skip
    plan = on_formulas(question)
    (row,) = plan.fleet
    of_hour = traffic(question, catalog()).blocks.block_of_hour
    hours = lot_hours_ahead(plan, row, of_hour, 900.0).sum()
    assert hours > 0
    price = next(x.value for x in plan.ledger_inputs if x.name.endswith("_usd_per_gpu_h"))
    support = next(x.value for x in plan.ledger_inputs if x.name == "cloud_support_frac")
    found = rented_ahead(plan, of_hour, [incident()])
    assert found.lead_s == 900.0
    assert found.usd_per_year == pytest.approx(hours * row.lot_gpus * price * (1 + support))
    assert 0.9 * found.usd_per_year < found.npv_usd < found.usd_per_year
    said = words([incident()], found, plan)
    assert said[0].startswith("chat: machines rented when day begins serve 15 min later")
    assert f"about {found.usd_per_year:,.0f} USD a year more" in said[1]


def test_nothing_is_said_where_step_ups_keep_their_promise():
    assert rented_ahead(None, None, [incident().model_copy(update={"late_frac": 0.01})]) is None
    assert words([], None, None) == []


def test_hours_ahead_on_the_days_of_the_packaged_portfolio():
    # 2027-Q1: 1,536 weekday hours are 64 mornings, each of which takes 91 machines more at eight.
    # No other block has more machines than the one before it.
    plan = read_plan(PORTFOLIO)
    (row,) = [x for x in plan.fleet if x.option == "on_demand"]
    question = question_of(plan)
    assert question == planner.load("portfolio")
    of_hour = traffic(question, catalog()).blocks.block_of_hour
    row = row.model_copy(update={"lots_by_block": [[1.0, 1.0, 92.0, 1.0], *row.lots_by_block[1:]]})
    found = lot_hours_ahead(plan, row, of_hour, 900.0)
    assert found[0] == pytest.approx(64 * 91 / 4)
