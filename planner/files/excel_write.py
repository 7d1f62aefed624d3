"""The scenario form as a workbook: units, meanings and choices from the schema, values from a file.

Blue on yellow is what a person fills in; a blank cell takes the default beside it. Text is written
as text, whatever it begins with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openpyxl import Workbook
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from planner.errors import ScenarioError
from planner.files.excel_cell import to_cell
from planner.files.excel_cover import write_cover, write_lists
from planner.files.excel_form import KEY, SINGLE_VALUES, VALUE, Field, Form, forms
from planner.files.excel_look import BAND, HEAD, INK, MUTED, NAVY, put, put_input, set_page
from planner.files.excel_read import FIELD
from planner.files.excel_rules import Offers, rule_of
from planner.files.output import atomic_path
from planner.files.write_yaml import flow
from planner.schema.catalog import Catalog

DESCRIPTIONS = (FIELD, "Unit", "Default", "Meaning")
SPARE_CARDS, LEAST_CARDS = 1, 3
SPARE_ROWS, LEAST_ROWS = 10, 15
TOP = 4
"""Row in which every sheet's fields begin."""
MEANING_WIDTH, VALUE_WIDTH, CARD_WIDTH = 72, 46, 24
LINE_POINTS, LETTERS_A_WIDTH = 12.5, 1.35
"""Of 9 point text: the height of a line, and letters that a column holds by unit of its width."""


def write_workbook(path: Path, values: Mapping[str, Any], catalog: Catalog) -> None:
    """Write a scenario's values, as plain mappings and lists, into the form.

    Parameters
    ----------
    path : the .xlsx file; replaced as a whole or not at all.
    values : what the scenario says, without its defaults.
    catalog : supplies the names that drop-down lists offer.

    Raises
    ------
    ScenarioError where the file cannot be written or a text is longer than a cell.
    """
    book = Workbook()
    book.remove(book.worksheets[0])
    cover = book.create_sheet("Read me")
    every = list(_every_form())
    sheets = {form.sheet: book.create_sheet(form.sheet) for form in every}
    offers = Offers(write_lists(book.create_sheet("Lists"), catalog), {})
    write_cover(cover, str(values.get("title", "")), every)
    try:
        for form in forms():
            entries = _entries(form, values)
            _sheet(sheets[form.sheet], form, entries, offers)
            for inner in form.inner:
                _sheet(sheets[inner.sheet], inner, _inner_entries(form, inner, entries), offers)
    except ValueError as error:
        raise ScenarioError(str(path), [str(error)]) from None
    with atomic_path(path) as temporary:
        book.save(temporary)


def _every_form() -> Iterator[Form]:
    for form in forms():
        yield form
        yield from form.inner


