"""Rack space: the machines at a site fit its rack positions, one SKU a rack.

Index      g accelerator SKU, s site on premises, t period
Decision   racks[g, s, t]         rack positions taken               whole number
           lots held[g, s, t]     owned or committed, in service     lots
Given      lots_per_rack[g, s]    lots that one rack holds           lots
           positions[s, t]        rack positions, inf = none         racks

    lots held[g, s, t]        <=  lots_per_rack[g, s] * racks[g, s, t]
    sum_g racks[g, s, t]      <=  positions[s, t]
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyomo.environ as pyo

from planner.optimize.checks import row
from planner.optimize.inventory import held_lots, lots_held
from planner.problem import Array, AuditRow, Problem, Solution


def racked(m: pyo.ConcreteModel, p: Problem) -> list[tuple[int, int, int]]:
    """(g, s, t) whose racks count: held lots at a site with a limit on positions."""
    counted = np.isfinite(p.sites.racks)
    return [(g, s, t) for g, s in m.HELD for t in m.PERIODS if counted[s, t]]


def add(m: pyo.ConcreteModel, p: Problem) -> None:
    """Add the family to a model that declares `racks`."""
    per_rack, positions = p.machines.lots_per_rack.tolist(), p.sites.racks.tolist()

    @m.Constraint(m.RACKED, doc="lots stand in racks [lots]")
    def rack_space(m: Any, g: int, s: int, t: int) -> Any:
        return lots_held(m, p, g, s, t) <= per_rack[g][s] * m.racks[g, s, t]

    @m.Constraint(m.SITES, m.PERIODS, doc="racks fit the site's positions [racks]")
    def rack_positions(m: Any, s: int, t: int) -> Any:
        standing = [g for g, site in m.HELD if site == s]
        if math.isinf(positions[s][t]) or not standing:
            return pyo.Constraint.Skip
        return pyo.quicksum([m.racks[g, s, t] for g in standing]) <= positions[s][t]


def racks_needed(p: Problem, x: Solution) -> Array:
    """Racks under the lots held, (accelerators, sites, periods), whole; 0 where none count."""
    per_rack = p.machines.lots_per_rack[..., None]
    lots = held_lots(p, x) * p.sites.on_premises[:, None]
    racks = np.divide(lots, per_rack, out=np.zeros(lots.shape), where=per_rack > 0)
    return np.asarray(np.ceil(racks - 1e-9))


def check(p: Problem, x: Solution) -> Iterator[AuditRow]:
    """Audit: lots stand in the racks of the plan, and those fit the site."""
    labels, per_rack = p.labels, p.machines.lots_per_rack[..., None]
    limited = np.isfinite(p.sites.racks)
    crowded = np.where(limited, held_lots(p, x) - per_rack * x.racks_used, np.nan)
    yield row("rack_space", crowded, (labels.accelerators, labels.sites, labels.periods))
    positions = np.where(limited, p.sites.racks, 0.0)
    over = np.where(limited, x.racks_used.sum(axis=0) - positions, np.nan)
    yield row("rack_positions", over, (labels.sites, labels.periods), scale=positions)
