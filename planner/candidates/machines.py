"""Machines as the optimizer sees them: lots, power, racks, lead times, failures, spares, stock."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner import problem as seam
from planner.candidates.case import Axes, Case
from planner.candidates.offers import COMMITMENTS, assumption, lot_kw
from planner.candidates.quotes import TERM_MONTHS
from planner.candidates.traffic import Calendar
from planner.facility import lots_per_rack
from planner.reliability import node_unavailability, spare_line
from planner.schema.catalog import Catalog
from planner.schema.scenario import Scenario
from planner.units import HOURS_PER_DAY
from planner.workload.growth import month_index

Array = NDArray[np.float64]
Whole = NDArray[np.int64]
HARD_FAILURES, SOFT_FAILURES = "failure-hard-per-gpu-year", "failure-soft-per-gpu-year"
HARD_REPAIR_DAYS, SOFT_REPAIR_H = "repair-hard-days", "repair-soft-h"
REPLACEMENT_H = "cloud-replacement-h"
FAILURES = (HARD_FAILURES, SOFT_FAILURES, HARD_REPAIR_DAYS, SOFT_REPAIR_H, REPLACEMENT_H)
"""Figures of the catalog behind the share of time a node is out."""


def machines_of(case: Case, axes: Axes) -> seam.Machines:
    """Every SKU of the problem at every site."""
    rows = [case.catalog.accelerators[name] for name in axes.accelerators]
    racks, lead = _standing(case, axes)
    out = np.array(
        [[node_out_frac(case.catalog, row.gpus_per_node, on_premises=place.on_premises)
          for place in case.offers.places] for row in rows]
    ).reshape(racks.shape)  # fmt: skip
    slope, offset = _spares(case, axes, out)
    pairs = [[(g, s) for s in axes.sites] for g in axes.accelerators]
    signed = [[[(o, *at) in case.offers.commitments for at in row] for row in pairs]
              for o in axes.options]  # fmt: skip
    rented = [[at in case.offers.on_demand for at in row] for row in pairs]
    months = case.traffic.calendar.period_months
    return seam.Machines(
        lot_gpus=np.array([row.lot_gpus for row in rows], float),
        node_gpus=np.array([row.gpus_per_node for row in rows], float),
        lot_kw=np.array([lot_kw(row).value for row in rows]),
        lots_per_rack=racks,
        purchasable=racks >= 1,
        on_demand=np.array(rented, bool).reshape(racks.shape),
        committable=np.array(signed, bool).reshape(len(axes.options), *racks.shape),
        lead_periods=lead,
        term_periods=np.array(
            [TERM_MONTHS[o] // months for o in COMMITMENTS if o.value in axes.options], np.int64
        ),
        lots_max=_stock(case.scenario, case.traffic.calendar, axes, None),
        on_demand_max=_stock(case.scenario, case.traffic.calendar, axes, "on_demand"),
        spare_slope=slope,
        spare_offset=offset,
        node_unavailability=out,
    )


def _standing(case: Case, axes: Axes) -> tuple[Array, Whole]:
    """Lots a rack position (0 where a lot cannot stand) and lead times in periods."""
    shape = (len(axes.accelerators), len(axes.sites))
    racks, lead = np.zeros(shape), np.zeros(shape, np.int64)
    for g, name in enumerate(axes.accelerators):
        row = case.catalog.accelerators[name]
        for s, place in enumerate(case.offers.places):
            offer = case.offers.owned.get((name, place.site.name))
            if offer is None:
                continue
            racks[g, s] = lots_per_rack(
                lot_kw=offer.lot_kw.value,
                rack_kw=place.site.rack_kw or 0.0,
                lots_max=1 if row.lot_name == "rack" else row.nodes_per_rack_max,
                needs_liquid=row.cooling == "liquid",
                has_liquid=place.site.cooling == "liquid",
            )
            lead[g, s] = int(offer.lead_months.value) // case.traffic.calendar.period_months
    return racks, lead


def node_out_frac(catalog: Catalog, node_gpus: int, *, on_premises: bool) -> float:
    """Share of time a node is out: own machines wait for repair, rented ones are replaced."""

    def figure(name: str) -> float:
        return assumption(catalog, name).value

    replaced_h = figure(REPLACEMENT_H)
    return float(
        node_unavailability(
            node_gpus=node_gpus,
            hard_per_gpu_year=figure(HARD_FAILURES),
            hard_repair_h=figure(HARD_REPAIR_DAYS) * HOURS_PER_DAY if on_premises else replaced_h,
            soft_per_gpu_year=figure(SOFT_FAILURES),
            soft_repair_h=figure(SOFT_REPAIR_H) if on_premises else replaced_h,
        )
    )


def _spares(case: Case, axes: Axes, out: Array) -> tuple[Array, Array]:
    """Spare lines by accelerator and site, tight on the range of nodes a fleet could need."""
    slope, offset = np.zeros(out.shape), np.zeros(out.shape)
    target = case.scenario.limits.availability_target
    for g, name in enumerate(axes.accelerators):
        nodes = _most_nodes(case, axes, name)
        for s in range(len(axes.sites)):
            slope[g, s], offset[g, s] = spare_line(nodes, float(out[g, s]), target)
    return slope, offset


def _most_nodes(case: Case, axes: Axes, name: str) -> int:
    """Nodes of one accelerator that would carry every class at its highest peak."""
    need: dict[int, float] = {}
    for i in sorted(axes.kept, key=lambda i: len(case.table.pool(i))):
        config = case.table.configurations[i]
        gpus = sum(part.gpus * part.copies for part in config.parts if part.accelerator == name)
        if gpus:
            nodes = _replicas(case, i) * gpus / case.catalog.accelerators[name].gpus_per_node
            shared = sum(need.get(d, 0.0) for d in config.shared_by if d != config.demand_class)
            need[config.demand_class] = max(need.get(config.demand_class, 0.0), nodes - shared)
    return max(1, int(np.ceil(sum(need.values()))))


def _replicas(case: Case, i: int) -> float:
    """Whole replicas that carry all classes of a candidate's pool at their highest peaks."""
    table, pool = case.table, case.table.pool(i)
    peaks = case.traffic.load.peak_rps.max(axis=(1, 2))
    of_pool = peaks[[table.configurations[j].demand_class for j in pool]]
    lost = table.offset_rps[i] / table.rate_rps[i]
    return float(np.ceil((of_pool / table.rate_rps[pool]).sum() + lost))


def _stock(scenario: Scenario, when: Calendar, axes: Axes, option: str | None) -> Array:
    """Most lots of any kind, or of one option, (accelerators, sites, periods); inf where free."""
    most = np.full((len(axes.accelerators), len(axes.sites), len(when.labels)), np.inf)
    for stock in scenario.supply.stock:
        if stock.accelerator in axes.accelerators and stock.option == option:
            first = month_index(when.start, stock.from_month) if stock.from_month else 0
            at = axes.accelerators.index(stock.accelerator), axes.sites.index(stock.site)
            held = when.first_months + when.period_months > max(first, 0)
            most[at] = np.where(held, np.minimum(most[at], stock.lots_max), most[at])
    return most
