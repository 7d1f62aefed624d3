"""The simulator by hand, in the limits that queueing theory solves, and its invariants."""

import math

import numpy as np
import pytest

from planner.perf.replica import Replica
from planner.simulate.arrivals import Piece, requests_of, stream
from planner.simulate.pool import Outage, Pool, in_flight, joined, replay, simulate
from planner.simulate.routing import Routing
from planner.simulate.state import Numbers, numbers_of
from planner.simulate.statistics import BINS, bin_of, estimate, mean, quantile
from planner.simulate.timeline import drawn, timeline

MEAN = 1000
"""Tokens of a mean prompt where the replica is a plain server: its service takes 1 s."""
SERVER = Numbers(
    overhead_s=0.0, prefill_step_s=0.0, weights_s=0.0, token_s=1 / MEAN, sequence_s=0.0,
    kv_token_s=0.0, prefill_context_s=0.0, budget=10**9, sequences_max=1, kv_tokens=10**9,
)  # fmt: skip
REAL = Numbers(1e-3, 5e-4, 6.4e-3, 2.9e-5, 4e-6, 5.2e-8, 1.4e-9, 2048, 64, 60_000)
RNG = np.random.default_rng(7)
CHAT = requests_of(
    np.clip(RNG.lognormal(5.9, 0.8, 4096), 1, 20_000),
    np.clip(RNG.lognormal(5.0, 0.7, 4096), 1, 4096),
)


def given(times, prompts, answers, *, hits=None, draws=None, homes=None):
    count = len(times)
    none = np.zeros(count, np.int64)
    return Piece(
        offset=0,
        times_s=np.array(times, float),
        prompts=np.array(prompts),
        answers=np.array(answers),
        hits=none if hits is None else np.array(hits),
        draws=np.zeros(count) if draws is None else np.array(draws, float),
        homes=none if homes is None else np.array(homes),
    )


def times_of(counts):
    """Middles of the bins that hold a request, one entry a request."""
    middles = 1e-5 * np.exp((np.arange(BINS + 2) - 0.5) / 500)
    return np.repeat(middles, counts).tolist()


def run(pool, *arguments, **more):
    requests = given(*arguments, **more)
    found = replay(pool, [requests], counted=(0, len(requests.times_s)))
    return times_of(found.ttft[0]), times_of(found.tpot[0]), found


def by_hand(*expected):
    return pytest.approx(expected, rel=1.1e-3)


def test_two_requests_by_hand():
    # Budget 100, prompts of 150 and 50 at t = 0, answers of 3 and 2 tokens; 1 s a step, 0.01 s a
    # token. Step 1: 100 of A = 2 s. Step 2: 50 of A and B = 2 s, so both have their first token
    # at 4 s. Step 3: two decode, 1.02 s, B ends. Step 4: A alone, 1.01 s, ends at 6.03 s.
    numbers = Numbers(1.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 100, 8, 10_000)
    ttft, tpot, found = run(Pool(numbers), [0, 0], [150, 50], [3, 2])
    assert tuple(ttft) == by_hand(4.0, 4.0)
    assert tuple(tpot) == by_hand(2.03 / 2, 1.02)
    assert found.drained_s[0] == pytest.approx(6.03)


def test_every_term_of_the_step_by_hand():
    # Prompt of 10 with 4 cached, answer of 3. Prefill: 0.1 + 0.2 + max(0.3, 0.05 x 6) + 0.01 x
    # 6 x (4 + 3) = 1.02 s. Decode reads 10, then 11 tokens: 0.1 + 0.3 + 0.02 + 0.001 x 10 =
    # 0.43 s and 0.431 s.
    numbers = Numbers(0.1, 0.2, 0.3, 0.05, 0.02, 0.001, 0.01, 100, 8, 10_000)
    ttft, tpot, found = run(Pool(numbers), [0], [10], [3], hits=[4])
    assert tuple(ttft) == by_hand(1.02)
    assert tuple(tpot) == by_hand(0.4305)
    assert found.drained_s[0] == pytest.approx(1.02 + 0.861)


