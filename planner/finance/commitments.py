"""Commitments: what is covered, what is used, what is wasted, and how much to sign.

Coverage is the share of eligible use that commitments cover, utilization the share of what was
bought that is used; money is saved only by both at once.

.. [1] FinOps Foundation, FinOps KPIs: commitment discount coverage, utilization and effective
       savings rate.
.. [2] AWS, Savings Plans user guide, how savings plans apply: highest saving first, ties by the
       lowest rate; what is not used in an hour is lost.
.. [3] W. Wang, B. Li, B. Liang, To Reserve or Not to Reserve: Optimal Online Multi-Instance
       Acquisition in IaaS Clouds, arXiv 1305.5608.
.. [4] K. J. Arrow, T. Harris, J. Marschak, Optimal Inventory Policy, Econometrica 19(3), 1951.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def coverage(*, covered: float, eligible: float) -> float:
    """Share of eligible use under commitments [1]_; nan where nothing is eligible.

    Examples
    --------
    >>> coverage(covered=75, eligible=100)
    0.75
    """
    return covered / eligible if eligible else math.nan


def utilization(*, used: float, purchased: float) -> float:
    """Share of committed hours or dollars in use [1]_; nan where nothing was bought.

    Examples
    --------
    >>> utilization(used=50, purchased=200)
    0.25
    """
    return used / purchased if purchased else math.nan


def savings_rate(*, coverage_frac: float, utilization_frac: float, discount_frac: float) -> float:
    r"""Effective savings rate of a mix of commitments and on demand [1]_.

    .. math:: c \left(1 - \frac{1 - d}{u}\right)

    for coverage c, discount d off on demand and utilization u: covered use costs (1 - d) / u.
    Negative below the break-even utilization 1 - d.

    Raises
    ------
    ValueError : utilization 0, from which nothing follows about how much was bought in vain.

    Examples
    --------
    >>> savings_rate(coverage_frac=0.8, utilization_frac=1.0, discount_frac=0.25)
    0.2
    >>> savings_rate(coverage_frac=0.8, utilization_frac=0.5, discount_frac=0.25)
    -0.4
    """
    if not utilization_frac:
        raise ValueError("nothing committed is used: the rate depends on how much was bought")
    return coverage_frac * (1 - (1 - discount_frac) / utilization_frac)


def effective_usd_per_h(*, upfront_usd: float, usd_per_h: float, term_hours: float) -> float:
    """Price an hour of the term with what is paid up front spread over it [USD/h].

    Examples
    --------
    >>> effective_usd_per_h(upfront_usd=8760, usd_per_h=2, term_hours=8760)
    3.0
    """
    return upfront_usd / term_hours + usd_per_h


@dataclass(frozen=True)
class CommitmentUse:
    """What became of a spend commitment, by hour [USD/h]; used + unused is the commitment."""

    used: Array
    unused: Array
    on_demand: Array
    """Paid beside the commitment, at on-demand prices."""

    @property
    def cost(self) -> Array:
        """Commitment plus overflow: what the hour costs."""
        return self.used + self.unused + self.on_demand


def apply_commitment(
    commitment_usd_per_h: float, *, plan_usd_per_h: ArrayLike, on_demand_usd_per_h: ArrayLike
) -> CommitmentUse:
    """Spend commitment against the use of each hour: use it or lose it [2]_.

    Items are taken by the highest saving, ties by the lowest committed price; what exceeds the
    commitment is paid on demand.

    Parameters
    ----------
    plan_usd_per_h : cost of each item at committed prices, shape (..., items); leading axes are
        hours.
    on_demand_usd_per_h : of the same items on demand, same shape.

    Examples
    --------
    A commitment of 10 against one item that costs 8, then 15, at half the on-demand price:

    >>> use = apply_commitment(10, plan_usd_per_h=[[8], [15]], on_demand_usd_per_h=[[16], [30]])
    >>> use.unused.tolist(), use.on_demand.tolist(), use.cost.tolist()
    ([2.0, 0.0], [0.0, 10.0], [10.0, 20.0])
    """
    plan, full = np.asarray(plan_usd_per_h, float), np.asarray(on_demand_usd_per_h, float)
    ratio = np.divide(plan, full, out=np.ones_like(plan), where=full > 0)
    order = np.lexsort((plan, ratio), axis=-1)
    plan, full = np.take_along_axis(plan, order, -1), np.take_along_axis(full, order, -1)
    before = np.cumsum(plan, axis=-1) - plan
    taken = np.clip(commitment_usd_per_h - before, 0.0, plan)
    beyond = np.divide(plan - taken, plan, out=np.ones_like(plan), where=plan > 0)
    used = taken.sum(axis=-1)
    return CommitmentUse(used, commitment_usd_per_h - used, (beyond * full).sum(axis=-1))


def newsvendor_quantile(*, committed_usd_per_h: float, on_demand_usd_per_h: float) -> float:
    r"""Quantile of demand up to which committing is cheapest, :math:`(p - c) / p` [4]_.

    The last unit committed is in use with probability 1 - quantile = break-even utilization.
    0 where the commitment costs as much as on demand or more. Cheaper, longer tiers give lower
    layers of the same demand.

    Examples
    --------
    >>> newsvendor_quantile(committed_usd_per_h=3, on_demand_usd_per_h=4)
    0.25
    """
    return max(0.0, (on_demand_usd_per_h - committed_usd_per_h) / on_demand_usd_per_h)


def newsvendor_commitment(
    demand: ArrayLike, *, committed_usd_per_h: float, on_demand_usd_per_h: float
) -> float:
    """Cheapest commitment for demand by equally likely hours, shape (hours,) [unit of demand].

    The smallest observed demand whose share of hours at or below reaches the quantile.

    Examples
    --------
    Committed at 3/4 of on demand, the third of four machines is needed half of the time: no.

    >>> newsvendor_commitment([1, 2, 3, 4], committed_usd_per_h=3, on_demand_usd_per_h=4)
    1.0
    """
    level = newsvendor_quantile(
        committed_usd_per_h=committed_usd_per_h, on_demand_usd_per_h=on_demand_usd_per_h
    )
    if level == 0.0:
        return 0.0
    return float(np.quantile(np.asarray(demand, float), level, method="inverted_cdf"))


@dataclass(frozen=True)
class SkiRental:
    """Cost of deciding without a forecast / cost of the best decision in hindsight, at most."""

    deterministic: float
    randomized: float


def ski_rental_bounds(committed_share: float) -> SkiRental:
    r"""Competitive ratios :math:`2 - \alpha` and :math:`e / (e - 1 + \alpha)` [3]_.

    `committed_share` (alpha) is the hourly rate of a reservation after its fee / the on-demand
    rate.

    Examples
    --------
    >>> ski_rental_bounds(0.5).deterministic
    1.5
    """
    return SkiRental(2 - committed_share, math.e / (math.e - 1 + committed_share))


def halving_ladder(*, target_frac: float, first_frac: float, purchases: int) -> Array:
    """Coverage after each purchase of a ladder that halves its steps, shape (purchases,).

    Each purchase is the largest of first, first / 2, first / 4, ... that keeps coverage at or
    below the target: a rule that buys without a forecast, a baseline to beat.

    Examples
    --------
    >>> halving_ladder(target_frac=0.9, first_frac=0.5, purchases=3).tolist()
    [0.5, 0.75, 0.875]
    """
    reached = np.zeros(purchases)
    covered = 0.0
    for purchase in range(purchases):
        room = target_frac - covered
        if room > 0:
            halvings = max(0, math.ceil(math.log2(first_frac / room)))
            covered += first_frac / 2**halvings
        reached[purchase] = covered
    return reached


def termination_cost(
    payments: ArrayLike, *, owed_frac: float = 1.0, fee: float = 0.0, resale: ArrayLike = 0.0
) -> Array:
    """Cost of leaving a contract at each month's end, shape (months,) [unit of payments].

    What remains to be paid, times the share of it that is owed on leaving, plus a fee, less what
    the rest of the term sells for (`resale`, by month). What was paid up front is gone and no
    part of it.

    Examples
    --------
    >>> termination_cost([10, 10, 10], owed_frac=0.5, fee=1).tolist()
    [11.0, 6.0, 1.0]
    """
    paid = np.asarray(payments, float)
    remaining = paid.sum() - np.cumsum(paid)
    return np.asarray(owed_frac * remaining + fee - np.asarray(resale, float), float)
