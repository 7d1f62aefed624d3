"""Decided: a case, its Problem and its Solution side by side, with what follows by addition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.answer.division import replicas_by_part
from planner.candidates.case import Axes, Case
from planner.problem import Problem, Solution

Array = NDArray[np.float64]
SOME = 1e-9
"""Quantities below this share of their unit are solver noise."""


@dataclass(frozen=True)
class Decided:
    """Everything that the plan is written from."""

    case: Case
    problem: Problem
    axes: Axes
    solution: Solution

    @property
    def owned_in_service(self) -> Array:
        """Lots bought and delivered, (accelerators, sites, periods)."""
        bought = self.solution.lots_bought
        held = np.zeros_like(bought)
        periods = bought.shape[2]
        for g, s in np.argwhere(bought.any(axis=2)).tolist():
            lead = int(self.problem.machines.lead_periods[g, s])
            held[g, s, lead:] = np.cumsum(bought[g, s])[: periods - lead]
        return held

    @property
    def in_force(self) -> Array:
        """Lots under commitment, (commitments, accelerators, sites, periods)."""
        signed = self.solution.lots_signed
        held = np.cumsum(signed, axis=-1)
        for o, term in enumerate(self.problem.machines.term_periods.tolist()):
            if term < held.shape[-1]:
                held[o, ..., term:] -= np.cumsum(signed[o], axis=-1)[..., :-term]
        return held

    @cached_property
    def used_pools(self) -> list[tuple[int, int]]:
        """(candidate, site) that ever serve, by volume, largest first."""
        p = self.problem
        volume = (
            self.solution.served_frac
            * (p.demand.mean_rps * p.demand.hours)[p.pools.class_of][:, None]
        )
        total = volume.sum(axis=(2, 3))
        pairs = [(c, s) for c, s in np.argwhere(total > SOME).tolist()]
        return sorted(pairs, key=lambda pair: -total[pair])

    @property
    def used_names(self) -> list[tuple[str, str]]:
        """Candidates and sites that ever serve, by name."""
        names = self.problem.labels
        return [(names.candidates[c], names.sites[s]) for c, s in self.used_pools]

    @cached_property
    def replicas(self) -> Array:
        """Active, (candidates, sites, periods, blocks); a shared pool's divided by load."""
        return self._by_part[0]

    @cached_property
    def replicas_peak(self) -> Array:
        """At the peak, (candidates, sites, periods); likewise: parts of whole numbers."""
        return self._by_part[1]

    @cached_property
    def _by_part(self) -> tuple[Array, Array]:
        used = np.zeros(self.problem.pools.allowed.shape, bool)
        for pair in self.used_pools:
            used[pair] = True
        return replicas_by_part(self.problem, self.solution, used)

    def whole_peak(self, c: int, s: int) -> Array:
        """Replicas at the peak of the whole pool that a candidate is of, (periods,)."""
        return np.asarray(self.solution.replicas_peak[self.problem.pools.first_of[c], s], float)

    def whole_replicas(self, c: int, s: int) -> Array:
        """Active replicas of the whole pool that a candidate is of, (periods, blocks)."""
        return np.asarray(self.solution.replicas[self.problem.pools.first_of[c], s], float)

    def parts(self, c: int, s: int) -> list[int]:
        """Candidates that serve in the same pool, this one among them, in order."""
        pool_of = self.problem.pools.pool_of
        return sorted(d for d, at in self.used_pools if at == s and pool_of[d] == pool_of[c])

    def gpu_hours(self, c: int, s: int) -> Array:
        """Accelerator-hours a pool, or its part, keeps active, (accelerators, periods)."""
        hours = self.replicas[c, s] * self.problem.demand.hours
        return np.outer(self.problem.pools.replica_gpus[c], hours.sum(axis=1))
