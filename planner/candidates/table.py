"""Table: every evaluated configuration as arrays, one entry a configuration.

Seconds, bytes and requests a second; NaN where a refused configuration was never computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from planner.candidates.enumerate import Configuration
from planner.perf.lengths import Lengths
from planner.perf.replica import Replica
from planner.perf.speculative import in_steps
from planner.result import CandidateRow
from planner.units import GIGA, MILLI

Array = NDArray[np.float64]
LABELS: dict[str, Literal["measured", "calibrated", "extrapolated"]] = {
    "measured": "measured",
    "calibrated": "calibrated",
    "extrapolated": "extrapolated",
}


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
    """As planned; NaN rows where refused."""
    lengths: tuple[Lengths, ...]
    """(classes,)"""
    simulated_ratio: Array
    """Rate in simulation / by the formulas, of a large pool; NaN where not simulated."""
    most_ratio: Array
    """(configurations, pool sizes): most that simulation may give over the formulas' rate of
    `pool_rps`; inf where nothing says so."""
    preempted_frac: Array
    """Share of requests that gave their cache back in simulation; NaN where not simulated."""

    def in_steps(self, i: int) -> Lengths:
        """Lengths of a configuration's class with answers counted in its decode steps."""
        gain = float(self.replica.decode_gain[i])
        return in_steps(self.lengths[self.configurations[i].demand_class], gain)

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
        return np.flatnonzero(self.feasible & ~pruned)


def rows(table: Table, usd_per_mtoken: Array, ways: tuple[str, ...]) -> list[CandidateRow]:
    """Candidate rows of the plan and of `planner candidates`; milliseconds and 10^9 bytes."""
    found = []
    for i, config in enumerate(table.configurations):
        tokens = table.lengths[config.demand_class].output_mean
        found.append(
            CandidateRow(
                id=table.names[i],
                demand_class=table.classes[config.demand_class],
                model=config.model,
                accelerator=config.accelerator,
                quantization=config.quantization,
                kv_dtype=config.kv_dtype,
                engine=config.engine,
                tp=config.tp,
                pp=config.pp,
                ep=config.ep,
                dp=config.dp,
                mode=config.mode,
                draft=config.draft,
                gpus=config.gpus,
                feasible=not table.reasons[i],
                reason=table.reasons[i],
                recovery_frac=known(config.recovery_frac),
                weights_gb=known(table.weights_bytes[i], GIGA),
                overhead_gb=known(table.overhead_bytes[i], GIGA),
                kv_gb=known(table.kv_bytes[i], GIGA),
                kv_tokens=known(table.kv_tokens[i]),
                sequences_max=known(table.sequences_max[i]),
                decode_step_ms=known(table.decode_step_s[i], MILLI),
                full_step_ms=known(table.full_step_s[i], MILLI),
                ttft_zero_load_ms=known(table.ttft_zero_s[i], MILLI),
                tpot_zero_load_ms=known(table.tpot_zero_s[i], MILLI),
                lambda_star_rps=known(table.lambda_star_rps[i]),
                stability_rps=known(table.stability_rps[i]),
                rate_rps=known(table.rate_rps[i]),
                offset_rps=known(table.offset_rps[i]),
                rate_low_rps=known(table.rate_rps[i] * table.slow_ratio[i]),
                rate_high_rps=known(table.rate_rps[i] * table.fast_ratio[i]),
                correction_ratio=known(table.correction_ratio[i]),
                band_low_frac=known(table.band_low_frac[i]),
                band_high_frac=known(table.band_high_frac[i]),
                planned_frac=known(table.planned_frac[i]),
                binding=table.bindings[i],
                simulated=bool(table.simulated[i]),
                kv_wait_frac=known(table.kv_wait_frac[i]),
                preempted_frac=known(table.preempted_frac[i]),
                output_tokens_per_s_per_gpu=known(table.rate_rps[i] * tokens / config.gpus),
                usd_per_mtoken=known(usd_per_mtoken[i]),
                usd_per_mtoken_way=ways[i],
                pruned_by=table.pruned_by[i],
                label=LABELS[table.labels[i]],
            )
        )
    return found


def known(value: float, unit: float = 1.0) -> float | None:
    """The value in a unit, None where it was never computed."""
    return None if np.isnan(value) else float(value) / unit
