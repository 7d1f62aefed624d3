from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.perf.arrivals import (
    Arrivals,
    arrivals_after,
    delay_probability,
    met_by_arrivals,
    step_batch,
)
from planner.perf.bracket import largest_passing
from planner.perf.curve import latency_curve
from planner.perf.decode_tail import gamma_tail
from planner.perf.lengths import from_samples
from planner.perf.operating_point import (
    admission_of,
    operate,
    spread_of,
    tpot_exceeds,
    ttft_exceeds,
)
from planner.perf.prefill_queue import (
    Work,
    prefill_work,
    step_times,
    unshared_s,
    wait_time,
)
from planner.perf.queueing import (
    BURST_MARGIN,
    Binding,
    lambda_star,
    percentiles,
    stability_limit,
    throughput_max,
    zero_load,
)
from planner.perf.replica import Replica
from planner.perf.steps import mean_step

P95 = {"ttft_percentile": 0.95, "tpot_percentile": 0.95}

EIGHT_B = {
    "overhead_s": 1e-3,
    "prefill_step_s": 0.0,
    "weights_s": 6.4e-3,
    "token_s": 2.94e-5,
    "sequence_s": 0.0,
    "kv_token_s": 5.2e-8,
    "prefill_context_s": 1.4e-9,
    "budget_tokens": 2048.0,
    "sequences_max": 256.0,
    "kv_tokens": 400_000.0,
}
"""8 billion parameters at 16 bit on one GPU of 989 TFLOP/s, 3.35 TB/s, 80 GB."""


def one(**changes):
    return Replica(**{name: np.atleast_1d(x) for name, x in {**EIGHT_B, **changes}.items()})


def lognormal(mean, cv, count=4000, seed=3):
    sigma2 = np.log(1 + cv**2)
    draw = np.random.default_rng(seed).lognormal(np.log(mean) - sigma2 / 2, sigma2**0.5, count)
    return np.maximum(1.0, np.rint(draw))


CHAT = from_samples(lognormal(1000, 1.0), lognormal(200, 0.8, seed=4))


def star(replica, lengths=CHAT, *, ttft_s=0.5, tpot_s=0.03, arrival_cv=1.0, **options):
    return lambda_star(
        replica, lengths, ttft_s=ttft_s, tpot_s=tpot_s, arrival_cv=arrival_cv, **P95, **options
    )


def misses(replica, lengths, rate, *, ttft_s, tpot_s, arrival_cv=1.0):
    """Chances to exceed (TTFT, TPOT), and whether the point is steady."""
    point = operate(replica, lengths, Arrivals(arrival_cv**2), rate_rps=rate)
    spread = spread_of(point)
    blocked = admission_of(point, spread, stability_limit(replica, lengths))
    late, _ = ttft_exceeds(point, blocked, np.full(rate.shape, ttft_s))
    return late, tpot_exceeds(point, spread, np.full(rate.shape, tpot_s)), point.steady


# ---- closed forms


def test_wait_of_random_service_is_pollaczek_khinchine():
    # X is 1 s or 3 s, half and half: E[X] = 2, E[X^2] = 5, E[X^3] = 14; at 0.3/s rho = 0.6 and
    # E[W] = 0.3 x 5 / (2 x 0.4) = 1.875 s; E[W^2] = 2 E[W]^2 + 0.3 x 14 / (3 x 0.4) = 10.53125.
    # What is left of X when a Poisson arrival meets it: E[X^2] / 2 E[X], E[X^3] / 3 E[X].
    work = Work(*(np.array([x]) for x in (2.0, 5.0, 5.0 / 4.0, 14.0 / 6.0)))
    wait = wait_time(work, rate_rps=np.array([0.3]), arrivals=Arrivals(1.0))
    assert wait.utilization[0] == pytest.approx(0.6)
    assert wait.overall_s[0] == pytest.approx(1.875)
    square = wait.prob * (wait.variance_s2 + wait.mean_s**2)
    assert square[0] == pytest.approx(10.53125)


