"""Rates and percentiles of units of prefill and decode replicas: by hand and in limits."""

import numpy as np
import pytest

from planner.perf import disaggregated, queueing
from planner.perf.arrivals import Arrivals
from planner.perf.disaggregated import Transfer, Unit
from planner.perf.lengths import from_samples
from planner.perf.queueing import Binding
from planner.perf.replica import Replica
from planner.perf.steps import batches

NUMBERS = (1e-3, 5e-4, 6.4e-3, 2.9e-5, 4e-6, 5.2e-8, 1.4e-9, 8192, 256, 400_000)
RNG = np.random.default_rng(3)
CHAT = from_samples(
    np.clip(RNG.lognormal(5.9, 0.8, 4096), 1, 20_000),
    np.clip(RNG.lognormal(5.0, 0.7, 4096), 1, 4096),
)
PROMISE = {"ttft_percentile": 0.95, "tpot_percentile": 0.95}


def replica(count, **changed):
    numbers = dict(zip(Replica.__dataclass_fields__, NUMBERS, strict=False)) | changed
    return Replica(**{name: np.full(count, float(value)) for name, value in numbers.items()})


def unit(x, y, *, token_bytes=131_072.0, link_bytes_s=50e9, latency_s=2e-3, **decode):
    x, y = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
    transfer = Transfer(*(np.full(x.size, v) for v in (token_bytes, link_bytes_s, latency_s)))
    return Unit(replica(x.size), replica(x.size, **decode), x, y, transfer)


def test_times_without_traffic_by_hand():
    # 1000 tokens: 1.5 ms + 29 ms + 1.4e-9 x 1000^2 / 2 = 0.7 ms. Move: 131.072 MB at 50 GB/s =
    # 2.621 ms and 2 ms. First decode step: 1 ms + 6.4 ms and 1.4e-9 x 1000. 43.22 ms in all.
    # Decode: 101 tokens, 7.4 ms + 4 us + 5.2e-8 x (1000 + 101 / 2) = 7.459 ms.
    one = from_samples([1000.0], [101.0])
    ttft, tpot = disaggregated.zero_load(unit(1, 1), one, **PROMISE)
    assert ttft[0] == pytest.approx(43.22e-3, rel=5e-3)
    assert tpot[0] == pytest.approx(7.459e-3, rel=5e-3)


def test_stability_is_that_of_the_scarcest_stage():
    # The link of 1 MB a token at 1 GB/s: a prompt of 1000 takes 1 s, so that two links move 2
    # requests a second; decode of 256 sequences takes far more.
    one = from_samples([1000.0], [101.0])
    slow = unit(2, 1, token_bytes=1e6, link_bytes_s=1e9)
    assert disaggregated.stability_limit(slow, one)[0] == pytest.approx(2.0)
    # A free link leaves prefill: one prompt of 1000 takes a share of 1000 / 8192 of a full step
    # of 1.5 ms + 0.2376 s, and 0.7 ms: 29.883 ms. Two of them: 2 / 29.883 ms.
    free = unit(2, 8, link_bytes_s=np.inf)
    assert disaggregated.stability_limit(free, one)[0] == pytest.approx(66.93, rel=2e-3)
    assert np.isinf(disaggregated.stage_limits(free, one)[1][0])
    # A decode cache of 10,000 tokens, 99 % of it used: steps of 7.4 ms + 5.2e-8 x 10,000 = 7.92
    # ms; a request holds 1000 to 1100 tokens in 100 steps, and 1000 in the one before and in
    # half of the step in progress when it comes: 106,550 token-steps. 9900 / (106,550 x 7.92 ms).
    scarce = unit(64, 1, kv_tokens=10_000)
    assert disaggregated.stability_limit(scarce, one)[0] == pytest.approx(11.73, rel=0.01)


def test_prompts_that_gather_by_hand():
    # A prompt fills a step of 1 s: n = u / (1 - e^-u) prompts take n s, u = 0.5 n, so that
    # 1 - e^-u = 0.5: u = ln 2, n = 2 ln 2. Behind very many replicas none gathers.
    numbers = dict.fromkeys(Replica.__dataclass_fields__, 0.0) | {
        "token_s": 1e-3, "budget_tokens": 1000, "sequences_max": 64, "kv_tokens": 1e6,
        "decode_tokens": 1, "decode_gain": 1,
    }  # fmt: skip
    server, prompts = replica(1, **numbers), from_samples([1000.0], [1.0])
    found = batches(server, prompts, Arrivals(1.0), np.array([0.5]))
    assert found.prompts[0] == pytest.approx(2.0 * np.log(2.0), rel=1e-5)
    many = batches(server, prompts, Arrivals(1.0, 1e4), np.array([0.5]))
    assert many.prompts[0] == pytest.approx(1.0, abs=1e-6)
    # Steps of 4,000 tokens in 4 s stream weights for 3 s: one prompt takes 3 s, four take 4 s.
    wide = replica(1, **numbers | {"weights_s": 3.0, "budget_tokens": 4000})
    found = batches(wide, prompts, Arrivals(1.0), np.array([0.1]))
    assert found.time_s(np.array([1.0])) == pytest.approx([3.0])
    assert found.time_s(np.array([4.0])) == pytest.approx([4.0])


