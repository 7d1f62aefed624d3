"""Error of the formulas' lambda* against simulation: python -m tests.benchmarks.rates.

Rates of one replica in pools of k. TTFT is promised at a multiple of its 95th percentile in
simulation of a replica without other traffic, TPOT and the gap between tokens at multiples of a
step that streams the weights, each for 95 %; lengths are log-normal. The simulated rates lie in
`simulated_rates.csv`, one line a cell; --simulate computes them again, which takes half an hour of
processor time, and writes them there.

Three sets of cells. "grid": TTFT and TPOT; "gaps": TTFT and token ITL; both split by model and
lengths into a part on which `BURST_MARGIN`, `GAP_MARGIN` and `decode_tail.PARTING` were chosen and
a part that was looked at when they were fixed. "new": other replicas, lengths, prefix hits and
burstiness, simulated after the last change of a formula. "planned" is what the planner uses, at
most 80 % of the stability limit, 70 % where arrivals are bursty, over the simulated rate or that
limit, whichever is lower.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from planner.files.output import atomic_path
from planner.perf.lengths import Lengths, from_samples
from planner.perf.queueing import (
    BURSTY_CV,
    UTILIZATION_MAX,
    UTILIZATION_MAX_BURSTY,
    Binding,
    lambda_star,
    stability_limit,
)
from planner.perf.replica import Replica
from planner.simulate.arrivals import Requests, requests_of
from planner.simulate.pool import Pool, simulate
from planner.simulate.rates import Promise, refined_rate
from planner.simulate.state import numbers_of
from planner.workload.lengths import joint_samples, token_lengths

TABLE = Path(__file__).with_name("simulated_rates.csv")
# overhead, prefill step, weights, token, sequence, KV token, prefill context; budget, sequences,
# cache. From bandwidth and arithmetic of H100 (8B on one, 70B at 8 bit on four, 47B of experts
# with 13B active at 8 bit on two) and H200 (405B at 8 bit on eight); "new" ones: 32B at 16 bit on
# two H100, 14B at 8 bit on a device of a fifth of that, 120B of experts with 5B active.
REPLICAS = {
    "8b": (1.0e-3, 0.5e-3, 6.4e-3, 2.94e-5, 4e-6, 5.22e-8, 1.38e-9, 8192, 256, 400_000),
    "70b": (2.3e-3, 1.0e-3, 7.0e-3, 4.7e-5, 6e-6, 3.26e-8, 1.05e-9, 8192, 256, 1_200_000),
    "405b": (3.3e-3, 1.0e-3, 14.1e-3, 1.55e-4, 6e-6, 1.79e-8, 1.66e-9, 8192, 256, 1_130_000),
    "moe": (1.6e-3, 0.7e-3, 9.4e-3, 1.8e-5, 6e-6, 2.6e-8, 0.75e-9, 8192, 256, 700_000),
    "32b": (1.8e-3, 0.8e-3, 13.1e-3, 5.9e-5, 5e-6, 3.9e-8, 1.3e-9, 8192, 256, 420_000),
    "32b small steps": (1.8e-3, 0.8e-3, 13.1e-3, 5.9e-5, 5e-6, 3.9e-8, 1.3e-9, 2048, 256, 420_000),
    "14b": (1.2e-3, 0.6e-3, 21.0e-3, 1.4e-4, 5e-6, 1.1e-7, 3.0e-9, 4096, 128, 180_000),
    "120b moe": (2.4e-3, 0.9e-3, 12.0e-3, 1.1e-5, 7e-6, 1.6e-8, 0.5e-9, 8192, 512, 900_000),
}
TUNED_ON = {
    ("8b", 500), ("8b", 8000), ("70b", 4096), ("405b", 500), ("405b", 8000), ("moe", 4096),
}  # fmt: skip
"""Model and prompt of the cells on which constants were chosen; the other half tests them."""
LENGTHS = ((500, 200),)
SIZES = (1, 4, 16)
PERCENTILE = 0.95
QUIET_FRAC = 1e-3
"""Share of the stability limit without other traffic."""
UNSAFE = 0.03


@dataclass(frozen=True)
class Cell:
    """One line of the file; rates of one replica."""

    set: str
    model: str
    prompt: int
    answer: int
    prompt_cv: float
    answer_cv: float
    prefix_hit_frac: float
    ttft_ratio: float
    tpot_ratio: float
    gap_ratio: float
    arrival_cv: float
    replicas: int
    ttft_s: float
    """Promised: `ttft_ratio` x that of a quiet replica."""
    rate_rps: float
    """Simulated."""
    half_width_rps: float
    """Of its 95 % interval."""
    batches: int

    @property
    def part(self) -> str:
        """Which half of its set."""
        if self.set == "new":
            return "new"
        return "tuned on" if (self.model, self.prompt) in TUNED_ON else "held out"

    @property
    def name(self) -> str:
        """What it is."""
        promise = f"TPOT {self.tpot_ratio:g}" if self.gap_ratio == np.inf else (
            f"gap {self.gap_ratio:g}"
        )  # fmt: skip
        return (
            f"{self.model:15s} {self.prompt:5d}/{self.answer:<4d} CV {self.prompt_cv:g}/"
            f"{self.answer_cv:<4g} TTFT {self.ttft_ratio:g} {promise:8s} arrivals "
            f"{self.arrival_cv:<3g} k {self.replicas:2d}"
        )


@dataclass(frozen=True)
class Priced:
    """A cell by formula [1/s of one replica]."""

    cell: Cell
    stable: float
    formula: float
    planned: float
    binding: str

    @property
    def error(self) -> float:
        """Formula over simulation, less one."""
        return self.formula / self.cell.rate_rps - 1

    @property
    def planned_error(self) -> float:
        """The same of what is planned, against the most that is planned at all."""
        bursty = self.cell.arrival_cv > BURSTY_CV
        most = (UTILIZATION_MAX_BURSTY if bursty else UTILIZATION_MAX) * self.stable
        return self.planned / min(self.cell.rate_rps, most) - 1


def cells(table: Path = TABLE) -> list[Cell]:
    """All lines of a file."""
    kinds = {field.name: {"str": str, "int": int}.get(str(field.type), float)
             for field in fields(Cell)}  # fmt: skip
    with table.open(encoding="ascii", newline="") as file:
        return [Cell(**{k: kinds[k](v) for k, v in row.items()}) for row in csv.DictReader(file)]


@lru_cache(maxsize=64)
def world(  # noqa: PLR0917
    model: str, prompt: int, answer: int, prompt_cv: float, answer_cv: float, hit: float
) -> tuple[Replica, Lengths, Requests, float]:
    """Replica, lengths, requests and stability limit."""
    one = Replica(*(np.array([float(x)]) for x in REPLICAS[model]))
    sides = [
        token_lengths(mean=float(mean), cv=cv, max_context=32_768)
        for mean, cv in ((prompt, prompt_cv), (answer, answer_cv))
    ]
    samples = joint_samples(inputs=sides[0], outputs=sides[1])
    known = from_samples(*samples, prefix_hit_frac=hit)
    asked = requests_of(*samples, prefix_hit_frac=hit)
    return one, known, asked, float(stability_limit(one, known)[0])


def world_of(cell: Cell) -> tuple[Replica, Lengths, Requests, float]:
    """The same of a cell."""
    return world(
        cell.model, cell.prompt, cell.answer, cell.prompt_cv, cell.answer_cv, cell.prefix_hit_frac
    )


def promise_of(cell: Cell) -> Promise:
    """What its rate must keep."""
    one = world_of(cell)[0]
    step_s = float(one.overhead_s[0] + one.weights_s[0])
    return Promise(
        cell.ttft_s, PERCENTILE, cell.tpot_ratio * step_s, PERCENTILE, cell.gap_ratio * step_s,
        PERCENTILE,
    )  # fmt: skip


def rate_of(cell: Cell, utilization_max: float | None) -> tuple[float, str]:
    """By formula, and what binds."""
    one, known, _, stable = world_of(cell)
    asked = promise_of(cell)
    found = lambda_star(
        one, known, ttft_s=asked.ttft_s, ttft_percentile=PERCENTILE, tpot_s=asked.tpot_s,
        tpot_percentile=PERCENTILE, arrival_cv=cell.arrival_cv, replicas=float(cell.replicas),
        utilization_max=utilization_max, stability_rps=np.array([stable]),
        gap_s=None if cell.gap_ratio == np.inf else asked.gap_s, gap_percentile=PERCENTILE,
    )  # fmt: skip
    return float(found.rate_rps[0]), Binding(int(found.binding[0])).name.lower()


def priced(cell: Cell) -> Priced:
    """A cell by formula, and as the planner plans it."""
    formula, binding = rate_of(cell, 0.99)
    return Priced(cell, world_of(cell)[3], formula, rate_of(cell, None)[0], binding)


def simulated(cell: Cell) -> Cell:
    """The same with its TTFT promise and its rate computed again."""
    one, _, asked, stable = world_of(cell)
    numbers = numbers_of(one)
    quiet = simulate(Pool(numbers), asked, rate_rps=QUIET_FRAC * stable, batches=1)
    cell = replace(cell, ttft_s=cell.ttft_ratio * quiet.ttft_s(PERCENTILE).value)
    found = refined_rate(
        Pool(numbers, cell.replicas), asked, promise_of(cell),
        guess_rps=max(rate_of(cell, 0.99)[0], 0.05 * stable), limit_rps=1.02 * stable,
        arrival_cv=cell.arrival_cv, batches=cell.batches, seed=1,
    )  # fmt: skip
    half = (found.high - found.low) / 2
    return replace(cell, rate_rps=found.value, half_width_rps=half)


def written(rows: Sequence[Any], table: Path = TABLE) -> None:
    """Replace a file by these cells, of one kind."""
    with atomic_path(table) as path, path.open("w", encoding="ascii", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(rows[0])], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            values = asdict(row)
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v
                             for k, v in values.items()})  # fmt: skip


def line(row: Priced) -> str:
    """One line: simulated rate with its interval, and both of the formulas' over it."""
    cell = row.cell
    return (
        f"{cell.name}  stable {row.stable:7.3f}  simulated {cell.rate_rps:7.3f} "
        f"+-{cell.half_width_rps / cell.rate_rps:5.1%}  formula {row.error:+7.1%}"
        f"  planned {row.planned_error:+7.1%}  {row.binding}"
    )


