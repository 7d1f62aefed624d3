"""What may be bought, rented or called, how much of it, and how soon."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from planner.schema.base import Currency, Frozen, Later, Month, NonNegative, Positive


class Option(StrEnum):
    """Ways to get capacity."""

    owned = "owned"
    colo = "colo"
    on_demand = "on_demand"
    reserved_1y = "reserved_1y"
    reserved_3y = "reserved_3y"
    api = "api"
    monthly = "monthly"
    capacity_block = "capacity_block"
    spot = "spot"


LATER_OPTIONS = frozenset({Option.monthly, Option.capacity_block, Option.spot})


class Stock(Frozen):
    """Most lots (nodes, or whole racks of rack-scale systems) to be had."""

    accelerator: str
    """Catalog name."""
    site: str
    """Site name."""
    option: Literal["on_demand"] | None = None
    """on_demand: only machines rented by the hour, a provider's quota; blank: all of them."""
    lots_max: Annotated[int, Field(ge=0)]
    """Most lots in service at once: purchased at a site, or rented in a region."""
    from_month: Month | None = None
    """First month in which the limit holds; blank: from the start."""


class PriceOverride(Frozen):
    """The user's own quotation; replaces the catalog's price."""

    accelerator: str | None = None
    """Catalog name, for machines."""
    model: str | None = None
    """Catalog name, for an API."""
    option: Option
    """Which way of getting capacity the price is for."""
    usd: Positive
    """USD per lot (owned, colo), per accelerator-hour (rented), per million input tokens (api)."""
    output_usd: Positive | None = None
    """USD per million output tokens (api)."""
    currency: Currency = "USD"
    """Of these prices, whatever their names say; needs a rate in finance.fx."""
    source: Annotated[str, Field(min_length=3)]
    """Who quoted it."""
    as_of: str
    """When, as 2026-11-02."""


class Supply(Frozen):
    """What the planner may choose from."""

    options: Annotated[tuple[Option, ...], Field(min_length=1)]
    """Allowed ways to get capacity."""
    accelerators: tuple[str, ...] | Literal["all"] = "all"
    """Catalog names, or all that can be planned with."""
    engines: tuple[str, ...] = ("vllm", "tensorrt-llm", "sglang")
    """Serving engines."""
    quantizations: tuple[str, ...] | Literal["all"] = "all"
    """Weight formats, or all that the accelerator runs and the quality floor admits."""
    kv_dtypes: tuple[Literal["bf16", "fp8", "int8"], ...] = ("bf16", "fp8")
    """Formats of the KV cache."""
    modes: tuple[
        Literal["static", "continuous", "chunked", "speculative", "disaggregated"], ...
    ] = ("chunked",)
    """Batching modes: static (a batch is collected and answered together), continuous (whole
    prompts), chunked (prompts cut, mixed with decode), speculative (chunked, and a draft of the
    catalog's speculators.yaml proposes tokens), disaggregated (prompts are computed on some
    replicas and answered on others, of the same or of another accelerator; the KV cache moves over
    the network between them; online classes only)."""
    mixes: bool = False
    """Whether online classes of one model may share pools, two or three classes a pool, each kept
    to its own promise: pays where every class alone leaves a good part of its last replica idle, as
    small classes of a large model do; more candidates take longer to plan."""
    tp_max: Annotated[int, Field(ge=1, le=72)] = 16
    """Largest tensor-parallel degree."""
    pp_max: Annotated[int, Field(ge=1, le=8)] = 2
    """Largest pipeline-parallel degree."""
    stock: tuple[Stock, ...] = ()
    """Limits on what can be had."""
    lead_time_months: dict[str, Annotated[int, Field(ge=0, le=36)]] = Field(default_factory=dict)
    """Order to in service, by accelerator; default from the catalog."""
    prices: tuple[PriceOverride, ...] = ()
    """The user's own quotations."""
    api_providers: tuple[str, ...] | Literal["all"] = "all"
    """Whose API may be called."""
    existing: Annotated[tuple[str, ...], Later()] = ()
    """Machines and commitments already held."""

    @model_validator(mode="after")
    def _known_options(self) -> Self:
        early = sorted(LATER_OPTIONS & set(self.options))
        if early:
            raise ValueError(f"options not supported yet: {', '.join(early)}; remove them")
        return self


class Limits(Frozen):
    """What the plan may not exceed or must reach."""

    capex_per_year_usd: NonNegative | dict[int, NonNegative] | None = None
    """Budget for purchases: each fiscal year, or by fiscal year. An order counts whole in the year
    in which it is placed, whatever the terms of payment."""
    accelerator_types_max: Annotated[int, Field(ge=1, le=20)] | None = None
    """Most accelerator types in the fleet."""
    availability_target: Annotated[float, Field(ge=0.5, lt=1)] = 0.999
    """Share of time in which enough machines work, by spare machines."""
    vendor_share_max: Annotated[float | None, Later()] = None
    """Most of the fleet from one vendor."""
    carbon_kg_per_year: Annotated[float | None, Later()] = None
    """Carbon cap."""
    owned_share_min: Annotated[float | None, Later()] = None
    """Least share of capacity owned."""
    change_penalty_usd: Annotated[float | None, Later()] = None
    """Cost of each change against an approved plan."""
