"""Plans read back from their JSON: versions and damage are named, nothing is guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from planner.errors import ScenarioError
from planner.files.plain_yaml import Document
from planner.files.plan_checks import contradictions
from planner.files.problems import found_value, sentences
from planner.result import PLAN_VERSION, Plan

SIZE_MAX_BYTES = 500_000_000
SHOWN_MAX = 20
HEAD_BYTES = 65_536


def read_plan(path: Path) -> Plan:
    """Read a plan that `planner solve` wrote.

    Parameters
    ----------
    path : plan.json.

    Raises
    ------
    ScenarioError where the file is missing, cut off, edited into nonsense or of another version.
    """
    where = str(path)
    raw = _bytes(path)
    data = _json(raw, where)
    if not isinstance(data, dict) or "plan_version" not in data:
        raise ScenarioError(where, ["is no plan: it has no plan_version; planner solve writes one"])
    version = data["plan_version"]
    if version != PLAN_VERSION:
        text = f"plan_version {found_value(version)}; this planner reads {PLAN_VERSION}"
        raise ScenarioError(where, [f"{text}; solve its scenario again"])
    try:
        plan = Plan.model_validate_json(raw, strict=True)
    except ValidationError as error:
        found = sentences(error, Document(data, {}), Plan)
        lines = [text.replace(" (line 1)", "", 1) for text in found]
        raise ScenarioError(where, _first(lines)) from None
    if found := contradictions(plan):
        raise ScenarioError(where, _first(found))
    return plan


def _first(problems: list[str]) -> list[str]:
    more = [f"... and {len(problems) - SHOWN_MAX} more"] if len(problems) > SHOWN_MAX else []
    return [*problems[:SHOWN_MAX], *more]


def is_plan(path: Path) -> bool:
    """Whether a file is meant as a plan: it names its plan_version near its beginning."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b'"plan_version"' in file.read(HEAD_BYTES)


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > SIZE_MAX_BYTES:
            raise ScenarioError(str(path), [f"is over {SIZE_MAX_BYTES:,} bytes: no plan is"])
        return path.read_bytes()
    except OSError as error:
        raise ScenarioError(str(path), [f"cannot be read: {error.strerror}"]) from None


def _json(raw: bytes, where: str) -> Any:
    try:
        return json.loads(raw)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        cut = "" if error.doc.rstrip().endswith("}") else " (cut off?)"
        raise ScenarioError(where, [f"is no valid JSON: {error.msg}, {place}{cut}"]) from None
    except (UnicodeDecodeError, RecursionError):
        raise ScenarioError(where, ["is no valid JSON"]) from None