def summary(rows: Sequence[Any], title: str) -> str:
    """Mean and 90th percentile of the absolute error, bias, and the worst unsafe side.

    Parameters
    ----------
    rows : with `error` and `planned_error`.
    """
    found = []
    for name in ("error", "planned_error"):
        error = np.array([getattr(row, name) for row in rows])
        size = np.abs(error)
        found.append(
            f"mean {size.mean():5.1%} p90 {np.quantile(size, 0.9):5.1%} bias {error.mean():+6.1%} "
            f"over {UNSAFE:.0%} {np.mean(error > UNSAFE):4.0%} worst {error.max():+7.1%}"
        )
    return f"{title:32s} n {len(rows):3d}  formula: {found[0]}   planned: {found[1]}"


AXES: dict[str, Callable[[Priced], object]] = {
    "arrivals CV": lambda row: row.cell.arrival_cv,
    "k": lambda row: row.cell.replicas,
    "model": lambda row: row.cell.model,
    "prompt": lambda row: row.cell.prompt,
    "CV of lengths": lambda row: row.cell.prompt_cv,
    "bound by": lambda row: row.binding,
}


def summaries(rows: list[Priced]) -> Iterator[str]:
    """Every set and half of it, and each set by its axes."""
    for name in dict.fromkeys(row.cell.set for row in rows):
        some = [row for row in rows if row.cell.set == name]
        yield summary(some, name)
        for part in dict.fromkeys(row.cell.part for row in some):
            half = [row for row in some if row.cell.part == part]
            yield summary(half, f"  {part}")
            for cv in dict.fromkeys(row.cell.arrival_cv for row in half):
                yield summary(
                    [r for r in half if r.cell.arrival_cv == cv], f"    arrivals CV {cv:g}"
                )
        for title, of in AXES.items():
            for value in dict.fromkeys(of(row) for row in some):
                yield summary([row for row in some if of(row) == value], f"  {title} {value}")


