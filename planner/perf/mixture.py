"""Mixes: classes that share a pool, and the rates at which every class's own promise holds.

Queue, steps and occupancy are those of the mixed stream; the chance to come late is asked for each
class over its own requests. Adding shares of the classes' own largest rates is no answer: short
prompts behind long ones come late long before a replica is busy.

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

from planner.perf.arrivals import Arrivals
from planner.perf.lengths import CHUNK_GRID, Lengths
from planner.perf.operating_point import (
    Point,
    admission_of,
    operate,
    spread_of,
    tpot_exceeds,
    ttft_exceeds,
)
from planner.perf.prefill_queue import Service
from planner.perf.queueing import (
    ZERO_LOAD_FRAC,
    Capacity,
    allowed_frac,
    fits,
    largest_rate,
    of,
    promise_of,
    quantile,
    stability_limit,
    trusted_utilization,
    violation,
)
from planner.perf.replica import Replica
from planner.perf.steps import take

Array = NDArray[np.float64]
Whole = NDArray[np.int64]


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
    e2e_s: ArrayLike | None = None
    """Time to the last token; None where it is not promised."""
    e2e_percentile: float = 0.95

    @property
    def longest_percentile(self) -> float:
        """Highest share of requests that must be served."""
        found = self.ttft_percentile, self.tpot_percentile
        return max(*found, 0.0 if self.e2e_s is None else self.e2e_percentile)


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
    stability_rps: Array | None = None,
) -> Capacity:
    """Largest total rate of one replica at which the promises to all members hold [1/s].

    Parameters
    ----------
    shares : of the requests, above 0, of sum 1.
    replicas : k behind a work-aware balancer.
    utilization_max : most of the mixed stream's stability limit; as in `lambda_star` if not given.
    stability_rps : that limit, where it is known already.

    Returns
    -------
    Rates 0 where a promise fails without load, or the cache cannot hold a member's long request.
    The binding is that of the member whose promise broke first.
    """
    shape = replica.overhead_s.shape
    stream = mixed([m.lengths for m in members], shares)
    scv = float(np.dot(shares, [m.arrival_cv**2 for m in members]))
    arrivals = Arrivals(scv, replicas)
    stable = stability_limit(replica, stream) if stability_rps is None else stability_rps
    promises = [
        promise_of(
            shape, arrivals, ttft_s=m.ttft_s, ttft_percentile=m.ttft_percentile, tpot_s=m.tpot_s,
            tpot_percentile=m.tpot_percentile, e2e_s=m.e2e_s, e2e_percentile=m.e2e_percentile,
        )
        for m in members
    ]  # fmt: skip
    holds = stable > 0
    for m in members:
        holds = holds & fits(replica, m.lengths, m.longest_percentile)

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


def percentiles(
    replica: Replica,
    members: Sequence[Member],
    shares: Sequence[float],
    rate_rps: ArrayLike,
    *,
    replicas: float = 1.0,
) -> list[tuple[Array, Array]]:
    """TTFT and TPOT of each member at its percentiles [s].

    Each (candidates,); inf beyond the mixed stream's stability limit. `rate_rps` is of all members
    together, of one replica. At the rate of `mix_star` they are at most the targets.
    """
    stream = mixed([m.lengths for m in members], shares)
    arrivals = Arrivals(float(np.dot(shares, [m.arrival_cv**2 for m in members])), replicas)
    stable = stability_limit(replica, stream)
    rate = np.broadcast_to(np.asarray(rate_rps, float), stable.shape)
    rate = np.maximum(rate, stable * ZERO_LOAD_FRAC)
    point = operate(replica, stream, arrivals, rate_rps=rate)
    spread = spread_of(point)
    blocked = admission_of(point, spread, stable)
    unknown = ~(point.steady & (rate < stable))

    def of_member(seen: Point, member: Member) -> tuple[Array, Array]:
        late = quantile(
            lambda time_s: ttft_exceeds(seen, blocked, time_s)[0], stable.shape,
            1.0 - member.ttft_percentile,
        )  # fmt: skip
        slow = quantile(
            lambda time_s: tpot_exceeds(seen, spread, time_s), stable.shape,
            allowed_frac(member.tpot_percentile, arrivals),
        )  # fmt: skip
        return np.where(unknown, np.inf, late), np.where(unknown, np.inf, slow)

    seen = _seen(point, members)
    return [of_member(one, member) for one, member in zip(seen, members, strict=True)]


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
