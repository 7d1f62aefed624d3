"""A fitted trace as the `demand` entry of a scenario, with the source of every figure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from planner.errors import ScenarioError
from planner.files.traces import Trace
from planner.units import SECONDS_PER_DAY
from planner.workload import burstiness as bursts
from planner.workload.burstiness import Burstiness
from planner.workload.profile import DAY_TYPES
from planner.workload.trace import (
    PARTS,
    Dependence,
    LengthFit,
    dependence,
    fit_lengths,
    pair_shares,
)

Array = NDArray[np.float64]

FEW_REQUESTS = 400
"""Below this the 95th percentile rests on fewer than 20 requests."""
FEW_WINDOWS = 36
"""Five-minute windows (three hours) below which their CV is uncertain by more than an eighth."""
ARRIVAL_CV = (0.2, 5.0)
FIVE_MINUTE_CV_MAX = 3.0
HIT_MAX = 0.99
COST_SHOWN = 0.02
"""Relative change by independence from which a note says what it costs."""
PAIRS_LEAST = 1_000
"""Below this the table of pairs has fewer than 7 requests a cell."""
SLO = {"ttft_ms": 2000, "tpot_ms": 60}
"""Stands where the trace has no promise: the figures of `planner new`."""


@dataclass
class Fit:
    """What `planner workload fit` found."""

    demand: dict[str, Any]
    """Entry of a scenario's `demand` list."""
    sources: dict[str, str]
    """Entries of its `sources`."""
    measured: dict[str, Any]
    """What the trace has, whether or not the scenario can say it."""
    notes: list[str] = field(default_factory=list)
    """What was assumed, what is missing, what it costs."""


def fit_trace(
    trace: Trace, *, name: str, model: str, max_context: float, rps: float | None = None
) -> Fit:
    """Fit lengths, rate, shape of the day and burstiness of a trace.

    Parameters
    ----------
    trace : as `read_trace` gives it.
    name, model : of the demand class, and the catalog's name of the model that serves it.
    max_context : longest context of the model [tokens].
    rps : mean rate to plan for [requests/s]; the trace's own where missing.

    Raises
    ------
    ScenarioError : no time stamps and no `rps`, or prompts that the model cannot take.
    """
    problems = list(_impossible(trace, model, max_context, rps))
    if problems:
        raise ScenarioError(trace.name, problems)
    source = _source(trace)
    fit = Fit(
        {"kind": "online", "name": name, "models": [model]},
        {f"demand.{name}.models": "chosen on the command line, not in the trace"},
        {"file": trace.name, "rows": trace.rows, "requests": len(trace.input_tokens)},
        list(trace.notes),
    )
    _add_arrivals(fit, trace, source, rps)
    _add_lengths(fit, trace, source, max_context, model)
    _add_prefix(fit, trace, source)
    fit.demand["slo"] = dict(SLO)
    fit.sources[f"demand.{name}.slo"] = "not in the trace: placeholder to be replaced"
    fit.notes.append(
        f"slo is a placeholder, TTFT {SLO['ttft_ms']} ms and TPOT {SLO['tpot_ms']} ms: a trace "
        "has no promise; replace it"
    )
    return fit


def _impossible(trace: Trace, model: str, max_context: float, rps: float | None) -> Iterator[str]:
    if rps is not None and not math.isfinite(rps):
        yield f"--rps {rps}: expected a finite number"
    if trace.time_s is None and rps is None:
        yield "has no time stamps, so no rate: --rps gives the mean rate over a working day"
    elif trace.time_s is not None and trace.time_s[-1] <= 0 and rps is None:
        yield "all requests bear one time stamp, so no rate: --rps gives it"
    for side, lengths in (("input", trace.input_tokens), ("output", trace.output_tokens)):
        if float(lengths.mean()) > max_context:
            yield (
                f"mean {side} of {lengths.mean():,.0f} tokens exceeds the context of {model}, "
                f"{max_context:,.0f}: name another --model"
            )
            return
    total = float(trace.input_tokens.mean() + trace.output_tokens.mean())
    if total > max_context:
        yield (
            f"mean input and output of {total:,.0f} tokens together exceed the context of "
            f"{model}, {max_context:,.0f}: name another --model"
        )


def _source(trace: Trace) -> str:
    words = f"fitted to {trace.name}, {len(trace.input_tokens):,} requests"
    if trace.wall_s is not None and trace.clock:
        first, last = (datetime.fromtimestamp(float(t), UTC) for t in trace.wall_s[[0, -1]])
        return f"{words}, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} ({trace.clock})"
    if trace.time_s is not None:
        return f"{words} over {trace.time_s[-1]:,.0f} s"
    return words