def _entries(form: Form, values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a sheet shows, one mapping an entry."""
    if form.shape == "single":
        return [values]
    found = _at(values, form.path)
    if form.shape == "list":
        return list(found or ())
    if form.bare:
        return [{KEY: key, VALUE: value} for key, value in (found or {}).items()]
    return [{KEY: key, **value} for key, value in (found or {}).items()]


def _inner_entries(
    form: Form, inner: Form, owners: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    label = form.path[-1]
    return [
        {label: owner["name"] if form.named else str(number), **entry}
        for number, owner in enumerate(owners, 1)
        for entry in _at(owner, inner.path) or ()
    ]


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        values = values.get(step) if isinstance(values, Mapping) else None
    return values


def _value(field: Field, entry: Mapping[str, Any]) -> Any:
    """A field's value; None where a mapping stands there that other fields spell out."""
    value = _at(entry, field.path)
    spelled_out = isinstance(value, Mapping) and "object" not in field.types
    try:
        return None if spelled_out else to_cell(value, field)
    except ValueError as error:
        raise ValueError(f"{field.label}: {error}") from None


@dataclass(frozen=True)
class _Canvas:
    """One sheet, its form, and where the parts stand: fields down it (cards) or across."""

    sheet: Worksheet
    form: Form
    entries: int
    """Columns (or rows) to fill in."""

    def across(self, what: str | int) -> int:
        """Column (cards) or row of a description, or of an entry by its number."""
        if not self.form.cards:
            return TOP + (DESCRIPTIONS.index(what) if isinstance(what, str) else 4 + what)
        if isinstance(what, int):
            return 3 + what
        return {FIELD: 1, "Unit": 2}.get(what, self.entries + DESCRIPTIONS.index(what) + 1)

    def cell(self, what: str | int, field_at: int) -> Any:
        """Cell of a description or entry in the row (cards) or column of a field."""
        at = self.across(what)
        return self.sheet.cell(*((field_at, at) if self.form.cards else (at, field_at)))


def _sheet(
    sheet: Worksheet, form: Form, entries: Sequence[Mapping[str, Any]], offers: Offers
) -> None:
    spare, least = (SPARE_CARDS, LEAST_CARDS) if form.cards else (SPARE_ROWS, LEAST_ROWS)
    count = 1 if form.shape == "single" else max(len(entries) + spare, least)
    canvas = _Canvas(sheet, form, count)
    put(sheet.cell(1, 1), form.sheet, size=14, bold=True, color=NAVY)
    put(sheet.cell(2, 1), form.meaning or SINGLE_VALUES, color=MUTED)
    _heads(canvas)
    at = TOP if form.cards else 1
    section = ""
    for field in _in_sections(form):
        at += 1
        if form.cards and _section(form, field) != section:
            section = _section(form, field)
            _band(canvas, section, at)
            at += 1
        _field(canvas, field, at, entries, offers)
    _widths(canvas)
    sheet.row_dimensions[1].height = 20
    sheet.freeze_panes = sheet.cell(TOP + 1 if form.cards else TOP + 4, 2).coordinate
    set_page(sheet)


def _heads(canvas: _Canvas) -> None:
    """Labels of the columns (cards) or rows."""
    at = TOP if canvas.form.cards else 1
    for what in DESCRIPTIONS:
        put(canvas.cell(what, at), what, **HEAD)
    for number in range(canvas.entries):
        label = "Value" if canvas.form.shape == "single" else number + 1
        plain = {"color": MUTED, "align": "center"}
        put(canvas.cell(number, at), label, **(HEAD if canvas.form.cards else plain))


def _section(form: Form, field: Field) -> str:
    """First step of a field's path, where it is shared by fields with longer ones."""
    shared = any(len(other.path) > 1 and other.path[0] == field.path[0] for other in form.fields)
    return field.path[0] if shared else ""


def _in_sections(form: Form) -> list[Field]:
    """Fields of their own first, then section by section."""
    order = list(dict.fromkeys(["", *(_section(form, field) for field in form.fields)]))
    return sorted(form.fields, key=lambda field: order.index(_section(form, field)))


def _band(canvas: _Canvas, section: str, at: int) -> None:
    """A line above the fields of a section."""
    for column in range(1, canvas.entries + 5):
        put(canvas.sheet.cell(at, column), None, fill=BAND)
    title = section.replace("_", " ").capitalize()
    put(canvas.sheet.cell(at, 1), title, bold=True, color=NAVY, fill=BAND)


def _field(
    canvas: _Canvas,
    field: Field,
    at: int,
    entries: Sequence[Mapping[str, Any]],
    offers: Offers,
) -> None:
    _describe(canvas, field, at)
    as_text = bool(field.types & {"string", "array", "object"}) and not _is_number(field)
    for number in range(canvas.entries):
        value = _value(field, entries[number]) if number < len(entries) else None
        put_input(canvas.cell(number, at), value, as_text=as_text)
        if canvas.form.cards:
            _heighten(canvas, at, value, VALUE_WIDTH if canvas.entries == 1 else CARD_WIDTH)
    first = canvas.cell(0, at).coordinate
    last = canvas.cell(canvas.entries - 1, at).coordinate
    if field.path == ("name",) and canvas.form.path:
        span = f"{_fixed(first)}:{_fixed(last)}"
        offers.names[canvas.form.path[-1]] = f"'{canvas.form.sheet}'!{span}"
    rule = rule_of(canvas.form, field, offers)
    if rule is not None:
        rule.add(f"{first}:{last}")
        canvas.sheet.add_data_validation(rule)


def _is_number(field: Field) -> bool:
    return bool(field.types & {"number", "integer"})


def _describe(canvas: _Canvas, field: Field, at: int) -> None:
    """Label, unit, default and meaning; labels of fields that need a value are bold."""
    label = {"bold": field.required, "color": INK} if canvas.form.cards else HEAD
    only = f" ({', '.join(field.kinds)} only)" if field.kinds else ""
    meaning = field.meaning + only
    put(canvas.cell(FIELD, at), field.label, **label)
    put(canvas.cell("Unit", at), field.unit, color=MUTED, wrap=True)
    put(canvas.cell("Default", at), _default(field), color=MUTED, wrap=True)
    put(canvas.cell("Meaning", at), meaning, color=MUTED, wrap=True)
    if canvas.form.cards:
        _heighten(canvas, at, meaning, MEANING_WIDTH)


def _heighten(canvas: _Canvas, row: int, text: Any, width: float) -> None:
    """Make a row as high as its longest text: not every program does so on opening."""
    lines = 1 if not isinstance(text, str) else 1 + int(len(text) / width / LETTERS_A_WIDTH)
    size = canvas.sheet.row_dimensions[row]
    size.height = max(size.height or 0, LINE_POINTS * lines + 2)


def _fixed(coordinate: str) -> str:
    letters = coordinate.rstrip("0123456789")
    return f"${letters}${coordinate[len(letters) :]}"


def _default(field: Field) -> str:
    value = field.default
    if field.required:
        return "required"
    if value is None or value in ((), [], {}, ""):
        return "-"
    if isinstance(value, bool):
        return str(value).upper()
    return flow(list(value))[1:-1] if isinstance(value, list | tuple) else f"{value}"


def _widths(canvas: _Canvas) -> None:
    if canvas.form.cards:
        value = VALUE_WIDTH if canvas.entries == 1 else CARD_WIDTH
        widths: list[float] = [32, 20, *[value] * canvas.entries, 20, MEANING_WIDTH]
    else:
        widths = [9, *(_table_width(field) for field in canvas.form.fields)]
        canvas.sheet.row_dimensions[canvas.across("Meaning")].height = 5 * LINE_POINTS
    for column, width in enumerate(widths, 1):
        canvas.sheet.column_dimensions[get_column_letter(column)].width = width


def _table_width(field: Field) -> float:
    """Sentences are long; names and numbers are not."""
    if field.types == {"string"} and field.path[-1] in ("source", KEY, VALUE):
        return 80 if field.path[-1] == VALUE else 36
    return max(20, len(field.label) + 4)
