"""Result files of benchmark tools -> rows of the points table.

Every file is read by the module of the format that its keys show. What a file does not state
(hardware, parallelism, precision) comes from the reader's options; a file that is refused is
named with what was found, and the others are still imported.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from planner.calibrate import genai_perf, guidellm_report, sglang_bench, vllm_bench
from planner.calibrate.reading import Load, Reading
from planner.errors import ScenarioError
from planner.files.problems import found_value

COLUMNS = (
    "id", "source", "source_url_or_repo_path", "hardware", "n_gpus", "model", "weight_precision",
    "kv_precision", "engine", "engine_version", "tp", "pp", "ep", "dp", "mode", "isl", "osl",
    "concurrency_or_qps", "output_tok_s_total", "output_tok_s_per_gpu", "ttft_ms", "ttft_stat",
    "itl_or_tpot_ms", "itl_stat", "e2e_ms", "notes", "load_kind", "trust", "model_family",
    "disagg_layout", "derived_output_tok_s_total", "derived_output_tok_s_per_gpu",
    "measured_date",
)  # fmt: skip
"""Of the points table, in its order."""
NEEDED = ("hardware", "engine", "model", "tp", "weight_precision")
"""Columns without which a point compares with nothing."""
SIZE_MAX_BYTES = 500_000_000
SHOWN_KEYS = 6
Parsed = tuple[list[Reading], list[str]]
Point = dict[str, str]

_FORMATS: tuple[
    tuple[str, Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], Parsed]], ...
] = (
    ("GuideLLM", guidellm_report.reads, guidellm_report.read),
    ("AIPerf and GenAI-Perf", genai_perf.reads, genai_perf.read),
    ("SGLang bench_serving", sglang_bench.reads, sglang_bench.read),
    ("vllm bench serve", vllm_bench.reads, vllm_bench.read),
)


@dataclass(frozen=True)
class Options:
    """What the reader says of the runs; None where the files are to say it."""

    columns: Mapping[str, str | int] = field(default_factory=dict)
    """hardware, engine, model, tp, ... by column."""
    load: Load | None = None
    """Offered load, where the file is silent."""


@dataclass(frozen=True)
class Imported:
    """Rows of the points table, and why the rest is none."""

    points: list[Point]
    problems: list[str]


def import_files(paths: Sequence[Path], options: Options) -> Imported:
    """Operating points of all files that can be read.

    Parameters
    ----------
    paths : result files; the format is told by the content.
    options : what the files do not state.
    """
    points: dict[str, Point] = {}
    problems: list[str] = []
    for path in paths:
        try:
            raw = _bytes(path)
            readings, wrong = _parse(raw, path)
        except ScenarioError as error:
            readings, wrong = [], list(error.problems)
        for position, reading in enumerate(readings):
            name = "I" + hashlib.sha256(raw + b"%d" % position).hexdigest()[:10]
            if name in points:
                wrong.append("the same results were read before")
                continue
            row, lacking = _point(reading, options, path)
            wrong += lacking
            if not lacking:
                points[name] = {"id": name, **row}
        problems += [f"{path}: {text}" for text in dict.fromkeys(wrong)]
    return Imported(list(points.values()), problems)


def to_csv(points: Sequence[Point]) -> str:
    """The points table, with its head."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(points)
    return text.getvalue()


def from_csv(path: Path) -> list[Point]:
    """Rows of an earlier import.

    Raises
    ------
    ScenarioError where the file cannot be read or has other columns.
    """
    rows = csv.DictReader(io.StringIO(_text(_bytes(path))))
    if tuple(rows.fieldnames or ()) != COLUMNS:
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        what = f"lacks the columns {', '.join(missing)}" if missing else "has more columns"
        raise ScenarioError(str(path), [f"is no points table: it {what}"])
    return list(rows)


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > SIZE_MAX_BYTES:
            raise ScenarioError(str(path), [f"is over {SIZE_MAX_BYTES:,} bytes"])
        return path.read_bytes()
    except OSError as error:
        raise ScenarioError(str(path), [f"cannot be read: {error.strerror}"]) from None


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ScenarioError("", ["is no UTF-8 text"]) from None


