"""Rows of sheet Scenarios behind live paybacks: what the plan has saved so far, month by month."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from openpyxl.utils import get_column_letter

from planner.report.ledger_view import Array
from planner.report.page import Page
from planner.report.sheet_costs import FIRST, LABEL, TOTAL, UNIT, CostsSheet
from planner.report.sheet_scenarios import ScenariosSheet
from planner.report.style import COUNT, MONEY, WITHOUT_ROUNDING
from planner.report.yearly import ledger_span

_GROUP = "Saved so far against (total column: last month in which the plan is behind)"
_USD = WITHOUT_ROUNDING[MONEY]


@dataclass(frozen=True)
class SoFar:
    """A row of savings added up, its total column the number of the last month below 0."""

    row: int
    values: Array

    @property
    def behind(self) -> int:
        """Number of the last month in which the sum is below 0; 0 where it never is."""
        return int(np.flatnonzero(self.values < 0).max(initial=-1)) + 1


def write_so_far(
    page: Page, scenarios: ScenariosSheet, costs: CostsSheet
) -> Mapping[str, tuple[SoFar, SoFar]]:
    """Rows for each option of equal service: undiscounted, discounted."""
    if not scenarios.saved:
        return {}
    plan, row = scenarios.figures[0], scenarios.next_row
    page.band(row, 1, scenarios.last_column, "group")
    page.put(row, LABEL, _GROUP, "group")
    writer = _Writer(page, costs, scenarios.last_column)
    found = {}
    for option in scenarios.figures[1:]:
        name, flow = option.row.name, option.cash_usd - plan.cash_usd
        if name not in scenarios.saved:
            continue
        source = f"{{c}}{scenarios.saved[name]}"
        factor = f"{costs.title}!{{c}}{costs.grid.rows['discount_factor']}"
        discounted = flow * plan.view.values["discount_factor"]
        title = option.row.title
        found[name] = (
            writer.write(row + 1, title, source, flow),
            writer.write(row + 2, f"{title}, discounted", f"{source}*{factor}", discounted),
        )
        row += 2
    return found


@dataclass(frozen=True)
class _Writer:
    page: Page
    costs: CostsSheet
    last_column: int

    def write(self, row: int, label: str, added: str, flow: Array) -> SoFar:
        """A row that adds up; {c} of `added` is the month's column."""
        so_far, page = SoFar(row, np.cumsum(flow)), self.page
        page.put(row, LABEL, label)
        page.put(row, UNIT, "USD", "unit")
        span = f"${get_column_letter(FIRST)}{row}:${get_column_letter(self.last_column)}{row}"
        behind = f"=SUMPRODUCT(MAX(({span}<0)*{ledger_span(self.costs, 'month')}))"
        page.formula(row, TOTAL, behind, float(so_far.behind), "link", number_format=COUNT)
        for column, value in enumerate(so_far.values.tolist(), FIRST):
            here, before = get_column_letter(column), get_column_letter(column - 1)
            formula = f"={before}{row}+{added}".format(c=here)
            page.formula(row, column, formula, value, "link", number_format=_USD)
        return so_far


def payback_formula(scenarios: ScenariosSheet, costs: CostsSheet, so_far: SoFar) -> str:
    """Months until what is saved stays at 0 or more, savings spread evenly over their month."""
    behind = f"{scenarios.title}!${get_column_letter(TOTAL)}${so_far.row}"
    span = scenarios.span(so_far.row)
    at, after = f"INDEX({span},1,{behind})", f"INDEX({span},1,{behind}+1)"
    months = f"{costs.title}!${get_column_letter(scenarios.last_column)}${costs.grid.rows['month']}"
    return (
        f'=IF({behind}=0,0,IF({behind}={months},"never",{behind}-{at}/({after}-{at})))'
    )  # fmt: skip
