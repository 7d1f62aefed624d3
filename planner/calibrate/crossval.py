"""Cross-validation: every point predicted by a fit that never saw its accelerator with its model.

Groups (accelerator, model) go to folds by size, largest first, each to the smallest fold: the
same points give the same folds. From the errors so found come the bands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from planner.calibrate.accuracy import trusted
from planner.calibrate.fit import Block, Values, fit, group_of
from planner.calibrate.points import OPEN, Point
from planner.calibrate.score import Outcome, Score, score
from planner.perf.bands import COVERED_FRAC, METRICS, RULES, WIDEST, row_name
from planner.progress import Count, Stage, Tell
from planner.schema.catalog import Catalog

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

FOLDS = 6
EVALUATIONS_MAX = 5
"""Folds start from the fit to all points: few steps reach their own optimum."""
SWEEPS = 20
LEAST_ROWS = 30
"""Rules with fewer points keep the width that the catalog gives them."""


def folds_of(points: Sequence[Point], count: int = FOLDS) -> dict[tuple[str, str], int]:
    """Fold of each (accelerator, model)."""
    sizes = Counter(group_of(p) for p in points)
    held = [0] * count
    folds = {}
    for group, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        folds[group] = held.index(min(held))
        held[folds[group]] += size
    return folds


def cross_validate(
    points: Sequence[Point],
    blocks: Sequence[Block],
    catalog: Catalog,
    fitted: Mapping[str, float],
    *,
    tell: Tell,
    count: int = FOLDS,
) -> Outcome:
    """Scores of all points, each by the fit that held out its group.

    Parameters
    ----------
    points : all that can be predicted.
    blocks : of `fit.blocks_of`.
    fitted : rows of the fit to all points, where each fold starts.
    tell : told before every fold.
    """
    folds = folds_of(points, count)
    outcomes = []
    for fold in range(count):
        tell(Stage("cross-validate", Count(fold, count, "folds")))
        kept = [np.array([folds[group_of(p)] != fold for p in b.points], bool) for b in blocks]
        rows = fit(blocks, fitted, kept=kept, evaluations_max=EVALUATIONS_MAX)
        out = [p for p in points if folds[group_of(p)] == fold]
        outcomes.append(score(out, catalog, rows))
    return Outcome(
        scores=tuple(s for o in outcomes for s in o.scores),
        refused=tuple(r for o in outcomes for r in o.refused),
        points=tuple(p for o in outcomes for p in o.points),
    )


def _ratio(one: Score) -> float:
    return float(np.log(one.measured / one.predicted))


def _informs(one: Score) -> bool:
    """Throughput of an open loop below its limit is its rate: no error, no information."""
    return not (one.metric == "throughput" and one.point.kind == OPEN)


def bands_from(
    outcome: Outcome, catalog: Catalog, calibration: Mapping[str, float]
) -> tuple[Values, dict[str, int]]:
    """Rows of the bands, and how many figures each was set on.

    Low and high factors are the quantiles between which `COVERED_FRAC` of the held-out ratios of
    plain candidates lie; a rule's power is what covers as many of the candidates it applies to,
    given the powers of the other rules that apply to them.
    """
    scores = [s for s in trusted(outcome.scores) if _informs(s)]
    traits = {rule: np.array([rule in s.rules for s in scores], bool) for rule in RULES}
    moe = np.array([catalog.models[s.point.config.model].experts > 0 for s in scores])
    ratio = np.array([_ratio(s) for s in scores])
    metric = np.array([s.metric for s in scores])
    plain = ~np.any(list(traits.values()), axis=0)
    rows: Values = {}
    counts: dict[str, int] = {}
    tail = (1 - COVERED_FRAC) / 2
    for name in METRICS:
        for kind in (False, True):
            mine = ratio[(metric == name) & (moe == kind) & plain]
            for side, share in (("low", tail), ("high", 1 - tail)):
                row = row_name(name, moe=kind, side=side)
                rows[row] = float(np.exp(np.quantile(mine, share)))
                counts[row] = len(mine)
    sides = {
        side: np.array(
            [np.log(rows[row_name(m, moe=k, side=side)]) for m, k in zip(metric, moe, strict=True)]
        )
        for side in ("low", "high")
    }
    reach = np.where(ratio < 0, ratio / np.minimum(sides["low"], -1e-3),
                     ratio / np.maximum(sides["high"], 1e-3))  # fmt: skip
    before = {rule: float(calibration[f"band_widen_{rule}"]) for rule in RULES}
    widths = widths_from(reach, traits, before, metric)
    rows |= {f"band_widen_{rule}": width for rule, width in widths.items()}
    counts |= {f"band_widen_{r}": int(on.sum()) for r, on in traits.items() if _enough(on)}
    return rows, counts


def _enough(on: Flags) -> bool:
    return bool(on.sum() >= LEAST_ROWS)


def widths_from(
    reach: Array,
    traits: Mapping[str, Flags],
    before: Mapping[str, float],
    metric: NDArray[np.str_],
) -> dict[str, float]:
    """Power of each rule: what covers enough of each metric, so the metric that needs most decides.

    Rules multiply, so each is set in turn with the others as they are.

    Parameters
    ----------
    reach : logarithm of measured over predicted over that of the band's factor on its side.
    traits : which figures each rule applies to.
    before : powers to start from; those of rules with too few figures stay.
    metric : of each figure; one with too few figures does not decide alone.
    """
    widths = dict(before)
    for _ in range(SWEEPS):
        for rule, on in traits.items():
            if not _enough(on):
                continue
            others = np.ones(len(reach))
            for other, flags in traits.items():
                if other != rule:
                    others = others * np.where(flags, widths[other], 1.0)
            apart = [on & (metric == name) for name in METRICS]
            enough = [some for some in apart if _enough(some)] or [on]
            needed = [float(np.quantile((reach / others)[some], COVERED_FRAC)) for some in enough]
            widths[rule] = min(max(*needed, 1.0), WIDEST)
    return widths
