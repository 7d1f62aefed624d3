"""The promise to the last token, as the engine sees it: less the request's own path."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.perf.curve import e2e_at
from planner.perf.disaggregated import Unit
from planner.perf.lengths import Lengths
from planner.perf.replica import Replica
from planner.schema.demand import Slo
from planner.units import MILLI

Array = NDArray[np.float64]

LEAST_S = 1e-6
"""Of a promise that the request's own path already breaks: nothing keeps it."""


def target_s(slo: Slo, request_s: Array) -> Array | None:
    """Time from arrival to the last token, (candidates,); None where it is not promised.

    Examples
    --------
    >>> target_s(Slo(ttft_ms=1000, tpot_ms=50, e2e_ms=8000), np.array([0.5, 9.0])).tolist()
    [7.5, 1e-06]
    """
    return None if slo.e2e_ms is None else np.maximum(slo.e2e_ms * MILLI - request_s, LEAST_S)


def zero_load_s(
    slo: Slo,
    replica: Replica | Unit,
    lengths: Lengths,
    *,
    stability_rps: Array,
    request_s: Array,
) -> Array:
    """Time to the last token without other traffic, the path included; nan: not promised."""
    if slo.e2e_ms is None:
        return np.full(stability_rps.shape, np.nan)
    engine = e2e_at(
        replica, lengths, 0.0, percentile=slo.e2e_percentile, stability_rps=stability_rps
    )
    return np.asarray(engine + request_s, float)
