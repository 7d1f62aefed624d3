"""Sheet Latency: what each used replica promises at each rate, with the planned point."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from openpyxl.worksheet.pagebreak import Break

from planner.report.charts import Band, Curve, place, scatter
from planner.report.page import Book, Page
from planner.report.style import BAD, CENTS, MUTED, NAVY, TEAL, TENTHS
from planner.result import LatencyCurve, Plan

RATE, TOKENS, TTFT, TTFT_SLO, TPOT, TPOT_SLO = range(1, 7)
ENDS = {TTFT: ("ttft_slow_ms", "ttft_fast_ms"), TPOT: ("tpot_slow_ms", "tpot_fast_ms")}
"""Fields of the slow and the fast end of the error band."""
ENDS_FIRST = {TTFT: TPOT_SLO + 1, TPOT: TPOT_SLO + 3}
"""Column of the slow end; the fast end is next to it."""
_HEADINGS = (
    "Requests/s a replica",
    "Output tokens/s a GPU",
    "TTFT, ms",
    "TTFT promised, ms",
    "TPOT, ms",
    "TPOT promised, ms",
    "TTFT, slow end",
    "TTFT, fast end",
    "TPOT, slow end",
    "TPOT, fast end",
)
_WIDTHS = (9, 10, 8, 9, 8, 9, 8, 8, 8, 8)
_TABLE_WIDTH = sum(_WIDTHS) + 2
_CHART_WIDTH = 38
_CURVES_A_PAGE = 2
SHARED = "The pool is shared with {}: rates are of all classes together, latencies of this one"
_LEAST_ROWS = 20
"""Rows that a chart beside the table covers."""


def write_latency(book: Book, plan: Plan) -> None:
    """Write the sheet; without curves it says so."""
    page = book.page("Latency", widths=(*_WIDTHS, 2, *[7.6] * 10))
    page.heading(
        "Latency against throughput",
        "At the promised percentile, one replica of each configuration in use; steps as planned "
        "and at both ends of the model's error band (80 % of measurements lie between).",
    )
    page.put(3, 1, "TTFT: time to first token. TPOT: time per output token after it.", "note")
    row = 4
    for number, curve in enumerate(plan.curves):
        if number and number % _CURVES_A_PAGE == 0:
            page.sheet.row_breaks.append(Break(id=row - 1))
        row = _curve(page, curve, row)
    if not plan.curves:
        page.put(row, 1, "No online class is served by machines of this plan.", "note")
    page.print_setup()


def _curve(page: Page, curve: LatencyCurve, row: int) -> int:
    """One curve's table and charts; returns the row below them."""
    page.band(row, 1, len(_WIDTHS) + 11, "group")
    shared = f". {SHARED.format(', '.join(curve.shared_with))}" if curve.shared_with else ""
    page.put(row, 1, f"{curve.demand_class}: {curve.candidate}{shared}", "group")
    page.row(row + 1, 1, _HEADINGS, "head right")
    page.sheet.row_dimensions[row + 1].height = 26
    for number, point in enumerate(curve.points, row + 2):
        page.put(number, RATE, point.rps, "solved", CENTS)
        page.put(number, TOKENS, point.output_tokens_per_s_per_gpu, "solved", TENTHS)
        page.put(number, TTFT, point.ttft_ms, "solved", TENTHS)
        page.put(number, TTFT_SLO, curve.ttft_target_ms, "text", TENTHS)
        page.put(number, TPOT, point.tpot_ms, "solved", TENTHS)
        page.put(number, TPOT_SLO, curve.tpot_target_ms, "text", TENTHS)
        for column, names in ENDS.items():
            for at, name in enumerate(names, ENDS_FIRST[column]):
                page.put(number, at, getattr(point, name), "solved", TENTHS)
    if curve.points:
        last = row + 2 + len(curve.points)
        _operating(page, curve, last)
        for title, column, target, left in (
            ("TTFT, ms", TTFT, curve.ttft_target_ms, _TABLE_WIDTH),
            ("TPOT, ms", TPOT, curve.tpot_target_ms, _TABLE_WIDTH + _CHART_WIDTH),
        ):
            chart = latency_chart(
                page.sheet.title, curve, row + 2, title, column=column, target=target
            )
            place(page, chart, row + 1, left=left, width=_CHART_WIDTH - 2, height=17)
    return row + 2 + max(len(curve.points) + 1, _LEAST_ROWS) + 1


def _operating(page: Page, curve: LatencyCurve, row: int) -> None:
    """The planned rate, below the points, marked in the charts."""
    ttft, tpot = latency_at(curve, curve.operating_rps)
    page.put(row, RATE, curve.operating_rps, "total", CENTS)
    page.put(row, TOKENS, "planned rate", "total")
    page.put(row, TTFT, ttft, "total", TENTHS)
    page.put(row, TTFT_SLO, None, "total")
    page.put(row, TPOT, tpot, "total", TENTHS)
    for column in range(TPOT_SLO, len(_WIDTHS) + 1):
        page.put(row, column, None, "total")


def latency_at(curve: LatencyCurve, rps: float) -> tuple[float, float]:
    """TTFT and TPOT at a rate, on the line between the points."""
    before = after = curve.points[0]
    for point in curve.points:
        before, after = after, point
        if point.rps >= rps:
            break
    width = after.rps - before.rps
    share = min(max((rps - before.rps) / width, 0.0), 1.0) if width else 0.0
    return (
        before.ttft_ms + share * (after.ttft_ms - before.ttft_ms),
        before.tpot_ms + share * (after.tpot_ms - before.tpot_ms),
    )


def latency_chart(
    sheet: str, curve: LatencyCurve, first: int, title: str, *, column: int, target: float | None
) -> object:
    """Latency over rate, the promise as a dashed line, the planned rate as a diamond."""
    points = curve.points
    values = [p.ttft_ms if column == TTFT else p.tpot_ms for p in points]
    x = Band(sheet, first, RATE, RATE, [p.rps for p in points], down=True)
    curves = [
        Curve("Planned steps", x, Band(sheet, first, column, column, values, down=True), NAVY),
        *_ends(sheet, curve, first, column),
    ]
    if target is not None:
        promised = [target] * len(points)
        y = Band(sheet, first, column + 1, column + 1, promised, down=True)
        curves.append(Curve("Promised", x, y, BAD, dash="dash"))
    row = first + len(points)
    at = latency_at(curve, curve.operating_rps)[0 if column == TTFT else 1]
    here = Band(sheet, row, RATE, RATE, [curve.operating_rps], down=True)
    there = Band(sheet, row, column, column, [at], down=True)
    curves.append(Curve("Planned", here, there, TEAL, marker=True))
    return scatter(title, curves, x_title="requests a second, one replica")


def _ends(sheet: str, curve: LatencyCurve, first: int, column: int) -> Iterator[Curve]:
    """Curves of the slow and the fast end, as far as they are steady."""
    pairs = zip(("Slow end", "Fast end"), ENDS[column], strict=True)
    for at, (label, name) in enumerate(pairs, ENDS_FIRST[column]):
        values = list(takewhile(_known, (getattr(point, name) for point in curve.points)))
        if len(values) > 1:
            rates = [point.rps for point in curve.points[: len(values)]]
            x = Band(sheet, first, RATE, RATE, rates, down=True)
            y = Band(sheet, first, at, at, values, down=True)
            yield Curve(label, x, y, MUTED, dash="dash")


def _known(value: float | None) -> bool:
    return value is not None
