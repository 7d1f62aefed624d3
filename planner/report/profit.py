"""Profit and loss by kind of cost: expenses when paid, what the books spread over time, tax."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planner.finance import deferred, lease_lines
from planner.report.ledger_view import TAX, Array, View, category_of

_BOOK = {
    "depreciation": "Depreciation",
    "amortization": "Prepayments used up",
    lease_lines.INTEREST: "Interest on leases",
    lease_lines.RIGHT_OF_USE: "Depreciation of rights of use, leases",
    lease_lines.OPERATING: "Cost of operating leases",
    "disposal": "Loss on disposal (gain negative)",
}
_TAX, DEFERRED = "Income tax as settled (saving negative)", "Deferred tax, no cash"


@dataclass(frozen=True)
class Cost:
    """One row of profit and loss and the ledger lines that it adds up."""

    label: str
    part: str
    """operating, spread or tax."""
    keys: tuple[str, ...]

    def usd(self, view: View) -> Array:
        """By month, cost positive."""
        return np.asarray(np.sum([view.values[key] for key in self.keys], axis=0), float)


def costs_of(view: View) -> list[Cost]:
    """All rows: expenses by category, book rows, tax."""
    found: dict[tuple[str, str], list[str]] = {}
    for line in view.profit_lines:
        category = line.category or "other"
        if line.category == deferred.TAX:
            at = ("tax", DEFERRED)
        elif line.kind == "book":
            at = ("spread", _BOOK.get(category, category.capitalize()))
        elif category_of(line) == TAX:
            at = ("tax", _TAX)
        else:
            at = ("operating", "API" if category == "api" else category.capitalize())
        found.setdefault(at, []).append(line.key)
    order = ("operating", "spread", "tax")
    rows = [Cost(label, part, tuple(keys)) for (part, label), keys in found.items()]
    return sorted(rows, key=lambda row: (order.index(row.part), row.label == DEFERRED))


def of_part(view: View, *parts: str) -> Array:
    """Sum of the rows of these parts by month."""
    rows = [row.usd(view) for row in costs_of(view) if row.part in parts]
    return np.sum(rows, axis=0) if rows else np.zeros(view.months)
