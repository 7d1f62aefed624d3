"""Sites with every blank filled from their facility row, each figure with its origin."""

from __future__ import annotations

from dataclasses import dataclass

from planner.errors import ScenarioError
from planner.facility import it_kw_of_feed
from planner.finance.offers import Assumed, SiteCosts
from planner.schema.catalog import Catalog
from planner.schema.demand import Batch, DemandClass, Online
from planner.schema.scenario import Scenario
from planner.schema.sites import Site

FIELDS = ("pue", "electricity_usd_per_kwh", "rent_usd_per_kw_month")


@dataclass(frozen=True)
class Place:
    """One site as planned."""

    site: Site
    position: int
    """In the scenario's list."""
    costs: SiteCosts | None
    """None in clouds, where rent covers power."""
    it_kw: float
    """Infinite in clouds."""

    @property
    def on_premises(self) -> bool:
        """Own or rented room: own machines stand there."""
        return self.costs is not None


def may_be_served(demand: DemandClass, region: str) -> bool:
    """Whether a class's residency admits a region."""
    assert isinstance(demand, Online | Batch)
    return not demand.residency or region in demand.residency


def places(scenario: Scenario, catalog: Catalog) -> list[Place]:
    """All sites of a scenario.

    Raises
    ------
    ScenarioError : an owned or colo site lacks a figure that no facility row supplies.
    """
    problems: list[str] = []
    found = [
        _place(position, site, catalog, problems) for position, site in enumerate(scenario.sites)
    ]
    if problems:
        raise ScenarioError(scenario.name, problems)
    return found


def _place(position: int, site: Site, catalog: Catalog, problems: list[str]) -> Place:
    if site.kind == "cloud":
        return Place(site, position, None, float("inf"))
    figures = {name: _figure(position, site, name, catalog) for name in FIELDS}
    missing = [name for name, figure in figures.items() if figure is None]
    problems += [
        f"sites[{position}].{name}: needed at {site.name}; write it or name a facility"
        for name in missing
    ]
    known = {name: figure for name, figure in figures.items() if figure is not None}
    if missing:
        return Place(site, position, None, 0.0)
    costs = SiteCosts(site=site.name, **known)
    power = site.it_power_kw
    if power is None:
        assert site.feed_kw is not None
        power = float(it_kw_of_feed(feed_kw=site.feed_kw, pue=costs.pue.value))
    return Place(site, position, costs, power)


def _figure(position: int, site: Site, name: str, catalog: Catalog) -> Assumed | None:
    path = f"sites[{position}].{name}"
    own = getattr(site, name)
    if own is not None:
        currency = "USD" if name == "pue" else site.currency
        return Assumed(own, "scenario", "", "scenario", path, currency)
    if site.facility is None:
        return None
    row = catalog.facilities[site.facility]
    value = getattr(row, name)
    return Assumed(value, row.source, row.as_of.isoformat(), row.basis.value, path)
