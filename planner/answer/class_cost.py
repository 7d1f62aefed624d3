"""What each class costs: its own API fees and energy, and its share of every machine it uses.

Machines of one SKU at one site are shared by accelerator-hours kept active; idle hours and spares
follow the same share, so that the classes add up to the whole. Tax that is the company's follows
what each class costs before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.answer.decided import Decided
from planner.answer.money import Books
from planner.candidates.costs import mean_requests
from planner.finance.offers import egress_group
from planner.finance.tax import COMPANY
from planner.result import ClassCost
from planner.units import MILLION

Array = NDArray[np.float64]


def class_costs(decided: Decided, books: Books) -> list[ClassCost]:
    """NPV and undiscounted cost per million tokens, by class."""
    shares = _machine_shares(decided)
    groups = books.by_group()
    npv, total = np.zeros(len(shares)), np.zeros(len(shares))
    company_npv, company_total = groups.pop(COMPANY, (0.0, 0.0))
    for label, (group_npv, group_total) in groups.items():
        share = _share(label, decided, books, shares)
        npv += share * group_npv
        total += share * group_total
    npv += company_npv * npv / npv.sum()
    total += company_total * total / total.sum()
    found = []
    for d, name in enumerate(decided.problem.labels.classes):
        requests = float(mean_requests(decided.case.traffic, d).sum())
        lengths = decided.case.traffic.lengths[d]
        entry = requests * lengths.input_mean / MILLION
        exit_ = requests * lengths.output_mean / MILLION
        found.append(
            ClassCost(
                demand_class=name,
                npv_usd=float(npv[d]),
                input_mtokens=entry,
                output_mtokens=exit_,
                usd_per_mtoken=float(total[d]) / (entry + exit_),
            )
        )
    return found


def _machine_shares(decided: Decided) -> Array:
    """Share of each class in active accelerator-hours, (classes, accelerators, sites).

    Machines that nobody keeps active are everybody's, by what each keeps active elsewhere.
    """
    p = decided.problem
    hours = np.zeros((len(p.labels.classes), len(p.labels.accelerators), len(p.labels.sites)))
    for c, s in decided.used_pools:
        hours[p.pools.class_of[c], :, s] += decided.gpu_hours(c, s).sum(axis=1)
    whole, by_class = hours.sum(axis=0), hours.sum(axis=(1, 2))
    total = by_class.sum()
    idle = by_class / total if total > 0 else np.full(len(hours), 1 / len(hours))
    shared = np.broadcast_to(idle[:, None, None], hours.shape).copy()
    return np.asarray(np.divide(hours, whole, out=shared, where=whole > 0), float)


def _share(label: str, decided: Decided, books: Books, shares: Array) -> Array:
    """Share of each class in one group of cash rows, (classes,); sums to 1."""
    classes = len(shares)
    if label in books.groups:
        _, g, s = books.groups[label]
        return np.asarray(shares[:, g, s])
    for api in decided.case.offers.apis:
        if api.offer.label == label:
            return np.asarray(np.eye(classes)[api.demand_class], float)
    site = next(
        s
        for s, name in enumerate(decided.axes.sites)
        if label in (f"Energy at {name}", egress_group(name))
    )
    return _use_share(decided, site, classes)


def _use_share(decided: Decided, site: int, classes: int) -> Array:
    """Energy of work and egress follow their coefficients; nothing to share where it is free."""
    p = decided.problem
    usd = np.zeros(classes)
    for c, s in decided.used_pools:
        if s == site:
            used = decided.solution.served_frac[c, s] * p.pools.energy_usd[c, s]
            usd[p.pools.class_of[c]] += used.sum()
    return np.asarray(usd / usd.sum() if usd.any() else usd, float)
