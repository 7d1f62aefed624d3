"""What every schema shares: frozen, closed to unknown keys, no NaN, provenance, later fields."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Frac = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Month = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]
"""A calendar month, written 2027-01."""

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
"""Three capital letters, ISO 4217."""


@dataclass(frozen=True)
class Later:
    """Marks a field that is valid to write one day and refused until its behaviour exists."""

    why: str = "not supported yet"


class Frozen(BaseModel):
    """Base of everything a person writes."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    @model_validator(mode="after")
    def _refuse_later_fields(self) -> Self:
        """Refuse, by name, a field whose behaviour does not exist yet; never ignore it."""
        fields = type(self).model_fields
        early = [
            name
            for name in self.model_fields_set
            if any(isinstance(mark, Later) for mark in fields[name].metadata)
            and getattr(self, name) != fields[name].get_default(call_default_factory=True)
        ]
        if early:
            raise ValueError(f"not supported yet: {', '.join(sorted(early))}; remove it")
        return self


class Basis(StrEnum):
    """How a number came to be."""

    measured = "measured"
    quoted = "quoted"
    derived = "derived"
    estimated = "estimated"


class Sourced(Frozen):
    """A catalog row: nothing enters a catalog without saying where it comes from."""

    source: Annotated[str, Field(min_length=3)]
    """Where the figures were read: title, address, file and revision."""
    as_of: date
    """The day (or first day of the month or year) for which the figures hold."""
    basis: Basis
    """Measured, quoted by a seller, derived from other figures, or estimated."""
    note: str = ""
    """Derivation, conflict with another source, or what is missing."""
