"""Mixes: pools that two or three online classes share, every class kept to its own promise.

A mix enters the table as one row a class, behind the rows of the classes alone. Its configuration
can serve each of them by itself, on chunked or whole prompts, without a draft, without a promise on
gaps between tokens (the region knows none), and not on measured rates. What a replica is differs a
little between classes of unlike lengths: the pool's has the longest of their steps and the smallest
of their caches. Few are offered: of the sets of classes those that could save the largest part of
their accelerators in some hour; on each accelerator the best configurations of a set; and of these
what needs fewer accelerators than pools of each class, in some hour of some period at least.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.candidates.enumerate import Configuration
from planner.candidates.mix_rows import Places, with_rows
from planner.candidates.places import may_be_served
from planner.candidates.table import SMALL_SIZES, Table
from planner.candidates.traffic import Traffic
from planner.perf.mix_region import ROW_MARGIN
from planner.schema.demand import Online
from planner.schema.scenario import Scenario

Array = NDArray[np.float64]

MODES = ("chunked", "continuous")
MEMBERS_MAX = 3
SETS_MAX = 6
"""Most sets of classes: the region of one takes about a second."""
PER_ACCELERATOR = 2
"""Most configurations of a set on one accelerator, of replicas of different sizes: what differs in
the format alone serves about the same."""
NO_GAIN = "takes no fewer accelerators than its classes apart"
NOISE = 1e-9


@dataclass(frozen=True)
class _Scored:
    """A configuration for a set of classes, by the rates of the classes alone."""

    places: Places
    gpus: float
    """Accelerators that all traffic takes, in whole replicas."""
    exact_gpus: float
    saved_frac: float
    """Most that sharing could save, of the accelerators of pools of each class."""


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
    alone, needs = _alone(table, scenario), _Needs(table, traffic, len(table.names))
    found = []
    for classes in _sets(scenario, alone):
        scored = list(_scored(table, needs, [alone[d] for d in classes]))
        if scored:
            found.append((-max(one.saved_frac for one in scored), classes, scored))
    for _, classes, scored in sorted(found, key=lambda one: one[:2])[:SETS_MAX]:
        yield classes, list(_best(table, scored))


def _best(table: Table, scored: list[_Scored]) -> Iterator[Places]:
    """Those that need fewest accelerators of each kind, with replicas of different sizes."""
    sizes: dict[str, set[int]] = {}
    for one in sorted(scored, key=lambda one: (one.gpus, one.exact_gpus)):
        config = table.configurations[one.places[0]]
        taken = sizes.setdefault(config.accelerator, set())
        if len(taken) < PER_ACCELERATOR and config.gpus not in taken:
            taken.add(config.gpus)
            yield one.places


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
    table: Table, needs: _Needs, alone: list[dict[Configuration, int]]
) -> Iterator[_Scored]:
    """Every configuration that serves all classes of a set and could save an accelerator."""
    for config in alone[0]:
        places = tuple(own.get(config, -1) for own in alone)
        if min(places) < 0:
            continue
        most_rps = table.pool_rps[list(places), -1] * (1 - ROW_MARGIN)
        apart, mixed = needs.apart_of(places), needs.of_line(places, most_rps)
        if np.any(mixed < apart * (1 - NOISE)):
            saved = np.divide(apart - mixed, apart, out=np.zeros(apart.shape), where=apart > 0)
            gpus, exact = needs.of_line(places, table.rate_rps[list(places)]).max(axis=(1, 2))
            yield _Scored(places, float(gpus), float(exact), float(saved[0].max()))


def _gainful(table: Table, traffic: Traffic, first: int) -> Table:
    """The table with a reason for mixes, from a position on, that save no accelerator."""
    reasons, needs = list(table.reasons), _Needs(table, traffic, first)
    for i in range(first, len(reasons)):
        pool = table.pool(i)
        if reasons[i] or pool[0] != i:
            continue
        if not np.any(needs.of_pool(pool) < needs.apart_of(pool) * (1 - NOISE)):
            for j in pool:
                reasons[j] = NO_GAIN
    return replace(table, reasons=tuple(reasons))


class _Needs:
    """Accelerators of pools in every hour, (2, periods, blocks): all, and those kept active."""

    def __init__(self, table: Table, traffic: Traffic, alone: int) -> None:
        self._table, self._peak_rps = table, traffic.load.peak_rps
        self._small_rps = table.small_rps
        self._alone = alone
        self._apart: dict[tuple[int, str], Array] = {}

    def apart_of(self, places: Sequence[int]) -> Array:
        """Fewest that the classes of these candidates take in pools of their own, on their kind."""
        configs = [self._table.configurations[i] for i in places]
        needs = [self._alone_on(config.demand_class, config.accelerator) for config in configs]
        return np.asarray(np.sum(needs, axis=0), float)

    def _alone_on(self, demand_class: int, accelerator: str) -> Array:
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
            self._apart[key] = np.min([self.of_pool([i]) for i in able], axis=0)
        return self._apart[key]

    def of_pool(self, pool: Sequence[int]) -> Array:
        """Those of a pool that serves all of its classes."""
        table, i = self._table, pool[0]
        rate = float(table.rate_rps[i])
        found = self.of_line(pool, table.rate_rps[list(pool)], float(table.offset_rps[i]) / rate)
        parts = self._parts(pool, table.rate_rps[list(pool)])
        for k, most in zip(SMALL_SIZES, (self._small_rps[i] / rate).tolist(), strict=True):
            few = k * float(table.configurations[i].gpus)
            found[0] = np.where(parts <= most * (1 + NOISE), np.minimum(found[0], few), found[0])
        return found

    def of_line(self, places: Sequence[int], rates_rps: Array, lost: float = 0.0) -> Array:
        """Those of one pool for the classes of these candidates, at rates of a replica each."""
        active = self._parts(places, rates_rps) + lost
        gpus = self._table.configurations[places[0]].gpus
        return np.where(active > lost, gpus * np.stack([np.ceil(active - NOISE), active]), 0.0)

    def _parts(self, places: Sequence[int], rates_rps: Array) -> Array:
        """Load in replicas, (periods, blocks)."""
        classes = [self._table.configurations[i].demand_class for i in places]
        return np.asarray(np.tensordot(1 / rates_rps, self._peak_rps[classes], axes=1), float)
