"""`planner new`: a scenario to start from, with the meaning of every key beside it."""

from __future__ import annotations

from pathlib import Path

import click

from planner.cli.shared import json_option, print_json
from planner.errors import ScenarioError


@click.command("new")
@click.argument("name", default="my_fleet")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File; default NAME.yaml.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@json_option
def command(name: str, out: Path | None, force: bool, as_json: bool) -> None:
    """Write a commented scenario to start from.

    It is called NAME and can be checked and solved as it is.

    \b
    Example:
        planner new my_fleet -o scenarios/my_fleet.yaml

    \b
    Exit status:
        0  written
        2  the name cannot be used, or the file exists and --force is missing
    """
    from planner.files.output import safe_name, write_text
    from planner.files.scenario import parse_scenario
    from planner.files.template import template

    path = out or Path(f"{safe_name(name)}.yaml")
    text = template(name)
    parse_scenario(text.encode(), repr(name))  # the format decides what a scenario may be called
    if path.exists() and not force:
        raise ScenarioError(str(path), ["exists; --force overwrites it"])
    write_text(path, text)
    if as_json:
        print_json({"wrote": str(path)})
    else:
        click.echo(f"wrote {path}; next: planner check {path}")
