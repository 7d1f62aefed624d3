"""Prefill and decode on different replicas: by hand, in limits, and nothing is lost."""

import math
from dataclasses import replace

import numpy as np
import pytest

from planner.perf.disaggregated import Transfer, Unit
from planner.perf.replica import Replica
from planner.simulate.arrivals import requests_of
from planner.simulate.pool import Outage, Pool, Stage, simulate
from planner.simulate.rates import Promise, refined_rate
from planner.simulate.state import Numbers
from planner.simulate.units import pool_of
from tests.unit.test_simulate import CHAT, MEAN, REAL, SERVER, by_hand, run

INSTANT = SERVER._replace(token_s=0.0)
PREFILL = Numbers(1.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 1000, 8, 10_000)
DECODE = Numbers(0.5, 9.0, 0.0, 0.1, 0.0, 0.0, 0.0, 1000, 8, 10_000)


def staged(prefill, decode, *, token_s=0.0, latency_s=0.0, replicas=(1, 1), **more):
    stage = Stage(decode, replicas[1], token_s, latency_s, **more)
    return Pool(prefill, replicas[0], decode=stage)


def test_one_request_by_hand():
    # Prompt of 100: 1 s + 100 x 0.01 s = 2 s; the link takes 100 x 0.02 s = 2 s, latency 0.5 s.
    # The decode replica computes the last token again: 0.5 s + 0.1 s, first token at 5.1 s
    # (no extra for prefill), and two more steps of 0.6 s.
    pool = staged(PREFILL, DECODE, token_s=0.02, latency_s=0.5)
    ttft, tpot, found = run(pool, [0], [100], [3])
    assert tuple(ttft) == by_hand(5.1)
    assert tuple(tpot) == by_hand(0.6)
    assert found.drained_s[0] == pytest.approx(6.3)


def test_the_link_moves_one_after_the_other_by_hand():
    # Both prompts in one step of 3 s. The first is there at 5.5 s and decodes until 7.3 s; the
    # second leaves after it, is there at 7.5 s and has its first token at 8.1 s.
    pool = staged(PREFILL, DECODE, token_s=0.02, latency_s=0.5)
    ttft, _, found = run(pool, [0, 0], [100, 100], [3, 1])
    assert tuple(ttft) == by_hand(6.1, 8.1)
    assert found.drained_s[0] == pytest.approx(8.1)
    # Two prefill replicas have two links: 2 s, 2 s, 0.5 s, and one step of 0.5 + 2 x 0.1 s.
    two = staged(PREFILL, DECODE, token_s=0.02, latency_s=0.5, replicas=(2, 1))
    assert tuple(run(two, [0, 0], [100, 100], [3, 1])[0]) == by_hand(5.2, 5.2)


def test_waits_for_the_decode_replica_by_hand():
    # Steps of 1 s; caches come at 1 s. Room for 120 tokens: B (100) waits until A (50, tokens at
    # 2, 3 and 4 s) has ended, and has its token at 5 s.
    decode = Numbers(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1000, 8, 120)
    ttft, _, _ = run(staged(INSTANT, decode, latency_s=1.0), [0, 0], [50, 100], [3, 1])
    assert tuple(ttft) == by_hand(2.0, 5.0)
    # So it does for the only sequence.
    one = decode._replace(kv_tokens=10_000, sequences_max=1)
    ttft, _, _ = run(staged(INSTANT, one, latency_s=1.0), [0, 0], [50, 100], [3, 1])
    assert tuple(ttft) == by_hand(2.0, 5.0)


def test_preempted_sequence_is_computed_whole_by_hand():
    # Steps of 1 s and 0.1 s a token, room for 13 tokens, caches come at 1 s. First tokens at
    # 2.2 s, second ones at 3.4 s with 12 held. B gives way; A ends after 4 steps of 1.1 s, at
    # 7.8 s. B computes its prompt of 5 and 2 tokens, 1.7 s, and makes 3 more in steps of 1.1 s:
    # 12.8 s.
    decode = Numbers(1.0, 0.0, 0.0, 0.1, 0.0, 0.0, 0.0, 1000, 8, 13)
    ttft, tpot, found = run(staged(INSTANT, decode, latency_s=1.0), [0, 0], [5, 5], [6, 6])
    assert found.preempted[0] == 1
    assert tuple(ttft) == by_hand(2.2, 2.2)
    assert tuple(tpot) == by_hand(5.6 / 5, 10.6 / 5)


