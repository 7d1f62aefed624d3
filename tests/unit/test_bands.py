"""Error bands: quantiles by hand, and what a plan does with them."""

import numpy as np
import pytest

from planner.candidates import evaluate as model
from planner.candidates.traffic import traffic
from planner.errors import CatalogError, ScenarioError
from planner.files.catalog import load_catalog
from planner.perf.bands import METRICS, RULES, row_name
from planner.schema.catalog import Correction, correction_name
from planner.verification.subjects import grounds
from tests import small_world
from tests.small_world import CHAT, NIGHT, scenario

LOW, HIGH, EXTRAPOLATED = 0.8, 1.3, 2.0
GROUP = ("l40s", "llama-3.1-8b", "vllm")


def with_bands(catalog, **corrections):
    """The same band for everything, widened where coefficients are borrowed: round figures."""
    rows = {f"band_widen_{rule}": 1.0 for rule in RULES}
    rows["band_widen_extrapolated"] = EXTRAPOLATED
    for metric in METRICS:
        for moe in (False, True):
            rows[row_name(metric, moe=moe, side="low")] = LOW
            rows[row_name(metric, moe=moe, side="high")] = HIGH
    known = catalog.calibration
    changed = {name: known[name].model_copy(update={"value": v}) for name, v in rows.items()}
    return catalog.model_copy(
        update={"calibration": known | changed, "corrections": dict(corrections)}
    )


def correction(time_ratio, low=0.95, high=1.05):
    return Correction(
        accelerator=GROUP[0], model=GROUP[1], engine=GROUP[2], time_ratio=time_ratio,
        band_low_frac=low, band_high_frac=high, points=40, source="own runs", as_of="2026-11-01",
        basis="measured",
    )  # fmt: skip


def table(plan_at, catalog=None, **sections):
    question = scenario(
        demand=[CHAT, {**NIGHT}], planning={"load_blocks": 2, "plan_at": plan_at}, **sections
    )
    rows = catalog or with_bands(small_world.catalog())
    return model.evaluate(question, rows, traffic(question, rows))


def test_planned_quantiles_by_hand():
    # L40S borrows Ampere's coefficients: the band is squared. z(0.8) / z(0.9) = 0.65667,
    # z(0.95) / z(0.9) = 1.28348: 1.69 ^ 0.65667 and 1.69 ^ 1.28348.
    for plan_at, factor in (("p50", 1.0), ("p80", 1.41140), ("p95", 1.96095)):
        found = table(plan_at)
        assert found.planned_frac == pytest.approx([factor] * 2, rel=1e-4)
        assert found.band_low_frac == pytest.approx([LOW**EXTRAPOLATED] * 2)
        assert found.band_high_frac == pytest.approx([HIGH**EXTRAPOLATED] * 2)
        assert set(found.labels) == {"extrapolated"}


def test_every_step_and_latency_carries_the_factor():
    as_predicted, safe = table("p50"), table("p80")
    factor = safe.planned_frac
    for name in ("decode_step_s", "full_step_s"):
        assert getattr(safe, name) == pytest.approx(factor * getattr(as_predicted, name))
    # Percentiles at zero load are found by bisection.
    chat = [0]
    tpot_s = factor * as_predicted.tpot_zero_s
    assert safe.tpot_zero_s[chat] == pytest.approx(tpot_s[chat], rel=1e-4)
    # The path outside the engine is no step and is not stretched.
    steps = safe.ttft_zero_s - safe.request_s
    before = as_predicted.ttft_zero_s - as_predicted.request_s
    assert steps[chat] == pytest.approx((factor * before)[chat], rel=1e-4)
    assert safe.stability_rps == pytest.approx(as_predicted.stability_rps / factor, rel=1e-3)
    # Memory has nothing to do with it.
    assert safe.kv_tokens == pytest.approx(as_predicted.kv_tokens)


def test_a_batch_class_runs_at_the_inverse():
    as_predicted, safe = table("p50"), table("p80")
    night = safe.classes.index("night")
    at = [c.demand_class for c in safe.configurations].index(night)
    assert safe.rate_rps[at] == pytest.approx(as_predicted.rate_rps[at] / safe.planned_frac[at])
    assert safe.rate_rps[at] * safe.slow_ratio[at] == pytest.approx(
        as_predicted.rate_rps[at] / HIGH**EXTRAPOLATED, rel=1e-3
    )


