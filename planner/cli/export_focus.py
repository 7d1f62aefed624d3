"""`planner export focus`: a plan's costs in the shape of FOCUS 1.3."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from planner.cli.shared import json_option, print_json, say, show

if TYPE_CHECKING:
    from rich.table import Table

    from planner.report.focus import Export

FILE = click.Path(path_type=Path)


@click.command("focus")
@click.argument("plan", type=FILE)
@click.option("-o", "--out", type=FILE, required=True, help="Folder for the files.")
@click.option("--parquet", is_flag=True, help="Write Parquet files beside the CSV files.")
@json_option
def command(*, plan: Path, out: Path, parquet: bool, as_json: bool) -> None:
    """Write the costs of PLAN, a plan.json, as FOCUS 1.3 datasets for FinOps tools.

    cost_and_usage.csv has a row a month, resource and charge; contract_commitment.csv a row a
    contract. Billed costs are the plan's cash, effective costs its profit and loss: machines
    bought are purchases whose use is spread over their life, marked x_IsCapitalExpenditure;
    commitments are split into used and unused. Every row is a forecast: x_IsForecast, x_PlanId.
    Both sums are checked against the plan by month and printed.

    \b
    Example:
        planner export focus reports/chat_8b/plan.json -o focus/

    \b
    Exit status:
        0  done; the sums agree with the plan
        1  a defect: a sum that differs or a cost that the export does not know; nothing is written
        2  the command or a file is wrong
    """
    from planner.files.plan_json import read_plan
    from planner.report.focus import export, write_export

    found = export(read_plan(plan))
    written = write_export(found, out, parquet=parquet)
    for path in written:
        say(f"wrote {path}")
    if as_json:
        checks = [{**asdict(one), "holds": one.holds} for one in found.reconciliations]
        rows = {
            "cost_and_usage": len(found.cost_and_usage),
            "contract_commitment": len(found.contract_commitment),
        }
        files = [str(path) for path in written]
        print_json({"rows": rows, "files": files, "reconciliations": checks})
    else:
        show(_table(found))


def _table(found: Export) -> Table:
    """Sums of the export beside the plan's."""
    from rich import box
    from rich.table import Table

    rows, contracts = len(found.cost_and_usage), len(found.contract_commitment)
    title = f"{rows:,} charges, {contracts:,} contracts; sums in USD"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("sum")
    for heading in ("exported", "plan", "worst month", "off by"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("agrees")
    for one in found.reconciliations:
        table.add_row(
            one.what, f"{one.exported_usd:,.2f}", f"{one.plan_usd:,.2f}", one.worst_month,
            f"{one.worst_usd:,.2e}", "yes" if one.holds else "NO",
        )  # fmt: skip
    return table
