"""What the parts of sheet Tax share: ledger rows by fiscal year, in the display unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planner.finance.ledger import Line
from planner.report.ledger_view import View
from planner.report.sheet_annual import HEAD, AnnualSheet
from planner.report.sheet_costs import YEAR_ROW, CostsSheet
from planner.report.sheet_pnl import ProfitSheet
from planner.report.style import COUNT, WITHOUT_ROUNDING
from planner.report.yearly import Yearly


@dataclass
class TaxPart:
    """The sheet while it is written."""

    view: View
    costs: CostsSheet
    profit: ProfitSheet
    annual: AnnualSheet
    inputs: Mapping[str, str]
    writer: Yearly

    def lines(self, category: str, kind: str = "tax") -> list[Line]:
        """Ledger lines of one category and kind."""
        return [x for x in self.view.lines if (x.category, x.kind) == (category, kind)]

    def ledger(self, label: str, keys: Sequence[str], look: str = "link") -> int:
        """Ledger rows by fiscal year, in the display unit."""
        scale = self.annual.scale
        usd = sum((self.view.values[key] for key in keys), np.zeros(self.view.months))
        return self.writer.summed(
            label, scale.unit, f"=({self.writer.of_label(self.costs, keys)})/{scale.name}",
            (self.view.by_year(usd) / scale.usd).tolist(),
            style=WITHOUT_ROUNDING[scale.number_format], look=look,
        )  # fmt: skip

    def by_year(self, label: str, formula: str, usd: Sequence[float], look: str = "calculation",
                ) -> int:  # fmt: skip
        """A row of this sheet's own, `usd` in USD."""
        scale = self.annual.scale
        return self.writer.summed(
            label, scale.unit, formula, [x / scale.usd for x in usd],
            style=WITHOUT_ROUNDING[scale.number_format], look=look,
        )  # fmt: skip

    def value(self, name: str) -> float:
        """An input at the solve."""
        return next(row.value for row in self.view.inputs if row.name == name)

    def sums(self, keys: Sequence[str]) -> np.ndarray:
        """Ledger rows by fiscal year [USD]."""
        return self.view.by_year(
            sum((self.view.values[key] for key in keys), np.zeros(self.view.months))
        )

    def month_ends(self) -> int:
        """Row of the number of each year's last month, months after the horizon too."""
        writer = self.writer
        months = f"{self.costs.title}!{self.costs.grid.span(YEAR_ROW)}"
        return writer.write(
            "Last month of the year", "month",
            f"={{p}}{writer.row}+SUMPRODUCT(({months}={{c}}${HEAD})*1)", self.month_numbers(),
            style=COUNT,
        )  # fmt: skip

    def month_numbers(self) -> list[float]:
        """The same as numbers."""
        counts = [int(self.view.in_year(year).sum()) for year in self.writer.labels]
        return [float(x) for x in np.cumsum(counts)]
