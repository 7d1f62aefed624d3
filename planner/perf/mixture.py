r"""Mixes: classes that share a pool, and the rates at which every class's own promise holds.

Queue, steps and occupancy are those of the mixed stream; the chance to come late is asked for each
class over its own requests. Adding shares of the classes' own largest rates is no answer: short
prompts behind long ones come late long before a replica is busy. The rates that keep all promises
form a region; on a ray of fixed shares w its border is the largest total rate Lambda(w), and below
it lies the linear row

.. math:: \sum_d \lambda_d / r_d \le 1, \qquad \sum_d w_d / r_d \ge 1 / \Lambda(w)

for all rays tried, the ends included, where a class is almost absent but its promise is kept.

References
----------
Whitt, The queueing network analyzer, Bell System Technical Journal 62(9), 1983 (variability of
superposed streams: the rate-weighted mean of their squared coefficients of variation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog

from planner.perf.arrivals import Arrivals
from planner.perf.lengths import CHUNK_GRID, Lengths
from planner.perf.operating_point import Point, admission_of, operate, spread_of
from planner.perf.pooling import capacity_line
from planner.perf.prefill_queue import Service
from planner.perf.queueing import (
    Capacity,
    fits,
    largest_rate,
    of,
    promise_of,
    stability_limit,
    trusted_utilization,
    violation,
)
from planner.perf.replica import Replica
from planner.perf.steps import take

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

RAYS = (0.002, 0.02, 0.06, 0.15, 0.3, 0.5, 0.7, 0.85, 0.94, 0.98, 0.998)
"""Shares of one class of two: the border bends most where the other is almost absent."""
NOISE_FRAC = 1e-9
"""An offset below this share of the slope is rounding."""
SMALL_SIZES = (1, 2, 3)
"""Pools whose capacity is said without a line."""
RARE_FRAC = 0.002
"""Share of a class that is almost absent from a mix of three or more."""
ROW_MARGIN = 0.03
"""Share by which pools carry less than the row below the border: of ten mixes in pools of 2 and 8
two broke a promise in simulation without it, by up to 2 % of the rate."""


@dataclass(frozen=True)
class MixedLengths(Lengths):
    """Lengths of a mixed stream: nodes of one class after another, everything else a mean."""

    computed_mean: float
    computed_nodes: Array
    context_nodes: Array
    context_pairs: float

    @property
    def computed(self) -> float:
        """Mean of `computed_tokens` over requests."""
        return self.computed_mean

    @property
    def computed_tokens(self) -> Array:
        """I' of each node."""
        return self.computed_nodes

    @property
    def context_tokens(self) -> Array:
        """Prompt-token x context pairs of each node's own attention."""
        return self.context_nodes

    @property
    def context_mean(self) -> float:
        """Mean of `context_tokens` over requests."""
        return self.context_pairs


@dataclass(frozen=True)
class LengthsAmongOthers(Lengths):
    """A class's own lengths, with the decodes and contexts that it meets in the mixed stream."""

    met_context: float

    @property
    def context_rate(self) -> float:
        """Mean context that a token of a full chunk attends to, of all classes."""
        return self.met_context


@dataclass(frozen=True)
class Member:
    """One class of a mix: its lengths, what it was promised, and how bursty it is."""

    lengths: Lengths
    ttft_s: ArrayLike
    """A number or (candidates,)."""
    ttft_percentile: float
    tpot_s: ArrayLike
    tpot_percentile: float
    arrival_cv: float = 1.0


def mixed(parts: Sequence[Lengths], shares: Sequence[float]) -> MixedLengths:
    """Lengths of a stream in which a request is of part d with probability shares[d].

    Examples
    --------
    Three of four requests have 100 tokens, one has 500: 200 in the mean.

    >>> from planner.perf.lengths import from_samples
    >>> both = mixed([from_samples([100.0], [11.0]), from_samples([500.0], [51.0])], [0.75, 0.25])
    >>> both.input_mean, both.output_mean, both.input_square  # 0.75 x 10,000 + 0.25 x 250,000
    (200.0, 21.0, 70000.0)
    """
    weight = np.asarray(shares, float)

    def mean(values: Sequence[float]) -> float:
        return float(weight @ np.array(values))

    def square(mean_of: str, scv_of: str) -> float:
        return mean([(getattr(x, scv_of) + 1.0) * getattr(x, mean_of) ** 2 for x in parts])

    plain = ("input_mean", "input_square", "input_cube", "output_mean", "decode_steps",
             "kv_steps", "kv_square_steps")  # fmt: skip
    moments = {name: mean([getattr(x, name) for x in parts]) for name in plain}
    budgets = np.geomspace(1.0, max(x.chunk_budgets[-1] for x in parts), CHUNK_GRID)
    computed = mean([x.computed for x in parts])
    return MixedLengths(
        weights=np.concatenate([w * x.weights for w, x in zip(weight, parts, strict=True)]),
        input_tokens=_joined(parts, "input_tokens"),
        output_tokens=_joined(parts, "output_tokens"),
        total_tokens=_joined(parts, "total_tokens"),
        prefix_hit_frac=1.0 - computed / moments["input_mean"],
        output_scv=_scv(square("output_mean", "output_scv"), moments["output_mean"]),
        kv_steps_scv=_scv(square("kv_steps", "kv_steps_scv"), moments["kv_steps"]),
        chunk_budgets=budgets,
        chunk_counts=np.tensordot(weight, [x.extra_chunks(budgets) for x in parts], axes=1),
        computed_mean=computed,
        computed_nodes=_joined(parts, "computed_tokens"),
        context_nodes=_joined(parts, "context_tokens"),
        context_pairs=mean([x.context_mean for x in parts]),
        **moments,
    )


