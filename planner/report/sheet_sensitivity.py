"""Sheet Sensitivity: the same fleet, one driver at a time, and where each option would win."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from openpyxl.utils import get_column_letter
from openpyxl.worksheet.pagebreak import Break

from planner.finance.metrics import break_even_utilization
from planner.report.cells import Grid, template
from planner.report.charts import Band, bars, place
from planner.report.input_limits import SWING, limit_cells
from planner.report.ledger_view import View
from planner.report.option_figures import OptionFigures
from planner.report.page import Book, Page
from planner.report.sensitivity import (
    DISCOUNT,
    Driver,
    Exposure,
    break_even,
    drivers,
    exposure,
    line_shares,
)
from planner.report.sheet_annual import AnnualSheet
from planner.report.sheet_cash import NPV_NAME, CashSheet
from planner.report.sheet_costs import CostsSheet
from planner.report.sheet_inputs import DISCOUNT_RATE
from planner.report.style import PERCENT, TEAL, money_or_count
from planner.result import LedgerInput, OptionRow

LABEL, UNIT, LOW, HIGH, MOVES, NPV_LOW, NPV_HIGH, LESS, MORE, HOW = range(1, 11)
HEAD = 5
CHART_ROWS = 19
LIVE, VALUE = "live", "as solved"
_WIDTHS = (40, 12, *[12] * 10)
_NOTE = (
    "Fixed fleet: quantities stay, one driver moves. Blue ranges may be changed; a line marked "
    "'live' follows every input, 'as solved' does not."
)
_DELAY = (
    "n/a: on a fixed fleet late machines would leave traffic unserved; solve again with a longer "
    "supply.lead_time_months"
)


@dataclass(frozen=True)
class SensitivitySheet:
    """Where the drivers stand, largest swing first."""

    title: str
    exposures: tuple[Exposure, ...]
    scale: str
    base_usd: float

    def cell(self, number: int, column: int) -> str:
        """Address of a driver's cell, counted from 0."""
        return f"{self.title}!${get_column_letter(column)}${HEAD + 1 + number}"


@dataclass(frozen=True)
class _Parts:
    page: Page
    figures: Sequence[OptionFigures]
    """The plan first."""
    costs: CostsSheet
    cash: CashSheet
    annual: AnnualSheet
    exposures: Sequence[Exposure]
    matrix_row: int
    """Heading of the cash lines' table."""

    @property
    def view(self) -> View:
        return self.figures[0].view

    def money(self, row: int, column: int, formula: str, usd: float, look: str) -> None:
        scale = self.annual.scale
        self.page.formula(
            row, column, formula, usd / scale.usd, look, number_format=scale.number_format
        )

    def solved(self, row: int, column: int, usd: float) -> None:
        scale = self.annual.scale
        self.page.put(row, column, usd / scale.usd, "solved", scale.number_format)


def write_sensitivity(
    book: Book,
    figures: Sequence[OptionFigures],
    costs: CostsSheet,
    cash: CashSheet,
    annual: AnnualSheet,
) -> SensitivitySheet | None:
    """Write the sheet; None where the ledger has nothing to change."""
    found = exposures(figures)
    if not found:
        return None
    page = book.page("Sensitivity", widths=_WIDTHS, tab=TEAL)
    page.heading("Sensitivity and break-even", _NOTE)
    page.put(3, LABEL, f"Money in {annual.scale.unit}; cost is positive.", "note")
    chart_row = HEAD + len(found) + 3
    after = chart_row + CHART_ROWS + 1
    equal = [option for option in figures if option.row.equal_service]
    linear = [one for one in found if one.linear]
    matrix_row = after + _break_even_rows(equal, linear)
    parts = _Parts(page, figures, costs, cash, annual, found, matrix_row)
    _table(parts)
    sheet = SensitivitySheet(page.sheet.title, tuple(found), annual.scale.name, figures[0].npv_usd)
    place(page, tornado(sheet), chart_row, left=0, width=sum(_WIDTHS[:HOW]) - 1, height=CHART_ROWS)
    row = _break_evens(parts, equal, linear, after)
    _utilization(parts, row)
    _matrix(parts, linear)
    page.freeze(HEAD + 1, UNIT)
    page.print_setup()
    return sheet


