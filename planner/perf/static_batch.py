r"""Static batching: a batch is collected, computed together and answered until its longest ends.

A batch of B is padded to its longest prompt and holds all its places until its longest answer
ends, so a replica carries B / S requests a second with

.. math:: S = t(B I_{max}) + \sum_{j=1}^{O_{max}-1} t_{decode}(B, I_{max} + j)

where the means of the longest of B follow from the class's quantiles: F(x)^B. A request waits for
its batch to fill, for a replica (Sakasegawa's formula for batches that arrive at k replicas) and
for the prefill of the batch. The batch size is taken to follow the load: the rate is the largest
that any size keeps its promises at.

References
----------
Sakasegawa, An approximation formula L_q = a rho^b / (1 - rho), Annals of the Institute of
Statistical Mathematics 29, 1977.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.perf.decode_tail import gamma_tail
from planner.perf.lengths import Lengths
from planner.perf.queueing import Binding, Capacity
from planner.perf.replica import Replica, step_s

Array = NDArray[np.float64]

SIZES = tuple(2**i for i in range(9))
"""Batch sizes that are tried: 1 to 256."""
TTFT_MARGIN = 1.05
"""Predicted time to first token x this meets the target: waits of batches have no table of errors
against simulation."""
SHARES = np.linspace(0.02, 1.0, 50)
"""Shares of the planned utilization at which promises are tried; the rate is rounded down."""


@dataclass(frozen=True)
class Batched:
    """One batch size; arrays (candidates,)."""

    size: int
    prefill_s: Array
    service_s: Array
    service_scv: float
    """Squared coefficient of variation, of the longest answer."""
    tpot_s: Array
    fits: NDArray[np.bool_]
    """Whether the cache and the slots hold a batch of its mean longest."""

    @property
    def stability_rps(self) -> Array:
        """Requests that full batches carry [1/s]; 0 where none fits."""
        return np.where(self.fits, self.size / self.service_s, 0.0)


def longest(weights: Array, tokens: Array, size: int) -> tuple[float, float]:
    """Mean of the longest of `size` requests, and its squared coefficient of variation.

    Examples
    --------
    Of two draws from {10, 20} three in four have a 20: mean 17.5, variance 18.75.

    >>> mean, scv = longest(np.array([0.5, 0.5]), np.array([10.0, 20.0]), 2)
    >>> mean, round(scv * mean**2, 9)
    (17.5, 18.75)
    """
    below = np.concatenate([[0.0], np.cumsum(weights) / weights.sum()])
    chance = np.diff(below**size)
    mean = float(chance @ tokens)
    return mean, float(chance @ tokens**2) / mean**2 - 1.0


def batched(replica: Replica, lengths: Lengths, size: int) -> Batched:
    """Times of a batch of a size."""
    prompt, _ = longest(lengths.weights, lengths.input_tokens, size)
    answer, scv = longest(lengths.weights, lengths.output_tokens, size)
    computed = prompt * (1.0 - lengths.prefix_hit_frac)
    pairs = prompt**2 * (1.0 - lengths.prefix_hit_frac**2) / 2.0
    prefill = step_s(
        replica, prefill_tokens=size * computed, decode_sequences=0.0, kv_tokens=0.0,
        prefill_context=size * pairs,
    )  # fmt: skip
    steps = max(answer - 1.0, 0.0)
    decode = step_s(
        replica, prefill_tokens=0.0, decode_sequences=float(size),
        kv_tokens=size * (prompt + answer / 2.0),
    )  # fmt: skip
    held = size * (prompt + answer)
    fits = (held <= replica.kv_tokens) & (size <= replica.sequences_max)
    return Batched(size, prefill, prefill + steps * decode, max(scv, 0.0), decode, fits)


def throughput_max(replica: Replica, lengths: Lengths) -> Array:
    """Most requests that the best batch size carries [1/s], (candidates,)."""
    rates = [batched(replica, lengths, size).stability_rps for size in SIZES]
    return np.asarray(np.max(rates, axis=0), float)


def ttft_exceeds(
    batch: Batched, rate_rps: Array, ttft_s: Array, *, arrival_scv: float, replicas: float
) -> Array:
    """P(TTFT > ttft_s) at a rate of one replica, (candidates,): gamma tail of fill and wait."""
    size, pool_rps = batch.size, rate_rps * replicas
    used = np.minimum(rate_rps * batch.service_s / size, 1.0 - 1e-9)
    queued = used ** (np.sqrt(2.0 * (replicas + 1.0)) - 1.0)
    varied = (arrival_scv / size + batch.service_scv) / 2.0
    wait = varied * queued / (replicas * (1.0 - used)) * batch.service_s
    square = 2.0 * wait**2 / np.maximum(queued, 1e-12)
    # A request's place in its batch is uniform; later ones must still come.
    fill = (size - 1) / 2.0 / pool_rps
    spread = ((size - 1) / 2.0 * arrival_scv + (size**2 - 1) / 12.0) / pool_rps**2
    left = np.asarray(ttft_s - batch.prefill_s, float)
    return np.asarray(gamma_tail(left, fill + wait, spread + square - wait**2), float)


def lambda_star(
    replica: Replica,
    lengths: Lengths,
    *,
    ttft_s: Array,
    ttft_percentile: float,
    tpot_s: float,
    arrival_cv: float,
    replicas: float,
    utilization_max: float,
) -> Capacity:
    """Largest rate at which some batch size keeps both promises [1/s of one replica].

    Time per token is that of a full batch's step, the same for all its requests.
    """
    stable, allowed = throughput_max(replica, lengths), ttft_s / TTFT_MARGIN
    rate = np.zeros_like(stable)
    for size in SIZES:
        batch = batched(replica, lengths, size)
        for share in SHARES * utilization_max:
            tried = np.maximum(share * batch.stability_rps, 1e-9)
            late = ttft_exceeds(batch, tried, allowed, arrival_scv=arrival_cv**2, replicas=replicas)
            kept = batch.fits & (late <= 1.0 - ttft_percentile) & (batch.tpot_s <= tpot_s)
            rate = np.where(kept, np.maximum(rate, tried), rate)
    alone = batched(replica, lengths, 1)
    quick = alone.tpot_s <= tpot_s
    code = np.where(quick, np.where(rate > 0, Binding.TTFT, Binding.UNREACHABLE), Binding.TPOT)
    capped = rate >= utilization_max * stable * (1.0 - 1e-9)
    code = np.where(capped & (rate > 0), Binding.UTILIZATION_CAP, code)
    return Capacity(rate, stable, np.where(alone.fits, code, Binding.KV_CACHE).astype(np.int64))
