"""`planner compare`: scenarios or plans side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from planner.cli.progress import progress_bar
from planner.cli.shared import (
    cache_option,
    catalog_option,
    json_option,
    print_json,
    refine_option,
    say,
    show,
)
from planner.errors import InfeasibleError, ScenarioError, StoppedError

if TYPE_CHECKING:
    from planner.cli.solve_many import Outcome, Settings
    from planner.report.compare import Comparison
    from planner.result import Plan
    from planner.schema.catalog import Catalog
    from planner.schema.scenario import Scenario

FILE = click.Path(path_type=Path)
GAP = click.FloatRange(0, 1)
SECONDS = click.FloatRange(min=1)
WORKERS = click.IntRange(min=1)


@dataclass(frozen=True)
class Given:
    """One argument: a plan that was read, or a scenario to solve."""

    word: str
    name: str
    plan: Plan | None = None
    scenario: Scenario | None = None


@click.command("compare")
@click.argument("words", metavar="PLANS...", nargs=-1, required=True)
@click.option(
    "-o", "--out", "outputs", type=FILE, multiple=True, help="Report: .xlsx, .html or .json."
)
@click.option("--gap", type=GAP, default=0.001, show_default=True, help="Of solves: stop here.")
@click.option("--time-limit-s", type=SECONDS, default=300.0, show_default=True, help="Of a solve.")
@refine_option
@cache_option
@click.option("--workers", type=WORKERS, help="Solves at once; as many as cores without it.")
@catalog_option
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@json_option
def command(
    *,
    words: tuple[str, ...],
    outputs: tuple[Path, ...],
    gap: float,
    time_limit_s: float,
    refine: bool,
    workers: int | None,
    catalog: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Compare PLANS, each a plan.json or a scenario, which is solved: all against the first.

    What is added (+), changed (~) and dropped (-); which inputs differ; a bridge from one net
    present cost to the other, cause by cause; every figure with its change. Of the bridge: prices
    and rates first, then rules, then demand, then fleet and mix; the steps sum to the difference.

    \b
    Example:
        planner compare reports/base/plan.json more_users.yaml -o compare.xlsx -o compare.html

    \b
    Exit status:
        0  compared
        2  the command or a file is wrong
        3  no fleet meets one of the scenarios; the others are compared
        4  a solve stopped early; its best plan is compared
        6  a solve stopped before any plan; the others are compared
    """
    from planner.cli.solve_many import Settings, cores, status_of
    from planner.files.catalog import load_catalog
    from planner.report.compare_output import check_comparison_outputs

    if len(words) < 2:
        raise click.UsageError("two plans or scenarios at least: planner compare A B")
    paths = check_comparison_outputs(outputs)
    rows = load_catalog(catalog)
    given = _read(words, rows)
    settings = Settings(rows, gap, time_limit_s, refine)
    answers = _answers(given, settings, workers or cores(), quiet=quiet)
    found = _compared(given, answers)
    _write(found, paths)
    _print(found, as_json=as_json)
    early = [one for one in found.plans if one.stopped]
    for one in early:
        say(f"{one.name} stopped early: gap {one.plan.gap_frac:.2%}")
    kinds = [one.kind for one in found.failures]
    raise SystemExit(status_of(kinds, stopped_early=bool(early)))


def _read(words: Sequence[str], rows: Catalog) -> list[Given]:
    """Every argument read before anything is solved.

    Raises
    ------
    ScenarioError : the problems of every file that has some.
    """
    given, wrong = [], []
    for word in words:
        try:
            given.append(_read_one(word, rows))
        except ScenarioError as error:
            wrong.append(error)
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        lines = [f"{error.where}: {problem}" for error in wrong for problem in error.problems]
        raise ScenarioError("plans to compare", lines)
    return given


def _read_one(word: str, rows: Catalog) -> Given:
    import planner
    from planner.files.plan_json import is_plan, read_plan

    if is_plan(Path(word)):
        plan = read_plan(Path(word))
        return Given(word, str(plan.scenario.get("name", word)), plan=plan)
    scenario = planner.load(word, catalog=rows)
    return Given(word, scenario.name, scenario=scenario)


def names(given: Sequence[Given]) -> list[str]:
    """Names of scenarios; where some are alike the ends of their paths, numbered if need be.

    Examples
    --------
    >>> names([Given("x/a/plan.json", "chat"), Given("x/b/plan.json", "chat"), Given("c", "c")])
    ['a/plan.json', 'b/plan.json', 'c']
    >>> names([Given("a.json", "chat"), Given("a.json", "chat")])
    ['a.json', 'a.json (2)']
    """
    often = Counter(one.name for one in given)
    words = {one.word for one in given if often[one.name] > 1}
    found: list[str] = []
    for one in given:
        name = one.name if often[one.name] == 1 else _end(one.word, words)
        taken = sum(earlier == name or earlier.startswith(f"{name} (") for earlier in found)
        found.append(f"{name} ({taken + 1})" if taken else name)
    return found


def _end(word: str, words: set[str]) -> str:
    """Shortest end of a path that no other path has."""
    parts = Path(word).parts
    others = [Path(other).parts for other in words if other != word]
    for length in range(1, len(parts)):
        end = parts[-length:]
        if all(other[-length:] != end for other in others):
            return str(Path(*end))
    return word


def _answers(
    given: Sequence[Given], settings: Settings, workers: int, *, quiet: bool
) -> list[Outcome]:
    """A plan or a reason for every argument, scenarios solved side by side."""
    from planner.cli.solve_many import Outcome, solve_many

    questions = [one.scenario for one in given if one.scenario is not None]
    solved: list[Outcome] = []
    if questions:
        with progress_bar(quiet=quiet) as progress:
            solved = solve_many(questions, settings, workers=workers, progress=progress)
    later = iter(solved)
    return [Outcome(one.plan) if one.plan is not None else next(later) for one in given]


def _compared(given: Sequence[Given], answers: Sequence[Outcome]) -> Comparison:
    """The comparison; plans that could not be had are named in it.

    Raises
    ------
    InfeasibleError, StoppedError : none of the scenarios has a plan.
    """
    from planner.report.compare import Failure, Named, compare

    together = list(zip(names(given), answers, strict=True))
    plans = [Named(name, one.plan) for name, one in together if one.plan is not None]
    failures = [Failure(name, one.kind, one.reasons) for name, one in together if one.plan is None]
    if not plans:
        lines = [f"{one.name}: {reason}" for one in failures for reason in one.reasons]
        if all(one.kind == "StoppedError" for one in failures):
            raise StoppedError("\n".join(lines))
        raise InfeasibleError(lines)
    return compare(plans, failures)


def _write(found: Comparison, paths: Sequence[Path]) -> None:
    from planner.report.compare_output import write_comparison

    for path in paths:
        write_comparison(found, path)
        say(f"wrote {path}")


def _print(found: Comparison, *, as_json: bool) -> None:
    if as_json:
        from planner.report.compare import as_dict

        print_json(as_dict(found))
        return
    from planner.report.compare_console import comparison

    show(comparison(found))
