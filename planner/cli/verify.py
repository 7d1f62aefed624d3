"""`planner verify`: simulate every promise of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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
from planner.cli.trace_options import (
    clean_option,
    column_map,
    column_map_option,
    time_unit_option,
)

if TYPE_CHECKING:
    from planner.files.traces import Trace
    from planner.progress import Tell
    from planner.result import Plan
    from planner.schema.catalog import Catalog
    from planner.verification.replays import Ask

OUTPUT = click.Path(path_type=Path)
TRACE = click.Path(exists=True, dir_okay=False, path_type=Path)
SECONDS = click.FloatRange(min=1)
ROUNDS = 4


@click.command("verify")
@click.argument("plan")
@click.option("-o", "--out", "outputs", type=OUTPUT, multiple=True, help=REPORT_HELP)
@click.option("--trace", type=TRACE, help="A trace of requests to replay as well.")
@click.option("--class", "demand_class", default="", help="The trace's class, if there are more.")
@click.option(
    "--rate",
    type=click.Choice(["plan", "trace"]),
    help="Scale the trace's time to the planned rate, or replay it as recorded; default: plan.",
)
@column_map_option
@time_unit_option
@clean_option
@click.option(
    "--repair", is_flag=True, help="Plan again with lower rates of what broke, or larger pools."
)
@click.option("--rounds", type=click.IntRange(1, 20), help="Most repairs; default: 4.")
@refine_option
@cache_option
@click.option("--all", "every", is_flag=True, help="List every load, not one row for each block.")
@click.option(
    "--interruptions",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Times a day that a node is taken away, as spot machines are; adds such an hour.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all random numbers.")
@click.option("--time-limit-s", type=SECONDS, default=120.0, show_default=True, help="Solver time.")
@catalog_option
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@json_option
def command(
    *,
    plan: str,
    outputs: tuple[Path, ...],
    trace: Path | None,
    demand_class: str,
    rate: Literal["plan", "trace"] | None,
    columns: str | None,
    time_unit: str | None,
    clean: tuple[str, ...],
    repair: bool,
    rounds: int | None,
    refine: bool,
    every: bool,
    interruptions: float,
    seed: int,
    time_limit_s: float,
    catalog: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Simulate every promise of PLAN, a plan.json, or of a scenario, which is solved first.

    Every pool, period and block is simulated iteration by iteration, or named beside a load at
    least as hard that was; again with as many nodes out as the availability target plans for,
    which counts, and with one more, which is only reported, as are hours in which a node fails.
    Traffic of a pool lost whole goes to the class's other pools; in such hours all of them share
    it. Static batches are not simulated:
    they are listed as unverified, which is no pass. -o writes the plan with these results; nothing
    is written without it. --repair plans on simulated rates, lowers those that still break, and
    says what keeping the promises costs.

    --trace replays a log with time stamps, prompt and answer tokens and, where it has them, prefix
    hits, in the formats of `planner workload fit`, against each pool of its class at its busiest.
    --repair mends what it breaks at the planned rate, with more replicas where requests come at
    once; where it asks for more than was planned, the reason says by how much.

    \b
    Example:
        planner verify reports/enterprise_405b/plan.json -o verified.json -o verified.xlsx
        planner verify reports/enterprise_405b/plan.json --repair -o repaired.json
        planner verify reports/chat_8b/plan.json --trace requests.csv.gz --rate trace

    \b
    Exit status:
        0  every promise holds, with --repair after it; or nothing is to be simulated, as where
           all traffic goes to APIs
        2  the command or a file is wrong
        3  no fleet meets the scenario; the reasons are printed
        5  a promise breaks or could not be tried; the reasons are printed
        6  stopped before any plan was found, or before every promise was tried
    """
    from planner.files.catalog import load_catalog

    rows = load_catalog(catalog)
    paths = checked_outputs(outputs)
    if trace is None and (demand_class or rate or columns or time_unit or clean):
        raise click.UsageError(
            "--class, --rate, --column-map, --time-unit and --clean belong to --trace"
        )
    if rounds and not repair:
        raise click.UsageError("--rounds belongs to --repair")
    read = _trace(trace, column_map(columns), time_unit, clean)
    how = _How(rows, seed, interruptions, _asks(read, demand_class, rate or "plan"))
    with progress_bar(quiet=quiet) as progress:
        answer = _plan(plan, how, time_limit_s, refine, progress)
        answer = _verified(answer, how, progress)
        if repair:
            answer = _repaired(answer, how, rounds or ROUNDS, time_limit_s, progress)
    write_reports(answer, paths)
    _say_verdict(answer, every=every, as_json=as_json)


@dataclass(frozen=True)
class _How:
    """How a plan is verified, each time alike."""

    catalog: Catalog
    seed: int
    interruptions: float
    replay: list[Ask]


def _verified(plan: Plan, how: _How, progress: Tell | None) -> Plan:
    """The plan with what simulation says of it."""
    import planner
    from planner.errors import StoppedError

    try:
        found = planner.verify(
            plan,
            catalog=how.catalog,
            seed=how.seed,
            taken_per_node_day=how.interruptions,
            replay=how.replay,
            progress=progress,
        )
    except KeyboardInterrupt:
        raise StoppedError("stopped before every promise was tried; nothing written") from None
    return plan.model_copy(update={"verification": found})


def _repaired(
    plan: Plan, how: _How, rounds: int, time_limit_s: float, progress: Tell | None
) -> Plan:
    """A plan that keeps its promises, or the last that was tried."""
    import planner

    if plan.verification is None or plan.verification.kept:
        return plan
    return planner.repair(
        plan,
        found=plan.verification,
        catalog=how.catalog,
        rounds=rounds,
        time_limit_s=time_limit_s,
        seed=how.seed,
        taken_per_node_day=how.interruptions,
        replay=how.replay,
        progress=progress,
    )


def _say_verdict(plan: Plan, *, every: bool, as_json: bool) -> None:
    """Print what was found; exit 5 where a promise breaks or was not tried."""
    from planner.report.words import promise_text

    found = plan.verification
    assert found is not None
    if as_json:
        click.echo(found.model_dump_json(indent=2))
    else:
        from planner.report.console_verification import verdicts

        show(verdicts(found, every=every))
    if not found.kept:
        say(promise_text(found))
        raise SystemExit(5)


def _trace(
    path: Path | None, columns: dict[str, str], time_unit: str | None, clean: tuple[str, ...]
) -> list[Trace]:
    """The trace, where one is given; read before anything is solved."""
    if path is None:
        return []
    from planner.files.traces import read_trace

    return [read_trace(path, column_map=columns, clean=clean, time_unit=time_unit)]


def _asks(traces: list[Trace], demand_class: str, rate: Literal["plan", "trace"]) -> list[Ask]:
    from planner.verification.replays import Ask

    return [Ask(trace, demand_class, rate) for trace in traces]


def _plan(name: str, how: _How, time_limit_s: float, refine: bool, progress: Tell | None) -> Plan:
    """A plan file, or the plan of a scenario; what cannot be replayed is refused before a solve."""
    import planner
    from planner.files.plan_json import is_plan, read_plan

    if is_plan(Path(name)):
        return read_plan(Path(name))
    question = planner.load(name, catalog=how.catalog)
    if how.replay:
        from planner.verification.replays import class_of

        for ask in how.replay:
            class_of(ask, question)
    return planner.solve(
        question, catalog=how.catalog, time_limit_s=time_limit_s, refine=refine, progress=progress
    )
