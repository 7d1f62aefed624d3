"""A plan on simulated rates alone, proven against everything that is not simulated.

Two searches take turns. One finds the cheapest fleet of simulated candidates. The other sees all
others with the most that simulation may give them, and looks for a fleet that costs less by the
gap: what that leans on is simulated, or shown to carry no more than what is. Where it finds none,
the plan is proven; ties among candidates that are not simulated do not matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.answer.decided import Decided
from planner.candidates.assemble import build
from planner.candidates.case import Case
from planner.decide import LEAST_S, Clock, decided
from planner.errors import InfeasibleError, StoppedError
from planner.schema.demand import Online

if TYPE_CHECKING:
    from planner.optimize.highs import Progress as SolverProgress

SAME = 1e-4
"""Relative rise of the relaxation's bound below which what it leans on is a tie."""
ROUNDS_MAX = 100
"""Most searches for something cheaper; the deadline comes before."""
PREPARING_SHARE, PLANNING_SHARE = 0.5, 0.7
"""Shares of the time by which rates for a first plan are simulated, and by which it is found."""
EXPLORING_GAP = 0.02
"""Gap to which is asked first what a plan leans on."""
NOISE = 1e-9
"""Relative: a bound proven up to the asked gap is that gap."""
GAP_FRAC_OF_PLAN = 0.5
"""Part of the asked gap within which the plan is the best of simulated candidates; the rest is
left for what is not simulated."""


def prepared(question: Case, clock: Clock) -> Case:
    """The question with simulated rates of what the relaxation leans on, until it is nothing else.

    The same however often it was asked before: what is remembered are rates, not what they were
    asked for.
    """
    from planner.candidates import optimistic  # noqa: PLC0415  (brings the compiler)
    from planner.optimize.solve import leaning  # noqa: PLC0415  (Pyomo takes half a second)

    deadline, bound_usd = clock.deadline(PREPARING_SHARE), -math.inf
    while clock.left_s(PREPARING_SHARE) > 0:
        clock.step("relax")
        problem, axes = build(optimistic.optimistic(question))
        found = leaning(problem, time_limit_s=max(clock.left_s(PREPARING_SHARE), LEAST_S))
        more = formulaic(question, [axes.kept[c] for c in found.serving])
        if not more or found.interrupted:
            break
        rises = found.bound_usd > bound_usd * (1 + SAME)
        if not rises and optimistic.rivalled(question, more):
            break
        bound_usd = found.bound_usd
        clock.step("simulate")
        question = optimistic.answered(question, more, clock.tell, deadline)
    return question


def planned(question: Case, clock: Clock, *, gap: float) -> Decided:
    """Cheapest fleet of simulated candidates, with a bound that holds against all others.

    At the deadline the best plan so far; on the formulas' rates, as one stopped early, where there
    is no other. Ctrl-C ends with the best plan too.

    Raises
    ------
    InfeasibleError : no fleet meets the question.
    StoppedError : time ran out before any plan.
    """
    search = _Search(question, clock, gap)
    try:
        search.run()
    except KeyboardInterrupt:
        if search.best is None:
            raise
    if search.best is not None:
        return search.answer(search.best)
    found = decided(search.question, search.question, clock, gap=gap)
    return replace(found, solution=replace(found.solution, status="stopped"))


