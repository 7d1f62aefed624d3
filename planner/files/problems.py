"""Pydantic's complaints as sentences: where, what was found, what is expected, what was meant.

A path names classes and sites where it can: demand[chat].slo.ttft_ms.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from planner.files.plain_yaml import Document, Path, plain_value

Schema = dict[str, Any]
_SHAPES = frozenset({"dict_type", "model_type", "tuple_type", "list_type"})
_SCALARS = frozenset({"bool_type", "float_type", "int_type", "literal_error", "string_type"})
_EXPECTED: dict[str, str] = {
    "missing": "is required",
    "bool_type": "expected true or false",
    "dict_type": "expected a mapping (key: value)",
    "finite_number": "expected a finite number",
    "float_type": "expected a number",
    "int_from_float": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "model_type": "expected a mapping (key: value)",
    "string_type": "expected text",
    "tuple_type": "expected a list",
    "union_tag_not_found": "needs a kind: online or batch",
}
_PATTERNS = {
    r"^\d{4}-(0[1-9]|1[0-2])$": "expected a month such as 2027-01",
    r"^[a-z0-9][a-z0-9_-]*$": "expected lower-case letters, digits, - and _",
}


def sentences(error: ValidationError, document: Document, model: type[BaseModel]) -> list[str]:
    """Every problem of a validation, one sentence each, in the order of the file.

    Parameters
    ----------
    error : what pydantic found.
    document : what was validated, with its line numbers.
    model : the class it was validated against; supplies the known keys.
    """
    by_path: dict[Path, list[Any]] = {}
    for detail in error.errors(include_url=False):
        if _only_seems_short(detail):
            continue
        by_path.setdefault(_real_path(detail["loc"], document.data), []).append(detail)
    schema = model.model_json_schema()
    found = []
    for path, details in by_path.items():
        if _branch_not_taken(path, details, by_path):
            continue
        said = [_sentence(detail, path, document.data, schema) for detail in _one_branch(details)]
        line = _line(path, document.lines)
        found += [(line, text) for text in _placed(path, line, said, document)]
    return [sentence for _, sentence in sorted(found, key=lambda pair: pair[0])]


def _placed(path: Path, line: int, said: list[str], document: Document) -> list[str]:
    """Sentences with their place; the scenario's own checks come joined and are parted here."""
    distinct = list(dict.fromkeys(said))
    if path:
        spoken = spoken_path(path, document.data)
        if not document.cells:
            return [f"{spoken} (line {line}): {' or '.join(distinct)}"]
        cell = next((document.cells[p] for p in _upwards(path) if p in document.cells), "")
        return [f"{cell}{': ' if cell else ''}{spoken}: {' or '.join(distinct)}"]
    if distinct[0].startswith("not supported yet"):
        return distinct
    return with_cells([part for text in distinct for part in text.split("; ")], document)


def _upwards(path: Path) -> Iterator[Path]:
    """A path, then what is around it."""
    return (path[:end] for end in range(len(path), 0, -1))


def with_cells(messages: Iterable[str], document: Document) -> list[str]:
    """Messages that begin with a path, with its cell before it where the file is a workbook.

    Examples
    --------
    >>> document = Document({"supply": {"tp_max": 9}}, {}, {("supply", "tp_max"): "Scenario!C9"})
    >>> with_cells(["supply.tp_max: is odd", "all else is well"], document)
    ['Scenario!C9: supply.tp_max: is odd', 'all else is well']
    """
    spoken = {spoken_path(path, document.data): cell for path, cell in document.cells.items()}
    return [_with_cell(message, spoken) for message in messages]


def _with_cell(message: str, cells: Mapping[str, str]) -> str:
    path = re.match(r"[\w.\[\]-]*", message)
    said = path[0].rstrip(".") if path else ""
    while said and said not in cells:
        said = said.rpartition(".")[0]
    return f"{cells[said]}: {message}" if said else message


def spoken_path(path: Path, data: Any) -> str:
    """Path with names for positions.

    Examples
    --------
    >>> spoken_path(("demand", 0, "slo"), {"demand": [{"name": "chat", "slo": {}}]})
    'demand[chat].slo'
    """
    text = ""
    for step in path:
        data = _below(data, step)
        if isinstance(step, int):
            name = data.get("name") if isinstance(data, dict) else None
            text += f"[{name if isinstance(name, str) and name else step}]"
        else:
            text += f".{step}" if text else step
    return text


