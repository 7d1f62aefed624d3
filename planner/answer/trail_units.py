"""Both sides of a disaggregated unit in the sizing trail: memory, layouts, steps, transfer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.candidates.case import Case
from planner.candidates.enumerate import Configuration
from planner.candidates.shapes import usable_memory_bytes
from planner.perf import disaggregated
from planner.perf.replica import Replica, step_s
from planner.perf.steps import take
from planner.result import TrailItem
from planner.units import GIGA, MILLI, THOUSAND

Items = list[TrailItem]


@dataclass(frozen=True)
class Side:
    """Prefill or decode replicas of a unit."""

    name: str
    config: Configuration
    """With no decode part."""
    copies: int
    replica: Replica
    weights_gb: float
    overhead_gb: float
    kv_gb: float
    low_frac: float
    high_frac: float
    planned_frac: float

    @property
    def gpus(self) -> int:
        """Accelerators of a replica."""
        return self.config.gpus


def sides(case: Case, i: int) -> tuple[Side, ...]:
    """Prefill, then decode, of a unit at a position of the table; empty for anything else."""
    table, found = case.table, case.table.decoders
    config = table.configurations[i]
    if config.decode is None:
        return ()

    def side(
        name: str, one: Configuration, copies: int, replica: Replica, *figures: NDArray[np.float64]
    ) -> Side:
        weights, overhead, kv, low, high, planned = (float(figure[i]) for figure in figures)
        return Side(name, one, copies, take(replica, np.array([i])), weights / GIGA,
                    overhead / GIGA, kv / GIGA, low, high, planned)  # fmt: skip

    return (
        side("Prefill", replace(config, decode=None, prefill_replicas=1),
             config.prefill_replicas, table.replica, table.weights_bytes, table.overhead_bytes,
             table.kv_bytes, table.band_low_frac, table.band_high_frac, table.planned_frac),
        side("Decode", config.decode, config.decode_replicas, found.replica, found.weights_bytes,
             found.overhead_bytes, found.kv_bytes, found.band_low_frac, found.band_high_frac,
             found.planned_frac),
    )  # fmt: skip


def weights(case: Case, both: tuple[Side, ...]) -> Items:
    """Step 5."""
    row = case.catalog.quantizations[both[0].config.quantization]
    found = [_item("Stored bits a weight", row.bits_per_element, "bits",
                   "scales included; embeddings and output head bf16")]  # fmt: skip
    for one in both:
        found += [
            _item(f"{one.name}: weights on one accelerator", one.weights_gb, "GB"),
            _item(f"{one.name}: weights of a replica", one.weights_gb * one.gpus, "GB"),
        ]
    return found


def cache(case: Case, both: tuple[Side, ...], i: int) -> Items:
    """Step 6, with what of the cache moves."""
    found, table = Items(), case.table
    for one in both:
        tokens, most = float(one.replica.kv_tokens[0]), float(one.replica.sequences_max[0])
        found += [
            _item(f"{one.name}: left for the cache on one accelerator", one.kv_gb, "GB"),
            _item(f"{one.name}: tokens that a replica holds", tokens, "tokens"),
            _item(f"{one.name}: sequences in flight, most", most, "sequences"),
        ]
    lengths = table.lengths[table.configurations[i].demand_class]
    token, link = float(table.decoders.token_bytes[i]), float(table.decoders.link_bytes_s[i])
    return [
        *found,
        _item("Cache that moves, a prompt token", token / THOUSAND, "kB"),
        _item("Link of a prefill replica", link / GIGA, "GB/s",
              "network ports of the slower side, as far as the cache is split over them"),
        _item("Transfer of a mean prompt", token * lengths.input_mean / link / MILLI, "ms"),
        _item("Handover to the decode replica", float(table.decoders.handover_s[i]) / MILLI, "ms",
              "scheduling and notices; part of the time to first token"),
    ]  # fmt: skip


def fewest(case: Case, both: tuple[Side, ...]) -> Items:
    """Step 7."""
    found = Items()
    for one in both:
        row = case.catalog.accelerators[one.config.accelerator]
        room = one.weights_gb + one.kv_gb
        found += [
            _item(f"{one.name}: accelerator", row.title),
            _item(f"{one.name}: memory that the driver reports",
                  usable_memory_bytes(row) / GIGA, "GB"),
            _item(f"{one.name}: activations, graphs, framework", one.overhead_gb, "GB",
                  "each accelerator"),
            _item(f"{one.name}: fewest accelerators for the weights",
                  float(np.ceil(one.weights_gb * one.gpus / room)), "accelerators",
                  "before any cache"),
            _item(f"{one.name}: accelerators of a replica", float(one.gpus), "accelerators"),
        ]  # fmt: skip
    total = sum(one.gpus * one.copies for one in both)
    return [
        *found,
        _item(
            "Accelerators of a unit",
            float(total),
            "accelerators",
            " + ".join(f"{one.copies} {one.name.lower()} replicas" for one in both),
        ),
    ]


def parallelism(case: Case, both: tuple[Side, ...]) -> Items:
    """Step 9."""
    found = Items()
    for one in both:
        row = case.catalog.accelerators[one.config.accelerator]
        found += [
            _item(f"{one.name}: replicas of a unit", float(one.copies), "replicas"),
            _item(f"{one.name}: layout", one.config.layout, "", "TP x PP x DP x EP"),
            _item(f"{one.name}: fast-link domain", float(row.scaleup_domain_gpus), "accelerators",
                  row.scaleup_link),
        ]  # fmt: skip
    return found


def steps(case: Case, both: tuple[Side, ...], i: int) -> Items:
    """Step 10, after the engine."""
    prefill, decode = both
    table = case.table
    alone = step_s(decode.replica, prefill_tokens=0.0, decode_sequences=1.0, kv_tokens=0.0)
    return [
        _item("Prefill: tokens of one step, most", float(prefill.replica.budget_tokens[0]),
              "tokens", "prompts only"),
        _item("Prefill: step with a full chunk", float(table.full_step_s[i]) / MILLI, "ms"),
        _item("Decode: step with one sequence", float(alone[0]) / MILLI, "ms", "as planned"),
        _item("Decode: step, half of the sequences",
              float(table.decode_step_s[i]) / MILLI, "ms", "no prompt disturbs it"),
    ]  # fmt: skip


def limits(case: Case, i: int) -> Items:
    """Stability of each stage of a unit, in step 12."""
    lengths = case.table.lengths[case.table.configurations[i].demand_class]
    found = disaggregated.stage_limits(case.table.unit([i]), lengths)
    names = ("prefill replicas", "links", "decode replicas")
    return [
        _item(f"Stability limit of a unit's {name}", float(limit[0]), "requests/s")
        for name, limit in zip(names, found, strict=True)
        if np.isfinite(limit[0])
    ]


def bands(both: tuple[Side, ...], plan_at: str) -> Items:
    """Error of each side's step time and what is planned of it, in step 12."""
    return [item for one in both for item in _band(one, plan_at)]


def _band(one: Side, plan_at: str) -> Iterator[TrailItem]:
    yield _item(f"{one.name}: 80 % of measured steps",
                f"{one.low_frac:.2f} to {one.high_frac:.2f}", "x the estimate")  # fmt: skip
    yield _item(f"{one.name}: steps planned ({plan_at})", one.planned_frac, "x the estimate")


def _item(label: str, value: float | str, unit: str = "", note: str = "") -> TrailItem:
    return TrailItem(label=label, value=value, unit=unit, note=note)
