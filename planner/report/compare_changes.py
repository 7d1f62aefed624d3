"""What one plan adds to another, changes and drops: machines, APIs, serving configurations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from planner.report.words import OPTIONS, plural
from planner.result import ApiRow, FleetRow, Period, Plan, WholePool, whole_pools

Kind = Literal["add", "change", "drop"]
Section = Literal["machines", "APIs", "configurations"]
SIGNS: dict[Kind, str] = {"add": "+", "change": "~", "drop": "-"}
SAME_REL = 1e-6
MOST_ORDERS = 4
"""Orders that are told one by one."""


@dataclass(frozen=True)
class Change:
    """One line of the list."""

    kind: Kind
    section: Section
    text: str
    """25 GB200 NVL72 racks at hq, owned, from 2027-Q4"""

    @property
    def line(self) -> str:
        """With its sign."""
        return f"{SIGNS[self.kind]} {self.text}"


def changes(first: Plan, second: Plan) -> tuple[Change, ...]:
    """Every difference between two plans, machines first; added before changed before dropped."""
    found = [*_machines(first, second), *_apis(first, second), *_configurations(first, second)]
    sections, kinds = ("machines", "APIs", "configurations"), tuple(SIGNS)
    return tuple(
        sorted(found, key=lambda one: (sections.index(one.section), kinds.index(one.kind)))
    )


def summary(found: Sequence[Change]) -> str:
    """Count of changes in one line.

    Examples
    --------
    >>> summary([Change("add", "machines", "4 racks"), Change("drop", "APIs", "nebius")])
    '1 to add, 0 to change, 1 to drop'
    """
    counts = {kind: sum(one.kind == kind for one in found) for kind in SIGNS}
    if not found:
        return "nothing to add, change or drop"
    return ", ".join(f"{count} to {kind}" for kind, count in counts.items())


def _machines(first: Plan, second: Plan) -> list[Change]:
    ours = {(row.option, row.accelerator, row.site): row for row in first.fleet}
    theirs = {(row.option, row.accelerator, row.site): row for row in second.fleet}
    found = []
    for key in dict.fromkeys((*ours, *theirs)):
        old, new = ours.get(key), theirs.get(key)
        if old is None and new is not None:
            found.append(Change("add", "machines", _whole(new, second.periods)))
        elif new is None and old is not None:
            found.append(Change("drop", "machines", _whole(old, first.periods)))
        elif old is not None and new is not None:
            text = _moved(old, new, first.periods, second.periods)
            found += [Change("change", "machines", text)] if text else []
    return found


def lots(row: FleetRow) -> float:
    """Lots that stand for a row: all bought, or most in force or rented at once."""
    if row.option in ("owned", "colo"):
        return sum(row.lots_ordered)
    if row.option == "on_demand":
        return max(row.lots_ordered, default=0.0)
    return max(row.lots_in_service, default=0.0)


def _whole(row: FleetRow, periods: Sequence[Period]) -> str:
    when = _first(row.lots_in_service, periods)
    since = f"from {when}" if when else "in service after the horizon"
    name = f"{row.accelerator_title} {row.lot_name}"
    return f"{plural(math.ceil(lots(row)), name)} at {row.site}, {OPTIONS[row.option]}, {since}"


def _moved(old: FleetRow, new: FleetRow, before: Sequence[Period], now: Sequence[Period]) -> str:
    """What differs, in the periods that both plans have, of machines that both have."""
    what = f"{new.accelerator_title} at {new.site}, {OPTIONS[new.option]}"
    was, becomes = math.ceil(lots(old)), math.ceil(lots(new))
    if was != becomes:
        return f"{what}: {was:,.0f} -> {plural(becomes, new.lot_name)}"
    same = f"{what}: {plural(becomes, new.lot_name)}"
    ordered = _shared(before, old.lots_ordered), _shared(now, new.lots_ordered)
    if new.option != "on_demand" and not _same(*ordered):
        return f"{same}, ordered {_orders(old, before)} -> {_orders(new, now)}"
    serving = _shared(before, old.lots_in_service), _shared(now, new.lots_in_service)
    if not _same(*serving):
        both = serving[0].keys() & serving[1].keys()
        mean = [sum(one[label] for label in both) / len(both) for one in serving]
        return f"{same}, mean in service {mean[0]:,.2f} -> {mean[1]:,.2f}"
    return ""


def _shared(periods: Sequence[Period], values: Sequence[float]) -> dict[str, float]:
    return {period.label: value for period, value in zip(periods, values, strict=True)}


def _orders(row: FleetRow, periods: Sequence[Period]) -> str:
    placed = [f"{n:,.0f} in {p.label}" for n, p in zip(row.lots_ordered, periods, strict=True) if n]
    more = [f"{len(placed) - MOST_ORDERS} more"] if len(placed) > MOST_ORDERS else []
    return ", ".join([*placed[:MOST_ORDERS], *more]) or "never"


def _first(counts: Sequence[float], periods: Sequence[Period]) -> str:
    return next((p.label for n, p in zip(counts, periods, strict=True) if n > SAME_REL), "")


def _same(old: Mapping[str, float], new: Mapping[str, float]) -> bool:
    """Whether two rows agree wherever both have a value."""
    return all(
        math.isclose(old[label], new[label], rel_tol=SAME_REL, abs_tol=SAME_REL)
        for label in old.keys() & new.keys()
    )


def _apis(first: Plan, second: Plan) -> list[Change]:
    ours = {(row.demand_class, row.product, row.model): row for row in first.apis}
    theirs = {(row.demand_class, row.product, row.model): row for row in second.apis}
    found = []
    for key in dict.fromkeys((*ours, *theirs)):
        old, new = ours.get(key), theirs.get(key)
        row = new or old
        assert row is not None
        what = f"{row.demand_class} by {row.product}"
        if old is None:
            found.append(Change("add", "APIs", f"up to {_most(new):.0%} of {what}"))
        elif new is None:
            found.append(Change("drop", "APIs", f"up to {_most(old):.0%} of {what}"))
        elif not _same(_by_period(first, old), _by_period(second, new)):
            text = f"{what}: at most {_most(old):.1%} -> {_most(new):.1%} of its requests"
            found.append(Change("change", "APIs", text))
    return found


def _most(row: ApiRow | None) -> float:
    return (
        max((max(blocks, default=0.0) for blocks in row.served_frac), default=0.0) if row else 0.0
    )


def _by_period(plan: Plan, row: ApiRow) -> dict[str, float]:
    """Share in each period's fullest block."""
    return _shared(plan.periods, [max(blocks, default=0.0) for blocks in row.served_frac])


def _configurations(first: Plan, second: Plan) -> list[Change]:
    ours, theirs = _pools(first), _pools(second)
    found = []
    for key in dict.fromkeys((*ours, *theirs)):
        old, new = ours.get(key), theirs.get(key)
        what = f"{' shared with '.join(key[0])} at {key[1]}"
        if old is None or new is None:
            kind: Kind = "add" if old is None else "drop"
            text = f"{what}, up to {plural(_replicas(new or old), 'replica')}"
            found.append(Change(kind, "configurations", text))
        elif _replicas(old) != _replicas(new):
            text = f"{what}: up to {_replicas(old):,.0f} -> {plural(_replicas(new), 'replica')}"
            found.append(Change("change", "configurations", text))
    return found


def _pools(plan: Plan) -> dict[tuple[tuple[str, ...], str], WholePool]:
    """Pools by the candidates that serve in them, and site."""
    return {
        (tuple(sorted(part.candidate for part in pool.parts)), pool.site): pool
        for pool in whole_pools(plan.pools)
    }


def _replicas(row: WholePool | None) -> int:
    return math.ceil(max(row.replicas_peak, default=0.0) - SAME_REL) if row is not None else 0
