"""Bands: how far measurements lie from a prediction, by what is predicted and of what.

A band is a pair of factors: 80 % of measurements lie between low x prediction and high x
prediction. Factors come from group cross-validation (each accelerator with each model predicted
by a fit that saw neither of the two together), one pair for dense models and one for mixtures of
experts. Where a candidate leaves what was measured, both factors move away from 1 by a power:

==============  =====================================================================
rule            applies to
==============  =====================================================================
latent          multi-head latent attention
linear          models with linear-attention layers
unpacked        weights stored narrower than the arithmetic that multiplies them
grouped         data parallel attention
extrapolated    a coefficient was inherited from another generation or precision
sparse          fewer than `SPARSE_ROWS` points of the accelerator were fitted: its models, engines
                and years are a small sample of those it will meet
loaded          arrivals above `LOADED_FRAC` of what the replica can carry: near the limit a
                small error of the limit is a large one of the latency
==============  =====================================================================

Widths of several rules multiply, to at most `WIDEST`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from planner.perf.shapes import Array, Flags, Serving

METRICS = ("tpot", "ttft", "throughput")
RULES = ("latent", "linear", "unpacked", "grouped", "extrapolated", "sparse", "loaded")
LOADED_FRAC = 0.7
FITTED = "fitted_rows_"
"""Rows of the calibration that count the fitted points of an accelerator with a model."""
SPARSE_ROWS = 200.0
WIDEST = 5.0
"""Most by which rules multiply the logarithm of a factor."""


@dataclass(frozen=True)
class Traits:
    """What decides a candidate's band; (candidates,) each."""

    moe: Flags
    """Mixture of experts."""
    latent: Flags
    linear: Flags
    unpacked: Flags
    grouped: Flags
    extrapolated: Flags
    sparse: Flags
    loaded: Flags


def is_sparse(calibration: Mapping[str, float], accelerator: str) -> bool:
    """Whether fewer than `SPARSE_ROWS` points of an accelerator were fitted.

    Examples
    --------
    >>> is_sparse({"fitted_rows_mi300x_llama": 56.0, "fitted_rows_h100-sxm_llama": 900.0}, "mi300x")
    True
    """
    start = f"{FITTED}{accelerator}_"
    rows = sum(value for name, value in calibration.items() if name.startswith(start))
    return rows < SPARSE_ROWS


def traits_of(
    serving: Serving, *, unpacked: Flags, extrapolated: Flags, sparse: Flags, loaded: Flags
) -> Traits:
    """Traits of candidates: what their model and layout say, and four flags.

    Parameters
    ----------
    unpacked : the calibration's precision is w4 or w8, of linear layers or experts.
    extrapolated : the label of the candidate's coefficients.
    sparse : of `is_sparse`.
    loaded : arrivals above `LOADED_FRAC` of what a replica can carry.
    """
    model = serving.architecture
    return Traits(
        moe=model.moe,
        latent=model.mla,
        linear=np.asarray(model.linear_layers > 0),
        unpacked=np.asarray(unpacked),
        grouped=np.asarray(serving.layout.attention_groups > 1),
        extrapolated=np.asarray(extrapolated),
        sparse=np.asarray(sparse),
        loaded=np.asarray(loaded),
    )


def row_name(metric: str, *, moe: bool, side: str) -> str:
    """Name of a calibration row.

    Examples
    --------
    >>> row_name("tpot", moe=True, side="low")
    'band_tpot_moe_low_frac'
    """
    return f"band_{metric}_{'moe' if moe else 'dense'}_{side}_frac"


def width(calibration: Mapping[str, float], traits: Traits) -> Array:
    """Power to which the band's factors are raised; 1 where no rule applies.

    Examples
    --------
    >>> rows = {f"band_widen_{rule}": 1.5 for rule in RULES}
    >>> yes, no = np.array([True, True]), np.array([False, False])
    >>> only = np.array([True, False])
    >>> float(width(rows, Traits(yes, yes, no, no, no, only, no, no))[0])
    2.25
    """
    power = np.ones(np.shape(traits.moe))
    for rule in RULES:
        power = power * np.where(getattr(traits, rule), calibration[f"band_widen_{rule}"], 1.0)
    return np.asarray(np.minimum(power, WIDEST))


def band_factors(
    calibration: Mapping[str, float], *, metric: str, traits: Traits
) -> tuple[Array, Array]:
    """Low and high factor of each candidate on its predicted `metric`.

    Parameters
    ----------
    calibration : rows band_<metric>_<dense|moe>_<low|high>_frac and band_widen_<rule>.
    metric : tpot, ttft or throughput.

    Examples
    --------
    >>> rows = {f"band_widen_{rule}": 1.0 for rule in RULES}
    >>> rows |= {"band_tpot_dense_low_frac": 0.8, "band_tpot_dense_high_frac": 1.25}
    >>> rows |= {"band_tpot_moe_low_frac": 0.7, "band_tpot_moe_high_frac": 1.4}
    >>> no = np.array([False, False])
    >>> low, high = band_factors(
    ...     rows, metric="tpot", traits=Traits(np.array([False, True]), *[no] * 7))
    >>> low.tolist(), high.tolist()
    ([0.8, 0.7], [1.25, 1.4])
    """
    power = width(calibration, traits)
    sides = []
    for side in ("low", "high"):
        dense = calibration[row_name(metric, moe=False, side=side)]
        moe = calibration[row_name(metric, moe=True, side=side)]
        sides.append(np.asarray(np.where(traits.moe, moe, dense) ** power))
    return sides[0], sides[1]
