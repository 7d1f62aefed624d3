"""Plots of candidates: latency over rate with the error band, and the roofline with both phases.

Needs the extra `plots`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from planner.candidates.case import Case
from planner.candidates.enumerate import Configuration
from planner.candidates.shapes import serving
from planner.errors import ScenarioError
from planner.files.output import atomic_path, ensure_folder, safe_name
from planner.perf import curve as model
from planner.perf import roofline
from planner.perf.disaggregated import Unit
from planner.perf.replica import Replica, step_s
from planner.perf.steps import take
from planner.schema.demand import Online
from planner.units import MILLI, TERA

POINTS = 24
LETTERS = 80
"""Of a file's name; pictures are numbered, so that none of them shares one."""
BLUE, ORANGE, GREY = "#1f3a5f", "#c8641b", "#8a949e"


@dataclass(frozen=True)
class Phase:
    """Where one phase of a candidate stands under its roofline."""

    name: str
    flop_per_byte: float
    flop_per_s: float
    """Of one accelerator, with the step as planned."""
    note: str


@dataclass(frozen=True)
class Roof:
    """One accelerator's limits and the phases of a candidate on it."""

    bytes_per_s: float
    flop_per_s: float
    stream_frac: float
    """Of the bandwidth, as calibrated."""
    flop_frac: float
    """Of the peak, as calibrated."""
    phases: tuple[Phase, ...]


