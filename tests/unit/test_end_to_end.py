"""Time to the last token: counted in simulation, by formula, promised, refused with a reason."""

import math
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

import planner
from planner.perf import disaggregated, static_batch
from planner.perf.arrivals import Arrivals
from planner.perf.disaggregated import Transfer, Unit
from planner.perf.end_to_end import e2e_exceeds
from planner.perf.lengths import from_samples
from planner.perf.mixture import Member, mix_star
from planner.perf.operating_point import admission_of, operate, spread_of
from planner.perf.queueing import Binding, e2e_at, lambda_star, stability_limit
from planner.perf.replica import Replica
from planner.perf.speculative import in_steps
from planner.schema.demand import Slo
from planner.simulate.arrivals import requests_of
from planner.simulate.pool import Pool, simulate
from planner.simulate.rates import Promise, refined_rate
from planner.simulate.state import numbers_of
from planner.simulate.statistics import share_above
from planner.simulate.units import pool_of
from tests.benchmarks import e2e_rates
from tests.small_world import CHAT, scenario

# Overhead 1 ms, weights 7 ms, 0.1 ms a token: a prompt of 1,000 takes 101 ms, a token 8 ms.
ONE = Replica(*(np.array([x]) for x in (1e-3, 0.0, 7e-3, 1e-4, 0.0, 0.0, 0.0, 2048.0, 256.0, 1e6)))
EVEN = from_samples([1000] * 50, [101] * 50)
QUIET = 1e-3


def end_s(replica, lengths, percentile=0.95, rate=0.0, **more):
    stable = stability_limit(replica, lengths)
    return e2e_at(
        replica, lengths, rate, percentile=percentile, stability_rps=stable, **more
    )[0]  # fmt: skip


def simulated(replica, prompts, answers, rate=QUIET, **more):
    requests = requests_of(np.array(prompts, float), np.array(answers, float))
    return simulate(Pool(numbers_of(replica)), requests, rate_rps=rate, seed=1, **more)


def test_alone_it_is_the_prompt_and_a_step_for_each_further_token():
    # 101 ms + 100 x 8 ms.
    assert end_s(ONE, EVEN) == pytest.approx(0.901, rel=0.005)
    run = simulated(ONE, [1000], [101], count=500, batches=1)
    assert run.e2e_s(0.95).value == pytest.approx(0.901, rel=0.003)
    assert run.e2e.sum() == run.ttft.sum() == 500


def test_its_percentile_is_that_of_the_answers_length():
    # One answer of ten has 101 tokens, the others have 11: 101 ms + 10 x 8 ms at the 85th.
    mixed = from_samples([1000] * 1000, [11] * 900 + [101] * 100)
    assert end_s(ONE, mixed, 0.85) == pytest.approx(0.181, rel=0.01)
    assert end_s(ONE, mixed, 0.95) == pytest.approx(0.901, rel=0.01)
    run = simulated(ONE, [1000] * 10, [11] * 9 + [101], count=4000, batches=1)
    assert run.e2e_s(0.85).value == pytest.approx(0.181, rel=0.003)
    assert run.e2e_s(0.95).value == pytest.approx(0.901, rel=0.003)


def test_answers_of_one_token_end_with_their_first():
    # No weights to read: each prompt of 1,000 tokens is served in 1 s, M/D/1 at load 0.5.
    # Crommelin: P(W <= t) is 0.95 at t = 2.0506 s; with the service 3.0506 s.
    server = replace(
        ONE, overhead_s=np.zeros(1), weights_s=np.zeros(1), token_s=np.array([1e-3]),
        budget_tokens=np.array([1000.0]),
    )  # fmt: skip
    run = simulated(server, [1000], [1], rate=0.5, count=60_000)
    assert (run.e2e == run.ttft).all()
    assert run.e2e_s(0.95).value == pytest.approx(3.0506, rel=0.03)
    single = from_samples([1000] * 50, [1] * 50)
    assert end_s(server, single, rate=0.5) == pytest.approx(3.0506, rel=0.05)


def test_refused_requests_never_end():
    small = replace(ONE, kv_tokens=np.array([1050.0]))
    run = simulated(small, [1000, 10], [101, 2], count=1000, batches=1)
    assert run.refused.sum() > 300
    assert run.e2e_s(0.95).value == math.inf
    assert run.e2e[:, -1].sum() == run.ttft[:, -1].sum() > 300