def test_waits_for_the_cache_by_hand():
    # The cache holds 120 tokens, each step is 1 s: B (100) waits until A (50, two more tokens)
    # ends after step 3; B follows at 4 s.
    numbers = Numbers(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1000, 8, 120)
    ttft, _, _ = run(Pool(numbers), [0, 0], [50, 100], [3, 1])
    assert tuple(ttft) == by_hand(1.0, 4.0)


def test_no_more_sequences_than_slots_by_hand():
    # Two slots, steps of 1 s. A and B have their first token at 1 s and end after 3 and 4 more
    # steps; C is let in with the step after A's last, the fifth, and D after B's, the sixth.
    numbers = Numbers(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1000, 2, 10_000)
    ttft, tpot, _ = run(Pool(numbers), [0] * 4, [5] * 4, [4, 5, 2, 1])
    assert tuple(ttft) == by_hand(1.0, 1.0, 5.0, 6.0)
    assert tuple(tpot) == by_hand(1.0, 1.0, 1.0)


def test_preemption_by_hand():
    # The cache holds 13 tokens, steps take 1 s. Step 1: A and B (5 each) have their first token.
    # Step 2: 12 held. Step 3 needs 14: B gives back its 6, keeps two answer tokens. A decodes
    # alone to its 6th token at step 6, when B (5 + 2 to compute) follows: step 7 makes its 3rd
    # token, and 8 to 10 the others.
    numbers = Numbers(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1000, 8, 13)
    ttft, tpot, found = run(Pool(numbers), [0, 0], [5, 5], [6, 6])
    assert found.preempted[0] == 1
    assert tuple(ttft) == by_hand(1.0, 1.0)
    assert tuple(tpot) == by_hand(1.0, 9 / 5)
    assert found.kv_frac_max[0] <= 1.0


def test_request_larger_than_the_cache_is_refused_and_counts_as_late():
    numbers = Numbers(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1000, 8, 100)
    _, _, found = run(Pool(numbers), [0, 0], [99, 99], [2, 3])
    assert (found.refused[0], found.finished[0]) == (1, 1)
    assert found.ttft_s(0.5).value == pytest.approx(1.0, rel=2e-3)
    assert math.isinf(found.ttft_s(0.9).value)


def test_a_gain_of_several_tokens_never_leaves_the_cache():
    # A prompt of 100 and 4 answer tokens hold 103, but steps of 2.5 tokens carry the sequence to
    # 105: with room for 105 it is refused, for 106 it runs, 1 + 2 steps. Gains of one: 103 do.
    for gain, cache, runs in ((2.5, 105, 0), (2.5, 106, 1), (1.0, 102, 0), (1.0, 103, 1)):
        numbers = Numbers(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1000, 8, cache, 4, gain)
        _, _, found = run(Pool(numbers), [0], [100], [4])
        assert (found.finished[0], found.refused[0]) == (runs, 1 - runs)
        assert found.kv_frac_max[0] <= 1.0


def test_least_pending_by_hand():
    # A goes to 0 (a tie, the draw says 0), B to the idle 1, C where less is pending: 1.
    numbers = SERVER._replace(budget=10)
    pool = Pool(numbers, 2)
    ttft, _, _ = run(pool, [0, 0, 0], [2000, 500, 500], [1, 1, 1])
    assert tuple(ttft) == by_hand(0.5, 1.0, 2.0)


def test_prefix_affine_by_hand():
    # Home 0 for both; the second finds 900 of its 1000 tokens there and waits for the first:
    # 1 s + 0.1 s. Without patience it goes to the idle replica and computes everything.
    numbers = SERVER._replace(budget=10)
    times = {}
    for patience in (2000, 0):
        pool = Pool(numbers, 2, Routing.PREFIX_AFFINE, patience_tokens=patience)
        times[patience] = run(pool, [0, 0], [1000, 1000], [1, 1], hits=[0, 900])[0]
    assert tuple(times[2000]) == by_hand(1.0, 1.1)
    assert tuple(times[0]) == by_hand(1.0, 1.0)


