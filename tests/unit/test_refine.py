"""Simulated rates in a case: what is refined, what a plan takes, what is said of it."""

import math
from dataclasses import replace

import numpy as np
import pytest

import planner
from planner.candidates import refine
from planner.candidates.subject import pool_of, subject_of
from planner.files import cache
from planner.files.catalog import load_catalog
from planner.pipeline import case
from planner.simulate.pool import simulate
from planner.simulate.rates import Promise
from tests import small_world


@pytest.fixture(scope="module")
def known():
    scenario = planner.load("chat_8b")
    return case(scenario, load_catalog())


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setattr(refine, "remembered", lambda key, compute: tuple(compute()))


def first(known):
    """A kept candidate of few sequences, quick to simulate."""
    return min(known.table.kept.tolist(), key=lambda i: known.table.sequences_max[i])


def test_refined_rates_keep_the_promise_and_lie_on_a_safe_line(known, monkeypatch):
    monkeypatch.setattr(refine, "SIZES", (1, 4))
    i = first(known)
    told = []
    table = refine.refined(known, [i], told.append).table
    assert told == ["simulate 1 candidates, 1 of 2 pools", "simulate 1 candidates, 2 of 2 pools"]
    assert np.flatnonzero(table.simulated).tolist() == [i]
    sizes = np.array(table.pool_sizes)
    # Between and beyond the sizes simulated the smaller one's rate holds.
    rates = table.pool_rps[i]
    assert rates[sizes == 2] == rates[sizes == 3] == rates[sizes == 1]
    assert rates[-1] == rates[sizes == 4]
    assert np.all(np.diff(rates) >= 0)
    line = table.rate_rps[i] * sizes - table.offset_rps[i]
    assert np.all(line <= rates * sizes * (1 + 1e-9))
    # Other seeds: the promise holds at the planned rate of a pool of four.
    subject = subject_of(known.scenario, known.catalog, known.table, i)
    slo = subject.demand.slo
    promise = Promise(
        slo.ttft_ms / 1000 - subject.request_s, slo.ttft_percentile, slo.tpot_ms / 1000,
        slo.tpot_percentile,
    )  # fmt: skip
    run = simulate(
        pool_of(subject, 4), subject.requests, rate_rps=4 * float(rates[sizes == 4][0]),
        count=40_000, seed=99,
    )  # fmt: skip
    assert run.ttft_s(promise.ttft_percentile).low <= promise.ttft_s
    assert run.tpot_s(promise.tpot_percentile).low <= promise.tpot_s
    # An 8B model leaves room for far more than a chat of 256 sequences holds.
    assert 0 <= table.kv_wait_frac[i] <= 1
    assert 0 <= table.preempted_frac[i] < 0.01
    # All others keep the formulas' figures.
    others = np.arange(len(table.names)) != i
    assert np.array_equal(table.rate_rps[others], known.table.rate_rps[others], equal_nan=True)


def test_candidate_that_keeps_nothing_is_refused(known, monkeypatch):
    monkeypatch.setattr(refine, "_planned", lambda *arguments: 0.0)
    i = first(known)
    table = refine.refined(known, [i], lambda text: None).table
    assert table.reasons[i] == "keeps its promise at no rate in simulation"
    assert i not in table.kept.tolist()


def test_only_online_candidates_are_refined(known):
    i = first(known)
    assert known.table.formulaic([i], [True]) == [i]
    assert known.table.formulaic([i], [False]) == []


def test_plan_takes_the_lower_end_two_to_four_percent_below(known, monkeypatch):
    subject = subject_of(known.scenario, known.catalog, known.table, first(known))
    for low, taken in ((0.99, 0.98), (0.97, 0.97), (0.5, 0.96), (-math.inf, 0.96)):
        monkeypatch.setattr(refine, "remembered", lambda key, compute, low=low: (1.0, low))
        assert refine._planned(subject, 4, 0.5) == pytest.approx(taken)


