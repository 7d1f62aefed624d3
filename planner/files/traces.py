"""Request traces: CSV, JSON lines or Parquet, plain or gzipped, read by chunks into plain arrays.

Everything that is wrong is found in one reading and refused at once; rows are dropped or moved
only by the rules that the user names.
"""

from __future__ import annotations

import gzip
import importlib
import io
import json
import re
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from planner.errors import ScenarioError
from planner.files.trace_checks import Problems, Rows, checked
from planner.files.trace_columns import Clock, recognized

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

CHUNK_ROWS = 500_000
CHUNK_BYTES = 100_000_000
"""Of text a chunk, by the first row: a log may hold the prompts themselves."""
HEAD_LINES = 50
"""Lines of a JSON file whose keys are taken as its columns."""
DEPTH_MAX = 4
LINE_MAX_BYTES = 1_000_000
_DELIMITERS = ",;\t|"
_DECODER = json.JSONDecoder()
PACKED_BYTES = 4
_PACKED = {
    b"\x1f\x8b": "is compressed by gzip: give it a name that ends in .gz",
    b"PK\x03\x04": "is a ZIP archive or a workbook: unpack it, or save it as CSV",
    b"\xff\xfe": "is UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "is UTF-16 text: save it as UTF-8",
}
"""First bytes of what is no UTF-8 text, and what would make it one."""
_MOONCAKE = {"timestamp", "input_length", "output_length", "hash_ids"}
_UNREADABLE = "(no JSON object)"  # stands in every column of such a line, and is no number


@dataclass(frozen=True)
class Trace:
    """Requests in the order of time, cleaned."""

    name: str
    """Of the file, without its folder."""
    rows: int
    """Rows of the file; `input_tokens` has those that were kept."""
    input_tokens: Whole
    output_tokens: Whole
    hit_tokens: Whole | None
    """Prompt tokens found in the prefix cache; None where the trace does not say."""
    time_s: Array | None
    """Seconds from the first request, ascending, hours that were not recorded taken out."""
    wall_s: Array | None
    """Local clock as seconds since 1970-01-01 00:00 of that clock, or since the first stamp where
    stamps do not tell the hour."""
    observed: tuple[tuple[float, float], ...]
    """Recorded stretches, on the clock of `wall_s`."""
    clock: str
    """Whose hours `wall_s` shows; empty where stamps do not tell the hour."""
    notes: tuple[str, ...]
    """What was assumed, and what was cleaned."""


@dataclass
class _Columns:
    """Cells read so far, by chunk."""

    rows: int = 0
    time: list[Array] = field(default_factory=list)
    naive: list[NDArray[np.bool_]] = field(default_factory=list)
    lengths: dict[str, list[NDArray[np.int32]]] = field(default_factory=dict)
    keep: list[NDArray[np.bool_]] = field(default_factory=list)
    has_time: bool = False
    blank_time: list[NDArray[np.bool_]] = field(default_factory=list)


def read_trace(
    path: Path,
    *,
    column_map: Mapping[str, str] | None = None,
    timezone: str | None = None,
    clean: Collection[str] = (),
    time_unit: str | None = None,
) -> Trace:
    """Read a trace of requests.

    Parameters
    ----------
    path : .csv, .jsonl, .ndjson or .parquet; the first three also with .gz.
    column_map : role (timestamp, input_tokens, output_tokens, hit_tokens) -> column.
    timezone : name such as Europe/Berlin whose clock gives the hours of the day.
    clean : names of `trace_rules.CLEAN_RULES`.
    time_unit : s, ms, us or ns of numeric stamps; by their size where missing.

    Raises
    ------
    ScenarioError : the file cannot be read, or has problems that no rule in `clean` covers; each
        with its count, its first row (1 is the first below the header) and the rule.
    """
    where = path.name
    try:
        names = _column_names(path)
        roles, wrong = recognized(names, column_map or {})
        if wrong:
            raise ScenarioError(where, wrong)
        unit = time_unit or ("ms" if set(names) >= _MOONCAKE else None)
        clock, problems = Clock(unit=unit), Problems(frozenset(clean))
        columns = _collected(path, roles, clock, problems)
    except OSError as error:  # gzip's own errors among them
        why = error.strerror or str(error)
        raise ScenarioError(where, [f"cannot be read: {why}"]) from None
    except (EOFError, zlib.error) as error:
        raise ScenarioError(where, [f"is no whole gzip file: {error}"]) from None
    except UnicodeDecodeError:
        raise ScenarioError(where, [_undecoded(path)]) from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise ScenarioError(where, [f"is no CSV table: {_by_row(str(error))}"]) from None
    return _trace(where, columns, clock, problems, ZoneInfo(timezone) if timezone else None)


def _by_row(text: str) -> str:
    """A parser's message with rows as they are counted here, from 1 below the header.

    Examples
    --------
    >>> _by_row("Error tokenizing data. C error: Expected 3 fields in line 53, saw 4")
    'Expected 3 fields in row 52, saw 4'
    """
    if text.startswith("Length of header"):
        return "rows have more fields than the header"
    plain = text.strip().removeprefix("Error tokenizing data. C error: ")
    return re.sub(r"\bline (\d+)", lambda found: f"row {int(found[1]) - 1:,}", plain)


