"""A workbook as a document: what the cells say, and where each value stands.

Sheets are found by name, fields by their labels, entries by the columns or rows between them, so
that people may add notes, move and insert. Only values are read: of a formula the one that the
spreadsheet program stored last.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import ParseError

from openpyxl import load_workbook
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from planner.errors import ScenarioError
from planner.files.excel_cell import from_cell
from planner.files.excel_form import KEY, VALUE, Form, forms
from planner.files.excel_guard import refuse_harmful
from planner.files.plain_yaml import Document
from planner.files.problems import found_value, meant

ROWS_MAX = 5_000
COLUMNS_MAX = 300
FIELD = "Field"
LABELS = ("Unit", "Default", "Meaning", "Notes")
"""Columns or rows beside `Field` that describe it and hold no value."""
FREE_SHEETS = ("Read me", "Lists", "Notes")
"""Sheets that are not read; more of them may begin with Notes."""

Path = tuple[str | int, ...]


@dataclass
class _Reading:
    """What is found on the way."""

    where: str
    data: dict[str, Any] = field(default_factory=dict)
    cells: dict[Path, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    """By cell."""

    def note(self, path: Path, cell: str) -> None:
        """Remember where a value stands, and the first value of what is around it."""
        for end in range(len(path), 0, -1):
            self.cells.setdefault(path[:end], cell)


@dataclass(frozen=True)
class _Grid:
    """One sheet, with fields and entries wherever it has them."""

    sheet: Worksheet
    formulas: Worksheet
    down: bool
    """Fields go down, entries across."""
    fields: Mapping[int, str]
    """Label by row or column."""
    entries: tuple[int, ...]
    """Columns or rows that may hold an entry."""

    def address(self, field_at: int, entry: int) -> str:
        """Where it stands: Demand!C7."""
        row, column = (field_at, entry) if self.down else (entry, field_at)
        return f"{self.sheet.title}!{get_column_letter(column)}{row}"

    def value(self, field_at: int, entry: int) -> Any:
        """What it says; None where it is blank.

        Raises
        ------
        ValueError : a formula that has no value, or an error for one.
        """
        row, column = (field_at, entry) if self.down else (entry, field_at)
        cell = self.sheet.cell(row, column)
        if cell.data_type == "e":
            raise ValueError(f"the formula gives {cell.value}")
        if cell.value is not None and str(cell.value).strip():
            return cell.value
        if self.formulas.cell(row, column).data_type == "f":
            raise ValueError(
                "a formula without a stored value; open and save the file in a spreadsheet"
                " program, or write the value itself"
            )
        return None


def read_workbook(raw: bytes, where: str) -> tuple[Document, dict[str, str]]:
    """The document that a workbook holds, and what is wrong with single cells, by cell.

    Parameters
    ----------
    raw : bytes of an .xlsx file.
    where : name of the file, for messages.

    Raises
    ------
    ScenarioError where the file is refused, or no sheet is a scenario's.
    """
    refuse_harmful(raw, where)
    values, formulas = _sheets(raw, where, values=True), _sheets(raw, where, values=False)
    reading = _Reading(where)
    known = {form.sheet.lower(): form for form in forms()}
    known |= {inner.sheet.lower(): inner for form in forms() for inner in form.inner}
    problems = list(_unknown_sheets(values, known))
    if not known.keys() & values.keys():
        problems = ["has no sheet of a scenario; planner new --excel writes one with all of them"]
    if problems:
        raise ScenarioError(where, problems)
    for form in forms():
        _read_form(form, values, formulas, reading)
    lines = {path: order for order, path in enumerate(reading.cells)}
    return Document(reading.data, lines, reading.cells), reading.problems


def _sheets(raw: bytes, where: str, *, values: bool) -> dict[str, Worksheet]:
    try:
        with warnings.catch_warnings():  # of features that openpyxl would not write back
            warnings.simplefilter("ignore")
            book = load_workbook(io.BytesIO(raw), data_only=values, keep_links=False)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, ParseError) as error:
        raise ScenarioError(where, [f"is no workbook that can be read: {error}"]) from None
    return {sheet.title.strip().lower(): sheet for sheet in book.worksheets}


def _unknown_sheets(sheets: Mapping[str, Worksheet], known: Mapping[str, Form]) -> Iterator[str]:
    free = tuple(name.lower() for name in FREE_SHEETS)
    for name, sheet in sheets.items():
        if name.startswith(free):
            continue
        if name not in known:
            names = [form.sheet for form in known.values()]
            yield (
                f"sheet {sheet.title!r} is none of a scenario, {meant(sheet.title, names)}"
                " (sheets of your own begin with Notes)"
            )
        elif sheet.max_row > ROWS_MAX or sheet.max_column > COLUMNS_MAX:
            yield (
                f"sheet {sheet.title!r} reaches to row {sheet.max_row:,}, column"
                f" {get_column_letter(sheet.max_column)}; at most {ROWS_MAX:,} rows and"
                f" {COLUMNS_MAX} columns are read (delete what is empty below and beside)"
            )


def _read_form(
    form: Form,
    values: Mapping[str, Worksheet],
    formulas: Mapping[str, Worksheet],
    reading: _Reading,
) -> None:
    grid = _grid(form, values, formulas, reading)
    if grid is None:
        return
    if form.shape == "single":
        _read_singles(form, grid, reading)
    elif form.shape == "dictionary":
        _read_dictionary(form, grid, reading)
    else:
        owners = _read_list(form, grid, reading)
        for inner in form.inner:
            below = _grid(inner, values, formulas, reading)
            if below is not None:
                _read_inner(form, inner, below, owners, reading)


def _grid(
    form: Form,
    values: Mapping[str, Worksheet],
    formulas: Mapping[str, Worksheet],
    reading: _Reading,
) -> _Grid | None:
    """Where the sheet has its fields; None where there is no such sheet."""
    name = form.sheet.lower()
    if name not in values:
        return None
    sheet = values[name]
    head = next((r for r in range(1, sheet.max_row + 1) if _label(sheet, r, 1) == FIELD), None)
    if head is None:
        reading.problems[f"{sheet.title}!A1"] = f"column A has no cell that says {FIELD}"
        return None
    across = {column: _label(sheet, head, column) for column in range(2, sheet.max_column + 1)}
    down = {row: _label(sheet, row, 1) for row in range(head + 1, sheet.max_row + 1)}
    if any(label in LABELS for label in across.values()):
        entries = tuple(column for column, label in across.items() if label not in LABELS)
        grid = _Grid(sheet, formulas[name], True, down, entries)
    else:
        entries = tuple(row for row, label in down.items() if label not in LABELS)
        grid = _Grid(sheet, formulas[name], False, across, entries)
    _refuse_twice(grid, reading)
    return grid


def _label(sheet: Worksheet, row: int, column: int) -> str:
    value = sheet.cell(row, column).value
    return value.strip() if isinstance(value, str) else ""


def _refuse_twice(grid: _Grid, reading: _Reading) -> None:
    seen: set[str] = set()
    for at, label in grid.fields.items():
        if label and label in seen:
            row, column = (at, 1) if grid.down else (1, at)
            cell = f"{grid.sheet.title}!{get_column_letter(column)}{row}"
            reading.problems[cell] = f"field {label!r} stands here twice"
        seen.add(label)


def _values(
    form: Form, grid: _Grid, entry: int, reading: _Reading
) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    """Path, value and cell of everything that an entry fills in; all known cells are noted."""
    known = {each.label: each for each in form.fields}
    for at, label in grid.fields.items():
        cell = grid.address(at, entry)
        try:
            raw = grid.value(at, entry)
            if raw is None:
                continue
            if not label:
                raise ValueError(f"found {found_value(raw)} beside no field")
            yield tuple(label.split(".")), from_cell(raw, known.get(label)), cell
        except ValueError as error:
            reading.problems[cell] = f"{label}: {error}" if label else str(error)


def _blank_cells(form: Form, grid: _Grid, entry: int, path: Path, reading: _Reading) -> None:
    """Where the fields of an entry would stand, so that one that is missing can be named."""
    labels = {each.label: each.path for each in form.fields}
    for at, label in grid.fields.items():
        if label in labels:
            reading.note((*path, *labels[label]), grid.address(at, entry))


def _fill(
    form: Form, grid: _Grid, entry: int, path: Path, reading: _Reading, *, skip: str = ""
) -> dict[str, Any]:
    """The mapping that one entry holds."""
    found: dict[str, Any] = {}
    for steps, value, cell in _values(form, grid, entry, reading):
        if steps == (skip,):
            continue
        if _put(found, steps, value):
            reading.cells[(*path, *steps)] = cell
        else:
            reading.problems[cell] = f"{'.'.join(steps)}: given both whole and in parts"
    return found


def _put(tree: dict[str, Any], steps: tuple[str, ...], value: Any) -> bool:
    """Set a value in nested mappings; False where something else stands in its way."""
    for step in steps[:-1]:
        tree = tree.setdefault(step, {})
        if not isinstance(tree, dict):
            return False
    if steps[-1] in tree:
        return False
    tree[steps[-1]] = value
    return True


def _read_singles(form: Form, grid: _Grid, reading: _Reading) -> None:
    filled = [(entry, _fill(form, grid, entry, (), reading)) for entry in grid.entries]
    used = [(entry, found) for entry, found in filled if found] or filled[:1]
    for entry, _ in used[1:]:
        head = grid.address(next(iter(grid.fields)), entry)
        reading.problems[head] = "a second column of values; only one is read here"
    for entry, found in used[:1]:
        reading.data.update(found)
        _blank_cells(form, grid, entry, (), reading)


def _read_list(
    form: Form, grid: _Grid, reading: _Reading
) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Entries in order; gives each by its name or number, for the lists inside."""
    entries: list[dict[str, Any]] = []
    owners: dict[str, tuple[Path, dict[str, Any]]] = {}
    for entry in grid.entries:
        path: Path = (*form.path, len(entries))
        found = _fill(form, grid, entry, path, reading)
        if found:
            _blank_cells(form, grid, entry, path, reading)
            owners[str(found.get("name", len(entries) + 1))] = (path, found)
            entries.append(found)
    if entries:
        _put(reading.data, form.path, entries)
    elif grid.entries:
        first = next(iter(grid.fields), 1)
        reading.note(form.path, grid.address(first, grid.entries[0]))
    return owners


