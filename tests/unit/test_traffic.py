"""Scenario to traffic: calendar, what caches take away, peaks, block hours, growth."""

import numpy as np
import pytest
from pydantic import ValidationError

from planner.candidates.traffic import calendar_of, traffic
from planner.errors import ScenarioError
from planner.schema.scenario import Horizon
from tests.small_world import CHAT, NIGHT, catalog, scenario

# Days of the quarters of 2027: 90, 91, 92, 92.
QUARTER_DAYS = [90, 91, 92, 92]


def of(*demand, **sections):
    return traffic(scenario(demand=list(demand), **sections), catalog())


def test_quarters_and_calendar_years():
    when = calendar_of(Horizon(start="2027-01", months=15))
    assert when.labels == ("2027-Q1", "2027-Q2", "2027-Q3", "2027-Q4", "2028-Q1")
    assert when.fiscal_years == ("FY2027",) * 4 + ("FY2028",)
    assert when.first_months.tolist() == [0, 3, 6, 9, 12]
    assert when.period_months == 3


def test_months():
    when = calendar_of(Horizon(start="2027-11", months=12, period="month"))
    assert when.labels[:3] == ("2027-11", "2027-12", "2028-01")
    assert when.hours[:4].tolist() == [720, 744, 744, 696]  # February of a leap year
    assert when.fiscal_years[1:3] == ("FY2027", "FY2028")


def test_quarters_that_do_not_begin_in_january_are_named_by_their_first_month():
    when = calendar_of(Horizon(start="2027-02", months=12))
    assert when.labels == ("2027-02", "2027-05", "2027-08", "2027-11")


def test_fiscal_year_that_begins_in_july_bears_the_year_in_which_it_ends():
    when = calendar_of(Horizon(start="2027-01", months=24, fiscal_year_start_month=7))
    assert when.fiscal_years == ("FY2027",) * 2 + ("FY2028",) * 4 + ("FY2029",) * 2


def test_quarter_across_a_fiscal_year_counts_where_its_orders_fall():
    # Years begin in February; orders fall in January, the last month of FY2027.
    when = calendar_of(Horizon(start="2027-01", months=12, fiscal_year_start_month=2))
    assert when.fiscal_years == ("FY2027", "FY2028", "FY2028", "FY2028")


def test_hours_of_blocks_are_the_calendars():
    asked = of({**CHAT, "profile": "office"}, planning={"load_blocks": 6})
    assert asked.load.hours.shape == (4, 6)
    assert asked.load.hours.sum(axis=1).tolist() == [24 * days for days in QUARTER_DAYS]
    assert asked.load.hours.sum() == asked.calendar.hours.sum()


def test_flat_traffic_keeps_its_mean_in_every_hour():
    assert of(CHAT).load.mean_rps == pytest.approx(20.0)


def test_peak_of_five_minute_rates():
    # 99th percentile of a normal: 1 + 2.32635 x 0.18 = 1.41874.
    assert of(CHAT).load.peak_rps == pytest.approx(20 * 1.41874, rel=1e-5)


def test_peak_as_stated():
    assert of({**CHAT, "peak_to_mean": 3.0}).load.peak_rps == pytest.approx(60.0)


def test_peak_scales_the_busiest_hour():
    weekday = [1.0] * 12 + [3.0] * 12
    asked = of({**CHAT, "profile": {"weekday": weekday, "weekend": [0.0] * 24},
                "peak_to_mean": 2.0}, planning={"load_blocks": 3})  # fmt: skip
    # 20 a second over the working day: 10 and 30 by hour; twice that at the peak.
    assert asked.load.mean_rps.max() == pytest.approx(30.0)
    assert asked.load.peak_rps[0].max() == pytest.approx(60.0)


def test_response_cache_takes_requests_away():
    plain, cached = of(CHAT), of({**CHAT, "response_cache_hit_frac": 0.4})
    assert cached.load.mean_rps == pytest.approx(12.0)
    assert cached.load.peak_rps == pytest.approx(plain.load.peak_rps * 0.6)


def test_users_on_a_working_day():
    by_users = {k: v for k, v in CHAT.items() if k != "requests_per_s"}
    asked = of({**by_users, "users": 8640, "requests_per_user_per_day": 50})
    assert asked.load.mean_rps == pytest.approx(5.0)  # 432,000 requests in 86,400 s


def test_batch_work_has_no_peak():
    asked = of(NIGHT)
    assert asked.load.mean_rps == pytest.approx(5.0)
    np.testing.assert_array_equal(asked.load.peak_rps, asked.load.mean_rps)


def test_growth_compounds_by_month():
    # Twice as much a year: month m stands at 2^(m/12), March at 2^(2/12).
    growth = {"rate_per_year": 1.0}
    asked = of({**CHAT, "growth": growth, "peak_to_mean": 1.0}, horizon={"start": "2027-01"})
    assert asked.load.peak_rps[0, 0] == pytest.approx(20 * 2 ** (2 / 12))
    # Weekdays and weekend days of the months weigh the mean of each block: between the ends.
    assert np.all(asked.load.mean_rps[0, 0] > 20)
    assert np.all(asked.load.mean_rps[0, 0] < 20 * 2 ** (2 / 12))


