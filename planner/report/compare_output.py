"""Files of a comparison: the suffix says which."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from planner.errors import ScenarioError
from planner.files.output import atomic_path
from planner.report.compare import Comparison, as_dict
from planner.report.output import check_outputs

# The formats' libraries load when they are used: JSON need not wait for the workbook's.


def _json(found: Comparison) -> bytes:
    return f"{json.dumps(as_dict(found), indent=1)}\n".encode()


def _xlsx(found: Comparison) -> bytes:
    from planner.report.compare_workbook import comparison_bytes  # noqa: PLC0415

    return comparison_bytes(found)


def _html(found: Comparison) -> bytes:
    from planner.report.compare_html import comparison_html  # noqa: PLC0415

    return comparison_html(found)


_WRITERS: Mapping[str, Callable[[Comparison], bytes]] = {
    ".json": _json,
    ".xlsx": _xlsx,
    ".html": _html,
}


def write_comparison(found: Comparison, path: Path) -> None:
    """Write plain data (.json), a workbook (.xlsx) or a page (.html); an old file stays until then.

    Raises
    ------
    ScenarioError : another suffix, or a place that cannot be written to.
    """
    content = _WRITERS[_suffix(path)](found)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def check_comparison_outputs(paths: Sequence[Path]) -> list[Path]:
    """Outputs without repetition, refused before any work where they cannot be.

    Raises
    ------
    ScenarioError where a suffix is unknown, a path cannot be written or a program has it open.
    """
    for path in paths:
        _suffix(path)
    return check_outputs(paths)


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        known = ", ".join(_WRITERS)
        raise ScenarioError(str(path), [f"{suffix or 'no suffix'}; a comparison is one of {known}"])
    return suffix
