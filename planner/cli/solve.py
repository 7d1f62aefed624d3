"""`planner solve`: choose the fleet for one scenario."""

from __future__ import annotations

from pathlib import Path

import click

from planner.cli.progress import progress_bar
from planner.cli.shared import (
    REPORT_HELP,
    cache_option,
    catalog_option,
    checked_outputs,
    json_option,
    refine_option,
    say,
    show,
    write_reports,
)

OUTPUT = click.Path(path_type=Path)
GAP = click.FloatRange(0, 1)
SECONDS = click.FloatRange(min=1)


@click.command("solve")
@click.argument("scenario")
@click.option("-o", "--out", "outputs", type=OUTPUT, multiple=True, help=REPORT_HELP)
@click.option("--gap", type=GAP, default=0.001, show_default=True, help="Stop this near optimal.")
@click.option(
    "--time-limit-s", type=SECONDS, default=300.0, show_default=True, help="Time to the plan."
)
@refine_option
@cache_option
@click.option(
    "--options/--no-options",
    default=True,
    show_default=True,
    help="Compare with all on demand, all reserved, all owned, API only.",
)
@catalog_option
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@json_option
def command(
    *,
    scenario: str,
    outputs: tuple[Path, ...],
    gap: float,
    time_limit_s: float,
    refine: bool,
    options: bool,
    catalog: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Choose the cheapest fleet for SCENARIO.

    SCENARIO is a file or the name of a packaged scenario.
    The plan is compared with what serves the same demand in one way only; a second process
    solves these options meanwhile. Rates that the plan uses are simulated, and no candidate that is
    not simulated could make it cheaper by more than the gap. The user's cache keeps both (planner
    cache).
    Without -o it writes plan.json, plan.xlsx and plan.html into reports/NAME. Outputs are tried
    before solving.

    \b
    Example:
        planner solve enterprise_405b -o plan.xlsx -o plan.json

    \b
    Exit status:
        0  a plan within --gap of the optimum
        2  the command or a file is wrong
        3  no fleet meets the scenario; the reasons are printed
        4  stopped early; the best plan so far is printed and written
        6  stopped before any plan was found
    """
    import planner
    from planner.files.catalog import load_catalog

    rows = load_catalog(catalog)
    question = planner.load(scenario, catalog=rows)
    paths = checked_outputs(outputs or default_outputs(question.name))
    with progress_bar(quiet=quiet) as progress:
        plan = planner.solve(
            question,
            catalog=rows,
            gap=gap,
            time_limit_s=time_limit_s,
            refine=refine,
            options=options,
            progress=progress,
        )
    write_reports(plan, paths, keep=True)
    if as_json:
        click.echo(plan.model_dump_json(indent=2))
    else:
        from planner.report.console import summary

        show(summary(plan))
    if plan.status != "optimal":
        say(f"stopped early: gap {plan.gap_frac:.2%}, asked {plan.gap_asked_frac:.2%}")
        raise SystemExit(4)


def default_outputs(name: str) -> tuple[Path, ...]:
    """Where reports go without -o."""
    folder = Path("reports") / name
    return folder / "plan.json", folder / "plan.xlsx", folder / "plan.html"
