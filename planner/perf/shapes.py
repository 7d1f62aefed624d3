"""Shapes: the arrays that describe serving candidates, one entry a candidate.

Base units throughout (bytes, s, FLOP/s). Fields broadcast against each other and against the
load: shape (candidates,) each, or (candidates, 1) where a function is called on a grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Whole = NDArray[np.int64]
Numbers = Array | float


class Link(IntEnum):
    """What connects the GPUs that share a layer."""

    switch = 0
    """NVLink through NVSwitch or direct bridge: any pair at the full rate."""
    mesh = 1
    """Point to point (xGMI): a group of n uses n-1 of the links of a domain of N."""
    pcie = 2
    """Host bridges; measured table by group size."""


@dataclass(frozen=True)
class Architecture:
    """Language-model architecture; counts as floats so that arrays mix freely."""

    layers: Array
    """All layers, attention and mixture-of-experts alike."""
    hidden: Array
    heads: Array
    kv_heads: Array
    head_dim: Array
    vocab: Array
    intermediate: Array
    """Dense feed-forward size; 0 where every block has experts."""
    full_layers: Array
    """Layers whose cache grows with the whole context."""
    window_layers: Array
    """Layers whose cache stops at the window."""
    window_tokens: Array
    linear_layers: Array
    """Linear-attention or state-space layers."""
    kv_elems_full: Array
    """Cache elements that a token adds over the full layers."""
    kv_elems_window: Array
    """Cache elements that a token adds over the windowed layers, up to the window."""
    state_elems: Array
    """Recurrent state of a sequence over all linear layers."""
    mla: Flags
    """Multi-head latent attention: one latent cache shared by all heads."""
    kv_lora_rank: Array
    """Latent size; 0 where not MLA. So are the next three."""
    qk_rope_dim: Array
    qk_nope_dim: Array
    v_head_dim: Array
    experts: Array
    """Routed experts of a layer; 0: dense."""
    experts_per_token: Array
    moe_intermediate: Array
    moe_layers: Array
    total_params: Array
    active_params: Array
    """Parameters used for one token, input embedding included."""
    active_params_excl_embedding: Array
    """The same without the input embedding; of tied models the output head still counts."""
    tied: Flags
    """Input and output embeddings are one matrix."""

    @property
    def moe(self) -> Flags:
        """Whether any layer has routed experts."""
        return np.asarray((self.experts > 0) & (self.moe_layers > 0))

    @property
    def head_params(self) -> Array:
        """Output projection, vocab x hidden."""
        return self.vocab * self.hidden

    @property
    def embedding_params(self) -> Array:
        """Input and output embeddings: one matrix where tied, else two."""
        return self.head_params * np.where(self.tied, 1.0, 2.0)

    @property
    def expert_params(self) -> Array:
        """Parameters of one routed expert; 0 for dense models.

        (total - active) / (moe_layers (experts - experts_per_token)): whatever the expert's
        shape (gated or not, on the hidden size or a latent), idle experts make the difference.
        """
        idle = self.moe_layers * (self.experts - self.experts_per_token)
        one = (self.total_params - self.active_params) / np.where(idle > 0, idle, 1.0)
        return np.asarray(np.where(self.moe & (idle > 0), one, 0.0))

    @property
    def routed_params(self) -> Array:
        """Parameters of all routed experts of all layers."""
        return self.moe_layers * self.experts * self.expert_params

    @property
    def linear_params(self) -> Array:
        """Weights that every token meets: attention, dense and shared blocks, routers."""
        routed = self.moe_layers * self.experts_per_token * self.expert_params
        return self.active_params_excl_embedding - self.head_params - routed


@dataclass(frozen=True)
class Device:
    """One accelerator, with the peaks at the precision chosen for the candidate."""

    memory_bytes: Array
    """Memory that the driver reports."""
    memory_bytes_per_s: Array
    """Datasheet bandwidth."""
    linear_flop_per_s: Array
    """Dense peak at the precision of the linear layers."""
    expert_flop_per_s: Array
    """Dense peak at the precision of the routed experts."""
    bf16_flop_per_s: Array
    """Dense bf16 peak: attention and output head."""
    link: Whole
    """`Link` of the GPUs that share a layer."""
    link_bytes_per_s: Array
    """Its rate per direction and GPU."""
    domain_gpus: Array
    """GPUs that share the fast link."""
    stage_bytes_per_s: Array
    """Per direction and GPU between pipeline stages: the same link, or the network."""


@dataclass(frozen=True)
class Layout:
    """How a replica is split over GPUs: tensor_gpus x pipeline_stages of them."""

    tensor_gpus: Array
    """GPUs that share every layer (TP; with attention data parallelism, TP x DP)."""
    pipeline_stages: Array
    """PP."""
    expert_groups: Array
    """EP, a divisor of tensor_gpus; each expert is split over tensor_gpus / EP of them."""
    attention_groups: Array
    """Attention data parallelism DP, a divisor of tensor_gpus; 1: all share each sequence."""

    @property
    def gpus(self) -> Array:
        """GPUs of one replica."""
        return self.tensor_gpus * self.pipeline_stages

    @property
    def attention_gpus(self) -> Array:
        """GPUs that share the attention of one sequence: the attention TP."""
        return self.tensor_gpus / self.attention_groups

    @property
    def expert_gpus(self) -> Array:
        """GPUs that share one expert."""
        return self.tensor_gpus / self.expert_groups


@dataclass(frozen=True)
class Format:
    """Stored bytes. Embeddings and output head are bf16 (2 bytes) whatever the scheme."""

    linear_bytes: Array
    """Per weight of the linear layers, scales included."""
    expert_bytes: Array
    """Per weight of the routed experts, scales included."""
    expert_padded: Flags
    """4-bit expert kernels that pad their matrices (mxfp4): see `memory.padded_expert_params`."""
    kv_bytes: Array
    """Per cache element."""
    state_bytes: Array
    """Per element of recurrent state."""


@dataclass(frozen=True)
class Coefficients:
    """Calibration of each candidate, from `calibrated.coefficients`; (candidates,) each."""

    step_s: Array
    """Fixed cost of a step: scheduling, input preparation."""
    layer_s: Array
    """Per layer and step: launches, norms, small kernels, activation quantization."""
    layer_moe_s: Array
    """Added per layer with experts: routing, permutation."""
    layer_mla_s: Array
    """Added per layer of latent attention."""
    layer_linear_s: Array
    """Added per layer of models with linear-attention layers."""
    layer_prefill_s: Array
    """Added per layer in steps that carry prefill, which run without a captured graph."""
    sequence_s: Array
    """Host and sampling cost of one decoding sequence in a step."""
    linear_stream_frac: Array
    """Share of the memory bandwidth that linear layers reach."""
    expert_stream_frac: Array
    """The same of experts."""
    head_stream_frac: Array
    """The same of the bf16 output head."""
    kv_stream_frac: Array
    """The same of decode attention."""
    linear_flop_frac: Array
    """Share of the peak that large linear layers reach."""
    expert_flop_frac: Array
    """The same of grouped expert kernels."""
    head_flop_frac: Array
    """The same of the bf16 output head."""
    attention_flop_frac: Array
    """Share of the bf16 peak in prefill attention."""
    latent_flop_frac: Array
    """Share of the bf16 peak in decode over a latent cache."""
    shape_half_width: Array
    """Matrix width at which a kernel reaches half of its large-shape efficiency."""
    expert_half_width: Array
    """The same of grouped expert kernels: small experts fill the machine less."""
    elementwise_passes: Array
    """Reads and writes of the hidden state per token and layer outside the matrices."""
    expert_passes: Array
    """The same of permuted hidden states, per routed token and third of them."""
    expert_imbalance_frac: Array
    """Extra load of the busiest expert group, at many groups."""
    tile_rows: Array
    """Mean wasted rows of a grouped kernel's tile, per expert touched."""
    all_reduce_latency_s: Array
    """Small-message all-reduce over the fast link, before its growth with group size."""
    all_reduce_link_frac: Array
    """Share of the link rate in large all-reduces."""
    pcie_latency_s: Array
    """(3,): small-message all-reduce over PCIe at 2, 4 and 8 GPUs."""
    pcie_link_frac: Array
    """(3,): share of the PCIe rate in large all-reduces at 2, 4 and 8 GPUs."""
    all_to_all_latency_s: Array
    """Dispatch, or combine, of a small batch."""
    all_to_all_link_frac: Array
    """Share of the link rate in large all-to-alls."""
    hop_latency_s: Array
    """Point to point between pipeline stages."""
    request_s: Array
    """Server and client path of one request, outside the engine's steps."""


@dataclass(frozen=True)
class Serving:
    """Candidates: model, device, layout, format and calibration of each."""

    architecture: Architecture
    device: Device
    layout: Layout
    format: Format
    coefficients: Coefficients