def test_bursty_wait_of_exponential_service_is_gi_m_1():
    # Gamma gaps of scv 2, exponential service of mean 1, rho = 0.5: sigma solves
    # sigma = (1 + 4 (1 - sigma))^(-1/2); sigma = 0.640388 = (1 + sqrt(17)) / 8, since
    # sigma^2 (5 - 4 sigma) = 1 factors as (1 - sigma)(4 sigma^2 - sigma - 1) = 0.
    # E[W] = sigma / (1 - sigma) x 1 = 1.780776.
    # What is left of an exponential is exponential: moments 1 and 2.
    rate = np.array([0.5])
    assert delay_probability(rate, 2.0)[0] == pytest.approx((1 + 17**0.5) / 8, abs=1e-9)
    work = Work(*(np.array([x]) for x in (1.0, 2.0, 1.0, 2.0)))
    wait = wait_time(work, rate_rps=rate, arrivals=Arrivals(2.0))
    assert wait.overall_s[0] == pytest.approx(1.780776, rel=1e-5)
    # Exponential given that there is a wait: variance = mean^2.
    assert wait.variance_s2[0] == pytest.approx(wait.mean_s[0] ** 2)


def test_pooled_wait_is_erlang_c():
    # M/M/2 at rho = 0.5: C = 2 rho^2 / (1 + rho) = 1/3, E[W] = C / (2 x 0.5) = 1/3.
    work = Work(*(np.array([x]) for x in (1.0, 2.0, 1.0, 2.0)))
    wait = wait_time(work, rate_rps=np.array([0.5]), arrivals=Arrivals(1.0, replicas=2))
    assert wait.prob[0] == pytest.approx(1 / 3, rel=1e-5)
    assert wait.overall_s[0] == pytest.approx(1 / 3, rel=1e-5)
    # Arrivals that keep a server from others for 0.2 s more find both busy as at rho = 0.6.
    work_too = wait_time(
        work, rate_rps=np.array([0.5]), arrivals=Arrivals(1.0, replicas=2), vacation_s=0.2
    )
    assert work_too.prob[0] == pytest.approx(2 * 0.36 / 1.6, rel=1e-5)


def test_what_is_left_of_a_prompt_when_the_next_comes():
    # Prompts of exactly 1000 tokens, arithmetic only, budget 1000: X = 0.1 s. After a Poisson
    # arrival half is left in the mean (0.05) and a third of X^2 in the square. Gamma gaps of scv 4
    # (a = 1/4) end within X with density t^(-3/4): left is 1 - U^4, mean 1 - 1/5, square
    # 1 - 2/5 + 1/9 = 32/45.
    replica = one(
        overhead_s=0.0, weights_s=1e-3, token_s=1e-4, kv_token_s=0.0, prefill_context_s=0.0,
        budget_tokens=1000.0,
    )  # fmt: skip
    lengths = from_samples([1000] * 50, [1] * 50)
    times = step_times(replica, sequences=np.zeros(1), kv_tokens=np.zeros(1))
    poisson = prefill_work(replica, lengths, times, Arrivals(1.0))
    assert poisson.ladder_s[0] == pytest.approx(0.05)
    assert poisson.ladder_s2[0] == pytest.approx(0.01 / 3)
    bursty = prefill_work(replica, lengths, times, Arrivals(4.0))
    assert bursty.ladder_s[0] == pytest.approx(0.1 * 4 / 5)
    assert bursty.ladder_s2[0] == pytest.approx(0.01 * 32 / 45)


def test_prefill_only_replica_waits_as_m_d_1():
    # Prompts of exactly 1000 tokens, one answer token, budget 1000, arithmetic only: every step
    # serves one prompt in 1000 x 1e-4 = 0.1 s. At 5/s rho = 0.5: E[W] = 0.5 x 0.1 / (2 x 0.5).
    replica = one(
        overhead_s=0.0,
        weights_s=1e-3,
        token_s=1e-4,
        kv_token_s=0.0,
        prefill_context_s=0.0,
        budget_tokens=1000.0,
        kv_tokens=1e7,
    )
    lengths = from_samples([1000] * 50, [1] * 50)
    point = operate(replica, lengths, Arrivals(1.0), rate_rps=np.array([5.0]))
    assert point.wait.overall_s[0] == pytest.approx(0.05, rel=1e-6)
    assert point.service.free_s[0, 0] == pytest.approx(0.1, rel=0.01)
    # Nothing serves faster than one prompt a full step: 10/s.
    assert stability_limit(replica, lengths)[0] == pytest.approx(10.0, rel=0.01)


