"""Rates, paybacks and break-evens against published figures and by hand."""

import math

import numpy as np
import pytest

from planner.finance.metrics import (
    annuity_factor,
    break_even_months,
    break_even_residual,
    break_even_utilization,
    capital_recovery_factor,
    discount_factors,
    effective_savings_rate,
    irr,
    irr_per_year,
    mirr,
    monthly_rate,
    net_advantage_to_leasing,
    npv,
    payback,
    resale_usd,
    usd_per_gpu_hour,
)

# NREL/REopt.jl 029db01, src/core/utils.jl annuity_factor, five decimals.
REOPT = [
    (25, 0.0, 0.0638, 12.33449),
    (25, 0.023, 0.0638, 15.64147),
    (20, 0.03, 0.06, 14.99838),
    (3, 0.0, 0.1, 2.48685),
    (4, 0.02, 0.08, 3.47446),
    (10, 0.0, 0.0, 10.0),
]


@pytest.mark.parametrize(("years", "growth", "rate", "factor"), REOPT)
def test_annuities_of_reopt(years, growth, rate, factor):
    assert annuity_factor(rate=rate, count=years, growth=growth) == pytest.approx(factor, abs=5e-6)


def test_recovery_factor_is_excels_pmt():
    # PMT(10 %, 5, -100,000) = 26,379.748 (Microsoft's function reference; three engines agree)
    assert 100_000 * capital_recovery_factor(rate=0.1, count=5) == pytest.approx(26379.748079474524)


def test_replacement_cost_of_reopt():
    # 700 in year 10 at 8 %: 324.235442 (NREL/REopt.jl test/runtests.jl)
    assert npv([0] * 10 + [700], rate=0.08) == pytest.approx(324.235442)


def test_lease_against_purchase_of_a_textbook():
    # Ross/Westerfield/Jordan, Tasha: 10,000 against five payments of 2,500 less tax and lost
    # depreciation shields, at 5 % after tax: -87.68.
    assert npv([10_000, *[-2_330] * 5], rate=0.05) == pytest.approx(-87.68, abs=0.005)


def test_irr_is_excels_rate():
    # RATE(48, -200, 8000) a month
    assert irr([8_000, *[-200] * 48]) == pytest.approx(0.007701472488201528, abs=1e-12)


def test_irr_by_hand():
    # With q = 1 + rate: 100 q^2 - 60 q - 60.5 = 0, so q = (6 + sqrt(278)) / 20.
    assert irr([-100, 60, 60.5]) == pytest.approx((6 + 278**0.5) / 20 - 1)
    assert irr([-100, 50, 50]) == pytest.approx(0.0, abs=1e-9)
    assert irr([-100, 0, 25]) == pytest.approx(-0.5)
    assert irr_per_year([-1000, *[0] * 23, 1210]) == pytest.approx(0.1)


def test_irr_of_long_monthly_cash_makes_npv_zero():
    cash = np.concatenate([[-1e7], np.linspace(1e5, 5e5, 83)])
    assert npv(cash, rate=irr(cash)) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("cash", [[100, 5, 5], [-1, -2, 0], [0, 0], [0, 3]])
def test_plans_that_only_cost_have_no_irr(cash):
    with pytest.raises(ValueError, match="never changes sign"):
        irr(cash)


def test_several_rates_are_refused():
    # Roots 10 % and 20 %: (q - 1 / 1.1)(q - 1 / 1.2) scaled by -132.
    with pytest.raises(ValueError, match="2 internal rates"):
        irr([-100, 230, -132])


def test_payback():
    assert payback([-100, 50, 50]) == 3
    assert payback([-100, 60, 60]) == pytest.approx(1 + 1 + 40 / 60)
    assert payback([-100, 60, 30]) == math.inf
    assert payback([5, 5]) == 0
    # A refresh that makes the total negative again counts.
    assert payback([-100, 150, -100, 100]) == pytest.approx(3.5)


def test_discounted_payback_is_later():
    # At 10 %: -100, +60/1.1 = 54.545, +60/1.21 = 49.587: short by 45.4545 of 49.587.
    assert payback([-100, 60, 60], rate=0.1) == pytest.approx(2 + 45.4545 / 49.5868, rel=1e-5)


def test_break_even_does_not_count_the_purchase_twice():
    # Published example: 8 GPUs, 392,000 up front, power 376.32 and room 3,000 a month, cloud
    # 14,400 a month. Right: 392,000 / (14,400 - 3,376.32) = 35.56 months; with the amortization
    # of 8,166.67 among the running costs the same formula says 137.2.
    own = 8 * 0.7 * 1.4 * 400 * 0.12 + 3_000
    assert own == pytest.approx(3_376.32)
    assert break_even_months(
        capex_usd=392_000, own_usd_per_month=own, rent_usd_per_month=14_400
    ) == pytest.approx(35.56, abs=0.005)
    assert break_even_months(
        capex_usd=392_000, own_usd_per_month=own + 392_000 / 48, rent_usd_per_month=14_400
    ) == pytest.approx(137.2, abs=0.05)
    assert break_even_months(capex_usd=1, own_usd_per_month=2, rent_usd_per_month=2) == math.inf


