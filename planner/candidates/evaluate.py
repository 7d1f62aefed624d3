"""Ask the performance model about every configuration: memory, step time, promised rate.

Refusals come in the order in which an engineer would find them: the layout, the weights, the
cache, the promise at zero load. What remains gets its promised rate alone and in pools, and the
line by which a pool's capacity enters the optimizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from planner.candidates import end_to_end
from planner.candidates.bands import StepBands
from planner.candidates.disaggregated import Units, taken, units
from planner.candidates.enumerate import Configuration, configurations
from planner.candidates.measured import covered_classes, measured
from planner.candidates.mixes import with_mixes
from planner.candidates.prune import pruned
from planner.candidates.replicas import modelled, no_cache
from planner.candidates.table import TOO_FEW, Decoders, Table
from planner.candidates.traffic import Traffic
from planner.perf import disaggregated, queueing, static_batch
from planner.perf.bands import less_known
from planner.perf.disaggregated import Unit
from planner.perf.lengths import Lengths
from planner.perf.pooling import capacity_line
from planner.perf.pressure import kv_wait_frac
from planner.perf.replica import Replica, slowed, step_s
from planner.perf.speculative import in_steps
from planner.perf.steps import take
from planner.schema.catalog import Catalog
from planner.schema.demand import Online
from planner.schema.scenario import Scenario
from planner.units import MILLI

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

POOL_SIZES = (1, 2, 3, 4, 8, 16, 64)
"""Pools for which capacity is tabulated; the line lies below all of them."""
LEAST_STABLE_FRAC = 0.05
"""A promise that holds only below this share of the stability limit hangs on the last millisecond
of an estimate: such a configuration is refused."""
NOISE_FRAC = 1e-9
"""An offset below this share of the slope is rounding."""


@dataclass(frozen=True)
class _Promise:
    """One class's promise, and the replicas that may keep it."""

    demand: Online
    replica: Replica
    lengths: Lengths
    """Answers in steps."""
    unit: Unit | None
    """The replicas with those that answer, where they only compute prompts."""
    gain: float
    """Tokens that a step yields."""
    static: bool
    """Whether batches are collected and answered together."""
    request_s: Array
    """Part of TTFT outside the engine."""
    peak_rps: float
    """Highest planned rate over the horizon."""
    utilization_max: float


def evaluate(scenario: Scenario, catalog: Catalog, traffic: Traffic) -> Table:
    """Every configuration of every class with what the model says of it."""
    known = configurations(scenario, catalog, leave_out=covered_classes(scenario))
    configs = [*known, *measured(scenario, catalog)]
    paired, refused = units(scenario, catalog, traffic, leave_out=covered_classes(scenario))
    first = len(configs)
    configs += [*(() if paired is None else paired.configurations), *refused]
    draft = _Draft(scenario, configs)
    _put_measured(draft)
    open_ = [i for i, c in enumerate(known) if not c.reason]
    if open_:
        _run(draft, np.array(open_, np.int64), scenario, catalog, traffic)
    if paired is not None:
        _run_units(draft, first, paired, scenario, traffic)
    return _table(draft, scenario, traffic)


class _Draft:
    """Arrays being filled, one entry a configuration; NaN until computed."""

    def __init__(self, scenario: Scenario, configs: Sequence[Configuration]) -> None:
        count = len(configs)
        self.configs = tuple(configs)
        self.reasons = [c.reason for c in configs]
        self.labels = ["calibrated"] * count
        self.bindings = [""] * count
        self.column: dict[str, Array] = {name: np.full(count, np.nan) for name in COLUMNS}
        self.pool_rps = np.full((count, len(POOL_SIZES)), np.nan)
        self.replica = _no_replicas(count)
        self.decoders = Decoders(
            _no_replicas(count), *(np.full(count, np.nan) for _ in fields(Decoders)[1:])
        )
        self.names = [c.name(scenario.demand[c.demand_class].name) for c in configs]

    def put(self, at: Whole, **values: Array) -> None:
        for name, value in values.items():
            self.column[name][at] = value

    def refuse(self, at: Whole, why: Callable[[int], str]) -> None:
        """Give a reason to configurations that have none yet; `why` takes the place in `at`."""
        for place, i in enumerate(at.tolist()):
            self.reasons[i] = self.reasons[i] or why(place)

    def still(self, at: Whole) -> NDArray[np.bool_]:
        return np.array([not self.reasons[i] for i in at.tolist()], bool)


