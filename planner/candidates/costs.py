"""Objective coefficients: net present value of one unit of every decision, from the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner import problem as seam
from planner.candidates.case import Axes, Case
from planner.candidates.offers import Offers, TaxCalendar
from planner.candidates.table import Table
from planner.candidates.traffic import Calendar, Traffic
from planner.finance import unit
from planner.finance.calendar import calendar_quantities
from planner.finance.ledger import Rows
from planner.finance.lines import assemble, common_lines
from planner.finance.offers import api_key, owned_key, rented_key
from planner.finance.reach import months_beyond
from planner.units import GIGA, MILLION, MONTHS_PER_YEAR, SECONDS_PER_HOUR

Array = NDArray[np.float64]
TAIL_MONTHS = 36
"""Fewest months beyond the horizon: those of the longest commitment on the market."""


@dataclass(frozen=True)
class Money:
    """Evaluates one unit of a decision, period by period."""

    common: Rows
    calendar: Mapping[str, Array]
    orders: Array
    """(periods, months): one order in the first month of each period."""
    spread: Array
    """(periods, months): one unit of even use over each period."""
    settlement_of: NDArray[np.int64]
    """(months,): fiscal year that settles a month's tax; beyond the horizon the month itself."""

    def deducted_usd(self, rows: Rows, key: str, line: str, by_month: Array) -> Array:
        """Deductions of one unit of a quantity by settlement [USD], (periods, settlements)."""
        lines, inputs = assemble([self.common, rows])
        values = unit.unit_values(
            lines, unit.input_values(inputs), quantity_key=key, by_month=by_month,
            calendar=self.calendar, more=(line,),
        )  # fmt: skip
        deducted = np.broadcast_to(values[line], by_month.shape)
        starts = np.unique(self.settlement_of, return_index=True)[1]
        return np.asarray(np.add.reduceat(deducted, starts, axis=1), float)

    def npv_usd(self, rows: Rows, key: str, by_month: Array) -> Array:
        """Net present cost of one unit of a quantity in each period [USD], (periods,)."""
        lines, inputs = assemble([self.common, rows])
        return unit.unit_npv(
            lines, unit.input_values(inputs), quantity_key=key, by_month=by_month,
            calendar=self.calendar,
        )  # fmt: skip

    def capex_usd(self, rows: Rows, key: str) -> Array:
        """Undiscounted capital spending of one order in each period [USD], (periods,)."""
        lines, inputs = assemble([self.common, rows])
        return unit.unit_cash(
            lines, unit.input_values(inputs), quantity_key=key, by_month=self.orders,
            calendar=self.calendar, category="capex",
        )  # fmt: skip


def money(offers: Offers, when: Calendar) -> Money:
    """Matrices that place orders and spread use over months."""
    lines, inputs = assemble(offers.rows())
    total = when.months + max(TAIL_MONTHS, months_beyond(lines, unit.input_values(inputs)))
    calendar = {
        **calendar_quantities(
            when.start, when.months, total, fiscal_year_start_month=when.fiscal_year_start_month
        ),
        **_tax_calendar(offers.tax_calendar, when, total),
    }
    periods = len(when.labels)
    return Money(
        common=common_lines(offers.common),
        calendar=calendar,
        orders=unit.monthly_orders(
            periods=periods, period_months=when.period_months, total_months=total
        ),
        spread=unit.monthly_spread(
            periods=periods, period_months=when.period_months, hours=calendar["hours"]
        ),
        settlement_of=np.cumsum(calendar["fiscal_year_first"]).astype(np.int64) - 1,
    )


def _tax_calendar(tax: TaxCalendar, when: Calendar, total: int) -> dict[str, Array]:
    """Months whose orders get the bonus, and that fall into years of the mid-quarter convention."""
    index = np.arange(total)
    year, month = map(int, when.start.split("-"))
    mid = np.isin(index, when.months_of_years(tax.mid_quarter))
    opened = np.ones(total, bool)
    if tax.bonus_from is not None:
        from_year, from_month = map(int, tax.bonus_from.split("-"))
        opened = index >= (from_year - year) * MONTHS_PER_YEAR + from_month - month
    return {"mid_quarter": mid.astype(float), "bonus_open": opened.astype(float)}


