"""Sheet Detail: what stands behind the decision: machines, unit costs, error, charts, notes."""

from __future__ import annotations

from planner.report import band_costs
from planner.report.charts import place
from planner.report.checks import Parts
from planner.report.latency_figures import Latency, latencies
from planner.report.ledger_view import AFTER
from planner.report.page import Book
from planner.report.paper import FIRST, LABEL, LARGER, UNIT, Paper, widths
from planner.report.reuse_words import reuse_words
from planner.report.sheet_decision import ASKS_MOST
from planner.report.sheet_fleet import FleetSheet, fleet_chart
from planner.report.sheet_latency import latency_chart
from planner.report.sheet_options import options_chart
from planner.report.sheet_sensitivity import tornado
from planner.report.style import CENTS, COUNT, NAVY
from planner.report.words import asks, machine
from planner.result import LatencyCurve

_CHART_ROWS = 15
_NOTE = "What stands behind sheet Decision; money is that of the plan at the solve where violet."


def write_detail(book: Book, parts: Parts) -> None:
    """Write the sheet."""
    of_columns = widths(parts.view)
    page = book.page("Detail", widths=of_columns, tab=NAVY, larger=LARGER)
    page.sheet.sheet_view.showGridLines = False
    page.heading("Behind the decision", _NOTE)
    paper = Paper(page, parts.plan, parts.view, parts.annual, of_columns)
    row = _asks(paper, 4)
    row = _fleet(paper, parts.fleet, row)
    row = _unit_costs(paper, row)
    row = _band(paper, row)
    row = _reuse(paper, row)
    row = _charts(paper, parts, row + 1)
    _known(paper, row)
    paper.finish()
    page.print_setup(portrait=True)


def _asks(paper: Paper, row: int) -> int:
    """All that is asked, where Decision has room for a part of it only."""
    clauses = asks(paper.plan)
    if len(clauses) <= ASKS_MOST:
        return row
    paper.section(row, "All that is asked")
    for clause in clauses:
        row = paper.text(row + 1, f"•  {clause[0].upper()}{clause[1:]}", "wrap") - 1
    return row + 2


def _fleet(paper: Paper, fleet: FleetSheet, row: int) -> int:
    """Lots in service in the last period of each fiscal year."""
    page, plan = paper.page, paper.plan
    years = [year for year in paper.view.years if year != AFTER]
    last_period = {period.fiscal_year: i for i, period in enumerate(plan.periods)}
    paper.section(row, "What runs")
    paper.head(row + 1, "In service, last period of", years)
    row += 2
    for i, machines in enumerate(plan.fleet):
        page.put(row, LABEL, machine(machines), "label wrap")
        page.fit_height(row, ((machine(machines), paper.widths[0]),))
        page.put(row, UNIT, f"{machines.lot_name}s", "unit")
        for column, year in enumerate(years, FIRST):
            t = last_period[year]
            value = machines.lots_in_service[t]
            style = COUNT if float(value).is_integer() else CENTS
            source = fleet.cell(fleet.in_service[i], t)
            page.formula(row, column, f"={source}", float(value), "link", number_format=style)
        row += 1
    return row + 1


def _unit_costs(paper: Paper, row: int) -> int:
    """Cost of a million tokens by class, at the solve."""
    if not paper.plan.class_costs:
        return row
    paper.section(row, "What a million tokens costs")
    paper.head(row + 1, "Class of demand, as solved, undiscounted", ("Cost",))
    row += 2
    for cost in paper.plan.class_costs:
        paper.page.put(row, LABEL, cost.demand_class)
        paper.page.put(row, UNIT, "USD/1M tokens", "unit")
        paper.page.put(row, FIRST, cost.usd_per_mtoken, "solved", CENTS)
        row += 1
    return row + 1


def _band(paper: Paper, row: int) -> int:
    """What the performance model's error costs, where it was asked."""
    costs, scale = paper.plan.band_costs, paper.annual.scale
    if costs is None:
        return row
    paper.section(row, "What the error of the performance model costs")
    paper.page.band(row + 1, LABEL, paper.last, "head")
    row = band_costs.write_band_costs(paper.page, costs, scale, row + 1)
    return paper.text(row, band_costs.words(costs, scale), "note wrap") + 1


def _reuse(paper: Paper, row: int) -> int:
    """What prefix caching and cache-aware routing save, where a class has prefix hits."""
    sentences = reuse_words(paper.plan, paper.annual.scale)
    if not sentences:
        return row
    paper.section(row, "What reuse of prompts is worth")
    for sentence in sentences:
        row = paper.text(row + 1, sentence, "note wrap") - 1
    return row + 2


def _charts(paper: Paper, parts: Parts, row: int) -> int:
    """Two by two: fleet, latency; options, sensitivity."""
    plan, charts = paper.plan, []
    if plan.fleet:
        charts.append(fleet_chart(plan, parts.fleet))
    curve = next((c for c in plan.curves if c.points), None)
    if curve is not None:
        shown = _tightest(curve)
        title = f"{shown.words} of {curve.demand_class}, ms"
        charts.append(latency_chart("Latency", curve, 6, title, shown))
    if parts.options is not None and parts.scenarios is not None:
        charts.append(options_chart(plan, parts.options, parts.scenarios, parts.annual))
    if parts.sensitivity is not None:
        charts.append(tornado(parts.sensitivity))
    half = paper.width / 2
    for number, chart in enumerate(charts):
        top = row + _CHART_ROWS * (number // 2)
        left = half * (number % 2)
        place(paper.page, chart, top, left=left, width=half - 1, height=_CHART_ROWS - 1)
    return row + _CHART_ROWS * -(-len(charts) // 2)


def _tightest(curve: LatencyCurve) -> Latency:
    """The promise nearest to its limit at the planned rate."""

    def used(one: Latency) -> float:
        target = one.target(curve)
        return one.at(curve, curve.operating_rps) / target if target else 0.0

    return max(latencies([curve]), key=used)


def _known(paper: Paper, row: int) -> None:
    """Limits in use and all notes."""
    plan = paper.plan
    paper.section(row, "Limits in use, and notes")
    row += 1
    for limit in plan.binding:
        words = limit.family.replace("_", " ").capitalize()
        text = f"{words} at {limit.where}: {limit.used:,.0f} of {limit.limit:,.0f} {limit.unit}"
        row = paper.text(row, f"•  {text} used", "wrap")
    for note in plan.notes:
        row = paper.text(row, f"•  {note}", "wrap")
