"""Recalibrate: from a table of points to a calibration file, with its cross-validated errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np

from planner.calibrate.accuracy import trusted
from planner.calibrate.crossval import bands_from, cross_validate
from planner.calibrate.fit import blocks_of, fit
from planner.calibrate.parameters import PARAMETERS
from planner.calibrate.points import read_points, with_checkpoints
from planner.calibrate.rows import band_rows, count_rows, fitted_rows, text_of
from planner.calibrate.score import Outcome, score
from planner.errors import ScenarioError
from planner.perf.bands import RULES, Traits, band_factors
from planner.progress import Stage, Tell, unheard
from planner.schema.catalog import Catalog

LEAST_POINTS = 100
"""Fewer points than twice the parameters determine nothing but the priors."""


@dataclass(frozen=True)
class Recalibration:
    """A fit and what it is worth."""

    text: str
    """The calibration file."""
    held_out: Outcome
    """Every point by a fit that did not see its group."""
    moved: Mapping[str, tuple[float, float]]
    """Fitted rows, old and new value."""


def recalibrate(
    path: Path,
    catalog: Catalog,
    *,
    source: str,
    folds: int,
    today: date,
    progress: Tell | None = None,
) -> Recalibration:
    """Fit, cross-validate and write.

    Parameters
    ----------
    path : table of points.
    catalog : start values and everything that is not fitted.
    source : what the points are.
    folds : of the cross-validation.
    today : date of the rows.
    progress : told about every step.

    Raises
    ------
    ScenarioError
        Where the file is no table of points, or too few of them can be fitted.
    """
    # A fit explains the points by itself: with corrections it would explain them twice.
    known = with_checkpoints(catalog.model_copy(update={"corrections": {}}))
    before = {name: row.value for name, row in known.calibration.items()}
    read, refused = read_points(path, known)
    first = score(read, known, before, refused)
    blocks = blocks_of(first.points, known)
    count = sum(len(b.points) for b in blocks)
    if count < LEAST_POINTS:
        why = f"{count} rows can be fitted, {LEAST_POINTS} are needed for {len(PARAMETERS)} numbers"
        raise ScenarioError(str(path), [why])
    tell = progress or unheard
    tell(Stage("fit"))
    after = fit(blocks, before)
    held_out = cross_validate(first.points, blocks, known, after, tell=tell, count=folds)
    bands, counts = bands_from(held_out, known, before)
    after |= bands
    tpot = [np.log(1 + s.error) for s in trusted(held_out.scores) if s.metric == "tpot"]
    low, high = np.quantile(tpot, [0.16, 0.84])
    words = f"fit of {today.isoformat()} to measured operating points: {source}"
    rows = fitted_rows(
        catalog.calibration, after, PARAMETERS, source=words, rows=count,
        spread=float(high - low) / 2, today=today,
    )  # fmt: skip
    held = f"cross-validation by accelerator and model of the {words}"
    rows |= band_rows(bands, counts, source=held, today=today)
    rows |= count_rows(first.points, source=words, today=today)
    moved = {p.name: (before[p.name], after[p.name]) for p in PARAMETERS}
    return Recalibration(text_of(rows), banded(held_out, known, after), moved)


def banded(outcome: Outcome, catalog: Catalog, calibration: Mapping[str, float]) -> Outcome:
    """Held-out scores with the bands of a calibration."""
    scores = []
    for one in outcome.scores:
        flags = {rule: np.array([rule in one.rules]) for rule in RULES}
        moe = np.array([catalog.models[one.point.config.model].experts > 0])
        low, high = band_factors(calibration, metric=one.metric, traits=Traits(moe=moe, **flags))
        low_value, high_value = float(low[0]) * one.predicted, float(high[0]) * one.predicted
        scores.append(replace(one, low=low_value, high=high_value))
    return replace(outcome, scores=tuple(scores))