def _put_measured(draft: _Draft) -> None:
    """Rates of the serving table stand as they are: no cap, nothing lost, no latency known."""
    for i, config in enumerate(draft.configs):
        if config.measured_rps is not None:
            at, rate = np.array([i]), np.array([config.measured_rps])
            draft.labels[i], draft.bindings[i] = "measured", "measured"
            draft.put(at, lambda_star_rps=rate, rate_rps=rate, offset_rps=np.zeros(1),
                      slow_ratio=np.ones(1), fast_ratio=np.ones(1))  # fmt: skip
            draft.pool_rps[i] = rate


def _no_replicas(count: int) -> Replica:
    return Replica(*(np.full(count, np.nan) for _ in fields(Replica)))


BAND_ENDS = ("band_high_frac", "band_low_frac")
"""The slow and the fast end of the band."""
COLUMNS = (
    "weights_bytes", "overhead_bytes", "kv_bytes", "kv_tokens", "sequences_max", "decode_step_s",
    "full_step_s", "ttft_zero_s", "tpot_zero_s", "e2e_zero_s", "lambda_star_rps", "stability_rps",
    "rate_rps", "offset_rps", "request_s", "correction_ratio", "band_low_frac", "band_high_frac",
    "planned_frac", "slow_ratio", "fast_ratio", "kv_wait_frac",
)  # fmt: skip


def _run(draft: _Draft, at: Whole, scenario: Scenario, catalog: Catalog, traffic: Traffic) -> None:
    configs = [draft.configs[i] for i in at.tolist()]
    found = modelled(configs, scenario, catalog, traffic)
    held, drafts = found.held, found.drafts
    _put_bands(draft, at, found.bands)
    draft.refuse(at, lambda place: found.reasons[place])
    draft.put(at, weights_bytes=held.weights, overhead_bytes=held.overhead, kv_bytes=held.kv,
              kv_tokens=held.kv_tokens)  # fmt: skip
    fits = found.fits
    for field in fields(Replica):
        getattr(draft.replica, field.name)[at[fits]] = getattr(found.replica, field.name)[fits]
    draft.put(
        at[fits],
        sequences_max=found.replica.sequences_max[fits],
        request_s=found.shaped.coefficients.request_s[fits],
    )
    for d in range(len(scenario.demand)):
        mine = np.array([draft.configs[i].demand_class == d for i in at.tolist()], bool) & fits
        static = np.array([c.mode == "static" for c in configs], bool)
        for gain, still in sorted(set(zip(drafts.gain[mine], static[mine], strict=True))):
            alike = at[mine & (drafts.gain == gain) & (static == still)]
            _price_class(draft, alike, d, scenario, traffic, gain=gain, static=bool(still))


