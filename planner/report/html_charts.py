"""Charts of the page that more than one section shows."""

from __future__ import annotations

import numpy as np

from planner.report.html_model import Chart, Column, Row, Series, Table
from planner.report.html_money import Money, category_label
from planner.report.ledger_view import View
from planner.report.words import machine
from planner.result import ClassTraffic, Plan


def years_chart(seen: View, money: Money, name: str) -> Chart:
    """Cash by category in each fiscal year."""
    series = [
        Series(category_label(category), (money_row / money.scale.usd).tolist())
        for category in seen.categories
        for money_row in [seen.by_year(seen.category_usd(category))]
    ]
    title = "Cash out by fiscal year"
    return Chart(
        name, title, "stacked", "Fiscal year", money.unit, series,
        _table(f"{title}, {money.unit}", "Fiscal year", seen.years, series, money.column("")),
        labels=seen.years, decimals=money.decimals, half=True,
    )  # fmt: skip


def cumulative_chart(seen: View, money: Money) -> Chart:
    """Cash out so far, undiscounted and discounted."""
    months = [day.strftime("%b %Y") for day in seen.dates]
    present = np.cumsum(seen.cash_usd * seen.weight) / money.scale.usd
    series = [
        Series("Undiscounted", (np.cumsum(seen.cash_usd) / money.scale.usd).tolist()),
        Series("Present value", present.tolist()),
    ]
    title = "Cash out so far"
    return Chart(
        "decision-cumulative", title, "lines", "Month", money.unit, series,
        _table(f"{title}, {money.unit}", "Month", months, series, money.column("")),
        labels=months, decimals=money.decimals, half=True,
    )  # fmt: skip


def fleet_chart(plan: Plan, name: str) -> Chart:
    """Accelerators in service by machine."""
    labels = [period.label for period in plan.periods]
    series = [
        Series(machine(row), [lots * row.lot_gpus for lots in row.lots_in_service])
        for row in plan.fleet
    ]
    title = "Accelerators in service"
    return Chart(
        name, title, "stacked", "Period", "GPUs", series,
        _table(f"{title}, GPUs", "Period", labels, series, Column("", style="count")),
        labels=labels,
    )  # fmt: skip


def demand_chart(plan: Plan, traffic: ClassTraffic, name: str) -> Chart:
    """Peak and mean rate of a class by period."""
    labels = [period.label for period in plan.periods]
    hours = np.array([block.hours for block in plan.blocks]).T
    mean = (np.array(traffic.mean_rps) * hours).sum(axis=1) / hours.sum(axis=1)
    series = [Series("Mean", mean.tolist())]
    if traffic.kind == "online":
        peaks = [max(blocks) for blocks in traffic.peak_rps]
        series.insert(0, Series("Peak", peaks))
    title = f"Traffic of {traffic.name}"
    return Chart(
        name, title, "lines", "Period", "requests/s", series,
        _table(f"{title}, requests/s", "Period", labels, series, Column("", style="auto")),
        labels=labels, decimals=2, half=True,
    )  # fmt: skip


def _table(
    caption: str,
    first: str,
    labels: tuple[str, ...] | list[str],
    series: list[Series],
    like: Column,
) -> Table:
    columns = [Column(first), *[Column(row.label, style=like.style) for row in series]]
    rows = [
        Row([label, *[float(row.values[i]) for row in series]])  # type: ignore[arg-type]
        for i, label in enumerate(labels)
    ]
    return Table(caption, columns, rows)
