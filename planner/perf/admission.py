"""Admission: waiting for room in the KV cache, or for a free sequence slot.

Whichever of the two is fuller limits; its occupancy is gamma-distributed around the mean, and a
request that meets it full waits an exponential time that grows towards the stability limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from planner.perf.arrivals import Arrivals
from planner.perf.decode_tail import Spread, gamma_tail
from planner.perf.lengths import Lengths
from planner.perf.prefill_queue import Service
from planner.perf.replica import Replica

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

TINY = 1e-200
SKEW_MAX = 5.0
"""Most by which queueing multiplies the chance to meet a full cache."""


@dataclass(frozen=True)
class Occupancy:
    """Mean use of the cache and of the sequence slots, prefill included."""

    kv_tokens: Array
    sequences: Array
    kv_frac: Array
    sequence_frac: Array

    @property
    def fullest_frac(self) -> Array:
        """Use of the scarcer of the two."""
        return np.maximum(self.kv_frac, self.sequence_frac)


@dataclass(frozen=True)
class Blocking:
    """Chance to meet no room, and the mean wait then (exponential)."""

    prob: Array
    mean_s: Array


def occupancy(
    replica: Replica,
    lengths: Lengths,
    *,
    rate_rps: Array,
    sequences: Array,
    kv_tokens: Array,
    service: Service,
) -> Occupancy:
    """Decode's share plus prompts in prefill, whose cache is reserved at admission."""
    held = service.mean_s @ (lengths.weights * lengths.input_tokens)
    tokens = kv_tokens + rate_rps * held
    active = sequences + rate_rps * (service.mean_s @ lengths.weights)
    return Occupancy(tokens, active, tokens / replica.kv_tokens, active / replica.sequences_max)


def blocking(
    replica: Replica,
    lengths: Lengths,
    arrivals: Arrivals,
    *,
    rate_rps: Array,
    stability_rps: Array,
    occupied: Occupancy,
    spread: Spread,
) -> Blocking:
    """Wait for room of a request that meets the cache or the slots full.

    Halfin-Whitt delay probability, raised to the gamma tail of the occupancy where that is
    heavier; mean wait (ca2 + cs2) / (2 (stability - rate)), cs2 of what a request holds.
    """
    by_kv = occupied.kv_frac > occupied.sequence_frac
    mean = np.where(by_kv, occupied.kv_tokens, occupied.sequences)
    sd = np.maximum(np.where(by_kv, spread.kv_tokens, spread.sequences), 1e-9)
    own = 0.5 * lengths.input_square / lengths.input_mean
    room = np.maximum(np.where(by_kv, replica.kv_tokens - own, replica.sequences_max), 1.0)
    beta = np.maximum((room - mean) / sd, 1e-3)
    density = np.exp(-(beta**2) / 2.0) / np.sqrt(2.0 * np.pi)
    queued = 1.0 / (1.0 + beta * special.ndtr(beta) / np.maximum(density, TINY))
    heavier = np.minimum(queued / np.maximum(special.ndtr(-beta), TINY), SKEW_MAX)
    prob = np.clip(np.maximum(queued, gamma_tail(room, mean, sd**2) * heavier), 0.0, 1.0)
    held_scv = np.where(by_kv, lengths.kv_steps_scv, lengths.output_scv)
    spare_rps = np.maximum(stability_rps - rate_rps, 1e-3 * stability_rps)
    return Blocking(prob, (arrivals.scv + held_scv) / 2.0 / spare_rps)