def test_the_decode_replica_with_the_least_cache_by_hand():
    # One sequence each, steps of 1 s: A and B decode side by side, B's tokens come at 2 and 3 s.
    # C comes at 3.5 s and goes where B was; behind A it would wait until 10 s.
    decode = Numbers(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1000, 1, 10_000)
    pool = staged(INSTANT, decode, latency_s=1.0, replicas=(1, 2))
    ttft, _, _ = run(pool, [0, 0, 2.5], [9, 9, 9], [9, 2, 1])
    assert tuple(ttft) == by_hand(2.0, 2.0, 2.0)


def test_failures_by_hand():
    # The prefill replica fails in the first of the prompt's two steps of 1 + 0.5 s; it starts
    # again at 9 s, is computed at 12 s, there at 13 s: first token at 13.6 s.
    stage = Stage(DECODE, 1, 0.0, 1.0)
    pool = Pool(PREFILL._replace(budget=50), 1, outages=(Outage(1.0, 0, 9.0),), decode=stage)
    assert tuple(run(pool, [0, 20], [100, 1], [1, 1])[0])[1:] == by_hand(13.6)
    # A decode replica fails at 4.1 s, between first and second token at 3.6 and 4.2 s. The other
    # computes all 102 tokens from then on, 0.5 + 10.2 s, which makes the third at 14.8 s, and the
    # fourth 0.6 s later.
    outages = (Outage(4.1, 1, 99.0),)
    pool = staged(PREFILL, DECODE, latency_s=1.0, replicas=(1, 2), outages=outages)
    ttft, tpot, _ = run(pool, [0, 40], [100, 1], [4, 1])
    assert ttft[-1] == pytest.approx(3.6, rel=2e-3)
    assert tuple(tpot) == by_hand(11.8 / 3)


def test_request_larger_than_a_cache_is_refused():
    decode = DECODE._replace(kv_tokens=100)
    found = run(staged(PREFILL, decode), [0, 0], [99, 99], [2, 3])[2]
    assert (found.refused[0], found.finished[0]) == (1, 1)
    found = run(staged(PREFILL._replace(kv_tokens=98), decode), [0, 0], [98, 99], [2, 2])[2]
    assert (found.refused[0], found.finished[0]) == (1, 1)


def test_prefill_is_a_deterministic_server():
    # M/D/1 with service 1 s at load 0.6: wait 0.6 / (2 x 0.4) = 0.75 s; nothing after it takes
    # time.
    pool = staged(SERVER, INSTANT._replace(sequences_max=64))
    found = simulate(pool, requests_of([MEAN], [1]), rate_rps=0.6, count=60_000, batches=6)
    whole = found.ttft_mean_s()
    assert whole.low - 0.005 <= 1.75 <= whole.high + 0.005
    assert whole.high - whole.low < 0.2
    assert found.prefill_utilization.mean() == pytest.approx(0.6, rel=0.02)


def test_the_link_is_a_deterministic_server_and_saturates_at_its_bandwidth():
    # 1000 tokens of 1 ms each on the link: M/D/1 as above, and 1 request a second at most.
    pool = staged(INSTANT, INSTANT._replace(sequences_max=64), token_s=1e-3)
    found = simulate(pool, requests_of([MEAN], [1]), rate_rps=0.6, count=60_000, batches=6)
    whole = found.ttft_mean_s()
    assert whole.low - 0.005 <= 1.75 <= whole.high + 0.005
    flooded = simulate(pool, requests_of([MEAN], [1]), rate_rps=math.inf, count=1000, batches=1)
    assert flooded.drained_s[0] == pytest.approx(flooded.arrived[0] * 1.0)


def test_free_prefill_and_link_leave_a_replica_that_finds_every_prompt():
    decode = REAL._replace(prefill_step_s=0.0, kv_tokens=10**6)
    found = simulate(staged(INSTANT, decode), CHAT, rate_rps=30.0, count=5000, batches=1)
    held = replace(CHAT, hits=CHAT.prompts)
    alone = simulate(Pool(decode), held, rate_rps=30.0, count=5000, batches=1)
    assert found.preempted[0] == alone.preempted[0] == 0
    assert np.array_equal(found.ttft, alone.ttft)
    assert np.array_equal(found.tpot, alone.tpot)


