"""Everything that can be had, priced: machines by accelerator, site and option, APIs by class.

Own quotations come before the catalog's recommended rows; what has no price is not offered, and
the note says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from planner.candidates.places import Place, places
from planner.candidates.quotes import (
    CATALOG_OPTION,
    TERM_MONTHS,
    Quote,
    api_quotes,
    machine_quote,
    undominated,
)
from planner.candidates.terms import OTHER, common, own, running, treatment
from planner.finance.ledger import Rows
from planner.finance.lines import (
    active_energy_lines,
    api_lines,
    commitment_lines,
    common_lines,
    egress_lines,
    on_demand_lines,
)
from planner.finance.offers import (
    ApiOffer,
    Assumed,
    CommitmentOffer,
    Common,
    OnDemandOffer,
    OwnedOffer,
    SiteCosts,
    api_key,
    egress_key,
    energy_key,
    owned_key,
    rented_key,
    slug,
)
from planner.finance.owned import owned_lines
from planner.finance.tax import Asset, has_state, taxed
from planner.schema.catalog import Accelerator, Catalog
from planner.schema.demand import Batch, Online
from planner.schema.finance import Finance, RateByGeneration
from planner.schema.scenario import PERIOD_MONTHS, Scenario
from planner.schema.supply import Option

COMMITMENTS = (Option.reserved_1y, Option.reserved_3y)
IDLE = "idle-power-frac"
FULL = "load-factor"


@dataclass(frozen=True)
class ApiFor:
    """An API product for one class."""

    demand_class: int
    provider: str
    product: str
    model: str
    offer: ApiOffer


@dataclass(frozen=True)
class TaxCalendar:
    """What tax law makes of time."""

    bonus_from: str | None = None
    """First month whose orders get the bonus; None: all."""
    mid_quarter: frozenset[str] = frozenset()
    """Fiscal years whose purchases are taken to fall under the mid-quarter convention."""


@dataclass(frozen=True)
class Offers:
    """What can be had; its rows are after tax where the scenario pays tax."""

    common: Common
    places: tuple[Place, ...]
    owned: Mapping[tuple[str, str], OwnedOffer]
    """By accelerator and site."""
    commitments: Mapping[tuple[str, str, str], CommitmentOffer]
    """By option, accelerator and site."""
    on_demand: Mapping[tuple[str, str], OnDemandOffer]
    apis: tuple[ApiFor, ...]
    quotes: Mapping[tuple[str, str], Quote]
    """By accelerator and catalog option (capex, on_demand, ...)."""
    notes: tuple[str, ...]
    tax_calendar: TaxCalendar = TaxCalendar()

    def accelerators(self) -> set[str]:
        """Accelerators that can be had at all."""
        rented = {accelerator for _, accelerator, _ in self.commitments}
        return rented | {g for g, _ in self.owned} | {g for g, _ in self.on_demand}

    def rows(self) -> list[Rows]:
        """Ledger rows of every offer, the common ones first."""
        return [
            common_lines(self.common),
            *(self.owned_rows(at) for at in self.owned),
            *(self.commitment_rows(at) for at in self.commitments),
            *(self.on_demand_rows(at) for at in self.on_demand),
            *(self.api_rows(a.offer) for a in self.apis),
            *(self.energy_rows(place.costs) for place in self.places if place.costs is not None),
            *(self.egress_rows(self.places[s].site.name) for s in self.egress_sites),
        ]

    def owned_rows(self, at: tuple[str, str]) -> Rows:
        """Rows of machines bought, by accelerator and site."""
        offer = self.owned[at]
        costs = next(p.costs for p in self.places if p.costs and p.costs.site == offer.site)
        key, machine = owned_key(*at), slug(offer.accelerator)
        asset = Asset(
            orders=f"{key}_orders_usd",
            placed=f"{key}_placed_usd",
            end_value=f"{key}_end_value_usd",
            lead_months=f"{machine}_lead_months",
        )
        return self._taxed(owned_lines(offer, costs), key, asset)

    def commitment_rows(self, at: tuple[str, str, str]) -> Rows:
        """Rows of contracts, by option, accelerator and site."""
        return self._taxed(commitment_lines(self.commitments[at]), rented_key(*at))

    def on_demand_rows(self, at: tuple[str, str]) -> Rows:
        """Rows of machines rented by the hour, by accelerator and site."""
        return self._taxed(on_demand_lines(self.on_demand[at]), rented_key("on_demand", *at))

    def api_rows(self, offer: ApiOffer) -> Rows:
        """Rows of an API."""
        return self._taxed(api_lines(offer), api_key(offer.name))

    def energy_rows(self, costs: SiteCosts) -> Rows:
        """Rows of the energy of work at one site."""
        return self._taxed(active_energy_lines(costs), energy_key(costs.site))

    @property
    def egress_sites(self) -> list[int]:
        """Positions of the clouds out of which traffic is paid for."""
        paid = self.common.egress_usd_per_gb is not None
        return [s for s, place in enumerate(self.places) if paid and not place.on_premises]

    def egress_rows(self, site: str) -> Rows:
        """Rows of the traffic out of one cloud."""
        price = self.common.egress_usd_per_gb
        assert price is not None
        return self._taxed(egress_lines(site, price), egress_key(site))

    def _taxed(self, rows: Rows, key: str, asset: Asset | None = None) -> Rows:
        if self.common.tax is None:
            return rows
        state = has_state(self.common.tax)
        return taxed(rows, key=key, asset=asset, settled=not self.taxed_together, state=state)

    @property
    def taxed_together(self) -> bool:
        """Whether losses are not used at once, so that tax is the company's, not each option's."""
        tax = self.common.tax
        return tax is not None and tax.other_income_usd_per_year is not None


def offers(scenario: Scenario, catalog: Catalog) -> Offers:
    """Price everything that the scenario admits."""
    where = places(scenario, catalog)
    names = [n for n in wanted(scenario, catalog) if catalog.accelerators[n].plannable]
    quotes = _quotes(scenario, catalog, names)
    options = scenario.supply.options
    owned, commitments, on_demand = {}, {}, {}
    for place in where:
        for name in names:
            for option in options:
                quote = quotes.get((name, CATALOG_OPTION.get(option, "")))
                if quote is None:
                    continue
                if option.value == place.site.kind:  # owned in an own room, colo in a rented one
                    owned[name, place.site.name] = _owned(scenario, catalog, name, place, quote)
                elif place.site.kind == "cloud" and option in COMMITMENTS:
                    key = (option.value, name, place.site.name)
                    commitments[key] = _commitment(
                        option, catalog.accelerators[name], name, place, quote, scenario.finance
                    )
                elif place.site.kind == "cloud" and option == Option.on_demand:
                    on_demand[name, place.site.name] = _rented(
                        catalog.accelerators[name], name, place, quote, scenario.finance
                    )
    return Offers(
        common=common(scenario.finance, scenario.horizon),
        places=tuple(where),
        owned=owned,
        commitments=commitments,
        on_demand=on_demand,
        apis=tuple(_apis(scenario, catalog)),
        quotes=quotes,
        notes=tuple(_unpriced(scenario, names, quotes)),
        tax_calendar=TaxCalendar(bonus_from=scenario.finance.tax.bonus_acquired_from),
    )


def wanted(scenario: Scenario, catalog: Catalog) -> list[str]:
    """Accelerators that the scenario admits, in the catalog's order."""
    listed = scenario.supply.accelerators
    return [name for name in catalog.accelerators if listed == "all" or name in listed]


