"""Error of the formulas' lambda* against simulation: python -m tests.benchmarks.rates [--quick].

First of all it prints the simulator's speed on one thread (8B, 500/200 tokens, 70 % of stability).

Rates of one replica in pools of k. TTFT is promised at a multiple of its 95th percentile in
simulation of a replica without other traffic, TPOT at a multiple of a step that streams the
weights, both for 95 % of requests; lengths are log-normal. "planned" is what the planner uses, at
most 80 % of the stability limit, 70 % where arrivals are bursty, over the simulated rate or that
limit, whichever is lower. No constant of the formulas is fitted to these rates.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from planner.perf.lengths import from_samples
from planner.perf.queueing import (
    BURSTY_CV,
    UTILIZATION_MAX,
    UTILIZATION_MAX_BURSTY,
    Binding,
    lambda_star,
    stability_limit,
)
from planner.perf.replica import Replica
from planner.simulate.arrivals import requests_of
from planner.simulate.pool import Pool, simulate
from planner.simulate.rates import Promise, refined_rate
from planner.simulate.state import numbers_of
from planner.workload.lengths import joint_samples, token_lengths

# overhead, prefill step, weights, token, sequence, KV token, prefill context; budget, sequences,
# cache. From bandwidth and arithmetic of H100 (8B on one, 70B at 8 bit on four, 47B of experts
# with 13B active at 8 bit on two) and H200 (405B at 8 bit on eight).
REPLICAS = {
    "8b": (1.0e-3, 0.5e-3, 6.4e-3, 2.94e-5, 4e-6, 5.22e-8, 1.38e-9, 8192, 256, 400_000),
    "70b": (2.3e-3, 1.0e-3, 7.0e-3, 4.7e-5, 6e-6, 3.26e-8, 1.05e-9, 8192, 256, 1_200_000),
    "405b": (3.3e-3, 1.0e-3, 14.1e-3, 1.55e-4, 6e-6, 1.79e-8, 1.66e-9, 8192, 256, 1_130_000),
    "moe": (1.6e-3, 0.7e-3, 9.4e-3, 1.8e-5, 6e-6, 2.6e-8, 0.75e-9, 8192, 256, 700_000),
}
LENGTHS = ((500, 200), (4096, 512), (8000, 256))
CVS, SIZES = (1.0, 2.0), (1, 4, 16)
SIZES_BETWEEN = 2, 8
LENGTH_CVS = 1.0, 1.5
PROMISES = {"even": (2.0, 2.5), "tight steps": (4.0, 1.6)}
"""TTFT over that without traffic, TPOT over a step that streams the weights."""
PERCENTILE = 0.95
QUIET_FRAC = 1e-3
"""Share of the stability limit without other traffic."""
Case = tuple[str, tuple[int, int], float, str, float, int]
"""Model, lengths, their CV, promise, CV of arrivals, pool size."""


@dataclass(frozen=True)
class Cell:
    """One line of the table; rates of one replica [1/s]."""

    name: str
    stable: float
    simulated: float
    half_width: float
    formula: float
    planned: float
    most: float
    """Highest rate that is planned at all."""
    binding: str


def cell(case: Case, batches: int) -> Cell:
    """Formula and simulation for one combination."""
    name, lengths, length_cv, promised, cv, size = case
    replica = Replica(*(np.array([float(x)]) for x in REPLICAS[name]))
    sides = [token_lengths(mean=float(m), cv=length_cv, max_context=32_768) for m in lengths]
    samples = joint_samples(inputs=sides[0], outputs=sides[1])
    known, requests = from_samples(*samples), requests_of(*samples)
    stable = stability_limit(replica, known)
    quiet = simulate(
        Pool(numbers_of(replica)), requests, rate_rps=QUIET_FRAC * float(stable[0]), batches=1
    )
    ratios = PROMISES[promised]
    tpot = ratios[1] * float(replica.overhead_s[0] + replica.weights_s[0])
    promise = Promise(ratios[0] * quiet.ttft_s(PERCENTILE).value, PERCENTILE, tpot, PERCENTILE)

    def priced(utilization_max: float | None) -> tuple[float, str]:
        found = lambda_star(
            replica, known, ttft_s=promise.ttft_s, ttft_percentile=PERCENTILE, tpot_s=tpot,
            tpot_percentile=PERCENTILE, arrival_cv=cv, replicas=float(size),
            utilization_max=utilization_max, stability_rps=stable,
        )  # fmt: skip
        return float(found.rate_rps[0]), Binding(int(found.binding[0])).name

    formula, binding = priced(0.99)
    found = refined_rate(
        Pool(numbers_of(replica), size), requests, promise,
        guess_rps=max(formula, 0.05 * float(stable[0])), limit_rps=1.02 * float(stable[0]),
        arrival_cv=cv, batches=batches, seed=1,
    )  # fmt: skip
    most = (UTILIZATION_MAX_BURSTY if cv > BURSTY_CV else UTILIZATION_MAX) * float(stable[0])
    title = (
        f"{name:5s} {lengths[0]:5d}/{lengths[1]:<4d} CV {length_cv:g}  {promised:11s} "
        f"arrivals {cv:g}  k {size:2d}"
    )
    half = (found.high - found.low) / 2
    return Cell(title, float(stable[0]), found.value, half, formula, priced(None)[0], most, binding)


def line(row: Cell) -> str:
    """One line: simulated rate with its interval, and both of the formulas' over it."""
    return (
        f"{row.name}  stable {row.stable:7.3f}  simulated {row.simulated:7.3f} "
        f"+-{row.half_width / row.simulated:5.1%}  formula {row.formula / row.simulated - 1:+7.1%}"
        f"  planned {row.planned / min(row.simulated, row.most) - 1:+7.1%}  {row.binding.lower()}"
    )


