"""A solved plan after tax that has every way of getting capacity and paying for it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from planner.answer.decided import Decided
from planner.answer.plan import plan
from planner.optimize.audit import audit
from planner.optimize.objective import cost_usd
from planner.result import Plan
from planner.schema.scenario import Scenario
from tests.small_world import OWNED_CHEAP, decide, mixed_scenario

TAX = {"pays_tax": True, "rate": 0.21, "state_rate": 0.06, "depreciation": "macrs_5"}
PAYMENT = {"order_frac": 0.3, "delivery_frac": 0.6, "acceptance_months": 2,
           "upfront_frac": {"reserved_1y": 0.5}}  # fmt: skip
FINANCE = {"tax": TAX, "payment": PAYMENT}
OPTIONS = {"options": ["owned", "on_demand", "reserved_1y", "api"], "prices": [OWNED_CHEAP]}


def question(**finance: Any) -> Scenario:
    """Everything at once, after tax, with parts of finance replaced."""
    return mixed_scenario(finance={**FINANCE, **finance}, supply=OPTIONS)


@cache
def answered() -> tuple[Decided, Plan]:
    """Everything at once, with one contract signed in the last quarter, beyond what is best."""
    decided = _signing(decide(question())[0])
    return decided, _plan(decided)


def with_contract(decided: Decided) -> Plan:
    """The plan of what was decided, with that contract."""
    return _plan(_signing(decided))


def _signing(decided: Decided) -> Decided:
    signed = decided.solution.lots_signed.copy()
    signed[0, 0, 1, 7] = 1
    x = replace(decided.solution, lots_signed=signed)
    x = replace(x, cost_usd=cost_usd(decided.problem, x))
    return Decided(decided.case, decided.problem, decided.axes, x)


def _plan(decided: Decided) -> Plan:
    held = audit(decided.problem, decided.solution)
    return plan(decided, gap_asked_frac=1e-6, audit=held, binding=[], seconds={})


@cache
def company() -> Plan:
    """Losses carried forward, and own machines priced in euro."""
    tax = {"pays_tax": True, "rate": 0.25, "depreciation": "macrs_5", "losses": "carried_forward",
           "other_taxable_income_usd": 70_000.0}  # fmt: skip
    prices = [{**OWNED_CHEAP, "currency": "EUR"}]
    return decide(
        mixed_scenario(
            finance={"tax": tax, "fx": {"EUR": {2027: 1.1, 2028: 1.2}}},
            supply={"options": ["owned", "on_demand", "api"], "prices": prices},
        )
    )[1]


@cache
def leased(standard: str) -> Plan:
    """Everything at once, with the contract a lease of named machines at a rate of its own."""
    lease = {"dedicated": ["reserved_1y"], "short_term_elected": False, "standard": standard,
             "borrowing_rate": 0.07}  # fmt: skip
    found = with_contract(decide(question(lease=lease))[0])
    return found.model_copy(update={"gap_frac": 0.0})