def write_candidate_plots(question: Case, places: Sequence[int], folder: Path) -> list[Path]:
    """One picture a candidate; returns the files written.

    Parameters
    ----------
    places : positions in the table; those that cannot serve, or whose rate was stated, have
        nothing to show and are left out.

    Raises
    ------
    ScenarioError
        Where matplotlib is missing or the folder cannot be written.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        words = "plots need matplotlib: pip install 'inference-fleet-planner[plots]'"
        raise ScenarioError("--plots", [words]) from error
    ensure_folder(folder)
    written: list[Path] = []
    for i in places:
        config = question.table.configurations[i]
        if question.table.reasons[i] or config.measured_rps is not None:
            continue
        online = isinstance(question.scenario.demand[config.demand_class], Online)
        roofs = roofs_of(question, i)
        count = 2 * online + len(roofs)
        figure = Figure(figsize=(5 * count + (count == 1), 5), layout="constrained")
        figure.suptitle(question.table.names[i], fontsize=10)
        axes = figure.subplots(1, count, squeeze=False)[0]
        for place, roof in zip(axes[-len(roofs) :], roofs, strict=True):
            _draw_roof(place, roof)
        if online:
            _draw_latency(axes[0], axes[1], question, i)
        path = folder / f"{len(written) + 1:02d}_{_file_name(question.table.names[i])}.png"
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=130, format="png")
        written.append(path)
    return written


def _file_name(candidate: str) -> str:
    return safe_name(candidate.replace("/", "_").replace("+", "-")[:LETTERS])


def roofs_of(question: Case, i: int) -> tuple[Roof, ...]:
    """Limits and operating points of a position of the table.

    Decode stands at half of the sequences that fit, prefill at a full step of prompts. Of a
    disaggregated unit one for each side.
    """
    table = question.table
    config = table.configurations[i]
    own = replace(config, decode=None, prefill_replicas=1)
    whole = _roof_of(question, i, own, take(table.replica, np.array([i])))
    if config.decode is None:
        return (whole,)
    other = _roof_of(question, i, config.decode, take(table.decoders.replica, np.array([i])))
    return replace(whole, phases=whole.phases[1:]), replace(other, phases=other.phases[:1])


def _roof_of(question: Case, i: int, config: Configuration, replica: Replica) -> Roof:
    """Both phases on one replica."""
    table = question.table
    lengths = table.lengths[config.demand_class]
    shaped, _ = serving([config], question.catalog)
    sequences = max(float(replica.sequences_max[0]) / 2, 1.0)
    context = lengths.kv_steps / max(lengths.decode_steps, 1.0)
    tokens = float(replica.budget_tokens[0])
    decode = roofline.decode_work(shaped, sequences=sequences, context_tokens=context)
    prefill = roofline.prefill_work(shaped, tokens=tokens, prompt_tokens=lengths.computed)
    full_s = step_s(
        replica, prefill_tokens=tokens, decode_sequences=0.0, kv_tokens=0.0,
        prefill_context=tokens * lengths.computed / 2,
    )  # fmt: skip
    return Roof(
        bytes_per_s=float(shaped.device.memory_bytes_per_s[0]),
        flop_per_s=float(shaped.device.linear_flop_per_s[0]),
        stream_frac=float(shaped.coefficients.linear_stream_frac[0]),
        flop_frac=float(shaped.coefficients.linear_flop_frac[0]),
        phases=(
            _phase("decode", decode, float(table.decode_step_s[i]), config,
                   f"{sequences:.0f} sequences"),
            _phase("prefill", prefill, float(full_s[0]), config, f"{tokens:,.0f} tokens"),
        ),
    )  # fmt: skip


def _phase(
    name: str, work: roofline.StepWork, seconds: float, config: Configuration, note: str
) -> Phase:
    rate = float(work.flop[0]) / seconds / config.gpus
    return Phase(name, float(work.flop_per_byte[0]), rate, note)


def _draw_roof(axes: Any, roof: Roof) -> None:
    ridge = roof.flop_per_s / roof.bytes_per_s
    span = [p.flop_per_byte for p in roof.phases] + [ridge]
    x = np.geomspace(min(span) / 5, max(span) * 5, 200)
    limit = np.minimum(roof.bytes_per_s * x, roof.flop_per_s)
    reached = np.minimum(roof.bytes_per_s * roof.stream_frac * x, roof.flop_per_s * roof.flop_frac)
    axes.loglog(x, limit / TERA, color=BLUE, label="datasheet")
    axes.loglog(x, reached / TERA, color=BLUE, linestyle="--", label="as kernels reach it")
    for phase, marker in zip(roof.phases, ("o", "s"), strict=False):
        axes.loglog(
            [phase.flop_per_byte], [phase.flop_per_s / TERA], marker, color=ORANGE, markersize=9,
            label=f"{phase.name}, {phase.note}",
        )  # fmt: skip
    axes.axvline(ridge, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xlabel("FLOP per byte moved")
    axes.set_ylabel("TFLOP/s of one accelerator, steps as planned")
    axes.set_title("Roofline")
    axes.legend(fontsize=8)
    axes.grid(which="both", alpha=0.15)


def _draw_latency(first: Any, second: Any, question: Case, i: int) -> None:
    """TTFT and TPOT of one replica alone, over its rate."""
    table = question.table
    config = table.configurations[i]
    demand = question.scenario.demand[config.demand_class]
    assert isinstance(demand, Online)
    planned = table.serving(i)
    rates = model.latency_curve(
        planned, table.lengths[config.demand_class], points=POINTS, **_promise(demand)
    )

    def at(replica: Replica | Unit) -> model.LatencyCurve:
        return model.latencies_at(
            replica, table.lengths[config.demand_class], rates.rate_rps, **_promise(demand)
        )

    slow, fast = (at(table.serving(i, end)) for end in (table.band_high_frac, table.band_low_frac))
    slo, outside = demand.slo, float(table.request_s[i])
    for axes, name, target_ms, more_s, percentile in (
        (first, "ttft_s", slo.ttft_ms, outside, slo.ttft_percentile),
        (second, "tpot_s", slo.tpot_ms, 0.0, slo.tpot_percentile),
    ):
        low, mid, high = (
            (getattr(found, name)[0] + more_s) / MILLI for found in (fast, rates, slow)
        )
        # Where the slow end is not steady the band has no upper edge: it leaves the picture.
        top = np.where(np.isfinite(high), high, 1e9)
        x = rates.rate_rps[0]
        axes.fill_between(x, low, top, color=BLUE, alpha=0.15, linewidth=0,
                          label="80 % of measurements")  # fmt: skip
        axes.plot(x, mid, color=BLUE, label=f"steps planned, {question.scenario.planning.plan_at}")
        axes.axhline(target_ms, color=ORANGE, linestyle="--", label="promise")
        axes.axvline(table.lambda_star_rps[i], color=GREY, linestyle=":", label="promised rate")
        axes.set_ylim(0, 1.6 * max(target_ms, float(mid[0])))
        axes.set_xlim(0, None)
        others = ", nothing but this class" if config.shared_by else ""
        axes.set_xlabel(f"requests/s, one replica alone{others}")
        words = name.removesuffix("_s").upper()
        axes.set_ylabel(f"{words} p{percentile * 100:g} [ms]")
        axes.set_title(words)
        axes.legend(fontsize=8)
        axes.grid(alpha=0.15)


def _promise(demand: Online) -> dict[str, float]:
    return {
        "ttft_percentile": demand.slo.ttft_percentile,
        "tpot_percentile": demand.slo.tpot_percentile,
        "arrival_cv": demand.arrival_cv,
    }
