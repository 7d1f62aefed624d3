"""The workbook: optimizer results as values, everything after them as live formulas."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from planner.files.output import atomic_path
from planner.report.checks import Parts
from planner.report.ledger_view import view
from planner.report.option_figures import OptionFigures, option_figures
from planner.report.page import Book, clean
from planner.report.plain_labels import in_words, names_of
from planner.report.sheet_annual import write_annual
from planner.report.sheet_assets import write_assets
from planner.report.sheet_balances import write_balances
from planner.report.sheet_cash import write_cash
from planner.report.sheet_checks import write_checks
from planner.report.sheet_commitments import write_commitments
from planner.report.sheet_costs import months_paid, write_costs
from planner.report.sheet_cover import SHEETS, write_cover
from planner.report.sheet_decision import write_decision
from planner.report.sheet_demand import write_demand
from planner.report.sheet_detail import write_detail
from planner.report.sheet_fleet import write_fleet
from planner.report.sheet_inputs import write_inputs
from planner.report.sheet_latency import write_latency
from planner.report.sheet_metrics import write_metrics
from planner.report.sheet_options import write_options
from planner.report.sheet_pnl import write_profit
from planner.report.sheet_scenarios import shows_plan, write_scenarios
from planner.report.sheet_sensitivity import write_sensitivity
from planner.report.sheet_tables import write_candidates, write_sources, write_trail
from planner.report.sheet_tax import write_tax
from planner.report.sheet_verification import write_verification
from planner.result import Plan

FUNCTIONS = frozenset(
    {
        "ABS", "AND", "CHOOSE", "IF", "INDEX", "IRR", "MAX", "MIN", "MIRR", "OR", "SUM", "SUMIFS",
        "SUMPRODUCT",
    }
)  # fmt: skip
"""Functions that formulas may use: the same in Excel since 2010, LibreOffice and Google Sheets."""


def write_workbook(plan: Plan, path: Path) -> None:
    """Write the plan's workbook; an existing file is replaced only by a complete one."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(workbook_bytes(plan))


def workbook_bytes(plan: Plan) -> bytes:
    """The workbook file."""
    book = Book()
    parts = write_parts(book, plan)
    write_metrics(book, parts)
    checks = write_checks(book, parts)
    write_decision(book, parts, checks)
    write_detail(book, parts)
    write_trail(book, plan)
    write_latency(book, plan)
    write_verification(book, plan)
    write_candidates(book, plan)
    write_sources(book, plan)
    write_cover(book, plan, checks)
    _finish(book, plan)
    return book.to_bytes()


def write_parts(book: Book, plan: Plan) -> Parts:
    """Write the sheets that the others read."""
    names = names_of(plan)
    seen = in_words(view(plan), names)
    inputs = write_inputs(book, seen)
    figures = [
        OptionFigures(one.row, in_words(one.view, names)) for one in option_figures(plan)
    ] or [OptionFigures(plan.as_option(), seen)]
    scenarios = write_scenarios(book, seen, figures)
    chosen = {key: scenarios.chosen(key) for key in scenarios.blocks} if scenarios else {}
    printed = months_paid(figure.view for figure in figures)
    costs = write_costs(book, seen, inputs.addresses, chosen, printed_months=printed)
    cash = write_cash(book, seen, costs)
    annual = write_annual(book, seen, cash)
    profit = write_profit(book, seen, costs, cash, annual)
    shown = shows_plan(scenarios)
    assets = write_assets(book, seen, costs, inputs.addresses, shown)
    commitments = write_commitments(
        book, plan, seen, costs, cash, inputs=inputs.addresses, shown=shown
    )
    tax = write_tax(book, seen, costs, profit, annual, inputs=inputs.addresses)
    fleet = write_fleet(book, plan)
    demand = write_demand(book, plan)
    options = write_options(book, plan, scenarios, costs, annual, changed=inputs.changed)
    balances = write_balances(
        book,
        plan,
        seen,
        inputs=inputs.addresses,
        costs=costs,
        cash=cash,
        profit=profit,
        fleet=fleet,
    )
    sensitivity = write_sensitivity(book, figures, costs, cash, annual)
    return Parts(
        plan,
        seen,
        inputs,
        costs,
        cash,
        annual,
        fleet,
        profit,
        scenarios,
        options,
        sensitivity,
        demand,
        assets,
        commitments,
        tax,
        balances,
    )


def _finish(book: Book, plan: Plan) -> None:
    """Reading order, properties, recalculation on load."""
    workbook = book.workbook
    order = [title for title in ("Cover", *SHEETS) if title in workbook.sheetnames]
    for wanted, title in enumerate(order):
        workbook.move_sheet(title, wanted - workbook.sheetnames.index(title))
    workbook.active = 0
    for sheet in workbook.worksheets:
        sheet.sheet_view.tabSelected = sheet.title == "Cover"
    workbook.calculation.fullCalcOnLoad = True
    workbook.properties.title = clean(str(plan.scenario.get("title", "")))
    workbook.properties.creator = f"inference-fleet-planner {plan.tool_version}"
    workbook.properties.created = datetime.fromisoformat(plan.created_at).replace(tzinfo=None)
