"""Pools of 1 to 3 replicas: they carry what is tabulated, not what the line says."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.optimize import build, capacity, sets
from planner.optimize.audit import audit, require
from planner.optimize.highs import HighsSession
from planner.optimize.solve import optimize
from planner.problem import Problem
from tests.builders import make_problem
from tests.random_problems import random_problem

# The line 2.5 k - 1 carries 1.5, 4 and 6.5; the pools themselves carry more.
LINE = {"rate_rps": 2.5, "offset_rps": 1.0}
SMALL = [2.0, 4.5, 7.0]


def nodes(peak_rps: float, **fields: object) -> float:
    """Nodes bought, of one replica each."""
    x = optimize(make_problem(peak_rps=peak_rps, **LINE, **fields), gap=1e-6)
    return float(x.lots_bought.sum())


@pytest.mark.parametrize(
    ("peak", "on_the_line", "small"),
    [
        (1.5, 1, 1),
        (2.0, 2, 1),  # (2 + 1) / 2.5 = 1.2
        (2.1, 2, 2),
        (4.5, 3, 2),  # (4.5 + 1) / 2.5 = 2.2
        (7.0, 4, 3),  # (7 + 1) / 2.5 = 3.2
        (7.1, 4, 4),
        (9.1, 5, 5),  # (9.1 + 1) / 2.5 = 4.04
    ],
)
def test_a_small_pool_carries_what_is_tabulated(peak, on_the_line, small):
    assert nodes(peak) == on_the_line
    assert nodes(peak, small_rps=SMALL) == small


def test_sizes_are_offered_where_few_replicas_carry_the_class():
    p = make_problem(t=5, peak_rps=[[[1.0], [2.0], [4.0], [7.0], [7.1]]], small_rps=SMALL, **LINE)
    # By period: the least sizes that carry 1, 2, 4, 7; none for 7.1, which takes a fourth.
    assert sets.small_sizes(p) == [[[1], [1], [1, 2], [1, 2, 3], []]]
    assert sets.small_sizes(make_problem(peak_rps=1.0, **LINE)) == [[[]]]


def test_away_from_the_peak_a_small_pool_keeps_what_its_load_needs():
    # At the peak 2 replicas for 4.5. Lost: max(1 - 2 / 2.5, 2 - 4.5 / 2.5) = 0.2 replicas, so
    # 2 a second need 0.8 + 0.2 = 1 replica, which carries 2; 0.5 a second 0.2 + 0.2.
    x = optimize(make_problem(b=3, peak_rps=[[[4.5, 2.0, 0.5]]], small_rps=SMALL, **LINE))
    assert x.replicas[0, 0, 0] == pytest.approx([2.0, 1.0, 0.4])
    assert x.replicas_peak.tolist() == [[[2.0]]]


def test_a_second_block_may_not_exceed_the_size():
    # Machines by the hour at 1 in block 0 and 50 in block 1; site 1 has one node only, bought
    # dear. A pool of one carries 2.0 there: in block 1 at most that, though block 0 asks less.
    p = make_problem(
        b=2, s=2, peak_rps=[[[4.0, 3.9]]], small_rps=SMALL, **LINE,
        purchasable=[[False, True]], on_demand=[[True, False]], lots_max=[[[9.0], [1.0]]],
        on_demand_usd=[[[[1.0, 5e5]]]], buy_usd=3e5,
    )  # fmt: skip
    x = optimize(p, gap=1e-6)
    require(p, x)
    served_rps = x.served_frac[0, 1, 0] * [4.0, 3.9]
    assert served_rps.max() <= 2.0 + 1e-6


def test_the_relaxation_lies_at_the_tabulated_points():
    # Peak 4.5 with prices that grow with nodes: the relaxation may not carry it with fewer than
    # 2 replicas, the least that do.
    p = make_problem(peak_rps=4.5, small_rps=SMALL, **LINE)
    session = HighsSession(build.build(p))
    relaxed = session.solve_relaxed(10.0)
    bought = relaxed.objective / session.solve(gap=1e-9).objective * 2
    assert bought == pytest.approx(2.0)


def test_the_audit_finds_a_small_pool_with_too_much():
    p = make_problem(peak_rps=4.5, small_rps=SMALL, **LINE)
    x = optimize(p)
    tight = replace(p, pools=replace(p.pools, small_rps=np.array([[2.0, 4.0, 7.0]])))
    worst = {row.family: row.worst_rel for row in audit(tight, x)}
    # On the line 4.5 needs (4.5 + 1) / 2.5 = 2.2 replicas; there are 2.
    assert worst["replica_capacity"] == pytest.approx(0.2 / 2.2)


def raised(p: Problem, seed: int) -> Problem:
    """The problem with small pools that carry more than the line, each size more than the last."""
    rng = np.random.default_rng(seed)
    sizes = np.array([1.0, 2.0, 3.0])
    line = p.pools.rate_rps[:, None] * sizes - p.pools.offset_rps[:, None]
    above = rng.uniform(0, 1, line.shape) * p.pools.offset_rps[:, None]
    small = np.maximum.accumulate(np.maximum(line, 0.0) + above, axis=1)
    return replace(p, pools=replace(p.pools, small_rps=small))


FEW = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@FEW
@given(st.integers(0, 10_000))
def test_sizes_never_cost_more_than_the_line(seed):
    p = random_problem(seed, candidates=4, periods=2, blocks=2, scale=0.5)
    by_line = optimize(p, gap=1e-4, time_limit_s=10.0)
    sized = raised(p, seed)
    x = optimize(sized, gap=1e-4, time_limit_s=10.0)
    require(sized, x)
    assert x.bound_usd <= by_line.cost_usd * (1 + 1e-9)


def by_hand(p: Problem, usd: list[float]) -> float:
    """Cheapest whole numbers of replicas of candidates on SKUs of their own, one class."""
    peak = float(p.demand.peak_rps[0, 0, 0])

    def carried(c: int, n: int) -> float:
        small, line = p.pools.small_rps[c], p.pools.rate_rps[c] * n - p.pools.offset_rps[c]
        if n and n <= 3 and peak <= small[2]:
            return float(small[n - 1])
        return max(float(line), 0.0) if n else 0.0

    most = range(12)
    return min(
        sum(n * usd[c] for c, n in enumerate(many))
        for many in itertools.product(most, repeat=len(usd))
        if sum(carried(c, n) for c, n in enumerate(many)) >= peak * (1 - 1e-9)
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_the_optimum_is_that_of_all_numbers_of_replicas(seed):
    rng = np.random.default_rng(seed)
    usd = rng.uniform(1e5, 4e5, 2)
    p = make_problem(
        c=2, g=2, accelerator_of=[0, 1], peak_rps=rng.uniform(1.0, 9.0),
        rate_rps=rng.uniform(2.0, 3.0, 2), offset_rps=rng.uniform(0.2, 1.5, 2),
        buy_usd=usd[:, None, None],
    )  # fmt: skip
    p = raised(p, seed)
    assert optimize(p, gap=1e-7).cost_usd == pytest.approx(by_hand(p, usd.tolist()), rel=1e-6)


def test_solver_noise_above_a_small_pool_is_none():
    p = make_problem(peak_rps=4.5, small_rps=SMALL, **LINE)
    served = np.full((1, 1, 1, 1), 1.0 + 1e-7)
    assert capacity.replicas_active(p, served, np.zeros((1, 1, 1))).tolist() == [[[[2.0]]]]
