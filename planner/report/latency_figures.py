"""Latencies that a curve shows: what they are called, where they stand, their value at a rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planner.result import LatencyCurve, LatencyPoint


@dataclass(frozen=True)
class Latency:
    """One of them."""

    name: str
    words: str
    field: str
    """Its fields in points and curves begin with this."""
    column: int
    """On sheet Latency; what is promised is next to it."""
    ends: int
    """Column of the slow end of the error band; the fast end is next to it."""

    def value(self, point: LatencyPoint, end: str = "") -> float | None:
        """At a point [ms]; `end` is slow_ or fast_."""
        found: float | None = getattr(point, f"{self.field}_{end}ms")
        return found

    def target(self, curve: LatencyCurve) -> float | None:
        """What is promised [ms]."""
        found: float | None = getattr(curve, f"{self.field}_target_ms")
        return found

    def at(self, curve: LatencyCurve, rps: float) -> float:
        """At a rate, on the line between the points [ms]."""
        before = after = curve.points[0]
        for point in curve.points:
            before, after = after, point
            if point.rps >= rps:
                break
        width = after.rps - before.rps
        share = min(max((rps - before.rps) / width, 0.0), 1.0) if width else 0.0
        low, high = (self.value(point) or 0.0 for point in (before, after))
        return low + share * (high - low)


TTFT = Latency("TTFT", "Time to first token (TTFT)", "ttft", 3, 7)
TPOT = Latency("TPOT", "Time per output token (TPOT)", "tpot", 5, 9)
E2E = Latency("E2E", "Time to last token (E2E)", "e2e", 11, 13)


def latencies(curves: Sequence[LatencyCurve]) -> tuple[Latency, ...]:
    """What these curves show: E2E where one promises it."""
    ends = any(curve.e2e_target_ms is not None for curve in curves)
    return (TTFT, TPOT, E2E) if ends else (TTFT, TPOT)
