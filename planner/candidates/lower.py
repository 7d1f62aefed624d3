"""Candidates planned with for less than formulas and simulation say: lower rates, larger pools.

Where simulation found that a promise breaks at the higher rates, or in smaller pools.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from planner.candidates.case import Case
from planner.candidates.prune import pruned


def lowered(
    case: Case, shares: Mapping[str, float], least: Mapping[str, int] | None = None
) -> Case:
    """The case with some candidates' rates at a share of what they were; simulated ones too, later.

    Parameters
    ----------
    shares : by candidate's name, in (0, 1]; a name that the table lacks is refused. Candidates of
        a mix are lowered together, by the smallest share that any of them has.
    least : fewest replicas of a candidate's pools, by its name; one more than one of
        `table.pool_sizes`, above which the line begins.

    Raises
    ------
    ValueError : an unknown candidate, a share outside (0, 1], a number of replicas as above.
    """
    table, fewest = case.table, least or {}
    place = {name: i for i, name in enumerate(table.names)}
    for name, share in shares.items():
        if name not in place or not 0 < share <= 1:
            raise ValueError(f"{name}: no candidate, or {share} is no share in (0, 1]")
    for name, replicas in fewest.items():
        if name not in place or replicas - 1 not in table.pool_sizes:
            raise ValueError(f"{name}: no candidate, or {replicas} is not one above a pool's size")
    factor = np.ones(len(table.names))
    for name, share in shares.items():
        for i in table.pool(place[name]):
            factor[i] = min(factor[i], share)
    of_name = {table.names[i]: float(factor[i]) for i in np.flatnonzero(factor < 1).tolist()}
    found = replace(
        table,
        pool_rps=table.pool_rps * factor[:, None],
        rate_rps=table.rate_rps * factor,
        offset_rps=table.offset_rps * factor,
        lambda_star_rps=table.lambda_star_rps * factor,
    )
    case = replace(case, table=found, lowered={**case.lowered, **of_name})
    if fewest:
        case = _in_larger_pools(case, {place[name]: n for name, n in fewest.items()})
    return replace(case, table=replace(case.table, pruned_by=pruned(case.table)))


def _in_larger_pools(case: Case, least: Mapping[int, int]) -> Case:
    """The case in which these candidates' pools have so many replicas at least."""
    from planner.candidates.refine import lines  # noqa: PLC0415  (brings the compiler)

    fewest = case.table.least.copy()
    for i, replicas in least.items():
        pool = case.table.pool(i)
        fewest[pool] = np.maximum(fewest[pool], replicas)
    table = replace(case.table, least=fewest)
    slope, offset = table.rate_rps.copy(), table.offset_rps.copy()
    for i in dict.fromkeys(table.pool(i)[0] for i in least if table.feasible[i]):
        rates = table.pool_rps[[i]]
        a, delta = lines(replace(case, table=table), np.array([i]), rates)
        pool = table.pool(i)  # classes of a mix have one line, each in requests of its own
        own = table.pool_rps[pool, -1] / rates[0, -1]
        slope[pool], offset[pool] = a * own, delta * own
    return replace(case, table=replace(table, rate_rps=slope, offset_rps=offset))
