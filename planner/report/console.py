"""A plan on a terminal of 80 to 100 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from planner.report.ledger_view import AFTER, CAPEX, View, view
from planner.report.option_figures import option_figures
from planner.report.sheet_annual import scale_of
from planner.report.words import gap_text, machine, plural, quality_of_data
from planner.result import CandidateRow, OptionRow, Plan

MOST_NOTES = 8


def summary(plan: Plan) -> RenderableType:
    """Fleet, cost, other ways, cost of tokens, limits in use, what to know."""
    seen = view(plan)
    parts: list[RenderableType] = [_headline(plan, seen), _fleet(plan), _costs(plan, seen)]
    if plan.options:
        parts.append(_options(plan, seen))
    if plan.class_costs:
        parts.append(_classes(plan))
    if plan.binding:
        parts.append(_limits(plan))
    parts += _notes(plan)
    return Group(*parts)


def _headline(plan: Plan, seen: View) -> Text:
    scale = scale_of(seen.npv_usd)
    text = Text()
    text.append(f"{plan.scenario.get('title', plan.scenario.get('name', 'plan'))}\n", "bold")
    text.append(f"Net present cost {seen.npv_usd / scale.usd:,.2f} {scale.unit}", "bold cyan")
    text.append(f", {gap_text(plan)}; {plan.periods[0].label} to {plan.periods[-1].label}\n")
    return text


def _fleet(plan: Plan) -> Table:
    """Lots in service in the first period and in the last of each fiscal year."""
    last = {period.fiscal_year: t for t, period in enumerate(plan.periods)}
    shown = sorted({0, *last.values()})
    table = _table("In service", ["machine", "unit"])
    for t in shown:
        table.add_column(plan.periods[t].label, justify="right", no_wrap=True)
    for row in plan.fleet:
        values = [_count(row.lots_in_service[t]) for t in shown]
        table.add_row(machine(row), f"{row.lot_name}s", *values)
    if not plan.fleet:
        table.add_row("no machines", "")
    return table


def _costs(plan: Plan, seen: View) -> Table:
    """Cash by category and fiscal year."""
    scale = scale_of(seen.npv_usd)
    table = _table(f"Cash out, {scale.unit}", ["category"])
    for year in (*seen.years, "total"):
        label = "after" if year == AFTER else year
        table.add_column(label, justify="right", no_wrap=True)
    paid = [c for c in seen.categories if seen.category_usd(c).any()]
    for category in (*paid, ""):
        row = seen.category_usd(category) if category else seen.cash_usd
        amounts = (*seen.by_year(row).tolist(), float(row.sum()))
        label = "purchases" if category == CAPEX else category or "total"
        style = "" if category else "bold"
        if not category:
            table.add_section()
        table.add_row(label, *(_money(x / scale.usd) for x in amounts), style=style)
    return table


def _options(plan: Plan, seen: View) -> Table:
    """Net present cost of every way of serving the same demand, or why one cannot."""
    scale = scale_of(seen.npv_usd)
    npv = {one.row.name: one.npv_usd for one in option_figures(plan)}
    table = _table(f"Options, net present cost, {scale.unit}", ["option"])
    for heading in ("cost", "to the plan"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("serves", overflow="fold")
    for row in plan.options:
        usd = npv.get(row.name)
        apart = usd - npv["plan"] if usd is not None and row.status == "solved" else None
        table.add_row(
            Text(row.title),
            "-" if usd is None else _money(usd / scale.usd),
            "" if apart is None else f"{apart / scale.usd:+,.2f} ({apart / npv['plan']:+.0%})",
            Text(_serves(row)),
            style="bold" if row.status == "plan" else "",
        )
    return table


def _serves(row: OptionRow) -> str:
    """How much of the demand an option serves, and why not all of it."""
    words = {
        "plan": "all",
        "solved": "all",
        "late": f"from {row.serves_from} on",
        "infeasible": "cannot",
        "unsolved": "not solved in time",
        "nothing": "no one",
    }[row.status]
    if row.status == "nothing" or not row.reasons:
        return words
    first, *more = row.reasons
    return f"{words}: {first}" + (f" (and {plural(len(more), 'more reason')})" if more else "")


def _classes(plan: Plan) -> Table:
    table = _table("Cost of tokens", ["class"])
    for heading in ("USD/Mtoken", "Mtokens in", "Mtokens out"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in plan.class_costs:
        table.add_row(
            Text(row.demand_class),
            f"{row.usd_per_mtoken:,.2f}",
            f"{row.input_mtokens:,.0f}",
            f"{row.output_mtokens:,.0f}",
        )
    return table


def _limits(plan: Plan) -> Table:
    table = _table("Limits in use", ["limit", "where"])
    for heading in ("used", "of", "unit"):
        table.add_column(heading, justify="left" if heading == "unit" else "right", no_wrap=True)
    for row in plan.binding:
        family = row.family.replace("_", " ")
        used, limit = _count(row.used), _count(row.limit)
        table.add_row(family, Text(row.where), used, limit, row.unit)
    return table


def _notes(plan: Plan) -> list[RenderableType]:
    failed = [row.family for row in plan.audit if not row.holds]
    lines = [f"constraint {family} does not hold" for family in failed]
    lines += quality_of_data(plan)
    found: list[RenderableType] = [Text(f"! {line}", "yellow") for line in lines]
    found += [Text(f"- {note}") for note in plan.notes[:MOST_NOTES]]
    if (more := len(plan.notes) - MOST_NOTES) > 0:
        found.append(Text(f"- and {plural(more, 'more note')} in the workbook"))
    return found


CANDIDATE_COLUMNS: Mapping[str, tuple[str, str]] = {
    "class": ("serves", ""),
    "model": ("model", ""),
    "accelerator": ("hardware", ""),
    "weights": ("quantization", ""),
    "kv": ("kv_dtype", ""),
    "formats": ("formats", ""),
    "engine": ("engine", ""),
    "tp": ("tp", "{:.0f}"),
    "pp": ("pp", "{:.0f}"),
    "ep": ("ep", "{:.0f}"),
    "layout": ("layout", ""),
    "mode": ("mode", ""),
    "gpus": ("gpus", "{:.0f}"),
    "USD/Mtok": ("usd_per_mtoken", "{:,.2f}"),
    "way": ("usd_per_mtoken_way", ""),
    "req/s": ("lambda_star_rps", "{:,.2f}"),
    "tok/s/GPU": ("output_tokens_per_s_per_gpu", "{:,.0f}"),
    "limit": ("binding", ""),
    "KV wait": ("kv_wait_frac", "{:.1%}"),
    "preempted": ("preempted_frac", "{:.2%}"),
    "weights GB": ("weights_gb", "{:,.1f}"),
    "KV GB": ("kv_gb", "{:,.1f}"),
    "KV tokens": ("kv_tokens", "{:,.0f}"),
    "quality": ("recovery_frac", "{:.1%}"),
    "TTFT0 ms": ("ttft_zero_load_ms", "{:,.0f}"),
    "TPOT0 ms": ("tpot_zero_load_ms", "{:,.1f}"),
    "rate band": ("band", ""),
    "known": ("label", ""),
    "why not": ("reason", ""),
}
"""Column, field (or what `_value` makes of several) and format; blank format: text."""
FEASIBLE_COLUMNS = (
    "class", "accelerator", "formats", "engine", "layout", "USD/Mtok", "req/s", "tok/s/GPU",
    "rate band", "known", "limit", "KV wait",
)  # fmt: skip
REFUSED_COLUMNS = ("class", "accelerator", "formats", "engine", "layout", "why not")


def candidates_table(
    rows: Sequence[CandidateRow],
    columns: Sequence[str] = (),
    *,
    title: str = "Candidates",
) -> Table:
    """Configurations in the given columns (keys of CANDIDATE_COLUMNS), in the given order.

    Without columns: the figures of those that can serve, and why not where a row cannot or loses.
    """
    columns = columns or _suited(rows)
    table = _table(title, [])
    table.padding = 0
    for column in columns:
        text = not CANDIDATE_COLUMNS[column][1]
        justify: Literal["left", "right"] = "left" if text else "right"
        whole = column not in ("limit", "way", "why not")
        heading = column.replace(" ", "\n").replace("USD/", "USD/\n").replace("tok/s/", "tok/s/\n")
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*(_cell(row, *CANDIDATE_COLUMNS[column]) for column in columns))
    return table


def _suited(rows: Sequence[CandidateRow]) -> Sequence[str]:
    if not any(row.feasible for row in rows):
        return REFUSED_COLUMNS
    losing = any(row.reason or row.pruned_by for row in rows)
    return (*FEASIBLE_COLUMNS, "why not") if losing else FEASIBLE_COLUMNS


def _cell(row: CandidateRow, name: str, number_format: str) -> Text:
    value = _value(row, name)
    if value is None:
        return Text("-")
    return Text(number_format.format(value) if number_format else str(value))


def _value(row: CandidateRow, name: str) -> Any:
    if name == "formats":
        return f"{row.quantization}+{row.kv_dtype}"
    if name == "band":
        return _band(row)
    if name == "reason" and row.pruned_by:
        return f"dominated by {row.pruned_by}"
    value = getattr(row, name)
    return value.replace("_", " ") if name == "binding" else value


def _band(row: CandidateRow) -> str | None:
    """What the pool's rate loses and gains between the ends of the error band."""
    if not row.rate_rps or row.rate_low_rps is None or row.rate_high_rps is None:
        return None
    low, high = row.rate_low_rps / row.rate_rps - 1, row.rate_high_rps / row.rate_rps - 1
    return f"{low:+.0%}..{high:+.0%}"


def _table(title: str, texts: Sequence[str]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for heading in texts:
        table.add_column(heading, overflow="fold")
    return table


def _count(value: float) -> str:
    if value == 0:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() or value >= 1000 else f"{value:,.1f}"


def _money(value: float) -> str:
    return "-" if abs(value) < 0.005 else f"{value:,.2f}"
