"""The books on the page: profit and loss, asset register, contracts, leases, income tax."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from planner.finance.depreciation import MID_QUARTER_LIMIT_FRAC
from planner.finance.leases import DISCLAIMER
from planner.finance.tax import DEDUCTIONS
from planner.report.assets import register
from planner.report.contracts import Contract, LeaseView, Use, contracts, leases, saving, uses
from planner.report.html_charts import table_of, years_chart
from planner.report.html_model import Block, Cell, Chart, Column, Plots, Row, Section, Series, Table
from planner.report.html_money import Money, group_words
from planner.report.ledger_view import AFTER, TAX, Array, View
from planner.report.profit import costs_of, of_part
from planner.result import Plan

_QUARTERS = (1, 2, 3, 4)
NONE = "n/a"
ROUNDING_USD = 0.005
"""Balances end by subtraction."""
_USED_BY_COMPANY = {
    "company_used_usd": "Deductions used",
    "company_state_used_usd": "Deductions used in the state",
}


def profit(seen: View, money: Money) -> Section:
    """Cost in the books by fiscal year, against cash."""
    rows = [Row([cost.label, *money.by_year(seen, cost.usd(seen))]) for cost in costs_of(seen)]
    before = of_part(seen, "operating", "spread")
    if any(cost.part == "tax" for cost in costs_of(seen)):
        subtotal = Row(["Cost before tax", *money.by_year(seen, before)], look="total")
        rows.insert(len(rows) - 1, subtotal)
    less = seen.cash_usd - seen.profit_usd
    rows += [
        Row(["Cost in profit and loss", *money.by_year(seen, seen.profit_usd)], look="total"),
        Row(["Cash out", *money.by_year(seen, seen.cash_usd)]),
        Row(["Cash out less cost (0 over the whole life)", *money.by_year(seen, less)]),
    ]
    columns = [Column("Cost"), *money.columns(seen.years), money.column("Total")]
    table = Table(f"Profit and loss by fiscal year, {money.unit}", columns, rows)
    charts = Plots([_chart(seen, money), years_chart(seen, money, "profit-cash")])
    lead = (
        "Expenses when paid; purchases and prepayments as they are used up; tax as settled. "
        "Contracts are services, unless finance.lease states facts that make them leases."
    )
    return Section("profit", "Profit and loss", lead, [table, charts])


def _chart(seen: View, money: Money) -> Chart:
    series = [
        Series(cost.label, (seen.by_year(cost.usd(seen)) / money.scale.usd).tolist())
        for cost in costs_of(seen)
    ]
    title = "Profit and loss by fiscal year"
    return Chart(
        "profit-years", title, "stacked", "Fiscal year", money.unit, series,
        table_of(f"{title}, {money.unit}", "Fiscal year", seen.years, series, money.style),
        labels=seen.years, decimals=money.decimals, half=True,
    )  # fmt: skip


def assets(seen: View, money: Money) -> Section | None:
    """Every order of machines, written down in the books and for tax; None where none is."""
    found = register(seen)
    if not found:
        return None
    years = [year for year in seen.years if year != AFTER]
    orders: list[Row] = []
    for one in found:
        served = f"{one.in_service:%b %Y}" if one.in_service else "not delivered"
        orders.append(
            Row([one.group, f"{one.ordered:%b %Y}", served, one.lots, money.of(one.cost_usd)])
        )
    columns = [
        Column("Machines"),
        Column("Ordered"),
        Column("In service"),
        Column("Lots", style="auto"),
        money.column("Cost"),
    ]
    blocks: list[Block] = [Table(f"Orders, {money.unit}", columns, orders)]
    names = [f"{one.group}; ordered {one.ordered:%b %Y}" for one in found]
    yearly = [
        ("Book depreciation by fiscal year",
         [np.diff([0.0, *one.book_depreciation_usd]).tolist() for one in found]),
        ("Net book value at year end, before disposal", [list(one.net_book_usd) for one in found]),
        *(
            (f"Tax basis at year end, {who}, before disposal",
             [list(one.tax_basis_usd[who]) for one in found])
            for who in found[0].tax_basis_usd
        ),
    ]  # fmt: skip
    blocks += [_yearly(title, names, rows, years, money) for title, rows in yearly]
    lead = "One row an order; straight line in the books from entry into service."
    return Section("assets", "Assets", lead, blocks)


def _yearly(
    title: str, names: Sequence[str], usd: Sequence[Sequence[float]], years: Sequence[str],
    money: Money,
) -> Table:  # fmt: skip
    cut = [[money.of(x) for x in row[: len(years)]] for row in usd]
    rows = [Row([name, *row]) for name, row in zip(names, cut, strict=True)]
    rows.append(Row(["All orders", *np.sum(cut, axis=0).tolist()], look="total"))
    return Table(f"{title}, {money.unit}", [Column("Order"), *money.columns(years)], rows)


def contract_blocks(plan: Plan, seen: View, money: Money) -> list[Block]:
    """The ladder of contracts, what is owed when, its use, and how it would stand in the books."""
    found = contracts(seen)
    blocks: list[Block] = [_ladder(found, seen, money)] if found else []
    if seen.obligations_usd.any():
        blocks += [Plots([_owed_chart(plan, found, seen, money)])]
    if used := uses(plan):
        blocks.append(_uses(used, seen))
    if found:
        read = leases(plan, seen, found)
        rows = [
            Row([_name(one.contract, seen), one.read.treatment.replace("_", " "), one.read.reason])
            for one in read
        ]
        columns = [Column("Contract"), Column("Treatment"), Column("Why", wide=True)]
        blocks.append(Table("Accounting view of contracts", columns, rows, note=DISCLAIMER))
        blocks += _schedules([one for one in read if one.schedule is not None], seen, money)
    return blocks


def _schedules(held: Sequence[LeaseView], seen: View, money: Money) -> list[Block]:
    """Liability and right of use of every lease on the balance sheet, by fiscal year."""
    rows: list[Row] = []
    late = any(one.contract.last_month >= seen.horizon_months for one in held)
    shown = [year for year in seen.years if late or year != AFTER]
    for one in held:
        rows.append(Row([_name(one.contract, seen)], look="group"))
        for words, start, values in one.rows(seen.months):
            whole = np.where(np.abs(values) < ROUNDING_USD, 0.0, values)
            years = seen.by_year(whole) if start is None else seen.at_year_end(whole)
            first = None if start is None else money.of(start)
            amounts = (years / money.scale.usd)[: len(shown)].tolist()
            rows.append(Row([words, first, *amounts]))
    if not rows:
        return []
    columns = [Column("Lease"), money.column("At signing"), *money.columns(shown)]
    words = f"Right-of-use schedule by fiscal year, {money.unit}"
    return [Table(words, columns, rows, note=DISCLAIMER)]


def _name(one: Contract, seen: View) -> str:
    return f"{group_words(one.group)}; signed {seen.dates[one.month]:%b %Y}"


def _ladder(found: Sequence[Contract], seen: View, money: Money) -> Table:
    columns = [
        *(Column("Contract"), Column("Lots", style="auto"), Column("Term", "months", "count")),
        *(Column("Until"), Column("Rate", "USD/h", "cents")),
        *money.columns(("Value", "Upfront", "Mean month")),
    ]
    rows = [
        Row(
            [
                *(_name(one, seen), one.lots, float(one.term_months)),
                *(f"{seen.dates[one.last_month]:%b %Y}", one.usd_per_h),
                *map(money.of, (one.value_usd, one.upfront_usd, one.monthly_usd)),
            ]
        )
        for one in found
    ]
    return Table(f"Contracts signed, {money.unit} where no unit is given", columns, rows)


def _owed_chart(plan: Plan, found: Sequence[Contract], seen: View, money: Money) -> Chart:
    """Still owed at the end of each period, by the fiscal year in which it ends."""
    ends = np.cumsum([period.months for period in plan.periods]) - 1
    labels = [period.label for period in plan.periods]
    series = []
    signed = np.zeros(seen.months)
    for year in seen.years:
        rows = [one.owed_usd for one in found if seen.fiscal_years[one.last_month] == year]
        owed: Array = sum(rows, np.zeros(seen.months))
        signed = signed + owed
        if owed.any():
            words = "Expires after the horizon" if year == AFTER else f"Expires in {year}"
            series.append(Series(words, (owed[ends] / money.scale.usd).tolist()))
    unpaid = (seen.obligations_usd - signed)[ends] / money.scale.usd
    if np.abs(unpaid).max() > 1e-6:
        series.append(Series("Machines ordered, not yet paid", unpaid.tolist()))
    title = "Owed at period end, by expiry"
    return Chart(
        "commitments-owed", title, "stacked", "Period", money.unit, series,
        table_of(f"{title}, {money.unit}", "Period", labels, series, money.style),
        labels=labels, decimals=money.decimals,
    )  # fmt: skip


def _uses(used: Sequence[Use], seen: View) -> Table:
    columns = [
        Column("Machines"),
        Column("Committed", "GPU-h", "count"),
        Column("of it at work", "GPU-h", "count"),
        Column("On demand", "GPU-h", "count"),
        Column("Coverage", style="percent"),
        Column("Utilization", style="percent"),
        Column("Committed", "USD/GPU/h", "cents"),
        Column("On demand", "USD/GPU/h", "cents"),
        Column("Effective savings rate", style="percent"),
    ]
    rows = []
    for one in used:
        rented = one.used_h + one.on_demand_h
        shares: list[Cell] = [
            one.used_h / rented if rented else None,
            one.used_h / one.committed_h if one.committed_h else None,
        ]
        place = f"{one.title} at {one.site}"
        saved = saving(seen, one)
        prices: list[Cell] = [NONE] * 3
        if saved is not None:
            prices = [saved.committed_usd_per_h, saved.on_demand_usd_per_h, saved.effective_frac]
        rows.append(Row([place, one.committed_h, one.used_h, one.on_demand_h, *shares, *prices]))
    note = (
        "Coverage: share of rented work under commitments. Utilization: share of committed hours "
        "at work. Effective savings rate: 1 - what is paid / the same use on demand; "
        f"{NONE} where the plan knows no price on demand."
    )
    return Table("Use of commitments over the horizon", columns, rows, note)


def tax(seen: View, money: Money) -> Section | None:
    """Deductions and tax saved by fiscal year; None where no tax is planned."""
    paid = seen.category_usd(TAX)
    lines = [line for line in seen.lines if line.kind == "tax" and line.category == DEDUCTIONS]
    if not lines:
        return None
    written = [x for x in seen.lines if x.kind == "tax" and x.category == "depreciation"
               and "_federal_" in x.key]  # fmt: skip
    deducted = _sum(seen, [line.key for line in lines])
    depreciated = _sum(seen, [line.key for line in written])
    rows = [
        Row(["Tax depreciation of machines", *money.by_year(seen, depreciated)]),
        Row(["Deducted from federal income, all", *money.by_year(seen, deducted)]),
    ]
    for key, words in _USED_BY_COMPANY.items():
        if key in seen.values:
            used = np.broadcast_to(seen.values[key], seen.months)
            rows.append(Row([words, *money.by_year(seen, used)]))
    rows.append(Row(["Tax saved", *money.by_year(seen, -paid)], look="total"))
    before = of_part(seen, "operating", "spread")
    shares = [
        a / b if b else None
        for a, b in zip(
            [*(-seen.by_year(paid)), -paid.sum()], [*seen.by_year(before), before.sum()],
            strict=True,
        )
    ]  # fmt: skip
    rows.append(Row(["Effective rate, of cost before tax", *shares], style="percent"))
    columns = [Column("Tax"), *money.columns(seen.years), money.column("Total")]
    blocks: list[Block] = [Table(f"Income tax by fiscal year, {money.unit}", columns, rows)]
    blocks += _convention(seen, money)
    lead = "What is deducted, what it saves, and when; settled at the end of each fiscal year."
    return Section("tax", "Tax", lead, blocks)


def _sum(seen: View, keys: Sequence[str]) -> Array:
    return np.asarray(sum((seen.values[key] for key in keys), np.zeros(seen.months)), float)


def _convention(seen: View, money: Money) -> list[Block]:
    placed = [line.key for line in seen.lines if line.category == "placed in service"]
    if not any(seen.values[key].any() for key in placed) or "mid_quarter_used" not in seen.values:
        return []
    usd, quarter = _sum(seen, placed), seen.values["fiscal_quarter"]
    by_quarter = [seen.by_year(np.where(quarter == q, usd, 0.0)) for q in _QUARTERS]
    every = np.sum(by_quarter, axis=0)
    flags = np.broadcast_to(seen.values["mid_quarter_used"], seen.months)
    rows = [
        Row([f"Placed in service, quarter {q}", *[money.of(x) for x in row]])
        for q, row in zip(_QUARTERS, by_quarter, strict=True)
    ]
    share = [float(a / b) if b else None for a, b in zip(by_quarter[-1], every, strict=True)]
    rows.append(Row(["Share of the last quarter", *share], style="percent"))
    used = ["mid-quarter" if flags[seen.in_year(y)].any() else "half-year" for y in seen.years]
    rows.append(Row(["Convention used", *used]))
    note = f"Over {MID_QUARTER_LIMIT_FRAC:.0%} in the last quarter US law asks for mid-quarter."
    columns = [Column("Purchases"), *money.columns(seen.years)]
    return [Table(f"First-year convention, {money.unit}", columns, rows, note)]
