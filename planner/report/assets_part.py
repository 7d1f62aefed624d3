"""What the parts of sheet Assets share: orders with their ledger lines, and tables of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from openpyxl.utils import get_column_letter

from planner.finance.ledger import Line
from planner.report.assets import Vintage
from planner.report.ledger_view import Array, View
from planner.report.sheet_costs import CostsSheet
from planner.report.style import MONEY, WITHOUT_ROUNDING
from planner.report.yearly import Yearly, ledger_at

TITLE = "Assets"
USD_FORMAT = WITHOUT_ROUNDING[MONEY]
LOTS, ORDER_MONTH, ORDERED, LEAD, SERVICE_MONTH, SERVED, COST = range(3, 10)
"""Columns of the register."""


@dataclass(frozen=True)
class Ledger:
    """What the rows are made from."""

    view: View
    costs: CostsSheet
    inputs: Mapping[str, str]
    """Address of each input."""


@dataclass(frozen=True)
class OrderRow:
    """A vintage in the register, and the ledger lines of its group."""

    vintage: Vintage
    number: int
    """Row of the register."""
    lines: Mapping[str, Line]
    """By category; "bought" is the quantity."""

    @property
    def label(self) -> str:
        """HGX B200 at hq, owned; ordered Jan 2027."""
        return f"{self.vintage.group}; ordered {self.vintage.ordered:%b %Y}"

    def at(self, column: int) -> str:
        """Cell of the register."""
        return f"${get_column_letter(column)}${self.number}"


def year_ends(view: View, years: Sequence[str]) -> Array:
    """Number of the last month of each fiscal year within the horizon."""
    months = [int(view.in_year(year).sum()) for year in years]
    return np.cumsum(months).astype(float)


@dataclass
class Block:
    """A table with a row a vintage, and its total."""

    first: int
    total: int


def write_block(
    writer: Yearly,
    title: str,
    rows: Sequence[OrderRow],
    formula: Callable[[OrderRow, int], str],
    values: Callable[[OrderRow], Sequence[float]],
    *,
    sums: bool,
    unit: str = "USD",
    style: str = USD_FORMAT,
    totalled: bool = True,
) -> Block:
    """`formula` of a vintage and its place in the register; `sums` for flows, not balances."""
    writer.row += 1
    writer.group(title)
    first, found = writer.row, []
    for place, row in enumerate(rows):
        write = writer.summed if sums else writer.write
        found.append(list(values(row)))
        write(row.label, unit, formula(row, place), found[-1], style=style)
    if not totalled:
        return Block(first, 0)
    write = writer.summed if sums else writer.write
    total = write(
        "All orders", unit, f"=SUM({{c}}{first}:{{c}}{writer.row - 1})",
        np.sum(found, axis=0).tolist(), style=style, look="total",
    )  # fmt: skip
    return Block(first, total)


def balance_row(writer: Yearly, of: Ledger, category: str, total: int, ends: int) -> None:
    """The same balance of sheet Costs, and the difference."""
    keys = [line.key for line in of.view.lines if line.category == category]
    formula = "=" + "+".join(ledger_at(of.costs, key, f"{{c}}${ends}") for key in keys)
    values = np.sum([of.view.at_year_end(of.view.values[key]) for key in keys], axis=0)
    writer.write("of sheet Costs", "USD", formula, values[: len(writer.labels)].tolist(),
                 style=USD_FORMAT)  # fmt: skip
    difference(writer, total)


def difference(writer: Yearly, total: int) -> None:
    """Of a total and the row before this one."""
    zeros = [0.0] * len(writer.labels)
    formula = f"={{c}}{total}-{{c}}{writer.row - 1}"
    writer.write("Difference", "USD", formula, zeros, style=USD_FORMAT, look="calculation")
