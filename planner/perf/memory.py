"""Memory: what a GPU holds (weights, reserve) and how much cache that leaves.

Checked against memory breakdowns that vLLM logged on H100 (tests/unit/test_memory.py).

.. [1] llm-d-planner, docs/empirical-vllm-memory-results.md at e50305a (Apache-2.0).
.. [2] vLLM, model_executor/layers/quantization/mxfp4.py: expert matrices are padded, hidden
       to 256 and the intermediate part of each GPU to 128.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from planner.perf.shapes import Architecture, Array, Flags, Format, Layout, Numbers, Whole

BF16_BYTES = 2.0
PAD_HIDDEN = 256.0
PAD_INTERMEDIATE = 128.0
FORWARD_HIDDEN_STATES = 8.0
FORWARD_INTERMEDIATES = 3.0
"""Live bf16 tensors at the peak of a forward pass: 8 hidden states and gate, up and their
product, 139,264 elements a token for Mistral Small 24B, where 2.12 GiB over 8192 tokens is
138,900 [1]_."""


class Refusal(IntEnum):
    """Why a layout cannot run; `none` where it can."""

    none = 0
    kv_heads = 1
    """Neither the attention GPUs nor the KV heads are a multiple of the other."""
    heads = 2
    """Query heads do not divide over the attention GPUs."""
    expert_groups = 3
    """Expert groups need experts, and must divide both the experts and the GPUs."""
    attention_groups = 4
    """Attention data parallelism must divide the GPUs, and is for mixtures of experts."""
    pipeline_stages = 5
    """More stages than layers."""


REFUSAL_TEXT = {
    Refusal.none: "",
    Refusal.kv_heads: "KV heads and tensor parallelism: neither divides the other",
    Refusal.heads: "attention heads do not divide over the tensor-parallel GPUs",
    Refusal.expert_groups: "expert parallelism does not divide the experts and the GPUs",
    Refusal.attention_groups: "attention data parallelism does not divide the GPUs",
    Refusal.pipeline_stages: "more pipeline stages than layers",
}


@dataclass(frozen=True)
class Reserve:
    """Memory that neither weights nor cache may have; arrays or floats that broadcast."""

    usable_frac: Array
    """Share of the device's memory that the engine may take."""
    framework_bytes: Array
    """CUDA context and libraries, one GPU."""
    framework_group_bytes: Array
    """The same in a tensor-parallel group: with communication buffers."""
    sampler_bytes: Array
    """Per sequence and vocabulary entry while sampling: several fp32 copies of the logits."""


def reserve_of(calibration: Mapping[str, float], engines: Sequence[str] = ()) -> Reserve:
    """Reserve from calibration rows: memory_usable_frac, memory_framework_bytes, ...

    Where `engines` (vllm, sgl, trt; one a candidate) are given, memory_usable_<engine>_frac goes
    before memory_usable_frac.
    """
    usable = calibration["memory_usable_frac"]
    own = [calibration.get(f"memory_usable_{engine}_frac", usable) for engine in engines]
    return Reserve(
        usable_frac=np.asarray(own if engines else usable, float),
        framework_bytes=np.asarray(calibration["memory_framework_bytes"], float),
        framework_group_bytes=np.asarray(calibration["memory_framework_group_bytes"], float),
        sampler_bytes=np.asarray(calibration["memory_sampler_bytes"], float),
    )


def _divides(whole: Numbers, part: Numbers) -> Flags:
    return np.asarray(np.mod(np.asarray(whole, float), np.asarray(part, float)) == 0)


