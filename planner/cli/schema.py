"""`planner schema`: the formats as JSON Schema, for editors that complete and check."""

from __future__ import annotations

import click

from planner.cli.shared import json_option, print_json

KINDS = ("scenario", "plan", "catalog")


@click.command("schema")
@click.argument("kind", type=click.Choice(KINDS), default="scenario")
@json_option
def command(kind: str, as_json: bool) -> None:
    """Print the JSON Schema of a format.

    KIND is scenario (the default), plan or catalog. The output is JSON with and without --json.

    \b
    Example:
        planner schema scenario > scenario.schema.json

    \b
    Exit status:
        0  done
        2  the command is wrong
    """
    from pydantic import BaseModel

    from planner.result import Plan
    from planner.schema.catalog import Catalog
    from planner.schema.scenario import Scenario

    models: dict[str, type[BaseModel]]
    models = {"scenario": Scenario, "plan": Plan, "catalog": Catalog}
    model = models[kind]
    draft = "https://json-schema.org/draft/2020-12/schema"
    print_json({"$schema": draft, **model.model_json_schema()})
