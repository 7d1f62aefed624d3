"""Catalog rows to arrays in base units: the one place where vendor units are converted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from planner.candidates.enumerate import Configuration
from planner.perf.calibrated import coefficients
from planner.perf.shapes import Architecture, Device, Format, Layout, Link, Serving
from planner.schema.catalog import Accelerator, Catalog, Model, Quantization
from planner.units import BITS_PER_BYTE, GIB, GIGA, TERA

Row = TypeVar("Row")
Array = NDArray[np.float64]
BF16_BYTES = 2.0
FOUR_BIT_BELOW = 6.0
"""Stored bits that tell 4-bit from 8-bit formats."""
NETWORK_DEFAULT_GBIT = 400.0
"""Assumed where a row is silent: 400 Gbit/s a GPU, the rate of HGX H100 reference designs."""


def serving(configs: Sequence[Configuration], catalog: Catalog) -> tuple[Serving, tuple[str, ...]]:
    """Arrays of all configurations, and each one's calibration label."""
    models = [catalog.models[c.model] for c in configs]
    accelerators = [catalog.accelerators[c.accelerator] for c in configs]
    weights = [catalog.quantizations[c.quantization] for c in configs]
    calibrated, labels = coefficients(
        {name: row.value for name, row in catalog.calibration.items()},
        **calibration_keys(configs, catalog),
    )
    shaped = Serving(
        architecture=_architecture(models),
        device=_device(configs, accelerators, weights),
        layout=_layout(configs),
        format=_format(configs, models, weights, catalog),
        coefficients=calibrated,
    )
    return shaped, labels


def calibration_keys(configs: Sequence[Configuration], catalog: Catalog) -> dict[str, list[str]]:
    """By what each configuration's coefficients are looked up: `calibrated.coefficients`."""
    weights = [catalog.quantizations[c.quantization] for c in configs]
    expert = [_precision(c, w) for c, w in zip(configs, weights, strict=True)]
    return {
        "engine": [catalog.engines[c.engine].calibration or "" for c in configs],
        "generation": [catalog.accelerators[c.accelerator].generation for c in configs],
        "precision": [
            "bf16" if w.parts == "experts" else e for w, e in zip(weights, expert, strict=True)
        ],
        "expert_precision": expert,
    }


def _of(rows: Sequence[Row], pick: Callable[[Row], float | None]) -> Array:
    return np.array([np.nan if (v := pick(row)) is None else v for row in rows], float)


def _architecture(models: Sequence[Model]) -> Architecture:
    return Architecture(
        layers=_of(models, lambda m: m.layers),
        hidden=_of(models, lambda m: m.hidden),
        heads=_of(models, lambda m: m.heads),
        kv_heads=_of(models, lambda m: m.kv_heads),
        head_dim=_of(models, lambda m: m.head_dim),
        vocab=_of(models, lambda m: m.vocab),
        intermediate=_of(models, lambda m: m.intermediate),
        full_layers=_of(models, lambda m: m.full_layers),
        window_layers=_of(models, lambda m: m.window_layers),
        window_tokens=_of(models, lambda m: m.sliding_window),
        linear_layers=_of(models, lambda m: m.linear_layers),
        kv_elems_full=_of(models, lambda m: m.kv_elems_per_token_full),
        kv_elems_window=_of(models, lambda m: m.kv_elems_per_token_window),
        state_elems=_of(models, lambda m: m.state_elems_per_sequence),
        mla=np.array([m.attention == "MLA" for m in models]),
        kv_lora_rank=_of(models, lambda m: m.kv_lora_rank),
        qk_rope_dim=_of(models, lambda m: m.qk_rope_dim),
        qk_nope_dim=_of(models, lambda m: m.qk_nope_dim),
        v_head_dim=_of(models, lambda m: m.v_head_dim),
        experts=_of(models, lambda m: m.experts),
        experts_per_token=_of(models, lambda m: m.experts_per_token),
        moe_intermediate=_of(models, lambda m: m.moe_intermediate),
        moe_layers=_of(models, lambda m: m.moe_layers),
        total_params=_of(models, lambda m: m.total_params_b * GIGA),
        active_params=_of(models, lambda m: m.active_params_b * GIGA),
        active_params_excl_embedding=_of(models, lambda m: m.active_params_excl_embedding_b * GIGA),
        tied=np.array([m.tied_embeddings for m in models]),
    )


def usable_memory_bytes(accelerator: Accelerator) -> float:
    """Memory that the driver reports [bytes]; the maker's figure in 10^9 where unknown."""
    if accelerator.memory_usable_gib is not None:
        return accelerator.memory_usable_gib * GIB
    return accelerator.memory_gb * GIGA


