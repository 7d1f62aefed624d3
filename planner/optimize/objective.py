"""Cost: present value of every decision, quantity times the value of one unit's cash rows.

    sum buy_usd * bought + sum commit_usd * signed + sum on_demand_usd * on_demand
        + sum api_usd * api + sum energy_usd * served

Inside the program money has a unit of 1, 1e3 or 1e6 USD, chosen so that coefficients stay near
one; outside it is always USD.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.core.expr import LinearExpression

from planner.problem import Problem, Solution


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
    return float(math.fsum(float(part.sum()) for part in parts))
