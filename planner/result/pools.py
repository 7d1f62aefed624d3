"""Whole pools of a plan: rows that name each other as parts of one, put together again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planner.result.plan import PoolRow

DIGITS = 9
"""Of summed replicas: parts of a whole number add up to it but for rounding."""


@dataclass(frozen=True)
class WholePool:
    """A pool with the parts of all classes that it serves; one part where it serves one class."""

    parts: tuple[PoolRow, ...]

    @property
    def first(self) -> PoolRow:
        """The part of most traffic."""
        return self.parts[0]

    @property
    def site(self) -> str:
        """Where it stands."""
        return self.first.site

    @property
    def shared(self) -> bool:
        """Whether several classes are served."""
        return len(self.parts) > 1

    @property
    def replicas_peak(self) -> list[float]:
        """A whole number for each period."""
        return _added([part.replicas_peak for part in self.parts])

    @property
    def replicas(self) -> list[list[float]]:
        """Active, [period][block]."""
        by_part = [part.replicas for part in self.parts]
        return [_added(rows) for rows in zip(*by_part, strict=True)]


def whole_pools(rows: Sequence[PoolRow]) -> list[WholePool]:
    """Pools of a plan, in the order of their first parts.

    Examples
    --------
    >>> def part(name, others, replicas):
    ...     return PoolRow(candidate=name, shared_with=others, site="hq", replicas_peak=[replicas],
    ...                    replicas=[[replicas]], served_frac=[[1.0]])
    >>> rows = [part("a", ["b"], 1.25), part("c", [], 2.0), part("b", ["a"], 0.75)]
    >>> [([x.candidate for x in pool.parts], pool.replicas_peak) for pool in whole_pools(rows)]
    [(['a', 'b'], [2.0]), (['c'], [2.0])]
    """
    groups: dict[tuple[str, frozenset[str]], list[PoolRow]] = {}
    for row in rows:
        groups.setdefault((row.site, frozenset((row.candidate, *row.shared_with))), []).append(row)
    return [WholePool(tuple(parts)) for parts in groups.values()]


def _added(rows: Sequence[Sequence[float]]) -> list[float]:
    if len(rows) == 1:
        return list(rows[0])
    return [round(sum(values), DIGITS) for values in zip(*rows, strict=True)]
