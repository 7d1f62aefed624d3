"""Decode under load: how far batch and cache fluctuate, and the tail of time per output token.

Prefill stalls decode, so the prompts that arrive while a request decodes set its time per output
token (TPOT), and shot noise of prefill swells the number of sequences in flight. The sum of its
stalls is taken as gamma where there are any.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import special

from planner.perf.arrivals import Arrivals
from planner.perf.lengths import Lengths
from planner.perf.prefill_queue import Service, StepTimes, Wait
from planner.perf.replica import Replica
from planner.perf.stalls import Stall, Stalled, avoided_frac, one_exceeds, routed, stalled
from planner.perf.steps import Steps, decode_step_s

Array = NDArray[np.float64]

TINY = 1e-30
ALWAYS = 1.0 - 1e-12
PARTING = 2.0
"""Calibrated on half of the simulated cells (`tests.benchmarks.rates`), tested on the others."""
VARIANCE_MIN = 1e-10
"""Least variance / mean^2 of a gamma tail: below it the tail is a step."""
HERMITE = ((-np.sqrt(3.0), 1.0 / 6.0), (0.0, 2.0 / 3.0), (np.sqrt(3.0), 1.0 / 6.0))
"""Three-point Gauss-Hermite rule for a standard normal: (node, weight)."""


@dataclass(frozen=True)
class Spread:
    """Standard deviations of the decode batch and of the tokens it and prefill hold."""

    sequences: Array
    kv_tokens: Array


def gamma_tail(x: Array, mean: Array, variance: Array) -> Array:
    """P(Y > x) for a gamma of this mean and variance; 1 where x <= 0. Shapes broadcast.

    A mean of 0 leaves no tail beyond 0.

    Examples
    --------
    Mean 1 and variance 1 is exponential: P(Y > 0) = 1, P(Y > 2) = e^-2.

    >>> one = np.array([1.0, 1.0])
    >>> gamma_tail(np.array([0.0, 2.0]), one, one).round(6).tolist()
    [1.0, 0.135335]
    """
    mean = np.maximum(mean, TINY)
    rate = mean / np.maximum(variance, VARIANCE_MIN * mean**2 + TINY)
    shape, scaled = np.broadcast_arrays(mean * rate, x * rate)
    # Beyond these bounds the tail is within 1e-11 of 0 or 1 (Chernoff).
    sd = np.sqrt(shape)
    short = scaled <= np.maximum(shape - 8.0 * sd, 0.0)
    out = np.where(short, 1.0, 0.0)
    tail = ~short & (scaled < shape + 6.0 * sd + 30.0)
    out[tail] = special.gammaincc(shape[tail], scaled[tail])
    return out


def three_points(skew: Array) -> tuple[tuple[Array, Array], ...]:
    r"""Three-point rule for a gamma of mean 0, variance 1 and this skewness: (node, weight).

    .. math:: z_\pm = s / 2 \pm \sqrt{3 + 3 s^2 / 4}, \quad w_\pm = \pm 1 / (z_\pm (z_+ - z_-))

    and 0 with the rest match its moments up to the fourth, 3 + 3 s^2 / 2.

    Examples
    --------
    Without skewness it is that of `HERMITE`.

    >>> low, middle, high = three_points(np.zeros(1))
    >>> [round(float(x[0]), 6) for x in (*low, *middle, *high)]
    [-1.732051, 0.166667, 0.0, 0.666667, 1.732051, 0.166667]
    """
    reach = np.sqrt(3.0 + 0.75 * skew**2)
    low, high = skew / 2.0 - reach, skew / 2.0 + reach
    below, above = -0.5 / (low * reach), 0.5 / (high * reach)
    return (low, below), (np.zeros_like(skew), 1.0 - below - above), (high, above)


def spread(
    lengths: Lengths,
    arrivals: Arrivals,
    *,
    rate_rps: Array,
    steps: Steps,
    sequences: Array,
    kv_tokens: Array,
    times: StepTimes,
    stall: Stall,
    service: Service,
) -> Spread:
    """Fluctuation of the decode batch and of the cache, pooled over the replicas.

    Infinite-server variance of a renewal stream, amplified by the step time's answer to its own
    load, plus decode stalled by prefill shot noise.
    """
    calm = 1.0 - steps.elasticity
    peaked = _peakedness(sequences, arrivals)
    noise = stall.square_s2 + (arrivals.scv - 1.0) * stall.mean_s**2
    window = 2.0 * calm * max(lengths.decode_steps, 1.0) * times.plain_s**2
    stalled = np.clip(rate_rps * noise * steps.step_s / window, 0.0, 1.0)
    batch = sequences * peaked / calm + sequences**2 * stalled
    held = service.mean_s @ (lengths.weights * lengths.input_tokens**2)
    tokens = rate_rps * (steps.step_s * lengths.kv_square_steps + held) * peaked / calm
    tokens = tokens + kv_tokens**2 * stalled
    return Spread(np.sqrt(batch / arrivals.replicas), np.sqrt(tokens / arrivals.replicas))


def _peakedness(sequences: Array, arrivals: Arrivals) -> Array:
    """Variance / mean of the pool's GI/M/infinity population, at least 1 (Poisson)."""
    return 1.0 + arrivals.replicas * met_more(sequences, arrivals)


