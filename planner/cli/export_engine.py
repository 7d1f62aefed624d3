"""`planner export engine`: launch commands of the chosen configurations."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.cli.shared import catalog_option, json_option, print_json, say

if TYPE_CHECKING:
    from planner.report.engine_commands import Command

FILE = click.Path(path_type=Path)


@click.command("engine")
@click.argument("plan", type=FILE)
@click.option("-o", "--out", type=FILE, help="Folder for a script of each configuration.")
@catalog_option
@json_option
def command(*, plan: Path, out: Path | None, catalog: Path | None, as_json: bool) -> None:
    """Write launch commands for the configurations that PLAN, a plan.json, chose.

    vLLM, SGLang and TensorRT-LLM: layout, weight and KV-cache formats, most sequences and tokens
    of a step, memory. Only arguments that stand in the engine's documentation are written. Without
    --out they go to standard output.

    \b
    Example:
        planner export engine reports/chat_8b/plan.json -o launch/

    \b
    Exit status:
        0  done
        2  the command or a file is wrong
    """
    from planner.files.catalog import load_catalog
    from planner.files.output import ensure_folder, write_text
    from planner.files.plan_json import read_plan
    from planner.report.engine_commands import commands, options_yaml, script

    answer, rows = read_plan(plan), load_catalog(catalog)
    if out is not None:
        ensure_folder(out)
    found = commands(answer, rows)
    for one in found if out is not None else ():
        assert out is not None
        write_text(out / f"{one.name}.sh", script(one))
        say(f"wrote {out / one.name}.sh")
        if one.options:
            write_text(out / f"{one.name}.yaml", options_yaml(one))
            say(f"wrote {out / one.name}.yaml")
    if as_json:
        print_json([_plain(one) for one in found])
    elif out is None:
        for one in found:
            click.echo(script(one))
            if one.options:
                click.echo(f"# {one.name}.yaml\n{options_yaml(one)}")


def _plain(one: Command) -> dict[str, Any]:
    from planner.report.engine_commands import options_yaml, script

    return {**asdict(one), "script": script(one), "options_yaml": options_yaml(one)}
