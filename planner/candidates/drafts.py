"""Drafts of speculative candidates as arrays: what they yield, read and take in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.candidates.enumerate import Configuration
from planner.perf.replica import Replica
from planner.perf.speculative import tokens_per_step, with_draft
from planner.schema.catalog import Catalog, Speculator
from planner.units import GIGA

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Drafts:
    """One entry a configuration; that of one without a draft changes nothing."""

    drafted: Array
    """Tokens drafted for each step."""
    gain: Array
    """Tokens that a step yields."""
    layers: Array
    """Of the model."""
    params_frac: Array
    """Parameters that the draft reads for a token over those that the model does."""
    bytes_per_gpu: Array
    """Weights of the draft on one accelerator, split like the model's."""

    @property
    def decode_tokens(self) -> Array:
        """Tokens that a decoding sequence computes in a step."""
        return 1.0 + self.drafted

    def cache_left(self, kv_tokens: Array) -> Array:
        """Tokens that a cache holds where the draft's layer keeps its own keys and values too."""
        return np.where(self.drafted > 0, kv_tokens / (1.0 + 1.0 / self.layers), kv_tokens)

    def added_to(self, replica: Replica) -> Replica:
        """The replica with the draft's time in its steps."""
        if not self.drafted.any():
            return replica
        return with_draft(
            replica, drafted=self.drafted, gain=self.gain, layers=self.layers,
            params_frac=self.params_frac,
        )  # fmt: skip


def drafts_of(configs: Sequence[Configuration], catalog: Catalog) -> Drafts:
    """Drafts of configurations, in their order."""
    rows = [catalog.speculators[c.draft] if c.draft else None for c in configs]

    def of(pick: Callable[[Speculator, Configuration], float], without: float) -> Array:
        pairs = zip(rows, configs, strict=True)
        return np.array([without if row is None else pick(row, c) for row, c in pairs])

    return Drafts(
        drafted=of(lambda row, c: row.drafted_tokens, 0.0),
        gain=of(lambda row, c: tokens_per_step(row.acceptance_frac, row.drafted_tokens), 1.0),
        layers=np.array([float(catalog.models[c.model].layers) for c in configs]),
        params_frac=of(
            lambda row, c: row.params_read_b / catalog.models[c.model].active_params_b, 0.0
        ),
        bytes_per_gpu=of(
            lambda row, c: row.params_b * GIGA * row.bytes_per_param / c.gpus, 0.0
        ),
    )  # fmt: skip
