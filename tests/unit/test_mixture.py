"""Classes that share a pool: joint rates at which every class's own promise holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.perf import mix_region, mixture
from planner.perf.lengths import from_samples
from planner.perf.queueing import RATE_RTOL, Binding, lambda_star, stability_limit
from planner.simulate.arrivals import requests_of
from planner.simulate.mixture import Member, largest_mix_rate, mixed_requests, simulate_mix
from planner.simulate.pool import Pool, simulate
from planner.simulate.rates import Promise
from planner.simulate.state import numbers_of
from tests.benchmarks.mixes import CHAT, LARGE, REPORT, SEARCH, SMALL, member, replica_of

REPLICA = replica_of(SMALL)
KEPT = {"ttft_percentile": 0.95, "tpot_percentile": 0.95, "arrival_cv": 1.0}


def alone(kind, replicas=1.0, replica=REPLICA):
    """Largest rate of a class in a pool of its own [1/s of one replica]."""
    found = lambda_star(
        replica, kind.lengths(), ttft_s=kind.ttft_s, tpot_s=kind.tpot_s, replicas=replicas, **KEPT
    )
    return float(found.rate_rps[0])


def total(kinds, shares, replicas=1.0):
    return float(
        mixture.mix_star(
            REPLICA, [member(kind) for kind in kinds], shares, replicas=replicas
        ).rate_rps[0]
    )


def test_mixed_lengths_are_those_of_all_requests_together():
    rng = np.random.default_rng(3)
    inputs, outputs = rng.integers(1, 4000, (2, 600)), rng.integers(1, 500, (2, 600))
    # As many of each class, so that the requests of both are one list.
    both = mixture.mixed([from_samples(inputs[i], outputs[i]) for i in (0, 1)], [0.5, 0.5])
    one = from_samples(inputs.ravel(), outputs.ravel())
    for name in (
        "input_mean", "input_square", "input_cube", "output_mean", "decode_steps", "output_scv",
        "kv_steps", "kv_steps_scv", "kv_square_steps", "computed", "context_mean", "context_rate",
    ):  # fmt: skip
        assert getattr(both, name) == pytest.approx(getattr(one, name)), name
    assert both.weights.sum() == pytest.approx(1.0)
    assert both.extra_chunks(np.array([1000.0])) == pytest.approx(
        one.extra_chunks(np.array([1000.0])), rel=0.02
    )


def test_prefix_hits_of_each_class_are_its_own():
    # 100 tokens with half of them cached beside 300 with none: (50 + 300) / 2 to compute.
    # Pairs: 100^2 (1 - 0.5^2) / 2 = 3,750 and 300^2 / 2 = 45,000.
    parts = [from_samples([100.0], [5.0], 0.5), from_samples([300.0], [5.0])]
    both = mixture.mixed(parts, [0.5, 0.5])
    assert both.computed == pytest.approx(175.0)
    assert both.computed_tokens.tolist() == [50.0, 300.0]
    assert both.context_mean == pytest.approx((3_750 + 45_000) / 2)
    assert both.prefix_hit_frac == pytest.approx(1 - 175 / 200)


@pytest.mark.parametrize("replicas", [1.0, 6.0])
def test_a_class_mixed_with_itself_is_itself(replicas):
    mixed = total([SEARCH, SEARCH], [0.3, 0.7], replicas)
    assert mixed == pytest.approx(alone(SEARCH, replicas), rel=2e-3)


def test_a_mix_that_is_nearly_one_class_keeps_its_rate_where_the_other_asks_less():
    relaxed = replace(SEARCH, ttft_s=9.0, tpot_s=0.5)
    assert total([SEARCH, relaxed], [0.5, 0.5], 4.0) == pytest.approx(alone(SEARCH, 4.0), rel=2e-3)


def test_the_stricter_member_decides():
    strict = replace(SEARCH, ttft_s=0.6)
    both = total([SEARCH, strict], [0.998, 0.002], 4.0)
    # Requests are alike, so that even a handful of strict ones holds all to their promise.
    assert both == pytest.approx(alone(strict, 4.0), rel=0.01)


def test_an_unreachable_promise_leaves_no_rate():
    never = replace(CHAT, ttft_s=1e-3)
    found = mixture.mix_star(REPLICA, [member(never), member(SEARCH)], [0.5, 0.5])
    assert found.rate_rps.tolist() == [0.0]
    assert found.binding.tolist() == [Binding.UNREACHABLE]


def test_a_cache_too_small_for_one_member_leaves_no_rate():
    small = replace(REPLICA, kv_tokens=np.array([9_000.0]))
    found = mixture.mix_star(small, [member(CHAT), member(REPORT)], [0.9, 0.1])
    assert found.rate_rps.tolist() == [0.0]
    assert found.binding.tolist() == [Binding.KV_CACHE]


def test_candidates_are_independent_of_each_other():
    both = type(REPLICA)(
        *(np.concatenate([getattr(REPLICA, f), getattr(replica_of(LARGE), f)])
          for f in REPLICA.__dataclass_fields__)
    )  # fmt: skip
    members = [member(CHAT), member(SEARCH)]
    rates = mixture.mix_star(both, members, [0.6, 0.4], replicas=4).rate_rps
    apart = [
        mixture.mix_star(one, members, [0.6, 0.4], replicas=4).rate_rps[0]
        for one in (REPLICA, replica_of(LARGE))
    ]
    assert rates.tolist() == pytest.approx(apart, rel=1e-3)


def test_a_row_lies_below_the_border_on_every_ray():
    members, shares = [member(CHAT), member(REPORT)], mix_region.rays(2)
    border = mix_region.border(REPLICA, members, shares, replicas=8)[0]
    row = mix_region.linear_row(shares, border, [0.7, 0.3])
    allowed = 1.0 / (shares @ (1.0 / row))
    assert np.all(allowed <= border)
    # It touches the border somewhere, as closely as rates are searched: none through the same rays
    # allows more everywhere.
    assert (allowed / border).max() == pytest.approx(1.0, abs=RATE_RTOL)


def test_rays_of_three_classes_hold_every_end_and_sum_to_one():
    found = mix_region.rays(3)
    assert found.sum(axis=1) == pytest.approx(np.ones(len(found)))
    assert found.min() > 0
    assert sorted(found.argmax(axis=1)[:3].tolist()) == [0, 1, 2]


def test_no_row_where_a_ray_has_no_rate():
    shares = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert mix_region.linear_row(shares, np.array([3.0, 0.0]), [0.5, 0.5]).tolist() == [0.0, 0.0]


def members_of(kinds, shares):
    return [
        Member(kind.requests(), w, Promise(kind.ttft_s, 0.95, kind.tpot_s, 0.95))
        for kind, w in zip(kinds, shares, strict=True)
    ]


def test_counting_one_class_changes_nothing_of_what_happens():
    pool, members = Pool(numbers_of(REPLICA, 0), 2), members_of([CHAT, SEARCH], [0.7, 0.3])
    runs = simulate_mix(pool, members, rate_rps=6.0, count=3000, batches=1, seed=5)
    both = simulate(pool, mixed_requests(members), rate_rps=6.0, count=3000, batches=1, seed=5)
    assert (runs[0].ttft + runs[1].ttft).tolist() == both.ttft.tolist()
    assert (runs[0].tpot + runs[1].tpot).tolist() == both.tpot.tolist()
    assert runs[0].ttft.sum() == pytest.approx(0.7 * 3000, rel=0.05)


def test_samples_are_drawn_by_their_weights():
    requests = mixed_requests(members_of([CHAT, SEARCH], [0.9, 0.1]), counted=1)
    picks = requests.pick(np.random.default_rng(1), 20_000)
    assert requests.unseen[picks].mean() == pytest.approx(0.9, abs=0.01)
    plain = requests_of(np.array([5.0, 6.0]), np.array([2.0, 2.0]))
    assert set(plain.pick(np.random.default_rng(1), 50).tolist()) == {0, 1}


def test_the_largest_rate_of_a_mix_in_simulation_is_that_of_the_formulas():
    kinds, shares = (CHAT, SEARCH), (0.7, 0.3)
    formula = total(kinds, shares, 2.0)
    found = largest_mix_rate(
        Pool(numbers_of(REPLICA, 0), 2), members_of(kinds, shares), guess_rps=formula,
        limit_rps=4 * formula, batches=1, seed=2,
    )  # fmt: skip
    # The formulas' margins are on the safe side; 5 % of error of either.
    assert 0.95 * formula <= found <= 1.2 * formula


def test_no_rate_of_a_mix_keeps_what_is_out_of_reach():
    never = replace(CHAT, ttft_s=1e-3)
    found = largest_mix_rate(
        Pool(numbers_of(REPLICA, 0)), members_of((never, SEARCH), (0.5, 0.5)), guess_rps=1.0,
        limit_rps=2.0, count=2000, batches=1,
    )  # fmt: skip
    assert found == 0.0


def test_shares_of_own_rates_break_a_promise_that_the_row_keeps():
    """A fifth of the one class's own largest rate and four of the other's, against the row."""
    patient = replace(REPORT, answer=50, ttft_s=30.0, tpot_s=1.0)
    kinds, replicas = (CHAT, patient), 1
    own = np.array([alone(kind, replicas) for kind in kinds])
    added = own * np.array([0.2, 0.8])
    shares = mix_region.rays(2)
    border = mix_region.border(REPLICA, [member(k) for k in kinds], shares, replicas=replicas)[0]
    row = mix_region.linear_row(shares, border, added / added.sum())
    kept = added / float((added / row).sum())

    def over_target(rates):
        members = members_of(kinds, rates / rates.sum())
        runs = simulate_mix(
            Pool(numbers_of(REPLICA, 0), replicas), members, rate_rps=rates.sum() * replicas,
            batches=2, seed=3,
        )  # fmt: skip
        return max(
            run.ttft_s(0.95).value / kind.ttft_s for kind, run in zip(kinds, runs, strict=True)
        ), [m.promise.kept_by(run) for m, run in zip(members, runs, strict=True)]

    worst, promises = over_target(added)
    assert worst > 2  # a percentile at more than twice its target
    assert not all(promises)
    assert all(over_target(kept)[1])
    assert kept.sum() < added.sum()
    # It is not kept by asking next to nothing.
    stable = stability_limit(
        REPLICA, mixture.mixed([k.lengths() for k in kinds], added / added.sum())
    )
    assert kept.sum() > 0.1 * stable[0]


def test_a_mix_line_lies_below_the_border_of_every_pool():
    members, shares = [member(CHAT), member(SEARCH)], mix_region.rays(2)
    sizes = (1, 2, 3, 8)
    [line] = mix_region.mix_lines(REPLICA, members, expected_rps=[30.0, 6.0], pool_sizes=sizes)
    lost = line.offset_rps / line.rate_rps
    assert lost[0] == pytest.approx(lost[1])
    for k in sizes:
        border = mix_region.border(REPLICA, members, shares, replicas=k)[0] * k
        on_line = (k - lost[0]) / (shares @ (1.0 / line.rate_rps))
        assert np.all(on_line <= border)
        tabulated = 1.0 / (shares @ (1.0 / (k * line.pool_rps[:, sizes.index(k)])))
        assert np.all(tabulated <= border)
        assert np.all(tabulated >= on_line * (1 - 1e-9))
    # On the ray expected it gives up no more than the margin and what the other rays ask.
    usual = np.array([30.0, 6.0]) / 36.0
    whole = mixture.mix_star(REPLICA, members, usual, replicas=8).rate_rps[0] * 8
    assert (8 - lost[0]) / (usual @ (1.0 / line.rate_rps)) > 0.8 * whole


def test_no_mix_line_where_a_promise_is_out_of_reach():
    never = replace(CHAT, ttft_s=1e-3)
    members = [member(never), member(SEARCH)]
    found = mix_region.mix_lines(REPLICA, members, expected_rps=[1.0, 1.0], pool_sizes=(1, 2, 3))
    assert found == [None]
