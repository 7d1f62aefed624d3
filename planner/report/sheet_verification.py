"""Sheet Verification: every promise in simulation, load by load, and hours with failures."""

from __future__ import annotations

from collections.abc import Sequence

from openpyxl.utils import get_column_letter

from planner.report.page import Book, Page
from planner.report.style import CENTS, COUNT, PERCENT, TEAL, TENTHS, TEXT
from planner.report.words import (
    INCIDENTS,
    NODES_OUT,
    beside_text,
    lowered_text,
    pool_name,
    promise_text,
    taken_over_text,
)
from planner.result import Attained, Plan, ReplayedTrace, TestedPool, Verification
from planner.result.verification import HANDED_ON

COLUMNS: tuple[tuple[str, float, str], ...] = (
    ("Class on accelerator", 24, TEXT),
    ("Site", 10, TEXT),
    ("Period", 10, TEXT),
    ("Block", 22, TEXT),
    ("Nodes out", 20, TEXT),
    ("Verdict", 10, TEXT),
    ("Replicas", 10, TENTHS),
    ("Requests/s a replica", 11, CENTS),
    ("Of the stability limit", 10, PERCENT),
    ("TTFT, ms", 11, TENTHS),
    ("from", 10, TENTHS),
    ("to", 10, TENTHS),
    ("TTFT promised, ms", 10, TENTHS),
    ("TPOT, ms", 10, TENTHS),
    ("from", 9, TENTHS),
    ("to", 9, TENTHS),
    ("TPOT promised, ms", 10, TENTHS),
    ("Token ITL, ms", 10, TENTHS),
    ("Token ITL promised, ms", 10, TENTHS),
    ("E2E, ms", 11, TENTHS),
    ("from", 10, TENTHS),
    ("to", 10, TENTHS),
    ("E2E promised, ms", 11, TENTHS),
    ("Late, first token", 9, PERCENT),
    ("Late, tokens", 9, PERCENT),
    ("Late, last token", 9, PERCENT),
    ("Cache, mean", 9, PERCENT),
    ("Cache, most", 9, PERCENT),
    ("Pre-emptions a request", 11, PERCENT),
    ("Refused", 9, PERCENT),
    ("Requests counted", 12, COUNT),
    ("Decided by, or why it breaks", 62, TEXT),
)
"""Heading, width, number format."""
OPTIONAL = {
    "token_itl": ("Token ITL, ms", "Token ITL promised, ms"),
    "e2e": ("E2E, ms", "E2E promised, ms", "Late, last token"),
}
"""Headings that only a promise of the kind has, with what stands between the first two."""
INCIDENT_HEADINGS = (
    "Class on accelerator", "Site", "Period", "Block", "What happens", "Hour kept", "Replicas",
    "Of them out", "Back after, min", "Late in the hour", "Promised at most", "Worst 5 minutes",
    "Over after, min", "Other pools of the class",
)  # fmt: skip
TRACE_HEADINGS = (
    "Class on accelerator", "Site", "Period", "Block", "Trace", "Verdict", "Replicas",
    "Requests/s, pool", "Busiest 5 min", "TTFT, ms", "from", "to", "TTFT promised, ms", "TPOT, ms",
    "from", "to", "TPOT promised, ms", "Token ITL, ms", "Token ITL promised, ms",
    "E2E, ms", "from", "to", "E2E promised, ms",
    "Late, first token", "Late, tokens", "Late, last token", "Cache, mean",
    "Cache, most", "Pre-emptions a request", "Refused", "Requests counted",
    "How it was replayed, or why it breaks",
)  # fmt: skip
MINUTE_S = 60.0
LOOKS = {"kept": "flag", "broken": "warning", "exposed": "note", "unverified": "warning"}


