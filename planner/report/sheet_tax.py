"""Sheet Tax: deductions, conventions and tax saved by fiscal year, where tax is planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from openpyxl.utils import get_column_letter

from planner.finance.depreciation import MID_QUARTER_LIMIT_FRAC
from planner.finance.tax import DEDUCTIONS, TAX_YEARS
from planner.report.input_limits import SHARE, limit_cells
from planner.report.ledger_view import TAX, View
from planner.report.page import Book
from planner.report.profit import of_part
from planner.report.sheet_annual import HEAD, AnnualSheet
from planner.report.sheet_costs import YEAR_ROW, CostsSheet
from planner.report.sheet_pnl import ProfitSheet
from planner.report.style import COUNT, PERCENT, TEXT
from planner.report.tax_deferred import DeferredSheet, write_deferred
from planner.report.tax_part import TaxPart
from planner.report.yearly import LABEL, TOTAL, UNIT, Yearly, ledger_at, ledger_span

TITLE = "Tax"
QUARTERS = (1, 2, 3, 4)
STATE = "state deductions"
_NOTE = (
    "{unit} unless the unit column says otherwise. Saved tax is positive here, and a negative cost "
    "on Costs and Cash."
)
_YEARS_UPRIGHT = 4
"""Columns of years that a page in portrait holds in readable size."""
_HALF, _MID = "half-year", "mid-quarter"


@dataclass(frozen=True)
class TaxSheet:
    """Where the tax saved stands, in the display unit, and its value at the solve."""

    saved: str
    saved_usd: float
    paid_in_costs: str
    """Formula: tax of sheet Costs [USD], a saving negative."""
    deferred: DeferredSheet | None = None
    """None where books and tax see everything alike."""


def write_tax(
    book: Book, view: View, costs: CostsSheet, profit: ProfitSheet, annual: AnnualSheet, *,
    inputs: Mapping[str, str],
) -> TaxSheet | None:  # fmt: skip
    """Write the sheet; None where no tax is planned."""
    paid = [line.key for line in view.lines if line.kind == "cash" and line.category == TAX]
    if not paid:
        return None
    page = book.page(TITLE, widths=(52, 13, 12, *[12] * len(view.years)))
    page.heading("Income tax by fiscal year", _NOTE.format(unit=annual.scale.unit))
    writer = Yearly(page, view.years, HEAD)
    sheet = TaxPart(view, costs, profit, annual, inputs, writer)
    writer.head("Income tax")
    federal = _deductions(sheet)
    if "losses_carried" in inputs:
        saved, rate = _company(sheet, federal), 0
    else:
        saved, rate = _settled(sheet, federal)
    cost = _effective(sheet, saved, paid)
    later = write_deferred(sheet, saved=saved, cost=cost, rate=rate)
    if "tax_table" in view.values:
        _convention(sheet)
        _shares(sheet)
    page.freeze(HEAD + 1, TOTAL)
    page.print_setup(titles=f"{HEAD}:{HEAD}", portrait=len(view.years) <= _YEARS_UPRIGHT)
    return TaxSheet(
        saved=page.address(saved, TOTAL),
        saved_usd=-float(sum(view.values[key].sum() for key in paid)),
        paid_in_costs="+".join(f"SUM({ledger_span(costs, key)})" for key in paid),
        deferred=later,
    )


def _deductions(sheet: TaxPart) -> int:
    """What options deduct from federal income, by kind; the row of their sum."""
    writer = sheet.writer
    deducted = [line.key for line in sheet.lines(DEDUCTIONS)]
    written = [x.key for x in sheet.lines("depreciation") if "_federal_" in x.key]
    writer.group("Deducted, federal")
    total = writer.row + (2 if written else 0)
    if written:
        own = sheet.ledger("Tax depreciation of machines", written)
        rest = (sheet.sums(deducted) - sheet.sums(written)).tolist()
        sheet.by_year(
            "Costs paid, prepayments used up, basis left less end value",
            f"={{c}}{total}-{{c}}{own}", rest,
        )  # fmt: skip
    return sheet.ledger("Deducted from federal income", deducted, "link total")


def _settled(sheet: TaxPart, federal: int) -> tuple[int, int]:
    """Every deduction finds income in its year; rows of the tax saved and of the rate."""
    writer, inputs = sheet.writer, sheet.inputs
    state = [line.key for line in sheet.lines(STATE)]
    alone = {x.group for x in sheet.lines(STATE)}
    same = [x.key for x in sheet.lines(DEDUCTIONS) if x.group not in alone]
    by_state = sheet.ledger("Deducted from state income", [*same, *state], "link total")
    rate, state_rate = sheet.value("tax_rate"), sheet.value("state_tax_rate")
    net = state_rate * (1 - rate)
    years = len(writer.labels)
    writer.row += 1
    writer.group("Rates")
    rows = (
        ("Federal rate", f"={inputs['tax_rate']}", rate),
        ("State rate", f"={inputs['state_tax_rate']}", state_rate),
        (
            "State rate, less what it saves in federal tax",
            f"={inputs['state_tax_rate']}*(1-{inputs['tax_rate']})", net,
        ),
        ("Both together", "={c}" f"{writer.row}" "+{c}" f"{writer.row + 2}", rate + net),
    )  # fmt: skip
    first = writer.row
    for label, formula, value in rows:
        writer.write(label, "frac", formula, [value] * years, style=PERCENT)
    writer.row += 1
    writer.group("Saved")
    deducted = [x.key for x in sheet.lines(DEDUCTIONS)]
    of_federal = (sheet.sums(deducted) * rate).tolist()
    of_state = (sheet.sums([*same, *state]) * net).tolist()
    one = sheet.by_year("Federal tax saved", f"={{c}}{federal}*{{c}}{first}", of_federal)
    two = sheet.by_year("State tax saved, net", f"={{c}}{by_state}*{{c}}{first + 2}", of_state)
    total = [a + b for a, b in zip(of_federal, of_state, strict=True)]
    return sheet.by_year("Tax saved", f"={{c}}{one}+{{c}}{two}", total, "total"), first + 3


def _company(sheet: TaxPart, federal: int) -> int:
    """Deductions beyond the company's other income wait or are lost; the row of the tax saved."""
    writer, view, costs = sheet.writer, sheet.view, sheet.costs
    scale, rate = sheet.annual.scale, sheet.value("tax_rate")
    name = scale.name
    writer.row += 1
    writer.group("Used against the company's other income")
    years = f"{costs.title}!{costs.grid.span(YEAR_ROW)}"
    income = view.by_year(np.full(view.months, sheet.value("other_income_usd_per_year") / 12))
    months = f"SUMPRODUCT(({years}={{c}}${HEAD})*1)"
    sheet.by_year(
        "Other income", f"={sheet.inputs['other_income_usd_per_year']}*{months}/12/{name}",
        income.tolist(),
    )  # fmt: skip
    state = _company_state(sheet) if "company_state_used_usd" in view.values else 0
    used = sheet.ledger("Deductions used", ["company_used_usd"])
    wait = view.at_year_end(np.broadcast_to(view.values["company_losses_usd"], view.months))
    carried = sheet.value("losses_carried")
    ends = sheet.month_ends()
    writer.write(
        "Losses carried forward at year end (lost after the horizon)", scale.unit,
        f"={sheet.inputs['losses_carried']}"
        f"*{ledger_at(costs, 'company_losses_usd', f'{{c}}{ends}')}/{name}",
        (carried * wait / scale.usd).tolist(), style=scale.number_format,
    )  # fmt: skip
    writer.row += 1
    writer.group("Saved")
    rates = writer.write(
        "Federal rate", "frac", f"={sheet.inputs['tax_rate']}", [rate] * len(writer.labels),
        style=PERCENT,
    )  # fmt: skip
    saved = sheet.sums(["company_used_usd"]) * rate
    formula = f"={{c}}{used}*{{c}}{rates}"
    if state:
        net = sheet.value("state_tax_rate") * (1 - rate)
        nets = writer.write(
            "State rate, less what it saves in federal tax", "frac",
            f"={sheet.inputs['state_tax_rate']}*(1-{sheet.inputs['tax_rate']})",
            [net] * len(writer.labels), style=PERCENT,
        )  # fmt: skip
        saved = saved + sheet.sums(["company_state_used_usd"]) * net
        formula += f"+{{c}}{state}*{{c}}{nets}"
    return sheet.by_year("Tax saved", formula, saved.tolist(), "total")


