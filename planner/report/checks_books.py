"""Checks that tie one book to another: fleet to ledger, contracts to cash, register to itself."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from planner.finance.offers import owned_key, rented_key
from planner.report.check import Check, Parts
from planner.report.ledger_view import CAPEX, OBLIGATION, category_of
from planner.report.sheet_cash import NPV_NAME
from planner.report.sheet_options import NPV
from planner.report.style import CENTS, COUNT, PERCENT
from planner.report.yearly import added, ledger_at, ledger_span
from planner.result import FleetRow

CONTRACTS = (CAPEX, "commitments")
"""Categories of cash that a contract or an order fixes."""
PAYMENT = ("payment_order_frac", "payment_delivery_frac")


def of_books(parts: Parts) -> list[Check]:
    """Those for which this plan has the books."""
    return [
        *_hours(parts),
        *_fleet(parts),
        *_contracts(parts),
        *_register(parts),
        *_payment(parts),
        *_options(parts),
    ]


def _hours(parts: Parts) -> list[Check]:
    view, plan = parts.view, parts.plan
    if not plan.blocks:
        return []
    hours, inside = (ledger_span(parts.costs, key) for key in ("hours", "in_horizon"))
    blocks = float(sum(sum(block.hours) for block in plan.blocks))
    return [
        Check(
            name="Hours of all load blocks = hours of the calendar",
            note="hours of the horizon: demand is counted for every hour once",
            found=f"=SUMPRODUCT({hours},{inside})",
            found_value=float((view.values["hours"] * view.values["in_horizon"]).sum()),
            expected_value=blocks, style=COUNT,
        )
    ]  # fmt: skip


def _key(row: FleetRow) -> str:
    """Key of the quantity line of a machine's orders."""
    if row.option in ("owned", "colo"):
        return f"{owned_key(row.accelerator, row.site)}_bought"
    return f"{rented_key(row.option, row.accelerator, row.site)}_signed"


def _fleet(parts: Parts) -> list[Check]:
    """Machines on sheet Fleet against those that money is counted for."""
    view, costs = parts.view, parts.costs
    held = [(i, row, _key(row)) for i, row in enumerate(parts.plan.fleet)]
    held = [(i, row, key) for i, row, key in held if key in view.values]
    if not held:
        return []
    found = "+".join(f"SUM({parts.fleet.span(parts.fleet.ordered[i])})" for i, _, _ in held)
    keys = dict.fromkeys(key for *_, key in held)
    return [
        Check(
            name="Machines ordered on Fleet = in the ledger",
            note="lots bought and signed, of the plan",
            found=f"={found}",
            found_value=float(sum(sum(row.lots_ordered) for _, row, _ in held)),
            expected="=" + "+".join(f"SUM({ledger_span(costs, key)})" for key in keys),
            expected_value=float(sum(view.values[key].sum() for key in keys)),
            style=CENTS, when_plan_shown=True,
        )
    ]  # fmt: skip


def _contracts(parts: Parts) -> list[Check]:
    """What is signed is paid, and what is owed at the end of the horizon is paid after it."""
    view, costs = parts.view, parts.costs
    signed = [
        line.key for line in view.lines
        if line.category == "orders" or line.key.endswith("_signed_usd")
    ]  # fmt: skip
    owed = [line.key for line in view.lines if line.category == OBLIGATION]
    paid = [line.key for line in view.cash_lines if category_of(line) in CONTRACTS]
    if not (signed and owed and paid):
        return []
    total, beyond = _sum(parts, paid), view.values["in_horizon"] == 0
    inside = ledger_span(costs, "in_horizon")
    last = f"SUM({inside})"
    return [
        Check(
            name="Signed and ordered = paid under contracts and orders",
            note="USD, undiscounted, the whole life: every obligation falls due once",
            found="=" + "+".join(f"SUM({ledger_span(costs, key)})" for key in signed),
            found_value=float(_sum(parts, signed).sum()),
            expected=f"={added(costs.total(key) for key in paid)}",
            expected_value=float(total.sum()), style=CENTS, money=True,
        ),
        Check(
            name="Owed at the end of the horizon = paid after it",
            note="USD: remaining obligations are the contracts' cash of later months",
            found="=" + "+".join(ledger_at(costs, key, last) for key in owed),
            found_value=float(_sum(parts, owed)[view.horizon_months - 1]),
            expected="=" + "+".join(
                f"SUM({ledger_span(costs, key)})-SUMPRODUCT({ledger_span(costs, key)},{inside})"
                for key in paid
            ),
            expected_value=float(total[beyond].sum()), style=CENTS, money=True,
        ),
    ]  # fmt: skip


def _sum(parts: Parts, keys: Iterable[str]) -> np.ndarray:
    return np.asarray(np.sum([parts.view.values[key] for key in keys], axis=0), float)


def _register(parts: Parts) -> list[Check]:
    """Cost less all depreciation is what the register ends with."""
    sheet = parts.assets
    if sheet is None:
        return []
    left = sheet.cost_usd - sheet.depreciation_usd
    return [
        Check(
            name="Asset register rolls forward: cost - depreciation = net book value",
            note="USD, at the end of the horizon, before disposal",
            found=f"={sheet.cost}-{sheet.depreciation}", found_value=left,
            expected=f"={sheet.net_book}", expected_value=sheet.net_book_usd,
            style=CENTS, money=True,
        )
    ]  # fmt: skip


def _payment(parts: Parts) -> list[Check]:
    values = {row.name: row.value for row in parts.view.inputs}
    if any(name not in values for name in PAYMENT):
        return []
    return [
        Check(
            name="Shares of a purchase paid by delivery are at most all of it",
            note="share: with the order and at delivery; the rest is paid at acceptance",
            found="=" + "+".join(parts.inputs.addresses[name] for name in PAYMENT),
            found_value=sum(values[name] for name in PAYMENT),
            expected_value=1.0, style=PERCENT, at_most=True,
        )
    ]  # fmt: skip


def _options(parts: Parts) -> list[Check]:
    """The page of options shows the plan at the cost that all sheets show."""
    if parts.options is None:
        return []
    plan = next(row.name for row in parts.plan.options if row.status == "plan")
    return [
        Check(
            name="The plan on Options = net present cost",
            note="USD, while the inputs are those of the solve",
            found=f"={parts.options.cell(plan, NPV)}*{parts.annual.scale.name}",
            found_value=parts.view.npv_usd, expected=f"={NPV_NAME}",
            expected_value=parts.view.npv_usd, style=CENTS, money=True,
            when_as_solved=True, when_plan_shown=True,
        )
    ]  # fmt: skip