def _run_units(
    draft: _Draft, first: int, paired: Units, scenario: Scenario, traffic: Traffic
) -> None:
    """Figures of both sides, then the rates of each class."""
    at = first + np.arange(len(paired.configurations))
    p, q, held, bands = paired.prefill, paired.decode, paired.sides.held, paired.sides.bands
    draft.put(
        at, weights_bytes=held.weights[p], overhead_bytes=held.overhead[p], kv_bytes=held.kv[p],
        kv_tokens=held.kv_tokens[p], sequences_max=paired.sides.replica.sequences_max[p],
        request_s=paired.sides.shaped.coefficients.request_s[p],
        correction_ratio=bands.correction[p], band_low_frac=bands.low[p],
        band_high_frac=bands.high[p], planned_frac=bands.planned[p],
    )  # fmt: skip
    transfer = paired.perf.transfer
    values = (
        held.weights[q], held.overhead[q], held.kv[q], held.kv_tokens[q],
        paired.sides.replica.sequences_max[q], bands.correction[q], bands.low[q], bands.high[q],
        bands.planned[q], transfer.token_bytes, transfer.link_bytes_s, transfer.latency_s,
    )  # fmt: skip
    for name, value in zip(fields(Decoders)[1:], values, strict=True):
        getattr(draft.decoders, name.name)[at] = value
    for field in fields(Replica):
        getattr(draft.replica, field.name)[at] = getattr(paired.perf.prefill, field.name)
        getattr(draft.decoders.replica, field.name)[at] = getattr(paired.perf.decode, field.name)
    for place, i in enumerate(at.tolist()):
        draft.labels[i] = less_known(bands.labels[p[place]], bands.labels[q[place]])
    for d, demand in enumerate(scenario.demand):
        mine = np.array([c.demand_class == d for c in paired.configurations], bool)
        if isinstance(demand, Online) and mine.any():
            unit = taken(paired.perf, np.flatnonzero(mine))
            _price_units(draft, at[mine], unit, scenario, traffic)


def _price_units(
    draft: _Draft, at: Whole, unit: Unit, scenario: Scenario, traffic: Traffic
) -> None:
    """Rates of units of one class."""
    demand_class = draft.configs[at[0]].demand_class
    demand, lengths = scenario.demand[demand_class], traffic.lengths[demand_class]
    assert isinstance(demand, Online)
    _unit_steps(draft, at, unit, lengths)
    stable = disaggregated.stability_limit(unit, lengths)
    draft.put(at, stability_rps=stable)
    draft.refuse(at, lambda place: "" if stable[place] > 0 else no_cache(unit.decode, place))
    at, unit = at[stable > 0], taken(unit, np.flatnonzero(stable > 0))
    peak = float(traffic.load.peak_rps[demand_class].max())
    outside, most = draft.column["request_s"][at], scenario.planning.utilization_max
    _promised(
        draft, at,
        _Promise(demand, unit.prefill, lengths, unit, 1.0, False, outside, peak, most),
    )  # fmt: skip


def _unit_steps(draft: _Draft, at: Whole, unit: Unit, lengths: Lengths) -> None:
    """A full step of a prefill replica, and one of a decode replica with half its sequences."""
    chunk = unit.prefill.budget_tokens
    full = step_s(
        unit.prefill, prefill_tokens=chunk, decode_sequences=0.0, kv_tokens=0.0,
        prefill_context=chunk * lengths.input_mean / 2,
    )  # fmt: skip
    decode = np.maximum(unit.decode.sequences_max / 2, 1.0)
    kv = decode * lengths.kv_steps / max(lengths.decode_steps, 1.0)
    alone = step_s(unit.decode, prefill_tokens=0.0, decode_sequences=decode, kv_tokens=kv)
    draft.put(at, decode_step_s=alone, full_step_s=full)


def _put_bands(draft: _Draft, at: Whole, bands: StepBands) -> None:
    for i, label in zip(at.tolist(), bands.labels, strict=True):
        draft.labels[i] = label
    draft.put(at, correction_ratio=bands.correction, band_low_frac=bands.low,
              band_high_frac=bands.high, planned_frac=bands.planned)  # fmt: skip


