"""Traffic: who asks how much, when, with which lengths, and what they were promised."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from planner.schema.base import Frac, Frozen, Later, Month, NonNegative, Positive

Hourly = Annotated[tuple[NonNegative, ...], Field(min_length=24, max_length=24)]
"""Twenty-four relative rates, midnight to midnight, in the site's local time."""


class Profile(Frozen):
    """Shape of the day: relative hourly rates; only the ratios matter."""

    weekday: Hourly
    """Relative rate of each hour of a working day."""
    weekend: Hourly
    """Relative rate of each hour of a Saturday or Sunday, on the weekday's scale."""

    @model_validator(mode="after")
    def _has_traffic(self) -> Self:
        if sum(self.weekday) + sum(self.weekend) <= 0:
            raise ValueError("every hour is zero: a profile needs at least one busy hour")
        return self


class Lengths(Frozen):
    """Token lengths of one side of a request: mean with p95 or CV, or a histogram."""

    mean: Positive | None = None
    """Mean tokens a request."""
    p95: Positive | None = None
    """95th percentile; with the mean it fixes a log-normal."""
    cv: Positive | None = None
    """Coefficient of variation (standard deviation / mean), instead of p95."""
    values: tuple[Positive, ...] = ()
    """Histogram: token counts."""
    weights: tuple[NonNegative, ...] = ()
    """Histogram: share of requests at each token count."""

    trace: Annotated[str | None, Later()] = None
    """A file of lengths."""

    @model_validator(mode="after")
    def _one_description(self) -> Self:
        if self.values or self.weights:
            if self.mean or self.p95 or self.cv:
                raise ValueError("give either a histogram or mean with p95 or cv, not both")
            if len(self.values) != len(self.weights) or sum(self.weights) <= 0:
                raise ValueError("values and weights need equal length and a positive sum")
            return self
        if self.mean is None:
            raise ValueError("give mean with p95 or cv, or values with weights")
        if (self.p95 is None) == (self.cv is None):
            raise ValueError("beside mean give exactly one of p95 and cv")
        if self.p95 is not None and self.p95 <= self.mean:
            raise ValueError(f"p95 {self.p95:g} must lie above mean {self.mean:g}")
        if self.p95 is not None and self.p95 > 3.86 * self.mean:
            raise ValueError(
                f"p95 {self.p95:g} is over 3.86 x mean {self.mean:g}: no log-normal has that; "
                "give a histogram"
            )
        return self


class LengthPairs(Frozen):
    """Which prompts come with which answers, where lengths go together."""

    parts: tuple[Positive, ...] = ()
    """Sizes of the parts into which prompts are cut, shortest first, and answers too, as shares of
    requests; equal parts where missing."""
    shares: Annotated[tuple[NonNegative, ...], Field(max_length=1024)] = ()
    """Share of requests whose prompt lies in a part (rows) and whose answer in a part (columns),
    row by row, k x k numbers. None: lengths are independent."""

    @model_validator(mode="after")
    def _one_distribution(self) -> Self:
        k, total = math.isqrt(len(self.shares)), sum(self.shares)
        if k**2 != len(self.shares) or (self.parts and len(self.parts) != k):
            needed = f"{len(self.parts)} parts need {len(self.parts) ** 2}" if self.parts else (
                "a square table has 4, 9, 16, ..."
            )  # fmt: skip
            raise ValueError(f"{len(self.shares)} shares; {needed}")
        if self.shares and total <= 0:
            raise ValueError("shares need a positive sum")
        sizes = self.parts or (1.0,) * k
        for i, size in enumerate(sizes):
            here = size / sum(sizes) * total
            sums = sum(self.shares[i * k : (i + 1) * k]), sum(self.shares[i::k])
            if max(abs(found - here) for found in sums) > PARTS_TOLERANCE * total:
                raise ValueError(
                    f"row {i + 1} holds {sums[0] / total:.4g} of requests, column {i + 1} "
                    f"{sums[1] / total:.4g}; both need the part's {here / total:.4g}"
                )
        return self