def met_more(sequences: Array, arrivals: Arrivals) -> Array:
    r"""Sequences that a bursty arrival meets beyond the time average, of one replica.

    Of a GI/M/infinity population of mean b an arrival meets psi / (1 - psi), psi the transform of
    the gaps at the rate of service; a replica has its share of what the pool has more.
    """
    pooled = np.maximum(arrivals.replicas * sequences, 1e-9)
    psi = (1.0 + arrivals.scv / pooled) ** (-1.0 / arrivals.scv)
    return np.asarray(np.maximum(psi / (1.0 - psi) - pooled, 0.0) / arrivals.replicas, float)


def mean_and_variance_s(wait: Wait, service: Service, lengths: Lengths) -> tuple[Array, Array]:
    """Mean and variance over requests of the time to first token [s, s^2]."""
    own = service.mean_s @ lengths.weights
    own_square = service.mean_s**2 @ lengths.weights
    waited_square = wait.prob * (wait.variance_s2 + wait.mean_s**2)
    variance = waited_square - wait.overall_s**2 + own_square - own**2
    return wait.overall_s + own, np.maximum(variance, 0.0)


def tpot_tail(
    replica: Replica,
    lengths: Lengths,
    arrivals: Arrivals,
    *,
    tpot_s: Array,
    rate_rps: Array,
    sequences: Array,
    kv_tokens: Array,
    times: StepTimes,
    stall: Stall,
    spread: Spread,
    filled_s: Array,
    ttft_mean_s: Array,
    ttft_variance_s2: Array,
) -> Array:
    """P(mean time per output token of a request > tpot_s), shape (candidates,); 0 if O is 1.

    A request of O tokens exceeds y where the stalls of its decode exceed (O-1)(y - tau). Its own
    presence counts: its step tau carries those that decode beside it, and itself. No token takes
    longer than a full step.
    """
    if lengths.decode_steps <= 0:
        return np.zeros_like(rate_rps)
    load = rate_rps * stall.mean_s
    avoided = avoided_frac(sequences, utilization=load, replicas=arrivals.replicas)
    tokens = np.maximum(lengths.output_tokens - 1.0, 1.0)[None, :]
    met = met_more(sequences, arrivals)[:, None]
    beside = met * _lasting_frac(lengths)[None, :]
    context = lengths.kv_steps / lengths.decode_steps
    batch = (sequences * (1.0 - avoided) + 1.0)[:, None] + beside
    own = lengths.input_mean + lengths.output_mean / 2.0
    held = (kv_tokens * (1.0 - avoided) + own)[:, None] + beside * context
    scatter = beside * (1.0 + met)
    batch_sd = np.sqrt(spread.sequences[:, None] ** 2 + scatter)
    held_sd = spread.kv_tokens**2 + lengths.input_square - lengths.input_mean**2
    held_sd = np.sqrt(held_sd[:, None] + scatter * context**2)
    columns = _column(replica)
    step_s = decode_step_s(columns, sequences=batch, kv_tokens=held)
    stalls = stalled(
        stall,
        arrivals,
        decode_s=tokens * step_s,
        drag_s=_drag_s(replica, lengths),
        filled_s=filled_s,
        rate_rps=rate_rps,
        route=routed(
            load, avoided[:, None] * _settled_frac(lengths, arrivals, sequences), arrivals
        ),
        ttft_mean_s=ttft_mean_s,
        ttft_variance_s2=ttft_variance_s2,
    )
    chunk_s = replica.prefill_context_s * times.room_tokens * lengths.context_rate
    total = np.zeros_like(rate_rps)
    for node, weight in HERMITE:
        plain = decode_step_s(
            columns,
            sequences=np.maximum(batch + node * batch_sd, 0.0),
            kv_tokens=np.maximum(held + node * held_sd, 0.0),
        )
        allowed = tokens * (tpot_s[:, None] - plain)
        longest = (times.full_s + chunk_s - times.plain_s)[:, None] + plain
        late = _late_frac(stall, stalls, allowed, plain / step_s)
        total += weight * (np.where(tpot_s[:, None] >= longest, 0.0, late) @ lengths.weights)
    return total


