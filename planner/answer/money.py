"""The plan's ledger: rows of what is used, with the solved quantities by month."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.answer.decided import SOME, Decided
from planner.candidates.assemble import active_kwh
from planner.candidates.costs import Money, egress_gb, mean_requests, money, tokens_a_request
from planner.errors import PlannerError
from planner.finance import ledger, tax, unit
from planner.finance.ledger import Input, Line, Rows
from planner.finance.lines import assemble
from planner.finance.offers import api_key, egress_key, energy_key, owned_key, rented_key
from planner.units import MILLION

Array = NDArray[np.float64]
AGREE_REL = 1e-6


@dataclass(frozen=True)
class Books:
    """Rows, inputs, quantities by month and every line's value."""

    lines: tuple[Line, ...]
    inputs: tuple[Input, ...]
    quantities: dict[str, Array]
    values: dict[str, Array]
    groups: dict[str, tuple[str, int, int]]
    """Group label of machine rows to (option, accelerator, site)."""

    @property
    def npv_usd(self) -> float:
        """Net present cost of everything."""
        return float(unit.npv_usd(self.lines, self.values))

    def by_group(self) -> dict[str, tuple[float, float]]:
        """NPV and undiscounted total of each group's cash [USD]."""
        weight = unit.weight(self.values)
        found: dict[str, tuple[float, float]] = {}
        for line in self.lines:
            if line.kind == "cash":
                cash = np.broadcast_to(self.values[line.key], weight.shape)
                npv, total = found.get(line.group, (0.0, 0.0))
                found[line.group] = (npv + float((cash * weight).sum()), total + float(cash.sum()))
        return found


def books(decided: Decided) -> Books:
    """Ledger of a decided plan.

    Raises
    ------
    PlannerError : its NPV differs from the optimizer's cost; one formula serves both, so a
        difference is a defect.
    """
    priced = money(decided.case.offers, decided.case.traffic.calendar)
    parts: list[Rows] = [priced.common]
    quantities = dict(priced.calendar)
    groups: dict[str, tuple[str, int, int]] = {}
    for add in (_owned, _signed, _on_demand):
        add(decided, priced, parts, quantities, groups)
    _apis(decided, priced, parts, quantities)
    _energy(decided, priced, parts, quantities)
    _egress(decided, priced, parts, quantities)
    if decided.case.offers.taxed_together:
        parts.append(_company_tax(decided, parts))
    lines, inputs = assemble(parts)
    months = priced.orders.shape[1]
    values = ledger.evaluate(lines, unit.input_values(inputs), quantities, months)
    found = Books(lines, inputs, quantities, values, groups)
    cost = decided.solution.cost_usd
    if abs(found.npv_usd - cost) > AGREE_REL * max(abs(cost), 1.0):
        raise PlannerError(f"ledger NPV {found.npv_usd:,.2f} differs from the cost {cost:,.2f}")
    return found


def quantities(money: Books) -> dict[str, list[float]]:
    """The optimizer's results by month, line by line, for the Plan."""
    return {
        line.key: np.broadcast_to(money.values[line.key], money.values["month"].shape).tolist()
        for line in money.lines
        if line.kind == "quantity"
    }


def _company_tax(decided: Decided, parts: list[Rows]) -> Rows:
    """Tax of all options of the ledger together."""
    terms = decided.case.offers.common.tax
    assert terms is not None
    return tax.company_lines(terms, [line for lines, _ in parts for line in lines])


Groups = dict[str, tuple[str, int, int]]


def _owned(
    decided: Decided, priced: Money, parts: list[Rows], quantities: dict[str, Array], groups: Groups
) -> None:
    for g, s in np.argwhere(decided.solution.lots_bought.any(axis=2)).tolist():
        at = decided.axes.accelerators[g], decided.axes.sites[s]
        offer, place = decided.case.offers.owned[at], decided.case.offers.places[s]
        parts.append(decided.case.offers.owned_rows(at))
        quantities[f"{owned_key(*at)}_bought"] = decided.solution.lots_bought[g, s] @ priced.orders
        groups[offer.label] = (place.site.kind, g, s)


def _signed(
    decided: Decided, priced: Money, parts: list[Rows], quantities: dict[str, Array], groups: Groups
) -> None:
    for o, g, s in np.argwhere(decided.solution.lots_signed.any(axis=3)).tolist():
        at = decided.axes.options[o], decided.axes.accelerators[g], decided.axes.sites[s]
        offer = decided.case.offers.commitments[at]
        parts.append(decided.case.offers.commitment_rows(at))
        signed = decided.solution.lots_signed[o, g, s] @ priced.orders
        quantities[f"{rented_key(*at)}_signed"] = signed
        groups[offer.label] = (at[0], g, s)


def _on_demand(
    decided: Decided, priced: Money, parts: list[Rows], quantities: dict[str, Array], groups: Groups
) -> None:
    lot_hours = (decided.solution.lots_on_demand * decided.problem.demand.hours).sum(axis=3)
    for g, s in np.argwhere((lot_hours > SOME).any(axis=2)).tolist():
        at = decided.axes.accelerators[g], decided.axes.sites[s]
        offer = decided.case.offers.on_demand[at]
        parts.append(decided.case.offers.on_demand_rows(at))
        key = f"{rented_key('on_demand', *at)}_lot_hours"
        quantities[key] = lot_hours[g, s] @ priced.spread
        groups[offer.label] = ("on_demand", g, s)


def _apis(decided: Decided, priced: Money, parts: list[Rows], quantities: dict[str, Array]) -> None:
    for a, api in enumerate(decided.case.offers.apis):
        share = decided.solution.api_frac[a]
        if share.max(initial=0.0) <= SOME:
            continue
        parts.append(decided.case.offers.api_rows(api.offer))
        requests = (mean_requests(decided.case.traffic, api.demand_class) * share).sum(axis=1)
        for kind, tokens in tokens_a_request(decided.case.table, api.demand_class).items():
            key = f"{api_key(api.offer.name)}_{kind}_mtokens"
            quantities[key] = (requests * tokens / MILLION) @ priced.spread


def _energy(
    decided: Decided, priced: Money, parts: list[Rows], quantities: dict[str, Array]
) -> None:
    kwh = active_kwh(decided.case, decided.axes)
    used = (decided.solution.served_frac * kwh[:, None]).sum(axis=(0, 3))
    for s, place in enumerate(decided.case.offers.places):
        if place.costs is not None and used[s].any():
            parts.append(decided.case.offers.energy_rows(place.costs))
            quantities[f"{energy_key(place.site.name)}_it_kwh"] = used[s] @ priced.spread


def _egress(
    decided: Decided, priced: Money, parts: list[Rows], quantities: dict[str, Array]
) -> None:
    sites = decided.case.offers.egress_sites
    if not sites:
        return
    gb = egress_gb(decided.case, decided.axes)
    sent = (decided.solution.served_frac * gb[:, None]).sum(axis=(0, 3))
    for s in sites:
        if sent[s].any():
            site = decided.axes.sites[s]
            parts.append(decided.case.offers.egress_rows(site))
            quantities[f"{egress_key(site)}_gb"] = sent[s] @ priced.spread
