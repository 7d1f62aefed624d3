"""Inventory: what was ordered or signed is in service, and no more than stock and quota allow.

Index      o commitment, g accelerator SKU, s site, t period, b load block
Decision   bought[g, s, t]       lots ordered                     whole number
           signed[o, g, s, t]    lots committed to                whole number
           owned[g, s, t]        lots owned and in service        lots
           committed[o, g, s, t] lots under commitment            lots
           on_demand[g, s, t, b] lots rented by the hour          lots
Given      lead_periods[g, s]    order to in service              periods
           term_periods[o]       length of a commitment           periods
           lots_max[g, s, t]     stock or quota, inf = none       lots
           on_demand_max[g, s, t] quota by the hour, inf = none   lots

    owned[g, s, t]        =  owned[g, s, t-1] + bought[g, s, t-lead]
    committed[o, g, s, t] =  committed[o, g, s, t-1] + signed[o, g, s, t] - signed[o, g, s, t-term]
    owned + sum_o committed + on_demand[g, s, t, b]  <=  lots_max[g, s, t]
    on_demand[g, s, t, b]  <=  on_demand_max[g, s, t]

State form: each period looks one back, so rows stay short however long the term is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyomo.environ as pyo

from planner.optimize.checks import row
from planner.problem import Array, AuditRow, Problem, Solution


def lots_held(m: pyo.ConcreteModel, p: Problem, g: int, s: int, t: int) -> Any:
    """Lots owned or committed and in service, an expression; 0 where none can be."""
    held = m.owned[g, s, t] if p.machines.purchasable[g, s] else 0.0
    options = [o for o in range(len(p.labels.commitments)) if p.machines.committable[o, g, s]]
    return held + pyo.quicksum([m.committed[o, g, s, t] for o in options])


def add(m: pyo.ConcreteModel, p: Problem) -> None:
    """Add the family to a model that declares its decisions."""
    lead, term = p.machines.lead_periods.tolist(), p.machines.term_periods.tolist()

    @m.Constraint(m.owned.index_set(), doc="lots owned follow orders after the lead time [lots]")
    def owned_in_service(m: Any, g: int, s: int, t: int) -> Any:
        ordered = t - lead[g][s]
        before = m.owned[g, s, t - 1] if t > 0 else 0.0
        arriving = m.bought[g, s, ordered] if ordered >= 0 else 0.0
        return m.owned[g, s, t] == before + arriving

    @m.Constraint(m.SIGNED, doc="commitments run for their term [lots]")
    def commitment_in_force(m: Any, o: int, g: int, s: int, t: int) -> Any:
        before = m.committed[o, g, s, t - 1] if t > 0 else 0.0
        ending = m.signed[o, g, s, t - term[o]] if t >= term[o] else 0.0
        return m.committed[o, g, s, t] == before + m.signed[o, g, s, t] - ending

    _stock(m, p)


def _stock(m: pyo.ConcreteModel, p: Problem) -> None:
    most, rented = p.machines.lots_max.tolist(), p.machines.on_demand.tolist()

    @m.Constraint(m.MACHINES, m.PERIODS, m.BLOCKS, doc="stock and quota are kept [lots]")
    def stock(m: Any, g: int, s: int, t: int, b: int) -> Any:
        held = (g, s) in m.HELD
        if math.isinf(most[g][s][t]) or not (rented[g][s] or (held and b == 0)):
            return pyo.Constraint.Skip
        by_hour = m.on_demand[g, s, t, b] if rented[g][s] else 0.0
        return lots_held(m, p, g, s, t) + by_hour <= most[g][s][t]

    quota = p.machines.on_demand_max.tolist()

    @m.Constraint(m.ON_DEMAND, doc="a quota by the hour is kept [lots]")
    def on_demand_quota(m: Any, g: int, s: int, t: int, b: int) -> Any:
        if math.isinf(quota[g][s][t]):
            return pyo.Constraint.Skip
        return m.on_demand[g, s, t, b] <= quota[g][s][t]


def owned_lots(p: Problem, x: Solution) -> Array:
    """Lots owned and in service, (accelerators, sites, periods)."""
    arrived = np.zeros(x.lots_bought.shape)
    for g, s, t in np.argwhere(x.lots_bought != 0).tolist():
        arrived[g, s, t + p.machines.lead_periods[g, s] :] += x.lots_bought[g, s, t]
    return arrived


def committed_lots(p: Problem, x: Solution) -> Array:
    """Lots under commitment, (commitments, accelerators, sites, periods)."""
    running = np.zeros(x.lots_signed.shape)
    for o, g, s, t in np.argwhere(x.lots_signed != 0).tolist():
        running[o, g, s, t : t + p.machines.term_periods[o]] += x.lots_signed[o, g, s, t]
    return running


def held_lots(p: Problem, x: Solution) -> Array:
    """Lots owned or committed and in service, (accelerators, sites, periods)."""
    return np.asarray(owned_lots(p, x) + committed_lots(p, x).sum(axis=0))


def check(p: Problem, x: Solution) -> Iterator[AuditRow]:
    """Audit: stock and quota, and nothing had where it cannot be had."""
    labels, machines = p.labels, p.machines
    axes = (labels.accelerators, labels.sites, labels.periods, labels.blocks)
    standing = held_lots(p, x)[..., None] + x.lots_on_demand
    yield row("stock", _over(standing, machines.lots_max), axes, scale=standing)
    rented = x.lots_on_demand
    yield row("on_demand_quota", _over(rented, machines.on_demand_max), axes, scale=rented)
    bought = np.where(machines.purchasable, 0.0, x.lots_bought.sum(axis=2))
    signed = np.where(machines.committable, 0.0, x.lots_signed.sum(axis=3)).sum(axis=0)
    hourly = np.where(machines.on_demand, 0.0, x.lots_on_demand.sum(axis=(2, 3)))
    yield row("supply_offered", bought + signed + hourly, axes[:2])


def _over(lots: Array, most: Array) -> Array:
    """Lots above a limit by period, NaN where there is none."""
    limit = np.broadcast_to(most[..., None], lots.shape)
    return np.where(np.isinf(limit), np.nan, lots - np.where(np.isinf(limit), 0.0, limit))
