"""Money assumptions: discounting, price paths, residual values, escalators, adders."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from planner.schema.base import Frac, Frozen, Later

Rate = Annotated[float, Field(gt=-0.9, le=2)]
RateByGeneration = Rate | dict[str, Rate]
"""One yearly rate, or one for each accelerator generation, with "other" for the rest."""


class Residual(Frozen):
    """What owned machines are worth at the end of the horizon."""

    decline_per_year: Frac = 0.30
    """Exponential decline of market value; 30 % a year, facts on A100 and H100 resale."""
    condition_frac: Frac = 0.72
    """Used-condition factor; SpotWire valuator v0.6, 2026-06-04."""
    selling_cost_frac: Frac = 0.10
    """Cost of selling, as a share of proceeds."""


class PricePaths(Frozen):
    """Yearly change of prices from the scenario's first month; 0 is flat."""

    capex_per_year: RateByGeneration = 0.0
    """Purchase prices."""
    rental_per_year: RateByGeneration = 0.0
    """Rented accelerator-hours; a commitment keeps the price of its first month."""
    api_per_year: Rate = 0.0
    """Per-token prices."""


class Escalators(Frozen):
    """Yearly rise of running costs."""

    electricity_per_year: Rate = 0.0
    """Electricity."""
    rent_per_year: Rate = 0.0
    """Colocation rent."""


class Adders(Frozen):
    """What comes on top of the price of a machine."""

    network_frac: Frac = 0.25
    """Network, of the server price, where the row does not already include it; price notes 2026."""
    storage_frac: Frac = 0.03
    """Storage, of the server price; Bernstein, price notes 2026."""
    installation_frac: Frac = 0.03
    """Installation and initial spares, of the server price; judgement, price notes 2026."""
    maintenance_frac_per_year: Frac = 0.04
    """Hardware maintenance, of the server price a year; price notes 2026."""
    insurance_frac_per_year: Frac = 0.01
    """Insurance, of the server price a year; price notes 2026."""
    cloud_support_frac: Frac = 0.05
    """Support uplift on rented machines; SemiAnalysis ClusterMAX, price notes 2026."""


class Finance(Frozen):
    """Money assumptions."""

    discount_rate: Annotated[float, Field(ge=0, le=1)] = 0.08
    """Nominal yearly rate."""
    discounting: Literal["start", "mid", "end"] = "mid"
    """When in its month cash is taken to fall."""
    currency: Literal["USD"] = "USD"
    """Reporting currency (others: not supported yet)."""
    residual: Residual = Residual()
    """End value of owned machines."""
    price_paths: PricePaths = PricePaths()
    """Falling, flat or rising prices."""
    escalators: Escalators = Escalators()
    """Rise of running costs."""
    adders: Adders = Adders()
    """Network, storage, installation, maintenance, insurance, support."""
    pays_tax: Annotated[bool, Later()] = False
    """Tax payer? (after-tax planning: not supported yet)"""
    tax_rate: Annotated[float | None, Later()] = None
    """Tax rate."""
    book_life_years: Annotated[int | None, Later()] = None
    """Straight-line life in the books."""
    tax_depreciation: Annotated[str | None, Later()] = None
    """Tax depreciation method."""
    fx: Annotated[dict[str, float] | None, Later()] = None
    """Exchange rates."""
    other_taxable_income_usd: Annotated[float | None, Later()] = None
    """Company income against which losses are used."""
