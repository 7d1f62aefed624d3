import time

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import CatalogError
from planner.perf import calibrated, memory, step_time
from planner.perf.reduce import Lengths, reduce_to_replica
from planner.perf.replica import step_s
from planner.perf.shapes import Link
from planner.schema.catalog import Calibration
from tests.unit.serving_world import (
    BF16,
    CATALOG,
    DEEPSEEK_R1,
    LLAMA_8B,
    LLAMA_70B,
    calibration,
    changed,
    real,
    toy,
)

# 10 layers with 4 experts of 3 x 1000 x 100 weights, 2 a token, beside 1e9 dense weights.
MOE = {
    "experts": 4, "experts_per_token": 2, "moe_intermediate": 100, "moe_layers": 10,
    "total_params": 1.032e9, "active_params": 1.026e9, "active_params_excl_embedding": 1.016e9,
}  # fmt: skip


def terms(serving, prefill=0.0, decode=0.0, context=0.0, prefill_context=0.0):
    values = step_time.iteration_terms_s(
        serving, prefill_tokens=prefill, decode_sequences=decode, context_tokens=context,
        prefill_context_tokens=prefill_context,
    )  # fmt: skip
    return {name: float(value[0]) for name, value in values.items()}


def total(serving, prefill=0.0, decode=0.0, context=0.0, prefill_context=0.0):
    return step_time.iteration_s(
        serving, prefill_tokens=prefill, decode_sequences=decode, context_tokens=context,
        prefill_context_tokens=prefill_context,
    )  # fmt: skip


def test_decode_terms_by_hand():
    found = terms(toy(), decode=100, context=1000)
    # 1e9 weights x 2 bytes at 0.5 TB/s = 4 ms; arithmetic 2e9 x 100 at 1e15 x 0.5 x 1e4/(1e4+1e4)
    # = 0.8 ms; (4^4 + 0.8^4)^(1/4) = 4 (1 + 0.0016)^(1/4) = 4.0016 ms.
    assert found["dense"] == pytest.approx(4.0016e-3, rel=1e-5)
    # 1e7 x 2 bytes at 0.5 TB/s = 40 us; 2e7 x 100 FLOP at 0.5 PFLOP/s = 4 us.
    assert found["head"] == pytest.approx(40e-6, rel=1e-4)
    # 100 sequences x 1000 tokens x 4000 elements x 2 bytes = 800 MB at 0.5 TB/s.
    assert found["kv"] == pytest.approx(1.6e-3)
    # 100 tokens x 10 layers x 1000 x 2 bytes x 10 passes = 20 MB at 1 TB/s.
    assert found["elementwise"] == pytest.approx(20e-6)
    assert found["layers"] == pytest.approx(10 * 10e-6)
    assert found["step"] == pytest.approx(100e-6)
    assert found["sequences"] == pytest.approx(100 * 10e-6)
    for absent in ("experts", "prefill_attention", "all_reduce", "all_to_all", "hops"):
        assert found[absent] == 0.0
    assert total(toy(), decode=100, context=1000)[0] == pytest.approx(sum(found.values()))


def test_prefill_terms_by_hand():
    found = terms(toy(), prefill=1000, prefill_context=500)
    # Weights 4 ms, arithmetic 8 ms: 8 (1 + 1/16)^(1/4) = 8 x 1.015271.
    assert found["dense"] == pytest.approx(8.12217e-3, rel=1e-5)
    # 4 x 10 heads x 100 x 10 layers x 500 x 1000 = 2e10 FLOP at 0.5 PFLOP/s.
    assert found["prefill_attention"] == pytest.approx(40e-6)
    assert found["elementwise"] == pytest.approx(200e-6)
    # Uncaptured launches: 10 x (10 + 100) us.
    assert found["layers"] == pytest.approx(1.1e-3)
    # No prompt ends: only the head's weights are read.
    assert found["head"] == pytest.approx(40e-6)


def test_all_reduce_by_hand_over_each_link():
    for link, expected in ((Link.switch, 1.32e-3), (Link.mesh, 2.92e-3), (Link.pcie, 2.28e-3)):
        serving = toy(device={"link": link}, layout={"tensor_gpus": 4})
        # 1000 tokens x 1000 x 2 bytes, 1.5 times over the link; 10 layers, 2 each:
        # switch 6 us + 3 MB / 50 GB/s; mesh 6 us + 3 MB / (50 x 3/7); PCIe 14 us + 3 MB / 30.
        assert terms(serving, prefill=1000)["all_reduce"] == pytest.approx(expected)


