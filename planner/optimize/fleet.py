"""Fleet: the machines that must be up host every active replica, in every block.

Index      c candidate, g accelerator SKU, s site, t period, b load block
Decision   replicas[c, s, t, b]  active (see capacity)               replicas
           needed[g, s, t]       held nodes that must be up          whole number
           on_demand[g, s, t, b] lots rented by the hour             lots
Given      replica_nodes[c, g]   nodes of one replica                nodes
           lot_nodes[g]          nodes of one lot                    nodes

    sum_c on g  replica_nodes[c, g] * replicas[c, s, t, b]
        <=  needed[g, s, t] + lot_nodes[g] * on_demand[g, s, t, b]

A candidate that uses two accelerators stands in the row of each. Where no spares are kept (a
provider replaces what fails) all held nodes count as `needed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyomo.environ as pyo

from planner.optimize import sets
from planner.optimize.capacity import active
from planner.optimize.checks import row
from planner.optimize.inventory import held_lots, lots_held
from planner.problem import Array, AuditRow, Problem, Solution


def nodes_used(replica_nodes: Iterable[Any], replicas: Iterable[Any]) -> Any:
    """Nodes under `replicas`, summed over candidates (the first axis)."""
    return sum(nodes * n for nodes, n in zip(replica_nodes, replicas, strict=True))


def add(m: pyo.ConcreteModel, p: Problem) -> None:
    """Add the family to a model that declares `needed` and `on_demand`."""
    at, by_hour = m.at, p.machines.on_demand.tolist()

    @m.Constraint(m.MACHINES, m.PERIODS, m.BLOCKS, doc="machines host every replica [nodes]")
    def machines_suffice(m: Any, g: int, s: int, t: int, b: int) -> Any:
        pools = at.pools_of_machine[g, s]
        pools = [(c, s) for c, s in pools if at.asked[c][t][b]]
        if not pools:
            return pyo.Constraint.Skip
        nodes = [at.replica_nodes[c][g] for c, _ in pools]
        used = nodes_used(nodes, [active(m, c, s, t, b) for c, s in pools])
        rented = at.lot_nodes[g] * m.on_demand[g, s, t, b] if by_hour[g][s] else 0.0
        return used <= held_nodes(m, p, g, s, t) + rented


def held_nodes(m: pyo.ConcreteModel, p: Problem, g: int, s: int, t: int) -> Any:
    """Held nodes that can be counted on, an expression."""
    if (g, s, t) in m.SPARED:
        return m.needed[g, s, t]
    return m.at.lot_nodes[g] * lots_held(m, p, g, s, t)


def nodes_active(p: Problem, x: Solution) -> Array:
    """Nodes under active replicas, (accelerators, sites, periods, blocks)."""
    return np.asarray(np.tensordot(sets.replica_nodes(p).T, x.replicas, axes=1))


def nodes_needed(p: Problem, x: Solution) -> Array:
    """Held nodes that must be up, (accelerators, sites, periods), whole numbers."""
    rented = sets.lot_nodes(p)[:, None, None, None] * x.lots_on_demand
    most = (nodes_active(p, x) - rented).max(axis=3)
    tolerance = 1e-6 * np.maximum(most, 1.0)
    return np.asarray(np.ceil(np.maximum(most - tolerance, 0.0)))


def check(p: Problem, x: Solution) -> Iterator[AuditRow]:
    """Audit: nodes held and rented host all replicas."""
    lot = sets.lot_nodes(p)[:, None, None, None]
    have = lot * (held_lots(p, x)[..., None] + x.lots_on_demand)
    used, labels = nodes_active(p, x), p.labels
    axes = (labels.accelerators, labels.sites, labels.periods, labels.blocks)
    yield row("machines_suffice", used - have, axes, scale=used)
