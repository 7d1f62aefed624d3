"""Simulated latency against measured: python -m tests.benchmarks.open_loop [--picture FILE].

Open-loop rows of arXiv 2606.11690 (vLLM 0.19 on H100, Poisson arrivals, prompts of 512 and answers
of 256 tokens), with p50, p90 and p99 of the first token and p50 and p90 of the time per token.
Rates beyond what the replica carries end with the run and not with a steady state: these rows are
left out, and listed as such. The step-time model was fitted with these rows among others, so what
is tested out of sample is the queueing: spread and percentiles.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from planner.calibrate.cases import HELD_OUTPUT_OTHERS_FRAC, cases_of, sequences_fit, serving_at
from planner.calibrate.points import Point, points_of, read_rows, with_checkpoints
from planner.calibrate.predict import pace_of
from planner.candidates.replicas import SEQUENCES_MAX
from planner.files.catalog import load_catalog
from planner.perf.lengths import from_samples
from planner.perf.queueing import percentiles, stability_limit
from planner.perf.reduce import Lengths, reduce_to_replica
from planner.perf.replica import Replica
from planner.simulate.arrivals import Requests, requests_of
from planner.simulate.pool import Pool, Run, simulate
from planner.simulate.state import numbers_of
from planner.units import MILLI

SOURCE = "arxiv-2606.11690"
ROWS = Path(__file__).parents[3] / "shared" / "measured" / "points_dev.csv"
NOTE = re.compile(r"ttft mean/p90/p99=([\d.]+)/([\d.]+)/([\d.]+), tpot_p90=([\d.]+)")
STEADY_FRAC = 0.95
"""Of the modelled stability limit; what is measured above is an overloaded run."""
SPREADS = ((1, 0, "ttft p90/p50"), (2, 0, "ttft p99/p50"), (4, 3, "tpot p90/p50"))
"""Figures over one another: what queueing adds, whatever a step takes."""
FIGURES = ("ttft p50", "ttft p90", "ttft p99", "tpot p50", "tpot p90")
BATCHES, COUNT = 4, 5_000


@dataclass(frozen=True)
class Measured:
    """One row: its rate and figures in milliseconds, in the order of FIGURES."""

    point: Point
    rate_rps: float
    figures: tuple[float, ...]

    @property
    def name(self) -> str:
        """Model, precision and accelerators."""
        config = self.point.config
        return f"{config.model} {config.quantization} {config.accelerator} x{config.gpus}"


@dataclass(frozen=True)
class Engine:
    """A replica in its own clock: `pace` seconds of ours for each of its seconds."""

    replica: Replica
    requests: Requests
    pace: float
    request_s: float
    """Path outside the engine, in its clock."""
    hold_steps: float
    """Decode steps that the server lets a request wait before its prefill."""
    stable_rps: float

    def formula_ms(self, rate_rps: float) -> tuple[float, ...]:
        """FIGURES by the formulas."""
        found: dict[float, tuple[float, float]] = {}
        for share in (0.5, 0.9, 0.99):
            ttft, tpot = percentiles(
                self.replica, self._lengths(), np.array([rate_rps * self.pace]),
                ttft_percentile=share, tpot_percentile=share, arrival_cv=1.0,
            )  # fmt: skip
            found[share] = float(ttft[0]), float(tpot[0])
        return self._seen(
            [found[s][0] for s in (0.5, 0.9, 0.99)], [found[s][1] for s in (0.5, 0.9)]
        )

    def simulated_ms(self, rate_rps: float) -> tuple[float, ...]:
        """FIGURES in simulation."""
        run: Run = simulate(
            Pool(numbers_of(self.replica)), self.requests, rate_rps=rate_rps * self.pace,
            count=COUNT, batches=BATCHES, seed=1,
        )  # fmt: skip
        return self._seen(
            [run.ttft_s(s).value for s in (0.5, 0.9, 0.99)],
            [run.tpot_s(s).value for s in (0.5, 0.9)],
        )

    def _lengths(self) -> object:
        return from_samples(
            self.requests.prompts.astype(float), self.requests.answers.astype(float)
        )

    def _seen(self, ttft_s: Sequence[float], tpot_s: Sequence[float]) -> tuple[float, ...]:
        """As a client sees them: the path outside, and steps that a request is held back."""
        late = self.request_s + self.hold_steps * tpot_s[0]
        seconds = [*(x + late for x in ttft_s), *tpot_s]
        return tuple(x * self.pace / MILLI for x in seconds)


def measured(path: Path) -> list[Measured]:
    """Open-loop rows of the source with all their percentiles."""
    rows = [
        row
        for row in read_rows(path)
        if row["source"].startswith(SOURCE)
        and row["load_kind"] == "qps"
        and NOTE.search(row["notes"])
    ]
    points, _ = points_of(rows, with_checkpoints(load_catalog()))
    by_id: Mapping[str, dict[str, str]] = {row["id"]: row for row in rows}
    found = []
    for point in points:
        row = by_id[point.id]
        note = NOTE.search(row["notes"])
        assert note is not None
        _, p90, p99, tpot90 = (float(x) for x in note.groups())
        figures = (point.ttft_ms, p90, p99, point.tpot_ms, tpot90)
        found.append(Measured(point, point.load, figures))
    return sorted(found, key=lambda one: (one.name, one.rate_rps))


def engines(rows: Sequence[Measured]) -> list[Engine]:
    """The replica behind each row."""
    catalog = with_checkpoints(load_catalog())
    calibration = {name: row.value for name, row in catalog.calibration.items()}
    cases = cases_of([row.point for row in rows], catalog)
    shaped = serving_at(cases, calibration)
    lengths = Lengths(prompt_tokens=cases.prompt, output_tokens=cases.output)
    held = cases.prompt + HELD_OUTPUT_OTHERS_FRAC * cases.output
    cache = sequences_fit(cases, calibration) * held
    replica = reduce_to_replica(shaped, lengths, kv_tokens=cache, sequences_max=SEQUENCES_MAX)
    pace = pace_of(cases, calibration)
    found = []
    for i in range(cases.count):
        one = Replica(*(np.atleast_1d(values)[i : i + 1] for values in vars(replica).values()))
        asked = requests_of(cases.prompt[i : i + 1], cases.output[i : i + 1])
        known = from_samples(cases.prompt[i : i + 1], cases.output[i : i + 1])
        found.append(
            Engine(
                one, asked, float(pace[i]), float(shaped.coefficients.request_s[i]),
                float(cases.hold_steps[i]),
                float(stability_limit(one, known)[0]) / float(pace[i]),
            )
        )  # fmt: skip
    return found


def table(rows: Sequence[Measured], behind: Sequence[Engine]) -> Iterator[str]:
    """A line a row: measured, simulated and by formula; then errors over all."""
    errors: dict[str, list[tuple[float, ...]]] = {"simulated": [], "formula": []}
    yield f"{'':44s} rate of limit   " + "   ".join(f"{name:>24s}" for name in FIGURES)
    for row, engine in zip(rows, behind, strict=True):
        use = row.rate_rps / engine.stable_rps
        head = f"{row.name:44s} {row.rate_rps:4g} {use:8.0%}"
        if use > STEADY_FRAC:
            yield f"{head}   overloaded: no steady state"
            continue
        found = {
            "simulated": engine.simulated_ms(row.rate_rps),
            "formula": engine.formula_ms(row.rate_rps),
        }
        for name, values in found.items():
            errors[name].append(tuple(np.array(values) / np.array(row.figures) - 1))
        cells = zip(row.figures, found["simulated"], found["formula"], strict=True)
        yield f"{head}   " + "   ".join(f"{m:8.1f}{s:8.1f}{f:8.1f}" for m, s, f in cells)
    yield "each: measured, simulated, formula [ms]"
    for name, some in errors.items():
        error = np.array(some)
        size = np.median(np.abs(error), axis=0)
        bias = np.median(error, axis=0)
        each = zip(FIGURES, size, bias, strict=True)
        words = "   ".join(f"{figure} {s:5.1%} ({b:+.1%})" for figure, s, b in each)
        yield f"{name:10s} {len(some)} rows, median |error| (median error): {words}"
        spread = [(1 + error[:, a]) / (1 + error[:, b]) - 1 for a, b, _ in SPREADS]
        both = zip(SPREADS, spread, strict=True)
        words = "   ".join(
            f"{label} {np.median(np.abs(x)):5.1%} ({np.median(x):+.1%})" for (*_, label), x in both
        )
        yield f"{'':10s} spread: {words}"


def picture(rows: Sequence[Measured], behind: Sequence[Engine], name: str, path: Path) -> None:
    """Latency over throughput of one replica: simulation and formula as curves, measured points.

    The band and the bars reach from the median to the 90th percentile.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 -- an extra
    from matplotlib.ticker import FuncFormatter  # noqa: PLC0415

    mine = [(r, e) for r, e in zip(rows, behind, strict=True) if r.name == name]
    engine = mine[0][1]
    tokens = float(engine.requests.answers.mean())
    rates = engine.stable_rps * np.linspace(0.03, STEADY_FRAC, 24)
    simulated = np.array([engine.simulated_ms(x) for x in rates])
    formula = np.array([engine.formula_ms(x) for x in rates])
    steady = [r for r, e in mine if r.rate_rps <= STEADY_FRAC * e.stable_rps]
    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    panels = (("Time to first token [ms]", (0, 1)), ("Time per output token [ms]", (3, 4)))
    for place, (title, (middle, high)) in enumerate(panels, 1):
        axes = figure.add_subplot(1, 2, place)
        across = rates * tokens
        axes.fill_between(across, simulated[:, middle], simulated[:, high], color="#2A7F8E",
                          alpha=0.25, linewidth=0)  # fmt: skip
        axes.plot(across, simulated[:, middle], color="#1F3A5F", label="simulation: p50, to p90")
        axes.plot(across, formula[:, middle], "--", color="#1F3A5F", linewidth=1.0,
                  label="formula: p50 and p90")  # fmt: skip
        axes.plot(across, formula[:, high], "--", color="#2A7F8E", linewidth=1.0)
        known = np.array([[r.figures[middle], r.figures[high]] for r in steady])
        axes.errorbar(
            [r.rate_rps * tokens for r in steady], known[:, 0],
            yerr=[np.zeros(len(steady)), known[:, 1] - known[:, 0]], fmt="o", color="#B5651D",
            capsize=4, label="measured: p50, to p90",
        )  # fmt: skip
        axes.axvline(engine.stable_rps * tokens, color="grey", linestyle=":", linewidth=1.0,
                     label="stability limit")  # fmt: skip
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("output tokens/s of one replica")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        axes.set_title(title, fontsize=10)
        axes.grid(visible=True, linewidth=0.3)
        axes.legend(fontsize=8, loc="upper left")
    figure.suptitle(f"{name}, 512/256 tokens, Poisson arrivals", fontsize=10)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Print the table; draw one picture where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=Path, default=ROWS)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--of", default="", help="name of the replica to draw; default: the first")
    args = parser.parse_args()
    if not args.points.exists():
        parser.exit(2, f"no measured points at {args.points}\n")
    rows = measured(args.points)
    behind = engines(rows)
    for line in table(rows, behind):
        sys.stdout.write(line + "\n")
    if args.picture:
        picture(rows, behind, args.of or rows[0].name, args.picture)


if __name__ == "__main__":
    main()
