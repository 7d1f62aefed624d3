"""Lease classification by stated facts, and schedules by hand and by an independent loop."""

import numpy as np
import pytest

from planner.finance.leases import DISCLAIMER, LeaseFacts, classify, lease_schedule

CLUSTER = {
    "identified_asset": True,
    "obtains_substantially_all_output": True,
    "directs_use": True,
    "term_months": 36,
}


def treatment(standard="asc_842", **facts):
    return classify(LeaseFacts(**{**CLUSTER, **facts}), standard=standard).treatment


@pytest.mark.parametrize("standard", ["ifrs_16", "asc_842"])
@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({"identified_asset": False}, "pool"),
        ({"supplier_may_substitute": True}, "substitute"),
        ({"obtains_substantially_all_output": False}, "substantially all"),
        ({"directs_use": False}, "decide"),
    ],
)
def test_services(standard, facts, word):
    found = classify(LeaseFacts(**{**CLUSTER, **facts}), standard=standard)
    assert found.treatment == "service"
    assert word in found.reason
    assert not found.on_balance_sheet
    assert "not accounting advice" in found.disclaimer == DISCLAIMER


def test_unknown_substitution_right_counts_as_none():
    # IFRS 16 B19
    assert treatment("ifrs_16", supplier_may_substitute=None) == "finance"


def test_short_term():
    assert treatment(term_months=12) == "short_term"
    assert treatment(term_months=12.5) == "operating"
    assert treatment(term_months=12, short_term_elected=False) == "operating"
    # Any purchase option bars it under IFRS 16, only a certain one under ASC 842.
    assert treatment("ifrs_16", term_months=6, purchase_option=True) == "finance"
    assert treatment("asc_842", term_months=6, purchase_option=True) == "short_term"
    assert treatment("asc_842", term_months=6, purchase_certain=True) == "finance"


def test_finance_leases_of_asc_842():
    assert treatment(economic_life_months=60, payments_of_fair_value_frac=0.5) == "operating"
    assert treatment(economic_life_months=48) == "finance"  # 36 / 48 = 75 %
    assert treatment(payments_of_fair_value_frac=0.9) == "finance"
    assert treatment(specialized=True) == "finance"
    found = classify(LeaseFacts(**CLUSTER), standard="asc_842")
    assert found.treatment == "operating"
    assert found.reason.endswith("Not stated and not tested: economic life, share of fair value.")
    assert found.on_balance_sheet


def test_finance_lease_by_hand():
    # 100 at the ends of two months, 25 % a month: 80 + 64 = 144.
    # Month 1: interest 36, owed 80; month 2: interest 20, owed 0. Amortization 72 a month.
    lease = lease_schedule(
        [100, 100],
        borrowing_rate_per_year=1.25**12 - 1,
        treatment="finance",
        in_advance=False,
    )
    assert lease.initial_liability == lease.initial_asset == pytest.approx(144)
    assert lease.interest == pytest.approx([36, 20])
    assert lease.liability == pytest.approx([80, 0], abs=1e-9)
    assert lease.asset == pytest.approx([72, 0], abs=1e-9)
    assert lease.expense == pytest.approx([108, 92])


def test_operating_lease_by_hand():
    # The same lease: 100 a month; the asset falls by what interest leaves, 64 and 80.
    lease = lease_schedule(
        [100, 100],
        borrowing_rate_per_year=1.25**12 - 1,
        treatment="operating",
        in_advance=False,
    )
    assert lease.expense == pytest.approx([100, 100])
    assert lease.amortization == pytest.approx([64, 80])
    assert lease.asset == pytest.approx([80, 0], abs=1e-9)


def test_payments_in_advance_and_prepaid():
    # 100 now and 100 a month later at 25 %: 180; interest 20 on the 80 after the first payment.
    lease = lease_schedule(
        [100, 100], borrowing_rate_per_year=1.25**12 - 1, treatment="finance", prepaid=20
    )
    assert lease.initial_liability == pytest.approx(180)
    assert lease.initial_asset == pytest.approx(200)
    assert lease.interest == pytest.approx([20, 0], abs=1e-9)
    assert lease.liability == pytest.approx([100, 0], abs=1e-9)
    assert lease.expense == pytest.approx([120, 100])


@pytest.mark.parametrize("treatment", ["operating", "finance"])
@pytest.mark.parametrize("in_advance", [True, False])
@pytest.mark.parametrize("rate", [0.0, 0.08, 0.18])
def test_expense_is_what_is_paid(treatment, in_advance, rate):
    payments = np.linspace(900, 1200, 36)
    lease = lease_schedule(
        payments,
        borrowing_rate_per_year=rate,
        treatment=treatment,
        in_advance=in_advance,
        prepaid=500,
    )
    assert lease.expense.sum() == pytest.approx(payments.sum() + 500)
    assert lease.liability[-1] == pytest.approx(0, abs=1e-8)
    assert lease.asset[-1] == pytest.approx(0, abs=1e-8)
    # The liability month by month, as a loan is kept
    owed = lease.initial_liability
    for month, payment in enumerate(payments):
        if in_advance:
            owed = (owed - payment) * (1 + rate) ** (1 / 12)
        else:
            owed = owed * (1 + rate) ** (1 / 12) - payment
        assert lease.liability[month] == pytest.approx(owed, abs=1e-6)


def test_finance_leases_cost_more_early():
    lease = lease_schedule([100] * 36, borrowing_rate_per_year=0.1, treatment="finance")
    assert lease.expense[0] > 100 > lease.expense[-1]
    assert np.all(np.diff(lease.expense) < 0)


def test_what_is_refused():
    for payments in ([], [100, -1], [float("nan")]):
        with pytest.raises(ValueError, match="payments of 0 or more"):
            lease_schedule(payments, borrowing_rate_per_year=0.1, treatment="finance")
    with pytest.raises(ValueError, match="'service'"):
        lease_schedule([1], borrowing_rate_per_year=0.1, treatment="service")
