"""A comparison on a terminal: changes, bridge, figures, inputs that differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from planner.report.compare import Comparison, Failure, Named, Pair
from planner.report.compare_bridge import Bridge
from planner.report.compare_inputs import Difference
from planner.report.compare_metrics import OPEN, WITHIN, Metric
from planner.report.sheet_annual import Scale, scale_of
from planner.report.words import gap_text

MOST_INPUTS = 12
"""Rows of differing inputs; workbook and JSON have all."""
BAR_LETTERS = 24
COLOURS = {"+": "green", "~": "yellow", "-": "red"}


def comparison(found: Comparison) -> RenderableType:
    """Everything, the shortest answer first."""
    parts: list[RenderableType] = [_headline(found)]
    parts += [_failure(one) for one in found.failures]
    for pair in found.pairs:
        parts += _pair(found, pair)
    parts.append(_figures(found))
    return Group(*parts)


def _headline(found: Comparison) -> Text:
    text = Text()
    for number, one in enumerate(found.plans):
        role = "first" if number == 0 else "against it"
        text.append(f"{one.name}", "bold")
        text.append(f"  {_price(one)}, {gap_text(one.plan)} ({role})\n")
    return text


def _price(one: Named) -> str:
    scale = scale_of(one.plan.npv_usd)
    return f"{one.plan.npv_usd / scale.usd:,.3f} {scale.unit}"


def _failure(one: Failure) -> Text:
    text = Text(f"! {one.name}: {_FAILED.get(one.kind, one.kind)}", "red")
    for reason in one.reasons:
        text.append(f"\n  {reason}")
    return text


_FAILED = {"InfeasibleError": "no fleet meets it", "StoppedError": "stopped before any plan"}


def _pair(found: Comparison, pair: Pair) -> Iterator[RenderableType]:
    yield Text(f"\n{found.first.name} -> {pair.name}", "bold cyan")
    for section in ("machines", "APIs", "configurations"):
        chosen = [one for one in pair.changes if one.section == section]
        if not chosen:
            continue
        if section == "configurations":
            yield Text("configurations", "dim")
        for one in chosen:
            yield Text(f"  {one.line}", COLOURS[one.line[0]])
    yield Text(f"{pair.summary} (machines and APIs)\n", "bold")
    if pair.bridge is not None:
        yield _bridge(found.first.name, pair.name, pair.bridge)
    else:
        yield Text(f"! {pair.refused}\n", "yellow")
    for title, rows in (("Scenario", pair.scenario), ("Catalog", pair.catalog)):
        if rows:
            yield _inputs(title, found.first.name, pair.name, rows)


def _bridge(first: str, second: str, found: Bridge) -> Table:
    """Steps with a bar each, from the first plan's cost to the second's."""
    scale = scale_of(max(abs(found.start_usd), abs(found.end_usd)))
    table = _table(f"Net present cost from {first} to {second}, {scale.unit}", ["step"])
    table.add_column("amount", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("figures", overflow="fold")
    most = max((abs(step.usd) for step in found.steps), default=0.0) or 1.0
    table.add_row(Text(first, "bold"), f"{found.start_usd / scale.usd:,.3f}")
    for step in found.steps:
        length = round(BAR_LETTERS * abs(step.usd) / most)
        bar = Text("█" * length, "red" if step.usd > 0 else "green")
        amount = f"{step.usd / scale.usd:+,.3f}"
        table.add_row(Text(step.what), amount, bar, Text(step.note, "dim"))
    table.add_section()
    table.add_row(Text(second, "bold"), f"{found.end_usd / scale.usd:,.3f}")
    table.caption = "in this order: prices and rates with the first fleet, rules, demand, fleet"
    table.caption_justify = "left"
    return table


def _inputs(title: str, first: str, second: str, rows: Sequence[Difference]) -> Table:
    more = f", first {MOST_INPUTS} of {len(rows)}" if len(rows) > MOST_INPUTS else ""
    table = _table(f"{title}: inputs that differ{more}", ["input", first, second])
    for row in rows[:MOST_INPUTS]:
        table.add_row(Text(f"{row.what} {row.unit}".rstrip()), _value(row, 0), _value(row, 1))
    return table


def _value(row: Difference, number: int) -> Text:
    value = (row.first, row.second)[number]
    source = (row.first_source, row.second_source)[number]
    text = Text(value)
    if row.first_source != row.second_source and source:
        text.append(f"\n{source}", "dim")
    return text


def _figures(found: Comparison) -> Table:
    """Every figure; of each later plan its value and its change, of several only the share."""
    scale, several = _scale(found), len(found.plans) > 2
    table = _table(f"Figures; money in {scale.unit}", [])
    table.add_column("figure", overflow="fold", min_width=24)
    table.add_column("unit", no_wrap=True)
    table.add_column(Text(found.first.name), justify="right", overflow="fold")
    for one in found.plans[1:]:
        table.add_column(Text(one.name), justify="right", overflow="fold")
        table.add_column("%" if several else "change", justify="right", no_wrap=True)
    marks: dict[str, None] = {}
    for metric in found.metrics:
        cells = [_number(metric, metric.values[0], scale)]
        for number in range(1, len(found.plans)):
            cells.append(_number(metric, metric.values[number], scale))
            cells.append(_change(metric, number, scale, marks, short=several))
        table.add_row(Text(metric.label), _unit(metric), *cells)
    notes = [f"{_MARKS[note]} {note}" for note in marks]
    table.caption = "\n".join(["= no change; n/c not compared", *notes])
    table.caption_justify = "left"
    return table


_MARKS = {WITHIN: "*", OPEN: "†"}


def _scale(found: Comparison) -> Scale:
    return scale_of(max(abs(one.plan.npv_usd) for one in found.plans))


def _is_money(metric: Metric) -> bool:
    return metric.unit in ("USD", "USD/year")


def _unit(metric: Metric) -> str:
    """Unit where it is not the title's."""
    return metric.unit.removeprefix("USD") if _is_money(metric) else metric.unit


def _number(metric: Metric, value: float | None, scale: Scale, *, sign: str = "") -> str:
    if value is None:
        return "-"
    if metric.unit == "frac":
        return f"{value:{sign}.3%}"
    if _is_money(metric):
        return f"{value / scale.usd:{sign},.3f}"
    return f"{value:{sign},.3f}" if abs(value) < 100 else f"{value:{sign},.1f}"


def _change(
    metric: Metric, number: int, scale: Scale, marks: dict[str, None], *, short: bool
) -> str:
    """Change with its share; only the share where `short`."""
    change, relative, note = metric.change(number), metric.relative(number), metric.note(number)
    if change is None:
        return "" if metric.family == "solve" else "n/c"
    if note:
        marks[note] = None
    mark = _MARKS.get(note, "")
    if change == 0:
        return f"={mark}"
    amount = _number(metric, change, scale, sign="+")
    if relative is None:
        return f"{amount}{mark}"
    return f"{relative:+.1%}{mark}" if short else f"{amount} ({relative:+.1%}){mark}"


def _table(title: str, texts: Sequence[str]) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )  # fmt: skip
    for heading in texts:
        table.add_column(Text(heading), overflow="fold")
    return table