def _quotes(scenario: Scenario, catalog: Catalog, names: list[str]) -> dict[tuple[str, str], Quote]:
    found = {}
    for option in scenario.supply.options:
        if option in CATALOG_OPTION:
            for name in names:
                quote = machine_quote(scenario, catalog, name, option)
                if quote is not None:
                    found[name, CATALOG_OPTION[option]] = quote
    return found


def _unpriced(
    scenario: Scenario, names: list[str], quotes: Mapping[tuple[str, str], Quote]
) -> Iterator[str]:
    for option in scenario.supply.options:
        kind = CATALOG_OPTION.get(option)
        missing = [name for name in names if kind and (name, kind) not in quotes]
        if missing:
            yield f"no {option} price, so not offered: {', '.join(missing)}"


def _priced(quote: Quote) -> Assumed:
    return Assumed(
        quote.usd, quote.source, quote.as_of, quote.basis, quote.scenario_path, quote.currency
    )


def _path(accelerator: Accelerator, paths: RateByGeneration) -> str:
    if not isinstance(paths, dict):
        return "all"
    return accelerator.generation if accelerator.generation in paths else OTHER


def _owned(
    scenario: Scenario, catalog: Catalog, name: str, place: Place, quote: Quote
) -> OwnedOffer:
    row = catalog.accelerators[name]
    return OwnedOffer(
        accelerator=name,
        site=place.site.name,
        label=f"{row.title} at {place.site.name}, {place.site.kind}",
        lot_name=row.lot_name,
        path=_path(row, scenario.finance.price_paths.capex_per_year),
        lot_usd=_priced(quote),
        price_includes_network=quote.includes_network,
        lead_months=lead_months(scenario, row, name),
        lot_kw=lot_kw(row),
        idle_frac=assumption(catalog, IDLE),
        curve_years=len(scenario.finance.residual.curve),
        lot_gpus=_lot_gpus(row),
        running=running(scenario.finance),
    )


