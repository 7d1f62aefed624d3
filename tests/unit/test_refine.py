"""Simulated rates in a case: what is refined, what a plan takes, what is said of it."""

import math

import numpy as np
import pytest

import planner
from planner.candidates import refine
from planner.candidates.subject import pool_of, subject_of
from planner.files.catalog import load_catalog
from planner.pipeline import case
from planner.progress import Count, Stage
from planner.simulate.pool import simulate
from planner.simulate.rates import Promise
from planner.simulate.statistics import Estimate


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
    assert told == [Stage("simulate", Count(done, 1, "candidates")) for done in (0, 1)]
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
    monkeypatch.setattr(refine, "_planned", lambda *arguments: np.zeros(len(refine.SIZES)))
    i = first(known)
    table = refine.refined(known, [i], lambda text: None).table
    assert table.reasons[i] == "keeps its promise at no rate in simulation"
    assert i not in table.kept.tolist()


def test_only_online_candidates_are_refined(known):
    i = first(known)
    assert known.table.formulaic([i], [True]) == [i]
    assert known.table.formulaic([i], [False]) == []


def test_plan_takes_the_lower_end_of_the_interval_within_margins(known, monkeypatch):
    subject = subject_of(known.scenario, known.catalog, known.table, first(known))
    monkeypatch.setattr(refine, "SIZES", (4,))
    for low, taken in ((0.99, 0.975), (0.97, 0.97), (0.5, 0.96), (-math.inf, 0.96)):
        monkeypatch.setattr(refine, "remembered", lambda key, compute, low=low: (1.0, low))
        assert refine._planned(subject, np.array([0.5]), 2.0) == pytest.approx(taken)
    assert refine._planned(subject, np.array([0.5]), 0.9) == pytest.approx(0.9)


def test_pools_beyond_the_limit_are_not_simulated(known, monkeypatch):
    subject = subject_of(known.scenario, known.catalog, known.table, first(known))
    asked = []

    def found(pool, requests, promise, *, guess_rps, limit_rps, **more):
        asked.append((pool.replicas, guess_rps))
        value = {1: 0.8, 2: 0.9, 4: limit_rps}[pool.replicas]
        return Estimate(value, value - 0.1, value + 0.1)

    monkeypatch.setattr(refine, "refined_rate", found)
    rates = refine._simulated_rates(subject, np.array([1.0, 1.5, 1.5, 1.5, 1.5]), 1.0)
    assert rates == pytest.approx([0.8, 0.7, 0.9, 0.8, 1.0, 0.9, 1.0, 0.9, 1.0, 0.9])
    # Two: 0.8 of its guess, as one replica; four: 0.9 / 1.5 of its guess is what two carry.
    assert asked == [(1, 1.0), (2, pytest.approx(1.2)), (4, pytest.approx(0.9))]


def test_large_pools_hold_their_line_with_any_fraction_of_a_few_replicas(known):
    i = next(i for i in known.table.kept.tolist()
             if known.traffic.load.peak_rps.max() > 40 * known.table.pool_rps[i, -1])  # fmt: skip
    rates = np.linspace(0.8, 1.0, len(known.table.pool_sizes)) * known.table.pool_rps[i, -1]
    (a,), (delta,) = refine.lines(known, np.array([i]), rates[None, :])
    for replicas in (1.0, 1.5, 1.999, 2.5, 2.999, 3.999):
        carried = rates[int(replicas) - 1]  # table sizes are 1, 2, 3, 4, ...
        assert a * replicas - delta <= replicas * carried * (1 + 1e-9)


def test_what_is_not_begun_by_the_deadline_stays_as_it_is(known):
    table = refine.refined(known, [first(known)], lambda text: None, deadline=-math.inf).table
    assert not table.simulated.any()


def test_engines_of_one_layout_and_format_are_mates(known):
    table = known.table
    mine = refine.mates(table, first(known))
    kinds = {(c.accelerator, c.quantization, c.kv_dtype, c.tp) for c in
             (table.configurations[j] for j in mine)}  # fmt: skip
    assert first(known) in mine
    assert len(kinds) == 1
    assert len({table.configurations[j].engine for j in mine}) == len(mine)


def test_simulation_bounds_the_other_engines(known, monkeypatch):
    i = first(known)
    mates = refine.mates(known.table, i)
    half = 0.5 * known.table.pool_rps[i]
    monkeypatch.setattr(refine, "_one", lambda case, j: refine._Found(half, 0.0, 0.0))
    table = refine.refined(known, [i], lambda text: None).table
    assert table.simulated_ratio[i] == pytest.approx(0.5)
    assert table.most_ratio[mates] == pytest.approx(0.505)  # 1 % more may differ between engines
    others = [j for j in range(len(table.names)) if j not in mates]
    assert np.isinf(table.most_ratio[others]).all()


def test_ctrl_c_ends_what_is_under_way(known, monkeypatch):
    begun = []

    def one(case, i):
        begun.append(i)
        raise KeyboardInterrupt

    monkeypatch.setattr(refine, "_one", one)
    with pytest.raises(KeyboardInterrupt):
        refine.refined(known, list(range(100)), lambda text: None)
    assert len(begun) < 100