def test_rates_at_the_ends_are_those_of_plans_there():
    # With the band's end as correction and p50, the plan takes the steps of that end.
    centre = table("p50")
    for end, column in ((HIGH**EXTRAPOLATED, "slow_ratio"), (LOW**EXTRAPOLATED, "fast_ratio")):
        rows = with_bands(small_world.catalog(), **{correction_name(*GROUP): correction(end)})
        there = table("p50", rows)
        expected = there.pool_rps[0, -1] / centre.pool_rps[0, -1]
        assert getattr(centre, column)[0] == pytest.approx(expected, rel=1e-6)


def test_safer_never_carries_more():
    rates = [table(plan_at).pool_rps for plan_at in ("p50", "p80", "p95")]
    assert (rates[0] >= rates[1]).all()
    assert (rates[1] >= rates[2]).all()


def test_own_measurements_correct_the_step_and_narrow_the_band():
    rows = with_bands(small_world.catalog(), **{correction_name(*GROUP): correction(1.2)})
    before, after = table("p50"), table("p50", rows)
    assert after.decode_step_s == pytest.approx(1.2 * before.decode_step_s)
    assert set(after.labels) == {"measured"}
    # The packaged shape, as wide as the own band: ln(1.05/0.95) / ln(1.3/0.8) = 0.20614 of it.
    assert after.band_high_frac == pytest.approx([1.3**0.20614] * 2, rel=1e-4)
    assert after.band_low_frac == pytest.approx([0.8**0.20614] * 2, rel=1e-4)


def test_a_rate_of_the_serving_table_stands():
    stated = {"demand_class": "chat", "accelerator": "l40s", "gpus": 1, "requests_per_s": 3.0,
              "source": "own runs"}  # fmt: skip
    found = table("p95", serving_table=[stated])
    at = [c.measured_rps is not None for c in found.configurations].index(True)
    assert found.rate_rps[at] == 3.0
    assert (found.slow_ratio[at], found.fast_ratio[at]) == (1.0, 1.0)
    assert np.isnan(found.planned_frac[at])


def test_a_plan_is_verified_on_the_steps_it_was_planned_with():
    _, plan = small_world.mixed_at_p80()
    assert plan.scenario["planning"]["plan_at"] == "p80"
    used = {pool.candidate for pool in plan.pools}
    assert set(grounds(plan, small_world.catalog()).known) == used
    other = {**plan.scenario, "planning": {**plan.scenario["planning"], "plan_at": "p50"}}
    changed = plan.model_copy(update={"scenario": other})
    with pytest.raises(ScenarioError, match="planned with a limit of"):
        grounds(changed, small_world.catalog())


def test_the_plan_says_what_it_took():
    _, plan = small_world.mixed_at_p80()
    row = next(r for r in plan.candidates if r.id == plan.pools[0].candidate)
    assert row.rate_low_rps < row.rate_rps < row.rate_high_rps
    assert row.band_low_frac < 1 < row.planned_frac < row.band_high_frac
    trail = next(t for t in plan.trails if t.demand_class == row.demand_class)
    items = {item.label: item for step in trail.steps for item in step.items}
    assert items["Steps planned (p80)"].value == row.planned_frac
    assert items["Performance model"].value == row.label


def overlay(tmp_path, text):
    (tmp_path / "corrections.yaml").write_text(text, encoding="utf-8")
    return tmp_path


ROW = """
{name}:
  {{accelerator: l40s, model: llama-3.1-8b, engine: {engine}, time_ratio: 1.2,
   band_low_frac: 0.9, band_high_frac: 1.1, points: 12, source: own runs, as_of: 2026-11-01,
   basis: measured}}
"""


def test_corrections_are_an_overlay(tmp_path):
    folder = overlay(tmp_path, ROW.format(name="l40s--llama-3.1-8b--vllm", engine="vllm"))
    assert load_catalog(folder).correction(*GROUP).time_ratio == 1.2
    assert load_catalog().correction(*GROUP) is None


@pytest.mark.parametrize(
    ("name", "engine", "words"),
    [
        ("mine", "vllm", "call it l40s--llama-3.1-8b--vllm"),
        ("l40s--llama-3.1-8b--vlm", "vlm", "did you mean 'vllm'"),
    ],
)
def test_corrections_that_would_not_be_found(tmp_path, name, engine, words):
    with pytest.raises(CatalogError, match=words):
        load_catalog(overlay(tmp_path, ROW.format(name=name, engine=engine)))
