"""Losses carried forward or lost: one tax for the optimizer, the ledger and arithmetic by hand."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import report
from planner.answer.decided import Decided
from planner.answer.money import books
from planner.candidates.assemble import build
from planner.errors import ScenarioError
from planner.finance import ledger
from planner.finance.calendar import calendar_quantities
from planner.finance.ledger import Line
from planner.finance.offers import TaxTerms
from planner.finance.tax import DEDUCTIONS, STATE_DEDUCTIONS, company_lines, deductions_used
from planner.optimize.objective import cost_usd
from planner.report.html import html_text
from planner.report.ledger_view import view
from planner.report.workbook import workbook_bytes
from tests.small_world import OWNED_CHEAP, decide, known, mixed_scenario
from tests.unit.test_finance_lines import a

TAX = {"pays_tax": True, "rate": 0.25, "depreciation": "macrs_5", "convention": "half_year"}
SUPPLY = {"options": ["owned", "on_demand", "reserved_1y", "api"], "prices": [OWNED_CHEAP]}


def question(losses, income, **more):
    tax = {**TAX, "losses": losses, "other_taxable_income_usd": income, **more}
    return mixed_scenario(finance={"tax": tax}, supply=SUPPLY)


SPENT = Line("spent", "Deducted by an option", "USD", "tax", category=DEDUCTIONS)


def terms(state, income, carried):
    """A quarter of income is federal tax."""
    rest = [a(1.0)] * 5
    return TaxTerms(a(0.25), a(state), *rest, a(income), a(carried))


def test_company_rows_by_hand():
    # Fiscal years 2027 and 2028, 100 USD of income a month; 3000 and then 300 deducted. 1200 are
    # used in the first year, 1800 wait; the second has room for 900 beside its own 300.
    lines, inputs = company_lines(terms(0.0, 1200.0, 1.0), [SPENT])
    rows = (
        *(Line(key, key, "flag", "quantity") for key in
          ("fiscal_year_first", "fiscal_year_end", "in_horizon", "last_month", "spent")),
        *lines,
    )  # fmt: skip
    spent = np.zeros(26)
    spent[[3, 20, 25]] = 3000, 300, 80
    given_rows = {**calendar_quantities("2027-01", 24, 26), "spent": spent}
    known_inputs = {"tax_rate": 0.25, **{row.name: row.value for row in inputs}}
    found = ledger.evaluate(rows, known_inputs, given_rows, 26)
    assert np.flatnonzero(found["company_tax_usd"]).tolist() == [11, 23, 25]
    # Beyond the horizon what waits is lost; 80 meet the 100 of their own month.
    assert found["company_tax_usd"][[11, 23, 25]].tolist() == [-300, -300, -20]
    lost = ledger.evaluate(rows, {**known_inputs, "losses_carried": 0.0}, given_rows, 26)
    assert lost["company_tax_usd"][[11, 23, 25]].tolist() == [-300, -75, -20]
    # A quarter of the 1,800 that wait is an asset in 2028, until 600 are used and the rest is lost.
    later = found["company_deferred_tax_usd"]
    assert np.flatnonzero(later).tolist() == [11, 23]
    assert later[[11, 23]].tolist() == [-450, 450]
    assert not lost["company_deferred_tax_usd"].any()


def test_company_rows_with_a_state_by_hand():
    # One fiscal year, 1,200 of income, state 10 %, federal 25 %. Machines deduct 500 from federal
    # and 300 from state income, other costs 100 from both: 400 used in the state save 40, which
    # costs 10 of federal tax. Federal income is 1,200 - 10 % of 800 = 1,120: all 600 are used and
    # save 150. Together 180.
    made = [
        Line("own_federal", "", "USD", "tax", category=DEDUCTIONS, group="own"),
        Line("own_state", "", "USD", "tax", category=STATE_DEDUCTIONS, group="own"),
        Line("rent", "", "USD", "tax", category=DEDUCTIONS, group="rented"),
    ]
    lines, inputs = company_lines(terms(0.1, 1200.0, 1.0), made)
    flags = ("fiscal_year_first", "fiscal_year_end", "in_horizon", "last_month")
    rows = (
        *(Line(key, key, "flag", "quantity") for key in (*flags, *(x.key for x in made))),
        *lines,
    )
    month = np.eye(12)[4]
    found = ledger.evaluate(
        rows, {"tax_rate": 0.25, "state_tax_rate": 0.1, **{x.name: x.value for x in inputs}},
        {**calendar_quantities("2027-01", 12, 12), "own_federal": 500 * month,
         "own_state": 300 * month, "rent": 100 * month}, 12,
    )  # fmt: skip
    assert found["company_federal_income_usd"][11] == pytest.approx(1120)
    assert found["company_tax_usd"].tolist() == pytest.approx([0] * 11 + [-180])


@settings(max_examples=50, deadline=None)
@given(
    deducted=st.lists(st.floats(-50, 50), min_size=1, max_size=6),
    income=st.floats(0, 30),
    carried=st.booleans(),
)
def test_rows_and_recursion_agree(deducted, income, carried):
    years = len(deducted)
    lines, inputs = company_lines(terms(0.0, income, float(carried)), [SPENT])
    flags = ("fiscal_year_first", "fiscal_year_end", "in_horizon", "last_month", "spent")
    rows = (*(Line(key, key, "flag", "quantity") for key in flags), *lines)
    spent = np.kron(deducted, np.eye(12)[5])
    values = ledger.evaluate(
        rows, {"tax_rate": 0.25, **{row.name: row.value for row in inputs}},
        {**calendar_quantities("2027-01", 12 * years, 12 * years), "spent": spent}, 12 * years,
    )  # fmt: skip
    used = deductions_used(
        np.array(deducted), np.full(years, income), in_horizon=np.ones(years, bool),
        carried=carried,
    )  # fmt: skip
    found = np.reshape(values["company_used_usd"], (years, 12)).sum(axis=1)
    np.testing.assert_allclose(found, used, rtol=1e-9, atol=1e-9)


STATE = {"state_rate": 0.08, "bonus_frac": 0.6}
"""A state that does not conform to the bonus."""


@pytest.mark.parametrize("state", [{}, STATE], ids=["federal", "state"])
@pytest.mark.parametrize("losses", ["carried_forward", "never"])
@pytest.mark.parametrize("income", [0.0, 20_000.0, 60_000.0])
def test_optimizer_and_ledger_know_the_same_tax(losses, income, state):
    decided, answer = decide(question(losses, income, **state))
    assert answer.npv_usd == pytest.approx(decided.solution.cost_usd, rel=1e-9)
    assert decided.solution.gap_frac <= 1e-6
    assert sum(c.npv_usd for c in answer.class_costs) == pytest.approx(answer.npv_usd, rel=1e-9)
    assert view(answer).npv_usd == pytest.approx(answer.npv_usd, rel=1e-9)
    found = report.metrics(answer)
    assert found["npv_tax_usd"] <= 0


def test_sheet_and_page_show_the_states_deductions():
    answer = decide(question("carried_forward", 30_000.0, **STATE))[1]
    book = openpyxl.load_workbook(BytesIO(workbook_bytes(answer)), data_only=True)
    labels = {row[0].value: row[2].value for row in book["Tax"] if row[0].value}
    assert labels["Deductions used in the state"] > 0
    assert labels["Tax saved"] == pytest.approx(labels["of sheet Costs"])
    assert "Deductions used in the state" in html_text(answer)


def test_enough_income_is_as_good_as_at_once():
    at_once = decide(mixed_scenario(finance={"tax": TAX}, supply=SUPPLY))[1].npv_usd
    for losses in ("carried_forward", "never"):
        assert decide(question(losses, 1e9))[1].npv_usd == pytest.approx(at_once, rel=2e-6)
    with_state = {"tax": {**TAX, **STATE}}
    at_once = decide(mixed_scenario(finance=with_state, supply=SUPPLY))[1].npv_usd
    found = decide(question("carried_forward", 1e9, **STATE))[1].npv_usd
    assert found == pytest.approx(at_once, rel=2e-6)


def test_less_use_of_losses_never_costs_less():
    at_once = decide(mixed_scenario(finance={"tax": TAX}, supply=SUPPLY))[1].npv_usd
    carried = decide(question("carried_forward", 30_000.0))[1].npv_usd
    never = decide(question("never", 30_000.0))[1].npv_usd
    nothing = decide(question("never", 0.0))[1].npv_usd
    assert at_once < carried <= never * (1 + 2e-6)
    assert never < nothing


def test_costed_again_with_other_income():
    decided, answer = decide(question("carried_forward", 20_000.0))
    again = report.recost(answer, {"finance.tax.other_taxable_income_usd": 45_000.0})
    changed, _ = build(known(question("carried_forward", 45_000.0)))
    assert again.npv_usd == pytest.approx(cost_usd(changed, decided.solution), rel=1e-9)
    assert again.npv_usd < answer.npv_usd


@pytest.mark.parametrize("state", [{}, STATE], ids=["federal", "state"])
@pytest.mark.parametrize("losses", ["carried_forward", "never"])
def test_any_fleets_cost_is_its_ledgers(losses, state):
    # Orders, contracts and hours at random: nothing that the optimizer would choose.
    decided, _ = decide(question(losses, 20_000.0, **state))
    rng = np.random.default_rng(3)
    x = decided.solution
    ever = x.lots_bought.sum(axis=2, keepdims=True) > 0
    x = replace(
        x,
        lots_bought=rng.integers(0, 4, x.lots_bought.shape) * ever,
        lots_signed=rng.integers(0, 3, x.lots_signed.shape)
        * decided.problem.machines.committable[..., None],
        lots_on_demand=rng.uniform(0, 2, x.lots_on_demand.shape)
        * decided.problem.machines.on_demand[..., None, None],
    )  # fmt: skip
    x = replace(x, cost_usd=cost_usd(decided.problem, x))
    money = books(Decided(decided.case, decided.problem, decided.axes, x))  # raises where not
    assert money.npv_usd == pytest.approx(x.cost_usd, rel=1e-9)


def test_quarters_that_lie_in_two_fiscal_years_are_refused():
    asked = question("never", 1e4).model_copy(
        update={"horizon": question("never", 1e4).horizon.model_copy(
            update={"fiscal_year_start_month": 2})}
    )  # fmt: skip
    with pytest.raises(ScenarioError, match="lies in two fiscal years"):
        build(known(asked))
