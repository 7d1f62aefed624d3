"""Sheet Bridge of a comparison: steps as values, running totals and checks as formulas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from openpyxl.chart.shapes import GraphicalProperties
from openpyxl.drawing.line import LineProperties

from planner.report.charts import Band, stacked_columns
from planner.report.checks import MONEY_RATIO, MONEY_USD
from planner.report.compare import Pair
from planner.report.compare_bridge import Bridge, Cause
from planner.report.flags import GOOD_FLAG, mark_flag
from planner.report.page import Book, Page
from planner.report.sheet_annual import Scale, scale_of
from planner.report.sheet_checks import YES_NO
from planner.report.style import BAD, CENTS, GOOD, MONEY, NAVY, SCIENTIFIC

STEP, CAUSE, CHANGE, RUNNING, BASE, TOTAL, RISE, FALL, NOTE = range(1, 10)
BAD_FLAG = "A check fails: see sheet Bridge"
FLAG_ROW, SCALE_ROW, TOLERANCE_ROW, FIRST_BLOCK = 3, 4, 5, 9
CAUSES: dict[Cause, str] = {
    "price": "Prices and rates",
    "rules": "Rules of counting",
    "demand": "Demand",
    "fleet": "Fleet and mix",
}
_HEADINGS = ("Step", "Cause", "Change, USD", "Cost so far, USD", "Under", "Total", "More", "Less")
_COLOURS = (NAVY, BAD, GOOD)
_ZOOM_BELOW = 0.35
"""Where steps move the total by less than this share, the chart's axis starts above zero."""


@dataclass(frozen=True)
class Block:
    """Where one bridge stands on the sheet."""

    pair: Pair
    bridge: Bridge
    scale: Scale
    head: int
    """Row of the headings; the first plan's total follows."""

    @property
    def first(self) -> int:
        """Row of the first plan's cost; the steps follow."""
        return self.head + 1

    @property
    def last(self) -> int:
        """Row of the second plan's cost."""
        return self.first + len(self.bridge.steps) + 1

    @property
    def causes(self) -> int:
        """Row of the first cause's sum."""
        return self.last + 2

    @property
    def check(self) -> int:
        """Row of the check."""
        return self.causes + len(CAUSES)

    @property
    def end(self) -> int:
        """Row after the block."""
        return self.check + 3


@dataclass(frozen=True)
class BridgeSheet:
    """Where the flags and the bridges stand."""

    title: str
    blocks: tuple[Block, ...]
    flag: str
    flag_text: str

    def cause(self, block: Block, cause: Cause) -> str:
        """Address of a cause's sum."""
        return f"{self.title}!$C${block.causes + list(CAUSES).index(cause)}"


def write_bridges(book: Book, first: str, pairs: Sequence[Pair], npv: Sequence[str]) -> BridgeSheet:
    """Write the sheet; `npv` are the addresses of the plans' costs, the first plan's first."""
    page = book.page("Bridge", widths=(52, 18, 17, 17, 12, 12, 12, 12, 90))
    page.heading(
        "Bridge",
        "Prices and rates first, with the first plan's fleet; then rules of counting, demand, "
        "fleet. Each step is the present value after it less that before it.",
    )
    biggest = max((abs(p.bridge.end_usd) for p in pairs if p.bridge), default=0.0)
    scale = scale_of(biggest)
    _settings(page, scale)
    blocks, row = [], FIRST_BLOCK
    for number, pair in enumerate(pairs, 1):
        page.put(row, STEP, f"From {first} to {pair.name}", "section")
        if pair.bridge is None:
            page.put(row + 1, STEP, pair.refused, "warning")
            page.fit_height(row + 1, ((pair.refused, 52),))
            row += 3
            continue
        block = Block(pair, pair.bridge, scale, row + 1)
        _write(page, block, first, (npv[0], npv[number]))
        blocks.append(block)
        row = block.end
    sheet = _flag(page, blocks)
    page.print_setup(titles="1:2")
    return sheet


