"""One line of what must hold, and the sheets that such lines read."""

from __future__ import annotations

from dataclasses import dataclass

from planner.report.balances import BalancesSheet
from planner.report.ledger_view import View
from planner.report.sheet_annual import AnnualSheet
from planner.report.sheet_assets import AssetsSheet
from planner.report.sheet_cash import CashSheet
from planner.report.sheet_commitments import CommitmentsSheet
from planner.report.sheet_costs import CostsSheet
from planner.report.sheet_demand import DemandSheet
from planner.report.sheet_fleet import FleetSheet
from planner.report.sheet_inputs import InputsSheet
from planner.report.sheet_options import OptionsSheet
from planner.report.sheet_pnl import ProfitSheet
from planner.report.sheet_scenarios import ScenariosSheet
from planner.report.sheet_sensitivity import SensitivitySheet
from planner.report.sheet_tax import TaxSheet
from planner.result import Plan

MONEY_USD, MONEY_RATIO, SHARE = 0.01, 1e-12, 1e-6
SHARE_FORMAT = "0.000000"


@dataclass(frozen=True)
class Parts:
    """The sheets that checks and the front pages read."""

    plan: Plan
    view: View
    inputs: InputsSheet
    costs: CostsSheet
    cash: CashSheet
    annual: AnnualSheet
    fleet: FleetSheet
    profit: ProfitSheet
    scenarios: ScenariosSheet | None = None
    options: OptionsSheet | None = None
    sensitivity: SensitivitySheet | None = None
    demand: DemandSheet | None = None
    assets: AssetsSheet | None = None
    commitments: CommitmentsSheet | None = None
    tax: TaxSheet | None = None
    balances: BalancesSheet | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line: found is within tolerance of expected, or at most that above it."""

    name: str
    note: str
    style: str
    found: str = ""
    """Formula; blank where only the value is known."""
    found_value: float
    expected: str = ""
    expected_value: float
    money: bool = False
    """Whether the tolerance is that of money."""
    at_most: bool = False
    when_as_solved: bool = False
    """Only meant while the inputs are those of the solve."""
    when_plan_shown: bool = False
    """Only meant while the sheets show the plan and no other option."""

    @property
    def tolerance(self) -> float:
        """Largest difference allowed."""
        if self.money:
            return max(MONEY_USD, MONEY_RATIO * abs(self.expected_value))
        return SHARE

    @property
    def holds(self) -> bool:
        """With the inputs of the solve."""
        over = self.found_value - self.expected_value
        return bool((over if self.at_most else abs(over)) <= self.tolerance)
