"""Measured rates: rows that replace the performance model for the classes they name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from planner.schema.base import Frozen, NonNegative, Positive
from planner.schema.demand import Batch, DemandClass, Lengths, Online

Bucket = Annotated[tuple[NonNegative, ...], Field(min_length=2, max_length=2)]
"""Token counts from the first up to, but not at, the second."""


class MeasuredRate(Frozen):
    """The rate that one replica was measured to carry with the class's promise kept.

    A class that any row covers is served by rows alone: the performance model is not asked about
    it. Say which classes a row covers by name, or by the class's mean tokens. Replicas of an
    online class are whole and serve no other class; those of a batch class may be fractions.
    """

    demand_class: str | None = None
    """The class, by name; or give input_tokens, output_tokens or both."""
    input_tokens: Bucket | None = None
    """Classes whose mean prompt lies in this range, as [0, 1000]: from 0 to below 1000."""
    output_tokens: Bucket | None = None
    """Classes whose mean answer lies in this range."""
    model: str | None = None
    """Catalog name of the model that was measured; needed where a class admits several."""
    accelerator: str
    """Catalog name."""
    gpus: Annotated[int, Field(ge=1)]
    """Accelerators of the replica that was measured."""
    requests_per_s: Positive
    """Most requests a second of that replica."""
    quantization: str | None = None
    """Catalog name of its weight format; where given, the class's quality floor applies."""
    engine: str | None = None
    """Catalog name of its engine."""
    tp: Annotated[int, Field(ge=1)] | None = None
    """Its tensor-parallel degree; all of gpus where blank."""
    source: Annotated[str, Field(min_length=3)]
    """Who measured it, when and how."""

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        buckets = [b for b in (self.input_tokens, self.output_tokens) if b is not None]
        if (self.demand_class is None) == (not buckets):
            raise ValueError("give either demand_class, or input_tokens and output_tokens")
        for low, high in buckets:
            if low >= high:
                raise ValueError(f"the range {low:g} to {high:g} is empty")
        if self.tp is not None and self.gpus % self.tp:
            raise ValueError(f"{self.gpus} gpus are no multiple of tp {self.tp}")
        return self

    def covers(self, demand: DemandClass) -> bool:
        """Whether the row is about a class."""
        if not isinstance(demand, Online | Batch):
            return False
        if self.demand_class is not None:
            return self.demand_class == demand.name
        return _within(demand.input_tokens, self.input_tokens) and _within(
            demand.output_tokens, self.output_tokens
        )

    def model_for(self, demand: Online | Batch) -> str | None:
        """Model that answers, None where the row leaves it open."""
        if self.model is None and len(demand.models) == 1:
            return demand.models[0]
        return self.model if self.model in demand.models else None


def _within(lengths: Lengths, bucket: Bucket | None) -> bool:
    return bucket is None or bucket[0] <= mean_tokens(lengths) < bucket[1]


def mean_tokens(lengths: Lengths) -> float:
    """Mean of written lengths.

    Examples
    --------
    One short request to every three long ones: (100 + 3 x 500) / 4.

    >>> mean_tokens(Lengths(values=(100, 500), weights=(1, 3)))
    400.0
    """
    if lengths.mean is not None:
        return lengths.mean
    pairs = zip(lengths.values, lengths.weights, strict=True)
    return sum(value * weight for value, weight in pairs) / sum(lengths.weights)


def contradictions(table: Sequence[MeasuredRate], demand: Sequence[DemandClass]) -> Iterator[str]:
    """What rows and classes say against each other."""
    seen: dict[tuple[object, ...], int] = {}
    for position, row in enumerate(table):
        where = f"serving_table[{position}]"
        covered = [d for d in demand if row.covers(d) and isinstance(d, Online | Batch)]
        if not covered:
            known = ", ".join(d.name for d in demand)
            named = (
                f"no class {row.demand_class!r}" if row.demand_class else "no class has such means"
            )
            yield f"{where}: {named}, known: {known}"
        for d in covered:
            model = row.model_for(d)
            if model is None:
                what = "is not among" if row.model else "must be one of"
                yield f"{where}.model: {row.model or 'it'} {what} {', '.join(d.models)} of {d.name}"
            key = (d.name, model, row.accelerator, row.gpus, row.quantization, row.engine, row.tp)
            if key in seen:
                yield f"{where}: says again what serving_table[{seen[key]}] says of {d.name}"
            seen.setdefault(key, position)
