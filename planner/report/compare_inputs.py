"""What differs in what two plans were asked: the scenario's fields, and figures of the catalog."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from planner.result import Plan

ABSENT, PRESENT = "absent", "present"
NAMES = ("name", "title", "description")
"""Fields of a scenario that no figure follows from."""


@dataclass(frozen=True)
class Difference:
    """One field or figure with both values; a source where the catalog gives it."""

    what: str
    """demand.chat.requests_per_s, or H100, on demand."""
    unit: str
    first: str
    second: str
    first_source: str = ""
    second_source: str = ""


def scenario_differences(first: Plan, second: Plan) -> tuple[Difference, ...]:
    """Fields of the scenarios, defaults filled in, that are not the same."""
    found = _differences(first.scenario, second.scenario, "")
    return tuple(
        Difference(path, "", _text(ours), _text(theirs))
        for path, ours, theirs in found
        if path not in NAMES
    )


_MISSING = object()
Leaf = tuple[str, Any, Any]


def _differences(ours: Any, theirs: Any, path: str) -> Iterator[Leaf]:
    """Paths at which two values part, each with both values.

    Entries of lists go by their names; one that only one side has is told as a whole.

    Examples
    --------
    >>> a = {"sites": [{"name": "hq", "pue": 1.2}], "months": 12}
    >>> b = {"sites": [{"name": "hq", "pue": 1.3}], "months": 12}
    >>> list(_differences(a, b, ""))
    [('sites.hq.pue', 1.2, 1.3)]
    """
    left, right = _entries(ours), _entries(theirs)
    if left is None or right is None:
        if ours != theirs:
            yield path, ours, theirs
        return
    for key in dict.fromkeys((*left, *right)):
        below = f"{path}.{key}" if path else key
        yield from _differences(left.get(key, _MISSING), right.get(key, _MISSING), below)


def _entries(value: Any) -> dict[str, Any] | None:
    """What a mapping or a list of mappings holds by name; None of anything else."""
    if isinstance(value, Mapping):
        return {str(key): entry for key, entry in value.items()}
    if isinstance(value, list) and all(isinstance(entry, Mapping) for entry in value):
        return {_label(entry, number): entry for number, entry in enumerate(value)}
    return None


def _label(entry: Mapping[str, Any], number: int) -> str:
    name = entry.get("name")
    return name if isinstance(name, str) else str(number)


def _text(value: Any) -> str:
    if value is _MISSING:
        return ABSENT
    if isinstance(value, Mapping):
        return PRESENT
    return json.dumps(value, ensure_ascii=False)


def catalog_differences(first: Plan, second: Plan) -> tuple[Difference, ...]:
    """Figures that both plans use, where value or source differ and the scenario gave neither."""
    ours, theirs = _figures(first), _figures(second)
    return tuple(
        Difference(old[0], old[1], old[2], new[2], old[3], new[3])
        for key, old in ours.items()
        if (new := theirs.get(key)) is not None and old != new
    )


Figure = tuple[str, str, str, str]
"""Label, unit, value, source with its date and basis."""


def _figures(plan: Plan) -> dict[tuple[str, str], Figure]:
    """Inputs of the cash rows, then what else the sources list, by kind and name."""
    found: dict[tuple[str, str], Figure] = {}
    for row in plan.ledger_inputs:
        if not (row.scenario_path and row.basis == "scenario"):
            source = _source(row.source, row.as_of, row.basis)
            found["money", row.name] = (row.label, row.unit, f"{row.value:,.9g}", source)
    for other in plan.sources:
        if other.used_in not in ("money", "scenario"):
            source = _source(other.source, other.as_of, other.basis)
            found[other.used_in, other.what] = (other.what, other.unit, other.value, source)
    return found


def _source(source: str, as_of: str, basis: str) -> str:
    return "; ".join(part for part in (source, as_of, basis) if part)
