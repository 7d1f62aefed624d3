"""`planner verify`: simulate every promise of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from planner.cli.progress import progress_line
from planner.cli.shared import (
    catalog_option,
    checked_outputs,
    json_option,
    say,
    show,
    write_reports,
)

if TYPE_CHECKING:
    from planner.cli.progress import Progress
    from planner.result import Plan
    from planner.schema.catalog import Catalog

OUTPUT = click.Path(path_type=Path)
SECONDS = click.FloatRange(min=1)


@click.command("verify")
@click.argument("plan")
@click.option("-o", "--out", "outputs", type=OUTPUT, multiple=True, help="Plan, .xlsx or .json.")
@click.option("--repair", is_flag=True, help="Lower the rates of what broke and solve again.")
@click.option(
    "--rounds", type=click.IntRange(1, 20), default=4, show_default=True, help="Most repairs."
)
@click.option("--refine", is_flag=True, help="Solve a scenario on simulated rates.")
@click.option("--all", "every", is_flag=True, help="List every load, not one row for each block.")
@click.option(
    "--interruptions",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Times a day that a node is taken away, as spot machines are; adds such an hour.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all random numbers.")
@click.option("--time-limit-s", type=SECONDS, default=120.0, show_default=True, help="Solver time.")
@catalog_option
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@json_option
def command(
    *,
    plan: str,
    outputs: tuple[Path, ...],
    repair: bool,
    rounds: int,
    refine: bool,
    every: bool,
    interruptions: float,
    seed: int,
    time_limit_s: float,
    catalog: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Simulate every promise of PLAN, a plan.json, or of a scenario, which is solved first.

    Every pool, period and block is simulated iteration by iteration, or named beside a load at
    least as hard that was; again with as many nodes out as the availability target plans for,
    which counts, and with one more, which is only reported, as are hours in which a node fails.
    -o writes the plan with these results; nothing is written without it. --repair plans on
    simulated rates, lowers those that still break, and says what keeping the promises costs.

    \b
    Example:
        planner verify reports/enterprise_405b/plan.json -o verified.json -o verified.xlsx
        planner verify reports/enterprise_405b/plan.json --repair -o repaired.json

    \b
    Exit status:
        0  every promise holds, with --repair after it
        2  the command or a file is wrong
        3  no fleet meets the scenario; the reasons are printed
        5  a promise breaks; the reasons are printed
        6  stopped before any plan was found
    """
    import planner
    from planner.files.catalog import load_catalog
    from planner.report.words import promise_text

    rows = load_catalog(catalog)
    paths = checked_outputs(outputs)
    with progress_line(quiet=quiet) as progress:
        answer = _plan(plan, rows, time_limit_s, refine, progress)
        found = planner.verify(
            answer,
            catalog=rows,
            seed=seed,
            taken_per_node_day=interruptions,
            progress=progress,
        )
        if repair and not found.kept:
            answer = planner.repair(
                answer,
                found=found,
                catalog=rows,
                rounds=rounds,
                time_limit_s=time_limit_s,
                seed=seed,
                progress=progress,
            )
            found = answer.verification or found
    write_reports(answer.model_copy(update={"verification": found}), paths)
    if as_json:
        click.echo(found.model_dump_json(indent=2))
    else:
        from planner.report.console_verification import verdicts

        show(verdicts(found, every=every))
    if not found.kept:
        say(promise_text(found))
        raise SystemExit(5)


def _plan(
    name: str, rows: Catalog, time_limit_s: float, refine: bool, progress: Progress | None
) -> Plan:
    """A plan file, or the plan of a scenario."""
    import planner
    from planner.files.plan_json import is_plan, read_plan

    if is_plan(Path(name)):
        return read_plan(Path(name))
    question = planner.load(name, catalog=rows)
    return planner.solve(
        question, catalog=rows, time_limit_s=time_limit_s, refine=refine, progress=progress
    )
