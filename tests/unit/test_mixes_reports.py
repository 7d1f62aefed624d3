"""A pool that classes share in every report: named so, and counted once."""

import io

import numpy as np
import pytest
from rich.console import Console

from planner.files.catalog import load_catalog
from planner.files.plan_checks import contradictions
from planner.report import frames
from planner.report.compare_changes import changes
from planner.report.console_verification import verdicts
from planner.report.contracts import uses
from planner.report.demand_room import segments
from planner.report.engine_commands import commands, script
from planner.report.focus_amounts import used_frac
from planner.report.html import html_text
from planner.report.sheet_fleet import replica_lines
from planner.report.sheet_metrics import use_of
from planner.report.traffic_share import fullness
from planner.report.words import beside_text, pool_label
from planner.result import TestedPool, Verification, whole_pools
from tests.mixed_plan import OTHER, OWN, REST, shared_plan
from tests.plan_fixture import small_plan


@pytest.fixture(scope="module")
def plan():
    return shared_plan()


def test_the_fleet_sheet_has_the_whole_pool_and_its_parts_below(plan):
    lines = replica_lines(plan)
    labels = [label for label, *_ in lines]
    assert labels[1:4] == [
        f"assistant and search share {REST}, us-east",
        "    of these assistant",
        "    of these search",
    ]
    whole, own, other = (np.array(values) for _, _, values in lines[1:4])
    assert whole[0] == 16.0
    assert (own[0], other[0]) == (pytest.approx(32 / 3), pytest.approx(16 / 3))
    assert own + other == pytest.approx(whole)


def test_parts_are_as_full_as_the_whole(plan):
    pool = whole_pools(plan.pools)[1]
    assert pool.shared
    # First quarter: 16 replicas carry 16 x 1.7 - 0.4 = 26.8. Two thirds of them serve 0.94 x 24 of
    # the assistant, a third 0.94 x 12 of the search: 22.56 / 17.87 = 11.28 / 8.93.
    assert fullness(plan, pool)[0] == pytest.approx(22.56 / (26.8 * 2 / 3))
    rows = {row.id: row for row in plan.candidates}
    assert pool_label(pool, rows).startswith("assistant and search share ")


def test_capacity_of_a_class_is_its_part(plan):
    found = {(one.demand_class, one.label): one for one in segments(plan)}
    own = found["assistant", "weekday 9-17"].machines_rps[0]
    other = found["search", "weekday 9-17"].machines_rps[0]
    assert own == pytest.approx(26.8 * 2 / 3)
    assert other == pytest.approx(26.8 / 3)


def test_accelerator_hours_and_lots_in_use_are_those_of_the_pool_alone(plan):
    alone = small_plan()
    assert use_of(plan).at_work_h == pytest.approx(use_of(alone).at_work_h)
    for i, row in enumerate(plan.fleet):
        assert used_frac(plan, row) == pytest.approx(used_frac(alone, alone.fleet[i]))
    for mine, theirs in zip(uses(plan), uses(alone), strict=True):
        assert mine.used_h == pytest.approx(theirs.used_h)


def test_one_command_starts_the_shared_pool(plan):
    model = {"model": "llama-3.1-8b", "accelerator": "h100-sxm", "quantization": "fp8",
             "kv_dtype": "fp8"}  # fmt: skip
    rows = [row.model_copy(update=model) for row in plan.candidates]
    parts = [row for row in plan.pools if row.shared_with]
    asked = plan.model_copy(update={"candidates": rows, "pools": parts})
    (found,) = commands(asked, load_catalog())
    assert found.replicas["us-east"][0] == 16.0
    assert all(float(n).is_integer() for n in found.replicas["us-east"])
    assert "one pool for assistant and search, behind one router" in script(found)


def test_the_csv_names_the_other_parts(plan):
    rows = frames(plan)["pools"]
    mine = rows[rows["candidate"] == OWN]
    assert set(mine["shared_with"]) == {OTHER}
    assert set(rows[rows["site"] == "hq"]["shared_with"]) == {""}
    both = rows[rows["candidate"].isin([OWN, OTHER])]
    first = both[(both["period"] == "2027-Q1") & (both["block"] == "weekday 9-17")]
    assert first["replicas"].sum() == pytest.approx(16.0)


def test_a_pool_that_becomes_shared_is_one_change(plan):
    texts = [one.text for one in changes(small_plan(), plan) if one.section == "configurations"]
    assert [text for text in texts if "search" in text] == [
        f"{OWN} shared with {OTHER} at us-east, up to 16 replicas"
    ]


def test_a_plan_whose_parts_do_not_fit_together_is_refused(plan):
    assert contradictions(plan) == []
    lost = plan.model_copy(update={"pools": plan.pools[:3]})
    assert contradictions(lost) == [
        f"pools[1].shared_with: {OTHER} is no part of the same pool at us-east"
    ]


def verified(plan):
    row = TestedPool(
        candidate=OWN, demand_class="assistant", site="us-east", period="2027-Q1",
        block="weekday 9-17", condition="normal", replicas=16.0, rps_per_replica=1.4,
        rps_beside={OTHER: 0.7}, verdict="kept", requests=20_000,
    )  # fmt: skip
    return plan.model_copy(
        update={
            "verification": Verification(
                scenario="x", scenario_sha256="0", seed=0, kept=True, pools=[row], seconds=1.0,
                requests=20_000, notes=[],
            )
        }
    )  # fmt: skip


def test_a_verdict_says_what_came_beside(plan):
    found = verified(plan).verification
    assert beside_text(found.pools[0]) == "shared, with 0.7/s of search a replica"
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(verdicts(found))
    text = " ".join(console.export_text().split())
    assert "assistant with search on" in text


def test_the_page_names_the_shared_pool(plan):
    text = html_text(verified(plan))
    assert f"assistant and search share {REST}, us-east" in text
    assert "assistant with search" in text
