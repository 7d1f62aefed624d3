"""What finance asks of a stream of cash: present value, internal rate, payback, break-even.

Here cash is positive when it comes in. A plan alone only costs and has neither rate of return nor
payback: these functions take the difference between two plans (cost of the other less cost of
this one) and raise where the question has no answer.

.. [1] J. C. T. Mao, Quantitative Analysis of Financial Decisions, Macmillan, 1969, on several
       internal rates.
.. [2] A. Sullivan et al., Manual for the Economic Evaluation of Energy Efficiency and Renewable
       Energy Technologies, NREL/TP-462-5173, 1995: recovery factors and paybacks.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from planner.units import MONTHS_PER_YEAR

Array = NDArray[np.float64]


def monthly_rate(rate_per_year: float) -> float:
    r"""Effective monthly rate of an effective yearly one, :math:`(1+r)^{1/12} - 1`.

    Examples
    --------
    >>> round(monthly_rate(1.01**12 - 1), 12)
    0.01
    """
    return float(math.expm1(math.log1p(rate_per_year) / MONTHS_PER_YEAR))


def discount_factors(*, rate: float, count: int, first: float = 1.0) -> Array:
    """1 / (1 + rate)^n for n = first, first + 1, ..., shape (count,).

    `first` is the convention: 0 cash at the start of its interval, 0.5 amid, 1 at its end.

    Examples
    --------
    >>> discount_factors(rate=1.0, count=3, first=0).tolist()
    [1.0, 0.5, 0.25]
    """
    return np.asarray((1 + rate) ** -(first + np.arange(count)), float)


def npv(cash: ArrayLike, *, rate: float, first: float = 0.0) -> float:
    """Present value of cash at equal intervals, `rate` per interval [unit of cash].

    Examples
    --------
    >>> round(npv([-100, 121], rate=0.1), 9)  # 121 / 1.1 - 100
    10.0
    """
    flow = np.asarray(cash, float)
    return float(flow @ discount_factors(rate=rate, count=len(flow), first=first))


def irr(cash: ArrayLike) -> float:
    """Internal rate of return per interval of the cash.

    Raises
    ------
    ValueError : cash without a change of sign, which has no rate, or with several rates [1]_
        (compare the plans by present value at a stated rate instead).

    Examples
    --------
    >>> round(irr([-100, 10, 110]), 12)
    0.1
    """
    flow = np.asarray(cash, float)
    if not (np.any(flow > 0) and np.any(flow < 0)):
        raise ValueError("cash never changes sign: there is no internal rate of return")
    # NPV as a function of q = 1 / (1 + rate) is a polynomial; rates -99 % to 10,000 %.
    grid = np.concatenate([np.geomspace(-0.99, -1e-6, 1000), np.geomspace(1e-6, 100.0, 2000)])
    values = np.array([_value(flow, rate) for rate in grid])
    crossings = np.flatnonzero((values[:-1] >= 0) != (values[1:] >= 0))
    if len(crossings) != 1:
        raise ValueError(
            f"{len(crossings)} internal rates of return between -99 % and 10,000 % an interval"
        )
    at = int(crossings[0])
    return float(brentq(lambda rate: _value(flow, rate), grid[at], grid[at + 1], xtol=1e-14))


def _value(flow: Array, rate: float) -> float:
    """Value at the first interval for rates above 0, at the last below: neither overflows."""
    steps = np.arange(len(flow))
    power = -steps if rate >= 0 else steps[::-1]
    return float(flow @ (1 + rate) ** power)


def irr_per_year(monthly_cash: ArrayLike) -> float:
    """Effective yearly internal rate of monthly cash; raises as `irr`.

    Examples
    --------
    >>> round(irr_per_year([-100] + [0] * 11 + [110]), 12)
    0.1
    """
    return float((1 + irr(monthly_cash)) ** MONTHS_PER_YEAR - 1)


def mirr(cash: ArrayLike, *, finance_rate: float, reinvest_rate: float) -> float:
    r"""Modified internal rate of return per interval, as Excel's MIRR defines it.

    .. math:: \left(\frac{\sum_k c^+_k (1+r)^{n-k}}{-\sum_k c^-_k (1+f)^{-k}}\right)^{1/n} - 1

    for cash :math:`c_k` at intervals k = 0 to n. Outlays are discounted at the finance rate f to
    the first interval, income grows at the reinvestment rate r to the last: one answer where cash
    changes sign more than once and `irr` has several.

    Raises
    ------
    ValueError : cash without both an outlay and an income.

    Examples
    --------
    100 becomes 60 x 1.1 + 55 = 121 in two intervals.

    >>> round(mirr([-100, 60, 55], finance_rate=0.05, reinvest_rate=0.1), 12)
    0.1
    """
    flow = np.asarray(cash, float)
    if not (np.any(flow > 0) and np.any(flow < 0)):
        raise ValueError("cash never changes sign: there is no modified internal rate of return")
    last = len(flow) - 1
    outlay = -npv(np.minimum(flow, 0), rate=finance_rate)
    income = npv(np.maximum(flow, 0), rate=reinvest_rate) * (1 + reinvest_rate) ** last
    return float((income / outlay) ** (1 / last) - 1)


def payback(cash: ArrayLike, *, rate: float = 0.0, first: float = 0.0) -> float:
    """Intervals from the start until cumulated (discounted) cash stays at 0 or more.

    Cash of an interval is taken to come in evenly over it, so the answer may be a fraction.
    0 where cumulated cash is never negative, inf where it is so at the end.

    Examples
    --------
    100 paid in the first interval, 40 earned in each that follows: 1 + 100 / 40.

    >>> payback([-100, 40, 40, 40])
    3.5
    """
    flow = np.asarray(cash, float)
    total = np.cumsum(flow * discount_factors(rate=rate, count=len(flow), first=first))
    short = np.flatnonzero(total < 0)
    if not len(short):
        return 0.0
    last = int(short[-1])
    if last == len(flow) - 1:
        return math.inf
    return last + 1 + float(-total[last] / (total[last + 1] - total[last]))


def annuity_factor(*, rate: float, count: int, growth: float = 0.0) -> float:
    r"""Present value of 1 an interval, at interval ends, growing from the first.

    .. math:: \sum_{n=1}^{N} \left(\frac{1+g}{1+r}\right)^n

    Examples
    --------
    >>> annuity_factor(rate=1.0, count=2)
    0.75
    >>> annuity_factor(rate=0.0, count=10)
    10.0
    """
    return float((((1 + growth) / (1 + rate)) ** np.arange(1, count + 1)).sum())


def capital_recovery_factor(*, rate: float, count: int) -> float:
    r"""Level payment at interval ends that repays 1, :math:`r / (1 - (1+r)^{-N})`; 1/N at 0 [2]_.

    Examples
    --------
    >>> capital_recovery_factor(rate=0.0, count=4)
    0.25
    """
    return 1 / annuity_factor(rate=rate, count=count)


def break_even_months(
    *, capex_usd: float, own_usd_per_month: float, rent_usd_per_month: float
) -> float:
    """Months of use after which buying has cost less than renting; inf if it never does.

    `own_usd_per_month` is running cost only: with a depreciation or amortization charge in it
    the purchase would be counted twice.

    Examples
    --------
    >>> break_even_months(capex_usd=100, own_usd_per_month=5, rent_usd_per_month=15)
    10.0
    """
    saved = rent_usd_per_month - own_usd_per_month
    return capex_usd / saved if saved > 0 else math.inf


def break_even_utilization(*, committed_usd_per_h: float, on_demand_usd_per_h: float) -> float:
    """Share of hours in use above which a commitment is cheaper than on demand.

    Above 1 it never is.

    Examples
    --------
    >>> break_even_utilization(committed_usd_per_h=3, on_demand_usd_per_h=4)
    0.75
    """
    return committed_usd_per_h / on_demand_usd_per_h


def effective_savings_rate(*, on_demand_equivalent_usd: float, actual_usd: float) -> float:
    """1 - actual cost / cost of the same use on demand; negative where commitments lose money.

    Examples
    --------
    >>> effective_savings_rate(on_demand_equivalent_usd=100_000, actual_usd=75_000)
    0.25
    """
    return 1 - actual_usd / on_demand_equivalent_usd
