"""One tiny LP a constraint family: a change of the mathematics shows as a difference of text."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.repn.plugins.lp_writer import LPWriter

from planner.optimize import build
from planner.problem import CompanyTax, Problem
from tests.builders import make_problem

GOLDEN = Path(__file__).parents[1] / "golden" / "lp"
UPDATE = "PYTHONPATH=. UPDATE_GOLDEN=1 python -m pytest tests/unit/test_optimize_golden.py"
INF = float("inf")
FAMILIES = tuple(family.__name__.rsplit(".", 1)[1] for family in build.FAMILIES)


def world() -> pyo.ConcreteModel:
    """Two classes (one batch), two SKUs, an owned site and a cloud, two periods and blocks."""
    p = make_problem(
        c=3,
        d=2,
        g=2,
        o=1,
        s=2,
        t=2,
        b=2,
        a=1,
        class_of=[0, 0, 1],
        accelerator_of=[0, 1, 0],
        rate_rps=[2.5, 4.0, 2.0],
        offset_rps=[0.5, 0.0, 0.25],
        batch=[False, True],
        peak_rps=[[[10, 5]], [[0, 0]]],
        mean_rps=[[[5, 2.5]], [[1, 1]]],
        on_premises_min_frac=[0.25, 0.0],
        energy_usd=1000.0,
        lot_gpus=[8.0, 72.0],
        node_gpus=[8.0, 4.0],
        lot_kw=[10.0, 120.0],
        lots_per_rack=[[4.0], [1.0]],
        purchasable=[[True, False]],
        on_demand=[[False, True]],
        committable=[[[False, True]]],
        lead_periods=[[1, 0]],
        lots_max=[[[INF], [6.0]]],
        spare_slope=[[0.1, 0.0]],
        spare_offset=[[1.0, 0.0]],
        on_premises=[True, False],
        it_kw=[[250.0], [INF]],
        racks=[[5.0], [INF]],
        capex_max_usd=1e6,
        accelerator_types_max=1,
    )
    return build.build(replace(p, tax=company_tax(p)))


def company_tax(p: Problem) -> CompanyTax:
    """Each period a settlement of its own; half of every price of use deducted.

    A third settlement lies beyond the horizon.
    """
    shape = p.costs.buy_usd.shape
    at_order = np.eye(2, 3) * 1000.0
    return CompanyTax(
        saved_usd=np.array([0.25, 0.125, 0.0625]),
        income_usd=np.array([1e6, 5e5, 1e5]),
        in_horizon=np.array([True, True, False]),
        settled_in=np.array([0, 1]),
        carried=True,
        buy_usd=np.broadcast_to(at_order, (*shape, 3)),
        commit_usd=np.broadcast_to(2 * at_order, (1, *shape, 3)),
        on_demand_usd=p.costs.on_demand_usd / 2,
        api_usd=p.costs.api_usd / 2,
        energy_usd=p.pools.energy_usd / 2,
    )


def text(m: pyo.ConcreteModel) -> str:
    stream = io.StringIO()
    LPWriter().write(m, stream, symbolic_solver_labels=True)
    return stream.getvalue()


def family_of() -> dict[str, str]:
    """Family that adds each row group, read from the family's own file."""
    names = [rows.local_name for rows in world().component_objects(pyo.Constraint)]
    owner = {}
    for family in build.FAMILIES:
        source = Path(family.__file__).read_text()
        mine = [n for n in names if f"def {n}(" in source or f"m.{n} = " in source]
        owner |= dict.fromkeys(mine, family.__name__.rsplit(".", 1)[1])
    return owner


@pytest.mark.parametrize("family", [*FAMILIES, "objective"])
def test_the_program_is_as_written_down(family):
    m, owner = world(), family_of()
    for rows in list(m.component_objects(pyo.Constraint)):
        if owner[rows.local_name] != family:
            rows.deactivate()
    if family != "objective":
        m.cost.deactivate()
        m.nothing = pyo.Objective(expr=0.0)
    found, path = text(m), GOLDEN / f"{family}.lp"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(found)
    assert found == path.read_text(), f"{path.name} differs; if that is meant: {UPDATE}"
