"""A plan whose cheapest fleet shares pools: solved on simulated rates, verified, reported."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import planner
from planner.files.catalog import load_catalog
from planner.report import write
from planner.report.engine_commands import commands
from planner.result import Plan, whole_pools
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
def larger() -> Plan:
    """Both classes a little above whole replicas of their own."""
    question = small_world.scenario(
        demand=[{**CHAT, "requests_per_s": 14.3}, {**SEARCH, "requests_per_s": 3.4}],
        supply={"mixes": True, "options": ["reserved_1y"]},
    )
    return planner.solve(question, catalog=catalog())


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
        row = items["What a pool of k replicas carries"].value
        assert row.startswith("chat / ")
        assert " + search / " in row
        assert row.endswith("<= k - 0")


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
    plan = larger()
    assert any(pool.shared for pool in whole_pools(plan.pools))
    assert planner.verify(plan, catalog=catalog()).kept
    short = plan.model_copy(
        update={
            "pools": [_cut(row, "replicas") for row in plan.pools],
            "fleet": [_cut(row, "lots_by_block") for row in plan.fleet],
        }
    )
    found = planner.verify(short, catalog=catalog())
    broken = [row for row in found.pools if row.verdict == "broken" and row.rps_beside]
    assert not found.kept
    assert broken
    assert all("p95" in row.reason for row in broken)


def _cut(row, name):
    return row.model_copy(update={name: [[0.85 * x for x in xs] for xs in getattr(row, name)]})
