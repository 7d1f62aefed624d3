"""Overlay: measurements of one's own as corrections of the model, one a group.

A group is an accelerator with a model and an engine. Its correction is one factor on the step
time: the median of measured over predicted, drawn towards 1 where few or scattered points speak
for it, with the band that remains. A correction is no new fit: it moves a group as a whole and
leaves what distinguishes its layouts and loads to the model.

.. [1] B. Efron and C. Morris, "Stein's estimation rule and its competitors", JASA 68(341), 1973:
   a group's mean shrinks by the share of its spread that lies between groups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import yaml

from planner.calibrate.accuracy import TUNED
from planner.calibrate.points import OPEN, Point, Refused, read_points, with_checkpoints
from planner.calibrate.score import Score, score
from planner.errors import ScenarioError
from planner.perf.bands import band_ends, spread
from planner.schema.base import Basis
from planner.schema.catalog import Catalog, Correction, correction_name

FILE = "corrections.yaml"
HEAD = """\
# What own measurements say of the step time, by accelerator, model and engine.
# Written by `planner calibrate overlay`; applied by --catalog with the folder of this file.
"""
WITHIN = 0.11
"""Standard deviation of log errors of the time per output token inside a group: median over 22
groups (accelerator, model) with 1,885 public points, November 2026. Layouts and loads that were
not measured scatter so around those that were."""
WITHIN_ROWS = 5.0
"""Points that `WITHIN` counts for beside the scatter of a group's own."""
ROWS_POWER = 0.5
"""Points of one benchmark share their stack and its mistakes: n count as n^power."""
BETWEEN_LEAST = 0.05
"""Least spread between groups that is believed."""
ROUNDS = 8
SETTLED = 1e-3
"""An open loop answers a slower step with more than the step: corrections are repeated until the
median is within this of 1."""
Group = tuple[str, str, str]


@dataclass(frozen=True)
class Found:
    """One group's correction, with what it was made from."""

    row: Correction
    median_ratio: float
    """Measured over predicted, before it is drawn towards 1."""
    scatter: float
    """Standard deviation of log errors around the median."""


@dataclass(frozen=True)
class Overlay:
    """Corrections of a table of points, and the rows that gave none."""

    found: tuple[Found, ...]
    refused: tuple[Refused, ...]

    @property
    def rows(self) -> dict[str, Correction]:
        """By their name in the catalog."""
        return {name_of(one.row): one.row for one in self.found}


def name_of(row: Correction) -> str:
    """Name of a correction in the catalog."""
    return correction_name(row.accelerator, row.model, row.engine)


def shrunk(residuals: Sequence[float], *, packaged_spread: float) -> tuple[float, float]:
    """Correction of a group and the spread that remains, as logarithms [1]_.

    Parameters
    ----------
    residuals : logarithms of measured over predicted, one a point.
    packaged_spread : standard deviation of the packaged band.

    Returns
    -------
    The logarithm of the factor, and the standard deviation of a measurement around it.

    Examples
    --------
    Four points, all 20 % slow, against a band of 0.2: four count as two, their scatter of 0 and
    five points of 0.11 give 0.093, groups differ by sqrt(0.2^2 - 0.11^2) = 0.167, and 0.0279 /
    (0.0279 + 0.0086 / 2) = 0.866 of ln 1.2 is believed.

    >>> import math
    >>> centre, left = shrunk([math.log(1.2)] * 4, packaged_spread=0.2)
    >>> round(centre / math.log(1.2), 3), round(left, 4)
    (0.866, 0.1113)
    """
    values = np.asarray(residuals, float)
    median = float(np.median(values))
    count = len(values) ** ROWS_POWER
    squares = count * scatter_of(values) ** 2 + WITHIN_ROWS * WITHIN**2
    within = squares / (count + WITHIN_ROWS)
    between = max(packaged_spread**2 - WITHIN**2, BETWEEN_LEAST**2)
    believed = between / (between + within / count)
    return believed * median, float(np.sqrt(between * (1 - believed) + within))


def scatter_of(values: Sequence[float] | np.typing.NDArray[np.float64]) -> float:
    """Standard deviation by the median absolute deviation, which outliers do not move.

    Examples
    --------
    Deviations 1, 0, 1, 2, 98: the median is 1, of a normal distribution 0.6745 deviations.

    >>> round(scatter_of([1.0, 2.0, 3.0, 4.0, 100.0]), 4)
    1.4826
    """
    each = np.asarray(values, float)
    return float(np.median(np.abs(each - np.median(each)))) * 1.4826


