"""Sources: what the publisher of a set of points says about its traffic and its servers.

Keyed by the prefix of a table's `source` column and, where engines differ, by engine. These are
properties of a benchmark, stated by its publisher or set here as an assumption; plans never use
them. Every one that was applied is listed in the accuracy report.

.. [1] SemiAnalysisAI/InferenceX, benchmarks/single_node/fixed_seq_len/*.sh: lengths drawn from
       0.8-1.0 of the nominal ones, fp8 cache, --max-num-seqs 512. Their stream intervals do not
       delay the first token; what holds requests back is in `holds`.
.. [2] NVIDIA/TensorRT-LLM, docs/source/performance/perf-overview.md, v0.14 to v1.2.
.. [3] MLCommons inference policies, reference data sets: mean lengths.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SERVED_REQUEST_FRAC = 1.0


@dataclass(frozen=True)
class Traits:
    """What is known of a source; the defaults describe an engine behind its own server."""

    length_frac: float = 1.0
    """Mean lengths over the nominal ones of the table."""
    equal_lengths: bool = True
    """All requests alike, so that they restart together."""
    pace: str = ""
    """Calibration row of the step time over that of engines as served in 2025-26; "": 1."""
    request_frac: float = SERVED_REQUEST_FRAC
    """Share of the request cost of a served stack: 0 where no server is in the path."""
    eager_frac: float = 1.0
    """Share of the eager prefill cost: 0 for engines that were compiled ahead of serving."""
    kv_fp8: bool = False
    """The cache is fp8 where the weights are fp8 or narrower."""
    expert_dp: bool = False
    """Mixtures of experts run with data parallel attention where the layout is blank."""
    requests: float = 0.0
    """Requests of an offline run; 0: not stated."""
    says: str = ""
    """The assumption in words."""


_TABLES = Traits(
    request_frac=0.0,
    kv_fp8=True,
    says="TensorRT-LLM tables: no server in the path, fp8 cache with fp8 and fp4 weights",
)
_COMPILED = replace(
    _TABLES,
    eager_frac=0.0,
    pace="pace_compiled",
    says=_TABLES.says + "; engines compiled ahead (to v0.17)",
)
# First match wins: prefix of the source, catalog engine ("" for any), traits.
_SOURCES: tuple[tuple[str, str, Traits], ...] = (
    (
        "inferencex",
        "sglang",
        Traits(
            length_frac=0.9,
            equal_lengths=False,
            says="InferenceX, SGLang: lengths 0.9 of nominal; on Blackwell the server looks for "
            "requests every 10 steps, every 30 from 16 clients on (its scripts)",
        ),
    ),
    (
        "inferencex",
        "tensorrt-llm",
        Traits(
            length_frac=0.9,
            request_frac=0.35,
            equal_lengths=False,
            kv_fp8=True,
            says="InferenceX, TensorRT-LLM: lengths 0.9 of nominal, client on the host (0.35 of "
            "the request cost), fp8 cache; Llama 70B at 1024/1024 below TP 8 gathers requests "
            "for 20 steps (its scripts)",
        ),
    ),
    (
        "inferencex",
        "",
        Traits(
            length_frac=0.9,
            request_frac=0.35,
            equal_lengths=False,
            kv_fp8=True,
            says="InferenceX: lengths 0.9 of nominal, client on the host (0.35 of the request "
            "cost), fp8 cache with fp8 and fp4 weights",
        ),
    ),
    (
        "nvidia-aic",
        "",
        Traits(says="NVIDIA serving runs: equal lengths, bf16 cache but fp8 in TensorRT-LLM"),
    ),
    ("dstack-pd", "", Traits(equal_lengths=False, says="dstack prefill/decode ratios: served")),
    (
        "dstack",
        "",
        Traits(pace="pace_early", says="dstack 2024-25: early stacks, slower by a fitted factor"),
    ),
    (
        "trtllm-perf-overview-v0.14",
        "",
        Traits(
            request_frac=0.35,
            eager_frac=0.0,
            says="TensorRT-LLM v0.14 behind Triton: 0.35 of the request cost",
        ),
    ),
    ("trtllm-perf-overview-v0.9", "", _COMPILED),
    ("trtllm-perf-overview-v0.17", "", _COMPILED),
    (
        "trtllm-perf-overview-v1.",
        "",
        replace(
            _TABLES,
            expert_dp=True,
            says=_TABLES.says + "; mixtures of experts with data parallel attention (v1.x)",
        ),
    ),
    ("trtllm", "", _TABLES),
    (
        "arxiv-2606.11690",
        "",
        Traits(
            equal_lengths=False, request_frac=0.35, says="vLLM cost meter: bare client on the host"
        ),
    ),
    (
        "mlperf",
        "",
        Traits(
            equal_lengths=False,
            request_frac=0.1,
            kv_fp8=True,
            pace="pace_tuned",
            says="MLPerf: lengths of the reference data sets, fp8 cache, no HTTP server, tuned by "
            "the maker: faster by a fitted factor",
        ),
    ),
    ("gpustack", "", Traits(equal_lengths=False, says="gpustack: real prompts, lengths vary")),
)
_DATA_SETS = (
    ("llama-2-70b", 294.0, 294.0),
    ("llama-3.1-405b", 9428.0, 684.0),
    ("llama-3.1-8b", 778.0, 73.0),
    ("mixtral-8x7b", 245.0, 145.0),
    ("deepseek-r1", 800.0, 3880.0),
    ("gpt-oss-120b", 1600.0, 1300.0),
)


def traits_of(source: str, engine: str, *, vendor: str = "NVIDIA", moe: bool = False) -> Traits:
    """Traits of a source; the defaults where nothing is known of it.

    Early stacks were slower by another factor where experts had no tuned kernels yet, and tuned
    submissions of AMD stacks by another than those of NVIDIA's.
    """
    name = source.lower()
    matches = (t for start, own, t in _SOURCES if name.startswith(start) and own in ("", engine))
    found = next(matches, Traits())
    apart = {("pace_early", moe): "_moe", ("pace_tuned", vendor != "NVIDIA"): "_rocm"}
    return replace(found, pace=found.pace + apart.get((found.pace, True), ""))


def data_set_lengths(source: str, model: str) -> tuple[float, float] | None:
    """Mean input and output tokens of an MLPerf reference data set [3]_; None elsewhere."""
    if not source.lower().startswith("mlperf"):
        return None
    return next(((i, o) for name, i, o in _DATA_SETS if model == name), None)


_OLD_CHECKPOINTS = ("qwen3-235b-a22b", "qwen3-30b-a3b", "llama-4", "mixtral")


def experts_only(model: str, quantization: str) -> bool:
    """Whether the public nvfp4 checkpoint of a mixture of experts leaves attention in bf16."""
    return quantization == "nvfp4" and not model.startswith(_OLD_CHECKPOINTS)