PARTS_TOLERANCE = 0.002
"""Rounding of shares, as a share of all requests."""


class Slo(Frozen):
    """What users were promised, as percentiles over requests."""

    ttft_ms: Annotated[float, Field(gt=0, le=120_000)]
    """Time to first token: target in milliseconds."""
    ttft_percentile: Annotated[float, Field(ge=0.5, le=0.999)] = 0.95
    """Share of requests that meet the TTFT target."""
    tpot_ms: Annotated[float, Field(gt=0, le=10_000)]
    """Time per output token of a request after its first: target in milliseconds."""
    tpot_percentile: Annotated[float, Field(ge=0.5, le=0.999)] = 0.95
    """Share of requests that meet the TPOT target."""
    token_itl_ms: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Target for the gap between any two tokens of a stream. A step that also computes a chunk of
    somebody's prompt takes several times as long as one that only decodes, so this percentile jumps
    from one to the other where enough gaps meet a chunk; tpot_ms, a mean over the answer, does not
    jump. None: only the mean is promised."""
    token_itl_percentile: Annotated[float, Field(ge=0.5, le=0.999)] = 0.95
    """Share of all gaps, of all requests together, that meet the token ITL target."""
    e2e_ms: Annotated[float, Field(gt=0, le=3_600_000)] | None = None
    """Target for the whole answer: from the request to its last token, all answers together, long
    ones and short ones. Its percentile is mostly that of the answers' length. None: only the pace
    of tokens is promised."""
    e2e_percentile: Annotated[float, Field(ge=0.5, le=0.999)] = 0.95
    """Share of requests that meet the end-to-end target."""

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if (
            self.e2e_ms is not None
            and self.e2e_ms < self.ttft_ms
            and self.e2e_percentile >= self.ttft_percentile
        ):
            raise ValueError(
                f"e2e_ms {self.e2e_ms:g} (p{self.e2e_percentile * 100:g}) is below ttft_ms "
                f"{self.ttft_ms:g} (p{self.ttft_percentile * 100:g}): no answer ends before its "
                "first token; raise e2e_ms or lower ttft_ms"
            )
        return self


class Growth(Frozen):
    """How traffic grows: a yearly rate, a table by period, and events."""

    rate_per_year: Annotated[float, Field(gt=-1, le=20)] = 0.0
    """0.4 is 40 % more traffic each year, compounding monthly."""
    table: tuple[NonNegative, ...] = ()
    """Multiplier of each period, instead of a rate."""
    events: tuple[GrowthEvent, ...] = ()
    """Launches and retirements: from a month on, traffic is multiplied."""

    @model_validator(mode="after")
    def _one_path(self) -> Self:
        if self.table and self.rate_per_year:
            raise ValueError("give rate_per_year or table, not both")
        return self


class GrowthEvent(Frozen):
    """From this month on, traffic is multiplied by the factor."""

    month: Month
    """First month with the new level, as 2027-09."""
    factor: Positive
    """1.5 is 50 % more."""


Growth.model_rebuild()


class Online(Frozen):
    """Interactive traffic with latency promises."""

    kind: Literal["online"] = "online"
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=40)]
    """Lower-case name, as in reports."""
    models: Annotated[tuple[str, ...], Field(min_length=1)]
    """Catalog names of the models that may answer; the planner picks among them."""
    quality_floor: Frac = 0.98
    """Least recovery (quantized score / unquantized score) of weights and KV cache together."""
    users: Positive | None = None
    """Users on a working day; with requests_per_user_per_day."""
    requests_per_user_per_day: Positive | None = None
    """Requests of one user on a working day."""
    requests_per_s: Positive | None = None
    """Mean rate over a working day, instead of users."""
    profile: Literal["flat", "office", "consumer"] | Profile = "flat"
    """Shape of the day: a named one or 2 x 24 numbers."""
    peak_to_mean: Annotated[float, Field(ge=1, le=50)] | None = None
    """Peak five-minute rate / mean rate within the busiest hour, where the user knows it."""
    five_minute_cv: Annotated[float, Field(ge=0, le=3)] = 0.18
    """CV of five-minute rates within an hour; Azure LLM trace 2023 (conv): index of
    dispersion 56 at 300 s and 5.53 requests/s give 0.18."""
    peak_percentile: Annotated[float, Field(ge=0.5, le=0.9999)] = 0.99
    """Percentile of five-minute rates for which capacity is sized."""
    arrival_cv: Annotated[float, Field(ge=0.2, le=5)] = 1.0
    """CV of the pool's interarrival times below the five-minute scale; 1 is Poisson."""
    trace: Annotated[str | None, Later()] = None
    """A request trace that supplies profile, lengths and burstiness."""
    growth: Growth = Growth()
    """Growth of this class."""
    input_tokens: Lengths
    """Prompt tokens a request."""
    output_tokens: Lengths
    """Generated tokens a request."""
    length_pairs: LengthPairs = LengthPairs()
    """Which prompts come with which answers; by default any with any."""
    prefix_cache_hit_frac: Annotated[float, Field(ge=0, le=0.99)] = 0.0
    """Share of prompt tokens whose keys and values are found in the prefix cache."""
    response_cache_hit_frac: Annotated[float, Field(ge=0, le=0.99)] = 0.0
    """Share of requests answered from a response cache without any inference."""
    slo: Slo
    """Latency promises."""
    residency: tuple[str, ...] = ()
    """Regions in which the traffic may be served; empty means anywhere."""
    on_premises_min_frac: Frac = 0.0
    """Least share of this class's traffic served on owned or colocated machines."""
    api_allowed: bool = True
    """May a per-token API serve it?"""
    may_split: Annotated[bool, Later()] = True
    """May it be split over pools? (false: not supported yet)"""

    @model_validator(mode="after")
    def _one_volume(self) -> Self:
        by_users = self.users is not None or self.requests_per_user_per_day is not None
        if by_users == (self.requests_per_s is not None):
            raise ValueError("give either users with requests_per_user_per_day, or requests_per_s")
        if by_users and (self.users is None or self.requests_per_user_per_day is None):
            raise ValueError("users and requests_per_user_per_day go together")
        if self.api_allowed and self.on_premises_min_frac == 1.0:
            raise ValueError("on_premises_min_frac 1 leaves nothing to an API: api_allowed: false")
        return self


