"""Cases: points of one kind of load as arrays, ready for the performance model.

What does not depend on calibration (architecture, device, layout, formats, traffic) is built
once; `serving_at` adds the coefficients, looked up once for each distinct engine, generation
and precision. A fit evaluates the same cases hundreds of times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from planner.calibrate.points import Point
from planner.candidates.bands import OwnBands, own_bands
from planner.candidates.enumerate import Configuration
from planner.candidates.shapes import calibration_keys, serving
from planner.perf import memory
from planner.perf.calibrated import coefficients
from planner.perf.shapes import Coefficients, Serving
from planner.schema.catalog import Catalog

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Whole = NDArray[np.int64]

BUDGET_TOKENS = 8192.0
"""Most tokens of one step of an attention group: the default of vLLM's server."""
SAMPLED_SEQUENCES = 256.0
"""Sequences for which engines reserve sampling memory."""
SHARED_TABLES = ("pcie_latency_s", "pcie_link_frac")
HELD_OUTPUT_FRAC = {"trt": 1.0}
"""Share of the output for which a running sequence holds cache. TensorRT-LLM admits a request
only with room for all of it (GUARANTEED_NO_EVICT)."""
HELD_OUTPUT_OTHERS_FRAC = 0.6


@dataclass(frozen=True)
class Cases:
    """Arrays over points; loads are of one replica."""

    shaped: Serving
    """Of the first calibration; `serving_at` replaces its coefficients."""
    keys: tuple[tuple[str, str, str, str], ...]
    """Distinct (engine, generation, linear precision, expert precision)."""
    key: Whole
    """Index into `keys`."""
    labels: tuple[str, ...]
    replicas: Array
    prompt: Array
    output: Array
    load: Array
    requests: Array
    separate: Flags
    """The engine runs prefill in steps of its own."""
    equal_lengths: Flags
    request_frac: Array
    eager_frac: Array
    """Share of the eager prefill cost."""
    hold_steps: Array
    """Decode steps that the server lets a request wait before its prefill."""
    paces: tuple[str, ...]
    """Calibration row of each; "": 1."""
    own: OwnBands
    """What corrections of the catalog say of each."""

    @property
    def count(self) -> int:
        """Points."""
        return len(self.key)


def row_values(names: Sequence[str], calibration: Mapping[str, float]) -> Array:
    """Values of rows, 1 where the name is blank."""
    few = {name: calibration[name] if name else 1.0 for name in set(names)}
    return np.array([few[name] for name in names], float)


def cases_of(
    points: Sequence[Point], catalog: Catalog, configs: Sequence[Configuration] | None = None
) -> Cases:
    """Arrays of points; of other configurations where given (decode workers)."""
    placed = [p.config for p in points] if configs is None else list(configs)
    shaped, labels = serving(placed, catalog)
    names = calibration_keys(placed, catalog)
    each = list(zip(*(names[k] for k in ("engine", "generation", "precision", "expert_precision")),
                    strict=True))  # fmt: skip
    unique = tuple(dict.fromkeys(each))
    place = {key: i for i, key in enumerate(unique)}
    replicas = np.array([p.replicas for p in points], float)
    return Cases(
        shaped=shaped,
        keys=unique,
        key=np.array([place[key] for key in each], np.int64),
        labels=labels,
        replicas=replicas,
        prompt=np.array([p.input_tokens for p in points], float),
        output=np.array([p.output_tokens for p in points], float),
        load=np.array([p.load for p in points], float) / replicas,
        requests=np.array([p.requests for p in points], float) / replicas,
        separate=np.array([c.engine == "sglang" for c in placed], bool),
        equal_lengths=np.array([p.traits.equal_lengths for p in points], bool),
        request_frac=np.array([p.traits.request_frac for p in points], float),
        eager_frac=np.array([p.traits.eager_frac for p in points], float),
        hold_steps=np.array([p.hold_steps for p in points], float),
        paces=tuple(p.traits.pace for p in points),
        own=own_bands(placed, shaped, catalog),
    )


def pace_of(cases: Cases, calibration: Mapping[str, float]) -> Array:
    """Step time of each source over that of engines as served in 2025-26, as own points say."""
    return row_values(cases.paces, calibration) * cases.own.time_ratio


def coefficients_at(cases: Cases, calibration: Mapping[str, float]) -> Coefficients:
    """Coefficients of each case; the request cost is that of the path of its source."""
    engine, generation, precision, expert = zip(*cases.keys, strict=True)
    few, _ = coefficients(
        calibration, engine=engine, generation=generation, precision=precision,
        expert_precision=expert,
    )  # fmt: skip
    each = {
        field.name: getattr(few, field.name)
        if field.name in SHARED_TABLES
        else getattr(few, field.name)[cases.key]
        for field in fields(Coefficients)
    }
    # Steps are as long as the pace says, the path outside the engine is not: see predict.py.
    pace = pace_of(cases, calibration)
    each["request_s"] = each["request_s"] * cases.request_frac / pace
    each["layer_prefill_s"] = each["layer_prefill_s"] * cases.eager_frac
    return Coefficients(**each)


def serving_at(cases: Cases, calibration: Mapping[str, float]) -> Serving:
    """The cases at a calibration."""
    return replace(cases.shaped, coefficients=coefficients_at(cases, calibration))


def sequences_fit(cases: Cases, calibration: Mapping[str, float]) -> Array:
    """Sequences that a replica's cache holds; 0 where the weights do not fit."""
    shaped = cases.shaped
    engines = [cases.keys[i][0] for i in cases.key.tolist()]
    reserve = memory.reserve_of(calibration, engines)
    model, layout = shaped.architecture, shaped.layout
    pool = memory.kv_pool_bytes(
        memory_bytes=shaped.device.memory_bytes,
        usable_frac=reserve.usable_frac,
        weight_bytes=memory.weight_bytes_per_gpu(
            architecture=model, layout=layout, form=shaped.format
        ),
        reserve_bytes=memory.reserve_bytes(
            architecture=model,
            layout=layout,
            reserve=reserve,
            budget_tokens=BUDGET_TOKENS,
            sequences_max=SAMPLED_SEQUENCES,
        ),
    )
    held = np.array([HELD_OUTPUT_FRAC.get(e, HELD_OUTPUT_OTHERS_FRAC) for e in engines])
    one = memory.sequence_bytes_per_gpu(
        architecture=model,
        layout=layout,
        form=shaped.format,
        context_tokens=cases.prompt + held * cases.output,
    )
    groups = shaped.layout.attention_groups
    return memory.sequences_fit(pool_bytes=pool, sequence_bytes=one, attention_groups=groups)


def layout_reasons(cases: Cases) -> list[str]:
    """Why each layout cannot run its model; "" where it can."""
    codes = memory.layout_refusal(
        architecture=cases.shaped.architecture, layout=cases.shaped.layout
    )
    return [memory.REFUSAL_TEXT[memory.Refusal(code)] for code in codes.tolist()]


def bandwidth_bound_s(cases: Cases) -> Array:
    """Least time of a decode step: the weights one token meets, at the datasheet bandwidth."""
    shaped = cases.shaped
    model, layout, form = shaped.architecture, shaped.layout, shaped.format
    linear = model.linear_params * form.linear_bytes + 2.0 * model.head_params
    expert = model.moe_layers * model.experts_per_token * model.expert_params * form.expert_bytes
    gpus = layout.tensor_gpus * shaped.device.memory_bytes_per_s
    return np.asarray((linear + expert) / gpus)
