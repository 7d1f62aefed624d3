"""Several solves at once, each in a process of its own, up to the cores of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planner.errors import InfeasibleError, PlannerError, ScenarioError, StoppedError
from planner.progress import Count, Counting, Stage, Tell, unheard

if TYPE_CHECKING:
    from planner.result import Plan
    from planner.schema.catalog import Catalog
    from planner.schema.scenario import Scenario


@dataclass(frozen=True)
class Settings:
    """What every solve shares."""

    catalog: Catalog
    gap: float
    time_limit_s: float
    refine: bool = True


@dataclass(frozen=True)
class Outcome:
    """A plan, or why there is none."""

    plan: Plan | None
    kind: str = ""
    """ScenarioError, InfeasibleError, StoppedError."""
    where: str = ""
    reasons: tuple[str, ...] = ()


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def solve_many(
    questions: Sequence[Scenario],
    settings: Settings,
    *,
    workers: int,
    progress: Tell | None = None,
) -> list[Outcome]:
    """Plans of the scenarios in their order; on Ctrl-C every solve keeps its best plan so far.

    Raises
    ------
    ScenarioError : what a solve found wrong with a scenario.
    """
    workers = min(workers, len(questions))
    if workers <= 1:
        found = _in_turn(questions, settings, progress or unheard)
    else:
        through = Counting("solve", len(questions), "scenarios", progress or unheard)
        found = _in_processes(questions, settings, workers, through)
    for one in found:
        if one.kind == "ScenarioError":
            raise ScenarioError(one.where, one.reasons)
    return found


def _in_turn(questions: Sequence[Scenario], settings: Settings, tell: Tell) -> list[Outcome]:
    found: list[Outcome] = []

    def part(stage: Stage) -> None:
        tell(replace(stage, within=Count(len(found) + 1, len(questions), "scenario")))

    for one in questions:
        found.append(solve_one(one, settings, part))
    return found


def _in_processes(
    questions: Sequence[Scenario], settings: Settings, workers: int, through: Counting
) -> list[Outcome]:
    # A fresh interpreter: a forked one would inherit the compiler's and the solver's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_apart) as pool:
        futures = [pool.submit(_interruptible, question, settings) for question in questions]
        try:
            _collect(futures, through)
        except KeyboardInterrupt:
            for future in futures:
                future.cancel()
            for child in multiprocessing.active_children():
                if child.pid is not None:
                    os.kill(child.pid, signal.SIGINT)
        return [
            Outcome(None, "StoppedError", "", ("stopped before it began",))
            if future.cancelled()
            else future.result()
            for future in futures
        ]


def _collect(futures: Sequence[Future[Outcome]], through: Counting) -> None:
    for future in as_completed(futures):
        future.result()
        through()


def _apart() -> None:
    """Leave the terminal's process group: the parent alone says when to stop, and once."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interruptible(question: Scenario, settings: Settings) -> Outcome:
    with _listening():
        return solve_one(question, settings)


@contextmanager
def _listening() -> Iterator[None]:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def solve_one(question: Scenario, settings: Settings, tell: Tell | None = None) -> Outcome:
    """One scenario's plan; errors as values, since not all of them cross processes."""
    import planner

    try:
        plan = planner.solve(
            question,
            catalog=settings.catalog,
            gap=settings.gap,
            time_limit_s=settings.time_limit_s,
            refine=settings.refine,
            progress=tell,
        )
    except InfeasibleError as error:
        return Outcome(None, "InfeasibleError", question.name, error.reasons)
    except StoppedError as error:
        return Outcome(None, "StoppedError", question.name, (str(error),))
    except ScenarioError as error:
        return Outcome(None, "ScenarioError", error.where, error.problems)
    except KeyboardInterrupt:
        return Outcome(None, "StoppedError", question.name, ("stopped before any plan was found",))
    return Outcome(plan)


def status_of(kinds: Sequence[str], *, stopped_early: bool) -> int:
    """Exit status: the gravest of what the solves ended with.

    Examples
    --------
    >>> status_of(["StoppedError", "InfeasibleError"], stopped_early=True)
    3
    >>> status_of([], stopped_early=True)
    4
    """
    errors: tuple[type[PlannerError], ...] = (InfeasibleError, StoppedError)
    for error in errors:
        if error.__name__ in kinds:
            return error.exit_status
    return 4 if stopped_early else 0