def test_stability_of_full_steps_by_hand():
    # I = 400, O = 101: a full step of 1000 tokens holds 1000 / (400 + 100) = 2 prompts and 200
    # decoding sequences; it takes 0.01 + 1000 x 1e-5 + 200 x 1e-5 (host) + 0.002 (prefill) =
    # 0.024 s, so 2 / 0.024 = 83.3 requests a second.
    replica = one(
        overhead_s=0.01,
        weights_s=0.005,
        token_s=1e-5,
        sequence_s=1e-5,
        prefill_step_s=0.002,
        kv_token_s=0.0,
        prefill_context_s=0.0,
        budget_tokens=1000.0,
        sequences_max=4096.0,
        kv_tokens=1e9,
    )
    lengths = from_samples([400] * 100, [101] * 100)
    assert stability_limit(replica, lengths)[0] == pytest.approx(2 / 0.024, rel=0.01)


def test_slots_limit_stability_by_hand():
    # 10 slots, prompts of 1 token, O = 101, steps of 0.02 s whatever they hold: a slot is taken
    # for about 101 steps (1 for the prompt), so 10 / (101 x 0.02) = 4.95/s; mean use 99 %.
    replica = one(
        overhead_s=0.02,
        weights_s=1e-9,
        token_s=0.0,
        kv_token_s=0.0,
        prefill_context_s=0.0,
        sequences_max=10.0,
        kv_tokens=1e9,
    )
    lengths = from_samples([1] * 100, [101] * 100)
    assert stability_limit(replica, lengths)[0] == pytest.approx(0.99 * 10 / 2.02, rel=0.02)


def test_gamma_tail_limits():
    # Variance far below mean^2 is a step at the mean; mean 0 has nothing beyond 0.
    x, tiny = np.array([0.9, 1.1]), np.full(2, 1e-14)
    assert gamma_tail(x, np.ones(2), tiny).round(9).tolist() == [1.0, 0.0]
    assert gamma_tail(x, np.zeros(2), np.zeros(2)).tolist() == pytest.approx([0.0, 0.0])


def test_renewal_count_between_cluster_and_limit():
    # Gaps of scv 4: long after an arrival the renewal function is x + (4 - 1) / 2; shared by 3
    # replicas, x + 0.5.
    many = np.array([200.0])
    assert arrivals_after(many, Arrivals(4.0))[0] == pytest.approx(201.5)
    assert arrivals_after(many, Arrivals(4.0, replicas=3))[0] == pytest.approx(200.5)
    assert arrivals_after(many, Arrivals(1.0))[0] == 200.0
    # scv 2 at x = 1: P(gamma(n / 2) < 1/2) of n = 1, 2, ... is 0.682689 (erf of sqrt(1/2)),
    # 0.393469 (1 - e^-1/2), 0.198748, 0.090204, 0.037434, 0.014388, 0.005171, ...: 1.4247 in all.
    assert arrivals_after(np.ones(1), Arrivals(2.0))[0] == pytest.approx(1.4247, rel=1e-3)


def test_prompts_that_share_a_step():
    # scv 2, a step in which one prompt is expected: P(gap > t) integrated over it is
    # erfc(sqrt(1/2)) + P(gamma(3/2) < 1/2) = 0.317311 + 0.198748 = 0.516059, so 1.937763 come
    # where any do, 1.937763 / 1.581977 = 1.2249 of those of a Poisson stream (1 / (1 - e^-1)).
    assert step_batch(np.ones(1), Arrivals(2.0))[0] == pytest.approx(1.2249, rel=1e-3)


def test_servers_that_a_bursty_arrival_finds_busy():
    # Two servers at 0.25, gaps of scv 4, load 0.5: sigma = 0.609440 solves sigma^4 (17 - 16 sigma)
    # = 1; phi_1 = (1 + 4/0.5)^(-1/4) = 0.577350, C_1 = phi_1 / (1 - phi_1) = 1.366025. T_1 =
    # 2 / phi_1 x (1 - 2 phi_1) / (1 - 2 sigma) = 2.448361, T_2 = 1 / (C_1 sigma) = 1.201186, so
    # S = 1 / (1 - sigma) + T_1 + T_2 = 6.209974: both busy with chance 1 / ((1 - sigma) S) =
    # 0.412309, one of them with C_1 T_2 / S = 0.264228.
    met = met_by_arrivals(np.array([0.25]), Arrivals(4.0, 2.0))
    assert met.all_busy[0] == pytest.approx(0.412309, rel=1e-4)
    assert met.busy_frac[0] == pytest.approx(0.264228 / 2 + 0.412309, rel=1e-4)
    # Four servers of load 2, Poisson: Erlang's C = 4/23; an arrival meets half of them busy.
    calm = met_by_arrivals(np.array([0.5]), Arrivals(1.0, 4.0))
    assert calm.all_busy[0] == pytest.approx(4 / 23, rel=1e-4)
    assert calm.busy_frac[0] == pytest.approx(0.5, rel=1e-4)


