"""Each kind of benchmark load against its conservation laws."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from planner.calibrate import predict
from planner.calibrate.cases import bandwidth_bound_s, cases_of, sequences_fit
from planner.calibrate.plots import sweeps, write_plots
from planner.calibrate.points import points_of, with_checkpoints
from planner.calibrate.score import score
from planner.errors import ScenarioError
from planner.files.catalog import load_catalog

ROW = {
    "id": "a", "source": "own", "hardware": "H200-SXM-141GB", "model": "Llama-3.3-70B",
    "weight_precision": "fp8", "engine": "vLLM", "tp": "4", "n_gpus": "4", "isl": "1024",
    "osl": "512", "trust": "A", "output_tok_s_total": "1000",
}  # fmt: skip


@pytest.fixture(scope="module")
def catalog():
    return with_checkpoints(load_catalog())


@pytest.fixture(scope="module")
def calibration(catalog):
    return {name: row.value for name, row in catalog.calibration.items()}


def cases(catalog, **changes):
    points, refused = points_of([ROW | changes], catalog)
    assert not refused, refused
    return cases_of(points, catalog)


def closed(catalog, n, **changes):
    return cases(catalog, load_kind="closed_loop", concurrency_or_qps=str(n), **changes)


def test_closed_loop_keeps_littles_law(catalog, calibration):
    found = predict.closed(closed(catalog, 32), calibration)
    answer_s = found.ttft_s[0] + 511 * found.tpot_s[0]
    assert found.throughput_tok_s[0] == pytest.approx(32 * 512 / answer_s, rel=1e-4)


def test_a_loop_near_its_root_is_the_loop(catalog, calibration):
    one = closed(catalog, 32)
    base = predict.closed(one, calibration)
    moved = calibration | {"layer_cost_vllm_us": calibration["layer_cost_vllm_us"] * 1.02}
    whole, near = predict.closed(one, moved), predict.closed(one, moved, near=base.sequences)
    assert near.tpot_s == pytest.approx(whole.tpot_s, rel=1e-5)
    assert whole.tpot_s[0] > base.tpot_s[0]


def test_replicas_share_clients_and_add_throughput(catalog, calibration):
    one = predict.closed(closed(catalog, 32), calibration)
    two = predict.closed(closed(catalog, 64, n_gpus="8", dp="2"), calibration)
    assert two.tpot_s == pytest.approx(one.tpot_s)
    assert two.throughput_tok_s == pytest.approx(2 * one.throughput_tok_s)


def test_a_slower_clock_stretches_every_time(catalog, calibration):
    slow = replace(closed(catalog, 32), paces=("pace_early",))
    rows = calibration | {"pace_early": 2.0, "request_cost_ms": 1e-9}
    base = predict.closed(closed(catalog, 32), rows)
    found = predict.closed(slow, rows)
    assert found.tpot_s == pytest.approx(2 * base.tpot_s, rel=1e-6)
    assert found.ttft_s == pytest.approx(2 * base.ttft_s, rel=1e-6)
    assert found.throughput_tok_s == pytest.approx(base.throughput_tok_s / 2, rel=1e-6)


def test_steps_that_a_server_holds_requests_back_delay_the_first_token(catalog, calibration):
    plain = closed(catalog, 4)
    late = replace(plain, hold_steps=np.array([15.0]))
    a, b = predict.closed(plain, calibration), predict.closed(late, calibration)
    assert b.ttft_s - a.ttft_s == pytest.approx(15 * a.tpot_s)


def test_engines_compiled_ahead_pay_no_eager_prefill(catalog, calibration):
    plain = cases(catalog, load_kind="static_batch", concurrency_or_qps="1")
    ahead = replace(plain, eager_frac=np.array([0.0]))
    a, b = predict.static(plain, calibration), predict.static(ahead, calibration)
    # One step with prefill, 80 layers of Llama 70B.
    spared_s = 80 * calibration["layer_prefill_us"] * 1e-6
    assert a.ttft_s - b.ttft_s == pytest.approx(spared_s)
    assert b.tpot_s == pytest.approx(a.tpot_s)


def test_static_batch_by_its_parts(catalog, calibration):
    found = predict.static(
        cases(catalog, load_kind="static_batch", concurrency_or_qps="64"), calibration
    )
    request_s = calibration["request_cost_ms"] / 1e3
    total_s = found.ttft_s[0] - request_s + 511 * found.tpot_s[0]
    assert found.throughput_tok_s[0] == pytest.approx(64 * 512 / total_s)
    # 64 x 1024 tokens x 2 x 70e9 FLOP over 4 x 1979e12 FLOP/s at 0.4-0.6 of the peak: 1.9-2.9 s,
    # and collectives and element-wise passes on top.
    assert 1.9 < found.ttft_s[0] < 5


def test_open_loop_below_its_limit_serves_what_arrives(catalog, calibration):
    found = predict.open_loop(
        cases(catalog, load_kind="poisson_qps", concurrency_or_qps="1.5"), calibration
    )
    assert found.throughput_tok_s[0] == pytest.approx(1.5 * 512)
    # Little: decoding sequences = rate x (O-1) x TPOT.
    assert found.sequences[0] == pytest.approx(1.5 * 511 * found.tpot_s[0], rel=1e-4)
    assert 0 < found.load_frac[0] < 1


def test_open_loop_above_its_limit_serves_the_limit(catalog, calibration):
    rate = {"load_kind": "qps", "tp": "4"}
    far = predict.open_loop(cases(catalog, concurrency_or_qps="500", **rate), calibration)
    farther = predict.open_loop(cases(catalog, concurrency_or_qps="900", **rate), calibration)
    assert far.throughput_tok_s == pytest.approx(farther.throughput_tok_s, rel=1e-3)
    assert far.load_frac[0] > 1
    # How long requests wait depends on how many came: not said, not predicted.
    assert np.isnan(far.ttft_s[0])


def test_offline_throughput_lies_below_the_closed_loop_at_capacity(catalog, calibration):
    queued = cases(catalog, load_kind="inf", concurrency_or_qps="inf")
    found = predict.offline(queued, calibration)
    room = float(sequences_fit(queued, calibration)[0])
    loop = predict.closed(closed(catalog, min(room, predict.BATCH_MAX)), calibration)
    assert 0.5 * loop.throughput_tok_s[0] < found.throughput_tok_s[0] < loop.throughput_tok_s[0]


def test_disaggregated_decode_is_not_interrupted(catalog, calibration):
    points, _ = points_of(
        [ROW | {"load_kind": "closed_loop", "mode": "disaggregated", "tp": "", "n_gpus": "",
                "concurrency_or_qps": "32", "disagg_layout": "1P1D TP4", "ttft_ms": "500",
                "itl_or_tpot_ms": "10", "output_tok_s_total": ""}], catalog)  # fmt: skip
    outcome = score(points, catalog, calibration)
    split = next(s for s in outcome.scores if s.metric == "tpot")
    mixed = predict.closed(closed(catalog, 32), calibration)
    assert split.predicted < mixed.tpot_s[0] * 1e3
    assert split.gpus == 8


def test_no_step_beats_the_memory(catalog, calibration):
    one = closed(catalog, 1)
    # Weights without input embedding: 68.5e9 of linear layers in 1.00125 bytes and 1.05e9 of
    # head in 2, over 4 x 4.8 TB/s: 3.68 ms.
    assert bandwidth_bound_s(one)[0] == pytest.approx(3.68e-3, rel=0.01)
    assert predict.closed(one, calibration).tpot_s[0] > 3.68e-3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tp": "1", "n_gpus": "1", "model": "Llama-3.1-405B"}, "do not fit into the memory"),
        ({"itl_or_tpot_ms": "1.2", "ttft_ms": "30"}, "memory delivers the weights in"),
        ({"model": "gpt-oss-120b", "weight_precision": "mxfp4", "ep": "3"}, "expert parallelism"),
        ({"itl_or_tpot_ms": "15000", "ttft_ms": "900000"}, "another unit?"),
    ],
)
def test_impossible_rows_are_refused_and_the_rest_scored(catalog, calibration, changes, words):
    row = ROW | {"load_kind": "closed_loop", "concurrency_or_qps": "8", "output_tok_s_total": "",
                 "itl_or_tpot_ms": "12", "ttft_ms": "200"}  # fmt: skip
    points, refused = points_of([row | changes | {"id": "bad"}, row], catalog)
    assert not refused
    outcome = score(points, catalog, calibration)
    assert [r.id for r in outcome.refused] == ["bad"]
    assert words in outcome.refused[0].reason
    assert {s.point.id for s in outcome.scores} == {"a"}


def test_plots_need_their_extra(monkeypatch, tmp_path, catalog, calibration):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ScenarioError, match=r"pip install .*\[plots\]"):
        write_plots([], tmp_path, catalog, calibration)


def run_at(*loads, **changes):
    return [
        ROW | {"id": f"n{n}", "load_kind": "closed_loop", "concurrency_or_qps": str(n),
               "itl_or_tpot_ms": "12", "ttft_ms": "200", "output_tok_s_total": ""} | changes
        for n in loads
    ]  # fmt: skip


def test_plots_are_written(tmp_path, catalog, calibration):
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    points, _ = points_of(run_at(2, 4, 8, 16), catalog)
    scores = score(points, catalog, calibration).scores
    written = write_plots(scores, tmp_path / "plots", catalog, calibration)
    assert [path.name for path in written] == ["tpot.png", "ttft.png", "latency_throughput.png"]
    assert all(path.stat().st_size > 5000 for path in written)


def test_curves_are_of_one_run_at_several_loads(catalog, calibration):
    rows = [*run_at(2, 4, 8, 16), *run_at(2, 4, 8, tp="8", n_gpus="8")]
    points, _ = points_of(rows, catalog)
    scores = score(points, catalog, calibration).scores
    (sweep,) = sweeps(scores, catalog, calibration)
    # 2 clients whose answers of 512 tokens take 0.2 + 511 x 0.012 = 6.332 s: 161.7 tokens/s on
    # four GPUs.
    assert sweep.measured[0] == pytest.approx((161.718 / 4, 12.0), rel=1e-4)
    own = {s.point.load: s.predicted for s in scores if s.metric == "tpot" and s.gpus == 4}
    assert sweep.tpot_ms[0] == pytest.approx(own[2], rel=1e-6)
    assert sweep.tpot_ms[-1] == pytest.approx(own[16], rel=1e-6)


def test_too_few_loads_make_no_curve(catalog, calibration):
    points, _ = points_of(run_at(2, 4, 8), catalog)
    assert sweeps(score(points, catalog, calibration).scores, catalog, calibration) == []
