"""Lengths: what the queueing formulas need to know of a class's prompts and answers.

Moments are those of the samples; the distribution itself enters as quantile nodes, refined
towards the tail, so that percentiles over requests are sums over nodes. One class at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

NODES = 24
"""Cells of probability: half of them below the 90th percentile, half above."""
BODY_FRAC = 0.9
LAST_CELL_FRAC = 0.002
"""Share of requests in the outermost cell."""
CHUNK_GRID = 256
CHUNK_SAMPLES = 4096
"""Quantiles that stand for the samples when chunks are counted."""


@dataclass(frozen=True)
class Lengths:
    """Token lengths of one class; nodes have shape (nodes,), everything else is a number."""

    weights: Array
    """Probability of each node, sum 1."""
    input_tokens: Array
    """Mean prompt within each cell, ascending."""
    output_tokens: Array
    """Mean answer within each cell, ascending."""
    total_tokens: Array
    """Mean prompt + answer within each cell, ascending: what a request holds at its end."""
    prefix_hit_frac: float
    """Share of prompt tokens found in the prefix cache."""
    input_mean: float
    input_square: float
    """E[I^2]"""
    input_cube: float
    """E[I^3]"""
    output_mean: float
    decode_steps: float
    """E[O - 1]: the first token comes with the prompt."""
    output_scv: float
    """Squared coefficient of variation of O."""
    kv_steps: float
    """E[I (O-1) + (O-1) O / 2]: cached tokens read over a request's decode."""
    kv_steps_scv: float
    kv_square_steps: float
    """E[((I+O)^3 - I^3) / 3]: sum over decode of the square of the tokens held."""
    chunk_budgets: Array
    """Grid for `extra_chunks`, ascending."""
    chunk_counts: Array
    """E[ceil(I' / budget)] - 1 on that grid, I' the prompt tokens to compute."""

    @property
    def computed(self) -> float:
        """E[I']: prompt tokens that are computed, not found in the prefix cache."""
        return self.input_mean * (1.0 - self.prefix_hit_frac)

    @property
    def computed_tokens(self) -> Array:
        """I' of each node."""
        return self.input_tokens * (1.0 - self.prefix_hit_frac)

    @property
    def context_tokens(self) -> Array:
        """Prompt-token x context pairs of each node's own attention: I^2 (1 - hit^2) / 2."""
        return self.input_tokens**2 * (1.0 - self.prefix_hit_frac**2) / 2.0

    @property
    def context_mean(self) -> float:
        """Mean of `context_tokens` over requests."""
        return self.input_square * (1.0 - self.prefix_hit_frac**2) / 2.0

    @property
    def context_rate(self) -> float:
        """Mean context that a token of a full chunk attends to: E[I^2] / (2 E[I])."""
        return self.input_square / (2.0 * self.input_mean)

    @property
    def square_ratio(self) -> float:
        """E[I^2] over its value at the nodes: what the cells' means lose of the spread."""
        return self.input_square / float(self.weights @ self.input_tokens**2)

    @property
    def cube_ratio(self) -> float:
        """E[I^3] over its value at the nodes."""
        return self.input_cube / float(self.weights @ self.input_tokens**3)

    def extra_chunks(self, budget: Array) -> Array:
        """Whole budgets that a prompt fills before its last chunk, mean over requests."""
        return np.asarray(np.interp(budget, self.chunk_budgets, self.chunk_counts), float)

    def request_tokens(self, percentile: float) -> float:
        """Prompt + answer at `percentile` (0..1), linear between the cells' middles."""
        middles = np.cumsum(self.weights) - self.weights / 2
        return float(np.interp(percentile, middles, self.total_tokens))