def test_four_servers_that_a_simulated_bursty_arrival_finds_busy():
    rng, rho, k, scv = np.random.default_rng(5), 0.5, 4, 4.0
    gaps = rng.gamma(1 / scv, scv, 100_000) / (k * rho)
    left, waited = [0.0] * k, 0
    for gap, service in zip(gaps.tolist(), rng.exponential(1.0, gaps.size).tolist(), strict=True):
        left = sorted(max(x - gap, 0.0) for x in left)
        waited += left[0] > 0
        left[0] += service
    met = met_by_arrivals(np.array([rho]), Arrivals(scv, float(k)))
    assert met.all_busy[0] == pytest.approx(waited / gaps.size, rel=0.03)


def test_prompts_alone_in_their_steps_take_more_than_their_share():
    # Steps of 0.01 s and 1e-4 a token; full ones, 1000 tokens, 0.11 s: 0.011 for a prompt of 100.
    # Alone it takes 0.02. Where steps have 2 in the mean it meets 2 x 2 - 1: 0.04 / 3.
    replica = one(overhead_s=0.01, weights_s=1e-9, token_s=1e-4, budget_tokens=1000.0)
    lengths = from_samples([100] * 50, [2] * 50)
    times = step_times(replica, sequences=np.zeros(1), kv_tokens=np.zeros(1))
    steps = mean_step(replica, lengths, Arrivals(1.0), np.array([1.0]))
    for number, beyond in ((1.0, 0.009), (2.0, 0.04 / 3 - 0.011)):
        some = replace(steps, arrivals=0.1 * number * np.ones(1), prefill_frac=0.1 * np.ones(1))
        found = unshared_s(replica, lengths, steps=some, sequences=np.zeros(1), times=times)
        assert found[0] == pytest.approx(beyond)


def test_step_in_progress_scatters_time_to_first_token():
    # Prompts of one token for nothing, 1000 steps of 0.02 s each: always busy, so what is left of
    # the step in progress is uniform: 0.01 s in the mean, variance 0.02^2 / 12.
    replica = one(
        overhead_s=0.02, weights_s=1e-9, token_s=0.0, kv_token_s=0.0, prefill_context_s=0.0
    )
    lengths = from_samples([1] * 50, [1001] * 50)
    service = operate(replica, lengths, Arrivals(1.0), rate_rps=np.array([2.0])).service
    assert service.free_s[0, 0] == pytest.approx(0.03, rel=1e-3)
    assert service.free_variance_s2[0, 0] == pytest.approx(0.02**2 / 12, rel=1e-3)
    assert service.longer[0, 0] == pytest.approx(1.0)


# ---- zero load


def test_zero_load_by_hand():
    # Prompt 5000, budget 2048: two full steps and one of 904 tokens. Arithmetic 2.94e-5 a token:
    # full 1e-3 + 0.0602112, last 1e-3 + 0.0265776; attention 1.4e-9 x 5000^2 / 2 = 0.0175.
    # TTFT = 2 x 0.0612112 + 0.0275776 + 0.0175 = 0.1675 s.
    # TPOT: 1e-3 + 6.4e-3 + 5.2e-8 x (5000 + 50.5) = 0.0076626 s with O = 101.
    lengths = from_samples([5000] * 50, [101] * 50)
    ttft, tpot = zero_load(one(), lengths, **P95)
    assert ttft[0] == pytest.approx(0.1675, rel=2e-3)
    assert tpot[0] == pytest.approx(0.0076626, rel=5e-3)


