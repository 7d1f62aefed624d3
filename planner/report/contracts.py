"""Contracts signed: each month's signing of an option as one contract, owed to the end of its term.

Ledger rows are proportional to what is signed and keep the rate of the month, so that a contract's
payments follow from the rows of its month of signing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from planner.finance.lease_lines import BORROWING_RATE
from planner.finance.leases import Classification, LeaseSchedule, Treatment, read
from planner.finance.leases import lease_schedule as schedule
from planner.finance.metrics import effective_savings_rate
from planner.finance.offers import rented_key
from planner.report.ledger_view import Array, View, lags
from planner.result import FleetRow, Plan

SIGNED = "_signed"
"""End of the key of a commitment's quantity; its other lines begin with the same prefix."""


@dataclass(frozen=True)
class Contract:
    """Machines of one option signed in one month. Money is USD."""

    key: str
    """Prefix of its ledger lines: reserved_1y_h100_sxm_us_east."""
    group: str
    lot_name: str
    month: int
    """Of signing, 0 for the first."""
    lots: float
    term_months: int
    usd_per_h: float
    value_usd: float
    upfront_frac: float
    last_month: int
    """Of the term, 0 for the first of the horizon; at most the last that the sheets have."""
    owed_usd: Array
    """Still to be paid at each month's end, shape (months,)."""

    @property
    def upfront_usd(self) -> float:
        """Paid when signed."""
        return self.value_usd * self.upfront_frac

    @property
    def monthly_usd(self) -> float:
        """Paid in a mean month of the term."""
        return (self.value_usd - self.upfront_usd) / self.term_months


def contracts(view: View) -> list[Contract]:
    """All contracts, by group in the ledger's order, then by month of signing."""
    keys = {line.key for line in view.lines}
    return [
        contract
        for line in view.lines
        if line.kind == "quantity" and line.key.endswith(SIGNED) and f"{line.key}_usd" in keys
        for contract in _of_key(view, line.key.removesuffix(SIGNED), line.group, line.unit)
    ]


def term_input(view: View, key: str) -> str:
    """Name of the input that holds the term of a commitment."""
    (name,) = lags([line for line in view.lines if line.key == f"{key}_in_force"])
    return name


def upfront_input(view: View, key: str) -> str:
    """Name of the input that holds the share paid when signed."""
    formula = next(x.formula for x in view.lines if x.key == f"{key}_upfront_usd")
    return formula.split(" * ")[-1]


def _of_key(view: View, key: str, group: str, unit: str) -> Iterator[Contract]:
    inputs = {row.name: row.value for row in view.inputs}
    term = round(inputs[term_input(view, key)])
    upfront = inputs[upfront_input(view, key)]
    signed, rate = view.values[f"{key}_signed"], view.values[f"{key}_signed_usd_per_h"]
    value, hours = view.values[f"{key}_signed_usd"], view.values["hours_so_far"]
    for month in np.flatnonzero(signed).tolist():
        last = min(month + term, view.months) - 1
        left = np.maximum(hours[last] - hours, 0.0) * float(rate[month]) * (1 - upfront)
        yield Contract(
            key=key, group=group, lot_name=unit.removesuffix("s"), month=month,
            lots=float(signed[month]), term_months=term, usd_per_h=float(rate[month]),
            value_usd=float(value[month]), upfront_frac=upfront, last_month=last,
            owed_usd=np.where(np.arange(view.months) >= month, left, 0.0),
        )  # fmt: skip


@dataclass(frozen=True)
class Use:
    """Accelerator-hours of one accelerator at one site over the horizon."""

    accelerator: str
    title: str
    site: str
    keys: tuple[str, ...]
    """Prefixes of the ledger lines of its commitments."""
    committed_h: float
    """Paid for under commitments."""
    used_h: float
    """Of them at work; own machines of the same kind work first."""
    on_demand_h: float
    """Rented beside them."""


def uses(plan: Plan) -> list[Use]:
    """Each accelerator and site with commitments."""
    found: dict[tuple[str, str], list[FleetRow]] = {}
    for row in plan.fleet:
        found.setdefault((row.accelerator, row.site), []).append(row)
    return [
        _use(plan, rows)
        for rows in found.values()
        if any(row.option.startswith("reserved") for row in rows)
    ]


def _use(plan: Plan, rows: list[FleetRow]) -> Use:
    hours = np.array([block.hours for block in plan.blocks]).T

    def gpus(*kinds: str) -> Array:
        held = [np.array(x.lots_by_block) * x.lot_gpus for x in rows if x.option.startswith(kinds)]
        return np.asarray(np.sum(held, axis=0) if held else np.zeros_like(hours), float)

    known = {row.id: row for row in plan.candidates}
    work = np.zeros_like(hours)
    for pool in plan.pools:
        candidate = known.get(pool.candidate)
        if candidate is None:
            continue
        if pool.site == rows[0].site:
            work = work + np.array(pool.replicas) * candidate.gpus_on(rows[0].accelerator)
    held = gpus("reserved")
    used = np.clip(work - gpus("owned", "colo"), 0.0, held)
    return Use(
        rows[0].accelerator, rows[0].accelerator_title, rows[0].site,
        tuple(rented_key(x.option, x.accelerator, x.site) for x in rows
              if x.option.startswith("reserved")),
        float((held * hours).sum()), float((used * hours).sum()),
        float((gpus("on_demand") * hours).sum()),
    )  # fmt: skip


