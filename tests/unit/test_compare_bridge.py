"""The cost bridge against arithmetic by hand, and its exactness on plans of every kind."""

import pytest

from planner.finance.ledger import Line
from planner.report import recost
from planner.report.compare_bridge import bridge, families_of
from planner.result import ApiRow
from tests import small_world
from tests.plan_fixture import small_plan
from tests.tiny_plans import (
    API_KEY,
    API_LINES,
    OWNED_LINES,
    RENT_LINES,
    RENTED,
    rented,
    tiny_plan,
)


def amounts(found):
    return {step.what: step.usd for step in found.steps}


def test_price_then_demand_then_fleet_by_hand():
    # A: 100 h x 2 USD x 12 = 2,400. B: 150 h x 3 USD x 12 = 5,400, and 20 % more tokens.
    found = bridge(rented(), rented(hours=150.0, price=3.0, mtokens=1200.0))
    assert (found.start_usd, found.end_usd) == pytest.approx((2400.0, 5400.0))
    # Price: 100 h x 1 USD x 12. Demand: 20 % of 3,600. Fleet: 5,400 - 4,320.
    assert amounts(found) == pytest.approx(
        {"rental prices": 1200.0, "demand of chat": 720.0, "fleet and mix: on demand": 1080.0}
    )
    assert found.by_cause() == pytest.approx(
        {"price": 1200.0, "rules": 0.0, "demand": 720.0, "fleet": 1080.0}
    )
    assert "rent_price 2 -> 3 USD/h" in found.steps[0].note


def test_discounting_comes_first_and_prices_follow_at_the_new_rate():
    # All cash in month 12 at its end: 100 h x 2 USD / 1.1 after the rate, then x 3 USD / 1.1.
    late = [0.0] * 11 + [100.0]
    first = rented(hours=late)
    second = tiny_plan(
        lines=RENT_LINES, inputs={"rent_price": 3.0, "discount_rate": 0.1},
        quantities={"rent_hours": late}, mtokens={"chat": 1000.0},
    )  # fmt: skip
    found = bridge(first, second)
    assert [step.what for step in found.steps] == ["discounting", "rental prices"]
    assert amounts(found) == pytest.approx(
        {"discounting": 200.0 / 1.1 - 200.0, "rental prices": 100.0 / 1.1}
    )


OWNED_INPUTS = {"node_usd": 1000.0, "lead": 0.0, "node_kw": 10.0, "tariff": 1.0,
                "upkeep_frac": 0.12}  # fmt: skip


def owned(**inputs):
    return tiny_plan(
        lines=OWNED_LINES, inputs={**OWNED_INPUTS, **inputs},
        quantities={"bought": [3.0] + [0.0] * 11}, mtokens={"chat": 1000.0},
    )  # fmt: skip


def test_each_family_of_figures_by_hand():
    # 3 nodes: 3,000 to buy; energy 3 x 10 x 1 x 12 = 360; maintenance 3,000 x 12 % = 360.
    found = bridge(owned(), owned(node_usd=2000.0, tariff=1.5, upkeep_frac=0.06, lead=6.0))
    assert found.start_usd == pytest.approx(3720.0)
    assert amounts(found) == pytest.approx(
        {
            # The price of a node moves its maintenance too: 3,000 + 360.
            "purchase prices": 3360.0,
            # Half as much again of 360.
            "energy and power": 180.0,
            # Half of 6,000 x 12 %.
            "maintenance, insurance, support": -360.0,
            # Six months in service of twelve: half of energy 540 and maintenance 360.
            "delivery times and terms": -450.0,
        }
    )
    assert found.end_usd == pytest.approx(3720.0 + 3360.0 + 180.0 - 360.0 - 450.0)


def test_families_follow_from_the_cash_that_a_figure_moves():
    assert families_of(owned()) == {
        "discount_rate": "discounting", "discount_timing": "discounting",
        "tail_value_frac": "discounting", "node_usd": "purchase prices",
        "lead": "delivery times and terms", "node_kw": "energy and power",
        "tariff": "energy and power", "upkeep_frac": "maintenance, insurance, support",
    }  # fmt: skip


def test_cash_rows_of_another_kind_are_a_step_of_their_own():
    # B counts a tax of 25 % on the rent of the same machines: a quarter of 2,400.
    found = bridge(rented(), taxed())
    assert amounts(found) == pytest.approx({"cash rows counted in another way": -600.0})
    # And back: the row that is no longer counted.
    back = bridge(taxed(), rented())
    assert amounts(back) == pytest.approx({"cash rows counted in another way": 600.0})


