"""Largest simulated rates against the one queue whose percentile is a formula."""

import math

import numpy as np
import pytest

from planner.simulate import rates
from planner.simulate.arrivals import requests_of
from planner.simulate.pool import Pool, simulate
from planner.simulate.rates import Promise, refined_rate
from tests.unit.test_simulate import CHAT, MEAN, REAL, SERVER, prompts_exponential

ONES = np.ones(20_000)


def test_rate_of_an_exponential_server():
    # Sojourn in M/M/1 is exponential with rate mu - lambda: p95 = ln 20 / (1 - lambda) = 10 s at
    # lambda = 1 - 0.29957 = 0.70043.
    requests = requests_of(prompts_exponential(), ONES)
    promise = Promise(10.0, 0.95, math.inf, 0.95)
    found = refined_rate(
        Pool(SERVER),
        requests,
        promise,
        guess_rps=0.4,
        limit_rps=1.0,
        batches=12,
        seed=1,
        count=15_000,
    )
    assert found.low - 0.005 <= 0.70043 <= found.high + 0.005
    assert found.high - found.low < 0.05


def test_promise_holds_below_and_not_above():
    promise = Promise(0.15, 0.95, 0.03, 0.95)
    found = refined_rate(Pool(REAL, 2), CHAT, promise, guess_rps=10.0, limit_rps=40.0, count=8000)
    for rate, kept in ((0.93 * found.value, True), (1.07 * found.value, False)):
        run = simulate(Pool(REAL, 2), CHAT, rate_rps=2 * rate, count=20_000, seed=77)
        assert promise.kept_by(run) == kept


def test_few_requests_find_a_rate(monkeypatch):
    # Bisection of 4 batches of 20,000 from a bracket of a fifth to 0.4 % would take 6 halvings and
    # the two ends: 640,000.
    counted = []

    def watched(*args, **options):
        counted.append(options["count"] * options["batches"])
        return simulate(*args, **options)

    monkeypatch.setattr(rates, "simulate", watched)
    promise = Promise(0.15, 0.95, 0.03, 0.95)
    found = refined_rate(Pool(REAL, 2), CHAT, promise, guess_rps=8.0, limit_rps=40.0, batches=4)
    assert sum(counted) <= 150_000
    assert found.value > 0


def test_wide_intervals_ask_for_more_batches(monkeypatch):
    # One replica near its zero-load TTFT: requests of a batch move its percentile by far more than
    # traffic does, and four short batches do not tell the rate to 2 %.
    batches = []

    def watched(*args, **options):
        batches.append(options["batches"])
        return simulate(*args, **options)

    monkeypatch.setattr(rates, "simulate", watched)
    requests = requests_of(prompts_exponential(), ONES)
    promise = Promise(10.0, 0.95, math.inf, 0.95)
    found = refined_rate(Pool(SERVER), requests, promise, guess_rps=0.7, limit_rps=1.0, count=1000)
    assert batches.count(4) >= 4
    assert found.value == pytest.approx(0.70043, rel=0.05)


def test_each_promise_is_followed_by_itself():
    # TPOT hardly rises with the rate, TTFT steeply: the rate is the lower of the two crossings.
    asked = rates._Asked(Pool(SERVER), requests_of([MEAN], [1]), Promise(1, 0.9, 1, 0.9), 1.0,
                         limit_rps=5.0, count=1, seed=0)  # fmt: skip
    rise = np.array([10.0, 0.5])
    # exp(-0.1 / 10) and exp(-0.02 / 0.5) of 2: the second comes first.
    assert asked.root(2.0, np.array([0.1, 0.02]), rise) == pytest.approx(2 * math.exp(-0.04))
    # Both kept: exp(0.1 / 10) before exp(0.4 / 0.5); never above the limit.
    assert asked.root(2.0, np.array([-0.1, -0.4]), rise) == pytest.approx(2 * math.exp(0.01))
    assert asked.root(4.9, np.array([-1.0, -4.0]), rise) == 5.0


def test_excess_by_hand():
    # Twice the target is ln 2, half of it -ln 2; what is not promised, or not there, -8; 8
    # at most.
    run = simulate(Pool(SERVER), requests_of([MEAN], [1]), rate_rps=1e-3, count=100, batches=1)
    own_s = run.ttft_s(0.95).value
    for target_s, over in ((own_s / 2, math.log(2)), (own_s * 2, -math.log(2)), (1e-9, 8.0)):
        promise = Promise(target_s, 0.95, 1e-9, 0.95)
        assert promise.excesses(run) == pytest.approx([over, -8.0, -8.0, -8.0])
        assert promise.excesses_by_batch(run) == pytest.approx(np.array([[over, -8.0, -8.0, -8.0]]))


def test_limit_and_nothing():
    easy, never = Promise(1e3, 0.5, 1e3, 0.5), Promise(1e-6, 0.5, 1.0, 0.5)
    assert (
        refined_rate(Pool(REAL), CHAT, easy, guess_rps=9.0, limit_rps=3.0, count=1000).value == 3.0
    )
    assert (
        refined_rate(Pool(REAL), CHAT, never, guess_rps=1.0, limit_rps=3.0, count=1000).value == 0.0
    )
    with pytest.raises(ValueError, match="positive"):
        refined_rate(Pool(REAL), CHAT, easy, guess_rps=0.0, limit_rps=1.0)


def test_answers_of_one_token_have_no_time_per_token():
    requests = requests_of([MEAN], [1])
    promise = Promise(100.0, 0.95, 1e-9, 0.95)
    assert promise.kept_by(simulate(Pool(SERVER), requests, rate_rps=0.1, count=100, batches=1))