def test_experts_by_hand():
    # One token touches 4 (1 - 0.5) = 2 experts of 3e5 weights in each of 10 layers: 12 MB.
    found = terms(toy(model=MOE), decode=1)
    assert found["experts"] == pytest.approx(12e6 / 0.5e12, rel=1e-4)
    # Permuted five times, activated once: 1 x 2 x 10 x 3 x (5 x 1000 + 100) x 2 bytes = 0.612 MB;
    # norms 0.2 MB.
    assert found["elementwise"] == pytest.approx(0.812e-6)
    # Routing of 4 experts costs 4/256 of that of 256.
    assert found["layers"] == pytest.approx(10 * 10e-6 + 10 * 20e-6 * 4 / 256)


def test_attention_groups_replace_an_all_reduce_by_dispatch_and_combine():
    layout = {"tensor_gpus": 4, "attention_groups": 2, "expert_groups": 4}
    found = terms(toy(model=MOE, layout=layout), decode=100)
    # 25 tokens a GPU to 2 GPUs each: 25 x 2 x 1000 x 3 bytes / 50 GB/s = 3 us; 20 us latency.
    assert found["all_to_all"] == pytest.approx(10 * 23e-6)
    # One all-reduce a layer in groups of 2: 5.5 us + 50 x 2000 bytes / 50 GB/s.
    assert found["all_reduce"] == pytest.approx(10 * 7.5e-6)


def test_latent_attention_may_be_compute_bound():
    mla = {"mla": True, "heads": 1000, "kv_lora_rank": 512, "qk_rope_dim": 64,
           "kv_elems_full": 5760}  # fmt: skip
    # 2 x 1000 x (576 + 512) FLOP x 10 layers x 1e5 tokens = 2.176e12 at 0.5 PFLOP/s = 4.352 ms;
    # reading 5760 x 2 bytes x 1e5 takes 2.304 ms. Not split by TP, while its arithmetic is.
    assert terms(toy(model=mla), decode=100, context=1000)["kv"] == pytest.approx(4.352e-3)
    four = toy(model=mla, layout={"tensor_gpus": 4})
    assert terms(four, decode=100, context=1000)["kv"] == pytest.approx(2.304e-3)


def test_pipeline_stages_run_micro_batches_and_hop():
    found = terms(toy(layout={"pipeline_stages": 2}), decode=100, context=1000)
    # 50 sequences in a micro-batch: half the cache in one pass; weights as without stages.
    assert found["kv"] == pytest.approx(0.8e-3)
    assert found["dense"] == pytest.approx(4e-3, rel=1e-3)
    # 2 x 10 us + 50 x 1000 x 2 bytes / 10 GB/s.
    assert found["hops"] == pytest.approx(30e-6)
    # 10 layers in 3 stages: the largest has 4, the pass is 12/10 as long.
    uneven = terms(toy(layout={"pipeline_stages": 3}), decode=3)
    assert uneven["layers"] == pytest.approx(1.2 * 100e-6)


def test_soft_maximum_of_zeros_is_zero():
    assert step_time.soft_maximum(0.0, 0.0) == 0.0


SIZES = st.floats(1, 512)


@settings(max_examples=50)
@given(prefill=st.floats(0, 8192), decode=SIZES, context=st.floats(1, 1e5), more=st.floats(1, 10))
def test_more_bandwidth_arithmetic_or_link_is_never_slower(prefill, decode, context, more):
    layout = {"tensor_gpus": 4, "pipeline_stages": 2}
    base = toy(model=MOE, layout=layout)
    slow = total(base, prefill, decode, context, context)
    for name in ("memory_bytes_per_s", "linear_flop_per_s", "expert_flop_per_s",
                 "bf16_flop_per_s", "link_bytes_per_s", "stage_bytes_per_s"):  # fmt: skip
        faster = changed(base, "device", **{name: getattr(base.device, name) * more})
        assert total(faster, prefill, decode, context, context) <= slow * (1 + 1e-12)


@settings(max_examples=50)
@given(prefill=st.floats(0, 8192), decode=SIZES, context=st.floats(1, 1e5), more=st.floats(0, 99))
def test_more_work_is_never_faster(prefill, decode, context, more):
    serving = toy(model=MOE, layout={"tensor_gpus": 4, "attention_groups": 2, "expert_groups": 2})
    least = total(serving, prefill, decode, context, context) * (1 - 1e-12)
    assert total(serving, prefill + more, decode, context, context) >= least
    assert total(serving, prefill, decode + more, context, context) >= least
    assert total(serving, prefill, decode, context + more, context + more) >= least


@pytest.mark.parametrize("tp", [2, 4, 8])
def test_tensor_parallel_over_pcie_is_slower_than_nvlink(tp):
    nvlink = real(LLAMA_70B, layout={"tensor_gpus": tp})
    pcie = changed(nvlink, "device", link=np.array([Link.pcie]), link_bytes_per_s=np.array([64e9]))
    assert total(pcie, 0, 64, 1000) > total(nvlink, 0, 64, 1000)
    assert total(pcie, 8192) > total(nvlink, 8192)


