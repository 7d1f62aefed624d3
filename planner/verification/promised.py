"""Promised figures: what of a run each is read from, its target, and the share that may miss it."""

from __future__ import annotations

from dataclasses import dataclass

from planner.schema.demand import Slo
from planner.units import MILLI


@dataclass(frozen=True)
class Promised:
    """One figure that a class was promised."""

    name: str
    counts: str
    """Its counts in a run and in a timeline."""
    target_s: float
    """In the engine."""
    percentile: float

    @property
    def allowed_frac(self) -> float:
        """Share that may be later."""
        return 1 - self.percentile


def promised(slo: Slo, request_s: float) -> tuple[Promised, ...]:
    """Every figure that is promised.

    Parameters
    ----------
    request_s : part of the time to first token outside the engine.

    Examples
    --------
    >>> [one.name for one in promised(Slo(ttft_ms=2000, tpot_ms=60), 0.0)]
    ['TTFT', 'TPOT']
    """
    found = [
        Promised("TTFT", "ttft", slo.ttft_ms * MILLI - request_s, slo.ttft_percentile),
        Promised("TPOT", "tpot", slo.tpot_ms * MILLI, slo.tpot_percentile),
    ]
    if slo.token_itl_ms is not None:
        gap_s = slo.token_itl_ms * MILLI
        found.append(Promised("token ITL", "itl", gap_s, slo.token_itl_percentile))
    return tuple(found)
