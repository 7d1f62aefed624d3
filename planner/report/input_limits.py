"""Data validation of sheet Inputs: what a value may be, by its unit, said when it is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from openpyxl.worksheet.datavalidation import DataValidation

from planner.report.ledger_view import View, lags
from planner.report.page import Page
from planner.result import LedgerInput

LONGEST_PROMPT = 255
"""Of an error or a prompt; a program that opens more calls the file damaged."""


@dataclass(frozen=True)
class Limit:
    """A rule that many cells share."""

    title: str
    error: str
    low: float
    high: float | None = None
    """None: at least `low` only."""
    whole: bool = False

    def rule(self) -> DataValidation:
        """As a data validation."""
        kind: Literal["whole", "decimal"] = "whole" if self.whole else "decimal"
        if self.high is None:
            rule = DataValidation(kind, operator="greaterThanOrEqual", formula1=f"{self.low:g}")
        else:
            rule = DataValidation(
                kind, operator="between", formula1=f"{self.low:g}", formula2=f"{self.high:g}"
            )
        rule.errorTitle, rule.error = self.title, self.error
        return rule


SHARE = Limit("Share", "0 to 1: 0.3 is 30 %", 0, 1)
RATE = Limit("Rate a year", "0 to 1: 0.08 is 8 % a year", 0, 1)
CHANGE = Limit("Change a year", "-0.9 to 2: 0.05 is 5 % more each year", -0.9, 2)
AMOUNT = Limit("Amount", "a number, 0 or more", 0)
TIMING = Limit("Timing", "0 (month end) to 1 (month start)", 0, 1)
LIFE = Limit("Book life", "1 to 10 whole years", 1, 10, whole=True)
LIFE_PROMPT = "Moves P&L and Assets only: cash and net present cost stay."
FACTOR = Limit("Factor", "0 or more: 1.2 is a fifth more than planned", 0)
SWING = Limit("Change", "-1 to 10: -0.2 is a fifth less", -1, 10)
POSITIVE_SHARE = Limit("Share", "0.01 to 1: 0.6 is 60 %", 0.01, 1)
RATES = {"discount_rate"}
"""Inputs of unit 1/year that are no change of a price."""


def limit_inputs(page: Page, view: View, cells: Mapping[str, str], free: frozenset[str]) -> None:
    """Give every value cell its rule.

    Parameters
    ----------
    cells : cell of each input on the sheet.
    free : inputs that have a rule already.
    """
    whole = lags(view.lines)
    months = Limit(
        "Whole months", f"0 to {view.months} whole months", 0, view.months, whole=True
    )  # fmt: skip
    rules: dict[Limit, DataValidation] = {}
    for row in view.inputs:
        if row.name in free or row.name not in cells:
            continue
        limit = months if row.name in whole else limit_of(row)
        rules.setdefault(limit, limit.rule()).add(cells[row.name])
    for limit, rule in rules.items():
        if limit is LIFE:
            rule.promptTitle, rule.prompt, rule.showInputMessage = LIFE.title, LIFE_PROMPT, True
        page.sheet.add_data_validation(rule)


def limit_cells(page: Page, cells: Iterable[str], limit: Limit) -> None:
    """Give cells of any sheet a rule."""
    rule = limit.rule()
    for cell in cells:
        rule.add(cell.replace("$", ""))
    if rule.sqref:
        page.sheet.add_data_validation(rule)


def limit_of(row: LedgerInput) -> Limit:
    """Rule of one input, from its unit.

    Examples
    --------
    >>> fields = {"label": "", "value": 0.1, "source": "", "as_of": "", "basis": "quoted"}
    >>> limit_of(LedgerInput(name="power_growth", unit="1/year", **fields)).low
    -0.9
    >>> limit_of(LedgerInput(name="h100", unit="USD/GPU/h", **fields)).error
    'a number, 0 or more'
    """
    if row.name == "book_life_years":
        return LIFE
    if row.name == "discount_timing":
        return TIMING
    if row.unit in ("frac", "share"):
        return SHARE
    if row.unit == "1/year":
        return RATE if row.name in RATES else CHANGE
    return AMOUNT
