"""Fit: coefficients from measured operating points, by robust regression on log errors.

Soft-L1 loss on the logarithm of predicted over measured, log-normal priors, rows weighted so that
a benchmark with many rows does not decide alone. Derivatives are differences of predictions that
restart from the settled loops of the current iterate, 10 ms each.

.. [1] P. J. Huber, "Robust estimation of a location parameter", Ann. Math. Stat. 35(1), 1964.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from planner.calibrate import predict
from planner.calibrate.accuracy import TUNED
from planner.calibrate.cases import Array, Cases, cases_of
from planner.calibrate.parameters import PARAMETERS, Parameter
from planner.calibrate.points import CLOSED, OFFLINE, OPEN, STATIC, Point
from planner.schema.catalog import Catalog
from planner.units import MILLI

KNEE = 0.15
"""Log error from which the loss grows linearly instead of quadratically [1]_."""
PRIOR_WEIGHT = 18.0
"""Rows of one benchmark are not independent: priors weigh as if there were a 324th of them.
Held-out errors fell from 3 over 7 and 12 to 18, not further at 25; those in sample rose little."""
GROUP_POWER = 0.5
"""Rows weigh (rows of their accelerator and model)^-power."""
STEP = 1e-3
EVALUATIONS_MAX = 12
WEIGHTS: Mapping[str, Mapping[str, float]] = {
    CLOSED: {"tpot": 1.0, "ttft": 0.35},
    STATIC: {"throughput": 1.0, "ttft": 0.5},
    OFFLINE: {"throughput": 0.8},
    OPEN: {"tpot": 0.3, "ttft": 0.1},
}
"""What each load is fitted on; throughput of a loop below saturation says nothing new."""
_RUN: Mapping[str, Callable[..., predict.Prediction]] = {
    CLOSED: predict.closed,
    STATIC: predict.static,
    OFFLINE: predict.offline,
    OPEN: predict.open_loop,
}
_WARM = (CLOSED, OFFLINE)
Values = dict[str, float]


@dataclass(frozen=True)
class Block:
    """Points of one kind of load, with what is measured and how much it weighs."""

    kind: str
    cases: Cases
    points: tuple[Point, ...]
    measured: Array
    """(metrics, points), NaN where blank, base units."""
    weight: Array
    """The same shape, 0 where blank."""


def group_of(point: Point) -> tuple[str, str]:
    """Accelerator and model: what cross-validation holds out."""
    return point.config.accelerator, point.config.model


def fitted_on(point: Point) -> bool:
    """Whether a point may be fitted: trusted, and of a load that fits."""
    if point.kind not in WEIGHTS or point.trust not in TUNED:
        return False
    # Near its limit an open loop measures the limit, and tuned runs sit there by design.
    return not (point.kind == OPEN and point.traits.pace.startswith("pace_tuned"))


def blocks_of(points: Sequence[Point], catalog: Catalog) -> list[Block]:
    """Points to be fitted, by kind of load."""
    rows = [p for p in points if fitted_on(p)]
    sizes = Counter(group_of(p) for p in rows)
    blocks = []
    for kind, weights in WEIGHTS.items():
        mine = tuple(p for p in rows if p.kind == kind)
        if not mine:
            continue
        share = np.array([sizes[group_of(p)] ** -GROUP_POWER for p in mine])
        measured = np.array([[_measured(p, metric) for p in mine] for metric in weights])
        each = np.array(list(weights.values()))[:, None] * share[None, :]
        weight = np.where(np.isnan(measured), 0.0, each)
        blocks.append(Block(kind, cases_of(mine, catalog), mine, measured, weight))
    return _normalized(blocks)


def _measured(point: Point, metric: str) -> float:
    if metric == "throughput":
        return point.throughput_tok_s
    return (point.tpot_ms if metric == "tpot" else point.ttft_ms) * MILLI


def _normalized(blocks: Sequence[Block]) -> list[Block]:
    """Weights scaled so that they average 1 over figures that are there."""
    total = sum(float(b.weight.sum()) for b in blocks)
    count = sum(int((b.weight > 0).sum()) for b in blocks)
    return [Block(b.kind, b.cases, b.points, b.measured, b.weight * count / total) for b in blocks]


def _predicted(block: Block, found: predict.Prediction) -> Array:
    fields = {
        "tpot": found.tpot_s,
        "ttft": found.ttft_s,
        "throughput": found.throughput_tok_s,
    }
    return np.stack([fields[metric] for metric in WEIGHTS[block.kind]])


class Problem:
    """Residuals and derivatives over the logarithms of the parameters."""

    def __init__(
        self, blocks: Sequence[Block], calibration: Mapping[str, float],
        parameters: Sequence[Parameter], kept: Sequence[NDArray[np.bool_]],
    ) -> None:  # fmt: skip
        self.blocks, self.parameters = tuple(blocks), tuple(parameters)
        self.base = dict(calibration)
        self.weights = [b.weight * keep[None, :] for b, keep in zip(blocks, kept, strict=True)]
        self.settled: list[Array | None] = [None] * len(self.blocks)
        self.prior = np.log([p.prior for p in self.parameters])
        self.spread = np.array([p.spread for p in self.parameters])

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Logarithms of the limits."""
        return (
            np.log([p.low for p in self.parameters]),
            np.log([p.high for p in self.parameters]),
        )

    def start(self) -> Array:
        """The calibration's values, inside the limits."""
        low, high = self.bounds
        values = np.log([self.base[p.name] for p in self.parameters])
        return np.clip(values, low + 1e-6, high - 1e-6)

    def values(self, theta: Array) -> Values:
        """All rows at theta."""
        own = {
            p.name: float(v) for p, v in zip(self.parameters, np.exp(theta).tolist(), strict=True)
        }
        return self.base | own

    def residuals(self, theta: Array, *, near: bool = False) -> Array:
        """Weighted log errors over the knee, and distances from the priors."""
        rows, parts = self.values(theta), []
        for i, (block, weight) in enumerate(zip(self.blocks, self.weights, strict=True)):
            warm = {"near": self.settled[i]} if near and block.kind in _WARM else {}
            found = _RUN[block.kind](block.cases, rows, **warm)
            if not near:
                self.settled[i] = found.sequences
            error = np.log(_predicted(block, found) / block.measured)
            error = np.where((weight > 0) & np.isfinite(error), error, 0.0)
            parts.append((weight * error / KNEE).ravel())
        return np.concatenate([*parts, PRIOR_WEIGHT * (theta - self.prior) / self.spread])

    def jacobian(self, theta: Array) -> Array:
        """Forward differences from the settled loops of the last full evaluation."""
        here = self.residuals(theta, near=True)
        columns = []
        for j in range(len(theta)):
            ahead = theta.copy()
            ahead[j] += STEP
            columns.append((self.residuals(ahead, near=True) - here) / STEP)
        return np.stack(columns, axis=1)


def fit(
    blocks: Sequence[Block],
    calibration: Mapping[str, float],
    *,
    kept: Sequence[NDArray[np.bool_]] | None = None,
    parameters: Sequence[Parameter] = PARAMETERS,
    evaluations_max: int = EVALUATIONS_MAX,
) -> Values:
    """Calibration rows that fit best.

    Parameters
    ----------
    blocks : of `blocks_of`.
    calibration : all rows; the start of the fit.
    kept : points of each block that count; all where not given.
    parameters : rows that move.
    evaluations_max : most evaluations of the full model.

    Returns
    -------
    All rows, the fitted ones replaced.
    """
    keep = [np.ones(len(b.points), bool) for b in blocks] if kept is None else kept
    problem = Problem(blocks, calibration, parameters, keep)
    found = least_squares(
        problem.residuals,
        problem.start(),
        jac=problem.jacobian,
        bounds=problem.bounds,
        loss="soft_l1",
        max_nfev=evaluations_max,
        x_scale=problem.spread,
    )
    return problem.values(np.asarray(found.x))