def summary(rows: list[Cell], title: str) -> str:
    """Mean and 90th percentile of the absolute error, bias, and the worst unsafe side."""
    formula = [row.formula / row.simulated - 1 for row in rows]
    planned = [row.planned / min(row.simulated, row.most) - 1 for row in rows]
    found = []
    for name, error in (("formula", np.array(formula)), ("planned", np.array(planned))):
        size = np.abs(error)
        found.append(
            f"{name}: mean {size.mean():5.1%} p90 {np.quantile(size, 0.9):5.1%} "
            f"bias {error.mean():+6.1%} over by more than 3 % {np.mean(error > 0.03):4.0%} "
            f"worst over {error.max():+7.1%}"
        )
    return f"{title:20s} n {len(rows):3d}  {'   '.join(found)}"


def every_case(quick: bool) -> list[Case]:
    """The grid: sizes between the others only with the even promise and lengths of CV 1."""
    if quick:
        return [*itertools.product(("8b", "70b"), LENGTHS[:1], (1.0,), ("even",), CVS, SIZES)]
    grid = itertools.product(REPLICAS, LENGTHS, LENGTH_CVS, PROMISES, CVS, SIZES)
    between = itertools.product(REPLICAS, LENGTHS, (1.0,), ("even",), CVS, SIZES_BETWEEN)
    return [*grid, *between]


def summaries(cases: list[Case], rows: list[Cell]) -> list[str]:
    """The whole grid, and by each of its axes and what binds."""
    found = [summary(rows, "all")]
    titles = "model", "lengths", "CV of lengths", "promise", "CV of arrivals", "k"
    for place, title in enumerate(titles):
        for value in dict.fromkeys(case[place] for case in cases):
            some = [row for row, case in zip(rows, cases, strict=True) if case[place] == value]
            found.append(summary(some, f"{title} {value}"))
    for name in dict.fromkeys(row.binding for row in rows):
        found.append(summary([row for row in rows if row.binding == name], name.lower()))
    return found


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
    parser.add_argument("--quick", action="store_true", help="only 8b and 70b at 500/200 tokens")
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    cases = every_case(args.quick)
    for size in SIZES:
        sys.stdout.write(speed(size) + "\n")
    started = time.perf_counter()
    with ThreadPoolExecutor(args.workers) as pool:
        waiting = [pool.submit(cell, case, args.batches) for case in cases]
        rows = []
        for future in waiting:
            rows.append(future.result())
            sys.stdout.write(line(rows[-1]) + "\n")
            sys.stdout.flush()
    for text in summaries(cases, rows):
        sys.stdout.write(text + "\n")
    from tests.benchmarks import disaggregated_rates  # noqa: PLC0415 - it takes this table's lines

    disaggregated_rates.report(quick=args.quick, batches=args.batches, workers=args.workers)
    sys.stdout.write(f"{time.perf_counter() - started:.0f} s\n")


if __name__ == "__main__":
    main()
