"""Shape of the day: hourly mean and peak rates of a class on working days and weekends.

Day types are 0 weekday (Monday to Friday) and 1 weekend; public holidays count as the weekday
that they fall on, and hours are local clock hours.
"""

from __future__ import annotations

import calendar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from planner.units import HOURS_PER_DAY, MONTHS_PER_YEAR, SECONDS_PER_DAY

Array = NDArray[np.float64]

DAY_TYPES = ("weekday", "weekend")
FIRST_WEEKEND_DAY = 5
"""Monday is 0."""

DAY_SHAPES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "flat": ((1.0,) * 24, (1.0,) * 24),
    "office": (
        (
            0.04, 0.03, 0.02, 0.02, 0.03, 0.06, 0.15, 0.40, 0.80, 0.97, 1.00, 0.96,
            0.72, 0.82, 0.96, 0.95, 0.85, 0.62, 0.36, 0.24, 0.19, 0.15, 0.10, 0.06,
        ),
        (
            0.03, 0.02, 0.02, 0.02, 0.02, 0.02, 0.03, 0.05, 0.08, 0.11, 0.13, 0.13,
            0.12, 0.12, 0.13, 0.13, 0.13, 0.12, 0.12, 0.12, 0.12, 0.10, 0.07, 0.05,
        ),
    ),
    "consumer": (
        (
            0.42, 0.30, 0.22, 0.18, 0.17, 0.20, 0.30, 0.44, 0.58, 0.68, 0.74, 0.77,
            0.78, 0.77, 0.77, 0.78, 0.80, 0.82, 0.86, 0.93, 1.00, 0.98, 0.83, 0.61,
        ),
        (
            0.52, 0.40, 0.29, 0.22, 0.18, 0.18, 0.22, 0.31, 0.45, 0.59, 0.70, 0.76,
            0.79, 0.80, 0.81, 0.82, 0.83, 0.84, 0.86, 0.91, 0.95, 0.93, 0.80, 0.62,
        ),
    ),
}  # fmt: skip
"""Relative rates (weekday, weekend), midnight to midnight. Estimated: `office` is one time zone's
working day with a lunch dip, `consumer` an evening peak with a night trough of a sixth. A plan
that matters should use the hourly counts of its own logs."""


def users_to_rps(*, users: float, requests_per_user_per_day: float) -> float:
    """Mean rate over the 24 hours of a working day [requests/s].

    Examples
    --------
    >>> users_to_rps(users=8640, requests_per_user_per_day=10)
    1.0
    """
    return users * requests_per_user_per_day / SECONDS_PER_DAY


def hourly_mean_rps(
    *, weekday: ArrayLike, weekend: ArrayLike, mean_rps: float, what: str = "profile"
) -> Array:
    """Mean rate of every hour [requests/s], shape (2 day types, 24).

    Scaled so that the mean over the 24 hours of a working day is `mean_rps`; the weekend keeps
    its proportion to the weekday.

    Raises
    ------
    ValueError : no traffic on working days, so that nothing fixes the scale.

    Examples
    --------
    >>> hourly_mean_rps(weekday=[1] * 12 + [3] * 12, weekend=[1] * 24, mean_rps=10)[:, [0, 23]]
    array([[ 5., 15.],
           [ 5.,  5.]])
    """
    shape = np.array([weekday, weekend], float)
    working_day = float(shape[0].mean())
    if working_day <= 0:
        raise ValueError(f"{what}: no traffic on working days, on which the volume is stated")
    return shape * (mean_rps / working_day)


def peak_ratio(
    *, percentile: float, five_minute_cv: float, peak_to_mean: float | None = None
) -> float:
    r"""Planned peak of an hour / its mean rate.

    .. math:: 1 + z_p\,c

    for the percentile p of five-minute rates that vary with c around the hour's mean, normally
    distributed; `peak_to_mean`, where stated, instead.

    Examples
    --------
    >>> round(peak_ratio(percentile=0.99, five_minute_cv=0.18), 4)  # 1 + 2.3263 x 0.18
    1.4187
    >>> peak_ratio(percentile=0.99, five_minute_cv=0.18, peak_to_mean=2.0)
    2.0
    """
    if peak_to_mean is not None:
        return peak_to_mean
    return 1 + float(ndtri(percentile)) * five_minute_cv


def batch_mean_rps(*, requests_per_day: float) -> Array:
    """Rate of a batch class spread over every hour of every day [requests/s], shape (2, 24).

    Examples
    --------
    >>> float(batch_mean_rps(requests_per_day=86_400)[1, 3])
    1.0
    """
    shape = (len(DAY_TYPES), HOURS_PER_DAY)
    return np.full(shape, requests_per_day / SECONDS_PER_DAY)


def day_counts(*, start: str, months: int) -> Array:
    """Weekdays and weekend days of every month from `start` (2027-01), shape (months, 2).

    Examples
    --------
    February 2027 begins on a Monday and has four full weeks.

    >>> day_counts(start="2027-02", months=1).tolist()
    [[20.0, 8.0]]
    """
    year, first = map(int, start.split("-"))
    counts = []
    for offset in range(first - 1, first - 1 + months):
        weeks = calendar.monthcalendar(
            year + offset // MONTHS_PER_YEAR, offset % MONTHS_PER_YEAR + 1
        )
        weekend = sum(day > 0 for week in weeks for day in week[FIRST_WEEKEND_DAY:])
        counts.append((sum(day > 0 for week in weeks for day in week) - weekend, weekend))
    return np.array(counts, float).reshape(months, len(DAY_TYPES))
