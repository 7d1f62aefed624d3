"""Sheet Latency: what each used replica promises at each rate, with the planned point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

from openpyxl.worksheet.pagebreak import Break

from planner.report.charts import Band, Curve, place, scatter
from planner.report.latency_figures import E2E, Latency, latencies
from planner.report.page import Book, Page
from planner.report.style import BAD, CENTS, MUTED, NAVY, TEAL, TENTHS
from planner.result import LatencyCurve, Plan

RATE, TOKENS = 1, 2
_HEADINGS = (("Requests/s a replica", 9), ("Output tokens/s a GPU", 10))
"""Heading and width."""
ENDS = "slow_", "fast_"
"""Of the error band."""
_CHART_WIDTH, _CHART_COLUMNS = 38, 5
_CURVES_A_PAGE = 2
SHARED = "The pool is shared with {}: rates are of all classes together, latencies of this one"
_LEAST_ROWS = 20
"""Rows that a chart beside the table covers."""


def write_latency(book: Book, plan: Plan) -> None:
    """Write the sheet; without curves it says so."""
    shown = latencies(plan.curves)
    headings = _headings(shown)
    beside = [_CHART_WIDTH / _CHART_COLUMNS] * _CHART_COLUMNS * len(shown)
    page = book.page("Latency", widths=(*[width for _, width in headings], 2, *beside))
    page.heading(
        "Latency against throughput",
        "At the promised percentile, one replica of each configuration in use; steps as planned "
        "and at both ends of the model's error band (80 % of measurements lie between).",
    )
    ends = " E2E: time to last token." if E2E in shown else ""
    said = f"TTFT: time to first token. TPOT: time per output token after it.{ends}"
    page.put(3, 1, said, "note")
    row = 4
    for number, curve in enumerate(plan.curves):
        if number and number % _CURVES_A_PAGE == 0:
            page.sheet.row_breaks.append(Break(id=row - 1))
        row = _curve(page, curve, row, headings)
    if not plan.curves:
        page.put(row, 1, "No online class is served by machines of this plan.", "note")
    page.print_setup()


def _headings(shown: Sequence[Latency]) -> list[tuple[str, float]]:
    """Heading and width of every column."""
    found = dict(enumerate(_HEADINGS, 1))
    for one in shown:
        found |= {
            one.column: (f"{one.name}, ms", 8), one.column + 1: (f"{one.name} promised, ms", 9),
            one.ends: (f"{one.name}, slow end", 8), one.ends + 1: (f"{one.name}, fast end", 8),
        }  # fmt: skip
    return [found[column] for column in sorted(found)]


def _curve(page: Page, curve: LatencyCurve, row: int, headings: Sequence[tuple[str, float]]) -> int:
    """One curve's table and charts; returns the row below them."""
    shown = latencies([curve])
    page.band(row, 1, len(headings) + 1 + _CHART_COLUMNS * len(shown), "group")
    shared = f". {SHARED.format(', '.join(curve.shared_with))}" if curve.shared_with else ""
    page.put(row, 1, f"{curve.demand_class}: {curve.candidate}{shared}", "group")
    page.row(row + 1, 1, [heading for heading, _ in headings], "head right")
    page.sheet.row_dimensions[row + 1].height = 38
    for number, point in enumerate(curve.points, row + 2):
        page.put(number, RATE, point.rps, "solved", CENTS)
        page.put(number, TOKENS, point.output_tokens_per_s_per_gpu, "solved", TENTHS)
        for one in shown:
            page.put(number, one.column, one.value(point), "solved", TENTHS)
            page.put(number, one.column + 1, one.target(curve), "text", TENTHS)
            for at, end in enumerate(ENDS, one.ends):
                page.put(number, at, one.value(point, end), "solved", TENTHS)
    if curve.points:
        _operating(page, curve, row + 2 + len(curve.points), len(headings))
        left = sum(width for _, width in headings) + 2
        for number, one in enumerate(shown):
            chart = latency_chart(page.sheet.title, curve, row + 2, f"{one.name}, ms", one)
            place(
                page, chart, row + 1, left=left + number * _CHART_WIDTH, width=_CHART_WIDTH - 2,
                height=17,
            )  # fmt: skip
    return row + 2 + max(len(curve.points) + 1, _LEAST_ROWS) + 1


def _operating(page: Page, curve: LatencyCurve, row: int, columns: int) -> None:
    """The planned rate, below the points, marked in the charts."""
    for column in range(1, columns + 1):
        page.put(row, column, None, "total")
    page.put(row, RATE, curve.operating_rps, "total", CENTS)
    page.put(row, TOKENS, "planned rate", "total")
    for one in latencies([curve]):
        page.put(row, one.column, one.at(curve, curve.operating_rps), "total", TENTHS)


def latency_chart(
    sheet: str, curve: LatencyCurve, first: int, title: str, shown: Latency
) -> object:
    """Latency over rate, the promise as a dashed line, the planned rate as a diamond."""
    points = curve.points
    column, target = shown.column, shown.target(curve)
    values = [shown.value(point) or 0.0 for point in points]
    x = Band(sheet, first, RATE, RATE, [p.rps for p in points], down=True)
    curves = [
        Curve("Planned steps", x, Band(sheet, first, column, column, values, down=True), NAVY),
        *_ends(sheet, curve, first, shown),
    ]
    if target is not None:
        promised = [target] * len(points)
        y = Band(sheet, first, column + 1, column + 1, promised, down=True)
        curves.append(Curve("Promised", x, y, BAD, dash="dash"))
    row = first + len(points)
    at = shown.at(curve, curve.operating_rps)
    here = Band(sheet, row, RATE, RATE, [curve.operating_rps], down=True)
    there = Band(sheet, row, column, column, [at], down=True)
    curves.append(Curve("Planned", here, there, TEAL, marker=True))
    return scatter(title, curves, x_title="requests a second, one replica")


def _ends(sheet: str, curve: LatencyCurve, first: int, shown: Latency) -> Iterator[Curve]:
    """Curves of the slow and the fast end, as far as they are steady."""
    pairs = zip(("Slow end", "Fast end"), ENDS, strict=True)
    for at, (label, end) in enumerate(pairs, shown.ends):
        steady = takewhile(_known, (shown.value(point, end) for point in curve.points))
        values = [value for value in steady if value is not None]
        if len(values) > 1:
            rates = [point.rps for point in curve.points[: len(values)]]
            x = Band(sheet, first, RATE, RATE, rates, down=True)
            y = Band(sheet, first, at, at, values, down=True)
            yield Curve(label, x, y, MUTED, dash="dash")


def _known(value: float | None) -> bool:
    return value is not None
