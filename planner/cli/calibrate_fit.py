"""`planner calibrate fit`: fit the coefficients to measured operating points."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import click

from planner.cli.progress import progress_bar
from planner.cli.shared import catalog_option, json_option, print_json, say, show


@click.command("fit")
@click.argument("points", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Calibration file to write; nothing is written without it.",
)
@click.option("--source", help="What the points are, for the rows; the file's name if missing.")
@click.option(
    "--folds",
    type=click.IntRange(min=2, max=50),
    default=6,
    show_default=True,
    help="Folds of the cross-validation by accelerator and model.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Markdown page whose tables of cross-validated errors are replaced.",
)
@catalog_option
@json_option
def command(
    *,
    points: Path,
    output: Path | None,
    source: str | None,
    folds: int,
    report: Path | None,
    catalog: Path | None,
    as_json: bool,
) -> None:
    """Fit the coefficients of the performance model to the operating points of POINTS.

    Robust regression on log errors with priors from kernel tables, cross-validated by
    accelerator and model; the bands of predictions come from the held-out errors. Takes minutes.
    The file has every row: as an overlay it goes to FOLDER/calibration/ of --catalog FOLDER.

    \b
    Example:
        planner calibrate fit points.csv -o my_rows/calibration/step_time.yaml

    \b
    Exit status:
        0  done
        2  the command or the file is wrong, or no row can be fitted
    """
    from planner.calibrate.accuracy import coverage, errors_by, ranks, trusted
    from planner.calibrate.document import tables, with_tables
    from planner.calibrate.recalibrate import recalibrate
    from planner.cli.accuracy_tables import error_tables, rank_table
    from planner.files.catalog import load_catalog
    from planner.files.output import ensure_writable, write_text

    for path in (output, report):
        if path is not None:
            ensure_writable(path)
    with progress_bar(quiet=False) as progress:
        found = recalibrate(
            points,
            load_catalog(catalog),
            source=source or points.name,
            folds=folds,
            today=date.today(),
            progress=progress,
        )
    held_out = trusted(found.held_out.scores)
    summary: dict[str, Any] = {
        "parameters": found.moved,
        "coverage": coverage(found.held_out.points, found.held_out.refused),
        "errors": errors_by(held_out),
        "ranks": ranks(held_out),
    }
    if as_json:
        print_json(summary)
    else:
        show("Cross-validated: every row by a fit without its accelerator and model")
        show(*error_tables(summary), rank_table(summary))
        for name, (old, new) in found.moved.items():
            show(f"{name}: {old:.4g} -> {new:.4g}")
    if output is not None:
        write_text(output, found.text)
        say(f"wrote {output}")
    if report is not None:
        page = report.read_text(encoding="utf-8") if report.exists() else ""
        write_text(report, with_tables(page, tables(found.held_out.scores, found.moved)))
        say(f"wrote {report}")
