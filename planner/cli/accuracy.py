"""`planner accuracy`: the performance model against measured operating points."""

from __future__ import annotations

import json
from pathlib import Path

import click

from planner.cli.shared import catalog_option, say, show


@click.command("accuracy")
@click.argument("points", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--json",
    "as_json",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Also write every row and the summary; - writes to standard output instead of tables.",
)
@click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for plots: predicted against measured, latency-throughput curves (matplotlib).",
)
@catalog_option
def command(
    *, points: Path, as_json: Path | None, plots: Path | None, catalog: Path | None
) -> None:
    """Compare the performance model with the measured operating points of POINTS, a CSV file.

    Each row is one run of a benchmark: hardware, model, weight_precision, engine, tp, isl, osl,
    load_kind, concurrency_or_qps and what was measured: itl_or_tpot_ms, ttft_ms,
    output_tok_s_total. Rows that cannot be predicted are listed with the reason.

    \b
    Example:
        planner accuracy points.csv --json accuracy.json --plots plots/

    \b
    Exit status:
        0  done, whatever the errors are
        2  the command or the file is wrong
    """
    from planner.calibrate.accuracy import report, trusted
    from planner.calibrate.points import read_points, with_checkpoints
    from planner.calibrate.score import score
    from planner.cli.accuracy_tables import error_tables, rank_table, refused_table, sentences
    from planner.files.catalog import load_catalog
    from planner.files.output import ensure_writable, write_text

    to_stdout = as_json is not None and str(as_json) == "-"
    if as_json is not None and not to_stdout:
        ensure_writable(as_json)
    known = with_checkpoints(load_catalog(catalog))
    read, refused = read_points(points, known)
    calibration = {name: row.value for name, row in known.calibration.items()}
    outcome = score(read, known, calibration, refused)
    values = report(outcome)
    if to_stdout:
        click.echo(json.dumps(values, indent=1))
    else:
        summary = values["summary"]
        show(*error_tables(summary), rank_table(summary))
        if summary["refused_by_reason"]:
            show(refused_table(summary))
        show(*sentences(summary))
    if as_json is not None and not to_stdout:
        write_text(as_json, json.dumps(values, indent=1) + "\n")
        say(f"wrote {as_json}")
    if plots is not None:
        from planner.calibrate.plots import write_plots

        for path in write_plots(trusted(outcome.scores), plots, known, calibration):
            say(f"wrote {path}")
