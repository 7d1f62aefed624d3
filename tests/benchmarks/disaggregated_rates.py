"""Error of the formulas' lambda* of units: python -m tests.benchmarks.disaggregated_rates.

`tests.benchmarks.rates` prints it, too; --quick takes a part of the grid. Rates of one unit of x
prefill and y decode replicas of the same kind in pools of k units, x and y as the stability limits
of the two stages ask for; each prefill replica has a 400 Gb/s port for each GPU, of which 90 % are
used, and 5 ms of latency.
Promises and lengths are as there, without other traffic in the unit.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from planner.perf import disaggregated
from planner.perf.disaggregated import Transfer, Unit
from planner.perf.lengths import from_samples
from planner.perf.queueing import BURSTY_CV, UTILIZATION_MAX, UTILIZATION_MAX_BURSTY, Binding
from planner.perf.replica import Replica
from planner.simulate.arrivals import requests_of
from planner.simulate.pool import simulate
from planner.simulate.rates import Promise, refined_rate
from planner.simulate.units import pool_of
from planner.workload.lengths import joint_samples, token_lengths
from tests.benchmarks.rates import PERCENTILE, QUIET_FRAC, REPLICAS, SIZES, UNSAFE

MODELS = ("8b", "70b", "405b", "moe")
LENGTHS = ((500, 200), (4096, 512), (8000, 256))
CVS = (1.0, 2.0)
PROMISES = {"even": (2.0, 2.5), "tight steps": (4.0, 1.6)}
"""TTFT over that without traffic, TPOT over a step that streams the weights."""
Case = tuple[str, tuple[int, int], float, str, float, int]
"""Model, lengths, their CV, promise, CV of arrivals, units."""

# Bytes of cache a token, GPUs. 8B: 32 layers x 2 x 1024 x 2 bytes; 70B: 80 layers x 2 x 1024 at one
# byte; 405B: 126 layers x 2 x 1024 at one byte; 47B of experts: 32 layers x 2 x 1024 at one byte.
CACHES = {"8b": (131_072, 1), "70b": (163_840, 4), "405b": (258_048, 8), "moe": (65_536, 2)}
PORT_BYTES_S = 0.9 * 50e9
LATENCY_S = 5e-3
REPLICAS_MAX = 4
"""Of a stage of one unit."""


@dataclass(frozen=True)
class Cell:
    """One line of the table; rates of one unit [1/s]."""

    name: str
    arrival_cv: float
    units: int
    simulated: float
    half_width: float
    formula: float
    planned: float
    most: float
    """Highest rate that is planned at all."""
    binding: str

    @property
    def error(self) -> float:
        """Of the formula; above 0 is unsafe."""
        return self.formula / self.simulated - 1

    @property
    def planned_error(self) -> float:
        """The same of what is planned."""
        return self.planned / min(self.simulated, self.most) - 1


def unit_of(name: str, limits: tuple[float, float] = (1.0, 1.0)) -> Unit:
    """A model's unit, its stages sized for equal limits."""
    replica = Replica(*(np.array([float(x)]) for x in REPLICAS[name]))
    token_bytes, gpus = CACHES[name]
    transfer = Transfer(
        *(np.array([x]) for x in (float(token_bytes), gpus * PORT_BYTES_S, LATENCY_S))
    )
    ratio = limits[1] / limits[0]
    x = np.array([float(np.clip(round(ratio), 1, REPLICAS_MAX))])
    y = np.array([float(np.clip(round(1.0 / ratio), 1, REPLICAS_MAX))])
    return Unit(replica, replica, x, y, transfer)


