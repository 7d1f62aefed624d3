"""Predict: each kind of benchmark load through the step-time model.

Closed loop, static batch, everything queued at once, open loop and disaggregated. Benchmarks
differ from production in ways that belong to their traffic and are added here, never in plans:
requests of equal lengths restart together (`waves`), servers send several tokens at once so
that the first is seen late (`stream_*_tokens`), offline runs ramp up and drain.

An engine whose steps last A times as long is the same engine in a slower clock: with the path
outside the engine divided by A, all times are multiplied by A and rates divided by it.

.. [1] J. D. C. Little, "A proof for the queuing formula L = lambda W", Oper. Res. 9(3), 1961.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.calibrate.cases import (
    BUDGET_TOKENS,
    Array,
    Cases,
    pace_of,
    row_values,
    sequences_fit,
    serving_at,
)
from planner.perf.closed_loop import Traffic, closed_loop, latencies
from planner.perf.shapes import Numbers, Serving
from planner.perf.step_time import iteration_s

Flags = NDArray[np.bool_]

BISECTIONS = 40
SATURATED_FRAC = 0.999
TABLE_REQUESTS = ((256.0, 30_000.0), (3_000.0, 3_000.0), (6_000.0, 1_500.0), (np.inf, 1_000.0))
"""Requests of an offline table by input + output tokens, where it does not say."""
BATCH_MAX = 2048.0
"""Most sequences of an offline run: TensorRT-LLM's default batch size."""


@dataclass(frozen=True)
class Prediction:
    """What the model says of each case; NaN where the load does not determine it."""

    tpot_s: Array
    ttft_s: Array
    throughput_tok_s: Array
    """Output tokens per second of all replicas."""
    sequences: Array
    """Decoding sequences of a replica."""
    capacity: Array
    """Sequences that its cache holds."""
    load_frac: Array
    """Arrivals over what the replicas can carry; 0 where the load is not a rate."""


def traffic_of(
    cases: Cases, clients: Array, capacity: Array, calibration: Mapping[str, float]
) -> Traffic:
    """Closed-loop traffic of a benchmark, with the share of requests that restart together.

    Waves of equal requests spread out over the batches that their prompts fill.
    """
    budget = BUDGET_TOKENS * cases.shaped.layout.attention_groups
    batches = np.maximum(clients * cases.prompt / budget, 1.0)
    engines = [f"waves_equal_{cases.keys[i][0]}_frac" for i in cases.key.tolist()]
    start = row_values([e if "sgl" not in e else "" for e in engines], calibration)
    spread = np.minimum(start * batches ** -calibration["waves_spread_power"], 1.0)
    # Prefill goes first: all prompts of a wave are in before any of its answers ends.
    equal = np.where(cases.separate, 1.0, spread)
    return Traffic(
        clients=clients,
        prompt_tokens=cases.prompt,
        output_tokens=np.maximum(cases.output, 2.0),
        sequences_max=np.maximum(capacity, 1.0),
        budget_tokens=np.full(cases.count, BUDGET_TOKENS),
        waves_frac=np.where(cases.equal_lengths, equal, calibration["waves_varied_frac"]),
        separate_prefill=cases.separate,
    )


def closed(cases: Cases, calibration: Mapping[str, float], near: Array | None = None) -> Prediction:
    """A fixed number of clients, each waiting for its answer; `near` as in `closed_loop`."""
    pace, capacity = pace_of(cases, calibration), sequences_fit(cases, calibration)
    traffic = traffic_of(cases, np.maximum(cases.load, 1.0), capacity, calibration)
    found = closed_loop(serving_at(cases, calibration), traffic, near=near)
    rate = found.requests_per_s * cases.output * cases.replicas
    return Prediction(
        tpot_s=found.tpot_s * pace,
        ttft_s=(found.ttft_s + cases.hold_steps * found.tpot_s) * pace,
        throughput_tok_s=rate / pace,
        sequences=found.decode_sequences,
        capacity=capacity,
        load_frac=np.zeros(cases.count),
    )