def test_event_within_a_quarter():
    events = [{"month": "2027-09", "factor": 2.0}]
    asked = of({**CHAT, "growth": {"events": events}, "peak_to_mean": 1.0})
    assert asked.load.peak_rps[0, :, 0].tolist() == pytest.approx([20, 20, 40, 40])
    assert asked.load.mean_rps[0, 3] == pytest.approx(40.0)
    # July and August 62 days at 20, September 30 at 40: 2,440 / 92 over all blocks.
    volume = (asked.load.mean_rps[0] * asked.load.hours).sum(axis=1) / asked.load.hours.sum(axis=1)
    assert volume[2] == pytest.approx(2440 / 92)


def test_growth_by_period():
    asked = of({**CHAT, "growth": {"table": [1, 1, 2, 3]}, "peak_to_mean": 1.0})
    assert asked.load.mean_rps[0, :, 0].tolist() == pytest.approx([20, 20, 40, 60])


def test_event_before_the_start_is_the_readers_mistake():
    growth = {"events": [{"month": "2026-12", "factor": 2.0}]}
    with pytest.raises(ScenarioError, match=r"demand\[chat\]\.growth.*2026-12.*2027-01"):
        of({**CHAT, "growth": growth})


def test_lengths_stop_at_the_shortest_context():
    long = {**CHAT, "models": ["llama-3.1-8b", "gemma-2-9b"],
            "input_tokens": {"mean": 6000, "cv": 1}}  # fmt: skip
    assert catalog().models["gemma-2-9b"].max_context == 8192
    lengths = of(long).lengths[0]
    assert lengths.input_tokens.max() <= 8192
    assert lengths.input_mean == pytest.approx(6000, rel=0.2)


def test_mean_beyond_the_context_is_the_readers_mistake():
    long = {**CHAT, "models": ["gemma-2-9b"], "input_tokens": {"mean": 20_000, "cv": 0.5}}
    with pytest.raises(
        ScenarioError, match=r"demand\[chat\]\.input_tokens: mean 20,000.*gemma-2-9b.*8,192"
    ):
        of(long)


def test_means_together_beyond_the_context_are_the_readers_mistake():
    long = {**CHAT, "models": ["gemma-2-9b"], "input_tokens": {"mean": 5000, "cv": 0.5},
            "output_tokens": {"mean": 4000, "cv": 0.5}}  # fmt: skip
    with pytest.raises(
        ScenarioError, match=r"demand\[chat\]: mean prompt and answer, 9,000.*8,192"
    ):
        of(long)


def test_prompt_and_answer_stay_within_the_context_together():
    long = {**CHAT, "models": ["gemma-2-9b"], "input_tokens": {"mean": 5000, "cv": 0.5},
            "output_tokens": {"mean": 1000, "cv": 1}}  # fmt: skip
    found = of(long).lengths[0]
    assert found.total_tokens.max() <= 8192
    assert found.output_mean == pytest.approx(1000, rel=1e-3)


def test_lengths_that_go_together():
    # Halves: 100 or 300 tokens of prompt, 11 or 21 of answer; long with short only. Cached tokens
    # read: (100 x 20 + 20 x 21 / 2 + 300 x 10 + 10 x 11 / 2) / 2 = (2,210 + 3,055) / 2.
    given = {**CHAT, "input_tokens": {"values": [100, 300], "weights": [1, 1]},
             "output_tokens": {"values": [11, 21], "weights": [1, 1]},
             "length_pairs": {"shares": [0, 0.5, 0.5, 0]}}  # fmt: skip
    assert of(given).lengths[0].kv_steps == pytest.approx(2632.5)
    # Independent: 200 x 15 + (55 + 210) / 2.
    apart = {name: value for name, value in given.items() if name != "length_pairs"}
    assert of(apart).lengths[0].kv_steps == pytest.approx(3132.5, rel=1e-3)


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ({"shares": [1, 1, 1]}, "3 shares; a square table has 4, 9, 16"),
        ({"shares": [1, 1, 1, 1], "parts": [1, 1, 1]}, "4 shares; 3 parts need 9"),
        ({"shares": [0.5, 0.1, 0.1, 0.3]}, "row 1 holds 0.6 of requests, column 1 0.6.*part's 0.5"),
        ({"shares": [0, 0, 0, 0]}, "positive sum"),
        ({"parts": [1, 1]}, "0 shares; 2 parts need 4"),
    ],
)
def test_pairs_that_are_none_are_refused(pairs, says):
    with pytest.raises(ValidationError, match=says):
        of({**CHAT, "length_pairs": pairs})


def test_histogram_and_prefix_cache():
    given = {**CHAT, "input_tokens": {"values": [100, 300], "weights": [1, 1]},
             "prefix_cache_hit_frac": 0.25}  # fmt: skip
    lengths = of(given).lengths[0]
    assert lengths.input_mean == pytest.approx(200.0, rel=0.02)
    assert lengths.prefix_hit_frac == 0.25