class Batch(Frozen):
    """Work with a deadline within its day and no latency promise."""

    kind: Literal["batch"]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=40)]
    """Lower-case name, as in reports."""
    models: Annotated[tuple[str, ...], Field(min_length=1)]
    """Catalog names of the models that may do it."""
    quality_floor: Frac = 0.98
    """Least recovery of weights and KV cache together."""
    requests_per_day: Positive
    """Requests of one day, weekday or weekend."""
    growth: Growth = Growth()
    """Growth of this class."""
    input_tokens: Lengths
    """Prompt tokens a request."""
    output_tokens: Lengths
    """Generated tokens a request."""
    length_pairs: LengthPairs = LengthPairs()
    """Which prompts come with which answers; by default any with any."""
    prefix_cache_hit_frac: Annotated[float, Field(ge=0, le=0.99)] = 0.0
    """Share of prompt tokens found in the prefix cache."""
    residency: tuple[str, ...] = ()
    """Regions in which it may run; empty means anywhere."""
    on_premises_min_frac: Frac = 0.0
    """Least share done on owned or colocated machines."""
    api_allowed: bool = True
    """May a per-token API do it, at its batch price where it has one?"""


class Training(Frozen):
    """GPU-hours with a deadline window (not supported yet)."""

    kind: Literal["training"]
    name: str
    """Lower-case name, as in reports."""
    gpu_hours: Positive | None = None
    """Accelerator-hours a run needs."""
    flop: Positive | None = None
    """Or floating-point operations a run needs."""
    window_start: Month
    """First month in which it may run."""
    window_end: Month
    """Last month in which it may run."""

    @model_validator(mode="after")
    def _later(self) -> Self:
        raise ValueError("kind training is not supported yet; remove this class")


DemandClass = Annotated[Online | Batch | Training, Field(discriminator="kind")]
