"""Parameters: the calibration rows that a fit moves, with what was known of them before.

Priors are log-normal: their values come from kernel tables and from what an engine's operator
sets, never from the points that are fitted; `spread` is the standard deviation of the logarithm.
Rows that are not listed keep their value.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameter:
    """One calibration row that is fitted."""

    name: str
    prior: float
    spread: float
    low: float
    high: float
    note: str = ""


_LAYER = (
    *(
        Parameter(f"layer_cost_{engine}_us", 50.0, 0.25, 15, 150, "prior 50: launches of a layer")
        for engine in ("vllm", "sgl", "trt")
    ),
    *(
        Parameter(f"layer_moe_{engine}_us", 35.0, 0.4, 5, 200, "prior 35 at 256 experts: routing")
        for engine in ("vllm", "sgl", "trt")
    ),
    Parameter("layer_moe_trt_blackwell_us", 25.0, 0.4, 3, 200, "prior 25: fused"),
    *(
        Parameter(f"layer_mla_{engine}_us", 50.0, 0.4, 5, 250, "prior 50: more, smaller kernels")
        for engine in ("vllm", "sgl", "trt")
    ),
    Parameter("layer_linear_us", 40.0, 0.4, 5, 200, "prior 40"),
    Parameter("layer_quantize_fp8_us", 5.0, 0.5, 1, 40, "prior 5: one more kernel a matrix"),
    Parameter("layer_quantize_fp8_trt_us", 4.0, 0.5, 0.5, 40, "prior 4: fused with norms"),
    Parameter("layer_quantize_fp4_us", 12.0, 0.5, 2, 60, "prior 12"),
    Parameter("layer_factor_blackwell", 0.8, 0.25, 0.4, 1.3, "prior 0.8: faster host"),
    Parameter("layer_factor_ampere", 1.3, 0.2, 0.8, 2.0, "prior 1.3"),
    Parameter("layer_factor_cdna3", 1.5, 0.25, 0.8, 3.0, "prior 1.5"),
    Parameter("layer_prefill_us", 110.0, 0.4, 20, 400, "prior 110: no captured graph"),
    Parameter("sequence_cost_vllm_us", 12.0, 0.5, 1, 60, "prior 12: sampling and scheduling"),
    Parameter("sequence_cost_sgl_us", 12.0, 0.5, 1, 60, "prior 12"),
    Parameter("sequence_cost_trt_us", 4.0, 0.5, 0.5, 60, "prior 4: scheduler in C++"),
    Parameter("request_cost_ms", 25.0, 0.5, 3, 120, "prior 25: server and client path"),
    Parameter("request_cost_sgl_ms", 60.0, 0.5, 3, 400, "prior 60: tokenizer in a process apart"),
)
_MACHINE = (
    Parameter("stream_bf16_frac", 0.88, 0.06, 0.6, 0.97, "prior: kernel tables 0.82-0.9"),
    Parameter("stream_fp8_frac", 0.82, 0.08, 0.5, 0.97, "prior: kernel tables 0.82"),
    Parameter("stream_fp4_frac", 0.72, 0.12, 0.4, 0.97, "prior: scales beside the weights"),
    Parameter("stream_kv_frac", 0.72, 0.12, 0.4, 0.95, "prior: kernel tables 0.69-0.85"),
    Parameter("stream_kv_trt_frac", 0.78, 0.12, 0.4, 0.97, "prior: kernel tables 0.69-0.85"),
    Parameter("gemm_table_factor", 1.0, 0.08, 0.7, 1.3, "prior 1: tables as measured"),
    Parameter("gemm_flop_cdna3_bf16_frac", 0.45, 0.3, 0.1, 0.8, "prior 0.45: no kernel table"),
    Parameter("gemm_flop_cdna3_fp8_frac", 0.4, 0.3, 0.1, 0.8, "prior 0.4: no kernel table"),
    Parameter("gemm_grouped_frac", 0.8, 0.2, 0.3, 1.2, "prior: kernel tables 0.6-0.9"),
    Parameter("gemm_grouped_half_width", 1000.0, 0.5, 100, 6000, "prior: as dense"),
    Parameter("gemm_unpack_frac", 0.9, 0.12, 0.4, 1.0, "prior 0.9: near dense, arXiv 2408.11743"),
    Parameter("expert_tile_rows", 24.0, 0.5, 2, 64, "prior 24: kernels choose tiles of 16 to 64"),
    Parameter("attention_prefill_flop_frac", 0.55, 0.2, 0.25, 0.8, "prior: tables 0.46-0.76"),
    Parameter("attention_latent_flop_frac", 0.55, 0.3, 0.2, 1.6, "prior: tables 0.46-0.76"),
    Parameter("attention_latent_flop_blackwell_frac", 0.8, 0.3, 0.2, 1.6, "prior 0.8: in part fp8"),
    Parameter("elementwise_passes", 16.0, 0.25, 5, 40, "prior 16: counted in one layer"),
    Parameter("expert_passes", 5.0, 0.5, 1, 30, "prior 5: counted in one layer"),
    Parameter("all_reduce_latency_factor", 1.0, 0.2, 0.4, 2.5, "prior 1: tables as measured"),
    Parameter("all_to_all_link_frac", 0.5, 0.3, 0.2, 1.0, "prior: DeepEP tables"),
    Parameter("all_to_all_latency_us", 15.0, 0.3, 5, 60, "prior: DeepEP tables"),
    Parameter("memory_usable_vllm_frac", 0.92, 0.02, 0.85, 0.97, "prior: operator's default"),
    Parameter("memory_usable_sgl_frac", 0.9, 0.03, 0.8, 0.97, "prior: operator's default"),
    Parameter("memory_usable_trt_frac", 0.96, 0.02, 0.88, 0.995, "prior: 0.9-0.95 of the rest"),
)
_NOT_PLANS = "benchmark traffic, not in plans"
_TRAFFIC = (
    Parameter("waves_varied_frac", 0.1, 0.3, 0.02, 0.6, _NOT_PLANS),
    *(
        Parameter(f"waves_equal_{engine}_frac", prior, 0.4, 0.02, 1.0, _NOT_PLANS)
        for engine, prior in (("vllm", 0.15), ("trt", 0.6))
    ),
    Parameter("waves_spread_power", 0.3, 0.3, 0.05, 1.0, _NOT_PLANS),
    Parameter("pace_compiled", 0.95, 0.1, 0.5, 1.2, _NOT_PLANS),
    Parameter("pace_early", 1.3, 0.25, 1.0, 2.5, "stacks of 2024, not in plans"),
    Parameter("pace_early_moe", 1.8, 0.25, 1.0, 4.0, "stacks of 2024, not in plans"),
    Parameter("pace_tuned", 0.85, 0.15, 0.5, 1.0, "MLPerf submissions, not in plans"),
    Parameter("pace_tuned_rocm", 0.85, 0.2, 0.4, 1.0, "MLPerf submissions, not in plans"),
)
PARAMETERS: tuple[Parameter, ...] = (*_LAYER, *_MACHINE, *_TRAFFIC)