def _settings(page: Page, scale: Scale) -> None:
    page.put(SCALE_ROW, STEP, f"Unit of the chart's columns: {scale.unit}")
    page.put(SCALE_ROW, CHANGE, scale.usd, "input", MONEY)
    page.put(SCALE_ROW, RUNNING, "USD", "unit")
    for row, what, value, style in (
        (TOLERANCE_ROW, "Tolerance of the check, absolute, USD", MONEY_USD, CENTS),
        (TOLERANCE_ROW + 1, "Tolerance of the check, relative", MONEY_RATIO, SCIENTIFIC),
    ):
        page.put(row, STEP, what)
        page.put(row, CHANGE, value, "input", style)


def _write(page: Page, block: Block, first: str, npv: tuple[str, str]) -> None:
    page.put(block.head, STEP, _HEADINGS[0], "head")
    page.put(block.head, CAUSE, _HEADINGS[1], "head unit")
    page.row(block.head, CHANGE, _HEADINGS[2:], "head right")
    page.put(block.head, NOTE, "Figures", "head unit")
    found, row = block.bridge, block.first
    _total(page, row, first, (npv[0], found.start_usd), block.scale)
    running = found.start_usd
    for step in found.steps:
        row, before = row + 1, running
        running += step.usd
        page.put(row, STEP, step.what, "label wrap")
        page.put(row, CAUSE, CAUSES[step.cause], "unit")
        page.put(row, CHANGE, step.usd, "solved", MONEY)
        page.formula(row, RUNNING, f"=D{row - 1}+C{row}", running, number_format=MONEY)
        _bars(page, row, before, running, block.scale)
        page.put(row, NOTE, step.note, "note wrap")
        page.fit_height(row, ((step.note, 90), (step.what, 52)))
    _total(page, block.last, block.pair.name, (npv[1], found.end_usd), block.scale)
    _causes(page, block)
    _check(page, block, running)


def _total(page: Page, row: int, name: str, cost: tuple[str, float], scale: Scale) -> None:
    """A plan's whole cost: its address and value."""
    source, usd = cost
    page.put(row, STEP, name, "label bold")
    page.formula(row, RUNNING, f"={source}", usd, "link total", number_format=MONEY)
    page.formula(row, TOTAL, f"=D{row}/$C${SCALE_ROW}", usd / scale.usd, number_format=CENTS)


def _bars(page: Page, row: int, before: float, after: float, scale: Scale) -> None:
    """What lies under a step's column, and the column: up or down."""
    unit = f"$C${SCALE_ROW}"
    for column, formula, value in (
        (BASE, f"=MIN(D{row - 1},D{row})/{unit}", min(before, after)),
        (RISE, f"=MAX(C{row},0)/{unit}", max(after - before, 0.0)),
        (FALL, f"=MAX(-C{row},0)/{unit}", max(before - after, 0.0)),
    ):
        page.formula(row, column, formula, value / scale.usd, number_format=CENTS)


def _causes(page: Page, block: Block) -> None:
    """Sum of each cause."""
    steps = block.first + 1, block.last - 1
    sums = block.bridge.by_cause()
    for row, (cause, label) in enumerate(CAUSES.items(), block.causes):
        page.put(row, STEP, "Sum of the steps of this cause", "note")
        page.put(row, CAUSE, label, "unit")
        if block.bridge.steps:
            names, amounts = (f"${c}${steps[0]}:${c}${steps[1]}" for c in "BC")
            formula = f"=SUMIFS({amounts},{names},B{row})"
            page.formula(row, CHANGE, formula, sums[cause], number_format=MONEY)
        else:
            page.put(row, CHANGE, 0.0, "solved", MONEY)


def _check(page: Page, block: Block, running: float) -> None:
    """Costs so far after the last step against the second plan's cost."""
    row, last = block.check, block.last
    left = block.bridge.end_usd - running
    page.put(row, STEP, "Check: second plan's cost less cost after the last step", "label bold")
    formula = f"=D{last}-D{last - 1}"
    page.formula(row, CHANGE, formula, left, "total", number_format=CENTS)
    limit = f"MAX($C${TOLERANCE_ROW},$C${TOLERANCE_ROW + 1}*ABS(D{last}))"
    page.formula(
        row, RUNNING, f"=IF(ABS(C{row})<={limit},1,0)", float(_holds(block, left)), "flag",
        number_format=YES_NO,
    )  # fmt: skip


