"""Deductions of every decision, for a company whose losses are not used at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner import problem as seam
from planner.candidates.case import Axes, Case
from planner.candidates.costs import Money, egress_gb, mean_requests, tokens_a_request
from planner.errors import ScenarioError
from planner.finance import unit
from planner.finance.offers import api_key, egress_key, energy_key, owned_key, rented_key
from planner.finance.tax import deducted_key, has_state
from planner.units import MILLION, MONTHS_PER_YEAR

Array = NDArray[np.float64]


def company_tax(case: Case, axes: Axes, priced: Money, kwh: Array) -> seam.CompanyTax | None:
    """Deductions by settlement of tax; None where each finds income in its year.

    `kwh` is the energy above idle of every pool, (candidates, periods, blocks).

    Raises
    ------
    ScenarioError : a period that lies in two fiscal years.
    """
    tax = case.offers.common.tax
    if tax is None or tax.other_income_usd_per_year is None or tax.losses_carried is None:
        return None
    of_month = priced.settlement_of
    count = int(of_month[-1]) + 1
    values = unit.common_values(*priced.common, priced.calendar)
    last = np.flatnonzero(np.diff(of_month, append=count))
    months = np.bincount(of_month, minlength=count)
    in_horizon = priced.calendar["in_horizon"][last] > 0
    buy, commit = _bought(case, axes, priced, count, "federal"), _signed(case, axes, priced, count)
    on_demand, api, energy = _use(case, axes, priced, kwh)
    return seam.CompanyTax(
        saved_usd=unit.weight(values)[last] * tax.tax_rate.value,
        income_usd=tax.other_income_usd_per_year.value * months / MONTHS_PER_YEAR,
        in_horizon=in_horizon,
        settled_in=_settled_in(case, priced),
        carried=bool(tax.losses_carried.value),
        buy_usd=buy,
        commit_usd=commit,
        on_demand_usd=on_demand,
        api_usd=api,
        energy_usd=energy,
        state=_state(case, axes, priced, unit.weight(values)[last]),
    )


def _state(case: Case, axes: Axes, priced: Money, weight: Array) -> seam.StateTax | None:
    tax = case.offers.common.tax
    assert tax is not None
    if not has_state(tax):
        return None
    rate = tax.state_tax_rate.value
    return seam.StateTax(
        rate=rate,
        saved_usd=weight * rate * (1 - tax.tax_rate.value),
        buy_usd=_bought(case, axes, priced, len(weight), "state"),
    )


def _settled_in(case: Case, priced: Money) -> NDArray[np.int64]:
    when = case.traffic.calendar
    of_period = priced.settlement_of[: when.months].reshape(-1, when.period_months)
    if (of_period != of_period[:, :1]).any():
        problem = (
            "horizon.period: a quarter of the plan lies in two fiscal years, which "
            f"finance.tax.losses {case.scenario.finance.tax.losses} does not support; "
            "plan by month, or start with a quarter of the fiscal year"
        )
        raise ScenarioError(case.scenario.name, [problem])
    return np.asarray(of_period[:, 0], np.int64)


def _bought(case: Case, axes: Axes, priced: Money, count: int, who: str) -> Array:
    """Of one lot bought in each period, by settlement of the federal or the state tax."""
    buy = np.zeros((len(axes.accelerators), len(axes.sites), len(priced.orders), count))
    for g, name in enumerate(axes.accelerators):
        for s, site in enumerate(axes.sites):
            if (name, site) in case.offers.owned:
                key, rows = owned_key(name, site), case.offers.owned_rows((name, site))
                line = deducted_key(key, asset=True, who=who)
                buy[g, s] = priced.deducted_usd(rows, f"{key}_bought", line, priced.orders)
    return buy


def _signed(case: Case, axes: Axes, priced: Money, count: int) -> Array:
    """Of one lot signed in each period, by settlement."""
    shape = (len(axes.accelerators), len(axes.sites), len(priced.orders), count)
    commit = np.zeros((len(axes.options), *shape))
    for g, name in enumerate(axes.accelerators):
        for s, site in enumerate(axes.sites):
            at = (name, site)
            for o, option in enumerate(axes.options):
                if (option, *at) in case.offers.commitments:
                    key = rented_key(option, *at)
                    rows = case.offers.commitment_rows((option, *at))
                    line = deducted_key(key, asset=False)
                    commit[o, g, s] = priced.deducted_usd(
                        rows, f"{key}_signed", line, priced.orders
                    )
    return commit


def _use(case: Case, axes: Axes, priced: Money, kwh: Array) -> tuple[Array, Array, Array]:
    """Of machines by the hour, API traffic, and energy or egress, in their period's settlement."""
    hours = case.traffic.load.hours
    on_demand = np.zeros((len(axes.accelerators), len(axes.sites), *hours.shape))
    for g, name in enumerate(axes.accelerators):
        for s, site in enumerate(axes.sites):
            if (name, site) in case.offers.on_demand:
                key = rented_key("on_demand", name, site)
                rows, line = case.offers.on_demand_rows((name, site)), f"{key}_lot_hours"
                deducted = deducted_key(key, asset=False)
                an_hour = priced.deducted_usd(rows, line, deducted, priced.spread).sum(axis=1)
                on_demand[g, s] = an_hour[:, None] * hours
    api = np.zeros((len(case.offers.apis), *hours.shape))
    for a, one in enumerate(case.offers.apis):
        requests, key = mean_requests(case.traffic, one.demand_class), api_key(one.offer.name)
        rows, line = case.offers.api_rows(one.offer), deducted_key(key, asset=False)
        for kind, tokens in tokens_a_request(case.table, one.demand_class).items():
            each = priced.deducted_usd(rows, f"{key}_{kind}_mtokens", line, priced.spread)
            api[a] += requests * tokens / MILLION * each.sum(axis=1)[:, None]
    energy = np.zeros((len(axes.kept), len(axes.sites), *hours.shape))
    for s, place in enumerate(case.offers.places):
        if place.costs is not None:
            key = energy_key(place.site.name)
            rows, line = case.offers.energy_rows(place.costs), deducted_key(key, asset=False)
            each = priced.deducted_usd(rows, f"{key}_it_kwh", line, priced.spread).sum(axis=1)
            energy[:, s] = kwh * each[None, :, None]
    for s in case.offers.egress_sites:
        site = case.offers.places[s].site.name
        rows, line = case.offers.egress_rows(site), deducted_key(egress_key(site), asset=False)
        each = priced.deducted_usd(rows, f"{egress_key(site)}_gb", line, priced.spread).sum(axis=1)
        energy[:, s] = egress_gb(case, axes) * each[None, :, None]
    return on_demand, api, energy
