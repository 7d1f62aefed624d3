"""Machines that come late: from when a fleet could serve that cannot serve from the start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from planner.candidates.case import Case
from planner.problem import Problem


def first_periods(p: Problem) -> list[int]:
    """Periods in which machines of another lead time can first serve, after the start.

    Empty where something can be had at once: then it is not lateness that stands in the way.
    """
    if p.machines.on_demand.any() or p.machines.committable.any() or p.api_class.size:
        return []
    found = set()
    for g, s in np.argwhere(p.machines.purchasable).tolist():
        powered = np.flatnonzero(p.sites.it_kw[s] > 0)
        if powered.size:
            found.add(max(int(p.machines.lead_periods[g, s]), int(powered[0])))
    return sorted(t for t in found if 0 < t < len(p.labels.periods))


def from_period(question: Case, first: int) -> Case:
    """The case without traffic before a period."""
    load = question.traffic.load
    counts = np.arange(load.hours.shape[0]) >= first
    late = replace(
        load,
        peak_rps=load.peak_rps * counts[:, None],
        mean_rps=load.mean_rps * counts[:, None],
    )
    return replace(question, traffic=replace(question.traffic, load=late))


def served_frac(question: Case, first: int) -> float:
    """Share of the horizon's requests that fall in a period or later."""
    load = question.traffic.load
    requests = (load.mean_rps * load.hours).sum(axis=(0, 2))
    return float(requests[first:].sum() / requests.sum())


def reasons(question: Case, p: Problem, first: int, short: Sequence[str]) -> list[str]:
    """Why not before a period, in the reader's words.

    Parameters
    ----------
    short : limits that fall short where all traffic is to be served.
    """
    labels = p.labels.periods
    missed = labels[0] if first == 1 else f"{labels[0]} to {labels[first - 1]}"
    soonest = int(p.machines.lead_periods[p.machines.purchasable].min())
    what, more = ("nothing can serve", ()) if soonest >= first else ("too little can serve", short)
    return [
        f"{'; '.join(_arrivals(question))}: {what} {missed}",
        *more,
        f"could serve all from {labels[first]} on; its money is for that part only",
    ]


def _arrivals(question: Case) -> Iterator[str]:
    """Lead times, then sites that open later."""
    titles = question.catalog.accelerators
    months = {at[0]: offer.lead_months.value for at, offer in question.offers.owned.items()}
    for wait in sorted(set(months.values())):
        names = ", ".join(titles[name].title for name, own in months.items() if own == wait)
        yield f"lead time {wait:g} months ({names})"
    for place in question.offers.places:
        if place.on_premises and place.site.available_from:
            yield f"{place.site.name} opens {place.site.available_from}"
