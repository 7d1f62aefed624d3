"""The same optimum three ways: this session, Pyomo's own interface, and counting every plan."""

from __future__ import annotations

import itertools
import math
import os
import signal
import threading

import numpy as np
import pyomo.environ as pyo
import pytest

from planner.errors import StoppedError
from planner.optimize.audit import require
from planner.optimize.build import build
from planner.optimize.explain import shadow_prices_usd
from planner.optimize.highs import HighsSession, Progress
from planner.optimize.solve import optimize
from tests.builders import make_problem
from tests.random_problems import random_problem


@pytest.mark.parametrize("seed", range(6))
def test_pyomos_own_interface_finds_the_same_optimum(seed):
    m = build(random_problem(seed, candidates=4, periods=2, blocks=2))
    ours = HighsSession(m).solve(gap=1e-6)
    theirs = pyo.SolverFactory("highs")
    theirs.options["mip_rel_gap"] = 1e-6
    theirs.solve(m)
    assert ours.objective == pytest.approx(pyo.value(m.cost), rel=3e-6)
    assert ours.bound <= ours.objective * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_counting_every_plan_finds_nothing_cheaper(seed):
    """2 SKUs x 2 sites x 2 periods, one class: all orders of up to 3 lots each, 4**8 plans."""
    rng = np.random.default_rng(seed)
    rate, rps = rng.uniform(1, 4, 2), rng.uniform(3, 8, 2)
    buy, kw = rng.uniform(1, 9, (2, 2, 2)), rng.uniform(5, 20, 2)
    it_kw = rng.uniform(20, 60, (2, 1))
    p = make_problem(
        c=2,
        g=2,
        s=2,
        t=2,
        accelerator_of=[0, 1],
        rate_rps=rate,
        peak_rps=rps[:, None],
        buy_usd=buy * 1e5,
        lot_kw=kw,
        it_kw=it_kw,
    )
    best = math.inf
    lots = np.array(list(itertools.product(range(4), repeat=8)), dtype=float).reshape(-1, 2, 2, 2)
    standing = lots.cumsum(axis=3)  # an order stands from its period on
    # one class, whole replicas, one lot each: every lot that stands serves at its rate
    carried = np.einsum("ngst,g->nt", standing, rate)
    power = np.einsum("ngst,g->nst", standing, kw)
    good = (carried >= rps - 1e-9).all(axis=1) & (power <= it_kw + 1e-9).all(axis=(1, 2))
    if good.any():
        best = float((lots[good] * buy * 1e5).sum(axis=(1, 2, 3)).min())
    if math.isinf(best):
        pytest.skip("no plan of up to 3 lots an order")
    found = optimize(p, gap=1e-7).cost_usd
    # more than 3 lots of one order could be cheaper still, never dearer
    assert found <= best * (1 + 1e-9)
    assert found == pytest.approx(best) or optimize(p, gap=1e-7).lots_bought.max() > 3


def test_commitments_against_an_enumerated_optimum():
    """Six periods, term 3, on demand 1.0, committed 2.1 a term: 12.3 over 5^6 plans."""
    demand = np.array([1, 3, 2, 4, 4, 1])
    best = math.inf
    for signed in itertools.product(range(5), repeat=6):
        running = [sum(signed[max(0, t - 2) : t + 1]) for t in range(6)]
        rented = np.maximum(demand - running, 0).sum()
        best = min(best, 2.1 * sum(signed) + float(rented))
    assert best == pytest.approx(12.3)
    x = optimize(
        make_problem(
            o=1,
            t=6,
            peak_rps=demand[:, None],
            rate_rps=1.0,
            term_periods=3,
            purchasable=False,
            on_demand=True,
            committable=True,
            commit_usd=2.1,
            on_demand_usd=1.0,
            on_premises=False,
        ),
        gap=1e-9,
    )
    assert x.cost_usd == pytest.approx(best)


def test_a_time_limit_keeps_the_plan_found_so_far():
    p = random_problem(3, classes=4, candidates=40, periods=8, blocks=6)
    seen: list[Progress] = []
    x = optimize(p, gap=1e-9, time_limit_s=4.0, progress=seen.append)
    require(p, x)
    assert x.status == "stopped"
    assert 0 < x.bound_usd < x.cost_usd
    assert any(math.isfinite(now.incumbent) for now in seen)


def test_no_time_at_all_is_said():
    p = random_problem(3, classes=4, candidates=40, periods=8, blocks=6)
    with pytest.raises(StoppedError):
        optimize(p, time_limit_s=1e-3)


def test_ctrl_c_keeps_the_plan_found_so_far():
    p = random_problem(3, classes=4, candidates=40, periods=8, blocks=6)
    before = signal.getsignal(signal.SIGINT)
    sent = threading.Event()

    def interrupt(now: Progress) -> None:
        if math.isfinite(now.incumbent) and not sent.is_set():
            sent.set()
            os.kill(os.getpid(), signal.SIGINT)

    x = optimize(p, gap=1e-9, time_limit_s=60.0, progress=interrupt)
    assert sent.is_set()
    assert x.status == "stopped"
    assert x.seconds["solve"] < 30
    assert signal.getsignal(signal.SIGINT) is before


def test_a_start_is_taken():
    p = random_problem(5, candidates=4, periods=2, blocks=2)
    session = HighsSession(build(p))
    best = session.solve(gap=1e-6)
    assert best.values is not None
    again = session.solve(gap=1e-7, start=best.values)
    assert again.objective == pytest.approx(best.objective, rel=2e-6)


def test_shadow_price_of_power_is_what_one_more_kw_saves():
    # 10 rps; 25 kW hold 2.5 lots of 10 kW in the relaxation. Whole: 2 lots at 300,000 carry 5
    # rps, the API takes the other half at 1,000,000 x 0.5. With the lots fixed at 2 power has
    # slack of 5 kW: worth 0. At exactly 20 kW the fixed program still buys nothing more.
    p = make_problem(a=1, it_kw=25.0, api_usd=2e6)
    session = HighsSession(build(p))
    outcome = session.solve(gap=1e-6)
    assert outcome.values is not None
    # 2 x 0.3 M + 1.0 M = 1.6 M, in thousands or millions of USD alike
    assert optimize(p).cost_usd == pytest.approx(1.6e6)
    assert shadow_prices_usd(p, session, outcome.values)["site_power"].tolist() == [0.0]
