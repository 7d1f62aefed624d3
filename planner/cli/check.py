"""`planner check`: everything that is wrong or worth knowing before planning."""

from __future__ import annotations

from pathlib import Path

import click

from planner.cli.shared import catalog_option, json_option, print_json


@click.command("check")
@click.argument("scenario")
@catalog_option
@json_option
def command(scenario: str, catalog: Path | None, as_json: bool) -> None:
    """Validate SCENARIO without planning.

    Says what is assumed, how old figures are and what the scenario leaves at its default.

    \b
    Example:
        planner check my_fleet.yaml

    \b
    Exit status:
        0  it can be planned; notes may be printed
        2  the command or a file is wrong; every problem is printed
    """
    import planner
    from planner.files.catalog import load_catalog
    from planner.files.scenario import left_at_default

    rows = load_catalog(catalog)
    question = planner.load(scenario, catalog=rows)
    messages = [str(message) for message in planner.check(question, rows)]
    defaults = left_at_default(question)
    if as_json:
        print_json({"scenario": question.name, "notes": messages, "defaults": defaults})
        return
    click.echo(f"{question.name}: can be planned, {len(messages)} notes")
    for message in messages:
        click.echo(f"  {message}")
    click.echo(f"\nleft at default, {len(defaults)} fields:")
    for path, value in defaults.items():
        click.echo(f"  {path}: {value}")
