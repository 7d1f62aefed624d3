"""Mixes: pools that two or three online classes share, every class kept to its own promise.

A mix enters the table as one row a class, behind the rows of the classes alone. Its configuration
can serve each of them by itself, on chunked or whole prompts, without a draft, without a promise on
gaps between tokens (the region knows none), and not on measured rates. What a replica is differs a
little between classes of unlike lengths: the pool's has the longest of their steps and the smallest
of their caches. Few are offered: of the sets of classes those that need fewest accelerators, which
gain most by sharing; on each accelerator the best configurations of a set; and of these what needs
fewer accelerators than pools of each class, in some hour of some period at least.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.candidates.enumerate import Configuration
from planner.candidates.mix_rows import Places, with_rows
from planner.candidates.places import may_be_served
from planner.candidates.table import SMALL_SIZES, Table
from planner.candidates.traffic import Traffic
from planner.schema.demand import Online
from planner.schema.scenario import Scenario

Array = NDArray[np.float64]

MODES = ("chunked", "continuous")
MEMBERS_MAX = 3
SETS_MAX = 12
"""Most sets of classes."""
PER_ACCELERATOR = 2
"""Most configurations of a set on one accelerator."""
NO_GAIN = "takes no fewer accelerators than its classes apart"
NOISE = 1e-9


@dataclass(frozen=True)
class _Scored:
    """Accelerators that all traffic of a set would take, by the rates of the classes alone."""

    gpus: float
    exact_gpus: float
    """Without rounding to whole replicas."""
    places: Places


def with_mixes(table: Table, scenario: Scenario, traffic: Traffic) -> Table:
    """The table with the mixes that the scenario asks for, refused ones with their reason."""
    if not scenario.supply.mixes:
        return table
    first = len(table.names)
    for classes, mixes in _offered(table, scenario, traffic):
        table = with_rows(table, scenario, traffic, classes, mixes)
    return _gainful(table, traffic, first)


def _offered(
    table: Table, scenario: Scenario, traffic: Traffic
) -> Iterator[tuple[tuple[int, ...], list[Places]]]:
    """Sets of classes and their best configurations on each accelerator."""
    alone = _alone(table, scenario)
    found = []
    for classes in _sets(scenario, alone):
        scored = sorted(
            _scored(table, traffic, classes, alone), key=lambda one: (one.gpus, one.exact_gpus)
        )
        best: dict[str, list[_Scored]] = {}
        for one in scored:
            name = table.configurations[one.places[0]].accelerator
            mine = best.setdefault(name, [])
            if len(mine) < PER_ACCELERATOR:
                mine.append(one)
        if scored:
            found.append((scored[0].gpus, classes, best))
    for _, classes, best in sorted(found, key=lambda one: one[:2])[:SETS_MAX]:
        yield classes, [one.places for name in sorted(best) for one in best[name]]


def _alone(table: Table, scenario: Scenario) -> dict[int, dict[Configuration, int]]:
    """By online class, what may serve it together with others: configuration, position."""
    found: dict[int, dict[Configuration, int]] = {}
    for i, config in enumerate(table.configurations):
        demand = scenario.demand[config.demand_class]
        if (
            isinstance(demand, Online)
            and demand.slo.token_itl_ms is None
            and not table.reasons[i]
            and config.mode in MODES
            and config.decode is None
        ):
            found.setdefault(config.demand_class, {})[replace(config, demand_class=0)] = i
    return found


def _sets(
    scenario: Scenario, alone: dict[int, dict[Configuration, int]]
) -> Iterator[tuple[int, ...]]:
    """Two or three classes that some site may serve all of."""
    regions = {site.region for site in scenario.sites}
    for members in range(2, MEMBERS_MAX + 1):
        for classes in itertools.combinations(sorted(alone), members):
            asked = [scenario.demand[d] for d in classes]
            if any(all(may_be_served(d, region) for d in asked) for region in regions):
                yield classes


def _scored(
    table: Table,
    traffic: Traffic,
    classes: tuple[int, ...],
    alone: dict[int, dict[Configuration, int]],
) -> Iterator[_Scored]:
    """Every configuration that serves all classes of a set."""
    peak = traffic.load.peak_rps[list(classes)]
    for config in alone[classes[0]]:
        places = tuple(alone[d].get(config, -1) for d in classes)
        if min(places) >= 0:
            rate = table.rate_rps[list(places)]
            replicas = float((peak / rate[:, None, None]).sum(axis=0).max())
            whole = config.gpus * float(np.ceil(replicas))
            yield _Scored(whole, config.gpus * replicas, places)


def _gainful(table: Table, traffic: Traffic, first: int) -> Table:
    """The table with a reason for mixes, from a position on, that save no accelerator."""
    reasons, needs = list(table.reasons), _Needs(table, traffic, first)
    for i in range(first, len(reasons)):
        if reasons[i] or table.pool(i)[0] != i:
            continue
        config = table.configurations[i]
        apart = sum(needs.apart(d, config.accelerator) for d in config.shared_by)
        if not np.any(needs.of_pool(i) < apart * (1 - NOISE)):
            for j in table.pool(i):
                reasons[j] = NO_GAIN
    return replace(table, reasons=tuple(reasons))


class _Needs:
    """Accelerators of pools in every hour, (2, periods, blocks): all, and those kept active."""

    def __init__(self, table: Table, traffic: Traffic, alone: int) -> None:
        self._table, self._peak_rps = table, traffic.load.peak_rps
        self._small_rps = table.small_rps
        self._alone = alone
        self._apart: dict[tuple[int, str], Array] = {}

    def apart(self, demand_class: int, accelerator: str) -> Array:
        """Fewest that a class takes alone on one kind."""
        key = demand_class, accelerator
        if key not in self._apart:
            able = (
                i
                for i, config in enumerate(self._table.configurations[: self._alone])
                if config.demand_class == demand_class
                and config.accelerators == (accelerator,)
                and not self._table.reasons[i]
                and self._table.rate_rps[i] > 0
            )
            self._apart[key] = np.min([self.of_pool(i) for i in able], axis=0)
        return self._apart[key]

    def of_pool(self, i: int) -> Array:
        """Those of a candidate's pool that serves all of its classes."""
        table, pool, config = self._table, self._table.pool(i), self._table.configurations[i]
        rate = float(table.rate_rps[i])
        load = self._peak_rps[[table.configurations[j].demand_class for j in pool]]
        parts = (load / table.rate_rps[pool, None, None]).sum(axis=0)
        active = parts + table.offset_rps[i] / rate
        whole = np.ceil(active - NOISE)
        for k, most in zip(SMALL_SIZES, self._small_rps[i].tolist(), strict=True):
            whole = np.where(parts <= most / rate * (1 + NOISE), np.minimum(whole, k), whole)
        return np.where(parts > 0, config.gpus * np.stack([whole, active]), 0.0)
