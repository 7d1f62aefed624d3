"""Files of a plan: the suffix says which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from planner.errors import ScenarioError
from planner.files.output import atomic_path, ensure_writable
from planner.result import Plan

# The formats' libraries load when they are used: JSON need not wait for the workbook's.


def _json(plan: Plan) -> bytes:
    return f"{plan.model_dump_json(indent=1)}\n".encode()


def _xlsx(plan: Plan) -> bytes:
    from planner.report.workbook import workbook_bytes  # noqa: PLC0415

    return workbook_bytes(plan)


def _html(plan: Plan) -> bytes:
    from planner.report.html import html_bytes  # noqa: PLC0415

    return html_bytes(plan)


def _csv(plan: Plan) -> bytes:
    from planner.report.tidy import csv_bytes  # noqa: PLC0415

    return csv_bytes(plan)


def _parquet(plan: Plan) -> bytes:
    from planner.report.tidy import parquet_bytes  # noqa: PLC0415

    return parquet_bytes(plan)


_WRITERS: Mapping[str, Callable[[Plan], bytes]] = {
    ".json": _json,
    ".xlsx": _xlsx,
    ".html": _html,
    ".csv": _csv,
    ".parquet": _parquet,
}
SUFFIXES = tuple(_WRITERS)
"""What a report's name may end in; the plan itself first, so that it is written first."""
_LOCKS = ("~${}", ".~lock.{}#")
"""Files that Excel and LibreOffice keep beside one that they have open."""


def write(plan: Plan, path: Path | str) -> None:
    """Write a report; an old file stays until the new one is whole.

    .json is the plan itself, .xlsx the workbook, .html one page, .csv and .parquet the monthly
    ledger as one long table.

    Raises
    ------
    ScenarioError : another suffix, or a place that cannot be written to.
    """
    path = Path(path)
    content = _WRITERS[_suffix(path)](plan)
    with atomic_path(path) as temporary:
        try:
            temporary.write_bytes(content)
        except OSError as error:
            raise ScenarioError(str(path), [f"cannot be written: {error.strerror}"]) from None


def check_outputs(paths: Sequence[Path]) -> list[Path]:
    """Outputs without repetition, JSON first; refused before any work where they cannot be.

    Raises
    ------
    ScenarioError where a suffix is unknown, a path cannot be written, a program has the file open,
    or what its format needs is not installed.
    """
    for path in paths:
        if _suffix(path) == ".parquet":
            from planner.report.tidy import require_parquet  # noqa: PLC0415

            require_parquet(str(path))
    for path in paths:
        _refuse_open(ensure_writable(path))
    places = {path.resolve(): path for path in reversed(paths)}
    return sorted(places.values(), key=lambda path: SUFFIXES.index(_suffix(path)))


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        found = path.suffix or "no suffix"
        raise ScenarioError(str(path), [f"{found}; a report is one of {', '.join(SUFFIXES)}"])
    return suffix


def _refuse_open(path: Path) -> None:
    """A program that has the file open would later save its old content over the new."""
    for pattern in _LOCKS:
        lock = path.parent / pattern.format(path.name)
        if lock.exists():
            text = f"is open in another program, says {lock.name} beside it; close it first"
            raise ScenarioError(str(path), [f"{text}, or delete that file where none has"])