class _Steps:
    """Step times of cases at their mean lengths."""

    def __init__(self, serving: Serving, cases: Cases) -> None:
        self.serving, self.cases = serving, cases
        self.budget = BUDGET_TOKENS * serving.layout.attention_groups

    def decode(self, sequences: Array) -> Array:
        context = self.cases.prompt + self.cases.output / 2
        return iteration_s(
            self.serving, prefill_tokens=0.0, decode_sequences=sequences, context_tokens=context
        )

    def prefill(self, tokens: Numbers) -> Array:
        return iteration_s(
            self.serving,
            prefill_tokens=tokens,
            decode_sequences=0.0,
            context_tokens=0.0,
            prefill_context_tokens=self.cases.prompt / 2,
            prompt_ends=np.asarray(tokens, float) / self.cases.prompt,
        )

    def prefill_all(self, requests: Array) -> Array:
        """Prompts of all requests, in steps of the token budget."""
        tokens = requests * self.cases.prompt
        full = np.minimum(tokens, self.budget)
        return np.asarray(tokens / full * self.prefill(full))


def static(cases: Cases, calibration: Mapping[str, float]) -> Prediction:
    """One batch: prefilled whole, then decoded in lockstep."""
    pace, steps = pace_of(cases, calibration), _Steps(serving_at(cases, calibration), cases)
    batch = np.maximum(cases.load, 1.0)
    first_s = steps.prefill(batch * cases.prompt)
    tpot_s = steps.decode(batch)
    total_s = first_s + (cases.output - 1) * tpot_s
    first_s = first_s + steps.serving.coefficients.request_s
    return Prediction(
        tpot_s=tpot_s * pace,
        ttft_s=first_s * pace,
        throughput_tok_s=batch * cases.output * cases.replicas / total_s / pace,
        sequences=batch,
        capacity=sequences_fit(cases, calibration),
        load_frac=np.zeros(cases.count),
    )


def requests_of(cases: Cases) -> Array:
    """Requests of an offline run: stated, else by length."""
    total = cases.prompt + cases.output
    usual = np.select([total <= most for most, _ in TABLE_REQUESTS], [r for _, r in TABLE_REQUESTS])
    return np.where(np.isfinite(cases.requests), cases.requests, usual / cases.replicas)


def offline(
    cases: Cases, calibration: Mapping[str, float], near: Array | None = None
) -> Prediction:
    """Everything queued at once: ramp, steady state at full batch, drain."""
    pace, serving = pace_of(cases, calibration), serving_at(cases, calibration)
    capacity = np.minimum(np.maximum(sequences_fit(cases, calibration), 1.0), BATCH_MAX)
    requests = np.maximum(requests_of(cases), 1.0)
    steps = _Steps(serving, cases)
    limit = np.where(np.isfinite(cases.load), np.maximum(cases.load, 1.0), np.inf)
    running = np.minimum(np.minimum(requests, capacity), limit)
    traffic = replace(
        traffic_of(cases, running, capacity, calibration), waves_frac=np.zeros(cases.count)
    )
    full = closed_loop(serving, traffic, near=near)
    more = np.maximum(cases.output - 1, 1.0)
    alone_s = steps.prefill_all(requests) + more * steps.decode(running)
    drain_s = 0.5 * more * steps.decode(running / 2)
    queued_s = requests / full.requests_per_s + drain_s
    total_s = np.where(requests <= running, alone_s, queued_s)
    wave_s = 0.5 * steps.prefill_all(running)
    wait_s = np.maximum(requests - running, 0.0) / full.requests_per_s / 2
    return Prediction(
        tpot_s=np.where(requests <= running, steps.decode(running), full.tpot_s) * pace,
        ttft_s=(wave_s + wait_s + serving.coefficients.request_s) * pace,
        throughput_tok_s=requests * cases.output * cases.replicas / total_s / pace,
        sequences=full.decode_sequences,
        capacity=capacity,
        load_frac=np.zeros(cases.count),
    )


