"""The fleet program: sets, variables, then each family in reading order, then the cost.

Variables share their subscripts with the solved arrays of `Solution`. Whole numbers only for
what one signs or installs; replicas of other blocks follow from the traffic they carry.
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from planner.optimize import (
    capacity,
    demand,
    fleet,
    inventory,
    limits,
    objective,
    power,
    racks,
    redundancy,
    sets,
    taxes,
)
from planner.problem import Problem

FAMILIES = (demand, capacity, fleet, inventory, redundancy, power, racks, limits, taxes)


def build(p: Problem) -> pyo.ConcreteModel:
    """Mixed-integer program of a problem, money in `objective.money_unit_usd`."""
    m = pyo.ConcreteModel(name="fleet")
    m.at = sets.look_up(p)
    _sets(m, p)
    _serving(m, p)
    _machines(m, p)
    _choices(m, p)
    for family in FAMILIES:
        family.add(m, p)
    objective.add(m, p)
    return m


def _sets(m: pyo.ConcreteModel, p: Problem) -> None:
    at = m.at
    m.CLASSES = pyo.RangeSet(0, len(p.labels.classes) - 1)
    m.PERIODS = pyo.RangeSet(0, len(p.labels.periods) - 1)
    m.BLOCKS = pyo.RangeSet(0, len(p.labels.blocks) - 1)
    m.APIS = pyo.Set(initialize=range(len(p.labels.apis)), dimen=1)
    m.SITES = pyo.RangeSet(0, len(p.labels.sites) - 1)
    m.MACHINES = pyo.Set(initialize=at.machines, dimen=2, doc="(g, s)")
    m.HELD = pyo.Set(initialize=sets.held_machines(p, at), dimen=2, doc="(g, s)")
    m.SERVED = pyo.Set(initialize=sets.served_index(p, at), dimen=4, doc="(c, s, t, b)")
    m.POOLS = pyo.Set(initialize=sets.pool_index(p, at), dimen=3, doc="(c, s, t)")
    m.BOUGHT = pyo.Set(initialize=sets.bought_index(p, at), dimen=3, doc="(g, s, t)")
    m.SIGNED = pyo.Set(initialize=sets.signed_index(p, at), dimen=4, doc="(o, g, s, t)")
    m.ON_DEMAND = pyo.Set(initialize=sets.on_demand_index(p, at), dimen=4, doc="(g, s, t, b)")


def _serving(m: pyo.ConcreteModel, p: Problem) -> None:
    at, replicas_max = m.at, p.pools.replicas_max.tolist()
    online = [(c, s, t) for c, s, t in m.POOLS if not at.batch[at.class_of[c]]]
    m.served = pyo.Var(m.SERVED, domain=pyo.NonNegativeReals, doc="share of the class's traffic")
    m.api = pyo.Var(m.APIS, m.PERIODS, m.BLOCKS, domain=pyo.NonNegativeReals, doc="share")
    m.WHOLE_POOLS = pyo.Set(initialize=online, dimen=3, doc="(c, s, t)")
    m.peak = pyo.Var(
        m.WHOLE_POOLS,
        domain=pyo.NonNegativeIntegers,
        bounds=lambda _m, c, _s, t: (0, int(replicas_max[c][t])),
        doc="most replicas",
    )
    m.LOSSY_POOLS = pyo.Set(initialize=[k for k in m.POOLS if at.offset[k[0]] > 0], dimen=3)
    m.open = pyo.Var(m.LOSSY_POOLS, domain=pyo.Binary, doc="pool serves in this period")
    sized = [(*key, k) for key in m.LOSSY_POOLS for k in at.sizes[key[0]][key[2]]]
    m.SIZES = pyo.Set(initialize=sized, dimen=4, doc="(c, s, t, k)")
    m.size = pyo.Var(m.SIZES, domain=pyo.Binary, doc="pool has k replicas")


def _machines(m: pyo.ConcreteModel, p: Problem) -> None:
    at, lead = m.at, p.machines.lead_periods.tolist()
    periods = len(p.labels.periods)

    def most(g: int, s: int, first: int) -> int:
        return max(sets.lots_cap(p, at, g, s, t) for t in range(first, periods))

    m.bought = pyo.Var(
        m.BOUGHT,
        domain=pyo.NonNegativeIntegers,
        bounds=lambda _m, g, s, t: (0, most(g, s, t + lead[g][s])),
        doc="lots ordered",
    )
    m.signed = pyo.Var(
        m.SIGNED,
        domain=pyo.NonNegativeIntegers,
        bounds=lambda _m, _o, g, s, t: (0, most(g, s, t)),
        doc="lots committed to",
    )
    m.owned = pyo.Var(
        [(g, s, t) for g, s in m.HELD if p.machines.purchasable[g, s] for t in m.PERIODS],
        domain=pyo.NonNegativeReals,
        doc="lots owned and in service",
    )
    m.committed = pyo.Var(m.SIGNED, domain=pyo.NonNegativeReals, doc="lots under commitment")
    m.on_demand = pyo.Var(
        m.ON_DEMAND,
        domain=lambda _m, *k: _on_demand_domain(p, at, *k),
        bounds=lambda _m, *k: (0, on_demand_max(at, *k)),
        doc="lots rented by the hour",
    )


def on_demand_max(at: sets.Lookup, g: int, s: int, t: int, b: int) -> float:
    """Most lots worth renting in a block: what all traffic needs. Quotas are rows of their own."""
    return float(-(-at.nodes_max[g][s][t][b] // at.lot_nodes[g]))


def _on_demand_domain(p: Problem, at: sets.Lookup, *key: int) -> Any:
    g, s, t, _ = key
    quota = min(p.machines.lots_max[g, s, t], p.machines.on_demand_max[g, s, t])
    most = min(on_demand_max(at, *key), float(quota))
    whole = most < sets.WHOLE_ON_DEMAND_BELOW
    return pyo.NonNegativeIntegers if whole else pyo.NonNegativeReals


def _choices(m: pyo.ConcreteModel, p: Problem) -> None:
    spared, offset = sets.spared(p), p.machines.spare_offset
    with_spares = [(g, s, t) for g, s in m.HELD if spared[g, s] for t in m.PERIODS]
    m.SPARED = pyo.Set(initialize=with_spares, dimen=3, doc="(g, s, t)")
    m.needed = pyo.Var(
        m.SPARED,
        domain=pyo.NonNegativeIntegers,
        bounds=lambda _m, g, s, t: (0, int(-(-max(m.at.nodes_max[g][s][t]) // 1))),
        doc="nodes that must be up",
    )
    fixed = [k for k in with_spares if offset[k[0], k[1]] > 0]
    m.kept = pyo.Var(fixed, domain=pyo.Binary, doc="any held node must be up")
    m.RACKED = pyo.Set(initialize=racks.racked(m, p), dimen=3, doc="(g, s, t)")
    m.racks = pyo.Var(m.RACKED, domain=pyo.NonNegativeIntegers, doc="rack positions taken")
    limited = p.limits.accelerator_types_max < len({g for g, _ in m.at.machines})
    types = sorted({g for g, _ in m.at.machines}) if limited else []
    m.TYPES = pyo.Set(initialize=types, dimen=1, doc="(g)")
    m.used = pyo.Var(m.TYPES, domain=pyo.Binary, doc="SKU is in the fleet")
