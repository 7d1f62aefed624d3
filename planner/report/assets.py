"""Asset register: every order of machines as one vintage, written down in the books and for tax.

Ledger rows are proportional to what is ordered, so that a vintage's rows are the group's rows
evaluated for its order alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from planner.finance import ledger
from planner.finance.ledger import Line
from planner.report.ledger_view import Array, View


@dataclass(frozen=True)
class Vintage:
    """One order of machines. Money is USD; yearly values are in the order of `View.years`."""

    group: str
    """GB200 NVL72 at hq, owned."""
    month: int
    """Of the order, 0 for the first."""
    ordered: date
    in_service: date | None
    """None: not delivered within the horizon."""
    lots: float
    cost_usd: float
    book_depreciation_usd: tuple[float, ...]
    """Accumulated, at the end of each fiscal year."""
    net_book_usd: tuple[float, ...]
    """Before disposal, in the year of the horizon's end."""
    tax_basis_usd: Mapping[str, tuple[float, ...]]
    """Left at each year's end, before disposal: federal and state; empty without income tax."""
    end_value_usd: float
    """What its machines bring when they are sold at the end of the horizon."""


def register(view: View) -> list[Vintage]:
    """All vintages, by group in the ledger's order, then by month of order."""
    groups = dict.fromkeys(line.group for line in view.lines if line.category == "orders")
    return [vintage for group in groups for vintage in _of_group(view, group)]


def _of_group(view: View, group: str) -> Iterator[Vintage]:
    lines = [line for line in view.lines if line.group == group]
    bought = next(line for line in lines if line.kind == "quantity")
    months = np.flatnonzero(view.values[bought.key])
    alone = np.eye(view.months)[months] * view.values[bought.key]
    given = {row.name: row.value for row in view.inputs}
    quantities = {line.key: view.values[line.key] for line in view.lines if line.kind == "quantity"}
    options = {line.group for line in view.lines if line.kind == "cash"}
    shared = [line for line in view.lines if line.group not in options]
    values = ledger.evaluate(
        [*shared, *lines],
        given,
        {**quantities, bought.key: alone},
        view.months,
    )
    for position, month in enumerate(months.tolist()):
        rows = {line.key: np.broadcast_to(values[line.key], alone.shape)[position]
                for line in lines}  # fmt: skip
        yield _vintage(view, lines, rows, month, float(alone[position, month]))


def _vintage(
    view: View, lines: list[Line], rows: Mapping[str, Array], month: int, lots: float
) -> Vintage:
    def named(category: str, kind: str) -> Array:
        found = [r for line, r in ((x, rows[x.key]) for x in lines)
                 if (line.category, line.kind) == (category, kind)]  # fmt: skip
        return np.asarray(np.sum(found, axis=0), float)

    placed = np.flatnonzero(named("placed in service", "calculation"))
    return Vintage(
        group=lines[0].group,
        month=month,
        ordered=view.dates[month],
        in_service=view.dates[int(placed[0])] if len(placed) else None,
        lots=lots,
        cost_usd=float(named("orders", "calculation").sum()),
        book_depreciation_usd=_at_year_ends(view, np.cumsum(named("depreciation", "book"))),
        net_book_usd=_at_year_ends(view, named("net book value", "calculation")),
        tax_basis_usd={
            who: _at_year_ends(view, named(f"{who} basis", "calculation"))
            for who in ("federal", "state")
            if any(line.category == f"{who} basis" for line in lines)
        },
        end_value_usd=-float(named("end value", "cash").sum()),
    )


def _at_year_ends(view: View, row: Array) -> tuple[float, ...]:
    return tuple(view.at_year_end(row).tolist())
