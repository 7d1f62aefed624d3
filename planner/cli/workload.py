"""`planner workload`: traffic of a scenario from logs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.cli.shared import catalog_option, json_option, print_json, say
from planner.cli.trace_options import (
    clean_option,
    column_map,
    column_map_option,
    time_unit_option,
)

if TYPE_CHECKING:
    from planner.files.trace_fit import Fit


NAME_LETTERS = 60
"""Longest name of a scenario."""


@click.group("workload")
def command() -> None:
    """Describe traffic from what was logged.

    \b
    Example:
        planner workload fit requests.csv.gz -o demand.yaml

    \b
    Exit status:
        0  done
        2  the command or a file is wrong
    """


@command.command("fit")
@click.argument("trace", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--rps",
    type=click.FloatRange(min=0, min_open=True),
    help="Mean requests a second over a working day; default: the trace's.",
)
@click.option("--name", default="chat", show_default=True, help="Name of the demand class.")
@click.option("--model", default="llama-3.1-8b", show_default=True, help="Model of the catalog.")
@column_map_option
@click.option("--timezone", help="Clock of the hours, as Europe/Berlin; default: the stamps'.")
@time_unit_option
@clean_option
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File for the demand block.")
@click.option("--scenario", type=click.Path(path_type=Path), help="Write a whole scenario here.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@catalog_option
@json_option
def fit(
    *,
    trace: Path,
    rps: float | None,
    name: str,
    model: str,
    columns: str | None,
    timezone: str | None,
    time_unit: str | None,
    clean: tuple[str, ...],
    out: Path | None,
    scenario: Path | None,
    force: bool,
    catalog: Path | None,
    as_json: bool,
) -> None:
    """Fit lengths, rate, daily profile and burstiness of TRACE, as a demand block.

    TRACE has a row a request: CSV or JSON lines (also .gz), or Parquet, with prompt and answer
    tokens and, if it has them, time stamps and tokens found in the prefix cache. Columns of the
    Azure, Mooncake, BurstGPT and OpenAI-style logs are recognized. Rows count from 1 below the
    header.

    \b
    Example:
        planner workload fit requests.csv.gz --timezone Europe/Berlin -o demand.yaml
        planner workload fit log.jsonl --clean sort --clean drop-zero --scenario mine.yaml

    \b
    Exit status:
        0  done; notes say what is assumed
        2  the command or the trace is wrong; every problem is printed
    """
    from planner.files.trace_fit import demand_yaml, fit_trace
    from planner.files.traces import read_trace

    targets = [path for path in (out, scenario) if path is not None]
    _checked_targets(targets, trace, force=force)
    context = _context(model, catalog)
    read = read_trace(
        trace,
        column_map=column_map(columns),
        timezone=_known_zone(timezone),
        clean=clean,
        time_unit=time_unit,
    )
    found = fit_trace(read, name=name, model=model, max_context=context, rps=rps)
    whole = _scenario_text(found, scenario)
    for path, text in ((out, demand_yaml(found)), (scenario, whole)):
        if path is not None:
            _write(path, text)
    if as_json:
        print_json(vars(found))
    elif targets:
        for note in found.notes:
            click.echo(note)
    else:
        click.echo(demand_yaml(found), nl=False)


def _checked_targets(paths: list[Path], trace: Path, *, force: bool) -> None:
    from planner.errors import ScenarioError
    from planner.files.output import ensure_writable

    taken = {trace.resolve(): "is the trace itself"}
    for path in paths:
        if path.resolve() in taken:
            raise ScenarioError(str(path), [taken[path.resolve()]])
        taken[path.resolve()] = "is asked for twice, as --out and as --scenario"
        if path.exists() and not path.is_dir() and not force:
            raise ScenarioError(str(path), ["exists; --force overwrites it"])
        ensure_writable(path)


def _write(path: Path, text: str) -> None:
    from planner.files.output import write_text

    write_text(path, text)
    say(f"wrote {path}")


def _context(model: str, folder: Path | None) -> float:
    """Longest context of a model [tokens]."""
    from planner.errors import CatalogError
    from planner.files.catalog import load_catalog
    from planner.files.problems import meant

    models = load_catalog(folder).models
    if model not in models:
        raise CatalogError("--model", [f"no model {model!r}; {meant(model, models)}"])
    return float(models[model].max_context)


def _known_zone(name: str | None) -> str | None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        if name is not None:
            ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise click.BadParameter(f"--timezone: no zone {name!r}; as Europe/Berlin or UTC") from None
    return name


def _scenario_text(found: Fit, path: Path | None) -> str:
    """A scenario around the class that can be solved as it is; also checks the class."""
    from planner.files.scenario import parse_scenario
    from planner.files.template import template

    title = "A fleet for the traffic of a trace"
    description = "Fitted to a trace; sites, supply and promises are the template's."
    changes: dict[str, Any] = {
        "title": title,
        "description": description,
        "demand": [found.demand],
        "sources": found.sources,
    }
    text = template(_scenario_name(path), changes)
    parse_scenario(text.encode(), str(path or "demand"))
    return text


def _scenario_name(path: Path | None) -> str:
    """A name that the schema allows, made of the file's.

    Examples
    --------
    >>> _scenario_name(Path("out/My Traffic (May).v2.yaml")), _scenario_name(None)
    ('my-traffic-may-v2', 'fitted')
    """
    words = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower())[:NAME_LETTERS] if path else ""
    return words.strip("-_") or "fitted"
