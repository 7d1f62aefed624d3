"""Ask the performance model about every configuration: memory, step time, promised rate.

Refusals come in the order in which an engineer would find them: the layout, the weights, the
cache, the promise at zero load. What remains gets its promised rate alone and in pools, and the
line by which a pool's capacity enters the optimizer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from planner.candidates.bands import StepBands, step_bands
from planner.candidates.drafts import Drafts, drafts_of
from planner.candidates.enumerate import Configuration, configurations
from planner.candidates.measured import covered_classes, measured
from planner.candidates.prune import pruned
from planner.candidates.shapes import serving, usable_memory_bytes
from planner.candidates.table import Table
from planner.candidates.traffic import Traffic
from planner.perf import memory, queueing, static_batch
from planner.perf.lengths import Lengths
from planner.perf.pooling import capacity_line
from planner.perf.pressure import kv_wait_frac
from planner.perf.reduce import Lengths as MeanLengths
from planner.perf.reduce import reduce_to_replica
from planner.perf.replica import Replica, slowed, step_s
from planner.perf.shapes import Serving
from planner.perf.speculative import in_steps
from planner.perf.steps import take
from planner.schema.catalog import Catalog
from planner.schema.demand import Online
from planner.schema.scenario import Scenario
from planner.units import GIGA, MILLI

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

POOL_SIZES = (1, 2, 3, 4, 8, 16, 64)
"""Pools for which capacity is tabulated; the line lies below all of them."""
SEQUENCES_MAX = 256.0
"""Most sequences an engine runs: the default of vLLM's V1 engine."""
BUDGET_TOKENS = 8192.0
"""Most tokens of one step with chunked prefill: the server default of vLLM on large GPUs."""
PROMPT_PERCENTILE = 0.99
LEAST_STABLE_FRAC = 0.05
"""A promise that holds only below this share of the stability limit hangs on the last millisecond
of an estimate: such a configuration is refused."""
NOISE_FRAC = 1e-9
"""An offset below this share of the slope is rounding."""


@dataclass(frozen=True)
class _Memory:
    """What one accelerator holds, and the replica's cache; (configurations,) each."""

    weights: Array
    overhead: Array
    kv: Array
    kv_tokens: Array
    available: Array


@dataclass(frozen=True)
class _Promise:
    """One class's promise, and the replicas that may keep it."""

    demand: Online
    replica: Replica
    lengths: Lengths
    """Answers in steps."""
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
    modelled = configurations(scenario, catalog, leave_out=covered_classes(scenario))
    configs = [*modelled, *measured(scenario, catalog)]
    draft = _Draft(scenario, configs)
    _put_measured(draft)
    open_ = [i for i, c in enumerate(modelled) if not c.reason]
    if open_:
        _run(draft, np.array(open_, np.int64), scenario, catalog, traffic)
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
        self.replica = Replica(*(np.full(count, np.nan) for _ in fields(Replica)))
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


BAND_ENDS = ("band_high_frac", "band_low_frac")
"""The slow and the fast end of the band."""
COLUMNS = (
    "weights_bytes", "overhead_bytes", "kv_bytes", "kv_tokens", "sequences_max", "decode_step_s",
    "full_step_s", "ttft_zero_s", "tpot_zero_s", "lambda_star_rps", "stability_rps", "rate_rps",
    "offset_rps", "request_s", "correction_ratio", "band_low_frac", "band_high_frac",
    "planned_frac", "slow_ratio", "fast_ratio", "kv_wait_frac",
)  # fmt: skip


def _run(draft: _Draft, at: Whole, scenario: Scenario, catalog: Catalog, traffic: Traffic) -> None:
    configs = [draft.configs[i] for i in at.tolist()]
    shaped, labels = serving(configs, catalog)
    bands = step_bands(configs, shaped, labels, catalog, scenario.planning.plan_at)
    _put_bands(draft, at, bands)
    means = _mean_lengths(configs, traffic)
    budget = _budget(configs, traffic)
    _refuse_layouts(draft, at, shaped)
    drafts = drafts_of(configs, catalog)
    held = _memory(shaped, configs, catalog, means, budget=budget, drafts=drafts)
    draft.put(at, weights_bytes=held.weights, overhead_bytes=held.overhead, kv_bytes=held.kv,
              kv_tokens=held.kv_tokens)  # fmt: skip
    _refuse_memory(draft, at, held, means.held_tokens)
    fits = draft.still(at)
    estimate = reduce_to_replica(
        shaped, means, kv_tokens=np.where(fits, held.kv_tokens, 1.0), budget_tokens=budget,
        sequences_max=SEQUENCES_MAX, decode_tokens=drafts.decode_tokens,
    )  # fmt: skip
    reduced = slowed(drafts.added_to(estimate), bands.factor)
    for field in fields(Replica):
        getattr(draft.replica, field.name)[at[fits]] = getattr(reduced, field.name)[fits]
    draft.put(
        at[fits],
        sequences_max=reduced.sequences_max[fits],
        request_s=shaped.coefficients.request_s[fits],
    )
    for d in range(len(scenario.demand)):
        mine = np.array([draft.configs[i].demand_class == d for i in at.tolist()], bool) & fits
        static = np.array([c.mode == "static" for c in configs], bool)
        for gain, still in sorted(set(zip(drafts.gain[mine], static[mine], strict=True))):
            alike = at[mine & (drafts.gain == gain) & (static == still)]
            _price_class(draft, alike, d, scenario, traffic, gain=gain, static=bool(still))


