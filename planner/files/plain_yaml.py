"""YAML as people mean it: mappings, lists, text, numbers, true/false, nothing; with line numbers.

Values follow YAML 1.2 (`no` and `on` are text, `1e3` is a number, 2027-01-01 stays text). Refused:
duplicate keys, tags, several documents, too large, too deep, or aliases that multiply into more
values than a file could hold. Nothing here can run code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from planner.errors import ScenarioError

SIZE_MAX_BYTES = 5_000_000
DEPTH_MAX = 40
VALUES_MAX = 200_000
NUMBER_LENGTH_MAX = 60

Path = tuple[str | int, ...]
_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # libyaml is 10 x faster
_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq")}
_QUOTED = ("'", '"', "|", ">")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
_WHOLE = re.compile(r"[-+]?[0-9][0-9_]*")
_WORDS: dict[str, Any] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


@dataclass(frozen=True)
class Document:
    """What a file says, and where it says it."""

    data: Any
    lines: dict[Path, int]
    """Line of each key or list entry, 1 for the first."""
    cells: dict[Path, str] = field(default_factory=dict)
    """Cell of each, where the file is a workbook: Demand!C7."""


@dataclass
class _Reader:
    """Walk of one node tree; collects what is wrong on the way."""

    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    values: int = 0


class _TooMuchError(Exception):
    """The tree is too deep or too large to be a person's work."""


def parse(raw: bytes, where: str) -> Document:
    """Read one YAML (or JSON) document.

    Parameters
    ----------
    raw : bytes of the file, UTF-8.
    where : name of the file, for messages.

    Raises
    ------
    ScenarioError with every duplicate key, or the first thing that stops reading.

    Examples
    --------
    >>> document = parse(b"rate: 1e3\\nnight: [no, 2]", "x.yaml")
    >>> document.data
    {'rate': 1000.0, 'night': ['no', 2]}
    >>> document.lines[("night", 1)]
    2
    """
    text = _decode(raw, where)
    reader = _Reader()
    try:
        _check_depth(text)
        node = yaml.compose(text, Loader=_LOADER)
        data = None if node is None else _value(node, (), reader)
    except yaml.YAMLError as error:
        raise ScenarioError(where, [_syntax(error)]) from None
    except _TooMuchError as error:
        raise ScenarioError(where, [str(error)]) from None
    if reader.problems:
        raise ScenarioError(where, reader.problems)
    return Document(data, reader.lines)


def _decode(raw: bytes, where: str) -> str:
    if len(raw) > SIZE_MAX_BYTES:
        raise ScenarioError(where, [f"{len(raw):,} bytes; at most {SIZE_MAX_BYTES:,} are read"])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScenarioError(where, [f"is no UTF-8 text (byte {error.start})"]) from None


def _check_depth(text: str) -> None:
    """Events come from an iterative parser; composing recurses, so depth is checked before."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_MAX:
            raise _TooMuchError(f"nested more than {DEPTH_MAX} deep")


def _syntax(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or "not readable"
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    context = getattr(error, "context", None)
    return f"{place}is no valid YAML: {what}{f' ({context})' if context else ''}"


def _value(node: yaml.Node, path: Path, reader: _Reader) -> Any:
    reader.values += 1
    reader.lines.setdefault(path, node.start_mark.line + 1)
    if len(path) > DEPTH_MAX:
        raise _TooMuchError(f"nested more than {DEPTH_MAX} deep (an alias inside itself?)")
    if reader.values > VALUES_MAX:
        raise _TooMuchError(f"more than {VALUES_MAX:,} values once its aliases are followed")
    if node.tag not in _TAGS:
        reader.problems.append(f"line {node.start_mark.line + 1}: tag {node.tag} is not read")
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, reader)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, i), reader) for i, item in enumerate(node.value)]
    return _scalar(node) if isinstance(node, yaml.ScalarNode) else None


def _mapping(node: yaml.MappingNode, path: Path, reader: _Reader) -> dict[str, Any]:
    found: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            reader.problems.append(f"line {line}: a key must be a word, not a list or mapping")
            continue
        key = str(key_node.value)
        if key == "<<" and key_node.style not in _QUOTED:
            for extra in _merged(_value(value_node, (*path, key), reader), line, reader):
                merged = extra | merged
            continue
        if key in found:
            before = reader.lines[(*path, key)]
            reader.problems.append(f"line {line}: key {key!r} repeats line {before}")
            continue
        reader.lines[(*path, key)] = line
        found[key] = _value(value_node, (*path, key), reader)
    return merged | found


def _merged(value: Any, line: int, reader: _Reader) -> Iterator[dict[str, Any]]:
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, dict):
            yield part
        else:
            reader.problems.append(f"line {line}: << needs a mapping")


def _scalar(node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    return text if node.style in _QUOTED else plain_value(text)


def plain_value(text: str) -> Any:
    """Value of a word written without quotes.

    Examples
    --------
    >>> [plain_value(word) for word in ("1e3", "1_000", "true", "no", "2027-01", "~")]
    [1000.0, 1000, True, 'no', '2027-01', None]
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > NUMBER_LENGTH_MAX or not _NUMBER.fullmatch(text):
        return text
    digits = text.replace("_", "")
    return int(digits) if _WHOLE.fullmatch(text) else float(digits)
