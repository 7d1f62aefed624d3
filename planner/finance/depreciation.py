"""Depreciation: shares of a purchase deducted by tax year, and its book value by month.

Tax years count from the one in which the machine enters service. US tables are those of the IRS
[1]_, rounded as published, because tax returns use the rounded figures; straight line serves
allowances of other countries. Bonus depreciation comes off first, the method takes the rest.

.. [1] IRS Publication 946, How To Depreciate Property, tables A-1 (half-year convention) and A-2
       to A-5 (mid-quarter convention, first to fourth quarter): 200 % declining balance turning
       to straight line. Computers and servers are 5-year property.
.. [2] 26 U.S.C. 168(d)(3) and (k): the 40 % test of the last quarter, and the bonus, which does
       not reduce the basis that this test counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Method = Literal["none", "straight_line", "macrs_3", "macrs_5", "macrs_7"]
Convention = Literal["half_year", "mid_quarter"]

TAX_YEARS = 11
"""Tax years in every answer: a life of up to 10 years ends in the eleventh."""

MID_QUARTER_LIMIT_FRAC = 0.40
"""More than this share of a year's basis in its last quarter calls for mid-quarter [2]_."""

HALF_YEAR_PERCENT = {
    "macrs_3": (33.33, 44.45, 14.81, 7.41),
    "macrs_5": (20.00, 32.00, 19.20, 11.52, 11.52, 5.76),
    "macrs_7": (14.29, 24.49, 17.49, 12.49, 8.93, 8.92, 8.93, 4.46),
}
"""Table A-1 [1]_, percent of the basis by tax year."""

MID_QUARTER_PERCENT = {
    "macrs_3": (
        (58.33, 27.78, 12.35, 1.54),
        (41.67, 38.89, 14.14, 5.30),
        (25.00, 50.00, 16.67, 8.33),
        (8.33, 61.11, 20.37, 10.19),
    ),
    "macrs_5": (
        (35.00, 26.00, 15.60, 11.01, 11.01, 1.38),
        (25.00, 30.00, 18.00, 11.37, 11.37, 4.26),
        (15.00, 34.00, 20.40, 12.24, 11.30, 7.06),
        (5.00, 38.00, 22.80, 13.68, 10.94, 9.58),
    ),
    "macrs_7": (
        (25.00, 21.43, 15.31, 10.93, 8.75, 8.74, 8.75, 1.09),
        (17.85, 23.47, 16.76, 11.97, 8.87, 8.87, 8.87, 3.34),
        (10.71, 25.51, 18.22, 13.02, 9.30, 8.85, 8.86, 5.53),
        (3.57, 27.55, 19.68, 14.06, 10.04, 8.73, 8.73, 7.64),
    ),
}
"""Tables A-2 to A-5 [1]_ by quarter, percent of the basis by tax year."""


def rates_by_tax_year(
    method: Method,
    *,
    convention: Convention,
    quarter: int,
    life_years: float = 5.0,
    bonus_frac: float = 0.0,
) -> Array:
    """Shares of the basis deducted in tax year 1, 2, ..., shape (TAX_YEARS,); they sum to 1.

    Parameters
    ----------
    method : `none` deducts nothing, no bonus either: its shares are 0.
    convention : share of the first tax year that counts: half of it, or from the middle of the
        quarter on.
    quarter : 1 to 4, of the tax year, in which the machine enters service; half-year ignores it.
    life_years : of straight line only, at most TAX_YEARS - 1; MACRS classes have their own.
    bonus_frac : deducted in the first tax year; the method takes the rest.

    Raises
    ------
    ValueError : a method, convention, quarter, life or bonus outside those above.

    Examples
    --------
    40 % at once, then table A-1 on the other 60 %: 0.4 + 0.6 x 20 %, 0.6 x 32 %, ...

    >>> rates_by_tax_year(
    ...     "macrs_5", convention="half_year", quarter=1, bonus_frac=0.4
    ... ).round(4).tolist()[:6]
    [0.52, 0.192, 0.1152, 0.0691, 0.0691, 0.0346]
    """
    _check(method, convention, quarter, life_years, bonus_frac)
    if method == "none":
        return np.zeros(TAX_YEARS)
    if method == "straight_line":
        regular = _straight_line(life_years, _first_year_frac(convention, quarter))
    else:
        regular = _macrs(method, convention, quarter)
    shares = (1 - bonus_frac) * regular
    shares[0] += bonus_frac
    return shares


def _check(
    method: Method, convention: Convention, quarter: int, life_years: float, bonus_frac: float
) -> None:
    if method not in get_args(Method):
        raise ValueError(f"method {method!r}; known are {', '.join(get_args(Method))}")
    if convention not in get_args(Convention):
        raise ValueError(f"convention {convention!r}; known are half_year and mid_quarter")
    if quarter not in (1, 2, 3, 4):
        raise ValueError(f"quarter {quarter!r} is none of 1 to 4")
    if not 0 < life_years <= TAX_YEARS - 1:
        raise ValueError(f"life of {life_years:g} years; 0 to {TAX_YEARS - 1} can be depreciated")
    if not 0 <= bonus_frac <= 1:
        raise ValueError(f"bonus_frac is {bonus_frac:g}; a share is between 0 and 1")


