"""The plan's books: one formula for the optimizer's cost, the ledger and every class."""

from dataclasses import replace

import numpy as np
import pytest

from planner import report
from planner.answer.class_cost import class_costs
from planner.answer.decided import Decided
from planner.answer.money import books
from planner.candidates.assemble import build
from planner.errors import PlannerError, ScenarioError
from planner.optimize.objective import cost_usd
from tests.small_world import CHAT, HQ, NIGHT, decide, known, mixed, mixed_scenario, scenario

MID_MONTH = np.arange(24) + 0.5


def cash_by_month(decided):
    """Cash of all lines, added up here."""
    found = books(decided)
    rows = [found.values[line.key] for line in found.lines if line.kind == "cash"]
    return sum(np.broadcast_to(row, found.values["month"].shape) for row in rows)


def test_ledger_npv_is_the_optimizers_cost():
    decided, plan = mixed()
    assert plan.npv_usd == pytest.approx(decided.solution.cost_usd, rel=1e-9)
    assert plan.bound_usd <= plan.npv_usd * (1 + 1e-9)


def test_npv_from_cash_by_month():
    # 8 % a year, cash in the middle of its month; nothing falls due after the horizon here.
    decided, plan = mixed()
    cash = cash_by_month(decided)
    assert not cash[24:].any()
    assert plan.npv_usd == pytest.approx((cash[:24] * 1.08 ** (-MID_MONTH / 12)).sum(), rel=1e-9)


def test_recost_at_another_discount_rate():
    decided, plan = mixed()
    again = report.recost(plan, {"finance.discount_rate": 0.12})
    by_hand = (cash_by_month(decided)[:24] * 1.12 ** (-MID_MONTH / 12)).sum()
    assert again.npv_usd == pytest.approx(by_hand, rel=1e-9)
    assert again.npv_usd < plan.npv_usd


@pytest.mark.parametrize(
    ("path", "value", "sections"),
    [
        ("finance.discount_rate", 0.12, {"finance": {"discount_rate": 0.12}}),
        ("finance.adders.maintenance_frac_per_year", 0.1,
         {"finance": {"adders": {"maintenance_frac_per_year": 0.1}}}),
        ("sites[0].electricity_usd_per_kwh", 0.3,
         {"sites": [{**HQ, "electricity_usd_per_kwh": 0.3},
                    {"name": "cloud", "kind": "cloud", "region": "us"}]}),
    ],
)  # fmt: skip
def test_recost_is_the_cost_of_the_same_fleet_in_a_changed_problem(path, value, sections):
    decided, plan = mixed()
    problem, axes = build(known(mixed_scenario(**sections)))
    assert axes == decided.axes
    assert report.recost(plan, {path: value}).npv_usd == pytest.approx(
        cost_usd(problem, decided.solution), rel=1e-9
    )


def test_classes_add_up_to_the_whole():
    decided, plan = mixed()
    assert sum(c.npv_usd for c in plan.class_costs) == pytest.approx(plan.npv_usd, rel=1e-9)
    spent = sum(c.usd_per_mtoken * (c.input_mtokens + c.output_mtokens) for c in plan.class_costs)
    assert spent == pytest.approx(cash_by_month(decided).sum(), rel=1e-9)
    assert all(c.npv_usd > 0 for c in plan.class_costs)


def test_tokens_of_a_class():
    night = mixed()[1].class_costs[1]
    # 432,000 requests x 731 days of 2027 and 2028 x 1,000 and 200 tokens.
    assert night.input_mtokens == pytest.approx(432_000 * 731 * 1000 / 1e6, rel=1e-3)
    assert night.output_mtokens == pytest.approx(432_000 * 731 * 200 / 1e6, rel=1e-3)


def test_class_that_only_an_api_serves_pays_its_fees():
    decided, plan = mixed()
    (api,) = plan.apis
    assert (api.demand_class, np.min(api.served_frac), np.max(api.served_frac)) == ("large", 1, 1)
    large, quote = plan.class_costs[2], decided.case.offers.apis
    offer = next(a.offer for a in quote if a.provider == api.provider)
    fees = (
        large.input_mtokens * offer.input_usd_per_mtoken.value
        + large.output_mtokens * offer.output_usd_per_mtoken.value
    )
    assert large.usd_per_mtoken == pytest.approx(
        fees / (large.input_mtokens + large.output_mtokens)
    )


def test_free_electricity_leaves_every_class_a_cost():
    site = {**HQ, "electricity_usd_per_kwh": 0.0}
    decided, plan = decide(mixed_scenario(sites=[site, {**HQ, "name": "cloud", "kind": "cloud",
        "facility": None, "it_power_kw": None, "racks": None, "rack_kw": None}]))  # fmt: skip
    assert decided.solution.lots_bought.any()
    assert sum(c.npv_usd for c in plan.class_costs) == pytest.approx(plan.npv_usd, rel=1e-9)


def test_machines_that_nobody_uses_are_still_somebodys():
    decided, _ = decide(scenario(demand=[CHAT, NIGHT], supply={"options": ["owned", "on_demand"]}))
    bought = decided.solution.lots_bought.copy()
    bought[0, 0, 0] += 1
    x = replace(decided.solution, lots_bought=bought, served_frac=decided.solution.served_frac)
    x = replace(x, cost_usd=cost_usd(decided.problem, x))
    idle = Decided(decided.case, decided.problem, decided.axes, x)
    money = books(idle)
    costs = class_costs(idle, money)
    assert sum(c.npv_usd for c in costs) == pytest.approx(money.npv_usd, rel=1e-9)


def test_books_refuse_another_cost_than_the_optimizers():
    decided, _ = mixed()
    wrong = replace(decided.solution, cost_usd=decided.solution.cost_usd * 1.0001)
    with pytest.raises(PlannerError, match="differs from the cost"):
        books(replace(decided, solution=wrong))


def test_quantities_of_the_books_are_the_fleets():
    plan = mixed()[1]
    owned = next(row for row in plan.fleet if row.option == "owned")
    bought = np.array(plan.ledger_quantities["own_l40s_hq_bought"])
    assert bought[:24].reshape(8, 3)[:, 0].tolist() == owned.lots_ordered
    assert bought.sum() == sum(owned.lots_ordered)
    rented = next(row for row in plan.fleet if row.option == "on_demand")
    lot_hours = np.array(plan.ledger_quantities["on_demand_l40s_cloud_lot_hours"])
    hours = np.array([b.hours for b in plan.blocks])
    assert lot_hours.sum() == pytest.approx((np.array(rented.lots_by_block).T * hours).sum())


@pytest.mark.parametrize("name", ["finance.discount_rate", "discount_rate"])
def test_recost_refuses_what_no_scenario_may_have(name):
    with pytest.raises(
        ScenarioError, match=r"finance\.discount_rate: .*greater than or equal to 0"
    ):
        report.recost(mixed()[1], {name: -5.0})
