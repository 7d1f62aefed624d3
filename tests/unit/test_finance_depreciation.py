"""Depreciation against published tables, the statute's own algorithm and by hand."""

from fractions import Fraction

import numpy as np
import pytest

from planner.finance.depreciation import (
    TAX_YEARS,
    after_tax_price,
    book_by_month,
    mid_quarter_applies,
    rates_by_tax_year,
)

CONVENTIONS = [("half_year", 1), *(("mid_quarter", quarter) for quarter in (1, 2, 3, 4))]


def declining_balance(life, first_year):
    """200 % declining balance, straight line once that is more: 26 U.S.C. 168(b)(1), unrounded."""
    left, elapsed, shares = Fraction(1), Fraction(0), []
    while left:
        year = first_year if not shares else Fraction(1)
        even = left * year / (life - elapsed) if life - elapsed > year else left
        share = max(left * Fraction(2, life) * year, even)
        shares.append(float(share))
        left -= share
        elapsed += year
    return shares


@pytest.mark.parametrize("life", [3, 5, 7])
@pytest.mark.parametrize(("convention", "quarter"), CONVENTIONS)
def test_tables_are_the_algorithm_rounded(life, convention, quarter):
    first = Fraction(1, 2) if convention == "half_year" else Fraction(9 - 2 * quarter, 8)
    exact = declining_balance(life, first)
    shares = rates_by_tax_year(f"macrs_{life}", convention=convention, quarter=quarter)
    assert shares.shape == (TAX_YEARS,)
    # Of each year to 0.01 %, and the last takes up what rounding the others leaves.
    assert shares[: len(exact)] == pytest.approx(exact, abs=1.5e-4)
    assert shares.sum() == pytest.approx(1, abs=1e-12)
    assert not shares[len(exact) :].any()


@pytest.mark.parametrize(
    ("convention", "quarter", "percent"),
    [
        ("half_year", 3, [20, 32, 19.2, 11.52, 11.52, 5.76]),  # table A-1
        ("mid_quarter", 1, [35, 26, 15.6, 11.01, 11.01, 1.38]),
        ("mid_quarter", 2, [25, 30, 18, 11.37, 11.37, 4.26]),
        ("mid_quarter", 3, [15, 34, 20.4, 12.24, 11.3, 7.06]),
        ("mid_quarter", 4, [5, 38, 22.8, 13.68, 10.94, 9.58]),
    ],
)
def test_servers_in_the_published_tables(convention, quarter, percent):
    shares = rates_by_tax_year("macrs_5", convention=convention, quarter=quarter)
    assert shares[:6] == pytest.approx(np.array(percent) / 100, abs=1e-12)


@pytest.mark.parametrize(
    ("convention", "quarter", "life", "percent"),
    [
        ("half_year", 4, 5, [10, 20, 20, 20, 20, 10]),
        ("mid_quarter", 1, 5, [17.5, 20, 20, 20, 20, 2.5]),  # 10.5 of 12 months
        ("mid_quarter", 4, 2, [6.25, 50, 43.75]),  # 1.5 of 12 months of 50 %
        ("half_year", 1, 2.5, [20, 40, 40]),
        ("half_year", 1, 0.25, [100]),
        ("half_year", 1, 10, [5, *[10] * 9, 5]),
    ],
)
def test_straight_line(convention, quarter, life, percent):
    shares = rates_by_tax_year(
        "straight_line", convention=convention, quarter=quarter, life_years=life
    )
    expected = np.zeros(TAX_YEARS)
    expected[: len(percent)] = np.array(percent) / 100
    assert shares == pytest.approx(expected, abs=1e-12)


def test_bonus_comes_first():
    # 400,000, 40 % at once, table A-1 on 240,000
    shares = rates_by_tax_year("macrs_5", convention="half_year", quarter=2, bonus_frac=0.4)
    assert (400_000 * shares)[:6] == pytest.approx(
        [208_000, 76_800, 46_080, 27_648, 27_648, 13_824]
    )
    everything = rates_by_tax_year("macrs_7", convention="mid_quarter", quarter=4, bonus_frac=1)
    assert everything.tolist() == [1.0] + [0.0] * (TAX_YEARS - 1)


def test_none_deducts_nothing():
    shares = rates_by_tax_year("none", convention="half_year", quarter=1, bonus_frac=1)
    assert shares.tolist() == [0.0] * TAX_YEARS


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "macrs_10"}, "macrs_10"),
        ({"convention": "mid_month"}, "mid_month"),
        ({"quarter": 0}, "quarter 0"),
        ({"quarter": 5}, "quarter 5"),
        ({"life_years": 10.5}, "10.5 years"),
        ({"life_years": 0}, "0 years"),
        ({"bonus_frac": 1.1}, "1.1"),
        ({"bonus_frac": float("nan")}, "nan"),
    ],
)
def test_what_is_refused(wrong, message):
    given = {"method": "straight_line", "convention": "half_year", "quarter": 1, **wrong}
    with pytest.raises(ValueError, match=message):
        rates_by_tax_year(given.pop("method"), **given)


def test_mid_quarter():
    assert mid_quarter_applies([0, 0, 0, 1])
    assert not mid_quarter_applies([1, 2, 3, 4])  # 40 % is not more than 40 %
    assert not mid_quarter_applies([0, 0, 0, 0])
    for wrong in ([1, 2, 3], [1, -1, 1, 1], [[1, 1, 1, 1]]):
        with pytest.raises(ValueError, match="one a quarter"):
            mid_quarter_applies(wrong)


def test_book_value():
    # 40,000 over 3 years: 13,333 a year; over 6: 6,667 (published comparison of lives)
    for years, expected in ((3, 13_333), (6, 6_667)):
        shares = book_by_month(life_months=12 * years, months=84)
        assert 40_000 * shares[:12].sum() == pytest.approx(expected, abs=0.5)
        assert shares.sum() == pytest.approx(1)
    assert book_by_month(life_months=10, months=2, salvage_frac=0.2).tolist() == [0.08, 0.08]
    with pytest.raises(ValueError, match="0 months"):
        book_by_month(life_months=0, months=2)


def test_after_tax_price():
    # NREL/REopt.jl 029db01: 1,000 at 8 %, 26 % tax, MACRS 5: 789.0553; all in year 1: 759.2593
    shares = rates_by_tax_year("macrs_5", convention="half_year", quarter=1)
    for given, expected in ((shares, 789.0553), ([1.0], 759.2593)):
        found = after_tax_price(1000, shares=given, tax_rate_frac=0.26, rate_per_year=0.08)
        assert found == pytest.approx(expected, abs=5e-5)
