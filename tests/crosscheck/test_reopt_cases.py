"""Cases of NREL/REopt.jl 029db01 (BSD-3): annuities, after-tax capital cost, paybacks.

Two of its tests give an answer without the flows behind it (a cogeneration payback of 8.31 years,
the life-cycle costs of a solar site): they fix whole models of another kind of plant and cannot
be computed from the case; a third states an annuity of 16.18109 without its years and rates. The
budget cap is a property of continuous sizes; machines come in lots.
"""

import pytest

from planner.finance.depreciation import after_tax_price, rates_by_tax_year
from planner.finance.metrics import annuity_factor, npv, payback
from tests.crosscheck.outside_cases import read

CASES = read("reopt/finance_cases.json")
ANNUITIES = CASES["annuity_end_of_year_growth_in_year1"]["ported"]
CAPITAL = CASES["after_tax_effective_capex"]["ported"]
TESTS = {test["name"]: test for test in CASES["tests"]}


@pytest.mark.parametrize("given", ANNUITIES, ids=lambda given: f"{given['years']}y{given['esc']}")
def test_annuity_factor(given):
    found = annuity_factor(rate=given["disc"], count=given["years"], growth=given["esc"])
    assert round(found, 5) == given["pwf"]


@pytest.mark.parametrize("life", [5, 7])
def test_its_tables_are_ours(life):
    published = CASES["after_tax_effective_capex"][f"macrs{life}"]
    shares = rates_by_tax_year(f"macrs_{life}", convention="half_year", quarter=1)
    assert shares[: len(published)] == pytest.approx(published, abs=1e-12)


@pytest.mark.parametrize("given", CAPITAL, ids=lambda given: str(given["effective"]))
def test_after_tax_capital_cost(given):
    method = f"macrs_{given['macrs']}" if given["macrs"] else "none"
    shares = rates_by_tax_year(
        method, convention="half_year", quarter=1, bonus_frac=given.get("bonus", 0.0)
    )
    found = after_tax_price(
        given["basis"], shares=shares, tax_rate_frac=given["tax"], rate_per_year=given["r"]
    )
    if "replacement" in given:
        deducted_at_once = given["replacement"] * (1 - given["tax"])
        found += npv([0] * given["replace_year"] + [deducted_at_once], rate=given["r"])
    assert found == pytest.approx(given["effective"], abs=5e-5)


def test_replacement():
    assert "324.235442" in TESTS["replacement"]["expected"]
    assert npv([0] * 10 + [700], rate=0.08) == pytest.approx(324.235442, abs=5e-7)


def test_payback_is_capital_over_savings():
    assert "simple_payback" in TESTS["after_tax_payback"]["assert"]
    # Level savings of 1,300 a year against 8,000: 80/13 years, after the year of the purchase.
    assert payback([-8000, *[1300] * 10]) == pytest.approx(1 + 80 / 13)
