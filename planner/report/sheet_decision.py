"""Sheet Decision: the ask, what it costs, what it binds, and where to sign, on one printed page."""

from __future__ import annotations

import numpy as np
from openpyxl.utils import get_column_letter

from planner.report import decision_parts
from planner.report.charts import Band, lines, place
from planner.report.checks import Parts
from planner.report.flags import GOOD_FLAG, mark_flag
from planner.report.ledger_view import CAPEX, View
from planner.report.page import Book
from planner.report.paper import FIRST, LABEL, LARGER, UNIT, Paper, widths
from planner.report.sheet_annual import FIRST as ANNUAL_FIRST
from planner.report.sheet_annual import TOTAL as ANNUAL_TOTAL
from planner.report.sheet_annual import AnnualSheet, cost_chart
from planner.report.sheet_cash import NPV_NAME, CashSheet
from planner.report.sheet_checks import AS_SOLVED, ChecksSheet
from planner.report.sheet_costs import FIRST as MONTHS_FIRST
from planner.report.sheet_costs import MONTH_ROW
from planner.report.style import NAVY
from planner.report.words import asks, gap_text, plural, promise_text, quality_of_data, tax_text

ASKS_MOST, NOTES_MOST = 8, 2
"""Lines on the page; sheet Detail has all."""
_CHART_ROWS = 12
_MARGINS = 0.4, 0.5
"""Top and bottom, in inches."""


def write_decision(book: Book, parts: Parts, checks: ChecksSheet) -> None:
    """Write the sheet."""
    of_columns = widths(parts.view)
    page = book.page("Decision", widths=of_columns, tab=NAVY, larger=LARGER)
    page.sheet.sheet_view.showGridLines = False
    paper = Paper(page, parts.plan, parts.view, parts.annual, of_columns)
    _title(paper, checks)
    _tiles(paper, parts.cash)
    paper.gap(4)
    row = _ask(paper, paper.gap(8))
    row = _costs(paper, paper.gap(row))
    row = decision_parts.options(paper, parts, paper.gap(row))
    row = decision_parts.breaks(paper, parts, paper.gap(row))
    row = _charts(paper, parts, paper.gap(row))
    row = _known(paper, row)
    decision_parts.approval(paper, paper.gap(row))
    paper.finish()
    page.print_setup(one_page=True, portrait=True)
    page.sheet.page_margins.top, page.sheet.page_margins.bottom = _MARGINS


def _title(paper: Paper, checks: ChecksSheet) -> None:
    page, plan = paper.page, paper.plan
    page.put(1, LABEL, str(plan.scenario.get("title", plan.scenario.get("name", "Plan"))), "title")
    page.sheet.row_dimensions[1].height = 26
    first, last = plan.periods[0], plan.periods[-1]
    said = f"; {promise_text(plan.verification)}" if plan.verification is not None else ""
    page.put(
        2, LABEL,
        f"Fleet decision {first.label} to {last.label}, {gap_text(plan)}; "
        f"solved {plan.created_at[:10]}{said}",
        "subtitle",
    )  # fmt: skip
    page.formula(3, LABEL, f"={checks.flag}", checks.flag_text, "label bold")
    mark_flag(page, "A3", GOOD_FLAG)
    page.formula(3, UNIT, f"={checks.state}", AS_SOLVED, "text")


def _tiles(paper: Paper, cash: CashSheet) -> None:
    """Key figures; each tile is two columns wide."""
    view, scale = paper.view, paper.annual.scale
    firm = float(view.firm_usd.sum())
    capex = float(view.category_usd(CAPEX).sum())
    capex_total = cash.total(cash.categories[CAPEX]) if CAPEX in cash.categories else "0"
    tiles = [
        ("Net present cost", NPV_NAME, view.npv_usd, f"{tax_text(paper.plan)}, discounted"),
        (
            "Cash out", cash.total(cash.total_row), float(view.cash_usd.sum()),
            "undiscounted, all years",
        ),
        ("of it purchases", capex_total, capex, "capex, all orders"),
        (
            "of it firm once signed", cash.total(cash.firm_row), firm,
            "purchases, contracts: not cancellable",
        ),
    ]  # fmt: skip
    spans = ((1, 1), (2, 3), (4, 5), (6, paper.last))
    for (label, source, value, note), (left, right) in zip(tiles, spans, strict=True):
        page = paper.page
        for row, look in ((5, "tile label"), (6, "tile"), (7, "tile note")):
            page.band(row, left, right, look)
            if right > left:
                page.sheet.merge_cells(
                    start_row=row, end_row=row, start_column=left, end_column=right
                )
        page.put(5, left, f"{label}, {scale.unit}", "tile label")
        page.formula(
            6,
            left,
            f"={source}/{scale.name}",
            value / scale.usd,
            "tile",
            number_format=scale.number_format,
        )
        page.put(7, left, note, "tile note")
    paper.page.sheet.row_dimensions[6].height = 24


