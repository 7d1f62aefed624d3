"""One question decided: the program built and solved, on a clock that every step shares."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from planner.answer.decided import Decided
from planner.answer.tax import in_convention
from planner.candidates.assemble import build
from planner.candidates.case import Case
from planner.progress import Stage, Tell, unheard

if TYPE_CHECKING:
    from planner.optimize.highs import Progress as SolverProgress

LEAST_S = 1.0
"""Least time of a search: one that begins late still says what it sees."""


class Clock:
    """Wall time by step, who is told of it, and the one deadline of all steps."""

    def __init__(self, progress: Tell | None, time_limit_s: float) -> None:
        self.tell, self._limit_s = progress or unheard, time_limit_s
        self._begun = time.monotonic()
        self._marks: list[tuple[str, float]] = []

    def step(self, name: str) -> None:
        """A step begins."""
        self._marks.append((name, time.perf_counter()))
        self.tell(Stage(name))

    def solving(self, now: SolverProgress) -> None:
        """The solver reports."""
        gap_frac = now.gap_frac if math.isfinite(now.gap_frac) else None
        self.tell(Stage(self._marks[-1][0], gap_frac=gap_frac))

    def deadline(self, share: float = 1.0) -> float:
        """When a share of the time is over, on the clock of `time.monotonic`."""
        return self._begun + share * self._limit_s

    def left_s(self, share: float = 1.0) -> float:
        """Seconds left until then; 0 at the least."""
        return max(self.deadline(share) - time.monotonic(), 0.0)

    def gone(self) -> float:
        """Share of the time that is over; 0 where it has no end."""
        if math.isinf(self._limit_s):
            return 0.0
        return 1.0 - self.left_s() / self._limit_s

    def seconds(self) -> dict[str, float]:
        """Seconds of each step so far."""
        ends = [at for _, at in self._marks[1:]] + [time.perf_counter()]
        found: dict[str, float] = {}
        for (name, at), end in zip(self._marks, ends, strict=True):
            found[name] = found.get(name, 0.0) + end - at
        return found


def decided(
    question: Case,
    seen: Case,
    clock: Clock,
    *,
    gap: float,
    share: float = 1.0,
    near: Collection[tuple[str, str]] = (),
) -> Decided:
    """Cheapest fleet with the rates of `seen`; reports show the question's.

    Parameters
    ----------
    share : of the clock's time by which the search ends.
    near : candidates and sites that serve in a plan that is known, where the search begins.

    Raises
    ------
    InfeasibleError : no fleet meets the question.
    StoppedError : time ran out before any plan.
    """
    from planner.optimize.solve import optimize  # noqa: PLC0415  (Pyomo takes half a second)

    def decide(now: Case) -> Decided:
        clock.step("assemble")
        problem, axes = build(replace(now, table=seen.table))
        clock.step("solve")
        left_s = max(clock.left_s(share), LEAST_S)
        solution = optimize(
            problem, gap=gap, time_limit_s=left_s, near=near, progress=clock.solving
        )
        return Decided(replace(now, table=seen.table), problem, axes, solution)

    found = in_convention(question, decide)
    return replace(found, case=replace(found.case, table=question.table))