def _add_arrivals(fit: Fit, trace: Trace, source: str, rps: float | None) -> None:
    name = fit.demand["name"]
    if trace.time_s is None or trace.time_s[-1] <= 0:
        assert rps is not None
        fit.demand |= {"requests_per_s": rps, "profile": "flat"}
        fit.sources[f"demand.{name}.requests_per_s"] = "given on the command line"
        fit.sources[f"demand.{name}.profile"] = "not in the trace: taken as flat"
        fit.notes.append(
            "no time stamps that differ: profile flat; five_minute_cv and arrival_cv are left at "
            "the planner's defaults, 0.18 and 1"
        )
        return
    found = bursts.burstiness(trace.time_s)
    mean_rps = _add_profile(fit, trace, found, source, rps)
    _add_five_minutes(fit, found, source, mean_rps)
    _add_gaps(fit, found, source, len(trace.time_s))


def _add_profile(
    fit: Fit, trace: Trace, found: Burstiness, source: str, rps: float | None
) -> float:
    """Rate and shape of the day; the rate to plan for."""
    name, shape = fit.demand["name"], None
    recorded = sum(end - start for start, end in trace.observed)
    if bursts.spans_a_day(recorded):
        shape = _day_shape(fit, trace)
        measured_rps = float(shape[0].mean())
        fit.measured["hourly_rps"] = {
            "weekday": [_figure(r) for r in shape[0]],
            "weekend": [_figure(r) for r in shape[1]],
        }
    else:
        measured_rps = found.rate_rps
        fit.notes.append(
            f"profile flat: {recorded / 3600:.1f} h are shorter than a day; the rate is that of "
            "the recorded hours, and a day has quieter and busier ones"
        )
    planned = measured_rps if rps is None else rps
    fit.measured["mean_rps"] = _figure(measured_rps)
    fit.demand["requests_per_s"] = _figure(planned)
    fit.demand["profile"] = "flat" if shape is None else _relative(shape)
    words = source if rps is None else "given on the command line"
    fit.sources[f"demand.{name}.requests_per_s"] = words
    fit.sources[f"demand.{name}.profile"] = (
        f"taken as flat: {trace.name} is shorter than a day" if shape is None else source
    )
    if rps is not None:
        fit.notes.append(
            f"rate {rps:g} requests/s is given, the trace has {measured_rps:.4g}: the profile and "
            "burstiness within and over five minutes are taken to stay"
        )
    return planned


def _relative(shape: Array) -> dict[str, list[float]]:
    scaled = shape / shape[0].mean()
    return {day: [round(float(r), 4) for r in scaled[i]] for i, day in enumerate(DAY_TYPES)}


def _day_shape(fit: Fit, trace: Trace) -> Array:
    """Rates (2, 24) without gaps, with notes on what was filled."""
    assert trace.wall_s is not None
    if not trace.clock:
        return _unanchored_shape(fit, trace)
    other = "; --timezone gives another clock's" if trace.clock.startswith("UTC") else ""
    fit.notes.append(f"hours of the day: {trace.clock}{other}")
    shape, blank = bursts.filled_shape(bursts.day_shape(trace.wall_s, observed=trace.observed))
    for day, hours in zip(DAY_TYPES, blank, strict=True):
        if hours.any():
            which = ", ".join(str(h) for h in np.flatnonzero(hours))
            fit.notes.append(
                f"{day} hours {'0 to 23' if hours.all() else which} were not recorded: taken "
                "from the other day type, or the mean where neither has them"
            )
    if shape[0].sum() <= 0:
        raise ScenarioError(trace.name, ["no request on a working day, on which rates are stated"])
    return shape


def _unanchored_shape(fit: Fit, trace: Trace) -> Array:
    fit.notes.append(
        "time stamps do not tell the hour: profile hour 0 is the trace's first hour and weekends "
        "count as weekdays; shift it where classes with other peaks share the fleet"
    )
    # Folded onto 1970-01-01, a Thursday, so that every hour is of one day type.
    assert trace.wall_s is not None
    pieces = [piece for start, end in trace.observed for piece in _days(start, end)]
    folded = trace.wall_s % SECONDS_PER_DAY
    shape = bursts.day_shape(folded, observed=pieces)
    rates, _ = bursts.filled_shape(shape)
    return rates


def _days(start: float, end: float) -> Iterator[tuple[float, float]]:
    """A stretch cut at midnights and moved onto one day."""
    while start < end:
        day = math.floor(start / SECONDS_PER_DAY) * SECONDS_PER_DAY
        stop = min(end, day + SECONDS_PER_DAY)
        yield start - day, stop - day
        start = stop