def simulated_as(known, ratios):
    """The case with some positions at a share of their formulas' rate, without simulating."""
    table = known.table
    rate, ratio = table.rate_rps.copy(), table.simulated_ratio.copy()
    for i, share in ratios.items():
        rate[i], ratio[i] = rate[i] * share, share
    return replace(known, table=replace(table, rate_rps=rate, simulated_ratio=ratio))


def of_kind(known, accelerator):
    """Feasible positions on one accelerator, the best by rate an accelerator first."""
    table = known.table
    mine = [
        i for i in np.flatnonzero(table.feasible).tolist()
        if table.configurations[i].accelerator == accelerator
    ]  # fmt: skip
    return sorted(mine, key=lambda i: (-table.rate_rps[i] / table.configurations[i].gpus, i))


def test_what_is_not_simulated_is_seen_at_the_most_that_simulation_may_give(known):
    best, *others = of_kind(known, "h200-sxm")
    seen = refine.optimistic(simulated_as(known, {best: 0.9})).table
    cap = known.scenario.planning.utilization_max * known.table.stability_rps
    assert seen.rate_rps[best] == pytest.approx(0.9 * known.table.rate_rps[best])
    for i in others:  # learned from the one simulated: 0.9, and 1 % of spread
        at_most = min(0.9 * 1.01 * known.table.rate_rps[i], cap[i])
        assert seen.rate_rps[i] == pytest.approx(at_most)
        # The line is scaled as a whole: it still loses the same number of replicas.
        lost = known.table.offset_rps[i] / known.table.rate_rps[i]
        assert seen.offset_rps[i] / seen.rate_rps[i] == pytest.approx(lost)
    for i in of_kind(known, "b200-sxm"):  # nothing learned: the formulas' margin of 5 %
        assert seen.rate_rps[i] == pytest.approx(min(1.05 * known.table.rate_rps[i], cap[i]))


def test_settled_rates_are_never_above_the_formulas(known):
    best, *others = of_kind(known, "h200-sxm")
    for share, seen in ((0.9, 0.9), (1.3, 1.0)):
        table = refine.settled(simulated_as(known, {best: share})).table
        assert table.rate_rps[others] == pytest.approx(seen * known.table.rate_rps[others])


def test_only_those_that_may_beat_the_leader_challenge_it(known):
    best, *others = of_kind(known, "h200-sxm")
    gpus = np.array([c.gpus for c in known.table.configurations])
    each = known.table.rate_rps / gpus
    # The formulas' margin is the same for all until something is simulated.
    close = [i for i in others if min(1.05 * each[i], cap_each(known, i)) > each[best]]
    assert refine.challengers(known, [best]) == [best, *close[: refine.CHALLENGERS]]
    # A leader proven at 0.9 of its formula stands against 0.9 x 1.01 of the others'.
    proven = simulated_as(known, {best: 0.9})
    still = [i for i in others if min(0.909 * each[i], cap_each(known, i)) > 0.9 * each[best]]
    assert set(refine.challengers(proven, [best])) == {best, *still[: refine.CHALLENGERS]}


def cap_each(known, i):
    table = known.table
    share = known.scenario.planning.utilization_max
    return share * table.stability_rps[i] / table.configurations[i].gpus


def test_second_solve_remembers_what_the_first_leaned_on(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(refine, "SIZES", (1, 4))
    first = planner.solve(small_world.scenario(), catalog=small_world.catalog(), refine=True)
    used = {pool.candidate for pool in first.pools}
    simulated = {row.id for row in first.candidates if row.simulated}
    assert used <= simulated
    monkeypatch.setattr(refine, "refined_rate", None)  # nothing is left to simulate
    second = planner.solve(small_world.scenario(), catalog=small_world.catalog(), refine=True)
    keep = {"created_at", "seconds"}
    assert second.model_dump(exclude=keep) == first.model_dump(exclude=keep)
