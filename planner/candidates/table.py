"""Table: every evaluated configuration as arrays, one entry a configuration.

Seconds, bytes and requests a second; NaN where a refused configuration was never computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.candidates.enumerate import Configuration
from planner.perf.disaggregated import Transfer, Unit
from planner.perf.lengths import Lengths
from planner.perf.replica import Replica, slowed
from planner.perf.speculative import in_steps
from planner.perf.steps import take

Array = NDArray[np.float64]
SMALL_SIZES = (1, 2, 3)
"""Pools that enter the optimizer with what they carry, not by the line."""
CLOSE_FRAC = 0.01
"""The line is close where it lies less than this share below what a pool carries."""


@dataclass(frozen=True)
class Decoders:
    """Decode sides of disaggregated units; arrays (configurations,), NaN for all others."""

    replica: Replica
    weights_bytes: Array
    overhead_bytes: Array
    kv_bytes: Array
    kv_tokens: Array
    sequences_max: Array
    correction_ratio: Array
    band_low_frac: Array
    band_high_frac: Array
    planned_frac: Array
    token_bytes: Array
    """Cache of a prompt token that moves."""
    link_bytes_s: Array
    """From a prefill replica to a decode replica."""
    handover_s: Array
    """From the last byte to the decode replica's turn."""


TOO_FEW = "keeps its promise in no pool as small as the traffic needs"
"""Reason of a configuration whose capacity line carries nothing."""


