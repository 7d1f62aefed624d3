"""Scenario -> traffic as arrays: calendar, load blocks, rates by period, token lengths."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.errors import ScenarioError
from planner.finance.calendar import month_hours
from planner.perf.lengths import Lengths, from_samples
from planner.schema.catalog import Catalog
from planner.schema.demand import Batch, DemandClass, Growth, Online
from planner.schema.demand import Lengths as WrittenLengths
from planner.schema.scenario import PERIOD_MONTHS, Horizon, Scenario
from planner.units import MONTHS_PER_YEAR
from planner.workload import blocks as load
from planner.workload import growth, lengths, profile

Array = NDArray[np.float64]

REMAINING = "prefix-hits-without-affinity-frac"
"""Assumption: share of the prefix hits that remains without cache-aware routing."""


@dataclass(frozen=True)
class Calendar:
    """The horizon in months and periods."""

    start: str
    months: int
    period_months: int
    labels: tuple[str, ...]
    """(periods,): 2027-Q1, or 2027-01"""
    fiscal_years: tuple[str, ...]
    """(periods,)"""
    hours: Array
    """(months,): calendar hours"""
    fiscal_year_start_month: int = 1

    def months_of_years(self, years: Collection[str]) -> NDArray[np.int64]:
        """Months of the horizon in these fiscal years."""
        of_month = np.repeat(self.fiscal_years, self.period_months)
        return np.flatnonzero(np.isin(of_month, sorted(years)))

    @property
    def first_months(self) -> NDArray[np.int64]:
        """(periods,): index of each period's first month."""
        return np.arange(0, self.months, self.period_months)


@dataclass(frozen=True)
class Traffic:
    """What is asked, class by class."""

    calendar: Calendar
    blocks: load.Blocks
    load: load.Load
    lengths: tuple[Lengths, ...]
    """(classes,)"""


def calendar_of(horizon: Horizon) -> Calendar:
    """Months, period labels and fiscal years of a horizon."""
    step = PERIOD_MONTHS[horizon.period]
    year, month = map(int, horizon.start.split("-"))
    firsts = [year * MONTHS_PER_YEAR + month - 1 + t for t in range(0, horizon.months, step)]
    shift = (MONTHS_PER_YEAR - horizon.fiscal_year_start_month + 1) % MONTHS_PER_YEAR
    return Calendar(
        start=horizon.start,
        months=horizon.months,
        period_months=step,
        labels=tuple(_label(first, step) for first in firsts),
        fiscal_years=tuple(f"FY{(first + shift) // MONTHS_PER_YEAR}" for first in firsts),
        hours=month_hours(horizon.start, horizon.months),
        fiscal_year_start_month=horizon.fiscal_year_start_month,
    )


def _label(first: int, step: int) -> str:
    year, month = divmod(first, MONTHS_PER_YEAR)
    if step == 1 or month % step:
        return f"{year}-{month + 1:02d}"
    return f"{year}-Q{month // step + 1}"


def traffic(scenario: Scenario, catalog: Catalog) -> Traffic:
    """Everything about the demand that later steps need.

    Raises
    ------
    ScenarioError : lengths that a model's context cannot hold, growth before the first month.
    """
    problems = [*_too_long(scenario, catalog), *_too_early(scenario)]
    if problems:
        raise ScenarioError(scenario.name, problems)
    when = calendar_of(scenario.horizon)
    classes = scenario.demand
    means = np.stack([_hourly_mean(d) for d in classes])
    peaks = np.stack([m * _peak_ratio(d) for d, m in zip(classes, means, strict=True)])
    grouped = load.load_blocks(
        hourly_mean=means, hourly_peak=peaks, blocks=scenario.planning.load_blocks
    )
    by_period = load.load_by_period(
        blocks=grouped,
        day_counts=profile.day_counts(start=when.start, months=when.months),
        growth=np.stack(
            [_growth(d.growth, when) for d in classes if isinstance(d, Online | Batch)]
        ),
        period_months=when.period_months,
    )
    return Traffic(when, grouped, by_period, tuple(class_lengths(d, catalog) for d in classes))


