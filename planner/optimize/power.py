"""Site power: the machines that stand at a site fit its IT power.

Index      g accelerator SKU, s site on premises, t period
Decision   lots held[g, s, t]   owned or committed, in service      lots
Given      lot_kw[g]            contracted IT power of one lot      kW
           it_kw[s, t]          IT power of the site, inf = none    kW

    sum_g lot_kw[g] * lots held[g, s, t]  <=  it_kw[s, t]

Contracted, not drawn: a feed must carry every machine at full load at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyomo.environ as pyo

from planner.optimize.checks import row
from planner.optimize.inventory import held_lots, lots_held
from planner.problem import Array, AuditRow, Problem, Solution


def site_it_kw(lot_kw: Iterable[Any], lots: Iterable[Any]) -> Any:
    """IT power [kW] of `lots`, summed over SKUs (the first axis)."""
    return sum(kw * n for kw, n in zip(lot_kw, lots, strict=True))


def add(m: pyo.ConcreteModel, p: Problem) -> None:
    """Add the family to a model that declares the lots held."""
    lot_kw, it_kw = p.machines.lot_kw.tolist(), p.sites.it_kw.tolist()

    @m.Constraint(m.SITES, m.PERIODS, doc="machines fit the site's IT power [kW]")
    def site_power(m: Any, s: int, t: int) -> Any:
        standing = [g for g, site in m.HELD if site == s]
        if math.isinf(it_kw[s][t]) or not standing:
            return pyo.Constraint.Skip
        lots = [lots_held(m, p, g, s, t) for g in standing]
        return site_it_kw([lot_kw[g] for g in standing], lots) <= it_kw[s][t]


def used_kw(p: Problem, x: Solution) -> Array:
    """IT power of the lots held [kW], (sites, periods); 0 where there is no accelerator at all."""
    used = np.asarray(site_it_kw(p.machines.lot_kw, held_lots(p, x)), float)
    return np.broadcast_to(used, p.sites.it_kw.shape)


def check(p: Problem, x: Solution) -> Iterator[AuditRow]:
    """Audit: power of every site in every period."""
    used, limit = used_kw(p, x), p.sites.it_kw
    over = np.where(np.isinf(limit), np.nan, used - np.where(np.isinf(limit), 0.0, limit))
    yield row("site_power", over, (p.labels.sites, p.labels.periods), scale=used)
