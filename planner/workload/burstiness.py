r"""Arrivals of a trace at several time scales, and the shape of its day.

Counts of requests in windows of 1, 10, 60 and 300 s are compared with the mean of their own hour,
so that the day's rise and fall does not count as burstiness. Their index of dispersion is
variance / mean (population variance; 1 for a Poisson stream at every scale) [1]_.

.. [1] D. R. Cox and P. A. W. Lewis, The Statistical Analysis of Series of Events, Methuen, 1966,
       chapter 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.units import HOURS_PER_DAY, SECONDS_PER_DAY, SECONDS_PER_HOUR
from planner.workload.profile import DAY_TYPES, FIRST_WEEKEND_DAY

Array = NDArray[np.float64]

WINDOWS_S = (1, 10, 60, 300)
FIVE_MINUTES_S = 300
GAPS_MIN = 20
"""Gaps that a window needs before its own CV counts."""
GAP_WINDOWS_S = (300, 3600)
"""Windows for the CV of gaps: the first in which most gaps lie in windows that have enough."""
TICKS_MIN = 5
"""Ticks that five minutes need before their counts are compared with their own mean."""
TICK_TO_MEAN_GAP_MIN = 0.1
"""Stamps no finer than this share of the mean gap ..."""
TIES_FRAC_MIN = 0.01
"""... of which at least this share repeat the one before are rounded, not measured."""
OBSERVED_MIN_S = 600.0
"""Observation that an hour of the day needs before its rate counts."""
EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday; Monday is 0."""


@dataclass(frozen=True)
class Dispersion:
    """Counts in windows of one length."""

    index: float
    """Variance / mean of the counts; nan where fewer than two windows fit an hour."""
    cv: float
    """Standard deviation / mean of the counts, with Bessel's correction for few windows."""
    windows: int


@dataclass(frozen=True)
class Burstiness:
    """Arrivals at several time scales."""

    rate_rps: float
    """Mean over the trace."""
    gap_cv: float
    """CV of all gaps; an artefact where stamps are rounded."""
    local_gap_cv: float
    """Median over windows of the CV of their gaps; nan where few gaps lie in ones with enough."""
    local_window_s: int
    """Length of these windows."""
    tick_s: float | None
    """Step to which stamps are rounded, where that matters."""
    ties_frac: float
    """Share of requests with the stamp of the one before."""
    tick_dispersion: float
    """Index of dispersion of the counts a tick, within five minutes; nan where stamps are not
    rounded, or no tick between the first and the last has a request."""
    dispersion: dict[int, Dispersion]
    """By window [s]."""

    @property
    def arrival_cv(self) -> float:
        """CV of gaps around a rate that wanders; from counts a tick where stamps are rounded.

        A renewal stream's index of dispersion tends to the squared CV of its gaps.
        """
        if not math.isnan(self.tick_dispersion):
            return math.sqrt(self.tick_dispersion)
        return self.gap_cv if math.isnan(self.local_gap_cv) else self.local_gap_cv


@dataclass(frozen=True)
class DayShape:
    """Rates by hour of the day."""

    rates_rps: Array
    """(2 day types, 24); nan where an hour was hardly observed."""
    observed_s: Array
    """(2 day types, 24)"""


