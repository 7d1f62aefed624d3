"""Candidates for tests: a toy with round numbers, and public models on public devices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from planner.perf.calibrated import coefficients
from planner.perf.shapes import (
    Architecture,
    Coefficients,
    Device,
    Format,
    Layout,
    Link,
    Serving,
)

CATALOG = Path(__file__).parents[2] / "catalogs" / "calibration" / "step_time.yaml"


def calibration():
    rows = yaml.safe_load(CATALOG.read_text(encoding="utf-8"))
    return {name: float(row["value"]) for name, row in rows.items()}


def arrays(kind, values, n=1):
    flags = {"mla", "tied", "expert_padded"}
    cast = {name: bool if name in flags else int if name == "link" else float for name in values}
    return kind(**{k: np.array(np.broadcast_to(v, n), cast[k]) for k, v in values.items()})


NONE = {
    "intermediate": 0, "window_layers": 0, "window_tokens": 0, "linear_layers": 0,
    "kv_elems_window": 0, "state_elems": 0, "mla": False, "kv_lora_rank": 0, "qk_rope_dim": 0,
    "qk_nope_dim": 0, "v_head_dim": 0, "experts": 0, "experts_per_token": 0,
    "moe_intermediate": 0, "moe_layers": 0, "tied": False,
}  # fmt: skip


def dense(  # noqa: PLR0917
    layers, hidden, heads, kv_heads, head_dim, vocab, intermediate, params
):
    """A model without experts, windows or latents; params in all, input embedding included."""
    return NONE | {
        "layers": layers, "hidden": hidden, "heads": heads, "kv_heads": kv_heads,
        "head_dim": head_dim, "vocab": vocab, "intermediate": intermediate,
        "full_layers": layers, "kv_elems_full": 2 * layers * kv_heads * head_dim,
        "total_params": params, "active_params": params,
        "active_params_excl_embedding": params - vocab * hidden,
    }  # fmt: skip


# 10 layers of 1e8 weights, head and embedding of 1e7 each; 4000 cache elements a token.
TOY = dense(10, 1000, 10, 2, 100, 10_000, 4000, 1.02e9)
# Configurations and parameter counts as published in the models' config.json.
LLAMA_8B = dense(32, 4096, 32, 8, 128, 128_256, 14_336, 8.030e9)
LLAMA_70B = dense(80, 8192, 64, 8, 128, 128_256, 28_672, 70.554e9)
QWEN3_32B = dense(64, 5120, 64, 8, 128, 151_936, 25_600, 32.762e9)
QWEN3_06B = dense(28, 1024, 16, 8, 128, 151_936, 3072, 0.596e9) | {
    "tied": True, "active_params_excl_embedding": 0.596e9,
}  # fmt: skip
MISTRAL_24B = dense(40, 5120, 32, 8, 128, 131_072, 32_768, 23.572e9)
GPT_OSS_120B = dense(36, 2880, 64, 8, 64, 201_088, 0, 116.829e9) | {
    "full_layers": 18, "window_layers": 18, "window_tokens": 128,
    "kv_elems_full": 18_432, "kv_elems_window": 18_432,
    "experts": 128, "experts_per_token": 4, "moe_intermediate": 2880, "moe_layers": 36,
    "active_params": 5.712e9, "active_params_excl_embedding": 5.133e9,
}  # fmt: skip
GPT_OSS_20B = GPT_OSS_120B | {
    "layers": 24, "full_layers": 12, "window_layers": 12, "kv_elems_full": 12_288,
    "kv_elems_window": 12_288, "experts": 32, "moe_layers": 24,
    "total_params": 20.915e9, "active_params": 4.187e9, "active_params_excl_embedding": 3.608e9,
}  # fmt: skip
DEEPSEEK_R1 = dense(61, 7168, 128, 128, 192, 129_280, 18_432, 671.026e9) | {
    "mla": True, "kv_lora_rank": 512, "qk_rope_dim": 64, "qk_nope_dim": 128, "v_head_dim": 128,
    "kv_elems_full": 61 * 576, "experts": 256, "experts_per_token": 8, "moe_intermediate": 2048,
    "moe_layers": 58, "active_params": 37.552e9, "active_params_excl_embedding": 36.625e9,
}  # fmt: skip

TOY_DEVICE = {
    "memory_bytes": 80e9, "memory_bytes_per_s": 1e12, "linear_flop_per_s": 1e15,
    "expert_flop_per_s": 1e15, "bf16_flop_per_s": 1e15, "link": Link.switch,
    "link_bytes_per_s": 1e11, "domain_gpus": 8, "stage_bytes_per_s": 1e10,
}  # fmt: skip
H100 = {
    "memory_bytes": 79.18 * 2**30, "memory_bytes_per_s": 3.35e12, "linear_flop_per_s": 989e12,
    "expert_flop_per_s": 989e12, "bf16_flop_per_s": 989e12, "link": Link.switch,
    "link_bytes_per_s": 450e9, "domain_gpus": 8, "stage_bytes_per_s": 450e9,
}  # fmt: skip
ONE_GPU = {"tensor_gpus": 1, "pipeline_stages": 1, "expert_groups": 1, "attention_groups": 1}
BF16 = {"linear_bytes": 2, "expert_bytes": 2, "expert_padded": False, "kv_bytes": 2,
        "state_bytes": 2}  # fmt: skip

# All efficiencies 1/2, all latencies round: terms can be computed by hand.
TOY_RATES = {
    "step_s": 1e-4, "layer_s": 1e-5, "layer_moe_s": 2e-5, "layer_mla_s": 3e-5,
    "layer_linear_s": 4e-5, "layer_prefill_s": 1e-4, "sequence_s": 1e-5,
    "linear_stream_frac": 0.5, "expert_stream_frac": 0.5, "head_stream_frac": 0.5,
    "kv_stream_frac": 0.5, "linear_flop_frac": 0.5, "expert_flop_frac": 0.5,
    "head_flop_frac": 0.5, "attention_flop_frac": 0.5, "latent_flop_frac": 0.5,
    "shape_half_width": 1e4, "expert_half_width": 1e4,
    "elementwise_passes": 10, "expert_passes": 5, "expert_imbalance_frac": 0.0, "tile_rows": 0,
    "all_reduce_latency_s": 5e-6, "all_reduce_link_frac": 0.5, "all_to_all_latency_s": 1e-5,
    "all_to_all_link_frac": 0.5, "hop_latency_s": 1e-5, "request_s": 0.0,
}  # fmt: skip
PCIE = {
    "pcie_latency_s": np.array([5e-6, 14e-6, 25e-6]),
    "pcie_link_frac": np.array([0.6, 0.3, 0.2]),
}


def toy(n=1, *, model=None, device=None, layout=None, form=None, rates=None):
    """The toy candidate n times; each mapping changes single fields."""
    plain = arrays(dict, TOY_RATES | (rates or {}), n)
    return Serving(
        arrays(Architecture, TOY | (model or {}), n),
        arrays(Device, TOY_DEVICE | (device or {}), n),
        arrays(Layout, ONE_GPU | (layout or {}), n),
        arrays(Format, BF16 | (form or {}), n),
        Coefficients(**plain, **PCIE),
    )


def real(model, n=1, *, device=None, layout=None, form=None, engine="vllm", generation="hopper",
         precision="bf16"):  # fmt: skip
    """A public model on H100 unless changed, with the catalog's calibration."""
    rates, _ = coefficients(
        calibration(), engine=[engine] * n, generation=[generation] * n, precision=[precision] * n
    )
    return Serving(
        arrays(Architecture, model, n),
        arrays(Device, H100 | (device or {}), n),
        arrays(Layout, ONE_GPU | (layout or {}), n),
        arrays(Format, BF16 | (form or {}), n),
        rates,
    )


def changed(serving, part, **values):
    """A copy with fields of one part replaced."""
    return replace(serving, **{part: replace(getattr(serving, part), **values)})
