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
    field: str
    """Its name in results."""
    target_ms: float
    percentile: float
    outside_s: float = 0.0
    """What a user waits beyond the engine's time."""

    @property
    def target_s(self) -> float:
        """In the engine."""
        return self.target_ms * MILLI - self.outside_s

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
    >>> [one.name for one in promised(Slo(ttft_ms=2000, tpot_ms=60, e2e_ms=9000), 0.0)]
    ['TTFT', 'TPOT', 'E2E']
    """
    found = [
        Promised("TTFT", "ttft", "ttft", slo.ttft_ms, slo.ttft_percentile, request_s),
        Promised("TPOT", "tpot", "tpot", slo.tpot_ms, slo.tpot_percentile),
    ]
    if slo.token_itl_ms is not None:
        share = slo.token_itl_percentile
        found.append(Promised("token ITL", "itl", "token_itl", slo.token_itl_ms, share))
    if slo.e2e_ms is not None:
        found.append(Promised("E2E", "e2e", "e2e", slo.e2e_ms, slo.e2e_percentile, request_s))
    return tuple(found)


NAMES = {
    one.field: one.name
    for one in promised(Slo(ttft_ms=1, tpot_ms=1, token_itl_ms=1, e2e_ms=1), 0.0)
}  # fmt: skip
"""Words for the names in results."""
