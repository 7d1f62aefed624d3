"""Income tax of the company: deductions find income in their fiscal year, wait for it, or are lost.

Index      z settlement of tax: the end of a fiscal year, or a month beyond the horizon
Decision   used[z]              deductions that lower taxable income            money unit
           waiting[z]           losses carried to the next settlement           money unit
Given      deducted of one unit of every decision, by settlement                USD
           income_usd[z]        of the company from everything else             USD
           state rate           of state tax, deducted from federal income      1
           saved_usd[z]         present value of tax that one USD used saves    USD/USD

    used[z] + waiting[z]  <=  sum of deducted x decisions + waiting[z - 1]
    used[z]  <=  income_usd[z]
    where a state taxes income, the same of used_state and waiting_state, and
    used[z] - state rate x used_state[z]  <=  (1 - state rate) x income_usd[z]

`waiting` is there only where losses are carried forward, and only within the horizon. Cost falls
by saved_usd x used, so that every deduction is used as early as it can be.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.core.expr import LinearExpression

from planner.optimize.objective import money_unit_usd
from planner.problem import Array, CompanyTax, Problem, StateTax


def add(m: pyo.ConcreteModel, p: Problem) -> None:
    """Add the family to a model that declares every decision."""
    tax = p.tax
    count = 0 if tax is None else len(tax.income_usd)
    m.SETTLEMENTS = pyo.RangeSet(0, count - 1)
    m.used_deductions = pyo.Var(m.SETTLEMENTS, domain=pyo.Reals, doc="deductions used [money]")
    waits = range(count) if tax is not None and tax.carried else ()
    m.WAITING = pyo.Set(
        initialize=[z for z in waits if tax is not None and tax.in_horizon[z]], dimen=1
    )
    m.waiting = pyo.Var(m.WAITING, domain=pyo.NonNegativeReals, doc="losses carried [money]")
    if tax is None:
        return
    unit = money_unit_usd(p)
    terms = _terms(m, tax, tax.buy_usd, unit)

    @m.Constraint(m.SETTLEMENTS, doc="deductions used were made [money unit]")
    def deductions_made(m: Any, z: int) -> Any:
        return _made(m.used_deductions, m.waiting, z, tax, terms[z])

    if tax.state is None:
        for z in m.SETTLEMENTS:
            m.used_deductions[z].setub(float(tax.income_usd[z]) / unit)
    else:
        _add_state(m, tax, tax.state, unit)


def _add_state(m: pyo.ConcreteModel, tax: CompanyTax, state: StateTax, unit: float) -> None:
    """State tax, with losses of its own, and what it leaves of federal income."""
    m.used_state = pyo.Var(m.SETTLEMENTS, domain=pyo.Reals, doc="used in the state [money]")
    m.waiting_state = pyo.Var(
        m.WAITING, domain=pyo.NonNegativeReals, doc="losses carried in the state [money]"
    )
    for z in m.SETTLEMENTS:
        m.used_state[z].setub(float(tax.income_usd[z]) / unit)
    terms = _terms(m, tax, state.buy_usd, unit)

    @m.Constraint(m.SETTLEMENTS, doc="deductions used in the state were made [money unit]")
    def state_deductions_made(m: Any, z: int) -> Any:
        return _made(m.used_state, m.waiting_state, z, tax, terms[z])

    @m.Constraint(m.SETTLEMENTS, doc="state tax lowers federal income [money unit]")
    def federal_income(m: Any, z: int) -> Any:
        left = (1 - state.rate) * float(tax.income_usd[z]) / unit
        return m.used_deductions[z] - state.rate * m.used_state[z] <= left


def _made(used: Any, waiting: Any, z: int, tax: CompanyTax, made: list[tuple[float, Any]]) -> Any:
    carried = waiting[z - 1] if z - 1 in waiting and tax.in_horizon[z] else 0.0
    left = waiting[z] if z in waiting else 0.0  # noqa: SIM401 -- no dict: it has no default
    expression = LinearExpression(
        linear_coefs=[usd for usd, _ in made], linear_vars=[v for _, v in made]
    )
    return used[z] + left - carried - expression <= 0.0


def _terms(
    m: pyo.ConcreteModel, tax: CompanyTax, buy_usd: Array, unit: float
) -> list[list[tuple[float, Any]]]:
    """Deductions by settlement: price and variable."""
    found: list[list[tuple[float, Any]]] = [[] for _ in tax.income_usd]
    for price, variable in ((buy_usd, m.bought), (tax.commit_usd, m.signed)):
        for key, v in variable.items():
            for z in np.flatnonzero(price[key]).tolist():
                found[z].append((float(price[key][z]) / unit, v))
    year = tax.settled_in.tolist()
    for price, variable in (
        (tax.on_demand_usd, m.on_demand),
        (tax.api_usd, m.api),
        (tax.energy_usd, m.served),
    ):
        for key, v in variable.items():
            if price[key]:
                found[year[key[-2]]].append((float(price[key]) / unit, v))
    return found
