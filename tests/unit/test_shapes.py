"""The one conversion from vendor units to base units."""

from dataclasses import fields

import numpy as np
import pytest

from planner.candidates.enumerate import Configuration, configurations
from planner.candidates.shapes import serving, usable_memory_bytes
from planner.perf.calibrated import coefficients
from planner.perf.shapes import Link
from tests.small_world import CHAT, catalog, scenario, with_rows


def one(accelerator="h100-sxm", model="llama-3.1-70b", quantization="fp8", rows=None, **more):
    given = {"kv_dtype": "bf16", "engine": "vllm", "mode": "chunked", **more}
    config = Configuration(0, model, accelerator, quantization, **given)
    shaped, _ = serving([config], rows or catalog())
    return shaped


def test_h100_in_base_units():
    rows = with_rows("accelerators", h100_sxm={
        "memory_tb_per_s": 3.35, "bf16_tflop_per_s": 989.0, "fp8_tflop_per_s": 1979.0,
        "scaleup_gb_per_s": 450.0, "memory_usable_gib": 79.65,
    })  # fmt: skip
    device = one(tp=8, rows=rows).device
    assert device.memory_bytes_per_s[0] == 3.35e12
    assert device.linear_flop_per_s[0] == pytest.approx(1.979e15)
    assert device.bf16_flop_per_s[0] == pytest.approx(9.89e14)
    assert device.link_bytes_per_s[0] == 4.5e11
    assert device.memory_bytes[0] == pytest.approx(79.65 * 1024**3)
    assert (device.link[0], device.domain_gpus[0]) == (Link.switch, 8)


def test_unknown_usable_memory_is_the_makers_figure():
    h100 = catalog().accelerators["h100-sxm"]
    unknown = h100.model_copy(update={"memory_usable_gib": None, "memory_gb": 80.0})
    assert usable_memory_bytes(unknown) == 8e10


def test_group_within_the_domain_uses_its_link():
    device = one("h100-pcie", tp=2).device
    assert (device.link[0], device.link_bytes_per_s[0]) == (Link.switch, 3e11)


def test_group_beyond_the_domain_uses_pcie():
    # H100 PCIe are bridged in pairs; four share the host link of 64 GB/s.
    device = one("h100-pcie", tp=4).device
    assert (device.link[0], device.link_bytes_per_s[0]) == (Link.pcie, 6.4e10)


def test_attention_data_parallel_shares_the_link_too():
    device = one("h100-pcie", "deepseek-r1", dp=4, ep=4).device
    assert device.link[0] == Link.pcie


def test_card_without_a_fast_link_uses_pcie():
    device = one("l40s", tp=2).device
    assert (device.link[0], device.link_bytes_per_s[0]) == (Link.pcie, 3.2e10)


def test_point_to_point_links_are_a_mesh():
    device = one("mi300x", tp=8).device
    assert (device.link[0], device.link_bytes_per_s[0]) == (Link.mesh, 4.48e11)


@pytest.mark.parametrize(
    ("accelerator", "tp", "rate"),
    [
        ("gb200-nvl72", 16, 9e11),  # 32 of 72: inside the domain
        ("h100-sxm", 4, 4.5e11),  # 8 of 8
        ("l40s", 2, 3.2e10),  # 4 of a node of 8: PCIe
        ("h100-sxm", 8, 5e10),  # two nodes: 400 Gbit/s are 50 GB/s
        ("h100-nvl", 8, 5e10),  # no port in the catalog: 400 Gbit/s assumed
    ],
)
def test_link_between_two_stages(accelerator, tp, rate):
    assert catalog().accelerators["h100-nvl"].scaleout_gbit_per_s is None
    assert one(accelerator, tp=tp, pp=2).device.stage_bytes_per_s[0] == rate


