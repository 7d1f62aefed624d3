"""Replica: the eight numbers per candidate that queueing and curves need of a step-time model.

One engine iteration with P prefill tokens, D decoding sequences that together hold KV cached
tokens, and PC = sum over prefill chunks of chunk tokens x mean context they attend to, takes

    t = overhead + [P > 0] prefill_step + max(weights, token (P + q D)) + sequence D
        + kv_token KV + prefill_context PC                                                   [s]

A decoding sequence computes q tokens in a step and gains E of them: both 1, unless the step
verifies drafted tokens (see `speculative`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Replica:
    """Step-time and capacity of one replica; arrays of one shape, one entry a candidate."""

    overhead_s: Array
    """Every step: launches, norms, all-reduce latency, scheduling."""
    prefill_step_s: Array
    """Extra in a step that carries any prefill."""
    weights_s: Array
    """Streaming the weights once (of experts, those touched at the operating batch)."""
    token_s: Array
    """Arithmetic and traffic of one batched token."""
    sequence_s: Array
    """Host and sampling cost of one decoding sequence."""
    kv_token_s: Array
    """Reading one cached token during decode."""
    prefill_context_s: Array
    """Attention of one prefill token over one context token."""
    budget_tokens: Array
    """Most tokens (prefill + decode) in one step."""
    sequences_max: Array
    """Most sequences in flight."""
    kv_tokens: Array
    """Tokens that the replica's KV cache holds."""
    decode_tokens: Array = field(default_factory=lambda: np.ones(1))
    """q: tokens that a decoding sequence computes in a step."""
    decode_gain: Array = field(default_factory=lambda: np.ones(1))
    """E: tokens that its answer gains by it, in the mean."""

    def __post_init__(self) -> None:
        for name in ("decode_tokens", "decode_gain"):
            whole = np.broadcast_to(getattr(self, name), self.overhead_s.shape)
            object.__setattr__(self, name, np.array(whole, float))


TIMES = (
    "overhead_s", "prefill_step_s", "weights_s", "token_s", "sequence_s", "kv_token_s",
    "prefill_context_s",
)  # fmt: skip


def slowed(replica: Replica, factor: Array | float) -> Replica:
    """The same replica with steps `factor` times as long; capacities stay.

    Examples
    --------
    >>> one = Replica(*(np.array([number]) for number in (2.0, *[0.0] * 6, 8192.0, 256.0, 1e6)))
    >>> slower = slowed(one, 1.2)
    >>> float(slower.overhead_s[0]), float(slower.kv_tokens[0])
    (2.4, 1000000.0)
    """
    return replace(replica, **{name: getattr(replica, name) * factor for name in TIMES})


def step_s(
    replica: Replica,
    *,
    prefill_tokens: Array | float,
    decode_sequences: Array | float,
    kv_tokens: Array | float,
    prefill_context: Array | float = 0.0,
) -> Array:
    """Time of one engine iteration [s], by the equation at the top of this module.

    Examples
    --------
    >>> numbers = (0.002, 0.001, 0.01, 1e-5, 1e-5, 1e-8, 0.0, 8192.0, 256.0, 1e6)
    >>> one = Replica(*(np.array([number]) for number in numbers))
    >>> round(float(step_s(one, prefill_tokens=0, decode_sequences=100, kv_tokens=1e5)[0]), 6)
    0.014
    """
    prefill = np.asarray(prefill_tokens, float)
    decode = np.asarray(decode_sequences, float)
    tokens = prefill + replica.decode_tokens * decode
    work_s = np.maximum(replica.weights_s, replica.token_s * tokens)
    step = replica.overhead_s + np.where(prefill > 0, replica.prefill_step_s, 0.0) + work_s
    attention_s = replica.kv_token_s * kv_tokens + replica.prefill_context_s * prefill_context
    return np.asarray(step + replica.sequence_s * decode + attention_s, float)
