"""Score: every point with what the model says of it, its band and its label, or why not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from planner.calibrate import predict
from planner.calibrate.cases import Array, Cases, bandwidth_bound_s, cases_of, layout_reasons
from planner.calibrate.points import (
    CLOSED,
    OFFLINE,
    OPEN,
    SPLIT,
    STATIC,
    Point,
    Refused,
)
from planner.perf.bands import (
    EXTRAPOLATED,
    LOADED_FRAC,
    METRICS,
    RULES,
    Traits,
    band_factors,
    is_sparse,
    known_as,
    traits_of,
)
from planner.schema.catalog import Catalog
from planner.units import MILLI

UNITS_FACTOR = 100.0
"""A prediction never misses by so much: such a figure is in another unit."""
BELOW_BOUND_FRAC = 0.7
"""No engine decodes in less of the time in which the memory can deliver the weights."""
_LOADS = {
    CLOSED: predict.closed,
    STATIC: predict.static,
    OFFLINE: predict.offline,
    OPEN: predict.open_loop,
}


@dataclass(frozen=True)
class Score:
    """One measured figure and its prediction, in the units of the table."""

    point: Point
    metric: str
    """tpot [ms], ttft [ms] or throughput [tokens/s]."""
    measured: float
    predicted: float
    low: float
    high: float
    label: str
    """measured, calibrated or extrapolated."""
    gpus: float
    rules: tuple[str, ...] = ()
    """Rules that widened the band."""

    @property
    def error(self) -> float:
        """Predicted over measured, less 1."""
        return self.predicted / self.measured - 1

    @property
    def covered(self) -> bool:
        """Whether the measurement lies in the band."""
        return self.low <= self.measured <= self.high


@dataclass(frozen=True)
class Outcome:
    """All points of a table."""

    scores: tuple[Score, ...]
    refused: tuple[Refused, ...]
    points: tuple[Point, ...]
    """Those predicted."""
    found: Mapping[str, predict.Prediction] = field(default_factory=dict)
    """By kind of load, in the order of the points of that kind."""


def score(
    points: Sequence[Point],
    catalog: Catalog,
    calibration: Mapping[str, float],
    refused: Sequence[Refused] = (),
) -> Outcome:
    """Predict all points.

    Parameters
    ----------
    points : of `points.read_points`.
    catalog : of `points.with_checkpoints`.
    calibration : coefficients and bands, name -> value.
    refused : rows that could not be read; those that cannot be predicted are added.
    """
    scores: list[Score] = []
    out = list(refused)
    kept: list[Point] = []
    found = {}
    for kind in (*_LOADS, SPLIT):
        mine = [p for p in points if p.kind == kind]
        if not mine:
            continue
        cases, result = _run(kind, mine, catalog, calibration)
        found[kind] = result
        sparse = {a: is_sparse(calibration, a) for a in {p.config.accelerator for p in mine}}
        few = np.array([sparse[p.config.accelerator] for p in mine])
        traits = band_traits(cases, result.load_frac, few)
        bands = {m: band_factors(calibration, metric=m, traits=traits) for m in METRICS}
        why = _refusals(mine, cases, result)
        for i, point in enumerate(mine):
            if why[i]:
                out.append(Refused(point.id, why[i], point.trust))
                continue
            kept.append(point)
            label = known_as(
                calibration, accelerator=point.config.accelerator, model=point.config.model,
                label=cases.labels[i], own=bool(cases.own.known[i]),
            )  # fmt: skip
            scores += _scores(point, i, result, bands, traits=traits, label=label)
    return Outcome(tuple(scores), tuple(out), tuple(kept), found)


def _run(
    kind: str, points: Sequence[Point], catalog: Catalog, calibration: Mapping[str, float]
) -> tuple[Cases, predict.Prediction]:
    cases = cases_of(points, catalog)
    if kind != SPLIT:
        return cases, _LOADS[kind](cases, calibration)
    decode = cases_of(points, catalog, [p.decode or p.config for p in points])
    total = np.array([p.load for p in points])
    workers = cases.replicas, np.array([p.decode_replicas for p in points])
    whole = _with_load(cases, total), _with_load(decode, total)
    return cases, predict.disaggregated(*whole, workers, calibration)


def _with_load(cases: Cases, load: Array) -> Cases:
    return Cases(**(vars(cases) | {"load": load}))


def unpacked(cases: Cases) -> np.typing.NDArray[np.bool_]:
    """Cases that compute wider than they store: w4, w8, mxfp4 without its arithmetic."""
    wide = np.array([{"w4", "w8"} & {linear, expert} != set() for *_, linear, expert in cases.keys])
    return np.asarray(wide[cases.key])


def band_traits(cases: Cases, load_frac: Array, sparse: np.typing.NDArray[np.bool_]) -> Traits:
    """What decides the bands of cases."""
    return traits_of(
        cases.shaped,
        unpacked=unpacked(cases),
        extrapolated=np.array([label == EXTRAPOLATED for label in cases.labels]),
        sparse=sparse,
        loaded=load_frac > LOADED_FRAC,
        own=cases.own.power,
    )


def _figures(point: Point, i: int, found: predict.Prediction) -> list[tuple[str, float, float]]:
    return [
        ("tpot", point.tpot_ms, float(found.tpot_s[i]) / MILLI),
        ("ttft", point.ttft_ms, float(found.ttft_s[i]) / MILLI),
        ("throughput", point.throughput_tok_s, float(found.throughput_tok_s[i])),
    ]


def _scores(
    point: Point,
    i: int,
    found: predict.Prediction,
    bands: Mapping[str, tuple[Array, Array]],
    *,
    traits: Traits,
    label: str,
) -> list[Score]:
    gpus = point.config.gpus * point.replicas
    if point.decode is not None:
        gpus += point.decode.gpus * point.decode_replicas
    rules = tuple(rule for rule in RULES if getattr(traits, rule)[i])
    scores = []
    for metric, measured, predicted in _figures(point, i, found):
        if math.isnan(measured) or not math.isfinite(predicted):
            continue
        low, high = (float(side[i]) * predicted for side in bands[metric])
        scores.append(Score(point, metric, measured, predicted, low, high, label, gpus, rules))
    return scores


def _refusals(points: Sequence[Point], cases: Cases, found: predict.Prediction) -> list[str]:
    layouts = layout_reasons(cases)
    bound_ms = bandwidth_bound_s(cases) / MILLI
    reasons = []
    for i, point in enumerate(points):
        figures = _figures(point, i, found)
        ratios = [p / m for _, m, p in figures if not math.isnan(m) and math.isfinite(p) and p > 0]
        reasons.append(
            layouts[i]
            or _too_large(found.capacity[i], cases, i)
            or _too_fast(point, bound_ms[i])
            or _other_units(ratios)
        )
    return reasons


def _too_large(capacity: float, cases: Cases, i: int) -> str:
    if capacity > 0:
        return ""
    gpus = cases.shaped.layout.gpus[i]
    return f"weights and one sequence do not fit into the memory of {gpus:g} GPUs"


def _too_fast(point: Point, bound_ms: float) -> str:
    if point.kind in (CLOSED, OPEN) and point.tpot_ms < BELOW_BOUND_FRAC * bound_ms:
        return (
            f"itl_or_tpot_ms {point.tpot_ms:g}: memory delivers the weights in {bound_ms:.3g} ms; "
            "seconds, or speculative decoding?"
        )
    return ""


def _other_units(ratios: Sequence[float]) -> str:
    if not ratios:
        return "the load does not determine what was measured"
    if all(not 1 / UNITS_FACTOR < ratio < UNITS_FACTOR for ratio in ratios):
        return f"over {UNITS_FACTOR:g} times from any prediction: another unit?"
    return ""
