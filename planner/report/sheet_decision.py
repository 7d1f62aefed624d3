"""Sheet Decision: the ask, what it costs, what it binds, on one printed page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from openpyxl.utils import get_column_letter

from planner.report import band_costs, decision_parts
from planner.report.charts import Band, lines, place
from planner.report.checks import Parts
from planner.report.ledger_view import AFTER, CAPEX, View
from planner.report.page import Book, Page
from planner.report.reuse_words import reuse_words
from planner.report.sheet_annual import FIRST as ANNUAL_FIRST
from planner.report.sheet_annual import TOTAL as ANNUAL_TOTAL
from planner.report.sheet_annual import AnnualSheet, cost_chart
from planner.report.sheet_cash import NPV_NAME, CashSheet
from planner.report.sheet_checks import AS_SOLVED, GOOD_FLAG, ChecksSheet, mark_flag
from planner.report.sheet_costs import FIRST as MONTHS_FIRST
from planner.report.sheet_costs import MONTH_ROW
from planner.report.sheet_fleet import FleetSheet, fleet_chart
from planner.report.sheet_latency import TPOT, TTFT, latency_at, latency_chart
from planner.report.sheet_options import options_chart
from planner.report.sheet_sensitivity import tornado
from planner.report.style import CENTS, COUNT, LOOKS, NAVY
from planner.report.words import (
    asks,
    gap_text,
    machine,
    promise_text,
    quality_of_data,
    tax_text,
)
from planner.result import LatencyCurve, Plan

LABEL, UNIT, FIRST = 1, 2, 3
YEARS_AT_LEAST = 6
"""Columns right of the unit, so that tiles and charts have their width."""
_CHART_ROWS = 15
_ROW_POINTS = 15
_ASK_SIZE = 11
_LETTERS_A_LINE = 118
"""Of the ask, at its size and the sheet's width."""