def test_prefill_keeps_up_at_every_rate_below_its_limit():
    prompts = from_samples(*(np.full(4, x) for x in (500.0, 1.0)))
    one = replica(1)
    limit = queueing.stability_limit(one, prompts)
    for share in np.linspace(0.01, 0.98, 98):
        ttft, _ = queueing.percentiles(one, prompts, share * limit, arrival_cv=1.0, **PROMISE)
        assert np.isfinite(ttft[0]), share
    assert np.isinf(queueing.percentiles(one, prompts, 1.01 * limit, arrival_cv=1.0, **PROMISE)[0])


def test_candidates_of_different_shapes_at_once_are_those_one_by_one():
    shapes = [(1, 1), (2, 1), (1, 1), (3, 4)]
    options = {
        "ttft_s": 0.2, "tpot_s": 0.012, "arrival_cv": 1.5, "replicas": 3.0, **PROMISE
    }  # fmt: skip
    whole = disaggregated.lambda_star(unit(*zip(*shapes, strict=True)), CHAT, **options)
    alone = [disaggregated.lambda_star(unit(x, y), CHAT, **options) for x, y in shapes]
    assert whole.rate_rps == pytest.approx([one.rate_rps[0] for one in alone])
    assert whole.binding.tolist() == [one.binding[0] for one in alone]
    assert whole.rate_rps.min() > 0


def test_the_promise_holds_at_the_rate_and_not_above():
    one = unit([1, 2], [1, 1])
    found = disaggregated.lambda_star(
        one, CHAT, ttft_s=0.2, tpot_s=0.012, arrival_cv=1.0, utilization_max=0.99, **PROMISE
    )
    assert set(found.binding.tolist()) <= {int(Binding.TTFT), int(Binding.TPOT)}
    for factor, kept in ((0.99, True), (1.01, False)):
        ttft, tpot = disaggregated.percentiles(
            one, CHAT, factor * found.rate_rps, arrival_cv=1.0, **PROMISE
        )
        assert ((ttft <= 0.2) & (tpot <= 0.012)).tolist() == [kept, kept]


def rate(one, **more):
    options = {"ttft_s": 0.2, "tpot_s": 0.02, "arrival_cv": 1.0, **PROMISE, **more}
    found = disaggregated.lambda_star(one, CHAT, **options)
    return float(found.rate_rps[0]), Binding(int(found.binding[0]))


def test_what_binds():
    assert rate(unit(1, 1), ttft_s=np.inf, tpot_s=np.inf)[1] == Binding.UTILIZATION_CAP
    assert rate(unit(1, 4))[1] == Binding.TTFT
    assert rate(unit(8, 1), tpot_s=0.009)[1] == Binding.TPOT
    assert rate(unit(1, 1), ttft_s=0.01) == (0.0, Binding.UNREACHABLE)
    assert rate(unit(1, 1), tpot_s=0.001) == (0.0, Binding.UNREACHABLE)
    assert rate(unit(1, 1, kv_tokens=500)) == (0.0, Binding.KV_CACHE)
    # A transfer longer than the promise.
    assert rate(unit(1, 1, latency_s=0.3)) == (0.0, Binding.UNREACHABLE)


def test_more_of_anything_never_carries_less():
    base = rate(unit(1, 1))[0]
    assert rate(unit(2, 2))[0] >= 2 * base
    assert rate(unit(1, 1), replicas=4.0)[0] >= base
    assert rate(unit(1, 1, link_bytes_s=1e9))[0] < rate(unit(1, 1, link_bytes_s=1e10))[0] <= base
    assert rate(unit(1, 1), arrival_cv=2.0)[0] < base


def test_free_prefill_leaves_decode():
    # Prefill replicas without end and a link without time: what is left is a replica that
    # finds all of the prompt but a token, and the promise on its steps.
    apart = rate(unit(1000, 1, link_bytes_s=np.inf, latency_s=0.0), ttft_s=5.0, tpot_s=0.011)
    assert apart[1] == Binding.TPOT
    held = disaggregated._answers(CHAT)
    alone = queueing.lambda_star(
        replica(1, prefill_step_s=0.0), held, ttft_s=5.0, tpot_s=0.011, arrival_cv=1.0, **PROMISE
    )
    assert apart[0] == pytest.approx(alone.rate_rps[0], rel=5e-3)
