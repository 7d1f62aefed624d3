"""Token lengths: means kept exactly, percentiles as stated, input and output uncorrelated."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.workload.lengths import (
    P95_TO_MEAN_MAX,
    bit_reversal,
    histogram_strata,
    joint_samples,
    lognormal_strata,
    sigma_from_cv,
    sigma_from_p95,
    token_lengths,
    whole_tokens,
)


def test_p95_fixes_sigma():
    # sigma = 0.5: p95 / mean = exp(1.644854 x 0.5 - 0.125) = exp(0.697427) = 2.008577
    assert sigma_from_p95(mean=1000, p95=2008.577) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("p95", [1000.0, 900.0, 3870.0])
def test_p95_that_no_log_normal_has_is_refused(p95):
    with pytest.raises(ValueError, match="log-normal"):
        sigma_from_p95(mean=1000, p95=p95)


def test_largest_p95_is_reached_at_sigma_1_645():
    highest = math.exp(1.6448536**2 / 2)
    assert highest == pytest.approx(P95_TO_MEAN_MAX, rel=1e-7)
    assert sigma_from_p95(mean=1, p95=P95_TO_MEAN_MAX * (1 - 1e-12)) == pytest.approx(
        1.644854, abs=1e-4
    )


def test_log_normal_has_the_stated_mean_p95_and_median():
    x = token_lengths(mean=2000, p95=6000, max_context=1_000_000)
    # sigma = 1.644854 - sqrt(2.705543 - 2 ln 3) = 0.93213; median = 2000 exp(-sigma^2 / 2)
    assert x.mean() == pytest.approx(2000, rel=1e-6)
    assert np.quantile(x, 0.95) == pytest.approx(6000, rel=0.005)
    assert np.median(x) == pytest.approx(2000 * math.exp(-(0.93213**2) / 2), rel=0.002)


def test_cv_is_the_coefficient_of_variation():
    assert sigma_from_cv(cv=1.0) == pytest.approx(math.sqrt(math.log(2)))
    x = token_lengths(mean=500, cv=1.0, max_context=1_000_000)
    assert x.std() / x.mean() == pytest.approx(1.0, rel=0.02)


def test_strata_lose_no_tail_however_heavy():
    x = lognormal_strata(mean=1000, sigma=2.0, samples=4096)
    assert x.mean() == pytest.approx(1000, rel=1e-12)
    assert np.all(np.diff(x) >= 0)


def test_histogram_keeps_shares_and_mean():
    # 90 % of 100 tokens, 10 % of 1100: mean 200
    x = token_lengths(values=[1100, 100], weights=[0.1, 0.9], max_context=10_000)
    assert x.mean() == pytest.approx(200, rel=1e-4)
    assert np.mean(x == 100) == pytest.approx(0.9, abs=1 / 4096)


def test_a_rare_value_of_a_histogram_is_not_lost():
    # One request in 100,000 has a million tokens: 10 of the mean of 109.999.
    x = histogram_strata(values=[100, 1_000_000], weights=[0.99999, 0.00001], samples=64)
    assert x.mean() == pytest.approx(0.99999 * 100 + 10)


@settings(max_examples=60, deadline=None)
@given(
    mean=st.floats(1.5, 20_000),
    ratio=st.floats(1.01, 3.8),
    room=st.floats(1.2, 50),
)
def test_whole_lengths_in_range_with_the_mean_kept(mean, ratio, room):
    context = math.ceil(mean * room)
    x = token_lengths(mean=mean, p95=mean * ratio, max_context=context, samples=1024)
    assert np.all(x == np.round(x))
    assert x.min() >= 1
    assert x.max() <= context
    assert x.mean() == pytest.approx(mean, rel=0.005)


@pytest.mark.parametrize(("mean", "context"), [(0.5, 100), (101.0, 100)])
def test_a_mean_that_no_length_can_have_is_refused(mean, context):
    with pytest.raises(ValueError, match="outside 1 to 100"):
        whole_tokens(np.full(8, mean), max_context=context)


def test_short_lengths_keep_their_mean():
    x = whole_tokens(np.full(10, 1.4), max_context=5)
    assert sorted(x.tolist()) == [1] * 6 + [2] * 4


@pytest.mark.parametrize("given", [{}, {"mean": 10}, {"mean": 10, "p95": 20, "cv": 1}, {"p95": 20}])
def test_incomplete_descriptions_are_refused(given):
    with pytest.raises(ValueError, match="mean with p95 or cv"):
        token_lengths(**given, max_context=100)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"mean": 500, "p95": 1500}, {"mean": 300, "p95": 900}),
        ({"mean": 500, "p95": 1900}, {"mean": 300, "cv": 3}),
        ({"mean": 8000, "cv": 0.3}, {"values": [10, 1000], "weights": [0.95, 0.05]}),
    ],
)
def test_pairs_are_uncorrelated_even_with_heavy_tails(inputs, outputs):
    a, b = joint_samples(
        inputs=token_lengths(**inputs, max_context=131_072),
        outputs=token_lengths(**outputs, max_context=131_072),
    )
    assert len(a) == 4096
    # A random pairing has a standard error of 1 / sqrt(4096) = 0.016.
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.006


def test_pairs_fill_every_cell_of_a_grid_once():
    a, b = joint_samples(inputs=np.arange(64.0), outputs=np.arange(64.0))
    assert len({(x // 8, y // 8) for x, y in zip(a, b, strict=True)}) == 64


def test_pairing_needs_a_power_of_two_and_equal_numbers():
    with pytest.raises(ValueError, match="power of two"):
        bit_reversal(12)
    with pytest.raises(ValueError, match="3 inputs"):
        joint_samples(inputs=np.ones(3), outputs=np.ones(4))


def test_one_sample_is_its_own_pair():
    assert joint_samples(inputs=np.ones(1), outputs=np.full(1, 7.0))[1].tolist() == [7.0]


def test_pairs_take_the_shares_of_their_parts():
    # Three quarters of the requests long with short, a quarter in the cells of the diagonal.
    shares = [0.125, 0.375, 0.375, 0.125]
    a, b = joint_samples(inputs=np.arange(64.0), outputs=np.arange(64.0), pair_shares=shares)
    counts = np.bincount(((a >= 32) * 2 + (b >= 32)).astype(int), minlength=4)
    assert counts.tolist() == [8, 24, 24, 8]
    # Either side keeps its lengths, each once.
    assert np.array_equal(np.sort(b), np.arange(64.0))
    # Within a cell nothing is added: the 24 answers spread over the whole upper half.
    upper = np.sort(b[(a < 32) & (b >= 32)])
    assert upper.min() <= 33
    assert upper.max() >= 62
    assert upper.mean() == pytest.approx(47.5, abs=1)


def test_parts_may_differ_in_size():
    # The longest eighth of the prompts has the shortest eighth of the answers.
    a, b = joint_samples(
        inputs=np.arange(64.0), outputs=np.arange(64.0), parts=[0.125, 0.75, 0.125],
        pair_shares=[0, 0, 0.125, 0, 0.75, 0, 0.125, 0, 0],
    )  # fmt: skip
    assert sorted(b[a >= 56].tolist()) == list(range(8))
    assert sorted(b[a < 8].tolist()) == list(range(56, 64))


def test_even_shares_are_independence():
    lengths = np.arange(256.0)
    apart = joint_samples(inputs=lengths, outputs=lengths)[1]
    even = joint_samples(inputs=lengths, outputs=lengths, pair_shares=[1.0] * 16)[1]
    assert np.array_equal(apart, even)


@pytest.mark.parametrize(("count", "parts"), [(5, ()), (4, (0.2, 0.3, 0.5))])
def test_shares_of_pairs_must_make_a_square_of_the_parts(count, parts):
    with pytest.raises(ValueError, match=f"{count} shares"):
        joint_samples(inputs=np.ones(4), outputs=np.ones(4), pair_shares=[0.2] * count, parts=parts)


def test_each_length_below_its_own_limit():
    # 4 becomes 2; a factor of 2 on the others keeps the sum: 2 + 2 + 2.
    found = whole_tokens(np.array([1.0, 1.0, 4.0]), max_context=[9, 9, 2])
    assert found.tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(ValueError, match="lies outside 1 to 3"):
        whole_tokens(np.full(2, 4.0), max_context=[2, 4])
