"""Cost at each side of the band: the same question with other steps, and what it leaves alone."""

from dataclasses import replace

import numpy as np
import pytest
from openpyxl import load_workbook

from planner.alternatives.bands import (
    HALVED,
    band_variants,
    halved,
    planned_at,
    variants,
    with_band_costs,
)
from planner.alternatives.outcome import Answered
from planner.errors import InfeasibleError
from planner.report import write
from planner.report.band_costs import words
from planner.report.sheet_annual import Scale
from planner.result import BandCost, BandCosts, OptionRow
from tests import small_world
from tests.small_world import CHAT, known, scenario

LAX = {**CHAT, "slo": {"ttft_ms": 4000, "tpot_ms": 300}}
"""Kept at p95 too."""


def question(**sections):
    return known(scenario(**{"demand": [LAX], "planning": {"plan_at": "p80"}, **sections}))


def test_the_other_sides_and_half_the_band():
    names = list(band_variants(question()))
    assert names == ["p50", "p95", HALVED]
    assert [v.name for v in variants(question())] == ["band_p50", "band_p95", "band_halved"]
    assert list(band_variants(question(planning={"load_blocks": 2, "plan_at": "p50"}))) == [
        "p80", "p95", HALVED,
    ]  # fmt: skip


def test_only_steps_differ():
    base = question()
    for name, case in band_variants(base).items():
        other = case()
        assert other.offers is base.offers
        assert other.traffic is base.traffic
        assert other.table.names == base.table.names
        faster = name in ("p50", HALVED)
        assert (other.table.rate_rps > base.table.rate_rps).all() == faster
    asked = question(planning={"load_blocks": 2, "plan_at": "p95"})
    assert planned_at(base, "p95").table.rate_rps == pytest.approx(asked.table.rate_rps)


def test_half_the_band_is_half_the_logarithm():
    base = question()
    narrow = band_variants(base)[HALVED]()
    for side in ("band_low_frac", "band_high_frac", "planned_frac"):
        before, after = getattr(base.table, side), getattr(narrow.table, side)
        assert np.log(after) == pytest.approx(np.log(before) / 2)
    assert halved(base.catalog).accelerators is base.catalog.accelerators


def test_simulated_rates_keep_what_simulation_made_of_the_formulas():
    # Simulation gave 0.9 of the formulas' rate: so it does with other steps.
    base = question()
    ratio = np.full(len(base.table.names), 0.9)
    proven = replace(base, table=replace(base.table, simulated_ratio=ratio))
    other, found = planned_at(base, "p50").table, planned_at(proven, "p50").table
    assert found.rate_rps == pytest.approx(0.9 * other.rate_rps)
    lost = other.offset_rps / other.rate_rps
    assert found.offset_rps / found.rate_rps == pytest.approx(lost)


def test_a_promise_that_p95_breaks_is_infeasible():
    # At zero load the promise holds as predicted, with little to spare.
    base = question()
    tpot_ms = float(base.table.tpot_zero_s[0]) * 1e3
    tight = question(
        demand=[{**CHAT, "slo": {"ttft_ms": 2000, "tpot_ms": 1.1 * tpot_ms}}],
        planning={"load_blocks": 2, "plan_at": "p50"},
    )
    with pytest.raises(InfeasibleError, match="chat: no configuration keeps its promise"):
        planned_at(tight, "p95")


def answer(name, status="solved", usd=None):
    return Answered(
        OptionRow(name=f"band_{name}", title=name, status=status, npv_usd=usd, bound_usd=usd)
    )


def banded(**changes):
    _, plan = small_world.mixed_at_p80()
    usd = plan.npv_usd
    found = {
        "p50": answer("p50", usd=0.7 * usd), "p95": answer("p95", "infeasible"),
        "halved": answer("halved", usd=0.9 * usd), **changes,
    }  # fmt: skip
    return with_band_costs(plan, [one for one in found.values() if one])


def test_costs_in_the_plan():
    plan = banded()
    rows = {row.name: row for row in plan.band_costs.rows}
    assert list(rows) == ["p50", "p80", "p95"]
    assert (rows["p80"].status, rows["p80"].npv_usd) == ("plan", plan.npv_usd)
    # 1 - 0.9 of what the plan costs.
    assert plan.band_costs.worth_usd == pytest.approx(0.1 * plan.npv_usd)


def test_a_missing_side_is_said():
    plan = banded(p50=None)
    assert plan.band_costs is None
    assert "other sides of the error band was not solved" in plan.notes[-1]


def test_worth_is_never_below_nothing_and_unknown_without_a_fleet():
    usd = small_world.mixed_at_p80()[1].npv_usd
    assert banded(halved=answer("halved", usd=1.01 * usd)).band_costs.worth_usd == 0.0
    unsolved = banded(halved=answer("halved", "unsolved")).band_costs
    assert unsolved.worth_usd is None
    assert "not known" in words(unsolved, Scale("Million"))


def test_words():
    costs = BandCosts(
        planned_at="p80",
        rows=[BandCost(name="p80", status="plan", npv_usd=10e6)],
        halved=BandCost(name="halved", status="solved", npv_usd=8.5e6),
    )
    assert "worth up to 1.5 USD million" in words(costs, Scale("Million"))


def test_block_on_the_detail_sheet(tmp_path):
    plan = banded()
    write(plan, tmp_path / "plan.xlsx")
    page = load_workbook(tmp_path / "plan.xlsx")["Detail"]
    cells = {row[0].value: row for row in page.iter_rows() if row[0].value}
    as_predicted, own = cells["Planned at p50, as predicted"], cells["Planned at p80"]
    assert as_predicted[2].value / own[2].value == pytest.approx(0.7)
    assert as_predicted[3].value == f"=C{as_predicted[2].row}-C{own[2].row}"
    assert own[3].value is None
    assert cells["Planned at p95"][2].value == "no fleet keeps its promises"