def test_prefill_extra_and_host_cost_enter_zero_load():
    # One chunk: prefill_step_s once. Decode alone: one sequence's host cost a token.
    lengths = from_samples([1000] * 50, [101] * 50)
    base = zero_load(one(), lengths, **P95)
    more = zero_load(one(prefill_step_s=0.01, sequence_s=0.002), lengths, **P95)
    assert (more[0] - base[0])[0] == pytest.approx(0.01, rel=0.02)
    assert (more[1] - base[1])[0] == pytest.approx(0.002, rel=0.05)


def test_percentiles_at_no_arrivals_are_zero_load():
    ttft, tpot = zero_load(one(), CHAT, **P95)
    idle = percentiles(one(), CHAT, 0.0, arrival_cv=1.0, **P95)
    assert (ttft[0], tpot[0]) == (idle[0][0], idle[1][0])


def test_percentile_of_prompts_sets_ttft_at_zero_load():
    # Arithmetic only, one chunk: TTFT = 1e-4 x I, so its 95th percentile is that of the prompts.
    prompts = np.arange(1, 2001)
    replica = one(overhead_s=0.0, weights_s=1e-9, token_s=1e-4, prefill_context_s=0.0)
    lengths = from_samples(prompts, np.full(2000, 2))
    ttft, _ = zero_load(replica, lengths, **P95)
    assert ttft[0] == pytest.approx(0.19, rel=0.01)


# ---- the largest rate


def test_result_holds_and_three_percent_more_does_not():
    rng = np.random.default_rng(7)
    n = 60
    replica = one(
        weights_s=np.exp(rng.uniform(np.log(2e-3), np.log(2e-2), n)),
        **{name: np.full(n, x) for name, x in EIGHT_B.items() if name != "weights_s"},
    )
    for ttft_s, tpot_s, cv in ((0.3, 0.05, 1.0), (3.0, 0.02, 1.0), (0.5, 0.03, 2.0)):
        found = star(replica, ttft_s=ttft_s, tpot_s=tpot_s, arrival_cv=cv)
        at = found.rate_rps > 0
        late, slow, steady = misses(
            replica, CHAT, found.rate_rps + 1e-9, ttft_s=ttft_s, tpot_s=tpot_s, arrival_cv=cv
        )
        allowed = 0.05 / (1.0 + BURST_MARGIN * (1.0 - 1.0 / cv**2))
        assert np.all((late <= 0.05 + 1e-6)[at] & (slow <= allowed + 1e-6)[at] & steady[at])
        late, slow, steady = misses(
            replica, CHAT, 1.03 * found.rate_rps, ttft_s=ttft_s, tpot_s=tpot_s, arrival_cv=cv
        )
        capped = found.binding == Binding.UTILIZATION_CAP
        assert np.all((late > 0.05) | (slow > allowed) | ~steady | capped | ~at)
        assert at.any()


def test_percentiles_meet_targets_at_the_largest_rate():
    found = star(one())
    ttft, tpot = percentiles(one(), CHAT, found.rate_rps, arrival_cv=1.0, **P95)
    assert ttft[0] <= 0.5 * 1.0001
    assert tpot[0] <= 0.03 * 1.0001
    assert max(ttft[0] / 0.5, tpot[0] / 0.03) > 0.97


def test_percentiles_beyond_stability_are_infinite():
    limit = stability_limit(one(), CHAT)
    ttft, tpot = percentiles(one(), CHAT, 1.01 * limit, arrival_cv=1.0, **P95)
    assert np.isinf(ttft[0])
    assert np.isinf(tpot[0])


def test_unreachable_promise_has_rate_zero_and_a_nearest_value():
    ttft, tpot = zero_load(one(), CHAT, **P95)
    for targets in ({"ttft_s": 0.9 * ttft[0]}, {"tpot_s": 0.9 * tpot[0]}):
        found = star(one(), **targets)
        assert found.rate_rps[0] == 0
        assert found.binding[0] == Binding.UNREACHABLE
    assert star(one(), ttft_s=1.5 * ttft[0]).rate_rps[0] > 0


def test_cache_that_cannot_hold_a_request_binds():
    # CHAT's 95th percentile of prompt + answer is near 3000 tokens.
    found = star(one(kv_tokens=1500.0))
    assert found.rate_rps[0] == 0
    assert found.binding[0] == Binding.KV_CACHE
    assert throughput_max(one(kv_tokens=1500.0), CHAT)[0] == 0
    assert throughput_max(one(), CHAT)[0] == stability_limit(one(), CHAT)[0]


