"""Pools of units of prefill and decode replicas, as the simulator takes them."""

from __future__ import annotations

import numpy as np

from planner.perf.disaggregated import Unit
from planner.simulate.pool import Pool, Stage
from planner.simulate.state import numbers_of


def pool_of(unit: Unit, *, units: int = 1, candidate: int = 0) -> Pool:
    """So many units of one candidate; rates asked of it are those of one unit.

    Raises
    ------
    ValueError
        Where a number of replicas is not whole, or a step's or the link's numbers are not usable.
    """
    counts = [float(x[candidate]) for x in (unit.prefill_replicas, unit.decode_replicas)]
    if units < 1 or any(count < 1 or count != int(count) for count in counts):
        raise ValueError(f"a pool needs whole replicas of both stages, got {counts} by {units}")
    token_s = float(unit.transfer.token_s[candidate])
    latency_s = float(unit.transfer.latency_s[candidate])
    if not (np.isfinite(token_s) and np.isfinite(latency_s) and min(token_s, latency_s) >= 0):
        raise ValueError(f"a link's times must be finite, got {token_s} and {latency_s} s")
    return Pool(
        numbers_of(unit.prefill, candidate),
        int(counts[0]) * units,
        decode=Stage(
            numbers_of(unit.decode, candidate), int(counts[1]) * units, token_s, latency_s, units
        ),
    )
