"""First screen of the page: what is asked, what it costs, what runs, what binds."""

from __future__ import annotations

import numpy as np

from planner.report.html_charts import cumulative_chart, fleet_chart, years_chart
from planner.report.html_model import (
    Block,
    Bullets,
    Column,
    Figure,
    Figures,
    Heading,
    Plots,
    Row,
    Section,
    Table,
    price_style,
)
from planner.report.html_money import Money
from planner.report.ledger_view import AFTER, CAPEX, View
from planner.report.words import asks, machine, quality_of_data, tax_text
from planner.result import Plan


def decision(plan: Plan, seen: View, money: Money) -> Section:
    """The ask, key figures, cost by year, fleet over time, limits in use."""
    clauses = asks(plan) or ["no fleet is needed: there is no demand"]
    blocks: list[Block] = [
        Bullets([f"{clause[0].upper()}{clause[1:]}." for clause in clauses], "ask"),
        _figures(plan, seen, money),
        _costs(seen, money),
        Plots([years_chart(seen, money, "decision-years"), cumulative_chart(seen, money)]),
    ]
    if plan.fleet:
        blocks += [_fleet(plan, seen), Plots([fleet_chart(plan, "decision-fleet")])]
    if plan.class_costs:
        blocks.append(_classes(plan, money))
    blocks += _binds(plan)
    if warnings := quality_of_data(plan):
        blocks.append(Bullets([f"{line[0].upper()}{line[1:]}." for line in warnings], "warning"))
    return Section("decision", "Decision", "What is to be approved, and what it costs.", blocks)


def _figures(plan: Plan, seen: View, money: Money) -> Figures:
    tiles = (
        ("Net present cost", seen.npv_usd, f"{tax_text(plan)}, discounted"),
        ("Cash out, undiscounted", seen.cash_usd.sum(), "horizon and obligations beyond"),
        ("of it purchases", seen.category_usd(CAPEX).sum(), "capex, all orders"),
        ("of it firm once signed", seen.firm_usd.sum(), "purchases and commitments"),
    )
    return Figures(
        [Figure(label, money.text(float(usd)), money.unit, note) for label, usd, note in tiles]
    )


def _costs(seen: View, money: Money) -> Table:
    capex = seen.category_usd(CAPEX)
    rows = (
        ("Purchases (capex)", capex, False),
        ("Running cost, less end value", seen.cash_usd - capex, False),
        ("Cash out", seen.cash_usd, True),
        ("Present value", seen.cash_usd * seen.weight, False),
    )
    return Table(
        f"Cash out by fiscal year, {money.unit}, nominal; cost is positive",
        [Column("Cash"), *money.columns(seen.years), money.column("Total")],
        [
            Row([label, *money.by_year(seen, values)], look="total" if total else "")
            for label, values, total in rows
        ],
    )


def _fleet(plan: Plan, seen: View) -> Table:
    """Lots in service in the last period of each fiscal year."""
    last = {period.fiscal_year: t for t, period in enumerate(plan.periods)}
    years = [year for year in seen.years if year != AFTER]
    return Table(
        "In service in the last period of each fiscal year (on demand: mean over the period)",
        [Column("Machine"), Column("Unit"), *[Column(year, style="auto") for year in years]],
        [
            Row(
                [
                    machine(row),
                    f"{row.lot_name}s of {row.lot_gpus} GPUs",
                    *[row.lots_in_service[last[year]] for year in years],
                ]
            )
            for row in plan.fleet
        ],
    )


def _classes(plan: Plan, money: Money) -> Table:
    price = price_style(row.usd_per_mtoken for row in plan.class_costs)
    return Table(
        "Cost of tokens by class, over the horizon, at the solve",
        [
            Column("Class"),
            Column("Cost", "USD/Mtoken", price),
            Column("Input", "Mtokens", "count"),
            Column("Output", "Mtokens", "count"),
            money.column(f"Net present cost, {money.unit}"),
        ],
        [
            Row(
                [
                    row.demand_class,
                    row.usd_per_mtoken,
                    row.input_mtokens,
                    row.output_mtokens,
                    money.of(row.npv_usd),
                ]
            )
            for row in plan.class_costs
        ],
        note="Mtoken: a million tokens, input and output together.",
    )


def _binds(plan: Plan) -> list[Block]:
    if not plan.binding:
        return [Heading("What binds"), Bullets(["No limit of the scenario is used up."])]
    rows = [
        Row(
            [
                row.family.replace("_", " ").capitalize(),
                row.where,
                row.used,
                row.limit,
                row.unit,
            ]
        )
        for row in plan.binding
    ]
    columns = [
        Column("Limit"),
        Column("Where"),
        Column("Used", style="auto"),
        Column("Of", style="auto"),
        Column("Unit"),
    ]
    return [Table("What binds: limits that the plan uses up", columns, rows)]


def result_words(plan: Plan) -> list[tuple[str, str]]:
    """What the solver says of the plan."""
    seconds = sum(plan.seconds.values())
    rounding = f"{plan.rounding_usd:,.0f} USD over the relaxation"
    found = [("Rounding to whole machines", rounding)]
    if np.isfinite(plan.bound_usd):
        found.append(("Least possible net present cost", f"{plan.bound_usd:,.0f} USD"))
        found.append(("Gap reached", f"{plan.gap_frac:.3%} of {plan.gap_asked_frac:.3%} asked"))
    return [*found, ("Wall time", f"{seconds:,.1f} s")]