def _ask(paper: Paper, row: int) -> int:
    """What is to be approved; the next free row."""
    paper.section(row, "The ask")
    clauses = asks(paper.plan) or ["No fleet is needed: there is no demand"]
    for clause in clauses[:ASKS_MOST]:
        row = paper.text(row + 1, f"•  {clause[0].upper()}{clause[1:]}", "ask") - 1
    if len(clauses) > ASKS_MOST:
        more = f"•  And {plural(len(clauses) - ASKS_MOST, 'more line')}: see sheet Detail"
        row = paper.text(row + 1, more, "ask") - 1
    return row + 1


def _costs(paper: Paper, row: int) -> int:
    """Purchases, other cash, total, what of it is firm, and present value by fiscal year."""
    page, view, annual = paper.page, paper.view, paper.annual
    years, scale = view.years, annual.scale
    paper.section(row, "When the cash goes out")
    paper.head(row + 1, "By fiscal year", (*years, "Total"))
    capex = view.category_usd(CAPEX)
    table = [
        ("Purchases (capex)", capex, annual.rows.get(CAPEX), False),
        ("Running cost, less end value", view.cash_usd - capex, None, False),
        ("Cash out", view.cash_usd, annual.total_row, True),
        ("of it firm once signed", view.firm_usd, annual.firm_row, False),
        ("Present value of cash out", view.cash_usd * view.weight, annual.pv_row, False),
    ]
    for number, (label, values, source, total) in enumerate(table, row + 2):
        page.put(number, LABEL, label, "label total" if total else "label")
        page.put(number, UNIT, scale.unit, "unit total" if total else "unit")
        amounts = (view.by_year(values) / scale.usd).tolist()
        columns = [*range(ANNUAL_FIRST, ANNUAL_FIRST + len(years)), ANNUAL_TOTAL]
        for offset, (column, value) in enumerate(
            zip(columns, (*amounts, sum(amounts)), strict=True)
        ):
            here = get_column_letter(FIRST + offset)
            formula = f"={annual.cell(source, column)}" if source else "=0"
            if label.startswith("Running"):
                formula = f"={here}{row + 4}-{here}{row + 2}"
            look = "link total" if total else "link" if source else "calculation"
            page.formula(
                number, FIRST + offset, formula, value, look, number_format=scale.number_format
            )
    return row + 2 + len(table)


def _charts(paper: Paper, parts: Parts, row: int) -> int:
    """Cost by year beside cash so far; the next free row."""
    half = paper.width / 2
    charts = (
        cost_chart(parts.view, parts.annual),
        cumulative_chart(parts.view, parts.cash, parts.annual),
    )
    for number, chart in enumerate(charts):
        place(
            paper.page, chart, row, left=half * number, width=half - 1, height=_CHART_ROWS - 1,
        )  # fmt: skip
    return row + _CHART_ROWS


def cumulative_chart(view: View, cash: CashSheet, annual: AnnualSheet) -> object:
    """Cash out so far, undiscounted and discounted."""
    months = [day.strftime("%b %y") for day in view.dates]
    axis = Band(cash.title, MONTH_ROW, MONTHS_FIRST, cash.last_column, months)
    present = view.cash_usd * view.weight
    return lines(
        f"Cash out so far, {annual.scale.unit}",
        axis,
        [
            ("Undiscounted", _row(cash, cash.cumulative_row, view.cash_usd)),
            ("Present value", _row(cash, cash.cumulative_pv_row, present)),
        ],
        number_format="#,##0.0,," if annual.scale.name == "Million" else "#,##0,",
    )


def _row(cash: CashSheet, row: int, flow: np.ndarray) -> Band:
    return Band(cash.title, row, MONTHS_FIRST, cash.last_column, np.cumsum(flow).tolist())


def _known(paper: Paper, row: int) -> int:
    """Where figures come from, how good they are, and the first notes; the next free row."""
    plan = paper.plan
    paper.section(row, "What to know")
    row += 1
    for warning in quality_of_data(plan):
        row = paper.text(row, f"•  {warning[0].upper()}{warning[1:]}", "warning")
    for note in plan.notes[:NOTES_MOST]:
        row = paper.text(row, f"•  {note}", "wrap")
    return paper.text(
        row,
        f"•  Where each figure comes from: sheets Inputs and Sources ({len(plan.sources):,} "
        "figures with date and basis). Owed month by month: Commitments. Limits and all notes: "
        "Detail.",
        "wrap",
    )
