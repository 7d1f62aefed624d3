"""Sheet Options: the plan beside what serves the same demand in one way only, or nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from openpyxl.utils import get_column_letter

from planner.report.charts import Band, bars, place
from planner.report.flags import mark_flag
from planner.report.ledger_view import View
from planner.report.option_figures import OptionFigures
from planner.report.page import Book, Page
from planner.report.reuse_words import reuse_words
from planner.report.sheet_annual import AnnualSheet
from planner.report.sheet_costs import YEAR_ROW, CostsSheet
from planner.report.sheet_scenarios import ScenariosSheet
from planner.report.style import PERCENT, TEAL
from planner.report.words import needs
from planner.result import OptionRow, Plan

LABEL, SERVES, NPV, DIFFERENCE, BOUND, CAPEX, FIRM, FIRM_FRAC, PEAK, TOTAL, YEARS = range(1, 12)
HEAD = 5
STATES = {
    "plan": "all",
    "solved": "all",
    "late": "late",
    "infeasible": "cannot",
    "unsolved": "not solved",
    "nothing": "no one",
}
_NOTE = (
    "Same demand, horizon and promises. Net present costs follow discount rate, timing and tail "
    "value; all else is as solved (to 1 %, the plan closer): sheet Scenarios puts any option "
    "through all inputs."
)


@dataclass(frozen=True)
class OptionsSheet:
    """Where the options stand."""

    title: str
    rows: dict[str, int]
    """Row of each option by name."""

    def cell(self, name: str, column: int) -> str:
        """Address from another sheet."""
        return f"{self.title}!${get_column_letter(column)}${self.rows[name]}"


def write_options(
    book: Book,
    plan: Plan,
    scenarios: ScenariosSheet | None,
    costs: CostsSheet,
    annual: AnnualSheet,
    *,
    changed: str,
) -> OptionsSheet | None:
    """Write the sheet; None where the plan was compared with nothing.

    Parameters
    ----------
    changed : address of the number of inputs that differ from the solve.
    """
    if scenarios is None:
        return None
    view = scenarios.figures[0].view
    widths = (21, 9, 11, 11, 11, 10, 10, 8, 10, 10, *[10] * len(view.years))
    page = book.page("Options", widths=widths, tab=TEAL)
    page.heading("Options on equal service", _NOTE)
    page.put(3, LABEL, f"Money in {annual.scale.unit}, nominal; cost is positive.", "note")
    page.formula(
        3, CAPEX, f'=IF({changed}=0,"{_AS_SOLVED}","{_MOVED}")', _AS_SOLVED, "muted",
    )  # fmt: skip
    mark_flag(page, f"{get_column_letter(CAPEX)}3", _AS_SOLVED)
    _follows(page, view)
    _head(page, view)
    by_name = {figures.row.name: number for number, figures in enumerate(scenarios.figures)}
    rows = {}
    for row, option in enumerate(plan.options, HEAD + 1):
        rows[option.name] = row
        page.put(row, LABEL, option.title, "label bold" if option.status == "plan" else "label")
        page.put(row, SERVES, STATES[option.status], "text left")
        if option.name in by_name:
            writer = _Money(page, row, scenarios, by_name[option.name], costs, annual)
            writer.write()
        else:
            page.row(row, NPV, ["n/a"] * (YEARS - NPV + len(view.years)), "text right")
    sheet = OptionsSheet(page.sheet.title, rows)
    row = max(rows.values()) + 1
    page.put(row, LABEL, _FOOT, "note")
    for sentence in reuse_words(plan, annual.scale):
        row += 1
        page.put(row, LABEL, sentence, "note")
    row = _words(page, plan, row + 2, widths)
    chart = options_chart(plan, sheet, scenarios, annual)
    place(page, chart, row + 1, left=0, width=sum(widths) - 1, height=20)
    page.freeze(HEAD + 1, SERVES)
    page.print_setup(one_page=True)
    return sheet


_AS_SOLVED = "Inputs as solved."
_MOVED = (
    "Inputs changed: only discount rate, timing and tail value move this page; flip the switch on "
    "sheet Scenarios for one option after all changes."
)
_LIVE, _VALUES = "follows discounting", "as solved"


def _follows(page: Page, view: View) -> None:
    """Above the columns, which levers they follow."""
    for first, last, text in ((NPV, DIFFERENCE, _LIVE), (BOUND, TOTAL + len(view.years), _VALUES)):
        page.band(HEAD - 1, first, last, "group")
        page.put(HEAD - 1, first, text, "group")


_FOOT = (
    "Firm: purchases and commitments, owed once signed. Peak cash: most that is ever out. "
    "Lowest possible: no fleet of the kind costs less."
)


def _head(page: Page, view: View) -> None:
    page.put(HEAD, LABEL, "Option", "head")
    page.put(HEAD, SERVES, "Serves", "head unit")
    page.row(
        HEAD, NPV,
        ("Net present cost", "Above the plan", "Lowest possible", "Capex", "Firm", "Firm share",
         "Peak cash", "Cash out", *view.years),
        "head right",
    )  # fmt: skip
    page.sheet.row_dimensions[HEAD].height = 28


def _words(page: Page, plan: Plan, row: int, widths: Sequence[float]) -> int:
    """What each option needs, or why it cannot; returns the next free row."""
    last = len(widths)
    page.band(row, LABEL, last, "group")
    page.put(row, LABEL, "What it needs, or why it cannot", "group")
    for number, option in enumerate(plan.options, row + 1):
        text = said(plan, option)
        page.put(number, LABEL, option.title)
        page.put(number, SERVES, text, "wrap")
        page.sheet.merge_cells(
            start_row=number, end_row=number, start_column=SERVES, end_column=last
        )
        page.fit_height(number, ((text, sum(widths[1:])),))
    return row + 1 + len(plan.options)


def said(plan: Plan, option: OptionRow) -> str:
    """What an option needs, or why it cannot."""
    periods = [period.label for period in plan.periods]
    texts = [*option.reasons, *needs(option.fleet, option.apis, periods)]
    return "; ".join(texts)


@dataclass(frozen=True)
class _Money:
    """One option's row."""

    page: Page
    row: int
    scenarios: ScenariosSheet
    number: int
    costs: CostsSheet
    annual: AnnualSheet

    @property
    def figures(self) -> OptionFigures:
        return self.scenarios.figures[self.number]

    def write(self) -> None:
        scale, style = self.annual.scale, self.annual.scale.number_format
        figures, plan = self.figures, self.scenarios.figures[0]
        npv = npv_formula(self.scenarios, self.number, self.costs)
        self.formula(NPV, f"={npv}/{scale.name}", figures.npv_usd)
        if figures.row.equal_service:
            own, first = get_column_letter(NPV), HEAD + 1
            formula = f"={own}{self.row}-{own}${first}"
            self.formula(DIFFERENCE, formula, figures.npv_usd - plan.npv_usd, look="calculation")
        else:
            self.page.put(self.row, DIFFERENCE, "serves less", "text right")
        bound = figures.row.bound_usd
        for column, value in (
            (BOUND, bound if bound is not None else float("nan")),
            (CAPEX, figures.capex_usd),
            (FIRM, figures.firm_usd),
            (PEAK, figures.peak_usd),
        ):
            known = math.isfinite(value)
            self.page.put(
                self.row, column, value / scale.usd if known else "n/a",
                "solved" if known else "text right", style,
            )  # fmt: skip
        self.page.put(self.row, FIRM_FRAC, figures.firm_frac, "solved", PERCENT)
        self._years()

    def _years(self) -> None:
        scale, years = self.annual.scale, self.figures.cash_usd_by_year
        first = get_column_letter(YEARS)
        last = get_column_letter(YEARS + len(years) - 1)
        self.formula(
            TOTAL, f"=SUM({first}{self.row}:{last}{self.row})", sum(years.values()),
            look="calculation",
        )  # fmt: skip
        labels, cash = self.scenarios.span(YEAR_ROW), self.scenarios.cash(self.number)
        for column, value in enumerate(years.values(), YEARS):
            letter = get_column_letter(column)
            self.formula(column, f"=SUMIFS({cash},{labels},{letter}${HEAD})/{scale.name}", value)

    def formula(self, column: int, formula: str, usd: float, look: str = "link") -> None:
        scale = self.annual.scale
        self.page.formula(
            self.row, column, formula, usd / scale.usd, look, number_format=scale.number_format
        )


def npv_formula(scenarios: ScenariosSheet, number: int, costs: CostsSheet) -> str:
    """Stored cash of an option at the discount rate and tail value of the inputs, no = before."""
    factor, counted = (
        f"{costs.title}!{costs.grid.span(costs.grid.rows[key])}"
        for key in ("discount_factor", "counted")
    )
    return f"SUMPRODUCT({scenarios.cash(number)},{factor},{counted})"


def options_chart(
    plan: Plan, sheet: OptionsSheet, scenarios: ScenariosSheet, annual: AnnualSheet
) -> object:
    """Bars of net present cost; the rows between are those without money."""
    first = min(sheet.rows.values())
    values = {figures.row.name: figures.npv_usd / annual.scale.usd for figures in scenarios.figures}
    names = [row.title for row in plan.options]
    amounts = np.array([values.get(row.name, 0.0) for row in plan.options])
    return bars(
        f"Net present cost, {annual.scale.unit}, by option",
        Band(sheet.title, first, LABEL, LABEL, names, down=True),
        [("Net present cost", Band(sheet.title, first, NPV, NPV, amounts.tolist(), down=True))],
    )
