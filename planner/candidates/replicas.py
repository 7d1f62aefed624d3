"""One replica of each configuration as the performance model sees it: memory, steps, their band.

Refusals come in the order in which an engineer would find them: the layout, the weights, the
cache of one request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.candidates.bands import StepBands, step_bands
from planner.candidates.drafts import Drafts, drafts_of
from planner.candidates.enumerate import Configuration
from planner.candidates.shapes import serving, usable_memory_bytes
from planner.candidates.traffic import Traffic
from planner.perf import memory
from planner.perf.reduce import Lengths, reduce_to_replica
from planner.perf.replica import Replica, slowed
from planner.perf.shapes import Serving
from planner.schema.catalog import Catalog
from planner.schema.scenario import Scenario
from planner.units import GIGA

Array = NDArray[np.float64]

SEQUENCES_MAX = 256.0
"""Most sequences an engine runs: the default of vLLM's V1 engine."""
BUDGET_TOKENS = 8192.0
"""Most tokens of one step with chunked prefill: the server default of vLLM on large GPUs."""
PROMPT_PERCENTILE = 0.99


@dataclass(frozen=True)
class Held:
    """What one accelerator holds, and the replica's cache; (configurations,) each."""

    weights: Array
    overhead: Array
    kv: Array
    kv_tokens: Array
    available: Array


@dataclass(frozen=True)
class Modelled:
    """What the model says of configurations; arrays (configurations,)."""

    shaped: Serving
    bands: StepBands
    drafts: Drafts
    held: Held
    replica: Replica
    """With the steps that are planned; without meaning where a reason is given."""
    reasons: tuple[str, ...]
    """Why it cannot run at all; empty where it can."""

    @property
    def fits(self) -> NDArray[np.bool_]:
        """Those that can run."""
        return np.array([not reason for reason in self.reasons], bool)


def modelled(
    configs: Sequence[Configuration], scenario: Scenario, catalog: Catalog, traffic: Traffic
) -> Modelled:
    """One replica of each configuration."""
    shaped, labels = serving(configs, catalog)
    bands = step_bands(configs, shaped, labels, catalog, scenario.planning.plan_at)
    means, budget = _mean_lengths(configs, traffic), _budget(configs, traffic)
    drafts = drafts_of(configs, catalog)
    held = _held(shaped, configs, catalog, means, budget=budget, drafts=drafts)
    reasons = _reasons(shaped, held, means.held_tokens)
    fits = np.array([not reason for reason in reasons], bool)
    estimate = reduce_to_replica(
        shaped, means, kv_tokens=np.where(fits, held.kv_tokens, 1.0), budget_tokens=budget,
        sequences_max=SEQUENCES_MAX, decode_tokens=drafts.decode_tokens,
    )  # fmt: skip
    replica = slowed(drafts.added_to(estimate), bands.factor)
    return Modelled(shaped, bands, drafts, held, replica, reasons)


def _mean_lengths(configs: Sequence[Configuration], traffic: Traffic) -> Lengths:
    lengths = [traffic.lengths[c.demand_class] for c in configs]
    return Lengths(
        prompt_tokens=np.array([x.input_mean for x in lengths]),
        output_tokens=np.array([x.output_mean for x in lengths]),
    )


def _budget(configs: Sequence[Configuration], traffic: Traffic) -> Array:
    """Tokens of a step: a chunk, or a whole prompt where prefill is not chunked."""
    whole = [float(np.quantile(x.input_tokens, PROMPT_PERCENTILE)) for x in traffic.lengths]
    return np.array(
        [
            max(BUDGET_TOKENS, whole[c.demand_class])
            if c.mode in ("continuous", "static")
            else BUDGET_TOKENS
            for c in configs
        ]
    )


def _reasons(shaped: Serving, held: Held, held_tokens: Array) -> tuple[str, ...]:
    codes = memory.layout_refusal(architecture=shaped.architecture, layout=shaped.layout)
    return tuple(
        memory.REFUSAL_TEXT[memory.Refusal(code)] or _memory_refused(held, i, float(tokens))
        for i, (code, tokens) in enumerate(zip(codes.tolist(), held_tokens, strict=True))
    )


def _memory_refused(held: Held, i: int, held_tokens: float) -> str:
    """Refuse what holds neither its weights nor the cache of one request of mean length."""
    need, have = held.weights[i] + held.overhead[i], held.available[i]
    if held.weights[i] >= have:
        return f"weights need {held.weights[i] / GIGA:.0f} GB of {have / GIGA:.0f}"
    if held.kv[i] <= 0:
        return f"weights and overhead need {need / GIGA:.0f} GB of {have / GIGA:.0f}"
    return "" if held.kv_tokens[i] >= held_tokens else no_cache(held, i)


def no_cache(held: Held | Replica, place: int) -> str:
    """Reason of one whose cache is too small."""
    return f"KV cache holds {held.kv_tokens[place]:,.0f} tokens: less than one long request"


def _held(
    shaped: Serving,
    configs: Sequence[Configuration],
    catalog: Catalog,
    means: Lengths,
    *,
    budget: Array,
    drafts: Drafts,
) -> Held:
    reserve = memory.reserve_of(
        {name: row.value for name, row in catalog.calibration.items()},
        [catalog.engines[c.engine].calibration or "" for c in configs],
    )
    architecture, layout, form = shaped.architecture, shaped.layout, shaped.format
    weights = memory.weight_bytes_per_gpu(architecture=architecture, layout=layout, form=form)
    weights = weights + drafts.bytes_per_gpu
    overhead = memory.reserve_bytes(
        architecture=architecture, layout=layout, reserve=reserve, budget_tokens=budget,
        sequences_max=SEQUENCES_MAX,
    )  # fmt: skip
    device = np.array([usable_memory_bytes(catalog.accelerators[c.accelerator]) for c in configs])
    pool = memory.kv_pool_bytes(
        memory_bytes=device, usable_frac=reserve.usable_frac, weight_bytes=weights,
        reserve_bytes=overhead,
    )  # fmt: skip
    one = memory.sequence_bytes_per_gpu(
        architecture=architecture, layout=layout, form=form, context_tokens=means.held_tokens
    )
    tokens = memory.kv_tokens(
        pool_bytes=pool, sequence_bytes=one, context_tokens=means.held_tokens,
        attention_groups=layout.attention_groups,
    )  # fmt: skip
    tokens = drafts.cache_left(tokens)
    return Held(weights, overhead, pool, tokens, device * reserve.usable_frac)
