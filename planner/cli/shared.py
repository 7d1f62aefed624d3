"""Options and printing that several commands share."""

from __future__ import annotations

import json
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
FORMATS = (".json", ".xlsx")
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
    from planner.files.output import ensure_writable

    for path in paths:
        if path.suffix.lower() not in FORMATS:
            known = " or ".join(FORMATS)
            raise ScenarioError(str(path), [f"expected a name that ends in {known}"])
    for path in paths:
        ensure_writable(path)
    return sorted(dict.fromkeys(paths), key=lambda path: FORMATS.index(path.suffix.lower()))


def write_reports(plan: Plan, paths: Sequence[Path]) -> None:
    """Write every report and say where."""
    from planner.report import write

    for path in paths:
        write(plan, path)
        say(f"wrote {path}")