def exposures(figures: Sequence[OptionFigures]) -> list[Exposure]:
    """Drivers of the plan by swing, largest first; those that move nothing are left out."""
    found = []
    for driver in drivers(figures[0].view):
        shares = line_shares(driver, figures) if driver.name != DISCOUNT else {}
        one = exposure(driver, figures[0], shares)
        if one.low_usd != one.high_usd:
            found.append(one)
    return sorted(found, key=lambda one: -abs(one.high_usd - one.low_usd))


def _table(parts: _Parts) -> None:
    page, base = parts.page, parts.figures[0].npv_usd
    page.put(HEAD, LABEL, "Driver", "head")
    page.put(HEAD, UNIT, "Change in", "head unit")
    page.row(
        HEAD, LOW,
        ("Low", "High", "Moves with it", "Cost at low", "Cost at high", "Change at low",
         "Change at high"),
        "head right",
    )  # fmt: skip
    page.put(HEAD, HOW, "Formula", "head unit")
    for row, one in enumerate(parts.exposures, HEAD + 1):
        page.put(row, LABEL, one.driver.label)
        page.put(row, UNIT, "points" if one.driver.name == DISCOUNT else "share", "unit")
        live = one.linear or one.driver.name == DISCOUNT
        for column, change in ((LOW, one.driver.low), (HIGH, one.driver.high)):
            page.put(row, column, change, "input" if live else "solved", PERCENT)
            if live:
                limit_cells(page, [f"{get_column_letter(column)}{row}"], SWING)
        _moves(parts, row, one)
        for column, change, usd in (
            (NPV_LOW, LOW, one.low_usd),
            (NPV_HIGH, HIGH, one.high_usd),
        ):
            if live:
                formula = f"={_cost_at(parts, one.driver, row, change)}/{parts.annual.scale.name}"
                parts.money(row, column, formula, usd, "link")
            else:
                parts.solved(row, column, usd)
            difference = f"={get_column_letter(column)}{row}-{NPV_NAME}/{parts.annual.scale.name}"
            parts.money(row, column + LESS - NPV_LOW, difference, usd - base, "calculation")
        page.put(row, HOW, LIVE if live else VALUE, "unit")
    row = HEAD + 1 + len(parts.exposures)
    page.put(row, LABEL, "Delay in delivery")
    page.put(row, UNIT, _DELAY, "note")


def _moves(parts: _Parts, row: int, one: Exposure) -> None:
    """Present value that is proportional to the driver."""
    if one.driver.name == DISCOUNT or not one.linear:
        parts.page.put(row, MOVES, "not a straight line", "text right")
        return
    values, shares = _matrix_columns(parts, one)
    parts.money(row, MOVES, f"=SUMPRODUCT({values},{shares})", one.slope_usd, "calculation")


def _cost_at(parts: _Parts, driver: Driver, row: int, change: int) -> str:
    """Net present cost in USD with a driver's change, which stands in this row."""
    cell = f"${get_column_letter(change)}{row}"
    if driver.name != DISCOUNT:
        return f"({NPV_NAME}+{cell}*${get_column_letter(MOVES)}{row}*{parts.annual.scale.name})"
    grid, title = parts.costs.grid, parts.costs.title
    line = next(one for one in parts.view.lines if one.key == "discount_factor")
    inputs = {**grid.inputs, DISCOUNT: f"({DISCOUNT_RATE}+{cell})"}
    moved = Grid(grid.first_column, grid.months, grid.month_row, grid.rows, inputs)
    factor = template(line.key, line.formula, moved).removeprefix("=")
    month = grid.rows["month"]
    factor = factor.replace(f"{{c}}{month}", f"{title}!{grid.span(month)}")
    counted = f"{title}!{grid.span(grid.rows['counted'])}"
    return f"SUMPRODUCT({parts.cash.span(parts.cash.total_row)},{counted},{factor})"


def _matrix_columns(parts: _Parts, one: Exposure) -> tuple[str, str]:
    """Present values of the cash lines, and their shares that move with a driver."""
    first = parts.matrix_row + 2
    last = first + len(parts.view.cash_lines) - 1
    linear = [each for each in parts.exposures if each.linear]
    letter = get_column_letter(HIGH + linear.index(one))
    return f"$C${first}:$C${last}", f"{letter}${first}:{letter}${last}"


