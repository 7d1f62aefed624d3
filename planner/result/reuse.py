"""What reuse of prompts saves: the plan beside the cheapest fleet without it."""

from __future__ import annotations

from pydantic import Field

from planner.result.options import OptionStatus
from planner.result.record import Record


class ReuseValue(Record):
    """The same demand without prefix caching, or without routing that knows the caches."""

    name: str
    """no_prefix_cache, no_cache_routing"""
    title: str
    kept_frac: float
    """Share of the plan's prefix hits that remains."""
    status: OptionStatus
    reasons: list[str] = Field(default_factory=list)
    """Why no fleet serves without it; empty where one does."""
    npv_usd: float | None = None
    """Present value of the cheapest fleet found without it."""
    bound_usd: float | None = None
    """No fleet without it costs less."""
    plan_npv_usd: float

    @property
    def worth_usd(self) -> float | None:
        """What it saves: cost without it less the plan's; None where no fleet serves as much."""
        if self.npv_usd is None or self.status != "solved":
            return None
        return self.npv_usd - self.plan_npv_usd

    @property
    def worth_least_usd(self) -> float | None:
        """What it saves at least: no fleet without it costs less than its bound."""
        if self.bound_usd is None or self.status != "solved":
            return None
        return max(self.bound_usd - self.plan_npv_usd, 0.0)
