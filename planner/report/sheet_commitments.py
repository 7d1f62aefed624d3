"""Sheet Commitments: what is signed, what of it is still owed when, its use, and leases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.pagebreak import Break

from planner.report.charts import Band, stacked_columns
from planner.report.charts import place as place_chart
from planner.report.commitments_lease import LeaseTotal, write_leases
from planner.report.commitments_part import (
    END,
    END_MONTH,
    EXPIRY,
    GPU_RATE,
    LOTS,
    MONTHLY,
    RATE,
    START,
    START_MONTH,
    TERM,
    TITLE,
    UPFRONT,
    USD_FORMAT,
    VALUE,
    CommitmentsPart,
    label,
)
from planner.report.commitments_use import write_uses
from planner.report.contracts import (
    Contract,
    contracts,
    term_input,
    upfront_input,
)
from planner.report.input_limits import SHARE, limit_cells
from planner.report.ledger_view import AFTER, OBLIGATION, View
from planner.report.page import Book
from planner.report.sheet_annual import HEAD
from planner.report.sheet_cash import CashSheet
from planner.report.sheet_costs import MONTH_ROW, PERIOD_ROW, YEAR_ROW, CostsSheet
from planner.report.style import CENTS, COUNT, FINE, MONEY, MONTH, PERCENT, TEXT
from planner.report.yearly import (
    FIRST,
    LABEL,
    TOTAL,
    UNIT,
    Yearly,
    ledger_at,
    ledger_cell,
)
from planner.result import Plan

__all__ = ["CommitmentsSheet", "LeaseTotal", "write_commitments"]

_LADDER = (
    "Lots", "Month signed", "From", "Term, months", "Last month", "Until", "Expires in",
    "Rate, USD/h", "USD/GPU/h", "Value, USD", "Upfront, USD", "Mean monthly payment, USD",
)  # fmt: skip
_NOTE = (
    "Every contract, order by order, and what is owed whatever happens, without the provider's "
    "support, which Cash counts as firm too. USD unless the unit column says otherwise."
)
_LABEL_WIDTH, _WIDTH = 46, 10.5


@dataclass(frozen=True)
class CommitmentsSheet:
    """Where what is owed stands, and its values at the solve."""

    owed: str
    """Addresses of all that is owed at period ends."""
    owed_usd: float
    """Their sum."""
    owed_in_costs: str
    """Formula of the same from sheet Costs."""
    leases: tuple[LeaseTotal, ...] = ()
    """Balances and costs of leases, by contract and of the ledger."""


def write_commitments(
    book: Book, plan: Plan, view: View, costs: CostsSheet, cash: CashSheet, *,
    inputs: Mapping[str, str], shown: str,
) -> CommitmentsSheet | None:  # fmt: skip
    """Write the sheet; None where nothing is signed or ordered.

    Parameters
    ----------
    inputs : address of each input.
    shown : condition that the sheets show the plan and no other option; blank where none is.
    """
    found = contracts(view)
    owing = [line.key for line in view.lines if line.category == OBLIGATION]
    if not any(view.values[key].any() for key in owing) and not found:
        return None
    count = max(len(plan.periods) + 1, len(_LADDER))
    page = book.page(TITLE, widths=(_LABEL_WIDTH, 9, *[_WIDTH] * count))
    page.heading("Commitments", _NOTE)
    if shown:
        text = "Another option is shown: rows are the plan's contracts, amounts are not."
        page.formula(
            3,
            LABEL,
            f'=IF({shown},"Contracts of the plan.","{text}")',
            "Contracts of the plan.",
            "note",
        )
    labels = [period.label for period in plan.periods]
    ends = tuple(np.cumsum([period.months for period in plan.periods]).tolist())
    sheet = CommitmentsPart(
        page, plan, view, costs, cash, inputs, found, Yearly(page, labels, 0), ends
    )
    _ladder(sheet)
    written = _owed(sheet, owing)
    page.sheet.row_breaks.append(Break(id=sheet.writer.row - 1))
    write_uses(sheet)
    written = replace(written, leases=write_leases(sheet))
    page.sheet.freeze_panes = "C5"
    page.print_setup()
    return written


def _ladder(sheet: CommitmentsPart) -> None:
    page = sheet.page
    page.band(HEAD, 1, MONTHLY, "head")
    page.put(HEAD, LABEL, "Contract", "head")
    page.put(HEAD, UNIT, "Unit", "head unit")
    page.row(HEAD, LOTS, _LADDER, "head right")
    page.sheet.row_dimensions[HEAD].height = 50
    for place, one in enumerate(sheet.found):
        _contract(sheet, place, one)
    total = sheet.first + len(sheet.found)
    page.band(total, 1, MONTHLY, "total")
    page.put(total, LABEL, "All contracts", "label total")
    page.put(total, UNIT, "USD", "unit total")
    sums = ((VALUE, sum(x.value_usd for x in sheet.found)),
            (UPFRONT, sum(x.upfront_usd for x in sheet.found)))  # fmt: skip
    for column, usd in sums if sheet.found else ():
        letter = get_column_letter(column)
        formula = f"=SUM({letter}{sheet.first}:{letter}{total - 1})"
        page.formula(total, column, formula, usd, "total", number_format=MONEY)
    sheet.writer.row = total + 2


def _contract(sheet: CommitmentsPart, place: int, one: Contract) -> None:
    page, costs, view, row = sheet.page, sheet.costs, sheet.view, sheet.first + place
    gpus = next(x.value for x in view.inputs if x.name == f"{one.key}_gpus")
    page.put(row, LABEL, label(one, view))
    page.put(row, UNIT, f"{one.lot_name}s", "unit")
    page.put(row, START_MONTH, one.month + 1, "solved", COUNT)

    def along(of_row: int, month: int) -> str:
        span = costs.grid.span(of_row).replace(str(of_row), f"${of_row}")
        return f"=INDEX({costs.title}!{span},1,{sheet.at(place, month)})"

    start, term = sheet.at(place, START_MONTH), sheet.at(place, TERM)
    last = f"{costs.title}!${get_column_letter(costs.grid.last_column)}"
    last += f"${costs.grid.rows['month']}"
    lots, rate, value = (sheet.at(place, x) for x in (LOTS, RATE, VALUE))
    per_gpu = one.usd_per_h / (one.lots * gpus)
    cells: tuple[tuple[int, str, float | str, str], ...] = (
        (LOTS, f"={ledger_cell(costs, f'{one.key}_signed', one.month)}", one.lots, COUNT),
        (START, along(MONTH_ROW, START_MONTH), _serial(view, one.month), MONTH),
        (TERM, f"={sheet.inputs[term_input(view, one.key)]}", one.term_months, COUNT),
        (END_MONTH, f"=MIN({start}+{term}-1,{last})", one.last_month + 1, COUNT),
        (END, along(MONTH_ROW, END_MONTH), _serial(view, one.last_month), MONTH),
        (EXPIRY, along(YEAR_ROW, END_MONTH), view.fiscal_years[one.last_month], TEXT),
        (
            RATE, f"={ledger_cell(costs, f'{one.key}_signed_usd_per_h', one.month)}",
            one.usd_per_h, CENTS,
        ),
        (
            GPU_RATE, f"=IF({lots}=0,0,{rate}/({lots}*{sheet.inputs[f'{one.key}_gpus']}))",
            per_gpu, FINE,
        ),
        (
            VALUE, f"={ledger_cell(costs, f'{one.key}_signed_usd', one.month)}", one.value_usd,
            MONEY,
        ),
        (
            UPFRONT, f"={value}*{sheet.inputs[upfront_input(view, one.key)]}", one.upfront_usd,
            MONEY,
        ),
        (
            MONTHLY, f"=({value}-{sheet.at(place, UPFRONT)})/{term}", one.monthly_usd, MONEY,
        ),
    )  # fmt: skip
    for column, formula, shown, style in cells:
        look = "text right" if column == EXPIRY else "link"
        page.formula(row, column, formula, shown, look, number_format=style)


def _serial(view: View, month: int) -> float:
    """Days since the spreadsheet's epoch, 1899-12-30."""
    return float(view.dates[month].toordinal() - 693_594)


