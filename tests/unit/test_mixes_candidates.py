"""Mixes as candidates: what is offered, with which rates, and what the plan makes of it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from planner.candidates import mix_rows, mixes
from planner.candidates.assemble import build
from planner.candidates.case import Case
from planner.candidates.lower import lowered
from planner.candidates.table import Table
from planner.optimize.audit import audit
from planner.optimize.solve import optimize
from planner.reliability import spare_line
from tests import small_world
from tests.formulas import on_formulas

SHARED = {"mixes": True}
CHAT = {**small_world.CHAT, "requests_per_s": 1.0}
TWIN = {**CHAT, "name": "twin"}
SEARCH = {
    **CHAT,
    "name": "search",
    "requests_per_s": 0.2,
    "input_tokens": {"mean": 3000, "cv": 0.5},
    "slo": {"ttft_ms": 4000, "tpot_ms": 80},
}


@cache
def nodes_of_one() -> Any:
    """Catalog in which a node, and a purchase, is one accelerator."""
    return small_world.with_rows("accelerators", l40s={"gpus_per_node": 1, "lot_gpus": 1})


def known(*demand: dict[str, Any], **supply: Any) -> Case:
    question = small_world.scenario(demand=list(demand), supply={**SHARED, **supply})
    return small_world.known(question, nodes_of_one())


@cache
def twins() -> Case:
    return known(CHAT, TWIN)


@cache
def unlike() -> Case:
    return known(CHAT, SEARCH)


def shared(table: Table) -> list[int]:
    return [i for i, c in enumerate(table.configurations) if c.shared_by]


def test_none_unless_asked():
    assert not shared(known(CHAT, TWIN, mixes=False).table)
    with pytest.raises(ValidationError, match=r"supply\.mixes"):
        small_world.scenario(supply={"mixes": "several"})


def test_equal_classes_make_one_stream():
    # Whatever the shares, the stream is one class's: 5 % less than alone, the row's margin.
    table = twins().table
    first, second = shared(table)
    assert [table.configurations[i].shared_by for i in (first, second)] == [(0, 1), (0, 1)]
    for mixed, own in ((first, 0), (second, 1)):
        assert table.rate_rps[mixed] == pytest.approx(0.95 * table.rate_rps[own], rel=2e-3)
        assert table.stability_rps[mixed] == pytest.approx(table.stability_rps[own])
    assert table.names[first] == table.names[0].replace("chat/", "chat~twin/")
    assert table.names[second] == table.names[0].replace("chat/", "twin~chat/")


def test_one_pool_for_both_costs_half():
    # Peaks of 1.42 each, a replica carries 6.3 of both together: one node instead of two.
    together, apart = (
        on_formulas(small_world.scenario(demand=[CHAT, TWIN], supply={"mixes": both}),
                    catalog=nodes_of_one())
        for both in (True, False)
    )  # fmt: skip
    assert together.npv_usd == pytest.approx(apart.npv_usd / 2, rel=1e-6)
    rows = {row.id: row.shares_with for row in together.candidates}
    assert sorted(map(tuple, rows.values())) == [(), (), ("chat",), ("twin",)]


def test_the_line_is_the_pools():
    table = unlike().table
    pair = shared(table)
    lost = table.offset_rps[pair] / table.rate_rps[pair]
    small = table.small_rps[pair] / table.rate_rps[pair, None]
    assert lost[0] == pytest.approx(lost[1], abs=1e-12)
    np.testing.assert_allclose(small[0], small[1], rtol=1e-12)
    # Each class gets less than alone: the other's requests are in its way.
    assert np.all(table.rate_rps[pair] < 0.96 * table.rate_rps[:2])
    assert table.replica.kv_tokens[pair[0]] == table.replica.kv_tokens[:2].min()
    assert np.all(table.replica.weights_s[pair] == table.replica.weights_s[:2].max())


def test_candidates_of_a_mix_are_one_pool():
    p, axes = build(unlike())
    assert p.pools.pool_of.tolist() == [0, 1, 2, 2]
    assert p.pools.replicas_max[2] == pytest.approx(p.pools.replicas_max[3])
    x = optimize(p, gap=1e-6)
    assert max(row.worst_rel for row in audit(p, x)) < 1e-6
    # One row alone never enters.
    table = unlike().table
    by = ["" for _ in table.names]
    by[axes.kept[3]] = "another"
    half = replace(unlike(), table=replace(table, pruned_by=tuple(by)))
    assert build(half)[1].kept == (0, 1)


def test_pruning_does_not_mind_mixes():
    many = {"engines": ["vllm", "sglang"], "tp_max": 2}
    both, alone = known(CHAT, SEARCH, **many).table, known(CHAT, SEARCH, mixes=False, **many).table
    count = len(alone.names)
    assert any(alone.pruned_by)
    assert both.pruned_by[:count] == alone.pruned_by
    assert shared(both)
    assert not any(both.pruned_by[count:])


@pytest.mark.parametrize(
    "change",
    [
        {"models": ["llama-3.2-1b"]},
        {"slo": {"ttft_ms": 2000, "tpot_ms": 60, "token_itl_ms": 500}},
    ],
)
def test_not_offered(change):
    assert not shared(known(CHAT, {**TWIN, **change}).table)


def test_batch_work_has_its_own_pools():
    assert not shared(known(CHAT, small_world.NIGHT).table)


def test_measured_rates_are_of_one_class():
    stated = {"demand_class": "twin", "accelerator": "l40s", "gpus": 1, "requests_per_s": 3.0,
              "source": "own runs"}  # fmt: skip
    question = small_world.scenario(demand=[CHAT, TWIN], supply=SHARED, serving_table=[stated])
    assert not shared(small_world.known(question, nodes_of_one()).table)


def test_spares_are_those_of_a_fleet_without_mixes():
    # Where they need no more machines, the range of fleets for which spares are kept is the same.
    both, alone = (build(known(CHAT, TWIN, mixes=on))[0].machines for on in (True, False))
    np.testing.assert_array_equal(both.spare_slope, alone.spare_slope)
    np.testing.assert_array_equal(both.spare_offset, alone.spare_offset)
    # Without the classes alone, a node carries both, 2.84 requests a second: the range is 1 to 1.
    question, table = twins(), twins().table
    by = tuple("left out" if not c.shared_by else "" for c in table.configurations)
    only, axes = build(replace(question, table=replace(table, pruned_by=by)))
    assert len(axes.kept) == 2
    out = only.machines.node_unavailability[0, 0]
    slope, offset = spare_line(1, float(out), only.limits.availability_target)
    assert only.machines.spare_slope[0, 0] == pytest.approx(slope)
    assert only.machines.spare_offset[0, 0] == pytest.approx(offset)


def test_residency_is_everyones():
    far = {"name": "far", "kind": "cloud", "region": "eu"}
    sites = [small_world.HQ, small_world.CLOUD, far]

    def found(*regions: str) -> Case:
        demand = [CHAT, {**TWIN, "residency": regions}]
        return small_world.known(
            small_world.scenario(demand=demand, sites=sites, supply=SHARED), nodes_of_one()
        )

    p, _ = build(found("us"))
    assert p.pools.allowed.tolist() == [[True] * 3] + [[True, True, False]] * 3
    question = small_world.scenario(
        demand=[{**CHAT, "residency": ["eu"]}, {**TWIN, "residency": ["us"]}], sites=sites,
        supply=SHARED,
    )  # fmt: skip
    assert not shared(small_world.known(question, nodes_of_one()).table)


def test_large_pools_gain_nothing():
    # 13 requests a second of each take 1.96 replicas of their own; both together, at 5 % less, 4.1.
    busy = [{**one, "requests_per_s": 13.0, "five_minute_cv": 0.0} for one in (CHAT, TWIN)]
    table = known(*busy).table
    assert 13.0 / table.rate_rps[0] == pytest.approx(1.96, abs=0.01)
    assert not shared(table)
    # 3 of each take one; both together take one, 6 / 6.32 = 0.95.
    few = [{**one, "requests_per_s": 3.0} for one in busy]
    assert shared(known(*few).table)


def test_refused_where_next_to_nothing_of_a_class_may_come():
    # Steps with a part of a long prompt are too slow for the other's tokens: few may have one.
    tight = {**CHAT, "slo": {"ttft_ms": 250, "tpot_ms": 14.5}}
    long = {**SEARCH, "input_tokens": {"mean": 40_000, "cv": 0.2},
            "slo": {"ttft_ms": 30_000, "tpot_ms": 200}}  # fmt: skip
    table = known(tight, long).table
    assert not any(table.reasons[:2])
    assert {table.reasons[i] for i in shared(table)} == {mix_rows.BARELY}


def test_refused_without_a_line(monkeypatch):
    monkeypatch.setattr(mix_rows, "mix_lines", lambda *_, **__: [None])
    question = known(CHAT, TWIN)
    table = question.table
    assert {table.reasons[i] for i in shared(table)} == {mix_rows.NO_LINE}
    assert np.isnan(table.rate_rps[shared(table)]).all()
    assert build(question)[1].kept == (0, 1)


def test_three_classes_and_no_more_sets_than_allowed(monkeypatch):
    third = {**CHAT, "name": "third"}
    sets = {c.shared_by for c in known(CHAT, TWIN, third).table.configurations if c.shared_by}
    assert sets == {(0, 1), (0, 2), (1, 2), (0, 1, 2)}
    monkeypatch.setattr(mixes, "SETS_MAX", 1)
    sets = {c.shared_by for c in known(CHAT, TWIN, third).table.configurations if c.shared_by}
    assert len(sets) == 1


def test_a_mix_is_lowered_whole():
    table = unlike().table
    first, second = shared(table)
    found = lowered(unlike(), {table.names[second]: 0.5})
    assert found.lowered == {table.names[first]: 0.5, table.names[second]: 0.5}
    for name in ("rate_rps", "offset_rps", "pool_rps"):
        before, after = (getattr(one, name)[[first, second]] for one in (table, found.table))
        np.testing.assert_allclose(after, 0.5 * before)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.floats(0.2, 12.0), st.floats(0.1, 4.0), st.sampled_from(["flat", "office"]))
def test_a_plan_that_may_share_never_costs_more(first, second, profile):
    demand = [{**CHAT, "requests_per_s": first}, {**SEARCH, "requests_per_s": second,
                                                  "profile": profile}]  # fmt: skip
    usd = []
    for both in (True, False):
        p, _ = build(known(*demand, mixes=both))
        usd.append(optimize(p, gap=1e-6).cost_usd)
    assert usd[0] <= usd[1] * (1 + 1e-5)
