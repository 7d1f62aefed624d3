"""`planner completion`: the line that makes a shell complete commands and options."""

from __future__ import annotations

import click

from planner.cli.shared import json_option, print_json

LINES = {
    "bash": ("~/.bashrc", 'eval "$(_PLANNER_COMPLETE=bash_source planner)"'),
    "zsh": ("~/.zshrc", 'eval "$(_PLANNER_COMPLETE=zsh_source planner)"'),
    "fish": (
        "~/.config/fish/completions/planner.fish",
        "_PLANNER_COMPLETE=fish_source planner | source",
    ),
}


@click.command("completion")
@click.argument("shell", type=click.Choice(tuple(LINES)))
@json_option
def command(shell: str, as_json: bool) -> None:
    """Print how to complete words in SHELL.

    One line to add to the settings of the shell.

    \b
    Example:
        planner completion bash >> ~/.bashrc

    \b
    Exit status:
        0  done
        2  the command is wrong
    """
    file, line = LINES[shell]
    if as_json:
        print_json({"file": file, "line": line})
    else:
        click.echo(f"# add to {file}\n{line}")