def _owed(sheet: CommitmentsPart, owing: Sequence[str]) -> CommitmentsSheet:
    """What is still owed at the end of each period, contract by contract and by expiry."""
    writer, costs, view = sheet.writer, sheet.costs, sheet.view
    writer.head("Still owed at the end of the period, not cancellable", total="")
    ends = writer.month_ends(costs, list(map(float, sheet.ends)), "Last month of the period",
                             PERIOD_ROW)  # fmt: skip
    sheet.ends_row = ends
    first = writer.row
    for place, one in enumerate(sheet.found):
        left = (
            f"MAX(0,{ledger_at(costs, 'hours_so_far', sheet.at(place, END_MONTH))}"
            f"-{ledger_at(costs, 'hours_so_far', f'{{c}}${ends}')})"
        )
        part = f"(1-{sheet.inputs[upfront_input(view, one.key)]})"
        formula = (
            f"=IF({sheet.at(place, START_MONTH)}<={{c}}${ends},"
            f"{sheet.at(place, RATE)}*{part}*{left},0)"
        )
        writer.write(
            label(one, view),
            "USD",
            formula,
            sheet.at_ends(one.owed_usd),
            style=USD_FORMAT,
        )
    signed = sum((one.owed_usd for one in sheet.found), np.zeros(view.months))
    commitments = writer.write(
        "Commitments", "USD", f"=SUM({{c}}{first}:{{c}}{writer.row - 1})" if sheet.found else "=0",
        sheet.at_ends(signed), style=USD_FORMAT, look="total",
    )  # fmt: skip
    bought = [
        key for key in owing if f"{key.removesuffix('_unpaid_usd')}_orders_usd" in view.values
    ]
    unpaid = sum((view.values[key] for key in bought), np.zeros(view.months))
    formula = "=" + ("+".join(ledger_at(costs, key, f"{{c}}${ends}") for key in bought) or "0")
    purchases = writer.write(
        "Machines ordered and not yet paid",
        "USD",
        formula,
        sheet.at_ends(unpaid),
        style=USD_FORMAT,
    )
    total = writer.write(
        "Owed whatever happens", "USD", f"={{c}}{commitments}+{{c}}{purchases}",
        sheet.at_ends(signed + unpaid), style=USD_FORMAT, look="total",
    )  # fmt: skip
    values = sheet.at_ends(signed + unpaid)
    formula = "=" + "+".join(ledger_at(costs, key, f"{{c}}${ends}") for key in owing)
    same = writer.write("of sheet Costs", "USD", formula, values, style=USD_FORMAT)
    _out(sheet, total, ends, values)
    _termination(sheet, commitments, sheet.at_ends(signed))
    _expiry(sheet, first, purchases, sheet.at_ends(unpaid))
    return CommitmentsSheet(
        owed=f"SUM('{TITLE}'!{writer.span(total)})",
        owed_usd=sum(values),
        owed_in_costs=f"SUM('{TITLE}'!{writer.span(same)})",
    )


