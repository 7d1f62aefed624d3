"""Hourly rates, calendar days, growth."""

import numpy as np
import pytest

from planner.workload.growth import growth_path, month_index
from planner.workload.profile import (
    DAY_SHAPES,
    batch_mean_rps,
    day_counts,
    hourly_mean_rps,
    peak_ratio,
    users_to_rps,
)


@pytest.mark.parametrize("name", sorted(DAY_SHAPES))
def test_named_shapes_keep_the_working_days_volume(name):
    weekday, weekend = DAY_SHAPES[name]
    rate = hourly_mean_rps(weekday=weekday, weekend=weekend, mean_rps=7.0)
    assert rate.shape == (2, 24)
    assert rate[0].mean() == pytest.approx(7.0)
    assert np.all(rate > 0)


def test_named_shapes_are_what_their_names_say():
    peaks = {name: int(np.argmax(days[0])) for name, days in DAY_SHAPES.items()}
    assert 9 <= peaks["office"] <= 16
    assert 18 <= peaks["consumer"] <= 22
    office_weekday, office_weekend = DAY_SHAPES["office"]
    assert sum(office_weekend) < 0.25 * sum(office_weekday)


def test_weekend_keeps_its_scale():
    # Weekday mean (0 x 12 + 4 x 12) / 24 = 2; weekend 1 of 2 times 10 rps = 5.
    rate = hourly_mean_rps(weekday=[0] * 12 + [4] * 12, weekend=[1] * 24, mean_rps=10)
    assert rate[0].tolist() == [0] * 12 + [20] * 12
    assert rate[1].tolist() == [5] * 24


def test_traffic_on_weekends_only_has_no_working_day_mean():
    with pytest.raises(ValueError, match="no traffic on working days"):
        hourly_mean_rps(weekday=[0] * 24, weekend=[1] * 24, mean_rps=1)


def test_users_spread_over_a_day():
    # 75,000 x 150 = 11.25 million requests / 86,400 s
    assert users_to_rps(users=75_000, requests_per_user_per_day=150) == pytest.approx(
        130.2083, abs=1e-4
    )


def test_peak_ratio():
    assert peak_ratio(percentile=0.5, five_minute_cv=0.3) == 1.0
    assert peak_ratio(percentile=0.99, five_minute_cv=0.0) == 1.0
    # z of 0.99 is 2.326348
    assert peak_ratio(percentile=0.99, five_minute_cv=0.5) == pytest.approx(2.163174)
    assert peak_ratio(percentile=0.99, five_minute_cv=0.5, peak_to_mean=1.2) == 1.2


def test_batch_is_flat_every_day():
    rate = batch_mean_rps(requests_per_day=172_800)
    assert rate.tolist() == [[2.0] * 24] * 2


def test_days_of_real_months():
    # January 2027 begins on a Friday: weekends 2-3, 9-10, 16-17, 23-24, 30-31.
    counts = day_counts(start="2027-01", months=14)
    assert counts[0].tolist() == [21, 10]
    assert counts[:12].sum() == 365
    assert counts[12:].sum() == 31 + 29  # January and February 2028
    assert counts[:12, 1].sum() == 104  # 52 weekends, and 2027 begins and ends on a Friday


def test_month_index():
    assert month_index("2027-01", "2027-01") == 0
    assert month_index("2027-03", "2026-12") == -3


def test_growth_compounds_monthly():
    path = growth_path(months=25, rate_per_year=1.0)
    assert path[[0, 12, 24]].tolist() == pytest.approx([1, 2, 4])
    assert path[1] == pytest.approx(2 ** (1 / 12))


def test_growth_table_and_events():
    path = growth_path(months=6, table=[1.0, 3.0], period_months=3, events=[(2, 2.0), (99, 5.0)])
    assert path.tolist() == [1, 1, 2, 6, 6, 6]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"table": [1, 2], "rate_per_year": 0.1, "period_months": 3}, "not both"),
        ({"table": [1, 2, 3], "period_months": 3}, "3 rows, 2 periods"),
        ({"events": [(-2, 1.5)]}, "2 months before"),
    ],
)
def test_contradictory_growth_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        growth_path(months=6, **given)
