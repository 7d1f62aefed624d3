"""A scenario: everything a person decides before the planner decides the rest."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from planner.schema.base import Frac, Frozen, Later, Month
from planner.schema.demand import DemandClass
from planner.schema.finance import Finance
from planner.schema.measured import MeasuredRate, contradictions
from planner.schema.sites import Site
from planner.schema.supply import Limits, Option, Supply

PERIOD_MONTHS = {"month": 1, "quarter": 3}


class Horizon(Frozen):
    """The time over which costs are counted."""

    start: Month
    """First month."""
    months: Annotated[int, Field(ge=12, le=60)] = 36
    """Length; 36 or 48 are usual."""
    period: Literal["month", "quarter"] = "quarter"
    """How often the fleet may change."""
    fiscal_year_start_month: Annotated[int, Field(ge=1, le=12)] = 1
    """1 is January."""
    tail_value_frac: Frac = 0.0
    """Share of a commitment's cost beyond the horizon that is taken to have value then."""

    @model_validator(mode="after")
    def _whole_periods(self) -> Self:
        if self.period == "quarter" and self.months % 3:
            raise ValueError(f"months {self.months} is no whole number of quarters")
        return self


class Planning(Frozen):
    """How the planner plans."""

    load_blocks: Annotated[int, Field(ge=2, le=48)] = 8
    """Representative groups of hours a period, weekday and weekend together."""
    utilization_max: Annotated[float, Field(gt=0, le=0.95)] = 0.8
    """Nothing is planned above this share of the stability limit on formulas alone (0.7 bursty)."""
    plan_at: Literal["p50", "p80", "p95"] = "p80"
    """Steps are planned as long as this share of measurements did not exceed in cross-validation:
    p50 as predicted, p80 and p95 on the safe side of the model's error."""
    efficiency_path_per_year: Annotated[float, Later()] = 0.0
    """Throughput gained a year from engines and model successors."""


class Future(Frozen):
    """One future that may come."""

    probability: Annotated[float, Field(gt=0, le=1)]
    """Its probability."""
    demand_factor: Annotated[float, Field(gt=0)] = 1.0
    """Demand against the base."""
    price_factor: Annotated[float, Field(gt=0)] = 1.0
    """Rental prices against the base."""


class Uncertainty(Frozen):
    """Futures, and how long the first decisions must stand."""

    futures: dict[str, Future]
    """Named futures; probabilities sum to one."""
    decide_until: Month
    """What is signed before this month is decided now."""
    risk_weight: Frac = 0.0
    """Weight of CVaR in the objective."""
    cvar_level: Frac = 0.9
    """Tail beyond this level counts as risk."""


class Scenario(Frozen):
    """One planning question."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)]
    """Lower-case name; also the folder of its reports."""
    title: Annotated[str, Field(min_length=3, max_length=120)]
    """One line for the cover page."""
    description: str = ""
    """What is asked and for whom."""
    horizon: Horizon
    """Time."""
    finance: Finance = Finance()
    """Money."""
    demand: Annotated[tuple[DemandClass, ...], Field(min_length=1)]
    """Traffic classes."""
    sites: Annotated[tuple[Site, ...], Field(min_length=1)]
    """Places."""
    supply: Supply
    """What may be chosen."""
    limits: Limits = Limits()
    """What may not be exceeded."""
    planning: Planning = Planning()
    """How to plan."""
    sources: dict[str, str] = Field(default_factory=dict)
    """Source of each assumption: a path such as demand.chat.slo to a sentence with its origin."""
    uncertainty: Annotated[Uncertainty | None, Later()] = None
    """Scenarios of the future with probabilities."""
    serving_table: tuple[MeasuredRate, ...] = ()
    """Measured rates that replace the performance model for the classes they cover."""

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        problems = [*_repeated(self), *_contradictions(self)]
        if problems:
            raise ValueError("; ".join(problems))
        return self


def _repeated(scenario: Scenario) -> list[str]:
    found = []
    for what, names in (
        ("demand class", [d.name for d in scenario.demand]),
        ("site", [s.name for s in scenario.sites]),
    ):
        found += [f"{what} {n!r} appears twice" for n in sorted(set(names)) if names.count(n) > 1]
    return found


def _contradictions(scenario: Scenario) -> list[str]:
    kinds = {site.kind for site in scenario.sites}
    return [
        *_options_without_site(scenario, kinds),
        *_stock_without_site(scenario),
        *_currencies_without_rate(scenario),
        *_demand_without_place(scenario, kinds),
        *contradictions(scenario.serving_table, scenario.demand),
        *(
            f"site {site.name}: available_from lies after the end of the horizon"
            for site in scenario.sites
            if site.available_from and site.available_from > last_month(scenario.horizon)
        ),
    ]


_NEEDS = {
    Option.owned: "owned",
    Option.colo: "colo",
    Option.on_demand: "cloud",
    Option.reserved_1y: "cloud",
    Option.reserved_3y: "cloud",
}


def _options_without_site(scenario: Scenario, kinds: Collection[str]) -> list[str]:
    return [
        f"supply.options has {option} but no site is of kind {kind}"
        for option, kind in _NEEDS.items()
        if option in scenario.supply.options and kind not in kinds
    ]


def _stock_without_site(scenario: Scenario) -> list[str]:
    sites = sorted(site.name for site in scenario.sites)
    return [
        f"supply.stock names site {stock.site!r}, known: {', '.join(sites)}"
        for stock in scenario.supply.stock
        if stock.site not in sites
    ]


def _currencies_without_rate(scenario: Scenario) -> list[str]:
    rates, first = scenario.finance.fx, int(scenario.horizon.start[:4])
    places = {f"site {site.name}": site.currency for site in scenario.sites}
    places |= {f"supply.prices[{i}]": own.currency for i, own in enumerate(scenario.supply.prices)}
    found = [
        f"{where} is in {currency}: write USD for one {currency} as finance.fx.{currency}"
        for where, currency in places.items()
        if currency not in {"USD", *rates}
    ]
    for currency, rate in rates.items():
        if currency == "USD":
            found.append("finance.fx.USD: USD is the currency that others are translated to")
        elif isinstance(rate, dict) and min(rate, default=first + 1) > first:
            found.append(f"finance.fx.{currency} has no rate for {first} or before")
    return found


def _demand_without_place(scenario: Scenario, kinds: Collection[str]) -> list[str]:
    regions = {site.region for site in scenario.sites}
    found = []
    for d in scenario.demand:
        found += [
            f"demand {d.name}: no site lies in residency region {region!r}"
            for region in getattr(d, "residency", ())
            if region not in regions
        ]
        if getattr(d, "on_premises_min_frac", 0) > 0 and not {"owned", "colo"} & set(kinds):
            found.append(f"demand {d.name}: on_premises_min_frac needs an owned or colo site")
    return found


def last_month(horizon: Horizon) -> str:
    """Last month of the horizon, as 2029-12."""
    year, month = map(int, horizon.start.split("-"))
    last = year * 12 + month - 1 + horizon.months - 1
    return f"{last // 12:04d}-{last % 12 + 1:02d}"
