"""The fit recovers the coefficients that made the points; its bands cover what they promise."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from planner.calibrate.accuracy import coverage, errors_by, figures, ranks
from planner.calibrate.crossval import bands_from, folds_of
from planner.calibrate.fit import blocks_of, fit, group_of
from planner.calibrate.parameters import PARAMETERS, Parameter
from planner.calibrate.points import Refused, points_of, with_checkpoints
from planner.calibrate.rows import fitted_rows, text_of
from planner.calibrate.score import Outcome, score
from planner.files.catalog import load_catalog

ROW = {
    "source": "synthetic", "model": "Llama-3.3-70B", "weight_precision": "fp8", "engine": "vLLM",
    "isl": "1024", "osl": "512", "load_kind": "closed_loop", "mode": "concurrency",
    "itl_or_tpot_ms": "20", "ttft_ms": "200", "trust": "A",
}  # fmt: skip


@pytest.fixture(scope="module")
def catalog():
    return with_checkpoints(load_catalog())


@pytest.fixture(scope="module")
def calibration(catalog):
    return {name: row.value for name, row in catalog.calibration.items()}


@pytest.fixture(scope="module")
def points(catalog):
    rows = [
        ROW | {"id": f"{gpu}-{model}-{tp}-{n}", "hardware": gpu, "model": model, "tp": str(tp),
               "n_gpus": str(tp), "concurrency_or_qps": str(n)}
        for gpu in ("H100-SXM-80GB", "H200-SXM-141GB")
        for model in ("Llama-3.3-70B", "Qwen3-32B", "Llama-3.1-8B")
        for tp in (2, 4, 8)
        for n in (1, 4, 16, 64, 128)
    ]  # fmt: skip
    found, refused = points_of(rows, catalog)
    assert not refused
    return found


def measured_as(points, catalog, calibration, noise=0.0, seed=1):
    """The points with what the model says at a calibration in place of measurements."""
    rng = np.random.default_rng(seed)
    outcome = score(points, catalog, calibration)
    said = {(s.point.id, s.metric): s.predicted for s in outcome.scores}
    return [
        replace(
            p,
            tpot_ms=said[p.id, "tpot"] * np.exp(noise * rng.standard_normal()),
            ttft_ms=said[p.id, "ttft"] * np.exp(noise * rng.standard_normal()),
        )
        for p in points
    ]


LOOSE = (
    Parameter("layer_cost_vllm_us", 50.0, 2.0, 5, 500),
    Parameter("stream_fp8_frac", 0.8, 1.0, 0.3, 1.0),
)


def test_the_fit_finds_the_coefficients_that_made_the_points(points, catalog, calibration):
    truth = calibration | {"layer_cost_vllm_us": 77.0, "stream_fp8_frac": 0.66}
    made = measured_as(points, catalog, truth, noise=0.02)
    found = fit(blocks_of(made, catalog), calibration, parameters=LOOSE)
    assert found["layer_cost_vllm_us"] == pytest.approx(77.0, rel=0.05)
    assert found["stream_fp8_frac"] == pytest.approx(0.66, rel=0.05)
    assert {k for k in found if found[k] != calibration[k]} <= {p.name for p in LOOSE}


def test_a_few_wild_points_do_not_move_the_fit(points, catalog, calibration):
    made = measured_as(points, catalog, calibration | {"layer_cost_vllm_us": 77.0}, noise=0.02)
    wild = [replace(p, tpot_ms=p.tpot_ms * 8) if i % 15 == 0 else p for i, p in enumerate(made)]
    found = fit(blocks_of(wild, catalog), calibration, parameters=LOOSE)
    assert found["layer_cost_vllm_us"] == pytest.approx(77.0, rel=0.15)


def test_what_the_points_do_not_touch_goes_to_its_prior(points, catalog, calibration):
    # No SGLang among the points: its layer cost is the prior's.
    alone = (Parameter("layer_cost_sgl_us", 61.0, 0.3, 10, 200),)
    made = measured_as(points, catalog, calibration)
    found = fit(blocks_of(made, catalog), calibration, parameters=alone)
    assert found["layer_cost_sgl_us"] == pytest.approx(61.0, rel=1e-3)


def test_trust_c_is_not_fitted(points, catalog):
    doubtful = [replace(p, trust="C") for p in points]
    assert blocks_of(doubtful, catalog) == []


def test_folds_hold_out_whole_groups(points):
    folds = folds_of(points, 3)
    assert set(folds) == {group_of(p) for p in points}
    # Six groups of 15 points in three folds: two each.
    assert sorted(list(folds.values()).count(i) for i in range(3)) == [2, 2, 2]


def test_bands_cover_four_of_five(points, catalog, calibration):
    many = [p for seed in range(8) for p in measured_as(points, catalog, calibration, 0.25, seed)]
    outcome = score(many, catalog, calibration)
    # Mixtures of experts are needed for their rows; any points of them do.
    moe, _ = points_of(
        [ROW | {"hardware": "H200-SXM-141GB", "model": "gpt-oss-120b", "weight_precision": "mxfp4",
                "tp": "2", "id": str(n), "concurrency_or_qps": str(n),
                "output_tok_s_total": str(n * 60)} for n in (1, 2, 4)], catalog)  # fmt: skip
    dense = [replace(p, throughput_tok_s=1000.0) for p in points[:3]]
    extra = score([*moe, *dense], catalog, calibration)
    plain = tuple(replace(s, rules=()) for s in extra.scores)
    both = Outcome((*outcome.scores, *plain), (), ())
    rows, counts = bands_from(both, catalog, calibration)
    ratio = np.array([s.measured / s.predicted for s in outcome.scores if s.metric == "tpot"])
    low, high = rows["band_tpot_dense_low_frac"], rows["band_tpot_dense_high_frac"]
    assert counts["band_tpot_dense_low_frac"] >= len(ratio)
    assert np.mean((low <= ratio) & (ratio <= high)) == pytest.approx(0.8, abs=0.02)
    # Log-normal errors of 0.25: 10 % lie below exp(-1.2816 x 0.25) = 0.726.
    assert low == pytest.approx(0.726, abs=0.03)


def test_errors_are_what_they_say(points, catalog, calibration):
    exact = score(measured_as(points, catalog, calibration), catalog, calibration)
    tpot = [s for s in exact.scores if s.metric == "tpot"]
    # Measurements 10 % above, 20 % below and equal in turn: errors -9.1 %, +25 %, 0.
    shift = (1.1, 0.8, 1.0)
    moved = [replace(s, measured=s.measured * shift[i % 3]) for i, s in enumerate(tpot)]
    found = figures(moved)
    assert found["rows"] == 90
    assert found["median_abs_frac"] == pytest.approx(1 - 1 / 1.1)
    assert found["p90_abs_frac"] == pytest.approx(0.25)
    assert found["bias_frac"] == pytest.approx(0.0, abs=1e-9)
    table = errors_by(moved)["tpot"]
    assert sum(f["rows"] for f in table["hardware"].values()) == 90
    assert ranks(tpot)["tpot"]["median"] == pytest.approx(1.0)


def test_coverage_counts_trusted_rows(points):
    out = [Refused("x", "why", "A"), Refused("y", "why", "C")]
    found = coverage(points, out)
    assert (found["rows"], found["predicted"]) == (91, 90)


def test_at_most_sixty_numbers_are_fitted():
    assert len(PARAMETERS) <= 60
    assert len({p.name for p in PARAMETERS}) == len(PARAMETERS)
    assert all(p.low < p.prior < p.high or p.prior in (p.low, p.high) for p in PARAMETERS)


def test_every_fitted_row_is_in_the_catalog(calibration):
    assert {p.name for p in PARAMETERS} <= set(calibration)


def test_written_rows_are_read_back(tmp_path, catalog, calibration):
    values = calibration | {"layer_cost_vllm_us": 61.25}
    rows = fitted_rows(
        catalog.calibration, values, PARAMETERS, source="own runs", rows=12, spread=0.1,
        today=date(2026, 11, 21),
    )  # fmt: skip
    (tmp_path / "calibration").mkdir()
    (tmp_path / "calibration" / "own.yaml").write_text(text_of(rows))
    read = load_catalog(tmp_path).calibration
    assert read["layer_cost_vllm_us"].value == 61.25
    assert read["layer_cost_vllm_us"].source == "own runs"
    assert "12 rows" in read["layer_cost_vllm_us"].note
    # What is not fitted keeps its source.
    assert read["step_cost_us"].source == catalog.calibration["step_cost_us"].source
