"""Error of the formulas' lambda* under a promise to the last token: python -m
tests.benchmarks.e2e_rates.

Only time to the last token is promised, at multiples of its 95th percentile in simulation of a
replica without other traffic; lengths are log-normal, prompts of CV 1. Rates of one replica in
pools of k. The simulated ones lie in `simulated_e2e_rates.csv`; --simulate computes them again,
which takes a minute of processor time, and writes them there. The form of `end_to_end._slower` was
chosen on the cells "tuned on"; it holds no constant. --units prices and simulates disaggregated
units instead, sized as in `disaggregated_rates`, at one promise and in pools of 1 and 4.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from planner.perf import disaggregated
from planner.perf.queueing import (
    BURSTY_CV,
    UTILIZATION_MAX,
    UTILIZATION_MAX_BURSTY,
    Binding,
    lambda_star,
)
from planner.simulate.pool import Pool, simulate
from planner.simulate.rates import Promise, refined_rate
from planner.simulate.state import numbers_of
from planner.simulate.units import pool_of
from tests.benchmarks.disaggregated_rates import unit_of
from tests.benchmarks.rates import PERCENTILE, QUIET_FRAC, summary, world, written

TABLE = Path(__file__).with_name("simulated_e2e_rates.csv")
MODELS = ("8b", "70b")
LENGTHS = ((500, 200), (4096, 512))
ANSWER_CVS = (0.5, 1.5)
RATIOS = (1.4, 2.5)
"""Promise over the time to the last token without other traffic, at the same percentile."""
ARRIVAL_CVS = (1.0, 2.0)
SIZES = (1, 4, 8)
UNIT_RATIO, UNITS = 1.5, (1, 4)
TUNED_ON = {("8b", 500), ("70b", 4096)}
"""Model and prompt of the cells on which the form of the mean was chosen; the others test it."""


@dataclass(frozen=True)
class Cell:
    """One line of the file; rates of one replica."""

    model: str
    prompt: int
    answer: int
    answer_cv: float
    ratio: float
    arrival_cv: float
    replicas: int
    e2e_s: float = 0.0
    """Promised: `ratio` x that of a quiet replica."""
    rate_rps: float = 0.0
    """Simulated."""
    half_width_rps: float = 0.0
    """Of its 95 % interval."""

    @property
    def part(self) -> str:
        """Which half of the set."""
        return "tuned on" if (self.model, self.prompt) in TUNED_ON else "held out"

    @property
    def name(self) -> str:
        """What it is."""
        return (
            f"{self.model:4s} {self.prompt:5d}/{self.answer:<4d} CV 1/{self.answer_cv:<4g} "
            f"E2E {self.ratio:g} arrivals {self.arrival_cv:<3g} k {self.replicas:2d}"
        )


@dataclass(frozen=True)
class Priced:
    """A cell by formula [1/s of one replica]."""

    cell: Cell
    formula: float
    planned: float
    most: float
    """Highest rate that is planned at all."""
    binding: str

    @property
    def error(self) -> float:
        """Formula over simulation, less one; above 0 is unsafe."""
        return self.formula / self.cell.rate_rps - 1

    @property
    def planned_error(self) -> float:
        """The same of what is planned, against the most that is planned at all."""
        return self.planned / min(self.cell.rate_rps, self.most) - 1


def every_cell() -> list[Cell]:
    """The grid, not simulated yet."""
    axes = itertools.product(MODELS, LENGTHS, ANSWER_CVS, RATIOS, ARRIVAL_CVS, SIZES)
    return [Cell(model, *lengths, *rest) for model, lengths, *rest in axes]


def cells() -> list[Cell]:
    """All lines of the file."""
    kinds = {field.name: {"str": str, "int": int}.get(str(field.type), float)
             for field in fields(Cell)}  # fmt: skip
    with TABLE.open(encoding="ascii", newline="") as file:
        return [Cell(**{k: kinds[k](v) for k, v in row.items()}) for row in csv.DictReader(file)]


def priced(cell: Cell) -> Priced:
    """A cell by formula, and as the planner plans it."""
    one, known, _, stable = world(cell.model, cell.prompt, cell.answer, 1.0, cell.answer_cv, 0.0)

    def rate(utilization_max: float | None) -> tuple[float, str]:
        found = lambda_star(
            one, known, ttft_s=np.inf, ttft_percentile=PERCENTILE, tpot_s=np.inf,
            tpot_percentile=PERCENTILE, arrival_cv=cell.arrival_cv, replicas=float(cell.replicas),
            utilization_max=utilization_max, stability_rps=np.array([stable]), e2e_s=cell.e2e_s,
            e2e_percentile=PERCENTILE,
        )  # fmt: skip
        return float(found.rate_rps[0]), Binding(int(found.binding[0])).name.lower()

    formula, binding = rate(0.99)
    most = (UTILIZATION_MAX_BURSTY if cell.arrival_cv > BURSTY_CV else UTILIZATION_MAX) * stable
    return Priced(cell, formula, rate(None)[0], most, binding)


def promised(e2e_s: float) -> Promise:
    """Time to the last token alone."""
    return Promise(np.inf, PERCENTILE, np.inf, PERCENTILE, e2e_s=e2e_s, e2e_percentile=PERCENTILE)


def simulated(cell: Cell) -> Cell:
    """The same with its promise and its rate computed again."""
    one, _, asked, stable = world(cell.model, cell.prompt, cell.answer, 1.0, cell.answer_cv, 0.0)
    numbers = numbers_of(one)
    quiet = simulate(Pool(numbers), asked, rate_rps=QUIET_FRAC * stable, batches=1)
    cell = replace(cell, e2e_s=cell.ratio * quiet.e2e_s(PERCENTILE).value)
    found = refined_rate(
        Pool(numbers, cell.replicas), asked, promised(cell.e2e_s),
        guess_rps=max(priced(cell).formula, 0.05 * stable), limit_rps=1.02 * stable,
        arrival_cv=cell.arrival_cv, seed=1,
    )  # fmt: skip
    half = (found.high - found.low) / 2
    return replace(cell, rate_rps=found.value, half_width_rps=half)


def line(row: Priced) -> str:
    """One line: simulated rate with its interval, and both of the formulas' over it."""
    cell = row.cell
    return (
        f"{cell.name}  simulated {cell.rate_rps:7.3f} +-{cell.half_width_rps / cell.rate_rps:5.1%} "
        f" formula {row.error:+7.1%}  planned {row.planned_error:+7.1%}  {row.binding}"
    )