def _put_bands(draft: _Draft, at: Whole, bands: StepBands) -> None:
    for i, label in zip(at.tolist(), bands.labels, strict=True):
        draft.labels[i] = label
    draft.put(at, correction_ratio=bands.correction, band_low_frac=bands.low,
              band_high_frac=bands.high, planned_frac=bands.planned)  # fmt: skip


def _mean_lengths(configs: Sequence[Configuration], traffic: Traffic) -> MeanLengths:
    lengths = [traffic.lengths[c.demand_class] for c in configs]
    return MeanLengths(
        prompt_tokens=np.array([x.input_mean for x in lengths]),
        output_tokens=np.array([x.output_mean for x in lengths]),
    )


def _budget(configs: Sequence[Configuration], traffic: Traffic) -> Array:
    """Tokens of a step: a chunk, or a whole prompt where prefill is not chunked."""
    whole = [float(np.quantile(x.input_tokens, PROMPT_PERCENTILE)) for x in traffic.lengths]
    return np.array(
        [
            max(BUDGET_TOKENS, whole[c.demand_class])
            if c.mode in ("continuous", "static")
            else BUDGET_TOKENS
            for c in configs
        ]
    )


def _refuse_layouts(draft: _Draft, at: Whole, shaped: Serving) -> None:
    codes = memory.layout_refusal(architecture=shaped.architecture, layout=shaped.layout)
    text = [memory.REFUSAL_TEXT[memory.Refusal(code)] for code in codes.tolist()]
    draft.refuse(at, lambda place: text[place])


def _memory(
    shaped: Serving,
    configs: Sequence[Configuration],
    catalog: Catalog,
    means: MeanLengths,
    *,
    budget: Array,
    drafts: Drafts,
) -> _Memory:
    reserve = memory.reserve_of(
        {name: row.value for name, row in catalog.calibration.items()},
        [catalog.engines[c.engine].calibration or "" for c in configs],
    )
    architecture, layout, form = shaped.architecture, shaped.layout, shaped.format
    weights = memory.weight_bytes_per_gpu(architecture=architecture, layout=layout, form=form)
    weights = weights + drafts.bytes_per_gpu
    overhead = memory.reserve_bytes(
        architecture=architecture, layout=layout, reserve=reserve, budget_tokens=budget,
        sequences_max=SEQUENCES_MAX,
    )  # fmt: skip
    device = np.array([usable_memory_bytes(catalog.accelerators[c.accelerator]) for c in configs])
    pool = memory.kv_pool_bytes(
        memory_bytes=device, usable_frac=reserve.usable_frac, weight_bytes=weights,
        reserve_bytes=overhead,
    )  # fmt: skip
    one = memory.sequence_bytes_per_gpu(
        architecture=architecture, layout=layout, form=form, context_tokens=means.held_tokens
    )
    tokens = memory.kv_tokens(
        pool_bytes=pool, sequence_bytes=one, context_tokens=means.held_tokens,
        attention_groups=layout.attention_groups,
    )  # fmt: skip
    tokens = drafts.cache_left(tokens)
    return _Memory(weights, overhead, pool, tokens, device * reserve.usable_frac)


def _refuse_memory(draft: _Draft, at: Whole, held: _Memory, held_tokens: Array) -> None:
    """Refuse what holds neither its weights nor the cache of one request of mean length."""

    def why(place: int) -> str:
        need, have = held.weights[place] + held.overhead[place], held.available[place]
        if held.weights[place] >= have:
            return f"weights need {held.weights[place] / GIGA:.0f} GB of {have / GIGA:.0f}"
        if held.kv[place] <= 0:
            return f"weights and overhead need {need / GIGA:.0f} GB of {have / GIGA:.0f}"
        return "" if held.kv_tokens[place] >= held_tokens[place] else _no_cache(held, place)

    draft.refuse(at, why)


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
    draft.refuse(at, lambda place: "" if stable[place] > 0 else _no_cache(replica, place))
    at = at[stable > 0]
    if isinstance(demand, Online):
        peak = float(traffic.load.peak_rps[demand_class].max())
        outside, most = draft.column["request_s"][at], scenario.planning.utilization_max
        able = take(draft.replica, at)
        _promised(draft, at, _Promise(demand, able, lengths, gain, static, outside, peak, most))
    else:
        _batch(draft, at, lengths, scenario.planning.utilization_max, static=static)


