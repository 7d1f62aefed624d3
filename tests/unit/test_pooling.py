import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.perf.lengths import from_samples
from planner.perf.pooling import capacity_line, pool_rates
from planner.perf.replica import Replica

REPLICA = Replica(
    *(np.array([x]) for x in (2e-3, 0.0, 7e-3, 4e-5, 0.0, 3e-8, 1e-9, 2048.0, 256.0, 1e6))
)
LENGTHS = from_samples(
    np.random.default_rng(0).lognormal(6.5, 0.8, 3000) + 1,
    np.random.default_rng(1).lognormal(5.0, 0.7, 3000) + 1,
)
TARGETS = {"ttft_s": 0.2, "ttft_percentile": 0.95, "tpot_s": 0.05, "tpot_percentile": 0.95}


def test_envelope_by_hand():
    # Points (0,0) (1,1) (2,4) (4,12) (8,30): chord slopes 1, 3, 4, 4.5 rise, so all are edges.
    # Over 3 replicas: slope 4, and 4 k - 4 passes (2,4) and (4,12). Over 6: 4.5 k - 6.
    a, delta = capacity_line([1, 2, 4, 8], [1.0, 4.0, 12.0, 30.0], np.array(3.0))
    assert (float(a), float(delta)) == pytest.approx((4.0, 4.0))
    # Beyond the table 30 / 8 = 3.75 each: 10 carry 37.5, and the chord to it from (4, 12), slope
    # 4.25, passes below (8, 30): 4.25 k - 5.
    a, delta = capacity_line([1, 2, 4, 8], [[1.0, 4.0, 12.0, 30.0]] * 2, np.array([6.0, 10.0]))
    assert a == pytest.approx([4.5, 4.25])
    assert delta == pytest.approx([6.0, 5.0])


def test_point_above_the_envelope_is_no_corner():
    # (2, 5) lies above the chord from (1, 1) to (4, 10), slope 3: the edge there is 3 k - 2.
    a, delta = capacity_line([1, 2, 4], [1.0, 5.0, 10.0], 2.0)
    assert (float(a), float(delta)) == pytest.approx((3.0, 2.0))


def test_pool_of_one_that_carries_nothing():
    # (0,0) (1,0) (2,0) (3,5): below three replicas nothing, beyond 5 k - 10.
    a, delta = capacity_line([1, 2, 3], [0.0, 0.0, 5.0], 3.0)
    assert (float(a), float(delta)) == pytest.approx((5.0, 10.0))
    a, delta = capacity_line([1, 2, 3], [0.0, 0.0, 5.0], 1.0)
    assert (float(a), float(delta)) == (0.0, 0.0)


def test_sizes_must_ascend():
    with pytest.raises(ValueError, match="ascend"):
        capacity_line([2, 1], [1.0, 2.0], 1.0)


sizes = st.lists(st.integers(1, 64), min_size=2, max_size=8, unique=True).map(sorted)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), k=sizes, expected=st.floats(0.5, 80))
def test_line_lies_below_every_point_and_touches_two(data, k, expected):
    total = np.array(data.draw(st.lists(st.floats(0, 1e3), min_size=len(k), max_size=len(k))))
    a, delta = capacity_line(k, total, expected)
    slack = total - (a * np.array(k) - delta)
    assert delta >= 0
    assert slack.min() >= -1e-9 * (1 + total.max())
    # Beyond the table the largest pool's rate holds up to the expected size: one more point.
    last = np.ceil(expected)
    far = total[-1] * last / k[-1] - (a * last - delta) if last > k[-1] else np.inf
    touching = np.array([*slack, delta, far]) <= 1e-9 * (1 + total.max())
    assert touching.sum() >= 2


@settings(max_examples=200, deadline=None)
@given(data=st.data(), k=sizes, beyond=st.floats(1.0, 500.0))
def test_line_lies_below_the_largest_pools_rate_beyond_the_table(data, k, beyond):
    rates = data.draw(st.lists(st.floats(0, 100), min_size=len(k), max_size=len(k)))
    total = np.array(k) * np.maximum.accumulate(rates)
    expected = k[-1] + beyond
    a, delta = capacity_line(k, total, expected)
    further = np.arange(k[-1], np.ceil(expected) + 1)
    slack = further * total[-1] / k[-1] - (a * further - delta)
    scale = 1e-9 * (1 + further[-1] * total[-1])
    assert slack.min() >= -scale
    assert slack[-1] <= scale
    assert (total - (a * np.array(k) - delta)).min() >= -scale


@settings(max_examples=50, deadline=None)
@given(k=sizes, slope=st.floats(0.1, 50), loss=st.floats(0, 0.09))
def test_exact_on_affine_capacity(k, slope, loss):
    total = slope * np.array(k) - loss
    expected = (k[0] + k[1]) / 2
    a, delta = capacity_line(k, total, expected)
    assert (float(a), float(delta)) == pytest.approx((slope, loss), rel=1e-6, abs=1e-9)


def test_pools_carry_more_each_up_to_the_cap():
    rates = pool_rates(REPLICA, LENGTHS, arrival_cv=1.0, pool_sizes=(1, 2, 4, 16), **TARGETS)
    assert rates.shape == (1, 4)
    assert np.all(np.diff(rates[0]) >= 0)
    assert rates[0, 3] > 1.15 * rates[0, 0]


def test_burstiness_costs_a_small_pool_most():
    calm, bursty = (
        pool_rates(
            REPLICA, LENGTHS, arrival_cv=cv, utilization_max=0.9, pool_sizes=(1, 16), **TARGETS
        )[0]
        for cv in (1.0, 2.0)
    )
    assert bursty[0] < 0.7 * calm[0]
    assert bursty[1] > 0.8 * calm[1]
