r"""Regions of mixes: the rates of several classes that one pool carries, and lines below them.

On a ray of fixed shares w the border of the region is the largest total rate Lambda(w), and below
it lies the linear row

.. math:: \sum_d \lambda_d / r_d \le 1, \qquad \sum_d w_d / r_d \ge 1 / \Lambda(w)

for all rays tried, the ends included, where a class is almost absent but its promise is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog

from planner.perf.mixture import Member, mix_star, mixed
from planner.perf.pooling import capacity_line
from planner.perf.queueing import Binding, stability_limit
from planner.perf.replica import Replica

Array = NDArray[np.float64]

RAYS = (0.002, 0.02, 0.06, 0.15, 0.3, 0.5, 0.7, 0.85, 0.94, 0.98, 0.998)
"""Shares of one class of two: the border bends most where the other is almost absent."""
MOST_ROWS = 2.0
"""Replicas of a row that the traffic takes, over those of the border on its own ray, at most."""
CAPS = (int(Binding.UTILIZATION_CAP), int(Binding.STABILITY))
"""Bindings that no pool's size lifts."""
NOISE_FRAC = 1e-9
"""An offset below this share of the slope is rounding."""
RARE_FRAC = 0.002
"""Share of a class that is almost absent from a mix of three or more."""
ROW_MARGIN = 0.05
"""Share by which pools carry less than the row below the border: of ten mixes in pools of 2 and 8
two pools of 2 lay up to 1 % above what simulation keeps with a margin of 3 %, none with this."""


def rays(members: int) -> Array:
    """Shares on which the border is computed, (rays, members): inner ones and all ends.

    Examples
    --------
    >>> rays(2)[0].tolist(), rays(3).shape
    ([0.002, 0.998], (16, 3))
    """
    if members == 2:
        first = np.array(RAYS)
        return np.stack([first, 1.0 - first], axis=1)
    ends = np.eye(members)
    pairs = [(ends[a] + ends[b]) / 2 for a in range(members) for b in range(a)]
    inner = [0.5 * end + 0.5 / members for end in ends]
    tilted = [
        0.85 * ends[a] + 0.15 * ends[b] for a in range(members) for b in range(members) if a != b
    ]
    rows = np.array([*ends, *pairs, *inner, *tilted, np.full(members, 1 / members)])
    rows = np.maximum(rows, RARE_FRAC)
    return np.asarray(rows / rows.sum(axis=1, keepdims=True), float)


def shares_of(rates_rps: Array) -> Array:
    """Shares of a stream's requests, none of them 0.

    Examples
    --------
    >>> shares_of(np.array([3.0, 1.0])).tolist()
    [0.75, 0.25]
    """
    shares = np.maximum(rates_rps / rates_rps.sum(), RARE_FRAC)
    return np.asarray(shares / shares.sum(), float)


def border(
    replica: Replica,
    members: Sequence[Member],
    shares: Array,
    *,
    replicas: float = 1.0,
    utilization_max: float | None = None,
) -> Array:
    """Largest total rates of one replica on rays of fixed shares [1/s], (candidates, rays)."""
    columns = [
        mix_star(replica, members, row, replicas=replicas, utilization_max=utilization_max).rate_rps
        for row in shares.tolist()
    ]
    return np.stack(columns, axis=1)


def linear_row(shares: Array, border_rps: Array, expected: ArrayLike) -> Array:
    r"""Rates r of a row sum of lambda_d / r_d <= 1 that lies below a border on all its rays.

    The one that allows most on the expected ray.

    Parameters
    ----------
    shares : (rays, members), each of sum 1.
    border_rps : of one candidate, (rays,).
    expected : shares of the traffic to be carried, (members,).

    Returns
    -------
    (members,) [1/s]; 0 where the border is 0 on any ray: no row lies below it.

    Examples
    --------
    The border of a queue that only counts work: 4/s of one, 1/s of the other, on the middle ray
    1 / (0.5 / 4 + 0.5 / 1) = 1.6. The row is that line.

    >>> three = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    >>> linear_row(three, np.array([4.0, 1.6, 1.0]), [0.5, 0.5]).round(4).tolist()
    [4.0, 1.0]

    Where the short class is late once any of the long one is there, it counts as long.

    >>> linear_row(three, np.array([1.0, 1.0, 1.0]), [0.5, 0.5]).round(4).tolist()
    [1.0, 1.0]
    """
    if not np.all(border_rps > 0):
        return np.zeros(shares.shape[1])
    scale = float(border_rps.max())
    found = linprog(
        np.asarray(expected, float), A_ub=-shares, b_ub=-scale / border_rps, bounds=(0.0, None)
    )
    slowness = np.maximum(
        np.asarray(found.x, float), 1.0
    )  # no class is faster than the fastest ray
    return np.asarray(scale / slowness, float)


