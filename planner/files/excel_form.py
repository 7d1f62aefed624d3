"""The form of a scenario in a workbook, read off the schema: sheets, their fields, their choices.

Single values stand on one sheet, a row each. Every list of mappings and every dictionary at the
top or inside a section has a sheet of its own with an entry for each column or row; a list inside
an entry (the growth events of a demand class) has one too, whose first field names the entry.
What lies deeper, and lists of plain values, are written in one cell as YAML writes them on a
line, without the outer brackets. A new field of the schema needs nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from planner.files.template import is_later, model_classes
from planner.schema.scenario import Scenario

Node = Mapping[str, Any]
Path = tuple[str, ...]

SINGLES = "Scenario"
SINGLE_VALUES = "Single values of the scenario."
KEY, VALUE = "key", "value"
"""Fields of a dictionary's sheet."""
CARDS_FROM = 13
"""Entries with this many fields or more stand side by side, a column each; others in rows."""
UNITS = (
    ("_usd_per_kw_month", "USD/kW/month"),
    ("_usd_per_kwh", "USD/kWh"),
    ("_kg_per_kwh", "kg CO2e/kWh"),
    ("_usd_per_mtoken", "USD/M tokens"),
    ("_usd_per_gpu_h", "USD/GPU/h"),
    ("_per_year_usd", "USD/year"),
    ("_frac_per_year", "share/year"),
    ("_kg_per_year", "kg CO2e/year"),
    ("_per_user_per_day", "1/user/day"),
    ("_rate_per_year", "share/year"),
    ("_per_year", "share/year"),
    ("rate_per_year", "share/year"),
    ("discount_rate", "share/year"),
    ("requests_per_s", "requests/s"),
    ("requests_per_day", "requests/day"),
    ("_percentile", "share, 0 to 1"),
    ("_frac", "share, 0 to 1"),
    ("_target", "share, 0 to 1"),
    ("_floor", "share, 0 to 1"),
    ("_months", "months"),
    ("months", "months"),
    ("_years", "years"),
    ("_tokens", "tokens"),
    ("_kw", "kW"),
    ("_ms", "ms"),
    ("_usd", "USD"),
)
"""Unit by the end of a field's name, where the name says it; the first that fits."""


@dataclass(frozen=True)
class Field:
    """One value of an entry."""

    path: Path
    """Below the entry: ("slo", "ttft_ms")."""
    meaning: str
    types: frozenset[str]
    """JSON types that it takes: string, number, integer, boolean, array, object."""
    choices: tuple[Any, ...] = ()
    """Its only values, or those of its entries where it is a list."""
    words: tuple[str, ...] = ()
    """Of these, what stands for the whole value: all."""
    minimum: float | None = None
    maximum: float | None = None
    default: Any = None
    required: bool = False
    month: bool = False
    """Text such as 2027-01."""
    kinds: tuple[str, ...] = ()
    """Where entries differ in kind: those that have this field. Blank: all."""

    @property
    def label(self) -> str:
        """Its path with dots."""
        return ".".join(self.path)

    @property
    def unit(self) -> str:
        """Unit, or how the value is written."""
        name = self.path[-1]
        if self.types & {"number", "integer"} and not self.month:
            for end, unit in UNITS:
                if name.endswith(end):
                    return unit
        return self._written()

    def _written(self) -> str:
        if self.month:
            return "month, as 2027-01"
        if self.types == {"boolean"}:
            return "TRUE or FALSE"
        if "array" in self.types:
            return "list: a, b, c"
        if self.types == {"object"}:
            return "key: value, key: value"
        if self.types & {"number", "integer"}:
            return "whole number" if self.types == {"integer"} else "number"
        return "choice" if self.choices else "text"


