"""Mixes in refinement: simulated together, lowered together, proven with their own bound."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import planner
from planner.candidates import optimistic, refine
from planner.candidates.mix_rates import Kept, kept
from planner.candidates.subject import pool_of, promise_of, subject_of
from planner.simulate.mixture import Member, simulate_mix
from tests import small_world
from tests.unit.test_mixes_candidates import CHAT, SEARCH, nodes_of_one, shared, unlike


def quiet(_: str) -> None:
    pass


def test_what_is_planned_keeps_every_promise_in_another_simulation():
    question = unlike()
    pair = shared(question.table)
    found = refine.refined(question, pair[1:], quiet).table
    assert found.simulated[pair].all()
    share = found.rate_rps[pair] / question.table.rate_rps[pair]
    assert share[0] == pytest.approx(share[1], rel=1e-12)
    assert 0.8 < share[0] <= 1.0
    np.testing.assert_allclose(
        found.offset_rps[pair], share * question.table.offset_rps[pair], rtol=1e-9
    )
    # One replica at the peaks of both as they were asked, 1.42 and 0.28 a second of each replica
    # at most what the row gives: other requests, five times as many.
    subjects = [subject_of(question.scenario, question.catalog, found, i) for i in pair]
    small = found.small_rps[pair, 0]
    shares = np.array([CHAT["requests_per_s"], SEARCH["requests_per_s"]])
    shares = shares / shares.sum()
    rate = 1.0 / float((shares / small).sum())
    members = [Member(s.requests, w, promise_of(s)) for s, w in zip(subjects, shares, strict=True)]
    runs = simulate_mix(pool_of(subjects[0], 1), members, rate_rps=rate, batches=8, seed=77)
    over = [m.promise.excesses(run).max() for m, run in zip(members, runs, strict=True)]
    assert max(over) < 0.03  # logarithm of percentile over target


def test_the_share_is_the_least_of_all_pools_and_mixtures(monkeypatch):
    # A simulator that finds so and so much of what is asked: in the first pool 0.9 of it on the
    # second mixture, then 0.5 of what was left on the third.
    monkeypatch.setenv("PLANNER_NO_CACHE", "1")
    answers, asked = iter([1.0, 0.9, 0.5]), []

    def simulated(pool, members, *, guess_rps, limit_rps, **_):
        asked.append((pool.replicas, [round(m.share, 3) for m in members], limit_rps))
        assert guess_rps == limit_rps
        return next(answers) * limit_rps

    monkeypatch.setattr("planner.candidates.mix_rates.largest_mix_rate", simulated)
    question = unlike()
    one = kept(question, shared(question.table)[0], sizes=(1, 2), pressed_size=8, margin=0.025,
               seed=1)  # fmt: skip
    assert one.share == pytest.approx(0.45)
    assert [replicas for replicas, _, _ in asked] == [1, 1, 1]
    assert [shares for _, shares, _ in asked][1:] == [[0.9, 0.1], [0.1, 0.9]]
    # At the third, 0.9 of the row: 90 % of long requests, 1 / (0.1 / chat + 0.9 / search).
    small = question.table.small_rps[shared(question.table), 0]
    row = 1.0 / (0.1 / small[0] + 0.9 / small[1])
    assert asked[2][2] == pytest.approx(0.9 * row / 0.975)


def test_a_mix_that_keeps_nothing_is_refused_whole(monkeypatch):
    monkeypatch.setattr(refine, "kept", lambda *_, **__: Kept(0.0, math.nan))
    question = unlike()
    pair = shared(question.table)
    table = refine.refined(question, [pair[0]], quiet).table
    assert all(table.reasons[i].startswith("keeps its promise at no rate") for i in pair)
    assert not set(pair) & set(table.kept.tolist())


def test_nothing_makes_a_mix_more_than_its_row():
    question = unlike()
    pair, own = shared(question.table), [0, 1]
    seen = optimistic.optimistic(question).table
    np.testing.assert_array_equal(seen.rate_rps[pair], question.table.rate_rps[pair])
    assert np.all(seen.rate_rps[own] >= question.table.rate_rps[own])
    assert (question.table.most_ratio[pair] == 1.0).all()


def test_a_mix_teaches_mixes_of_its_classes_alone():
    # Simulated at 0.9 elsewhere: the mix is taken at 0.9, its classes alone as they are.
    question = unlike()
    table, pair = question.table, shared(question.table)
    ratio = table.simulated_ratio.copy()
    ratio[pair] = 0.9
    found = optimistic.settled(question, learned=replace(table, simulated_ratio=ratio)).table
    for name in ("rate_rps", "offset_rps", "pool_rps"):
        before, after = getattr(table, name), getattr(found, name)
        np.testing.assert_allclose(after[pair], 0.9 * before[pair])
        np.testing.assert_array_equal(after[:2], before[:2])


def test_plan_on_simulated_rates():
    usd = {}
    for both in (True, False):
        question = small_world.scenario(demand=[CHAT, SEARCH], supply={"mixes": both})
        plan = planner.solve(question, catalog=nodes_of_one())
        assert plan.status == "optimal"
        usd[both] = plan.npv_usd
        used = [row for row in plan.candidates if row.id in {p.candidate for p in plan.pools}]
        assert all(row.simulated for row in used)
    # One node in place of two.
    assert usd[True] == pytest.approx(usd[False] / 2, rel=1e-6)
