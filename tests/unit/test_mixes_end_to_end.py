"""A plan whose cheapest fleet shares pools: solved on simulated rates, verified, reported."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import planner
from planner.files.catalog import load_catalog
from planner.report import write
from planner.report.engine_commands import commands
from planner.result import CandidateRow, Plan, PoolRow, whole_pools
from tests import small_world

CHAT = {**small_world.CHAT, "requests_per_s": 2.0}
SEARCH = {
    **CHAT,
    "name": "search",
    "requests_per_s": 0.4,
    "input_tokens": {"mean": 3000, "cv": 0.5},
    "slo": {"ttft_ms": 4000, "tpot_ms": 80},
}


@cache
def catalog():
    """Nodes of one accelerator, so that whole replicas are what is bought."""
    return small_world.with_rows("accelerators", l40s={"gpus_per_node": 1, "lot_gpus": 1})


@cache
def solved() -> Plan:
    """Bought and reserved machines: one holds both classes, which alone fill 44 % and 26 %."""
    question = small_world.scenario(
        demand=[CHAT, SEARCH], supply={"mixes": True, "options": ["reserved_1y"]}
    )
    return planner.solve(question, catalog=catalog())


@cache
def node() -> Plan:
    """A node of eight: 2 + 3 replicas of two apart, which is more, and 4 shared, nearly full.

    The mix in simulation carries 5.8 chat, 1.87 search: 7.1 / 5.8 + 4.5 / 1.87 = 3.6 of 3.86.
    """
    large = {"models": ["llama-3.3-70b"], "profile": "office"}
    question = small_world.scenario(
        demand=[
            {**CHAT, **large, "requests_per_s": 2.2},
            {**SEARCH, **large, "requests_per_s": 1.38, "slo": {"ttft_ms": 5000, "tpot_ms": 80}},
        ],
        supply={
            "mixes": True, "options": ["reserved_1y"], "accelerators": ["h100-sxm"], "tp_max": 2,
        },
        planning={"load_blocks": 3, "plan_at": "p50"},
    )  # fmt: skip
    plan = planner.solve(question)
    parts = [row for row in plan.candidates if row.shares_with and row.feasible]
    return plan.model_copy(update={"pools": [_whole_class(plan, row, parts) for row in parts]})


def _whole_class(plan: Plan, row: CandidateRow, parts: list[CandidateRow]) -> PoolRow:
    """All of a class on the mix: fleets of as many accelerators may split it over more pools."""
    blocks, periods = range(len(plan.blocks)), range(len(plan.periods))
    mine = 4.0 / len(parts)
    return PoolRow(
        candidate=row.id, site="cloud", shared_with=[x.id for x in parts if x is not row],
        replicas_peak=[mine for _ in periods], replicas=[[mine for _ in blocks] for _ in periods],
        served_frac=[[1.0 for _ in blocks] for _ in periods],
    )  # fmt: skip


def test_one_machine_serves_both_classes():
    plan = solved()
    (row,) = plan.fleet
    assert row.lots_in_service == [1.0] * 4
    (pool,) = [one for one in whole_pools(plan.pools) if one.shared]
    assert pool.replicas_peak == [1.0] * 4
    assert [sum(each) for each in zip(*(p.replicas_peak for p in pool.parts), strict=True)] == [
        pytest.approx(1.0)
    ] * 4
    apart = planner.solve(
        small_world.scenario(demand=[CHAT, SEARCH], supply={"options": ["reserved_1y"]}),
        catalog=catalog(),
    )
    assert plan.npv_usd == pytest.approx(apart.npv_usd / 2, rel=1e-6)


def test_costs_of_the_classes_add_up_and_follow_their_load():
    plan = solved()
    costs = {cost.demand_class: cost.npv_usd for cost in plan.class_costs}
    assert sum(costs.values()) == pytest.approx(plan.npv_usd, rel=1e-9)
    # All cost is the one machine's: shared by the hours in which replicas are active.
    rows = {row.id: row.demand_class for row in plan.candidates}
    hours = np.array([block.hours for block in plan.blocks]).T
    active = dict.fromkeys(costs, 0.0)
    for part in plan.pools:
        active[rows[part.candidate]] += float((np.array(part.replicas) * hours).sum())
    assert costs["chat"] / costs["search"] == pytest.approx(
        active["chat"] / active["search"], rel=1e-6
    )


def test_the_trail_says_with_whom_and_by_which_row():
    for trail in solved().trails:
        items = {item.label: item for item in trail.steps[11].items}
        other = {"chat": "search", "search": "chat"}[trail.demand_class]
        assert items["Pool shared with"].value == other
        assert items["Replicas of the whole pool"].value == 1.0
        assert items["Share of chat"].value + items["Share of search"].value == pytest.approx(1.0)
        note = items["Replicas lost in the shared pool"].note
        assert note.startswith("k replicas carry chat / ")
        assert " + search / " in note


def test_curves_count_both_classes_and_keep_each_promise():
    plan = solved()
    curves = {curve.demand_class: curve for curve in plan.curves if curve.shared_with}
    assert curves["chat"].shared_with == ["search"]
    peaks = [max(row.peak_rps[0]) for row in plan.demand]
    assert curves["chat"].operating_rps == pytest.approx(sum(peaks))
    assert [p.rps for p in curves["chat"].points] == [p.rps for p in curves["search"].points]
    for curve in curves.values():
        below = [p for p in curve.points if p.rps <= curve.operating_rps]
        assert below
        assert all(p.ttft_ms <= curve.ttft_target_ms for p in below)
        assert all(p.tpot_ms <= curve.tpot_target_ms for p in below)


def test_one_command_and_every_report(tmp_path):
    plan = solved()
    (command,) = [one for one in commands(plan, load_catalog()) if "~" in one.candidate]
    assert command.replicas == {"cloud": [1.0] * 4}
    for name in ("plan.xlsx", "plan.html", "plan.csv"):
        write(plan, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 0


@pytest.mark.slow
def test_both_promises_hold_in_simulation():
    found = planner.verify(solved(), catalog=catalog())
    assert found.kept
    normal = [row for row in found.pools if row.condition == "normal"]
    assert {row.demand_class for row in normal} == {"chat", "search"}
    assert {row.demand_class for row in normal if row.rps_beside} == {"chat", "search"}
    again = planner.verify(solved(), catalog=catalog())
    assert again.model_dump(exclude={"seconds"}) == found.model_dump(exclude={"seconds"})


@pytest.mark.slow
def test_a_plan_cut_by_15_percent_fails():
    plan = node()
    (pool,) = whole_pools(plan.pools)
    assert pool.replicas_peak == [4.0] * 4
    assert planner.verify(plan).kept
    short = plan.model_copy(
        update={
            "pools": [_cut(row, "replicas") for row in plan.pools],
            "fleet": [_cut(row, "lots_by_block") for row in plan.fleet],
        }
    )
    found = planner.verify(short)
    assert not found.kept
    broken = [row for row in found.pools if row.verdict == "broken"]
    # The tighter promise breaks, 60 ms a token, and the other one holds at the same time.
    assert {row.demand_class for row in broken} == {"chat"}
    assert all("TPOT p95" in row.reason and "promised 60" in row.reason for row in broken)


def _cut(row, name):
    return row.model_copy(update={name: [[0.85 * x for x in xs] for xs in getattr(row, name)]})
