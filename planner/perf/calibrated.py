"""Calibrated: calibration rows to the coefficient arrays of candidates.

Rows are a mapping name -> value, as catalogs/calibration/*.yaml holds them, with the unit at the
end of the name (_us, _ms, _frac, _bytes). Rows are looked up by engine (vllm, sgl, trt),
generation and precision. Where a generation has no row it inherits its parent's:

=================  =============  ==========================================================
generation         inherits       because
=================  =============  ==========================================================
ada                ampere         no serving points; the slower of its neighbours
blackwell-rtx      hopper         no serving points of this PCIe card; the slower of the two
blackwell-ultra    blackwell      same machine with more memory and fp4
grace-hopper       hopper         same GPU
cdna4              cdna3          same software stack; no public operating points
=================  =============  ==========================================================

A precision names how a format is stored and computed:

===========  ============  ===========  ===============
precision    streams as    computes as  pays to quantize
===========  ============  ===========  ===============
bf16, fp32   bf16          bf16         nothing
fp8          fp8           fp8          fp8
int8         fp8           int8         fp8
fp4          fp4           fp4          fp4
mxfp4        fp4           fp8          nothing
w8           fp8           bf16         nothing
w4           fp4           bf16         nothing
===========  ============  ===========  ===============

w8 and w4 are weight-only. int8 without a row of its own computes at the share of fp8, and fp8
or fp4 without one at the share of the next wider type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches

import numpy as np

from planner.errors import CatalogError
from planner.perf.shapes import Coefficients
from planner.units import MICRO, MILLI

CALIBRATED = "calibrated"
EXTRAPOLATED = "extrapolated"

ENGINES = ("vllm", "sgl", "trt")
INHERITS = {
    "ada": "ampere",
    "blackwell-rtx": "hopper",
    "blackwell-ultra": "blackwell",
    "grace-hopper": "hopper",
    "cdna4": "cdna3",
}
PRECISIONS = {
    "fp32": ("bf16", "bf16", ""),
    "bf16": ("bf16", "bf16", ""),
    "fp8": ("fp8", "fp8", "fp8"),
    "int8": ("fp8", "int8", "fp8"),
    "fp4": ("fp4", "fp4", "fp4"),
    "mxfp4": ("fp4", "fp8", ""),
    "w8": ("fp8", "bf16", ""),
    "w4": ("fp4", "bf16", ""),
}
UNPACKED = ("w8", "w4")
WIDER = {"fp4": "fp8", "int8": "fp8", "fp8": "bf16"}
PCIE_SIZES = (2, 4, 8)


class _Rows:
    """Lookups of one candidate; remembers whether any value was borrowed."""

    def __init__(self, calibration: Mapping[str, float]) -> None:
        self.calibration = calibration
        self.borrowed = False

    def value(self, name: str) -> float:
        if name not in self.calibration:
            near = get_close_matches(name, self.calibration, n=3)
            known = f"; nearest: {', '.join(near)}" if near else ""
            raise CatalogError("calibration", [f"no row {name}{known}"])
        return float(self.calibration[name])

    def first(self, names: Sequence[str]) -> float:
        """Value of the first name that has a row; any but the first is borrowed."""
        found = next((name for name in names if name in self.calibration), names[0])
        self.borrowed |= found != names[0]
        return self.value(found)

    def own(self, stem: str, engine: str, suffix: str) -> float:
        """The engine's own row where it has one, else the row of all engines."""
        name = f"{stem}_{engine}{suffix}"
        return self.value(name if name in self.calibration else f"{stem}{suffix}")

    def stream(self, stored: str, engine: str, generation: str) -> float:
        """Share of bandwidth: the generation's own row where one was measured, else as `own`."""
        name = f"stream_{stored}_{generation}_frac"
        if name in self.calibration:
            return self.value(name)
        return self.own(f"stream_{stored}", engine, "_frac")

    def unpack(self, precision: str) -> float:
        """Share of a bf16 kernel's rate that is left where weights are unpacked on the fly."""
        return self.value("gemm_unpack_frac") if precision in UNPACKED else 1.0

    def latent(self, generation: str) -> float:
        """Share of the bf16 peak of decode over a latent cache; above 1 where it runs in fp8."""
        names = [f"attention_latent_flop_{one}_frac" for one in _family(generation)]
        found = [name for name in names if name in self.calibration]
        return self.value(found[0] if found else "attention_latent_flop_frac")

    def by_generation(self, stem: str, generation: str, suffix: str = "") -> float:
        return self.first([f"{stem}_{one}{suffix}" for one in _family(generation)])

    def gemm_frac(self, generation: str, precision: str) -> float:
        """Share of peak; own generation, then its parent, then the next wider type."""
        names = []
        wide: str | None = precision
        while wide is not None:
            names += [f"gemm_flop_{one}_{wide}_frac" for one in _family(generation)]
            wide = WIDER.get(wide)
        return self.first(names)