def _undecoded(path: Path) -> str:
    """The first line that is no UTF-8."""
    with _open(path) as stream:
        for number, line in enumerate(stream):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                where = f"row {number:,}" if number else "the header"
                return (
                    f"{where} is no UTF-8 text (byte {line[error.start]:#x}): save the file as "
                    "UTF-8"
                )
    return "is no UTF-8 text: save the file as UTF-8"


def _trace(
    name: str, columns: _Columns, clock: Clock, problems: Problems, zone: ZoneInfo | None
) -> Trace:
    rows = Rows(
        number=np.flatnonzero(_joined(columns.keep, bool)) + 1,
        lengths={role: _joined(parts, np.int32) for role, parts in columns.lengths.items()},
        time_s=_joined(columns.time, float) if columns.has_time else None,
        naive=_joined(columns.naive, bool) if columns.has_time else None,
    )
    clean = checked(rows, total=columns.rows, clock=clock, zone=zone, problems=problems)
    if problems.open:
        raise ScenarioError(name, problems.open)
    lengths = {role: values.astype(np.int64) for role, values in clean.lengths.items()}
    return Trace(
        name=name,
        rows=columns.rows,
        input_tokens=lengths["input_tokens"],
        output_tokens=lengths["output_tokens"],
        hit_tokens=lengths.get("hit_tokens"),
        time_s=clean.time_s,
        wall_s=clean.wall_s,
        observed=clean.observed,
        clock=clean.clock,
        notes=(*_assumed(columns, clock, problems), *problems.notes),
    )


def _assumed(columns: _Columns, clock: Clock, problems: Problems) -> Iterator[str]:
    if columns.has_time and not clock.is_text:
        kind = "since 1970" if clock.is_epoch else "on the trace's own clock"
        yield f"time stamps are read as {clock.unit} {kind}"
    blank = problems.blank_hits
    if blank:
        yield f"hit_tokens: blank in {blank:,} of {columns.rows:,} rows, counted as none"


def _joined(parts: list[Any], kind: Any) -> NDArray[Any]:
    whole = np.concatenate(parts) if parts else np.array([], kind)
    parts.clear()  # chunks and whole together would double the memory
    return whole


def _collected(path: Path, roles: Mapping[str, str], clock: Clock, problems: Problems) -> _Columns:
    columns = _Columns(lengths={role: [] for role in roles if role != "timestamp"})
    for chunk in _chunks(path, list(roles.values())):
        _take(chunk, roles, clock, problems, columns)
        columns.rows += len(chunk)
    kept = _joined(columns.keep, bool)
    if columns.has_time:
        blank = _joined(columns.blank_time, bool)
        problems.rows("missing", "timestamp", blank)
        kept &= ~blank
    columns.time = [_joined(columns.time, float)]
    columns.naive = [_joined(columns.naive, bool)]
    columns.lengths = {role: [_joined(p, np.int32)] for role, p in columns.lengths.items()}
    if not kept.all():
        columns.time = [values[kept] for values in columns.time if len(values)]
        columns.naive = [values[kept] for values in columns.naive if len(values)]
        columns.lengths = {r: [values[kept] for values in p] for r, p in columns.lengths.items()}
    columns.keep = [kept]
    return columns


def _take(
    chunk: pd.DataFrame,
    roles: Mapping[str, str],
    clock: Clock,
    problems: Problems,
    columns: _Columns,
) -> None:
    keep = np.ones(len(chunk), bool)
    values = {}
    for role in columns.lengths:
        values[role], bad = problems.lengths(role, chunk[roles[role]], first=columns.rows)
        keep &= ~bad
    if "hit_tokens" in values:
        values["hit_tokens"] = problems.hits(
            values["hit_tokens"], values["input_tokens"], keep, first=columns.rows
        )
    if "timestamp" in roles:
        cells = chunk[roles["timestamp"]]
        seconds, blank, unreadable, naive = clock.read(cells)
        problems.rows("unreadable", "timestamp", unreadable, first=columns.rows, cells=cells)
        keep &= ~unreadable
        columns.has_time |= not blank.all()
        columns.time.append(seconds)
        columns.naive.append(naive)
        columns.blank_time.append(blank)
    columns.keep.append(keep)
    for role, found in values.items():
        columns.lengths[role].append(found)