def speed(size: int) -> str:
    """Requests a second of wall time, one thread, after compilation."""
    replica = Replica(*(np.array([float(x)]) for x in REPLICAS["8b"]))
    sides = [token_lengths(mean=float(m), cv=1.0, max_context=32_768) for m in LENGTHS[0]]
    samples = joint_samples(inputs=sides[0], outputs=sides[1])
    rate = 0.7 * size * float(stability_limit(replica, from_samples(*samples))[0])
    pool, requests = Pool(numbers_of(replica), size), requests_of(*samples)
    simulate(pool, requests, rate_rps=rate, count=100, batches=1)
    started = time.perf_counter()
    run = simulate(pool, requests, rate_rps=rate, count=200_000, batches=1)
    taken = float(run.arrived.sum()) / (time.perf_counter() - started)
    return f"simulator, pool of {size}: {taken:,.0f} requests/s"


def main() -> None:
    """Print the table and its summaries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", choices=("grid", "gaps", "new"), help="default: all")
    parser.add_argument("--simulate", action="store_true", help="the simulated rates too")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    known = cells()
    if args.simulate:
        for size in SIZES:
            sys.stdout.write(speed(size) + "\n")
        with ThreadPoolExecutor(args.workers) as pool:
            known = list(
                pool.map(lambda c: simulated(c) if args.set in {None, c.set} else c, known)
            )
        written(known)
    started = time.perf_counter()
    rows = [priced(cell) for cell in known if args.set in {None, cell.set}]
    for row in rows:
        sys.stdout.write(line(row) + "\n")
    for text in summaries(rows):
        sys.stdout.write(text + "\n")
    sys.stdout.write(f"{time.perf_counter() - started:.0f} s\n")


if __name__ == "__main__":
    main()
