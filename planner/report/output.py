"""Files of a plan: the suffix says which."""

from __future__ import annotations

from pathlib import Path

from planner.errors import ScenarioError
from planner.files.output import atomic_path
from planner.result import Plan

SUFFIXES = (".xlsx", ".json")


def write(plan: Plan, path: Path | str) -> None:
    """Write a workbook (.xlsx) or the plan itself (.json); an old file stays until it is whole.

    Raises
    ------
    ScenarioError : another suffix, or a place that cannot be written to.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".xlsx":
        # The workbook's library takes a quarter second to load; JSON need not wait for it.
        from planner.report.workbook import workbook_bytes  # noqa: PLC0415

        content = workbook_bytes(plan)
    elif suffix == ".json":
        content = f"{plan.model_dump_json(indent=1)}\n".encode()
    else:
        found = path.suffix or "no suffix"
        raise ScenarioError(str(path), [f"{found}; a report is one of {', '.join(SUFFIXES)}"])
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
