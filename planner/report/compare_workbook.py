"""The workbook of a comparison: solved figures as values, every change and sum as a formula."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from openpyxl.utils import get_column_letter

from planner.report.charts import place
from planner.report.compare import Comparison, Pair
from planner.report.compare_bridge_sheet import CAUSES, BridgeSheet, waterfall, write_bridges
from planner.report.compare_changes import SIGNS
from planner.report.compare_inputs import Difference
from planner.report.compare_metrics import Metric
from planner.report.flags import GOOD_FLAG, mark_flag
from planner.report.page import Book, Page, clean
from planner.report.style import COUNT, FINE, MONEY, NAVY, PERCENT, PERCENT_FINE, TENTHS
from planner.report.words import gap_text

SHEETS = ("Summary", "Changes", "Bridge", "Metrics", "Inputs differing", "Sources")
LABEL, UNIT, FIRST = 1, 2, 3
HEAD = 4
NOT_COMPARED = "not compared"
_CHART_ROWS = {1: 30, 2: 24, 3: 20}
"""Rows of a chart, by how many there are."""
_MOST_CHANGES, _MOST_CHARTS = 14, 3
_WIDTHS = (34, 17, 17, 13, 15, 15, 15, 22)


@dataclass(frozen=True)
class MetricsSheet:
    """Where the figures stand."""

    title: str
    rows: dict[str, int]

    def value(self, label: str, number: int) -> str:
        """Address of a plan's figure."""
        return f"{self.title}!${get_column_letter(_column(number))}${self.rows[label]}"

    def change(self, label: str, number: int, offset: int = 1) -> str:
        """Address of its change, or with offset 2 of the relative one."""
        column = get_column_letter(_column(number) + offset)
        return f"{self.title}!${column}${self.rows[label]}"


def comparison_bytes(found: Comparison) -> bytes:
    """The workbook file."""
    book = Book()
    figures = _write_metrics(book, found)
    label = found.metrics[0].label
    npv = [figures.value(label, number) for number in range(len(found.plans))]
    bridges = write_bridges(book, found.first.name, found.pairs, npv)
    _write_changes(book, found)
    _write_inputs(book, found)
    _write_sources(book, found)
    _write_summary(book, found, figures, bridges)
    _finish(book, found)
    return book.to_bytes()


def _finish(book: Book, found: Comparison) -> None:
    """Reading order, properties, recalculation on load."""
    workbook = book.workbook
    for wanted, title in enumerate(SHEETS):
        workbook.move_sheet(title, wanted - workbook.sheetnames.index(title))
    workbook.active = 0
    for sheet in workbook.worksheets:
        sheet.sheet_view.tabSelected = sheet.title == SHEETS[0]
    workbook.calculation.fullCalcOnLoad = True
    plan = found.first.plan
    workbook.properties.title = clean(_title(found))
    workbook.properties.creator = f"inference-fleet-planner {plan.tool_version}"
    workbook.properties.created = datetime.fromisoformat(plan.created_at).replace(tzinfo=None)


def _title(found: Comparison) -> str:
    return f"{found.first.name} against {', '.join(pair.name for pair in found.pairs) or 'nothing'}"


def _column(number: int) -> int:
    """Column of a plan's value: one for the first, four for each later."""
    return FIRST if number == 0 else FIRST + 1 + 4 * (number - 1)


