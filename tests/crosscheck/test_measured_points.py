"""Predicted against measured time per output token, on public closed-loop benchmark points.

The points are not part of the repository; without them the comparison is skipped. The fit used
these points: the figures are in-sample, and the thresholds guard the implementation.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from planner.perf import memory
from planner.perf.calibrated import coefficients
from planner.perf.closed_loop import Traffic, closed_loop
from planner.perf.shapes import Architecture, Device, Format, Layout, Serving

ROOT = Path(__file__).parents[2]
POINTS = ROOT.parent / "shared" / "measured" / "points_dev.csv"
ROWS = ROOT / "catalogs" / "calibration" / "step_time.yaml"

# layers, hidden, heads, kv heads, head dim, vocab, intermediate, parameters: config.json.
MODELS = {
    "llama3-70b": (80, 8192, 64, 8, 128, 128_256, 28_672, 70.554e9),
    "llama3-8b": (32, 4096, 32, 8, 128, 128_256, 14_336, 8.030e9),
    "qwen3-32b": (64, 5120, 64, 8, 128, 151_936, 25_600, 32.762e9),
    "qwen3-8b": (36, 4096, 32, 8, 128, 151_936, 12_288, 8.191e9),
}
# generation, bytes that the driver reports, bytes/s, bf16, fp8, fp4 FLOP/s, link bytes/s
DEVICES = {
    "H100-SXM-80GB": ("hopper", 79.18 * 2**30, 3.35e12, 989e12, 1979e12, 0.0, 450e9),
    "H200-SXM-141GB": ("hopper", 141e9, 4.8e12, 989e12, 1979e12, 0.0, 450e9),
    "B200-SXM-180GB": ("blackwell", 179 * 2**30, 7.7e12, 2250e12, 4500e12, 9000e12, 900e9),
}
# precision of the calibration, bytes a weight, column of DEVICES with its peak
PRECISIONS = {"bf16": ("bf16", 2.0, 3), "fp8": ("fp8", 1.0, 4), "nvfp4": ("fp4", 0.5625, 5)}
INFERENCEX_LENGTH = 0.9  # its lengths are drawn from 0.8-1.0 of the nominal ones


def engine_of(name):
    return "vllm" if "vLLM" in name else "sgl" if "SGLang" in name else "trt"


def points():
    if not POINTS.exists():
        pytest.skip(f"no measured points at {POINTS}")
    rows = pd.read_csv(POINTS)
    keep = (rows.load_kind == "closed_loop") & (rows["mode"] == "concurrency")
    keep &= rows.trust.isin(["A", "B"]) & rows.itl_or_tpot_ms.notna()
    keep &= rows.model_family.isin(MODELS) & rows.hardware.isin(DEVICES)
    keep &= rows.weight_precision.isin(PRECISIONS)
    return rows[keep].assign(engine_name=rows.engine.map(engine_of))


def architecture(rows):
    table = np.array([MODELS[name] for name in rows.model_family], float)
    layers, hidden, heads, kv_heads, head_dim, vocab, intermediate, params = table.T
    known = {
        "layers": layers, "hidden": hidden, "heads": heads, "kv_heads": kv_heads,
        "head_dim": head_dim, "vocab": vocab, "intermediate": intermediate,
        "full_layers": layers, "kv_elems_full": 2 * layers * kv_heads * head_dim,
        "total_params": params, "active_params": params,
        "active_params_excl_embedding": params - vocab * hidden,
        "mla": np.zeros(len(rows), bool), "tied": np.zeros(len(rows), bool),
    }  # fmt: skip
    zeros = np.zeros(len(rows))
    return Architecture(**{f.name: known.get(f.name, zeros) for f in fields(Architecture)})


def serving_of(rows):
    n = len(rows)
    device = [DEVICES[name] for name in rows.hardware]
    precision = [PRECISIONS[name] for name in rows.weight_precision]
    peak = np.array([one[p[2]] for one, p in zip(device, precision, strict=True)])
    numbers = np.array([one[1:] for one in device])
    weight = np.array([p[1] for p in precision])
    inferencex = rows.source.str.startswith("inferencex").to_numpy()
    small = rows.weight_precision.isin(["fp8", "nvfp4"]).to_numpy()
    engine = rows.engine_name.to_numpy()
    # Not published: TensorRT-LLM and InferenceX's vLLM keep an fp8 cache with fp8 or fp4 weights.
    kv_fp8 = small & ((engine == "trt") | ((engine == "vllm") & inferencex))
    rates, _ = coefficients(
        {name: row["value"] for name, row in yaml.safe_load(ROWS.read_text()).items()},
        engine=engine.tolist(),
        generation=[one[0] for one in device],
        precision=[p[0] for p in precision],
    )
    groups = rows.dp.fillna(1).to_numpy(float)
    return Serving(
        architecture(rows),
        Device(
            memory_bytes=numbers[:, 0], memory_bytes_per_s=numbers[:, 1], linear_flop_per_s=peak,
            expert_flop_per_s=peak, bf16_flop_per_s=numbers[:, 2], link=np.zeros(n, int),
            link_bytes_per_s=numbers[:, 5], domain_gpus=np.full(n, 8.0),
            stage_bytes_per_s=numbers[:, 5],
        ),
        Layout(rows.tp.to_numpy(float), rows.pp.fillna(1).to_numpy(float), np.ones(n), groups),
        Format(weight, weight, np.zeros(n, bool), np.where(kv_fp8, 1.0, 2.0), np.full(n, 2.0)),
        rates,
    )  # fmt: skip


def traffic_of(rows, serving):
    inferencex = rows.source.str.startswith("inferencex").to_numpy()
    scale = np.where(inferencex, INFERENCEX_LENGTH, 1.0)
    prompt, output = rows.isl.to_numpy() * scale, rows.osl.to_numpy() * scale
    parts = {"architecture": serving.architecture, "layout": serving.layout}
    calibration = {name: row["value"] for name, row in yaml.safe_load(ROWS.read_text()).items()}
    reserve = memory.reserve_of(calibration)
    pool = memory.kv_pool_bytes(
        memory_bytes=serving.device.memory_bytes,
        usable_frac=reserve.usable_frac,
        weight_bytes=memory.weight_bytes_per_gpu(**parts, form=serving.format),
        reserve_bytes=memory.reserve_bytes(
            **parts, reserve=reserve, budget_tokens=8192.0, sequences_max=256.0
        ),
    )
    held = memory.sequence_bytes_per_gpu(
        **parts, form=serving.format, context_tokens=prompt + 0.6 * output
    )
    room = memory.sequences_fit(
        pool_bytes=pool, sequence_bytes=held, attention_groups=serving.layout.attention_groups
    )
    separate = rows.engine_name.to_numpy() == "sgl"
    # Share of requests that restart together, fitted: lengths vary in InferenceX; with equal
    # lengths a prefill-first scheduler keeps them together.
    waves = np.where(inferencex, 0.12, np.where(separate, 0.70, 0.23))
    return Traffic(
        clients=rows.concurrency_or_qps.to_numpy(float), prompt_tokens=prompt,
        output_tokens=output, sequences_max=np.maximum(room, 1.0),
        budget_tokens=np.full(len(rows), 8192.0), waves_frac=waves, separate_prefill=separate,
    )  # fmt: skip


def summary(errors):
    return (
        f"n {len(errors):4d}  median {np.median(np.abs(errors)):6.1%}  "
        f"p90 {np.quantile(np.abs(errors), 0.9):6.1%}  bias {np.median(errors):+6.1%}"
    )


@pytest.fixture(scope="module")
def predicted():
    rows = points().reset_index(drop=True)
    serving = serving_of(rows)
    operation = closed_loop(serving, traffic_of(rows, serving))
    tpot = operation.tpot_s * 1e3 / rows.itl_or_tpot_ms - 1
    return rows.assign(tpot_error=tpot, ttft_s=operation.ttft_s, decode=operation.decode_sequences)


def test_dense_models_within_fifteen_percent(predicted, capsys):
    with capsys.disabled():
        for key in ("model_family", "hardware", "engine_name", "weight_precision"):
            for name, group in predicted.groupby(key):
                line = summary(group.tpot_error.to_numpy())
                print(f"\nTPOT {key:16s} {name:16s} {line}", end="")  # noqa: T201
        print(f"\nTPOT {'all':33s} {summary(predicted.tpot_error.to_numpy())}")  # noqa: T201
    errors = predicted.tpot_error.abs()
    assert len(predicted) > 500
    assert errors.median() < 0.15
    assert errors.quantile(0.9) < 0.40


@pytest.mark.parametrize("model", MODELS)
def test_each_model_within_fifteen_percent(predicted, model):
    assert predicted[predicted.model_family == model].tpot_error.abs().median() < 0.15


@pytest.mark.parametrize("hardware", DEVICES)
def test_each_device_within_fifteen_percent(predicted, hardware):
    assert predicted[predicted.hardware == hardware].tpot_error.abs().median() < 0.15


def test_configurations_are_ranked_as_measured(predicted):
    # Output tokens per second and GPU over configurations of one model and lengths, by the
    # time a sequence takes; groups of six or more.
    ranks = []
    for _, group in predicted.groupby(["source", "model", "isl", "osl"]):
        if len(group) < 6:
            continue
        answer = group.ttft_ms / 1e3 + (group.osl - 1) * group.itl_or_tpot_ms / 1e3
        measured = group.concurrency_or_qps * group.osl / answer / group.n_gpus
        tpot_s = (1 + group.tpot_error) * group.itl_or_tpot_ms / 1e3
        model = group.concurrency_or_qps * group.osl / group.n_gpus
        model = model / (group.ttft_s + (group.osl - 1) * tpot_s)
        ranks.append(measured.corr(model, method="spearman"))
    assert len(ranks) >= 5
    assert np.median(ranks) >= 0.95


def test_the_loop_holds_its_clients(predicted):
    # Little's law: decoding + waiting for the first token = clients, where all of them run.
    rows = predicted
    serving = serving_of(rows)
    traffic = traffic_of(rows, serving)
    found = closed_loop(serving, traffic)
    answer_s = found.ttft_s + (traffic.output_tokens - 1) * found.tpot_s
    held = found.requests_per_s * answer_s
    inside = (
        found.decode_sequences
        < 0.999 * traffic.budget_tokens * (traffic.output_tokens - 1) / traffic.prompt_tokens
    )
    assert inside.sum() > 500
    assert held[inside] == pytest.approx(traffic.clients[inside], rel=1e-3)
