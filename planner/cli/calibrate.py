"""`planner calibrate`: measured points, and the coefficients that follow from them."""

from __future__ import annotations

import click

from planner.cli.lazy import LazyEntries

ENTRIES = {
    "import": "planner.cli.calibrate_import",
    "overlay": "planner.cli.calibrate_overlay",
    "device": "planner.cli.calibrate_device",
    "fit": "planner.cli.calibrate_fit",
}
"""Subcommand -> module whose `command` it is."""


@click.group("calibrate", cls=LazyEntries, entries=ENTRIES)
def command() -> None:
    """Measure, bring in measurements, and fit the performance model to them.

    A few runs of your own are worth most as an overlay, which corrects the model where you
    measured; a fit of all coefficients wants hundreds of points of several accelerators.

    \b
    Example:
        planner calibrate import run.json --hardware H100-SXM-80GB --engine vLLM \\
            --weight-precision fp8 --tp 4 -o points.csv
        planner calibrate device -o my_rows/
        planner calibrate overlay points.csv -o my_rows/
        planner solve chat_8b --catalog my_rows/

    \b
    Exit status:
        0  done
        2  the command or a file is wrong
    """
