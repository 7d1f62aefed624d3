"""Pairs of sheet Balances, for the checks that hold them to each other."""

from __future__ import annotations

from dataclasses import dataclass

EXPORTED = ("Billed cost = cash out", "Effective cost = cost in profit and loss")
"""Pairs of the FOCUS export."""


@dataclass(frozen=True)
class Tie:
    """One pair as formulas without the equals sign, and its values at the solve."""

    name: str
    found: str
    found_value: float
    expected: str = ""
    expected_value: float = 1.0


@dataclass(frozen=True)
class BalancesSheet:
    """What sheet Checks holds."""

    tokens: tuple[Tie, ...]
    """Tokens served of those demanded, by class."""
    power: tuple[Tie, ...]
    """Highest share of a site's power that is contracted."""
    focus: tuple[Tie, ...]
    """The FOCUS export's totals against the books [USD]."""
    focus_problem: str
    """Why there is no export; blank where there is one."""