def found_value(value: Any) -> str:
    """A value as a reader would recognize it, cut to one short line.

    Examples
    --------
    >>> found_value("8 %"), found_value([1, 2])
    ("'8 %'", 'a list of 2')
    """
    if isinstance(value, dict):
        return f"a mapping of {len(value)}" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if value is None:
        return "nothing"
    return json.dumps(value)[:60]


def meant(name: str, known: Iterable[str]) -> str:
    """The nearest known names as a clause, or the whole list where it is short.

    Examples
    --------
    >>> meant("h100_sxm", ["h100-sxm", "l4"])
    'did you mean h100-sxm?'
    >>> meant("zzz", ["l4", "a10"])
    'known: a10, l4'
    """
    names = sorted(set(known))
    folded = {n.lower().replace("_", "-"): n for n in names}
    near = difflib.get_close_matches(name.lower().replace("_", "-"), folded, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(folded[n] for n in near)}?"
    shown = ", ".join(names[:12])
    return f"known: {shown}{', ...' if len(names) > 12 else ''}" if names else "none is known"


def _real_path(loc: tuple[int | str, ...], data: Any) -> Path:
    """Drop what pydantic adds (union branches, tags), keep what the file has."""
    path: list[str | int] = []
    for position, step in enumerate(loc):
        below = _below(data, step)
        last = position == len(loc) - 1
        if below is not _ABSENT:
            path.append(step)
            data = below
        elif last and isinstance(data, dict) and step != "[key]" and _is_key(step):
            path.append(step)
    return tuple(path)


_ABSENT = object()


def _below(data: Any, step: str | int) -> Any:
    if isinstance(data, list) and isinstance(step, int) and step < len(data):
        return data[step]
    if isinstance(data, dict):
        return data.get(str(step), _ABSENT)
    return _ABSENT


def _is_key(step: str | int) -> bool:
    """Union branches read like `dict[str,float]`, `constrained-float`, `online`, `Profile`."""
    return isinstance(step, str) and step.isidentifier() and step not in _BRANCHES


_BRANCHES = frozenset({"online", "batch", "training", "Profile", "float", "int", "str", "none"})


def _one_branch(details: list[Any]) -> list[Any]:
    """Where one value was written, drop the union branches that wanted a mapping or list."""
    value = details[0]["input"]
    if isinstance(value, dict | list):
        return details
    return [d for d in details if d["type"] not in _SHAPES] or details


def _only_seems_short(detail: Any) -> bool:
    """A list whose entries are all wrong counts as empty too; its entries say what is wrong."""
    if detail["type"] != "too_short":
        return False
    return bool(len(detail["input"]) >= detail["ctx"]["min_length"])


def _branch_not_taken(path: Path, details: list[Any], paths: Iterable[Path]) -> bool:
    """A mapping fails a union's number branch too; its own problems lie deeper."""
    if not isinstance(details[0]["input"], dict | list):
        return False
    deeper = any(len(p) > len(path) and p[: len(path)] == path for p in paths)
    return deeper and all(d["type"] in _SCALARS for d in details)


def _line(path: Path, lines: Mapping[Path, int]) -> int:
    return next((lines[p] for p in (*_upwards(path), ()) if p in lines), 1)


def _sentence(detail: Any, path: Path, data: Any, schema: Schema) -> str:
    kind, value, limits = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "missing":
        return _EXPECTED[kind]
    if kind == "extra_forbidden":
        return f"unknown key; {_key_meant(str(path[-1]), path[:-1], data, schema)}"
    if kind == "value_error":
        return str(detail["msg"]).removeprefix("Value error, ")
    if kind in _LIMITS:
        return f"{_LIMITS[kind](limits)}, found {found_value(value)}{_magnitude(path, value)}"
    expected = _EXPECTED.get(kind) or _worded(kind, detail, limits)
    if kind == "union_tag_invalid":
        return expected
    return f"{expected}, found {found_value(value)}{_hint(kind, value, limits)}"


