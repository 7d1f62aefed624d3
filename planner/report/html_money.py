"""Cash on the page: by year, category and line, firm obligations, month by month."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from planner.report.html_model import Block, Column, Heading, Row, Section, Style, Table, shown
from planner.report.ledger_view import AFTER, Array, View, is_firm
from planner.report.sheet_annual import Scale, scale_of
from planner.report.words import OPTIONS, machine
from planner.result import Plan

_LEAST_USD = 0.005
"""Less is rounding: obligations end by subtraction."""


@dataclass(frozen=True)
class Money:
    """Amounts in the display unit of the plan."""

    scale: Scale

    @classmethod
    def of_view(cls, seen: View) -> Money:
        """Thousands or millions, as in the workbook."""
        return cls(scale_of(seen.npv_usd))

    @property
    def unit(self) -> str:
        """USD million."""
        return self.scale.unit

    @property
    def style(self) -> Style:
        """Cents of a million, tenths of a thousand."""
        return "cents" if self.scale.name == "Million" else "tenths"

    @property
    def decimals(self) -> int:
        """Behind the point."""
        return 2 if self.style == "cents" else 1

    def of(self, usd: float) -> float:
        """In the display unit."""
        return float(usd) / self.scale.usd

    def text(self, usd: float) -> str:
        """Without unit."""
        return shown(self.of(usd), self.style)

    def column(self, heading: str) -> Column:
        """A column of amounts."""
        return Column(heading, style=self.style)

    def columns(self, headings: Sequence[str]) -> list[Column]:
        """Columns of amounts."""
        return [self.column(heading) for heading in headings]

    def by_year(self, seen: View, row: Array) -> list[float]:
        """Sums by fiscal year and their total."""
        years = (seen.by_year(row) / self.scale.usd).tolist()
        return [*years, sum(years)]


def paid(seen: View) -> View:
    """What the plan itself pays: its months, and its rows without those of other options."""
    last = max(np.flatnonzero(np.abs(seen.cash_usd) >= _LEAST_USD), default=0) + 1
    months = max(seen.horizon_months, int(last))
    money = {line.group for line in seen.cash_lines}
    used = {line.group for line in seen.cash_lines if np.abs(seen.values[line.key]).any()}
    return replace(
        seen,
        lines=tuple(line for line in seen.lines if line.group in used or line.group not in money),
        values={
            key: np.broadcast_to(row, seen.months)[:months] for key, row in seen.values.items()
        },
        dates=seen.dates[:months],
        fiscal_years=seen.fiscal_years[:months],
        periods=seen.periods[:months],
    )


def category_label(category: str) -> str:
    """As tables and charts write it.

    Examples
    --------
    >>> category_label("end value"), category_label("api")
    ('End value', 'API')
    """
    return "API" if category == "api" else category.capitalize()


def costs(seen: View, money: Money) -> Section:
    """Cash by year in two depths, and by month."""
    blocks: list[Block] = [
        _categories(seen, money),
        _lines(seen, money),
        Heading("By month"),
        _months(seen, money),
    ]
    return Section(
        "costs", "Cash", "Every payment of the plan; cost is positive, money is nominal.", blocks
    )


def _categories(seen: View, money: Money) -> Table:
    rows = [
        Row([category_label(category), *money.by_year(seen, seen.category_usd(category))])
        for category in seen.categories
    ]
    rows.append(Row(["Cash out", *money.by_year(seen, seen.cash_usd)], look="total"))
    present = money.by_year(seen, seen.cash_usd * seen.weight)
    rows.append(Row(["Present value (total: net present cost)", *present]))
    so_far = np.cumsum(seen.by_year(seen.cash_usd)) / money.scale.usd
    rows.append(Row(["Cash out so far", *so_far.tolist()]))
    columns = [Column("Category"), *money.columns(seen.years), money.column("Total")]
    return Table(f"Cash out by category and fiscal year, {money.unit}", columns, rows)


def _lines(seen: View, money: Money) -> Table:
    """Each line of the ledger that is paid, under what it is paid for."""
    rows: list[Row] = []
    for group in dict.fromkeys(line.group for line in seen.cash_lines):
        rows.append(Row([group_words(group) or "Whole plan"], look="group"))
        rows += [
            Row([line.label, *money.by_year(seen, seen.values[line.key])])
            for line in seen.cash_lines
            if line.group == group
        ]
    rows.append(Row(["Cash out", *money.by_year(seen, seen.cash_usd)], look="total"))
    columns = [Column("Line"), *money.columns(seen.years), money.column("Total")]
    return Table(f"Cash out by line and fiscal year, {money.unit}", columns, rows)


def group_words(group: str) -> str:
    """HGX B200 at cloud, reserved 3 years."""
    for option, words in OPTIONS.items():
        group = group.removesuffix(f", {option}") + (
            f", {words}" if group.endswith(f", {option}") else ""
        )
    return group


def _months(seen: View, money: Money) -> Table:
    """Months down, categories across: long tables break between pages, wide ones do not."""
    columns = [
        Column("Month"),
        Column("Fiscal year"),
        *money.columns([category_label(category) for category in seen.categories]),
        *money.columns(["Cash out", "Present value", "Cash out so far"]),
    ]
    present, so_far = seen.cash_usd * seen.weight, np.cumsum(seen.cash_usd)
    amounts = [
        *(seen.category_usd(category) for category in seen.categories),
        *(seen.cash_usd, present, so_far),
    ]
    rows = [
        Row([day.strftime("%b %Y"), year, *[money.of(row[month]) for row in amounts]])
        for month, (day, year) in enumerate(zip(seen.dates, seen.fiscal_years, strict=True))
    ]
    return Table(f"Cash out by month, {money.unit}", columns, rows)


def commitments(
    plan: Plan, seen: View, money: Money, contracts: Sequence[Block] = ()
) -> Section | None:
    """What is ordered when, and what of it must be paid in any case; None where nothing is.

    `contracts` are blocks on each contract, which follow.
    """
    tables = (_orders(plan), _firm(seen, money))
    blocks: list[Block] = [table for table in tables if table is not None]
    blocks += contracts
    if not blocks:
        return None
    lead = "What is signed, when, and what is owed from then on whatever happens."
    return Section("commitments", "Commitments", lead, blocks)


def _orders(plan: Plan) -> Table | None:
    rows = [
        Row([period.label, machine(row), OPTIONS[row.option], lots, f"{row.lot_name}s", gpus])
        for t, period in enumerate(plan.periods)
        for row in plan.fleet
        if row.option != "on_demand" and (lots := row.lots_ordered[t]) > 0
        for gpus in [lots * row.lot_gpus]
    ]
    if not rows:
        return None
    columns = [
        Column("Period"),
        Column("Machine"),
        Column("How"),
        Column("Ordered", style="auto"),
        Column("Unit"),
        Column("Accelerators", "GPUs", "count"),
    ]
    return Table("Orders and contracts by period", columns, rows)


def _firm(seen: View, money: Money) -> Table | None:
    lines = [line for line in seen.cash_lines if is_firm(line) and seen.values[line.key].any()]
    if not lines:
        return None
    rows = [
        Row([f"{group_words(line.group)}: {line.label}", *money.by_year(seen, values)])
        for line in lines
        for values in [seen.values[line.key]]
    ]
    rows.append(Row(["Firm once signed", *money.by_year(seen, seen.firm_usd)], look="total"))
    late = f" “{AFTER}”: owed after the last period." if AFTER in seen.years else ""
    columns = [Column("Obligation"), *money.columns(seen.years), money.column("Total")]
    return Table(
        f"Cash that is owed once its order is signed, by fiscal year, {money.unit}",
        columns,
        rows,
        note=f"Purchases and commitments that cannot be cancelled.{late}",
    )
