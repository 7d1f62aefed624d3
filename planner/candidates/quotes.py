"""Which price holds: the user's own quotation, else the catalog's recommended row."""

from __future__ import annotations

from dataclasses import dataclass

from planner.schema.catalog import ApiPrice, Catalog, Price
from planner.schema.demand import Batch, DemandClass
from planner.schema.scenario import Scenario
from planner.schema.supply import Option, PriceOverride

CATALOG_OPTION = {
    Option.owned: "capex",
    Option.colo: "capex",
    Option.on_demand: "on_demand",
    Option.reserved_1y: "reserved_1y",
    Option.reserved_3y: "reserved_3y",
}
TERM_MONTHS = {Option.reserved_1y: 12, Option.reserved_3y: 36}


@dataclass(frozen=True)
class Quote:
    """A price with its origin."""

    usd: float
    """Per lot (capex) or per accelerator-hour (rented)."""
    title: str
    source: str
    as_of: str
    basis: str
    scenario_path: str = ""
    includes_network: bool = False
    confidence: str = "high"
    note: str = ""
    currency: str = "USD"


def machine_quote(
    scenario: Scenario, catalog: Catalog, accelerator: str, option: Option
) -> Quote | None:
    """Price of a machine by an option; None where neither user nor catalog has one."""
    for position, own in enumerate(scenario.supply.prices):
        if own.accelerator == accelerator and own.option == option:
            return _own(own, own.usd, f"supply.prices[{position}].usd")
    wanted = CATALOG_OPTION[option]
    rows = [
        row
        for row in catalog.prices
        if row.recommended and row.accelerator == accelerator and row.option == wanted
    ]
    return _listed(rows[0], catalog) if rows else None


def _own(price: PriceOverride, usd: float, path: str) -> Quote:
    title = f"{price.accelerator or price.model} {price.option}, own quotation"
    return Quote(usd, title, price.source, price.as_of, "quoted", path, currency=price.currency)


def _listed(row: Price, catalog: Catalog) -> Quote:
    lot = catalog.accelerators[row.accelerator].lot_gpus
    usd = row.usd * lot if row.unit == "usd_per_gpu" else row.usd
    return Quote(
        usd=usd,
        title=f"{catalog.accelerators[row.accelerator].title}, {row.item or row.option}",
        source=f"{row.provider}: {row.source}",
        as_of=row.as_of.isoformat(),
        basis=row.basis.value,
        includes_network=row.includes_network,
        confidence=row.confidence,
        note=row.note,
    )


@dataclass(frozen=True)
class ApiQuote:
    """A per-token product that may serve a class; USD per million tokens."""

    provider: str
    product: str
    model: str
    input_usd: float
    cached_usd: float
    output_usd: float
    source: str
    as_of: str
    basis: str
    confidence: str
    scenario_path: str = ""
    currency: str = "USD"


def api_quotes(scenario: Scenario, catalog: Catalog, demand: DemandClass) -> list[ApiQuote]:
    """Products that host one of the class's models, cheapest of each provider."""
    models = getattr(demand, "models", ())
    own = [
        _own_api(price, i)
        for i, price in enumerate(scenario.supply.prices)
        if price.option == Option.api and price.model in models and price.output_usd
    ]
    providers = scenario.supply.api_providers
    listed = [
        _listed_api(row, batch=isinstance(demand, Batch))
        for row in catalog.api_prices
        if row.model in models and (providers == "all" or row.provider in providers)
    ]
    return own + listed


def _own_api(price: PriceOverride, position: int) -> ApiQuote:
    return ApiQuote(
        # Numbered: two quotations for one model are two products, each with rows of its own.
        provider=f"own quotation {position + 1}",
        product=f"{price.model} API",
        model=price.model or "",
        input_usd=price.usd,
        cached_usd=price.usd,
        output_usd=price.output_usd or price.usd,
        source=price.source,
        as_of=price.as_of,
        basis="quoted",
        confidence="high",
        scenario_path=f"supply.prices[{position}].usd",
        currency=price.currency,
    )


def _listed_api(row: ApiPrice, *, batch: bool) -> ApiQuote:
    """The provider's price; its batch price for batch work where it has one."""
    batch_in, batch_out = row.batch_input_usd_per_mtoken, row.batch_output_usd_per_mtoken
    half_price = batch and batch_in is not None and batch_out is not None
    entry = batch_in if half_price and batch_in is not None else row.input_usd_per_mtoken
    exit_ = batch_out if half_price and batch_out is not None else row.output_usd_per_mtoken
    cached = row.cached_input_usd_per_mtoken
    return ApiQuote(
        provider=row.provider,
        product=row.product,
        model=row.model or "",
        input_usd=entry,
        cached_usd=min(cached, entry) if cached is not None else entry,
        output_usd=exit_,
        source=row.source,
        as_of=row.as_of.isoformat(),
        basis=row.basis.value,
        confidence=row.confidence,
    )


def undominated(quotes: list[ApiQuote]) -> list[ApiQuote]:
    """Quotes that no other of their currency undercuts in every token price: all one can want."""
    kept: list[ApiQuote] = []
    for quote in sorted(quotes, key=lambda q: (q.input_usd, q.output_usd, q.cached_usd)):
        if not any(
            (other.model, other.currency) == (quote.model, quote.currency)
            and other.input_usd <= quote.input_usd
            and other.cached_usd <= quote.cached_usd
            and other.output_usd <= quote.output_usd
            for other in kept
        ):
            kept.append(quote)
    return kept
