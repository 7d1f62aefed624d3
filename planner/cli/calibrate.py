"""`planner calibrate`: measured points, and the coefficients that follow from them."""

from __future__ import annotations

import click

from planner.cli.lazy import LazyEntries

ENTRIES = {
    "import": "planner.cli.calibrate_import",
    "fit": "planner.cli.calibrate_fit",
}
"""Subcommand -> module whose `command` it is."""


@click.group("calibrate", cls=LazyEntries, entries=ENTRIES)
def command() -> None:
    """Bring in measured points and fit the performance model to them.

    \b
    Example:
        planner calibrate import run.json --hardware H100-SXM-80GB --engine vLLM \\
            --weight-precision fp8 --tp 4 -o points.csv
        planner calibrate fit points.csv -o my_rows/calibration/step_time.yaml

    \b
    Exit status:
        0  done
        2  the command or a file is wrong
    """