def test_drafted_tokens_shorten_it():
    # Two tokens a step: 101 ms + 50 x 8 ms.
    faster = replace(ONE, decode_tokens=np.array([3.0]), decode_gain=np.array([2.0]))
    assert end_s(faster, in_steps(EVEN, 2.0)) == pytest.approx(0.501, rel=0.01)
    run = simulated(faster, [1000], [101], count=500, batches=1)
    assert run.e2e_s(0.95).value == pytest.approx(0.501, rel=0.003)


LOG_NORMAL = np.random.default_rng(5).lognormal(math.log(100) - 0.5 * math.log(3.25),
                                                math.sqrt(math.log(3.25)), 20_000)  # fmt: skip


@pytest.mark.parametrize(("rate", "cv"), [(3.0, 1.0), (6.0, 1.0), (5.0, 2.0)])
def test_late_shares_of_heavy_tailed_answers_as_simulated(rate, cv):
    # Mean 100, CV 1.5; targets from twice the mean to eight times.
    answers = np.ceil(LOG_NORMAL)
    known = from_samples(np.full(answers.size, 1000.0), answers)
    requests = requests_of(np.full(answers.size, 1000.0), answers)
    run = simulate(Pool(numbers_of(ONE)), requests, rate_rps=rate, arrival_cv=cv, seed=1)
    point = operate(ONE, known, Arrivals(cv**2), rate_rps=np.array([rate]))
    spread = spread_of(point)
    blocked = admission_of(point, spread, stability_limit(ONE, known))
    for target_s in (3.0, 6.0, 12.0):
        found = e2e_exceeds(point, blocked, point, spread, np.array([target_s]))[0]
        seen = share_above(run.e2e.sum(axis=0), target_s)
        assert found == pytest.approx(seen, rel=0.2, abs=0.003)


def star(e2e_s, percentile=0.95, **kind):
    return lambda_star(
        ONE, EVEN, ttft_s=100.0, ttft_percentile=0.95, tpot_s=1.0, tpot_percentile=0.95,
        arrival_cv=1.0, e2e_s=e2e_s, e2e_percentile=percentile, **kind,
    )  # fmt: skip


def test_largest_rate_under_a_promise_to_the_last_token():
    free, wide, tight = star(None), star(1e4), star(1.6)
    assert wide.rate_rps[0] == free.rate_rps[0]
    assert (tight.binding[0], tight.rate_rps[0] < free.rate_rps[0]) == (Binding.E2E, True)
    assert end_s(ONE, EVEN, rate=tight.rate_rps[0]) == pytest.approx(1.6, rel=0.01)
    never = star(0.9)  # 901 ms without traffic
    assert (never.binding[0], never.rate_rps[0]) == (Binding.UNREACHABLE, 0.0)
    # In simulation that rate keeps the promise within a few percent.
    promise = Promise(math.inf, 0.95, math.inf, 0.95, e2e_s=1.6, e2e_percentile=0.95)
    seen = refined_rate(
        Pool(numbers_of(ONE)), requests_of(np.full(50, 1000.0), np.full(50, 101.0)), promise,
        guess_rps=float(tight.rate_rps[0]), limit_rps=9.0,
    )  # fmt: skip
    assert tight.rate_rps[0] == pytest.approx(seen.value, rel=0.1)


def test_formula_stays_near_the_simulated_rates():
    # Mean 1.9 %, 4.1 % at the 90th percentile of all 96 cells; here every fifth of them.
    error = np.abs([e2e_rates.priced(cell).error for cell in e2e_rates.cells()[::5]])
    assert error.size == 20
    assert error.mean() < 0.03
    assert np.quantile(error, 0.9) < 0.08


def test_promise_counts_in_excesses():
    run = simulated(ONE, [1000], [101], count=300, batches=2)
    own_s = run.e2e_s(0.9).value
    for target_s, over in ((own_s / 2, math.log(2)), (own_s * 2, -math.log(2))):
        promise = Promise(math.inf, 0.95, math.inf, 0.95, e2e_s=target_s, e2e_percentile=0.9)
        assert promise.excesses(run) == pytest.approx([-8.0, -8.0, -8.0, over])
        assert promise.kept_by(run) == (over < 0)


