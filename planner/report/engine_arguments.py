"""Argument names of the serving engines, as their documentation and source give them.

Only names that stand here are ever written into a launch command. Each list holds what the
planner uses, with the version and the address at which it was read; a renamed argument is one
line here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Documented:
    """Arguments of one engine that were checked."""

    version: str
    """Version whose arguments were read."""
    source: str
    """Where."""
    flags: frozenset[str]
    """Of the command line."""
    keys: frozenset[str] = frozenset()
    """Of the YAML file beside it, dotted."""


ARGUMENTS = {
    "vllm": Documented(
        version="commit 002760e4 of 2026",
        source=(
            "vllm/engine/arg_utils.py of vLLM at 002760e4 (as kept by "
            "github.com/local-inference-lab/vllm) and vllm/config/cache.py of "
            "github.com/vllm-project/vllm at 002f10e0; all but those of several nodes also at "
            "https://docs.vllm.ai/en/latest/serving/engine_args.html; drafts: "
            "https://docs.vllm.ai/en/latest/features/speculative_decoding/eagle/; disaggregation: "
            "docs/features/nixl_connector_usage.md of github.com/vllm-project/vllm at 026c83f9"
        ),
        flags=frozenset({
            "--dtype", "--quantization", "--max-model-len", "--tensor-parallel-size",
            "--pipeline-parallel-size", "--data-parallel-size", "--enable-expert-parallel",
            "--gpu-memory-utilization", "--kv-cache-dtype", "--enable-prefix-caching",
            "--max-num-batched-tokens", "--max-num-seqs", "--enable-chunked-prefill",
            "--no-enable-chunked-prefill", "--nnodes", "--node-rank", "--master-addr",
            "--speculative-config", "--kv-transfer-config",
        }),
    ),
    "sglang": Documented(
        version="0.5.23",
        source=(
            "sglang/srt/arg_groups/fields of PyPI sglang==0.5.23; "
            "https://docs.sglang.io/advanced_features/server_arguments.html; drafts: "
            "https://docs.sglang.io/docs/advanced_features/speculative_decoding; disaggregation: "
            "docs/advanced_features/pd_disaggregation.md of github.com/sgl-project/sglang at "
            "08edc506"
        ),
        flags=frozenset({
            "--model-path", "--dtype", "--quantization", "--context-length", "--tp-size",
            "--pp-size", "--attn-dp-size", "--ep-size", "--mem-fraction-static",
            "--kv-cache-dtype", "--max-running-requests", "--chunked-prefill-size",
            "--max-prefill-tokens", "--enable-mixed-chunk", "--nnodes", "--node-rank",
            "--dist-init-addr", "--speculative-algorithm", "--speculative-draft-model-path",
            "--speculative-num-steps", "--speculative-eagle-topk",
            "--speculative-num-draft-tokens", "--disaggregation-mode",
            "--disaggregation-transfer-backend",
        }),
    ),
    "tensorrt-llm": Documented(
        version="commit 00209af1 of 2026",
        source=(
            "tensorrt_llm/commands/serve.py of github.com/NVIDIA/TensorRT-LLM at 00209af1; "
            "https://nvidia.github.io/TensorRT-LLM/llm-api/reference/TorchLlmArgs.html; drafts: "
            "docs/source/features/speculative-decoding.md at 04c8822c; disaggregation: "
            "docs/source/features/disagg-serving.md at 0434b982"
        ),
        flags=frozenset({
            "--backend", "--tp_size", "--pp_size", "--ep_size", "--max_batch_size",
            "--max_num_tokens", "--max_seq_len", "--kv_cache_free_gpu_memory_fraction",
            "--enable_chunked_prefill", "--extra_llm_api_options", "--gpus_per_node",
        }),
        keys=frozenset({
            "enable_attention_dp", "kv_cache_config.dtype", "kv_cache_config.enable_block_reuse",
            "kv_cache_config.free_gpu_memory_fraction", "speculative_config.decoding_type",
            "speculative_config.max_draft_len", "speculative_config.speculative_model",
            "cache_transceiver_config.backend", "disable_overlap_scheduler",
        }),
    ),
}  # fmt: skip
"""By the catalog's name of the engine."""
