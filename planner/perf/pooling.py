"""Pools: what k replicas behind a work-aware balancer carry, and the line the optimizer uses.

A pool carries more per replica than one replica alone, because a prompt rarely finds all of them
busy and their decode batches fluctuate apart. Burstiness belongs to the pool's stream. The same
formulas as for one replica serve, with the number of replicas as an argument: their errors
against simulated pools behind a least-pending-tokens balancer are `queueing`'s.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from planner.perf.lengths import Lengths
from planner.perf.queueing import lambda_star, stability_limit
from planner.perf.replica import Replica

Array = NDArray[np.float64]

POOL_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)


def pool_rates(
    replica: Replica,
    lengths: Lengths,
    *,
    ttft_s: ArrayLike,
    ttft_percentile: float,
    tpot_s: ArrayLike,
    tpot_percentile: float,
    arrival_cv: float,
    utilization_max: float | None = None,
    pool_sizes: Sequence[int] = POOL_SIZES,
    stability_rps: Array | None = None,
) -> Array:
    """Largest rate of one replica in a pool of each size [1/s], (candidates, pool sizes).

    Arguments as for `lambda_star`. More replicas never carry less each: where the formulas,
    which are different ones for k = 1 and k > 1, say otherwise, the larger pool takes the
    smaller one's rate.
    """
    stable = stability_limit(replica, lengths) if stability_rps is None else stability_rps
    columns = [
        lambda_star(
            replica,
            lengths,
            ttft_s=ttft_s,
            ttft_percentile=ttft_percentile,
            tpot_s=tpot_s,
            tpot_percentile=tpot_percentile,
            arrival_cv=arrival_cv,
            replicas=float(k),
            utilization_max=utilization_max,
            stability_rps=stable,
        ).rate_rps
        for k in sorted(pool_sizes)
    ]
    return np.asarray(np.maximum.accumulate(np.stack(columns, axis=1), axis=1), float)


def capacity_line(
    pool_sizes: ArrayLike, total_rps: ArrayLike, replicas_expected: ArrayLike
) -> tuple[Array, Array]:
    r"""Slope a and offset delta >= 0 of the line a k - delta below every capacity [1/s].

    .. math:: a k_i - \delta \le C_i \quad\forall i

    Beyond the table a replica carries what it does in the largest pool of the table, up to the
    expected size, which no pool exceeds. The lower convex envelope of all these and the origin
    (no replicas carry nothing) is made of such lines; the one taken is the envelope's edge over
    the expected size, so that the line is close where the pool will be, and exact there beyond
    the table. At a tabulated size it is the edge below it.

    Parameters
    ----------
    pool_sizes : k, ascending, at least 1, (sizes,).
    total_rps : C, capacity of the whole pool, (..., sizes), 0 where it carries nothing.
    replicas_expected : of the largest pool that may be needed, a number or (...,).

    Raises
    ------
    ValueError
        Where sizes do not ascend from 1 or more.

    Examples
    --------
    Pools of 1, 2 and 4 carry 0, 3 and 9: beyond one replica the line is 3 k - 3.

    >>> a, delta = capacity_line([1, 2, 4], [0.0, 3.0, 9.0], 3.0)
    >>> float(a), float(delta)
    (3.0, 3.0)

    One of 10 carries 10 x 9 / 4 = 22.5: the lowest chord to it starts at (1, 0), slope 2.5.

    >>> a, delta = capacity_line([1, 2, 4], [0.0, 3.0, 9.0], 10.0)
    >>> float(a), float(delta)
    (2.5, 2.5)
    """
    table = np.asarray(total_rps, float)
    listed = np.concatenate([[0.0], np.asarray(pool_sizes, float)])
    if np.any(np.diff(listed) <= 0) or listed[1] < 1:
        raise ValueError(f"pool sizes must ascend from at least 1, got {list(listed[1:])}")
    expected = np.broadcast_to(np.asarray(replicas_expected, float), table.shape[:-1])
    last = np.ceil(np.maximum(expected, listed[-1]))[..., None]
    sizes = np.concatenate([np.broadcast_to(listed, (*expected.shape, listed.size)), last], axis=-1)
    far = table[..., -1:] * last / listed[-1]
    total = np.concatenate([np.zeros_like(far), table, far], axis=-1)
    gap = np.clip(np.searchsorted(listed, expected, side="left"), 1, listed.size)[..., None]
    middle = (np.take_along_axis(sizes, gap - 1, -1) + np.take_along_axis(sizes, gap, -1)) / 2.0
    # The envelope at a point is the lowest chord across it; chords meet only at its points, and
    # the middle of a gap is none, so the lowest chord there is an edge.
    left, right = np.triu_indices(listed.size + 1, 1)
    width = np.maximum(sizes[..., right] - sizes[..., left], 1e-9)
    slope = (total[..., right] - total[..., left]) / width
    height = total[..., left] + slope * (middle - sizes[..., left])
    across = (sizes[..., left] < middle) & (middle < sizes[..., right])
    height = np.where(across, height, np.inf)
    edge = np.argmin(height, axis=-1)[..., None]
    a = np.take_along_axis(slope, edge, -1)
    delta = a * middle - np.take_along_axis(height, edge, -1)
    return a[..., 0], np.maximum(delta[..., 0], 0.0)


def carried_rps(
    replicas: ArrayLike,
    *,
    peak_replicas: ArrayLike,
    rate_rps: float,
    offset_rps: float,
    small_rps: Sequence[float],
) -> Array:
    """What a pool carries with some of its replicas active [1/s], broadcast; never below 0.

    Parameters
    ----------
    peak_replicas : of the pool at its peak: as many as `small_rps` has sizes, or fewer, carry
        what that says, and the active ones as much less as the line falls; else the line.
    small_rps : what 1, 2, ... replicas carry.

    Examples
    --------
    The line 2.5 k - 1 carries 4 with two replicas; a small pool of two 4.5, with one of them 2.

    >>> line = {"rate_rps": 2.5, "offset_rps": 1.0, "small_rps": [2.0, 4.5]}
    >>> carried_rps([2.0, 1.0], peak_replicas=2, **line).tolist()
    [4.5, 2.0]
    >>> carried_rps([2.0, 4.0], peak_replicas=4, **line).tolist()
    [4.0, 9.0]
    """
    active, size = np.broadcast_arrays(
        np.asarray(replicas, float), np.asarray(peak_replicas, float)
    )
    carried = rate_rps * active - offset_rps
    for k, most in enumerate(small_rps, start=1):
        carried = np.where(size == k, most + rate_rps * (np.minimum(active, k) - k), carried)
    return np.asarray(np.maximum(carried, 0.0), float)
