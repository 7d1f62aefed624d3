"""Files of a comparison: the suffix says which."""

from __future__ import annotations

import json
from pathlib import Path

from planner.errors import ScenarioError
from planner.files.output import atomic_path
from planner.report.compare import Comparison, as_dict


def write_comparison(found: Comparison, path: Path) -> None:
    """Write a workbook (.xlsx) or plain data (.json); an old file stays until it is whole.

    Raises
    ------
    ScenarioError : another suffix, or a place that cannot be written to.
    """
    suffix = path.suffix.lower()
    if suffix == ".xlsx":
        # The workbook's library takes a quarter second to load; JSON need not wait for it.
        from planner.report.compare_workbook import comparison_bytes  # noqa: PLC0415

        content = comparison_bytes(found)
    elif suffix == ".json":
        content = f"{json.dumps(as_dict(found), indent=1)}\n".encode()
    else:
        raise ScenarioError(str(path), ["a comparison is written to .xlsx or .json"])
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
