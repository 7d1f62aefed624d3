"""Roofline: what the hardware would allow, and which resource binds; for the sizing trail.

Ideal times use datasheet peaks without any efficiency, collective or host cost. They explain a
candidate; plans use `step_time`.

.. [1] S. Williams, A. Waterman and D. Patterson, "Roofline", Commun. ACM 52(4), 2009.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from planner.perf import moe
from planner.perf.memory import attention_shards, sequence_kv_bytes
from planner.perf.shapes import Array, Flags, Numbers, Serving, Whole
from planner.perf.step_time import BF16_BYTES, iteration_terms_s


class Resource(IntEnum):
    """What most of a step's time goes to."""

    memory = 0
    """Bandwidth: weights, cache, element-wise passes."""
    compute = 1
    """Arithmetic: matrices, attention."""
    communication = 2
    """Collectives and pipeline hops."""
    host = 3
    """Launches, scheduling and sampling: neither bandwidth nor arithmetic."""


def machine_balance(*, flop_per_s: Numbers, memory_bytes_per_s: Numbers) -> Array:
    """FLOP a device can do per byte it can read [1]_: the ridge of its roofline.

    Examples
    --------
    H100 SXM bf16, 989 TFLOP/s over 3.35 TB/s:

    >>> round(float(machine_balance(flop_per_s=989e12, memory_bytes_per_s=3.35e12)), 1)
    295.2
    """
    return np.asarray(np.asarray(flop_per_s, float) / np.asarray(memory_bytes_per_s, float))


def ridge_batch(
    *, flop_per_s: Numbers, memory_bytes_per_s: Numbers, weight_bytes: Numbers
) -> Array:
    """Batched tokens at which a dense layer turns from memory to compute bound.

    Streaming b bytes a weight takes as long as 2 FLOP a weight and token: balance x b / 2.

    Examples
    --------
    H100 SXM, bf16 weights (2 bytes): the machine balance itself.

    >>> r = ridge_batch(flop_per_s=989e12, memory_bytes_per_s=3.35e12, weight_bytes=2.0)
    >>> round(float(r), 1)
    295.2
    """
    balance = machine_balance(flop_per_s=flop_per_s, memory_bytes_per_s=memory_bytes_per_s)
    return np.asarray(balance * np.asarray(weight_bytes, float) / 2.0)


@dataclass(frozen=True)
class Ideal:
    """Lower bounds of one candidate; arrays of shape (candidates,)."""

    prefill_s: Array
    """One prompt: its arithmetic at the dense peaks of the replica."""
    decode_step_s: Array
    """One token for each sequence: weights touched and caches read once, or the arithmetic."""
    decode_flop_per_byte: Array
    """Arithmetic intensity of that step."""
    balance_flop_per_byte: Array
    """Machine balance at the precision of the linear layers."""
    ridge_tokens: Array
    """Batched tokens at which linear layers turn compute bound."""


def _linear_flop_s(serving: Serving, tokens: Array) -> Array:
    """Time of the matrices, output head excluded, at peak over all GPUs of the replica."""
    model, device = serving.architecture, serving.device
    routed = model.moe_layers * model.experts_per_token * model.expert_params
    per_gpu = model.linear_params / device.linear_flop_per_s + routed / device.expert_flop_per_s
    return np.asarray(2.0 * tokens * per_gpu / serving.layout.gpus)


def _attention_flop(serving: Serving, context: Array) -> Array:
    """Attention of one token over its context, all layers [FLOP]."""
    model = serving.architecture
    reach = model.full_layers * context
    reach = reach + model.window_layers * np.minimum(context, model.window_tokens)
    latent = 2.0 * model.kv_lora_rank + model.qk_rope_dim
    return np.asarray(2.0 * model.heads * np.where(model.mla, latent, 2 * model.head_dim) * reach)


def _step_bytes(serving: Serving, tokens: Array, caches: Array, context: Array) -> Array:
    """Weights that tokens touch and caches of sequences, summed over the replica [bytes]."""
    model, form, layout = serving.architecture, serving.format, serving.layout
    touched = moe.experts_touched(
        experts=model.experts, experts_per_token=model.experts_per_token, tokens=tokens
    )
    weights = (
        model.linear_params * form.linear_bytes * layout.attention_groups
        + model.head_params * BF16_BYTES
        + model.moe_layers * touched * model.expert_params * form.expert_bytes
    )
    cache = sequence_kv_bytes(architecture=model, form=form, context_tokens=context)
    copies = layout.attention_gpus / attention_shards(architecture=model, layout=layout)
    return np.asarray(weights + caches * cache * copies)


@dataclass(frozen=True)
class StepWork:
    """What a step computes and moves over the whole replica; arrays of shape (candidates,)."""

    flop: Array
    """Counted at the rate of the linear layers: arithmetic at half that rate counts twice."""
    moved_bytes: Array

    @property
    def flop_per_byte(self) -> Array:
        """Arithmetic intensity: where the step stands under the roofline."""
        return np.asarray(self.flop / self.moved_bytes)


