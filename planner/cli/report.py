"""`planner report`: rebuild reports of a plan without solving; re-cost the same fleet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from planner.cli.shared import (
    REPORT_HELP,
    checked_outputs,
    json_option,
    print_json,
    show,
    write_reports,
)

if TYPE_CHECKING:
    from planner.result import Plan

FILE = click.Path(path_type=Path)


@click.command("report")
@click.argument("plan", type=FILE)
@click.option("-o", "--out", "outputs", type=FILE, multiple=True, help=REPORT_HELP)
@click.option("--set", "changes", multiple=True, help="PATH=NUMBER: another price or rate.")
@json_option
def command(plan: Path, outputs: tuple[Path, ...], changes: tuple[str, ...], as_json: bool) -> None:
    """Rebuild reports from PLAN, a plan.json.

    .xlsx is the workbook, .html one page to read, hover and print, .csv and .parquet the monthly
    ledger as one long table, .json the plan itself. Give -o as often as needed.

    --set costs the same fleet with other figures: nothing is solved again.

    \b
    Example:
        planner report reports/enterprise_405b/plan.json -o plan.html -o ledger.csv
        planner report reports/enterprise_405b/plan.json --set finance.discount_rate=0.1 -o b.xlsx

    \b
    Exit status:
        0  done
        2  the command or a file is wrong
    """
    from planner.files.plan_json import read_plan

    answer = read_plan(plan)
    values = new_values(changes, answer)
    paths = checked_outputs(outputs)
    if values and plan.resolve() in (path.resolve() for path in paths):
        raise click.BadParameter(f"-o {plan}: --set would replace the plan it reads; name another")
    from planner import report  # after the checks: it brings pandas and openpyxl

    if values:
        answer = report.recost(answer, values)
    write_reports(answer, paths)
    if as_json:
        print_json(report.metrics(answer))
    elif not paths:
        from planner.report.console import summary

        show(summary(answer))


def new_values(changes: tuple[str, ...], plan: Plan) -> dict[str, float]:
    """Read PATH=NUMBER words; refuse paths that the plan's cash rows do not use.

    Raises
    ------
    click.BadParameter naming the nearest path that can be set.
    """
    from planner.files.problems import meant

    known = {row.scenario_path for row in plan.ledger_inputs if row.scenario_path}
    known |= {row.name for row in plan.ledger_inputs}
    values = {}
    for change in changes:
        path, sign, text = change.partition("=")
        if not sign:
            raise click.BadParameter(f"--set {change!r}: write PATH=NUMBER")
        if path not in known:
            raise click.BadParameter(f"--set: no figure {path!r}; {meant(path, known)}")
        values[path] = _number(change, text)
    return values


def _number(change: str, text: str) -> float:
    from math import isfinite

    try:
        value = float(text)
    except ValueError:
        raise click.BadParameter(f"--set {change!r}: {text!r} is no number") from None
    if not isfinite(value):
        raise click.BadParameter(f"--set {change!r}: expected a finite number")
    return value
