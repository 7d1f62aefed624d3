"""Case: one planning question with everything known about it before the optimizer decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from planner.candidates.offers import Offers
from planner.candidates.table import Table
from planner.candidates.traffic import Traffic
from planner.schema.catalog import Accelerator, Catalog
from planner.schema.scenario import Scenario


@dataclass(frozen=True)
class Case:
    """A scenario, the catalogs, what can be had, the traffic, and every way to serve it."""

    scenario: Scenario
    catalog: Catalog
    offers: Offers
    traffic: Traffic
    table: Table
    lowered: Mapping[str, float] = field(default_factory=dict)
    """Share of its rates with which a candidate is planned, by name; all of them where missing."""

    def accelerator(self, candidate: int) -> Accelerator:
        """Catalog row behind a position of the table."""
        return self.catalog.accelerators[self.table.configurations[candidate].accelerator]


@dataclass(frozen=True)
class Axes:
    """Names behind the positions, chosen before any array is filled."""

    kept: tuple[int, ...]
    """Positions in the table of the candidates that enter."""
    accelerators: tuple[str, ...]
    sites: tuple[str, ...]
    options: tuple[str, ...]
