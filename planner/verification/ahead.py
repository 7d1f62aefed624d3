"""Renting ahead: what it costs that rented machines already run when their block begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from planner.finance import ledger, unit
from planner.finance.offers import rented_key
from planner.result import FleetRow, Incident, Plan, RentedAhead
from planner.units import MONTHS_PER_YEAR, SECONDS_PER_HOUR
from planner.verification.step_ups import Whole
from planner.workload.blocks import DAYS_A_WEEK

Array = NDArray[np.float64]
MINUTE_S = 60.0


def rented_ahead(
    plan: Plan, block_of_hour: Whole, incidents: Sequence[Incident]
) -> RentedAhead | None:
    """What it costs to rent every machine so much ahead that late step-ups keep their promise.

    Parameters
    ----------
    block_of_hour : (2 day types, 24)

    Returns
    -------
    None where no step-up is late.
    """
    late = _late(incidents)
    if not late:
        return None
    lead_s = max(x.back_s for x in late)
    rented = [row for row in plan.fleet if row.option == "on_demand"]
    more = {
        f"{rented_key('on_demand', row.accelerator, row.site)}_lot_hours": _longer(
            plan, row, lot_hours_ahead(plan, row, block_of_hour, lead_s)
        )
        for row in rented
    }
    (npv, cash), (npv_more, cash_more) = _money(plan, {}), _money(plan, more)
    years = sum(period.months for period in plan.periods) / MONTHS_PER_YEAR
    return RentedAhead(
        lead_s=lead_s, usd_per_year=(cash_more - cash) / years, npv_usd=npv_more - npv
    )


def words(incidents: Sequence[Incident], cost: RentedAhead | None, plan: Plan) -> list[str]:
    """What would mend hours in which machines start with their block, and what that costs."""
    found = [
        f"{name}: machines rented when {block} begins serve {back_s / MINUTE_S:,.0f} min "
        "later; rented that much before, the hour keeps its promise."
        for name, block, back_s in dict.fromkeys(
            (x.demand_class, x.block, x.back_s) for x in _late(incidents)
        )
    ]
    if cost is not None:
        found.append(
            f"All machines rented {cost.lead_s / MINUTE_S:,.0f} min before each block in "
            f"which more of them run: about {cost.usd_per_year:,.0f} USD a year more, "
            f"{cost.npv_usd / plan.npv_usd:.2%} of the plan; it is not in the plan."
        )
    return found


def _late(incidents: Sequence[Incident]) -> list[Incident]:
    """Step-ups that break their promise."""
    return [x for x in incidents if x.kind == "replicas_start" and not x.within_promise]


def lot_hours_ahead(plan: Plan, row: FleetRow, block_of_hour: Whole, lead_s: float) -> Array:
    """Lot-hours before the blocks in which more machines run than before, (periods,)."""
    lots = np.array(row.lots_by_block)
    found = np.zeros(len(plan.periods))
    for t in range(len(plan.periods)):
        for (before, now), times in _changes(plan, block_of_hour, t).items():
            found[t] += times * max(lots[t, now] - lots[t, before], 0.0)
    return found * lead_s / SECONDS_PER_HOUR


def _changes(plan: Plan, block_of_hour: Whole, period: int) -> dict[tuple[int, int], float]:
    """How often each block follows each other one in a period."""
    found: dict[tuple[int, int], float] = {}

    def add(before: int, now: int, times: float) -> None:
        found[before, now] = found.get((before, now), 0.0) + times

    days = [_days(plan, block_of_hour[day], period) for day in (0, 1)]
    weeks = sum(days) / sum(DAYS_A_WEEK)
    for day in (0, 1):
        hours, other = block_of_hour[day].tolist(), block_of_hour[1 - day].tolist()
        for before, now in pairwise(hours):
            add(before, now, days[day])
        add(hours[-1], hours[0], days[day] - weeks)
        add(hours[-1], other[0], weeks)
    return {pair: times for pair, times in found.items() if pair[0] != pair[1]}


def _days(plan: Plan, hours: Whole, period: int) -> float:
    """Days of a kind, by the blocks of its hours."""
    return math.fsum(plan.blocks[b].hours[period] for b in set(hours.tolist())) / len(hours)


def _longer(plan: Plan, row: FleetRow, ahead: Array) -> Array:
    """By month: lot-hours with those ahead over those planned."""
    lots = np.array(row.lots_by_block)
    planned = np.array(
        [
            sum(lots[t, b] * block.hours[t] for b, block in enumerate(plan.blocks))
            for t in range(len(plan.periods))
        ]
    )
    ratio = 1 + np.divide(ahead, planned, out=np.zeros(len(planned)), where=planned > 0)
    return np.repeat(ratio, [period.months for period in plan.periods])


def _money(plan: Plan, more: dict[str, Array]) -> tuple[float, float]:
    """Present value and sum of the plan's cash [USD], some quantities multiplied by month."""
    lines = ledger.load(plan.ledger_lines)
    inputs = {row.name: row.value for row in plan.ledger_inputs}
    quantities = {key: np.array(row, float) for key, row in plan.ledger_quantities.items()}
    for key, ratio in more.items():
        quantities[key][: len(ratio)] *= ratio
    values = ledger.evaluate(lines, inputs, quantities, max(map(len, quantities.values())))
    counted = values["counted"] * ledger.cash(lines, values)
    return float(unit.npv_usd(lines, values)), float(counted.sum())