def test_llama_8b_decode_against_a_measurement():
    # Llama 3.1 8B bf16 on one H100, TensorRT-LLM, few clients: 7.42 ms per output token
    # (NVIDIA serving run in aiconfigurator-core 0.12.0, silicon_sample.csv, Apache-2.0).
    serving = real(LLAMA_8B, engine="trt")
    assert float(total(serving, 0, 4, 2000)[0]) == pytest.approx(7.42e-3, rel=0.15)


def test_candidates_and_loads_broadcast():
    serving = toy(3, device={"memory_bytes_per_s": [1e12, 2e12, 4e12]})
    grid = serving
    for part in ("architecture", "device", "layout", "format", "coefficients"):
        columns = {
            k: v[:, None] for k, v in vars(getattr(serving, part)).items() if "pcie" not in k
        }
        grid = changed(grid, part, **columns)
    decode = np.array([1.0, 10.0])
    found = total(grid, 0.0, decode, 1000.0)
    assert found.shape == (3, 2)
    for j, count in enumerate(decode):
        assert found[:, j] == pytest.approx(total(serving, 0.0, count, 1000.0))


# Calibration rows


def test_calibration_rows_are_sourced():
    rows = yaml.safe_load(CATALOG.read_text(encoding="utf-8"))
    parsed = {name: Calibration(**row) for name, row in rows.items()}
    assert len(parsed) > 50
    estimated = {name for name, row in parsed.items() if row.basis == "estimated"}
    assert "all_reduce_latency_cdna3_us" in estimated


def rates(engine="vllm", generation="hopper", precision="bf16", rows=None):
    found, labels = calibrated.coefficients(
        calibration() | (rows or {}), engine=[engine], generation=[generation],
        precision=[precision],
    )  # fmt: skip
    return found, labels[0]


def test_coefficients_by_hand():
    rows = {
        "layer_factor_blackwell": 0.7, "layer_cost_trt_us": 40.0, "layer_quantize_fp8_us": 9.0,
        "layer_quantize_fp8_trt_us": 5.0, "gemm_table_factor": 1.1,
        "gemm_flop_blackwell_fp8_frac": 0.5, "all_reduce_latency_factor": 1.2,
        "all_reduce_latency_blackwell_us": 7.5, "all_reduce_latency_blackwell_trt_us": 5.0,
        "layer_moe_vllm_us": 20.0, "layer_moe_trt_blackwell_us": 10.0,
    }  # fmt: skip
    found, label = rates("trt", "blackwell", "fp8", rows)
    # 0.7 x (40 + 5) us; 1.1 x 0.5; 5.0 us x 1.2 is the engine's own all-reduce.
    assert found.layer_s[0] == pytest.approx(31.5e-6)
    assert found.layer_moe_s[0] == pytest.approx(7e-6)
    assert found.linear_flop_frac[0] == pytest.approx(0.55)
    assert found.all_reduce_latency_s[0] == pytest.approx(6e-6)
    assert label == calibrated.CALIBRATED
    # vLLM has no all-reduce of its own on Blackwell: 7.5 us x 1.2; experts 0.7 x 20 us.
    other = rates("vllm", "blackwell", "fp8", rows)[0]
    assert other.all_reduce_latency_s[0] == pytest.approx(9e-6)
    assert other.layer_moe_s[0] == pytest.approx(14e-6)


def test_weights_unpacked_in_the_kernel_cost_a_share_of_its_rate():
    rows = {
        "gemm_table_factor": 1.0, "gemm_flop_hopper_bf16_frac": 0.8, "gemm_unpack_frac": 0.5,
    }  # fmt: skip
    found = rates("trt", "hopper", "w4", rows)[0]
    assert found.linear_flop_frac[0] == pytest.approx(0.4)
    assert rates("trt", "hopper", "bf16", rows)[0].linear_flop_frac[0] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("generation", "precision", "expected"),
    [
        ("hopper", "w4", calibrated.CALIBRATED),
        ("cdna3", "fp8", calibrated.CALIBRATED),
        ("cdna4", "fp8", calibrated.EXTRAPOLATED),
        ("ada", "fp8", calibrated.EXTRAPOLATED),
        ("blackwell-rtx", "fp4", calibrated.EXTRAPOLATED),
        ("blackwell-ultra", "fp4", calibrated.EXTRAPOLATED),
        ("ampere", "int8", calibrated.EXTRAPOLATED),
        ("hopper", "int8", calibrated.EXTRAPOLATED),
    ],
)
def test_inherited_values_are_labelled(generation, precision, expected):
    assert rates(generation=generation, precision=precision)[1] == expected