def overlay_of(path: Path, catalog: Catalog, *, source: str, today: date) -> Overlay:
    """Corrections of a table of points.

    Parameters
    ----------
    path : of a table as `planner accuracy` reads it.
    catalog : its corrections are not built upon.
    source : what was measured, for the rows.
    today : date of rows whose points have none.

    Raises
    ------
    ScenarioError
        Where the file is no table of points or no row of it tells the step time.
    """
    bare = with_checkpoints(catalog.model_copy(update={"corrections": {}}))
    read, refused = read_points(path, bare)
    points = [p for p in read if p.trust in TUNED]
    before = score(points, bare, _calibration(bare), refused)
    first = by_group(before.scores)
    if not first:
        why = "no row tells the step time: itl_or_tpot_ms, or output_tok_s_total of a full load"
        reasons = [f"{r.id}: {r.reason}" for r in before.refused[:5]]
        raise ScenarioError(str(path), [why, *reasons])
    refused = list(before.refused)
    moved = _settled(points, bare, first)
    found = []
    for group, scores in sorted(first.items()):
        ratio = float(np.exp(np.median(moved[group])))
        if not 0.1 <= ratio <= 10.0:
            words = f"{ratio:.3g} times the model's step time: another unit or model?"
            refused += [Refused(s.point.id, words, s.point.trust) for s in scores]
            continue
        found.append(_found(group, scores, moved[group], source=source, today=today))
    return Overlay(tuple(found), tuple(refused))


def by_group(scores: Sequence[Score]) -> dict[Group, list[Score]]:
    """Scores that tell the step time, by group: of a point its time per token, else its rate."""
    told: dict[str, Score] = {}
    for one in scores:
        # Throughput of an open loop is its rate, whatever the step.
        if one.metric == "tpot" or (one.metric == "throughput" and one.point.kind != OPEN):
            told.setdefault(one.point.id, one)
    groups: dict[Group, list[Score]] = defaultdict(list)
    for one in told.values():
        groups[_group(one.point)].append(one)
    return dict(groups)


def _group(point: Point) -> Group:
    return point.config.accelerator, point.config.model, point.config.engine


def _residual(one: Score) -> float:
    """Logarithm of measured over predicted step time."""
    value = float(np.log(one.measured / one.predicted))
    return -value if one.metric == "throughput" else value


def _calibration(catalog: Catalog) -> dict[str, float]:
    return {name: row.value for name, row in catalog.calibration.items()}


def _settled(
    points: Sequence[Point], catalog: Catalog, first: Mapping[Group, Sequence[Score]]
) -> dict[Group, list[float]]:
    """Logarithms of the factors on the step that give the measurements, one a point."""
    centre = dict.fromkeys(first, 0.0)
    left = {group: [_residual(s) for s in scores] for group, scores in first.items()}
    for _ in range(ROUNDS):
        moves = {group: float(np.median(each)) for group, each in left.items()}
        if all(abs(move) < SETTLED for move in moves.values()):
            break
        centre = {group: _within(value + moves[group]) for group, value in centre.items()}
        tried = catalog.model_copy(update={"corrections": _plain(centre)})
        now = by_group(score(points, tried, _calibration(tried)).scores)
        left = {g: [_residual(s) for s in now[g]] if g in now else left[g] for g in left}
    return {group: [centre[group] + each for each in left[group]] for group in first}


def _within(log_ratio: float) -> float:
    """Kept where the catalog takes it; a group beyond is refused by its median."""
    return float(np.clip(log_ratio, np.log(0.1), np.log(10.0)))


def _plain(centre: Mapping[Group, float]) -> dict[str, Correction]:
    return {
        correction_name(*group): Correction(
            accelerator=group[0], model=group[1], engine=group[2], time_ratio=float(np.exp(value)),
            band_low_frac=0.9, band_high_frac=1.1, points=1, source="being fitted",
            as_of=date.min, basis=Basis.measured,
        )
        for group, value in centre.items()
    }  # fmt: skip


def _found(
    group: Group, scores: Sequence[Score], logs: Sequence[float], *, source: str, today: date
) -> Found:
    packaged = [float(spread(s.low / s.predicted, s.high / s.predicted)) for s in scores]
    centre, left = shrunk(logs, packaged_spread=float(np.median(packaged)))
    low, high = band_ends(left)
    ratio = float(np.exp(np.median(logs)))
    row = Correction(
        accelerator=group[0], model=group[1], engine=group[2],
        time_ratio=_rounded(float(np.exp(centre))), band_low_frac=_rounded(low),
        band_high_frac=_rounded(high), points=len(scores), source=source,
        as_of=_latest([s.point.groups["date"] for s in scores], today), basis=Basis.measured,
        note=f"median of measured over predicted {ratio:.3f}, scatter {scatter_of(logs):.3f} (log)",
    )  # fmt: skip
    return Found(row, ratio, scatter_of(logs))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _latest(days: Sequence[str], today: date) -> date:
    """Last day on which a point was measured; today where none says."""
    found = []
    for text in days:
        try:
            found.append(date.fromisoformat(text))
        except ValueError:
            continue
    return max(found, default=today)


def text_of(rows: Mapping[str, Correction]) -> str:
    """A corrections file."""
    plain = {name: row.model_dump(mode="json") for name, row in sorted(rows.items())}
    return HEAD + "\n" + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=1000)