def test_small_cache_binds_before_latency():
    loose = {"ttft_s": 5.0, "tpot_s": 0.5}
    found = star(one(kv_tokens=20_000.0), **loose, utilization_max=0.99)
    assert found.binding[0] == Binding.KV_CACHE
    assert 0 < found.rate_rps[0] < found.stability_rps[0]


def test_caps_by_burstiness():
    none = {"ttft_s": np.inf, "tpot_s": np.inf}
    for cv, cap in ((1.0, 0.8), (1.3, 0.8), (1.5, 0.7)):
        found = star(one(kv_tokens=4e6), **none, arrival_cv=cv)
        assert found.rate_rps[0] == pytest.approx(cap * found.stability_rps[0])
        assert found.binding[0] == Binding.UTILIZATION_CAP
    assert star(one(), **none, utilization_max=0.5).rate_rps[0] == pytest.approx(
        0.5 * stability_limit(one(), CHAT)[0]
    )


def test_one_candidate_does_not_depend_on_its_neighbours():
    weights = np.array([3e-3, 6.4e-3, 3e-2])
    rest = {name: np.full(3, x) for name, x in EIGHT_B.items() if name != "weights_s"}
    together = star(one(weights_s=weights, **rest)).rate_rps
    alone = [star(one(weights_s=w)).rate_rps[0] for w in weights]
    assert together == pytest.approx(alone, rel=2e-3)


def test_prefill_only_class_needs_no_tpot():
    lengths = from_samples(lognormal(1000, 1.0), np.ones(4000))
    assert star(one(), lengths, tpot_s=1e-9).rate_rps[0] > 0


factors = st.floats(1.05, 3.0)
targets = st.tuples(st.floats(0.15, 3.0), st.floats(0.009, 0.1), st.sampled_from([0.6, 1.0, 2.0]))
SLACK = 1 - 5e-3
"""Solver tolerance on both sides of a comparison."""


@settings(max_examples=25, deadline=None)
@given(target=targets, factor=factors)
def test_looser_promises_never_lower_the_rate(target, factor):
    ttft_s, tpot_s, cv = target
    base = star(one(), ttft_s=ttft_s, tpot_s=tpot_s, arrival_cv=cv).rate_rps[0]
    for looser in (
        {"ttft_s": ttft_s * factor, "tpot_s": tpot_s},
        {"ttft_s": ttft_s, "tpot_s": tpot_s * factor},
    ):
        assert star(one(), arrival_cv=cv, **looser).rate_rps[0] >= base * SLACK


@settings(max_examples=25, deadline=None)
@given(target=targets, factor=factors)
def test_more_bandwidth_never_lowers_the_rate(target, factor):
    ttft_s, tpot_s, cv = target
    faster = one(weights_s=EIGHT_B["weights_s"] / factor, kv_token_s=EIGHT_B["kv_token_s"] / factor)
    slow = star(one(), ttft_s=ttft_s, tpot_s=tpot_s, arrival_cv=cv).rate_rps[0]
    assert star(faster, ttft_s=ttft_s, tpot_s=tpot_s, arrival_cv=cv).rate_rps[0] >= slow * SLACK


@settings(max_examples=15, deadline=None)
@given(target=targets, extra=st.floats(1e-4, 5e-3))
def test_costs_of_prefill_steps_and_sequences_never_raise_the_rate(target, extra):
    ttft_s, tpot_s, cv = target
    base = star(one(), ttft_s=ttft_s, tpot_s=tpot_s, arrival_cv=cv).rate_rps[0]
    for costlier in (one(prefill_step_s=extra), one(sequence_s=extra / 100)):
        rate = star(costlier, ttft_s=ttft_s, tpot_s=tpot_s, arrival_cv=cv).rate_rps[0]
        assert rate * SLACK <= base


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), cv=st.floats(0.2, 5.0), hit=st.sampled_from([0.0, 0.9]))
def test_odd_candidates_get_finite_rates_below_their_limit(seed, cv, hit):
    rng = np.random.default_rng(seed)

    def between(low, high):
        return np.exp(rng.uniform(np.log(low), np.log(high), 20))

    replica = one(
        overhead_s=between(1e-5, 2e-2),
        prefill_step_s=between(1e-6, 1e-2) * rng.integers(0, 2, 20),
        weights_s=between(1e-4, 1e-1),
        token_s=between(1e-7, 1e-3),
        sequence_s=between(1e-7, 1e-4) * rng.integers(0, 2, 20),
        kv_token_s=between(1e-10, 1e-6),
        prefill_context_s=between(1e-13, 1e-8) * rng.integers(0, 2, 20),
        budget_tokens=rng.choice([64.0, 2048.0, 1e5], 20),
        sequences_max=rng.choice([1.0, 8.0, 4096.0], 20),
        kv_tokens=between(1e3, 1e8),
    )
    mean = float(np.exp(rng.uniform(0, 11)))
    lengths = from_samples(lognormal(mean, 1.5, seed=seed), lognormal(99, 2.0, seed=seed + 1), hit)
    with np.errstate(all="raise", under="ignore"):
        found = star(replica, lengths, ttft_s=between(0.05, 20), arrival_cv=cv)
        times = percentiles(replica, lengths, found.rate_rps, arrival_cv=cv, **P95)
    assert np.all((found.rate_rps >= 0) & (found.rate_rps <= 0.8 * found.stability_rps * 1.001))
    assert not np.any(np.isnan(times))