def test_units_add_handover_to_it():
    # Prefill 101 ms; 1,000 tokens of 1 us and 5 ms on the link; the decode replica computes the
    # prompt's last token in one step of 8 ms and 100 further tokens in one each: 915 ms.
    transfer = Transfer(np.array([1e3]), np.array([1e9]), np.array([5e-3]))
    one = np.array([1.0])
    unit = Unit(ONE, ONE, one, one, transfer)
    stable = disaggregated.stability_limit(unit, EVEN)
    found = disaggregated.e2e_at(unit, EVEN, 0.0, percentile=0.95, stability_rps=stable)
    assert found[0] == pytest.approx(0.915, rel=0.005)
    requests = requests_of(np.array([1000.0]), np.array([101.0]))
    run = simulate(pool_of(unit), requests, rate_rps=QUIET, count=300, batches=1)
    assert run.e2e_s(0.95).value == pytest.approx(0.915, rel=0.003)

    def rate(e2e_s):
        return disaggregated.lambda_star(
            unit, EVEN, ttft_s=100.0, ttft_percentile=0.95, tpot_s=1.0, tpot_percentile=0.95,
            arrival_cv=1.0, e2e_s=e2e_s,
        )  # fmt: skip

    free, tight = rate(None), rate(1.1)
    assert 0 < tight.rate_rps[0] < free.rate_rps[0]
    assert tight.binding[0] == Binding.E2E
    assert rate(0.9).binding[0] == Binding.UNREACHABLE


def test_static_batches_end_when_their_own_answer_does():
    def rate(e2e_s):
        return static_batch.lambda_star(
            ONE, EVEN, ttft_s=np.array([10.0]), ttft_percentile=0.95, tpot_s=0.1, arrival_cv=1.0,
            replicas=1.0, utilization_max=0.8,
            e2e_s=None if e2e_s is None else np.array([e2e_s]),
        )  # fmt: skip

    free, wide, tight = rate(None), rate(1e3), rate(4.0)
    assert wide.rate_rps[0] == free.rate_rps[0]
    assert 0 < tight.rate_rps[0] < free.rate_rps[0]
    assert tight.binding[0] == Binding.E2E
    assert rate(0.9).rate_rps[0] == 0.0  # 901 ms alone
    # A batch of one that nothing waits for: 101 ms + 100 x 8 ms, a step of 8.1 ms at most.
    batch = static_batch.batched(ONE, EVEN, 1)
    beyond = [
        static_batch.e2e_exceeds(batch, EVEN, np.array([1e-6]), np.array([t]), arrival_scv=1.0,
                                 replicas=1.0)[0]
        for t in (0.9, 0.92)
    ]  # fmt: skip
    assert beyond == pytest.approx([1.0, 0.0], abs=1e-3)


def test_one_class_of_a_mix_may_be_promised_it():
    def rate(*ends_s):
        members = [Member(EVEN, 100.0, 0.95, 1.0, 0.95, e2e_s=end) for end in ends_s]
        return mix_star(ONE, members, [0.5, 0.5])

    # Two halves of the same traffic are that traffic.
    free, one, both = rate(None, None), rate(1.6, None), rate(1.6, 1.6)
    assert free.rate_rps[0] > one.rate_rps[0] == pytest.approx(both.rate_rps[0])
    assert one.rate_rps[0] == pytest.approx(star(1.6).rate_rps[0], rel=0.02)
    assert one.binding[0] == Binding.E2E


def rows(**promise):
    slo = {**CHAT["slo"], **promise}
    return {row.id: row for row in planner.evaluate(scenario(demand=[{**CHAT, "slo": slo}]))}


def test_candidates_under_the_promise():
    free, wide, tight, never = rows(), rows(e2e_ms=3e6), rows(e2e_ms=8000), rows(e2e_ms=4000)
    rates = {name: row.lambda_star_rps for name, row in free.items()}
    assert {name: row.lambda_star_rps for name, row in wide.items()} == rates
    bound = [name for name, row in tight.items() if row.binding == "e2e"]
    assert bound
    assert all(tight[name].lambda_star_rps < rates[name] for name in bound)
    # Answers of mean 200 and CV 0.5 have 389 tokens at the 95th percentile: 178.9 exp(1.645 x
    # 0.472). At some 14 ms a step that is 5.4 s.
    for name in bound:
        assert never[name].reason.startswith("E2E p95 5,")
        assert never[name].reason.endswith(" ms at zero load, target 4000")


def test_it_cannot_end_before_it_begins():
    with pytest.raises(ValidationError, match=r"e2e_ms 800 \(p95\) is below ttft_ms 1000 \(p95\)"):
        Slo(ttft_ms=1000, tpot_ms=50, e2e_ms=800)
    # Half of the answers may well end before one first token in a hundred comes.
    assert Slo(ttft_ms=1000, ttft_percentile=0.99, tpot_ms=50, e2e_ms=800, e2e_percentile=0.5)
    with pytest.raises(ValidationError, match="e2e_ms"):
        Slo(ttft_ms=1000, tpot_ms=50, e2e_ms=0)
