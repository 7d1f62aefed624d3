"""Exact pruning: a candidate goes only if another is at least as good in every dimension seen.

What constraints and costs see of a candidate is its class, its accelerators, how many of each a
replica takes, and the accelerators that a rate x takes, gpus (x + offset) / rate. j replaces i
where both serve one class on accelerators in the same proportion, i's replica splits into whole
replicas of j, and j takes no more accelerators at any rate, whole replicas or not: any plan with
i becomes one with j that costs no more (energy a request is proportional to gpus / rate). Where
a replica has parts, none of j's may be larger than any of i's: larger ones may fill a rack worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.candidates.enumerate import Configuration
from planner.candidates.table import Table

Array = NDArray[np.float64]


def pruned(table: Table) -> tuple[str, ...]:
    """Name of a configuration that replaces each one; empty where none does or it cannot serve."""
    feasible = np.flatnonzero(table.feasible)
    configs = [table.configurations[i] for i in feasible.tolist()]
    by = dominated_by(
        group=[(c.demand_class, _proportions(c)) for c in configs],
        gpus=np.array([c.gpus for c in configs], float),
        smallest=np.array([min(part.gpus for part in c.parts) for c in configs], float),
        largest=np.array([max(part.gpus for part in c.parts) for c in configs], float),
        rate_rps=table.rate_rps[feasible],
        offset_rps=table.offset_rps[feasible],
    )
    names = [""] * len(table.configurations)
    for place, winner in zip(feasible.tolist(), by.tolist(), strict=True):
        if winner >= 0:
            names[place] = table.names[feasible[winner]]
    return tuple(names)


def _proportions(config: Configuration) -> tuple[tuple[str, int], ...]:
    """Accelerators of a replica in lowest terms: any one kind is 1."""
    gpus = dict.fromkeys(sorted(config.accelerators), 0)
    for part in config.parts:
        gpus[part.accelerator] += part.gpus * part.copies
    share = math.gcd(*gpus.values())
    return tuple((name, n // share) for name, n in gpus.items())


def dominated_by(
    *,
    group: Sequence[object],
    gpus: Array,
    rate_rps: Array,
    offset_rps: Array,
    smallest: Array | None = None,
    largest: Array | None = None,
) -> NDArray[np.int64]:
    """Position of a candidate that replaces each one, -1 where none does; shape (candidates,).

    Parameters
    ----------
    group : class and proportions of accelerators; only candidates of one group compete.
    gpus : accelerators a replica, whole.
    smallest, largest : accelerators of a replica's parts; `gpus` where it has one.
    rate_rps, offset_rps : the pool's capacity line, rate above 0.

    Examples
    --------
    Eight accelerators that carry twice what four do lose to the four; the third is worth keeping.

    >>> dominated_by(group=["a", "a", "a"], gpus=np.array([4.0, 8.0, 8.0]),
    ...              rate_rps=np.array([1.0, 2.0, 3.0]), offset_rps=np.array([0.1, 0.2, 0.6]))
    array([-1,  0, -1])
    """
    small, large = (gpus if size is None else size for size in (smallest, largest))
    per_rps = gpus / rate_rps
    lost = per_rps * offset_rps
    by = np.full(len(gpus), -1, np.int64)
    members: dict[object, list[int]] = {}
    for i, key in enumerate(group):
        members.setdefault(key, []).append(i)
    for mine in members.values():
        kept: list[int] = []
        for i in sorted(mine, key=lambda i: (per_rps[i], lost[i], gpus[i], i)):
            fits = (j for j in kept if gpus[i] % gpus[j] == 0 and large[j] <= small[i])
            winner = next((j for j in fits if lost[j] <= lost[i]), -1)
            by[i] = winner
            if winner < 0:
                kept.append(i)
    return by
