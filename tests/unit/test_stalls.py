"""Stalls of decode: sums over arrivals by hand, and against a queue simulated directly."""

import numpy as np
import pytest

from planner.perf.arrivals import Arrivals, any_arrival
from planner.perf.decode_tail import gamma_tail
from planner.perf.lengths import from_samples
from planner.perf.operating_point import operate
from planner.perf.replica import Replica
from planner.perf.stalls import Stall, _scatter, avoided_frac, one_exceeds, routed, stalled

POISSON = Arrivals(1.0)
NONE, ONE = np.zeros(1), np.ones(1)
ALONE = routed(np.array([0.5]), np.zeros((1, 1)), POISSON)


def stalls(arrivals=POISSON, *, decode_s=10.0, rate=0.5, route=ALONE, **options):
    rest = {"drag_s": np.zeros((1, 1)), "filled_s": NONE, "ttft_mean_s": NONE}
    return stalled(
        Stall(np.ones((1, 1)), ONE, ONE, 2.0 * ONE),
        arrivals,
        decode_s=np.array([[decode_s]]),
        rate_rps=np.array([rate]),
        route=route,
        ttft_variance_s2=NONE,
        **{**rest, **options},
    )


def moments(found):
    """Mean and variance of the sum, none included."""
    one, more = found.any_frac * found.one_frac, found.any_frac * (1.0 - found.one_frac)
    mean = one * found.one_scale + more * found.mean_s
    square = one * 2.0 * found.one_scale**2 + more * (found.variance_s2 + found.mean_s**2)
    return float(mean[0, 0]), float((square - mean**2)[0, 0])


def test_delay_busy_period():
    # c = 10 s of decode, prompts of exponential 1 s (E[X^2] = 2) at 0.5/s: mean stall
    # c rho / (1 - rho) = 10 s, variance lambda c E[X^2] / (1 - rho)^3 = 5 x 2 / 0.125 = 80; none
    # arrives in 10 s with chance e^-5.
    found = stalls()
    assert moments(found) == pytest.approx((10.0, 80.0))
    assert found.any_frac[0, 0] == pytest.approx(1 - np.exp(-5.0))


def test_prompts_that_gathered_behind_ones_own():
    # 4 s of waiting at 0.5/s leave 2 prompts, each a period of 1 / (1 - 0.5) = 2 s: 4 s more; of
    # those the own last step took 1.5 s along.
    found = stalls(ttft_mean_s=4 * ONE, filled_s=1.5 * ONE)
    assert moments(found)[0] == pytest.approx(10.0 + 4.0 - 1.5)


def test_stalls_that_also_lengthen_later_steps_vary_more():
    # Each arrival adds 0.25 s to later steps: 2 Cov = 2 x 5 x E[X^2]/E[X] x 0.25 / (1-rho)^2 = 20.
    calm, dragged = moments(stalls()), moments(stalls(drag_s=np.array([[0.25]])))
    assert dragged == pytest.approx((calm[0], calm[1] + 20.0))


def test_many_replicas_spare_those_that_prefill():
    # At rho = 0.5 nobody joins a busy one: none gathers behind, periods are single prompts, and
    # idle replicas get 0.5 / (1 - 0.5) = 1/s: the mean stall stays 10 s, its variance falls to
    # lambda_idle c E[X^2] = 1 x 10 x 2 = 20.
    many = routed(np.array([0.5]), np.zeros((1, 1)), Arrivals(1.0, 1e6))
    assert moments(stalls(route=many, ttft_mean_s=4 * ONE)) == pytest.approx((10.0, 20.0))
    # Of them, one that holds the tagged request only gets no other while many are free.
    avoided = avoided_frac(np.array([1e-6]), utilization=np.array([0.5]), replicas=1e6)
    assert avoided[0] == pytest.approx(1.0, abs=1e-5)


def test_bursts_bring_more_and_less_often():
    calm, bursty = stalls(decode_s=1.0), stalls(Arrivals(4.0), decode_s=1.0)
    assert moments(bursty)[0] > moments(calm)[0]
    assert bursty.mean_s[0, 0] > calm.mean_s[0, 0]
    # Gamma gaps of scv 4, 0.01 expected: P(gap < t) ~ (0.01 / 4)^(1/4) / Gamma(5/4) = 0.2467.
    some = any_arrival(np.array([0.01]), Arrivals(4.0))
    assert some[0] == pytest.approx(0.2467, rel=0.01)


def test_tail_against_a_simulated_queue():
    # Preemptive priority, independent of the formulas: low-priority work of c seconds under a
    # Poisson stream of exponential prompts; the time to its end is stepped arrival by arrival.
    rng = np.random.default_rng(3)
    c, rate, ended = 10.0, 0.5, np.empty(20_000)
    for i in range(ended.size):
        stall, left = 0.0, c
        while (gap := rng.exponential(1 / rate)) < left:
            left -= gap
            busy = rng.exponential()
            while (next_ := rng.exponential(1 / rate)) < busy:
                stall += next_
                busy += rng.exponential() - next_
            stall += busy
        ended[i] = stall
    found, exponential = stalls(), -np.log1p(-(np.arange(400) + 0.5) / 400)
    prompt = Stall(exponential[None, :], np.full(400, 1 / 400), ONE, 2.0 * ONE)
    for limit in (2.0, 5.0, 15.0, 30.0):
        asked = np.array([[limit]])
        one = one_exceeds(prompt, asked / found.one_scale)
        more = gamma_tail(asked, found.mean_s, found.variance_s2)
        tail = found.any_frac * (found.one_frac * one + (1.0 - found.one_frac) * more)
        assert tail[0, 0] == pytest.approx(np.mean(ended > limit), abs=0.025)


def test_number_of_arrivals_is_matched_by_mean_and_chance_of_none():
    # Poisson of mean 2: none with e^-2 = 0.135335, one of those that have any with
    # 2 e^-2 / (1 - e^-2) = 0.313035, variance 2. Geometric of mean 1: none with 1/2, one with 1/4,
    # so 1/2 of those that have any; variance 1 / q = 2, below that of a stream of scv 9.
    one, variance = _scatter(2.0 * ONE, ONE - np.exp(-2.0), POISSON)
    assert (one[0], variance[0]) == pytest.approx((0.313035, 2.0), rel=1e-4)
    one, variance = _scatter(ONE, 0.5 * ONE, Arrivals(9.0))
    assert (one[0], variance[0]) == pytest.approx((0.5, 2.0), rel=1e-3)


def test_weights_that_stream_anyway_hide_the_first_tokens():
    # 1e-4 s a token, weights 0.03 s: 300 tokens are free. A prompt of 500 in a step of its own
    # adds 0.02 s, one of 200 nothing; attention and extras are off.
    replica = Replica(
        *(np.array([x]) for x in (0.0, 0.0, 0.03, 1e-4, 0.0, 0.0, 0.0, 8192.0, 256.0, 1e6))
    )
    for tokens, stall_s in ((500, 0.02), (200, 0.0)):
        lengths = from_samples([tokens] * 50, [2] * 50)
        point = operate(replica, lengths, Arrivals(1.0), rate_rps=np.array([1e-3]))
        assert point.stall.mean_s[0] == pytest.approx(stall_s, abs=1e-5)