def _out(sheet: CommitmentsPart, total: int, ends: int, owed: Sequence[float]) -> None:
    """Cash out beside what is owed, and the most of each."""
    writer, cash, view = sheet.writer, sheet.cash, sheet.view
    out = np.cumsum(view.cash_usd)
    formula = f"=INDEX({cash.span(cash.cumulative_row)},1,{{c}}${ends})"
    so_far = writer.write("Cash out so far", "USD", formula, sheet.at_ends(out), style=USD_FORMAT)
    values = [a + b for a, b in zip(sheet.at_ends(out), owed, strict=True)]
    both = writer.write(
        "Cash out so far and owed", "USD", f"={{c}}{so_far}+{{c}}{total}", values, style=USD_FORMAT,
        look="total",
    )  # fmt: skip
    writer.row += 1
    writer.group("Exposure")
    peaks = (
        (
            "Peak cash exposure: most that is out at any month's end",
            f"=MAX(0,{cash.span(cash.cumulative_row)})", max(0.0, float(out.max())),
        ),
        ("Most that is owed at a period's end", f"=MAX({writer.span(total)})", max(owed)),
        ("Most that is out or owed at a period's end", f"=MAX({writer.span(both)})", max(values)),
    )  # fmt: skip
    for words, formula, usd in peaks:
        writer.write(words, "USD", "", (), style=USD_FORMAT, total=formula, total_value=usd)


def _termination(sheet: CommitmentsPart, commitments: int, values: Sequence[float]) -> None:
    """What leaving all contracts at a period's end costs: all of it unless agreed otherwise."""
    writer, page = sheet.writer, sheet.page
    page.put(writer.row, LABEL, "Share of remaining payments owed on leaving")
    page.put(writer.row, UNIT, "frac", "unit")
    page.put(writer.row, TOTAL, 1.0, "input", PERCENT)
    page.put(writer.row, FIRST, "no contract here may be ended early; change it where one may",
             "note")  # fmt: skip
    share = f"${get_column_letter(TOTAL)}${writer.row}"
    limit_cells(page, [share], SHARE)
    writer.row += 1
    writer.write(
        "Cost of ending all contracts", "USD", f"={share}*{{c}}{commitments}", values,
        style=USD_FORMAT, look="calculation",
    )  # fmt: skip


def _expiry(sheet: CommitmentsPart, first: int, purchases: int, unpaid: Sequence[float]) -> None:
    """The same by the fiscal year in which contracts end, with its chart."""
    writer, view = sheet.writer, sheet.view
    writer.row += 1
    writer.group("Commitments by fiscal year of expiry")
    last = first + len(sheet.found) - 1
    letter = get_column_letter(EXPIRY)
    expiries = f"${letter}${sheet.first}:${letter}${sheet.first + len(sheet.found) - 1}"
    head = get_column_letter(TOTAL)
    bands = []
    for year in view.years if sheet.found else ():
        owed = [x.owed_usd for x in sheet.found if view.fiscal_years[x.last_month] == year]
        values = sheet.at_ends(sum(owed, np.zeros(view.months)))
        sheet.page.put(writer.row, TOTAL, year, "text right")
        formula = f"=SUMIFS({{c}}${first}:{{c}}${last},{expiries},${head}{writer.row})"
        words = "Expires after the horizon" if year == AFTER else f"Expires in {year}"
        row = writer.write(words, "USD", formula, values, style=USD_FORMAT, look="calculation")
        bands.append((words, Band(TITLE, row, FIRST, writer.last, values)))
    bands.append(
        ("Machines ordered, not yet paid", Band(TITLE, purchases, FIRST, writer.last, unpaid))
    )
    labels = Band(TITLE, writer.head_row, FIRST, writer.last, list(writer.labels))
    chart = stacked_columns("Owed at period end, by expiry, USD", labels, bands)
    place_chart(
        sheet.page, chart, writer.row + 1, left=0, width=_LABEL_WIDTH + 9 + _WIDTH * 8, height=18
    )
    writer.row += 20
