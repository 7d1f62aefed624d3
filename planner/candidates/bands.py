"""Bands of configurations: how far a measurement may lie from the model, and what a plan takes.

Three factors on the step time, in this order: what one's own measurements say of the group (the
catalog's corrections), the band in which 80 % of measurements lie, and the quantile of that band
that `planning.plan_at` asks for. Latency and rate of a candidate follow from the slowed steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.candidates.enumerate import Configuration
from planner.candidates.shapes import calibration_keys
from planner.perf import bands
from planner.perf.calibrated import UNPACKED
from planner.perf.shapes import Serving
from planner.schema.catalog import Catalog

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StepBands:
    """Factors on the step time of each configuration; (configurations,) each."""

    correction: Array
    """Own measurements over the model; 1 where there are none."""
    low: Array
    """On the corrected step: a tenth of measurements lies below."""
    high: Array
    """On the corrected step: a tenth of measurements lies above."""
    planned: Array
    """On the corrected step: what the plan takes."""
    labels: tuple[str, ...]
    """measured, calibrated or extrapolated."""

    @property
    def factor(self) -> Array:
        """On the model's step time: the correction and what the plan takes of the band."""
        return self.correction * self.planned


def step_bands(
    configs: Sequence[Configuration],
    shaped: Serving,
    labels: Sequence[str],
    catalog: Catalog,
    plan_at: str,
) -> StepBands:
    """Bands of configurations.

    Parameters
    ----------
    shaped, labels : of `shapes.serving`.
    plan_at : a key of `bands.PLAN_SHARES`.
    """
    calibration = {name: row.value for name, row in catalog.calibration.items()}
    own = own_bands(configs, shaped, catalog)
    traits = bands.traits_of(
        shaped,
        unpacked=_unpacked(configs, catalog),
        extrapolated=np.array([label == bands.EXTRAPOLATED for label in labels]),
        sparse=np.array([bands.is_sparse(calibration, c.accelerator) for c in configs], bool),
        # A load near its limit is planned as such: the queue is computed with the slower steps.
        loaded=np.zeros(len(configs), bool),
        own=own.power,
    )
    low, high = bands.band_factors(calibration, metric="tpot", traits=traits)
    known = (
        bands.known_as(
            calibration, accelerator=c.accelerator, model=c.model, label=label, own=corrected
        )
        for c, label, corrected in zip(configs, labels, own.known.tolist(), strict=True)
    )
    return StepBands(
        correction=own.time_ratio,
        low=low,
        high=high,
        planned=bands.step_quantile(low, high, share_frac=bands.PLAN_SHARES[plan_at]),
        labels=tuple(known),
    )


@dataclass(frozen=True)
class OwnBands:
    """What one's own measurements say of configurations; (configurations,) each."""

    known: NDArray[np.bool_]
    time_ratio: Array
    """1 where not known."""
    power: Array
    """`bands.own_power`; NaN where not known."""


def own_bands(configs: Sequence[Configuration], shaped: Serving, catalog: Catalog) -> OwnBands:
    """Corrections of the catalog, looked up by accelerator, model and engine."""
    rows = [catalog.correction(c.accelerator, c.model, c.engine) for c in configs]
    nothing = np.nan
    return OwnBands(
        known=np.array([row is not None for row in rows], bool),
        time_ratio=np.array([row.time_ratio if row else 1.0 for row in rows], float),
        power=bands.own_power(
            {name: row.value for name, row in catalog.calibration.items()},
            moe=shaped.architecture.moe,
            low=np.array([row.band_low_frac if row else nothing for row in rows], float),
            high=np.array([row.band_high_frac if row else nothing for row in rows], float),
        ),
    )


def _unpacked(configs: Sequence[Configuration], catalog: Catalog) -> NDArray[np.bool_]:
    keys = calibration_keys(configs, catalog)
    pairs = zip(keys["precision"], keys["expert_precision"], strict=True)
    return np.array([bool({*UNPACKED} & {*pair}) for pair in pairs], bool)
