"""`planner calibrate import`: results of benchmark tools as measured points."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from planner.cli.shared import json_option, print_json, say

FILE = click.Path(path_type=Path)
COUNT = click.IntRange(min=1)
ENGINES = click.Choice(["vLLM", "SGLang", "TensorRT-LLM"], case_sensitive=False)
WEIGHTS = click.Choice(["bf16", "fp16", "fp8", "int8", "int4", "nvfp4", "mxfp4"])
CACHES = click.Choice(["bf16", "fp16", "fp8", "int8"])
DAY = click.DateTime(["%Y-%m-%d"])
RATE = click.FloatRange(min=0, min_open=True)


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("-o", "--out", type=FILE, help="Points table (.csv) to write.")
@click.option("--append", is_flag=True, help="Keep the rows that --out already has.")
@click.option("--hardware", help="Accelerator, such as H100-SXM-80GB.")
@click.option("--engine", type=ENGINES, help="Serving engine.")
@click.option("--engine-version", help="Version of the engine.")
@click.option("--model", help="Model, where the file names none or a path.")
@click.option("--model-family", help="Name under which models of one architecture are compared.")
@click.option("--weight-precision", type=WEIGHTS, help="Stored weights.")
@click.option("--kv-precision", type=CACHES, help="Stored KV cache.")
@click.option("--tp", type=COUNT, help="Tensor-parallel degree, of one attention group with --dp.")
@click.option("--pp", type=COUNT, help="Pipeline-parallel degree; 1 if not given.")
@click.option("--dp", type=COUNT, help="Data-parallel degree; 1 if not given.")
@click.option("--ep", type=COUNT, help="Expert-parallel degree.")
@click.option("--n-gpus", type=COUNT, help="Accelerators; tp x pp x dp if not given.")
@click.option("--concurrency", type=COUNT, help="Requests in flight, where the file is silent.")
@click.option("--request-rate", type=RATE, help="Requests a second, where the file is silent.")
@click.option("--measured-date", type=DAY, help="Day of the runs, as 2026-11-02.")
@click.option("--source", help="Name of the campaign; the tool's if not given.")
@json_option
def command(
    *,
    files: tuple[Path, ...],
    out: Path | None,
    append: bool,
    concurrency: int | None,
    request_rate: float | None,
    as_json: bool,
    **columns: Any,
) -> None:
    """Read benchmark results in FILES as measured points.

    \b
    Formats, told by the content:
        vllm bench serve --save-result      JSON, or one object a line
        SGLang bench_serving                one JSON object a line
        GuideLLM                            JSON or YAML report, versions 1 and 2
        AIPerf and GenAI-Perf               profile_export_*.json or .csv

    A file states its traffic and latencies. What it does not state comes from the options. A file
    that cannot be read is named with what was found; the others are imported all the same. Without
    --out the table goes to standard output. With --json a refused file prints its error instead:
    give --out to keep the points of the others.

    \b
    Example:
        planner calibrate import runs/*.json --hardware H100-SXM-80GB --engine vLLM \\
            --weight-precision fp8 --tp 4 -o points.csv

    \b
    Exit status:
        0  every file was imported
        2  the command or a file is wrong; the other files are imported
    """
    from planner.calibrate.result_files import Options, from_csv, import_files, to_csv
    from planner.errors import ScenarioError
    from planner.files.output import ensure_writable, write_text

    if append and out is None:
        raise click.UsageError("--append needs --out")
    if out is not None:
        ensure_writable(out)
    earlier = from_csv(out) if append and out is not None and out.exists() else []
    options = Options(_given(columns), _load(concurrency, request_rate))
    found = import_files(files, options)
    have = {row["id"] for row in earlier}
    points = [*earlier, *(row for row in found.points if row["id"] not in have)]
    if out is not None and found.points:
        write_text(out, to_csv(points))
        say(f"wrote {out}: {len(points)} points, {len(points) - len(earlier)} of them new")
    if found.problems:
        if out is None and found.points and not as_json:
            click.echo(to_csv(points), nl=False)
        raise ScenarioError("import", found.problems)
    if as_json:
        print_json({"points": found.points})
    elif out is None:
        click.echo(to_csv(points), nl=False)


def _given(columns: dict[str, Any]) -> dict[str, str | int]:
    """Options that were given, by column of the table; a day as text."""
    day = columns.pop("measured_date")
    if day is not None:
        columns["measured_date"] = day.date().isoformat()
    return {name: value for name, value in columns.items() if value is not None}


def _load(concurrency: int | None, request_rate: float | None) -> Any:
    from planner.calibrate.reading import Load

    if concurrency is not None and request_rate is not None:
        raise click.UsageError("give --concurrency or --request-rate, not both")
    if request_rate is not None:
        if math.isnan(request_rate):
            raise click.BadParameter("--request-rate: expected a number, or inf")
        kind = "inf" if math.isinf(request_rate) else "poisson_qps"
        return Load(kind, request_rate)
    return None if concurrency is None else Load("closed_loop", float(concurrency))
