"""The plan's options in money, each from the same ledger with its own quantities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planner.report.ledger_view import CAPEX, Array, View, is_firm, view
from planner.result import OptionRow, Plan


@dataclass(frozen=True)
class OptionFigures:
    """One option that has money. Arrays have shape (months,), cost is positive."""

    row: OptionRow
    view: View

    @property
    def cash_usd(self) -> Array:
        """All cash by month."""
        return self.view.cash_usd

    @property
    def npv_usd(self) -> float:
        """With the plan's inputs as they are now."""
        return self.view.npv_usd

    @property
    def capex_usd(self) -> float:
        """Purchases, all orders."""
        return float(self.view.category_usd(CAPEX).sum())

    @property
    def firm_usd(self) -> float:
        """Owed once signed: purchases and commitments."""
        values = self.view.values
        return sum(float(values[x.key].sum()) for x in self.view.cash_lines if is_firm(x))

    @property
    def firm_frac(self) -> float:
        """Share of cash paid that is owed once signed; money that comes back is left out."""
        paid = float(np.maximum(self.cash_usd, 0.0).sum())
        return self.firm_usd / paid if paid else 0.0

    @property
    def peak_usd(self) -> float:
        """Most cash that is ever out: highest cumulative cash."""
        return float(max(np.cumsum(self.cash_usd).max(initial=0.0), 0.0))

    @property
    def cash_usd_by_year(self) -> dict[str, float]:
        """Undiscounted, by fiscal year."""
        years = self.view.by_year(self.cash_usd).tolist()
        return dict(zip(self.view.years, years, strict=True))


def option_figures(plan: Plan) -> list[OptionFigures]:
    """Options that have money, the plan first; empty where the plan was compared with nothing."""
    return [OptionFigures(row, view(plan, row)) for row in plan.options if row.has_money]
