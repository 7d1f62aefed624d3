"""Rows by fiscal year, or by another label, written downwards in one formula each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from openpyxl.utils import get_column_letter

from planner.report.page import Page
from planner.report.sheet_costs import YEAR_ROW, CostsSheet

LABEL, UNIT, TOTAL, FIRST = range(1, 5)
ARGUMENTS_MAX = 30
"""Of one function call; old programs take no more."""


@dataclass
class Yearly:
    """Writes one table after another; {c} stands for a row's column, {p} for the one before."""

    page: Page
    labels: Sequence[str]
    """Of the columns: fiscal years or periods."""
    row: int
    """Next free row."""
    head_row: int = 0
    """Row of the labels that formulas look for: that of the first heading."""

    @property
    def last(self) -> int:
        """Last column."""
        return FIRST + len(self.labels) - 1

    def head(self, title: str, total: str = "Total") -> None:
        """Heading of a table."""
        self.page.put(self.row, LABEL, title, "head")
        self.page.put(self.row, UNIT, "Unit", "head unit")
        self.page.row(self.row, TOTAL, (total or None, *self.labels), "head right")
        self.head_row = self.head_row or self.row
        self.row += 1

    def group(self, title: str) -> None:
        """Begins a part of a table."""
        self.page.band(self.row, LABEL, self.last, "group")
        self.page.put(self.row, LABEL, title, "group")
        self.row += 1

    def note(self, text: str) -> None:
        """A line of text."""
        self.page.put(self.row, LABEL, text, "note")
        self.row += 1

    def write(
        self,
        label: str,
        unit: str,
        formula: str,
        values: Iterable[float | str],
        *,
        style: str,
        look: str = "link",
        total: str = "",
        total_value: float | str = 0.0,
    ) -> int:
        """One row; `total` is the formula of its total column, blank for none. Its number."""
        row, bold = self.row, "total" in look
        self.page.put(row, LABEL, label, "label total" if bold else "label")
        self.page.put(row, UNIT, unit, "unit total" if bold else "unit")
        if total:
            total_look = "total" if bold else "label bold"
            self.page.formula(row, TOTAL, total, total_value, total_look, number_format=style)
        elif bold:
            self.page.put(row, TOTAL, None, "total")
        for column, value in enumerate(values, FIRST):
            here, before = get_column_letter(column), get_column_letter(column - 1)
            text = formula.format(c=here, p=before)
            self.page.formula(row, column, text, value, look, number_format=style)
        self.row += 1
        return row

    def summed(
        self, label: str, unit: str, formula: str, values: Sequence[float], *, style: str,
        look: str = "link",
    ) -> int:  # fmt: skip
        """A row with its sum."""
        return self.write(
            label, unit, formula, values, style=style, look=look, total=f"=SUM({self.span()})",
            total_value=sum(values),
        )  # fmt: skip

    def span(self, row: int = 0) -> str:
        """All columns of a row, this one unless given."""
        first, last = get_column_letter(FIRST), get_column_letter(self.last)
        return f"{first}{row or self.row}:{last}{row or self.row}"

    def of_label(self, costs: CostsSheet, keys: Sequence[str], label_row: int = YEAR_ROW) -> str:
        """Sum of ledger rows over the months of a column's label, without the equals sign."""
        months = f"{costs.title}!{costs.grid.span(label_row)}"
        wanted = f"{{c}}${self.head_row}"
        parts = [f"SUMIFS({ledger_span(costs, key)},{months},{wanted})" for key in keys]
        return "+".join(parts) or "0"

    def month_ends(
        self, costs: CostsSheet, ends: Sequence[float], label: str, label_row: int = YEAR_ROW
    ) -> int:
        """Row of the number of the last month of each column, within the horizon."""
        formula = f"={{p}}{self.row}+{self.of_label(costs, ['in_horizon'], label_row)}"
        return self.write(label, "month", formula, ends, style="0_)")


def ledger_span(costs: CostsSheet, key: str) -> str:
    """All months of a ledger row, from another sheet."""
    return f"{costs.title}!{costs.grid.span(costs.grid.rows[key])}"


def ledger_cell(costs: CostsSheet, key: str, month: int) -> str:
    """One month of a ledger row, 0 for the first, from another sheet."""
    letter = get_column_letter(costs.grid.first_column + month)
    return f"{costs.title}!${letter}${costs.grid.rows[key]}"


def ledger_at(costs: CostsSheet, key: str, month: str) -> str:
    """A ledger row in the month whose number, 1 for the first, an address holds."""
    return f"INDEX({ledger_span(costs, key)},1,{month})"


def added(cells: Iterable[str]) -> str:
    """Sum of cells, in batches that every program takes; without the equals sign.

    Examples
    --------
    >>> added(["A1"]), added(["A1", "B1"]), added([])
    ('A1', 'SUM(A1,B1)', '0')
    """
    found = list(cells)
    if len(found) <= 1:
        return found[0] if found else "0"
    batches = [found[i : i + ARGUMENTS_MAX] for i in range(0, len(found), ARGUMENTS_MAX)]
    return "+".join(f"SUM({','.join(batch)})" for batch in batches)