def _family(generation: str) -> list[str]:
    """The generation and what it inherits from, nearest first."""
    chain = [generation]
    while chain[-1] in INHERITS:
        chain.append(INHERITS[chain[-1]])
    return chain


def _checked(name: str, known: Sequence[str], what: str) -> str:
    if name not in known:
        raise CatalogError("calibration", [f"unknown {what} {name!r}; known: {', '.join(known)}"])
    return name


def _moe_us(rows: _Rows, engine: str, generation: str) -> float:
    """Cost of a layer's routing and permutation, before the generation's factor."""
    names = [f"layer_moe_{engine}_{one}_us" for one in _family(generation)]
    found = [name for name in names if name in rows.calibration]
    return rows.value(found[0]) if found else rows.own("layer_moe", engine, "_us")


def _layers(rows: _Rows, engine: str, generation: str, quantize: str) -> dict[str, float]:
    """Cost per layer; all but the eager prefill cost scale with the generation."""
    factor = rows.by_generation("layer_factor", generation)
    quantize_us = rows.own(f"layer_quantize_{quantize}", engine, "_us") if quantize else 0.0
    layer_us = rows.value(f"layer_cost_{engine}_us") + quantize_us
    return {
        "layer_s": factor * layer_us * MICRO,
        "layer_moe_s": factor * _moe_us(rows, engine, generation) * MICRO,
        "layer_mla_s": factor * rows.own("layer_mla", engine, "_us") * MICRO,
        "layer_linear_s": factor * rows.value("layer_linear_us") * MICRO,
        "layer_prefill_s": rows.value("layer_prefill_us") * MICRO,
    }


def _efficiencies(
    rows: _Rows, engine: str, generation: str, linear: str, expert: str
) -> dict[str, float]:
    """Achieved shares of datasheet bandwidth and peak."""
    scale = rows.value("gemm_table_factor")
    linear_stream, linear_compute, _ = PRECISIONS[linear]
    expert_stream, expert_compute, _ = PRECISIONS[expert]
    grouped = scale * rows.gemm_frac(generation, expert_compute) * rows.unpack(expert)
    return {
        "linear_stream_frac": rows.stream(linear_stream, engine, generation),
        "expert_stream_frac": rows.stream(expert_stream, engine, generation),
        "head_stream_frac": rows.stream("bf16", engine, generation),
        "kv_stream_frac": rows.stream("kv", engine, generation),
        "linear_flop_frac": scale
        * rows.gemm_frac(generation, linear_compute)
        * rows.unpack(linear),
        "expert_flop_frac": grouped * rows.value("gemm_grouped_frac"),
        "head_flop_frac": scale * rows.gemm_frac(generation, "bf16"),
        "attention_flop_frac": rows.value("attention_prefill_flop_frac"),
        "latent_flop_frac": rows.latent(generation),
    }


