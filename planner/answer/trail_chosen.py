"""What every step of a sizing trail begins from: the main pool of a class, and how a line reads."""

from __future__ import annotations

from dataclasses import dataclass

from planner.answer import trail_units as units
from planner.answer.decided import Decided
from planner.candidates.enumerate import Configuration
from planner.result import ClassCost, TrailItem
from planner.schema.catalog import Accelerator, Model
from planner.schema.demand import Batch, Online


@dataclass(frozen=True)
class Chosen:
    """The pool that carries most of a class, and its figures."""

    decided: Decided
    demand: Online | Batch
    d: int
    """Class."""
    c: int
    """Candidate of the Problem."""
    s: int
    """Site."""
    i: int
    """Position in the table."""
    cost: ClassCost

    @property
    def config(self) -> Configuration:
        """Its configuration."""
        return self.decided.case.table.configurations[self.i]

    @property
    def sides(self) -> tuple[units.Side, ...]:
        """Prefill and decode of a disaggregated unit; empty for anything else."""
        return units.sides(self.decided.case, self.i)

    @property
    def accelerator(self) -> Accelerator:
        """Its accelerator; of a disaggregated unit that of prefill."""
        return self.decided.case.accelerator(self.i)

    @property
    def model(self) -> Model:
        """Its model."""
        return self.decided.case.catalog.models[self.config.model]


def item(label: str, value: float | str, unit: str = "", note: str = "") -> TrailItem:
    """One line of a step."""
    return TrailItem(label=label, value=value, unit=unit, note=note)
