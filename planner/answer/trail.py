"""The sizing trail: thirteen steps from workload to cost, each with its numbers, for every class.

Every number is one that the plan used; nothing is computed here that was not asked of the same
functions before, but for the roofline bounds, which explain and decide nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from planner.answer import trail_units as units
from planner.answer.decided import Decided
from planner.answer.trail_chosen import Chosen, item
from planner.answer.trail_rates import operating_point
from planner.answer.trail_units import Items
from planner.candidates.shapes import serving, usable_memory_bytes
from planner.perf import roofline
from planner.perf.replica import step_s
from planner.perf.speculative import tokens_per_step
from planner.perf.steps import take
from planner.result import ClassCost, SizingTrail, TrailStep
from planner.schema.demand import Batch, Online, Slo
from planner.units import GIGA, MILLI, SECONDS_PER_DAY

TITLES = (
    "Workload", "Peak rate", "Latency targets", "Model and quality floor", "Weights",
    "KV cache", "Overheads and fewest accelerators", "Roofline of prefill and decode",
    "Parallelism", "Batching", "KV reuse", "Operating point and replicas", "Cost and what to watch",
)  # fmt: skip


def trails(decided: Decided, costs: Sequence[ClassCost]) -> list[SizingTrail]:
    """Trails of all classes; one that only APIs serve has the steps that still mean something."""
    found = []
    for d, demand in enumerate(decided.case.scenario.demand):
        assert isinstance(demand, Online | Batch)
        main = next(
            ((c, s) for c, s in decided.used_pools if decided.problem.pools.class_of[c] == d), None
        )
        if main is None:
            steps = [_workload(decided, demand, d), _peak(decided, demand, d), _targets(demand),
                     *_by_api(decided, d, costs[d])]  # fmt: skip
        else:
            c, s = main
            chosen = Chosen(decided, demand, d, c, s, decided.axes.kept[c], costs[d])
            known = chosen.config.measured_rps is None
            steps = _steps(chosen) if known else _measured_steps(chosen)
        found.append(SizingTrail(demand_class=demand.name, steps=steps))
    return found


def _step(number: int, items: Items) -> TrailStep:
    return TrailStep(number=number, title=TITLES[number - 1], items=items)


def _steps(chosen: Chosen) -> list[TrailStep]:
    decided, demand, d = chosen.decided, chosen.demand, chosen.d
    return [
        _workload(decided, demand, d),
        _peak(decided, demand, d),
        _targets(demand),
        _step(4, _model(chosen)),
        _step(5, _weights(chosen)),
        _step(6, _cache(chosen)),
        _step(7, _fewest(chosen)),
        _step(8, _roofline(chosen)),
        _step(9, _parallelism(chosen)),
        _step(10, _batching(chosen)),
        _step(11, _reuse(chosen)),
        _step(12, operating_point(chosen)),
        _step(13, _cost(chosen)),
    ]


def _workload(decided: Decided, demand: Online | Batch, d: int) -> TrailStep:
    lengths, load = decided.case.traffic.lengths[d], decided.case.traffic.load
    mean = (load.mean_rps[d] * load.hours).sum(axis=1) / load.hours.sum(axis=1)
    p95 = lengths.request_tokens(0.95)
    return _step(1, [
        item("Mean rate, first period", float(mean[0]), "requests/s", "all hours of the period"),
        item("Mean rate, last period", float(mean[-1]), "requests/s"),
        item("Requests a day, first period", float(mean[0]) * SECONDS_PER_DAY, "requests/day"),
        item("Prompt, mean", lengths.input_mean, "tokens"),
        item("Answer, mean", lengths.output_mean, "tokens"),
        item("Prompt + answer, p95", p95, "tokens", "planned on the tail, not the mean"),
    ])  # fmt: skip


def _peak(decided: Decided, demand: Online | Batch, d: int) -> TrailStep:
    load = decided.case.traffic.load
    if isinstance(demand, Batch):
        return _step(2, [item("Peak", "none: work moves within its day")])
    blocks = decided.case.traffic.blocks
    at = int(load.peak_rps[d].max(axis=0).argmax())
    how = (
        f"{demand.peak_to_mean:g} x the busiest hour's mean, as stated"
        if demand.peak_to_mean
        else f"p{demand.peak_percentile * 100:g} of five-minute rates, CV {demand.five_minute_cv:g}"
    )
    over = float(blocks.overstatement_frac[d])
    return _step(2, [
        item("Planned peak, first period", float(load.peak_rps[d, 0].max()), "requests/s", how),
        item("Planned peak, last period", float(load.peak_rps[d, -1].max()), "requests/s"),
        item("Busiest block", blocks.labels[at]),
        item("Peak tokens generated", float(load.peak_rps[d].max())
              * decided.case.traffic.lengths[d].output_mean, "tokens/s"),
        item("Overstatement by load blocks", over, "frac", "peaks taken as equal within a block"),
    ])  # fmt: skip


def _targets(demand: Online | Batch) -> TrailStep:
    if isinstance(demand, Batch):
        return _step(3, [item("Promise", "done within its day")])
    slo = demand.slo
    return _step(3, [
        item(f"TTFT p{slo.ttft_percentile * 100:g}", slo.ttft_ms, "ms"),
        item(f"TPOT p{slo.tpot_percentile * 100:g}", slo.tpot_ms, "ms",
              f"{1 / (slo.tpot_ms * MILLI):.1f} tokens/s to each user"),
        *_gap_target(slo),
        *_end_target(slo),
        item("Burstiness below five minutes", demand.arrival_cv, "CV", "of the pool's arrivals"),
    ])  # fmt: skip


def _gap_target(slo: Slo) -> Items:
    """The promise on single gaps, and why it jumps; nothing where there is none."""
    if slo.token_itl_ms is None:
        return []
    return [
        item(f"Token ITL p{slo.token_itl_percentile * 100:g}", slo.token_itl_ms, "ms",
              "of all gaps; jumps from a decode-only step to one that carries a chunk"),
    ]  # fmt: skip


def _end_target(slo: Slo) -> Items:
    """The promise on whole answers; nothing where there is none."""
    if slo.e2e_ms is None:
        return []
    return [
        item(f"E2E p{slo.e2e_percentile * 100:g}", slo.e2e_ms, "ms",
              "from request to last token, long answers and short ones together"),
    ]  # fmt: skip


def _model(chosen: Chosen) -> Items:
    model, config = chosen.model, chosen.config
    row = chosen.decided.case.catalog.quantizations[config.quantization]
    return [
        item("Model", config.model),
        item("Parameters", model.total_params_b, "10^9"),
        item("Parameters used a token", model.active_params_b, "10^9"),
        item("Weight format", row.title),
        item("KV-cache format", config.kv_dtype),
        item("Quality kept", config.recovery_frac, "frac",
              f"floor {chosen.demand.quality_floor:g}"),
    ]  # fmt: skip


def _weights(chosen: Chosen) -> Items:
    if chosen.sides:
        return units.weights(chosen.decided.case, chosen.sides)
    table, row = chosen.decided.case.table, chosen.decided.case.catalog.quantizations
    per_gpu = float(table.weights_bytes[chosen.i]) / GIGA
    return [
        item("Stored bits a weight", row[chosen.config.quantization].bits_per_element, "bits",
              "scales included; embeddings and output head bf16"),
        item("Weights on one accelerator", per_gpu, "GB"),
        item("Weights of a replica", per_gpu * chosen.config.gpus, "GB"),
    ]  # fmt: skip


def _cache(chosen: Chosen) -> Items:
    table, i = chosen.decided.case.table, chosen.i
    lengths = chosen.decided.case.traffic.lengths[chosen.d]
    elements = chosen.model.kv_elems_per_token_full + chosen.model.kv_elems_per_token_window
    row = chosen.decided.case.catalog.quantizations[f"kv-{chosen.config.kv_dtype}"]
    per_token = elements * row.bits_per_element / 8
    found = [
        item("Cache a token", per_token, "bytes",
              f"{elements:,.0f} elements; windowed layers count up to their window"),
        item("Cache of a mean request", per_token * (lengths.input_mean + lengths.output_mean)
              / GIGA, "GB"),
    ]  # fmt: skip
    if chosen.sides:
        return found + units.cache(chosen.decided.case, chosen.sides, i)
    return [
        *found,
        item("Left for the cache on one accelerator", float(table.kv_bytes[i]) / GIGA, "GB"),
        item("Tokens that a replica holds", float(table.kv_tokens[i]), "tokens"),
        item("Sequences in flight, most", float(table.sequences_max[i]), "sequences"),
    ]  # fmt: skip


def _fewest(chosen: Chosen) -> Items:
    if chosen.sides:
        return units.fewest(chosen.decided.case, chosen.sides)
    table, i = chosen.decided.case.table, chosen.i
    device = usable_memory_bytes(chosen.accelerator) / GIGA
    weights = float(table.weights_bytes[i]) * chosen.config.gpus / GIGA
    overhead = float(table.overhead_bytes[i]) / GIGA
    room = (table.weights_bytes[i] + table.overhead_bytes[i] + table.kv_bytes[i]) / GIGA
    return [
        item("Accelerator", chosen.accelerator.title),
        item("Memory that the driver reports", device, "GB"),
        item("Activations, graphs, framework", overhead, "GB", "each accelerator"),
        item("Fewest accelerators for the weights", float(np.ceil(weights / (float(room)
              - overhead))), "accelerators", "before any cache"),
        item("Accelerators of the chosen replica", float(chosen.config.gpus), "accelerators"),
    ]  # fmt: skip


def _roofline(chosen: Chosen) -> Items:
    case, config = chosen.decided.case, chosen.config
    # Of a disaggregated unit: prefill on its own accelerator, decode on the other.
    shaped, _ = serving([config, config.decode or config], case.catalog)
    lengths = case.traffic.lengths[chosen.d]
    most = chosen.sides[1].replica.sequences_max if chosen.sides else case.table.sequences_max
    batch = max(float(most[0 if chosen.sides else chosen.i]) / 2, 1.0)
    context = lengths.kv_steps / max(lengths.decode_steps, 1.0)
    bound = roofline.ideal(
        shaped, prompt_tokens=lengths.computed, sequences=batch, context_tokens=context
    )
    prefill, decode = roofline.binding(
        shaped, prefill_tokens=lengths.computed, sequences=batch, context_tokens=context
    )
    return [
        item("Machine balance", float(bound.balance_flop_per_byte[0]), "FLOP/byte"),
        item("Batched tokens at the ridge", float(bound.ridge_tokens[0]), "tokens",
              "below it weights stream, above it arithmetic binds"),
        item("Prefill of a mean prompt, ideal", float(bound.prefill_s[0]) / MILLI, "ms"),
        item("Prefill is bound by", roofline.Resource(int(prefill[0])).name),
        item(f"Decode step of {batch:.0f} sequences, ideal",
              float(bound.decode_step_s[1]) / MILLI, "ms"),
        item("Decode is bound by", roofline.Resource(int(decode[1])).name,
              "", "host: launches and scheduling"),
    ]  # fmt: skip


def _parallelism(chosen: Chosen) -> Items:
    if chosen.sides:
        return units.parallelism(chosen.decided.case, chosen.sides)
    config, table = chosen.config, chosen.decided.case.table
    rivals = [
        i for i in np.flatnonzero(table.feasible).tolist()
        if table.configurations[i].accelerator == config.accelerator
        and table.configurations[i].demand_class == chosen.d
        and table.configurations[i].quantization == config.quantization
        and table.configurations[i].engine == config.engine
        and table.configurations[i].shared_by == config.shared_by
    ]  # fmt: skip
    found = [
        item("Chosen layout", config.layout, "", "TP x PP x DP x EP"),
        item("Fast-link domain", float(chosen.accelerator.scaleup_domain_gpus), "accelerators",
              chosen.accelerator.scaleup_link),
    ]  # fmt: skip
    best: dict[str, float] = {}
    for i in rivals:
        other = table.configurations[i]
        rate = float(table.rate_rps[i]) / other.gpus
        best[other.layout] = max(best.get(other.layout, 0.0), rate)
    for layout, rate in sorted(best.items(), key=lambda pair: -pair[1])[:5]:
        found.append(item(f"Promised rate with {layout}", rate, "requests/s/accelerator"))
    return found


def _batching(chosen: Chosen) -> Items:
    replica = take(chosen.decided.case.table.replica, np.array([chosen.i]))
    engine = chosen.decided.case.catalog.engines[chosen.config.engine]
    alone = step_s(replica, prefill_tokens=0.0, decode_sequences=1.0, kv_tokens=0.0)
    found = [
        item("Engine", f"{engine.title} {engine.version}"),
        item("Batching", chosen.config.mode, "",
              "chunked: prefill shares steps with decode; continuous: whole prompts; "
              "disaggregated: prompts and answers on replicas of their own"),
    ]  # fmt: skip
    if chosen.sides:
        return found + units.steps(chosen.decided.case, chosen.sides, chosen.i)
    return [
        *found,
        *_drafting(chosen),
        item("Tokens of one step, most", float(replica.budget_tokens[0]), "tokens"),
        item("Step with one sequence", float(alone[0]) / MILLI, "ms", "as planned"),
        item("Decode step, half of the sequences",
              float(chosen.decided.case.table.decode_step_s[chosen.i]) / MILLI, "ms"),
        item("Step with a full chunk",
              float(chosen.decided.case.table.full_step_s[chosen.i]) / MILLI, "ms"),
    ]  # fmt: skip


def _drafting(chosen: Chosen) -> Items:
    """What a draft proposes and what is kept of it; nothing without one."""
    config, catalog = chosen.config, chosen.decided.case.catalog
    if not config.draft:
        return []
    row = catalog.speculators[config.draft]
    gain = tokens_per_step(row.acceptance_frac, row.drafted_tokens)
    return [
        item("Draft", row.title, "", config.draft),
        item("Tokens drafted a step", float(row.drafted_tokens), "tokens"),
        item("Drafted tokens accepted, after accepted ones", row.acceptance_frac, "frac",
              f"{row.basis}: {row.source}"),
        item("Tokens that a step yields", gain, "tokens", "the mean; the same for all requests"),
    ]  # fmt: skip


def _reuse(chosen: Chosen) -> Items:
    lengths = chosen.decided.case.traffic.lengths[chosen.d]
    cached = getattr(chosen.demand, "response_cache_hit_frac", 0.0)
    return [
        item("Prompt tokens found in the prefix cache", lengths.prefix_hit_frac, "frac"),
        item("Prompt tokens computed, mean", lengths.computed, "tokens"),
        item("Requests answered without inference", cached, "frac"),
    ]


def _cost(chosen: Chosen) -> Items:
    table, i = chosen.decided.case.table, chosen.i
    watch = [
        item("Watch: KV cache in use above",
              min(0.95, float(table.rate_rps[i] / table.stability_rps[i]) + 0.1), "frac"),
        item(f"Watch: rate a {'unit' if chosen.sides else 'replica'} above",
              float(table.rate_rps[i]), "requests/s", "more breaks the promise"
              if not chosen.config.shared_by else "of this class alone; of several their row"),
        item("Watch: mean prompt above",
              chosen.decided.case.traffic.lengths[chosen.d].input_mean * 1.1, "tokens",
              "the plan assumes 10 % less"),
    ]  # fmt: skip
    return [*_cost_items(chosen.cost), *watch]


def _cost_items(cost: ClassCost) -> Items:
    return [
        item("Net present cost of the class", cost.npv_usd, "USD"),
        item("Tokens, prompt", cost.input_mtokens, "Mtokens"),
        item("Tokens, answer", cost.output_mtokens, "Mtokens"),
        item("Cost of tokens, both kinds", cost.usd_per_mtoken, "USD/Mtoken", "undiscounted"),
    ]


def _measured_steps(chosen: Chosen) -> list[TrailStep]:
    """Where the rate was measured nothing was computed of memory, roofline, batching, latency."""
    decided, config = chosen.decided, chosen.config
    peak = decided.whole_peak(chosen.c, chosen.s)
    rate = float(decided.case.table.rate_rps[chosen.i])
    return [
        _workload(decided, chosen.demand, chosen.d),
        _peak(decided, chosen.demand, chosen.d),
        _targets(chosen.demand),
        _step(4, [item("Model", config.model), item("Weight format", config.quantization)]),
        _step(9, [
            item("Accelerator", chosen.accelerator.title),
            item("Accelerators of a replica", float(config.gpus), "accelerators"),
            item("Engine", config.engine),
        ]),
        _step(12, [
            item("Measured rate of a replica", rate, "requests/s", config.source),
            item("Replicas at the peak, first and last period",
                  f"{peak[0]:g} / {peak[-1]:g}", "replicas"),
            item("Performance model", "measured", "", "the model was not asked"),
        ]),
        _step(13, [
            *_cost_items(chosen.cost),
            item("Watch: rate a replica above", rate, "requests/s", "more was not measured"),
        ]),
    ]  # fmt: skip


def _by_api(decided: Decided, d: int, cost: ClassCost) -> list[TrailStep]:
    names = [
        f"{api.product} of {api.provider}"
        for a, api in enumerate(decided.case.offers.apis)
        if api.demand_class == d and decided.solution.api_frac[a].max(initial=0.0) > 0
    ]
    served = [item("Served by", ", ".join(names), "", "latency is the provider's, not promised")]
    return [_step(4, served), _step(13, _cost_items(cost))]
