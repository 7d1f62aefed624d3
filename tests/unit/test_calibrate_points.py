"""Rows of measured tables become points, or are refused one by one with a reason."""

import json
import math

import pytest
from click.testing import CliRunner

from planner.calibrate import naming
from planner.calibrate.points import (
    CLOSED,
    EXPERTS_ONLY,
    OFFLINE,
    OPEN,
    SPLIT,
    STATIC,
    points_of,
    read_points,
    with_checkpoints,
)
from planner.cli.accuracy import command
from planner.errors import ScenarioError
from planner.files.catalog import load_catalog

GOOD = {
    "id": "a", "source": "own runs", "hardware": "H200-SXM-141GB", "model": "Llama-3.3-70B",
    "weight_precision": "fp8", "engine": "vLLM", "tp": "2", "n_gpus": "2", "isl": "1024",
    "osl": "512", "load_kind": "closed_loop", "mode": "concurrency",
    "concurrency_or_qps": "16", "itl_or_tpot_ms": "16.0", "ttft_ms": "200", "trust": "A",
}  # fmt: skip


@pytest.fixture(scope="module")
def catalog():
    return with_checkpoints(load_catalog())


def one(catalog, **changes):
    points, refused = points_of([GOOD | changes], catalog)
    assert not refused, refused
    return points[0]


def reason(catalog, **changes):
    # A good row beside the bad one is still read.
    points, refused = points_of([GOOD | changes, GOOD], catalog)
    assert [p.id for p in points] == ["a"]
    assert len(refused) == 1
    return refused[0].reason


def test_a_row_is_read(catalog):
    point = one(catalog)
    assert point.config.accelerator == "h200-sxm"
    assert point.config.model == "llama-3.3-70b"
    assert (point.config.tp, point.config.dp, point.replicas) == (2, 1, 1)
    assert (point.kind, point.load, point.tpot_ms, point.ttft_ms) == (CLOSED, 16, 16.0, 200)
    assert math.isnan(point.throughput_tok_s)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("H100-SXM-80GB", "h100-sxm"),
        ("GH200-96GB", "gh200-96"),
        ("GH200-144GB", "gh200-144"),
        ("A100-PCIe-80GB", "a100-80-pcie"),
        ("A100-SXM-40GB", "a100-40-sxm"),
        ("NVIDIA RTX PRO 6000 Blackwell", "rtx-pro-6000-bw-server"),
        ("MI355X-288GB", "mi355x"),
        ("l40s", "l40s"),
        ("H1000-SXM", None),
    ],
)
def test_accelerators_are_recognized(catalog, text, row):
    assert naming.accelerator_of(text, catalog) == row


@pytest.mark.parametrize(
    ("text", "family", "row"),
    [
        ("meta-llama/Llama-3.1-405B-FP8", "", "llama-3.1-405b"),
        ("amd/Llama-3.1-405B-Instruct-FP8-KV", "", "llama-3.1-405b"),
        ("/workspace/DeepSeek-R1-0528", "", "deepseek-r1"),
        ("Qwen3-30B-A3B-Instruct-2507", "", "qwen3-30b-a3b"),
        ("Mixtral-8x7B-Instruct-v0.1", "", "mixtral-8x7b"),
        ("Llama-4-Scout-17B-16E", "", "llama-4-scout-109b-a17b"),
        ("Llama-2-70B-chat", "", "llama-2-70b"),
        ("our fine-tune", "llama3-8b", "llama-3.1-8b"),
        ("Llama-9-70B", "", None),
    ],
)
def test_models_are_recognized(catalog, text, family, row):
    assert naming.model_of(text, family, naming.model_names(catalog)) == row


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hardware": "H1000"}, "unknown accelerator 'H1000'; nearest: h100"),
        ({"model": "Llama-9-70B"}, "unknown model 'Llama-9-70B'; nearest: llama-"),
        ({"engine": "TGI"}, "unknown engine 'TGI'"),
        ({"weight_precision": "ternary"}, "unknown weight_precision 'ternary'"),
        ({"weight_precision": ""}, "missing weight_precision"),
        ({"isl": ""}, "missing isl"),
        ({"isl": "long"}, "isl: expected a number, found 'long'"),
        ({"tp": "64", "n_gpus": "64"}, "64 GPUs share a layer; h200-sxm joins 8 at most"),
        ({"tp": "0"}, "tp: expected a whole number above 0"),
        ({"tp": "8", "n_gpus": "4"}, "n_gpus 4 is no multiple of tp 8"),
        ({"ep": "4"}, "has no experts"),
        ({"itl_or_tpot_ms": "-3"}, "itl_or_tpot_ms: expected above 0, found -3"),
        ({"itl_or_tpot_ms": "0"}, "itl_or_tpot_ms: expected above 0, found 0"),
        ({"itl_or_tpot_ms": "16000000"}, "microseconds?"),
        ({"ttft_ms": "0.2"}, "mixed units?"),
        ({"output_tok_s_total": "500000"}, "mixed units?"),
        ({"concurrency_or_qps": ""}, "missing concurrency_or_qps"),
        ({"load_kind": "sometimes"}, "load_kind 'sometimes'"),
        ({"itl_or_tpot_ms": "", "ttft_ms": ""}, "nothing measured"),
        ({"hardware": "A100-SXM-80GB", "weight_precision": "mxfp4"}, "Llama"),
    ],
)
def test_bad_rows_are_refused_alone(catalog, changes, words):
    if words == "Llama":  # stored and unpacked: slow, and possible
        assert one(catalog, **changes).config.native is False
        return
    assert words in reason(catalog, **changes)


