"""Redundancy: spare nodes stand by, so that the nodes that must be up are up often enough.

Index      g accelerator SKU, s site, t period
Decision   needed[g, s, t]        held nodes that must be up                whole number
           kept[g, s, t]          any held node must be up                  0 or 1
Given      spare_slope[g, s]      spares for each needed node               nodes
           spare_offset[g, s]     spares once where any is needed           nodes
           lot_nodes[g]           nodes of one lot                          nodes
           node_unavailability[g, s]  share of time a node is out           share
           availability_target    share of time that all needed are up     share

    needed + spare_slope * needed + spare_offset * kept  <=  lot_nodes * lots held
    needed[g, s, t]  <=  nodes_max[g, s, t] * kept[g, s, t]
    open[c, s, t]    <=  kept[g, s, t]        online pools on g, nothing by the hour at s
                                              (where nothing is lost: served at the peak)

The last row adds nothing for whole numbers; it raises the relaxation, whose bound on a fleet of
a few nodes is otherwise a third of a spare: by 9 % on one of three nodes.

The line lies on or above the binomial staircase, which the audit recomputes exactly: the
least n with P(Binomial(n, 1 - node_unavailability) >= needed) >= availability_target.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyomo.environ as pyo
from scipy.stats import binom

from planner.optimize import sets
from planner.optimize.capacity import share
from planner.optimize.checks import row
from planner.optimize.fleet import nodes_needed
from planner.optimize.inventory import held_lots, lots_held
from planner.problem import AuditRow, Problem, Solution


def nodes_with_spares(needed: Any, slope: Any, offset: Any, kept: Any) -> Any:
    """Nodes to hold: needed and spare; Pyomo variables or solved arrays."""
    return (1.0 + slope) * needed + offset * kept


def add(m: pyo.ConcreteModel, p: Problem) -> None:
    """Add the family to a model that declares `needed` and `kept`."""
    at = m.at
    slope, offset = p.machines.spare_slope.tolist(), p.machines.spare_offset.tolist()

    @m.Constraint(m.SPARED, doc="spare nodes stand by [nodes]")
    def spare_nodes(m: Any, g: int, s: int, t: int) -> Any:
        kept = m.kept[g, s, t] if offset[g][s] > 0 else 0.0
        need = nodes_with_spares(m.needed[g, s, t], slope[g][s], offset[g][s], kept)
        return need <= at.lot_nodes[g] * lots_held(m, p, g, s, t)

    @m.Constraint(m.kept.index_set(), doc="a fleet that must be up keeps its first spares [nodes]")
    def spares_kept(m: Any, g: int, s: int, t: int) -> Any:
        return m.needed[g, s, t] <= max(at.nodes_max[g][s][t]) * m.kept[g, s, t]

    by_hour = p.machines.on_demand.tolist()
    serving = [(c, s, t, g) for c, s, t in m.WHOLE_POOLS for g in at.machines_of[c]]

    @m.Constraint(serving, doc="serving machines keep their first spares [share]")
    def spares_serve(m: Any, c: int, s: int, t: int, g: int) -> Any:
        if (g, s, t) not in m.kept or by_hour[g][s]:
            return pyo.Constraint.Skip
        if at.offset[c] > 0:
            return m.open[c, s, t] <= m.kept[g, s, t]
        return share(m, c, s, t, at.fullest[c][t]) <= m.kept[g, s, t]


def staircase(needed: int, node_unavailability: float, target: float) -> int:
    """Least nodes such that `needed` are up with probability `target`; nodes fail independently.

    >>> staircase(4, 0.01, 0.99)  # P(5 of 5 or 4 of 5 up) = 0.99902; 4 of 4 only 0.9606
    5
    >>> staircase(0, 0.01, 0.99)
    0
    """
    nodes = needed
    if needed == 0 or node_unavailability <= 0:
        return nodes
    # sf(k) is P(up > k); a fleet of twice the need is beyond any staircase worth its name,
    # but nothing here relies on that: the loop ends because the probability tends to one.
    while binom.sf(needed - 1, nodes, 1.0 - node_unavailability) < target:
        nodes += 1
    return nodes


def check(p: Problem, x: Solution) -> Iterator[AuditRow]:
    """Audit: nodes held reach the exact staircase wherever spares are ours to keep."""
    lot, labels = sets.lot_nodes(p)[:, None, None], p.labels
    installed, needed = lot * held_lots(p, x), nodes_needed(p, x)
    short = np.full(installed.shape, np.nan)
    spared, target = sets.spared(p), p.limits.availability_target
    for g, s, t in np.argwhere(np.broadcast_to(spared[..., None], short.shape)).tolist():
        out = float(p.machines.node_unavailability[g, s])
        must = staircase(int(needed[g, s, t]), out, target)
        short[g, s, t] = must - installed[g, s, t]
    axes = (labels.accelerators, labels.sites, labels.periods)
    yield row("spare_nodes", short, axes, scale=installed)