def _parse(raw: bytes, path: Path) -> Parsed:
    """Readings and problems of one file, whichever format it has."""
    text, suffix = _text(raw), path.suffix.lower()
    if not text.strip():
        return [], ["is empty"]
    if suffix == ".csv":
        try:
            return genai_perf.read_csv(text)
        except csv.Error as error:
            return [], [f"is no valid CSV: {error}"]
    records = [_yaml(text)] if suffix in (".yaml", ".yml") else _json(text)
    readings: list[Reading] = []
    problems: list[str] = []
    for position, record in enumerate(records, start=1):
        found, wrong = _record(record)
        readings += found
        problems += [f"result {position}: {w}" if len(records) > 1 else w for w in wrong]
    return readings, problems


def _record(record: Any) -> Parsed:
    if not isinstance(record, Mapping):
        return [], [f"layout unknown: {found_value(record)}; {_known()}"]
    for _, reads, read in _FORMATS:
        if reads(record):
            return read(record)
    keys = sorted(map(str, record))
    shown = ", ".join(keys[:SHOWN_KEYS]) or "none"
    more = ", ..." if len(keys) > SHOWN_KEYS else ""
    return [], [f"layout unknown: keys {shown}{more}; {_known()}"]


def _known() -> str:
    return f"read are results of {', '.join(name for name, _, _ in _FORMATS)}"


def _json(text: str) -> list[Any]:
    """One JSON document, or one a line."""
    try:
        return [json.loads(text)]
    except json.JSONDecodeError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2 or not lines[0].rstrip().endswith("}"):
            raise ScenarioError("", [_broken(error)]) from None
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise ScenarioError("", [f"is no valid JSON: {error}"]) from None
    try:
        return [json.loads(line) for line in lines]
    except (RecursionError, ValueError) as error:
        raise ScenarioError("", [_broken(error)]) from None


def _broken(error: Exception) -> str:
    if not isinstance(error, json.JSONDecodeError):
        return f"is no valid JSON: {error}"
    return f"is no valid JSON: {error.msg}, line {error.lineno}, column {error.colno} (cut off?)"


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first = str(error).splitlines()[0]
        raise ScenarioError("", [f"is no valid YAML: {first}"]) from None


def _point(reading: Reading, options: Options, path: Path) -> tuple[Point, list[str]]:
    """A row without its id, and what is missing or contradicted."""
    known: dict[str, str | int] = {"pp": 1, "dp": 1, **reading.stated, **options.columns}
    problems = [
        f"states {name} {reading.stated[name]}, --{name.replace('_', '-')} says {value}"
        for name, value in options.columns.items()
        if isinstance(value, int) and reading.stated.get(name, value) != value
    ]
    load = reading.load or options.load
    lacking = [f"--{name.replace('_', '-')}" for name in NEEDED if name not in known]
    lacking += [] if load else ["--concurrency or --request-rate"]
    if lacking:
        problems.append(f"does not state everything: give {', '.join(lacking)}")
    if problems or load is None:
        return {}, problems
    gpus = int(known.get("n_gpus") or int(known["tp"]) * int(known["pp"]) * int(known["dp"]))
    row = {
        "source": reading.tool,
        "source_url_or_repo_path": path.name,
        "n_gpus": gpus,
        "mode": load.mode,
        "load_kind": load.kind,
        "concurrency_or_qps": _figure(load.value),
        "isl": _figure(reading.isl_tokens),
        "osl": _figure(reading.osl_tokens),
        "output_tok_s_total": _figure(reading.output_tok_s),
        "output_tok_s_per_gpu": _figure(reading.output_tok_s / gpus),
        "ttft_ms": _figure(reading.ttft_ms),
        "ttft_stat": reading.ttft_stat,
        "itl_or_tpot_ms": _figure(reading.tpot_ms),
        "itl_stat": reading.tpot_stat,
        "e2e_ms": _figure(reading.e2e_ms),
        "notes": "; ".join(note for note in reading.notes if note),
        "trust": "C" if reading.doubtful else "A",
        "measured_date": reading.measured_date,
        **known,
    }
    return {name: str(row[name]) for name in COLUMNS if name in row}, []


def _figure(value: float | None) -> str:
    """Ten digits, blank where unknown, inf as the table writes it.

    Examples
    --------
    >>> _figure(64.0), _figure(None), _figure(float("inf"))
    ('64', '', 'inf')
    """
    return "" if value is None else f"{value:.10g}"
