"""Labels of a workbook in words: no identifiers of options and accelerators."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from planner.report.ledger_view import View
from planner.report.words import OPTIONS
from planner.result import Plan


def names_of(plan: Plan) -> dict[str, str]:
    """What identifiers in labels stand for: options, and accelerators of any fleet."""
    fleets = [plan.fleet, *(option.fleet for option in plan.options)]
    machines = {row.accelerator: row.accelerator_title for rows in fleets for row in rows}
    options = {name: words for name, words in OPTIONS.items() if "_" in name}
    return {**machines, **options}


def plain(text: str, names: Mapping[str, str]) -> str:
    """Text with identifiers replaced by what they stand for.

    Examples
    --------
    >>> plain("HGX B200 at cloud, reserved_1y", {"reserved_1y": "reserved 1 year"})
    'HGX B200 at cloud, reserved 1 year'
    """
    if not any(name in text for name in names):
        return text
    longest_first = sorted(names, key=len, reverse=True)
    pattern = "|".join(re.escape(name) for name in longest_first)
    return re.sub(rf"(?<![\w-])(?:{pattern})(?![\w-])", lambda found: names[found[0]], text)


def in_words(seen: View, names: Mapping[str, str]) -> View:
    """The same figures under labels in words."""
    return replace(
        seen,
        inputs=tuple(
            row.model_copy(update={"label": plain(row.label, names)}) for row in seen.inputs
        ),
        lines=tuple(
            replace(line, label=plain(line.label, names), group=plain(line.group, names))
            for line in seen.lines
        ),
    )
