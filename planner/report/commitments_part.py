"""What the parts of sheet Commitments share: where they write, and what they read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openpyxl.utils import get_column_letter

from planner.report.contracts import Contract
from planner.report.ledger_view import Array, View
from planner.report.page import Page
from planner.report.sheet_annual import HEAD
from planner.report.sheet_cash import CashSheet
from planner.report.sheet_costs import CostsSheet
from planner.report.style import MONEY, WITHOUT_ROUNDING
from planner.report.yearly import Yearly
from planner.result import Plan

TITLE = "Commitments"
USD_FORMAT = WITHOUT_ROUNDING[MONEY]
LOTS, START_MONTH, START, TERM, END_MONTH, END = range(3, 9)
EXPIRY, RATE, GPU_RATE, VALUE, UPFRONT, MONTHLY = range(9, 15)
"""Columns of the ladder."""


@dataclass
class CommitmentsPart:
    """The sheet while it is written."""

    page: Page
    plan: Plan
    view: View
    costs: CostsSheet
    cash: CashSheet
    inputs: Mapping[str, str]
    found: Sequence[Contract]
    writer: Yearly
    ends: tuple[int, ...]
    """Number of each period's last month."""
    first: int = HEAD + 1
    """Row of the first contract."""
    ends_row: int = 0
    """Row of the number of each period's last month."""

    def at(self, place: int, column: int) -> str:
        """Cell of the ladder."""
        return f"${get_column_letter(column)}${self.first + place}"

    def at_ends(self, row: Array) -> list[float]:
        """Values at period ends."""
        return [float(row[end - 1]) for end in self.ends]


def label(contract: Contract, view: View) -> str:
    """HGX B200 at cloud, reserved_1y; signed Jan 2027."""
    return f"{contract.group}; signed {view.dates[contract.month]:%b %Y}"