class _Search:
    """The two searches, and what is known so far."""

    def __init__(self, question: Case, clock: Clock, gap: float) -> None:
        self.question, self.clock, self.gap = question, clock, gap
        self.best: Decided | None = None
        self.bound_usd, self.stopped = 0.0, False
        self._planned_from: tuple[float, list[int]] | None = None

    def run(self) -> None:
        """First to a wide gap, which tells soon what matters, then to the one asked."""
        if self.gap < EXPLORING_GAP:
            self._close(EXPLORING_GAP)
        if not self.stopped and self.clock.left_s() > 0:
            self._close(self.gap)

    def _close(self, gap: float) -> None:
        """Take turns until a gap is met or time is over."""
        again = True
        for _ in range(ROUNDS_MAX):
            if again and not self._plan(gap):
                return
            more = self._cheaper(gap)
            if more is None or self.clock.left_s() <= 0:
                return
            before = _simulated(self.question)
            self._answer(more)
            again = self.best is None or not more or before != _simulated(self.question)

    def _plan(self, gap: float) -> bool:
        """Find the best of simulated candidates; whether anything is left to ask."""
        from planner.candidates.optimistic import proven  # noqa: PLC0415

        known, before = (gap, _simulated(self.question)), self.best
        if known == self._planned_from:
            return False
        self._planned_from = known
        share = max(PLANNING_SHARE, (1 + self.clock.gone()) / 2)  # the rest is for the proof
        within = gap * GAP_FRAC_OF_PLAN
        try:
            found = decided(
                self.question, proven(self.question), self.clock, gap=within, share=share,
                near=before.used_names if before else (),
            )  # fmt: skip
        except InfeasibleError:
            return True
        except StoppedError:
            if self.clock.left_s(share) > LEAST_S:  # Ctrl-C
                raise
            return True
        if before is None or found.solution.cost_usd < before.solution.cost_usd:
            self.best = found
        self.stopped = found.solution.interrupted
        return not self.stopped

    def _cheaper(self, gap: float) -> list[int] | None:
        """Positions not simulated that a cheaper fleet leans on; None where none is seen."""
        from planner.candidates.optimistic import optimistic  # noqa: PLC0415
        from planner.optimize.solve import leaning  # noqa: PLC0415

        self.clock.step("prove")
        known = self.question if self.best is None else self._in_its_convention(self.best)
        problem, axes = build(optimistic(known))
        beat_usd = math.inf
        if self.best is not None:
            beat_usd = (1 - gap) * self.best.solution.cost_usd
        found = leaning(
            problem, beat_usd=beat_usd, time_limit_s=max(self.clock.left_s(), LEAST_S),
            progress=self._proving,
        )  # fmt: skip
        if math.isfinite(found.bound_usd):
            self.bound_usd = max(self.bound_usd, found.bound_usd)
        self.stopped = found.interrupted
        if self.stopped or not found.serving or self.bound_usd >= beat_usd:
            return None
        return formulaic(self.question, [axes.kept[c] for c in found.serving])

    def _proving(self, now: SolverProgress) -> None:
        """The solver reports: of its bound, which holds for the best plan too."""
        if self.best is not None:
            cost_usd, bound_usd = self.best.solution.cost_usd, max(now.bound, self.bound_usd)
            self.clock.solving(replace(now, incumbent=cost_usd, bound=bound_usd))

    def _in_its_convention(self, best: Decided) -> Case:
        return replace(self.question, offers=best.case.offers)

    def _answer(self, more: Sequence[int]) -> None:
        """Simulate these, or show that they carry no more than what is simulated."""
        from planner.candidates.optimistic import answered  # noqa: PLC0415

        if not more:
            return
        self.clock.step("simulate")
        deadline = self.clock.deadline(PLANNING_SHARE if self.best is None else 1.0)
        self.question = answered(self.question, more, self.clock.tell, deadline)

    def answer(self, best: Decided) -> Decided:
        """The best plan with the bound, and the table of all that was simulated."""
        from planner.candidates.optimistic import optimistic  # noqa: PLC0415

        used = {best.axes.kept[c] for c, _ in best.used_pools}
        others = optimistic(self.question).table.pruned_by
        by = tuple("" if i in used else name for i, name in enumerate(others))
        x = best.solution
        x = replace(x, bound_usd=min(self.bound_usd, x.cost_usd))
        x = replace(x, status="optimal" if x.gap_frac <= self.gap * (1 + NOISE) else "stopped")
        table = replace(self.question.table, pruned_by=by)
        return replace(best, case=replace(best.case, table=table), solution=x)


def _simulated(question: Case) -> list[int]:
    """Positions whose rates are simulated."""
    return [int(i) for i in np.flatnonzero(question.table.simulated)]


def formulaic(question: Case, used: Sequence[int]) -> list[int]:
    """Used positions of online classes whose rates are the formulas'."""
    online = [isinstance(demand, Online) for demand in question.scenario.demand]
    return question.table.formulaic(sorted(set(used)), online)
