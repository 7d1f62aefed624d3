"""Exact pruning: a candidate goes only if another is at least as good in every dimension seen.

What constraints and costs see of a candidate is its class, its accelerators, how many of each a
replica takes, the accelerators that a rate x takes, gpus (x + offset) / rate, and what pools of few
replicas carry. j replaces i where both serve one class on accelerators in the same proportion, i's
replica splits into whole replicas of j, and j takes no more accelerators at any rate, whole
replicas or not, in pools of every size: any plan with i becomes one with j that costs no more
(energy a request is proportional to gpus / rate). Where a replica has parts, none of j's may be
larger than any of i's: larger ones may fill a rack worse.

Disaggregated units also go where they save nothing, by their slope alone: see `_needless`.

Mixes neither go nor replace anything: what a pool is worth that several classes share, none of its
candidates says alone, and few are offered.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from planner.candidates.enumerate import Configuration
from planner.candidates.table import Table

Array = NDArray[np.float64]
ROUNDING = 1e-9
"""Of capacities that are equal."""


def pruned(table: Table) -> tuple[str, ...]:
    """Name of a configuration that replaces each one; empty where none does or it cannot serve."""
    alone = np.array([not c.shared_by for c in table.configurations], bool)
    feasible = np.flatnonzero(table.feasible & (table.rate_rps > 0) & alone)
    configs = [table.configurations[i] for i in feasible.tolist()]
    by = dominated_by(
        group=[(c.demand_class, _proportions(c)) for c in configs],
        gpus=np.array([c.gpus for c in configs], float),
        smallest=np.array([min(part.gpus for part in c.parts) for c in configs], float),
        largest=np.array([max(part.gpus for part in c.parts) for c in configs], float),
        rate_rps=table.rate_rps[feasible],
        offset_rps=table.offset_rps[feasible],
        small_rps=table.small_rps[feasible],
    )
    names = [""] * len(table.configurations)
    for place, winner in zip(feasible.tolist(), by.tolist(), strict=True):
        if winner >= 0:
            names[place] = table.names[feasible[winner]]
    for place, winner in _needless(table, [i for i in feasible.tolist() if not names[i]]):
        names[place] = table.names[winner]
    return tuple(names)


def _needless(table: Table, kept: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Units that save nothing, and what serves in their place without one of their accelerators.

    Large pools decide: the second takes no more of any accelerator for a request. Far from them a
    unit's parts would also stretch the range on which spares of its accelerators are estimated.
    """
    need = {i: _need(table, i) for i in kept}
    for i in kept:
        if len(table.configurations[i].parts) > 1:
            winners = (j for j in kept if j != i and _serves_for(table, need, i, j))
            winner = next(winners, None)
            if winner is not None:
                yield i, winner


def _need(table: Table, i: int) -> dict[str, float]:
    """Accelerators of each kind that a request a second takes in a large pool."""
    need = dict.fromkeys(table.configurations[i].accelerators, 0.0)
    for part in table.configurations[i].parts:
        need[part.accelerator] += part.gpus * part.copies / float(table.rate_rps[i])
    return need


def _serves_for(table: Table, need: Mapping[int, dict[str, float]], i: int, j: int) -> bool:
    """Whether j takes no more than unit i, and is simpler: fewer kinds, or one kind of replica."""
    one, other = table.configurations[i], table.configurations[j]
    if one.demand_class != other.demand_class:
        return False
    fewer = set(need[j]) < set(need[i])
    simpler = fewer or (len(other.parts) == 1 and set(need[j]) <= set(need[i]))
    return simpler and all(gpus <= need[i][name] for name, gpus in need[j].items())


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
    small_rps: Array,
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
    small_rps : what pools of 1, 2, ... replicas carry, on the line or above, (candidates, sizes).

    Examples
    --------
    Eight accelerators that carry twice what four do lose to the four; the third is worth keeping.

    >>> dominated_by(group=["a", "a", "a"], gpus=np.array([4.0, 8.0, 8.0]),
    ...              rate_rps=np.array([1.0, 2.0, 3.0]), offset_rps=np.array([0.1, 0.2, 0.6]),
    ...              small_rps=np.array([[0.9], [1.8], [2.4]]))
    array([-1,  0, -1])
    """
    small, large = (gpus if size is None else size for size in (smallest, largest))
    pools = _Pools(gpus, rate_rps, offset_rps, small_rps)
    by = np.full(len(gpus), -1, np.int64)
    members: dict[object, list[int]] = {}
    for i, key in enumerate(group):
        members.setdefault(key, []).append(i)
    for mine in members.values():
        kept: list[int] = []
        for i in sorted(mine, key=lambda i: (pools.per_rps[i], pools.lost_gpus[i], gpus[i], i)):
            fits = (j for j in kept if large[j] <= small[i])
            by[i] = next((j for j in fits if pools.replaces(j, i)), -1)
            if by[i] < 0:
                kept.append(i)
    return by


class _Pools:
    """What pools of every size carry and lose, in accelerators."""

    def __init__(self, gpus: Array, rate_rps: Array, offset_rps: Array, small_rps: Array) -> None:
        self._gpus, self._rate, self._offset, self._small = gpus, rate_rps, offset_rps, small_rps
        self.per_rps = gpus / rate_rps
        self.lost_gpus = self.per_rps * offset_rps
        self._sizes = np.arange(1, small_rps.shape[1] + 1)
        lost = gpus[:, None] * self._sizes - self.per_rps[:, None] * small_rps
        lost = np.maximum.accumulate(lost, axis=1)
        self._small_lost = np.clip(lost, 0.0, self.lost_gpus[:, None])

    def replaces(self, j: int, i: int) -> bool:
        """Whether j, which takes no more accelerators a request, does all that i does."""
        if self._gpus[i] % self._gpus[j] or self.lost_gpus[j] > self.lost_gpus[i]:
            return False
        if self._gpus[i] > self._gpus[j]:  # only the line is sure to be there for as many
            replicas = self._sizes * (self._gpus[i] // self._gpus[j])
            carried, lost = self._rate[j] * replicas - self._offset[j], self.lost_gpus[j]
        else:
            carried, lost = self._small[j], self._small_lost[j]
        enough = carried >= self._small[i] * (1 - ROUNDING)
        return bool(np.all(enough & (lost <= self._small_lost[i] + ROUNDING * self._gpus[i])))
