"""Step time: one engine iteration with P prefill tokens and D decoding sequences.

The sum of about a dozen physical terms: fixed cost a step and a layer, soft rooflines of the
linear layers, the output head and the experts touched, cache reads, prefill attention,
element-wise traffic, collectives. Each term is a function of numbers; `iteration_terms_s`
passes it the fields of `Serving`. Form and coefficients were fitted to public operating points;
held-out median error of the time per output token about 7 % for dense models and 12 % for
mixtures of experts (catalogs/calibration/step_time.yaml gives the sources).

Pipeline stages: the D sequences run as p micro-batches of D/p, one in each stage. A token's
latency passes all stages, so one iteration is a pass of D/p sequences through every layer, plus
hops; in that time all p micro-batches advance by one token. A prefill chunk sits in one
micro-batch and the others wait for it, so P is not divided: exact for one chunk at a time, and
slow (up to p times) where chunks would fill all micro-batches.

.. [1] S. Williams, A. Waterman and D. Patterson, "Roofline", Commun. ACM 52(4), 2009.
.. [2] R. Pope et al., "Efficiently scaling transformer inference", MLSys 2023, arXiv:2211.05102.
.. [3] DeepSeek-AI, "DeepSeek-V2", arXiv:2405.04434: absorbed multi-head latent attention.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planner.perf import collectives, moe
from planner.perf.memory import attention_shards, sequence_kv_bytes
from planner.perf.shapes import Array, Numbers, Serving

BF16_BYTES = 2.0


def soft_maximum(x: Numbers, y: Numbers) -> Array:
    """(x^4 + y^4)^(1/4): the larger of two times that overlap, 19 % above it where equal.

    Examples
    --------
    >>> [round(float(soft_maximum(1.0, y)), 4) for y in (0.0, 0.5, 1.0)]
    [1.0, 1.0153, 1.1892]
    """
    a, b = np.asarray(x, float), np.asarray(y, float)
    top = np.maximum(a, b)
    # Scaled by the larger so that the fourth power of microseconds cannot underflow.
    ratio = np.minimum(a, b) / np.where(top > 0, top, 1.0)
    square = ratio * ratio
    return np.asarray(top * np.sqrt(np.sqrt(1.0 + square * square)))


def matrix_s(
    *,
    weight_bytes: Numbers,
    flop: Numbers,
    bytes_per_s: Numbers,
    flop_per_s: Numbers,
) -> Array:
    r"""Time to stream weights and multiply with them [s], a roofline [1]_ with a soft knee.

    .. math:: t = \left((W/\beta)^4 + (F/\phi)^4\right)^{1/4}

    All four per GPU; beta and phi are achieved rates, not peaks.

    Examples
    --------
    8 GB at 4 TB/s (2 ms) and 1 TFLOP at 2 PFLOP/s (0.5 ms): 2.002 ms.

    >>> t = matrix_s(weight_bytes=8e9, flop=1e12, bytes_per_s=4e12, flop_per_s=2e15)
    >>> round(float(t) * 1e3, 3)
    2.002
    """
    stream_s = np.asarray(weight_bytes, float) / np.asarray(bytes_per_s, float)
    return soft_maximum(stream_s, np.asarray(flop, float) / np.asarray(flop_per_s, float))


def shape_frac(*, params: Numbers, half_width: Numbers) -> Array:
    """Share of large-shape efficiency of a matrix of so many elements a GPU, d / (d + d0).

    d is the side of a square matrix of that size. 0 elements give 0: nothing to compute.

    Examples
    --------
    >>> float(shape_frac(params=9e6, half_width=1000))
    0.75
    """
    side = np.sqrt(np.asarray(params, float))
    return np.asarray(side / (side + half_width))


def attention_flop(*, heads: Numbers, key_dim: Numbers, value_dim: Numbers) -> Array:
    """FLOP of one query token over one cached token and one layer, 2 heads (key + value) [2]_.

    Examples
    --------
    Llama 3 70B: 2 x 64 x (128 + 128).

    >>> float(attention_flop(heads=64, key_dim=128, value_dim=128))
    32768.0
    """
    return np.asarray(2.0 * np.asarray(heads, float) * (np.asarray(key_dim, float) + value_dim))


def kv_read_s(
    *,
    sequences: Numbers,
    sequence_bytes: Numbers,
    shards: Numbers,
    bytes_per_s: Numbers,
) -> Array:
    """Reading the cache of every decoding sequence once [s].

    Parameters
    ----------
    sequences : decoding in one attention group.
    sequence_bytes : cache of a mean sequence over all layers.
    shards : GPUs over which it is split; 1 where replicated.
    bytes_per_s : achieved per GPU.

    Examples
    --------
    100 sequences of 320 MB over 8 GPUs at 0.7 x 3.35 TB/s: 1.71 ms.

    >>> t = kv_read_s(sequences=100, sequence_bytes=3.2e8, shards=8, bytes_per_s=0.7 * 3.35e12)
    >>> round(float(t) * 1e3, 2)
    1.71
    """
    read = np.asarray(sequences, float) * sequence_bytes
    return np.asarray(read / (np.asarray(shards, float) * bytes_per_s))


def elementwise_s(
    *, tokens: Numbers, layers: Numbers, width: Numbers, passes: Numbers,
    bytes_per_s: Numbers,
) -> Array:  # fmt: skip
    """Norms, residuals, activation quantization [s]: passes over the bf16 hidden state.

    Not divided by TP: every GPU of the group holds the whole hidden state.

    Examples
    --------
    8192 tokens, 80 layers, hidden 8192, 17 passes at 3.35 TB/s: 54.5 ms.

    >>> t = elementwise_s(tokens=8192, layers=80, width=8192, passes=17, bytes_per_s=3.35e12)
    >>> round(float(t) * 1e3, 1)
    54.5
    """
    moved = np.asarray(tokens, float) * layers * width * BF16_BYTES * passes
    return np.asarray(moved / np.asarray(bytes_per_s, float))


@dataclass(frozen=True)
class Load:
    """What one pass carries; arrays that broadcast against the candidates."""

    prefill_tokens: Array
    """P."""
    decode_sequences: Array
    """D of one micro-batch."""
    context_tokens: Array
    """Mean tokens that a decoding sequence holds in cache."""
    prefill_context_tokens: Array
    """Mean tokens that a prefill token attends to; half the prompt where it is whole."""
    prompt_ends: Array
    """Prompts that end in this step: their last token passes the output head."""

    @property
    def tokens(self) -> Array:
        """T = P + D."""
        return self.prefill_tokens + self.decode_sequences


def _dense_s(serving: Serving, load: Load) -> Array:
    model, layout, rate = serving.architecture, serving.layout, serving.coefficients
    params = model.linear_params / layout.attention_gpus
    shape = shape_frac(params=params / model.layers, half_width=rate.shape_half_width)
    device = serving.device
    return matrix_s(
        weight_bytes=params * serving.format.linear_bytes,
        flop=2.0 * params * load.tokens / layout.attention_groups,
        bytes_per_s=device.memory_bytes_per_s * rate.linear_stream_frac,
        flop_per_s=device.linear_flop_per_s * rate.linear_flop_frac * shape,
    )


def _head_s(serving: Serving, load: Load) -> Array:
    params = serving.architecture.head_params / serving.layout.tensor_gpus
    device, rate = serving.device, serving.coefficients
    return matrix_s(
        weight_bytes=params * BF16_BYTES,
        flop=2.0 * params * (load.decode_sequences + load.prompt_ends),
        bytes_per_s=device.memory_bytes_per_s * rate.head_stream_frac,
        flop_per_s=device.bf16_flop_per_s * rate.head_flop_frac,
    )


def _experts_s(serving: Serving, load: Load) -> Array:
    model, layout, rate = serving.architecture, serving.layout, serving.coefficients
    touched = moe.experts_touched(
        experts=model.experts, experts_per_token=model.experts_per_token, tokens=load.tokens
    )
    rows = moe.padded_rows(
        tokens=load.tokens,
        experts_per_token=model.experts_per_token,
        touched=touched,
        tile_rows=rate.tile_rows,
    )
    worst = moe.imbalance(
        expert_groups=layout.expert_groups, imbalance_frac=rate.expert_imbalance_frac
    )
    params = worst * model.moe_layers * model.expert_params / layout.tensor_gpus
    shape = shape_frac(
        params=model.expert_params / layout.expert_gpus, half_width=rate.expert_half_width
    )
    device = serving.device
    flop_per_s = device.expert_flop_per_s * rate.expert_flop_frac * shape
    return matrix_s(
        weight_bytes=params * touched * serving.format.expert_bytes,
        flop=2.0 * params * rows,
        bytes_per_s=device.memory_bytes_per_s * rate.expert_stream_frac,
        flop_per_s=np.where(model.moe, flop_per_s, 1.0),
    )


def _kv_s(serving: Serving, load: Load) -> Array:
    model, layout, rate = serving.architecture, serving.layout, serving.coefficients
    sequences = load.decode_sequences / layout.attention_groups
    read_s = kv_read_s(
        sequences=sequences,
        sequence_bytes=sequence_kv_bytes(
            architecture=model, form=serving.format, context_tokens=load.context_tokens
        ),
        shards=attention_shards(architecture=model, layout=layout),
        bytes_per_s=serving.device.memory_bytes_per_s * rate.kv_stream_frac,
    )
    # Absorbed latent attention [3]_: keys are latent + rotary, values the latent itself.
    flop = attention_flop(
        heads=model.heads,
        key_dim=model.kv_lora_rank + model.qk_rope_dim,
        value_dim=model.kv_lora_rank,
    )
    work = sequences * load.context_tokens * model.full_layers * flop / layout.attention_gpus
    compute_s = work / (serving.device.bf16_flop_per_s * rate.latent_flop_frac)
    return np.asarray(np.maximum(read_s, np.where(model.mla, compute_s, 0.0)))


def _prefill_attention_s(serving: Serving, load: Load) -> Array:
    model, layout = serving.architecture, serving.layout
    flop = attention_flop(
        heads=model.heads,
        key_dim=np.where(model.mla, model.qk_nope_dim + model.qk_rope_dim, model.head_dim),
        value_dim=np.where(model.mla, model.v_head_dim, model.head_dim),
    )
    context = load.prefill_context_tokens
    reach = model.full_layers * context
    reach = reach + model.window_layers * np.minimum(context, model.window_tokens)
    rate = serving.device.bf16_flop_per_s * serving.coefficients.attention_flop_frac
    return np.asarray(load.prefill_tokens * flop * reach / (layout.tensor_gpus * rate))


def _elementwise_s(serving: Serving, load: Load) -> Array:
    model, layout, rate = serving.architecture, serving.layout, serving.coefficients
    bandwidth = serving.device.memory_bytes_per_s
    hidden = elementwise_s(
        tokens=load.tokens / layout.attention_groups,
        layers=model.layers,
        width=model.hidden,
        passes=rate.elementwise_passes,
        bytes_per_s=bandwidth,
    )
    routed = elementwise_s(
        tokens=load.tokens * model.experts_per_token / layout.expert_groups,
        layers=model.moe_layers,
        # Permuted hidden states as often as fitted; gate and up read and their product written.
        width=3.0
        * (model.hidden * rate.expert_passes + model.moe_intermediate / layout.expert_gpus),
        passes=1.0,
        bytes_per_s=bandwidth,
    )
    return np.asarray(hidden + routed)


def _all_reduce_s(serving: Serving, load: Load) -> Array:
    layout, rate, device = serving.layout, serving.coefficients, serving.device
    group = layout.attention_gpus
    link_bytes_per_s = collectives.group_bytes_per_s(
        link=device.link,
        gpus=group,
        domain_gpus=device.domain_gpus,
        link_bytes_per_s=device.link_bytes_per_s,
        link_frac=rate.all_reduce_link_frac,
        pcie_link_frac=rate.pcie_link_frac,
    )
    one = collectives.all_reduce_s(
        message_bytes=load.tokens / layout.attention_groups
        * serving.architecture.hidden * BF16_BYTES,
        gpus=group,
        latency_s=collectives.group_latency_s(
            link=device.link,
            gpus=group,
            latency_s=rate.all_reduce_latency_s,
            pcie_latency_s=rate.pcie_latency_s,
        ),
        bytes_per_s=link_bytes_per_s,
    )  # fmt: skip
    # After attention in its group; after the feed-forward block over all GPUs, where data
    # parallel attention replaces it by dispatch and combine.
    per_layer = (group > 1) + 1.0 * ((layout.tensor_gpus > 1) & (layout.attention_groups == 1))
    return np.asarray(serving.architecture.layers * per_layer * one)


def _all_to_all_s(serving: Serving, load: Load) -> Array:
    model, layout, rate = serving.architecture, serving.layout, serving.coefficients
    one = collectives.all_to_all_s(
        tokens_per_gpu=load.tokens / layout.tensor_gpus,
        copies=np.minimum(model.experts_per_token, layout.expert_groups),
        hidden=model.hidden,
        latency_s=rate.all_to_all_latency_s,
        bytes_per_s=serving.device.link_bytes_per_s * rate.all_to_all_link_frac,
    )
    return np.asarray(np.where(layout.attention_groups > 1, model.moe_layers * one, 0.0))


def _layers_s(serving: Serving, load: Load) -> Array:
    model, rate = serving.architecture, serving.coefficients
    every = rate.layer_s + np.where(model.mla, rate.layer_mla_s, 0.0)
    every = every + np.where(model.linear_layers > 0, rate.layer_linear_s, 0.0)
    every = every + np.where(load.prefill_tokens > 0, rate.layer_prefill_s, 0.0)
    routing = moe.routing_share(experts=model.experts) * rate.layer_moe_s
    return np.asarray(model.layers * every + model.moe_layers * routing)


def stage_imbalance(*, layers: Numbers, stages: Numbers) -> Array:
    """Layers of the largest pipeline stage over the mean, p ceil(l/p) / l.

    Examples
    --------
    126 layers over 4 stages: 32 x 4 / 126.

    >>> round(float(stage_imbalance(layers=126, stages=4)), 4)
    1.0159
    """
    count, p = np.asarray(layers, float), np.asarray(stages, float)
    return np.asarray(p * np.ceil(count / p) / count)


def iteration_terms_s(
    serving: Serving,
    *,
    prefill_tokens: Numbers,
    decode_sequences: Numbers,
    context_tokens: Numbers,
    prefill_context_tokens: Numbers = 0.0,
    prompt_ends: Numbers = 0.0,
) -> dict[str, Array]:
    """Terms of one engine iteration [s] by name; their sum is `iteration_s`.

    Parameters
    ----------
    serving : candidates.
    prefill_tokens : P of the replica in this step.
    decode_sequences : D of the replica.
    context_tokens : mean tokens that a decoding sequence holds in cache.
    prefill_context_tokens : mean tokens that a prefill token attends to.
    prompt_ends : prompts whose last token is in this step.

    Returns
    -------
    Arrays of the broadcast shape of candidates and load.
    """
    stages = serving.layout.pipeline_stages
    load = Load(
        prefill_tokens=np.asarray(prefill_tokens, float),
        decode_sequences=np.asarray(decode_sequences, float) / stages,
        context_tokens=np.asarray(context_tokens, float),
        prefill_context_tokens=np.asarray(prefill_context_tokens, float),
        prompt_ends=np.asarray(prompt_ends, float),
    )
    stretch = stage_imbalance(layers=serving.architecture.layers, stages=stages)
    terms = {
        "layers": _layers_s(serving, load),
        "dense": _dense_s(serving, load),
        "head": _head_s(serving, load),
        "experts": _experts_s(serving, load),
        "kv": _kv_s(serving, load),
        "prefill_attention": _prefill_attention_s(serving, load),
        "elementwise": _elementwise_s(serving, load),
        "all_reduce": _all_reduce_s(serving, load),
        "all_to_all": _all_to_all_s(serving, load),
    }
    per_pass = {name: value * stretch for name, value in terms.items()}
    return per_pass | {
        "step": serving.coefficients.step_s + np.zeros_like(load.tokens),
        "sequences": serving.coefficients.sequence_s * np.asarray(decode_sequences, float),
        "hops": collectives.pipeline_hops_s(
            stages=stages,
            tokens=load.tokens,
            hidden=serving.architecture.hidden,
            latency_s=serving.coefficients.hop_latency_s,
            bytes_per_s=serving.device.stage_bytes_per_s,
        ),
    }


def iteration_s(
    serving: Serving,
    *,
    prefill_tokens: Numbers,
    decode_sequences: Numbers,
    context_tokens: Numbers,
    prefill_context_tokens: Numbers = 0.0,
    prompt_ends: Numbers = 0.0,
) -> Array:
    """Time of one engine iteration [s]: the sum of `iteration_terms_s`, same parameters."""
    terms = iteration_terms_s(
        serving,
        prefill_tokens=prefill_tokens,
        decode_sequences=decode_sequences,
        context_tokens=context_tokens,
        prefill_context_tokens=prefill_context_tokens,
        prompt_ends=prompt_ends,
    )
    return np.asarray(sum(terms.values()))