def _device(
    configs: Sequence[Configuration],
    accelerators: Sequence[Accelerator],
    weights: Sequence[Quantization],
) -> Device:
    peaks = [
        _peak(a, _compute(c, w)) for c, a, w in zip(configs, accelerators, weights, strict=True)
    ]
    bf16 = _of(accelerators, lambda a: (a.bf16_tflop_per_s or np.nan) * TERA)
    experts_only = np.array([w.parts == "experts" for w in weights])
    links = [_link(c, a) for c, a in zip(configs, accelerators, strict=True)]
    return Device(
        memory_bytes=_of(accelerators, usable_memory_bytes),
        memory_bytes_per_s=_of(accelerators, lambda a: (a.memory_tb_per_s or np.nan) * TERA),
        linear_flop_per_s=np.where(experts_only, bf16, np.array(peaks)),
        expert_flop_per_s=np.array(peaks),
        bf16_flop_per_s=bf16,
        link=np.array([kind for kind, _ in links], np.int64),
        link_bytes_per_s=np.array([rate for _, rate in links]),
        domain_gpus=_of(accelerators, lambda a: a.scaleup_domain_gpus),
        stage_bytes_per_s=np.array(
            [_stage_rate(c, a) for c, a in zip(configs, accelerators, strict=True)]
        ),
    )


def _precision(config: Configuration, weights: Quantization) -> str:
    """Calibration class: the format's own arithmetic, or weights unpacked into bf16 kernels."""
    if config.native:
        return "mxfp4" if config.quantization.startswith("mxfp4") else weights.compute
    return "w4" if weights.bits_per_element < FOUR_BIT_BELOW else "w8"


def _compute(config: Configuration, weights: Quantization) -> str:
    """Precision of the peak; mxfp4 weights meet fp8 activations and run at the fp8 rate."""
    if not config.native:
        return "bf16"
    return "fp8" if config.quantization == "mxfp4" else weights.compute


def _peak(accelerator: Accelerator, precision: str) -> float:
    """Dense peak at a precision [FLOP/s]."""
    tera = {
        "fp32": accelerator.fp32_tflop_per_s,
        "bf16": accelerator.bf16_tflop_per_s,
        "fp8": accelerator.fp8_tflop_per_s,
        "int8": accelerator.int8_tflop_per_s,
        "fp4": accelerator.fp4_tflop_per_s,
    }[precision]
    return (tera if tera is not None else np.nan) * TERA


def _link(config: Configuration, accelerator: Accelerator) -> tuple[int, float]:
    """The link that a layer's GPUs share, and its rate per direction [bytes/s]."""
    shared = config.tp * config.dp
    fast = accelerator.scaleup_gb_per_s
    if fast is None or shared > accelerator.scaleup_domain_gpus:
        return Link.pcie, (accelerator.host_gb_per_s or np.nan) * GIGA
    return (Link.mesh if accelerator.scaleup_mesh else Link.switch), fast * GIGA


def _stage_rate(config: Configuration, accelerator: Accelerator) -> float:
    """Between pipeline stages: inside the domain its link, inside a node PCIe, else network."""
    if config.gpus <= accelerator.scaleup_domain_gpus and accelerator.scaleup_gb_per_s:
        return accelerator.scaleup_gb_per_s * GIGA
    if config.gpus <= accelerator.gpus_per_node and accelerator.host_gb_per_s:
        return accelerator.host_gb_per_s * GIGA
    return (accelerator.scaleout_gbit_per_s or NETWORK_DEFAULT_GBIT) * GIGA / BITS_PER_BYTE


def _layout(configs: Sequence[Configuration]) -> Layout:
    return Layout(
        tensor_gpus=_of(configs, lambda c: c.tp * c.dp),
        pipeline_stages=_of(configs, lambda c: c.pp),
        expert_groups=_of(configs, lambda c: c.ep),
        attention_groups=_of(configs, lambda c: c.dp),
    )


def _format(
    configs: Sequence[Configuration],
    models: Sequence[Model],
    weights: Sequence[Quantization],
    catalog: Catalog,
) -> Format:
    stored = _of(weights, lambda w: w.bits_per_element / BITS_PER_BYTE)
    experts_only = np.array([w.parts == "experts" for w in weights])
    kv = _of(
        configs,
        lambda c: catalog.quantizations[f"kv-{c.kv_dtype}"].bits_per_element / BITS_PER_BYTE,
    )
    return Format(
        linear_bytes=np.where(experts_only, BF16_BYTES, stored),
        expert_bytes=stored,
        expert_padded=np.array([c.quantization.startswith("mxfp4") for c in configs]),
        kv_bytes=kv,
        state_bytes=np.full(len(models), BF16_BYTES),
    )