def _kind(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    for kind, suffixes in _SUFFIXES.items():
        if name.endswith(suffixes):
            return kind
    known = ", ".join(s for suffixes in _SUFFIXES.values() for s in suffixes)
    raise ScenarioError(path.name, [f"expected a name that ends in {known} (text also .gz)"])


_SUFFIXES = {
    "csv": (".csv", ".tsv", ".txt"),
    "json": (".jsonl", ".ndjson"),
    "parquet": (".parquet",),
}


def _open(path: Path) -> BinaryIO:
    zipped = path.name.lower().endswith(".gz")
    return cast("BinaryIO", gzip.open(path, "rb") if zipped else path.open("rb"))


def _column_names(path: Path) -> list[str]:
    kind = _kind(path)
    if kind == "parquet":
        return [str(name) for name in _parquet(path).schema_arrow.names]
    _refuse_packed(path)
    if kind == "csv":
        return _header(path)
    names: dict[str, None] = {}
    with _text(path) as stream:
        for _, line in zip(range(HEAD_LINES), stream, strict=False):
            names |= dict.fromkeys(_flat(_object(line)))
    if not names:
        lines = "its first lines hold no JSON object; a line a request is read, no array over lines"
        raise ScenarioError(path.name, [lines])
    return list(names)


def _refuse_packed(path: Path) -> None:
    """Files that are no text whatever their name says."""
    with _open(path) as stream:
        start = stream.read(PACKED_BYTES)
    if not start.strip():
        raise ScenarioError(path.name, ["is empty"])
    for mark, advice in _PACKED.items():
        if start.startswith(mark):
            raise ScenarioError(path.name, [advice])


def _header(path: Path) -> list[str]:
    """Names of the columns as they are written, equal ones too."""
    separator = _delimiter(path)
    with _open(path) as stream:
        header = pd.read_csv(
            stream, nrows=1, header=None, sep=separator, encoding="utf-8-sig", dtype=str,
            keep_default_na=False,
        )  # fmt: skip
    return [str(name) for name in header.iloc[0]]


def _delimiter(path: Path) -> str:
    with _open(path) as stream:
        header = stream.readline(LINE_MAX_BYTES).decode("utf-8-sig")
    return max(_DELIMITERS, key=header.count)


def _chunks(path: Path, wanted: list[str]) -> Iterator[pd.DataFrame]:
    kind = _kind(path)
    if kind == "parquet":
        for batch in _parquet(path).iter_batches(batch_size=CHUNK_ROWS, columns=wanted):
            yield batch.to_pandas()
    elif kind == "json":
        yield from _json_chunks(path, wanted)
    else:
        yield from _csv_chunks(path, wanted)


def _csv_chunks(path: Path, wanted: list[str]) -> Iterator[pd.DataFrame]:
    """All columns are parsed, though few are kept: pandas then refuses rows of another length."""
    with _open(path) as stream:
        stream.readline(LINE_MAX_BYTES)
        typical = len(stream.readline(LINE_MAX_BYTES)) + 1
    separator = _delimiter(path)
    with (
        _open(path) as stream,
        warnings.catch_warnings(action="error", category=pd.errors.ParserWarning),
        pd.read_csv(
            stream,
            index_col=False,
            chunksize=min(max(CHUNK_BYTES // typical, 1), CHUNK_ROWS),
            sep=separator,
            encoding="utf-8-sig",
            low_memory=False,
        ) as chunks,
    ):
        for chunk in chunks:
            yield chunk[wanted]


def _parquet(path: Path) -> Any:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        advice = "Parquet needs pyarrow: pip install 'inference-fleet-planner[parquet]'"
        raise ScenarioError(path.name, [advice]) from None
    lib = importlib.import_module("pyarrow.lib")
    try:
        return parquet.ParquetFile(path)
    except lib.ArrowInvalid as error:
        raise ScenarioError(path.name, [f"is no Parquet file: {error}"]) from None


def _json_chunks(path: Path, wanted: list[str]) -> Iterator[pd.DataFrame]:
    """Only the wanted keys of each line, so that prompts in a log take no memory."""
    cells: dict[str, list[Any]] = {name: [] for name in wanted}
    takes = [(cells[name].append, _taker(name)) for name in wanted]
    rows = 0
    with _text(path) as stream:
        for line in stream:
            entry = _object(line)
            if entry is None and not line.strip():
                continue
            for append, take in takes:
                append(_UNREADABLE if entry is None else take(entry))
            rows += 1
            if rows % CHUNK_ROWS == 0:
                yield pd.DataFrame(cells, dtype=object).infer_objects()
                for column in cells.values():
                    column.clear()
    yield pd.DataFrame(cells, dtype=object).infer_objects()


def _text(path: Path) -> io.TextIOWrapper:
    """A damaged character in a prompt is no reason to refuse a log."""
    return io.TextIOWrapper(_open(path), encoding="utf-8-sig", errors="replace")


def _object(line: str) -> dict[str, Any] | None:
    text = line.strip()
    try:
        entry, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and end == len(text) else None


def _taker(name: str) -> Callable[[dict[str, Any]], Any]:
    """Value at a dotted path, or under the name as it is written; None where there is none."""
    first, *others = name.split(".")

    def take(entry: dict[str, Any]) -> Any:
        value = entry.get(first)
        for step in others:
            value = value.get(step) if isinstance(value, dict) else None
        return entry.get(name) if value is None else value

    return take if others else lambda entry: entry.get(name)


def _flat(entry: dict[str, Any] | None, before: str = "", depth: int = 0) -> Iterator[str]:
    for key, value in (entry or {}).items():
        if isinstance(value, dict) and depth < DEPTH_MAX:
            yield from _flat(value, f"{before}{key}.", depth + 1)
        else:
            yield f"{before}{key}"
