"""Leases in the ledger: rows by hand, against the schedule of one contract, in a solved plan."""

import dataclasses
from functools import cache
from io import BytesIO

import numpy as np
import openpyxl
import pytest

from planner.finance import lease_lines
from planner.finance.leases import lease_schedule
from planner.finance.lines import commitment_lines
from planner.report.contracts import contracts, leases
from planner.report.focus import export
from planner.report.html import html_text
from planner.report.ledger_view import view
from planner.report.profit import costs_of
from planner.report.workbook import workbook_bytes
from tests import taxed_world
from tests.small_world import decide
from tests.unit.test_finance_lines import a, at, common, reserved, rows

KEY = "reserved_1y_h100_us_east"


def leased(treatment, *, term=2, upfront=0.0):
    return dataclasses.replace(reserved(term), treatment=treatment, upfront_frac=a(upfront))


def lease_common(rate, **more):
    return dataclasses.replace(common(**more), leases=True, borrowing_rate=a(rate))


def evaluated(treatment, *, quantity=None, rate=1.25**12 - 1, term=2, upfront=0.0, total=6):
    values, npv = rows(
        commitment_lines(leased(treatment, term=term, upfront=upfront)), lease_common(rate),
        months=total, quantities={f"{KEY}_signed": at(0, total=total) if quantity is None
                                  else quantity},
    )  # fmt: skip
    return {name.removeprefix(f"{KEY}_"): row for name, row in values.items()}, npv


def test_finance_lease_by_hand():
    # 16 USD/h: 11,904 in January (744 h) and 10,752 in February (672 h), at the months' starts and
    # 25 % a month. Worth 11,904 + 10,752 / 1.25 = 20,505.60; at January's end 10,752 is owed, of
    # which a fifth, 2,150.40, is January's interest; the right of use loses half a month.
    found, _ = evaluated("finance")
    assert found["lease_value_usd"][0] == pytest.approx(20_505.6)
    assert found["lease_liability_usd"].tolist() == pytest.approx([10_752] + [0] * 5, abs=1e-9)
    assert found["lease_interest_usd"].tolist() == pytest.approx([2_150.4] + [0] * 5, abs=1e-9)
    assert found["right_of_use_used_usd"].tolist() == pytest.approx([10_252.8] * 2 + [0] * 4)
    assert found["right_of_use_usd"].tolist() == pytest.approx([10_252.8] + [0] * 5, abs=1e-9)


def test_operating_lease_by_hand():
    # 22,656 paid over two months costs 11,328 in each; the right of use loses that less interest.
    found, _ = evaluated("operating")
    assert found["lease_cost_usd"].tolist() == pytest.approx([11_328] * 2 + [0] * 4)
    assert found["lease_liability_usd"][0] == pytest.approx(10_752)
    assert found["right_of_use_usd"][0] == pytest.approx(20_505.6 - (11_328 - 2_150.4))


def test_half_paid_when_signed():
    # 11,328 at once; 5,952 and 5,376 by the hour: worth 5,952 + 5,376 / 1.25 = 10,252.80.
    found, _ = evaluated("finance", upfront=0.5)
    assert found["lease_value_usd"][0] == pytest.approx(10_252.8)
    assert found["right_of_use_used_usd"][0] == pytest.approx((10_252.8 + 11_328) / 2)


