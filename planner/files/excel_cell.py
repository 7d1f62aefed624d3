"""One value in one cell: text as it is, numbers as numbers, lists and mappings as on a YAML line.

Numbers of more digits than a cell keeps stand there as text.
Text that a cell would lose or show as something else (blanks at its ends, nothing, control
characters, quotes around it) stands in double quotes with backslash escapes, as in JSON.
"""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from typing import Any

from planner.errors import ScenarioError
from planner.files.excel_form import Field
from planner.files.plain_yaml import parse, plain_value
from planner.files.write_yaml import flow

LETTERS_MAX = 32_767
"""A cell holds no more."""
EXACT_WHOLE_MAX = 2**53
"""Larger whole numbers lose digits in a cell."""
_LOST = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]|_x[0-9A-Fa-f]{4}_")
"""Control characters, and what spreadsheets read as an escape of one."""
_WRAPS = {"array": ("[", "]"), "object": ("{", "}")}


def to_cell(value: Any, field: Field) -> str | int | float | bool | None:
    """What to write for a value; None leaves the cell blank.

    Raises
    ------
    ValueError : text longer than a cell.

    Examples
    --------
    >>> rates = Field(("rates",), "", frozenset({"array"}))
    >>> to_cell([1, 0.5], rates), to_cell([], rates)
    ('1, 0.5', '[]')
    >>> to_cell(" a ", Field(("name",), "", frozenset({"string"})))
    '" a "'
    """
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return value if _is_exact(value) else repr(value)
    text = _text(value, field) if isinstance(value, str) else _line(value, field)
    if len(text) > LETTERS_MAX:
        raise ValueError(f"{len(text):,} characters; a cell holds {LETTERS_MAX:,}")
    return text


def _is_exact(number: float) -> bool:
    """Whether a cell keeps every digit: openpyxl writes 16, a double may need 17."""
    if isinstance(number, int):
        return abs(number) <= EXACT_WHOLE_MAX
    return float(f"{number:.16g}") == number


def _text(text: str, field: Field) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    mixed = field.types != {"string"} and text not in field.words
    if text and text == text.strip() and not (quoted or mixed or _LOST.search(text)):
        return text
    escaped = json.dumps(text, ensure_ascii=bool(_LOST.search(text)))
    return escaped.replace("_x", "\\u005fx")


def _line(value: Any, field: Field) -> str:
    text = flow(value)
    if _LOST.search(text):  # JSON keeps every text in quotes, where escapes are read
        text = _LOST.sub(_escaped, json.dumps(value, ensure_ascii=False))
    bare = text[1:-1]
    stripped = bare != bare.strip() or not bare
    ambiguous = stripped or bare in field.words or bare[0] in "[{" or _literal(bare) is not None
    return text if ambiguous else bare


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0][0]):04x}{found[0][1:]}"


def from_cell(raw: Any, field: Field | None) -> Any:
    """Value of a cell that is not blank; a field that nobody knows takes what YAML would.

    Raises
    ------
    ValueError : a list or mapping that cannot be read, in words.

    Examples
    --------
    >>> field = Field(("tp",), "", frozenset({"array", "string"}), words=("all",))
    >>> from_cell("all", field), from_cell("1, x", field), from_cell(8.0, field)
    ('all', [1, 'x'], [8])
    """
    types = field.types if field else frozenset()
    if isinstance(raw, date):
        return _day(raw, field)
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, int | float):
        number = _whole(raw)
        return [number] if types and types <= {"array", "string"} and "array" in types else number
    text = str(raw).strip()
    return _read(text, field, types)


def _read(text: str, field: Field | None, types: frozenset[str]) -> Any:
    if field and text in field.words:
        return text
    literal = _literal(text)
    if literal is not None and types != {"array"}:
        return literal
    if types & {"array", "object"}:
        plain = plain_value(text)
        if types & {"number", "integer"} and not isinstance(plain, str):
            return plain
        return _structure(text, "array" if "array" in types else "object")
    return text if "string" in types else plain_value(text)


def _literal(text: str) -> str | None:
    """Text in double quotes, without them."""
    if len(text) < 2 or not text[0] == text[-1] == '"':
        return None
    try:
        found = json.loads(text, strict=False)
    except ValueError:
        return None
    return found if isinstance(found, str) else None


def _structure(text: str, kind: str) -> Any:
    opening, closing = _WRAPS[kind]
    wrapped = text if text[0] == opening and text[-1] == closing else f"{opening}{text}{closing}"
    try:
        return parse(wrapped.encode(), "cell").data
    except ScenarioError:
        shape = "a list (a, b, c)" if kind == "array" else "a mapping (key: value, key: value)"
        raise ValueError(f"expected {shape}, found {text[:60]!r}") from None


def _whole(number: float) -> int | float:
    """Cells know no whole numbers: 5.0 is 5."""
    whole = isinstance(number, float) and number.is_integer() and abs(number) <= EXACT_WHOLE_MAX
    return int(number) if whole else number


def _day(day: date, field: Field | None) -> str:
    """Spreadsheets turn 2027-01 into the first of January; a month is meant where one belongs."""
    plain = day.date() if isinstance(day, datetime) else day
    return f"{plain:%Y-%m}" if field and field.month and plain.day == 1 else plain.isoformat()
