"""Company-wide limits: capital a year, and how many kinds of accelerator.

Index      g accelerator SKU, s site, t period, y fiscal year
Decision   bought[g, s, t]       lots ordered                               whole number
           used[g]               SKU is in the fleet                        0 or 1
Given      capex_usd[g, s, t]    cash of one lot ordered                    USD
           capex_max_usd[y]      inf = none                                 USD
           accelerator_types_max                                            SKUs

    sum of capex_usd * bought over the orders of y  <=  capex_max_usd[y]
    lots held[g, s, t] <= lots_cap * used[g],   on_demand[g, s, t, b] <= its bound * used[g]
    sum over the pools of a class on g of served[c, s, t, b]  <=  used[g]        busiest block
    sum_g used[g]  <=  accelerator_types_max

The third row adds nothing for whole numbers; it brings the relaxation closer to them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyomo.environ as pyo

from planner.optimize import sets
from planner.optimize.checks import row
from planner.optimize.inventory import held_lots, lots_held
from planner.optimize.objective import money_unit_usd
from planner.problem import Array, AuditRow, Problem, Solution


def spent(price: Iterable[Any], lots: Iterable[Any]) -> Any:
    """Cash of `lots` at `price`; Pyomo variables or solved arrays."""
    return sum(usd * n for usd, n in zip(price, lots, strict=True))


def add(m: pyo.ConcreteModel, p: Problem) -> None:
    """Add the family to a model that declares `bought` and `used`."""
    unit = money_unit_usd(p)
    price, year_of = (p.costs.capex_usd / unit).tolist(), p.limits.fiscal_year_of.tolist()
    most = (p.limits.capex_max_usd / unit).tolist()

    @m.Constraint(range(len(most)), doc="capital spent a fiscal year [money unit]")
    def capex_budget(m: Any, y: int) -> Any:
        orders = [(g, s, t) for g, s, t in m.BOUGHT if year_of[t] == y]
        if math.isinf(most[y]) or not orders:
            return pyo.Constraint.Skip
        return (
            spent([price[g][s][t] for g, s, t in orders], [m.bought[k] for k in orders])
            <= (most[y])
        )

    if m.TYPES:
        _types(m, p)


def _types(m: pyo.ConcreteModel, p: Problem) -> None:
    at = m.at
    most = int(p.limits.accelerator_types_max)
    m.accelerator_types = pyo.Constraint(
        expr=pyo.quicksum([m.used[g] for g in m.TYPES]) <= most, doc="kinds of accelerator"
    )

    @m.Constraint(m.HELD, m.PERIODS, doc="held lots are of a used SKU [lots]")
    def type_held(m: Any, g: int, s: int, t: int) -> Any:
        return lots_held(m, p, g, s, t) <= sets.lots_cap(p, at, g, s, t) * m.used[g]

    @m.Constraint(m.ON_DEMAND, doc="rented lots are of a used SKU [lots]")
    def type_rented(m: Any, g: int, s: int, t: int, b: int) -> Any:
        return m.on_demand[g, s, t, b] <= m.on_demand[g, s, t, b].ub * m.used[g]

    on_type = sets.grouped(
        ((d, g), (c, s))
        for d, pools in at.pools_of_class.items()
        for c, s in pools
        for g in at.machines_of[c]
    )

    @m.Constraint(list(on_type), m.PERIODS, doc="serving SKUs are used [share]")
    def type_serves(m: Any, d: int, g: int, t: int) -> Any:
        b = at.busiest[d][t]
        if at.batch[d] or not at.traffic[d][t][b]:
            return pyo.Constraint.Skip
        return pyo.quicksum([m.served[c, s, t, b] for c, s in on_type[d, g]]) <= m.used[g]


def capex_by_year_usd(p: Problem, x: Solution) -> Array:
    """Cash of the lots ordered [USD], (fiscal years,)."""
    by_period = (p.costs.capex_usd * x.lots_bought).sum(axis=(0, 1))
    years = np.zeros(p.limits.capex_max_usd.shape)
    np.add.at(years, p.limits.fiscal_year_of, by_period)
    return years


def types_used(p: Problem, x: Solution) -> int:
    """Kinds of accelerator in the fleet at any time."""
    ever = held_lots(p, x).sum(axis=(1, 2)) + x.lots_on_demand.sum(axis=(1, 2, 3))
    return int(np.count_nonzero(ever > 0))


def check(p: Problem, x: Solution) -> Iterator[AuditRow]:
    """Audit: capital of every fiscal year, and the number of SKUs."""
    cash, limit = capex_by_year_usd(p, x), p.limits.capex_max_usd
    over = np.where(np.isinf(limit), np.nan, cash - np.where(np.isinf(limit), 0.0, limit))
    yield row("capex_budget", over, (p.labels.fiscal_years,), scale=cash)
    extra = np.array([float(types_used(p, x) - p.limits.accelerator_types_max)])
    yield row("accelerator_types", extra, (("fleet",),))
