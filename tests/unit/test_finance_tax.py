"""Income tax, payment terms and books of each option, by hand or from REopt's cases."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.finance import ledger
from planner.finance.calendar import calendar_quantities
from planner.finance.depreciation import rates_by_tax_year
from planner.finance.lines import (
    active_energy_lines,
    api_lines,
    assemble,
    commitment_lines,
    common_lines,
    on_demand_lines,
)
from planner.finance.offers import Running, TaxTerms
from planner.finance.owned import owned_lines
from planner.finance.tax import METHODS, TAX_YEARS, Asset, taxed
from planner.finance.unit import input_values, monthly_orders, monthly_spread, npv_usd, unit_npv
from tests.unit.test_finance_lines import API, RENTED, SITE, a, at, common, owned, reserved

CASES = Path(__file__).parents[3] / "shared/cases/reopt/finance_cases.json"
PLAIN = {
    "network_frac": 0.0,
    "storage_frac": 0.0,
    "installation_frac": 0.0,
    "maintenance_frac_per_year": 0.0,
    "insurance_frac_per_year": 0.0,
    "condition_frac": 0.0,
}
"""A machine and nothing else; worth nothing in the end."""
FREE = dataclasses.replace(SITE, electricity_usd_per_kwh=a(0.0), rent_usd_per_kw_month=a(0.0))


def terms(rate=0.26, state=0.0, method="macrs_5", bonus=0.0, **more):
    return TaxTerms(
        tax_rate=a(rate), state_tax_rate=a(state), tax_method=a(METHODS.index(method) + 1),
        tax_life_years=a(more.get("life", 5.0)), bonus_frac=a(bonus),
        state_bonus_conforms=a(more.get("conforms", 0.0)),
        tax_convention=a(more.get("convention", 2.0)),
    )  # fmt: skip


def after_tax(option, key, asset=None):
    return taxed(option, key=key, asset=asset)


def bought(offer, site=SITE):
    key = f"own_{offer.accelerator}_{offer.site}"
    asset = Asset(
        f"{key}_orders_usd", f"{key}_placed_usd", f"{key}_end_value_usd",
        f"{offer.accelerator}_lead_months",
    )  # fmt: skip
    return after_tax(owned_lines(offer, site), key, asset)


def rows(option, given, *, months, total=None, quantities, first_fiscal_month=1, bonus_from=0,
         mid_quarter=()):  # fmt: skip
    total = total or months
    lines, inputs = assemble([common_lines(given), option])
    calendar = calendar_quantities(
        "2027-01", months, total, fiscal_year_start_month=first_fiscal_month
    )
    flags = {
        "bonus_open": (np.arange(total) >= bonus_from).astype(float),
        "mid_quarter": np.isin(np.arange(total) // 12, mid_quarter).astype(float),
    }
    values = ledger.evaluate(lines, input_values(inputs), {**calendar, **flags, **quantities},
                             total)  # fmt: skip
    return values, lines


def machine(usd, **changes):
    """A machine of one price that costs nothing to run."""
    return bought(dataclasses.replace(owned(**changes), lot_usd=a(usd)), FREE)


def tax_by_year(values, key="own_h100_hq_tax_usd"):
    return np.asarray(values[key]).reshape(-1, 12).sum(axis=1)


@pytest.mark.parametrize(("bonus", "effective"), [(0.0, 789.0553), (1.0, 759.2593)])
def test_capital_after_tax_of_a_published_program(bonus, effective):
    # REopt takes tax at the ends of years 1, 2, ...: so do fiscal years that start in January
    # with cash discounted from the ends of months; the purchase itself lies at 0 there.
    given = common(discount_rate=0.08, discount_timing=0.0, **PLAIN)
    given = dataclasses.replace(given, tax=terms(bonus=bonus))
    values, _ = rows(machine(1000.0), given, months=72,
                     quantities={"own_h100_hq_bought": at(0, total=72)})  # fmt: skip
    saved = (values["own_h100_hq_tax_usd"] * values["discount_factor"]).sum()
    assert 1000 + saved == pytest.approx(effective, abs=1e-4)


@pytest.mark.skipif(not CASES.exists(), reason="../shared is not beside the repository")
def test_the_published_figures_are_those_of_the_case_file():
    found = json.loads(CASES.read_text())["after_tax_effective_capex"]["ported"]
    assert [row["effective"] for row in found[:2]] == [789.0553, 759.2593]


def test_tax_is_settled_at_the_end_of_the_fiscal_year():
    # Fiscal years start in July: 20 % of 1000 in the first, which has six months here, 32 % in
    # the second, and what is left in the year that the horizon cuts.
    given = dataclasses.replace(common(**PLAIN), tax=terms(rate=0.5))
    values, _ = rows(machine(1000.0), given, months=24, first_fiscal_month=7,
                     quantities={"own_h100_hq_bought": at(0, total=24)})  # fmt: skip
    tax = values["own_h100_hq_tax_usd"]
    assert np.flatnonzero(tax).tolist() == [5, 17, 23]
    # January 2028 is in the second fiscal year, so tax year 2; the rest of 480 at the end.
    assert tax[[5, 17, 23]].tolist() == pytest.approx([-100, -160, -240])


def test_gain_on_the_end_value_is_taxed():
    # Sold after 2 years for 100,000 x 0.49 x 0.72 x 0.9 = 31,752 with the bonus taken: all gain.
    given = common(**{**PLAIN, "condition_frac": 0.72})
    given = dataclasses.replace(given, tax=terms(rate=0.2, bonus=1.0))
    values, _ = rows(machine(100_000.0), given, months=24,
                     quantities={"own_h100_hq_bought": at(0, total=24)})  # fmt: skip
    assert tax_by_year(values).tolist() == pytest.approx([-20_000, 0.2 * 31_752])


def deferred_by_year(values, key="own_h100_hq"):
    return np.asarray(values[f"{key}_deferred_tax_usd"]).reshape(-1, 12).sum(axis=1)


def book_life(years, **more):
    return dataclasses.replace(common(**{**PLAIN, **more}), book_life_years=a(years))


def test_deferred_tax_of_a_machine_by_hand():
    # 100,000 in January: tax takes 20, 32, 19.2, 11.52, 11.52, 5.76 %, the books 25 % in each of
    # four years. Tax depreciation less the books' -5,000, 7,000, -5,800, -13,480, 11,520, 5,760,
    # times 21 %; they add up to 0, and so does the tax on them.
    given = dataclasses.replace(book_life(4.0), tax=terms(rate=0.21))
    values, _ = rows(machine(100_000.0), given, months=72,
                     quantities={"own_h100_hq_bought": at(0, total=72)})  # fmt: skip
    by_year = deferred_by_year(values)
    assert by_year.tolist() == pytest.approx([-1050, 1470, -1218, -2830.8, 2419.2, 1209.6])
    assert by_year.sum() == pytest.approx(0, abs=1e-9)
    ends = values["own_h100_hq_deferred_liability_usd"][11::12]
    assert ends.tolist() == pytest.approx([-1050, 420, -798, -3628.8, -1209.6, 0], abs=1e-9)
    # Settled and deferred together are 21 % of what the books write off, in every year.
    both = tax_by_year(values) + by_year
    assert both.tolist() == pytest.approx([-5250] * 4 + [0, 0], abs=1e-9)


def test_deferred_tax_of_a_bonus_with_a_state_that_refuses_it():
    # All 100,000 off federal income at once, 20 % of it off the state's: at the first year's end
    # the books hold 75,000, federal tax nothing, the state 80,000: 21 % of 75,000 less 6 % x 79 %
    # of 5,000 is a liability of 15,750 - 237.
    given = dataclasses.replace(book_life(4.0), tax=terms(rate=0.21, state=0.06, bonus=1.0))
    values, _ = rows(machine(100_000.0), given, months=72,
                     quantities={"own_h100_hq_bought": at(0, total=72)})  # fmt: skip
    assert values["own_h100_hq_deferred_liability_usd"][11] == pytest.approx(15_513)
    assert deferred_by_year(values).sum() == pytest.approx(0, abs=1e-9)


def test_deferred_tax_ends_when_machines_are_sold():
    # After two years the books hold half of 100,000 and tax 48,000: 21 % of 2,000 is owed later,
    # until the machine is sold in that month and both lose what they held.
    given = dataclasses.replace(book_life(4.0, condition_frac=0.5), tax=terms(rate=0.21))
    values, _ = rows(machine(100_000.0), given, months=24, total=30,
                     quantities={"own_h100_hq_bought": at(0, total=30)})  # fmt: skip
    assert values["own_h100_hq_deferred_liability_usd"][23] == pytest.approx(420)
    tax = values["own_h100_hq_deferred_tax_usd"]
    assert tax[:23].sum() == pytest.approx(0.21 * (100_000 * 25 / 48 - 48_000))
    assert tax[23] == pytest.approx(-tax[:23].sum())
    assert tax[24:].tolist() == [0] * 6


def test_deferred_tax_of_a_lease_is_what_rent_and_books_differ_by():
    # Two months at 25 % a month: 11,904 and 10,752 of rent; the books expense 2,150.40 of interest
    # and 10,252.80 in January: 499.20 more than rent, 20 % of which is an asset until February.
    option = commitment_lines(
        dataclasses.replace(reserved(2), treatment="finance", upfront_frac=a(0.0))
    )
    given = dataclasses.replace(
        common(cloud_support_frac=0.0), leases=True, borrowing_rate=a(1.25**12 - 1),
        tax=terms(rate=0.2),
    )  # fmt: skip
    key = "reserved_1y_h100_us_east"
    values, _ = rows(after_tax(option, key), given, months=12,
                     quantities={f"{key}_signed": at(0)})  # fmt: skip
    tax = values[f"{key}_deferred_tax_usd"]
    assert tax.tolist() == pytest.approx([-99.84, 99.84] + [0] * 10, abs=1e-9)


@pytest.mark.parametrize("option", [api_lines(API), commitment_lines(reserved(2))])
def test_what_books_and_tax_see_alike_has_no_deferred_tax(option):
    assert not [line for line in after_tax(option, "x")[0] if "deferred" in line.key]


def test_state_tax_is_deducted_from_federal_income():
    # A cost of 100 lowers state tax by 10 and federal tax by 20 % of 100 - 10: 28 in all.
    given = dataclasses.replace(common(cloud_support_frac=0.0), tax=terms(rate=0.2, state=0.1))
    option = after_tax(api_lines(API), "api_nebius_llama")
    values, _ = rows(option, given, months=12,
                     quantities={"api_nebius_llama_input_mtokens": at(3, 100.0)})  # fmt: skip
    assert values["api_nebius_llama_tax_usd"].tolist() == pytest.approx([0.0] * 11 + [-28.0])


@pytest.mark.parametrize(("conforms", "first"), [(1.0, 280.0), (0.0, 216.0)])
def test_a_state_may_refuse_the_bonus(conforms, first):
    # Rates 20 % and 10 %; 28 % together, of which 20 % go with the federal deduction and 8 %
    # with the state's. Bonus in both: 280 at once; refused by the state, which takes 20 % of
    # 1000 in its first year: 200 + 8 % of 200.
    given = dataclasses.replace(
        common(**PLAIN), tax=terms(rate=0.2, state=0.1, bonus=1.0, conforms=conforms)
    )
    values, _ = rows(machine(1000.0), given, months=36,
                     quantities={"own_h100_hq_bought": at(0, total=36)})  # fmt: skip
    assert -tax_by_year(values)[0] == pytest.approx(first)
    assert -tax_by_year(values).sum() == pytest.approx(280.0)


def test_orders_before_a_bonus_law_do_not_get_it():
    # Orders in January and April; the law holds for what is ordered from March on, both enter
    # service three months later. 20 % of the first, all of the second.
    given = dataclasses.replace(common(**PLAIN), tax=terms(rate=1.0 - 1e-9, bonus=1.0))
    values, _ = rows(
        machine(1000.0, lead=3), given, months=24, bonus_from=2,
        quantities={"own_h100_hq_bought": at(0, total=24) + at(3, total=24)},
    )  # fmt: skip
    assert -tax_by_year(values).sum() == pytest.approx(2000)
    assert -tax_by_year(values)[0] == pytest.approx(1200)


def test_methods_shares_are_those_of_the_tables():
    lines, inputs = common_lines(dataclasses.replace(common(), tax=terms()))
    known = input_values(inputs)
    calendar = calendar_quantities("2027-01", 12, 12)
    for code, method in enumerate(METHODS, 1):
        for mid in (0.0, 1.0):
            given = {**known, "tax_method": code, "tax_convention": 1, "tax_life_years": 4.0}
            values = ledger.evaluate(lines, given, {**calendar, "mid_quarter": np.full(12, mid)},
                                     12)  # fmt: skip
            for month in range(12):
                expected = rates_by_tax_year(
                    method, convention="mid_quarter" if mid else "half_year",
                    quarter=month // 3 + 1, life_years=4.0,
                )  # fmt: skip
                found = [values[f"placed_share_{k}"][month] for k in range(1, TAX_YEARS + 1)]
                assert found == pytest.approx(expected[:TAX_YEARS], abs=1e-12), (method, mid)


def test_the_convention_is_that_of_the_year_placed_in_service():
    # Bought in October 2027, a mid-quarter year: 5, 38 %; in January 2028, half-year: 20, 32 %.
    given = dataclasses.replace(common(**PLAIN), tax=terms(rate=0.5, convention=1.0))
    values, _ = rows(
        machine(1000.0), given, months=36, mid_quarter=[0],
        quantities={"own_h100_hq_bought": at(9, total=36) + at(12, total=36)},
    )  # fmt: skip
    saved = -tax_by_year(values) * 2
    assert saved[:2].tolist() == pytest.approx([50, 380 + 200])
    assert saved.sum() == pytest.approx(2000)


def test_payments_of_a_purchase():
    # 30/60/10 of 1000: order in January, service in April, acceptance two months later.
    given = dataclasses.replace(
        common(**PLAIN), payment_order_frac=a(0.3), payment_delivery_frac=a(0.6),
        payment_acceptance_months=a(2),
    )  # fmt: skip
    offer = dataclasses.replace(owned(lead=3), lot_usd=a(1000.0))
    values, _ = rows(owned_lines(offer, FREE), given, months=12,
                     quantities={"own_h100_hq_bought": at(0)})  # fmt: skip
    paid = sum(values[f"own_h100_hq_{when}_usd"] for when in ("order", "delivery", "acceptance"))
    assert paid.tolist() == pytest.approx([300, 0, 0, 600, 0, 100, 0, 0, 0, 0, 0, 0])


def test_upfront_share_of_a_contract_and_what_is_still_owed():
    # 8 accelerators at 2 USD for 8,760 h of 2027: 140,160 USD, half of it when signed.
    offer = dataclasses.replace(reserved(), upfront_frac=a(0.5))
    key = "reserved_1y_h100_us_east"
    values, _ = rows(commitment_lines(offer), common(), months=12, total=24,
                     quantities={f"{key}_signed": at(0, total=24)})  # fmt: skip
    assert values[f"{key}_signed_usd"][0] == pytest.approx(140_160)
    assert values[f"{key}_upfront_usd"].tolist() == pytest.approx([70_080] + [0] * 23)
    assert values[f"{key}_paid_usd"][0] == pytest.approx(8 * 744)
    assert values[f"{key}_support_usd"][0] == pytest.approx(0.05 * 16 * 744)
    owed = values[f"{key}_obligation_usd"]
    assert owed[0] == pytest.approx(70_080 - 8 * 744)
    assert owed[11:] == pytest.approx(np.zeros(13), abs=1e-6)
    # What is owed at a month's end is what is paid from then on.
    later = values[f"{key}_paid_usd"].sum() - np.cumsum(values[f"{key}_paid_usd"])
    np.testing.assert_allclose(owed, later, atol=1e-6)


def test_books_write_machines_down_from_the_month_of_service():
    # 120,000 over 60 months from April: nine months of 2,000; sold for nothing: 102,000 lost.
    given = common(**PLAIN)
    offer = dataclasses.replace(owned(lead=3), lot_usd=a(120_000.0))
    values, _ = rows(owned_lines(offer, FREE), given, months=12,
                     quantities={"own_h100_hq_bought": at(0)})  # fmt: skip
    assert values["own_h100_hq_depreciation_usd"].tolist() == pytest.approx([0] * 3 + [2000] * 9)
    assert values["own_h100_hq_net_book_usd"][[0, 11]].tolist() == [120_000, 102_000]
    assert values["own_h100_hq_disposal_usd"].tolist() == pytest.approx([0] * 11 + [102_000])


def test_staff_licences_and_sales_tax():
    given = Running(a(0.002), a(150_000.0), a(0.0), a(4_500.0), a(1.0), a(0.06))
    offer = dataclasses.replace(owned(), lot_gpus=a(8), running=given)
    values, _ = rows(owned_lines(offer, SITE), common(), months=12,
                     quantities={"own_h100_hq_bought": at(0)})  # fmt: skip
    assert values["own_h100_hq_staff_usd"].sum() == pytest.approx(8 * 0.002 * 150_000)
    assert values["own_h100_hq_licences_usd"].sum() == pytest.approx(8 * 4_500)
    # On servers, network 25 % and storage 3 %, not on installation.
    assert values["own_h100_hq_sales_tax_usd"][0] == pytest.approx(128_000 * 0.06)
    assert values["own_h100_hq_orders_usd"][0] == pytest.approx(131_000 + 7_680)
    held = dataclasses.replace(reserved(), running=given)
    key = "reserved_1y_h100_us_east"
    values, _ = rows(commitment_lines(held), common(), months=6, total=24,
                     quantities={f"{key}_signed": at(0, total=24)})  # fmt: skip
    assert values[f"{key}_licences_usd"].sum() == pytest.approx(8 * 4_500 / 2)
    hourly = dataclasses.replace(RENTED, running=given)
    values, _ = rows(on_demand_lines(hourly), common(), months=12,
                     quantities={"on_demand_h100_us_east_lot_hours": at(2, 10.0)})  # fmt: skip
    assert values["on_demand_h100_us_east_licences_usd"].sum() == pytest.approx(80)


def test_cost_of_staff_rises_with_its_escalator():
    # Eight accelerators x 0.002 x 150,000 a year: 200 a month, 5 % more a year later.
    given = Running(a(0.002), a(150_000.0), a(0.05))
    offer = dataclasses.replace(owned(), lot_gpus=a(8), running=given)
    values, _ = rows(owned_lines(offer, SITE), common(), months=24,
                     quantities={"own_h100_hq_bought": at(0, total=24)})  # fmt: skip
    staff = values["own_h100_hq_staff_usd"]
    assert staff[[0, 12]].tolist() == pytest.approx([200.0, 210.0])


PERIODS, HORIZON, TOTAL = 6, 18, 18 + 40
CALENDAR = {
    **calendar_quantities("2027-05", HORIZON, TOTAL, fiscal_year_start_month=7),
    "mid_quarter": (np.arange(TOTAL) < 2).astype(float),
    "bonus_open": (np.arange(TOTAL) >= 4).astype(float),
}
ORDERS = monthly_orders(periods=PERIODS, period_months=3, total_months=TOTAL)
SPREAD = monthly_spread(periods=PERIODS, period_months=3, hours=CALENDAR["hours"])
PEOPLE = Running(a(0.002), a(150_000.0), a(0.03), a(4_500.0), a(1.0), a(0.06))


def options(upfront):
    own = dataclasses.replace(owned(lead=3), lot_gpus=a(8), running=PEOPLE)
    one = dataclasses.replace(reserved(), upfront_frac=a(upfront), running=PEOPLE)
    three = dataclasses.replace(reserved(36, "reserved_3y"), upfront_frac=a(upfront))
    return {
        "own_h100_hq_bought": (bought(own), ORDERS),
        "reserved_1y_h100_us_east_signed":
            (after_tax(commitment_lines(one), "reserved_1y_h100_us_east"), ORDERS),
        "reserved_3y_h100_us_east_signed":
            (after_tax(commitment_lines(three), "reserved_3y_h100_us_east"), ORDERS),
        "on_demand_h100_us_east_lot_hours":
            (after_tax(on_demand_lines(RENTED), "on_demand_h100_us_east"), SPREAD),
        "api_nebius_llama_output_mtokens": (after_tax(api_lines(API), "api_nebius_llama"), SPREAD),
        "energy_hq_it_kwh": (after_tax(active_energy_lines(SITE), "energy_hq"), SPREAD),
    }  # fmt: skip


frac = st.floats(0, 1)
SETTINGS = {
    "rate": st.floats(0, 0.6), "state": st.floats(0, 0.2), "method": st.sampled_from(METHODS),
    "bonus": frac, "conforms": st.sampled_from([0.0, 1.0]),
    "convention": st.sampled_from([1.0, 2.0, 3.0]), "life": st.floats(1, 10),
}  # fmt: skip


PAYMENT = {
    "upfront": frac, "order": st.floats(0, 0.5), "delivery": st.floats(0, 0.5),
    "accept": st.integers(0, 6), "life": st.integers(3, 6),
}  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(tax=st.fixed_dictionaries(SETTINGS), pay=st.fixed_dictionaries(PAYMENT), seed=st.integers(0))
def test_quantities_times_coefficients_are_the_ledgers_npv(tax, pay, seed):
    common_rows = common_lines(
        dataclasses.replace(
            common(capex=-0.15, rental=-0.1, discount_rate=0.09, tail_value_frac=0.3),
            payment_order_frac=a(pay["order"]), payment_delivery_frac=a(pay["delivery"]),
            payment_acceptance_months=a(pay["accept"]), book_life_years=a(pay["life"]),
            tax=terms(**tax),
        )
    )  # fmt: skip
    had = options(pay["upfront"])
    rng = np.random.default_rng(seed)
    lots = {key: rng.uniform(0, 1e3, PERIODS) for key in had}
    lines, inputs = assemble([common_rows, *(option for option, _ in had.values())])
    quantities = {key: lots[key] @ by_month for key, (_, by_month) in had.items()}
    values = ledger.evaluate(lines, input_values(inputs), {**CALENDAR, **quantities}, TOTAL)
    summed = 0.0
    for key, (option, by_month) in had.items():
        few, given = assemble([common_rows, option])
        unit = unit_npv(few, input_values(given), quantity_key=key, by_month=by_month,
                        calendar=CALENDAR)  # fmt: skip
        summed += float(lots[key] @ unit)
    npv = float(npv_usd(lines, values))
    assert summed == pytest.approx(npv, rel=1e-9, abs=1e-3)

    profit = [
        values[line.key].sum()
        for line in lines
        if line.kind == "book" or (line.kind == "cash" and not line.deferred)
    ]
    paid = float(ledger.cash(lines, values).sum())
    assert sum(profit) == pytest.approx(paid, rel=1e-9)

    # Whatever the method, everything paid before tax is deducted in the end.
    whole = tax["rate"] + tax["state"] * (1 - tax["rate"])
    bill = sum(float(values[line.key].sum()) for line in lines if line.category == "tax")
    assert bill == pytest.approx(-whole * (paid - bill), rel=1e-9, abs=1e-6)