def _add_five_minutes(fit: Fit, found: Burstiness, source: str, planned_rps: float) -> None:
    name = fit.demand["name"]
    fit.measured["burstiness"] = _plain(asdict(found) | {"arrival_cv": found.arrival_cv})
    fit.notes += _dispersion_words(found)
    five = found.dispersion[bursts.FIVE_MINUTES_S]
    if math.isnan(five.cv):
        fit.notes.append(
            "five_minute_cv is left at the planner's default, 0.18: the trace holds fewer than two "
            "whole five-minute windows"
        )
    else:
        cv = bursts.five_minute_cv_at(cv=five.cv, rate_rps=found.rate_rps, planned_rps=planned_rps)
        fit.demand["five_minute_cv"] = _within(fit, "five_minute_cv", cv, 0.0, FIVE_MINUTE_CV_MAX)
        fit.sources[f"demand.{name}.five_minute_cv"] = f"{source}; {five.windows} windows"
        if five.windows < FEW_WINDOWS:
            error = 1 / math.sqrt(2 * (five.windows - 1))
            fit.notes.append(
                f"five_minute_cv rests on {five.windows} windows: standard error about "
                f"{error:.0%} of it"
            )


def _dispersion_words(found: Burstiness) -> Iterator[str]:
    """Index of dispersion by window, of those that the rounding of stamps leaves alone."""
    finest_s = 10 * (found.tick_s or 0.0)
    shown = [
        f"{one.index:.3g} in {window} s"
        for window, one in found.dispersion.items()
        if window >= finest_s and not math.isnan(one.index)
    ]
    if shown:
        yield f"index of dispersion of counts, 1 for a Poisson stream: {', '.join(shown)}"


def _add_gaps(fit: Fit, found: Burstiness, source: str, requests: int) -> None:
    name = fit.demand["name"]
    if requests <= bursts.GAPS_MIN:
        fit.notes.append(
            f"arrival_cv is left at the planner's default, 1: {requests} requests have too few gaps"
        )
    else:
        fit.demand["arrival_cv"] = _within(fit, "arrival_cv", found.arrival_cv, *ARRIVAL_CV)
        fit.sources[f"demand.{name}.arrival_cv"] = f"{source}; {_arrival_words(found)}"
    if found.tick_s is not None:
        fit.notes.append(
            f"time stamps are rounded to about {found.tick_s:.3g} s and {found.ties_frac:.0%} "
            f"repeat the one before: the gaps' CV of {found.gap_cv:.2f} and windows below "
            f"{10 * found.tick_s:.3g} s are artefacts; arrival_cv comes from the counts a tick"
        )


def _arrival_words(found: Burstiness) -> str:
    if found.tick_s is not None:
        return f"root of the index of dispersion of counts a {found.tick_s:.3g} s tick"
    if math.isnan(found.local_gap_cv):
        return "CV of all gaps, the day's rise and fall among them"
    return f"median CV of gaps within {found.local_window_s // 60} minutes"


