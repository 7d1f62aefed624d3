"""Cost: present value of every decision, quantity times the value of one unit's cash rows.

    sum buy_usd * bought + sum commit_usd * signed + sum on_demand_usd * on_demand
        + sum api_usd * api + sum energy_usd * served
        - sum saved_usd * used deductions, of each tax, where tax is the company's

Inside the program money has a unit of 1, 1e3 or 1e6 USD, chosen so that coefficients stay near
one; outside it is always USD.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.core.expr import LinearExpression

from planner.finance.tax import deductions_used, federal_income
from planner.problem import Array, CompanyTax, Problem, Solution


def total(prices: Iterable[Any], quantities: Iterable[Any]) -> Any:
    """Sum of price x quantity; Pyomo variables or solved arrays."""
    return sum(usd * n for usd, n in zip(prices, quantities, strict=True))


def money_unit_usd(p: Problem) -> float:
    """USD in one unit of money inside the program: 1, 1e3 or 1e6.

    The largest price of one unit of anything lies between 1 and 1000 units of money, where the
    solver's absolute tolerances mean what they should.
    """
    costs = p.costs
    prices = [costs.buy_usd, costs.commit_usd, costs.on_demand_usd, costs.api_usd]
    finite = [np.abs(x[np.isfinite(x)]) for x in (*prices, p.pools.energy_usd)]
    largest = max((float(x.max()) for x in finite if x.size), default=1.0)
    return 1000.0 ** min(max(math.floor(math.log(max(largest, 1.0), 1000.0)), 0), 1)


def add(m: pyo.ConcreteModel, p: Problem) -> None:
    """Add the objective `cost` to a model that declares every decision."""
    unit, costs = money_unit_usd(p), p.costs
    parts: list[tuple[float, Any]] = []
    for price, variable in (
        (costs.buy_usd, m.bought),
        (costs.commit_usd, m.signed),
        (costs.on_demand_usd, m.on_demand),
        (costs.api_usd, m.api),
        (p.pools.energy_usd, m.served),
    ):
        # One flat list of floats: numpy scalars would make every expression slow to build.
        keys = list(variable)
        at = tuple(np.array(keys, dtype=np.int64).reshape(len(keys), price.ndim).T)
        parts += zip((price[at] / unit).tolist(), variable.values(), strict=True)
    if p.tax is not None:
        parts += zip((-p.tax.saved_usd).tolist(), m.used_deductions.values(), strict=True)
    if p.tax is not None and p.tax.state is not None:
        parts += zip((-p.tax.state.saved_usd).tolist(), m.used_state.values(), strict=True)
    terms = [(usd, v) for usd, v in parts if usd]
    m.cost = pyo.Objective(
        expr=LinearExpression(
            linear_coefs=[usd for usd, _ in terms], linear_vars=[v for _, v in terms]
        ),
        doc="present value [money unit]",
    )


def cost_usd(p: Problem, x: Solution) -> float:
    """Present value of a plan [USD], recomputed from quantities alone."""
    pairs = (
        (p.costs.buy_usd, x.lots_bought),
        (p.costs.commit_usd, x.lots_signed),
        (p.costs.on_demand_usd, x.lots_on_demand),
        (p.costs.api_usd, x.api_frac),
        (p.pools.energy_usd, x.served_frac),
    )
    # A price may be inf where nothing can be had; zero of it costs zero.
    parts = [np.where(n != 0, usd, 0.0) * n for usd, n in pairs]
    return float(math.fsum(float(part.sum()) for part in parts)) - saved_usd(p, x)


def deducted_usd(tax: CompanyTax, buy_usd: Array, x: Solution) -> Array:
    """Deductions of a plan [USD], (settlements,); `buy_usd` are those of the tax in question."""
    made = np.tensordot(x.lots_bought, buy_usd, axes=x.lots_bought.ndim)
    made = made + np.tensordot(x.lots_signed, tax.commit_usd, axes=x.lots_signed.ndim)
    for price, quantity in (
        (tax.on_demand_usd, x.lots_on_demand),
        (tax.api_usd, x.api_frac),
        (tax.energy_usd, x.served_frac),
    ):
        by_period = np.where(quantity != 0, price, 0.0) * quantity
        axes = tuple(i for i in range(by_period.ndim) if i != by_period.ndim - 2)
        np.add.at(made, tax.settled_in, by_period.sum(axis=axes))
    return np.asarray(made, float)


def saved_usd(p: Problem, x: Solution) -> float:
    """Present value of the tax that a plan saves [USD], recomputed from quantities alone."""
    if p.tax is None:
        return 0.0
    tax, income, saved = p.tax, p.tax.income_usd, 0.0
    used = partial(deductions_used, in_horizon=tax.in_horizon, carried=tax.carried)
    if tax.state is not None:
        of_state = used(deducted_usd(tax, tax.state.buy_usd, x), income)
        saved = float(of_state @ tax.state.saved_usd)
        income = federal_income(income, of_state, state_rate=tax.state.rate)
    return saved + float(used(deducted_usd(tax, tax.buy_usd, x), income) @ tax.saved_usd)