def write_verification(book: Book, plan: Plan) -> None:
    """Write the sheet; nothing where the plan was not verified."""
    found = plan.verification
    if found is None:
        return
    shown = _shown(found)
    named, *widths = [COLUMNS[column][1] for column in shown]
    longest = max((len(pool_name(pool.candidate)) for pool in found.pools), default=0)
    page = book.page("Verification", widths=[max(named, 0.9 * longest), *widths], tab=TEAL)
    said = promise_text(found)
    page.heading(
        "Verification",
        f"{said[0].upper()}{said[1:]}: {len(found.pools):,} loads, {found.requests:,} requests "
        "simulated. Percentiles with their 95 % confidence interval, beside what is promised.",
    )
    row = _known(page, found, 4)
    row = _incidents(page, found, row)
    row = _traces(page, found.traces, row, shown)
    row = _repair(page, found, row)
    _loads(page, found.pools, row, shown)
    page.sheet.freeze_panes = "B4"
    page.print_setup(columns="A:D", pages_wide=2)


def _shown(found: Verification) -> list[int]:
    """Columns of loads and traces, less those of what nobody was promised."""
    headings = [heading for heading, *_ in COLUMNS]
    hidden = set[int]()
    for name, (first, last, *more) in OPTIONAL.items():
        if all(getattr(row, name) is None for row in (*found.pools, *found.traces)):
            hidden |= {*range(headings.index(first), headings.index(last) + 1)}
            hidden |= {headings.index(heading) for heading in more}
    return [column for column in range(len(COLUMNS)) if column not in hidden]


def _known(page: Page, found: Verification, row: int) -> int:
    for text in found.unserved:
        page.put(row, 1, text, "label bold")
        row += 1
    for text in found.notes:
        page.put(row, 1, text, "note")
        row += 1
    return row + 1


def _section(
    page: Page, row: int, title: str, headings: Sequence[str], styles: Sequence[str]
) -> int:
    """Title and headings; the row below them."""
    page.band(row, 1, len(headings), "group")
    page.put(row, 1, title, "group")
    for column, (heading, style) in enumerate(zip(headings, styles, strict=True), 1):
        page.put(row + 1, column, heading, "head unit" if style == TEXT else "head right")
    page.sheet.row_dimensions[row + 1].height = 38
    return row + 2


def _cells(page: Page, row: int, values: Sequence[object], styles: Sequence[str]) -> None:
    for column, (value, style) in enumerate(zip(values, styles, strict=True), 1):
        if value is None or value == "":
            continue
        text = style == TEXT
        look = LOOKS.get(str(value), "text left") if text else "solved"
        page.put(row, column, value, look, style)


def _loads(page: Page, pools: Sequence[TestedPool], row: int, shown: Sequence[int]) -> None:
    headings = [COLUMNS[column][0] for column in shown]
    styles = [COLUMNS[column][2] for column in shown]
    first = _section(page, row, "Every load: pool, period, block, nodes out", headings, styles)
    simulated_first = sorted(pools, key=lambda pool: not pool.requests)
    for number, pool in enumerate(simulated_first, first):
        values = _load(pool)
        _cells(page, number, [values[column] for column in shown], styles)
    last = get_column_letter(len(shown))
    page.sheet.auto_filter.ref = f"A{first - 1}:{last}{first - 1 + max(len(pools), 1)}"


def _load(pool: TestedPool) -> list[object]:
    out, serves = NODES_OUT[pool.condition], pool.replicas > 0
    handed_on = not pool.decided_by or pool.decided_by.startswith(HANDED_ON)
    decided = pool.decided_by if handed_on else f"as {pool.decided_by}"
    said = [
        text for text in (taken_over_text(pool), beside_text(pool), pool.reason, decided) if text
    ]
    return [
        pool_name(pool.candidate), pool.site, pool.period, pool.block,
        f"{pool.nodes_out}, {out}" if pool.nodes_out else "none", pool.verdict, pool.replicas,
        pool.rps_per_replica if serves else None, pool.utilization if serves else None,
        *_attained(pool.ttft), *_attained(pool.tpot), *_gap(pool.token_itl),
        *_attained(pool.e2e), *_late(pool.ttft, pool.tpot, pool.e2e),
        pool.kv_mean_frac, pool.kv_max_frac, pool.preempted_frac, pool.refused_frac,
        pool.requests or None,
        "; ".join(said) or "simulated",
    ]  # fmt: skip


