"""What simulation says of a plan, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from planner.report.words import plural
from planner.result import Attained, TestedPool, Verification

STYLES = {"kept": "green", "broken": "bold red", "exposed": "yellow"}


def verdicts(found: Verification) -> RenderableType:
    """Headline, what was simulated, what breaks, what to know."""
    parts: list[RenderableType] = [_headline(found)]
    candidates = dict.fromkeys(row.candidate for row in found.pools if row.requests)
    parts += [_table(name, found.pools) for name in candidates]
    parts += _listed(found, "broken", "Broken promises")
    parts += _listed(found, "exposed", "Breaks only while a node is out and none is spare")
    parts.append(Text("\n".join(f"- {note}" for note in found.notes)))
    return Group(*parts)


def _headline(found: Verification) -> Text:
    own = sum(row.requests > 0 for row in found.pools)
    said, style = ("every promise holds", "kept") if found.kept else ("a promise breaks", "broken")
    text = Text(f"{found.scenario}: {said} in simulation\n", STYLES[style])
    text.append(
        f"{plural(len(found.pools), 'load')} (pool, period, block): {own} simulated, which "
        f"decide the others; {found.requests:,} requests, {found.seconds:.0f} s\n",
        "default",
    )
    return text


def _table(candidate: str, pools: Sequence[TestedPool]) -> Table:
    """Loads of one candidate that were simulated."""
    table = Table(title=candidate, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for heading in ("where, when", "verdict"):
        table.add_column(heading, overflow="fold")
    for heading in ("replicas", "req/s each", "of limit", "TTFT ms", "TPOT ms", "cache", "evicted"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in pools:
        if row.candidate == candidate and row.requests:
            table.add_row(*_cells(row))
    return table


def _cells(row: TestedPool) -> list[Text]:
    node_out = ", node out" if row.condition == "node_out" else ""
    sized = f"{row.replicas:,.4g}"
    if row.replicas_simulated < int(row.replicas):
        sized += f" (as {row.replicas_simulated})"
    return [
        Text(f"{row.site}, {row.period}, {row.block}{node_out}"),
        Text(row.verdict, STYLES[row.verdict]),
        Text(sized),
        Text(f"{row.rps_per_replica:.4g}"),
        Text(_share(row.utilization)),
        Text(_attained(row.ttft)),
        Text(_attained(row.tpot)),
        Text(_share(row.kv_mean_frac)),
        Text(_share(row.preempted_frac)),
    ]


def _attained(found: Attained | None) -> str:
    if found is None:
        return "-"
    sign = "<=" if found.value_ms <= found.target_ms else ">"
    return f"{found.value_ms:,.4g} {sign} {found.target_ms:,.4g}"


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
        when = f"{rows[0].period}, {rows[0].block}{more}"
        lines.append(f"  {demand_class}, {site}, {when}: {reason}")
    return [Text(f"{title}\n", STYLES[verdict]).append("\n".join(lines) + "\n", "default")]