def test_identical_stages_without_traffic_are_one_replica_and_a_step():
    # A step of one token without other traffic: 1 ms + 6.4 ms, and 1.4e-9 s for each of the
    # prompt's tokens, 20,000 at most: 28 us.
    apart = simulate(staged(REAL, REAL), CHAT, rate_rps=1e-3, count=4000, batches=1)
    alone = simulate(Pool(REAL), CHAT, rate_rps=1e-3, count=4000, batches=1)
    for percentile in (0.5, 0.95):
        more = apart.ttft_s(percentile).value - alone.ttft_s(percentile).value
        assert more == pytest.approx(7.4e-3, abs=3e-5 + 0.004 * alone.ttft_s(percentile).value)
        assert apart.tpot_s(percentile).value == pytest.approx(
            alone.tpot_s(percentile).value, rel=1e-3
        )


def test_nothing_is_lost_and_the_caches_are_never_exceeded():
    tight = REAL._replace(kv_tokens=24_000)
    outages = tuple(Outage(5.0 + 10 * i, i % 3, 12.0 + 10 * i) for i in range(6))
    stage = Stage(tight, 3, 1e-6, 1e-3, 1, outages)
    pool = Pool(tight, 3, outages=outages[1:4], decode=stage)
    found = simulate(pool, CHAT, rate_rps=50.0, count=8000, batches=2, seed=1)
    assert (found.finished + found.refused).tolist() == found.arrived.tolist()
    assert found.ttft.sum(axis=1).tolist() == [8000, 8000]
    assert found.preempted.min() > 0
    assert found.kv_frac_max.max() <= 1.0


def test_same_seed_same_result():
    first, again = (
        simulate(
            staged(REAL, REAL, token_s=1e-6, replicas=(2, 3)), CHAT, rate_rps=30.0, count=2000,
            seed=5, workers=workers,
        )
        for workers in (1, 2)
    )  # fmt: skip
    assert np.array_equal(first.ttft, again.ttft)
    assert np.array_equal(first.tpot, again.tpot)


def unit(numbers, *, x=1.0, y=1.0, token_bytes=1e5, link_bytes_s=1e10, latency_s=0.0):
    replica = Replica(*(np.array([float(value)]) for value in numbers[:10]))
    transfer = Transfer(*(np.array([value]) for value in (token_bytes, link_bytes_s, latency_s)))
    return Unit(replica, replica, np.array([x]), np.array([y]), transfer)


def test_pool_of_units():
    found = pool_of(unit(REAL, x=2.0, y=3.0, latency_s=0.01), units=4)
    assert (found.replicas, found.decode.replicas, found.units) == (8, 12, 4)
    assert (found.decode.token_s, found.decode.latency_s) == (pytest.approx(1e-5), 0.01)
    with pytest.raises(ValueError, match="whole replicas"):
        pool_of(unit(REAL, x=1.5))
    with pytest.raises(ValueError, match="finite"):
        pool_of(unit(REAL, link_bytes_s=0.0))


def test_rates_are_those_of_one_unit():
    # Easy promises hold up to the limit asked for, whatever the number of units; what is found
    # for 2 units of 1 and 2 is kept by a pool at twice that rate, and not far above.
    pool = pool_of(unit(REAL, x=1.0, y=2.0), units=2)
    easy = Promise(1e3, 0.5, 1e3, 0.5)
    found = refined_rate(pool, CHAT, easy, guess_rps=9.0, limit_rps=3.0, count=1000)
    assert found.value == 3.0
    promise = Promise(0.2, 0.95, 0.03, 0.95)
    found = refined_rate(pool, CHAT, promise, guess_rps=10.0, limit_rps=80.0, count=8000)
    for rate, kept in ((0.93 * found.value, True), (1.07 * found.value, False)):
        again = simulate(pool, CHAT, rate_rps=2 * rate, count=20_000, seed=77)
        assert promise.kept_by(again) == kept