def _price_class(
    draft: _Draft,
    at: Whole,
    demand_class: int,
    scenario: Scenario,
    traffic: Traffic,
    *,
    gain: float,
    static: bool,
) -> None:
    """Rates of configurations of one class whose steps yield equally many tokens."""
    demand = scenario.demand[demand_class]
    lengths = in_steps(traffic.lengths[demand_class], gain)
    replica = take(draft.replica, at)
    _steps(draft, at, replica, lengths)
    limit = static_batch.throughput_max if static else queueing.stability_limit
    stable = limit(replica, lengths)
    draft.put(at, stability_rps=stable)
    draft.refuse(at, lambda place: "" if stable[place] > 0 else no_cache(replica, place))
    at = at[stable > 0]
    if isinstance(demand, Online):
        peak = float(traffic.load.peak_rps[demand_class].max())
        outside, most = draft.column["request_s"][at], scenario.planning.utilization_max
        able = take(draft.replica, at)
        _promised(
            draft, at, _Promise(demand, able, lengths, None, gain, static, outside, peak, most)
        )
    else:
        _batch(draft, at, lengths, scenario.planning.utilization_max, static=static)


def _batch(
    draft: _Draft, at: Whole, lengths: Lengths, utilization_max: float, *, static: bool
) -> None:
    """Work without a latency promise runs below the stability limit by the same headroom."""
    replica = take(draft.replica, at)
    most = static_batch.throughput_max if static else queueing.throughput_max
    rate = most(replica, lengths) * utilization_max
    draft.refuse(at, lambda place: "" if rate[place] > 0 else no_cache(replica, place))
    # Throughput is the inverse of the step time.
    slow, fast = (draft.column["planned_frac"][at] / draft.column[end][at] for end in BAND_ENDS)
    draft.put(at, lambda_star_rps=rate, rate_rps=rate, offset_rps=np.zeros(len(at)),
              slow_ratio=slow, fast_ratio=fast)  # fmt: skip
    draft.pool_rps[at] = rate[:, None]
    for i in at.tolist():
        draft.bindings[i] = "utilization_cap"


def _steps(draft: _Draft, at: Whole, replica: Replica, lengths: Lengths) -> None:
    """Step times at half of the sequences that fit: decode alone, and with a full chunk."""
    decode = np.maximum(np.minimum(replica.sequences_max, replica.budget_tokens) / 2, 1.0)
    context = lengths.kv_steps / max(lengths.decode_steps, 1.0)
    kv = decode * context
    alone = step_s(replica, prefill_tokens=0.0, decode_sequences=decode, kv_tokens=kv)
    chunk = np.maximum(replica.budget_tokens - replica.decode_tokens * decode, 1.0)
    full = step_s(
        replica, prefill_tokens=chunk, decode_sequences=decode, kv_tokens=kv,
        prefill_context=chunk * lengths.input_mean / 2,
    )  # fmt: skip
    draft.put(at, decode_step_s=alone, full_step_s=full)


