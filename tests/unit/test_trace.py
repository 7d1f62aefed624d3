"""Statistics of a trace: lengths, pairing, arrivals at several scales, shape of the day."""

import math

import numpy as np
import pytest

from planner.workload import burstiness as bursts
from planner.workload.lengths import joint_samples, lognormal_strata, token_lengths
from planner.workload.trace import (
    BINS,
    PARTS,
    dependence,
    distribution,
    fit_lengths,
    histogram,
    lognormal_distance,
    pair_shares,
)

Z_95 = 1.6448536


def two_humps():
    """90 % of requests at 100-199 tokens, 10 % at 5,000-5,099, evenly: mean 639.5, p95 5,049."""
    return np.concatenate([np.repeat(np.arange(100, 200), 9), np.arange(5000, 5100)])


def test_lognormal_lengths_are_recognized():
    # exp(7 + z) has mean exp(7.5) = 1808, p95 exp(7 + 1.645) = 5680, CV sqrt(e - 1) = 1.311.
    found = fit_lengths(np.rint(lognormal_strata(mean=math.exp(7.5), sigma=1.0, samples=20_000)))
    assert found.form.startswith("lognormal")
    assert found.mean == pytest.approx(math.exp(7.5), rel=1e-3)
    assert found.p95 == pytest.approx(math.exp(7 + Z_95), rel=2e-3)
    assert found.cv == pytest.approx(math.sqrt(math.e - 1), rel=2e-2)
    assert found.fitted_p95 == pytest.approx(found.p95, rel=2e-2)
    assert (found.values, found.weights) == ((), ())


def test_two_humps_become_a_histogram_with_mean_and_p95():
    found = fit_lengths(two_humps())
    assert found.form == "histogram"
    assert found.lognormal_distance > 0.2
    assert len(found.values) == BINS
    assert sum(found.weights) == pytest.approx(1)
    # (900 x 149.5 + 100 x 5049.5) / 1000
    assert np.dot(found.values, found.weights) == pytest.approx(639.5)
    assert found.p95 == 5049
    assert found.fitted_p95 == pytest.approx(5049, rel=0.01)


def test_planner_draws_the_histogram_s_mean_and_p95():
    found = fit_lengths(two_humps())
    drawn = token_lengths(values=found.values, weights=found.weights, max_context=131_072)
    assert drawn.mean() == pytest.approx(639.5, abs=0.5)
    assert np.quantile(drawn, 0.95) == pytest.approx(5049, rel=0.01)


def test_histogram_keeps_p95_where_the_distribution_jumps_there():
    # 94.9 % at 1-949 tokens, then 9,000 and more: p95 is 9,000 and the bin around it must not mix.
    lengths = np.concatenate([np.arange(1, 950), 9000 + np.arange(51)])
    values, weights = histogram(distribution(lengths))
    reached = np.cumsum(weights)
    assert values[np.searchsorted(reached, 0.95 - 1e-9)] == pytest.approx(9000)
    assert values @ weights == pytest.approx(lengths.mean())
    assert np.all(np.diff(values) > 0)


def test_few_distinct_lengths_are_kept_as_they_are():
    found = fit_lengths([7] * 3 + [9])
    assert (found.values, found.weights) == ((7.0, 9.0), (0.75, 0.25))
    one = fit_lengths([5, 5])
    assert (one.values, one.weights, one.cv) == ((5.0,), (1.0,), 0.0)
    assert math.isinf(one.lognormal_distance)


@pytest.mark.parametrize("lengths", [[], [0, 5], [-1]])
def test_lengths_must_be_positive(lengths):
    with pytest.raises(ValueError, match="positive"):
        fit_lengths(lengths)


def test_distance_counts_both_sides_of_a_step():
    # One length at the log-normal's 90th percentile: 90 % of it lies below, 10 % above.
    at = math.exp(1.2815516)
    found = lognormal_distance(distribution([at]), mean=math.exp(0.5), sigma=1.0)
    assert found == pytest.approx(0.9, abs=1e-6)


