"""The first plan: where the search begins, and that nothing is cut off for good."""

import math

import numpy as np
import pytest

from planner.optimize import objective, start
from planner.optimize.build import build
from planner.optimize.highs import HighsSession
from planner.optimize.solve import optimize
from tests.builders import make_problem
from tests.random_problems import random_problem

GAP = 1e-3


@pytest.fixture(autouse=True)
def small_programs_too(monkeypatch):
    monkeypatch.setattr(start, "FROM_WHOLE_COLUMNS", 0)


def first(p, near=()):
    """Cost of the first plan [USD], its bound, and the pools (c, s) that serve in it."""
    m = build(p)
    session = HighsSession(m)
    found = start.first_plan(m, session, gap=1e-6, time_limit_s=300.0, near=near)
    unit = objective.money_unit_usd(p)
    used = set() if found.values is None else start.serving(m, session, found.values, 2)
    return found.objective * unit, found.bound * unit, used


def two_machines(**fields):
    """10 requests/s on one node of either accelerator, for 100 or 300 USD."""
    return make_problem(
        c=2, g=2, replica_gpus=np.array([[8.0, 0.0], [0.0, 8.0]]), rate_rps=10.0, peak_rps=10.0,
        mean_rps=10.0, buy_usd=np.array([100.0, 300.0])[:, None, None], **fields,
    )  # fmt: skip


def test_only_the_pools_of_a_known_plan_are_looked_at():
    assert first(two_machines())[0] == pytest.approx(100.0)
    cost, bound, used = first(two_machines(), near={(1, 0)})
    assert (cost, used) == (pytest.approx(300.0), {(1, 0)})
    assert bound == pytest.approx(100.0)  # which holds for all pools


def test_pools_that_do_not_suffice_are_left_for_others():
    p = two_machines(lots_max=np.array([np.inf, 0.0])[:, None, None])
    cost, _, used = first(p, near={(1, 0)})
    assert (cost, used) == (pytest.approx(100.0), {(0, 0)})


def test_the_search_leaves_the_pools_that_it_began_with():
    p = two_machines()
    site = p.labels.sites[0]
    for name in p.labels.candidates:
        x = optimize(p, gap=1e-6, near=[(name, site), ("unknown", site), (name, "nowhere")])
        assert x.cost_usd == pytest.approx(100.0)


@pytest.mark.parametrize("seed", range(3))
def test_where_the_search_begins_does_not_move_the_optimum(seed):
    p = random_problem(seed, candidates=4, periods=2, blocks=2)
    alone = optimize(p, gap=GAP)
    c, s = np.nonzero(alone.served_frac.sum(axis=(2, 3)))
    names = [(p.labels.candidates[i], p.labels.sites[k]) for i, k in zip(c, s, strict=True)]
    again = optimize(p, gap=GAP, near=names)
    assert math.isclose(again.cost_usd, alone.cost_usd, rel_tol=2 * GAP)
    cost, _, used = first(p, near=set(zip(c.tolist(), s.tolist(), strict=True)))
    assert used <= set(zip(c.tolist(), s.tolist(), strict=True))
    # The pools of the optimum hold it, to the gap of their own search.
    assert cost <= alone.cost_usd / (1 - start.NEAR_GAP_FRAC)
