"""Losses carried forward or lost: one tax for the optimizer, the ledger and arithmetic by hand."""

from dataclasses import replace

import numpy as np
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
from planner.finance.tax import company_lines, deductions_used
from planner.optimize.objective import cost_usd
from planner.report.ledger_view import view
from tests.small_world import OWNED_CHEAP, decide, known, mixed_scenario
from tests.unit.test_finance_lines import a

TAX = {"pays_tax": True, "rate": 0.25, "depreciation": "macrs_5", "convention": "half_year"}
SUPPLY = {"options": ["owned", "on_demand", "reserved_1y", "api"], "prices": [OWNED_CHEAP]}


def question(losses, income, **more):
    tax = {**TAX, "losses": losses, "other_taxable_income_usd": income, **more}
    return mixed_scenario(finance={"tax": tax}, supply=SUPPLY)


def test_company_rows_by_hand():
    # Fiscal years 2027 and 2028, 100 USD of income a month; 3000 and then 300 deducted. 1200 are
    # used in the first year, 1800 wait; the second has room for 900 beside its own 300.
    terms = TaxTerms(*[a(0.25)] * 7, a(1200.0), a(1.0))
    lines, inputs = company_lines(terms, ["spent"])
    rows = (
        *(Line(key, key, "flag", "quantity") for key in
          ("fiscal_year_first", "fiscal_year_end", "in_horizon", "spent")),
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


@settings(max_examples=50, deadline=None)
@given(
    deducted=st.lists(st.floats(-50, 50), min_size=1, max_size=6),
    income=st.floats(0, 30),
    carried=st.booleans(),
)
def test_rows_and_recursion_agree(deducted, income, carried):
    years = len(deducted)
    terms = TaxTerms(*[a(0.25)] * 7, a(income), a(float(carried)))
    lines, inputs = company_lines(terms, ["spent"])
    flags = ("fiscal_year_first", "fiscal_year_end", "in_horizon", "spent")
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


@pytest.mark.parametrize("losses", ["carried_forward", "never"])
@pytest.mark.parametrize("income", [0.0, 20_000.0, 60_000.0])
def test_optimizer_and_ledger_know_the_same_tax(losses, income):
    decided, answer = decide(question(losses, income))
    assert answer.npv_usd == pytest.approx(decided.solution.cost_usd, rel=1e-9)
    assert decided.solution.gap_frac <= 1e-6
    assert sum(c.npv_usd for c in answer.class_costs) == pytest.approx(answer.npv_usd, rel=1e-9)
    assert view(answer).npv_usd == pytest.approx(answer.npv_usd, rel=1e-9)
    found = report.metrics(answer)
    assert found["npv_tax_usd"] <= 0


def test_enough_income_is_as_good_as_at_once():
    at_once = decide(mixed_scenario(finance={"tax": TAX}, supply=SUPPLY))[1].npv_usd
    for losses in ("carried_forward", "never"):
        assert decide(question(losses, 1e9))[1].npv_usd == pytest.approx(at_once, rel=2e-6)


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


@pytest.mark.parametrize("losses", ["carried_forward", "never"])
def test_any_fleets_cost_is_its_ledgers(losses):
    # Orders, contracts and hours at random: nothing that the optimizer would choose.
    decided, _ = decide(question(losses, 20_000.0))
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
