"""`planner export`: a plan in the words of other tools."""

from __future__ import annotations

import click

from planner.cli.lazy import LazyEntries

ENTRIES = {"engine": "planner.cli.export_engine", "focus": "planner.cli.export_focus"}


@click.group("export", cls=LazyEntries, entries=ENTRIES)
def command() -> None:
    """Write a plan in the words of other tools.

    \b
    Example:
        planner export engine reports/chat_8b/plan.json -o launch/

    \b
    Exit status:
        0  done
        2  the command or a file is wrong
    """
