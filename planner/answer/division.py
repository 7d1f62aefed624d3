"""Division of a shared pool's replicas among the classes that it serves, by what each needs.

Replicas of a pool of several stand under its first candidate in the Solution. In the plan each
class's part has its share of them, so that the parts add up to the pool.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.problem import Problem, Solution

Array = NDArray[np.float64]


def replicas_by_part(p: Problem, x: Solution, used: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Active replicas and replicas at the peak of every candidate.

    Parameters
    ----------
    used : (candidates, sites): pools, or parts, that ever serve.

    Returns
    -------
    (candidates, sites, periods, blocks) and (candidates, sites, periods). Of a candidate that
    serves alone the Solution's own. Of several those of their pool by the shares of its load
    (rate / what a replica carries of the class) in the block; at the peak, and in blocks without
    load, by those in the period's block of most load.
    """
    first = p.pools.first_of
    load = np.where(used[..., None, None], _load(p, x), 0.0)
    whole = np.zeros(load.shape)
    np.add.at(whole, first, load)
    whole = whole[first]
    shares = np.divide(load, whole, out=np.zeros(load.shape), where=whole > 0)
    fullest = whole.argmax(axis=3)[..., None]
    most = np.take_along_axis(shares, fullest, axis=3)
    idle = np.take_along_axis(whole, fullest, axis=3) == 0
    own = (first == np.arange(len(first))).astype(float)[:, None, None, None]
    most = np.where(idle, own, most)
    return (
        np.asarray(np.where(whole > 0, shares, most) * x.replicas[first]),
        np.asarray(most[..., 0] * x.replicas_peak[first]),
    )


def _load(p: Problem, x: Solution) -> Array:
    """Replicas of the line under what each candidate serves; shape of `served_frac`."""
    batch = p.demand.batch[:, None, None]
    rps = np.where(batch, p.demand.mean_rps, p.demand.peak_rps)[p.pools.class_of]
    rate = np.broadcast_to(p.pools.rate_rps[:, None, None], rps.shape)
    full = np.divide(rps, rate, out=np.zeros(rps.shape), where=rate > 0)
    return np.asarray(full[:, None] * x.served_frac)
