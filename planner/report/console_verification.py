"""What simulation says of a plan, on a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from planner.report.words import (
    beside_text,
    incident_text,
    lowered_text,
    plural,
    pool_name,
    promise_text,
    taken_over_text,
)
from planner.result import Attained, Incident, Repair, ReplayedTrace, TestedPool, Verification

STYLES = {"kept": "green", "broken": "bold red", "unverified": "magenta", "exposed": "yellow"}
BEYOND = "Breaks only with more nodes out than the availability target plans for"
MINUTE_S = 60.0


def verdicts(found: Verification, *, every: bool = False) -> RenderableType:
    """Headline, what was simulated, every block, what breaks, bad hours, what to know.

    Parameters
    ----------
    every : list each load; else one row for the loads of a pool in a block.
    """
    parts: list[RenderableType] = [_headline(found)]
    candidates = dict.fromkeys(row.candidate for row in found.pools if row.requests)
    parts += [_simulated(name, found.pools) for name in candidates]
    if found.pools:
        parts.append(_listing(found.pools) if every else _blocks(found.pools))
    parts += [_trace(row) for row in found.traces]
    parts += _listed(found, "broken", "Broken promises")
    parts += _listed(found, "unverified", "Not verified: no pass")
    if found.unserved:
        parts.append(Text("\n".join(found.unserved) + "\n", STYLES["broken"]))
    parts += _listed(found, "exposed", BEYOND)
    if found.incidents:
        parts.append(_incidents(found.incidents))
    if found.repair is not None:
        parts.append(_repair(found.repair))
    parts.append(Text("\n".join(f"- {note}" for note in found.notes)))
    return Group(*parts)


def _headline(found: Verification) -> Text:
    own = sum(row.requests > 0 for row in found.pools)
    text = Text(f"{found.scenario}: {promise_text(found)}\n", _style(found.kept))
    text.append(
        f"{plural(len(found.pools), 'load')} (pool, period, block, nodes out): {own} simulated, "
        f"which decide the others; {found.requests:,} requests, {found.seconds:.0f} s\n",
        "default",
    )
    return text


def _style(kept: bool) -> str:
    return STYLES["kept" if kept else "broken"]


def _new(title: str, texts: Mapping[str, int], numbers: Iterable[str]) -> Table:
    """A table that fits 80 columns: texts fold, numbers stand below each other in few columns.

    Parameters
    ----------
    texts : heading -> least width.
    """
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    for heading, width in texts.items():
        table.add_column(heading, overflow="fold", min_width=width)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


LATENCIES = ("TTFT ms\n± 95 %\npromised", "TPOT ms\n± 95 %\npromised")
LATE = "late\nrefused\npre-empted"


def _simulated(candidate: str, pools: Sequence[TestedPool]) -> Table:
    """Loads of one candidate that were simulated."""
    numbers = ("replicas\nreq/s each\nof limit", *LATENCIES, LATE, "cache\nat most")
    table = _new(candidate, {"simulated": 24}, numbers)
    for row in pools:
        if row.candidate == candidate and row.requests:
            table.add_row(*_cells(row), end_section=True)
    return table


def _cells(row: TestedPool) -> list[Text]:
    sized = f"{row.replicas:,.4g}"
    if row.replicas_simulated < int(row.replicas):
        sized += f" (as {row.replicas_simulated})"
    most = "" if row.throughput_rps is None else f", finishes {row.throughput_rps:.4g}/s each"
    return [
        Text(f"{_where(row)}\n").append(row.verdict, STYLES[row.verdict]).append(most, "default"),
        _lines(sized, f"{row.rps_per_replica:.4g}", _share(row.utilization)),
        *_latencies(row),
        _lines(
            _late(row), _fine(row.refused_frac), _fine(row.preempted_frac)
        ),
        _lines(_share(row.kv_mean_frac), _share(row.kv_max_frac)),
    ]  # fmt: skip


def _lines(*texts: str) -> Text:
    return Text("\n".join(texts))


def _where(row: TestedPool) -> str:
    out = f", {plural(row.nodes_out, 'node')} out" if row.nodes_out else ""
    more = "".join(f", {text}" for text in (taken_over_text(row), beside_text(row)) if text)
    return f"{row.site}, {row.period}, {row.block}{out}{more}"


def _blocks(pools: Sequence[TestedPool]) -> Table:
    """A row for each pool and block: its hardest period, and the worst verdict by nodes out."""
    table = _new(
        "Every block, in its hardest period",
        {"class on accelerator, site, block": 16, "all\nup": 6, "out as\nplanned": 7,
         "one\nmore": 7},
        ("periods", "req/s\neach", "of\nlimit"),
    )  # fmt: skip
    groups: dict[tuple[str, str, str], list[TestedPool]] = {}
    for row in pools:
        groups.setdefault((pool_name(row.candidate), row.site, row.block), []).append(row)
    for (name, site, block), rows in groups.items():
        normal = [row for row in rows if row.condition == "normal"]
        top = max(normal, key=lambda row: row.rps_per_replica)
        table.add_row(
            Text(f"{name}, {site}, {block}"),
            *(_worst(rows, condition) for condition in ("normal", "spares_out", "one_more_out")),
            Text(str(len(normal))),
            Text(f"{top.rps_per_replica:.4g}"),
            Text(_share(top.utilization)),
        )
    return table


def _worst(rows: Sequence[TestedPool], condition: str) -> Text:
    found = {row.verdict for row in rows if row.condition == condition}
    worst_first = ("broken", "unverified", "exposed", "kept")
    verdict = next((name for name in worst_first if name in found), "")
    return Text(verdict or "no spares", STYLES.get(verdict, "dim"))


def _listing(pools: Sequence[TestedPool]) -> Table:
    """Every load."""
    table = _new(
        "Every load", {"class": 5, "where, when": 18, "verdict": 7, "decided by": 12},
        ("replicas", "req/s\neach", "of\nlimit"),
    )  # fmt: skip
    for row in pools:
        table.add_row(
            Text(row.demand_class),
            Text(_where(row)),
            Text(row.verdict, STYLES[row.verdict]),
            Text(row.decided_by or "simulated" if row.replicas else row.reason),
            Text(f"{row.replicas:,.4g}"),
            Text(f"{row.rps_per_replica:.4g}"),
            Text(_share(row.utilization)),
        )
    return table


def _incidents(rows: Sequence[Incident]) -> Table:
    """Hours with failures."""
    table = _new(
        "An hour at the peak in which replicas are missing (no part of the verdict)",
        {"class on accelerator, site": 16, "what; back after": 20},
        ("out\nof", "late\npromised", "worst\n5 min", "over\nafter"),
    )
    for row in rows:
        over = "not in\nthe hour" if row.recovered_s is None else _minutes(row.recovered_s)
        late = Text(_fine(row.late_frac), STYLES["kept" if row.within_promise else "exposed"])
        table.add_row(
            Text(f"{pool_name(row.candidate)}, {row.site}"),
            Text(f"{incident_text(row)}; {_minutes(row.back_s)}: {row.back_by}"),
            _lines(str(row.replicas_out), str(row.replicas)),
            late.append(f"\n{_fine(row.promised_late_frac)}", "default"),
            Text(_fine(row.worst_frac)),
            Text(over),
        )
    return table


def _minutes(seconds: float) -> str:
    return f"{seconds / MINUTE_S:,.0f} min"


def _trace(row: ReplayedTrace) -> Group:
    """A trace against one pool."""
    where = f"{pool_name(row.candidate)} at {row.site}, {row.period}, "
    head = Text(f"Trace {row.trace} against {where}")
    head.append(f"{row.block}: ").append(row.verdict, STYLES[row.verdict])
    numbers = ("replicas\nreq/s\nbusiest 5 min", *LATENCIES, LATE, "cache\nat most\nbusy")
    table = _new("", {}, numbers)
    table.add_row(
        _lines(f"{row.replicas:,}", f"{row.mean_rps:.4g}", f"{row.peak_rps:.4g}"),
        *_latencies(row),
        _lines(_late(row), _fine(row.refused_frac), _fine(row.preempted_frac)),
        _lines(_share(row.kv_mean_frac), _share(row.kv_max_frac), _share(row.utilization)),
    )
    more = f"{row.requests:,} requests over {row.seconds / MINUTE_S:,.0f} min; {row.rate_note}"
    said = [line for line in (row.reason, row.advice, more) if line]
    return Group(head, table, Text("\n".join(said) + "\n"))


def _repair(found: Repair) -> Text:
    """What was lowered, and what it cost."""
    text = Text("Repair\n", "bold")
    for number, row in enumerate(found.rounds, 1):
        parts = ["simulated rates"]
        parts += [said] if (said := lowered_text(row)) else []
        broke = "every promise holds" if not row.broken else f"{plural(row.broken, 'load')} broke"
        text.append(
            f"  round {number}: {', '.join(parts)}: {row.npv_usd:,.0f} USD, {broke}\n", "default"
        )
    text.append(f"  {found.ended}; ", "default")
    text.append(
        f"it costs {found.cost_usd:+,.0f} USD ({found.cost_frac:+.2%}): "
        f"{found.npv_before_usd:,.0f} before, {found.npv_after_usd:,.0f} after\n",
        "default",
    )
    return text


def _latencies(row: TestedPool | ReplayedTrace) -> tuple[Text, Text]:
    """Time to first token and per token; below them what else is promised."""
    first, each = _attained(row.ttft), _attained(row.tpot)
    if row.e2e is not None:
        first.append("\nlast token\n").append(_attained(row.e2e))
    if row.token_itl is not None:
        each.append("\ngaps\n").append(_attained(row.token_itl))
    return first, each


def _attained(found: Attained | None) -> Text:
    """Value, half its interval, and the promise; a batch class has none."""
    if found is None:
        return Text("-")
    sign = "<=" if found.value_ms <= found.target_ms else ">"
    half = (found.high_ms - found.low_ms) / 2
    return _lines(
        _digits(found.value_ms, 4),
        f"± {_digits(half, 2)}" if half < math.inf else "± ?",
        f"{sign} {_digits(found.target_ms, 4)}",
    )


def _digits(value: float, least: int) -> str:
    """So many digits, or all before the point.

    >>> _digits(12345.6, 4), _digits(33.333, 4)
    ('12,346', '33.33')
    """
    return f"{value:,.0f}" if abs(value) >= 10 ** (least - 1) else f"{value:,.{least}g}"


def _fine(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _late(row: TestedPool | ReplayedTrace) -> str:
    known = [found.late_frac for found in (row.ttft, row.tpot, row.e2e) if found is not None]
    return f"{max(known):.1%}" if known else "-"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _listed(found: Verification, verdict: str, title: str) -> list[RenderableType]:
    groups: dict[tuple[str, str, str], list[TestedPool]] = {}
    for row in found.pools:
        if row.verdict == verdict:
            groups.setdefault((row.demand_class, row.site, row.reason), []).append(row)
    if not groups:
        return []
    lines = []
    for (demand_class, site, reason), rows in groups.items():
        more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        out = f" with {plural(rows[0].nodes_out, 'node')} out" if rows[0].nodes_out else ""
        when = f"{rows[0].period}, {rows[0].block}{more}{out}"
        lines.append(f"  {demand_class}, {site}, {when}: {reason}")
    return [Text(f"{title}\n", STYLES[verdict]).append("\n".join(lines) + "\n", "default")]
