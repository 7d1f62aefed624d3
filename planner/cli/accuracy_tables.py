"""Tables: the accuracy report in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

SHOWN = ("mode", "hardware", "engine", "model", "basis")
LEAST_ROWS = 1
TITLES = {
    "tpot": "Time per output token",
    "ttft": "Time to first token",
    "throughput": "Output throughput",
    "rate_per_gpu": "Tokens per second and GPU, closed loop",
}
WORST = 10
WORST_ROWS = 6


def _percent(value: float, *, sign: bool = False) -> str:
    return f"{value:+.1%}" if sign else f"{value:.1%}"


def error_tables(summary: Mapping[str, Any]) -> Iterator[Table]:
    """One table a metric: errors by grouping."""
    for metric, groupings in summary["errors"].items():
        table = Table(title=TITLES[metric], title_justify="left")
        table.add_column("by")
        table.add_column("group")
        for name in ("rows", "median", "90 %", "bias", "in band"):
            table.add_column(name, justify="right")
        for grouping in ("all", *SHOWN):
            for group, f in groupings[grouping].items():
                table.add_row(
                    grouping, group, f"{f['rows']:,}", _percent(f["median_abs_frac"]),
                    _percent(f["p90_abs_frac"]), _percent(f["bias_frac"], sign=True),
                    _percent(f["covered_frac"]),
                )  # fmt: skip
            table.add_section()
        yield table


def rank_table(summary: Mapping[str, Any]) -> Table:
    """Rank correlation within one source, model and pair of lengths."""
    table = Table(title="Rank correlation of configurations", title_justify="left")
    table.add_column("figure")
    for name in ("groups", "median", "10 % of groups below"):
        table.add_column(name, justify="right")
    for metric, f in summary["ranks"].items():
        table.add_row(TITLES[metric], f"{f['groups']:,}", f"{f['median']:.3f}", f"{f['p10']:.3f}")
    return table


def refused_table(summary: Mapping[str, Any]) -> Table:
    """Rows that cannot be predicted, by reason."""
    table = Table(title="Not predicted", title_justify="left")
    table.add_column("rows", justify="right")
    table.add_column("reason")
    for line in summary["refused_by_reason"]:
        table.add_row(f"{line['rows']:,}", line["reason"])
    return table


def sentences(summary: Mapping[str, Any]) -> Iterator[str]:
    """Coverage, and what was assumed of the sources."""
    c = summary["coverage"]
    yield (
        f"{c['predicted']:,} of {c['rows']:,} rows of trust A or B predicted "
        f"({c['predicted_frac']:.1%}); the tables count these."
    )
    if summary["assumptions"]:
        yield "Assumed of sources:"
        yield from (f"  {words}" for words in summary["assumptions"])