def layout_refusal(*, architecture: Architecture, layout: Layout) -> Whole:
    """First reason, as `Refusal`, for which a layout cannot run the model; 0 where it can.

    KV heads are replicated where the attention GPUs are a multiple of them, split where they
    are a multiple of the attention GPUs; latent attention is replicated.
    """
    gpus, heads = layout.attention_gpus, architecture.heads
    whole = _divides(layout.tensor_gpus, layout.attention_groups)
    split = _divides(architecture.kv_heads, gpus) | _divides(gpus, architecture.kv_heads)
    groups = layout.expert_groups
    expert = _divides(layout.tensor_gpus, groups) & _divides(architecture.experts, groups)
    reasons = (
        (Refusal.attention_groups, whole & ((layout.attention_groups == 1) | architecture.moe)),
        (Refusal.kv_heads, split | architecture.mla),
        (Refusal.heads, _divides(heads, gpus)),
        (Refusal.expert_groups, (groups == 1) | (architecture.moe & expert)),
        (Refusal.pipeline_stages, layout.pipeline_stages <= architecture.layers),
    )
    shape = np.broadcast_shapes(*(np.shape(holds) for _, holds in reasons))
    refused = [np.broadcast_to(~np.asarray(holds, bool), shape) for _, holds in reasons]
    return np.asarray(np.select(refused, [int(reason) for reason, _ in reasons], 0), np.int64)


def padded_expert_params(*, architecture: Architecture, layout: Layout, padded: Flags) -> Array:
    """Parameters of one expert as stored on its GPUs; larger where kernels pad [2]_.

    Examples
    --------
    gpt-oss on one GPU: hidden and intermediate 2880 become 3072 and 2944, 9 % more.
    """
    hidden = np.ceil(architecture.hidden / PAD_HIDDEN) * PAD_HIDDEN
    part = architecture.moe_intermediate / layout.expert_gpus
    part_padded = np.ceil(part / PAD_INTERMEDIATE) * PAD_INTERMEDIATE
    exact = np.where(architecture.moe, architecture.hidden * part, 1.0)
    growth = np.where(np.asarray(padded, bool), hidden * part_padded / exact, 1.0)
    return np.asarray(architecture.expert_params * np.where(architecture.moe, growth, 1.0))


def weight_bytes_per_gpu(*, architecture: Architecture, layout: Layout, form: Format) -> Array:
    """Weights on the fullest GPU of a replica [bytes].

    Linear layers are split over the attention GPUs, experts over all GPUs that share a layer,
    both over the stages; with more than one stage the embeddings sit at the two ends.
    """
    stages = layout.pipeline_stages
    stage_frac = np.ceil(architecture.layers / stages) / architecture.layers
    ends = np.where((stages > 1) & ~architecture.tied, 0.5, 1.0)
    embedding = architecture.embedding_params * ends * BF16_BYTES
    linear = architecture.linear_params * form.linear_bytes * stage_frac
    expert = padded_expert_params(
        architecture=architecture, layout=layout, padded=form.expert_padded
    )
    routed = architecture.moe_layers * architecture.experts * expert * form.expert_bytes
    shared = (embedding + linear) / layout.attention_gpus
    return np.asarray(shared + routed * stage_frac / layout.tensor_gpus)


def attention_shards(*, architecture: Architecture, layout: Layout) -> Array:
    """GPUs over which the cache of one sequence is split: min(TP, KV heads); 1 for MLA.

    Examples
    --------
    8 KV heads: 4 GPUs hold two heads each, 16 hold every head twice; split 4 and 8 ways.
    """
    shards = np.minimum(layout.attention_gpus, architecture.kv_heads)
    return np.asarray(np.where(architecture.mla, 1.0, shards))


def sequence_kv_bytes(
    *, architecture: Architecture, form: Format, context_tokens: Numbers
) -> Array:
    """Cache and recurrent state of one sequence of L tokens over all layers and GPUs [bytes].

    full x L + window x min(L, window tokens), and the state of linear layers whatever L.
    """
    length = np.asarray(context_tokens, float)
    windowed = architecture.kv_elems_window * np.minimum(length, architecture.window_tokens)
    cache = (architecture.kv_elems_full * length + windowed) * form.kv_bytes
    return np.asarray(cache + architecture.state_elems * form.state_bytes)