def assert_calibrated_as(shaped, generation, precision, expert):
    expected, _ = coefficients(
        {name: row.value for name, row in catalog().calibration.items()},
        engine=["vllm"], generation=[generation], precision=[precision], expert_precision=[expert],
    )  # fmt: skip
    for field in fields(expected):
        given = getattr(shaped.coefficients, field.name)
        np.testing.assert_array_equal(given, getattr(expected, field.name), err_msg=field.name)


def test_four_bits_stored_only_compute_in_bf16():
    shaped = one(quantization="nvfp4", native=False)
    assert shaped.format.linear_bytes[0] == 0.5625  # 4.5 bits
    assert shaped.device.linear_flop_per_s[0] == shaped.device.bf16_flop_per_s[0]
    assert_calibrated_as(shaped, "hopper", "w4", "w4")


def test_eight_bits_stored_only():
    shaped = one("a100-80-sxm", native=False)
    assert shaped.device.linear_flop_per_s[0] == pytest.approx(3.12e14)
    assert_calibrated_as(shaped, "ampere", "w8", "w8")


def test_native_four_bits_compute_in_fp4():
    shaped = one("b200-sxm", quantization="nvfp4")
    peak = catalog().accelerators["b200-sxm"].fp4_tflop_per_s
    assert shaped.device.linear_flop_per_s[0] == peak * 1e12
    assert_calibrated_as(shaped, "blackwell", "fp4", "fp4")


def test_format_of_experts_leaves_the_rest_in_bf16():
    shaped = one("b200-sxm", "gpt-oss-120b", "mxfp4", kv_dtype="fp8")
    assert (shaped.format.linear_bytes[0], shaped.format.expert_bytes[0]) == (2.0, 0.53125)
    assert shaped.format.kv_bytes[0] == 1.0
    assert shaped.format.expert_padded[0]
    assert shaped.device.linear_flop_per_s[0] == shaped.device.bf16_flop_per_s[0]
    assert shaped.device.expert_flop_per_s[0] > shaped.device.bf16_flop_per_s[0]
    assert_calibrated_as(shaped, "blackwell", "bf16", "mxfp4")


def test_model_in_base_units():
    architecture = one(model="llama-3.1-405b").architecture
    assert architecture.total_params[0] == pytest.approx(405.853e9)
    assert (architecture.layers[0], architecture.kv_heads[0]) == (126, 8)
    # Cache elements of a token: 2 x 126 layers x 8 heads x 128.
    assert architecture.kv_elems_full[0] == 258_048


def test_layout_counts_all_gpus_of_a_layer():
    layout = one("h200-sxm", "deepseek-r1", dp=8, ep=8).layout
    assert (layout.tensor_gpus[0], layout.attention_groups[0], layout.expert_groups[0]) == (8, 8, 8)
    layout = one(tp=4, pp=2).layout
    assert (layout.tensor_gpus[0], layout.pipeline_stages[0]) == (4, 2)


@pytest.mark.parametrize("model", ["llama-3.1-70b", "gpt-oss-120b", "deepseek-r1"])
def test_every_open_configuration_has_every_device_figure(model):
    question = scenario(
        demand=[{**CHAT, "models": [model], "quality_floor": 0.9}],
        supply={"accelerators": "all", "quantizations": "all", "kv_dtypes": ["bf16", "fp8", "int8"],
                "engines": ["vllm", "tensorrt-llm", "sglang"], "tp_max": 16, "pp_max": 2},
    )  # fmt: skip
    open_ = [c for c in configurations(question, catalog()) if not c.reason]
    shaped, labels = serving(open_, catalog())
    assert len(labels) == len(open_)
    for part in (shaped.device, shaped.format, shaped.layout):
        for field in fields(part):
            bad = ~np.isfinite(np.asarray(getattr(part, field.name), float))
            if field.name == "link_bytes_per_s":
                bad &= np.array([c.tp * c.dp > 1 for c in open_])
            missing = [open_[i].name("chat") for i in np.flatnonzero(bad)]
            assert not missing, (field.name, missing[:3])
