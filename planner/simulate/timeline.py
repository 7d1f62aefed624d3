"""Requests given one by one, and how late they were window by window: traces, and bad hours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.simulate.arrivals import Piece, Requests, stream
from planner.simulate.pool import Pool, Run, replay
from planner.simulate.state import World

Array = NDArray[np.float64]
Whole = NDArray[np.int64]
SPARE_SIGMAS = 6.0
"""Requests drawn beyond the mean of a stretch of time, in standard deviations."""


COUNTED = "ttft", "tpot", "itl", "e2e"
"""Figures counted by window, as a run and its pool call them."""


@dataclass(frozen=True)
class Timeline:
    """A pool's run and its counts by window, each (windows, bins): the last has all later ones."""

    run: Run
    starts_s: Array
    """(windows,)"""
    ttft: Whole
    """First tokens that came within the window."""
    tpot: Whole
    """Answers that ended within it."""
    itl: Whole
    """Gaps between deliveries that ended within it."""
    e2e: Whole
    """Answers that ended within it, by the time since their requests arrived."""


def drawn(
    requests: Requests,
    *,
    starts_s: Array,
    rates_rps: Array,
    end_s: float,
    arrival_cv: float,
    replicas: int,
    seed: int,
) -> Piece:
    """All requests of a renewal stream whose rate changes with time; there may be none.

    It is a stream of one request a second on a clock that runs at the rate.

    Parameters
    ----------
    starts_s : times from which the rates hold, ascending, (stretches,).
    rates_rps : 0 where nothing comes, (stretches,).
    end_s : of the last stretch.
    """
    edges = np.append(starts_s, end_s)
    passed = np.concatenate([[0.0], np.cumsum(rates_rps * np.diff(edges))])
    mean = float(passed[-1])
    count = int(mean + SPARE_SIGMAS * max(arrival_cv, 1.0) * np.sqrt(mean)) + 10
    found = joined_pieces(
        list(
            stream(
                requests, rate_rps=1.0, arrival_cv=arrival_cv, cuts=(count,), replicas=replicas,
                seed=seed,
            )
        )
    )  # fmt: skip
    piece = cut(found, 0, int(np.searchsorted(found.times_s, mean)))
    return piece._replace(times_s=np.interp(piece.times_s, passed, edges))


def joined_pieces(pieces: list[Piece]) -> Piece:
    """Consecutive pieces as one."""
    columns = {
        name: np.concatenate([getattr(piece, name) for piece in pieces])
        for name in Piece._fields
        if name != "offset"
    }
    return Piece(offset=pieces[0].offset, **columns)


def cut(piece: Piece, first: int, last: int) -> Piece:
    """Requests from `first` up to, not including, `last`."""
    columns: dict[str, Any] = {
        name: getattr(piece, name)[first:last] for name in Piece._fields if name != "offset"
    }
    return Piece(offset=piece.offset + first, **columns)


def timeline(pool: Pool, piece: Piece, *, window_s: float, counted_from_s: float = 0.0) -> Timeline:
    """Run the pool on given requests, in order of time, and count by window.

    Parameters
    ----------
    piece : all requests; its offset is 0.
    window_s : length of a window; the first begins at time 0.
    counted_from_s : requests that arrive earlier only warm the pool; a multiple of `window_s`.

    Raises
    ------
    ValueError : no request arrives after `counted_from_s`.
    """
    edges = np.arange(0.0, float(piece.times_s[-1]) + window_s, window_s)
    places = np.searchsorted(piece.times_s, edges)
    seen: list[dict[str, Whole]] = []
    starts: list[float] = []

    def pieces() -> Iterator[Piece]:
        bounds = [*places.tolist(), len(piece.times_s)]
        for edge, first, last in zip(edges.tolist(), bounds, bounds[1:], strict=False):
            if last > first:
                starts.append(edge)
                yield cut(piece, first, last)

    def watch(world: World) -> None:
        seen.append({name: getattr(world, name).copy() for name in COUNTED})

    first = int(np.searchsorted(piece.times_s, counted_from_s))
    run = replay(pool, pieces(), counted=(first, len(piece.times_s)), watch=watch)
    whole = [*seen[:-2], seen[-1]]  # what ends after the last arrival is the last window's
    counts = {name: np.stack([one[name] for one in whole]) for name in COUNTED}
    by_window = {
        name: np.diff(found, axis=0, prepend=np.zeros((1, found.shape[1]), np.int64))
        for name, found in counts.items()
    }
    return Timeline(run, np.array(starts), **by_window)
