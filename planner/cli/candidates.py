"""`planner candidates`: every way to serve each class, or why not."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.cli.shared import catalog_option, json_option, print_json, say, show

if TYPE_CHECKING:
    from planner.result import CandidateRow

_CONDITION = re.compile(r"([a-z_]+)\s*(<=|>=|!=|=|<|>)\s*(.+)")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


PLOTTED = 12
"""Most pictures."""


@click.command("candidates")
@click.argument("scenario")
@click.option("--class", "demand_class", help="Only this demand class.")
@click.option("--sort", default="usd_per_mtoken", show_default=True, help="Column; -COL: falling.")
@click.option("--filter", "filters", multiple=True, help="Such as accelerator=h100-sxm or tp<=4.")
@click.option("--all", "everything", is_flag=True, help="Also those that cannot serve, or lose.")
@click.option("--limit", type=click.IntRange(min=1), help="Most rows; 40 in a table.")
@click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for latency curve and roofline of the first rows shown (needs matplotlib).",
)
@catalog_option
@json_option
def command(
    *,
    scenario: str,
    demand_class: str | None,
    sort: str,
    filters: tuple[str, ...],
    everything: bool,
    limit: int | None,
    plots: Path | None,
    catalog: Path | None,
    as_json: bool,
) -> None:
    """List every way to serve SCENARIO.

    Memory, throughput, rate, what limits it and what it costs, or why it cannot serve. Without
    --all only those are listed that can serve and that no other beats in everything. The rate band
    is what the rate loses and gains between the ends of the model's error band.

    \b
    Example:
        planner candidates enterprise_405b --filter accelerator=h200-sxm --sort -lambda_star_rps
        planner candidates chat_8b --limit 3 --plots plots/

    \b
    Exit status:
        0  done
        2  the command or a file is wrong
    """
    import planner
    from planner.files.catalog import load_catalog

    kept = conditions([*filters, *([f"demand_class={demand_class}"] if demand_class else [])])
    falling, column = sort.startswith("-"), sort.removeprefix("-")
    _column(column, "--sort")
    rows = load_catalog(catalog)
    asked = planner.load(scenario, catalog=rows)
    found = planner.evaluate(asked, catalog=rows)
    _known_class(demand_class, found)
    chosen = [row for row in found if everything or (row.feasible and not row.pruned_by)]
    chosen = ordered([row for row in chosen if all(c(row) for c in kept)], column, falling=falling)
    if plots is not None:
        from planner.pipeline import case
        from planner.report.candidate_plots import write_candidate_plots

        question = case(asked, rows)
        drawn = [row.id for row in chosen if row.feasible][: min(limit or PLOTTED, PLOTTED)]
        places = [question.table.names.index(name) for name in drawn]
        for path in write_candidate_plots(question, places, plots):
            say(f"wrote {path}")
    if as_json:
        print_json([row.model_dump(mode="json") for row in chosen[:limit]])
        return
    from planner.report.console import candidates_table

    shown = chosen[: limit or 40]
    show(candidates_table(shown))
    say(f"{len(shown)} of {len(chosen)} rows shown, {len(found)} candidates in all")


def conditions(texts: Iterable[str]) -> list[Callable[[CandidateRow], bool]]:
    """Turn words such as tp<=4 into tests of a row; a blank figure meets no condition but !=.

    Raises
    ------
    click.BadParameter for an unknown column or a figure compared with a word.
    """
    return [_condition(text) for text in texts]


def _condition(text: str) -> Callable[[CandidateRow], bool]:
    match = _CONDITION.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r}: write COLUMN=VALUE, or !=, <, <=, >, >=")
    column, sign, word = match.groups()
    kind = _column(column, "--filter")
    wanted = _figure(word, kind, text)
    if isinstance(wanted, str | bool) and sign not in {"=", "!="}:
        raise click.BadParameter(f"{text!r}: {column} is no figure; use = or !=")
    return lambda row: _holds(getattr(row, column), sign, wanted)


def _holds(value: Any, sign: str, wanted: Any) -> bool:
    return sign == "!=" if value is None else _COMPARE[sign](value, wanted)


def _figure(word: str, kind: str, text: str) -> str | float | bool:
    if "bool" in kind:
        return word.lower() in {"true", "yes", "1"}
    if "str" in kind or "Literal" in kind:
        return word
    try:
        return float(word)
    except ValueError:
        raise click.BadParameter(f"{text!r}: {word!r} is no number") from None


def _column(name: str, option: str) -> str:
    """Annotation of a column; refuses unknown ones with the nearest."""
    from planner.files.problems import meant
    from planner.result import CandidateRow

    fields = CandidateRow.model_fields
    if name not in fields:
        raise click.BadParameter(f"{option}: no column {name!r}; {meant(name, fields)}")
    return str(fields[name].annotation)


def _known_class(name: str | None, rows: Sequence[CandidateRow]) -> None:
    classes = {row.demand_class for row in rows}
    if name is not None and name not in classes:
        raise click.BadParameter(f"--class: no class {name!r}; known: {', '.join(sorted(classes))}")


def ordered(rows: Sequence[CandidateRow], column: str, *, falling: bool) -> list[CandidateRow]:
    """Rows by one column, blanks last in both directions."""
    given = [row for row in rows if getattr(row, column) is not None]
    blank = [row for row in rows if getattr(row, column) is None]
    return [*sorted(given, key=lambda row: getattr(row, column), reverse=falling), *blank]
