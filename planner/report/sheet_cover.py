"""Sheet Cover: what this workbook is, whether it holds, and where to look."""

from __future__ import annotations

from openpyxl.worksheet.hyperlink import Hyperlink

from planner.report.flags import GOOD_FLAG, mark_flag
from planner.report.page import Book, Page
from planner.report.sheet_checks import AS_SOLVED, ChecksSheet
from planner.report.style import COUNT, NAVY
from planner.report.words import gap_text, tax_text, verified_text
from planner.result import Plan

SHEETS = {
    "Decision": "The ask, what it costs, what it binds, where to sign: one page",
    "Detail": "Behind the decision: machines, unit costs, error, charts, limits, notes",
    "Options": "The same demand served in one way only, or not at all: what the plan saves",
    "Inputs": "Every number behind the costs, with source; change blue cells",
    "Scenarios": "The switch: which option's solved quantities drive Costs and Cash",
    "Demand": "Planned demand against capacity by block, with factors to change it",
    "Fleet": "Machines, replicas and traffic by period, as solved",
    "Sizing trail": "Thirteen steps from traffic to cost, class by class",
    "Latency": "Latency against throughput, with the promise and the planned point",
    "Verification": "Every promise in simulation, load by load, and hours with failures",
    "Costs": "The ledger by month: quantities, prices, cash",
    "Cash": "Cash by category and month, present value",
    "Annual": "Cash by fiscal year",
    "P&L": "Profit and loss by fiscal year and line, beside cash",
    "P&L months": "Profit and loss by month, reconciled with cash",
    "Assets": "Register of machines: cost, book and tax value by fiscal year",
    "Commitments": "What is signed, still owed and cannot be cancelled; coverage; leases",
    "Tax": "Deductions, rates, conventions, tax saved by fiscal year",
    "Balances": "Tokens against demand, power against limits, the FOCUS export against cash",
    "Metrics": "Unit costs, peak cash, and rates of return of what the plan saves",
    "Sensitivity": "One driver at a time on the same fleet, and break-even values",
    "Candidates": "Every serving configuration, or why it cannot serve",
    "Sources": "Where each figure comes from, and how old it is",
    "Checks": "What must hold, rolled up to one flag",
}
"""Sheets in the order in which they stand, and what each holds; Verification where there is one."""

_COLOURS = (
    ("input", "input: change it and all costs follow"),
    ("solved", "optimizer result: a value; solve again to change it"),
    ("calculation", "formula of its own sheet"),
    ("link", "formula that reads another sheet"),
)
_SAMPLE = 1234


def write_cover(book: Book, plan: Plan, checks: ChecksSheet) -> None:
    """Write the sheet."""
    page = book.page("Cover", widths=(2, 22, 84), tab=NAVY)
    sheet = page.sheet
    sheet.sheet_view.showGridLines = False
    scenario = plan.scenario
    page.put(2, 2, str(scenario.get("title", scenario.get("name", "Plan"))), "display")
    sheet.row_dimensions[2].height = 32
    page.put(3, 2, "LLM inference fleet plan and total cost of ownership", "subtitle")
    page.formula(5, 2, f"={checks.flag}", checks.flag_text, "label bold")
    page.formula(5, 3, f"={checks.state}", AS_SOLVED, "unit")
    mark_flag(page, "B5", GOOD_FLAG)
    facts = (
        ("Scenario", str(scenario.get("name", ""))),
        ("Question", str(scenario.get("description", "")).strip()),
        ("Horizon", f"{plan.periods[0].label} to {plan.periods[-1].label}"),
        ("Result", gap_text(plan)),
        ("Costs", f"{tax_text(plan)}; sheet Decision gives the ask, Checks says what must hold"),
        ("Promises", verified_text(plan)),
        ("Solved", f"{plan.created_at} by inference-fleet-planner {plan.tool_version}"),
        ("Scenario SHA-256", plan.scenario_sha256),
    )
    for row, (label, text) in enumerate(facts, 7):
        page.put(row, 2, label, "muted")
        page.put(row, 3, text, "wrap")
        sheet.row_dimensions[row].height = 15 * max(1, -(-len(text) // 95))
    _map(page, row=7 + len(facts) + 1)
    page.print_setup(one_page=True, portrait=True)


def _map(page: Page, row: int) -> None:
    """Sheets, colours, how to read: three lists downwards from `row`."""
    _section(page, row, "Sheets")
    held = {title: text for title, text in SHEETS.items() if title in page.book.workbook.sheetnames}
    for number, (title, purpose) in enumerate(held.items(), row + 1):
        address = page.sheet.cell(number, 2).coordinate
        page.sheet.cell(number, 2).hyperlink = Hyperlink(address, location=f"'{title}'!A1")
        page.put(number, 2, title, "hyperlink")
        page.put(number, 3, purpose, "wrap")
    row += len(held) + 2
    _section(page, row, "Colours")
    for number, (look, meaning) in enumerate(_COLOURS, row + 1):
        page.put(number, 2, _SAMPLE, look, COUNT)
        page.put(number, 3, meaning, "wrap")
    row += len(_COLOURS) + 2
    _section(page, row, "Reading")
    for number, text in enumerate(_READING, row + 1):
        page.put(number, 2, text)


def _section(page: Page, row: int, title: str) -> None:
    page.band(row, 2, 3, "section")
    page.put(row, 2, title, "section")


_READING = (
    "Cost is positive. Money is nominal USD; tables in thousands or millions say so.",
    "Every value is stored beside its formula, so previews show it; the file recalculates on load.",
    "Costs follow the inputs. The fleet does not: after a large change, solve again.",
)
