"""Prices in other currencies, translated month by month at the edge of the ledger."""

import dataclasses

import numpy as np
import pytest
from pydantic import ValidationError

from planner import report
from planner.candidates.assemble import build
from planner.candidates.offers import offers
from planner.finance import ledger
from planner.finance.calendar import calendar_quantities
from planner.finance.lines import api_lines, assemble, commitment_lines, common_lines
from planner.finance.owned import owned_lines
from planner.finance.unit import input_values
from planner.optimize.objective import cost_usd
from tests.small_world import CLOUD, HQ, LETTER, catalog, decide, known, scenario
from tests.unit.test_finance_lines import API, SITE, Assumed, a, at, common, owned, reserved


def euro(value):
    return Assumed(value, "test", "2026-11-01", "estimated", currency="EUR")


RATES = {"EUR": (a(1.0), a(1.25))}
"""1 USD in 2027, 1.25 from 2028 on."""


def values_of(option, **quantities):
    lines, inputs = assemble([common_lines(dataclasses.replace(common(), fx=RATES)), option])
    given = {**calendar_quantities("2027-01", 36, 48), **quantities}
    return ledger.evaluate(lines, input_values(inputs), given, 48), inputs


def test_use_is_translated_at_the_rate_of_its_month():
    offer = dataclasses.replace(API, input_usd_per_mtoken=euro(2.0))
    values, inputs = values_of(
        api_lines(offer), api_nebius_llama_input_mtokens=np.ones(48) * (np.arange(48) < 36)
    )
    paid = values["api_nebius_llama_input_usd"]
    assert paid[[0, 11, 12, 35]].tolist() == [2.0, 2.0, 2.5, 2.5]
    units = {given.name: given.unit for given in inputs}
    assert units["api_nebius_llama_input_usd_per_mtoken"] == "EUR/Mtoken"
    assert units["api_nebius_llama_output_usd_per_mtoken"] == "USD/Mtoken"
    assert units["fx_eur_year_2"] == "USD/EUR"


def test_orders_and_contracts_keep_the_rate_of_their_month():
    offer = dataclasses.replace(reserved(), usd_per_gpu_h=euro(2.0))
    values, _ = values_of(
        commitment_lines(offer), reserved_1y_h100_us_east_signed=at(6, total=48) + at(12, total=48)
    )
    # 16 EUR/h signed in July 2027 at 1.00 and 16 EUR/h signed in January 2028 at 1.25.
    rate = values["reserved_1y_h100_us_east_usd_per_h"]
    assert rate[[6, 12, 17, 18, 23]].tolist() == pytest.approx([16, 36, 36, 20, 20])
    bought = dataclasses.replace(owned(lead=3), lot_usd=euro(100_000.0))
    place = dataclasses.replace(SITE, rent_usd_per_kw_month=euro(200.0))
    values, _ = values_of(owned_lines(bought, place), own_h100_hq_bought=at(11, total=48))
    assert values["own_h100_hq_orders_usd"][11] == pytest.approx(131_000)
    assert values["own_h100_hq_rent_usd"][[14, 30]].tolist() == pytest.approx([2_500, 2_500])
    assert values["own_h100_hq_idle_energy_usd"][14] == pytest.approx(3 * 744 * 0.12)


SITES = [{**HQ, "electricity_usd_per_kwh": 0.2, "currency": "EUR"}, CLOUD]
SUPPLY = {
    "options": ["owned", "on_demand"],
    "prices": [
        {"accelerator": "l40s", "option": "owned", "usd": 5_000.0, "currency": "EUR", **LETTER}
    ],
}


def abroad(rate=None):
    return scenario(
        sites=SITES, supply=SUPPLY, finance={"fx": {"EUR": rate or {2027: 1.1, 2029: 1.2}}},
        horizon={"start": "2027-07", "months": 24},
    )  # fmt: skip


def test_rates_by_year_hold_on_until_the_next():
    found = offers(abroad(), catalog()).common.fx["EUR"]
    assert [(row.value, row.scenario_path) for row in found] == [
        (1.1, "finance.fx.EUR.2027"), (1.1, "finance.fx.EUR.2028"), (1.2, "finance.fx.EUR.2029"),
    ]  # fmt: skip


def test_a_facility_stays_in_usd():
    (place, _) = offers(abroad(), catalog()).places
    assert place.costs is not None
    assert place.costs.electricity_usd_per_kwh.currency == "EUR"
    assert place.costs.rent_usd_per_kw_month.currency == "USD"
    assert place.costs.pue.currency == "USD"


def test_a_plan_costed_again_at_another_rate():
    decided, plan = decide(abroad(1.1))
    assert decided.solution.lots_bought.any()
    again = report.recost(plan, {"finance.fx.EUR": 1.4})
    changed, _ = build(known(abroad(1.4)))
    assert again.npv_usd == pytest.approx(cost_usd(changed, decided.solution), rel=1e-9)
    assert again.npv_usd > plan.npv_usd
    price = next(row for row in plan.ledger_inputs if row.name == "l40s_lot_usd")
    assert (price.unit, price.value) == ("EUR", 5_000)


@pytest.mark.parametrize(
    ("fx", "message"),
    [
        ({}, "site hq is in EUR: write USD for one EUR as finance.fx.EUR"),
        ({"EUR": {2028: 1.1}}, "finance.fx.EUR has no rate for 2027 or before"),
        ({"EUR": 1.1, "USD": 1.0}, "finance.fx.USD"),
        ({"eur": 1.1}, "pattern"),
        ({"EUR": 0.0}, "greater than 0"),
    ],
)
def test_a_currency_without_a_rate_is_refused(fx, message):
    with pytest.raises(ValidationError, match=message):
        scenario(sites=SITES, supply=SUPPLY, finance={"fx": fx})
