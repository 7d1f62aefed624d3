"""Spare machines: from failure and repair rates to nodes beyond those that carry the peak.

Failures are taken as independent. A rack-scale system counts its tray as the node; what takes
down the whole rack (switches, power shelf, cooling unit) is not in this figure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtrc

from planner.units import HOURS_PER_YEAR

Whole = NDArray[np.int64]


def node_unavailability(
    *,
    node_gpus: ArrayLike,
    hard_per_gpu_year: float,
    hard_repair_h: float,
    soft_per_gpu_year: float,
    soft_repair_h: float,
) -> NDArray[np.float64]:
    r"""Share of time in which a node is out.

    .. math:: u = g\,(\lambda_h T_h + \lambda_s T_s) / 8760

    Parameters
    ----------
    node_gpus : g; any of them out takes the node out.
    hard_per_gpu_year, hard_repair_h : faults that need a part replaced, and the wait for it.
    soft_per_gpu_year, soft_repair_h : faults that a reset or reboot ends, and its length.

    Raises
    ------
    ValueError : a node that is out all the time: the rates or repair times are wrong.

    Examples
    --------
    Eight GPUs, 4 % replaced a year in 4 days, 8.2 % reset a year in 2.2 h:
    8 x (0.04 x 96 + 0.082 x 2.2) / 8760.

    >>> u = node_unavailability(node_gpus=8, hard_per_gpu_year=0.04, hard_repair_h=96,
    ...                         soft_per_gpu_year=0.082, soft_repair_h=2.2)
    >>> round(float(u), 6)
    0.003672
    """
    hours = hard_per_gpu_year * hard_repair_h + soft_per_gpu_year * soft_repair_h
    u = np.asarray(node_gpus, float) * hours / HOURS_PER_YEAR
    if np.any(u >= 1):
        raise ValueError(f"a node would be out {float(u.max()):.0%} of the time")
    return u


def spares(nodes: ArrayLike, unavailability: ArrayLike, target: float) -> Whole:
    r"""Fewest spare nodes k that keep n nodes working for the target share of time.

    .. math:: \min k:\; P[\mathrm{Binom}(n + k, u) > k] \le 1 - a

    Shape of the broadcast of `nodes` and `unavailability`; 0 where no node is needed.

    Raises
    ------
    ValueError : a negative number of nodes, or an unavailability or target outside [0, 1).

    Examples
    --------
    One node, out 1 % of the time, promised 99.9 %: alone it fails 1 %, with a spare both must
    fail, 0.01 %.

    >>> int(spares(1, 0.01, 0.999))
    1
    """
    n, u = np.broadcast_arrays(np.asarray(nodes, np.int64), np.asarray(unavailability, float))
    if np.any((u < 0) | (u >= 1)) or not 0 <= target < 1:
        raise ValueError("unavailability and target must lie in [0, 1)")
    if np.any(n < 0):
        raise ValueError("a number of nodes cannot be negative")
    k = np.zeros(n.shape, np.int64)
    # 1e-12: a target met exactly must not fail by the last bit of 1 - target.
    allowed = (1 - target) * (1 + 1e-12)
    while np.any(short := (n > 0) & (bdtrc(k, n + k, u) > allowed)):
        k += short
    return k


def spare_line(nodes_max: int, unavailability: float, target: float) -> tuple[float, float]:
    """Slope and offset of the tightest line above the staircase of spares on 1 to `nodes_max`.

    spares(n) <= slope * n + offset for every whole n from 0 to `nodes_max`, with the least mean
    excess over 1 to `nodes_max` and an offset of 0 or more: the edge of the staircase's upper
    concave envelope, with the origin, above the middle of the range.

    Raises
    ------
    ValueError : no node in the range.

    Examples
    --------
    A pool of one node that needs one spare: one spare a node.

    >>> spare_line(1, 0.01, 0.999)
    (1.0, 0.0)
    """
    if nodes_max < 1:
        raise ValueError(f"nodes_max is {nodes_max}: the range 1 to nodes_max is empty")
    k = spares(np.arange(nodes_max + 1), unavailability, target)
    middle = (nodes_max + 1) / 2
    left = 0
    while True:
        slopes = (k[left + 1 :] - k[left]) / np.arange(1, nodes_max + 1 - left)
        # The furthest of equal slopes, so that one edge is one step.
        right = left + 1 + int(np.flatnonzero(slopes >= slopes.max() - 1e-15)[-1])
        if right >= middle or right == nodes_max:
            slope = float(slopes.max())
            return slope, float(k[left]) - slope * left
        left = right