def test_what_independence_costs():
    # Long prompts with short answers: 10 + 9 x 4 reads ... I(O-1) + (O-1)O/2:
    # (100, 1): 0; (10, 5): 10 x 4 + 10 = 50; mean 25. Independent: 55 x 2 + 5 = 115.
    found = dependence([100, 10], [1, 5])
    assert found.pearson == pytest.approx(-1)
    assert found.rank == pytest.approx(-1)
    assert found.decode_reads_ratio == pytest.approx(25 / 115)


def test_one_token_answers_read_nothing():
    found = dependence([100, 10], [1, 1])
    assert (found.pearson, found.decode_reads_ratio) == (0.0, 1.0)


def poisson(rate, count, seed=1):
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count))


def test_poisson_stream_looks_poisson_at_every_scale():
    found = bursts.burstiness(poisson(rate=5.0, count=200_000))  # 11 hours
    assert found.rate_rps == pytest.approx(5, rel=0.01)
    assert found.arrival_cv == pytest.approx(1, abs=0.02)
    assert found.tick_s is None
    # Around an hour's own mean k windows hold (k - 1) / k of the variance: 11/12 at 300 s.
    expected = {1: 1.0, 10: 1.0, 60: 59 / 60, 300: 11 / 12}
    for window, index in expected.items():
        assert found.dispersion[window].index == pytest.approx(index, rel=0.2)
    assert found.dispersion[300].cv == pytest.approx(1 / math.sqrt(1500), rel=0.15)


def test_bursty_stream_has_its_gap_cv():
    gaps = np.random.default_rng(2).gamma(0.25, 1 / 1.25, 100_000)  # CV 2, 5 a second
    assert bursts.burstiness(np.cumsum(gaps)).arrival_cv == pytest.approx(2, rel=0.05)


def test_rounded_stamps_are_named_and_do_not_count_as_bursts():
    times = np.floor(poisson(rate=10.0, count=100_000))
    found = bursts.burstiness(times)
    assert found.tick_s == 1.0
    # 9 of 10 gaps are 0 and one is 1 s: CV sqrt(0.9 / 0.1) = 3, an artefact.
    assert found.gap_cv == pytest.approx(3, rel=0.02)
    assert found.arrival_cv == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("tick", [0, 1, 60])
def test_a_rate_that_rises_and_falls_over_the_day_is_no_burst(tick):
    # Poisson at 1 to 9 a second over a day: CV 1 at every instant, however stamps are rounded.
    times = poisson(rate=9.0, count=9 * 86_400)
    kept = np.random.default_rng(3).random(len(times)) * 9 < 5 + 4 * np.sin(times / 13_751)
    times = times[kept] if not tick else np.floor(times[kept] / tick) * tick
    found = bursts.burstiness(times)
    assert (found.tick_s or 0) == tick
    assert found.arrival_cv == pytest.approx(1, abs=0.03)


def test_nights_of_a_sparse_stream_are_no_bursts():
    # A request every 25 s for 10 hours a day: 12 in five minutes are too few, 144 in an hour are
    # not. Of 1,440 gaps a day one lasts the night: the CV of all is far above 1.
    times = np.concatenate([day * 86_400.0 + np.arange(0, 36_000, 25) for day in range(5)])
    found = bursts.burstiness(times)
    assert found.gap_cv > 10
    assert (found.local_window_s, found.arrival_cv) == (3600, pytest.approx(0, abs=1e-6))


def test_few_windows_with_many_gaps_are_no_fair_sample():
    # 30 requests within a minute now and then, else one every 20 minutes.
    times = np.concatenate([np.arange(200) * 1200.0, 5000 + np.arange(30) * 2.0])
    assert math.isnan(bursts.local_gap_cv(np.sort(times)))


def test_sparse_stream_with_whole_seconds_is_not_rounded():
    assert bursts.rounding_tick(np.floor(poisson(rate=0.01, count=1000))) is None


def test_rise_of_the_day_is_no_burstiness():
    # An hour at exactly 1 a second, an hour at exactly 2 a second.
    times = np.concatenate([np.arange(3600) + 0.25, 3600 + np.arange(7200) / 2 + 0.25])
    found = bursts.dispersion(times - 0.25, window_s=300)
    assert found.windows == 23  # the last one ends with the last request, not whole
    assert found.index == pytest.approx(0, abs=1e-9)