def test_failure_by_hand():
    # One replica of two fails at 0.5 s, in the middle of a prompt of 1 s in steps of 0.01 s: it
    # starts again on the other at 0.5 s and has its first token at 1.5 s.
    numbers = SERVER._replace(budget=10)
    pool = Pool(numbers, 2, outages=(Outage(0.5, 0, 10.0),))
    ttft, _, found = run(pool, [0.0, 0.6], [1000, 1], [1, 1])
    assert sorted(ttft)[1] == pytest.approx(1.5, rel=0.02)
    assert found.finished[0] == 2


def test_pool_that_is_all_down_waits_for_the_first_to_return():
    pool = Pool(SERVER, 1, outages=(Outage(0.5, 0, 10.0),))
    ttft, _, _ = run(pool, [0.0, 1.0], [100, 1000], [1, 1])
    assert tuple(ttft) == by_hand(0.1, 10.0)


def prompts_exponential(samples=20_000):
    strata = -np.log1p(-(np.arange(samples) + 0.5) / samples)
    return np.maximum(np.rint(MEAN * strata), 1)


def served(prompts, *, load, replicas=1, numbers=SERVER, count=120_000):
    """Mean wait [s], as an estimate, of a pool of plain servers at a load."""
    requests = requests_of(prompts, np.ones(len(prompts)))
    service = float(requests.prompts.mean()) / MEAN
    found = simulate(
        Pool(numbers, replicas), requests, rate_rps=replicas * load / service, count=count,
        batches=6, seed=3,
    )  # fmt: skip
    whole = found.ttft_mean_s()
    assert whole.high - whole.low < 0.2 * whole.value
    return whole.low - service, whole.high - service


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_exponential_server(load):
    # M/M/1 with service 1 s: wait load / (1 - load).
    low, high = served(prompts_exponential(), load=load)
    assert low <= load / (1 - load) * 1.001 + 0.002
    assert high >= load / (1 - load) * 0.999 - 0.002


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_deterministic_server(load):
    # M/D/1 with service 1 s: wait load / (2 (1 - load)).
    low, high = served([MEAN], load=load)
    assert low <= load / (2 * (1 - load)) * 1.001 + 0.002
    assert high >= load / (2 * (1 - load)) * 0.999 - 0.002


def test_general_server():
    # M/G/1 with service 0.5 s or 3.5 s, 5 to 1: mean 1, E[S^2] = (5 x 0.25 + 12.25) / 6 = 2.25;
    # at load 0.6 Pollaczek-Khinchine gives 0.6 x 2.25 / (2 x 0.4) = 1.6875 s.
    low, high = served([500] * 5 + [3500], load=0.6)
    assert low - 0.002 <= 1.6875 <= high + 0.002


def erlang_wait_s(servers, load):
    """Mean wait of M/M/k with service 1 s: C(k, a) / (k - a)."""
    a = servers * load
    terms = [a**n / math.factorial(n) for n in range(servers)]
    last = a**servers / math.factorial(servers) / (1 - load)
    return last / (sum(terms) + last) / (servers - a)


