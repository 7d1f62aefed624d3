"""Load blocks: volume and peaks survive, unlike hours part, calendars add up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from planner.workload.blocks import hour_ranges, load_blocks, load_by_period
from planner.workload.profile import DAY_SHAPES, day_counts, hourly_mean_rps


def mixed(peak_factor=1.4):
    mean = np.stack(
        [
            hourly_mean_rps(weekday=days[0], weekend=days[1], mean_rps=rps)
            for days, rps in (
                (DAY_SHAPES["office"], 100.0),
                (DAY_SHAPES["consumer"], 3.0),
                (DAY_SHAPES["flat"], 1.0),
            )
        ]
    )
    return mean, mean * peak_factor


def test_two_level_day_is_found_exactly():
    weekday = [1.0] * 9 + [5.0] * 8 + [1.0] * 7
    mean = np.array([[weekday, [2.0] * 24]])
    blocks = load_blocks(hourly_mean=mean, hourly_peak=2 * mean, blocks=3)
    assert blocks.labels == ("weekday 0-9, 17-24", "weekday 9-17", "weekend 0-24")
    assert blocks.day_of_block.tolist() == [0, 0, 1]
    assert blocks.hours_a_day.tolist() == [16, 8, 24]
    assert blocks.mean_rps.tolist() == [[1, 5, 2]]
    assert blocks.peak_rps.tolist() == [[2, 10, 4]]
    assert blocks.overstatement_frac.tolist() == [0]


def test_overstatement_by_hand():
    # One block a day type: weekday planned 24 x 4, needed 12 x 2 + 12 x 4 = 72; weekend exact
    # 24 x 1. Week: (5 x 96 + 2 x 24) / (5 x 72 + 2 x 24) - 1 = 528 / 408 - 1.
    mean = np.array([[[2.0] * 12 + [4.0] * 12, [1.0] * 24]])
    blocks = load_blocks(hourly_mean=mean, hourly_peak=mean, blocks=2)
    assert blocks.overstatement_frac[0] == pytest.approx(528 / 408 - 1)
    assert blocks.mean_rps.tolist() == [[3.0, 1.0]]


def test_flat_traffic_needs_one_block_a_day_type():
    flat = np.ones((2, 2, 24))
    assert load_blocks(hourly_mean=flat, hourly_peak=flat, blocks=12).labels == (
        "weekday 0-24",
        "weekend 0-24",
    )


@pytest.mark.parametrize("count", [4, 6, 8, 12])
def test_hours_in_which_classes_peak_apart_lie_apart(count):
    mean, peak = mixed()
    blocks = load_blocks(hourly_mean=mean, hourly_peak=peak, blocks=count)
    office, consumer = (int(np.argmax(peak[d, 0])) for d in (0, 1))
    assert blocks.block_of_hour[0, office] != blocks.block_of_hour[0, consumer]


def test_more_blocks_overstate_less_and_the_highest_number_nothing():
    mean, peak = mixed()
    over = [
        load_blocks(hourly_mean=mean, hourly_peak=peak, blocks=n).overstatement_frac.sum()
        for n in (2, 4, 8, 16, 48)
    ]
    assert over == sorted(over, reverse=True)
    assert over[-1] == pytest.approx(0, abs=1e-12)


def test_a_scaled_class_changes_no_block():
    mean, peak = mixed()
    scale = np.array([1e-3, 1e3, 1.0])[:, None, None]
    a = load_blocks(hourly_mean=mean, hourly_peak=peak, blocks=8)
    b = load_blocks(hourly_mean=mean * scale, hourly_peak=peak * scale, blocks=8)
    assert a.block_of_hour.tolist() == b.block_of_hour.tolist()


@settings(max_examples=40, deadline=None)
@given(
    mean=arrays(float, (3, 2, 24), elements=st.floats(0, 100)),
    factor=arrays(float, (3, 1, 1), elements=st.floats(1, 3)),
    count=st.integers(2, 20),
)
def test_volume_and_peaks_survive_any_traffic(mean, factor, count):
    peak = mean * factor
    blocks = load_blocks(hourly_mean=mean, hourly_peak=peak, blocks=count)
    used = len(blocks.labels)
    assert 2 <= used <= count
    for day in (0, 1):
        mine = blocks.day_of_block == day
        assert blocks.hours_a_day[mine].sum() == 24
        volume = (blocks.mean_rps * blocks.hours_a_day)[:, mine].sum(axis=1)
        np.testing.assert_allclose(volume, mean[:, day].sum(axis=1), atol=1e-9)
        np.testing.assert_allclose(
            blocks.peak_rps[:, mine].max(axis=1), peak[:, day].max(axis=1), atol=1e-12
        )
    assert np.all(blocks.peak_rps[:, blocks.block_of_hour] >= peak)
    assert np.all(blocks.overstatement_frac >= -1e-12)


def test_fewer_blocks_than_day_types_is_refused():
    mean, peak = mixed()
    with pytest.raises(ValueError, match="every day type needs one"):
        load_blocks(hourly_mean=mean, hourly_peak=peak, blocks=1)


def test_periods_add_up_to_the_calendar():
    mean, peak = mixed()
    blocks = load_blocks(hourly_mean=mean, hourly_peak=peak, blocks=6)
    counts = day_counts(start="2027-01", months=24)
    load = load_by_period(
        blocks=blocks, day_counts=counts, growth=np.ones((3, 24)), period_months=3
    )
    # First quarters: 31 + 28 + 31 days in 2027, 31 + 29 + 31 in 2028.
    assert load.hours.shape == (8, 6)
    assert load.hours.sum(axis=1)[[0, 4]].tolist() == [90 * 24, 91 * 24]
    assert load.hours.sum() == (365 + 366) * 24
    # January to March 2027 have 21 + 20 + 23 weekdays.
    assert load.hours[0, blocks.day_of_block == 0].sum() == 64 * 24


def test_peak_is_the_busiest_months_and_mean_the_days_average():
    flat = np.full((1, 2, 24), 10.0)
    blocks = load_blocks(hourly_mean=flat, hourly_peak=1.5 * flat, blocks=2)
    load = load_by_period(
        blocks=blocks,
        day_counts=np.array([[20.0, 8.0], [22.0, 9.0], [23.0, 8.0]]),
        growth=np.array([[1.0, 3.0, 2.0]]),
        period_months=3,
    )
    # Peak 15 x 3. Weekday mean 10 x (20 x 1 + 22 x 3 + 23 x 2) / 65; weekend (8 + 27 + 16) / 25.
    assert load.peak_rps.tolist() == [[[45.0, 45.0]]]
    assert load.mean_rps[0, 0].tolist() == pytest.approx([1320 / 65, 510 / 25])


def test_requests_of_a_year_are_kept():
    mean, peak = mixed()
    counts = day_counts(start="2026-11", months=12)
    growth = np.array([np.linspace(1, 2, 12), np.ones(12), np.linspace(2, 1, 12)])
    load = load_by_period(
        blocks=load_blocks(hourly_mean=mean, hourly_peak=peak, blocks=7),
        day_counts=counts,
        growth=growth,
        period_months=3,
    )
    planned = (load.mean_rps * load.hours).sum(axis=(1, 2))
    by_hand = [
        sum(growth[d, m] * counts[m, day] * mean[d, day].sum() for m in range(12) for day in (0, 1))
        for d in range(3)
    ]
    np.testing.assert_allclose(planned, by_hand, rtol=1e-12)


def test_hour_ranges():
    assert hour_ranges([0, 1, 23]) == "0-2, 23-24"
    assert hour_ranges(list(range(24))) == "0-24"


def test_fewer_blocks_join_those_of_more():
    mean, peak = mixed()
    fine, coarse = (
        load_blocks(hourly_mean=mean, hourly_peak=peak, blocks=n).block_of_hour for n in (12, 5)
    )
    for block in range(fine.max() + 1):
        assert len(np.unique(coarse[fine == block])) == 1


def test_no_two_blocks_could_be_joined_at_less_cost():
    # Loads 1, 2, 4 and 8 for six hours each; weekend flat. Three blocks: of the unions, 1 with 2
    # adds 6 x 1, 2 with 4 adds 6 x 2, 4 with 8 adds 6 x 4, so 1 and 2 go together.
    mean = np.array([[np.repeat([1.0, 2.0, 4.0, 8.0], 6), [1.0] * 24]])
    blocks = load_blocks(hourly_mean=mean, hourly_peak=mean, blocks=4)
    assert blocks.labels == ("weekday 0-12", "weekday 12-18", "weekday 18-24", "weekend 0-24")
