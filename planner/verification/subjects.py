"""What a plan is tried with: its candidates' own numbers, its nodes, and whether all is served."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from planner.candidates.evaluate import evaluate
from planner.candidates.machines import node_out_frac
from planner.candidates.subject import Subject, subject_of
from planner.candidates.table import Table
from planner.candidates.traffic import Traffic, traffic
from planner.errors import ScenarioError
from planner.result import ClassTraffic, Plan
from planner.schema.catalog import Catalog
from planner.schema.scenario import Scenario
from planner.verification.loads import Load, Node, loads, simulated

SAME_REL = 1e-6
"""A rate that differs by more was computed from other figures."""
SHARE = 1e-6
"""Share of a class's traffic that may be missing: the solver's tolerance."""


@dataclass(frozen=True)
class Grounds:
    """A plan with what it is tried on."""

    plan: Plan
    scenario: Scenario
    catalog: Catalog
    known: Mapping[str, Subject]
    """Candidates that can be simulated, by name."""
    loads: Sequence[Load]
    block_of_hour: NDArray[np.int64]
    """(2 day types, 24): which block of the plan each hour belongs to."""

    @property
    def able(self) -> list[Load]:
        """Loads that can be simulated."""
        return [load for load in self.loads if load.candidate in self.known]


def grounds(plan: Plan, catalog: Catalog) -> Grounds:
    """What a plan is tried on.

    Raises
    ------
    ScenarioError : the plan was written for another version, or with other figures.
    """
    scenario = question_of(plan)
    asked = traffic(scenario, catalog)
    known = _subjects(plan, scenario, catalog, asked)
    every = loads(plan, nodes(scenario, catalog), scenario.limits.availability_target)
    return Grounds(plan, scenario, catalog, known, every, asked.blocks.block_of_hour)


def question_of(plan: Plan) -> Scenario:
    """The scenario that a plan answers.

    Raises
    ------
    ScenarioError : it was written for another version.
    """
    try:
        return Scenario.model_validate_json(json.dumps(plan.scenario), strict=True)
    except ValidationError as error:
        found = [
            f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors()
        ]
        where = f"scenario of plan {plan.scenario.get('name', '')}"
        raise ScenarioError(where, [*found, "solve it again with this version"]) from None


def _subjects(
    plan: Plan, scenario: Scenario, catalog: Catalog, asked: Traffic
) -> dict[str, Subject]:
    """Used candidates with the numbers that the plan was made from.

    Those on measured rates and those that collect static batches have none to simulate.

    Raises
    ------
    ScenarioError : the catalog gives other rates than the plan holds.
    """
    table = evaluate(scenario, catalog, asked)
    place = {name: i for i, name in enumerate(table.names)}
    rows = {row.id: row for row in plan.candidates}
    used = {name for pool in plan.pools if not rows[name := pool.candidate].rate_stated}
    _same_figures(plan, table, place, used)
    return {
        name: subject_of(scenario, catalog, table, place[name])
        for name in sorted(used)
        if simulated(rows[name])
    }


def _same_figures(plan: Plan, table: Table, place: dict[str, int], used: set[str]) -> None:
    """Refuse other figures: the stability limit follows from all of a replica's numbers."""
    planned = {row.id: row.stability_rps for row in plan.candidates if row.id in used}
    problems = []
    for name in sorted(used):
        now = float(table.stability_rps[place[name]]) if name in place else np.nan
        then = planned.get(name)
        if then is None or not np.isclose(now, then, rtol=SAME_REL, atol=0.0):
            problems.append(f"{name}: planned with a limit of {then} requests/s, now {now:.6g}")
    if problems:
        where = str(plan.scenario["name"])
        raise ScenarioError(where, [*problems, "solve it again, or give its --catalog"])


def nodes(scenario: Scenario, catalog: Catalog) -> dict[tuple[str, str], Node]:
    """What fails at once, and how often it is out, by accelerator and site."""
    return {
        (name, site.name): Node(
            row.gpus_per_node,
            node_out_frac(catalog, row.gpus_per_node, on_premises=site.kind != "cloud"),
        )
        for name, row in catalog.accelerators.items()
        for site in scenario.sites
    }


def unserved(plan: Plan) -> list[str]:
    """Traffic for which the plan has no pool and no API, a line a class."""
    found = []
    for demand in plan.demand:
        short = list(_short(plan, demand))
        if short:
            where, share = max(short, key=lambda each: each[1])
            more = f" and {len(short) - 1} more" if len(short) > 1 else ""
            found.append(f"{demand.name}: nothing serves {share:.2%} of it in {where}{more}")
    return found


def _short(plan: Plan, demand: ClassTraffic) -> Iterator[tuple[str, float]]:
    """Where, and which share; batch work may move within its kind of day."""
    rows = {row.id: row.demand_class for row in plan.candidates}
    shares = [pool.served_frac for pool in plan.pools if rows[pool.candidate] == demand.name]
    shares += [api.served_frac for api in plan.apis if api.demand_class == demand.name]
    batch = demand.kind == "batch"
    for t, period in enumerate(plan.periods):
        groups: dict[str, list[int]] = {}
        for b, block in enumerate(plan.blocks):
            groups.setdefault(block.day if batch else block.label, []).append(b)
        for label, blocks in groups.items():
            rate = demand.mean_rps if batch else demand.peak_rps
            volume = {b: rate[t][b] * plan.blocks[b].hours[t] for b in blocks}
            asked = sum(volume.values())
            if asked <= 0:
                continue
            served = sum(share[t][b] * volume[b] for share in shares for b in blocks)
            if served < asked * (1 - SHARE):
                yield f"{period.label}, {label}", 1 - served / asked
