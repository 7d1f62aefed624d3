"""One sheet under construction: text stays text, and every formula brings its value.

Spreadsheet writers leave a formula's value blank, so previews, mail viewers and pandas show
nothing. Here no formula can be written without its value; `Book.save` puts both into the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field
from datetime import date, datetime
from io import BytesIO
from typing import Any

from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE, Cell
from openpyxl.styles import Font
from openpyxl.styles.cell_style import StyleArray
from openpyxl.utils import get_column_letter
from openpyxl.utils.indexed_list import IndexedList
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.worksheet import Worksheet

from planner.report.cache_values import Value, with_values
from planner.report.style import FAMILY, LOOKS, PADDED, RIGHT_LOOKS, TEXT

LONGEST_TEXT = 32_000
"""A cell holds 32,767 characters."""
_LINE_POINTS, _LETTERS_A_WIDTH = 12.0, 1.2
"""Of 9 point text; a column of width w holds about 1.3 w letters, less where words break."""
_ROW_POINTS, _ROW_POINTS_LARGER = 12.75, 1.25
"""Height of a row of 9 point text, and of each point more."""
HIGHEST_ROW = 409.0
"""Points; a higher row makes Excel call the file damaged."""
RISKY_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""Text that a spreadsheet, or one that imports its CSV, may take for a formula."""


def clean(text: str) -> str:
    """Text that a workbook's XML can hold."""
    return ILLEGAL_CHARACTERS_RE.sub(" ", text)[:LONGEST_TEXT]


def _workbook() -> Workbook:
    """An empty workbook whose default font is installed everywhere.

    Widths of columns count its digits: without Calibri, LibreOffice makes all columns a third
    wider, and what should fit on a page does not.
    """
    workbook, font = Workbook(), Font(name=FAMILY, size=10)
    held: Any = workbook
    held._fonts = IndexedList([font])
    held._named_styles["Normal"].font = font
    return workbook


@dataclass
class Book:
    """A workbook and the values of its formulas."""

    workbook: Workbook = field(default_factory=_workbook)
    values: dict[str, dict[str, Value]] = field(default_factory=dict)
    """By sheet and cell."""
    _styles: dict[tuple[str, str, bool, float], StyleArray] = field(default_factory=dict)

    def page(
        self, title: str, *, widths: Iterable[float], tab: str = "", larger: float = 0.0
    ) -> Page:
        """Append a sheet whose text is larger than elsewhere by some points."""
        if not self.values:
            self.workbook.remove(self.workbook.worksheets[0])
        sheet = self.workbook.create_sheet(title)
        for column, width in enumerate(widths, 1):
            sheet.column_dimensions[get_column_letter(column)].width = width
        if tab:
            sheet.sheet_properties.tabColor = tab
        # Programs differ in the height of a row that is not given, and so in what fits on a page.
        height = _ROW_POINTS + _ROW_POINTS_LARGER * larger
        sheet.sheet_format.defaultRowHeight, sheet.sheet_format.customHeight = height, True
        self.values[title] = {}
        return Page(self, sheet, larger)

    def style(
        self, cell: Any, look: str, number_format: str, *, quoted: bool, larger: float = 0.0
    ) -> None:
        """Give a cell a shared style record, made by the first cell of that style.

        openpyxl's public way, four objects a cell, takes most of the time of writing.
        """
        if number_format == TEXT and look in RIGHT_LOOKS:
            number_format = PADDED
        key = (look, number_format, quoted, larger)
        if key not in self._styles:
            kind = LOOKS[look]
            # A cell that is written twice carries a shared record: never change that one.
            cell._style = StyleArray()
            cell.font, cell.fill = kind.font(larger), kind.background()
            cell.alignment, cell.border = kind.alignment(), kind.border()
            cell.number_format = number_format
            cell.quotePrefix = quoted
            self._styles[key] = copy(cell._style)
        cell._style = self._styles[key]

    def name(self, name: str, address: str) -> None:
        """Define a global name."""
        self.workbook.defined_names[name] = DefinedName(name, attr_text=address)

    def to_bytes(self) -> bytes:
        """The file, every formula with its value."""
        raw = BytesIO()
        self.workbook.save(raw)
        ordered = [self.values[title] for title in self.workbook.sheetnames]
        return with_values(raw.getvalue(), ordered)