def _joined(parts: Sequence[Lengths], name: str) -> Array:
    return np.concatenate([getattr(x, name) for x in parts])


def _scv(square: float, mean: float) -> float:
    return max(square / mean**2 - 1.0, 0.0) if mean > 0 else 0.0


def mix_star(
    replica: Replica,
    members: Sequence[Member],
    shares: Sequence[float],
    *,
    replicas: float = 1.0,
    utilization_max: float | None = None,
) -> Capacity:
    """Largest total rate of one replica at which the promises to all members hold [1/s].

    Parameters
    ----------
    shares : of the requests, above 0, of sum 1.
    replicas : k behind a work-aware balancer.
    utilization_max : most of the mixed stream's stability limit; as in `lambda_star` if not given.

    Returns
    -------
    Rates 0 where a promise fails without load, or the cache cannot hold a member's long request.
    The binding is that of the member whose promise broke first.
    """
    shape = replica.overhead_s.shape
    stream = mixed([m.lengths for m in members], shares)
    scv = float(np.dot(shares, [m.arrival_cv**2 for m in members]))
    arrivals = Arrivals(scv, replicas)
    stable = stability_limit(replica, stream)
    promises = [
        promise_of(shape, m.ttft_s, m.ttft_percentile, m.tpot_s, m.tpot_percentile) for m in members
    ]
    holds = stable > 0
    for m in members:
        holds = holds & fits(replica, m.lengths, max(m.ttft_percentile, m.tpot_percentile))

    def worst(rate: Array, index: Whole) -> tuple[Array, Whole]:
        point = operate(take(replica, index), stream, arrivals, rate_rps=rate)
        spread = spread_of(point)
        blocked = admission_of(point, spread, stable[index])
        found = [
            violation(seen, spread, blocked, of(promise, index))
            for seen, promise in zip(_seen(point, members), promises, strict=True)
        ]
        excess = np.stack([value for value, _ in found])
        first = np.argmax(excess, axis=0)[None]
        codes = np.stack([code for _, code in found])
        return excess.max(axis=0), np.take_along_axis(codes, first, 0)[0]

    if utilization_max is None:
        utilization_max = trusted_utilization(float(np.sqrt(scv)))
    return largest_rate(worst, holds=holds, stable=stable, utilization_max=utilization_max)


def _seen(point: Point, members: Sequence[Member]) -> list[Point]:
    """The mixed stream's point as the requests of each member see it."""
    found, first, stream = [], 0, point.lengths
    for member in members:
        own = member.lengths
        last = first + own.weights.size
        service = Service(*(getattr(point.service, f.name)[:, first:last] for f in fields(Service)))
        mean_s = service.mean_s @ own.weights
        square = service.mean_s**2 @ own.weights
        wait = point.wait
        waited = wait.prob * (wait.variance_s2 + wait.mean_s**2) - wait.overall_s**2
        found.append(
            replace(
                point,
                lengths=_among(own, stream),
                service=service,
                ttft_mean_s=wait.overall_s + mean_s,
                ttft_variance_s2=np.maximum(waited + square - mean_s**2, 0.0),
            )
        )
        first = last
    return found


def _among(own: Lengths, stream: Lengths) -> Lengths:
    """A class's lengths, with what it meets while it decodes; alone where it never decodes."""
    values = {f.name: getattr(own, f.name) for f in fields(Lengths)}
    if own.decode_steps > 0:
        values |= {"decode_steps": stream.decode_steps, "kv_steps": stream.kv_steps}
    return LengthsAmongOthers(**values, met_context=stream.context_rate)


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
    small_rps: Array
    """(members, 3): sum of lambda_d / small_d <= 1 in pools of 1, 2 and 3."""


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
    carry as many rows as they do on their worst ray.

    Parameters
    ----------
    expected_rps : the members' largest rates, to be carried by one pool [1/s], (members,).
    pool_sizes : k, ascending from 1, with 1, 2 and 3 among them.
    """
    asked, shares = np.asarray(expected_rps, float), rays(len(members))
    borders = [
        border(replica, members, shares, replicas=float(k), utilization_max=utilization_max)
        for k in pool_sizes
    ]
    # More replicas never carry less each.
    by_size = np.maximum.accumulate(np.stack(borders), axis=0)
    return [_line(shares, by_size[:, c], asked, pool_sizes) for c in range(by_size.shape[1])]


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
    small = carried[[list(pool_sizes).index(k) for k in SMALL_SIZES]]
    return MixLine(slope * row, offset * row, row[:, None] * small)
