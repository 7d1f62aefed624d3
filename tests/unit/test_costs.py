"""Objective coefficients against cash that is added up here month by month."""

import numpy as np
import pytest
from pydantic import ValidationError

from planner.candidates.assemble import active_kwh, build
from planner.candidates.costs import tokens_a_request
from planner.report.ledger_view import view
from tests.small_world import CHAT, HQ, decide, known, scenario

HOURS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) * 24.0  # 2027
MONTH = np.arange(12)
MID = 1.08 ** (-(MONTH + 0.5) / 12)
"""Discount factors: cash falls in the middle of its month, 8 % a year."""
QUARTERS = MONTH.reshape(4, 3)
SITE = {**HQ, "facility": None, "pue": 1.3, "electricity_usd_per_kwh": 0.1,
        "rent_usd_per_kw_month": 150.0}  # fmt: skip
CLOUD = {"name": "cloud", "kind": "cloud", "region": "us"}


def quoted(option, usd):
    return {"accelerator": "l40s", "option": option, "usd": usd, "source": "by hand",
            "as_of": "2026-11-01"}  # fmt: skip


PRICES = [quoted("owned", 100_000.0), quoted("on_demand", 2.0), quoted("reserved_1y", 1.5)]


def problem(finance=None, sites=(SITE, CLOUD), supply=None, **sections):
    question = known(
        scenario(
            sites=list(sites), finance=finance or {},
            supply={"prices": PRICES, "lead_time_months": {"l40s": 3}, **(supply or {})},
            **sections,
        )
    )  # fmt: skip
    return build(question)[0], question


def test_lot_rented_for_all_hours_of_a_block():
    p, _ = problem()
    usd = p.costs.on_demand_usd[0, 1]
    for t, months in enumerate(QUARTERS):
        hours = HOURS[months]
        # 8 cards x 2 USD + 5 % support, its hours spread over the months as the calendar's.
        an_hour = 8 * 2.0 * 1.05 * (hours * MID[months]).sum() / hours.sum()
        assert usd[t] == pytest.approx(an_hour * p.demand.hours[t])
    assert np.all(p.costs.on_demand_usd[0, 0] == 0)  # nothing is rented at hq


def test_rental_price_falls_by_the_year():
    p, _ = problem({"price_paths": {"rental_per_year": -0.2}, "discount_rate": 0.0})
    hours = HOURS[QUARTERS[3]]
    path = 0.8 ** (QUARTERS[3] / 12)
    an_hour = 8 * 2.0 * 1.05 * (hours * path).sum() / hours.sum()
    assert p.costs.on_demand_usd[0, 1, 3] == pytest.approx(an_hour * p.demand.hours[3])


def test_capital_of_a_lot_with_adders():
    p, _ = problem()
    # 100,000 + 25 % network + 3 % storage + 3 % installation.
    assert p.costs.capex_usd[0, 0].tolist() == pytest.approx([131_000.0] * 4)
    p, _ = problem({"price_paths": {"capex_per_year": -0.2}})
    assert p.costs.capex_usd[0, 0, 2] == pytest.approx(131_000 * 0.8**0.5)


def test_lot_bought_in_the_first_month():
    p, question = problem()
    kw = question.catalog.accelerators["l40s"].node_kw
    serving = MONTH >= 3  # a quarter from order to service
    maintained = 100_000 * (0.04 + 0.01) / 12 * serving
    rent = kw * 150.0 * serving
    idle = kw * 0.3 * HOURS * 1.3 * 0.1 * serving
    # Nine months in service of a market that falls 30 % a year, 72 % for used, 10 % to the seller.
    sold = 100_000 * 0.7 ** (9 / 12) * 0.72 * 0.9
    by_hand = 131_000 * MID[0] + ((maintained + rent + idle) * MID).sum() - sold * MID[11]
    assert p.costs.buy_usd[0, 0, 0] == pytest.approx(by_hand)


def test_year_signed_in_the_first_month():
    p, _ = problem()
    by_hand = (8 * 1.5 * 1.05 * HOURS * MID).sum()
    assert p.costs.commit_usd[0, 0, 1, 0] == pytest.approx(by_hand)


