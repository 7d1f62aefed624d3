"""Rates planned with lowered where simulation found that a promise breaks at the higher ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from planner.candidates.case import Case
from planner.candidates.prune import pruned


def lowered(case: Case, shares: Mapping[str, float]) -> Case:
    """The case with some candidates' rates at a share of what they were; simulated ones too, later.

    Parameters
    ----------
    shares : by candidate's name, in (0, 1]; a name that the table lacks is refused. Candidates of
        a mix are lowered together, by the smallest share that any of them has.

    Raises
    ------
    ValueError : an unknown candidate, or a share outside (0, 1].
    """
    table = case.table
    place = {name: i for i, name in enumerate(table.names)}
    for name, share in shares.items():
        if name not in place or not 0 < share <= 1:
            raise ValueError(f"{name}: no candidate, or {share} is no share in (0, 1]")
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
    found = replace(found, pruned_by=pruned(found))
    return replace(case, table=found, lowered={**case.lowered, **of_name})
