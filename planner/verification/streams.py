"""A trace as the stream of one pool: its share of the requests, in the plan's time or its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from planner.files.traces import Trace
from planner.schema.demand import Online
from planner.simulate.arrivals import Piece
from planner.simulate.timeline import joined_pieces

Array = NDArray[np.float64]
RateOf = Literal["plan", "trace"]
WINDOW_S = 300.0
"""Plans are sized for five-minute rates."""
STEP_S = 30.0
PEAK_QUANTILE = 0.99
SCALE_ROUNDS, SCALE_RTOL = 30, 1e-3


@dataclass(frozen=True)
class Stream:
    """Requests that one pool gets."""

    piece: Piece
    """Those within the model's context."""
    refused_s: Array
    """When the others come."""
    note: str
    """How time was scaled."""
    beside: Piece | None = None
    """Planned requests of other classes that share the pool, which no statistics count."""

    @property
    def all(self) -> Piece:
        """Everything that the pool gets, in order of time."""
        return self.piece if self.beside is None else _merged(self.piece, self.beside)

    @property
    def mean_rps(self) -> float:
        """Over the whole stream."""
        return mean_rps(self.piece.times_s)

    @property
    def peak_rps(self) -> float:
        """Of the busiest five minutes."""
        return peak_rps(self.piece.times_s)

    def slower(self, factor: float) -> Stream:
        """The same requests, time stretched."""
        return Stream(
            _slower(self.piece, factor), self.refused_s * factor, self.note,
            None if self.beside is None else _slower(self.beside, factor),
        )  # fmt: skip


def _slower(piece: Piece, factor: float) -> Piece:
    return piece._replace(times_s=piece.times_s * factor)


def _merged(counted: Piece, unseen: Piece) -> Piece:
    """Both in order of time; the second not counted."""
    both = joined_pieces(
        [
            piece._replace(unseen=np.full(piece.times_s.size, flag, np.int64))
            for piece, flag in ((counted, 0), (unseen, 1))
        ]
    )
    order = np.argsort(both.times_s, kind="stable")
    columns = {name: getattr(both, name)[order] for name in Piece._fields if name != "offset"}
    return Piece(offset=0, **columns)


def stream_of(
    trace: Trace,
    *,
    demand: Online,
    rate: RateOf,
    share: float,
    planned_rps: float,
    replicas: int,
    context_tokens: int,
    seed: int,
) -> Stream:
    """A share of a trace's requests, drawn at random, as a pool gets them.

    Parameters
    ----------
    rate : `plan` runs time so that the busy five minutes have `planned_rps`.
    context_tokens : longer requests, with their answers, are refused.
    """
    assert trace.time_s is not None
    draw = np.random.default_rng(seed)
    taken = np.flatnonzero(draw.random(len(trace.time_s)) < share)
    times_s, note = _scaled(trace.time_s[taken], rate, planned_rps)
    fits = (trace.input_tokens + trace.output_tokens)[taken] <= context_tokens
    if not fits.all():
        note += f"; {np.sum(~fits):,} requests exceed the context of {context_tokens:,} tokens"
    piece = _piece(trace, taken[fits], times_s[fits], demand=demand, replicas=replicas, draw=draw)
    return Stream(piece, times_s[~fits], note)


def mean_rps(times_s: Array) -> float:
    """Over the time from the first to the last."""
    return len(times_s) / max(float(times_s[-1] - times_s[0]), 1e-9)


def peak_rps(times_s: Array, factor: float = 1.0) -> float:
    """Rate that 99 % of five-minute windows stay below, with time run so much faster.

    Windows overlap, so that the rate moves smoothly with time's speed; the mean of less than one.
    """
    scaled = (times_s - times_s[0]) / factor
    if scaled[-1] < WINDOW_S:
        return mean_rps(scaled)
    starts = np.arange(0.0, scaled[-1] - WINDOW_S + STEP_S / 2, STEP_S)
    counts = np.searchsorted(scaled, starts + WINDOW_S) - np.searchsorted(scaled, starts)
    return float(np.quantile(counts, PEAK_QUANTILE)) / WINDOW_S


def _scaled(times_s: Array, rate: RateOf, planned_rps: float) -> tuple[Array, str]:
    """Times from 0, stretched so that the trace's busy five minutes have the planned rate."""
    start = times_s - times_s[0]
    if rate == "trace" or start[-1] <= 0:
        return start, "rate as recorded"
    speed, what = planned_rps / mean_rps(start), "mean rate"
    reached = planned_rps
    if start[-1] / speed >= 2 * WINDOW_S:
        busy = _peak_speed(start, planned_rps, speed)
        if busy is not None:
            speed, what = busy, f"p{PEAK_QUANTILE * 100:g} of five-minute rates"
            reached = peak_rps(start, speed)
    scaled = start / speed
    return scaled, (
        f"time runs {speed:.3g} times as fast: its {what} is {reached:.4g}/s where "
        f"{planned_rps:.4g}/s are planned"
    )


def _peak_speed(start: Array, planned_rps: float, speed: float) -> float | None:
    """Speed at which the busy five minutes come nearest to the planned rate.

    None where they leave no two windows. Bursts at the windows' edges make the rate jump with the
    speed, so that the nearest of all tried counts.
    """
    best, found = math.inf, None
    for _ in range(SCALE_ROUNDS):
        if start[-1] / speed < 2 * WINDOW_S:
            return None
        ratio = planned_rps / peak_rps(start, speed)
        if abs(ratio - 1) < best:
            best, found = abs(ratio - 1), speed
        if best < SCALE_RTOL:
            break
        speed *= math.sqrt(ratio) if found != speed else ratio
    return found


def _piece(
    trace: Trace,
    taken: NDArray[np.intp],
    times_s: Array,
    *,
    demand: Online,
    replicas: int,
    draw: np.random.Generator,
) -> Piece:
    """The taken requests at the times given."""
    prompts = trace.input_tokens[taken].astype(np.int64)
    if trace.hit_tokens is None:
        hits = (prompts * demand.prefix_cache_hit_frac).astype(np.int64)
    else:
        hits = trace.hit_tokens[taken].astype(np.int64)
    return Piece(
        offset=0,
        times_s=times_s,
        prompts=prompts,
        answers=trace.output_tokens[taken].astype(np.int64),
        hits=hits,
        draws=draw.random(len(taken)),
        homes=draw.integers(replicas, size=len(taken)),
    )
