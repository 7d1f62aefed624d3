"""The page of a comparison: the same page as a plan's, other sections."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from planner.report.compare import Comparison, Pair
from planner.report.compare_bridge import Bridge
from planner.report.compare_bridge_sheet import CAUSES, axis_start
from planner.report.compare_inputs import Difference
from planner.report.compare_metrics import Metric
from planner.report.html import page
from planner.report.html_model import (
    Block,
    Bullets,
    Cell,
    Chart,
    Column,
    Figure,
    Figures,
    Heading,
    Plots,
    Row,
    Section,
    Series,
    Style,
    Table,
)
from planner.report.sheet_annual import Scale, scale_of
from planner.report.words import gap_text, plural

NOT_COMPARED = "not compared"
_MONEY_UNITS = ("USD", "USD/year")


def comparison_html(found: Comparison) -> bytes:
    """The page, UTF-8."""
    sections = [
        _summary(found),
        _changes(found),
        _bridges(found),
        _figures(found),
        _inputs(found),
        _plans(found),
    ]
    others = ", ".join(pair.name for pair in found.pairs)
    failed = plural(len(found.failures), "scenario") + " without a plan" if found.failures else ""
    text = page(
        "compare.html.j2",
        [section for section in sections if section.blocks],
        title=f"{found.first.name} against {others or 'nothing'}",
        subtitle=found.first.title,
        holds=True,
        failed=failed,
        tool=f"inference-fleet-planner {found.first.plan.tool_version}",
    )
    return text.encode()


def _scale(found: Comparison) -> Scale:
    return scale_of(max(abs(one.plan.npv_usd) for one in found.plans))


def _summary(found: Comparison) -> Section:
    """Costs as tiles, what is added and dropped, what could not be planned."""
    scale, npv = _scale(found), found.metrics[0]
    tiles = []
    for number, one in enumerate(found.plans):
        value = npv.values[number] or 0.0
        tiles.append(Figure(one.name, f"{value / scale.usd:,.2f}", scale.unit, _note(npv, number)))
    blocks: list[Block] = [Figures(tiles)]
    blocks += [
        Bullets([f"{one.name}: {reason}" for reason in one.reasons], "warning")
        for one in found.failures
    ]
    lines = [f"{found.first.name} to {pair.name}: {pair.summary}" for pair in found.pairs]
    refused = [f"{pair.name}: {pair.refused}" for pair in found.pairs if pair.refused]
    blocks += [Bullets(lines, "ask")] if lines else []
    blocks += [Bullets(refused, "warning")] if refused else []
    return Section("summary", "Summary", "Net present cost; positive is cost.", blocks)


def _note(npv: Metric, number: int) -> str:
    """Change against the first plan, and whether it means anything."""
    change, relative = npv.change(number), npv.relative(number)
    if not number:
        return "the others are compared with it"
    if change is None:
        return NOT_COMPARED
    share = f"{relative:+.1%}" if relative is not None else f"{change:+,.0f}"
    return "; ".join(part for part in (share, npv.note(number)) if part)


def _changes(found: Comparison) -> Section:
    blocks: list[Block] = []
    columns = [Column("What"), Column("Change"), Column("", wide=True)]
    for pair in found.pairs:
        title = f"{found.first.name} to {pair.name}"
        rows = [Row([one.section, one.kind, one.line]) for one in pair.changes]
        blocks.append(Heading(f"{title}: {pair.summary}"))
        blocks.append(Table(title, columns, rows) if rows else Bullets(["No difference."]))
    lead = "Machines, APIs and serving configurations: + added, ~ changed, - dropped."
    return Section("changes", "Changes", lead, blocks)


def _bridges(found: Comparison) -> Section:
    charts = [
        _waterfall(found, pair, pair.bridge, number)
        for number, pair in enumerate(found.pairs)
        if pair.bridge is not None
    ]
    lead = (
        "Prices and rates first, with the first plan's fleet; then rules of counting, demand, "
        "fleet and mix. The steps sum to the difference."
    )
    return Section("bridge", "Cost bridge", lead, [Plots([chart]) for chart in charts])


def _waterfall(found: Comparison, pair: Pair, bridge: Bridge, number: int) -> Chart:
    """Columns that hang where the one before ended."""
    scale = _scale(found)
    totals = [bridge.start_usd / scale.usd]
    for step in bridge.steps:
        totals.append(totals[-1] + step.usd / scale.usd)
    moves = list(pairwise(totals))
    end = bridge.end_usd / scale.usd
    series = [
        Series("", [0.0, *(min(a, b) for a, b in moves), 0.0], "under"),
        Series("Net present cost", [totals[0], *[0.0] * len(moves), end]),
        Series("More", [0.0, *(max(b - a, 0.0) for a, b in moves), 0.0], "bad"),
        Series("Less", [0.0, *(max(a - b, 0.0) for a, b in moves), 0.0], "good"),
    ]
    title = f"Net present cost from {found.first.name} to {pair.name}"
    return Chart(
        f"bridge-{number}", title, "stacked", "Step", scale.unit, series,
        _steps(found.first.name, pair.name, bridge, title, scale),
        labels=[found.first.name, *(step.what for step in bridge.steps), pair.name], decimals=3,
        start=axis_start([*totals, end]),
    )  # fmt: skip


def _steps(first: str, second: str, bridge: Bridge, title: str, scale: Scale) -> Table:
    columns = [
        Column("Step"), Column("Cause"), Column("Change", scale.unit, "fine"),
        Column("Cost so far", scale.unit, "fine"), Column("Figures", wide=True),
    ]  # fmt: skip
    so_far = bridge.start_usd
    rows = [Row([first, "", None, so_far / scale.usd, ""], look="total")]
    for step in bridge.steps:
        so_far += step.usd
        amounts = step.usd / scale.usd, so_far / scale.usd
        rows.append(Row([step.what, CAUSES[step.cause], *amounts, step.note]))
    rows.append(Row([second, "", None, bridge.end_usd / scale.usd, ""], look="total"))
    return Table(title, columns, rows)


def _figures(found: Comparison) -> Section:
    """Every figure of every plan, then each later plan's change."""
    scale, first = _scale(found), found.first.name
    columns = [Column("Figure", wide=True), Column("Unit")]
    columns += [Column(one.name, style="auto") for one in found.plans]
    for one in found.plans[1:]:
        columns += [Column(f"{one.name} less {first}", style="auto"), Column("%", style="percent")]
    rows, marks = [], dict[str, str]()
    for metric in found.metrics:
        money = metric.unit in _MONEY_UNITS
        unit = metric.unit.replace("USD", scale.unit) if money else metric.unit
        cells = _cells(metric, scale.usd if money else 1.0, marks)
        rows.append(Row([metric.label, unit, *cells]))
    note = "; ".join(f"{mark} {text}" for text, mark in marks.items())
    blocks = [Table("Every plan against the first", columns, rows, note=note)]
    return Section("figures", "Figures", "Cost is positive; n/c is not compared.", blocks)


