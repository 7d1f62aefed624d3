"""What the performance model's error costs: the plan sized on other sides of its band."""

from __future__ import annotations

from pydantic import Field

from planner.result.options import OptionStatus
from planner.result.record import Record


class BandCost(Record):
    """The cheapest fleet with steps planned otherwise."""

    name: str
    """p50, p80, p95, or halved: as planned, with a band half as wide."""
    status: OptionStatus
    """plan, solved, late, infeasible or unsolved, as of options."""
    reasons: list[str] = Field(default_factory=list)
    """Why it cannot serve, or not in full."""
    npv_usd: float | None = None
    """Net present cost; None where there is no fleet."""
    bound_usd: float | None = None
    """No fleet costs less."""
    gap_frac: float | None = None


class BandCosts(Record):
    """Cost at each side of the band, and what a narrower one is worth."""

    planned_at: str
    """planning.plan_at of the plan."""
    rows: list[BandCost]
    """p50, p80, p95, the plan's own among them."""
    halved: BandCost

    @property
    def worth_usd(self) -> float | None:
        """Most that a benchmark is worth which halves the band: it finds the estimate right.

        None where one of the two fleets is missing. 0 where the narrower band changes no fleet.
        """
        own = next(row for row in self.rows if row.status == "plan")
        if own.npv_usd is None or self.halved.npv_usd is None or self.halved.status != "solved":
            return None
        return max(own.npv_usd - self.halved.npv_usd, 0.0)