@dataclass(frozen=True)
class Form:
    """One sheet."""

    sheet: str
    path: Path
    """Where its entries stand: ("supply", "stock"); below the parent's entry where it has one."""
    fields: tuple[Field, ...]
    shape: str = "list"
    """single, list or dictionary."""
    meaning: str = ""
    inner: tuple[Form, ...] = ()
    """Sheets of the lists inside its entries; their `path` starts at the entry."""

    @property
    def cards(self) -> bool:
        """Whether fields go down and entries across."""
        return self.shape == "single" or len(self.fields) >= CARDS_FROM

    @property
    def owner_label(self) -> str:
        """What a list inside its entries calls the entry: demand, site."""
        return self.path[-1]

    @property
    def named(self) -> bool:
        """Whether its entries have names; else they are numbered from 1."""
        return any(field.path == ("name",) for field in self.fields)

    @property
    def bare(self) -> bool:
        """A dictionary of plain values."""
        return self.shape == "dictionary" and any(f.path == (VALUE,) for f in self.fields)


@dataclass(frozen=True)
class _Walk:
    """The schema and its classes, by name."""

    defs: Mapping[str, Node]
    classes: Mapping[str, type[BaseModel]]


@cache
def forms(model: type[BaseModel] = Scenario) -> tuple[Form, ...]:
    """Sheets of a schema: the single values first, then lists and dictionaries in its order."""
    schema = model.model_json_schema()
    walk = _Walk(schema.get("$defs", {}), {cls.__name__: cls for cls in _classes(model)})
    parts = list(_parts(walk, model, schema, (), depth=0))
    singles = tuple(part for part in parts if isinstance(part, Field))
    tables = (part for part in parts if isinstance(part, Form))
    return Form(SINGLES, (), singles, "single"), *tables


