"""Case -> Problem: labels and float arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner import problem as seam
from planner.candidates.case import Axes, Case
from planner.candidates.company_tax import company_tax
from planner.candidates.costs import Money, costs_of, egress_gb, money
from planner.candidates.enumerate import Configuration
from planner.candidates.machines import machines_of
from planner.candidates.offers import COMMITMENTS, FULL, IDLE, Offers, assumption
from planner.candidates.places import Place, may_be_served
from planner.candidates.traffic import Calendar, Traffic
from planner.finance.offers import egress_key, energy_key
from planner.schema.catalog import Catalog
from planner.schema.demand import Batch
from planner.schema.scenario import Scenario
from planner.workload.growth import month_index

Array = NDArray[np.float64]


def build(case: Case) -> tuple[seam.Problem, Axes]:
    """The Problem, and which candidates its positions stand for.

    Only candidates that serve enter, on accelerators that can be had.
    """
    axes = _axes(case)
    when = case.traffic.calendar
    priced = money(case.offers, when)
    years = tuple(dict.fromkeys(when.fiscal_years))
    problem = seam.Problem(
        labels=seam.Labels(
            candidates=tuple(case.table.names[i] for i in axes.kept),
            classes=case.table.classes,
            accelerators=axes.accelerators,
            commitments=axes.options,
            sites=axes.sites,
            periods=when.labels,
            blocks=case.traffic.blocks.labels,
            apis=tuple(a.offer.name for a in case.offers.apis),
            fiscal_years=years,
        ),
        demand=_demand(case.scenario, case.traffic),
        pools=_pools(case, axes, priced),
        machines=machines_of(case, axes),
        sites=_sites(case.offers, when),
        costs=costs_of(case, axes, priced),
        limits=_limits(case.scenario, when, years, len(axes.accelerators)),
        api_class=np.array([a.demand_class for a in case.offers.apis], np.int64),
        tax=company_tax(case, axes, priced, active_kwh(case, axes)),
    )
    return problem, axes


def _axes(case: Case) -> Axes:
    obtainable = case.offers.accelerators()
    configs = case.table.configurations
    able = {i for i in case.table.kept.tolist() if obtainable.issuperset(configs[i].accelerators)}
    kept = [i for i in sorted(able) if able.issuperset(case.table.pool(i))]
    used = {name for i in kept for name in configs[i].accelerators}
    offered = {option for option, _, _ in case.offers.commitments}
    return Axes(
        kept=tuple(kept),
        accelerators=tuple(name for name in case.catalog.accelerators if name in used),
        sites=tuple(place.site.name for place in case.offers.places),
        options=tuple(o.value for o in COMMITMENTS if o.value in offered),
    )


def _demand(scenario: Scenario, traffic: Traffic) -> seam.Demand:
    return seam.Demand(
        peak_rps=traffic.load.peak_rps,
        mean_rps=traffic.load.mean_rps,
        hours=traffic.load.hours,
        day_of_block=traffic.blocks.day_of_block,
        batch=np.array([isinstance(d, Batch) for d in scenario.demand]),
        on_premises_min_frac=np.array(
            [getattr(d, "on_premises_min_frac", 0.0) for d in scenario.demand], float
        ),
    )


def _pools(case: Case, axes: Axes, priced: Money) -> seam.Pools:
    kept, traffic, scenario = list(axes.kept), case.traffic, case.scenario
    configs = [case.table.configurations[i] for i in kept]
    class_of = np.array([c.demand_class for c in configs], np.int64)
    rate, offset = case.table.rate_rps[kept], case.table.offset_rps[kept]
    pool_of = _pool_of(configs)
    batch = np.array([isinstance(d, Batch) for d in scenario.demand])
    sizing = np.where(batch[:, None, None], traffic.load.mean_rps, traffic.load.peak_rps)
    may_stand = [[_may_stand(scenario, c, place) for place in case.offers.places]
                 for c in configs]  # fmt: skip
    return seam.Pools(
        class_of=class_of,
        pool_of=pool_of,
        replica_gpus=_replica_gpus(case, axes, configs),
        rate_rps=rate,
        offset_rps=offset,
        small_rps=case.table.small_rps[kept],
        allowed=np.array(may_stand, bool).reshape(len(configs), len(axes.sites)),
        replicas_max=_most_replicas(sizing[class_of], pool_of, rate, offset),
        energy_usd=_use(case, axes, priced),
    )  # fmt: skip


def _pool_of(configs: list[Configuration]) -> NDArray[np.int64]:
    """Number of each candidate's pool: one for the classes of a mix."""
    number: dict[object, int] = {}
    return np.array([number.setdefault(c.shared or i, len(number)) for i, c in enumerate(configs)],
                    np.int64)  # fmt: skip


def _most_replicas(
    sizing_rps: Array, pool_of: NDArray[np.int64], rate_rps: Array, offset_rps: Array
) -> Array:
    """Replicas that carry all classes of a pool whole, and one more, (candidates, periods).

    `sizing_rps` is of each candidate's class, (candidates, periods, blocks).
    """
    full = sizing_rps / rate_rps[:, None, None]
    whole = np.zeros(full.shape)
    np.add.at(whole, pool_of, full)
    most = np.ceil(whole[pool_of].max(axis=2) + (offset_rps / rate_rps)[:, None]) + 1
    return np.asarray(most, float)


