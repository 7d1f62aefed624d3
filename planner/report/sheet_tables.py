"""Sheets that only list: Sizing trail, Candidates, Sources."""

from __future__ import annotations

from collections.abc import Sequence

from openpyxl.utils import get_column_letter

from planner.report.page import Book
from planner.report.plain_labels import names_of, plain
from planner.report.style import CENTS, COUNT, PERCENT, TENTHS, TEXT
from planner.result import CandidateRow, Plan, SourceRow

CANDIDATES_MOST = 3000
"""Rows on the sheet; the JSON of the plan has all."""

_BEGINNING = 50
"""Letters of a source that an earlier row has in full."""
PRINTED_MOST, PRINTED_LAST = 90, "Cheapest way"
"""Rows that are printed, those used and the cheapest kept come first; and the last column."""

SOURCE_WIDTHS = (40, 16, 13, 11, 10, 6, 13, 66)
CANDIDATE_COLUMNS: tuple[tuple[str, str, float, str], ...] = (
    ("Used", "", 7, TEXT),
    ("Class", "serves", 15, TEXT),
    ("Model", "model", 22, TEXT),
    ("Accelerator", "hardware", 18, TEXT),
    ("Weights", "quantization", 11, TEXT),
    ("KV cache", "kv_dtype", 9, TEXT),
    ("Engine", "engine", 14, TEXT),
    ("Layout", "layout", 14, TEXT),
    ("TP", "tp", 6, COUNT),
    ("PP", "pp", 6, COUNT),
    ("EP", "ep", 6, COUNT),
    ("Mode", "mode", 12, TEXT),
    ("GPUs", "gpus", 7, COUNT),
    ("Feasible", "feasible", 9, TEXT),
    ("USD/Mtoken", "usd_per_mtoken", 12, CENTS),
    ("Cheapest way", "usd_per_mtoken_way", 34, TEXT),
    ("Rate alone, requests/s", "lambda_star_rps", 12, CENTS),
    ("Stability, requests/s", "stability_rps", 12, CENTS),
    ("Pool slope, requests/s", "rate_rps", 12, CENTS),
    ("Pool offset, requests/s", "offset_rps", 12, CENTS),
    ("Slope at the slow end of the band", "rate_low_rps", 12, CENTS),
    ("Slope at the fast end of the band", "rate_high_rps", 12, CENTS),
    ("Limited by", "binding", 15, TEXT),
    ("Requests that wait for cache", "kv_wait_frac", 11, PERCENT),
    ("Requests pre-empted, simulated", "preempted_frac", 11, PERCENT),
    ("Output tokens/s a GPU", "output_tokens_per_s_per_gpu", 13, TENTHS),
    ("Quality kept", "recovery_frac", 9, PERCENT),
    ("Weights, GB a GPU", "weights_gb", 11, TENTHS),
    ("Overhead, GB a GPU", "overhead_gb", 11, TENTHS),
    ("KV cache, GB a GPU", "kv_gb", 11, TENTHS),
    ("KV cache, tokens", "kv_tokens", 13, COUNT),
    ("Sequences at most", "sequences_max", 11, COUNT),
    ("Decode step, ms", "decode_step_ms", 10, TENTHS),
    ("Full step, ms", "full_step_ms", 10, TENTHS),
    ("TTFT zero load, ms", "ttft_zero_load_ms", 11, TENTHS),
    ("TPOT zero load, ms", "tpot_zero_load_ms", 11, TENTHS),
    ("Known", "label", 13, TEXT),
    ("Step by own measurements, x", "correction_ratio", 13, CENTS),
    ("Step band, low, x", "band_low_frac", 10, CENTS),
    ("Step band, high, x", "band_high_frac", 10, CENTS),
    ("Step planned, x", "planned_frac", 10, CENTS),
    ("Why not, or dominated by", "", 70, TEXT),
)
"""Heading, field, width, number format."""


def write_trail(book: Book, plan: Plan) -> None:
    """Thirteen steps from traffic to cost, class by class."""
    page = book.page("Sizing trail", widths=(5, 27, 38, 20, 15, 55))
    page.heading(
        "Sizing trail", "Every number from traffic to cost, in the order in which it was derived."
    )
    page.row(4, 1, ("Step", "What", "Quantity"), "head")
    page.put(4, 4, "Value", "head right")
    page.row(4, 5, ("Unit", "Note"), "head unit")
    row = 5
    for trail in plan.trails:
        page.band(row, 1, 6, "group")
        page.put(row, 1, f"Class {trail.demand_class}", "group")
        row += 1
        for step in trail.steps:
            page.put(row, 1, step.number, "number left", "0")
            page.put(row, 2, step.title, "label bold")
            for item in step.items:
                style = _number_format(item.value)
                look = "text right" if isinstance(item.value, str) else "solved"
                page.put(row, 3, item.label, "label wrap")
                page.put(row, 4, item.value, look, style)
                page.row(row, 5, (item.unit,), "unit")
                page.put(row, 6, item.note, "note wrap")
                page.fit_height(row, ((item.note, 55), (item.label, 38)))
                row += 1
            row += 0 if step.items else 1
        row += 1
    page.sheet.freeze_panes = "C5"
    page.print_setup(titles="4:4")


def _number_format(value: float | str) -> str:
    if isinstance(value, str):
        return TEXT
    size = abs(value)
    if float(value).is_integer() or size >= 1000:
        return COUNT
    return CENTS if size >= 0.1 else "0.0000"