def _within(fit: Fit, key: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        limit = min(max(value, low), high)
        # Bursts ask for more than is planned where they are cut; prefix hits for less.
        short = (value > high) != (key == "prefix_cache_hit_frac")
        safe = "capacity may fall short" if short else "this errs on the safe side"
        fit.notes.append(f"{key} is {value:.2f} in the trace; the planner takes {limit:g}: {safe}")
        return limit
    return round(value, 3)


def _add_lengths(fit: Fit, trace: Trace, source: str, max_context: float, model: str) -> None:
    name = fit.demand["name"]
    for key, lengths in (
        ("input_tokens", trace.input_tokens),
        ("output_tokens", trace.output_tokens),
    ):
        found = fit_lengths(lengths)
        fit.demand[key] = _stated(found)
        shown = {k: _figure(v) for k, v in asdict(found).items() if isinstance(v, float)}
        fit.measured[key] = {"form": found.form, **shown}
        fit.sources[f"demand.{name}.{key}"] = f"{source}; {_form_words(found)}"
        fit.notes.append(f"{key}: {_form_words(found)}")
    longer = int(np.sum(trace.input_tokens + trace.output_tokens > max_context))
    if longer:
        fit.notes.append(
            f"{longer:,} requests exceed the context of {model}, {max_context:,.0f} tokens, with "
            "their answers; the plan cuts them and lengthens others to keep the means"
        )
    if len(trace.input_tokens) < FEW_REQUESTS:
        fit.notes.append(f"{len(trace.input_tokens)} requests: the 95th percentile is uncertain")
    _add_pairs(fit, trace, source)


def _add_pairs(fit: Fit, trace: Trace, source: str) -> None:
    """Lengths of prompt and answer together, where taking them apart would show in the plan."""
    name = fit.demand["name"]
    pair = dependence(trace.input_tokens, trace.output_tokens)
    fit.measured["dependence"] = _plain(asdict(pair))
    together = len(trace.input_tokens) >= PAIRS_LEAST and _pairs_cost(pair) >= COST_SHOWN
    fit.notes.append(_pair_words(pair, together=together))
    if together:
        shares = pair_shares(trace.input_tokens, trace.output_tokens)
        fit.demand["length_pairs"] = {
            "parts": list(PARTS), "shares": [round(float(share), 6) for share in shares.ravel()]
        }  # fmt: skip
        fit.sources[f"demand.{name}.length_pairs"] = f"{source}; {len(PARTS)} parts of either side"


def _stated(found: LengthFit) -> dict[str, Any]:
    if found.form == "lognormal p95":
        return {"mean": round(found.mean, 2), "p95": round(found.p95, 2)}
    if found.form == "lognormal cv":
        return {"mean": round(found.mean, 2), "cv": round(found.cv, 4)}
    return {
        "values": [round(v, 2) for v in found.values],
        "weights": [round(w, 6) for w in found.weights],
    }


def _form_words(found: LengthFit) -> str:
    if found.form != "histogram":
        given = found.form.removeprefix("lognormal ")
        return (
            f"log-normal by mean and {given}, within {found.lognormal_distance:.1%} of requests; "
            f"p95 {found.p95:,.0f} (fitted {found.fitted_p95:,.0f}), CV {found.cv:.2f} "
            f"(fitted {found.fitted_cv:.2f})"
        )
    if len(found.values) == 1:
        return f"all requests have {found.values[0]:,.0f}"
    far = f"no log-normal fits (off by up to {found.lognormal_distance:.0%} of requests)"
    if math.isinf(found.lognormal_distance):
        far = "no log-normal has this mean and spread"
    return (
        f"histogram of {len(found.values)} lengths: {far}; mean {found.mean:,.1f}, p95 "
        f"{found.p95:,.0f} (histogram {found.fitted_p95:,.0f}), CV {found.cv:.2f} "
        f"({found.fitted_cv:.2f})"
    )


def _pairs_cost(pair: Dependence) -> float:
    """Larger relative change by independence: of cached tokens read, or of p95 of all tokens."""
    total = pair.total_p95_independent / pair.total_p95 - 1
    return max(abs(pair.decode_reads_ratio - 1), abs(total))


def _pair_words(pair: Dependence, *, together: bool) -> str:
    words = f"correlation of input and output {pair.pearson:.2f} (ranks {pair.rank:.2f})"
    if _pairs_cost(pair) < COST_SHOWN:
        return (
            f"{words}: planned as independent, which changes cached tokens read in decode by "
            f"under {COST_SHOWN:.0%}"
        )
    overstated = 1 / pair.decode_reads_ratio - 1
    side = "over" if overstated > 0 else "under"
    cost = (
        f"{side}states cached tokens read in decode by {abs(overstated):.0%} and takes p95 of "
        f"prompt + answer as {pair.total_p95_independent:,.0f} instead of {pair.total_p95:,.0f}"
    )
    if together:
        return f"{words}: planned together by length_pairs; a plan that takes them apart {cost}"
    few = f"fewer than {PAIRS_LEAST:,} requests say too little of pairs"
    return f"{words}: {few}, and planned as independent; if it holds, that {cost}"


def _add_prefix(fit: Fit, trace: Trace, source: str) -> None:
    name = fit.demand["name"]
    if trace.hit_tokens is None:
        fit.notes.append("no column of prefix hits: prefix_cache_hit_frac 0")
        return
    share = float(trace.hit_tokens.sum()) / float(trace.input_tokens.sum())
    fit.measured["prefix_cache_hit_frac"] = _figure(share)
    fit.demand["prefix_cache_hit_frac"] = _within(fit, "prefix_cache_hit_frac", share, 0.0, HIT_MAX)
    fit.sources[f"demand.{name}.prefix_cache_hit_frac"] = (
        f"{source}; hit tokens / prompt tokens in the cache that the trace had"
    )
    fit.notes.append(
        f"prefix_cache_hit_frac {share:.3f} is that of the cache behind the trace; an ideal or "
        "larger cache than the plan's makes it too high"
    )


def _figure(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.6g}")


def _plain(value: Any) -> Any:
    """Values for JSON: rounded, nothing where a figure does not exist."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, float):
        return _figure(value) if math.isfinite(value) else None
    return value


class _Flow(yaml.SafeDumper):
    """Lists of numbers on one line."""


def _flow_list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.SequenceNode:
    plain = all(isinstance(v, float | int | str) for v in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=plain)


_Flow.add_representer(list, _flow_list)


def demand_yaml(fit: Fit) -> str:
    """Notes as comments, then `demand` and `sources`, to be pasted into a scenario."""
    block = {"demand": [fit.demand], "sources": fit.sources}
    text = yaml.dump(block, Dumper=_Flow, sort_keys=False, allow_unicode=True, width=100)
    return "".join(f"# {note}\n" for note in fit.notes) + text
