"""Exports of NVIDIA AIPerf and of GenAI-Perf, its predecessor: profile_export_*.json and .csv.

Read from aiperf/common/models/export_models.py and aiperf/exporters of PyPI aiperf==0.13.0
(export schema 1.4; 1.x are read), the same at github.com/ai-dynamo/aiperf v0.1.1 (without a
schema number), and genai-perf 0.0.16dev of github.com/triton-inference-server/perf_analyzer,
263c5f6e. Both name the unit beside each metric. Their inter-token latency is (request latency -
TTFT) / (tokens - 1) of each request: time per output token. A CSV states no load and no model.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from planner.calibrate.reading import FAILED_MAX_FRAC, Fields, Load, Reading, known_numbers
from planner.files.problems import found_value

SCHEMA_MAJOR = "1"
METRICS = (
    "time_to_first_token", "inter_token_latency", "request_latency", "output_token_throughput",
    "input_sequence_length", "output_sequence_length", "request_count", "error_request_count",
)  # fmt: skip
_CSV_HEAD = ("Metric", "avg")
_TOKENS_PER_S = ("tokens/sec", "tokens/s")


def reads(data: Mapping[str, Any]) -> bool:
    """Whether a mapping is such an export, of whatever version."""
    stated = "schema_version" in data or "aiperf_version" in data or "input_config" in data
    return stated and isinstance(data.get("output_token_throughput"), Mapping)


def read(data: Mapping[str, Any]) -> tuple[list[Reading], list[str]]:
    """The operating point and the problems of one export."""
    schema = data.get("schema_version")
    if schema is not None and str(schema).split(".")[0] != SCHEMA_MAJOR:
        return [], [f"schema_version is {found_value(schema)}; AIPerf exports 1.x are read"]
    found = Fields(data)
    if data.get("was_cancelled"):
        found.problems.append("was_cancelled: the run did not finish")
    if data.get("is_complete") is False:
        found.problems.append(f"is_complete: false ({data.get('incomplete_reason')})")
    aiperf = "aiperf_version" in data or found.get("input_config.loadgen") is not None
    version = f" {found.text('aiperf_version')}".rstrip()
    reading = _reading(found, f"AIPerf{version}" if aiperf else "GenAI-Perf", _load(found))
    return ([] if found.problems else [reading]), found.problems


def read_csv(text: str) -> tuple[list[Reading], list[str]]:
    """The operating point and the problems of one CSV export."""
    metrics, head = {}, []
    for line in csv.reader(io.StringIO(text)):
        if line[:1] == ["Metric"]:
            head = line
        elif line and head:
            name, _, unit = line[0].partition(" (")
            values = {s: _plain(v) for s, v in zip(head[1:], line[1:], strict=False)}
            if "Value" in values:
                values["avg"] = values["Value"]
            key = name.lower().replace(" ", "_")
            metrics[key] = {"unit": unit.rstrip(")"), **values}
    if not metrics or "output_token_throughput" not in metrics:
        first = text.splitlines()[0] if text else ""
        return [], [
            f"no metric Output Token Throughput below a head {','.join(_CSV_HEAD)},...; "
            f"first line {found_value(first)}"
        ]
    found = Fields(metrics)
    reading = _reading(found, "AIPerf or GenAI-Perf CSV", None)
    return ([] if found.problems else [reading]), found.problems


def _plain(text: str) -> float | str | None:
    """A cell's number; GenAI-Perf groups thousands by commas and writes N/A for nothing."""
    if text in ("", "N/A"):
        return None
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return text


def _reading(found: Fields, tool: str, load: Load | None) -> Reading:
    unit = found.get("output_token_throughput.unit")
    if unit not in _TOKENS_PER_S:
        found.problems.append(f"output_token_throughput.unit: {found_value(unit)}, not tokens/sec")
    ttft, ttft_stat = _latency(found, "time_to_first_token")
    tpot, tpot_stat = _latency(found, "inter_token_latency")
    e2e, _ = _latency(found, "request_latency")
    requests, failed = found.number("request_count.avg"), found.number("error_request_count.avg")
    failed = failed or 0.0
    return Reading(
        tool=tool,
        isl_tokens=found.needed("input_sequence_length.avg"),
        osl_tokens=found.needed("output_sequence_length.avg"),
        output_tok_s=found.needed("output_token_throughput.avg"),
        load=load,
        ttft_ms=ttft,
        ttft_stat=ttft_stat,
        tpot_ms=tpot,
        tpot_stat=f"{tpot_stat}(TPOT)" if tpot_stat else "",
        e2e_ms=e2e,
        measured_date=found.text("start_time")[:10],
        stated=_stated(found),
        notes=(
            "" if requests is None else f"{requests:g} requests completed, {failed:g} failed",
            known_numbers(
                mean_ttft=_latency(found, "time_to_first_token", "avg")[0],
                p99_ttft=_latency(found, "time_to_first_token", "p99")[0],
                p99_tpot=_latency(found, "inter_token_latency", "p99")[0],
            ),
        ),
        doubtful=requests is not None and failed > FAILED_MAX_FRAC * (requests + failed),
    )


def _latency(found: Fields, metric: str, *stats: str) -> tuple[float | None, str]:
    """First of p50 and avg that is there, in ms, with its word."""
    unit = str(found.get(f"{metric}.unit") or "ms")
    for stat in stats or ("p50", "avg"):
        value = found.ms(f"{metric}.{stat}", unit)
        if value is not None:
            return value, {"p50": "median", "avg": "mean"}.get(stat, stat)
    return None, ""


def _stated(found: Fields) -> dict[str, str | int]:
    names = (
        found.get("input_config.model_names")
        or found.get("input_config.endpoint.model_names")
        or [item.get("name") for item in found.mappings("input_config.models.items")]
    )
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        found.problems.append(f"input_config: models are {found_value(names)}, not names")
        return {}
    if len(names) > 1:
        found.problems.append(f"input_config: {len(names)} models in one run")
    return {"model": names[0]} if names else {}


def _load(found: Fields) -> Load | None:
    """Three layouts of the same: AIPerf's phases, AIPerf 0.1's loadgen, GenAI-Perf's stimulus."""
    phases = [p for p in found.mappings("input_config.phases") if p.get("name") != "warmup"]
    if phases:
        return _phase(found, phases)
    stimulus = found.get("input_config.perf_analyzer.stimulus")
    given = stimulus if isinstance(stimulus, Mapping) else found.get("input_config.loadgen") or {}
    load = Fields(given)
    rate, limit = load.number("request_rate"), load.number("concurrency", least=1)
    found.problems += [f"input_config: {problem}" for problem in load.problems]
    if rate:
        poisson = load.get("request_rate_mode") in (None, "poisson")
        return Load("poisson_qps" if poisson else "qps", rate)
    return None if limit is None else Load("closed_loop", limit)


def _phase(found: Fields, phases: list[Mapping[str, Any]]) -> Load | None:
    if len(phases) > 1:
        found.problems.append(f"input_config.phases: {len(phases)} phases, no single load")
        return None
    phase = Fields(phases[0])
    kind, load = phase.get("type"), None
    if kind == "concurrency":
        load = Load("closed_loop", phase.number("concurrency", least=1) or 1.0)
    elif kind in ("poisson", "gamma", "constant"):
        load = Load("poisson_qps" if kind == "poisson" else "qps", phase.needed("rate"))
    else:
        phase.problems.append(f"type: {found_value(kind)} is no single load")
    found.problems += [f"input_config.phases.{problem}" for problem in phase.problems]
    return load