def _company_state(sheet: TaxPart) -> int:
    """Deductions made and used in the state; the second one's row."""
    sheet.ledger("Deducted from state income", ["company_state_deducted_usd"])
    return sheet.ledger("Deductions used in the state", ["company_state_used_usd"])


def _effective(sheet: TaxPart, saved: int, paid: Sequence[str]) -> int:
    """Tax against cost before tax, and against sheet Costs; the row of the cost."""
    writer, view, profit = sheet.writer, sheet.view, sheet.profit
    scale = sheet.annual.scale
    tax = -sheet.sums(paid)
    formula = f"=-({writer.of_label(sheet.costs, paid)})/{scale.name}"
    sheet.by_year("of sheet Costs", formula, tax.tolist(), "link")
    before = view.by_year(of_part(view, "operating", "spread"))
    years = profit.span(YEAR_ROW)
    formula = f"=SUMIFS({profit.span(profit.before_tax)},{years},{{c}}${HEAD})/{scale.name}"
    cost = sheet.by_year("Cost before tax, of sheet P&L", formula, before.tolist(), "link")
    part = [t / c if c else 0.0 for t, c in zip(tax, before, strict=True)]
    all_of_it = float(tax.sum() / before.sum()) if before.sum() else 0.0
    letter = get_column_letter(TOTAL)
    writer.write(
        "Effective rate: tax saved of cost before tax", "frac",
        f"=IF({{c}}{cost}=0,0,{{c}}{saved}/{{c}}{cost})", part, style=PERCENT, look="calculation",
        total=f"=IF({letter}{cost}=0,0,{letter}{saved}/{letter}{cost})", total_value=all_of_it,
    )  # fmt: skip
    return cost


