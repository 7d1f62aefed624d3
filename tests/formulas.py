"""Plans on the formulas' rates, for tests whose matter is not the rates.

Simulation of the few candidates that a small question leans on takes seconds of two cores and a
warm compiler, and moves every rate by some percent: tests of money, options, reports and commands
say with this one function that they need neither. Tests of refinement, the golden plans and the
samples solve as users do.
"""

from __future__ import annotations

from typing import Any

import planner
from planner.result import Plan
from planner.schema.scenario import Scenario


def on_formulas(scenario: Scenario, **options: Any) -> Plan:
    """`planner.solve` without simulation."""
    return planner.solve(scenario, refine=False, **options)
