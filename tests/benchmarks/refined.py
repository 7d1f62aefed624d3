"""Rates that plans use, against an independent long simulation.

    python -m tests.benchmarks.refined chat_8b enterprise_405b

Each candidate that a plan uses is simulated again with other random numbers and ten times the
requests, in the largest pool that refinement tries and the plan fills. Printed is the rate that the
capacity line gives such a pool over the largest that keeps the promise there: below 0 is safe.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import planner
from planner.candidates.refine import SIZES
from planner.candidates.subject import pool_of, subject_of
from planner.files.catalog import load_catalog
from planner.pipeline import case
from planner.schema.demand import Online
from planner.simulate.rates import Promise, refined_rate
from planner.units import MILLI

BATCHES, COUNT, SEED = 4, 200_000, 20_261_121


def errors(name: str) -> list[tuple[str, int, float, float]]:
    """Candidate, pool size, planned and independent rate of one replica [1/s]."""
    catalog = load_catalog()
    scenario = planner.load(name, catalog=catalog)
    plan = planner.solve(scenario, catalog=catalog, gap=0.01)
    table = case(scenario, catalog).table
    rows = {row.id: row for row in plan.candidates if row.simulated}
    found = []
    for used in sorted({pool.candidate for pool in plan.pools} & rows.keys()):
        subject = subject_of(scenario, catalog, table, table.names.index(used))
        assert isinstance(subject.demand, Online)
        slo = subject.demand.slo
        promise = Promise(
            slo.ttft_ms * MILLI - subject.request_s, slo.ttft_percentile,
            slo.tpot_ms * MILLI, slo.tpot_percentile,
        )  # fmt: skip
        most = scenario.planning.utilization_max * subject.stability_rps
        row = rows[used]
        assert row.rate_rps is not None
        assert row.offset_rps is not None
        peak = max(max(pool.replicas_peak) for pool in plan.pools if pool.candidate == used)
        size = max(size for size in SIZES if size <= max(peak, 1))
        planned = row.rate_rps - row.offset_rps / size
        long = refined_rate(
            pool_of(subject, size), subject.requests, promise, guess_rps=planned,
            limit_rps=subject.stability_rps, arrival_cv=subject.demand.arrival_cv,
            batches=BATCHES, seed=SEED, count=COUNT,
        )  # fmt: skip
        found.append((used, size, planned, min(long.value, most)))
    return found


def main(names: list[str]) -> None:
    """Print the table and its summary."""
    every = []
    for name in names or sorted(path.stem for path in Path("scenarios").glob("*.yaml")):
        for used, size, planned, long in errors(name):
            every.append(planned / long - 1)
            say(f"{used}  k={size}  {planned:.4f}/s of {long:.4f}  {every[-1]:+.1%}")
    worst = np.array(every)
    say(
        f"{worst.size} rates: median {np.median(worst):+.1%}, lowest {worst.min():+.1%}, "
        f"highest {worst.max():+.1%} (above 0 is unsafe)"
    )


def say(text: str) -> None:
    """A line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