def costs_of(case: Case, axes: Axes, priced: Money) -> seam.Costs:
    """Coefficients of every decision, by period."""
    hours = case.traffic.load.hours
    shape = (len(axes.accelerators), len(axes.sites), len(hours))
    buy, capex, hourly = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    commit = np.zeros((len(axes.options), *shape))
    for g, name in enumerate(axes.accelerators):
        for s, place in enumerate(case.offers.places):
            at = (name, place.site.name)
            if at in case.offers.owned:
                rows, key = case.offers.owned_rows(at), f"{owned_key(*at)}_bought"
                buy[g, s] = priced.npv_usd(rows, key, priced.orders)
                capex[g, s] = priced.capex_usd(rows, key)
            if at in case.offers.on_demand:
                key = f"{rented_key('on_demand', *at)}_lot_hours"
                hourly[g, s] = priced.npv_usd(case.offers.on_demand_rows(at), key, priced.spread)
            for o, option in enumerate(axes.options):
                if (option, *at) in case.offers.commitments:
                    rows = case.offers.commitment_rows((option, *at))
                    key = f"{rented_key(option, *at)}_signed"
                    commit[o, g, s] = priced.npv_usd(rows, key, priced.orders)
    on_demand = hourly[..., None] * hours
    return seam.Costs(buy, commit, on_demand, _api(case, priced), capex)


def _api(case: Case, priced: Money) -> Array:
    """PV of sending all of a class's mean traffic to an API [USD], (apis, periods, blocks)."""
    usd = np.zeros((len(case.offers.apis), *case.traffic.load.hours.shape))
    for a, api in enumerate(case.offers.apis):
        requests = mean_requests(case.traffic, api.demand_class)
        for kind, tokens in tokens_a_request(case.table, api.demand_class).items():
            key = f"{api_key(api.offer.name)}_{kind}_mtokens"
            per_mtoken = priced.npv_usd(case.offers.api_rows(api.offer), key, priced.spread)
            usd[a] += requests * tokens / MILLION * per_mtoken[:, None]
    return usd


def mean_requests(traffic: Traffic, demand_class: int) -> Array:
    """Requests of a class, (periods, blocks)."""
    requests = traffic.load.mean_rps[demand_class] * traffic.load.hours * SECONDS_PER_HOUR
    return np.asarray(requests, float)


def egress_gb(case: Case, axes: Axes) -> Array:
    """Traffic out of a cloud whose pool serves all of a class [10^9 bytes], (candidates, t, b).

    Output tokens x bytes, or the stated volume of the whole traffic by each class's output tokens.
    """
    classes = [case.table.configurations[i].demand_class for i in axes.kept]
    stated, when = case.scenario.finance.egress, case.traffic.calendar
    tokens = np.array(
        [
            mean_requests(case.traffic, d) * tokens_a_request(case.table, d)["output"]
            for d in range(len(case.table.classes))
        ]
    )
    if stated.gb_per_month is None:
        return np.asarray(tokens[classes] * stated.bytes_per_output_token / GIGA, float)
    whole = tokens.sum(axis=(0, 2))[:, None]
    return np.asarray(tokens[classes] / whole * stated.gb_per_month * when.period_months, float)


def tokens_a_request(table: Table, demand_class: int) -> dict[str, float]:
    """Mean tokens of a request as an API bills them: input, cached input, output."""
    lengths = table.lengths[demand_class]
    cached = lengths.input_mean * lengths.prefix_hit_frac
    return {
        "input": lengths.input_mean - cached,
        "cached": cached,
        "output": lengths.output_mean,
    }