def _classes(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for info in model.model_fields.values():
        for below in model_classes(info.annotation):
            yield from _classes(below)


def _parts(
    walk: _Walk,
    model: type[BaseModel],
    node: Node,
    path: Path,
    *,
    depth: int,
    needed: bool = True,
) -> Iterator[Field | Form]:
    """Fields and sheets of one class; `depth` counts the lists and dictionaries around it."""
    required = set(node.get("required", ())) if needed else set()
    for name, info in model.model_fields.items():
        if is_later(info):
            continue
        below = node["properties"][name]
        yield from _part(walk, info, below, (*path, name), required=name in required, depth=depth)


def _part(
    walk: _Walk, info: FieldInfo, node: Node, path: Path, *, required: bool, depth: int
) -> Iterator[Field | Form]:
    plain: list[dict[str, Any]] = []
    models: list[dict[str, Any]] = []
    for branch in _branches(walk, node):
        (models if "properties" in branch else plain).append(branch)
    table = _table(walk, plain, path, info, depth) if not models else None
    if table is not None:
        yield table
        return
    if plain:
        yield _field(walk, info, plain, path, required and not models)
    for branch in models:
        needed = required and not plain
        model = walk.classes[branch["name"]]
        yield from _parts(walk, model, branch, path, depth=depth, needed=needed)


def _branches(walk: _Walk, node: Node) -> Iterator[dict[str, Any]]:
    """References and unions followed; `name` is that of the class."""
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        yield from ({**branch, "name": name} for branch in _branches(walk, walk.defs[name]))
        return
    parts = node.get("anyOf") or node.get("oneOf")
    if not parts:
        if node.get("type") != "null":
            yield dict(node)
        return
    for part in parts:
        yield from _branches(walk, part)


def _table(
    walk: _Walk, plain: list[dict[str, Any]], path: Path, info: FieldInfo, depth: int
) -> Form | None:
    """The sheet of a list of mappings or of a dictionary, if the field is one and nothing else.

    Inside an entry only lists have one, inside an entry's list nothing has.
    """
    if len(plain) != 1 or depth > 1:
        return None
    node, meaning = plain[0], _one_line(info.description)
    if node.get("type") == "array":
        fields, inner = _entry(walk, node.get("items", {}), depth + 1)
        inner = tuple(_owned(form, path) for form in inner)
        return Form(_title(path), path, fields, "list", meaning, inner) if fields else None
    if node.get("type") == "object" and depth == 0:
        values = node.get("additionalProperties", {})
        fields, _ = _entry(walk, values, 2)
        if not fields:
            fields = (_field(walk, info, list(_branches(walk, values)), (VALUE,), True),)
        key = Field((KEY,), "What the entry is about.", frozenset({"string"}), required=True)
        return Form(_title(path), path, (key, *fields), "dictionary", meaning)
    return None


def _owned(form: Form, path: Path) -> Form:
    """The sheet of a list inside entries: its first field names the entry."""
    owner = Field(
        (path[-1],),
        f"Which entry of {_title(path)} it belongs to.",
        frozenset({"string"}),
        required=True,
    )
    return replace(form, sheet=_title((*path, *form.path)), fields=(owner, *form.fields))


def _title(path: Path) -> str:
    """Name of a sheet, at most 31 characters.

    Examples
    --------
    >>> _title(("supply", "lead_time_months"))
    'Supply lead time months'
    """
    return " ".join(path).replace("_", " ").capitalize()[:31]


def _entry(walk: _Walk, items: Node, depth: int) -> tuple[tuple[Field, ...], tuple[Form, ...]]:
    """Fields and inner sheets of entries that are mappings; of several kinds, merged."""
    kinds = [branch for branch in _branches(walk, items) if "properties" in branch]
    offered = [branch for branch in kinds if _is_offered(walk, branch)]
    fields: dict[Path, list[tuple[str, Field]]] = {}
    inner: dict[Path, Form] = {}
    for branch in offered:
        tag = str(branch["properties"].get("kind", {}).get("const", branch["name"]))
        for part in _parts(walk, walk.classes[branch["name"]], branch, (), depth=depth):
            if isinstance(part, Form):
                inner.setdefault(part.path, part)
            else:
                fields.setdefault(part.path, []).append((tag, part))
    merged = tuple(_merged(versions, len(offered)) for versions in fields.values())
    return merged, tuple(inner.values())


def _is_offered(walk: _Walk, branch: Node) -> bool:
    """A kind that is refused for now says so in its docstring; the form does not offer it."""
    return "not supported yet" not in (walk.classes[branch["name"]].__doc__ or "")


def _merged(versions: list[tuple[str, Field]], kinds: int) -> Field:
    first = versions[0][1]
    if len(versions) == kinds == 1:
        return first
    choices = tuple(dict.fromkeys(c for _, field in versions for c in field.choices))
    everywhere = len(versions) == kinds
    return replace(
        first,
        choices=choices,
        required=all(field.required for _, field in versions),
        kinds=() if everywhere else tuple(tag for tag, _ in versions),
    )


def _field(
    walk: _Walk, info: FieldInfo, plain: list[dict[str, Any]], path: Path, required: bool
) -> Field:
    types = frozenset(node.get("type", "string") for node in plain)
    whole = [choice for node in plain for choice in _choices(node)]
    items = [item for node in plain for item in _branches(walk, node.get("items", {}))]
    choices = dict.fromkeys([*whole, *(choice for item in items for choice in _choices(item))])
    numbers = [node for node in plain if node.get("type") in ("number", "integer")]
    limits = numbers[0] if len(plain) == len(numbers) == 1 else {}
    kind = path[-1] == "kind" and len(plain) == 1 and "const" in plain[0]
    default = info.get_default(call_default_factory=True)
    return Field(
        path=path,
        meaning=_one_line(info.description) or ("Kind of entry." if kind else ""),
        types=types,
        choices=tuple(choices),
        words=tuple(word for word in whole if isinstance(word, str)),
        minimum=limits.get("minimum", limits.get("exclusiveMinimum")),
        maximum=limits.get("maximum", limits.get("exclusiveMaximum")),
        default=None if isinstance(default, BaseModel) or default is PydanticUndefined else default,
        required=required or kind,
        month="0[1-9]" in str(plain[0].get("pattern", "")),
    )


def _choices(node: Node) -> list[Any]:
    return [*node.get("enum", ()), *([node["const"]] if "const" in node else [])]


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
