"""Streams of requests: gaps, lengths, prefix hits and routing draws, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

PIECE = 16_384
"""Requests drawn at a time: what memory a long run needs."""


NONE_UNSEEN = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Requests:
    """What requests look like: one is drawn from the samples; all (samples,)."""

    prompts: Whole
    answers: Whole
    hits: Whole
    """Prompt tokens found in the prefix cache."""
    weights: Array | None = None
    """Chance of each sample, sum 1; None where each is as likely."""
    unseen: Whole = field(default_factory=lambda: NONE_UNSEEN)
    """1 for samples that no statistics count; empty for none."""

    def pick(self, draw: np.random.Generator, size: int) -> Whole:
        """Positions of samples, drawn."""
        if self.weights is None:
            return draw.integers(self.prompts.size, size=size)
        borders = np.cumsum(self.weights)
        found = np.searchsorted(borders, draw.random(size) * borders[-1], side="right")
        return np.asarray(np.minimum(found, borders.size - 1), np.int64)


def requests_of(
    input_tokens: Array, output_tokens: Array, *, prefix_hit_frac: float = 0.0
) -> Requests:
    """Whole tokens of the samples given, each with the same share of its prompt in the cache.

    Raises
    ------
    ValueError
        Where shapes differ, there is no sample, a length is below 1 or the share out of [0, 1).
    """
    prompts = np.rint(np.atleast_1d(np.asarray(input_tokens, float))).astype(np.int64)
    answers = np.rint(np.atleast_1d(np.asarray(output_tokens, float))).astype(np.int64)
    if prompts.shape != answers.shape or prompts.ndim != 1 or prompts.size == 0:
        raise ValueError("input and output tokens must be two lists of one length, not empty")
    if min(prompts.min(), answers.min()) < 1:
        raise ValueError("every request has at least one token of input and of output")
    if not 0 <= prefix_hit_frac < 1:
        raise ValueError(f"prefix_hit_frac must be in [0, 1), got {prefix_hit_frac}")
    return Requests(prompts, answers, (prompts * prefix_hit_frac).astype(np.int64))


class Piece(NamedTuple):
    """Consecutive requests of a stream; arrays (requests,)."""

    offset: int
    """Number of the first within the stream."""
    times_s: Array
    prompts: Whole
    answers: Whole
    hits: Whole
    draws: Array
    """Uniform in [0, 1), for routing."""
    homes: Whole
    """Replica that holds the prefix."""
    unseen: Whole = NONE_UNSEEN
    """1 for those that no statistics count, such as other classes' requests; empty for none."""


def stream(
    requests: Requests,
    *,
    rate_rps: float,
    arrival_cv: float,
    cuts: Sequence[int],
    replicas: int,
    seed: int,
) -> Iterator[Piece]:
    """Renewal stream with gamma-distributed gaps; inf requests a second arrive all at once.

    The same seed gives the same requests at every rate, with times stretched: rates are compared
    on common random numbers. It ends with the last of `cuts`; no piece reaches across one.
    """
    draw = np.random.default_rng(seed)
    shape = 1.0 / arrival_cv**2
    last, offset = 0.0, 0
    while offset < cuts[-1]:
        size = min(PIECE, min(cut for cut in cuts if cut > offset) - offset)
        gaps = draw.standard_gamma(shape, size) / shape
        picks = requests.pick(draw, size)
        times = last + np.cumsum(gaps)
        last = float(times[-1])
        yield Piece(
            offset=offset,
            times_s=times / rate_rps,
            prompts=requests.prompts[picks],
            answers=requests.answers[picks],
            hits=requests.hits[picks],
            draws=draw.random(size),
            homes=draw.integers(replicas, size=size),
            unseen=requests.unseen[picks] if requests.unseen.size else NONE_UNSEEN,
        )
        offset += size