@pytest.mark.parametrize(
    ("committed", "on_demand", "expected"),
    [
        (11.215, 14.242, 0.7875),
        (10.459, 14.242, 0.7344),
        (2.93, 3.90, 0.7513),
        (2.54, 3.90, 0.6513),
    ],
)
def test_break_even_utilization_of_price_lists(committed, on_demand, expected):
    # AWS p6-b200 and Crusoe H100, one and three years
    found = break_even_utilization(committed_usd_per_h=committed, on_demand_usd_per_h=on_demand)
    assert found == pytest.approx(expected, abs=5e-5)


def test_effective_savings_rate():
    # recfo.dev s6-01: 22 %; buy two get one free 33 %, buy three get two free 40 %.
    for equivalent, actual, expected in ((100_000, 78_000, 0.22), (3, 2, 1 / 3), (5, 3, 0.4)):
        found = effective_savings_rate(on_demand_equivalent_usd=equivalent, actual_usd=actual)
        assert found == pytest.approx(expected)


def test_conventions():
    assert monthly_rate(0.08) == pytest.approx(0.00643403, abs=1e-8)
    assert discount_factors(rate=0.21, count=2, first=0.5)[0] == pytest.approx(1 / 1.1)


def test_mirr_is_excels():
    # Microsoft's function reference: 120,000 borrowed at 10 %, income reinvested at 12 %:
    # 12.61 % after five years, -4.80 % after three; at 14 % of reinvestment 13.48 %.
    cash = [-120_000, 39_000, 30_000, 21_000, 37_000, 46_000]
    for years, reinvest, expected in ((5, 0.12, 0.1261), (3, 0.12, -0.0480), (5, 0.14, 0.1348)):
        found = mirr(cash[: years + 1], finance_rate=0.10, reinvest_rate=reinvest)
        assert found == pytest.approx(expected, abs=5e-5)


def test_mirr_by_hand():
    # 25 x 1.12 + 116 = 144 from 100 in two intervals; outlays 100 + 55 / 1.1 = 150 become 216.
    assert mirr([-100, 25, 116], finance_rate=0.1, reinvest_rate=0.12) == pytest.approx(0.2)
    assert mirr([-100, -55, 216], finance_rate=0.1, reinvest_rate=0.5) == pytest.approx(0.2)
    with pytest.raises(ValueError, match="never changes sign"):
        mirr([-1, -2], finance_rate=0.1, reinvest_rate=0.1)


def test_mirr_where_there_are_several_internal_rates():
    # 10 % and 20 % are both internal rates: at either the modified one is the rate itself.
    for rate in (0.1, 0.2):
        found = mirr([-100, 230, -132], finance_rate=rate, reinvest_rate=rate)
        assert found == pytest.approx(rate)


def test_residual_at_which_buying_costs_as_much():
    # 1,000 more to buy; worth 0.8 on the day of sale, a tenth goes to selling: 1,000 / 0.72.
    found = break_even_residual(
        own_npv_usd=5_000, rent_npv_usd=4_000, discount_factor=0.8, kept_frac=0.9
    )
    assert found == pytest.approx(1_388.89, abs=0.005)
    assert break_even_residual(own_npv_usd=1, rent_npv_usd=2, discount_factor=1) == -1


def test_net_advantage_to_leasing():
    given = {
        "price_usd": 10_000,
        "lease_usd": [2_500] * 5,
        "depreciation_usd": [2_000] * 5,
        "tax_rate_frac": 0.34,
        "after_tax_rate": 0.05,
    }
    assert net_advantage_to_leasing(**given) == pytest.approx(-87.68, abs=0.005)
    # A residual of 1,276.28 after tax is worth 1,000 today (1.05^5 = 1.27628) and lost by leasing.
    lost = net_advantage_to_leasing(**given, residual_after_tax_usd=1_276.2815625)
    assert lost == pytest.approx(-1_087.68, abs=0.005)
    # In advance each 1,650 falls due a year sooner: 1,650 x 4.329477 x 0.05 = 357.18 more.
    early = net_advantage_to_leasing(**given, in_advance=True)
    assert early == pytest.approx(-87.68 - 357.18, abs=0.01)


def test_unit_cost_of_work_done():
    assert usd_per_gpu_hour(cost_usd=876, gpus=1, hours=8760, utilization_frac=0.5) == 0.2
    assert usd_per_gpu_hour(cost_usd=1, gpus=1, hours=1, utilization_frac=0) == math.inf


def test_resale():
    # 30,000 x 0.46 after three years x 0.72 used: 9,936 sold in time, 6,458.40 in 30 days (0.65)
    given = {"price_usd": 30_000, "vintage_frac": 0.46, "condition_frac": 0.72}
    assert resale_usd(**given) == pytest.approx(9_936)
    assert resale_usd(**given, sale_frac=0.65) == pytest.approx(6_458.4)
