"""`planner new`: a scenario to start from, as commented YAML or as a workbook to fill in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from planner.cli.shared import json_option, print_json
from planner.errors import ScenarioError

FORMATS = (".yaml", ".yml", ".xlsx")


@click.command("new")
@click.argument("name", required=False)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File; default NAME.yaml.")
@click.option("--excel", is_flag=True, help="Write a workbook (.xlsx) with drop-down lists.")
@click.option("--from", "source", metavar="SCENARIO", help="Take the values of this scenario.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@json_option
def command(
    *,
    name: str | None,
    out: Path | None,
    excel: bool,
    source: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write a scenario to start from.

    It is called NAME (default my_fleet) and can be checked and solved as it is. The file's ending
    says whether it is YAML or Excel. With --from it has the values of another scenario, a file of
    either format or a packaged one: the way from YAML to Excel and back, with nothing lost.

    \b
    Example:
        planner new my_fleet -o scenarios/my_fleet.yaml
        planner new my_fleet --excel
        planner new --from scenario.yaml -o scenario.xlsx
        planner new --from scenario.xlsx -o scenario.yaml

    \b
    Exit status:
        0  written
        2  the name or --from cannot be used, or the file exists and --force is missing
    """
    from planner.files.output import safe_name

    values = _values(name, source)
    path = out or Path(f"{safe_name(values['name'])}{'.xlsx' if excel else '.yaml'}")
    _check_path(path, excel=excel, force=force)
    _write(path, values, from_template=source is None)
    if as_json:
        print_json({"wrote": str(path)})
    else:
        click.echo(f"wrote {path}; next: planner check {path}")


def _values(name: str | None, source: str | None) -> dict[str, Any]:
    """What the scenario will say; the format decides what a scenario may be called."""
    from planner.files.scenario import load_scenario, parse_scenario, written
    from planner.files.template import EXAMPLE
    from planner.files.write_yaml import block

    values = written(load_scenario(source)) if source else EXAMPLE
    if name is not None:
        values = {**values, "name": name}
    parse_scenario(block(values).encode(), repr(values["name"]))
    return values


def _check_path(path: Path, *, excel: bool, force: bool) -> None:
    """Refuse, before anything is written, a file of another format or one that is in the way."""
    known = FORMATS[-1:] if excel else FORMATS
    if path.suffix.lower() not in known:
        raise ScenarioError(str(path), [f"expected a name that ends in {' or '.join(known)}"])
    if path.exists() and not force:
        raise ScenarioError(str(path), ["exists; --force overwrites it"])


def _write(path: Path, values: dict[str, Any], *, from_template: bool) -> None:
    from planner.files.output import write_text
    from planner.files.template import template
    from planner.files.write_yaml import block

    if path.suffix.lower() == ".xlsx":
        from planner.files.catalog import load_catalog
        from planner.files.excel_write import write_workbook

        write_workbook(path, values, load_catalog())
    elif from_template:
        write_text(path, template(values["name"]))
    else:
        write_text(path, block(values))