def from_samples(
    input_tokens: ArrayLike, output_tokens: ArrayLike, prefix_hit_frac: float = 0.0
) -> Lengths:
    """Lengths of the requests given, each with its prompt and its answer.

    Parameters
    ----------
    input_tokens, output_tokens : one entry a request, at least 1 each.
    prefix_hit_frac : share of every prompt found in the prefix cache, 0 <= frac < 1.

    Raises
    ------
    ValueError
        Where shapes differ, a length is below 1 or not finite, or the share is out of range.

    Examples
    --------
    >>> two = from_samples([100, 300], [11, 11])
    >>> two.input_mean, two.decode_steps, two.kv_steps  # 200 x 10 + 10 x 11 / 2
    (200.0, 10.0, 2055.0)
    """
    prompt = np.atleast_1d(np.asarray(input_tokens, float))
    answer = np.atleast_1d(np.asarray(output_tokens, float))
    _check(prompt, answer, prefix_hit_frac)
    reads = prompt * (answer - 1) + (answer - 1) * answer / 2
    index = _cells(prompt.size)
    budgets, counts = _chunk_table(prompt * (1.0 - prefix_hit_frac))
    return Lengths(
        weights=np.diff(index) / prompt.size,
        input_tokens=_cell_means(prompt, index),
        output_tokens=_cell_means(answer, index),
        total_tokens=_cell_means(prompt + answer, index),
        prefix_hit_frac=float(prefix_hit_frac),
        input_mean=float(prompt.mean()),
        input_square=float((prompt**2).mean()),
        input_cube=float((prompt**3).mean()),
        output_mean=float(answer.mean()),
        decode_steps=float(answer.mean() - 1.0),
        output_scv=_scv(answer),
        kv_steps=float(reads.mean()),
        kv_steps_scv=_scv(reads),
        kv_square_steps=float((((prompt + answer) ** 3 - prompt**3) / 3.0).mean()),
        chunk_budgets=budgets,
        chunk_counts=counts,
    )


def _check(prompt: Array, answer: Array, prefix_hit_frac: float) -> None:
    if prompt.shape != answer.shape or prompt.ndim != 1 or prompt.size == 0:
        raise ValueError("input and output tokens must be two lists of one length, not empty")
    both = np.concatenate([prompt, answer])
    if not np.all(np.isfinite(both)) or both.min() < 1:
        raise ValueError("every request has at least one token of input and of output")
    if not 0 <= prefix_hit_frac < 1:
        raise ValueError(f"prefix_hit_frac must be in [0, 1), got {prefix_hit_frac}")


def _scv(values: Array) -> float:
    mean = float(values.mean())
    return float(values.var()) / mean**2 if mean > 0 else 0.0


def _cells(count: int) -> NDArray[np.int64]:
    """Borders of the cells as positions in the sorted samples; empty cells are dropped."""
    half = NODES // 2
    tail = (1.0 - BODY_FRAC) * np.geomspace(1.0, LAST_CELL_FRAC / (1.0 - BODY_FRAC), half)
    borders = np.concatenate([np.linspace(0.0, BODY_FRAC, half + 1), 1.0 - tail[1:], [1.0]])
    return np.unique(np.rint(borders * count).astype(np.int64))


def _cell_means(values: Array, index: NDArray[np.int64]) -> Array:
    sums = np.concatenate([[0.0], np.cumsum(np.sort(values))])
    return np.asarray(np.diff(sums[index]) / np.diff(index), float)


def _chunk_table(computed: Array) -> tuple[Array, Array]:
    """E[ceil(I'/budget)] - 1 on a geometric grid of budgets up to the longest prompt."""
    ordered = np.sort(computed)
    if ordered.size > CHUNK_SAMPLES:
        ordered = ordered[
            ((np.arange(CHUNK_SAMPLES) + 0.5) / CHUNK_SAMPLES * ordered.size).astype(int)
        ]
    longest = max(float(computed.max()), 2.0)
    budgets = np.geomspace(1.0, longest, CHUNK_GRID)
    # A prompt equal to the budget is one chunk, whatever rounding the grid carries.
    chunks = np.ceil(ordered[None, :] / budgets[:, None] - 1e-9)
    return budgets, np.asarray(chunks.mean(axis=1) - 1.0, float)
