"""The last step of a workbook: put each formula's value beside it in the package's XML.

The writer leaves `<f>...</f><v/>`; readers that do not calculate would show blanks. Only the
sheets' cells change: charts, names, validations and print settings pass through byte for byte.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

Value = float | int | bool | str

_CELL = re.compile(
    r'<c r="([A-Z]+[0-9]+)"((?: s="[0-9]+")?)><f>(.*?)</f><v ?(?:/>|></v>)</c>', re.S
)
_SHEET = re.compile(r"xl/worksheets/sheet([0-9]+)\.xml")
_PROPERTIES = "docProps/core.xml"
_MODIFIED = re.compile(
    rb"(<dcterms:created[^>]*>)([^<]*)(</dcterms:created><dcterms:modified[^>]*>)[^<]*(</)"
)
"""The writer puts the present moment there; the plan's own replaces it."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Fixed, so that equal plans give equal files."""


def with_values(package: bytes, values: Sequence[Mapping[str, Value]]) -> bytes:
    """The workbook file with the value of every formula; `values` by sheet, then by cell.

    Raises
    ------
    ValueError : a formula without a value, or a value without a formula.
    """
    filled = BytesIO()
    with ZipFile(BytesIO(package)) as old, ZipFile(filled, "w", ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if sheet := _SHEET.fullmatch(name):
                content = _fill(content.decode(), values[int(sheet[1]) - 1], name).encode()
            elif name == _PROPERTIES:
                content = _MODIFIED.sub(rb"\1\2\3\2\4", content)
            entry = ZipInfo(name, _EPOCH)
            entry.compress_type = ZIP_DEFLATED
            new.writestr(entry, content)
    return filled.getvalue()


def _fill(xml: str, values: Mapping[str, Value], name: str) -> str:
    formulas = xml.count("<f>")
    missing = [cell for cell in _CELL.findall(xml) if cell[0] not in values]
    if missing or formulas != len(values):
        first = missing[0][0] if missing else "?"
        raise ValueError(f"{name}: {formulas} formulas, {len(values)} values, none for {first}")
    return _CELL.sub(lambda cell: _cell(cell, values[cell[1]]), xml)


def _cell(cell: re.Match[str], value: Value) -> str:
    kind, text = _written(value)
    return f'<c r="{cell[1]}"{cell[2]}{kind}><f>{cell[3]}</f><v>{text}</v></c>'


def _written(value: Value) -> tuple[str, str]:
    """Type attribute and text of a value.

    Examples
    --------
    >>> _written(True), _written("a<b"), _written(0.5)
    ((' t="b"', '1'), (' t="str"', 'a&lt;b'), ('', '0.5'))
    """
    if isinstance(value, bool):
        return ' t="b"', str(int(value))
    if isinstance(value, str):
        return ' t="str"', escape(value)
    if not math.isfinite(value):
        return ' t="e"', "#NUM!"
    return "", repr(float(value))
