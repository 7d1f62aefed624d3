"""Variants of a planning question: each is a name and a function that returns a case.

The standard ones keep the case as it is, traffic and candidates too, and leave only some of its
offers. A variant may as well evaluate everything anew: the solver asks only for the case.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial

from planner.candidates.case import Case
from planner.candidates.offers import Offers
from planner.schema.demand import Batch, Online
from planner.schema.supply import Option


@dataclass(frozen=True)
class Variant:
    """One question beside the main one."""

    name: str
    title: str
    case: Callable[[], Case]
    """Called where the variant is solved, in another process: a function of a module, or a
    `functools.partial` of one."""
    supply: tuple[Option, ...] = ()
    """Ways to get capacity that it is limited to; empty: all that its case offers."""


STANDARD: tuple[tuple[str, str, tuple[Option, ...]], ...] = (
    ("on_demand", "All on demand", (Option.on_demand,)),
    ("reserved_1y", "All reserved, 1 year", (Option.reserved_1y,)),
    ("reserved_3y", "All reserved, 3 years", (Option.reserved_3y,)),
    ("owned", "All owned", (Option.owned, Option.colo)),
    ("api", "API only", (Option.api,)),
)


def standard(question: Case) -> list[Variant]:
    """All of one kind, for every kind that finance asks about."""
    return [
        Variant(name, title, partial(only, question, supply), supply)
        for name, title, supply in STANDARD
    ]


def only(question: Case, supply: Collection[Option]) -> Case:
    """The case with the offers of some options alone."""
    return replace(question, offers=offers_of(question.offers, supply))


def offers_of(offers: Offers, supply: Collection[Option]) -> Offers:
    """Offers of some options alone."""
    kinds = {place.site.name: place.site.kind for place in offers.places}
    names = {option.value for option in supply}
    return replace(
        offers,
        owned={at: offer for at, offer in offers.owned.items() if kinds[at[1]] in names},
        commitments={at: offer for at, offer in offers.commitments.items() if at[0] in names},
        on_demand=offers.on_demand if Option.on_demand in supply else {},
        apis=offers.apis if Option.api in supply else (),
    )


def unserved(question: Case, supply: Collection[Option]) -> list[str]:
    """Classes that none of the case's offers can serve, and why; empty where all can be."""
    table, obtainable = question.table, question.offers.accelerators()
    by_api = {api.demand_class for api in question.offers.apis}
    by_machine = {
        config.demand_class
        for config, reason in zip(table.configurations, table.reasons, strict=True)
        if not reason and obtainable.issuperset(config.accelerators)
    }
    alone = [d for d in range(len(table.classes)) if d not in by_api | by_machine]
    return [f"{table.classes[d]}: {why}" for d in alone for why in _why(question, d, supply)]


def _why(question: Case, demand_class: int, supply: Collection[Option]) -> Iterator[str]:
    """Reasons in the reader's words, with the field that would change it."""
    demand = question.scenario.demand[demand_class]
    assert isinstance(demand, Online | Batch)
    allowed = [option for option in supply if option in question.scenario.supply.options]
    if supply and not allowed:
        names = " or ".join(supply)
        yield f"the scenario does not allow {names} (supply.options)"
        return
    machines = [option for option in allowed if option != Option.api]
    if machines:
        names = " or ".join(machines)
        yield f"no machine that keeps its promises is offered {names} at any site at a price"
    if Option.api in allowed:
        yield _why_no_api(demand)


def _why_no_api(demand: Online | Batch) -> str:
    if not demand.api_allowed:
        return "it may not go to an API (api_allowed)"
    if demand.residency:
        return f"it must stay in {', '.join(demand.residency)} (residency), which no API promises"
    return f"no provider sells {' or '.join(demand.models)} by the token"