def test_dispersion_of_alternating_windows():
    # Windows of 300 s with 10 and 30 requests: mean 20, variance 100, index 5; 12 windows:
    # CV^2 = 100 x 12 / 11 / 400.
    times = np.concatenate(
        [300 * w + np.arange(n) * 300 / n for w, n in enumerate([10, 30] * 6)] + [[3600.0]]
    )
    found = bursts.dispersion(times, window_s=300)
    assert (found.windows, found.index) == (12, pytest.approx(5))
    assert found.cv == pytest.approx(math.sqrt(300 / 1100))


def test_short_trace_has_no_dispersion():
    found = bursts.dispersion(np.array([0.0, 100, 400]), window_s=300)
    assert found.windows == 1
    assert math.isnan(found.index)


def test_one_instant_has_no_rate():
    with pytest.raises(ValueError, match="no rate"):
        bursts.burstiness(np.array([5.0, 5.0]))


def test_five_minute_cv_shrinks_to_its_wandering_part():
    # Pure Poisson noise at 1/s (CV^2 = 1/300) becomes Poisson noise at 9/s: a third.
    cv = bursts.five_minute_cv_at(cv=math.sqrt(1 / 300), rate_rps=1.0, planned_rps=9.0)
    assert cv == pytest.approx(math.sqrt(1 / 300) / 3)


def test_day_shape_divides_by_what_was_recorded():
    # From Friday 1970-01-02 23:30 to Saturday 00:30: 900 requests in each half hour.
    start = 86_400 + 23.5 * 3600
    wall = start + np.arange(1800) * 2.0
    found = bursts.day_shape(wall, observed=[(start, start + 3600)])
    assert found.rates_rps[0, 23] == pytest.approx(0.5)
    assert found.rates_rps[1, 0] == pytest.approx(0.5)
    assert np.isnan(found.rates_rps).sum() == 46
    assert found.observed_s.sum() == pytest.approx(3600)


def test_hours_hardly_recorded_are_taken_from_the_other_day_type():
    rates = np.full((2, 24), 2.0)
    rates[1] = np.nan
    rates[0, 3] = np.nan
    full, taken = bursts.filled_shape(bursts.DayShape(rates, np.zeros((2, 24))))
    assert full[1, 0] == 2.0
    assert full[:, 3].tolist() == [2.0, 2.0]
    assert taken.sum() == 25


def test_shares_of_pairs_by_hand():
    # Halves of 1-4 and of 10-40: (1, 30), (2, 40) below-above, (3, 20), (4, 10) above-below.
    assert pair_shares([1, 3, 2, 4], [30, 20, 40, 10], parts=[0.5, 0.5]).tolist() == [
        [0, 0.5],
        [0.5, 0],
    ]


def test_equal_lengths_fill_parts_alike():
    # One length on one side: nothing is told of pairs, every cell holds a quarter of 4,000.
    shares = pair_shares(np.ones(4000), np.arange(4000), parts=[0.5, 0.5])
    assert shares.sum(axis=0) == pytest.approx([0.5, 0.5])
    assert shares.sum(axis=1) == pytest.approx([0.5, 0.5])
    # Standard deviation of a cell sqrt(1000 x 0.5 x 0.5) / 4000 = 0.004.
    assert shares == pytest.approx(np.full((2, 2), 0.25), abs=0.016)


def test_planned_pairs_read_what_the_trace_reads():
    # Long prompts have short answers: O = 2000 - I / 2 and noise; independent lengths read 18 %
    # more cached tokens.
    draw = np.random.default_rng(3)
    prompts = draw.integers(100, 3900, 50_000)
    answers = 2000 - prompts // 2 + draw.integers(0, 200, 50_000)
    own = float((prompts * (answers - 1) + (answers - 1) * answers / 2).mean())
    sides = [token_lengths(**fitted(side), max_context=131_072) for side in (prompts, answers)]

    def reads(shares, parts=()):
        i, o = joint_samples(inputs=sides[0], outputs=sides[1], pair_shares=shares, parts=parts)
        return float((i * (o - 1) + (o - 1) * o / 2).mean())

    assert reads(()) > 1.15 * own
    assert reads(pair_shares(prompts, answers).ravel(), PARTS) == pytest.approx(own, rel=0.01)


def fitted(lengths):
    found = fit_lengths(lengths)
    return {"values": found.values, "weights": found.weights}