def cell(case: Case, batches: int) -> Cell:
    """Formula and simulation for one combination."""
    name, lengths, length_cv, promised, cv, size = case
    sides = [token_lengths(mean=float(m), cv=length_cv, max_context=32_768) for m in lengths]
    samples = joint_samples(inputs=sides[0], outputs=sides[1])
    known, requests = from_samples(*samples), requests_of(*samples)
    prefill, _, decode = disaggregated.stage_limits(unit_of(name), known)
    unit = unit_of(name, (float(prefill[0]), float(decode[0])))
    stable = disaggregated.stability_limit(unit, known)
    quiet = simulate(pool_of(unit), requests, rate_rps=QUIET_FRAC * float(stable[0]), batches=1)
    ratios = PROMISES[promised]
    tpot = ratios[1] * float(unit.decode.overhead_s[0] + unit.decode.weights_s[0])
    promise = Promise(ratios[0] * quiet.ttft_s(PERCENTILE).value, PERCENTILE, tpot, PERCENTILE)

    def priced(utilization_max: float | None) -> tuple[float, str]:
        found = disaggregated.lambda_star(
            unit, known, ttft_s=promise.ttft_s, ttft_percentile=PERCENTILE, tpot_s=tpot,
            tpot_percentile=PERCENTILE, arrival_cv=cv, replicas=float(size),
            utilization_max=utilization_max, stability_rps=stable,
        )  # fmt: skip
        return float(found.rate_rps[0]), Binding(int(found.binding[0])).name

    formula, binding = priced(0.99)
    found = refined_rate(
        pool_of(unit, units=size), requests, promise,
        guess_rps=max(formula, 0.05 * float(stable[0])), limit_rps=1.02 * float(stable[0]),
        arrival_cv=cv, batches=batches, seed=1,
    )  # fmt: skip
    most = (UTILIZATION_MAX_BURSTY if cv > BURSTY_CV else UTILIZATION_MAX) * float(stable[0])
    shape = f"{unit.prefill_replicas[0]:.0f}:{unit.decode_replicas[0]:.0f}"
    title = (
        f"{name:5s} {shape} {lengths[0]:5d}/{lengths[1]:<4d} {promised:11s} arrivals {cv:g}  "
        f"k {size:2d}"
    )
    half = (found.high - found.low) / 2
    return Cell(title, cv, size, found.value, half, formula, priced(None)[0], most, binding.lower())


def every_case(quick: bool) -> list[Case]:
    """The grid, lengths of CV 1."""
    names, lengths = (MODELS[:2], LENGTHS[:1]) if quick else (MODELS, LENGTHS)
    promises = ("even",) if quick else tuple(PROMISES)
    return [*itertools.product(names, lengths, (1.0,), promises, CVS, SIZES)]


def report(*, quick: bool, batches: int, workers: int) -> None:
    """Print the table and its summaries."""
    cases = every_case(quick)
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(cell, case, batches) for case in cases]
        rows = []
        for future in waiting:
            rows.append(future.result())
            sys.stdout.write(f"{line(rows[-1])}\n")
            sys.stdout.flush()
    for text in summaries(rows):
        sys.stdout.write(f"{text}\n")


def line(row: Cell) -> str:
    """A line of the table."""
    return (
        f"{row.name}  {row.formula:9.3f} of {row.simulated:9.3f} +-{row.half_width:.3f}  "
        f"{row.error:+6.1%}  {row.binding}"
    )


def summaries(rows: Sequence[Cell]) -> Iterator[str]:
    """Errors of all, by CV of arrivals and by number of units."""
    able = [row for row in rows if row.simulated > 0]
    yield summary("all", [row.error for row in able])
    for cv in CVS:
        yield summary(f"arrivals {cv:g}", [row.error for row in able if row.arrival_cv == cv])
    for size in SIZES:
        yield summary(f"units {size}", [row.error for row in able if row.units == size])
    yield summary("as planned", [row.planned_error for row in able])


def summary(title: str, errors: Sequence[float]) -> str:
    """Mean, 90th percentile, bias and share too high."""
    found = np.array(errors)
    if not found.size:
        return f"{title}: none"
    size = np.abs(found)
    return (
        f"{title}: {found.size} cells, mean {size.mean():.1%}, p90 {np.quantile(size, 0.9):.1%}, "
        f"bias {found.mean():+.1%}, over by more than {UNSAFE:.0%}: {(found > UNSAFE).mean():.0%}"
    )


def main() -> None:
    """Print the table and its summaries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only 8b and 70b at 500/200 tokens")
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    report(quick=args.quick, batches=args.batches, workers=args.workers)


if __name__ == "__main__":
    main()