def test_contract_is_owed_beyond_the_horizon():
    p, _ = problem({"discount_rate": 0.0})
    # Signed in October 2027: paid to September 2028, which has a 29th of February.
    assert p.costs.commit_usd[0, 0, 1, 3] == pytest.approx(8 * 1.5 * 1.05 * 366 * 24)


def test_value_beyond_the_horizon_is_credited():
    p, _ = problem({"discount_rate": 0.0}, horizon={"start": "2027-01", "months": 12,
                                                    "tail_value_frac": 1.0})  # fmt: skip
    assert p.costs.commit_usd[0, 0, 1, 3] == pytest.approx(8 * 1.5 * 1.05 * 92 * 24)


def test_energy_of_work():
    p, question = problem({"discount_rate": 0.0})
    kw = question.catalog.accelerators["l40s"].node_kw
    for c, i in enumerate(build(question)[1].kept):
        config, rate = question.table.configurations[i], question.table.rate_rps[i]
        # 20 requests a second keep 20 / rate replicas busy, at 80 % less 30 % idle of the power.
        it_kw = 20 / rate * config.gpus * kw / 8 * (0.8 - 0.3)
        usd = it_kw * p.demand.hours * 1.3 * 0.1
        np.testing.assert_allclose(p.pools.energy_usd[c, 0], usd, rtol=1e-9)
        assert np.all(p.pools.energy_usd[c, 1] == 0)  # in the rent
        np.testing.assert_allclose(active_kwh(question, build(question)[1])[c],
                                   it_kw * p.demand.hours, rtol=1e-9)  # fmt: skip


API = {"model": "llama-3.1-8b", "option": "api", "usd": 0.2, "output_usd": 0.6,
       "source": "by hand", "as_of": "2026-11-01"}  # fmt: skip


def test_all_traffic_of_a_block_by_api():
    asked = {**CHAT, "prefix_cache_hit_frac": 0.25}
    p, question = problem(
        {"discount_rate": 0.0, "price_paths": {"api_per_year": -0.5}}, demand=[asked],
        supply={"prices": [*PRICES, API], "options": ["owned", "on_demand", "reserved_1y", "api"]},
    )  # fmt: skip
    tokens = tokens_a_request(question.table, 0)
    assert tokens["input"] == pytest.approx(750, rel=1e-3)
    assert tokens["cached"] == pytest.approx(250, rel=1e-3)
    assert tokens["output"] == pytest.approx(200, rel=1e-3)
    hours = HOURS[QUARTERS[1]]
    path = (hours * 0.5 ** (QUARTERS[1] / 12)).sum() / hours.sum()
    # 20 requests/s x 3600 s: 1,000 input tokens at 0.2 USD a million, 200 output at 0.6.
    an_hour = 72_000 * (1000 * 0.2 + 200 * 0.6) / 1e6 * path
    assert p.api_class.tolist() == [0]
    assert p.costs.api_usd[0, 1] == pytest.approx(an_hour * p.demand.hours[1], rel=1e-3)


def test_residual_curve_of_the_scenario_moves_the_end_value():
    # Bought in January 2027 and 18 months in service: halfway from 0.6 to 0.4.
    supply = {"options": ["owned"], "prices": PRICES[:1], "lead_time_months": {"l40s": 0}}
    curve = {"residual": {"curve": [0.6, 0.4], "condition_frac": 1, "selling_cost_frac": 0}}
    horizon = {"start": "2027-01", "months": 18}
    plan = decide(scenario(supply=supply, finance=curve, horizon=horizon, sites=[HQ]))[1]
    seen = view(plan)
    servers = seen.values["own_l40s_hq_servers_usd"]
    assert np.flatnonzero(servers).tolist() == [0]
    assert seen.category_usd("end value")[17] == pytest.approx(-0.5 * servers[0])


def test_residual_curve_and_decline_exclude_each_other():
    with pytest.raises(ValidationError, match="either decline_per_year or curve"):
        scenario(finance={"residual": {"curve": [0.5], "decline_per_year": 0.2}})