def decode_work(serving: Serving, *, sequences: Numbers, context_tokens: Numbers) -> StepWork:
    """A step with one token for each sequence: weights touched and caches are read once."""
    batch, context = np.asarray(sequences, float), np.asarray(context_tokens, float)
    compute_s = _compute_s(serving, batch, batch, context)
    return _work(serving, compute_s, _step_bytes(serving, batch, batch, context))


def prefill_work(serving: Serving, *, tokens: Numbers, prompt_tokens: Numbers) -> StepWork:
    """A step of `tokens` prompt tokens, whole prompts: their caches are written once."""
    count, prompt = np.asarray(tokens, float), np.asarray(prompt_tokens, float)
    prompts = count / prompt
    compute_s = _compute_s(serving, count, prompts, prompt / 2)
    return _work(serving, compute_s, _step_bytes(serving, count, prompts, prompt))


def _compute_s(serving: Serving, tokens: Array, ends: Array, context: Array) -> Array:
    """Arithmetic of tokens that attend to `context` each, at peak over the replica [s]."""
    bf16 = serving.device.bf16_flop_per_s * serving.layout.gpus
    head_s = 2.0 * serving.architecture.head_params / bf16
    attention_s = tokens * _attention_flop(serving, context) / bf16
    return np.asarray(_linear_flop_s(serving, tokens) + ends * head_s + attention_s)


def _work(serving: Serving, compute_s: Array, moved_bytes: Array) -> StepWork:
    peak = serving.device.linear_flop_per_s * serving.layout.gpus
    return StepWork(flop=np.asarray(compute_s * peak), moved_bytes=moved_bytes)


def ideal(
    serving: Serving,
    *,
    prompt_tokens: Numbers,
    sequences: Numbers,
    context_tokens: Numbers,
) -> Ideal:
    """Roofline bounds of each candidate at one load; arrays of the broadcast shape."""
    prompt, device, gpus = np.asarray(prompt_tokens, float), serving.device, serving.layout.gpus
    decode = decode_work(serving, sequences=sequences, context_tokens=context_tokens)
    return Ideal(
        prefill_s=_compute_s(serving, prompt, np.ones_like(prompt), prompt / 2),
        decode_step_s=np.maximum(
            decode.moved_bytes / (device.memory_bytes_per_s * gpus),
            decode.flop / (device.linear_flop_per_s * gpus),
        ),
        decode_flop_per_byte=decode.flop_per_byte,
        balance_flop_per_byte=machine_balance(
            flop_per_s=device.linear_flop_per_s, memory_bytes_per_s=device.memory_bytes_per_s
        ),
        ridge_tokens=ridge_batch(
            flop_per_s=device.linear_flop_per_s,
            memory_bytes_per_s=device.memory_bytes_per_s,
            weight_bytes=serving.format.linear_bytes,
        ),
    )


def binding_resource(terms: Mapping[str, Array], *, matrices_compute_bound: Flags) -> Whole:
    """`Resource` with the largest share of a step, from `step_time.iteration_terms_s`.

    Matrices count as compute or as memory by the flag, whole: their roofline has one side.
    """
    matrices = terms["dense"] + terms["head"] + terms["experts"]
    computing = np.asarray(matrices_compute_bound, bool)
    shares = (
        terms["kv"] + terms["elementwise"] + np.where(computing, 0.0, matrices),
        terms["prefill_attention"] + np.where(computing, matrices, 0.0),
        terms["all_reduce"] + terms["all_to_all"] + terms["hops"],
        terms["layers"] + terms["step"] + terms["sequences"],
    )
    return np.asarray(np.argmax(np.stack(np.broadcast_arrays(*shares)), axis=0), np.int64)


def binding(
    serving: Serving,
    *,
    prefill_tokens: Numbers,
    sequences: Numbers,
    context_tokens: Numbers,
) -> tuple[Whole, Whole]:
    """`Resource` that binds a prefill step without decode, and a decode step without prefill."""
    tokens = np.asarray(prefill_tokens, float)
    prefill = iteration_terms_s(
        serving,
        prefill_tokens=tokens,
        decode_sequences=0.0,
        context_tokens=0.0,
        prefill_context_tokens=tokens / 2,
    )
    decode = iteration_terms_s(
        serving, prefill_tokens=0.0, decode_sequences=sequences, context_tokens=context_tokens
    )
    ridge = ridge_batch(
        flop_per_s=serving.device.linear_flop_per_s * serving.coefficients.linear_flop_frac,
        memory_bytes_per_s=serving.device.memory_bytes_per_s
        * serving.coefficients.linear_stream_frac,
        weight_bytes=serving.format.linear_bytes,
    )
    return (
        binding_resource(prefill, matrices_compute_bound=tokens > ridge),
        binding_resource(decode, matrices_compute_bound=np.asarray(sequences, float) > ridge),
    )
