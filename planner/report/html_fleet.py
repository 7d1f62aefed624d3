"""Traffic, fleet and latency on the page: what is asked of the machines and what they promise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from planner.report.html_charts import demand_chart, fleet_chart
from planner.report.html_model import (
    Block,
    Bullets,
    Cell,
    Chart,
    Column,
    Heading,
    Plots,
    Row,
    Section,
    Series,
    Style,
    Table,
    chunks,
)
from planner.report.latency_figures import Latency, latencies
from planner.report.sheet_fleet import replica_lines
from planner.report.sheet_latency import SHARED
from planner.report.traffic_share import (
    fullness,
    served_by_period,
    served_parts,
    share_by_period,
)
from planner.report.words import machine, pool_label, with_others
from planner.result import LatencyCurve, Plan, whole_pools

PERIODS_ACROSS = 16
"""Columns that still fit across a page."""
Line = tuple[str, str, Sequence[float], Style, bool]
"""Label, unit, a value a period, style of the numbers, whether a total."""


def demand(plan: Plan) -> Section | None:
    """Traffic by class; None without any."""
    if not plan.demand:
        return None
    first, last = plan.periods[0].label, plan.periods[-1].label
    columns = [
        Column("Class"),
        Column("Kind"),
        Column("Models"),
        Column(f"Peak {first}", "requests/s", "auto"),
        Column(f"Peak {last}", "requests/s", "auto"),
        Column("Prompt, mean", "tokens", "count"),
        Column("Answer, mean", "tokens", "count"),
        Column("Prompt from cache", "share", "percent"),
    ]
    rows = []
    for row in plan.demand:
        rates = row.peak_rps if row.kind == "online" else row.mean_rps
        cells: list[Cell] = [row.name, row.kind, ", ".join(row.models)]
        cells += [max(rates[0]), max(rates[-1]), row.input_tokens_mean, row.output_tokens_mean]
        rows.append(Row([*cells, row.prefix_cache_hit_frac]))
    charts = [demand_chart(plan, row, f"demand-{i}") for i, row in enumerate(plan.demand)]
    batch = any(row.kind == "batch" for row in plan.demand)
    note = "Of batch classes the highest mean of a load block: they have no peak." if batch else ""
    table = Table("Traffic classes", columns, rows, note=note)
    return Section("demand", "Traffic", "What must be served.", [table, Plots(charts)])


def fleet(plan: Plan) -> Section:
    """What the optimizer chose, by period."""
    blocks: list[Block] = []
    if plan.fleet:
        blocks.append(Plots([fleet_chart(plan, "fleet-chart")]))
    for caption, lines in (
        ("Ordered in the period (on demand: most at once)", _ordered(plan)),
        ("In service (on demand: mean over the period)", _in_service(plan)),
        ("Accelerators and contracted IT power in service", _products(plan)),
        ("Replicas at the peak", _replicas(plan)),
        *((f"Share of the requests of {row.name} served", _served(plan, row.name))
          for row in plan.demand),
        ("Load of SLO capacity in the fullest block", _fullness(plan)),
    ):  # fmt: skip
        blocks += _by_period(plan, caption, lines)
    if not plan.fleet:
        blocks.insert(0, Bullets(["The plan has no machines of its own."]))
    return Section("fleet", "Fleet", "What the optimizer chose, period by period.", blocks)


def _by_period(plan: Plan, caption: str, lines: Sequence[Line]) -> list[Block]:
    """Tables of at most PERIODS_ACROSS periods, so that none is cut."""
    found: list[Block] = []
    parts = list(chunks(len(plan.periods), PERIODS_ACROSS))
    for run in parts if lines else []:
        periods = [plan.periods[t].label for t in run]
        columns = [
            Column("What", wide=True),
            Column("Unit"),
            *[Column(p, style="auto") for p in periods],
        ]
        rows = [
            Row([label, unit, *[values[t] for t in run]], style, "total" if total else "")
            for label, unit, values, style, total in lines
        ]
        title = caption if len(parts) == 1 else f"{caption}, {periods[0]} to {periods[-1]}"
        found.append(Table(title, columns, rows))
    return found


def _ordered(plan: Plan) -> list[Line]:
    return [
        (machine(row), f"{row.lot_name}s", row.lots_ordered, "auto", False) for row in plan.fleet
    ]


def _in_service(plan: Plan) -> list[Line]:
    return [
        (machine(row), f"{row.lot_name}s", row.lots_in_service, "auto", False) for row in plan.fleet
    ]


def _products(plan: Plan) -> list[Line]:
    lines: list[Line] = []
    for unit, each in (
        ("GPUs", [row.lot_gpus for row in plan.fleet]),
        ("kW", [row.lot_kw for row in plan.fleet]),
    ):
        total = np.zeros(len(plan.periods))
        for row, factor in zip(plan.fleet, each, strict=True):
            values = np.array(row.lots_in_service) * factor
            lines.append((machine(row), unit, values.tolist(), "count", False))
            total = total + values
        if plan.fleet:
            lines.append(("Total", unit, total.tolist(), "count", True))
    return lines


def _replicas(plan: Plan) -> list[Line]:
    return [(label, unit, values, "auto", False) for label, unit, values in replica_lines(plan)]


def _served(plan: Plan, name: str) -> list[Line]:
    traffic = next(row for row in plan.demand if row.name == name)
    lines: list[Line] = [
        (label, "share", share_by_period(plan, traffic, served).tolist(), "percent", False)
        for label, served in served_parts(plan, name)
    ]
    return [*lines, ("Served", "share", served_by_period(plan, name).tolist(), "percent", True)]


def _fullness(plan: Plan) -> list[Line]:
    candidates = {row.id: row for row in plan.candidates}
    return [
        (pool_label(pool, candidates), "share", fullness(plan, pool).tolist(), "percent", False)
        for pool in whole_pools(plan.pools)
        if pool.first.candidate in candidates
    ]


def latency(plan: Plan) -> Section:
    """What each used replica promises at each rate, and where it runs."""
    lead = "At the promised percentile, one replica of each configuration in use; model estimates."
    curves = [curve for curve in plan.curves if curve.points]
    if not curves:
        none = "No online class is served by machines of this plan."
        return Section("latency", "Latency", lead, [Bullets([none])])
    blocks: list[Block] = [_promises(curves)]
    for number, curve in enumerate(curves):
        blocks.append(Heading(f"{curve.demand_class}: {curve.candidate}"))
        if curve.shared_with:
            blocks.append(Bullets([SHARED.format(", ".join(curve.shared_with))]))
        blocks.append(
            Plots(
                [_curve(curve, f"latency-{number}-{one.name}", one) for one in latencies([curve])]
            )
        )
    return Section("latency", "Latency", lead, blocks)


def _promises(curves: Sequence[LatencyCurve]) -> Table:
    shown = latencies(curves)
    columns = [
        Column("Class"),
        Column("Configuration", wide=True),
        Column("Planned rate", "requests/s a replica", "cents"),
    ]
    for one in shown:
        style: Style = "tenths" if one.field == "tpot" else "count"
        columns += [
            Column(one.name, "ms", style), Column("promised", "ms", style),
            Column("used", "", "percent"),
        ]  # fmt: skip
    rows = []
    for curve in curves:
        own = with_others(curve.demand_class, *curve.shared_with)
        cells: list[Cell] = [own, curve.candidate, curve.operating_rps]
        for one in shown:
            target = one.target(curve)
            value = one.at(curve, curve.operating_rps)
            known = one in latencies([curve])
            cells += [value if known else None, target, value / target if target else None]
        rows.append(Row(cells))
    return Table("Latency at the planned rate, peak", columns, rows)


def _curve(curve: LatencyCurve, chart_id: str, shown: Latency) -> Chart:
    """Latency over rate, the promise dashed, the planned rate marked."""
    target = shown.target(curve)
    points = [(point.rps, shown.value(point) or 0.0) for point in curve.points]
    series = [Series("Estimate", points)]
    if target is not None:
        edges = (min(x for x, _ in points), max(x for x, _ in points))
        series.append(Series("Promised", [(x, target) for x in edges], "target"))
    at = shown.at(curve, curve.operating_rps)
    series.append(Series("Planned", [(curve.operating_rps, at)], "planned"))
    return Chart(
        chart_id, f"{shown.name} of {curve.demand_class}", "scatter",
        "requests/s, one replica", "ms", series, _points(curve, shown),
        decimals=1, half=True,
    )  # fmt: skip


def _points(curve: LatencyCurve, shown: Latency) -> Table:
    columns = [
        Column("Rate", "requests/s a replica", "cents"),
        Column("Output", "tokens/s a GPU", "tenths"),
        Column(shown.name, "ms", "tenths"),
        Column("promised", "ms", "tenths"),
    ]
    target = shown.target(curve)
    rows = [
        Row([p.rps, p.output_tokens_per_s_per_gpu, shown.value(p), target]) for p in curve.points
    ]
    at = shown.at(curve, curve.operating_rps)
    rows.append(Row([curve.operating_rps, "planned", at, target], look="total"))
    return Table(f"{shown.name} of {curve.demand_class}, {curve.candidate}", columns, rows)