def sequence_bytes_per_gpu(
    *, architecture: Architecture, layout: Layout, form: Format, context_tokens: Numbers
) -> Array:
    """What one sequence of L tokens takes of a GPU of its attention group [bytes]."""
    held = sequence_kv_bytes(architecture=architecture, form=form, context_tokens=context_tokens)
    shards = attention_shards(architecture=architecture, layout=layout)
    stage_frac = np.ceil(architecture.layers / layout.pipeline_stages) / architecture.layers
    return np.asarray(held * stage_frac / shards)


def reserve_bytes(
    *,
    architecture: Architecture,
    layout: Layout,
    reserve: Reserve,
    budget_tokens: Numbers,
    sequences_max: Numbers,
) -> Array:
    """Activations and framework of a GPU [bytes].

    The larger of the sampler's logits (sequences_max x vocab, on every GPU) and the forward
    pass (budget_tokens), as they do not coincide, plus context and libraries.
    """
    routed = architecture.experts_per_token * architecture.moe_intermediate / layout.expert_groups
    widest = np.maximum(architecture.intermediate, routed) / layout.expert_gpus
    elements = FORWARD_HIDDEN_STATES * architecture.hidden + FORWARD_INTERMEDIATES * widest
    forward = np.asarray(budget_tokens, float) * elements * BF16_BYTES
    sampler = np.asarray(sequences_max, float) * architecture.vocab * reserve.sampler_bytes
    framework = np.where(
        layout.tensor_gpus > 1, reserve.framework_group_bytes, reserve.framework_bytes
    )
    return np.asarray(np.maximum(forward, sampler) + framework)


def kv_pool_bytes(
    *, memory_bytes: Numbers, usable_frac: Numbers, weight_bytes: Numbers,
    reserve_bytes: Numbers,
) -> Array:  # fmt: skip
    """Memory left for the cache of one GPU [bytes]; 0 where weights and reserve do not fit.

    Examples
    --------
    >>> pools = kv_pool_bytes(memory_bytes=80e9, usable_frac=0.9, reserve_bytes=2e9,
    ...                       weight_bytes=np.array([35e9, 71e9]))
    >>> [float(pool) / 1e9 for pool in pools]
    [35.0, 0.0]
    """
    left = np.asarray(memory_bytes, float) * usable_frac - weight_bytes - reserve_bytes
    return np.asarray(np.maximum(left, 0.0))


def sequences_fit(
    *, pool_bytes: Numbers, sequence_bytes: Numbers, attention_groups: Numbers
) -> Array:
    """Sequences that a replica's cache holds at once, whole in each attention group.

    `sequence_bytes` is of one GPU at the length that sequences hold on average,
    input + 0.6 output (a request's output grows while it runs, and long ones stay longest).

    Examples
    --------
    >>> float(sequences_fit(pool_bytes=35e9, sequence_bytes=0.4e9, attention_groups=2))
    174.0
    """
    one = np.floor(np.asarray(pool_bytes, float) / np.asarray(sequence_bytes, float))
    return np.asarray(one * np.asarray(attention_groups, float))


def kv_tokens(
    *,
    pool_bytes: Numbers,
    sequence_bytes: Numbers,
    context_tokens: Numbers,
    attention_groups: Numbers,
) -> Array:
    """Tokens that the replica's cache holds, in sequences of L tokens.

    Windowed and linear layers make a token cheaper the longer its sequence: L matters for them
    and for nothing else.

    Examples
    --------
    35 GB at 0.4 GB for 2000 tokens: 175,000.

    >>> float(kv_tokens(pool_bytes=35e9, sequence_bytes=0.4e9, context_tokens=2000,
    ...                 attention_groups=1))
    175000.0
    """
    sequences = np.asarray(pool_bytes, float) / np.asarray(sequence_bytes, float)
    return np.asarray(sequences * context_tokens * np.asarray(attention_groups, float))