def _late_frac(stall: Stall, stalls: Stalled, allowed_s: Array, longer: Array) -> Array:
    """P(sum of the stalls of a decode > allowed_s), (candidates, nodes).

    Of a decode so many times as long as that of the mean step, which meets as many times more.
    """
    one = one_exceeds(stall, allowed_s / stalls.one_scale)
    more = gamma_tail(allowed_s, stalls.mean_s * longer, stalls.variance_s2 * longer)
    any_frac = -np.expm1(longer * np.log1p(-np.minimum(stalls.any_frac, ALWAYS)))
    beyond = any_frac * (more + stalls.one_frac * (one - more))
    return np.where(allowed_s > 0, beyond, 1.0)


def _settled_frac(lengths: Lengths, arrivals: Arrivals, sequences: Array) -> Array:
    """How much of its balancer's avoidance a request enjoys, (candidates, nodes).

    Those that come in one cluster are spread evenly, so that the tagged one's replica holds no
    more than the others: of its 2 x mates among n + 2 x companions nobody keeps away. The gap
    opens as they leave, at `PARTING` times the rate at which one does.
    """
    mates = 2.0 * met_more(sequences, arrivals)
    share = (mates / np.maximum(mates + sequences, TINY))[:, None]
    own = PARTING * np.maximum(lengths.output_tokens - 1.0, 1.0) / max(lengths.decode_steps, 1.0)
    return np.asarray(1.0 - share * -np.expm1(-own) / own, float)


def _column(replica: Replica) -> Replica:
    """The same candidates with an axis for nodes."""
    return Replica(
        **{field.name: getattr(replica, field.name)[:, None] for field in fields(replica)}
    )


def _lasting_frac(lengths: Lengths) -> Array:
    """Share of its own decode for which one that it meets is there too, (nodes,)."""
    own = np.maximum(lengths.output_tokens - 1.0, 1.0) / max(lengths.decode_steps, 1.0)
    return np.asarray(-np.expm1(-own) / own, float)


def _drag_s(replica: Replica, lengths: Lengths) -> Array:
    """Time by which a prompt that arrives during a decode lengthens its later steps [s].

    It decodes beside the request for the shorter of what is left of either, answers taken as
    exponential: n steps are overlapped by D - D^2 (1 - e^(-n/D)) / n in the mean.
    """
    own, mean = np.maximum(lengths.output_tokens - 1.0, 1.0), max(lengths.decode_steps, 1.0)
    overlap = mean + mean**2 / own * np.expm1(-own / mean)
    each_s = replica.kv_token_s * lengths.kv_steps / mean + replica.sequence_s
    return np.outer(each_s, overlap)