def _macrs(method: Method, convention: Convention, quarter: int) -> Array:
    if convention == "half_year":
        percent = HALF_YEAR_PERCENT[method]
    else:
        percent = MID_QUARTER_PERCENT[method][quarter - 1]
    return np.pad(np.array(percent) / 100, (0, TAX_YEARS - len(percent)))


def _first_year_frac(convention: Convention, quarter: int) -> float:
    """Share of the first tax year in service: half, or 10.5, 7.5, 4.5, 1.5 of 12 months."""
    return 0.5 if convention == "half_year" else (4 - quarter + 0.5) / 4


def _straight_line(life_years: float, first_year_frac: float) -> Array:
    in_service_years = np.arange(TAX_YEARS + 1) - 1 + first_year_frac
    return np.diff(np.clip(in_service_years / life_years, 0.0, 1.0))


def mid_quarter_applies(basis_by_quarter: ArrayLike) -> bool:
    """Whether US tax law asks for the mid-quarter convention: over 40 % in the last quarter.

    Parameters
    ----------
    basis_by_quarter : cost of what entered service in each quarter of one tax year, shape (4,),
        before bonus depreciation [2]_. A year without purchases has no convention: False.

    Raises
    ------
    ValueError : not four amounts of 0 or more.

    Examples
    --------
    >>> mid_quarter_applies([60, 0, 0, 40]), mid_quarter_applies([59, 0, 0, 41])
    (False, True)
    """
    basis = np.asarray(basis_by_quarter, float)
    if basis.shape != (4,) or not np.all(basis >= 0):
        raise ValueError(f"four amounts of 0 or more, one a quarter, not {basis.tolist()}")
    return bool(basis[3] > MID_QUARTER_LIMIT_FRAC * basis.sum())


def years_of_mid_quarter(
    placed_usd: ArrayLike, *, fiscal_quarter: ArrayLike, fiscal_years: Sequence[str]
) -> frozenset[str]:
    """Fiscal years for which the law asks for the mid-quarter convention.

    Parameters
    ----------
    placed_usd : placed in service by month, shape (months,).
    fiscal_quarter : 1 to 4 of each month, shape (months,).
    fiscal_years : name of each month's year.

    Examples
    --------
    >>> sorted(years_of_mid_quarter([59, 41, 60, 40], fiscal_quarter=[3, 4, 3, 4],
    ...                          fiscal_years=["FY2027", "FY2027", "FY2028", "FY2028"]))
    ['FY2027']
    """
    placed, quarter = np.asarray(placed_usd, float), np.asarray(fiscal_quarter)
    found = set()
    for year in dict.fromkeys(fiscal_years):
        mine = np.array([name == year for name in fiscal_years])
        by_quarter = [placed[mine & (quarter == q)].sum() for q in (1, 2, 3, 4)]
        if mid_quarter_applies(by_quarter):
            found.add(year)
    return frozenset(found)


def book_by_month(*, life_months: int, months: int, salvage_frac: float = 0.0) -> Array:
    """Straight-line book depreciation, share of the price by month in service, shape (months,).

    Full months from the one of entering service; `salvage_frac` of the price is never written
    off. Beyond the life it is 0.

    Raises
    ------
    ValueError : a life under one month.

    Examples
    --------
    A machine of 40,000 over 3 years, by year:

    >>> (book_by_month(life_months=36, months=48) * 40_000).reshape(4, 12).sum(axis=1).round(2)
    array([13333.33, 13333.33, 13333.33,     0.  ])
    """
    if life_months < 1:
        raise ValueError(f"a book life of {life_months} months; it is at least 1")
    return np.where(np.arange(months) < life_months, (1 - salvage_frac) / life_months, 0.0)


def after_tax_price(
    price: float, *, shares: ArrayLike, tax_rate_frac: float, rate_per_year: float
) -> float:
    r"""Price less the present value of the tax that its deductions save [unit of price].

    .. math:: P \left(1 - \tau \sum_{t \ge 1} \frac{s_t}{(1+r)^t}\right)

    for share :math:`s_t` deducted in tax year t, whose tax falls due at the year's end, by one
    who has income to deduct from.

    Examples
    --------
    All deducted in the first year at 25 %, 25 % of interest: 100 x (1 - 0.25 / 1.25).

    >>> after_tax_price(100.0, shares=[1.0], tax_rate_frac=0.25, rate_per_year=0.25)
    80.0
    """
    deducted = np.asarray(shares, float)
    discount = (1 + rate_per_year) ** -np.arange(1.0, len(deducted) + 1)
    return float(price * (1 - tax_rate_frac * (deducted @ discount)))
