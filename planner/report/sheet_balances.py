"""Sheet Balances: tokens served and demanded, power contracted and allowed, exported and paid.

Both sides of each pair come from different parts of the plan: tokens bought from the ledger that
money is counted for, power from the machines on sheet Fleet, limits from the scenario.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from openpyxl.utils import get_column_letter

from planner.errors import PlannerError
from planner.finance.lines import API_TOKENS
from planner.finance.offers import api_key, slug
from planner.report.balances import EXPORTED, BalancesSheet, Tie
from planner.report.focus_rows import focus_rows
from planner.report.ledger_view import Array, View
from planner.report.ledger_view import view as view_of
from planner.report.page import Book
from planner.report.sheet_annual import HEAD
from planner.report.sheet_cash import CashSheet
from planner.report.sheet_costs import PERIOD_ROW, CostsSheet
from planner.report.sheet_fleet import KW, FleetSheet
from planner.report.sheet_pnl import ProfitSheet
from planner.report.style import COUNT, FINE, MONEY, PERCENT, TENTHS
from planner.report.traffic_share import served_by_period, share_by_period
from planner.report.yearly import LABEL, TOTAL, UNIT, Yearly
from planner.result import ClassTraffic, Plan
from planner.units import MILLION, SECONDS_PER_HOUR

TITLE = "Balances"
BILLION = 1000 * MILLION
CHARGES = ("Purchase", "Usage", "Adjustment", "Tax")
"""Charge categories of FOCUS that the export writes."""
_LONGEST = 200
"""Letters of a refusal."""
_NOTE = (
    "Pairs that must agree or stay within each other; sheet Checks holds them to it. Green and "
    "black are formulas, violet is as solved."
)


@dataclass(frozen=True)
class _Sheet:
    plan: Plan
    view: View
    inputs: Mapping[str, str]
    costs: CostsSheet
    fleet: FleetSheet
    writer: Yearly
    numbers: int
    """Row of the number of each period."""

    @property
    def unit(self) -> tuple[float, str, str]:
        """In which tokens are counted: size, word, number format."""
        most = max((x.input_mtokens + x.output_mtokens for x in self.plan.class_costs), default=0.0)
        return (BILLION, "billion", TENTHS) if most > MILLION else (MILLION, "million", COUNT)

    def solved(self, label: str, unit: str, values: Array, style: str) -> int:
        """A row of values by period."""
        writer = self.writer
        writer.page.put(writer.row, LABEL, label)
        writer.page.put(writer.row, UNIT, unit, "unit")
        writer.page.row(writer.row, TOTAL + 1, values.tolist(), "solved", style)
        writer.row += 1
        return writer.row - 1

    def one(self, label: str, unit: str, value: float, style: str) -> str:
        """A single value; its address on the sheet."""
        writer = self.writer
        writer.page.put(writer.row, LABEL, label)
        writer.page.put(writer.row, UNIT, unit, "unit")
        writer.page.put(writer.row, TOTAL, value, "solved", style)
        writer.row += 1
        return f"${get_column_letter(TOTAL)}${writer.row - 1}"

    def of_fleet(self, row: int) -> str:
        """A row of sheet Fleet in the column's period."""
        return f"INDEX({self.fleet.span(row)},1,{{c}}${self.numbers})"

    def by_period(self, row: Array) -> Array:
        """Sums of a row of the ledger by period."""
        return np.array(
            [row[[name == period.label for name in self.view.periods]].sum()
             for period in self.plan.periods]
        )  # fmt: skip


def write_balances(
    book: Book, plan: Plan, view: View, *, inputs: Mapping[str, str], costs: CostsSheet,
    cash: CashSheet, profit: ProfitSheet, fleet: FleetSheet,
) -> BalancesSheet:  # fmt: skip
    """Write the sheet."""
    page = book.page(TITLE, widths=(40, 9, 11.5, *[8.5] * len(plan.periods)))
    page.heading("Balances", _NOTE)
    writer = Yearly(page, [period.label for period in plan.periods], HEAD)
    writer.head("By period")
    count = [float(number) for number, _ in enumerate(plan.periods, 1)]
    numbers = writer.write("Period", "number", f"={{p}}{writer.row}+1", count, style=COUNT,
                           look="calculation")  # fmt: skip
    sheet = _Sheet(plan, view, inputs, costs, fleet, writer, numbers)
    tokens = tuple(_tokens(sheet, traffic) for traffic in plan.demand)
    power = tuple(_power(sheet, site) for site in plan.scenario.get("sites") or ()
                  if _limit(sheet, site) is not None)  # fmt: skip
    problem, focus = _focus(sheet, cash, profit)
    page.freeze(HEAD + 1, TOTAL)
    page.print_setup(titles=f"{HEAD}:{HEAD}", columns="A:C")
    return BalancesSheet(tokens, power, focus, problem)


