"""The pages that are read on paper first: sections, tables and text over the whole width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planner.report.ledger_view import View
from planner.report.page import HIGHEST_ROW, Page
from planner.report.plain_labels import names_of, plain
from planner.report.sheet_annual import AnnualSheet
from planner.report.style import LOOKS
from planner.result import Plan

LABEL, UNIT, FIRST = 1, 2, 3
LARGER = 1.0
"""Points above other sheets: what fits on one printed page is scaled down to about 0.85."""
_LABEL_WIDTH, _UNIT_WIDTH, _WIDTH = 33, 13, 11.5
_COLUMNS_LEAST = 6
"""Right of the unit, so that tiles and charts have their width."""
_LETTERS_A_WIDTH = 1.4
"""Of 9 point text."""
_LETTERS_A_HEAD = 12
_ROW, _SECTION = 13, 17
_GAP = 6
_LINE = 1.25
"""Height of a line of text / its size."""


@dataclass
class Paper:
    """A page while it is written."""

    page: Page
    plan: Plan
    view: View
    annual: AnnualSheet
    widths: Sequence[float]
    """Of the columns."""

    @property
    def last(self) -> int:
        """Last column."""
        return len(self.widths)

    @property
    def width(self) -> float:
        """Of all columns."""
        return sum(self.widths)

    def text(self, row: int, value: str, look: str) -> int:
        """Text over the whole width, as high as it needs; returns the next row."""
        value = plain(value, names_of(self.plan))
        self.page.put(row, LABEL, value, look)
        self.page.sheet.merge_cells(
            start_row=row, end_row=row, start_column=LABEL, end_column=self.last
        )
        size = LOOKS[look].size + self.page.larger
        letters = int(self.width * _LETTERS_A_WIDTH * 9 / size)
        lines = max(1, -(-len(value) // letters))
        self.page.sheet.row_dimensions[row].height = min(_LINE * size * lines + 1, HIGHEST_ROW)
        return row + 1

    def gap(self, row: int) -> int:
        """A little air; returns the next row."""
        self.page.sheet.row_dimensions[row].height = _GAP
        return row + 1

    def finish(self) -> None:
        """Give every row that has no height the same one in every program."""
        rows = self.page.sheet.row_dimensions
        for row in range(1, self.page.sheet.max_row + 1):
            if rows[row].height is None:
                rows[row].height = _ROW

    def section(self, row: int, title: str) -> None:
        """Heading over the whole width."""
        self.page.band(row, 1, self.last, "section")
        self.page.put(row, LABEL, title, "section")
        self.page.sheet.row_dimensions[row].height = _SECTION

    def head(self, row: int, title: str, columns: Sequence[str]) -> None:
        """Heading of a table, as high as its longest column needs."""
        self.page.band(row, LABEL, self.last, "head")
        self.page.put(row, LABEL, title, "head")
        self.page.put(row, UNIT, "Unit", "head unit")
        self.page.row(row, FIRST, columns, "head right")
        if any(len(column) > _LETTERS_A_HEAD for column in columns):
            self.page.sheet.row_dimensions[row].height = 27


def widths(view: View) -> list[float]:
    """Of the columns: label, unit, and one for each fiscal year and the total."""
    columns = max(len(view.years) + 1, _COLUMNS_LEAST)
    return [_LABEL_WIDTH, _UNIT_WIDTH, *[_WIDTH] * columns]
