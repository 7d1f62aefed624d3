"""Break-even residual, cost of requests and users, savings rate: by hand, against recost."""

import dataclasses

import numpy as np
import pytest

from planner import report
from planner.report.class_figures import class_figures
from planner.report.contracts import saving, uses
from planner.report.html import html_text
from planner.report.ledger_view import view
from planner.report.option_figures import option_figures
from planner.report.residual import BreakEven, break_evens
from planner.report.sheet_metrics import TOKEN_WEIGHT
from tests.compared_plan import compared_plan
from tests.small_world import CHAT, decide, scenario
from tests.taxed_world import answered


def test_break_even_residual_is_where_both_cost_the_same():
    plan = compared_plan()
    found = break_evens(option_figures(plan))
    assert found
    for one in found:
        if not np.isfinite(one.change):
            continue
        value = next(x.value for x in plan.ledger_inputs if x.name == "condition_frac")
        moved = report.recost(plan, {"condition_frac": value * (1 + one.change)})
        ours, *others = option_figures(moved)
        theirs = next(x for x in others if x.row.title == one.option)
        assert ours.npv_usd == pytest.approx(theirs.npv_usd, rel=1e-9)


def test_break_even_share_by_hand():
    # 1,000 paid, 300 planned; both cost the same where end values are a fifth lower: 240.
    one = BreakEven("rented", "plan", 300.0, 1000.0, -0.2)
    assert (one.planned_frac, one.frac) == pytest.approx((0.3, 0.24))
    assert np.isnan(dataclasses.replace(one, change=float("inf")).frac)


def test_cost_of_tokens_requests_and_users_by_hand():
    # 86,400 users with 20 requests a day are 20 a second: 20 x 3,600 x 8,760 = 630.72 million in a
    # year, 1,000 tokens in and 200 out each: 630,720 and 126,144 Mtokens, the second counted 4x.
    users = {**CHAT, "users": 86_400, "requests_per_user_per_day": 20}
    del users["requests_per_s"]
    plan = decide(scenario(demand=[users], supply={"options": ["on_demand"]}))[1]
    (one,) = class_figures(plan)
    spent = float(view(plan).cash_usd.sum())
    assert one.usd == pytest.approx(spent, rel=1e-6)
    assert one.requests == pytest.approx(630.72e6)
    assert one.usd_per_request == pytest.approx(spent / 630.72e6)
    assert one.usd_per_user_month == pytest.approx(spent / 86_400 / 12)
    assert TOKEN_WEIGHT == 4
    assert one.usd_per_input_mtoken == pytest.approx(spent / (630_720 + 4 * 126_144))
    assert one.usd_per_output_mtoken == pytest.approx(4 * one.usd_per_input_mtoken)
    assert report.metrics(plan)["unit_costs"]["chat"]["usd_per_request"] == one.usd_per_request


def test_effective_savings_rate_counts_idle_hours():
    plan = answered()[1]
    seen = view(plan)
    (use,) = uses(plan)
    found = saving(seen, use)
    paid = use.committed_h * found.committed_usd_per_h
    worth = use.used_h * found.on_demand_usd_per_h
    whole = (use.used_h + use.on_demand_h) * found.on_demand_usd_per_h
    assert found.effective_frac == pytest.approx((worth - paid) / whole)
    text = html_text(plan)
    for words in ("Effective savings rate", "Cost of tokens, requests and users"):
        assert words in text


def test_the_page_shows_break_even_residuals():
    assert "Break-even residual" in html_text(compared_plan())
