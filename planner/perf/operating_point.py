"""Operating point: everything the model says of a replica at one rate, and its two tails.

Mean step, prefill queue, decode spread and admission depend on one another through the decode
load that a prompt meets: requests leave prefill inside busy periods, so a prompt meets more
decoding sequences than the time average. Two passes settle that factor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.perf.admission import Blocking, Occupancy, blocking, occupancy
from planner.perf.arrivals import Arrivals, arrivals_after
from planner.perf.decode_tail import (
    Spread,
    gamma_tail,
    mean_and_variance_s,
    spread,
    three_points,
    tpot_tail,
)
from planner.perf.lengths import Lengths
from planner.perf.prefill_queue import (
    TINY_S,
    UTILIZATION_MAX,
    Service,
    StepTimes,
    Wait,
    prefill_work,
    service_time,
    step_times,
    unshared_s,
    wait_time,
)
from planner.perf.replica import Replica
from planner.perf.stalls import Stall, stall_time
from planner.perf.steps import Steps, mean_step

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

CROWDING_MAX = 3.0
"""Most by which busy periods raise the decode load above its time average."""
FULLEST_FRAC = 0.995
"""Occupancy of cache or slots at which the model gives up."""
PASSES = 2


@dataclass(frozen=True)
class Point:
    """One rate for each candidate, settled; arrays (candidates,) or (candidates, nodes)."""

    replica: Replica
    lengths: Lengths
    arrivals: Arrivals
    rate_rps: Array
    steps: Steps
    sequences: Array
    """Decode batch that a prompt meets."""
    kv_tokens: Array
    times: StepTimes
    wait: Wait
    stall: Stall
    service: Service
    occupied: Occupancy
    ttft_mean_s: Array
    ttft_variance_s2: Array

    @property
    def steady(self) -> Flags:
        """Whether prefill, cache and slots keep up."""
        return np.asarray(
            self.steps.steady
            & (self.wait.utilization < UTILIZATION_MAX)
            & (self.occupied.fullest_frac < FULLEST_FRAC)
        )


def operate(replica: Replica, lengths: Lengths, arrivals: Arrivals, *, rate_rps: Array) -> Point:
    """Operating point at `rate_rps` (candidates,); that of an idle replica where not `steady`."""
    steps = mean_step(replica, lengths, arrivals, rate_rps)
    crowding = np.ones_like(rate_rps)
    for _ in range(PASSES):
        point = _settle(replica, lengths, arrivals, steps=steps, crowding=crowding)
        crowding = _crowding(point)
    return point


def _settle(
    replica: Replica,
    lengths: Lengths,
    arrivals: Arrivals,
    *,
    steps: Steps,
    crowding: Array,
) -> Point:
    """All parts at a given crowding of decode around prompts."""
    load = {
        "sequences": steps.decode_sequences * crowding,
        "kv_tokens": steps.kv_tokens * crowding,
    }
    times = step_times(replica, **load)
    alone = unshared_s(replica, lengths, steps=steps, sequences=load["sequences"], times=times)
    work = prefill_work(replica, lengths, times, arrivals, alone)
    # What is left of a step that only decodes, for those that come in one.
    vacation_s = 0.5 * steps.busy_frac * (1.0 - steps.prefill_frac) * times.plain_s
    wait = wait_time(work, rate_rps=steps.rate_rps, arrivals=arrivals, vacation_s=vacation_s)
    stall = stall_time(replica, lengths, steps=steps, times=times)
    service = service_time(
        replica,
        lengths,
        arrivals,
        rate_rps=steps.rate_rps,
        steps=steps,
        times=times,
        wait=wait,
        stall_s=stall.mean_s,
        **load,
    )
    occupied = occupancy(replica, lengths, rate_rps=steps.rate_rps, service=service, **load)
    mean, variance = mean_and_variance_s(wait, service, lengths)
    return Point(
        replica=replica,
        lengths=lengths,
        arrivals=arrivals,
        rate_rps=steps.rate_rps,
        steps=steps,
        times=times,
        wait=wait,
        stall=stall,
        service=service,
        occupied=occupied,
        ttft_mean_s=mean,
        ttft_variance_s2=variance,
        **load,
    )


def _crowding(point: Point) -> Array:
    """Decode load around a prompt over its time average: stalls of those who arrived with it."""
    lengths, steps, times = point.lengths, point.steps, point.times
    share = np.minimum(point.rate_rps * point.stall.mean_s, 0.98)
    beside = arrivals_after(point.rate_rps * point.ttft_mean_s, point.arrivals)
    beside = beside * point.wait.joining
    decode_s = np.maximum(lengths.decode_steps * steps.step_s, 1e-9)
    more = np.minimum(beside * point.stall.mean_s / (1.0 - share) / decode_s, 2.0)
    chunk_s = point.replica.prefill_context_s * times.room_tokens * lengths.context_rate
    most = np.maximum((times.full_s + chunk_s) / steps.step_s, 1.0)
    return np.asarray(np.minimum(np.minimum(1.0 + more, most), CROWDING_MAX), float)


def spread_of(point: Point) -> Spread:
    """Fluctuation of decode batch and cache at this point."""
    return spread(
        point.lengths,
        point.arrivals,
        rate_rps=point.rate_rps,
        steps=point.steps,
        sequences=point.sequences,
        kv_tokens=point.kv_tokens,
        times=point.times,
        stall=point.stall,
        service=point.service,
    )


def admission_of(point: Point, spread: Spread, stability_rps: Array) -> Blocking:
    """Chance and mean of the wait for cache or slots at this point."""
    return blocking(
        point.replica,
        point.lengths,
        point.arrivals,
        rate_rps=point.rate_rps,
        stability_rps=stability_rps,
        occupied=point.occupied,
        spread=spread,
    )


def ttft_exceeds(point: Point, blocked: Blocking, ttft_s: Array) -> tuple[Array, Array]:
    """P(TTFT > ttft_s) with and without the wait for cache or slots, each (candidates,).

    Mixture over prompts (nodes), over whether one waits for prefill, and for admission. A wait
    lasts as it would alone times `longer`: in a long one more prompts gather.
    """
    wait, service, weights = point.wait, point.service, point.lengths.weights
    free_sd = np.sqrt(service.free_variance_s2)
    free = np.zeros_like(ttft_s)
    for node, weight in three_points(2.0 * free_sd / np.maximum(service.varying_s, TINY_S)):
        free += (weight * _exceeds(service.free_s + node * free_sd, ttft_s)) @ weights
    alone = wait.mean_s[:, None]
    waits = service.longer * alone
    left = ttft_s[:, None] - service.queued_s + waits - alone
    variance = service.longer**2 * wait.variance_s2[:, None] + service.queued_variance_s2
    waited = gamma_tail(left, waits, variance) @ weights
    open_frac = wait.prob * waited + (1.0 - wait.prob) * free
    both = open_frac.copy()
    shut = np.flatnonzero(blocked.prob > 1e-9)
    if shut.size:
        mean = service.longer * wait.overall_s[:, None] + blocked.mean_s[:, None]
        square = wait.prob * (wait.variance_s2 + wait.mean_s**2)
        variance = square - wait.overall_s**2 + blocked.mean_s**2
        tail = gamma_tail(left[shut], mean[shut], variance[shut, None]) @ weights
        both[shut] += blocked.prob[shut] * (tail - open_frac[shut])
    return open_frac if not shut.size else both, open_frac


def _exceeds(times_s: Array, limit_s: Array) -> Array:
    """Share of each node's cell whose time exceeds the limit, times linear between nodes.

    Borders lie midway between nodes; a limit below all of them gives 1 in every cell.
    """
    if times_s.shape[1] == 1:
        return np.asarray(times_s > limit_s[:, None], float)
    inner = (times_s[:, 1:] + times_s[:, :-1]) / 2.0
    last = times_s[:, -1:] + (times_s[:, -1:] - inner[:, -1:])
    borders = np.concatenate(
        [times_s[:, :1] - (inner[:, :1] - times_s[:, :1]), inner, last], axis=1
    )
    upper = np.maximum(borders[:, 1:], borders[:, :-1])
    width = np.maximum(np.abs(np.diff(borders, axis=1)), 1e-12)
    return np.asarray(np.clip((upper - limit_s[:, None]) / width, 0.0, 1.0), float)


def tpot_exceeds(point: Point, spread: Spread, tpot_s: Array) -> Array:
    """P(mean time per output token of a request > tpot_s), (candidates,)."""
    return tpot_tail(
        point.replica,
        point.lengths,
        point.arrivals,
        tpot_s=tpot_s,
        rate_rps=point.rate_rps,
        sequences=point.sequences,
        kv_tokens=point.kv_tokens,
        times=point.times,
        stall=point.stall,
        spread=spread,
        ttft_mean_s=point.ttft_mean_s,
        ttft_variance_s2=point.ttft_variance_s2,
        filled_s=point.service.filled_s @ point.lengths.weights,
    )