@dataclass
class _Decision:
    page: Page
    plan: Plan
    view: View
    annual: AnnualSheet
    widths: Sequence[float]
    """Of the columns."""

    @property
    def last(self) -> int:
        """Last column."""
        return len(self.widths)

    @property
    def width(self) -> float:
        """Of all columns."""
        return sum(self.widths)

    def text(self, row: int, value: str, look: str, *, letters: int = _LETTERS_A_LINE) -> None:
        """Text over the whole width, as high as it needs."""
        if LOOKS[look].size < _ASK_SIZE:
            letters = round(letters * 1.25)
        self.page.put(row, LABEL, value, look)
        self.page.sheet.merge_cells(
            start_row=row, end_row=row, start_column=LABEL, end_column=self.last
        )
        rows = max(1, -(-len(value) // letters))
        self.page.sheet.row_dimensions[row].height = _ROW_POINTS * rows

    def section(self, row: int, title: str) -> None:
        """Heading over the whole width."""
        self.page.band(row, 1, self.last, "section")
        self.page.put(row, LABEL, title, "section")
        self.page.sheet.row_dimensions[row].height = 20


def write_decision(book: Book, parts: Parts, checks: ChecksSheet) -> None:
    """Write the sheet."""
    plan, view, cash = parts.plan, parts.view, parts.cash
    annual, fleet = parts.annual, parts.fleet
    columns = max(len(view.years) + 1, YEARS_AT_LEAST)
    widths = (36, 13, *[12.5] * columns)
    page = book.page("Decision", widths=widths, tab=NAVY)
    page.sheet.sheet_view.showGridLines = False
    writer = _Decision(page, plan, view, annual, widths)
    _title(writer, checks)
    _tiles(writer, cash)
    writer.section(9, "The ask")
    row = 10
    for clause in asks(plan) or ["No fleet is needed: there is no demand."]:
        writer.text(row, f"•  {clause[0].upper()}{clause[1:]}", "ask")
        row += 1
    row = _costs(writer, row + 1)
    row = decision_parts.options(writer, parts, row + 1)
    row = decision_parts.breaks(writer, parts, row)
    row = _fleet(writer, fleet, row + 1)
    row = _band(writer, row + 1)
    row = _reuse(writer, row + 1)
    row = _charts(writer, parts, row + 1)
    row = _known(writer, row)
    decision_parts.approval(writer, row + 1)
    page.print_setup(one_page=True, portrait=True)


def _title(writer: _Decision, checks: ChecksSheet) -> None:
    page, plan = writer.page, writer.plan
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


def _tiles(writer: _Decision, cash: CashSheet) -> None:
    """Key figures; each tile is two columns wide."""
    view, scale = writer.view, writer.annual.scale
    firm = float(view.firm_usd.sum())
    capex = float(view.category_usd(CAPEX).sum())
    capex_total = cash.total(cash.categories[CAPEX]) if CAPEX in cash.categories else "0"
    tiles = [
        ("Net present cost", NPV_NAME, view.npv_usd, f"{tax_text(writer.plan)}, discounted"),
        (
            "Cash out, undiscounted", cash.total(cash.total_row), float(view.cash_usd.sum()),
            "horizon and obligations beyond",
        ),
        ("of it purchases", capex_total, capex, "capex, all orders"),
        (
            "of it firm once signed", cash.total(cash.firm_row), firm,
            "purchases and commitments, not cancellable",
        ),
    ]  # fmt: skip
    spans = ((1, 1), (2, 3), (4, 5), (6, writer.last))
    for (label, source, value, note), (left, right) in zip(tiles, spans, strict=True):
        page = writer.page
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
    writer.page.sheet.row_dimensions[6].height = 24


def _costs(writer: _Decision, row: int) -> int:
    """Purchases, other cash, total and present value by fiscal year."""
    page, view, annual = writer.page, writer.view, writer.annual
    years = view.years
    writer.section(row, "What it costs")
    page.band(row + 1, LABEL, writer.last, "head")
    page.put(row + 1, LABEL, "Cash out by fiscal year", "head")
    page.put(row + 1, UNIT, "Unit", "head unit")
    page.row(row + 1, FIRST, (*years, "Total"), "head right")
    capex = view.category_usd(CAPEX)
    scale = annual.scale
    bought = annual.rows.get(CAPEX)
    table = [
        ("Purchases (capex)", capex, bought, False),
        ("Running cost, less end value", view.cash_usd - capex, None, False),
        ("Cash out", view.cash_usd, annual.total_row, True),
        ("Present value", view.cash_usd * view.weight, annual.pv_row, False),
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
    return _unit_costs(writer, row + 2 + len(table))


def _unit_costs(writer: _Decision, row: int) -> int:
    """Cost of a million tokens by class, at the solve."""
    page = writer.page
    for cost in writer.plan.class_costs:
        page.put(row, LABEL, f"Cost of tokens, {cost.demand_class} (at the solve)")
        page.put(row, UNIT, "USD/Mtoken", "unit")
        page.put(row, FIRST, cost.usd_per_mtoken, "solved", CENTS)
        row += 1
    return row


def _fleet(writer: _Decision, fleet: FleetSheet, row: int) -> int:
    """Lots in service in the last period of each fiscal year."""
    page, plan = writer.page, writer.plan
    years = [year for year in writer.view.years if year != AFTER]
    last_period = {period.fiscal_year: i for i, period in enumerate(plan.periods)}
    writer.section(row, "What runs")
    page.band(row + 1, LABEL, writer.last, "head")
    page.put(row + 1, LABEL, "In service, last period of", "head")
    page.put(row + 1, UNIT, "Unit", "head unit")
    page.row(row + 1, FIRST, years, "head right")
    row += 2
    for i, machines in enumerate(plan.fleet):
        page.put(row, LABEL, machine(machines), "label wrap")
        page.fit_height(row, ((machine(machines), writer.widths[0]),))
        page.put(row, UNIT, f"{machines.lot_name}s", "unit")
        for column, year in enumerate(years, FIRST):
            t = last_period[year]
            value = machines.lots_in_service[t]
            style = COUNT if float(value).is_integer() else CENTS
            source = fleet.cell(fleet.in_service[i], t)
            page.formula(row, column, f"={source}", float(value), "link", number_format=style)
        row += 1
    return row


def _band(writer: _Decision, row: int) -> int:
    """What the performance model's error costs, where it was asked."""
    costs, scale = writer.plan.band_costs, writer.annual.scale
    if costs is None:
        return row - 1
    writer.section(row, "What the error of the performance model costs")
    writer.page.band(row + 1, LABEL, writer.last, "head")
    row = band_costs.write_band_costs(writer.page, costs, scale, row + 1)
    writer.text(row, band_costs.words(costs, scale), "note")
    return row + 1


def _reuse(writer: _Decision, row: int) -> int:
    """What prefix caching and cache-aware routing save, where a class has prefix hits."""
    sentences = reuse_words(writer.plan, writer.annual.scale)
    if not sentences:
        return row - 1
    writer.section(row, "What reuse of prompts is worth")
    for sentence in sentences:
        row += 1
        writer.text(row, sentence, "note")
    return row + 1


def _charts(writer: _Decision, parts: Parts, row: int) -> int:
    """Two by two: cost by year, fleet; cash so far, latency; options, sensitivity."""
    cash, fleet = parts.cash, parts.fleet
    page, plan, view = writer.page, writer.plan, writer.view
    charts = [cost_chart(view, writer.annual)]
    if plan.fleet:
        charts.append(fleet_chart(plan, fleet))
    charts.append(cumulative_chart(view, cash, writer.annual))
    curve = next((c for c in plan.curves if c.points), None)
    if curve is not None:
        name, column, target = _tightest(curve)
        title = f"{name} of {curve.demand_class}, ms"
        charts.append(latency_chart("Latency", curve, 6, title, column=column, target=target))
    if parts.options is not None and parts.scenarios is not None:
        charts.append(options_chart(plan, parts.options, parts.scenarios, parts.annual))
    if parts.sensitivity is not None:
        charts.append(tornado(parts.sensitivity))
    half = writer.width / 2
    for number, chart in enumerate(charts):
        top = row + _CHART_ROWS * (number // 2)
        left = half * (number % 2)
        place(page, chart, top, left=left, width=half - 1, height=_CHART_ROWS - 1)
    return row + _CHART_ROWS * -(-len(charts) // 2)


def _tightest(curve: LatencyCurve) -> tuple[str, int, float | None]:
    """The promise nearest to its limit at the planned rate: name, column, target."""
    ttft, tpot = latency_at(curve, curve.operating_rps)
    ttft_used = ttft / curve.ttft_target_ms if curve.ttft_target_ms else 0.0
    tpot_used = tpot / curve.tpot_target_ms if curve.tpot_target_ms else 0.0
    if tpot_used > ttft_used:
        return "TPOT", TPOT, curve.tpot_target_ms
    return "TTFT", TTFT, curve.ttft_target_ms


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


def _known(writer: _Decision, row: int) -> int:
    """Limits in use and what the reader should know; returns the next free row."""
    plan = writer.plan
    writer.section(row, "What to know")
    row += 1
    for limit in plan.binding[:6]:
        words = limit.family.replace("_", " ").capitalize()
        text = f"{words} at {limit.where}: {limit.used:,.0f} of {limit.limit:,.0f} {limit.unit}"
        writer.text(row, f"•  {text} used", "wrap")
        row += 1
    for warning in quality_of_data(plan):
        writer.text(row, f"•  {warning[0].upper()}{warning[1:]}", "warning")
        row += 1
    for note in plan.notes[:8]:
        writer.text(row, f"•  {note}", "wrap")
        row += 1
    return row