def open_loop(cases: Cases, calibration: Mapping[str, float]) -> Prediction:
    """Requests arrive at a rate: smallest D with D = rate (O-1) TPOT(D); none: saturated [1]_."""
    serving = serving_at(cases, calibration)
    capacity = np.maximum(sequences_fit(cases, calibration), 1.0)
    traffic, pace = traffic_of(cases, capacity, capacity, calibration), pace_of(cases, calibration)
    traffic = replace(traffic, waves_frac=np.zeros(cases.count))
    more = traffic.output_tokens - 1
    rate = cases.load * pace
    budget = BUDGET_TOKENS * serving.layout.attention_groups
    most = np.minimum(capacity, budget * more / cases.prompt)
    low, high = np.zeros(cases.count), most
    for _ in range(BISECTIONS):
        decode = 0.5 * (low + high)
        tpot_s, _ = latencies(serving, traffic, decode)
        below = rate * more * tpot_s > decode
        low, high = np.where(below, decode, low), np.where(below, high, decode)
    decode = 0.5 * (low + high)
    tpot_s, ttft_s = latencies(serving, traffic, decode)
    limit = most / (more * latencies(serving, traffic, most)[0])
    served = np.minimum(rate, decode / (more * tpot_s))
    saturated = decode > SATURATED_FRAC * most
    backlog_s = 0.5 * cases.requests * (1 / served - 1 / rate)
    ttft_s = np.where(saturated, ttft_s + np.maximum(backlog_s, 0.0), ttft_s)
    ttft_s = ttft_s + 0.0 * np.where(saturated, cases.requests, 0.0)
    return Prediction(
        tpot_s=tpot_s * pace,
        ttft_s=ttft_s * pace,
        throughput_tok_s=served * cases.output * cases.replicas / pace,
        sequences=decode,
        capacity=capacity,
        load_frac=rate / limit,
    )


def disaggregated(
    prefill: Cases, decode: Cases, workers: tuple[Array, Array], calibration: Mapping[str, float]
) -> Prediction:
    """Clients of prefill and decode workers apart: N = X (TTFT + (O-1) TPOT) [1]_.

    `prefill` and `decode` describe one worker of each kind and the load of all; `workers` their
    counts.
    """
    pace, first = pace_of(decode, calibration), _Steps(serving_at(prefill, calibration), prefill)
    then = _Steps(serving_at(decode, calibration), decode)
    capacity = np.maximum(sequences_fit(decode, calibration), 1.0)
    more = np.maximum(decode.output - 1, 1.0)
    budget = np.maximum(first.budget, prefill.prompt)
    service_s = first.prefill(prefill.prompt)
    least_s = np.minimum(first.prefill(budget) * prefill.prompt / budget, service_s)
    clients = decode.load
    most_decode = capacity / (more * then.decode(capacity)) * workers[1]
    most = np.minimum(SATURATED_FRAC * workers[0] / least_s, most_decode)

    def at(rate: Array) -> tuple[Array, Array]:
        tpot_s = then.decode(np.minimum(clients / workers[1], capacity))
        for _ in range(12):
            tpot_s = then.decode(np.minimum(rate * more * tpot_s / workers[1], capacity))
        busy = np.minimum(rate * least_s / workers[0], 0.95)
        wait_s = 0.5 * service_s * busy / (1.1 - busy)
        request_s = first.serving.coefficients.request_s
        return tpot_s, request_s + service_s + wait_s + tpot_s

    low, high = np.zeros(decode.count), most
    for _ in range(BISECTIONS):
        rate = 0.5 * (low + high)
        tpot_s, ttft_s = at(rate)
        room = rate * (ttft_s + more * tpot_s) < clients
        low, high = np.where(room, rate, low), np.where(room, high, rate)
    rate = 0.5 * (low + high)
    tpot_s, ttft_s = at(rate)
    queued_s = clients / rate - more * tpot_s
    ttft_s = np.where(rate > SATURATED_FRAC * most, np.maximum(queued_s, ttft_s), ttft_s)
    return Prediction(
        tpot_s=tpot_s * pace,
        ttft_s=ttft_s * pace,
        throughput_tok_s=rate * decode.output / pace,
        sequences=rate * more * tpot_s / workers[1],
        capacity=capacity,
        load_frac=np.zeros(decode.count),
    )
