"""Own measurements as an overlay: a slower device is planned slower, from command to plan."""

import csv
import json
import math
from datetime import date

import pytest
from click.testing import CliRunner

from planner.calibrate.overlay import overlay_of, shrunk
from planner.calibrate.points import points_of, with_checkpoints
from planner.calibrate.score import score
from planner.candidates import evaluate as model
from planner.candidates.traffic import traffic
from planner.cli.calibrate_overlay import command
from planner.errors import ScenarioError
from planner.files.catalog import load_catalog
from tests import small_world
from tests.small_world import scenario

SLOWER = 1.2
ROW = {
    "source": "own runs", "hardware": "L40S", "model": "Llama-3.1-8B", "weight_precision": "fp8",
    "engine": "vLLM", "isl": "1024", "osl": "512", "trust": "A", "itl_or_tpot_ms": "10",
    "measured_date": "2026-11-02",
}  # fmt: skip
CLOSED = [
    {**ROW, "id": f"c{tp}-{n}", "tp": str(tp), "n_gpus": str(tp), "load_kind": "closed_loop",
     "concurrency_or_qps": str(n)}
    for tp in (1, 2) for n in (1, 2, 4, 8, 16, 24, 32, 48)
]  # fmt: skip
OPEN = [
    {**ROW, "id": f"o{rate}", "tp": "1", "n_gpus": "1", "load_kind": "poisson_qps",
     "concurrency_or_qps": str(rate)}
    for rate in (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
]  # fmt: skip


def slow_device(rows, ratio=SLOWER):
    """Rows as a device would measure them whose every step lasts `ratio` times as long.

    Such a device in a closed loop is this one with every time stretched; the path outside the
    engine, which is not stretched, is no part of the time per output token.
    """
    catalog = with_checkpoints(load_catalog())
    points, refused = points_of(rows, catalog)
    assert not refused
    calibration = {name: row.value for name, row in catalog.calibration.items()}
    said = {
        s.point.id: s.predicted
        for s in score(points, catalog, calibration).scores
        if s.metric == "tpot"
    }
    return [row | {"itl_or_tpot_ms": str(ratio * said[row["id"]])} for row in rows]


def table_of(tmp_path, rows):
    path = tmp_path / "points.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
        writer.writeheader()
        writer.writerows(rows)
    return path


def ran(tmp_path, rows, *more):
    points, folder = table_of(tmp_path, rows), tmp_path / "mine"
    words = [str(points), "-o", str(folder), *more]
    done = CliRunner().invoke(command, words, catch_exceptions=False)
    return folder, done


def test_a_device_20_percent_slower_is_planned_20_percent_slower(tmp_path):
    folder, _ = ran(tmp_path, slow_device(CLOSED), "--source", "bench of the lab")
    mine = load_catalog(folder)
    row = mine.correction("l40s", "llama-3.1-8b", "vllm")
    assert row.time_ratio == pytest.approx(SLOWER, rel=0.02)
    assert (row.points, row.source, row.as_of.isoformat()) == (16, "bench of the lab", "2026-11-02")
    question = scenario(planning={"load_blocks": 2, "plan_at": "p50"})
    load = traffic(question, mine)
    before = model.evaluate(question, small_world.catalog(), load)
    after = model.evaluate(question, mine, load)
    assert after.decode_step_s == pytest.approx(SLOWER * before.decode_step_s, rel=0.02)
    assert after.stability_rps == pytest.approx(before.stability_rps / SLOWER, rel=0.02)
    assert after.labels == ("measured",)
    assert after.band_high_frac < before.band_high_frac


def test_the_corrected_model_predicts_the_slow_device(tmp_path):
    rows = slow_device(CLOSED)
    folder, _ = ran(tmp_path, rows)
    mine = with_checkpoints(load_catalog(folder))
    calibration = {name: row.value for name, row in mine.calibration.items()}
    points, _ = points_of(rows, mine)
    scores = [s for s in score(points, mine, calibration).scores if s.metric == "tpot"]
    assert {s.label for s in scores} == {"measured"}
    assert all(abs(s.error) < 0.02 and s.covered for s in scores)


def test_open_loops_find_the_step_behind_the_latency(tmp_path):
    # Where arrivals are given, batches grow with the step: latency rises by more than the step.
    made = overlay_of(
        table_of(tmp_path, slow_device(CLOSED)), load_catalog(), source="own",
        today=date(2026, 11, 1),
    )  # fmt: skip
    truth = load_catalog().model_copy(update={"corrections": made.rows})
    catalog = with_checkpoints(truth)
    points, _ = points_of(OPEN, catalog)
    calibration = {name: row.value for name, row in catalog.calibration.items()}
    said = {s.point.id: s.predicted for s in score(points, catalog, calibration).scores}
    rows = [row | {"itl_or_tpot_ms": str(said[row["id"]])} for row in OPEN]
    found = overlay_of(
        table_of(tmp_path, rows), load_catalog(), source="own",
        today=date(2026, 11, 1),
    )  # fmt: skip
    true_ratio = next(iter(made.rows.values())).time_ratio
    assert found.found[0].median_ratio == pytest.approx(true_ratio, rel=0.005)


def test_few_and_scattered_points_move_little():
    # One point counts as one: within^2 = (5 x 0.11^2) / 6 = 0.010083, between^2 = 0.0279;
    # 0.0279 / (0.0279 + 0.010083) = 0.7345.
    one, left = shrunk([math.log(1.2)], packaged_spread=0.2)
    assert one == pytest.approx(0.7345 * math.log(1.2), rel=1e-3)
    many, narrower = shrunk([math.log(1.2)] * 100, packaged_spread=0.2)
    assert one < many < math.log(1.2)
    assert narrower < left < 0.2
    scattered, wide = shrunk([math.log(1.2) + x for x in (-0.6, -0.3, 0.0, 0.3, 0.6)],
                             packaged_spread=0.2)  # fmt: skip
    assert scattered < one
    assert wide > left


def test_one_wild_point_does_not_decide(tmp_path):
    rows = slow_device(CLOSED)
    rows[0]["itl_or_tpot_ms"] = str(5 * float(rows[0]["itl_or_tpot_ms"]))
    folder, _ = ran(tmp_path, rows)
    row = load_catalog(folder).correction("l40s", "llama-3.1-8b", "vllm")
    assert row.time_ratio == pytest.approx(SLOWER, rel=0.02)


def test_rows_of_other_groups_stay(tmp_path):
    ran(tmp_path, slow_device(CLOSED))
    other = [row | {"engine": "SGLang"} for row in CLOSED]
    folder, done = ran(tmp_path, slow_device(other, 0.9), "--json")
    assert len(load_catalog(folder).corrections) == 2
    said = json.loads(done.stdout)
    assert [row["engine"] for row in said["corrections"]] == ["sglang"]


def test_bad_rows_are_named_and_the_rest_used(tmp_path):
    rows = [*slow_device(CLOSED), {**CLOSED[0], "id": "bad", "hardware": "X999"}]
    folder, done = ran(tmp_path, rows)
    assert "not used, bad: unknown accelerator 'X999'" in done.stderr
    assert load_catalog(folder).corrections


def test_a_table_that_tells_no_step_time(tmp_path):
    rows = [{**ROW, "id": "t", "tp": "1", "load_kind": "closed_loop", "concurrency_or_qps": "4",
             "itl_or_tpot_ms": "", "ttft_ms": "80"}]  # fmt: skip
    with pytest.raises(ScenarioError, match="no row tells the step time"):
        ran(tmp_path, rows)
