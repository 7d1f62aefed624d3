"""What tokens, requests and users of each class cost, at the plan's utilization.

A class's cost is divided between input and output tokens as token price lists divide it: an output
token counts as several input tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from planner.report.sheet_metrics import TOKEN_WEIGHT, requests_of
from planner.result import ClassCost, Plan


@dataclass(frozen=True)
class ClassFigures:
    """Undiscounted cost of one class over the horizon [USD]."""

    demand_class: str
    usd: float
    input_mtokens: float
    output_mtokens: float
    requests: float
    users: float | None
    """None where the demand is not stated by users."""
    months: int

    @property
    def usd_per_input_mtoken(self) -> float:
        """Cost of a million input tokens."""
        return self.usd / (self.input_mtokens + TOKEN_WEIGHT * self.output_mtokens)

    @property
    def usd_per_output_mtoken(self) -> float:
        """Cost of a million output tokens."""
        return TOKEN_WEIGHT * self.usd_per_input_mtoken

    @property
    def usd_per_request(self) -> float | None:
        """None without requests."""
        return self.usd / self.requests if self.requests else None

    @property
    def usd_per_user_month(self) -> float | None:
        """By the users stated, whatever the demand grows to; None without users."""
        return self.usd / self.users / self.months if self.users else None


def class_figures(plan: Plan) -> list[ClassFigures]:
    """Every class."""
    users: Mapping[str, float | None] = {
        str(row["name"]): row.get("users") for row in plan.scenario.get("demand", [])
    }
    return [_figures(plan, row, users.get(row.demand_class)) for row in plan.class_costs]


def _figures(plan: Plan, row: ClassCost, users: float | None) -> ClassFigures:
    return ClassFigures(
        demand_class=row.demand_class,
        usd=row.usd_per_mtoken * (row.input_mtokens + row.output_mtokens),
        input_mtokens=row.input_mtokens,
        output_mtokens=row.output_mtokens,
        requests=requests_of(plan, row.demand_class),
        users=users,
        months=sum(period.months for period in plan.periods),
    )