AXES: dict[str, Callable[[Cell], object]] = {
    "arrivals CV": lambda cell: cell.arrival_cv,
    "answers CV": lambda cell: cell.answer_cv,
    "k": lambda cell: cell.replicas,
    "promise": lambda cell: cell.ratio,
    "model": lambda cell: cell.model,
    "prompt": lambda cell: cell.prompt,
}


def summaries(rows: list[Priced]) -> Iterator[str]:
    """All, both halves, and every axis."""
    yield summary(rows, "all")
    for part in dict.fromkeys(row.cell.part for row in rows):
        yield summary([row for row in rows if row.cell.part == part], part)
    for title, of in AXES.items():
        for value in dict.fromkeys(of(row.cell) for row in rows):
            yield summary([row for row in rows if of(row.cell) == value], f"{title} {value}")


def unit_cell(cell: Cell) -> Priced:
    """The same cell of disaggregated units, by formula and in simulation."""
    _, known, asked, _ = world(cell.model, cell.prompt, cell.answer, 1.0, cell.answer_cv, 0.0)
    prefill, _, decode = disaggregated.stage_limits(unit_of(cell.model), known)
    unit = unit_of(cell.model, (float(prefill[0]), float(decode[0])))
    limit = disaggregated.stability_limit(unit, known)
    stable, bursty = float(limit[0]), cell.arrival_cv > BURSTY_CV
    quiet = simulate(pool_of(unit), asked, rate_rps=QUIET_FRAC * stable, batches=1)
    cell = replace(cell, e2e_s=cell.ratio * quiet.e2e_s(PERCENTILE).value)

    def rate(utilization_max: float | None) -> tuple[float, str]:
        found = disaggregated.lambda_star(
            unit, known, ttft_s=np.inf, ttft_percentile=PERCENTILE, tpot_s=np.inf,
            tpot_percentile=PERCENTILE, arrival_cv=cell.arrival_cv, replicas=float(cell.replicas),
            utilization_max=utilization_max, stability_rps=limit, e2e_s=cell.e2e_s,
            e2e_percentile=PERCENTILE,
        )  # fmt: skip
        return float(found.rate_rps[0]), Binding(int(found.binding[0])).name.lower()

    formula, binding = rate(0.99)
    found = refined_rate(
        pool_of(unit, units=cell.replicas), asked, promised(cell.e2e_s),
        guess_rps=max(formula, 0.05 * stable), limit_rps=1.02 * stable,
        arrival_cv=cell.arrival_cv, seed=1,
    )  # fmt: skip
    half = (found.high - found.low) / 2
    most = (UTILIZATION_MAX_BURSTY if bursty else UTILIZATION_MAX) * stable
    cell = replace(cell, rate_rps=found.value, half_width_rps=half)
    return Priced(cell, formula, rate(None)[0], most, binding)


def unit_cells() -> list[Cell]:
    """Cells of units, not simulated yet."""
    axes = itertools.product(MODELS, LENGTHS, ANSWER_CVS, (UNIT_RATIO,), ARRIVAL_CVS, UNITS)
    return [Cell(model, *lengths, *rest) for model, lengths, *rest in axes]


def main() -> None:
    """Print the table and its summaries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulate", action="store_true", help="the simulated rates too")
    parser.add_argument("--units", action="store_true", help="disaggregated units, simulated")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with ThreadPoolExecutor(args.workers) as pool:
        if args.simulate:
            written(list(pool.map(simulated, every_cell())), TABLE)
        if args.units:
            rows = list(pool.map(unit_cell, unit_cells()))
        else:
            rows = [priced(cell) for cell in cells()]
    for row in rows:
        sys.stdout.write(line(row) + "\n")
    for text in summaries(rows):
        sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