def _tokens(sheet: _Sheet, traffic: ClassTraffic) -> Tie:
    """Demand of one class against what machines serve and what the ledger buys from APIs."""
    writer, plan, name = sheet.writer, sheet.plan, traffic.name
    writer.row += 1
    writer.group(f"Tokens of class {name}")
    hours = np.array([block.hours for block in plan.blocks], float).T
    unit, name_of_unit, style = sheet.unit
    requests = (np.array(traffic.mean_rps) * hours).sum(axis=1) * SECONDS_PER_HOUR / unit
    asked = sheet.solved("Requests", name_of_unit, requests, FINE)
    size = traffic.input_tokens_mean + traffic.output_tokens_mean
    tokens = "+".join(
        sheet.one(f"Tokens {way} of a request, mean", "tokens", mean, COUNT)
        for way, mean in (("in", traffic.input_tokens_mean), ("out", traffic.output_tokens_mean))
    )
    demanded = requests * size
    wanted = writer.summed(
        "Demanded", name_of_unit, f"={{c}}{asked}*({tokens})", demanded.tolist(), style=style,
        look="calculation",
    )  # fmt: skip
    sent, keys = _to_apis(plan, traffic, sheet.view)
    to_apis = sheet.solved("Sent to APIs", "share", sent, PERCENT)
    by_machines = (served_by_period(plan, name) - sent) * demanded
    own = writer.summed(
        "Served by machines", name_of_unit,
        f"={{c}}{wanted}*({sheet.of_fleet(sheet.fleet.served[name])}-{{c}}{to_apis})",
        by_machines.tolist(), style=style,
    )  # fmt: skip
    bought = sent * demanded
    formula = f"={{c}}{wanted}*{{c}}{to_apis}"
    if keys:
        bought = sheet.by_period(np.sum([sheet.view.values[key] for key in keys], axis=0))
        bought = bought * MILLION / unit
        formula = f"=({writer.of_label(sheet.costs, keys, PERIOD_ROW)})"
        formula += "/Thousand" if unit > MILLION else ""
    apis = writer.summed(
        "Bought from APIs, of sheet Costs" if keys else "Served by APIs", name_of_unit, formula,
        bought.tolist(), style=style,
    )  # fmt: skip
    served = by_machines + bought
    total = writer.summed(
        "Served",
        name_of_unit,
        f"={{c}}{own}+{{c}}{apis}",
        served.tolist(),
        style=style,
        look="total",
    )
    here = writer.page.address(total, TOTAL), writer.page.address(wanted, TOTAL)
    ratio = float(served.sum() / demanded.sum()) if demanded.sum() else 1.0
    return Tie(name, f"IF({here[1]}=0,1,{here[0]}/{here[1]})", ratio)


def _to_apis(plan: Plan, traffic: ClassTraffic, view: View) -> tuple[Array, list[str]]:
    """Share of a class's requests that goes to APIs by period, and its rows of the ledger."""
    share, keys = np.zeros(len(plan.periods)), []
    for api in plan.apis:
        if api.demand_class == traffic.name:
            share = share + share_by_period(plan, traffic, api.served_frac)
            key = api_key(f"{api.demand_class}-{api.provider}-{api.product}")
            keys += [f"{key}_{kind}_mtokens" for kind in API_TOKENS]
    return share, [key for key in keys if key in view.values]


def _limit(sheet: _Sheet, site: Mapping[str, Any]) -> tuple[str, str, float] | None:
    """Where a site's IT power comes from: label, input that divides it or blank, kW; None: none.

    A feed carries IT power x PUE.
    """
    if site.get("it_power_kw") is not None:
        return "IT power of the site", "", float(site["it_power_kw"])
    pue = f"site_{slug(str(site['name']))}_pue"
    if site.get("feed_kw") is None or pue not in sheet.inputs:
        return None
    return "Utility feed of the site", pue, float(site["feed_kw"])


