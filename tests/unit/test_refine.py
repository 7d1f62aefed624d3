"""Simulated rates in a case: what is refined, what a plan takes, what is said of it."""

import math

import numpy as np
import pytest

import planner
from planner.candidates import refine
from planner.candidates.subject import subject_of
from planner.files.catalog import load_catalog
from planner.pipeline import case
from planner.simulate.pool import Pool, simulate
from planner.simulate.rates import Promise


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
    assert told == [f"simulate {table.names[i]}"]
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
        Pool(subject.numbers, 4), subject.requests, rate_rps=4 * float(rates[sizes == 4][0]),
        count=40_000, seed=99,
    )  # fmt: skip
    assert run.ttft_s(promise.ttft_percentile).low <= promise.ttft_s
    assert run.tpot_s(promise.tpot_percentile).low <= promise.tpot_s
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