def _matrix(parts: _Parts, linear: Sequence[Exposure]) -> None:
    """Each cash line's present value, and the share of it that each driver moves."""
    page, row, view = parts.page, parts.matrix_row, parts.view
    page.sheet.row_breaks.append(Break(id=row - 1))
    page.band(row, 1, len(_WIDTHS), "group")
    page.put(row, LABEL, "Which cash lines move: present value, share proportional", "group")
    page.put(row + 1, LABEL, "Cash line", "head")
    page.put(row + 1, UNIT, "Category", "head unit")
    page.put(row + 1, LOW, "Present value", "head right")
    page.row(row + 1, HIGH, [one.driver.label for one in linear], "head right")
    page.sheet.row_dimensions[row + 1].height = 38
    grid, title = parts.costs.grid, parts.costs.title
    factor, counted = (
        f"{title}!{grid.span(grid.rows[key])}" for key in ("discount_factor", "counted")
    )
    for number, line in enumerate(view.cash_lines, row + 2):
        label = f"{line.group}: {line.label}" if line.group else line.label
        page.put(number, LABEL, label, "label wrap")
        page.fit_height(number, ((label, _WIDTHS[0]),))
        page.put(number, UNIT, line.category, "unit")
        span = f"{title}!{grid.span(grid.rows[line.key])}"
        usd = float((view.values[line.key] * view.weight).sum())
        formula = f"=SUMPRODUCT({span},{factor},{counted})/{parts.annual.scale.name}"
        parts.money(number, LOW, formula, usd, "link")
        for column, one in enumerate(linear, HIGH):
            page.put(number, column, one.shares[line.key], "solved", PERCENT)


def tornado(sheet: SensitivitySheet) -> object:
    """Bars of what each driver takes from and adds to the net present cost."""
    count, first = len(sheet.exposures), HEAD + 1
    labels = [one.driver.label for one in sheet.exposures]
    unit = {"Million": 1e6, "Thousand": 1e3}[sheet.scale]
    bands = [
        (
            title,
            Band(
                sheet.title, first, column, column,
                [(getattr(one, side) - sheet.base_usd) / unit for one in sheet.exposures],
                down=True,
            ),
        )
        for title, column, side in (
            ("At the low end", LESS, "low_usd"), ("At the high end", MORE, "high_usd")
        )
    ]  # fmt: skip
    axis = Band(sheet.title, first, LABEL, LABEL, labels, down=True)
    title = f"Change of net present cost, USD {sheet.scale.lower()}, by driver ({count})"
    return bars(title, axis, bands, overlap=100)


def _break_even_rows(equal: Sequence[OptionFigures], linear: Sequence[Exposure]) -> int:
    """Rows of the two tables below the chart, blank ones included."""
    single = sum(len(one.driver.inputs) == 1 for one in linear)
    slopes = len(linear) + 4
    tables = slopes + (len(linear) + single + 3) if len(equal) > 1 else 0
    return tables + _utilization_rows(equal[0].view) if equal else tables


def _break_evens(
    parts: _Parts, equal: Sequence[OptionFigures], linear: Sequence[Exposure], row: int
) -> int:
    """Change of each driver at which each option costs what the plan costs; next free row."""
    if len(equal) < 2:
        return row
    page, others = parts.page, [option.row for option in equal[1:]]
    page.band(row, 1, len(_WIDTHS), "group")
    page.put(row, LABEL, "Present value that moves with each driver, as solved", "group")
    page.put(row + 1, LABEL, "Fleet", "head")
    page.put(row + 1, UNIT, "Unit", "head unit")
    page.row(row + 1, LOW, [option.row.title for option in equal], "head right")
    page.sheet.row_dimensions[row + 1].height = 26
    page.put(row + 2, LABEL, "Net present cost")
    page.put(row + 2, UNIT, parts.annual.scale.unit, "unit")
    for column, option in enumerate(equal, LOW):
        parts.solved(row + 2, column, option.npv_usd)
    slopes = [[exposure(one.driver, option, one.shares) for option in equal] for one in linear]
    for number, (one, by_option) in enumerate(zip(linear, slopes, strict=True), row + 3):
        page.put(number, LABEL, one.driver.label)
        page.put(number, UNIT, parts.annual.scale.unit, "unit")
        for column, each in enumerate(by_option, LOW):
            parts.solved(number, column, each.slope_usd)
    start = row + len(linear) + 4
    return _changes(parts, _Slopes(row + 2, start, equal, slopes), others)


@dataclass(frozen=True)
class _Slopes:
    npv_row: int
    start: int
    """First row of the break-even table."""
    equal: Sequence[OptionFigures]
    slopes: Sequence[Sequence[Exposure]]
    """By driver, then by option."""


