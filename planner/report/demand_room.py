"""Planned demand against what the plan's pools can carry, class by class and block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.report.traffic_share import part_rps
from planner.result import ClassTraffic, Plan, whole_pools

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Segment:
    """One class in one block (batch: one day type). Arrays have shape (periods,)."""

    demand_class: str
    label: str
    demand_rps: Array
    """Peak that capacity is sized for; of batch the day's mean."""
    machines_rps: Array
    """Capacity lines of the active replicas: rate x replicas - offset."""
    api_frac: Array
    """Share that goes to APIs, whatever the demand is."""

    @property
    def capacity_rps(self) -> Array:
        """With the planned demand."""
        return self.machines_rps + self.api_frac * self.demand_rps


def segments(plan: Plan) -> list[Segment]:
    """Every class in every block, in the plan's order."""
    return [one for traffic in plan.demand for one in _of_class(plan, traffic)]


def _of_class(plan: Plan, traffic: ClassTraffic) -> Iterator[Segment]:
    machines, api = _machines_rps(plan, traffic.name), _api_frac(plan, traffic.name)
    if traffic.kind == "online":
        peak = np.array(traffic.peak_rps, float)
        for b, block in enumerate(plan.blocks):
            yield Segment(traffic.name, block.label, peak[:, b], machines[:, b], api[:, b])
        return
    hours = np.array([block.hours for block in plan.blocks], float).T
    mean = np.array(traffic.mean_rps, float)
    for day in dict.fromkeys(block.day for block in plan.blocks):
        here = np.array([block.day == day for block in plan.blocks])
        whole = hours[:, here].sum(axis=1)
        rows = [
            (row[:, here] * hours[:, here]).sum(axis=1) / whole for row in (mean, machines, api)
        ]
        yield Segment(traffic.name, f"{day}, mean", *rows)


def _machines_rps(plan: Plan, demand_class: str) -> Array:
    """Rate that a class's pools promise, (periods, blocks); of shared ones its part."""
    rows = {row.id: row for row in plan.candidates if row.demand_class == demand_class}
    total = np.zeros((len(plan.periods), len(plan.blocks)))
    for pool in whole_pools(plan.pools):
        for part in pool.parts:
            row = rows.get(part.candidate)
            if row is not None:
                total += part_rps(pool, part, row)
    return total


def _api_frac(plan: Plan, demand_class: str) -> Array:
    """Share that goes to APIs, (periods, blocks)."""
    total = np.zeros((len(plan.periods), len(plan.blocks)))
    for api in plan.apis:
        if api.demand_class == demand_class:
            total += np.array(api.served_frac)
    return total
