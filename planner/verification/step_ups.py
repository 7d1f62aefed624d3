"""Step-ups: machines rented by the hour are still starting when a busier block begins.

The block's traffic is there at once, and only a part of the class's replicas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.result import CandidateRow, Plan
from planner.verification.loads import SLACK, Load, planned_each_rps, room

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Start:
    """A pool at the beginning of a block."""

    load: Load
    """Once everything runs."""
    up: float
    """Replicas that run already."""
    rate_before: float
    """In the block before; 0 where it served nothing."""


def hardest_starts(
    plan: Plan, normal: Sequence[Load], demand_class: str, block_of_hour: Whole
) -> list[Start]:
    """All pools of a class at the step-up that leaves it with the least of what it needs.

    Parameters
    ----------
    normal : loads with all nodes up.
    block_of_hour : (2 day types, 24)

    Returns
    -------
    Empty where nothing of the class starts with a block.
    """
    found: list[Start] = []
    worst = 1.0
    rows = {row.id: row for row in plan.candidates}
    weights = {name: planned_each_rps(row) for name, row in rows.items()}
    for t, period in enumerate(plan.periods):
        of_period = [
            load for load in normal
            if load.demand_class == demand_class and load.period == period.label and not load.down
        ]  # fmt: skip
        for before, now in _steps(block_of_hour):
            here = [load for load in of_period if load.block == plan.blocks[now].label]
            earlier = {
                load.pool: load.rps_each * load.replicas
                for load in of_period
                if load.block == plan.blocks[before].label
            }
            starts = [
                Start(
                    load, _up(plan, rows, load, (t, before), (t, now)), earlier.get(load.pool, 0.0)
                )
                for load in here
            ]
            share = _share_up(starts, weights)
            if share < worst * (1 - SLACK):
                found, worst = starts, share
    return found


def _steps(block_of_hour: Whole) -> list[tuple[int, int]]:
    """Each block with one that follows it, at midnight of the other kind of day too."""
    pairs = set[tuple[int, int]]()
    for day in (0, 1):
        hours = block_of_hour[day].tolist()
        pairs |= set(zip(hours, [*hours[1:], hours[0]], strict=True))
        pairs.add((hours[-1], int(block_of_hour[1 - day][0])))
    return sorted((a, b) for a, b in pairs if a != b)


def _share_up(starts: Sequence[Start], weights: Mapping[str, float]) -> float:
    """Of what the class needs, the part that runs when the block begins."""
    needed = sum(start.load.replicas * weights[start.load.candidate] for start in starts)
    running = sum(start.up * weights[start.load.candidate] for start in starts)
    return running / needed if needed else 1.0


def _up(
    plan: Plan,
    rows: Mapping[str, CandidateRow],
    load: Load,
    before: tuple[int, int],
    now: tuple[int, int],
) -> float:
    """Replicas on machines that do not only start now; whole ones where some do."""
    found = [load.replicas]
    for accelerator in rows[load.candidate].accelerators:
        earlier, later = (room(plan, rows, accelerator, load.site, at) for at in (before, now))
        started = max((later.held - later.firm) - (earlier.held - earlier.firm), 0.0)
        lacking = max(later.used - (later.held - started), 0.0)
        if lacking > SLACK * later.used:
            left = 1 - min(lacking / later.used, 1.0)
            found.append(float(math.floor(load.replicas * left + SLACK)))
    return min(found)
