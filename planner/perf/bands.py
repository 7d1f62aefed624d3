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

Widths of several rules multiply, to at most `WIDEST`. A user's own measurements of a group
replace them by a power of their own.

The error is common to a (model, hardware) group: of two candidates of one group either both are
slower than predicted or neither. A plan therefore takes one quantile of it, not one a candidate:
`step_quantile` of the band of the time per output token, which is where the time of a step shows
undisturbed. The wider band of the time to first token holds what benchmarks add around the steps
(prompts that arrive together, the server's path) and is no error of the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtri

from planner.perf.shapes import Array, Flags, Serving

METRICS = ("tpot", "ttft", "throughput")
RULES = ("latent", "linear", "unpacked", "grouped", "extrapolated", "sparse", "loaded")
COVERED_FRAC = 0.8
"""Share of measurements between the low and the high factor."""
PLAN_SHARES = {"p50": 0.5, "p80": 0.8, "p95": 0.95}
"""Share of measurements that are no slower than a plan assumes, by the name a scenario gives."""
MEASURED, CALIBRATED, EXTRAPOLATED = "measured", "calibrated", "extrapolated"
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
    own: Array = field(default_factory=lambda: np.array(np.nan))
    """Power that measurements of one's own give in place of the rules'; NaN where there are none.
    """


def known_as(
    calibration: Mapping[str, float], *, accelerator: str, model: str, label: str, own: bool
) -> str:
    """How well a candidate is known: measured, calibrated or extrapolated.

    Parameters
    ----------
    label : of its coefficients, `calibrated.coefficients`.
    own : whether measurements of one's own correct its group.

    Examples
    --------
    >>> rows = {"fitted_rows_h100-sxm_llama-3.1-8b": 40.0}
    >>> group = {"accelerator": "h100-sxm", "model": "llama-3.1-8b"}
    >>> known_as(rows, **group, label="calibrated", own=False)
    'measured'
    >>> known_as(rows, **group, label="extrapolated", own=False)
    'extrapolated'
    """
    fitted = calibration.get(f"{FITTED}{accelerator}_{model}", 0.0) > 0
    return MEASURED if own or (fitted and label == CALIBRATED) else label


def less_known(label: str, other: str) -> str:
    """The worse of two labels: what stands on both is known no better.

    Examples
    --------
    >>> less_known("measured", "extrapolated"), less_known("calibrated", "measured")
    ('extrapolated', 'calibrated')
    """
    return max(label, other, key=(MEASURED, CALIBRATED, EXTRAPOLATED).index)


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
    serving: Serving,
    *,
    unpacked: Flags,
    extrapolated: Flags,
    sparse: Flags,
    loaded: Flags,
    own: Array,
) -> Traits:
    """Traits of candidates: what their model and layout say, four flags, and a power of their own.

    Parameters
    ----------
    unpacked : the calibration's precision is w4 or w8, of linear layers or experts.
    extrapolated : the label of the candidate's coefficients.
    sparse : of `is_sparse`.
    loaded : arrivals above `LOADED_FRAC` of what a replica can carry.
    own : `own_power` of the group's own measurements, NaN where there are none.
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
        own=np.asarray(own, float),
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
    return np.asarray(np.where(np.isnan(traits.own), np.minimum(power, WIDEST), traits.own))


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


def spread(low: Array | float, high: Array | float) -> Array:
    """Standard deviation of the logarithm of measured over predicted that a band stands for.

    Examples
    --------
    A tenth lies below 1/1.2, a tenth above 1.2: ln 1.2 / 1.2816.

    >>> round(float(spread(1 / 1.2, 1.2)), 4)
    0.1423
    """
    return np.asarray(np.log(np.asarray(high) / np.asarray(low)) / (2 * _tail_score()))


def band_ends(deviation: float) -> tuple[float, float]:
    """Low and high factor of a band around 1 with this spread of logarithms.

    Examples
    --------
    >>> [round(end, 4) for end in band_ends(0.1423)]
    [0.8333, 1.2001]
    """
    side = float(np.exp(deviation * _tail_score()))
    return 1 / side, side


def own_power(calibration: Mapping[str, float], *, moe: Flags, low: Array, high: Array) -> Array:
    """Power of the packaged band that is as wide as a band of one's own; NaN where that is NaN.

    Parameters
    ----------
    low, high : factors on the time per output token.

    Examples
    --------
    >>> rows = {"band_tpot_dense_low_frac": 0.64, "band_tpot_dense_high_frac": 1.5625}
    >>> rows |= {"band_tpot_moe_low_frac": 0.5, "band_tpot_moe_high_frac": 2.0}
    >>> own_power(rows, moe=np.array([False]), low=np.array([0.8]), high=np.array([1.25]))
    array([0.5])
    """
    sides = [
        np.where(
            moe,
            calibration[row_name("tpot", moe=True, side=side)],
            calibration[row_name("tpot", moe=False, side=side)],
        )
        for side in ("low", "high")
    ]
    return np.asarray(spread(low, high) / spread(sides[0], sides[1]))


def step_quantile(low: Array | float, high: Array | float, *, share_frac: float) -> Array:
    """Factor on the step time that is not exceeded in this share of cases.

    A log-normal on either side of the prediction: a tenth of measurements lies below `low`, half
    below 1, nine tenths below `high`. A side of the band that lies beyond the prediction gives 1.

    Parameters
    ----------
    low, high : of `band_factors`.
    share_frac : 0.8 plans on steps that four of five measurements do not exceed.

    Examples
    --------
    The scores of 80 % and 90 % are 0.8416 and 1.2816: 1.3 ^ 0.6567 = exp(0.1723).

    >>> [round(float(step_quantile(0.8, 1.3, share_frac=p)), 3) for p in (0.1, 0.5, 0.8, 0.9)]
    [0.8, 1.0, 1.188, 1.3]
    """
    score = float(ndtri(share_frac)) / _tail_score()
    side = np.minimum(low, 1.0) ** -score if score < 0 else np.maximum(high, 1.0) ** score
    return np.asarray(side, float)


def _tail_score() -> float:
    return float(ndtri((1 + COVERED_FRAC) / 2))
