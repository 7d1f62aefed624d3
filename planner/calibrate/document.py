"""Document: the cross-validated errors as Markdown tables, for a page that is checked in.

The page keeps what people wrote; only the part between two markers is replaced. Beside the errors
it says what no coefficient can reach: how much of the error a group of rows has in common (an
unknown setting of that run), and how far repeats of one configuration lie apart (noise).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from planner.calibrate.accuracy import figures, grouped, ranks, trusted
from planner.calibrate.points import CLOSED, OFFLINE
from planner.calibrate.score import Score

BEGIN, END = "<!-- tables: planner calibrate fit --report -->", "<!-- end of tables -->"
FIGURES = (
    ("time per output token, fixed concurrency", "tpot", CLOSED),
    ("time to first token, fixed concurrency", "ttft", CLOSED),
    ("throughput, offline", "throughput", OFFLINE),
)
LEAST_ROWS = 20
WORST = 10
FAR_FRAC = 0.3
"""An error from which a row counts as far off."""
LOG_MAX = 1.5
"""Logarithms of larger errors are cut, so that a few rows do not make up the variance."""
By = Callable[[Score], tuple[str, ...]]


def _pair(one: Score) -> tuple[str, ...]:
    return one.point.config.accelerator, one.point.config.model


def _run(one: Score) -> tuple[str, ...]:
    config, groups = one.point.config, one.point.groups
    return (*_pair(one), config.engine, config.quantization, groups["source"])


def _layout(one: Score) -> tuple[str, ...]:
    config = one.point.config
    return (*_run(one), f"{config.tp} {config.pp} {config.ep} {config.dp}")


def common_frac(scores: Sequence[Score], by: By) -> float:
    """Share of the variance of log errors that lies between groups rather than within them."""
    errors = np.clip([np.log(1.0 + s.error) for s in scores], -LOG_MAX, LOG_MAX)
    members: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, one in enumerate(scores):
        members[by(one)].append(i)
    within = np.concatenate([errors[i] - errors[i].mean() for i in members.values()])
    return float(1.0 - within.var() / errors.var())


def known_run(scores: Sequence[Score]) -> tuple[float, float]:
    """Median and 90th percentile of errors if the median of each run were known."""
    runs: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for one in scores:
        runs[_run(one)].append(float(np.log(1.0 + one.error)))
    left = np.concatenate([np.array(run) - np.median(run) for run in runs.values()])
    middle, far = np.quantile(np.abs(np.exp(left) - 1.0), [0.5, 0.9])
    return float(middle), float(far)


def repeats(scores: Sequence[Score]) -> list[float]:
    """Ratios above 1 between measurements of one configuration, lengths and load."""
    same: dict[tuple[object, ...], list[float]] = defaultdict(list)
    for one in scores:
        p = one.point
        same[p.config, p.kind, p.input_tokens, p.output_tokens, p.load, p.replicas].append(
            one.measured
        )
    return [
        max(a, b) / min(a, b) for many in same.values() for a, b in combinations(many, 2) if a != b
    ]


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rule = ["---" if i == 0 else "---:" for i in range(len(head))]
    return ["| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)] + [""]


def _cells(name: str, scores: Sequence[Score]) -> list[str]:
    of = figures(scores)
    errors = [_percent(of[k]) for k in ("median_abs_frac", "p90_abs_frac", "bias_frac")]
    return [name, f"{len(scores):,}", *errors, _percent(of["covered_frac"])]


HEAD = ("", "rows", "median %", "p90 %", "bias %", "in band %")


def _figure(title: str, scores: Sequence[Score]) -> list[str]:
    lines = [f"### {title}", "", *_table(HEAD, [_cells("all", scores)])]
    ways: Mapping[str, Callable[[Score], str]] = {
        "accelerator": lambda s: s.point.config.accelerator,
        "engine": lambda s: s.point.config.engine,
        "accelerator and model": lambda s: ", ".join(_pair(s)),
    }
    for way, by in ways.items():
        least = LEAST_ROWS if "model" in way else 1
        parts = {n: g for n, g in grouped(scores, by).items() if len(g) >= least}
        lines += _table((way, *HEAD[1:]), [_cells(name, part) for name, part in parts.items()])
    return lines + _worst(scores) + _floor(scores)


def _worst(scores: Sequence[Score]) -> list[str]:
    """Groups of one run with the most rows that are far off."""
    parts = grouped(scores, lambda s: ", ".join(_run(s)))
    far = {n: sum(abs(s.error) > FAR_FRAC for s in part) for n, part in parts.items()}
    names = sorted((n for n in far if far[n]), key=lambda n: -far[n])[:WORST]
    head = (f"most rows beyond {FAR_FRAC:.0%}", "beyond", *HEAD[1:])
    rows = [[n, str(far[n]), *_cells(n, parts[n])[1:]] for n in names]
    return _table(head, rows)


def _floor(scores: Sequence[Score]) -> list[str]:
    shares = {
        "accelerator and model": common_frac(scores, _pair),
        "and engine, weights, source": common_frac(scores, _run),
        "and layout": common_frac(scores, _layout),
    }
    said = "; ".join(f"{name} {share:.0%}" for name, share in shares.items())
    middle, far = known_run(scores)
    lines = [
        f"Share of the variance of log errors that rows have in common: {said}. With the median "
        f"error of each run (accelerator, model, engine, weights, source) known, {middle:.1%} "
        f"(median) and {far:.1%} (90th percentile) would be left.",
        "",
    ]
    ratios = np.array(repeats(scores)) - 1.0
    if len(ratios):
        middle, far = np.quantile(ratios, [0.5, 0.9])
        lines += [
            f"{len(ratios):,} pairs of different measurements of one configuration, lengths and "
            f"load: {middle:.1%} apart (median), {far:.1%} (90th percentile).",
            "",
        ]
    return lines


def tables(held_out: Sequence[Score], moved: Mapping[str, tuple[float, float]]) -> str:
    """Tables of held-out scores, and the coefficients with their values."""
    scores = trusted(held_out)
    lines: list[str] = []
    for title, metric, kind in FIGURES:
        mine = [s for s in scores if s.metric == metric and s.point.kind == kind]
        if mine:
            lines += _figure(title, mine)
    order = ranks(scores)
    rows = [
        [n, str(r["groups"]), f"{r['median']:.3f}", f"{r['p10']:.3f}"] for n, r in order.items()
    ]
    lines += ["### Order of configurations (Spearman)", ""]
    lines += _table(("figure", "groups", "median", "10th percentile"), rows)
    lines += [f"### {len(moved)} fitted coefficients", ""]
    lines += _table(("row", "value"), [[n, f"{v:.4g}"] for n, (_, v) in moved.items()])
    return "\n".join(lines)


def with_tables(page: str, text: str) -> str:
    """The page with its part between the markers replaced; a new page has nothing else.

    Examples
    --------
    >>> old = f"Mine.{chr(10)}{BEGIN}old{END}{chr(10)}Also mine."
    >>> with_tables(old, "new").splitlines()[0], "old" in with_tables(old, "new")
    ('Mine.', False)
    """
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"
