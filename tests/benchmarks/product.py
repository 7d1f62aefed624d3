"""The product's own speeds: help, candidates, promised rates, a scenario to its workbook.

Each row stands beside its target; nothing fails here, since other machines and loads differ.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import planner
from planner.candidates.enumerate import configurations
from planner.candidates.shapes import serving
from planner.candidates.traffic import traffic
from planner.files.catalog import load_catalog
from planner.perf import memory, queueing
from planner.perf.reduce import Lengths, reduce_to_replica
from planner.perf.shapes import Serving
from planner.perf.step_time import iteration_s

MIB = float(2**20)
PAIRS = 200_000
RATES = 2_000


def best_s(work: Callable[[], object], times: int = 3) -> float:
    """Least wall time of a few runs [s]."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


def help_s() -> float:
    """`planner --help` over the interpreter's own start [s]."""

    def run(*words: str) -> float:
        return best_s(
            lambda: subprocess.run([sys.executable, *words], capture_output=True, check=True), 5
        )

    return run("-m", "planner", "--help") - run("-c", "pass")


def shaped(count: int) -> tuple[Serving, float]:
    """`count` real configurations (repeated), and the mean context of their class."""
    scenario, catalog = planner.load("enterprise_405b"), load_catalog()
    open_ = [c for c in configurations(scenario, catalog) if not c.reason]
    lengths = traffic(scenario, catalog).lengths[0]
    many = [open_[i % len(open_)] for i in range(count)]
    return serving(many, catalog)[0], lengths.input_mean + lengths.output_mean / 2


def evaluation_per_s() -> float:
    """Memory and one step time of (candidate, class) pairs [1/s]."""
    rows, context = shaped(PAIRS)

    def work() -> None:
        memory.weight_bytes_per_gpu(
            architecture=rows.architecture, layout=rows.layout, form=rows.format
        )
        memory.sequence_bytes_per_gpu(
            architecture=rows.architecture,
            layout=rows.layout,
            form=rows.format,
            context_tokens=context,
        )
        iteration_s(rows, prefill_tokens=2048.0, decode_sequences=64.0, context_tokens=context)

    return PAIRS / best_s(work)


def rates_per_s() -> float:
    """Promised rates, stability limit included [1/s]."""
    rows, _ = shaped(RATES)
    lengths = traffic(planner.load("enterprise_405b"), load_catalog()).lengths[0]
    means = Lengths(
        prompt_tokens=np.asarray(lengths.input_mean), output_tokens=np.asarray(lengths.output_mean)
    )
    replica = reduce_to_replica(rows, means, kv_tokens=1e6)

    def work() -> None:
        queueing.lambda_star(
            replica, lengths, ttft_s=3.0, ttft_percentile=0.95, tpot_s=0.033, tpot_percentile=0.95,
            arrival_cv=1.0, replicas=8,
        )  # fmt: skip

    return RATES / best_s(work)


def scenario_run(name: str) -> tuple[float, float, float, float]:
    """Wall, processor and outside-the-solver seconds and peak MB of `planner solve`, second run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.json"
        words = [sys.executable, "-m", "planner", "solve", name, "-q", "-o", str(path),
                 "-o", str(path.with_suffix(".xlsx"))]  # fmt: skip
        for _ in range(2):
            started = time.perf_counter()
            child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.perf_counter() - started
            assert status == 0, status
        plan = planner.Plan.model_validate_json(path.read_text())
    cpu = usage.ru_utime + usage.ru_stime
    return wall, cpu, wall - plan.seconds["solver solve"], usage.ru_maxrss * 1024 / MIB


def rows() -> Iterator[str]:
    """One line a figure."""
    yield f"planner --help            {help_s():8.2f} s over the interpreter's start (target 0.3)"
    yield f"memory and step time      {evaluation_per_s():8,.0f} pairs/s (target 200,000)"
    yield f"promised rate             {rates_per_s():8,.0f} candidates/s (target 3,000)"
    wall, cpu, outside, peak = scenario_run("enterprise_405b")
    yield f"enterprise_405b, warm     {wall:8.1f} s wall, {cpu:.1f} s processor (target 8)"
    yield f"  outside HiGHS           {outside:8.1f} s (target 3)"
    yield f"  peak memory             {peak:8.0f} MB (target 500)"


if __name__ == "__main__":
    for line in rows():
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