def _communication(rows: _Rows, engine: str, generation: str) -> dict[str, float]:
    """Collectives over the fast link; the engine's own row goes before the generation's."""
    stem = "all_reduce_latency"
    own = [f"{stem}_{one}_{engine}_us" for one in _family(generation)]
    shared = [f"{stem}_{one}_us" for one in _family(generation)]
    named = [name for pair in zip(own, shared, strict=True) for name in pair]
    present = [name for name in named if name in rows.calibration]
    if present and generation not in present[0]:
        rows.borrowed = True
    latency_us = rows.value(present[0] if present else shared[0])
    return {
        "all_reduce_latency_s": latency_us * rows.value("all_reduce_latency_factor") * MICRO,
        "all_reduce_link_frac": rows.value("all_reduce_link_frac"),
        "all_to_all_latency_s": rows.value("all_to_all_latency_us")
        * rows.value("all_reduce_latency_factor")
        * MICRO,
        "all_to_all_link_frac": rows.value("all_to_all_link_frac"),
        "hop_latency_s": rows.value("pipeline_hop_latency_us") * MICRO,
    }


def _shared(rows: _Rows, engine: str) -> dict[str, float]:
    """What depends on neither generation nor precision."""
    return {
        "step_s": rows.value("step_cost_us") * MICRO,
        "sequence_s": rows.value(f"sequence_cost_{engine}_us") * MICRO,
        "shape_half_width": rows.value("gemm_half_width"),
        "expert_half_width": rows.value("gemm_grouped_half_width"),
        "elementwise_passes": rows.value("elementwise_passes"),
        "expert_passes": rows.value("expert_passes"),
        "expert_imbalance_frac": rows.value("expert_imbalance_frac"),
        "tile_rows": rows.value("expert_tile_rows"),
        "request_s": rows.own("request_cost", engine, "_ms") * MILLI,
    }


def _one(
    calibration: Mapping[str, float], engine: str, generation: str, linear: str, expert: str
) -> tuple[dict[str, float], str]:
    rows = _Rows(calibration)
    _checked(engine, ENGINES, "engine")
    _checked(linear, tuple(PRECISIONS), "precision")
    _checked(expert, tuple(PRECISIONS), "precision")
    values = (
        _layers(rows, engine, generation, PRECISIONS[linear][2])
        | _efficiencies(rows, engine, generation, linear, expert)
        | _communication(rows, engine, generation)
        | _shared(rows, engine)
    )
    return values, EXTRAPOLATED if rows.borrowed else CALIBRATED


def coefficients(
    calibration: Mapping[str, float],
    *,
    engine: Sequence[str],
    generation: Sequence[str],
    precision: Sequence[str],
    expert_precision: Sequence[str] | None = None,
) -> tuple[Coefficients, tuple[str, ...]]:
    """Coefficients of each candidate, and how well founded they are.

    Parameters
    ----------
    calibration : rows, name -> value.
    engine : vllm, sgl or trt, one a candidate; so are the next two.
    generation : accelerator family.
    precision : of the linear layers; a key of `PRECISIONS`.
    expert_precision : of the routed experts; as the linear layers where not given.

    Returns
    -------
    Arrays of shape (candidates,), and one label a candidate: "calibrated" where every value was
    fitted to measurements of this engine and generation, "extrapolated" where any was inherited.

    Raises
    ------
    CatalogError
        Where an engine or precision is unknown or a row is missing.
    """
    experts = precision if expert_precision is None else expert_precision
    keys = list(zip(engine, generation, precision, experts, strict=True))
    unique = {key: _one(calibration, *key) for key in dict.fromkeys(keys)}
    rows = _Rows(calibration)
    pcie_us = [rows.value(f"all_reduce_pcie_latency_{n}_us") for n in PCIE_SIZES]
    pcie_frac = [rows.value(f"all_reduce_pcie_link_{n}_frac") for n in PCIE_SIZES]
    tables = {
        "pcie_latency_s": np.asarray(pcie_us) * MICRO,
        "pcie_link_frac": np.asarray(pcie_frac),
    }
    names = [field.name for field in fields(Coefficients) if field.name not in tables]
    arrays = {name: np.array([unique[key][0][name] for key in keys], float) for name in names}
    return Coefficients(**arrays, **tables), tuple(unique[key][1] for key in keys)
