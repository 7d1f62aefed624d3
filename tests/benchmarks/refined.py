"""Rates that plans use, against an independent long simulation.

    python -m tests.benchmarks.refined                    packaged scenarios, then other kinds
    python -m tests.benchmarks.refined chat_8b
    python -m tests.benchmarks.refined --kinds

Each candidate that a plan uses is simulated again, in every size of pool that refinement tries and
the plan fills, with other random numbers, ten times the requests and another way to find the rate:
long runs 2 % apart until one keeps the promise and the next breaks it. The same is done for
candidates of other kinds, whether a plan uses them or not. Printed is the planned rate over the
largest that keeps the promise there, or over the most that is planned at all: below 0 is safe. The
last column is the same for the line by which the pool's capacity enters the optimizer.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import planner
from planner.candidates.case import Case
from planner.candidates.refine import SIZES, refined
from planner.candidates.subject import Subject, pool_of, promise_of, subject_of
from planner.files.catalog import load_catalog
from planner.pipeline import case
from planner.simulate.pool import simulate
from planner.simulate.rates import counted_requests
from tests import small_world

TIMES, BATCHES, SEED = 10, 4, 20_261_121
STEP = 0.02
"""Between two long runs, of the rate's logarithm."""
CHAT: dict[str, Any] = {**small_world.CHAT, "slo": {"ttft_ms": 1500, "tpot_ms": 40}}
BIG: dict[str, Any] = {
    "accelerators": ["h100-sxm", "b200-sxm"],
    "lead_time_months": {},
    "tp_max": 8,
}
KINDS: dict[str, dict[str, Any]] = {
    "bursty": {"demand": [{**CHAT, "arrival_cv": 2.0}]},
    "long prompts": {
        "demand": [{**CHAT, "input_tokens": {"mean": 12_000, "cv": 1.0}, "slo": {
            "ttft_ms": 6000, "tpot_ms": 80}}],
        "supply": BIG,
    },
    "short answers": {
        "demand": [{**CHAT, "output_tokens": {"mean": 20, "cv": 1.0}}], "supply": BIG,
    },
    "tight promise": {
        "demand": [{**CHAT, "slo": {"ttft_ms": 250, "tpot_ms": 12}}], "supply": BIG,
    },
    "experts": {
        "demand": [{**CHAT, "models": ["qwen3-30b-a3b"], "slo": {"ttft_ms": 2000, "tpot_ms": 30}}],
        "supply": BIG,
    },
    "large experts": {
        "demand": [{**CHAT, "models": ["deepseek-v3"], "slo": {"ttft_ms": 3000, "tpot_ms": 60}}],
        "supply": {**BIG, "accelerators": ["h200-sxm", "b200-sxm"]},
    },
    "speculative": {
        "demand": [{**CHAT, "models": ["llama-3.3-70b"]}],
        "supply": {**BIG, "modes": ["chunked", "speculative"]},
    },
}  # fmt: skip
"""Sections of the small scenario that make other kinds of candidates."""
EACH = 2
"""Candidates of a kind."""


@dataclass(frozen=True)
class Line:
    """One candidate in one pool; rates of one replica [1/s]."""

    name: str
    size: int
    planned: float
    by_line: float
    long: float

    @property
    def error(self) -> float:
        """Above 0 is unsafe."""
        return self.planned / self.long - 1


def of_plans(name: str) -> Iterator[Line]:
    """Candidates that the plan of a packaged scenario uses, in pools up to its peak."""
    known = case(planner.load(name), load_catalog())
    plan = planner.solve(known.scenario, gap=0.01)
    simulated = {row.id for row in plan.candidates if row.simulated}
    for used in sorted({pool.candidate for pool in plan.pools} & simulated):
        peak = max(max(pool.replicas_peak) for pool in plan.pools if pool.candidate == used)
        yield from lines(known, known.table.names.index(used), peak)


def of_kind(name: str) -> Iterator[Line]:
    """The best by formula on different accelerators or formats, in pools of every size."""
    known = case(small_world.scenario(**KINDS[name]), load_catalog())
    table, gpus = known.table, np.array([c.gpus for c in known.table.configurations])
    best: dict[tuple[str, str, str], int] = {}
    for i in sorted(np.flatnonzero(table.feasible), key=lambda i: -table.rate_rps[i] / gpus[i]):
        config = table.configurations[i]
        best.setdefault((config.accelerator, config.mode, config.kv_dtype), int(i))
    for i in list(best.values())[:EACH]:
        yield from lines(known, i, math.inf, name)


def lines(known: Case, i: int, peak: float, label: str = "") -> list[Line]:
    """One candidate in pools up to a size."""
    subject = subject_of(known.scenario, known.catalog, known.table, i)
    table = refined(known, [i], lambda text: None).table
    most = known.scenario.planning.utilization_max * subject.stability_rps

    def one(size: int) -> Line:
        name = f"{label}: {table.names[i]}" if label else table.names[i]
        planned = float(table.pool_rps[i, np.searchsorted(table.pool_sizes, size)])
        by_line = float(table.rate_rps[i] - table.offset_rps[i] / size)
        return Line(name, size, planned, by_line, long_rate(subject, size, planned, most))

    sizes = [size for size in SIZES if size <= max(peak, 1)]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as threads:
        return list(threads.map(one, sizes))


def long_rate(subject: Subject, size: int, guess_rps: float, most_rps: float) -> float:
    """Largest rate of one replica that keeps the promise, `most_rps` at the most."""
    pool, promise = pool_of(subject, size), promise_of(subject)

    def excess(rate_rps: float) -> float:
        run = simulate(
            pool, subject.requests, rate_rps=rate_rps * size,
            arrival_cv=subject.demand.arrival_cv, count=TIMES * counted_requests(pool),
            batches=BATCHES, seed=SEED,
        )  # fmt: skip
        return float(promise.excesses(run).max())

    seen: dict[bool, tuple[float, float]] = {}
    rate = min(guess_rps * math.exp(STEP), most_rps)
    while len(seen) < 2:
        value = excess(rate)
        seen[value <= 0] = rate, value
        if value <= 0 and rate >= most_rps:
            return most_rps
        rate = min(rate * math.exp(STEP if value <= 0 else -STEP), most_rps)
    (low, at_low), (high, at_high) = seen[True], seen[False]
    return low * (high / low) ** (-at_low / (at_high - at_low))


def main(names: list[str]) -> None:
    """Print the tables and their summaries."""
    scenarios = [name for name in names if name != "--kinds"]
    if not names:
        scenarios = sorted(path.stem for path in Path("scenarios").glob("*.yaml"))
    show("used by plans", [line for name in scenarios for line in told(of_plans(name))])
    if not names or "--kinds" in names:
        show("other kinds", [line for name in KINDS for line in told(of_kind(name))])


def told(found: Iterator[Line]) -> Iterator[Line]:
    """Each line, printed when it is there."""
    for line in found:
        say(
            f"{line.name}  k={line.size}  {line.planned:.4f}/s of {line.long:.4f}  "
            f"{line.error:+.1%}  line {line.by_line / line.long - 1:+.1%}"
        )
        yield line


def show(title: str, found: list[Line]) -> None:
    """Median, lowest and highest error."""
    if found:
        error = np.array([line.error for line in found])
        say(
            f"{title}: {error.size} rates of {len({line.name for line in found})} candidates: "
            f"median {np.median(error):+.1%}, lowest {error.min():+.1%}, "
            f"highest {error.max():+.1%} (above 0 is unsafe)"
        )


def say(text: str) -> None:
    """A line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
