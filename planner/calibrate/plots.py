"""Plots: predicted against measured figures by accelerator; needs the extra `plots`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from planner.calibrate.accuracy import grouped
from planner.calibrate.score import Score
from planner.errors import ScenarioError
from planner.perf.bands import METRICS

AXES = {"tpot": "TPOT [ms]", "ttft": "TTFT [ms]", "throughput": "output tokens/s"}


def write_plots(scores: Sequence[Score], folder: Path) -> list[Path]:
    """One log-log scatter a metric; returns the files written.

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
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScenarioError(str(folder), [f"not a folder to write to: {error}"]) from error
    written = []
    for metric in METRICS:
        mine = [s for s in scores if s.metric == metric]
        if not mine:
            continue
        figure = Figure(figsize=(6.4, 6.4), layout="constrained")
        axes = figure.add_subplot(xscale="log", yscale="log")
        for name, part in grouped(mine, lambda s: s.point.groups["hardware"]).items():
            axes.scatter([s.measured for s in part], [s.predicted for s in part], s=6, label=name)
        ends = [min(s.measured for s in mine), max(s.measured for s in mine)]
        axes.plot(ends, ends, color="black", linewidth=0.8)
        axes.set_xlabel(f"measured {AXES[metric]}")
        axes.set_ylabel(f"predicted {AXES[metric]}")
        axes.legend(title="accelerator")
        path = folder / f"{metric}.png"
        figure.savefig(path, dpi=150)
        written.append(path)
    return written
