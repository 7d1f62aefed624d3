"""Which configurations exist, and the reason of every one that does not."""

import re

import pytest

from planner.candidates.enumerate import ANY, Configuration, configurations, recovery
from planner.schema.catalog import RecoveryPoint
from tests.small_world import CHAT, catalog, scenario, with_rows


def listed(model="llama-3.1-70b", accelerator="h100-sxm", rows=None, floor=0.98, **supply):
    """Configurations of one model on one accelerator."""
    wanted = {
        "options": ["on_demand"], "accelerators": [accelerator], "quantizations": "all",
        "kv_dtypes": ["bf16", "fp8"], "tp_max": 8, **supply,
    }  # fmt: skip
    question = scenario(demand=[{**CHAT, "models": [model], "quality_floor": floor}], supply=wanted)
    return configurations(question, rows or catalog())


def reasons(found, **fields):
    """Reasons of the configurations with these fields."""
    return {
        c.reason for c in found if all(getattr(c, name) == value for name, value in fields.items())
    }


def layouts(found):
    return {c.layout for c in found if not c.reason}


@pytest.mark.parametrize(
    ("accelerator", "native"), [("b200-sxm", True), ("b300-sxm", True), ("h100-sxm", False)]
)
def test_nvfp4_is_native_on_blackwell_and_weight_only_before(accelerator, native):
    open_ = [c for c in listed(accelerator=accelerator) if c.quantization == "nvfp4"]
    served = [c for c in open_ if not c.reason]
    assert served
    assert {c.native for c in served} == {native}


def test_nvfp4_does_not_run_on_amd():
    found = listed(accelerator="mi300x")
    refused = [c for c in found if c.quantization == "nvfp4"]
    # One row stands for the family: no cache format, engine or layout is spelled out.
    assert len(refused) == 1
    assert refused[0].reason.endswith("does not run on cdna3")
    assert (refused[0].kv_dtype, refused[0].engine, refused[0].mode) == (ANY, ANY, ANY)


def test_fp8_on_ampere_is_stored_only():
    served = [c for c in listed(accelerator="a100-80-sxm", quantizations=["fp8"]) if not c.reason]
    assert served
    assert not any(c.native for c in served)


def point(size, kept):
    return RecoveryPoint(params_b_min=size, recovery_frac=kept)


def test_quality_floor_multiplies_weights_and_cache():
    rows = with_rows("quantizations", int4_awq={"recovery": (point(0, 0.98),)},
                     kv_fp8={"recovery": (point(0, 0.995),)})  # fmt: skip
    found = listed(rows=rows, quantizations=["int4-awq"])
    # 0.98 x 1 = 0.98, just the floor; 0.98 x 0.995 = 0.9751 < 0.98.
    assert reasons(found, kv_dtype="bf16") == {""}
    assert {c.recovery_frac for c in found if c.kv_dtype == "bf16"} == {0.98}
    refused = [c for c in found if c.kv_dtype == "fp8"]
    assert [c.reason for c in refused] == ["keeps 0.975 of the quality, floor 0.98"]
    assert refused[0].recovery_frac == pytest.approx(0.9751)
    assert reasons(listed(rows=rows, quantizations=["int4-awq"], floor=0.975), kv_dtype="fp8") == {
        ""
    }


@pytest.mark.parametrize(("size_b", "kept"), [(6.99, 0.94), (7.0, 0.98), (70.6, 0.98), (600, 0.99)])
def test_recovery_is_that_of_the_largest_size_reached(size_b, kept):
    row = catalog().quantizations["int4-awq"].model_copy(
        update={"recovery": (point(7, 0.98), point(600, 0.99), point(0, 0.94))}
    )  # fmt: skip
    model = catalog().models["llama-3.1-8b"].model_copy(update={"total_params_b": size_b})
    assert recovery("int4-awq", row, model) == kept


def test_recovery_without_a_point_for_so_small_a_model_is_nothing():
    row = catalog().quantizations["fp8"].model_copy(update={"recovery": (point(30, 0.99),)})
    assert recovery("fp8", row, catalog().models["llama-3.1-8b"]) == 0.0


def test_weights_released_in_a_format_keep_everything_in_it():
    model = catalog().models["gpt-oss-120b"]
    assert recovery("mxfp4", catalog().quantizations["mxfp4"], model) == 1.0


@pytest.mark.parametrize("accelerator", ["h100-sxm", "b200-sxm", "mi355x"])
def test_gpt_oss_is_served_as_released_only(accelerator):
    found = listed("gpt-oss-120b", accelerator)
    assert {c.quantization for c in found if not c.reason} == {"mxfp4"}
    assert "weights are released in mxfp4" in "".join(reasons(found, quantization="bf16"))
    assert "weights are released in mxfp4" in "".join(reasons(found, quantization="int4-gptq"))


def test_deepseek_released_in_fp8_is_never_stored_in_bf16():
    found = listed("deepseek-r1", "h200-sxm")
    assert "bf16" not in {c.quantization for c in found if not c.reason}
    fp8 = [c for c in found if c.quantization == "fp8" and c.kv_dtype == "bf16" and not c.reason]
    assert {c.recovery_frac for c in fp8} == {1.0}


def test_experts_format_is_meaningless_for_a_dense_model():
    assert "the model is dense" in reasons(listed(), quantization="int4-experts").pop()


def test_heads_that_do_not_divide():
    # Qwen2.5 7B has 28 heads: 28 / 8 is no whole number, 28 / 4 = 7 is.
    found = listed("qwen2.5-7b", quantizations=["bf16"], pp_max=1)
    assert layouts(found) == {"tp1", "tp2", "tp4"}
    assert reasons(found, tp=8) == {"28 heads do not divide by TP 8"}


