"""The audit sees every kind of broken plan, and the staircase is the binomial's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.errors import PlannerError
from planner.optimize.audit import audit, require
from planner.optimize.explain import binding
from planner.optimize.redundancy import staircase
from planner.optimize.solve import optimize
from tests.builders import make_problem

FIELDS = {
    "o": 1,
    "s": 2,
    "t": 2,
    "b": 2,
    "a": 1,
    "on_premises": [True, False],
    "purchasable": [[True, False]],
    "committable": [[[False, True]]],
    "on_demand": [[False, True]],
    "it_kw": [[20.0, 20.0], [float("inf")] * 2],
    "racks": [[5.0, 5.0], [float("inf")] * 2],
    "lots_max": 50.0,
    "capex_max_usd": 1e6,
    "spare_offset": [[1.0, 0.0]],
    "node_unavailability": 0.01,
    "on_premises_min_frac": 0.2,
    "availability_target": 0.999,
}


def test_a_good_plan_passes():
    p = make_problem(**FIELDS)
    rows = require(p, optimize(p))
    assert {row.family for row in rows} >= {
        "demand_served",
        "replica_capacity",
        "machines_suffice",
        "stock",
        "spare_nodes",
        "site_power",
        "rack_space",
        "rack_positions",
        "capex_budget",
        "accelerator_types",
        "on_premises_share",
        "cost",
        "whole_numbers",
    }


@pytest.mark.parametrize(
    ("family", "field", "change"),
    [
        ("demand_served", "served_frac", lambda v: 0.9 * v),
        ("replica_capacity", "replicas", lambda v: 0.9 * v),
        ("machines_suffice", "lots_bought", lambda v: 0 * v),
        ("site_power", "lots_bought", lambda v: v + 1),
        ("stock", "lots_on_demand", lambda v: v + 60),
        ("spare_nodes", "lots_bought", lambda v: 0.5 * v),
        ("rack_space", "racks_used", lambda v: 0 * v),
        ("rack_positions", "racks_used", lambda v: v + 10),
        ("capex_budget", "lots_bought", lambda v: v + 5),
        ("supply_offered", "lots_bought", lambda v: v + 1),
        ("whole_numbers", "lots_bought", lambda v: v + 0.5),
        ("no_negative", "lots_signed", lambda v: v - 1),
        ("cost", "cost_usd", lambda v: 0.99 * v),
        ("cost", "bound_usd", lambda v: 2 * v + 1),
    ],
)
def test_each_family_notices_its_violation(family, field, change):
    p = make_problem(**FIELDS)
    x = optimize(p)
    broken = replace(x, **{field: change(getattr(x, field))})
    bad = {row.family for row in audit(p, broken) if row.worst_rel > 1e-6}
    assert family in bad
    with pytest.raises(PlannerError, match=family):
        require(p, broken)


def test_accelerator_types_are_counted():
    p = make_problem(c=2, d=2, g=2, class_of=[0, 1], accelerator_of=[0, 1])
    x = optimize(p)
    strict = replace(p, limits=replace(p.limits, accelerator_types_max=1))
    bad = {row.family for row in audit(strict, x) if row.worst_rel > 1e-6}
    assert bad == {"accelerator_types"}


def test_the_worst_row_is_named():
    p = make_problem(s=2, it_kw=[[20.0], [1000.0]])
    x = optimize(p)
    # 3 lots x 10 kW on 20 kW
    lots = x.lots_bought * 0.0
    lots[0, 0, 0] = 3.0
    row = next(r for r in audit(p, replace(x, lots_bought=lots)) if r.family == "site_power")
    assert row.where == "site0, period0"
    assert row.worst_rel == pytest.approx(10.0 / 30.0)


@pytest.mark.parametrize(
    ("needed", "out", "target", "nodes"),
    [
        (1, 0.1, 0.95, 2),  # 1: 0.9; 2: 1 - 0.01 = 0.99
        (2, 0.1, 0.95, 3),  # 2: 0.81; 3: 0.729 + 3*0.081 = 0.972
        (2, 0.1, 0.99, 4),  # 4: 1 - 0.1^4 - 4*0.9*0.1^3 = 0.9963
        (10, 0.0, 0.999, 10),
    ],
)
def test_staircase(needed, out, target, nodes):
    assert staircase(needed, out, target) == nodes


def test_binding_limits_are_those_without_room_for_one_more():
    p = make_problem(it_kw=45.0, racks=1.0, capex_max_usd=2e6, lots_max=4.0)
    # 4 lots: 40 of 45 kW, no room for 10 more; 1 of 1 racks; 1.0 of 2.0 M capex; 4 of 4 in stock
    found = {one.family: (one.used, one.limit, one.unit) for one in binding(p, optimize(p))}
    assert found == {
        "site_power": (40.0, 45.0, "kW"),
        "rack_positions": (1.0, 1.0, "racks"),
        "stock": (4.0, 4.0, "lots"),
    }