def _write_metrics(book: Book, found: Comparison) -> MetricsSheet:
    others = len(found.plans) - 1
    page = book.page("Metrics", widths=(46, 15, 17, *(17, 17, 11, 28) * others))
    page.heading("Metrics", f"Every plan against {found.first.name}; cost is positive.")
    page.put(HEAD, LABEL, "Figure", "head")
    page.put(HEAD, UNIT, "Unit", "head unit")
    page.put(HEAD, FIRST, found.first.name, "head right")
    for number, one in enumerate(found.plans[1:], 1):
        page.row(HEAD, _column(number), (one.name, "Change", "Relative"), "head right")
        page.put(HEAD, _column(number) + 3, "Note", "head unit")
    rows: dict[str, int] = {}
    row, family = HEAD, ""
    for metric in found.metrics:
        if metric.family != family:
            row, family = row + 1, metric.family
            page.band(row, 1, _column(others) + 3 if others else FIRST, "group")
            page.put(row, LABEL, family.capitalize(), "group")
        row += 1
        rows.setdefault(metric.label, row)
        _write_metric(page, row, metric, others)
    page.freeze(HEAD + 1, FIRST)
    page.print_setup(titles=f"{HEAD}:{HEAD}", columns="A:B", pages_wide=max(1, others // 3 + 1))
    return MetricsSheet(page.sheet.title, rows)


def _write_metric(page: Page, row: int, metric: Metric, others: int) -> None:
    style = _style(metric)
    page.put(row, LABEL, metric.label)
    page.put(row, UNIT, metric.unit, "unit")
    for number in range(others + 1):
        value = metric.values[number]
        column = _column(number)
        page.put(row, column, "" if value is None else value, "solved", style)
        if number:
            _write_change(page, row, metric, number, style)


def _write_change(page: Page, row: int, metric: Metric, number: int, style: str) -> None:
    column, change = _column(number), metric.change(number)
    if change is None:
        if metric.family != "solve":
            page.put(row, column + 3, NOT_COMPARED, "note")
        return
    first = f"${get_column_letter(FIRST)}{row}"
    mine, difference = (get_column_letter(column + offset) for offset in (0, 1))
    page.formula(row, column + 1, f"={mine}{row}-{first}", change, number_format=style)
    relative = metric.relative(number)
    formula = f'=IF({first}=0,"",{difference}{row}/ABS({first}))'
    shown = "" if relative is None else relative
    page.formula(row, column + 2, formula, shown, number_format=PERCENT)
    page.put(row, column + 3, metric.note(number), "note")


def _style(metric: Metric) -> str:
    if metric.unit == "frac":
        return PERCENT_FINE
    if metric.family == "unit cost":
        return FINE
    if metric.family == "machines":
        return TENTHS
    return MONEY


def _write_changes(book: Book, found: Comparison) -> None:
    page = book.page("Changes", widths=(8, 18, 110))
    page.heading("Changes", "+ added, ~ changed, - dropped, against the first plan.")
    row = HEAD
    for pair in found.pairs:
        page.band(row, 1, 3, "section")
        page.put(row, 1, f"{found.first.name} to {pair.name}: {pair.summary}", "section")
        page.row(row + 1, 1, ("", "What", "Change"), "head unit")
        row += 2
        for one in pair.changes:
            page.put(row, 1, SIGNS[one.kind], "label bold")
            page.put(row, 2, one.section, "text left")
            page.put(row, 3, one.text, "wrap")
            page.fit_height(row, ((one.text, 110),))
            row += 1
        if not pair.changes:
            page.put(row, 3, "no difference", "note")
            row += 1
        row += 1
    page.print_setup()


def _write_inputs(book: Book, found: Comparison) -> None:
    page = book.page("Inputs differing", widths=(58, 15, 30, 30, 60, 60))
    page.heading("Inputs differing", "What the plans were asked, and figures of the catalog.")
    row = HEAD
    for pair in found.pairs:
        for title, rows in (("scenario", pair.scenario), ("catalog", pair.catalog)):
            page.band(row, 1, 6, "section")
            page.put(row, 1, f"{found.first.name} to {pair.name}: {title}", "section")
            heads = ("Input", "Unit", found.first.name, pair.name)
            sources = ("Source of the first", "Source of the second") if title == "catalog" else ()
            page.row(row + 1, 1, (*heads, *sources), "head unit")
            page.put(row + 1, 1, "Input", "head")
            row = _differences(page, row + 2, rows) + 1
    page.print_setup()


def _differences(page: Page, row: int, rows: Sequence[Difference]) -> int:
    for one in rows:
        page.put(row, 1, one.what, "label wrap")
        page.put(row, 2, one.unit, "unit")
        values = (one.first, one.second, one.first_source, one.second_source)
        for column, value in enumerate(values, 3):
            page.put(row, column, value, "wrap")
        widths = (58, 30, 30, 60, 60)
        page.fit_height(row, zip((one.what, *values), widths, strict=True))
        row += 1
    if not rows:
        page.put(row, 1, "no difference", "note")
        row += 1
    return row


def _write_sources(book: Book, found: Comparison) -> None:
    """The plans themselves, then every figure with the plans that use it."""
    page = book.page("Sources", widths=(46, 18, 15, 12, 12, 16, 34, 90))
    page.heading("Sources", "The plans compared, and where their figures come from.")
    page.row(
        HEAD, 1, ("Plan", "Solved", "Status", "Gap", "", "", "Scenario", "SHA-256"), "head unit"
    )
    row = HEAD + 1
    for one in found.plans:
        plan = one.plan
        page.row(row, 1, (one.name, plan.created_at[:10], plan.status), "text left")
        page.put(row, 4, gap_text(plan), "text left")
        page.put(row, 7, one.title, "text left")
        page.put(row, 8, plan.scenario_sha256, "muted")
        row += 1
    row += 1
    heads = ("Figure", "Value", "Unit", "As of", "Basis", "Used in", "Plans", "Source")
    page.row(row, 1, heads, "head unit")
    for figure, plans in sorted(_figures(found).items()):
        row += 1
        what, value, unit, as_of, basis, used_in, source = figure
        cells = (what, value, unit, as_of, basis, used_in, ", ".join(plans), source)
        for column, cell in enumerate(cells, 1):
            page.put(row, column, cell, "wrap" if column in (1, 7, 8) else "text left")
        page.fit_height(row, ((what, 46), (cells[6], 34), (source, 90)))
    page.print_setup()


def _figures(found: Comparison) -> dict[tuple[str, ...], list[str]]:
    figures: dict[tuple[str, ...], list[str]] = {}
    for one in found.plans:
        for row in one.plan.sources:
            key = (row.what, row.value, row.unit, row.as_of, row.basis, row.used_in, row.source)
            users = figures.setdefault(key, [])
            users += [] if one.name in users else [one.name]
    return figures


def _write_summary(
    book: Book, found: Comparison, figures: MetricsSheet, bridges: BridgeSheet
) -> None:
    page = book.page("Summary", widths=_WIDTHS, tab=NAVY)
    page.sheet.sheet_view.showGridLines = False
    page.heading("Comparison of plans", _title(found))
    page.formula(3, 1, f"={bridges.flag}", bridges.flag_text, "label bold")
    mark_flag(page, "A3", GOOD_FLAG)
    row = _plans(page, found, figures, 5)
    for one in found.failures:
        _wide(page, row, f"{one.name}: no plan. {'; '.join(one.reasons)}", "warning")
        row += 1
    row = _causes(page, found, bridges, row + 1)
    for pair in found.pairs:
        row = _change_lines(page, found.first.name, pair, row + 1)
    row += 1
    charts = [waterfall(found.first.name, block) for block in bridges.blocks]
    drawn = [chart for chart in charts if chart is not None][:_MOST_CHARTS]
    for chart in drawn:
        height = _CHART_ROWS[len(drawn)]
        place(page, chart, row, left=0, width=sum(_WIDTHS) - 1, height=height)
        row += height + 1
    page.print_setup(one_page=True, portrait=True)


_TOP_HEADINGS = (
    "Plan", "Net present cost, USD", "Change, USD", "Relative", "Annualized, USD",
    "Purchases, USD", "GPUs, most", "Gap",
)  # fmt: skip
_TOP_LABELS = (
    "Net present cost", "Annualized cost", "Purchases (capex)",
    "Accelerators in service, most of any period",
)  # fmt: skip


def _plans(page: Page, found: Comparison, figures: MetricsSheet, row: int) -> int:
    """One line a plan with the figures that decide."""
    page.put(row, 1, _TOP_HEADINGS[0], "head")
    page.row(row, 2, _TOP_HEADINGS[1:7], "head right")
    page.put(row, 8, _TOP_HEADINGS[7], "head unit")
    metrics = {metric.label: metric for metric in found.metrics}
    npv = metrics[_TOP_LABELS[0]]
    for number, one in enumerate(found.plans):
        row += 1
        page.put(row, 1, one.name, "label bold")
        for column, label in zip((2, 5, 6, 7), _TOP_LABELS, strict=True):
            value = metrics[label].values[number]
            style = COUNT if column == 7 else MONEY
            source = f"={figures.value(label, number)}"
            page.formula(row, column, source, value or 0.0, "link", number_format=style)
        change, relative = npv.change(number), npv.relative(number)
        if number and change is not None:
            source = f"={figures.change(npv.label, number)}"
            page.formula(row, 3, source, change, "link", number_format=MONEY)
        if number and relative is not None:
            source = f"={figures.change(npv.label, number, 2)}"
            page.formula(row, 4, source, relative, "link", number_format=PERCENT)
        note = npv.note(number)
        text = gap_text(one.plan) + (f"; {note}" if note else "")
        page.put(row, 8, text, "note wrap")
        page.fit_height(row, ((text, _WIDTHS[7]),))
    return row + 1


def _causes(page: Page, found: Comparison, bridges: BridgeSheet, row: int) -> int:
    """Where the difference comes from: one line a plan, one column a cause."""
    page.band(row, 1, len(_WIDTHS), "section")
    page.put(row, 1, "Why the cost differs", "section")
    row += 1
    page.put(row, 1, "USD, present value", "head")
    page.row(row, 2, tuple(CAUSES.values()), "head right")
    blocks = {block.pair.name: block for block in bridges.blocks}
    for pair in found.pairs:
        row += 1
        page.put(row, 1, pair.name, "label bold")
        block = blocks.get(pair.name)
        if block is None:
            _wide(page, row, f"{pair.name}: {pair.refused}", "warning")
            continue
        sums = block.bridge.by_cause()
        for column, cause in enumerate(CAUSES, 2):
            source = f"={bridges.cause(block, cause)}"
            page.formula(row, column, source, sums[cause], "link", number_format=MONEY)
    return row + 1


def _change_lines(page: Page, first: str, pair: Pair, row: int) -> int:
    """What is added, changed and dropped; configurations stand on their own sheet."""
    page.band(row, 1, len(_WIDTHS), "section")
    page.put(row, 1, f"From {first} to {pair.name}: {pair.summary}", "section")
    chosen = [one for one in pair.changes if one.section != "configurations"]
    for one in chosen[:_MOST_CHANGES]:
        row += 1
        _wide(page, row, one.line, "wrap")
    if len(chosen) > _MOST_CHANGES:
        row += 1
        _wide(page, row, f"and {len(chosen) - _MOST_CHANGES} more on sheet Changes", "note")
    return row + 1


def _wide(page: Page, row: int, text: str, look: str) -> None:
    """Text over the whole width."""
    page.put(row, 1, text, look)
    page.sheet.merge_cells(start_row=row, end_row=row, start_column=1, end_column=len(_WIDTHS))
    page.fit_height(row, ((text, sum(_WIDTHS)),))
