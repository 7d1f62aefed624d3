"""`planner calibrate device`: rates of one's own GPU as calibration rows."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from planner.cli.progress import progress_bar
from planner.cli.shared import catalog_option, json_option, print_json, say, show


@click.command("device")
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for calibration/device_*.yaml, to be given as --catalog; else nothing is written.",
)
@click.option("--accelerator", help="Catalog name; else by what the driver calls the device.")
@click.option("--repeats", type=click.IntRange(3, 1000), default=30, show_default=True,
              help="Timings of each piece of work; the median counts.")  # fmt: skip
@catalog_option
@json_option
def command(
    *,
    output: Path | None,
    accelerator: str | None,
    repeats: int,
    catalog: Path | None,
    as_json: bool,
) -> None:
    """Measure this machine's GPU: matrices, memory, decode attention, launches.

    Takes about a minute and needs torch with a CUDA or ROCm GPU that nothing else uses: pip
    install 'inference-fleet-planner[device]'. The rows written hold for the accelerator's
    generation; costs of an engine are not measured by kernels: calibrate overlay corrects those.

    \b
    Example:
        planner calibrate device -o my_rows/
        planner solve chat_8b --catalog my_rows/

    \b
    Exit status:
        0  done
        2  no torch, no GPU, or the device is not the accelerator that was named
    """
    from planner.calibrate.device import HEAD, accelerator_of, reduced, rows_of, timed
    from planner.calibrate.device_torch import torch_device
    from planner.calibrate.rows import text_of
    from planner.files.catalog import load_catalog
    from planner.files.output import ensure_folder, write_text

    known = load_catalog(catalog)
    device = torch_device()
    if output is not None:
        ensure_folder(output / "calibration")
    name = accelerator_of(device, accelerator, known)
    say(f"{device.name}: measured as {name}, {device.software}")
    with progress_bar(quiet=False) as progress:
        times = timed(device, repeats=repeats, progress=progress)
    values = {row: known.calibration[row].value for row in known.calibration}
    found = reduced(times, known.accelerators[name], values)
    rows = rows_of(found, name, known, software=device.software, today=date.today())
    if as_json:
        print_json({"accelerator": name, "rows": rows})
    else:
        for row, figures in rows.items():
            show(f"{row}: {figures['value']:g} {figures['unit']}")
    if output is not None:
        path = output / "calibration" / f"device_{known.accelerators[name].generation}.yaml"
        write_text(path, text_of(rows, HEAD))
        say(f"wrote {path}; plan with --catalog {output}")
