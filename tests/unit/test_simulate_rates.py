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


def test_few_simulations_find_a_rate(monkeypatch):
    # Bisection from a bracket of a fifth to 0.4 % takes 6 halvings and the two ends: 8 a batch.
    seen = []

    def counted(*args, **options):
        seen.append(options["rate_rps"])
        return simulate(*args, **options)

    monkeypatch.setattr(rates, "simulate", counted)
    promise = Promise(0.15, 0.95, 0.03, 0.95)
    found = refined_rate(Pool(REAL, 2), CHAT, promise, guess_rps=8.0, limit_rps=40.0, batches=4)
    assert len(seen) <= 4 * 6
    assert found.value > 0


def test_excess_by_hand():
    # Twice the target is ln 2, half of it -ln 2; answers of one token have no TPOT; 8 at most.
    run = simulate(Pool(SERVER), requests_of([MEAN], [1]), rate_rps=1e-3, count=100, batches=1)
    own_s = run.ttft_s(0.95).value
    assert Promise(own_s / 2, 0.95, 1e-9, 0.95).excess(run) == pytest.approx(math.log(2))
    assert Promise(own_s * 2, 0.95, 1e-9, 0.95).excess(run) == pytest.approx(-math.log(2))
    assert Promise(1e-9, 0.95, 1.0, 0.95).excess(run) == 8.0


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