def lot_kw(row: Accelerator) -> Assumed:
    """IT power of a lot, contracted."""
    nodes = row.lot_gpus / row.gpus_per_node
    kw = row.node_kw if row.node_kw is not None else float("nan")
    basis = row.basis.value if row.node_kw_basis == "quoted" else "derived"
    return Assumed(kw * nodes, row.source, row.as_of.isoformat(), basis)


def lead_months(scenario: Scenario, row: Accelerator, name: str) -> Assumed:
    """Order to in service, in whole periods: the scenario's, else the catalog's, else at once.

    Rounded up to periods, so that the optimizer and the ledger see the same first month.
    """
    path, step = f"supply.lead_time_months.{name}", PERIOD_MONTHS[scenario.horizon.period]
    own = scenario.supply.lead_time_months.get(name)
    if own is not None:
        return Assumed(_periods(own, step), "scenario, in whole periods", "", "scenario", path)
    if row.lead_time_months is not None:
        months = _periods(row.lead_time_months, step)
        source = f"{row.source}; in whole periods"
        return Assumed(months, source, row.as_of.isoformat(), "quoted", path)
    return Assumed(0, "no lead time known: taken as none", "", "estimated", path)


def _periods(months: int, step: int) -> int:
    return -(-months // step) * step


def assumption(catalog: Catalog, name: str) -> Assumed:
    """A single figure of the catalog."""
    row = catalog.assumptions[name]
    return Assumed(row.value, row.source, row.as_of.isoformat(), row.basis.value)


def _commitment(  # noqa: PLR0917 -- six values of one row, all of different types
    option: Option, row: Accelerator, name: str, place: Place, quote: Quote, finance: Finance
) -> CommitmentOffer:
    return CommitmentOffer(
        option=option.value,
        accelerator=name,
        site=place.site.name,
        label=f"{row.title} at {place.site.name}, {option.value}",
        lot_name=row.lot_name,
        path=_path(row, finance.price_paths.rental_per_year),
        usd_per_gpu_h=_priced(quote),
        lot_gpus=_lot_gpus(row),
        term_months=Assumed(TERM_MONTHS[option], "the option's own term", "", "quoted"),
        upfront_frac=own(
            f"payment.upfront_frac.{option.value}",
            finance.payment.upfront_frac.get(option.value, 0.0),  # type: ignore[call-overload]
        ),
        running=running(finance),
        treatment=treatment(option, finance.lease),
    )


def _rented(
    row: Accelerator, name: str, place: Place, quote: Quote, finance: Finance
) -> OnDemandOffer:
    return OnDemandOffer(
        accelerator=name,
        site=place.site.name,
        label=f"{row.title} at {place.site.name}, on demand",
        lot_name=row.lot_name,
        path=_path(row, finance.price_paths.rental_per_year),
        usd_per_gpu_h=_priced(quote),
        lot_gpus=_lot_gpus(row),
        running=running(finance),
    )


def _lot_gpus(row: Accelerator) -> Assumed:
    return Assumed(row.lot_gpus, row.source, row.as_of.isoformat(), row.basis.value)


def _apis(scenario: Scenario, catalog: Catalog) -> Iterator[ApiFor]:
    if Option.api not in scenario.supply.options:
        return
    for d, demand in enumerate(scenario.demand):
        if not isinstance(demand, Online | Batch) or not demand.api_allowed or demand.residency:
            continue
        for quote in undominated(api_quotes(scenario, catalog, demand)):
            figure = {
                kind: Assumed(
                    usd, quote.source, quote.as_of, quote.basis, quote.scenario_path, quote.currency
                )
                for kind, usd in (
                    ("input", quote.input_usd),
                    ("cached", quote.cached_usd),
                    ("output", quote.output_usd),
                )
            }
            offer = ApiOffer(
                name=f"{demand.name}-{quote.provider}-{quote.product}",
                label=f"{quote.product} of {quote.provider} for {demand.name}",
                input_usd_per_mtoken=figure["input"],
                output_usd_per_mtoken=figure["output"],
                cached_input_usd_per_mtoken=figure["cached"],
            )
            yield ApiFor(d, quote.provider, quote.product, quote.model, offer)