def _power(sheet: _Sheet, site: Mapping[str, Any]) -> Tie:
    """Contracted power of the machines in service at one site, against what it has."""
    writer, plan, view, name = sheet.writer, sheet.plan, sheet.view, str(site["name"])
    limit = _limit(sheet, site)
    assert limit is not None
    label, pue, kw = limit
    writer.row += 1
    writer.group(f"Contracted IT power at {name}")
    cell = sheet.one(label, "kW", kw, COUNT)
    opens = site.get("available_from")
    opened = np.array([
        float(opens is None or view.dates[period.first_month] >= date.fromisoformat(f"{opens}-01"))
        for period in plan.periods
    ])  # fmt: skip
    can_use = sheet.solved("Open to machines", "flag", opened, COUNT)
    each = next((row.value for row in view.inputs if row.name == pue), 1.0)
    most = opened * kw / each
    formula = f"={{c}}{can_use}*{cell}" + (f"/{sheet.inputs[pue]}" if pue else "")
    limits = writer.write("Limit", "kW", formula, most.tolist(), style=COUNT)
    rows = [(i, row) for i, row in enumerate(plan.fleet) if row.site == name]
    held = np.sum([np.array(row.lots_in_service) * row.lot_kw for _, row in rows], axis=0)
    held = np.broadcast_to(held, opened.shape)
    terms = "+".join(
        f"{sheet.fleet.title}!${get_column_letter(KW)}${sheet.fleet.in_service[i]}"
        f"*{sheet.of_fleet(sheet.fleet.in_service[i])}"
        for i, _ in rows
    )
    used = writer.write("In service", "kW", f"={terms or '0'}", held.tolist(), style=COUNT)
    # Machines at a site that is not open are over any limit: the cell then shows 100 times it.
    share = np.divide(held, most, out=np.where(held > 0, 100.0, 0.0), where=most > 0)
    of_limit = writer.write(
        "In service of the limit", "share",
        f"=IF({{c}}{used}=0,0,IF({{c}}{limits}=0,100,{{c}}{used}/{{c}}{limits}))",
        share.tolist(), style=PERCENT, look="calculation",
    )  # fmt: skip
    span = writer.span(of_limit)
    return Tie(name, f"MAX('{TITLE}'!{span})", float(share.max(initial=0.0)))


def _focus(sheet: _Sheet, cash: CashSheet, profit: ProfitSheet) -> tuple[str, tuple[Tie, ...]]:
    """Totals of the export's rows by charge category; what its refusal says."""
    writer = sheet.writer
    try:
        rows, _ = focus_rows(sheet.plan, view_of(sheet.plan))
    except (PlannerError, ValueError) as refused:
        # The export has its own command, which stops here; the workbook says it in a check.
        return f"refused: {' '.join(str(refused).split())[:_LONGEST]}", ()
    writer.row += 1
    writer.group("FOCUS export of the plan, whole life")
    page, found = writer.page, []
    for what, column, expected, usd in (
        (EXPORTED[0], "BilledCost", cash.total(cash.total_row), sheet.view.cash_usd),
        (EXPORTED[1], "EffectiveCost",
         profit.total(profit.total_row), sheet.view.profit_usd),
    ):  # fmt: skip
        first, values = writer.row, []
        for charge in CHARGES:
            values.append(sum(getattr(x, column) for x in rows if x.ChargeCategory == charge))
            sheet.one(f"{column.removesuffix('Cost')} cost, {charge.lower()}", "USD", values[-1],
                      MONEY)  # fmt: skip
        letter = get_column_letter(TOTAL)
        page.put(writer.row, LABEL, f"{column.removesuffix('Cost')} cost", "label total")
        page.put(writer.row, UNIT, "USD", "unit total")
        formula = f"=SUM({letter}{first}:{letter}{writer.row - 1})"
        page.formula(writer.row, TOTAL, formula, sum(values), "total", number_format=MONEY)
        total = page.address(writer.row, TOTAL)
        found.append(Tie(what, total, sum(values), expected, float(usd.sum())))
        writer.row += 1
    return "", tuple(found)