def _batch(
    draft: _Draft, at: Whole, lengths: Lengths, utilization_max: float, *, static: bool
) -> None:
    """Work without a latency promise runs below the stability limit by the same headroom."""
    replica = take(draft.replica, at)
    most = static_batch.throughput_max if static else queueing.throughput_max
    rate = most(replica, lengths) * utilization_max
    draft.refuse(at, lambda place: "" if rate[place] > 0 else _no_cache(replica, place))
    # Throughput is the inverse of the step time.
    slow, fast = (draft.column["planned_frac"][at] / draft.column[end][at] for end in BAND_ENDS)
    draft.put(at, lambda_star_rps=rate, rate_rps=rate, offset_rps=np.zeros(len(at)),
              slow_ratio=slow, fast_ratio=fast)  # fmt: skip
    draft.pool_rps[at] = rate[:, None]
    for i in at.tolist():
        draft.bindings[i] = "utilization_cap"


def _no_cache(held: _Memory | Replica, place: int) -> str:
    return f"KV cache holds {held.kv_tokens[place]:,.0f} tokens: less than one long request"


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
    ttft, tpot = queueing.zero_load(
        replica, lengths, ttft_percentile=slo.ttft_percentile, tpot_percentile=slo.tpot_percentile
    )
    stable = draft.column["stability_rps"][at]
    columns = [_capacity(promise, size, stable) for size in POOL_SIZES]
    rates = np.maximum.accumulate(np.stack([c.rate_rps for c in columns], axis=1), axis=1)
    ttft, tpot = ttft + promise.request_s, tpot / promise.gain
    draft.put(at, ttft_zero_s=ttft, tpot_zero_s=tpot, lambda_star_rps=rates[:, 0])
    draft.pool_rps[at] = rates
    for place, i in enumerate(at.tolist()):
        draft.bindings[i] = queueing.Binding(int(columns[-1].binding[place])).name.lower()

    def why(place: int) -> str:
        if rates[place, -1] > LEAST_STABLE_FRAC * stable[place]:
            return ""
        if rates[place, -1] > 0:
            return f"keeps its promise only below {LEAST_STABLE_FRAC:.0%} of what it could carry"
        if ttft[place] > slo.ttft_ms * MILLI:
            return _late("TTFT", slo.ttft_percentile, ttft[place], slo.ttft_ms)
        if tpot[place] > slo.tpot_ms * MILLI:
            return _late("TPOT", slo.tpot_percentile, tpot[place], slo.tpot_ms)
        return _no_cache(replica, place)

    draft.refuse(at, why)
    sizes = np.array(POOL_SIZES, float)
    expected = promise.peak_rps / np.where(rates[:, -1] > 0, rates[:, -1], np.inf)
    slope, offset = capacity_line(sizes, rates * sizes, np.maximum(expected, 1.0))
    able = draft.still(at)
    offset = np.where(offset > NOISE_FRAC * slope, offset, 0.0)
    slow, fast = (_at_band_end(draft, at, promise, end) for end in BAND_ENDS)
    waiting = kv_wait_frac(
        replica, lengths, rates[:, -1], arrival_cv=promise.demand.arrival_cv,
        replicas=POOL_SIZES[-1], stability_rps=stable,
    )  # fmt: skip
    if promise.static:
        waiting = np.full(len(at), np.nan)  # a batch is only begun where it fits
    draft.put(at[able], rate_rps=slope[able], offset_rps=offset[able], slow_ratio=slow[able],
              fast_ratio=fast[able], kv_wait_frac=waiting[able])  # fmt: skip


def _at_band_end(draft: _Draft, at: Whole, promise: _Promise, end: str) -> Array:
    """Rate in the largest pool with steps at an end of the band, over the planned rate there."""
    longer = draft.column[end][at] / draft.column["planned_frac"][at]
    other = replace(promise, replica=slowed(promise.replica, longer))
    found = _capacity(other, POOL_SIZES[-1], draft.column["stability_rps"][at] / longer)
    planned = draft.pool_rps[at, -1]
    ratio = np.divide(found.rate_rps, planned, out=np.zeros(len(at)), where=planned > 0)
    return np.asarray(ratio, float)


def _late(what: str, percentile: float, value_s: float, target_ms: float) -> str:
    value = f"{value_s / MILLI:,.0f} ms" if np.isfinite(value_s) else "without bound"
    return f"{what} p{percentile * 100:g} {value} at zero load, target {target_ms:g}"


def _capacity(promise: _Promise, replicas: int, stability_rps: Array) -> queueing.Capacity:
    slo, most = promise.demand.slo, promise.utilization_max
    bursty = promise.demand.arrival_cv > queueing.BURSTY_CV
    if promise.static:
        return static_batch.lambda_star(
            promise.replica, promise.lengths,
            ttft_s=np.maximum(slo.ttft_ms * MILLI - promise.request_s, 1e-6),
            ttft_percentile=slo.ttft_percentile, tpot_s=slo.tpot_ms * MILLI,
            arrival_cv=promise.demand.arrival_cv, replicas=replicas,
            utilization_max=min(most, queueing.UTILIZATION_MAX_BURSTY) if bursty else most,
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
        lengths=traffic.lengths,
        simulated_ratio=np.full(len(draft.configs), np.nan),
        most_ratio=np.full(draft.pool_rps.shape, np.inf),
        preempted_frac=np.full(len(draft.configs), np.nan),
        **draft.column,
    )
    return replace(table, pruned_by=pruned(table))