def _read_inner(
    form: Form,
    inner: Form,
    grid: _Grid,
    owners: Mapping[str, tuple[Path, dict[str, Any]]],
    reading: _Reading,
) -> None:
    """Entries that say in their first field to which entry of `form` they belong."""
    label = form.owner_label
    for entry in grid.entries:
        given = {
            steps: (value, cell) for steps, value, cell in _values(inner, grid, entry, reading)
        }
        if not given:
            continue
        name, cell = given.get((label,), (None, next(iter(given.values()))[1]))
        if str(name) not in owners:
            said = (
                f"no entry {name!r}" if name is not None else "which entry it belongs to is missing"
            )
            reading.problems[cell] = f"{label}: {said}; {meant(str(name), owners)}"
            continue
        path, owner = owners[str(name)]
        listed = _inner_list(owner, inner.path)
        if listed is None:
            reading.problems[cell] = f"{'.'.join(inner.path)}: given both whole and in parts"
            continue
        below = (*path, *inner.path, len(listed))
        listed.append(_fill(inner, grid, entry, below, reading, skip=label))
        _blank_cells(inner, grid, entry, below, reading)


def _inner_list(owner: dict[str, Any], steps: tuple[str, ...]) -> list[Any] | None:
    for step in steps[:-1]:
        below = owner.setdefault(step, {})
        if not isinstance(below, dict):
            return None
        owner = below
    listed = owner.setdefault(steps[-1], [])
    return listed if isinstance(listed, list) else None


def _read_dictionary(form: Form, grid: _Grid, reading: _Reading) -> None:
    found: dict[str, Any] = {}
    for entry in grid.entries:
        given = {steps: (value, cell) for steps, value, cell in _values(form, grid, entry, reading)}
        if not given:
            continue
        key, cell = given.pop((KEY,), (None, next(iter(given.values()))[1] if given else ""))
        if key is None:
            reading.problems[cell] = "a value without a key"
        elif str(key) in found:
            reading.problems[cell] = f"key {key!r} stands here twice"
        else:
            path: Path = (*form.path, str(key))
            whole, _ = given.get((VALUE,), (None, ""))
            found[str(key)] = (
                whole if form.bare else _fill(form, grid, entry, path, reading, skip=KEY)
            )
            _blank_cells(form, grid, entry, path, reading)
            reading.cells[path] = given.get((VALUE,), (None, cell))[1]
    if found:
        _put(reading.data, form.path, found)
