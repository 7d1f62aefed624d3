"""Error of the formulas' lambda* of units: python -m tests.benchmarks.disaggregated_rates.

Rates of one unit of x prefill and y decode replicas of the same kind in pools of k units, x and y
as the stability limits of the two stages ask for; each prefill replica has a 400 Gb/s port for each
GPU, of which 90 % are used, and 5 ms of latency. Promises and lengths are as in
`tests.benchmarks.rates`, without other traffic in the unit, and so are the two halves: "tuned on"
and "held out". The simulated rates lie in `simulated_unit_rates.csv`; --simulate computes them
again, --missing those that the file does not have.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from planner.perf import disaggregated
from planner.perf.disaggregated import Transfer, Unit
from planner.perf.lengths import Lengths
from planner.perf.queueing import Binding
from planner.perf.replica import Replica
from planner.simulate.arrivals import Requests
from planner.simulate.pool import simulate
from planner.simulate.rates import refined_rate
from planner.simulate.units import pool_of
from tests.benchmarks.rates import (
    PERCENTILE,
    QUIET_FRAC,
    REPLICAS,
    Cell,
    Priced,
    cells,
    line,
    promise_of,
    summaries,
    written,
)
from tests.benchmarks.rates import world as replica_world

TABLE = Path(__file__).with_name("simulated_unit_rates.csv")
LENGTHS = ((500, 200), (4096, 512), (8000, 256))
PROMISES = ((2.0, 2.5), (4.0, 1.6))
"""TTFT over that without traffic, TPOT over a step that streams the weights."""
CVS, UNITS = (1.0, 2.0), (1, 2, 4, 8)
# Bytes of cache a token, GPUs. 8B: 32 layers x 2 x 1024 x 2 bytes; 70B: 80 layers x 2 x 1024 at one
# byte; 405B: 126 layers x 2 x 1024 at one byte; 47B of experts: 32 layers x 2 x 1024 at one byte.
CACHES = {"8b": (131_072, 1), "70b": (163_840, 4), "405b": (258_048, 8), "moe": (65_536, 2)}
PORT_BYTES_S = 0.9 * 50e9
LATENCY_S = 5e-3
REPLICAS_MAX = 4
"""Of a stage of one unit."""
BATCHES = 4


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


@lru_cache(maxsize=64)
def world(model: str, prompt: int, answer: int) -> tuple[Unit, Lengths, Requests, float]:
    """Unit, lengths, requests and stability limit."""
    _, known, asked, _ = replica_world(model, prompt, answer, 1.0, 1.0, 0.0)
    prefill, _, decode = disaggregated.stage_limits(unit_of(model), known)
    unit = unit_of(model, (float(prefill[0]), float(decode[0])))
    return unit, known, asked, float(disaggregated.stability_limit(unit, known)[0])


def rate_of(cell: Cell, utilization_max: float | None) -> tuple[float, str]:
    """By formula, and what binds."""
    unit, known, _, stable = world(cell.model, cell.prompt, cell.answer)
    asked = promise_of(cell)
    found = disaggregated.lambda_star(
        unit, known, ttft_s=asked.ttft_s, ttft_percentile=PERCENTILE, tpot_s=asked.tpot_s,
        tpot_percentile=PERCENTILE, arrival_cv=cell.arrival_cv, replicas=float(cell.replicas),
        utilization_max=utilization_max, stability_rps=np.array([stable]),
    )  # fmt: skip
    return float(found.rate_rps[0]), Binding(int(found.binding[0])).name.lower()


def priced(cell: Cell) -> Priced:
    """A cell by formula, and as the planner plans it."""
    formula, binding = rate_of(cell, 0.99)
    stable = world(cell.model, cell.prompt, cell.answer)[3]
    return Priced(cell, stable, formula, rate_of(cell, None)[0], binding)


def simulated(cell: Cell) -> Cell:
    """The same with its TTFT promise and its rate computed again."""
    unit, _, asked, stable = world(cell.model, cell.prompt, cell.answer)
    quiet = simulate(pool_of(unit), asked, rate_rps=QUIET_FRAC * stable, batches=1)
    cell = replace(cell, ttft_s=cell.ttft_ratio * quiet.ttft_s(PERCENTILE).value)
    found = refined_rate(
        pool_of(unit, units=cell.replicas), asked, promise_of(cell),
        guess_rps=max(rate_of(cell, 0.99)[0], 0.05 * stable), limit_rps=1.02 * stable,
        arrival_cv=cell.arrival_cv, batches=cell.batches, seed=1,
    )  # fmt: skip
    half = (found.high - found.low) / 2
    return replace(cell, rate_rps=found.value, half_width_rps=half)


def every_cell() -> Iterator[Cell]:
    """The grid, not simulated."""
    for cv, (ttft, tpot), units, (prompt, answer), model in itertools.product(
        CVS, PROMISES, UNITS, LENGTHS, CACHES
    ):
        yield Cell(
            "units", model, prompt, answer, 1.0, 1.0, 0.0, ttft, tpot, np.inf, cv, units, 0.0, 0.0,
            0.0, BATCHES,
        )  # fmt: skip


def simulate_all(known: list[Cell], workers: int) -> list[Cell]:
    """Those of the grid that are not known simulated, the file written after each."""
    have = {cell.name for cell in known}
    with ThreadPoolExecutor(workers) as pool:
        for cell in pool.map(simulated, [c for c in every_cell() if c.name not in have]):
            known = [*known, cell]
            written(known, TABLE)
    return known


def main() -> None:
    """Print the table and its summaries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulate", action="store_true", help="all simulated rates again")
    parser.add_argument("--missing", action="store_true", help="simulate what the file lacks")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    known = [] if args.simulate or not TABLE.exists() else cells(TABLE)
    if args.simulate or args.missing:
        known = simulate_all(known, args.workers)
    rows = [priced(cell) for cell in known]
    for text in itertools.chain(map(line, rows), summaries(rows)):
        sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