def test_kinds_of_load(catalog):
    assert one(catalog, load_kind="inf", concurrency_or_qps="inf").kind == OFFLINE
    assert one(catalog, load_kind="poisson_qps", concurrency_or_qps="3.5").kind == OPEN
    assert one(catalog, load_kind="qps", concurrency_or_qps="inf").kind == OFFLINE
    assert one(catalog, load_kind="static_batch").kind == STATIC
    burst = one(catalog, load_kind="burst_500_at_once", concurrency_or_qps="inf")
    assert (burst.kind, burst.requests) == (OFFLINE, 500)


def test_disaggregated_layouts(catalog):
    row = {"mode": "disaggregated", "tp": "", "n_gpus": ""}
    text = "prefill 5x(tp1,dp8,ep8) + decode 1x(tp1,dp8,ep8)"
    moe = {"model": "deepseek-ai/DeepSeek-R1"}
    point = one(catalog, disagg_layout=text, **row, **moe)
    assert (point.kind, point.replicas, point.decode_replicas) == (SPLIT, 5, 1)
    assert point.decode.dp == 8
    short = one(catalog, disagg_layout="3P1D TP2 each, NIXL", **row, **moe)
    assert (short.replicas, short.decode_replicas, short.config.tp) == (3, 1, 2)
    assert "not stated" in reason(catalog, disagg_layout="1P1D", **row, **moe)


def test_replicas_of_a_dense_model_share_the_load(catalog):
    # Eight GPUs in groups of two: four replicas.
    assert one(catalog, n_gpus="8", dp="4").replicas == 4


def test_checkpoints_of_experts_leave_attention_alone(catalog):
    blackwell = {"hardware": "B200-SXM-180GB", "weight_precision": "nvfp4"}
    assert one(catalog, model="DeepSeek-R1", **blackwell).config.quantization == EXPERTS_ONLY
    assert one(catalog, model="Qwen3-235B-A22B", **blackwell).config.quantization == "nvfp4"
    assert one(catalog, model="gpt-oss-120b", **blackwell).config.quantization == "mxfp4"


def test_inferencex_lengths_are_nine_tenths_of_nominal(catalog):
    point = one(catalog, source="inferencex-api")
    assert point.input_tokens == pytest.approx(921.6)  # 0.9 x 1024
    assert point.output_tokens == pytest.approx(460.8)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "hardware,model\n"])
def test_files_that_are_no_points(tmp_path, catalog, text):
    path = tmp_path / "points.csv"
    path.write_text(text)
    with pytest.raises(ScenarioError):
        read_points(path, catalog)


def test_a_missing_file(tmp_path, catalog):
    with pytest.raises(ScenarioError, match="not a readable CSV"):
        read_points(tmp_path / "none.csv", catalog)


def test_the_command_prints_tables_and_writes_json(tmp_path):
    path, out = tmp_path / "points.csv", tmp_path / "accuracy.json"
    rows = [GOOD, GOOD | {"id": "b", "hardware": "H1000"}]
    lines = [",".join(GOOD), *(",".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines))
    done = CliRunner().invoke(command, [str(path), "--json", str(out)])
    assert done.exit_code == 0, done.output
    assert "unknown accelerator 'H1000'" in done.output
    found = json.loads(out.read_text())
    assert [(r["id"], r["metric"]) for r in found["rows"]] == [("a", "tpot"), ("a", "ttft")]
    assert [r["id"] for r in found["refused"]] == ["b"]
    tpot = found["rows"][0]
    assert tpot["low"] < tpot["predicted"] < tpot["high"]
    # 70e9 weights in fp8 over 2 x 4.8 TB/s are 7.3 ms; a step adds 80 layers of 50-100 us.
    assert 7.3 + 4 < tpot["predicted"] < 7.3 + 16


def test_a_row_that_quotes_twice_its_own_rate_describes_one_of_two_replicas(catalog):
    # The source's 184.85 tok/s count input and output of 128 + 2048: 174 of output, twice the
    # 86.99 of the row.
    row = {
        "load_kind": "offline_batch", "mode": "offline", "isl": "128", "osl": "2048", "dp": "2",
        "n_gpus": "4", "concurrency_or_qps": "4", "itl_or_tpot_ms": "", "ttft_ms": "",
        "output_tok_s_total": "86.99",
    }  # fmt: skip
    quoted = one(catalog, **row, notes="source gives total tok/s=184.849684")
    assert (quoted.replicas, quoted.load) == (1, 4)
    assert one(catalog, **row, notes="source gives total tok/s=92.42").replicas == 2
    assert one(catalog, **row).replicas == 2


def test_early_stacks_are_slower_by_another_factor_with_experts(catalog):
    moe = {"model": "deepseek-r1", "tp": "8", "n_gpus": "8"}
    assert one(catalog, source="dstack-h100").traits.pace == "pace_early"
    assert one(catalog, source="dstack-h100", **moe).traits.pace == "pace_early_moe"
