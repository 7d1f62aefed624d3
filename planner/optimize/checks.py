"""Audit rows: the worst violation of a family, relative to the size of its rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from planner.problem import Array, AuditRow


def row(
    family: str, violation: Array, axes: Sequence[Sequence[str]], scale: Array | float = 1.0
) -> AuditRow:
    """Worst row of a family.

    Parameters
    ----------
    violation : amount by which a row is broken, <= 0 where it holds, nan where there is no row.
    axes : labels of each axis of `violation`.
    scale : size of the row in the same unit; at least 1 is used, so that rows near zero are
        judged absolutely.

    Examples
    --------
    >>> row("site_power", np.array([[-5.0, 2.0]]), (["hq"], ["Q1", "Q2"]), scale=100.0)
    AuditRow(family='site_power', rows=2, worst_rel=0.02, where='hq, Q2')
    """
    relative = violation / np.maximum(np.abs(scale), 1.0)
    rows = int(np.count_nonzero(~np.isnan(relative)))
    if rows == 0:
        return AuditRow(family=family, rows=0, worst_rel=0.0, where="")
    worst = np.unravel_index(int(np.nanargmax(relative)), relative.shape)
    where = ", ".join(axis[int(i)] for axis, i in zip(axes, worst, strict=True))
    return AuditRow(family=family, rows=rows, worst_rel=float(relative[worst]), where=where)