_LIMITS: dict[str, Callable[[dict[str, Any]], str]] = {
    "greater_than": lambda c: f"expected a number above {c['gt']:g}",
    "greater_than_equal": lambda c: f"expected at least {c['ge']:g}",
    "less_than": lambda c: f"expected a number below {c['lt']:g}",
    "less_than_equal": lambda c: f"expected at most {c['le']:,.10g}",
    "too_short": lambda c: f"expected {_entries(c['min_length'])} or more",
    "too_long": lambda c: f"expected at most {_entries(c['max_length'])}",
    "string_too_short": lambda c: f"expected at least {c['min_length']} characters",
    "string_too_long": lambda c: f"expected at most {c['max_length']} characters",
}


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _worded(kind: str, detail: Any, limits: dict[str, Any]) -> str:
    if kind in {"literal_error", "enum"}:
        return f"expected {limits['expected']}"
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(limits["pattern"], f"expected text like {limits['pattern']}")
    if kind == "union_tag_invalid":
        return f"kind must be 'online' or 'batch', it is {limits['tag']!r}"
    message = str(detail["msg"])
    return message[:1].lower() + message[1:]


def _magnitude(path: Path, value: Any) -> str:
    """Percent written for a share, seconds or microseconds for milliseconds."""
    key = next((step for step in reversed(path) if isinstance(step, str)), "")
    if not isinstance(value, int | float) or isinstance(value, bool):
        return ""
    share = key.endswith(("_frac", "_rate", "_per_year", "_percentile", "_target", "_floor"))
    if share and 1 < value <= 100:
        return f": {value:g} means {value * 100:g} %; write {value / 100:g}"
    if key.endswith("_ms") and value > 0:
        return f": the unit is milliseconds, {value:,.10g} ms are {value / 1000:g} s"
    return ""


def _hint(kind: str, value: Any, limits: dict[str, Any]) -> str:
    """What was probably meant by a text or number in the wrong place."""
    if kind == "string_type" and isinstance(value, int | float):
        return "; in quotes it is text"
    if not isinstance(value, str):
        return ""
    if kind in {"literal_error", "enum"}:
        near = meant(value, re.findall(r"'([^']*)'", limits["expected"]))
        return f"; {near}" if near.startswith("did") else ""
    text = value.strip()
    if kind in {"float_type", "int_type"} and text.endswith("%"):
        return ": write a share, as 0.08 for 8 %"
    if kind in {"float_type", "int_type"} and isinstance(plain_value(text), int | float):
        return ": text in quotes is no number; remove the quotes"
    return ""


def _key_meant(key: str, parent: Path, data: Any, schema: Schema) -> str:
    known = [k for node in _nodes(schema, parent, data) for k in node.get("properties", {})]
    if difflib.get_close_matches(key, known, n=1, cutoff=0.75):
        return meant(key, known)
    elsewhere = [place for place in _places(schema, schema, ()) if place[-1] == key]
    if elsewhere:
        return f"it belongs at {' or '.join(dict.fromkeys('.'.join(p) for p in elsewhere[:3]))}"
    return meant(key, known)


def _nodes(schema: Schema, path: Path, data: Any) -> list[Schema]:
    """Schema nodes that describe the value at a path."""
    nodes = list(_branches(schema, schema, data))
    for step in path:
        data = _below(data, step)
        below = [_child(node, step) for node in nodes]
        nodes = [b for node in below if node for b in _branches(node, schema, data)]
    return nodes


def _child(node: Schema, step: str | int) -> Schema | None:
    if isinstance(step, int):
        items = node.get("items")
        return items if isinstance(items, dict) else None
    child = node.get("properties", {}).get(step) or node.get("additionalProperties")
    return child if isinstance(child, dict) else None


def _branches(node: Schema, schema: Schema, data: Any) -> Iterator[Schema]:
    """Follow references and unions; where `kind` decides, only the kind that was written."""
    if "$ref" in node:
        yield from _branches(schema["$defs"][node["$ref"].rsplit("/", 1)[-1]], schema, data)
        return
    tags = node.get("discriminator", {}).get("mapping", {})
    kind = data.get("kind") if isinstance(data, dict) else None
    if isinstance(kind, str) and kind in tags:
        yield from _branches({"$ref": tags[kind]}, schema, data)
        return
    parts = node.get("anyOf") or node.get("oneOf")
    if not parts:
        yield node
    for part in parts or ():
        yield from _branches(part, schema, data)


def _places(node: Schema, schema: Schema, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every key of the format with its path; lists are passed through unnamed."""
    for leaf in _branches(node, schema, None):
        for key, child in leaf.get("properties", {}).items():
            yield (*path, key)
            yield from _places(child, schema, (*path, key))
        if isinstance(leaf.get("items"), dict):
            yield from _places(leaf["items"], schema, path)
