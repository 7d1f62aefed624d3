"""Break-even residual: the end value of machines at which the plan costs what an option costs.

Used machines may find no buyer, so a plan that buys rests on what they bring. Their value moves all
end values alike, those of the option too; tax on the sale moves with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from planner.report.focus_amounts import END_VALUE
from planner.report.ledger_view import CAPEX
from planner.report.option_figures import OptionFigures
from planner.report.sensitivity import break_even, drivers, exposure, line_shares

RESIDUAL = "residual"
"""Name of the driver that scales what machines bring in the end."""


@dataclass(frozen=True)
class BreakEven:
    """End value of the fleet that buys more, planned and at break-even."""

    option: str
    """Title of the option that the plan is compared with."""
    owner: str
    """Title of the one whose end value it is: the plan or the option."""
    planned_usd: float
    """What its machines bring in the end, after the cost of selling."""
    price_usd: float
    """What was paid for them."""
    change: float
    """Of all end values, at which both cost the same; inf where both move alike."""

    @property
    def planned_frac(self) -> float:
        """Of the price paid."""
        return self.planned_usd / self.price_usd

    @property
    def frac(self) -> float:
        """At break-even, of the price paid; below 0 where it stays ahead if machines bring none."""
        return self.planned_frac * (1 + self.change) if math.isfinite(self.change) else math.nan


def break_evens(figures: Sequence[OptionFigures]) -> list[BreakEven]:
    """The plan, which stands first, against every option of equal service; none without machines.

    Examples
    --------
    >>> break_evens([])
    []
    """
    known = drivers(figures[0].view) if figures else []
    driver = next((one for one in known if one.name == RESIDUAL), None)
    if driver is None:
        return []
    plan, shares = figures[0], line_shares(driver, figures)
    found = []
    for other in figures[1:]:
        owner = max((plan, other), key=_end_usd)
        if not other.row.equal_service or _end_usd(owner) <= 0:
            continue
        sides = (exposure(driver, plan, shares), exposure(driver, other, shares))
        change = break_even(*sides, (plan.npv_usd, other.npv_usd))
        price = float(owner.view.category_usd(CAPEX).sum())
        found.append(BreakEven(other.row.title, owner.row.title, _end_usd(owner), price, change))
    return found


def _end_usd(one: OptionFigures) -> float:
    return -float(one.view.category_usd(END_VALUE).sum())
