"""Plots of the accuracy report; needs the extra `plots`.

Predicted against measured figures by accelerator, and latency over throughput with the measured
points of the runs that tried several concurrencies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from planner.calibrate.accuracy import grouped
from planner.calibrate.cases import Array, cases_of
from planner.calibrate.points import CLOSED, Point
from planner.calibrate.predict import closed
from planner.calibrate.score import Score
from planner.errors import ScenarioError
from planner.files.output import atomic_path, ensure_folder
from planner.perf.bands import METRICS
from planner.schema.catalog import Catalog
from planner.units import MILLI

AXES = {"tpot": "TPOT [ms]", "ttft": "TTFT [ms]", "throughput": "output tokens/s"}
CURVE_POINTS = 40
LOADS_LEAST = 4
"""Concurrencies from which points make a curve."""
PANELS = 12
COLUMNS = 4
BLUE, ORANGE = "#1f3a5f", "#c8641b"


@dataclass(frozen=True)
class Sweep:
    """One configuration at several concurrencies, measured and predicted."""

    title: str
    measured: tuple[tuple[float, float], ...]
    """Output tokens/s and GPU, TPOT [ms]."""
    throughput: Array
    """Of the predicted curve [tokens/s/GPU]."""
    tpot_ms: Array
    band: tuple[float, float]
    """Factors between which 80 % of measurements lie."""


def write_plots(
    scores: Sequence[Score], folder: Path, catalog: Catalog, calibration: Mapping[str, float]
) -> list[Path]:
    """One log-log scatter a metric, and the curves; returns the files written.

    Parameters
    ----------
    scores : those that count.
    catalog, calibration : as they were scored with.

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
    figures = {}
    for metric in METRICS:
        mine = [s for s in scores if s.metric == metric]
        if mine:
            figures[metric] = Figure(figsize=(6.4, 6.4), layout="constrained")
            _scatter(figures[metric], metric, mine)
    found = sweeps(scores, catalog, calibration)[:PANELS]
    if found:
        rows = -(-len(found) // COLUMNS)
        size = (4.2 * min(COLUMNS, len(found)), 3.6 * rows)
        figures["latency_throughput"] = Figure(figsize=size, layout="constrained")
        _curves(figures["latency_throughput"], found, rows)
    return [_written(figure, folder / f"{name}.png") for name, figure in figures.items()]


def _written(figure: Any, path: Path) -> Path:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
    return path


def _scatter(figure: Any, metric: str, mine: Sequence[Score]) -> None:
    axes = figure.add_subplot(xscale="log", yscale="log")
    for name, part in grouped(mine, lambda s: s.point.groups["hardware"]).items():
        axes.scatter([s.measured for s in part], [s.predicted for s in part], s=6, label=name)
    ends = [min(s.measured for s in mine), max(s.measured for s in mine)]
    axes.plot(ends, ends, color="black", linewidth=0.8)
    axes.set_xlabel(f"measured {AXES[metric]}")
    axes.set_ylabel(f"predicted {AXES[metric]}")
    axes.legend(title="accelerator")


def sweeps(
    scores: Sequence[Score], catalog: Catalog, calibration: Mapping[str, float]
) -> list[Sweep]:
    """Closed loops of one configuration, run and lengths at several concurrencies, most first.

    One a model and accelerator: the same curve again would hide the others.
    """
    told = [s for s in scores if s.metric == "tpot" and s.point.kind == CLOSED]
    groups = grouped(told, lambda s: repr(_run(s.point)))
    chosen: dict[tuple[str, str], list[Score]] = {}
    for part in groups.values():
        key = part[0].point.config.accelerator, part[0].point.config.model
        measured = [s for s in part if _tokens_s(s.point) > 0]
        if len({s.point.load for s in measured}) >= LOADS_LEAST:
            chosen.setdefault(key, measured)
    return [_sweep(part, catalog, calibration) for part in chosen.values()]


def _run(point: Point) -> tuple[object, ...]:
    """What points of one curve share: all but the load."""
    return (point.config, point.replicas, point.input_tokens, point.output_tokens,
            point.groups["source"], point.groups["date"])  # fmt: skip


def _tokens_s(point: Point) -> float:
    """Measured output tokens/s of all replicas, by Little's law where it was not counted."""
    if np.isfinite(point.throughput_tok_s):
        return point.throughput_tok_s
    answer_s = (point.ttft_ms + (point.output_tokens - 1) * point.tpot_ms) * MILLI
    return point.load * point.output_tokens / answer_s if np.isfinite(answer_s) else 0.0


def _sweep(scores: Sequence[Score], catalog: Catalog, calibration: Mapping[str, float]) -> Sweep:
    one, gpus = scores[0].point, scores[0].gpus
    loads = [s.point.load for s in scores]
    tried = np.geomspace(min(loads), max(loads), CURVE_POINTS)
    found = closed(cases_of([replace(one, load=n) for n in tried], catalog), calibration)
    config = one.config
    return Sweep(
        title=f"{config.model} on {gpus:g} {config.accelerator}\n{config.quantization}, "
        f"{config.engine} {config.layout}, {one.input_tokens:g}/{one.output_tokens:g} tokens",
        measured=tuple(
            (_tokens_s(s.point) / gpus, s.measured)
            for s in sorted(scores, key=lambda s: s.point.load)
        ),
        throughput=found.throughput_tok_s / gpus,
        tpot_ms=found.tpot_s / MILLI,
        band=(scores[0].low / scores[0].predicted, scores[0].high / scores[0].predicted),
    )  # fmt: skip


def _curves(figure: Any, found: Sequence[Sweep], rows: int) -> None:
    panels = figure.subplots(rows, min(COLUMNS, len(found)), squeeze=False).ravel()
    for axes, sweep in zip(panels, found, strict=False):
        low, high = (end * sweep.tpot_ms for end in sweep.band)
        axes.fill_between(sweep.throughput, low, high, color=BLUE, alpha=0.15, linewidth=0,
                          label="80 % band")  # fmt: skip
        axes.plot(sweep.throughput, sweep.tpot_ms, color=BLUE, label="predicted")
        axes.plot(*zip(*sweep.measured, strict=True), "o", color=ORANGE, markersize=4,
                  label="measured")  # fmt: skip
        axes.set_title(sweep.title, fontsize=8)
        axes.set_xlim(0, None)
        axes.set_ylim(0, None)
        axes.grid(alpha=0.15)
        axes.tick_params(labelsize=7)
    panels[0].legend(fontsize=7)
    for empty in panels[len(found) :]:
        empty.set_axis_off()
    figure.supxlabel("output tokens/s and GPU", fontsize=9)
    figure.supylabel("TPOT [ms]", fontsize=9)
