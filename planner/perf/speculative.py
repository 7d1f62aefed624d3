r"""Speculative decoding: a draft proposes tokens, one step of the model verifies all of them.

With g drafted tokens, each accepted with probability a given that those before it were, a step
yields

.. math:: E = \frac{1 - a^{g+1}}{1 - a}

tokens of an answer in the mean and computes g + 1 of them. To the queue a sequence is one that
takes (O - 1) / E steps after its first token, so the formulas are asked in steps (`in_steps`) and
a promise per token becomes E times that per step. Where g + 1 tokens of every sequence keep the
arithmetic busy, nothing is won: `Replica.decode_tokens` says so in every step.

Acceptance is taken to be the same for every request and every place in the draft; the spread
between requests, which widens the tail of the time per token, is not in it.

References
----------
Leviathan, Kalman, Matias, Fast inference from transformers via speculative decoding, ICML 2023,
equation 1.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.perf.lengths import Lengths
from planner.perf.replica import Replica

Array = NDArray[np.float64]


def tokens_per_step(acceptance_frac: float, drafted: int) -> float:
    """Tokens that an answer gains in a step that verifies so many drafted ones, in the mean.

    Raises
    ------
    ValueError
        Where the share is not in [0, 1) or fewer than one token is drafted.

    Examples
    --------
    Half are accepted, two are drafted: 1 + 1/2 + 1/4.

    >>> tokens_per_step(0.5, 2)
    1.75
    """
    if not (0 <= acceptance_frac < 1 and drafted >= 1):
        raise ValueError(f"acceptance {acceptance_frac} of {drafted} drafted tokens")
    return float((1.0 - acceptance_frac ** (drafted + 1)) / (1.0 - acceptance_frac))


def in_steps(lengths: Lengths, gain: float) -> Lengths:
    """The class with answers counted in decode steps that each gain so many tokens.

    Tokens held at the end, and the tokens that a step reads, stay what they are.

    Examples
    --------
    An answer of 21 tokens is one with the prompt and 10 steps of two.

    >>> from planner.perf.lengths import from_samples
    >>> in_steps(from_samples([100.0], [21.0]), 2.0).decode_steps
    10.0
    """
    if gain == 1.0:
        return lengths
    steps = 1.0 + (lengths.output_mean - 1.0) / gain
    variance = lengths.output_scv * lengths.output_mean**2 / gain**2
    return replace(
        lengths,
        output_tokens=1.0 + (lengths.output_tokens - 1.0) / gain,
        output_mean=steps,
        output_scv=variance / steps**2,
        decode_steps=lengths.decode_steps / gain,
        kv_steps=lengths.kv_steps / gain,
        kv_square_steps=lengths.kv_square_steps / gain,
    )


def with_draft(
    replica: Replica, *, drafted: Array, gain: Array, layers: Array, params_frac: Array
) -> Replica:
    """The replica with the time of its draft, which runs once for each drafted token.

    Each run launches one layer and reads the draft's weights; its arithmetic, on the prompt too,
    comes on top of each token's. Both are added, not overlapped: the replica errs slow.

    Parameters
    ----------
    replica : its decode_tokens are 1 + drafted already (`reduce.reduce_to_replica`).
    drafted : tokens, 0 without a draft; all (candidates,).
    gain : tokens that a step yields, 1 without a draft.
    layers : of the model, one of which costs what the draft's only layer does.
    params_frac : parameters the draft reads for a token over those that the model does.

    Examples
    --------
    Two runs of a draft with a tenth of the weights beside 4 layers: 2 x (0.4 / 4 + 0.1 x 1).

    >>> one = Replica(*(np.array([x]) for x in (0.4, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 99.0, 9.0, 9.0)))
    >>> slower = with_draft(one, drafted=np.array([2.0]), gain=np.array([1.75]),
    ...                     layers=np.array([4.0]), params_frac=np.array([0.1]))
    >>> round(float(slower.overhead_s[0]), 9), float(slower.decode_gain[0])
    (0.8, 1.75)
    """
    each_s = replica.overhead_s / layers + params_frac * replica.weights_s
    return replace(
        replica,
        overhead_s=replica.overhead_s + drafted * each_s,
        token_s=replica.token_s * (1.0 + params_frac),
        decode_gain=gain,
    )