def _holds(block: Block, left: float) -> bool:
    return abs(left) <= max(MONEY_USD, MONEY_RATIO * abs(block.bridge.end_usd))


def _flag(page: Page, blocks: Sequence[Block]) -> BridgeSheet:
    """One flag for all checks; without a bridge there is nothing to check."""
    good = all(_holds(block, block.bridge.left_usd) for block in blocks)
    text = GOOD_FLAG if good else BAD_FLAG
    if blocks:
        cells = ",".join(f"D{block.check}" for block in blocks)
        formula = f'=IF(MIN({cells})=1,"{GOOD_FLAG}","{BAD_FLAG}")'
        page.formula(FLAG_ROW, STEP, formula, text, "label bold")
        mark_flag(page, f"A{FLAG_ROW}", GOOD_FLAG)
    else:
        text = "No plan can be bridged to the first"
        page.put(FLAG_ROW, STEP, text, "label bold")
    return BridgeSheet(page.sheet.title, tuple(blocks), page.address(FLAG_ROW, STEP), text)


def waterfall(first: str, block: Block) -> object | None:
    """Chart of a bridge; None where the cost so far falls below zero, which columns cannot show."""
    found, scale = block.bridge, block.scale
    totals = [found.start_usd]
    for step in found.steps:
        totals.append(totals[-1] + step.usd)
    if min(totals) < 0 or not found.steps:
        return None
    pairs = list(pairwise(totals))
    labels = [first, *(step.what for step in found.steps), block.pair.name]
    columns: list[tuple[str, int, list[float]]] = [
        ("", BASE, [0.0, *(min(pair) for pair in pairs), 0.0]),
        ("Net present cost", TOTAL, [totals[0], *[0.0] * len(pairs), found.end_usd]),
        ("More", RISE, [0.0, *(max(b - a, 0.0) for a, b in pairs), 0.0]),
        ("Less", FALL, [0.0, *(max(a - b, 0.0) for a, b in pairs), 0.0]),
    ]
    shown = [total / scale.usd for total in (*totals, found.end_usd)]
    start = axis_start(shown)
    cut = f"; the axis starts at {start:,.6g}" if start else ""
    chart = stacked_columns(
        f"Net present cost from {first} to {block.pair.name}, {scale.unit}{cut}",
        _down(block, STEP, labels),
        [(name, _down(block, column, [v / scale.usd for v in values]))
         for name, column, values in columns],
        gap=25,
    )  # fmt: skip
    _paint(chart, start, max(shown))
    return chart


def _down(block: Block, column: int, values: Sequence[float | str]) -> Band:
    return Band("Bridge", block.first, column, column, values, down=True)


def _paint(chart: object, start: float, largest: float) -> None:
    """Nothing under the steps, red for more, green for less; a nearer axis for small steps."""
    series = chart.series  # type: ignore[attr-defined]
    series[0].graphicalProperties = GraphicalProperties(noFill=True, ln=LineProperties(noFill=True))
    for one, colour in zip(series[1:], _COLOURS, strict=True):
        one.graphicalProperties = GraphicalProperties(
            solidFill=colour, ln=LineProperties(noFill=True)
        )
    chart.legend = None  # type: ignore[attr-defined]
    axis = chart.y_axis  # type: ignore[attr-defined]
    if start:
        axis.scaling.min = start
    axis.number_format = "#,##0.0" if largest < 100 else "#,##0"


def axis_start(totals: Sequence[float]) -> float:
    """Where the axis begins: zero, or a round number below where steps are small beside totals.

    Examples
    --------
    >>> axis_start([100.0, 103.0, 101.0])
    98.0
    >>> axis_start([100.0, 40.0])
    0.0
    """
    low, high = min(totals), max(totals)
    if high <= 0 or (high - low) / high > _ZOOM_BELOW or high == low:
        return 0.0
    digit = 10.0 ** math.floor(math.log10((high - low) / 2))
    return max(math.floor((low - (high - low) / 2) / digit) * digit, 0.0)