def test_unknown_names_are_refused():
    for wrong in ({"engine": "tgi"}, {"precision": "fp7"}, {"generation": "vera"}):
        with pytest.raises(CatalogError):
            rates(**wrong)


def test_a_missing_row_is_named():
    rows = calibration()
    del rows["stream_kv_frac"]
    with pytest.raises(CatalogError, match="stream_kv_frac"):
        calibrated.coefficients(rows, engine=["vllm"], generation=["hopper"], precision=["bf16"])


# Reduction to a replica


def replica_error(serving, prompt, output, fracs, prefills):
    lengths = Lengths(np.array([prompt]), np.array([output]))
    replica = reduce_to_replica(serving, lengths, kv_tokens=np.array([400_000.0]))
    errors = []
    for frac in fracs:
        decode = frac * replica.sequences_max
        for prefill in prefills:
            line = step_s(
                replica, prefill_tokens=prefill, decode_sequences=decode,
                kv_tokens=decode * lengths.context_tokens, prefill_context=prefill * prompt / 2,
            )  # fmt: skip
            exact = step_time.iteration_s(
                serving, prefill_tokens=prefill, decode_sequences=decode,
                context_tokens=lengths.context_tokens, prefill_context_tokens=prompt / 2,
                prompt_ends=prefill / prompt,
            )  # fmt: skip
            errors.append(float((line / exact - 1)[0]))
    return np.array(errors)


DENSE = {
    "8b": real(LLAMA_8B),
    "70b tp4": real(LLAMA_70B, layout={"tensor_gpus": 4}),
    "70b tp2 pp2": real(LLAMA_70B, layout={"tensor_gpus": 2, "pipeline_stages": 2}),
}
DEEPSEEK = real(
    DEEPSEEK_R1, layout={"tensor_gpus": 8, "expert_groups": 8}, precision="fp8",
    form=BF16 | {"linear_bytes": 1, "expert_bytes": 1},
    device={"linear_flop_per_s": 1979e12, "expert_flop_per_s": 1979e12},
)  # fmt: skip
RANGE = {"fracs": (0.25, 0.5, 0.75, 1.0), "prefills": (0.0, 256.0, 1024.0, 4096.0, 8192.0)}


@pytest.mark.parametrize(
    ("name", "worst"), [("8b", 0.10), ("70b tp4", 0.14), ("70b tp2 pp2", 0.24)]
)
@pytest.mark.parametrize(("prompt", "output"), [(300.0, 150.0), (1000.0, 300.0), (4000.0, 500.0)])
def test_replica_follows_the_iteration_of_dense_models(name, worst, prompt, output):
    errors = replica_error(DENSE[name], prompt, output, **RANGE)
    assert np.median(np.abs(errors)) < 0.03
    assert errors.min() > -0.01
    assert errors.max() < worst


def test_replica_follows_the_iteration_of_mixtures_and_errs_slow():
    errors = replica_error(DEEPSEEK, 1000.0, 300.0, **RANGE)
    assert np.median(np.abs(errors)) < 0.08
    assert errors.min() > -0.05
    assert errors.max() < 0.30


def test_replica_without_cache_runs_nothing():
    lengths = Lengths(np.array([1000.0]), np.array([300.0]))
    replica = reduce_to_replica(DENSE["8b"], lengths, kv_tokens=np.array([0.0]))
    assert replica.sequences_max[0] == 0
    assert np.isfinite(replica.weights_s[0])


def test_replica_respects_engine_limit_and_cache():
    # 400,000 tokens over 1000 + 0.6 x 300 = 338.98 sequences; the engine's own limit is 256.
    lengths = Lengths(np.array([1000.0]), np.array([300.0]))
    few = reduce_to_replica(DENSE["8b"], lengths, kv_tokens=np.array([400_000.0]))
    many = reduce_to_replica(
        DENSE["8b"], lengths, kv_tokens=np.array([400_000.0]), sequences_max=1024.0
    )
    assert few.sequences_max[0] == 256
    assert many.sequences_max[0] == 338


@pytest.mark.slow
def test_candidate_evaluation_is_fast():
    n = 100_000
    serving = toy(n, model=MOE, layout={"tensor_gpus": 4})
    start = time.process_time()
    memory.weight_bytes_per_gpu(
        architecture=serving.architecture, layout=serving.layout, form=serving.format
    )
    total(serving, np.full(n, 512.0), np.full(n, 64.0), np.full(n, 1000.0), np.full(n, 500.0))
    assert n / (time.process_time() - start) > 200_000
