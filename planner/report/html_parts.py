"""Parts of a plan without a section made for them: shown by their records, units from names.

A part that is added to the plan appears on the page at once; its name and docstring are its
heading, its fields the columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planner.report.html_model import (
    Block,
    Bullets,
    Cell,
    Column,
    Heading,
    Row,
    Section,
    Style,
    Table,
    shown,
)
from planner.result import Plan, Record

SHOWN = frozenset(
    {
        "plan_version", "tool_version", "created_at", "scenario", "scenario_sha256", "status",
        "gap_asked_frac", "npv_usd", "bound_usd", "gap_frac", "rounding_usd", "seconds", "periods",
        "blocks", "demand", "fleet", "pools", "apis", "ledger_inputs", "ledger_quantities",
        "ledger_lines", "class_costs", "candidates", "trails", "curves", "binding", "audit",
        "sources", "notes",
    }
)  # fmt: skip
"""Fields of a plan that the page's own sections show."""
DEPTH_MOST = 3
_UNITS: tuple[tuple[str, str, Style], ...] = (
    ("_usd_per_mtoken", "USD/Mtoken", "cents"),
    ("_usd_per_gpu_h", "USD/GPU/h", "cents"),
    ("_usd_per_h", "USD/h", "cents"),
    ("_usd", "USD", "count"),
    ("_frac", "", "percent"),
    ("_ms", "ms", "tenths"),
    ("_gb", "GB", "tenths"),
    ("_kw", "kW", "tenths"),
    ("_kwh", "kWh", "count"),
    ("_rps", "requests/s", "cents"),
    ("_months", "months", "auto"),
    ("_s", "s", "tenths"),
)
_WORDS = {"usd", "npv", "gpu", "gpus", "api", "kv", "ttft", "tpot", "slo", "id", "irr", "ebitda"}
_LONG = 40
"""Letters beyond which a text may wrap."""


def parts(plan: Plan) -> list[Section]:
    """A section for each further part of the plan that has content."""
    return [
        Section(f"part-{name.replace('_', '-')}", title(name), _lead(field.description), blocks)
        for name, field in type(plan).model_fields.items()
        if name not in SHOWN and (blocks := _blocks(getattr(plan, name), title(name), 1))
    ]


def title(name: str) -> str:
    """Heading of a field, without its unit.

    Examples
    --------
    >>> title("break_even_points"), title("npv_usd"), title("ttft_ms")
    ('Break even points', 'NPV', 'TTFT')
    """
    words = [w.upper() if w in _WORDS else w for w in _bare(name).split("_")]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def _bare(name: str) -> str:
    suffix = next((end for end, _, _ in _UNITS if name.endswith(end) and name != end[1:]), "")
    return name.removesuffix(suffix)


def _column(name: str, *, wide: bool) -> Column:
    for end, unit, style in _UNITS:
        if name.endswith(end):
            return Column(title(name), unit, style, wide=wide)
    return Column(title(name), style="auto", wide=wide)


def _lead(description: str | None) -> str:
    return " ".join((description or "").split())


def _blocks(value: Any, heading: str, depth: int) -> list[Block]:
    """Tables and lists of one value; nothing for what is empty."""
    if isinstance(value, Record):
        return _record(value, heading, depth)
    if isinstance(value, dict):
        rows = [Row([str(key), _cell(item)]) for key, item in value.items()]
        return (
            [Table(heading, [Column("Key"), Column("Value", style="auto")], rows)] if rows else []
        )
    if isinstance(value, list | tuple):
        if value and all(isinstance(item, Record) for item in value):
            return _records(value, heading, depth)
        return [Bullets([shown(_cell(item)) for item in value])] if value else []
    return [] if value is None or value == "" else [Bullets([shown(_cell(value))])]


def _record(record: Record, heading: str, depth: int) -> list[Block]:
    plain = {name: x for name, x in record if not _nested(x) and x not in (None, "")}
    columns = [Column("Figure"), Column("Value", style="auto", wide=True), Column("Unit")]
    rows = []
    for name, value in plain.items():
        column = _column(name, wide=False)
        rows.append(Row([column.heading, _cell(value), column.unit], column.style))
    blocks: list[Block] = [Table(heading, columns, rows)] if rows else []
    for name, value in record:
        if _nested(value) and depth < DEPTH_MOST:
            blocks += _blocks(value, f"{heading}: {title(name).lower()}", depth + 1)
    return blocks


def _records(records: Sequence[Record], heading: str, depth: int) -> list[Block]:
    """One table of the plain fields that any record fills; what is nested follows."""
    names = [name for name in type(records[0]).model_fields if _used(records, name)]
    columns = [_column(name, wide=_is_long(records, name)) for name in names]
    rows = [Row([_cell(getattr(record, name)) for name in names]) for record in records]
    blocks: list[Block] = [Table(heading, columns, rows)] if names else []
    for record in records if depth < DEPTH_MOST else ():
        label = next((str(x) for _, x in record if isinstance(x, str) and x), "")
        below = [
            block
            for name, value in record
            if _nested(value)
            for block in _blocks(value, f"{label}: {title(name).lower()}", depth + 1)
        ]
        blocks += [Heading(label), *below] if below and depth == 1 else below
    return blocks


def _used(records: Sequence[Record], name: str) -> bool:
    values = [getattr(record, name) for record in records]
    return any(not _nested(value) and value not in (None, "") for value in values)


def _is_long(records: Sequence[Record], name: str) -> bool:
    return any(len(str(_cell(getattr(record, name)))) > _LONG for record in records)


def _nested(value: Any) -> bool:
    """Whether a value needs a table of its own."""
    if isinstance(value, list | tuple):
        return any(isinstance(item, Record | list | tuple | dict) for item in value)
    return isinstance(value, Record | dict)


def _cell(value: Any) -> Cell:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, str | float | int):
        return value
    if isinstance(value, list | tuple):
        return ", ".join(shown(_cell(item)) for item in value)
    return str(value)
