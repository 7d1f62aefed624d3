"""Options and printing that several commands share."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from planner.errors import ScenarioError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from planner.result import Plan

F = TypeVar("F", bound=Callable[..., Any])
REPORT_HELP = "Report: .xlsx, .html, .json, .csv or .parquet."
PLAIN_WIDTH = 140  # columns where the output is no terminal: tables keep their columns


def json_option(function: F) -> F:
    """--json, on every command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(
        function
    )


def catalog_option(function: F) -> F:
    """--catalog, where a scenario meets the catalog."""
    folder = click.Path(file_okay=False, exists=True, path_type=Path)
    return click.option(
        "--catalog", type=folder, help="Folder of your own rows, added to the catalog's."
    )(function)


def refine_option(function: F) -> F:
    """--refine, where a scenario is solved."""
    return click.option(
        "--refine/--no-refine",
        default=True,
        show_default=True,
        help="Plan on simulated rates alone, proven against all others; or on formulas.",
    )(function)


def cache_option(function: F) -> F:
    """--no-cache, where results are kept between runs."""

    def off(context: click.Context, option: click.Parameter, given: bool) -> None:
        if given:
            os.environ["PLANNER_NO_CACHE"] = "1"

    return click.option(
        "--no-cache", is_flag=True, expose_value=False, callback=off,
        help="Compute all anew: read and keep no rates or options.",
    )(function)  # fmt: skip


def print_json(value: Any) -> None:
    """JSON on standard output."""
    click.echo(json.dumps(value, indent=2, default=str))


def console() -> Console:
    """Standard output for tables: the terminal's width, or wide where it is a file or pipe."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def show(*renderables: RenderableType) -> None:
    """Print tables and text on standard output."""
    screen = console()
    for renderable in renderables:
        screen.print(renderable, markup=False)


def say(text: str) -> None:
    """A message beside the result: standard error."""
    click.echo(text, err=True)


def checked_outputs(paths: Sequence[Path]) -> list[Path]:
    """Outputs without repetition, JSON first; refused before any work where they cannot be.

    Raises
    ------
    ScenarioError where a suffix is unknown or a path cannot be written.
    """
    from planner.report.output import check_outputs

    return check_outputs(paths)


def write_reports(plan: Plan, paths: Sequence[Path], *, keep: bool = False) -> None:
    """Write every report and say where; one that fails holds none of the others back.

    With `keep`, a plan whose own file could not be written goes to the folder for temporary files,
    so that no solve is lost.

    Raises
    ------
    ScenarioError : all that could not be written.
    """
    from planner.report import write

    problems, written = [], []
    try:
        for path in paths:
            try:
                write(plan, path)
            except ScenarioError as error:
                problems.append(f"{error.where}: {'; '.join(error.problems)}")
            else:
                written.append(path)
                say(f"wrote {path}")
    finally:
        # Here too after a defect in one report or Ctrl-C.
        saved = any(path.suffix.lower() == ".json" for path in written)
        if keep and len(written) < len(paths) and not saved:
            _keep_elsewhere(plan)
    if problems:
        raise ScenarioError("reports", problems)


def _keep_elsewhere(plan: Plan) -> None:
    import tempfile

    from planner.report import write

    path = Path(tempfile.mkdtemp(prefix="planner-")) / "plan.json"
    write(plan, path)
    say(f"the plan itself is kept at {path}; make reports with: planner report {path} -o REPORT")
