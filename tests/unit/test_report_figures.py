"""Metrics, frames and re-costing of a plan, against arithmetic by hand."""

import json

import numpy as np
import pytest

from planner.errors import ScenarioError
from planner.report import frames, metrics, recost, write
from planner.report.ledger_view import view
from planner.report.traffic_share import fullness, served_by_period, share_by_period
from planner.result import Plan, whole_pools
from tests.plan_fixture import INPUTS, small_plan


@pytest.fixture(scope="module")
def plan() -> Plan:
    return small_plan()


def test_first_month_by_hand(plan):
    cash = frames(plan)["cash"].iloc[0]
    assert cash["capex"] == pytest.approx(2 * 3_100_000 * 1.06)
    # 12 nodes x 8 GPUs x 4.82 USD x 744 h in January x 1.05 support
    assert cash["commitments"] == pytest.approx(361_476.864)
    # 3,100 node hours x 8 x 6.88 x 1.05
    assert cash["on demand"] == pytest.approx(179_155.2)
    # 900 M input tokens at 1.00 and 110 M output tokens at 3.00
    assert cash["api"] == pytest.approx(1_230.0)


def test_capex_by_fiscal_year_by_hand(plan):
    # The third rack is ordered 12 months later, at 0.90 of the price.
    assert metrics(plan)["capex_usd_by_fiscal_year"] == pytest.approx(
        {
            "FY2027": 6_572_000.0,
            "FY2028": 3_286_000.0 * 0.90,
            "FY2029": 0.0,
            "After horizon": 0.0,
        }
    )


def test_obligations_beyond_the_horizon_are_paid_but_count_in_part(plan):
    cash = frames(plan)["cash"]
    # Signed in month 28 for 12 months: months 37-39 lie beyond the horizon of 36.
    late = cash["commitments"].iloc[36:]
    assert (late.iloc[:3] > 0).all()
    assert late.iloc[3:].to_numpy() == pytest.approx(0.0, abs=1e-6)
    # A quarter of what is paid after the horizon has value then, so 0.75 of it counts.
    factor = 1.08 ** ((0.5 - 37) / 12)
    assert cash["present_value"].iloc[36] == pytest.approx(late.iloc[0] * 0.75 * factor)


def test_npv_is_discounted_cash(plan):
    total = frames(plan)["cash"]["total"].to_numpy()
    month = np.arange(1, 49)
    counted = np.where(month <= 36, 1.0, 0.75)
    assert metrics(plan)["npv_usd"] == pytest.approx(
        (total * counted * 1.08 ** ((0.5 - month) / 12)).sum()
    )


def test_recost_keeps_the_fleet_and_moves_the_npv(plan):
    total = frames(plan)["cash"]["total"].to_numpy()
    month = np.arange(1, 49)
    counted = np.where(month <= 36, 1.0, 0.75)
    again = recost(plan, {"finance.discount_rate": 0.10})
    expected = (total * counted * 1.10 ** ((0.5 - month) / 12)).sum()
    assert again.npv_usd == pytest.approx(expected)
    assert again.fleet == plan.fleet
    assert again.scenario["finance"]["discount_rate"] == 0.10
    assert plan.scenario["finance"]["discount_rate"] == 0.08
    assert metrics(again)["gap_frac"] is None
    assert "not optimized" in again.notes[0]


def test_recost_by_input_name(plan):
    # Twice the API's input price adds its input tokens once more, prices falling 15 % a year.
    again = recost(plan, {"api_price_in": 2.0})
    months = np.arange(36)
    added = ((900 + 35 * months) * 0.85 ** (months / 12)).sum()
    before, after = metrics(plan), metrics(again)
    assert after["undiscounted_usd"] - before["undiscounted_usd"] == pytest.approx(added)


def test_recost_of_nothing_changes_no_cost(plan):
    assert recost(plan, {}).npv_usd == pytest.approx(plan.npv_usd, rel=1e-14)


def test_unknown_path_lists_the_known_ones(plan):
    with pytest.raises(ScenarioError, match=r"finance\.dicount_rate.*finance\.discount_rate"):
        recost(plan, {"finance.dicount_rate": 0.1})


def test_frames_have_a_row_for_each_period_and_block(plan):
    found = frames(plan)
    assert len(found["fleet"]) == 3 * 12
    assert len(found["pools"]) == 3 * 12 * 4
    assert len(found["inputs"]) == len(INPUTS)
    assert found["ledger"].loc["2027-07-01", "up_gb200"] == 2.0  # ordered in January, 6 months


def test_share_of_batch_counts_its_daily_mean(plan):
    # 1.5 of the daily mean in both night blocks: (1040 x 1.5 + 416 x 1.5) / 2184 h = 1.3434;
    # the fixture's hours are as 520 : 1040 : 208 : 416.
    digest = plan.demand[1]
    share = share_by_period(plan, digest, plan.pools[2].served_frac)
    assert share == pytest.approx(np.full(12, 1.5 * (1040 + 416) / 2184))
    assert served_by_period(plan, "assistant") == pytest.approx(np.ones(12))


def test_fullness_by_hand(plan):
    # First quarter: 16 replicas of 1.7 less 0.4 = 26.8 requests/s for 0.94 x 24 = 22.56.
    pool = whole_pools(plan.pools)[1]
    assert fullness(plan, pool)[0] == pytest.approx(22.56 / 26.8)


def test_months_end_with_the_horizon_where_nothing_is_owed_later(plan):
    none = {**plan.ledger_quantities, "sign_h100": [0.0] * 36}
    owned = plan.model_copy(update={"ledger_quantities": none})
    assert view(owned).months == 36
    assert view(owned).years == ("FY2027", "FY2028", "FY2029")
    assert view(plan).years[-1] == "After horizon"


def test_quantities_may_bring_their_own_calendar(plan):
    # A plan whose quantities already hold all 60 months gives the same cost.
    longer = {k: [*v, *[0.0] * (60 - len(v))] for k, v in plan.ledger_quantities.items()}
    other = plan.model_copy(update={"ledger_quantities": longer})
    assert view(other).months == 60
    assert view(other).npv_usd == pytest.approx(plan.npv_usd, rel=1e-12)


def test_json_comes_back_equal(plan, tmp_path):
    for number, one in enumerate((plan, recost(plan, {"finance.discount_rate": 0.12}))):
        path = tmp_path / f"{number}.json"
        write(one, path)
        assert Plan.model_validate_json(path.read_text()) == one
    assert json.loads((tmp_path / "0.json").read_text())["plan_version"] == 1