def _promised(draft: _Draft, at: Whole, promise: _Promise) -> None:
    """Promised rate alone and in pools, and the reason of those that keep no promise."""
    slo, replica, lengths = promise.demand.slo, promise.replica, promise.lengths
    ttft, tpot = _zero_load(promise)
    stable = draft.column["stability_rps"][at]
    columns = [_capacity(promise, size, stable) for size in POOL_SIZES]
    rates = np.maximum.accumulate(np.stack([c.rate_rps for c in columns], axis=1), axis=1)
    ttft, tpot = ttft + promise.request_s, tpot / promise.gain
    end = end_to_end.zero_load_s(
        slo, promise.unit or replica, lengths, stability_rps=stable, request_s=promise.request_s
    )
    draft.put(at, ttft_zero_s=ttft, tpot_zero_s=tpot, e2e_zero_s=end, lambda_star_rps=rates[:, 0])
    draft.pool_rps[at] = rates
    for place, i in enumerate(at.tolist()):
        draft.bindings[i] = queueing.Binding(int(columns[-1].binding[place])).name.lower()

    values = [
        ("TTFT", slo.ttft_percentile, ttft, slo.ttft_ms),
        ("TPOT", slo.tpot_percentile, tpot, slo.tpot_ms),
        *_optional(promise, stable, end),
    ]

    def why(place: int) -> str:
        if rates[place, -1] > LEAST_STABLE_FRAC * stable[place]:
            return ""
        if rates[place, -1] > 0 and columns[-1].binding[place] == queueing.Binding.TOKEN_ITL:
            full_s = draft.column["full_step_s"][at[place]]
            return _jump(slo.token_itl_percentile, full_s, replica.budget_tokens[place])
        if rates[place, -1] > 0:
            return f"keeps its promise only below {LEAST_STABLE_FRAC:.0%} of what it could carry"
        for what, percentile, value, target_ms in values:
            if value[place] > target_ms * MILLI:
                return _late(what, percentile, value[place], target_ms)
        return no_cache(replica, place)

    draft.refuse(at, why)
    sizes = np.array(POOL_SIZES, float)
    expected = promise.peak_rps / np.where(rates[:, -1] > 0, rates[:, -1], np.inf)
    slope, offset = capacity_line(sizes, rates * sizes, np.maximum(expected, 1.0))
    draft.refuse(at, lambda place: "" if slope[place] > 0 else TOO_FEW)
    able = draft.still(at)
    offset = np.where(offset > NOISE_FRAC * slope, offset, 0.0)
    slow, fast = (_at_band_end(draft, at, promise, end) for end in BAND_ENDS)
    waiting = np.full(len(at), np.nan)  # a static batch is only begun where it fits
    if promise.unit is None and not promise.static:
        waiting = kv_wait_frac(
            replica, lengths, rates[:, -1], arrival_cv=promise.demand.arrival_cv,
            replicas=POOL_SIZES[-1], stability_rps=stable,
        )  # fmt: skip
    draft.put(at[able], rate_rps=slope[able], offset_rps=offset[able], slow_ratio=slow[able],
              fast_ratio=fast[able], kv_wait_frac=waiting[able])  # fmt: skip


def _zero_load(promise: _Promise) -> tuple[Array, Array]:
    slo = promise.demand.slo
    if promise.unit is not None:
        return disaggregated.zero_load(
            promise.unit, promise.lengths, ttft_percentile=slo.ttft_percentile,
            tpot_percentile=slo.tpot_percentile,
        )  # fmt: skip
    return queueing.zero_load(
        promise.replica, promise.lengths, ttft_percentile=slo.ttft_percentile,
        tpot_percentile=slo.tpot_percentile,
    )  # fmt: skip


def _optional(
    promise: _Promise, stable: Array, end_s: Array
) -> Iterator[tuple[str, float, Array, float]]:
    """Promises that a class may do without: name, percentile, value without traffic, target."""
    slo = promise.demand.slo
    if slo.token_itl_ms is not None and not promise.static:
        gap = queueing.gap_zero_load(
            promise.replica, promise.lengths, percentile=slo.token_itl_percentile,
            stability_rps=stable,
        )  # fmt: skip
        yield "token ITL", slo.token_itl_percentile, gap, slo.token_itl_ms
    if slo.e2e_ms is not None:
        yield "E2E", slo.e2e_percentile, end_s, slo.e2e_ms


def _at_band_end(draft: _Draft, at: Whole, promise: _Promise, end: str) -> Array:
    """Rate in the largest pool with steps at an end of the band, over the planned rate there."""
    longer = draft.column[end][at] / draft.column["planned_frac"][at]
    other, stable = replace(promise, replica=slowed(promise.replica, longer)), None
    if promise.unit is not None:
        decoders = draft.decoders
        both = slowed(promise.unit.decode, getattr(decoders, end)[at] / decoders.planned_frac[at])
        other = replace(other, unit=replace(promise.unit, prefill=other.replica, decode=both))
    else:
        stable = draft.column["stability_rps"][at] / longer
    found = _capacity(other, POOL_SIZES[-1], stable)
    planned = draft.pool_rps[at, -1]
    ratio = np.divide(found.rate_rps, planned, out=np.zeros(len(at)), where=planned > 0)
    return np.asarray(ratio, float)