def _cells(metric: Metric, divisor: float, marks: dict[str, str]) -> list[Cell]:
    """Values of all plans, then change and share of each later one."""
    cells = [_shown(metric, value, divisor) for value in metric.values]
    for number in range(1, len(metric.values)):
        change, relative = metric.change(number), metric.relative(number)
        share = f"{relative:+.1%}" if relative is not None else ""
        if note := metric.note(number):
            share += f" {marks.setdefault(note, '*' * (len(marks) + 1))}"
        nothing = "" if metric.family == "solve" else "n/c"
        cells += [nothing if change is None else _shown(metric, change, divisor), share]
    return cells


def _shown(metric: Metric, value: float | None, divisor: float) -> Cell:
    if value is None or metric.unit != "frac":
        return value / divisor if value is not None else None
    return f"{value:.3%}"


def _inputs(found: Comparison) -> Section:
    blocks: list[Block] = []
    for pair in found.pairs:
        for title, rows in (("scenario", pair.scenario), ("catalog", pair.catalog)):
            if rows:
                caption = f"{found.first.name} to {pair.name}: {title}"
                blocks.append(_differences(caption, found.first.name, pair.name, rows))
    lead = "What the plans were asked, and figures of the catalog with their sources."
    return Section("inputs", "Inputs that differ", lead, blocks)


def _differences(caption: str, first: str, second: str, rows: Sequence[Difference]) -> Table:
    columns = [Column("Input", wide=True), Column("Unit")]
    columns += [Column(name, wide=True) for name in (first, second)]
    sourced = any(row.first_source or row.second_source for row in rows)
    if sourced:
        columns += [Column(f"Source of {name}", wide=True) for name in (first, second)]
    lines = []
    for row in rows:
        sources = [row.first_source, row.second_source] if sourced else []
        lines.append(Row([row.what, row.unit, row.first, row.second, *sources]))
    return Table(caption, columns, lines)


def _plans(found: Comparison) -> Section:
    style: Style = "text"
    headings = ("Plan", "Scenario", "Solved", "Status", "Gap", "Scenario's SHA-256")
    columns = [Column(heading, style=style, wide=heading == "Scenario") for heading in headings]
    rows = [
        Row([one.name, one.title, one.plan.created_at[:10], one.plan.status, gap_text(one.plan),
             one.plan.scenario_sha256[:16]])
        for one in found.plans
    ]  # fmt: skip
    return Section("plans", "Plans", "", [Table("Plans compared", columns, rows)])