def _convention(sheet: TaxPart) -> None:
    """Purchases placed in service by quarter, the 40 % test, and what the plan used."""
    placed = [line.key for line in sheet.lines("placed in service", "calculation")]
    if not placed:
        return
    writer, view, costs = sheet.writer, sheet.view, sheet.costs
    scale = sheet.annual.scale
    writer.row += 1
    writer.group("First-year convention: purchases placed in service by fiscal quarter")
    by_month = np.sum([view.values[key] for key in placed], axis=0)
    quarter, first = view.values["fiscal_quarter"], writer.row
    years, quarters = (
        f"{costs.title}!{costs.grid.span(YEAR_ROW)}",
        ledger_span(costs, "fiscal_quarter"),
    )
    for number in QUARTERS:
        writer.page.put(writer.row, TOTAL, number, "muted", COUNT)
        cell = f"${get_column_letter(TOTAL)}{writer.row}"
        terms = "+".join(
            f"SUMIFS({ledger_span(costs, key)},{years},{{c}}${HEAD},{quarters},{cell})"
            for key in placed
        )
        usd = view.by_year(np.where(quarter == number, by_month, 0.0))
        writer.write(
            f"Quarter {number}", scale.unit, f"=({terms})/{scale.name}",
            (usd / scale.usd).tolist(), style=scale.number_format,
        )  # fmt: skip
    last = view.by_year(np.where(quarter == QUARTERS[-1], by_month, 0.0))
    every = view.by_year(by_month)
    share = [a / b if b else 0.0 for a, b in zip(last, every, strict=True)]
    shares = writer.write(
        "Share of the last quarter", "frac",
        f"=IF(SUM({{c}}{first}:{{c}}{first + 3})=0,0,"
        f"{{c}}{first + 3}/SUM({{c}}{first}:{{c}}{first + 3}))",
        share, style=PERCENT, look="calculation",
    )  # fmt: skip
    _limit(sheet, shares, share)


def _limit(sheet: TaxPart, shares: int, share: Sequence[float]) -> None:
    writer, view, costs, page = sheet.writer, sheet.view, sheet.costs, sheet.writer.page
    page.put(writer.row, LABEL, "Above this, US law asks for mid-quarter (26 U.S.C. 168(d)(3))")
    page.put(writer.row, UNIT, "frac", "unit")
    page.put(writer.row, TOTAL, MID_QUARTER_LIMIT_FRAC, "input", PERCENT)
    limit = f"${get_column_letter(TOTAL)}${writer.row}"
    limit_cells(page, [limit], SHARE)
    writer.row += 1
    asked = [_MID if x > MID_QUARTER_LIMIT_FRAC else _HALF for x in share]
    tested = writer.write(
        "Convention that the test asks for", "name",
        f'=IF({{c}}{shares}>{limit},"{_MID}","{_HALF}")', asked, style=TEXT, look="text right",
    )  # fmt: skip
    flags = np.broadcast_to(view.values["mid_quarter_used"], view.months)
    used = [_MID if flags[view.in_year(year)].any() else _HALF for year in writer.labels]
    row = ledger_span(costs, "mid_quarter_used")
    years = f"{costs.title}!{costs.grid.span(YEAR_ROW)}"
    chosen = writer.write(
        "Convention used, as the scenario or the solved purchases ask", "name",
        f'=IF(SUMIFS({row},{years},{{c}}${HEAD})>0,"{_MID}","{_HALF}")', used, style=TEXT,
        look="text right",
    )  # fmt: skip
    same = ["yes" if a == b else "no" for a, b in zip(asked, used, strict=True)]
    writer.write(
        "The same (no: stated otherwise, or inputs changed)", "flag",
        f'=IF({{c}}{tested}={{c}}{chosen},"yes","no")', same, style=TEXT, look="text right",
    )  # fmt: skip


def _shares(sheet: TaxPart) -> None:
    """Share of a purchase deducted in each tax year, of what enters service at a year's start."""
    writer, view = sheet.writer, sheet.view
    placed = [line.key for line in sheet.lines("placed in service", "calculation")]
    if not placed:
        return
    writer.row += 1
    writer.group("Method: share of a purchase deducted, of what enters service in the year's "
                 "last month")  # fmt: skip
    end, ends = sheet.month_numbers(), sheet.month_ends()
    for year in range(1, TAX_YEARS + 1):
        key = f"placed_share_{year}"
        values = [float(view.values[key][int(month) - 1]) for month in end]
        writer.write(
            f"Tax year {year}", "frac", f"={ledger_at(sheet.costs, key, f'{{c}}${ends}')}", values,
            style=PERCENT,
        )  # fmt: skip
