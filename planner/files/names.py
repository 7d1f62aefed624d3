"""What a scenario and the catalog say about each other: unknown names, missing prices, odd sizes.

`check_names` lists what makes planning impossible; `notes` what a reader should know first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date

from planner.files.problems import meant
from planner.schema.catalog import Catalog
from planner.schema.scenario import Scenario
from planner.schema.sites import Site
from planner.schema.supply import Option, PriceOverride

_PLACE = {Option.owned: "owned", Option.colo: "colo"}
_RENTED = (Option.on_demand, Option.reserved_1y, Option.reserved_3y)


def check_names(scenario: Scenario, catalog: Catalog) -> list[str]:
    """Every contradiction between a scenario and the catalog; empty where all is known.

    Parameters
    ----------
    scenario : as read from its file.
    catalog : with the user's overlay, if any.
    """
    return [
        *_demand(scenario, catalog),
        *_sites(scenario, catalog),
        *_accelerators(scenario, catalog),
        *_engines_and_formats(scenario, catalog),
        *_prices(scenario, catalog),
        *_serving_table(scenario, catalog),
        *_nothing_left(scenario, catalog),
    ]


def notes(scenario: Scenario, catalog: Catalog) -> list[str]:
    """What a reader should know before planning: ways without a price, unusual sizes."""
    return [*_unpriced(scenario, catalog), *_unusual(scenario)]


def _demand(scenario: Scenario, catalog: Catalog) -> Iterator[str]:
    length = 3 if scenario.horizon.period == "quarter" else 1
    periods = scenario.horizon.months // length
    for d in scenario.demand:
        for model in getattr(d, "models", ()):
            if model not in catalog.models:
                yield f"demand[{d.name}].models: no model {model!r}; {meant(model, catalog.models)}"
        growth = getattr(d, "growth", None)
        if growth and growth.table and len(growth.table) != periods:
            yield (
                f"demand[{d.name}].growth.table: {len(growth.table)} entries, "
                f"the horizon has {periods} periods"
            )


def _sites(scenario: Scenario, catalog: Catalog) -> Iterator[str]:
    for site in scenario.sites:
        where = f"sites[{site.name}]"
        if site.facility is not None and site.facility not in catalog.facilities:
            known = meant(site.facility, catalog.facilities)
            yield f"{where}.facility: no facility {site.facility!r}; {known}"
        if site.facility is None and site.kind != "cloud":
            blank = [name for name in _figures(site) if getattr(site, name) is None]
            if blank:
                yield f"{where}: give {', '.join(blank)}, or a facility that supplies them"


def _figures(site: Site) -> tuple[str, ...]:
    rent = ("rent_usd_per_kw_month",) if site.kind == "colo" else ()
    return ("pue", "electricity_usd_per_kwh", *rent)


def _accelerators(scenario: Scenario, catalog: Catalog) -> Iterator[str]:
    supply = scenario.supply
    if supply.accelerators != "all":
        for name in supply.accelerators:
            yield from _plannable("supply.accelerators", "accelerator", name, catalog.accelerators)
    for name in supply.lead_time_months:
        yield from _known(
            f"supply.lead_time_months.{name}", "accelerator", name, catalog.accelerators
        )
    for i, stock in enumerate(supply.stock):
        where = f"supply.stock[{i}].accelerator"
        yield from _known(where, "accelerator", stock.accelerator, catalog.accelerators)


def _engines_and_formats(scenario: Scenario, catalog: Catalog) -> Iterator[str]:
    supply = scenario.supply
    for name in supply.engines:
        yield from _plannable("supply.engines", "engine", name, catalog.engines)
    formats = () if supply.quantizations == "all" else supply.quantizations
    weights = [n for n, row in catalog.quantizations.items() if row.applies_to == "weights"]
    for name in formats:
        if name in catalog.quantizations and name not in weights:
            yield f"supply.quantizations: {name!r} is a KV cache format; name it in kv_dtypes"
        else:
            yield from _known("supply.quantizations", "weight format", name, weights)
    providers = {row.provider for row in catalog.api_prices}
    for name in () if supply.api_providers == "all" else supply.api_providers:
        yield from _known("supply.api_providers", "provider", name, providers)


def _prices(scenario: Scenario, catalog: Catalog) -> Iterator[str]:
    for i, price in enumerate(scenario.supply.prices):
        where = f"supply.prices[{i}]"
        yield from _price_subject(where, price)
        if price.accelerator is not None:
            yield from _known(
                f"{where}.accelerator", "accelerator", price.accelerator, catalog.accelerators
            )
        if price.model is not None:
            yield from _known(f"{where}.model", "model", price.model, catalog.models)
        if not _is_date(price.as_of):
            yield f"{where}.as_of: expected a day such as 2026-11-02, found {price.as_of!r}"


def _serving_table(scenario: Scenario, catalog: Catalog) -> Iterator[str]:
    weights = [n for n, row in catalog.quantizations.items() if row.applies_to == "weights"]
    for i, row in enumerate(scenario.serving_table):
        where = f"serving_table[{i}]"
        yield from _known(
            f"{where}.accelerator", "accelerator", row.accelerator, catalog.accelerators
        )
        if row.quantization is not None:
            yield from _known(f"{where}.quantization", "weight format", row.quantization, weights)
        if row.engine is not None:
            yield from _known(f"{where}.engine", "engine", row.engine, catalog.engines)


def _price_subject(where: str, price: PriceOverride) -> Iterator[str]:
    if price.option is Option.api:
        if price.model is None or price.accelerator is not None:
            yield f"{where}: the price of an API names a model and no accelerator"
        if price.output_usd is None:
            yield f"{where}: the price of an API needs output_usd"
        return
    if price.accelerator is None or price.model is not None:
        yield f"{where}: the price of {price.option} names an accelerator and no model"
    if price.output_usd is not None:
        yield f"{where}: output_usd belongs to an API only"


def _nothing_left(scenario: Scenario, catalog: Catalog) -> Iterator[str]:
    """A class that no priced way can serve makes planning impossible."""
    if any(_priced(scenario, catalog).values()):
        return
    api = Option.api in scenario.supply.options
    for d in scenario.demand:
        models = set(getattr(d, "models", ()))
        allowed = api and getattr(d, "api_allowed", False)
        if not (allowed and models & _api_models(scenario, catalog)):
            yield f"demand[{d.name}]: no way of serving it has a price; see supply.options"


def _unpriced(scenario: Scenario, catalog: Catalog) -> Iterator[str]:
    names = _chosen(scenario, catalog)
    for option, priced in _priced(scenario, catalog).items():
        missing = [name for name in names if name not in priced]
        if missing and scenario.supply.accelerators != "all":
            yield f"{option}: not offered for {', '.join(missing)}, which have no such price"
        elif not priced:
            yield f"{option}: not offered, no accelerator has such a price"
    if Option.api in scenario.supply.options:
        for d in scenario.demand:
            models = set(getattr(d, "models", ()))
            if getattr(d, "api_allowed", False) and not models & _api_models(scenario, catalog):
                yield f"api: not offered for demand[{d.name}], no provider prices its models"


def _chosen(scenario: Scenario, catalog: Catalog) -> list[str]:
    asked = scenario.supply.accelerators
    names = catalog.accelerators if asked == "all" else asked
    rows = catalog.accelerators
    return [name for name in names if name in rows and rows[name].plannable]


def _priced(scenario: Scenario, catalog: Catalog) -> dict[Option, set[str]]:
    """For each allowed way of getting machines, the chosen accelerators that have a price."""
    names = set(_chosen(scenario, catalog))
    found = {}
    for option in scenario.supply.options:
        if option in _PLACE:
            rows = {row.accelerator for row in catalog.prices if row.option == "capex"}
        elif option in _RENTED:
            rows = {row.accelerator for row in catalog.prices if row.option == option.value}
        else:
            continue
        own = {p.accelerator for p in scenario.supply.prices if p.option is option}
        found[option] = names & (rows | own)
    return found


def _api_models(scenario: Scenario, catalog: Catalog) -> set[str]:
    asked = scenario.supply.api_providers
    rows = [r for r in catalog.api_prices if asked == "all" or r.provider in asked]
    own = {p.model for p in scenario.supply.prices if p.option is Option.api}
    return {name for name in {r.model for r in rows} | own if name is not None}


def _known(where: str, what: str, name: str, known: Iterable[str]) -> Iterator[str]:
    if name not in known:
        yield f"{where}: no {what} {name!r}; {meant(name, known)}"


def _plannable(where: str, what: str, name: str, rows: Mapping[str, object]) -> Iterator[str]:
    row = rows.get(name)
    if row is None:
        plannable = [n for n, r in rows.items() if getattr(r, "plannable", True)]
        yield f"{where}: no {what} {name!r}; {meant(name, plannable)}"
    elif not getattr(row, "plannable", True):
        yield f"{where}: {name} cannot be planned with: {getattr(row, 'excluded_because', '')}"


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _unusual(scenario: Scenario) -> Iterator[str]:
    """Sizes that are allowed and yet look like another unit."""
    if scenario.finance.discount_rate > 0.3:
        rate = scenario.finance.discount_rate
        yield f"finance.discount_rate: {rate:g} means {rate:.0%} a year"
    for site in scenario.sites:
        price = site.electricity_usd_per_kwh
        if price is not None and price > 1 and site.currency == "USD":
            yield f"sites[{site.name}].electricity_usd_per_kwh: {price:g} is dollars, not cents"
    for d in scenario.demand:
        slo = getattr(d, "slo", None)
        if slo is not None and slo.ttft_ms < 20:
            yield f"demand[{d.name}].slo.ttft_ms: {slo.ttft_ms:g} ms is under 20 ms; seconds?"
        if slo is not None and slo.tpot_ms < 1:
            yield f"demand[{d.name}].slo.tpot_ms: {slo.tpot_ms:g} ms is under 1 ms; seconds?"
        if slo is not None and (slo.token_itl_ms or 1) < 1:
            gap = slo.token_itl_ms
            yield f"demand[{d.name}].slo.token_itl_ms: {gap:g} ms is under 1 ms; seconds?"
        for event in getattr(getattr(d, "growth", None), "events", ()):
            if event.month < scenario.horizon.start:
                yield f"demand[{d.name}].growth: the event of {event.month} is before the start"
