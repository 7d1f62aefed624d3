"""The command line: one file a command, loaded when it is called; `main` ends every command.

A command parses words, calls one library function and prints. Imports stand inside the commands,
so that help answers at once.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn

import click

from planner.errors import PlannerError, StoppedError

COMMANDS = (
    "solve",
    "check",
    "candidates",
    "verify",
    "compare",
    "report",
    "catalog",
    "accuracy",
    "calibrate",
    "export",
    "new",
    "workload",
    "schema",
    "cache",
    "completion",
)
BROKEN_PIPE = 141  # what a shell reports for any filter whose reader has gone

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class LazyGroup(click.Group):
    """A group whose commands are modules of planner.cli, read when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a reader meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"planner.cli.{cmd_name}").command
        return command if isinstance(command, click.Command) else None


def _version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(f"planner {version('inference-fleet-planner')}")
    except PackageNotFoundError:
        click.echo("planner, not installed (run from its source)")
    ctx.exit()


@click.group(cls=LazyGroup, context_settings=_SETTINGS)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Print the version and exit.",
)
def group() -> None:
    """Plan the cheapest LLM-inference fleet that keeps its latency promises.

    \b
    Example:
        planner new my_fleet
        planner check my_fleet.yaml
        planner solve my_fleet.yaml -o plan.xlsx -o plan.json

    \b
    Exit status of every command:
        0  done; a plan is within its gap
        1  a defect of the planner, with its traceback
        2  the command or a file is wrong; every problem is printed
        3  no fleet meets the scenario; the reasons are printed
        4  stopped early with a plan, which is printed and written
        5  a promise of the plan failed verification
        6  stopped before any plan was found

    With --json results go to standard output as JSON, an error too, as {"error": {...}}.
    Progress and messages go to standard error.
    """


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit status.

    Parameters
    ----------
    words : the command line without the program's name; the process's own where missing.
    """
    arguments = list(sys.argv[1:] if words is None else words)
    _complete_words()
    signal.signal(signal.SIGTERM, _like_ctrl_c)
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at exit; point it at nothing, so that it stays quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = BROKEN_PIPE
    sys.exit(status)


def _run(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    try:
        with group.make_context("planner", arguments) as context:
            group.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except click.ClickException as error:
        return _usage(error, as_json=as_json)
    except PlannerError as error:
        return _fail(error, as_json=as_json)
    except (KeyboardInterrupt, click.Abort, MemoryError) as end:
        why = "memory ran out" if isinstance(end, MemoryError) else "stopped"
        return _fail(StoppedError(f"{why} before any plan was found"), as_json=as_json)
    return 0


def _usage(error: click.ClickException, *, as_json: bool) -> int:
    if as_json:
        _print_error(type(error).__name__, error.format_message(), [], 2)
    error.show()
    return 2


def _fail(error: PlannerError, *, as_json: bool) -> int:
    if as_json:
        details = getattr(error, "problems", getattr(error, "reasons", ()))
        _print_error(type(error).__name__, str(error), list(details), error.exit_status)
    click.echo(f"Error: {error}", err=True)
    return error.exit_status


def _print_error(kind: str, message: str, problems: list[str], status: int) -> None:
    error: dict[str, Any] = {"type": kind, "message": message, "problems": problems}
    click.echo(json.dumps({"error": {**error, "exit_status": status}}, indent=2))


def _like_ctrl_c(number: int, frame: FrameType | None) -> None:
    """SIGTERM goes where Ctrl-C goes, so that a solver keeps its best plan in both cases."""
    signal.raise_signal(signal.SIGINT)


def _complete_words() -> None:
    """Answer a shell that asks for completions, see `planner completion`."""
    instruction = os.environ.get("_PLANNER_COMPLETE")
    if instruction:
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(group, {}, "planner", "_PLANNER_COMPLETE", instruction))


__all__ = ["COMMANDS", "group", "main"]