@dataclass(frozen=True)
class Table:
    """Configurations with what the performance model says of them; arrays (configurations,)."""

    configurations: tuple[Configuration, ...]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    reasons: tuple[str, ...]
    """Empty where it can serve."""
    labels: tuple[str, ...]
    """measured, calibrated or extrapolated"""
    bindings: tuple[str, ...]
    pruned_by: tuple[str, ...]
    """Name of a configuration at least as good in everything; empty if kept."""
    weights_bytes: Array
    """On one accelerator."""
    overhead_bytes: Array
    kv_bytes: Array
    """Left for the cache on one accelerator."""
    kv_tokens: Array
    """Of the replica."""
    sequences_max: Array
    decode_step_s: Array
    full_step_s: Array
    ttft_zero_s: Array
    tpot_zero_s: Array
    e2e_zero_s: Array
    """nan where it is not promised."""
    lambda_star_rps: Array
    """One replica alone."""
    stability_rps: Array
    pool_sizes: tuple[int, ...]
    pool_rps: Array
    """(configurations, pool sizes): promised rate a replica in pools of that size."""
    rate_rps: Array
    """Slope of the pool's line."""
    offset_rps: Array
    request_s: Array
    """Server and client path of a request outside the engine's steps; part of every TTFT."""
    correction_ratio: Array
    """Step time by one's own measurements over the model's; 1 where there are none."""
    band_low_frac: Array
    """A tenth of measurements lies below this share of the corrected step time."""
    band_high_frac: Array
    """A tenth lies above this multiple of it."""
    planned_frac: Array
    """Step time planned over the corrected one: the quantile of the band planned at."""
    slow_ratio: Array
    """Promised rate in a large pool with steps at the slow end of the band, over the planned."""
    fast_ratio: Array
    """The same at the fast end."""
    kv_wait_frac: Array
    """Probability that a request waits for cache at the promised rate of a large pool."""
    replica: Replica
    """As planned; NaN rows where refused. Of a disaggregated unit one that computes prompts, as
    are weights, cache and band."""
    decoders: Decoders
    lengths: tuple[Lengths, ...]
    """(classes,)"""
    simulated_ratio: Array
    """Rate in simulation / by the formulas, of a large pool; NaN where not simulated."""
    most_ratio: Array
    """(configurations, pool sizes): most that simulation may give over the formulas' rate of
    `pool_rps`; inf where nothing says so."""
    preempted_frac: Array
    """Share of requests that gave their cache back in simulation; NaN where not simulated."""
    least: Array
    """Fewest replicas of a pool that is planned with."""

    def unit(self, at: Sequence[int]) -> Unit:
        """Disaggregated units at positions of the table."""
        index, found = np.array(at, np.int64), self.decoders
        configs = [self.configurations[i] for i in index.tolist()]
        return Unit(
            prefill=take(self.replica, index),
            decode=take(found.replica, index),
            prefill_replicas=np.array([float(c.prefill_replicas) for c in configs]),
            decode_replicas=np.array([float(c.decode_replicas) for c in configs]),
            transfer=Transfer(
                found.token_bytes[index], found.link_bytes_s[index], found.handover_s[index]
            ),
        )

    def serving(self, i: int, end: Array | None = None) -> Replica | Unit:
        """What serves at a position: a replica, or a unit of both kinds.

        Parameters
        ----------
        end : `band_low_frac` or `band_high_frac`: its steps at that end of the band.
        """
        one = take(self.replica, np.array([i]))
        if self.configurations[i].decode is None:
            return one if end is None else slowed(one, end[i] / self.planned_frac[i])
        unit, found = self.unit([i]), self.decoders
        if end is None:
            return unit
        of_decode = found.band_low_frac if end is self.band_low_frac else found.band_high_frac
        return replace(
            unit,
            prefill=slowed(unit.prefill, end[i] / self.planned_frac[i]),
            decode=slowed(unit.decode, of_decode[i] / found.planned_frac[i]),
        )

    def pool(self, i: int) -> list[int]:
        """Positions of the candidates that share the pools of one, itself among them."""
        own = self.configurations[i].shared
        return [i] if own is None else self._mixes[own]

    @cached_property
    def _mixes(self) -> dict[Configuration, list[int]]:
        """Positions of each mix's candidates, by what they have in common."""
        found: dict[Configuration, list[int]] = {}
        for i, config in enumerate(self.configurations):
            if config.shared is not None:
                found.setdefault(config.shared, []).append(i)
        return found

    def in_steps(self, i: int) -> Lengths:
        """Lengths of a configuration's class with answers counted in its decode steps."""
        gain = float(self.replica.decode_gain[i])
        return in_steps(self.lengths[self.configurations[i].demand_class], gain)

    @property
    def small_rps(self) -> Array:
        """What pools of `SMALL_SIZES` carry, (configurations, 3): the line's where it is close.

        Nothing where they have fewer replicas than a pool may have.
        """
        sizes = np.array(SMALL_SIZES, float)
        tabulated = self.pool_rps[:, [self.pool_sizes.index(k) for k in SMALL_SIZES]] * sizes
        tabulated = np.where(sizes < self.least[:, None], 0.0, tabulated)
        line = np.maximum(self.rate_rps[:, None] * sizes - self.offset_rps[:, None], 0.0)
        close = line >= (1 - CLOSE_FRAC) * tabulated
        return np.asarray(np.where(close, line, tabulated), float)

    @property
    def simulated(self) -> NDArray[np.bool_]:
        """Whether rates come from simulation, not from the formulas."""
        return ~np.isnan(self.simulated_ratio)

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """Those that can serve."""
        return np.array([not reason for reason in self.reasons], bool)

    def formulaic(self, used: Sequence[int], online: Sequence[bool]) -> list[int]:
        """Used positions of online classes (flags by class) whose rates simulation may replace.

        It does not know static batches: their rates stay the formulas'.
        """
        simulated = self.simulated
        return [
            i
            for i in used
            if online[self.configurations[i].demand_class]
            and not simulated[i]
            and self.configurations[i].measured_rps is None
            and self.configurations[i].mode != "static"
        ]

    @property
    def kept(self) -> NDArray[np.intp]:
        """Positions of feasible configurations that nothing dominates: the Problem's candidates."""
        pruned = np.array([bool(by) for by in self.pruned_by], bool)
        return np.flatnonzero(self.feasible & (self.rate_rps > 0) & ~pruned)