def dispersion(times_s: Array, *, window_s: int) -> Dispersion:
    """Spread of counts in windows around the mean of their own hour.

    Only whole windows count, from the first request on; busy hours weigh more.

    Parameters
    ----------
    times_s : (requests,) ascending.
    window_s : a divisor of 3600.

    Examples
    --------
    Counts 1 and 3: mean 2, variance 1; with Bessel's correction 2.

    >>> found = dispersion(np.array([0.0, 10, 11, 12, 20]), window_s=10)
    >>> found.index, round(found.cv, 6) == round(math.sqrt(2) / 2, 6), found.windows
    (0.5, True, 2)
    """
    whole = int((times_s[-1] - times_s[0]) // window_s)
    place, counts = _runs(((times_s - times_s[0]) // window_s).astype(np.int64))
    inside = place < whole
    a_hour = round(SECONDS_PER_HOUR / window_s)
    hours = -(-whole // a_hour)
    windows = np.full(hours, float(a_hour))
    if hours:
        windows[-1] = whole - a_hour * (hours - 1)
    hour, held = place[inside] // a_hour, counts[inside].astype(float)
    total = np.bincount(hour, held, minlength=hours)
    square = np.bincount(hour, held**2, minlength=hours)
    use = (windows >= 2) & (total > 0)
    mean = total[use] / windows[use]
    deviation = float((square[use] - windows[use] * mean**2).sum())
    if not use.any():
        return Dispersion(math.nan, math.nan, whole)
    free = float(((windows[use] - 1) * mean**2).sum())
    index = deviation / float((windows[use] * mean).sum())
    return Dispersion(max(index, 0.0), math.sqrt(max(deviation, 0.0) / free), whole)


def _runs(ascending: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct values and how often each occurs."""
    first = np.concatenate([[0], np.flatnonzero(np.diff(ascending)) + 1])
    return ascending[first], np.diff(first, append=len(ascending))


def gap_cv(gaps_s: Array) -> float:
    """CV of the gaps between requests; 0 where there are none.

    Examples
    --------
    >>> gap_cv(np.array([1.0, 3.0]))
    0.5
    """
    mean = float(gaps_s.mean()) if len(gaps_s) else 0.0
    return float(gaps_s.std()) / mean if mean > 0 else 0.0


def local_gap_cv(times_s: Array, *, window_s: int = FIVE_MINUTES_S) -> float:
    """Median over windows of the CV of the gaps that begin in them.

    A rate that wanders from window to window leaves it alone. nan where less than half of the
    gaps lie in windows with 20 or more: the few windows that have them are no fair sample.

    Examples
    --------
    Gaps of 1 and 3 s in turn, CV 0.5.

    >>> local_gap_cv(np.cumsum([1.0] + [3.0, 1.0] * 60))
    0.5
    """
    gaps = np.diff(times_s)
    _, counts = _runs(((times_s[:-1] - times_s[0]) // window_s).astype(np.int64))
    first = np.cumsum(counts) - counts
    mean = np.add.reduceat(gaps, first) / counts
    square = np.add.reduceat(gaps**2, first) / counts
    use = (counts >= GAPS_MIN) & (mean > 0)
    if 2 * int(counts[use].sum()) < len(gaps):
        return math.nan
    spread = np.sqrt(np.maximum(square[use] - mean[use] ** 2, 0.0))
    return float(np.median(spread / mean[use]))


def _local_gap_cv(times_s: Array) -> tuple[float, int]:
    """In the shortest windows that have enough gaps, with their length."""
    for window_s in GAP_WINDOWS_S:
        found = local_gap_cv(times_s, window_s=window_s)
        if not math.isnan(found):
            return found, window_s
    return math.nan, GAP_WINDOWS_S[-1]


def rounding_tick(times_s: Array) -> float | None:
    """Step to which stamps are rounded, where it hides how requests arrive; else None.

    Stamps are taken as rounded where the steps between distinct ones reach a tenth of the mean
    gap and some requests share a stamp. The step is the low end of the steps seen.

    Examples
    --------
    >>> rounding_tick(np.array([0.0, 0, 0, 3, 3, 6, 6, 6]))
    3.0
    >>> rounding_tick(np.array([0.0, 0.1, 0.9, 2.0])) is None
    True
    """
    gaps = np.diff(times_s)
    steps = gaps[gaps > 0]
    if not len(steps) or len(steps) > (1 - TIES_FRAC_MIN) * len(gaps):
        return None
    tick = float(np.quantile(steps, 0.01))
    return tick if tick >= TICK_TO_MEAN_GAP_MIN * float(gaps.mean()) else None


def tick_dispersion(times_s: Array, *, tick_s: float) -> float:
    """Index of dispersion of the requests a tick, ticks without a request included.

    Around the mean of each five minutes, so that a rate that rises and falls over the day does
    not count; around that of all ticks where five minutes have fewer than five. The first and the
    last tick, seldom recorded whole, are left out where five others remain.

    Examples
    --------
    Three ticks of 3, 0 and 3 requests: mean 2, variance 6 / (3 - 1).

    >>> tick_dispersion(np.array([0.0, 0, 0, 6, 6, 6]), tick_s=3.0)
    1.5
    """
    # Stamps of one tick may differ by a little, so each takes the nearest tick after the last.
    steps = np.concatenate([[0.0], np.rint(np.diff(times_s) / tick_s)])
    place, counts = _runs(np.cumsum(steps).astype(np.int64))
    ticks = int(place[-1]) + 1
    if ticks >= TICKS_MIN + 2:
        whole = (place > 0) & (place < ticks - 1)
        place, counts, ticks = place[whole] - 1, counts[whole], ticks - 2
    a_group = round(FIVE_MINUTES_S / tick_s)
    if a_group < TICKS_MIN:
        a_group = ticks
    held = np.full(-(-ticks // a_group), float(a_group))
    held[-1] = ticks - a_group * (len(held) - 1)
    total = np.bincount(place // a_group, counts, minlength=len(held))
    mean = total / held
    squares = float(counts.astype(float) @ counts) - float(total @ mean)
    free = float(((held - 1) * mean).sum())
    return max(squares, 0.0) / free if free > 0 else math.nan


def burstiness(times_s: Array) -> Burstiness:
    """Everything about the arrivals.

    Parameters
    ----------
    times_s : (requests,) ascending, of two requests or more that span some time.

    Raises
    ------
    ValueError : all requests at one instant, so that there is no rate.
    """
    span = float(times_s[-1] - times_s[0])
    if span <= 0:
        raise ValueError("all requests bear one time stamp: no rate follows from it")
    gaps = np.diff(times_s)
    tick = rounding_tick(times_s)
    local, window_s = _local_gap_cv(times_s)
    return Burstiness(
        rate_rps=(len(times_s) - 1) / span,
        gap_cv=gap_cv(gaps),
        local_gap_cv=local,
        local_window_s=window_s,
        tick_s=tick,
        ties_frac=float(np.mean(gaps <= 0)),
        tick_dispersion=math.nan if tick is None else tick_dispersion(times_s, tick_s=tick),
        dispersion={w: dispersion(times_s, window_s=w) for w in WINDOWS_S},
    )


def five_minute_cv_at(*, cv: float, rate_rps: float, planned_rps: float) -> float:
    r"""CV of five-minute counts when the same service runs at another rate.

    .. math:: c'^2 = \max\left(c^2 - \frac{1}{300\lambda}, 0\right) + \frac{1}{300\lambda'}

    The wandering of the rate stays; chance alone, a Poisson count's 1/n, shrinks with volume.

    Examples
    --------
    300 requests a window, c^2 = 0.01 + 1/300; with 100 times as many only 1/30000 is chance.

    >>> c = five_minute_cv_at(cv=math.sqrt(0.01 + 1 / 300), rate_rps=1.0, planned_rps=100.0)
    >>> round(c**2 - 1 / 30_000, 9)
    0.01
    """
    wandering = max(cv**2 - 1 / (FIVE_MINUTES_S * rate_rps), 0.0)
    return math.sqrt(wandering + 1 / (FIVE_MINUTES_S * planned_rps))


def day_shape(wall_s: Array, *, observed: Sequence[tuple[float, float]]) -> DayShape:
    """Mean rate of every hour of a weekday and of a weekend day.

    Parameters
    ----------
    wall_s : (requests,) local clock time, as seconds since 1970-01-01 00:00 on the same clock.
    observed : stretches (from, to) of the same clock over which the trace was recorded.

    Examples
    --------
    Thursday 00:00 to 01:30 with 1,800 requests in the first hour and 1,800 in the half after it.

    >>> found = day_shape(np.repeat([10.0, 3700.0], 1800), observed=[(0.0, 5400.0)])
    >>> found.rates_rps[0, :3].tolist(), float(found.observed_s.sum())
    ([0.5, 1.0, nan], 5400.0)
    """
    shape = len(DAY_TYPES), HOURS_PER_DAY
    counts = np.bincount(_slot(np.floor(wall_s / SECONDS_PER_HOUR)), minlength=shape[0] * shape[1])
    seconds = np.zeros(shape[0] * shape[1])
    for start, end in observed:
        hours = np.arange(math.floor(start / SECONDS_PER_HOUR), math.ceil(end / SECONDS_PER_HOUR))
        low = np.maximum(hours * SECONDS_PER_HOUR, start)
        high = np.minimum((hours + 1) * SECONDS_PER_HOUR, end)
        seconds += np.bincount(_slot(hours), np.maximum(high - low, 0.0), minlength=len(seconds))
    enough = seconds >= OBSERVED_MIN_S
    rates = np.divide(counts, seconds, out=np.full(len(seconds), np.nan), where=enough)
    return DayShape(rates.reshape(shape), seconds.reshape(shape))


def _slot(hours: Array | NDArray[np.signedinteger]) -> NDArray[np.int64]:
    """Place of each hour since 1970 in the flattened (2 day types, 24)."""
    whole = np.asarray(hours, np.int64)
    weekday = (whole // HOURS_PER_DAY + EPOCH_WEEKDAY) % 7
    weekend = (weekday >= FIRST_WEEKEND_DAY).astype(np.int64)
    return np.asarray(weekend * HOURS_PER_DAY + whole % HOURS_PER_DAY, np.int64)


def filled_shape(shape: DayShape) -> tuple[Array, NDArray[np.bool_]]:
    """Rates with hours that were not observed taken from the other day type; and which those are.

    An hour observed on neither takes the mean of the observed ones.

    Examples
    --------
    >>> rates = np.full((2, 24), 1.0)
    >>> rates[1, 5], rates[0, 5] = np.nan, 3.0
    >>> full, taken = filled_shape(DayShape(rates, rates))
    >>> float(full[1, 5]), int(taken.sum())
    (3.0, 1)
    """
    blank = np.isnan(shape.rates_rps)
    full = np.where(blank, shape.rates_rps[::-1], shape.rates_rps)
    return np.where(np.isnan(full), np.nanmean(shape.rates_rps), full), blank


def spans_a_day(seconds: float) -> bool:
    """Whether a trace is long enough to have a shape of the day."""
    return seconds >= SECONDS_PER_DAY