@dataclass(frozen=True)
class Saving:
    """What commitments save against the same hours on demand [USD/GPU/h]."""

    committed_usd_per_h: float
    on_demand_usd_per_h: float
    effective_frac: float
    """Effective savings rate: 1 - what is paid / the same use on demand; idle hours count."""


def saving(view: View, use: Use) -> Saving | None:
    """Saving of the contracts of some machines; None where the ledger has no price on demand."""
    inputs = {row.name: row.value for row in view.inputs}
    rented = rented_key("on_demand", use.accelerator, use.site)
    price = view.values.get(f"{rented}_price_usd_per_h")
    keys = [key for key in use.keys if f"{key}_signed_usd" in view.values]
    if price is None or not keys or use.used_h + use.on_demand_h <= 0:
        return None
    held = [view.values[f"{key}_in_force"] * view.values["hours"] * inputs[f"{key}_gpus"]
            for key in keys]  # fmt: skip
    gpu_h = np.sum(held, axis=0)
    paid = sum(float(view.values[f"{key}_signed_usd"].sum()) for key in keys)
    committed = paid / float(gpu_h.sum())
    full = float((gpu_h * price).sum() / gpu_h.sum()) / inputs[f"{rented}_gpus"]
    rate = effective_savings_rate(
        on_demand_equivalent_usd=(use.used_h + use.on_demand_h) * full,
        actual_usd=use.committed_h * committed + use.on_demand_h * full,
    )
    return Saving(committed, full, rate)


def _in_ledger(one: Contract, view: View) -> Treatment | None:
    """The lease that the ledger's rows are of: they are made once, for the term of the solve."""
    keys: dict[str, Treatment] = {
        f"{one.key}_lease_cost_usd": "operating", f"{one.key}_right_of_use_used_usd": "finance",
    }  # fmt: skip
    return next((kind for key, kind in keys.items() if key in view.values), None)


@dataclass(frozen=True)
class LeaseView:
    """How a contract would stand in the books, and its schedule where it is on them."""

    contract: Contract
    read: Classification
    schedule: LeaseSchedule | None

    def rows(self, months: int) -> list[tuple[str, float | None, Array]]:
        """Label, value at signing (None of flows) and values by month; none without a schedule."""
        found, first = self.schedule, self.contract.month
        if found is None:
            return []

        def placed(row: Array) -> Array:
            whole = np.zeros(months)
            whole[first : first + len(row)] = row
            return whole

        return [
            ("Lease liability, at year end", found.initial_liability, placed(found.liability)),
            ("Right of use, at year end", found.initial_asset, placed(found.asset)),
            ("Payments", None, placed(found.payment)),
            ("Interest", None, placed(found.interest)),
            ("Cost in profit and loss", None, placed(found.expense)),
        ]


def lease_facts(plan: Plan) -> Mapping[str, Any]:
    """What the scenario states of leases; empty in plans of before it could."""
    return dict(plan.scenario.get("finance", {}).get("lease", {}))


def leases(plan: Plan, view: View, found: list[Contract]) -> list[LeaseView]:
    """Every contract read from the scenario's facts."""
    stated = lease_facts(plan)
    standard: Literal["asc_842", "ifrs_16"] = (
        "ifrs_16" if stated.get("standard") == "ifrs_16" else "asc_842"
    )
    inputs = {row.name: row.value for row in view.inputs}
    rate = inputs[borrowing_input(view)]
    return [_lease(one, stated, standard, rate, view) for one in found]


def borrowing_input(view: View) -> str:
    """Name of the input that leases are discounted with: their own rate, or that of all cash."""
    own = BORROWING_RATE[0]
    return own if any(row.name == own for row in view.inputs) else "discount_rate"


def _lease(
    one: Contract, stated: Mapping[str, Any], standard: Literal["asc_842", "ifrs_16"],
    rate: float, view: View,
) -> LeaseView:  # fmt: skip
    found = read(
        standard=standard,
        dedicated=any(one.key.startswith(f"{option}_") for option in stated.get("dedicated", ())),
        term_months=one.term_months,
        short_term_elected=bool(stated.get("short_term_elected", True)),
        economic_life_months=stated.get("economic_life_months"),
    )
    held = _in_ledger(one, view)
    if held is not None and held != found.treatment:
        words = f"As solved. With a term of {one.term_months} months, solve again: {found.reason}"
        found = Classification(held, words)
    if found.treatment not in ("operating", "finance"):
        return LeaseView(one, found, None)
    hours = view.values["hours"][one.month : one.last_month + 1]
    paid = hours * one.usd_per_h * (1 - one.upfront_frac)
    return LeaseView(
        one, found,
        schedule(paid, borrowing_rate_per_year=rate, treatment=found.treatment,
                 prepaid=one.upfront_usd),
    )  # fmt: skip
