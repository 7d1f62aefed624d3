"""Pressure on the KV cache: how often a request meets no room for it at a given rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.perf.arrivals import Arrivals
from planner.perf.lengths import Lengths
from planner.perf.operating_point import admission_of, operate, spread_of
from planner.perf.replica import Replica

Array = NDArray[np.float64]


def kv_wait_frac(
    replica: Replica,
    lengths: Lengths,
    rate_rps: Array,
    *,
    arrival_cv: float,
    replicas: float,
    stability_rps: Array,
) -> Array:
    """Probability that a request finds the KV cache full and waits for room, (candidates,).

    Or the sequence slots, where these are scarcer (`admission.blocking`).

    Parameters
    ----------
    rate_rps : of one replica of the pool, (candidates,).
    arrival_cv : of the gaps of the stream that enters the pool.
    replicas : of the pool.

    Returns
    -------
    1 at and beyond the stability limit; nan where the rate is not above 0.

    Examples
    --------
    A cache of a million tokens against a dozen requests of 200 tokens is never full:

    >>> from planner.perf.lengths import from_samples
    >>> numbers = (0.002, 0.001, 0.01, 1e-5, 1e-5, 1e-8, 0.0, 8192.0, 256.0, 1e6)
    >>> one = Replica(*(np.array([number]) for number in numbers))
    >>> waiting = kv_wait_frac(one, from_samples([100.0], [100.0]), np.array([10.0]),
    ...                        arrival_cv=1.0, replicas=4.0, stability_rps=np.array([100.0]))
    >>> bool(waiting[0] < 1e-6)
    True
    """
    some = np.where(rate_rps > 0, rate_rps, 1e-9)
    point = operate(replica, lengths, Arrivals(arrival_cv**2, replicas), rate_rps=some)
    blocked = admission_of(point, spread_of(point), stability_rps)
    full = ~point.steady | (rate_rps >= stability_rps)
    return np.where(rate_rps > 0, np.where(full, 1.0, blocked.prob), np.nan)