def taxed(price=2.0, rate=0.25):
    """The rented nodes with a tax saved on their rent."""
    tax = Line("tax_usd", "Tax", "USD", "cash", "-rent_usd * tax_rate", "tax", RENTED)
    return tiny_plan(
        lines=(*RENT_LINES, tax), inputs={"rent_price": price, "tax_rate": rate},
        quantities={"rent_hours": 100.0}, mtokens={"chat": 1000.0},
    )  # fmt: skip


def test_a_tax_rate_is_its_own_family_though_prices_move_tax():
    # 2,400 less a quarter; the price first: 3,600 less a quarter; then the rate: less a tenth.
    assert amounts(bridge(taxed(), taxed(price=3.0, rate=0.1))) == pytest.approx(
        {"rental prices": 1200.0 * 0.75, "tax": 3600.0 * 0.15}
    )


def test_machines_that_only_one_plan_has_are_fleet_and_mix():
    found = bridge(rented(), owned())
    # 2,400 of rent go; 3,000 + 360 + 360 come.
    assert amounts(found) == pytest.approx(
        {
            "fleet and mix: on demand": -2400.0,
            "fleet and mix: purchases": 3000.0,
            "fleet and mix: energy": 360.0,
            "fleet and mix: maintenance": 360.0,
        }
    )


def api_and_machines(mtokens):
    """Class chat pays for its API, 10 x 12 USD, class code for the machines, 2,400."""
    row = ApiRow(demand_class="chat", provider="seller", product="m", model="m",
                 served_frac=[[1.0]])  # fmt: skip
    return tiny_plan(
        lines=(*RENT_LINES, *API_LINES), inputs={"rent_price": 2.0, "api_price": 1.0},
        quantities={"rent_hours": 100.0, f"{API_KEY}_input_mtokens": 10.0},
        mtokens=mtokens, costs={"chat": 120.0, "code": 2400.0}, apis=[row],
    )  # fmt: skip


def test_a_class_takes_its_own_api_fees_with_it():
    found = bridge(api_and_machines({"chat": 100.0, "code": 500.0}), rented())
    # rented() serves chat with 1,000 M tokens and no API: ten times chat's 120 USD of fees.
    assert amounts(found) == pytest.approx(
        {
            "demand of chat": 1080.0,
            "demand of code: no longer served": -2400.0,
            "fleet and mix: on demand": 2400.0,
            "fleet and mix: api": -1200.0,
        }
    )


def test_a_new_class_comes_with_its_cost_in_the_second_plan():
    found = bridge(rented(), api_and_machines({"chat": 1000.0, "code": 500.0}))
    assert amounts(found)["demand of code: new"] == pytest.approx(2400.0)
    assert found.left_usd == pytest.approx(0.0, abs=1e-9)


def test_a_plan_against_itself_has_no_steps():
    assert bridge(small_plan(), small_plan()).steps == ()


@pytest.fixture(scope="module")
def solved():
    """Two solved plans: another demand, a class less, another rate, dearer machines."""
    other = small_world.mixed_scenario(
        name="other",
        finance={"discount_rate": 0.12, "price_paths": {"rental_per_year": -0.1}},
        demand=[{**small_world.CHAT, "requests_per_s": 30}, small_world.NIGHT],
        supply={"options": ["owned", "on_demand", "reserved_1y"], "prices": [
            {**small_world.OWNED_CHEAP, "usd": 9_000.0}]},
    )  # fmt: skip
    return small_world.mixed()[1], small_world.decide(other)[1]


def test_the_bridge_of_solved_plans_sums_both_ways(solved):
    first, second = solved
    for a, b in ((first, second), (second, first)):
        found = bridge(a, b)
        total = found.start_usd + sum(step.usd for step in found.steps)
        assert total == pytest.approx(b.npv_usd, abs=1e-6)
        assert found.start_usd == pytest.approx(a.npv_usd, abs=1e-6)
    assert {step.cause for step in bridge(first, second).steps} == {"price", "demand", "fleet"}


def test_figures_alone_explain_a_recosted_plan():
    # The same fleet: everything is price, and it is what re-costing says.
    plan = small_plan()
    again = recost(plan, {"discount_rate": 0.11, "capex_gb200": 2_900_000.0, "power_hq": 0.12})
    found = bridge(plan, again)
    assert {step.cause for step in found.steps} == {"price"}
    assert sum(step.usd for step in found.steps) == pytest.approx(again.npv_usd - plan.npv_usd)
    first = recost(plan, {"discount_rate": 0.11})
    assert found.steps[0].what == "discounting"
    assert found.steps[0].usd == pytest.approx(first.npv_usd - plan.npv_usd)
