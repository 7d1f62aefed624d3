"""Cost of a million tokens on each configuration at full use, by the cheapest way to have it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from planner.candidates.case import Case
from planner.candidates.costs import Money, money
from planner.finance import unit
from planner.finance.ledger import Rows
from planner.finance.lines import assemble
from planner.finance.offers import owned_key, rented_key
from planner.units import MILLION, SECONDS_PER_HOUR

Array = NDArray[np.float64]
Way = tuple[float, str]
"""USD per accelerator-hour, and how it is had."""


def cheapest(case: Case) -> tuple[Array, tuple[str, ...]]:
    """USD per million tokens (input + output) and the way, one entry a configuration.

    Levelized: present value of a lot of the first period over the present value of the hours it
    serves, at the promised rate around the clock; energy of work left out. NaN and blank where
    the configuration cannot serve or cannot be had.
    """
    hourly = _cheapest_gpu_hour(case)
    count = len(case.table.configurations)
    price, way = np.full(count, np.nan), [""] * count
    for i in np.flatnonzero(case.table.feasible).tolist():
        config = case.table.configurations[i]
        if all(name in hourly for name in config.accelerators):
            lengths = case.table.lengths[config.demand_class]
            tokens = float(case.table.rate_rps[i]) * (lengths.input_mean + lengths.output_mean)
            ways = [hourly[part.accelerator] for part in config.parts]
            usd_per_h = sum(
                usd * part.gpus * part.copies
                for (usd, _), part in zip(ways, config.parts, strict=True)
            )
            price[i] = usd_per_h / (tokens * SECONDS_PER_HOUR / MILLION)
            way[i] = " + ".join(dict.fromkeys(name for _, name in ways))
    return price, tuple(way)


def _cheapest_gpu_hour(case: Case) -> dict[str, Way]:
    found: dict[str, Way] = {}
    priced = money(case.offers, case.traffic.calendar)
    for accelerator, way in _ways(case, priced):
        if np.isfinite(way[0]) and (accelerator not in found or way < found[accelerator]):
            found[accelerator] = way
    return found


def _ways(case: Case, priced: Money) -> Iterator[tuple[str, Way]]:
    """Every offer's levelized price of an accelerator-hour."""
    for at, own in case.offers.owned.items():
        key = owned_key(*at)
        gpus = case.catalog.accelerators[own.accelerator].lot_gpus
        rows = case.offers.owned_rows(at)
        usd = _usd_per_lot_h(priced, rows, f"{key}_bought", f"{key}_in_service", priced.orders)
        yield own.accelerator, (usd / gpus, own.label)
    for term, signed in case.offers.commitments.items():
        key, rows = rented_key(*term), case.offers.commitment_rows(term)
        usd = _usd_per_lot_h(priced, rows, f"{key}_signed", f"{key}_in_force", priced.orders)
        yield signed.accelerator, (usd / signed.lot_gpus.value, signed.label)
    for at, rented in case.offers.on_demand.items():
        key = f"{rented_key('on_demand', *at)}_lot_hours"
        rows = case.offers.on_demand_rows(at)
        usd = _usd_per_lot_h(priced, rows, key, key, priced.spread)
        yield rented.accelerator, (usd / rented.lot_gpus.value, rented.label)


def _usd_per_lot_h(
    priced: Money, rows: Rows, quantity: str, serving: str, by_month: Array
) -> float:
    """PV of one unit of the first period / PV of its lot-hours [USD/h]; inf if it never serves."""
    lines, inputs = assemble([priced.common, rows])
    values = unit.unit_values(
        lines, unit.input_values(inputs), quantity_key=quantity, by_month=by_month[:1],
        calendar=priced.calendar, more=(serving, "hours"),
    )  # fmt: skip
    hours = values[serving] if serving == quantity else values[serving] * values["hours"]
    lot_hours = float((hours * unit.weight(values)).sum())
    cost = float(unit.npv_usd(lines, values).sum())
    return cost / lot_hours if lot_hours > 0 else float("inf")
