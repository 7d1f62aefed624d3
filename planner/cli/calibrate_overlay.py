"""`planner calibrate overlay`: measurements of one's own as corrections of the model."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.cli.shared import catalog_option, json_option, print_json, say, show

if TYPE_CHECKING:
    from rich.table import Table

    from planner.calibrate.overlay import Found, Overlay


@click.command("overlay")
@click.argument("points", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for corrections.yaml, to be given as --catalog; nothing is written without it.",
)
@click.option("--source", help="What was measured, for the rows; the file's name if missing.")
@catalog_option
@json_option
def command(
    *,
    points: Path,
    output: Path | None,
    source: str | None,
    catalog: Path | None,
    as_json: bool,
) -> None:
    """Correct the model by your own measurements in POINTS, a table of `calibrate import`.

    Each accelerator with a model and an engine gets one factor on its step time: the median of
    measured over predicted, drawn towards 1 where few or scattered points speak for it, and the
    error band that remains. Candidates of the group are then labelled measured and planned so.
    Rows of other groups that the folder has already are kept.

    \b
    Example:
        planner calibrate overlay points.csv -o my_rows/
        planner solve chat_8b --catalog my_rows/

    \b
    Exit status:
        0  done
        2  the command or the file is wrong, or no row tells the step time
    """
    from planner.calibrate.overlay import FILE, overlay_of, text_of
    from planner.files.catalog import load_catalog
    from planner.files.output import ensure_folder, write_text

    earlier = {}
    if output is not None:
        ensure_folder(output)
        earlier = load_catalog(output).corrections
    words = source or f"own measurements, {points.name}"
    found = overlay_of(points, load_catalog(catalog), source=words, today=date.today())
    if as_json:
        print_json(_values(found))
    else:
        show(_table(found.found))
        for one in found.refused:
            say(f"not used, {one.id}: {one.reason}")
    if output is not None and found.rows:
        write_text(output / FILE, text_of(earlier | found.rows))
        groups = "1 group" if len(found.rows) == 1 else f"{len(found.rows)} groups"
        say(f"wrote {output / FILE}: {groups}; plan with --catalog {output}")


def _values(found: Overlay) -> dict[str, Any]:
    return {
        "corrections": [
            {**one.row.model_dump(mode="json"), "median_ratio": one.median_ratio,
             "scatter_log": one.scatter}
            for one in found.found
        ],
        "refused": [{"id": one.id, "reason": one.reason} for one in found.refused],
    }  # fmt: skip


def _table(found: tuple[Found, ...]) -> Table:
    from rich.table import Table

    table = Table(title="Step time, own measurements over the model", title_justify="left")
    for name in ("accelerator", "model", "engine"):
        table.add_column(name, overflow="fold")
    for name in ("points", "median", "taken", "80 % of measurements"):
        table.add_column(name, justify="right")
    for one in found:
        row = one.row
        table.add_row(
            row.accelerator, row.model, row.engine, f"{row.points:,}", f"{one.median_ratio:.3f}",
            f"{row.time_ratio:.3f}", f"{row.band_low_frac:.2f} to {row.band_high_frac:.2f}",
        )  # fmt: skip
    return table