def write_candidates(book: Book, plan: Plan) -> None:
    """Every configuration: used, kept, dominated, refused with its reason."""
    used = {pool.candidate for pool in plan.pools}
    rows = ranked(plan)
    shown = rows[:CANDIDATES_MOST]
    page = book.page("Candidates", widths=_candidate_widths(shown))
    feasible = sum(row.feasible for row in rows)
    left_out = f"; the first {len(shown):,} are shown" if len(shown) < len(rows) else ""
    page.heading(
        "Candidates",
        f"{len(rows):,} configurations, {feasible:,} feasible, {len(used):,} used{left_out}. "
        "Filter by any column; refused ones give their reason on the right.",
    )
    for column, (heading, *_, style) in enumerate(CANDIDATE_COLUMNS, 1):
        page.put(4, column, heading, "head unit" if style == TEXT else "head right")
    page.sheet.row_dimensions[4].height = 38
    names = names_of(plan)
    for number, row in enumerate(shown, 5):
        for column, value in enumerate(candidate_cells(row, used), 1):
            if value is None or value == "":
                continue
            _, field, _, style = CANDIDATE_COLUMNS[column - 1]
            shown_as = plain(str(value), names) if field == _WAY else value
            page.put(number, column, shown_as, "text left" if style == TEXT else "text", style)
    last = get_column_letter(len(CANDIDATE_COLUMNS))
    page.sheet.auto_filter.ref = f"A4:{last}{4 + max(len(shown), 1)}"
    printed = 1 + [heading for heading, *_ in CANDIDATE_COLUMNS].index(PRINTED_LAST)
    below = 4 + min(max(len(shown), 1), PRINTED_MOST)
    page.sheet.print_area = f"A1:{get_column_letter(printed)}{below}"
    page.sheet.freeze_panes = "E5"
    page.print_setup(titles="4:4")


def _candidate_widths(rows: Sequence[CandidateRow]) -> list[float]:
    """Of the columns; classes that share pools have long names."""
    longest = max((len(row.serves) for row in rows), default=0)
    return [
        max(width, 0.9 * longest) if field == "serves" else width
        for _, field, width, _ in CANDIDATE_COLUMNS
    ]


def candidate_cells(row: CandidateRow, used: set[str]) -> list[object]:
    """Values in the order of CANDIDATE_COLUMNS."""
    fields: list[object] = [getattr(row, name) for _, name, *_ in CANDIDATE_COLUMNS[1:-1]]
    fields[CANDIDATE_COLUMNS.index(_FEASIBLE) - 1] = "yes" if row.feasible else "no"
    return ["yes" if row.id in used else "", *fields, why_not(row)]


def why_not(row: CandidateRow) -> str:
    """Why a configuration is not worth planning with; empty where it is."""
    return row.reason or (f"dominated by {row.pruned_by}" if row.pruned_by else "")


_WAY = "usd_per_mtoken_way"
_FEASIBLE = next(column for column in CANDIDATE_COLUMNS if column[1] == "feasible")


def ranked(plan: Plan) -> list[CandidateRow]:
    """Candidates in reading order: used, kept, dominated, refused; the cheapest first."""
    used = {pool.candidate for pool in plan.pools}
    return sorted(plan.candidates, key=lambda row: _rank(row, used))


def _rank(row: CandidateRow, used: set[str]) -> tuple[bool, bool, bool, str, float]:
    price = row.usd_per_mtoken if row.usd_per_mtoken is not None else float("inf")
    return (
        row.id not in used, not row.feasible, bool(row.pruned_by), row.demand_class, price
    )  # fmt: skip


def write_sources(book: Book, plan: Plan) -> None:
    """Where every number comes from."""
    page = book.page("Sources", widths=SOURCE_WIDTHS)
    stale = sum(row.stale for row in plan.sources)
    count = f"{len(plan.sources):,} figures, {stale:,} older than their limit."
    page.heading("Sources", f"{count} On paper: all but what calibrates the performance model.")
    headings = ("Figure", "Value", "Unit", "As of", "Basis", "Stale", "Used in", "Source")
    page.row(4, 1, headings, "head unit")
    page.put(4, 1, headings[0], "head")
    page.put(4, 2, headings[1], "head right")
    first: dict[str, int] = {}
    names = names_of(plan)
    for number, row in enumerate(sorted(plan.sources, key=_for_finance), 5):
        what = plain(row.what, names)
        said = _said(row.source, first.setdefault(row.source, number), number)
        page.fit_height(number, ((what, SOURCE_WIDTHS[0]), (said, SOURCE_WIDTHS[-1])))
        page.put(number, 1, what, "label wrap")
        page.put(number, 2, row.value, "text right")
        page.row(number, 3, (row.unit, row.as_of, row.basis), "text left")
        page.put(number, 6, "stale" if row.stale else "", "warning")
        page.put(number, 7, row.used_in, "text left")
        page.put(number, 8, said, "wrap")
    page.sheet.auto_filter.ref = f"A4:H{4 + max(len(plan.sources), 1)}"
    page.sheet.freeze_panes = "B5"
    read = sum(row.used_in in _READ_FIRST for row in plan.sources)
    page.sheet.print_area = f"A1:H{4 + max(read, min(len(plan.sources), 1))}"
    page.print_setup(titles="4:4")


_READ_FIRST = ("money", "scenario", "assumptions", "model")


def _for_finance(row: SourceRow) -> int:
    """What moves money first, calibration of the performance model last."""
    return _READ_FIRST.index(row.used_in) if row.used_in in _READ_FIRST else len(_READ_FIRST)


def _said(source: str, first: int, row: int) -> str:
    """A source; where an earlier row has the same long one, that row and how it begins."""
    if first == row or len(source) <= SOURCE_WIDTHS[-1]:
        return source
    return f"as in row {first}: {source[:_BEGINNING]}…"
