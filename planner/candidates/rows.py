"""Candidate rows of the plan and of `planner candidates`; milliseconds and 10^9 bytes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from planner.candidates.table import Table
from planner.result import CandidateRow, DecodeSide
from planner.units import GIGA, MILLI, THOUSAND

Array = NDArray[np.float64]
LABELS: dict[str, Literal["measured", "calibrated", "extrapolated"]] = {
    "measured": "measured",
    "calibrated": "calibrated",
    "extrapolated": "extrapolated",
}
CHOSEN = (
    "model", "accelerator", "quantization", "kv_dtype", "engine", "tp", "pp", "ep", "dp", "mode",
    "draft", "gpus", "prefill_replicas",
)  # fmt: skip
"""Fields of a row that are the configuration's own."""
FIGURES = {
    "weights_gb": ("weights_bytes", GIGA),
    "overhead_gb": ("overhead_bytes", GIGA),
    "kv_gb": ("kv_bytes", GIGA),
    "kv_tokens": ("kv_tokens", 1.0),
    "sequences_max": ("sequences_max", 1.0),
    "decode_step_ms": ("decode_step_s", MILLI),
    "full_step_ms": ("full_step_s", MILLI),
    "ttft_zero_load_ms": ("ttft_zero_s", MILLI),
    "tpot_zero_load_ms": ("tpot_zero_s", MILLI),
    "e2e_zero_load_ms": ("e2e_zero_s", MILLI),
    "lambda_star_rps": ("lambda_star_rps", 1.0),
    "stability_rps": ("stability_rps", 1.0),
    "rate_rps": ("rate_rps", 1.0),
    "offset_rps": ("offset_rps", 1.0),
    "correction_ratio": ("correction_ratio", 1.0),
    "band_low_frac": ("band_low_frac", 1.0),
    "band_high_frac": ("band_high_frac", 1.0),
    "planned_frac": ("planned_frac", 1.0),
    "kv_wait_frac": ("kv_wait_frac", 1.0),
    "preempted_frac": ("preempted_frac", 1.0),
}
"""Figures of a row: array of the table, and the unit in which it is shown."""


def rows(table: Table, usd_per_mtoken: Array, ways: tuple[str, ...]) -> list[CandidateRow]:
    """One for each configuration."""
    small, simulated = table.small_rps, table.simulated
    return [
        _row(
            table, i, small_rps=[] if np.isnan(small[i]).any() else small[i].tolist(),
            simulated=bool(simulated[i]), usd_per_mtoken=known(usd_per_mtoken[i]),
            usd_per_mtoken_way=ways[i],
        )
        for i in range(len(table.configurations))
    ]  # fmt: skip


def _row(table: Table, i: int, **more: Any) -> CandidateRow:
    config, rate = table.configurations[i], table.rate_rps[i]
    tokens = table.lengths[config.demand_class].output_mean
    chosen: dict[str, Any] = {name: getattr(config, name) for name in CHOSEN}
    figures: dict[str, Any] = {
        name: known(getattr(table, of)[i], unit) for name, (of, unit) in FIGURES.items()
    }
    return CandidateRow(
        id=table.names[i],
        demand_class=table.classes[config.demand_class],
        shares_with=[table.classes[d] for d in config.shared_by if d != config.demand_class],
        decode=_decode_side(table, i),
        feasible=not table.reasons[i],
        reason=table.reasons[i],
        recovery_frac=known(config.recovery_frac),
        rate_low_rps=known(rate * table.slow_ratio[i]),
        rate_high_rps=known(rate * table.fast_ratio[i]),
        binding=table.bindings[i],
        output_tokens_per_s_per_gpu=known(rate * tokens / config.gpus),
        pruned_by=table.pruned_by[i],
        label=LABELS[table.labels[i]],
        **chosen,
        **figures,
        **more,
    )


def _decode_side(table: Table, i: int) -> DecodeSide | None:
    config, found = table.configurations[i].decode, table.decoders
    if config is None:
        return None
    return DecodeSide(
        accelerator=config.accelerator,
        tp=config.tp,
        pp=config.pp,
        ep=config.ep,
        dp=config.dp,
        replicas=table.configurations[i].decode_replicas,
        weights_gb=float(found.weights_bytes[i]) / GIGA,
        overhead_gb=float(found.overhead_bytes[i]) / GIGA,
        kv_gb=float(found.kv_bytes[i]) / GIGA,
        kv_tokens=float(found.kv_tokens[i]),
        sequences_max=float(found.sequences_max[i]),
        correction_ratio=float(found.correction_ratio[i]),
        band_low_frac=float(found.band_low_frac[i]),
        band_high_frac=float(found.band_high_frac[i]),
        planned_frac=float(found.planned_frac[i]),
        moved_kb_per_token=float(found.token_bytes[i]) / THOUSAND,
        link_gb_per_s=float(found.link_bytes_s[i]) / GIGA,
        handover_ms=float(found.handover_s[i]) / MILLI,
    )


def known(value: float, unit: float = 1.0) -> float | None:
    """The value in a unit, None where it was never computed."""
    return None if np.isnan(value) else float(value) / unit
