"""Every deliberate exception of the planner, each with the exit status it ends a command with.

::

    PlannerError              1
    ├─ ScenarioError          2   a file the reader wrote is wrong: all problems at once
    ├─ CatalogError           2   unknown name (nearest known ones given) or a row without source
    ├─ InfeasibleError        3   which limits are short, where, by how much
    ├─ VerificationError      5   a promise of the plan does not hold
    └─ StoppedError           6   time or memory ran out before any plan
"""

from __future__ import annotations

from collections.abc import Sequence


class PlannerError(Exception):
    """Anything the planner says on purpose; all else is a defect."""

    exit_status = 1


class ScenarioError(PlannerError):
    """A file that the reader wrote is wrong; carries every problem found in it."""

    exit_status = 2

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        self.where = where
        self.problems = tuple(problems)
        noun = "problem" if len(self.problems) == 1 else "problems"
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"{where}: {len(self.problems)} {noun}{lines}")


class CatalogError(ScenarioError):
    """A catalog row is wrong, unsourced or unknown."""


class InfeasibleError(PlannerError):
    """No fleet meets the scenario; carries the limits that fall short."""

    exit_status = 3

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        lines = "".join(f"\n  {reason}" for reason in self.reasons)
        super().__init__(f"no fleet meets this scenario{lines}")


class VerificationError(PlannerError):
    """A promise of the plan does not hold in simulation."""

    exit_status = 5


class StoppedError(PlannerError):
    """Time or memory ran out before any plan was found."""

    exit_status = 6