def test_experts_over_all_gpus_of_a_replica_for_mixtures_only():
    moe = listed("gpt-oss-120b", quantizations=["mxfp4"], pp_max=1)
    assert layouts(moe) == {"tp1", "tp2", "tp2ep2", "tp4", "tp4ep4", "tp8", "tp8ep8"}
    assert layouts(listed(quantizations=["fp8"], pp_max=1)) == {"tp1", "tp2", "tp4", "tp8"}


def test_latent_attention_may_run_data_parallel():
    mla = listed("deepseek-r1", "h200-sxm", quantizations=["fp8"], pp_max=1)
    parallel = [c for c in mla if c.dp > 1]
    assert {c.layout for c in parallel} == {"tp1dp2ep2", "tp1dp4ep4", "tp1dp8ep8"}
    assert {c.gpus for c in parallel} == {2, 4, 8}
    assert not [c for c in listed("gpt-oss-120b", quantizations=["mxfp4"]) if c.dp > 1]


@pytest.mark.parametrize(
    ("accelerator", "tp_max", "most"),
    [
        ("h100-sxm", 16, 8),  # the node and its domain end at 8
        ("h100-sxm", 4, 4),  # what the scenario allows
        ("l40s", 16, 8),  # no fast link: the node over PCIe
        ("h100-pcie", 16, 8),  # pairs are bridged, the node has 8
        ("gb200-nvl72", 16, 16),  # the domain is 72, the tray 4
        ("gb200-nvl72", 72, 64),
    ],
)
def test_tensor_parallel_reach(accelerator, tp_max, most):
    found = listed("llama-3.1-405b", accelerator, quantizations=["fp8"], tp_max=tp_max, pp_max=1)
    assert max(c.tp for c in found) == most


def test_stages_multiply_accelerators():
    found = listed(quantizations=["fp8"], tp_max=8, pp_max=2)
    assert {c.gpus for c in found if c.pp == 2} == {2, 4, 8, 16}
    assert {c.layout for c in found if c.gpus == 16} == {"tp8pp2"}


def test_more_stages_than_layers():
    shallow = catalog().models["llama-3.1-8b"].model_copy(update={"layers": 3})
    rows = catalog().model_copy(update={"models": {"shallow": shallow}})
    found = listed("shallow", rows=rows, quantizations=["fp8"], tp_max=1, pp_max=4)
    assert reasons(found, pp=4) == {"3 layers, PP 4"}
    assert reasons(found, pp=2) == {""}


def test_an_excluded_accelerator_has_one_row():
    found = listed(accelerator="tpu-v5p")
    assert len(found) == 1
    why = catalog().accelerators["tpu-v5p"].excluded_because
    assert why
    assert found[0].reason == f"excluded: {why}"


def test_engine_refusals_name_the_engine():
    found = listed(accelerator="mi300x", engines=["tensorrt-llm", "lmdeploy", "vllm"],
                   quantizations=["fp8"])  # fmt: skip
    assert reasons(found, engine="tensorrt-llm") == {"TensorRT-LLM does not run on AMD"}
    assert all(r.startswith("excluded: ") for r in reasons(found, engine="lmdeploy"))
    assert "" in reasons(found, engine="vllm")


def test_engine_without_the_format_or_the_mode():
    found = listed(engines=["tensorrt-llm"], quantizations=["int8-w8a8"], kv_dtypes=["bf16"])
    assert reasons(found) == {"TensorRT-LLM does not serve int8-w8a8"}
    rows = with_rows("engines", vllm={"modes": ("chunked",)})
    found = listed(rows=rows, engines=["vllm"], quantizations=["fp8"], modes=["continuous"])
    assert {r.split(" has ")[1] for r in reasons(found)} == {"no continuous batching"}


def test_engine_without_the_cache_format():
    found = listed(engines=["sglang"], quantizations=["fp8"], kv_dtypes=["int8"], floor=0.9)
    assert [r for r in reasons(found) if r.endswith("has no int8 KV cache")]


def test_cache_format_that_the_generation_has_not():
    found = listed(accelerator="mi300x", quantizations=["fp8"], kv_dtypes=["int8"], floor=0.9)
    assert reasons(found) == {"no int8 KV cache on cdna3"}


def test_reasons_are_short_and_names_unique():
    found = listed("deepseek-r1", "h200-sxm", kv_dtypes=["bf16", "fp8", "int8"],
                   engines=["vllm", "tensorrt-llm", "sglang", "ollama"])  # fmt: skip
    found += listed("llama-3.1-8b", "gb200-nvl72")
    names = [c.name("chat") for c in found]
    assert len(set(names)) == len(names)
    for reason in {c.reason for c in found} - {""}:
        assert len(reason) < 120, reason
        assert not re.search(r"[\[\]{}<>]|None|nan", reason), reason


def test_name_reads_from_class_to_mode():
    one = Configuration(0, "m", "h100-sxm", "fp8", "bf16", "vllm", tp=2, pp=2, mode="chunked")
    assert one.name("chat") == "chat/m/h100-sxm/fp8+kv-bf16/vllm/tp2pp2/chunked"


def test_classes_are_numbered_as_written():
    second = {**CHAT, "name": "other", "models": ["llama-3.1-70b"]}
    found = configurations(scenario(demand=[CHAT, second]), catalog())
    assert {(c.demand_class, c.model) for c in found} == {(0, "llama-3.1-8b"), (1, "llama-3.1-70b")}
