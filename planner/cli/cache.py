"""`planner cache`: what is kept so that it need not be computed again."""

from __future__ import annotations

import click

from planner.cli.shared import json_option, print_json
from planner.units import MILLION


@click.group("cache")
def command() -> None:
    """Look at what is kept on this machine, or remove it.

    Compiled code, simulated rates, solved options: all is computed again when it is needed.

    \b
    Example:
        planner cache show
        planner cache clear

    \b
    Exit status:
        0  done
    """


@command.command("show")
@json_option
def show_folder(*, as_json: bool) -> None:
    """Print the folder and its size.

    \b
    Example:
        planner cache show

    \b
    Exit status:
        0  done
    """
    from planner.files.cache import size
    from planner.simulate.compiled import cache_folder

    files, held_bytes = size()
    if as_json:
        print_json({"folder": str(cache_folder()), "files": files, "bytes": held_bytes})
    else:
        click.echo(f"{cache_folder()}: {files} files, {held_bytes / MILLION:.1f} MB")


@command.command("clear")
@json_option
def clear(*, as_json: bool) -> None:
    """Remove everything that is kept.

    \b
    Example:
        planner cache clear

    \b
    Exit status:
        0  done
    """
    from planner.files import cache

    files = cache.clear()
    if as_json:
        print_json({"removed_files": files})
    else:
        click.echo(f"{files} files removed")
