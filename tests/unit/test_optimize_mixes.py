"""Mixes in the program: classes that share the replicas of one pool."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.optimize.audit import audit
from planner.optimize.sets import peak_blocks
from planner.optimize.solve import optimize
from planner.problem import Problem
from tests.builders import make_problem

# Candidates 0 and 1 serve a class each, 2 and 3 both of them as one pool.
MIX = {"c": 4, "d": 2, "class_of": [0, 1, 0, 1], "pool_of": [0, 1, 2, 2]}
LINE = {"rate_rps": 2.5, "offset_rps": 1.0}


def question(**fields: object) -> Problem:
    return make_problem(**{**MIX, **LINE, "replicas_max": 20.0, **fields})


def without_mix(p: Problem) -> Problem:
    allowed = p.pools.allowed & np.array([True, True, False, False])[:, None]
    return replace(p, pools=replace(p.pools, allowed=allowed))


def test_a_mix_loses_its_offset_once():
    # Alone each needs (2 + 1) / 2.5 = 1.2 -> 2; together (4 + 1) / 2.5 = 2.
    p = question(peak_rps=2.0)
    x = optimize(p, gap=1e-7)
    assert x.lots_bought.sum() == 2
    assert x.served_frac[:, 0, 0, 0] == pytest.approx([0, 0, 1, 1])
    # Its replicas stand under the first candidate.
    assert x.replicas_peak[:, 0, 0].tolist() == [0, 0, 2, 0]
    assert optimize(without_mix(p), gap=1e-7).lots_bought.sum() == 4


def test_unlike_members_count_by_their_own_rates():
    # 4 / 4 + 0.5 / 1 = 1.5 replicas, and 0.5 lost in the pool: 2. Alone 1 + 0.5 -> 2 each.
    p = question(
        peak_rps=[[[4.0]], [[0.5]]], rate_rps=[4.0, 1.0, 4.0, 1.0], offset_rps=[2.0, 0.5, 2.0, 0.5]
    )
    assert optimize(p, gap=1e-7).lots_bought.sum() == 2
    assert optimize(without_mix(p), gap=1e-7).lots_bought.sum() == 3


def test_peaks_at_different_hours_share_replicas():
    # Blocks ask 10 and 2 of one, 2 and 9 of the other: 12 and 11 together, (12 + 1) / 2.5 -> 6.
    # Apart (10 + 1) / 2.5 = 4.4 -> 5 beside (2 + 1) / 2.5 = 1.2, and 1.2 beside 4: 7 nodes.
    p = question(b=2, peak_rps=[[[10.0, 2.0]], [[2.0, 9.0]]])
    assert optimize(p, gap=1e-7).lots_bought.sum() == 6
    assert optimize(without_mix(p), gap=1e-7).lots_bought.sum() == 7


def test_the_hour_that_is_not_the_fullest_decides_where_a_class_goes_elsewhere():
    # Both together ask most in block 0, 12 against 11; but the API takes the first class for 1
    # USD, and what is left asks 9 in block 1: (9 + 1) / 2.5 = 4.
    p = question(b=2, peak_rps=[[[10.0, 2.0]], [[2.0, 9.0]]], a=1, api_class=0, api_usd=1.0)
    only_mix = replace(
        p, pools=replace(p.pools, allowed=np.array([[False], [False], [True], [True]]))
    )
    x = optimize(only_mix, gap=1e-7)
    assert x.lots_bought.sum() == 4


def test_a_small_mix_carries_what_is_tabulated():
    # 2 + 2.5 is what a pool of two carries; the line would ask (4.5 + 1) / 2.5 = 2.2 -> 3.
    p = question(peak_rps=[[[2.0]], [[2.5]]], small_rps=[2.0, 4.5, 7.0])
    own = replace(p, pools=replace(p.pools, small_rps=question(peak_rps=1.0).pools.small_rps))
    assert optimize(p, gap=1e-7).lots_bought.sum() == 2
    assert optimize(own, gap=1e-7).lots_bought.sum() == 3


def test_rented_by_the_hour_the_mix_keeps_what_each_block_needs():
    # 6 nodes in block 0; block 1: (11 + 1) / 2.5 = 4.8 -> 5 lots. 40,000 each.
    p = question(
        b=2, peak_rps=[[[10.0, 2.0]], [[2.0, 9.0]]], purchasable=False, on_demand=True,
        on_premises=False,
    )  # fmt: skip
    x = optimize(p, gap=1e-7)
    assert x.lots_on_demand[0, 0, 0].tolist() == [6.0, 5.0]
    assert x.replicas[2, 0, 0] == pytest.approx([6.0, 4.8])


def test_one_member_may_stay_away():
    # The second class is cheaper by API: the pool of both serves one.
    p = question(peak_rps=[[[9.0]], [[9.0]]], a=1, api_class=1, api_usd=1.0)
    x = optimize(p, gap=1e-7)
    assert x.lots_bought.sum() == 4
    assert x.api_frac[0, 0, 0] == pytest.approx(1.0)


def test_the_audit_counts_both_members():
    p = question(peak_rps=2.0)
    x = optimize(p, gap=1e-7)
    more = replace(p, demand=replace(p.demand, peak_rps=p.demand.peak_rps * [[[1.0]], [[2.0]]]))
    worst = {row.family: row.worst_rel for row in audit(more, x)}
    # (2 + 4 + 1) / 2.5 = 2.8 replicas, and there are 2.
    assert worst["replica_capacity"] == pytest.approx(0.8 / 2.8)


def test_blocks_that_no_other_exceeds():
    assert peak_blocks(np.array([[3.0, 5.0, 4.0]])) == [1]
    assert peak_blocks(np.array([[3.0, 3.0]])) == [0]
    assert peak_blocks(np.array([[3.0, 2.0, 2.5], [1.0, 2.0, 1.5]])) == [0, 1, 2]


def by_hand(p: Problem, usd: float) -> float:
    """Cheapest whole numbers of replicas of both pools and of the mix."""
    peak = p.demand.peak_rps[:, 0, 0]
    rate, offset = p.pools.rate_rps, p.pools.offset_rps
    best = np.inf
    for own in itertools.product(range(9), repeat=2):
        alone = [min(peak[d], max(rate[d] * n - offset[d], 0.0)) for d, n in enumerate(own)]
        left = sum((peak[d] - alone[d]) / rate[2 + d] for d in range(2))
        shared = np.ceil(left + offset[2] / rate[2] - 1e-7) if left > 1e-9 else 0.0
        best = min(best, usd * (sum(own) + shared))
    return float(best)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_the_optimum_is_that_of_all_numbers_of_replicas(seed):
    rng = np.random.default_rng(seed)
    rate, lost = rng.uniform(1.5, 4.0, 4), rng.uniform(0.0, 0.8, 3)
    offset = rate * lost[[0, 1, 2, 2]]
    p = question(
        peak_rps=rng.uniform(1.0, 9.0, (2, 1, 1)), rate_rps=rate, offset_rps=offset,
        replicas_max=30.0,
    )  # fmt: skip
    assert optimize(p, gap=1e-7).cost_usd == pytest.approx(by_hand(p, 300_000.0), rel=1e-6)