def pool_parts(shares: Array, border_rps: Array, row_rps: Array) -> float:
    """What a pool carries for each of its replicas, in rows: the least over all rays.

    A pool of k replicas whose own border is lower than the row by a fifth carries 0.8 k rows.

    >>> pool_parts(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([4.0, 0.8]), np.array([4.0, 1.0]))
    0.8
    """
    return float((border_rps * (shares @ (1.0 / row_rps))).min())


@dataclass(frozen=True)
class MixLine:
    """What a pool of k replicas carries of each member; arrays (members, ...)."""

    rate_rps: Array
    """Slope: sum of lambda_d / rate_d <= k - offset / rate."""
    offset_rps: Array
    """Over the rate the same for all members."""
    pool_rps: Array
    """(members, pool sizes): sum of lambda_d / (k pool_dk) <= 1 in a pool of k."""


def mix_lines(
    replica: Replica,
    members: Sequence[Member],
    *,
    expected_rps: ArrayLike,
    pool_sizes: Sequence[int],
    utilization_max: float | None = None,
) -> list[MixLine | None]:
    """Line of each candidate's pools below the border of every size; None where there is none.

    The row is fitted at the tabulated size nearest below the pool expected; pools of other sizes
    carry as many rows as they do on their worst ray. Pools far larger than all traffic takes
    are not asked: their replicas are taken to carry what those of the largest asked do.

    Parameters
    ----------
    expected_rps : the members' largest rates, to be carried by one pool [1/s], (members,).
    pool_sizes : k, ascending from 1.
    """
    asked, shares = np.asarray(expected_rps, float), rays(len(members))
    alone = mix_star(
        replica, members, shares_of(asked).tolist(), utilization_max=utilization_max
    ).rate_rps.max()
    most = MOST_ROWS * asked.sum() / alone if alone > 0 else np.inf
    needed = [k for before, k in zip((0, *pool_sizes), pool_sizes, strict=False) if before < most]
    columns = [_of_ray(replica, members, row, needed, utilization_max) for row in shares]
    by_size = np.stack(columns, axis=2)
    by_size = by_size[np.minimum(np.arange(len(pool_sizes)), len(needed) - 1)]
    return [_line(shares, by_size[:, c], asked, pool_sizes) for c in range(by_size.shape[1])]


def _of_ray(
    replica: Replica,
    members: Sequence[Member],
    shares: Array,
    pool_sizes: Sequence[int],
    utilization_max: float | None,
) -> Array:
    """Border of pools of every size on one ray, (sizes, candidates).

    More replicas never carry less each: what no larger pool exceeds is not asked again.
    """
    row = shares.tolist()
    stable = stability_limit(replica, mixed([m.lengths for m in members], row))
    found = np.zeros((len(pool_sizes), stable.size))
    for n, k in enumerate(pool_sizes):
        star = mix_star(
            replica, members, row, replicas=float(k), utilization_max=utilization_max,
            stability_rps=stable,
        )  # fmt: skip
        found[n:] = np.maximum(found[n], star.rate_rps)
        if np.isin(star.binding, CAPS).all():
            break
    return found


def _line(shares: Array, borders: Array, asked: Array, pool_sizes: Sequence[int]) -> MixLine | None:
    """One candidate's line; borders (sizes, rays)."""
    sizes, usual = np.array(pool_sizes, float), asked / asked.sum()
    row = linear_row(shares, borders[-1], usual)
    if not np.all(row > 0):
        return None
    expected = max(float((asked / row).sum()), 1.0)
    fitted = int(np.searchsorted(sizes, expected, side="right")) - 1
    if np.all(borders[fitted] > 0):
        row = linear_row(shares, borders[fitted], usual)
    parts = np.array([pool_parts(shares, values, row) for values in borders])
    carried = parts * (1.0 - ROW_MARGIN) * sizes
    slope, offset = (float(x) for x in capacity_line(sizes, carried, expected))
    offset = offset if offset > NOISE_FRAC * slope else 0.0
    return MixLine(slope * row, offset * row, row[:, None] * carried / sizes)