def _attained(found: Attained | None) -> list[object]:
    if found is None:
        return [None] * 4
    return [found.value_ms, found.low_ms, found.high_ms, found.target_ms]


def _gap(found: Attained | None) -> list[object]:
    return [None, None] if found is None else [found.value_ms, found.target_ms]


def _late(*figures: Attained | None) -> list[object]:
    return [None if found is None else found.late_frac for found in figures]


def _incidents(page: Page, found: Verification, row: int) -> int:
    if not found.incidents:
        return row
    title = "An hour at the peak in which replicas are missing: reported, no part of the verdict"
    styles = (*[TEXT] * 6, COUNT, COUNT, TENTHS, PERCENT, PERCENT, PERCENT, TENTHS, COUNT)
    row = _section(page, row, title, INCIDENT_HEADINGS, styles)
    for incident in found.incidents:
        over = incident.recovered_s
        values = [
            pool_name(incident.candidate), incident.site, incident.period, incident.block,
            INCIDENTS[incident.kind], "yes" if incident.within_promise else "no",
            incident.replicas, incident.replicas_out, incident.back_s / MINUTE_S,
            incident.late_frac, incident.promised_late_frac, incident.worst_frac,
            None if over is None else over / MINUTE_S, len(incident.taken_over_by),
        ]  # fmt: skip
        _cells(page, row, values, styles)
        if over is None:
            page.put(row, len(values) - 1, "not yet", "text right")
        row += 1
    return row + 1


def _traces(page: Page, traces: Sequence[ReplayedTrace], row: int, shown: Sequence[int]) -> int:
    if not traces:
        return row
    styles = [COLUMNS[column][2] for column in shown]
    headings = [TRACE_HEADINGS[column] for column in shown]
    row = _section(page, row, "Traces replayed", headings, styles)
    styles[8] = CENTS
    for trace in traces:
        values = [
            pool_name(trace.candidate), trace.site, trace.period, trace.block, trace.trace,
            trace.verdict, trace.replicas, trace.mean_rps, trace.peak_rps,
            *_attained(trace.ttft), *_attained(trace.tpot), *_gap(trace.token_itl),
            *_attained(trace.e2e), *_late(trace.ttft, trace.tpot, trace.e2e),
            trace.kv_mean_frac, trace.kv_max_frac, trace.preempted_frac, trace.refused_frac,
            trace.requests,
            "; ".join(x for x in (trace.reason, trace.advice, trace.rate_note) if x),
        ]  # fmt: skip
        _cells(page, row, [values[column] for column in shown], styles)
        row += 1
    return row + 1


def _repair(page: Page, found: Verification, row: int) -> int:
    repair = found.repair
    if repair is None:
        return row
    page.band(row, 1, len(INCIDENT_HEADINGS), "group")
    page.put(row, 1, "Repair", "group")
    page.put(
        row + 1, 1,
        f"{repair.ended[0].upper()}{repair.ended[1:]} after {len(repair.rounds)} rounds: "
        f"{repair.npv_before_usd:,.0f} USD before, {repair.npv_after_usd:,.0f} after, "
        f"{repair.cost_usd:+,.0f} USD ({repair.cost_frac:+.2%})",
    )  # fmt: skip
    row += 2
    for number, step in enumerate(repair.rounds, 1):
        rates = (
            f"lowered: {text}"
            if (text := lowered_text(step))
            else "rates of what is used simulated"
        )
        broke = f"{step.broken} loads broke" if step.broken else "every promise holds"
        page.put(row, 1, f"Round {number}: {rates}; {step.npv_usd:,.0f} USD, {broke}", "note")
        row += 1
    return row + 1
