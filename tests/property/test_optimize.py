"""What must hold for every problem: audited plans, bounds that bound, and monotone costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.optimize.audit import require
from planner.optimize.solve import optimize
from planner.problem import Problem
from tests.random_problems import random_problem

SEEDS = st.integers(0, 10_000)
FEW = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
GAP = 1e-3


def small(seed: int) -> Problem:
    return random_problem(seed, candidates=4, periods=2, blocks=2)


def cost(p: Problem) -> tuple[float, float]:
    """Cost of the plan and the bound below every plan."""
    x = optimize(p, gap=GAP, time_limit_s=10.0)
    require(p, x)
    assert x.bound_usd <= x.cost_usd
    return x.cost_usd, x.bound_usd


@FEW
@given(SEEDS)
def test_every_plan_passes_the_audit_and_lies_above_its_bound(seed):
    dear, bound = cost(small(seed))
    assert bound <= dear


@FEW
@given(SEEDS)
def test_replicas_of_two_accelerators_pass_the_audit(seed):
    dear, bound = cost(random_problem(seed, candidates=4, periods=2, blocks=2, paired=2))
    assert bound <= dear


@FEW
@given(SEEDS, st.floats(1.05, 2.0))
def test_more_demand_never_costs_less(seed, factor):
    p = small(seed)
    more = replace(
        p,
        demand=replace(
            p.demand, peak_rps=p.demand.peak_rps * factor, mean_rps=p.demand.mean_rps * factor
        ),
        pools=replace(p.pools, replicas_max=np.ceil(p.pools.replicas_max * factor) + 1),
        # energy and API fees are those of all traffic, so they grow with it
        costs=replace(p.costs, api_usd=p.costs.api_usd * factor),
    )
    assert cost(more)[0] >= cost(p)[1] * (1 - 1e-9)


@FEW
@given(SEEDS)
def test_an_extra_option_never_costs_more(seed):
    p = small(seed)
    machines = replace(p.machines, committable=np.zeros_like(p.machines.committable))
    fewer = replace(p, machines=machines)
    assert cost(p)[1] <= cost(fewer)[0] * (1 + 1e-9)


@FEW
@given(SEEDS)
def test_twice_the_prices_cost_twice(seed):
    p = small(seed)
    c = p.costs
    double = replace(
        p,
        costs=replace(
            c,
            buy_usd=2 * c.buy_usd,
            commit_usd=2 * c.commit_usd,
            on_demand_usd=2 * c.on_demand_usd,
            api_usd=2 * c.api_usd,
        ),
        pools=replace(p.pools, energy_usd=2 * p.pools.energy_usd),
    )
    (once, bound), (twice, twice_bound) = cost(p), cost(double)
    assert twice >= 2 * bound * (1 - 1e-9)
    assert 2 * once >= twice_bound * (1 - 1e-9)


@FEW
@given(SEEDS)
def test_the_order_of_candidates_does_not_matter(seed):
    p = small(seed)
    order = np.random.default_rng(seed).permutation(len(p.labels.candidates))
    pools = {name: getattr(p.pools, name)[order] for name in vars(p.pools)}
    names = tuple(p.labels.candidates[i] for i in order)
    turned = replace(p, pools=replace(p.pools, **pools), labels=replace(p.labels, candidates=names))
    assert cost(turned)[0] == pytest.approx(cost(p)[0], rel=2e-3)
