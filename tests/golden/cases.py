"""Packaged scenarios and the numbers of their plans that are kept, each with its tolerance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import planner
from planner.result import Plan

EXPECTED = Path(__file__).parent / "expected"
GAPS = {"chat_8b": 1e-3, "enterprise_405b": 1e-3, "portfolio": 0.02}
"""Gap asked of each scenario."""
TIME_LIMIT_S = 600.0
NPV_REL = 0.005
TOKEN_REL = 0.005
SMALL_USD = 1e7
"""Plans below this have a few machines, all of them kept."""
FLEET_REL = 0.1
"""Of all lot-years: fleets of nearly the same cost differ by some machines."""


def solve(name: str) -> Plan:
    """Plan of a packaged scenario."""
    return planner.solve(planner.load(name), gap=GAPS[name], time_limit_s=TIME_LIMIT_S)


def numbers(plan: Plan) -> dict[str, dict[str, float]]:
    """Named numbers of a plan, with the tolerance to which they are kept."""
    # A fleet proven within a wide gap may cost less tomorrow: the tolerance is no tighter.
    npv_rel = max(NPV_REL, plan.gap_asked_frac)
    token_rel = max(TOKEN_REL, plan.gap_asked_frac)
    kept = {"net present cost [USD]": {"value": plan.npv_usd, "rel": npv_rel}}
    for cost in plan.class_costs:
        name = f"{cost.demand_class} [USD/Mtoken]"
        kept[name] = {"value": cost.usd_per_mtoken, "rel": token_rel}
    by_option = lot_years_by_option(plan)
    for option, lot_years in sorted(by_option.items()):
        some = 0.0 if plan.npv_usd < SMALL_USD else FLEET_REL * sum(by_option.values())
        if lot_years > some:
            rel = round(max(some / lot_years, 1e-3), 3)
            kept[f"{option} in service [lot-years]"] = {"value": lot_years, "rel": rel}
    return kept


def lot_years_by_option(plan: Plan) -> dict[str, float]:
    """Lots in service times years, by option and accelerator."""
    years = [period.months / 12 for period in plan.periods]
    found: dict[str, float] = {}
    for row in plan.fleet:
        name = f"{row.accelerator} {row.option} at {row.site}"
        held = sum(n * y for n, y in zip(row.lots_in_service, years, strict=True))
        found[name] = found.get(name, 0.0) + held
    return found


def expected(name: str) -> dict[str, Any]:
    """The kept numbers."""
    read: dict[str, Any] = json.loads((EXPECTED / f"{name}.json").read_text(encoding="utf-8"))
    return read
