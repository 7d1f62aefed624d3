"""The lines that every ledger starts with: months, hours, flags, discount factor.

Calendar lines come first; `DISCOUNT_FACTOR` follows the stated convention: cash of month m
(1 for the first) is taken to fall at m - 1 (start), m - 1/2 (mid) or m (end) months.
"""

from __future__ import annotations

import calendar as months_of_the_world

import numpy as np
from numpy.typing import NDArray

from planner.finance.ledger import Line
from planner.units import MONTHS_PER_YEAR

MONTHS_PER_QUARTER = 3
TIMING_MONTHS = {"start": 1.0, "mid": 0.5, "end": 0.0}
"""Months before the end of a month at which its cash falls."""

CALENDAR = (
    Line("month", "Month", "month", "calendar", "prev + 1"),
    Line("years", "Years from start", "years", "calendar", "(month - 1) / 12"),
    Line("hours", "Hours in month", "h", "quantity"),
    Line("in_horizon", "Within the horizon", "flag", "quantity"),
    Line("last_month", "Last month of the horizon", "flag", "quantity"),
    Line("hours_so_far", "Hours to the month's end", "h", "calendar", "prev + hours"),
    Line(
        "discount_factor",
        "Discount factor",
        "factor",
        "calendar",
        "(1 + discount_rate) ** ((discount_timing - month) / 12)",
    ),
    Line(
        "counted",
        "Share of cash that counts",
        "factor",
        "calendar",
        "1 - tail_value_frac * (1 - in_horizon)",
    ),
)


def month_hours(start: str, months: int) -> NDArray[np.float64]:
    """Calendar hours of each month from `start` (2027-01) [h], shape (months,).

    Examples
    --------
    >>> month_hours("2028-02", 2).tolist()
    [696.0, 744.0]
    """
    year, month = map(int, start.split("-"))
    index = np.arange(months) + month - 1
    days = [months_of_the_world.monthrange(year + i // 12, i % 12 + 1)[1] for i in index.tolist()]
    return np.array(days, float) * 24


def calendar_quantities(
    start: str, months: int, total_months: int, *, fiscal_year_start_month: int = 1
) -> dict[str, NDArray[np.float64]]:
    """Values of the calendar's quantity lines; `total_months` reaches past the horizon.

    A fiscal year that the horizon cuts ends with it, and every month beyond the horizon is one of
    its own: what is settled by fiscal year does not depend on how far the months reach.

    Examples
    --------
    >>> rows = calendar_quantities("2027-05", 4, 6, fiscal_year_start_month=7)
    >>> rows["fiscal_year_first"].tolist()
    [1.0, 0.0, 1.0, 0.0, 1.0, 1.0]
    >>> rows["fiscal_year_end"].tolist()
    [0.0, 1.0, 0.0, 1.0, 1.0, 1.0]
    >>> rows["fiscal_quarter"].tolist()
    [4.0, 4.0, 1.0, 1.0, 1.0, 2.0]
    """
    index = np.arange(total_months)
    of_year = (int(start.split("-")[1]) - fiscal_year_start_month + index) % MONTHS_PER_YEAR
    beyond = index >= months
    first = (of_year == 0) | (index == 0) | beyond
    last = (of_year == MONTHS_PER_YEAR - 1) | (index == months - 1) | beyond
    return {
        "hours": month_hours(start, total_months),
        "in_horizon": (index < months).astype(float),
        "last_month": (index == months - 1).astype(float),
        "calendar_year": ((int(start.split("-")[1]) - 1 + index) // MONTHS_PER_YEAR + 1.0),
        "fiscal_year_first": first.astype(float),
        "fiscal_year_end": last.astype(float),
        "fiscal_quarter": (of_year // MONTHS_PER_QUARTER + 1).astype(float),
    }
