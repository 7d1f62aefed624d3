"""Accuracy: errors of predicted against measured figures, by everything that may explain them.

Errors are |predicted / measured - 1|: median, 90th percentile, and the median with its sign
(bias). Rank correlation is Spearman's over the points of one source, model and pair of lengths,
six or more: the order of configurations is what an optimizer lives on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from planner.calibrate.points import Point, Refused
from planner.calibrate.score import Outcome, Score
from planner.perf.bands import METRICS
from planner.units import MILLI

TUNED = ("A", "B", "")
"""Trust levels that count; a table without the column counts as a whole."""
RANKED_FROM = 6
GROUPINGS: Mapping[str, Callable[[Score], str]] = {
    "mode": lambda s: s.point.groups["mode"],
    "hardware": lambda s: s.point.groups["hardware"],
    "engine": lambda s: s.point.groups["engine"],
    "model": lambda s: s.point.groups["model"],
    "weights": lambda s: s.point.groups["weights"],
    "basis": lambda s: s.label,
    "source": lambda s: s.point.groups["source"],
}


def trusted(scores: Iterable[Score]) -> list[Score]:
    """Scores of points of trust A or B."""
    return [s for s in scores if s.point.trust in TUNED]


def figures(scores: Sequence[Score]) -> dict[str, float]:
    """Size of a group and its errors."""
    errors = np.array([s.error for s in scores])
    return {
        "rows": len(scores),
        "median_abs_frac": float(np.median(np.abs(errors))),
        "p90_abs_frac": float(np.quantile(np.abs(errors), 0.9)),
        "bias_frac": float(np.median(errors)),
        "covered_frac": float(np.mean([s.covered for s in scores])),
    }


def grouped(scores: Sequence[Score], by: Callable[[Score], str]) -> dict[str, list[Score]]:
    """Scores by group, largest group first."""
    groups: dict[str, list[Score]] = defaultdict(list)
    for one in scores:
        groups[by(one)].append(one)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def errors_by(scores: Sequence[Score]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Metric -> grouping -> group -> figures; the grouping "all" has one group."""
    table: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for metric in METRICS:
        mine = [s for s in scores if s.metric == metric]
        if not mine:
            continue
        table[metric] = {"all": {"all": figures(mine)}}
        for name, by in GROUPINGS.items():
            table[metric][name] = {g: figures(part) for g, part in grouped(mine, by).items()}
    return table


def _bench(point: Point) -> str:
    words = (point.groups["source"], point.config.model, point.groups["lengths"])
    return " ".join((*words, point.groups["mode"]))


def _spearman(pairs: Sequence[tuple[float, float]]) -> float:
    measured, predicted = np.array(pairs).T
    if np.ptp(measured) == 0 or np.ptp(predicted) == 0:
        return float("nan")
    return float(spearmanr(measured, predicted).statistic)


def _rates(scores: Sequence[Score]) -> list[tuple[str, float, float]]:
    """Output tokens per second and GPU of closed loops, by Little's law on both sides."""
    pairs: dict[str, dict[str, Score]] = defaultdict(dict)
    for one in scores:
        pairs[one.point.id][one.metric] = one
    rates = []
    for parts in pairs.values():
        tpot, ttft = parts.get("tpot"), parts.get("ttft")
        if tpot is None or ttft is None or tpot.point.kind != "closed":
            continue
        point = tpot.point
        tokens = point.load * point.output_tokens / tpot.gpus
        more = point.output_tokens - 1
        measured = tokens / ((ttft.measured + more * tpot.measured) * MILLI)
        predicted = tokens / ((ttft.predicted + more * tpot.predicted) * MILLI)
        rates.append((_bench(point), measured, predicted))
    return rates


def ranks(scores: Sequence[Score]) -> dict[str, dict[str, float]]:
    """Rank correlation of each metric, and of tokens/s/GPU, over groups of `RANKED_FROM`."""
    columns: dict[str, list[tuple[str, float, float]]] = {
        metric: [(_bench(s.point), *_per_gpu(s, metric)) for s in scores if s.metric == metric]
        for metric in METRICS
    }
    columns["rate_per_gpu"] = _rates(scores)
    found = {}
    for name, rows in columns.items():
        groups: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for group, measured, predicted in rows:
            groups[group].append((measured, predicted))
        values = [_spearman(g) for g in groups.values() if len(g) >= RANKED_FROM]
        values = [v for v in values if not np.isnan(v)]
        if values:
            found[name] = {
                "groups": len(values),
                "median": float(np.median(values)),
                "p10": float(np.quantile(values, 0.1)),
            }
    return found


def _per_gpu(one: Score, metric: str) -> tuple[float, float]:
    share = one.gpus if metric == "throughput" else 1.0
    return one.measured / share, one.predicted / share


def coverage(points: Sequence[Point], refused: Sequence[Refused]) -> dict[str, float]:
    """Rows of trust A or B, and the share that was predicted."""
    kept = sum(p.trust in TUNED for p in points)
    lost = sum(r.trust in TUNED for r in refused)
    total = kept + lost
    return {"rows": total, "predicted": kept, "predicted_frac": kept / total if total else 0.0}


def reasons(refused: Sequence[Refused]) -> list[tuple[str, int]]:
    """Reasons by how many rows they cost."""
    counts: dict[str, int] = defaultdict(int)
    for one in refused:
        counts[one.reason] += 1
    return sorted(counts.items(), key=lambda item: -item[1])


def assumptions(points: Sequence[Point]) -> list[str]:
    """What was assumed of sources, with the number of points that it touches."""
    counts: dict[str, int] = defaultdict(int)
    for point in points:
        for words in (point.traits.says, *point.assumed):
            if words:
                counts[words] += 1
    return [f"{words} ({n:,} points)" for words, n in sorted(counts.items())]


def report(outcome: Outcome) -> dict[str, Any]:
    """The whole comparison as plain values."""
    scores = trusted(outcome.scores)
    return {
        "rows": [
            {
                "id": s.point.id,
                "metric": s.metric,
                "measured": s.measured,
                "predicted": s.predicted,
                "low": s.low,
                "high": s.high,
                "label": s.label,
            }
            for s in outcome.scores
        ],
        "refused": [{"id": r.id, "reason": r.reason} for r in outcome.refused],
        "summary": {
            "coverage": coverage(outcome.points, outcome.refused),
            "errors": errors_by(scores),
            "ranks": ranks(scores),
            "refused_by_reason": [{"reason": w, "rows": n} for w, n in reasons(outcome.refused)],
            "assumptions": assumptions(outcome.points),
        },
    }
