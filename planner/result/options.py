"""What the plan is compared with: the same demand served another way, or why it cannot be."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from planner.result.fleet import ApiRow, FleetRow
from planner.result.record import Record

OptionStatus = Literal["plan", "solved", "late", "infeasible", "unsolved", "nothing"]


class OptionRow(Record):
    """One way to serve the plan's demand over its horizon with its promises."""

    name: str
    """plan, on_demand, reserved_1y, owned, api, nothing, ..."""
    title: str
    """All on demand."""
    status: OptionStatus
    """plan: the plan itself; solved: equal service; late: serves from `serves_from` on, money is
    for that part; infeasible: cannot serve; unsolved: time ran out; nothing: serves no one."""
    reasons: list[str] = Field(default_factory=list)
    """Why it cannot, or cannot in full; empty where it serves all."""
    serves_from: str = ""
    """Label of the first period that it could serve, where machines come late."""
    served_frac: float = 1.0
    """Share of the horizon's requests that it serves."""
    npv_usd: float | None = None
    """Net present cost of what it serves; None where there is no fleet."""
    bound_usd: float | None = None
    """No fleet of this kind costs less."""
    gap_frac: float | None = None
    fleet: list[FleetRow] = Field(default_factory=list)
    apis: list[ApiRow] = Field(default_factory=list)
    ledger_quantities: dict[str, list[float]] = Field(default_factory=dict)
    """Of the plan's ledger lines; lines that are missing have no quantity."""
    seconds: float = 0.0
    """To solve."""

    @property
    def has_money(self) -> bool:
        """Whether its cash can be shown."""
        return self.npv_usd is not None

    @property
    def equal_service(self) -> bool:
        """Whether it serves what the plan serves."""
        return self.status in ("plan", "solved")