@pytest.mark.parametrize(("servers", "load"), [(2, 0.7), (4, 0.8)])
def test_pool_of_exponential_servers(servers, load):
    # Steps of 2.5 % of a mean prompt, so that the router knows the work left to 2.5 %: joining
    # the least work is the same as one queue.
    numbers = SERVER._replace(budget=MEAN // 40)
    low, high = served(
        prompts_exponential(), load=load, replicas=servers, numbers=numbers, count=40_000
    )
    exact = erlang_wait_s(servers, load)
    assert low <= exact * 1.02 + 0.01
    assert high >= exact * 0.98 - 0.01


def test_every_request_finishes_once_and_the_cache_is_never_exceeded():
    tight = REAL._replace(kv_tokens=24_000)
    found = simulate(Pool(tight, 3), CHAT, rate_rps=60.0, count=8000, batches=2, seed=1)
    # Before those counted 15 %, after them 5 %.
    assert found.arrived.tolist() == [9600, 9600]
    assert (found.finished + found.refused).tolist() == [9600, 9600]
    assert found.preempted.min() > 0
    assert 0.9 < found.kv_frac_max.max() <= 1.0
    assert found.ttft.sum(axis=1).tolist() == [8000, 8000]


def test_failures_lose_no_request():
    outages = tuple(Outage(5.0 + 10 * i, i % 3, 12.0 + 10 * i) for i in range(6))
    found = simulate(Pool(REAL, 3, outages=outages), CHAT, rate_rps=20.0, count=3000, batches=1)
    assert found.finished[0] + found.refused[0] == found.arrived[0] >= 3000
    quiet = simulate(Pool(REAL, 3), CHAT, rate_rps=20.0, count=3000, batches=1)
    assert found.ttft_s(0.95).value > quiet.ttft_s(0.95).value


def test_same_seed_same_result_and_other_seed_another():
    first, again, other = (
        simulate(Pool(REAL, 2), CHAT, rate_rps=20.0, count=2000, batches=2, seed=seed)
        for seed in (5, 5, 6)
    )
    assert np.array_equal(first.ttft, again.ttft)
    assert np.array_equal(first.tpot, again.tpot)
    assert not np.array_equal(first.ttft, other.ttft)


def test_same_requests_at_every_rate():
    slow, fast = (
        next(stream(CHAT, rate_rps=rate, arrival_cv=2.0, cuts=(500,), replicas=2, seed=1))
        for rate in (1.0, 4.0)
    )
    assert np.allclose(slow.times_s, 4 * fast.times_s)
    assert np.array_equal(slow.prompts, fast.prompts)


def test_larger_pools_never_wait_longer():
    times = []
    for replicas in (1, 2, 4, 8):
        found = simulate(Pool(REAL, replicas), CHAT, rate_rps=14.0 * replicas, count=20_000)
        times.append(found.ttft_s(0.95).value)
    assert times == sorted(times, reverse=True)


def test_balancing_beats_turns_beats_chance():
    times = [
        simulate(Pool(REAL, 8, routing), CHAT, rate_rps=110.0, count=20_000).ttft_s(0.95).value
        for routing in (Routing.LEAST_PENDING, Routing.ROUND_ROBIN, Routing.RANDOM)
    ]
    assert times == sorted(times)


def test_memory_does_not_grow_with_the_run():
    # Far more requests than slots: those that finish make room.
    found = simulate(Pool(REAL), CHAT, rate_rps=10.0, count=60_000, batches=1)
    assert found.finished[0] == found.arrived[0] == 72_000


def test_quantiles_of_known_counts():
    counts = np.zeros(BINS + 2, np.int64)
    for seconds in (0.1, 0.2, 0.3, 0.4):
        counts[bin_of(seconds)] += 1
    assert quantile(counts, 0.5) == pytest.approx(0.2, rel=3e-3)
    assert quantile(counts, 0.75) == pytest.approx(0.3, rel=3e-3)
    assert mean(counts) == pytest.approx(0.25, rel=3e-3)
    counts[bin_of(1e9)] += 1
    assert math.isinf(quantile(counts, 0.99))
    assert math.isinf(mean(counts))
    assert math.isnan(quantile(np.zeros(BINS + 2, np.int64), 0.5))


def test_one_batch_has_no_interval():
    assert math.isinf(estimate(1.0, np.array([1.0])).high)


def test_joined_runs_keep_their_batches():
    one = simulate(Pool(REAL), CHAT, rate_rps=5.0, count=300, batches=1)
    both = joined([one, one])
    assert both.ttft.sum(axis=1).tolist() == [300, 300]


def test_numbers_of_a_candidate():
    replica = Replica(*(np.array([x, 2 * x]) for x in (1.0, 2, 3, 4, 5, 6, 7, 100, 500, 1000)))
    found = numbers_of(replica, 1)
    assert (found.overhead_s, found.prefill_context_s) == (2.0, 14.0)
    # No more sequences than a step has tokens.
    assert (found.budget, found.sequences_max, found.kv_tokens) == (200, 200, 2000)
    with pytest.raises(ValueError, match="nothing runs"):
        numbers_of(Replica(*(np.array([x]) for x in (1.0, 2, 3, 4, 5, 6, 7, 100, 500, 0.0))))
    with pytest.raises(ValueError, match="finite"):
        numbers_of(Replica(*(np.array([np.nan]) for _ in range(10))))


def test_refuses_nonsense():
    with pytest.raises(ValueError, match="positive"):
        simulate(Pool(REAL), CHAT, rate_rps=0.0)
    with pytest.raises(ValueError, match="counted"):
        replay(Pool(REAL), [given([0], [1], [1])], counted=(5, 6))
    with pytest.raises(ValueError, match="one length"):
        requests_of([1, 2], [1])
    with pytest.raises(ValueError, match="at least one token"):
        requests_of([0], [1])
    with pytest.raises(ValueError, match="prefix_hit_frac"):
        requests_of([1], [1], prefix_hit_frac=1.0)


def test_sequences_in_flight_by_hand():
    # 100 + 100 tokens of 0.1 ms are 0.02 s of work; 10 a second leave 0.8 of the time. Decode of
    # 100 steps of 0.02 s, 10 a second: 20 sequences, stretched by 1 / 0.8.
    numbers = Numbers(0.01, 0.0, 0.01, 1e-4, 0.0, 0.0, 0.0, 512, 64, 10**6)
    requests = requests_of(np.array([100.0]), np.array([100.0]))
    assert in_flight(numbers, requests, 10.0) == 25
    assert in_flight(numbers, requests, 49.0) == 64
    assert in_flight(numbers, requests, math.inf) == 64


def test_windows_hold_what_came_in_them():
    # One prompt a second of 0.5 s on a plain server that is down from 2.2 s to 4 s: the step begun
    # at 2.1 completes; what came at 3.1 and 4.1 ends at 4.5 and 5.
    piece = given([0.1, 1.1, 2.1, 3.1, 4.1], [500] * 5, [1] * 5)
    pool = Pool(SERVER, outages=(Outage(2.2, 0, 4.0),))
    found = timeline(pool, piece, window_s=1.0)
    assert found.starts_s.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert found.ttft.sum(axis=1).tolist() == [0, 1, 1, 1, 2]
    assert times_of(found.ttft.sum(axis=0)) == by_hand(0.5, 0.5, 0.5, 0.9, 1.4)
    assert times_of(found.ttft[-1]) == by_hand(0.9, 1.4)
    late = timeline(pool, piece, window_s=1.0, counted_from_s=3.0)
    assert times_of(late.run.ttft[0]) == by_hand(0.9, 1.4)


def test_a_stream_follows_its_rate():
    def at(*rates):
        return drawn(
            CHAT, starts_s=np.array([0.0, 100.0, 200.0]), rates_rps=np.array(rates), end_s=400.0,
            arrival_cv=1.0, replicas=3, seed=5,
        )  # fmt: skip

    one = at(50.0, 0.0, 25.0)
    assert 0.0 <= one.times_s[0] <= one.times_s[-1] <= 400.0
    assert np.all(np.diff(one.times_s) >= 0)
    # Poisson: 5,000 with a standard deviation of 71 in the first and in the last stretch.
    first, none, last = np.histogram(one.times_s, [0.0, 100.0, 200.0, 400.0])[0]
    assert first == pytest.approx(5000, abs=5 * 71)
    assert (none, last) == (0, pytest.approx(5000, abs=5 * 71))
    assert set(one.homes.tolist()) == {0, 1, 2}
    assert at(1e-9, 0.0, 0.0).times_s.size == 0


def test_gaps_are_counted_in_their_window():
    # A prompt of 0.5 s and two tokens more of 1 ms each: two gaps in the window of each arrival.
    piece = given([0.1, 1.1, 2.1], [500] * 3, [3] * 3)
    found = timeline(Pool(SERVER), piece, window_s=1.0)
    assert found.itl.sum(axis=1).tolist() == [0, 2, 4]
    assert found.itl.sum() == found.run.itl.sum()