def _changes(parts: _Parts, given: _Slopes, others: Sequence[OptionRow]) -> int:
    page, row = parts.page, given.start
    page.band(row, 1, len(_WIDTHS), "group")
    page.put(
        row,
        LABEL,
        "Break-even on fixed fleets: where an option costs as little as the plan",
        "group",
    )
    page.put(row + 1, LABEL, "Driver", "head")
    page.put(row + 1, UNIT, "Unit", "head unit")
    page.row(row + 1, LOW, ["Now", *[f"= {option.title}" for option in others]], "head right")
    page.sheet.row_dimensions[row + 1].height = 26
    number, npv = row + 2, [option.npv_usd for option in given.equal]
    values = {one.name: one for one in parts.view.inputs}
    for d, by_option in enumerate(given.slopes):
        driver = by_option[0].driver
        page.put(number, LABEL, driver.label)
        page.put(number, UNIT, "change", "unit")
        page.put(number, LOW, None)
        changes = [
            break_even(by_option[0], each, (npv[0], npv[j]))
            for j, each in enumerate(by_option[1:], 1)
        ]
        for column, change in enumerate(changes, HIGH):
            here = get_column_letter(column)
            slope = given.npv_row + 1 + d
            formula = f"=({here}{given.npv_row}-$C{given.npv_row})/($C{slope}-{here}{slope})"
            _change(page, number, column, formula, change)
        number += 1
        if len(driver.inputs) == 1:
            _value_then(page, number, values[driver.inputs[0]], changes, driver.label)
            number += 1
    return number + 1


def _change(page: Page, row: int, column: int, formula: str, change: float) -> None:
    if math.isinf(change):
        page.put(row, column, "both move alike", "text right")
    elif change < -1:
        page.put(row, column, "at no price", "text right")
    else:
        page.formula(row, column, formula, change, number_format=PERCENT)


def _value_then(
    page: Page, row: int, given: LedgerInput, changes: Sequence[float], label: str
) -> None:
    """The input itself at each break-even."""
    now, unit = given.value, given.unit
    style = money_or_count(unit, abs(now), whole=False)
    page.put(row, LABEL, f"{label}: the value then")
    page.put(row, UNIT, unit, "unit")
    page.put(row, LOW, now, "solved", style)
    for column, change in enumerate(changes, HIGH):
        if math.isinf(change) or change < -1:
            page.put(row, column, "n/a", "text right")
            continue
        here = get_column_letter(column)
        page.formula(
            row, column, f"=$C{row}*(1+{here}{row - 1})", now * (1 + change), number_format=style
        )


def _pairs(view: View) -> list[tuple[str, str, str]]:
    """Label, reserved price and on-demand price inputs of the same machine and place."""
    names = {row.name: row for row in view.inputs if row.name.endswith("_usd_per_gpu_h")}
    found = []
    for name, row in names.items():
        for prefix in ("reserved_1y_", "reserved_3y_"):
            twin = f"on_demand_{name.removeprefix(prefix)}"
            if name.startswith(prefix) and twin in names:
                found.append((row.label, name, twin))
    return found


def _utilization_rows(view: View) -> int:
    pairs = len(_pairs(view))
    return pairs + 3 if pairs else 0


def _utilization(parts: _Parts, row: int) -> None:
    """Share of hours in use from which a reservation costs less than hours on demand."""
    pairs = _pairs(parts.view)
    if not pairs:
        return
    page, values = parts.page, {one.name: one.value for one in parts.view.inputs}
    page.band(row, 1, len(_WIDTHS), "group")
    title = "Break-even utilization: share of hours from which it costs less than on demand"
    page.put(row, LABEL, title, "group")
    page.put(row + 1, LABEL, "Reservation, at prices of the first month", "head")
    page.put(row + 1, UNIT, "Unit", "head unit")
    page.row(row + 1, LOW, ("Share", None, None), "head right")
    inputs = parts.costs.grid.inputs
    for number, (label, reserved, rented) in enumerate(pairs, row + 2):
        page.put(number, LABEL, label)
        page.put(number, UNIT, "share", "unit")
        share = break_even_utilization(
            committed_usd_per_h=values[reserved], on_demand_usd_per_h=values[rented]
        )
        formula = f"={inputs[reserved]}/{inputs[rented]}"
        page.formula(number, LOW, formula, share, "link", number_format=PERCENT)