def _jump(percentile: float, full_s: float, budget_tokens: float) -> str:
    """Why a promise on gaps holds at next to no traffic only."""
    return (
        f"token ITL p{percentile * 100:g}: chunk-carrying steps take up to {full_s / MILLI:,.0f} ms"
        f" and too many gaps meet one; lower the token budget ({budget_tokens:,.0f})"
    )


def _late(what: str, percentile: float, value_s: float, target_ms: float) -> str:
    value = f"{value_s / MILLI:,.0f} ms" if np.isfinite(value_s) else "without bound"
    return f"{what} p{percentile * 100:g} {value} at zero load, target {target_ms:g}"


def _capacity(promise: _Promise, replicas: int, stability_rps: Array | None) -> queueing.Capacity:
    slo, most = promise.demand.slo, promise.utilization_max
    bursty = promise.demand.arrival_cv > queueing.BURSTY_CV
    e2e_s = end_to_end.target_s(slo, promise.request_s)
    if promise.static:
        return static_batch.lambda_star(
            promise.replica, promise.lengths,
            ttft_s=np.maximum(slo.ttft_ms * MILLI - promise.request_s, 1e-6),
            ttft_percentile=slo.ttft_percentile,
            tpot_s=min(slo.tpot_ms, slo.token_itl_ms or slo.tpot_ms) * MILLI,
            arrival_cv=promise.demand.arrival_cv, replicas=replicas,
            utilization_max=min(most, queueing.UTILIZATION_MAX_BURSTY) if bursty else most,
            e2e_s=e2e_s, e2e_percentile=slo.e2e_percentile,
        )  # fmt: skip
    if promise.unit is not None:
        return disaggregated.lambda_star(
            promise.unit, promise.lengths,
            ttft_s=np.maximum(slo.ttft_ms * MILLI - promise.request_s, 1e-6),
            ttft_percentile=slo.ttft_percentile, tpot_s=slo.tpot_ms * MILLI,
            tpot_percentile=slo.tpot_percentile, arrival_cv=promise.demand.arrival_cv,
            replicas=replicas, stability_rps=stability_rps,
            utilization_max=min(most, queueing.UTILIZATION_MAX_BURSTY) if bursty else most,
            e2e_s=e2e_s, e2e_percentile=slo.e2e_percentile,
        )  # fmt: skip
    return queueing.lambda_star(
        promise.replica,
        promise.lengths,
        ttft_s=np.maximum(slo.ttft_ms * MILLI - promise.request_s, 1e-6),
        ttft_percentile=slo.ttft_percentile,
        tpot_s=slo.tpot_ms * MILLI * promise.gain,
        tpot_percentile=slo.tpot_percentile,
        arrival_cv=promise.demand.arrival_cv,
        replicas=replicas,
        utilization_max=min(most, queueing.UTILIZATION_MAX_BURSTY) if bursty else most,
        stability_rps=stability_rps,
        gap_s=None if slo.token_itl_ms is None else slo.token_itl_ms * MILLI,
        gap_percentile=slo.token_itl_percentile,
        e2e_s=e2e_s,
        e2e_percentile=slo.e2e_percentile,
    )


def _table(draft: _Draft, scenario: Scenario, traffic: Traffic) -> Table:
    table = Table(
        configurations=draft.configs,
        names=tuple(draft.names),
        classes=tuple(d.name for d in scenario.demand),
        reasons=tuple(draft.reasons),
        labels=tuple(draft.labels),
        bindings=tuple(draft.bindings),
        pruned_by=("",) * len(draft.configs),
        pool_sizes=POOL_SIZES,
        pool_rps=draft.pool_rps,
        replica=draft.replica,
        decoders=draft.decoders,
        lengths=traffic.lengths,
        simulated_ratio=np.full(len(draft.configs), np.nan),
        most_ratio=np.full(draft.pool_rps.shape, np.inf),
        preempted_frac=np.full(len(draft.configs), np.nan),
        least=np.ones(len(draft.configs)),
        **draft.column,
    )
    table = with_mixes(table, scenario, traffic)
    return replace(table, pruned_by=pruned(table))