# ---- lengths


def test_lengths_count_chunks_and_cache_by_hand():
    # Prompts 100 and 2500, half found in the prefix cache: 50 and 1250 to compute. A budget of
    # 1000 takes 1 and 2 steps: 0.5 extra in the mean; 2000 takes none.
    lengths = from_samples([100, 2500], [3, 5], prefix_hit_frac=0.5)
    assert lengths.extra_chunks(np.array([1000.0, 2000.0])).tolist() == [0.5, 0.0]
    assert lengths.computed == 650.0
    # Own attention: 2500^2 (1 - 0.25) / 2.
    assert lengths.context_tokens[-1] == pytest.approx(2_343_750.0)
    # Cache read in decode: 100 x 2 + 2 x 3 / 2 = 203 and 2500 x 4 + 4 x 5 / 2 = 10010.
    assert lengths.kv_steps == pytest.approx((203 + 10_010) / 2)


def test_nodes_keep_the_mean_and_the_tail():
    samples = lognormal(2000, 1.0, count=20_000)
    lengths = from_samples(samples, samples)
    assert lengths.weights.sum() == pytest.approx(1.0)
    assert lengths.weights.size == 24
    assert lengths.weights @ lengths.input_tokens == pytest.approx(samples.mean())
    assert lengths.request_tokens(0.95) == pytest.approx(2 * np.quantile(samples, 0.95), rel=0.02)


@pytest.mark.parametrize(
    ("prompt", "answer", "hit"),
    [([], [], 0.0), ([1, 2], [1], 0.0), ([0], [1], 0.0), ([np.nan], [1], 0.0), ([5], [1], 1.0)],
)
def test_wrong_lengths_are_refused(prompt, answer, hit):
    with pytest.raises(ValueError, match=r"must|every"):
        from_samples(prompt, answer, hit)


def test_latency_rises_along_the_curve():
    curve = latency_curve(one(), CHAT, arrival_cv=1.0, points=8, **P95)
    limit = stability_limit(one(), CHAT)[0]
    assert curve.rate_rps[0, [0, -1]] == pytest.approx([0.02 * limit, 0.98 * limit])
    assert np.all(np.diff(curve.ttft_s[0]) > 0)
    assert np.all(np.diff(curve.tpot_s[0]) > 0)
    assert curve.output_tokens_per_s[0, 0] == pytest.approx(0.02 * limit * CHAT.output_mean)


# ---- the solver


def test_bracket_closes_on_steps_and_curves():
    # A step at 0.3, a steep power and a bounded cliff: each answer known exactly.
    def violation(x, index):
        shapes = (np.where(x > 0.3, 1.0, -1.0), x**40 - 0.5, np.where(x > 0.7, 8.0, x - 1.0))
        return np.choose(index, shapes)

    low, high = largest_passing(
        violation,
        np.zeros(3),
        np.ones(3),
        at_low=np.array([-1.0, -0.5, -1.0]),
        at_high=np.array([1.0, 0.5, 8.0]),
        rtol=1e-4,
    )
    expected = np.array([0.3, 0.5 ** (1 / 40), 0.7])
    assert np.all((low <= expected) & (expected <= high))
    assert np.all(high - low <= 1e-4 * high)