@dataclass
class Page:
    """A sheet; rows and columns count from 1."""

    book: Book
    sheet: Worksheet
    larger: float = 0.0
    """Points that its text is larger than elsewhere."""

    def put(
        self, row: int, column: int, value: object, look: str = "text", number_format: str = TEXT
    ) -> None:
        """Write a constant; text is never read as a formula, what is not finite becomes n/a."""
        cell = self._cell(row, column)
        if isinstance(value, str):
            text = clean(value)
            cell.value = text
            cell.data_type = "s"
            quoted = text.startswith(RISKY_STARTS)
            self.book.style(cell, look, number_format, quoted=quoted, larger=self.larger)
            return
        if isinstance(value, float) and not math.isfinite(value):
            value = "n/a"
        assert value is None or isinstance(value, str | int | float | bool | date | datetime)
        cell.value = value
        self.book.style(cell, look, number_format, quoted=False, larger=self.larger)

    def formula(
        self,
        row: int,
        column: int,
        formula: str,
        value: Value,
        look: str = "calculation",
        *,
        number_format: str = TEXT,
    ) -> None:
        """Write a formula together with its value."""
        cell = self._cell(row, column)
        cell.value = formula
        self.book.style(cell, look, number_format, quoted=False, larger=self.larger)
        shown = clean(value) if isinstance(value, str) else value
        self.book.values[self.sheet.title][cell.coordinate] = shown

    def row(
        self,
        row: int,
        first_column: int,
        values: Iterable[object],
        look: str = "text",
        number_format: str = TEXT,
    ) -> None:
        """Write constants side by side."""
        for offset, value in enumerate(values):
            self.put(row, first_column + offset, value, look, number_format)

    def fit_height(self, row: int, texts: Iterable[tuple[str, float]]) -> None:
        """Make a row as high as its longest wrapped text; with each text the column's width."""
        lines = max(-(-len(text) // max(1, int(width * _LETTERS_A_WIDTH))) for text, width in texts)
        if lines > 1:
            self.sheet.row_dimensions[row].height = min(_LINE_POINTS * lines + 3, HIGHEST_ROW)

    def address(self, row: int, column: int) -> str:
        """Absolute address from any sheet."""
        return f"'{self.sheet.title}'!${get_column_letter(column)}${row}"

    def heading(self, title: str, subtitle: str = "") -> None:
        """Title in row 1, what the sheet holds in row 2."""
        self.put(1, 1, title, "title")
        self.put(2, 1, subtitle, "subtitle")
        self.sheet.row_dimensions[1].height = 26
        self.sheet.row_dimensions[2].height = 16

    def band(self, row: int, first_column: int, last_column: int, look: str) -> None:
        """Fill a run of blank cells with one look."""
        for column in range(first_column, last_column + 1):
            self.put(row, column, None, look)

    def print_setup(
        self,
        *,
        titles: str = "",
        columns: str = "",
        pages_wide: int = 1,
        one_page: bool = False,
        portrait: bool = False,
    ) -> None:
        """Numbered pages, `pages_wide` across; `titles` rows and `columns` repeat on each."""
        sheet = self.sheet
        sheet.page_setup.orientation = "portrait" if portrait else "landscape"
        sheet.page_setup.paperSize = 9
        sheet.page_setup.fitToWidth = pages_wide
        sheet.page_setup.fitToHeight = 1 if one_page else 0
        sheet.sheet_properties.pageSetUpPr.fitToPage = True  # type: ignore[union-attr]
        sheet.page_margins.left = sheet.page_margins.right = 0.4
        sheet.page_margins.top, sheet.page_margins.bottom = 0.5, 0.7
        sheet.print_title_rows = titles or None
        sheet.print_title_cols = columns or None
        footer: Any = sheet.oddFooter
        footer.left.text, footer.right.text = "&A", "Page &P of &N"
        footer.left.size = footer.right.size = 8

    def freeze(self, row: int, column: int) -> None:
        """Keep what is above and left of a cell in view."""
        self.sheet.freeze_panes = f"{get_column_letter(column)}{row}"

    def _cell(self, row: int, column: int) -> Cell:
        cell = self.sheet.cell(row, column)
        assert isinstance(cell, Cell)
        return cell
