"""Reports of GuideLLM, JSON or YAML: one file with a benchmark for every load.

Read from guidellm/benchmark/schemas/report.py and its neighbours: report version 2 of PyPI
guidellm==0.8.1, and report version 1 of github.com/vllm-project/guidellm at v0.6.1, whose
benchmarks have the same metrics. Latencies are in ms, but request_latency in seconds. Reports
before 0.4 have no version and are refused. Its time_per_output_token counts the first token in;
inter_token_latency does not, and is what is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from planner.calibrate.reading import FAILED_MAX_FRAC, Fields, Load, Reading, known_numbers
from planner.files.problems import found_value

TOOL = "GuideLLM"
VERSIONS = (1, 2)
LAST_SECOND = 4_102_444_800.0
"""2100-01-01: later Unix times are milliseconds or nonsense."""


def reads(data: Mapping[str, Any]) -> bool:
    """Whether a mapping is such a report, of whatever version."""
    return isinstance(data.get("benchmarks"), list)


def read(data: Mapping[str, Any]) -> tuple[list[Reading], list[str]]:
    """Operating points and problems of a report; a bad benchmark spoils no other."""
    whole = Fields(data)
    version = whole.get("metadata.version")
    if version not in VERSIONS:
        known = " and ".join(map(str, VERSIONS))
        return [], [
            f"metadata.version is {found_value(version)}; GuideLLM reports {known} are read"
        ]
    readings, problems = [], []
    for position, benchmark in enumerate(data["benchmarks"]):
        found = Fields(benchmark if isinstance(benchmark, Mapping) else {})
        reading = _benchmark(found, whole.text("metadata.guidellm_version"))
        problems += [f"benchmarks[{position}].{problem}" for problem in found.problems]
        if not found.problems:
            readings.append(reading)
    if not data["benchmarks"]:
        problems.append("benchmarks: is empty")
    return readings, problems


def _benchmark(found: Fields, version: str) -> Reading:
    requests = found.needed("metrics.request_totals.successful")
    failed = found.number("metrics.request_totals.errored") or 0.0
    ttft, ttft_stat = found.first_ms(_stats("time_to_first_token_ms"), "ms")
    itl, itl_stat = found.first_ms(_stats("inter_token_latency_ms"), "ms")
    e2e, _ = found.first_ms(_stats("request_latency"), "s")
    model = found.text("config.backend.model")
    return Reading(
        tool=f"{TOOL} {version}".strip(),
        isl_tokens=found.needed("metrics.prompt_token_count.successful.mean"),
        osl_tokens=found.needed("metrics.output_token_count.successful.mean"),
        output_tok_s=found.needed("metrics.output_tokens_per_second.successful.mean"),
        load=_load(found),
        ttft_ms=ttft,
        ttft_stat=ttft_stat,
        tpot_ms=itl,
        tpot_stat=f"{itl_stat}(ITL)" if itl_stat else "",
        e2e_ms=e2e,
        measured_date=_day(found),
        stated={"model": model} if model else {},
        notes=(
            f"{requests:g} requests completed, {failed:g} failed",
            known_numbers(
                mean_ttft=found.number("metrics.time_to_first_token_ms.successful.mean"),
                p99_ttft=found.number("metrics.time_to_first_token_ms.successful.percentiles.p99"),
                p99_itl=found.number("metrics.inter_token_latency_ms.successful.percentiles.p99"),
            ),
        ),
        doubtful=failed > FAILED_MAX_FRAC * (requests + failed),
    )


def _stats(metric: str) -> dict[str, str]:
    return {stat: f"metrics.{metric}.successful.{stat}" for stat in ("median", "mean")}


def _load(found: Fields) -> Load | None:
    kind = found.get("config.strategy.type_")
    if kind == "synchronous":
        return Load("closed_loop", 1.0)
    if kind == "concurrent":
        return Load("closed_loop", found.needed("config.strategy.streams"))
    if kind == "throughput":
        limit = found.number("config.strategy.max_concurrency", least=1)
        return Load("inf", math.inf) if limit is None else Load("closed_loop", limit)
    if kind in ("constant", "poisson"):
        rate = found.needed("config.strategy.rate")
        return Load("poisson_qps" if kind == "poisson" else "qps", rate)
    found.problems.append(
        f"config.strategy.type_: {found_value(kind)} is no single load "
        "(synchronous, concurrent, throughput, constant or poisson)"
    )
    return None


def _day(found: Fields) -> str:
    """Day (UTC) of the benchmark's first second."""
    epoch_s = found.number("scheduler_metrics.start_time")
    if epoch_s is None:
        return ""
    if epoch_s > LAST_SECOND:
        found.problems.append(f"scheduler_metrics.start_time: {epoch_s:g} is no Unix time")
        return ""
    return datetime.fromtimestamp(epoch_s, UTC).date().isoformat()