def _too_long(scenario: Scenario, catalog: Catalog) -> Iterator[str]:
    for d in scenario.demand:
        assert isinstance(d, Online | Batch)
        model = min(d.models, key=lambda name: catalog.models[name].max_context)
        most = catalog.models[model].max_context
        means = []
        for side, given in (("input_tokens", d.input_tokens), ("output_tokens", d.output_tokens)):
            means.append(given.mean or float(np.average(given.values, weights=given.weights)))
            if not 1 <= means[-1] <= most:
                yield (
                    f"demand[{d.name}].{side}: mean {means[-1]:,.6g} lies outside 1 to the "
                    f"context of {model}, {most:,}"
                )
        if max(means) <= most < sum(means):
            yield (
                f"demand[{d.name}]: mean prompt and answer, {sum(means):,.6g} tokens together, "
                f"exceed the context of {model}, {most:,}"
            )


def _too_early(scenario: Scenario) -> Iterator[str]:
    """Events before the first month: the traffic as stated already contains them."""
    start = scenario.horizon.start
    for d in scenario.demand:
        assert isinstance(d, Online | Batch)
        for event in d.growth.events:
            if event.month < start:
                yield (
                    f"demand[{d.name}].growth.events: {event.month} lies before the start, "
                    f"{start}; remove it and state the traffic that it led to"
                )


def _hourly_mean(demand: DemandClass) -> Array:
    """Inference requests of every hour [1/s], (2 day types, 24); cached responses are gone."""
    if isinstance(demand, Batch):
        return profile.batch_mean_rps(requests_per_day=demand.requests_per_day)
    assert isinstance(demand, Online)
    shape = demand.profile
    weekday, weekend = (
        profile.DAY_SHAPES[shape] if isinstance(shape, str) else (shape.weekday, shape.weekend)
    )
    mean = demand.requests_per_s
    if mean is None:
        assert demand.users is not None
        assert demand.requests_per_user_per_day is not None
        mean = profile.users_to_rps(
            users=demand.users, requests_per_user_per_day=demand.requests_per_user_per_day
        )
    hourly = profile.hourly_mean_rps(
        weekday=weekday, weekend=weekend, mean_rps=mean, what=f"demand.{demand.name}.profile"
    )
    return hourly * (1 - demand.response_cache_hit_frac)


def _peak_ratio(demand: DemandClass) -> float:
    if not isinstance(demand, Online):
        return 1.0
    return profile.peak_ratio(
        percentile=demand.peak_percentile,
        five_minute_cv=demand.five_minute_cv,
        peak_to_mean=demand.peak_to_mean,
    )


def _growth(path: Growth, when: Calendar) -> Array:
    return growth.growth_path(
        months=when.months,
        rate_per_year=path.rate_per_year,
        table=path.table,
        period_months=when.period_months,
        events=[(growth.month_index(when.start, e.month), e.factor) for e in path.events],
    )


def length_samples(demand: DemandClass, catalog: Catalog) -> tuple[Array, Array]:
    """Prompt and answer of each sample, together within the shortest context of the models."""
    assert isinstance(demand, Online | Batch)
    context = min(catalog.models[name].max_context for name in demand.models)
    inputs, outputs = lengths.joint_samples(
        inputs=_one_side(demand.input_tokens, context - 1),
        outputs=_one_side(demand.output_tokens, context - 1),
        pair_shares=demand.length_pairs.shares,
        parts=demand.length_pairs.parts,
    )
    return lengths.whole_tokens(inputs, max_context=context - outputs), outputs


def class_lengths(demand: DemandClass, catalog: Catalog) -> Lengths:
    """Joint token lengths of a class."""
    assert isinstance(demand, Online | Batch)
    samples = length_samples(demand, catalog)
    return from_samples(*samples, prefix_hit_frac=demand.prefix_cache_hit_frac)


def _one_side(written: WrittenLengths, context: int) -> Array:
    return lengths.token_lengths(
        mean=written.mean,
        p95=written.p95,
        cv=written.cv,
        values=written.values,
        weights=written.weights,
        max_context=context,
    )
