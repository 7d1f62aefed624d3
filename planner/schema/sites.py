"""Places: the user's own rooms, colocation and cloud regions."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from planner.schema.base import Currency, Frozen, Later, Month, NonNegative, Positive


class Site(Frozen):
    """One place. Blank figures come from the facility row named in `facility`."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=40)]
    """Lower-case name, as in reports."""
    kind: Literal["owned", "colo", "cloud"]
    """Own room, rented room, or a cloud region (machines are rented there)."""
    region: Annotated[str, Field(min_length=2)]
    """Region for residency, as us, eu, de."""
    facility: str | None = None
    """Facility row of the catalog that supplies PUE, electricity, rent and carbon."""
    it_power_kw: Positive | None = None
    """IT power available, or give feed_kw."""
    feed_kw: Positive | None = None
    """Utility feed available; PUE converts it to IT power."""
    racks: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """Rack positions."""
    rack_kw: Positive | None = None
    """Power that one rack position can feed and cool."""
    cooling: Literal["air", "liquid"] = "air"
    """Liquid means direct-to-chip is available (air-cooled machines may stand there too)."""
    pue: Annotated[float, Field(ge=1, le=3)] | None = None
    """Facility power / IT power, ISO/IEC 30134-2."""
    electricity_usd_per_kwh: NonNegative | None = None
    """Price of electricity."""
    carbon_kg_per_kwh: NonNegative | None = None
    """Carbon intensity of the electricity."""
    rent_usd_per_kw_month: NonNegative | None = None
    """Colocation rent, or the internal charge of an own room, for contracted IT power."""
    currency: Currency = "USD"
    """Of the electricity price and rent written here, whatever their names say; needs a rate in
    finance.fx. What a facility row supplies stays USD."""
    available_from: Month | None = None
    """First month in which machines can stand there."""
    phases: Annotated[tuple[str, ...], Later()] = ()
    """Extensions of power and space over time."""

    @model_validator(mode="after")
    def _one_power(self) -> Self:
        if self.kind == "cloud":
            given = [
                n
                for n in ("it_power_kw", "feed_kw", "racks", "rack_kw", "rent_usd_per_kw_month")
                if getattr(self, n) is not None
            ]
            if given:
                raise ValueError(f"a cloud region has no {', '.join(given)}; use supply.quota")
            return self
        if (self.it_power_kw is None) == (self.feed_kw is None):
            raise ValueError("give exactly one of it_power_kw and feed_kw")
        if self.racks is None or self.rack_kw is None:
            raise ValueError("an owned or colo site needs racks and rack_kw")
        return self
