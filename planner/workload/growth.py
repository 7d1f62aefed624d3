"""How traffic grows: monthly multipliers of the level stated for the horizon's first month."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.units import MONTHS_PER_YEAR

Array = NDArray[np.float64]


def month_index(start: str, month: str) -> int:
    """Months from `start` to `month`, both as 2027-01; negative where it lies before.

    Examples
    --------
    >>> month_index("2027-11", "2028-02")
    3
    """
    (year, first), (later, last) = (tuple(map(int, text.split("-"))) for text in (start, month))
    return (later - year) * MONTHS_PER_YEAR + last - first


def growth_path(
    *,
    months: int,
    rate_per_year: float = 0.0,
    table: Sequence[float] = (),
    period_months: int = 1,
    events: Sequence[tuple[int, float]] = (),
) -> Array:
    r"""Multiplier of traffic in every month, shape (months,).

    .. math:: g_m = (1 + r)^{m/12} \prod_{e:\, m_e \le m} f_e

    or the table's value of the month's period in place of the power.

    Parameters
    ----------
    rate_per_year : r, compounding monthly; month 0 stands at 1.
    table : multiplier of each period of `period_months`, instead of a rate.
    events : (month index, factor): from that month on traffic is multiplied. An event after the
        horizon changes nothing.

    Raises
    ------
    ValueError : a table of another length than the periods, a rate beside a table, or an event
        before the first month, whose effect the stated level already contains.

    Examples
    --------
    >>> growth_path(months=13, rate_per_year=0.44)[[0, 6, 12]].round(6).tolist()
    [1.0, 1.2, 1.44]
    >>> growth_path(months=4, table=[1, 2], period_months=2, events=[(3, 1.5)]).tolist()
    [1.0, 1.0, 2.0, 3.0]
    """
    if len(table) and rate_per_year:
        raise ValueError("give a growth rate or a growth table, not both")
    if len(table) and len(table) * period_months != months:
        raise ValueError(f"growth table has {len(table)} rows, {months // period_months} periods")
    index = np.arange(months)
    path = (
        np.repeat(np.asarray(table, float), period_months)
        if len(table)
        else (1 + rate_per_year) ** (index / MONTHS_PER_YEAR)
    )
    for month, factor in events:
        if month < 0:
            raise ValueError(f"growth event {-month} months before the horizon's first month")
        path = np.where(index >= month, path * factor, path)
    return path