def _replica_gpus(case: Case, axes: Axes, configs: list[Configuration]) -> Array:
    """Accelerators of one replica as they fill lots, (candidates, accelerators)."""
    gpus = np.zeros((len(configs), len(axes.accelerators)))
    for c, config in enumerate(configs):
        for part in config.parts:
            lot = case.catalog.accelerators[part.accelerator].lot_gpus
            g = axes.accelerators.index(part.accelerator)
            gpus[c, g] += part.copies * packed_gpus(part.gpus, lot)
    return gpus


def packed_gpus(gpus: int, lot_gpus: int) -> float:
    """Accelerators of a lot that one replica takes, remainders that no replica fits included.

    Examples
    --------
    Four replicas of 16 in a rack of 72 leave 8 idle: 18 each.

    >>> packed_gpus(16, 72), packed_gpus(8, 72), packed_gpus(16, 8)
    (18.0, 8.0, 16.0)
    """
    if gpus >= lot_gpus:
        return float(-(-gpus // lot_gpus) * lot_gpus)
    return lot_gpus / (lot_gpus // gpus)


def _may_stand(scenario: Scenario, config: Configuration, place: Place) -> bool:
    """Whether every class of the pool may be served there."""
    classes = [scenario.demand[d] for d in config.shared_by or (config.demand_class,)]
    return all(may_be_served(demand, place.site.region) for demand in classes)


def _use(case: Case, axes: Axes, priced: Money) -> Array:
    """PV of serving a class's mean traffic on a pool [USD]: energy above idle, or egress."""
    kwh = active_kwh(case, axes)
    usd = np.zeros((len(axes.kept), len(axes.sites), *kwh.shape[1:]))
    for s, place in enumerate(case.offers.places):
        if place.costs is not None:
            rows = case.offers.energy_rows(place.costs)
            key = f"{energy_key(place.site.name)}_it_kwh"
            per_kwh = priced.npv_usd(rows, key, priced.spread)
            usd[:, s] = kwh * per_kwh[None, :, None]
    for s in case.offers.egress_sites:
        name = case.offers.places[s].site.name
        key = f"{egress_key(name)}_gb"
        per_gb = priced.npv_usd(case.offers.egress_rows(name), key, priced.spread)
        usd[:, s] = egress_gb(case, axes) * per_gb[None, :, None]
    return usd


def active_kwh(case: Case, axes: Axes) -> Array:
    """IT energy above idle of serving all of a class's mean traffic [kWh], (candidates, t, b).

    Busy accelerator-hours (mean rate / promised rate x accelerators a replica) times the power
    between idle and full load.
    """
    share = assumption(case.catalog, FULL).value - assumption(case.catalog, IDLE).value
    load = case.traffic.load
    found = []
    for i in axes.kept:
        config = case.table.configurations[i]
        busy = load.mean_rps[config.demand_class] / case.table.rate_rps[i]
        found.append(busy * _replica_kw(case.catalog, config) * share * load.hours)
    return np.array(found).reshape(len(axes.kept), *load.hours.shape)


def _replica_kw(catalog: Catalog, config: Configuration) -> float:
    """Most IT power of the accelerators of one replica, their share of the node included [kW]."""
    kw = 0.0
    for part in config.parts:
        row = catalog.accelerators[part.accelerator]
        node_kw = row.node_kw if row.node_kw is not None else np.nan
        kw += part.gpus * part.copies * (node_kw / row.gpus_per_node)
    return kw


def _sites(offers: Offers, when: Calendar) -> seam.Sites:
    power = np.array([place.it_kw for place in offers.places])
    racks = np.array(
        [place.site.racks if place.on_premises else np.inf for place in offers.places], float
    )
    opened = np.array(
        [
            [
                not place.site.available_from
                or first >= month_index(when.start, place.site.available_from)
                for first in when.first_months.tolist()
            ]
            for place in offers.places
        ]
    )
    return seam.Sites(
        on_premises=np.array([place.on_premises for place in offers.places]),
        it_kw=np.where(opened, power[:, None], 0.0),
        racks=np.where(opened, racks[:, None], 0.0),
    )


def _limits(
    scenario: Scenario, when: Calendar, years: tuple[str, ...], accelerators: int
) -> seam.Limits:
    budget = scenario.limits.capex_per_year_usd
    if isinstance(budget, dict):
        most = [budget.get(int(year.removeprefix("FY")), np.inf) for year in years]
    else:
        most = [np.inf if budget is None else budget] * len(years)
    return seam.Limits(
        capex_max_usd=np.array(most, float),
        fiscal_year_of=np.array([years.index(year) for year in when.fiscal_years], np.int64),
        accelerator_types_max=scenario.limits.accelerator_types_max or max(accelerators, 1),
        availability_target=scenario.limits.availability_target,
    )