@pytest.mark.parametrize("treatment", ["finance", "operating"])
def test_rows_are_the_schedules_of_every_contract(treatment):
    signed = at(0, total=24) + 2 * at(3, total=24)
    found, _ = evaluated(treatment, quantity=signed, rate=0.06, term=12, upfront=0.25, total=24)
    expected = {name: np.zeros(24) for name in ("liability", "asset", "expense")}
    for month, lots in ((0, 1), (3, 2)):
        paid = found["hours"][month : month + 12] * 16 * lots
        one = lease_schedule(
            0.75 * paid, borrowing_rate_per_year=0.06, treatment=treatment,
            prepaid=0.25 * paid.sum(),
        )  # fmt: skip
        for name, row in expected.items():
            row[month : month + 12] += getattr(one, name)
    cost = (found["lease_cost_usd"] if treatment == "operating"
            else found["lease_interest_usd"] + found["right_of_use_used_usd"])  # fmt: skip
    np.testing.assert_allclose(found["lease_liability_usd"], expected["liability"], atol=1e-6)
    np.testing.assert_allclose(found["right_of_use_usd"], expected["asset"], atol=1e-6)
    np.testing.assert_allclose(cost, expected["expense"], atol=1e-6)
    assert cost.sum() == pytest.approx((found["paid_usd"] + found["upfront_usd"]).sum())


@pytest.mark.parametrize("treatment", ["short_term", "service"])
def test_what_is_not_on_the_balance_sheet_keeps_its_rows(treatment):
    plain, npv = evaluated("service")
    found, same = evaluated(treatment)
    assert found.keys() == plain.keys()
    assert same == npv


def test_cash_does_not_move():
    assert evaluated("finance")[1] == evaluated("operating")[1] == evaluated("service")[1]


LEASE = {"dedicated": ["reserved_1y"], "short_term_elected": False}
"""Machines that the contract names, for 12 months, without the exemption."""


@cache
def planned(standard):
    question = taxed_world.question(lease={**LEASE, "standard": standard})
    decided, _ = decide(question)
    return taxed_world.with_contract(decided)


@pytest.mark.parametrize("standard", ["ifrs_16", "asc_842"])
def test_books_of_a_plan_with_leases(standard):
    plan, service = planned(standard), taxed_world.answered()[1]
    seen, before = view(plan), view(service)
    assert plan.npv_usd == pytest.approx(service.npv_usd, rel=1e-12)
    np.testing.assert_allclose(seen.cash_usd, before.cash_usd, atol=1e-6)
    assert seen.profit_usd.sum() == pytest.approx(seen.cash_usd.sum())
    labels = {cost.label: cost.usd(seen) for cost in costs_of(seen)}
    assert "Commitments" not in labels
    assert "Prepayments used up" not in labels
    (one,) = leases(plan, seen, contracts(seen))
    assert one.schedule is not None
    start, count = one.contract.month, len(one.schedule.expense)
    names = (("Cost of operating leases",) if standard == "asc_842"
             else ("Interest on leases", "Depreciation of rights of use, leases"))  # fmt: skip
    cost = sum(labels[name] for name in names)
    np.testing.assert_allclose(cost[start : start + count], one.schedule.expense, atol=1e-6)
    assert np.abs(seen.profit_usd - before.profit_usd).max() > 1


@pytest.mark.parametrize("standard", ["ifrs_16", "asc_842"])
def test_exports_and_workbook_of_a_plan_with_leases(standard):
    plan = planned(standard)
    assert all(one.holds for one in export(plan).reconciliations)
    assert "Cost of operating leases" in html_text(plan) or standard == "ifrs_16"
    sheet = openpyxl.load_workbook(BytesIO(workbook_bytes(plan)), data_only=True)["P&L"]
    labels = [cell.value for cell in sheet["A"]]
    wanted = "Interest on leases" if standard == "ifrs_16" else "Cost of operating leases"
    assert wanted in labels


def test_a_lease_without_a_stated_rate_takes_the_discount_rate():
    rate, *_ = lease_lines.common_lines(None)
    assert rate.formula == "(1 + discount_rate) ** (1 / 12) - 1"


def test_the_page_has_the_schedule_by_year():
    plan = planned("ifrs_16")
    seen = view(plan)
    (one,) = leases(plan, seen, contracts(seen))
    rows = {words: values for words, _, values in one.rows(seen.months)}
    assert rows["Cost in profit and loss"].sum() == pytest.approx(
        rows["Payments"].sum() + one.contract.upfront_usd
    )
    text = html_text(plan)
    for words in ("Right-of-use schedule by fiscal year", *rows):
        assert words in text
