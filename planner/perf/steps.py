"""Mean engine iteration of a loaded replica: step time, batch, cache and mix of step types.

A rate lambda fixes, by conservation, how many sequences decode (lambda (O-1) H), how many cached
tokens they hold and how many prompts arrive in a step of mean duration H; the step-time equation
gives H back. The smallest fixed point is the operating point; none means no steady state.
Steps are of three types: decode only, carrying a full chunk, carrying the rest of a prompt.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from planner.perf.arrivals import Arrivals, met_by_arrivals, step_batch
from planner.perf.lengths import Lengths
from planner.perf.replica import Replica

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

NEWTON_STEPS = 40
DIFFERENCE = 1e-4
"""Relative step of the numerical derivative."""
CONVERGED = 1e-7
SLOPE_MAX = 0.9995
"""A step time that answers to its own load this steeply has no root nearby."""
CLIMB = 1.6
LONGEST_FACTOR = 2.0
"""Over the longest step, since means above it can still cross back."""
IDLE_RPS = 1e-9
TINY = 1e-12


@dataclass(frozen=True)
class Steps:
    """Mean iteration at one rate; arrays over candidates."""

    steady: Flags
    """Whether a fixed point exists; where not, the rest is that of an idle replica."""
    rate_rps: Array
    """The rate asked for, next to nothing where no fixed point exists."""
    step_s: Array
    """H"""
    elasticity: Array
    """d ln H / d ln load: how far a fluctuation of the batch feeds on itself."""
    busy_frac: Array
    """Share of time in which the replica has any request."""
    arrivals: Array
    """Prompts that arrive in one step of a busy replica."""
    prefill_frac: Array
    """Share of steps that carry any prefill."""
    full_frac: Array
    """Share of steps that carry a whole budget."""
    partial_tokens: Array
    """Prefill of a step that carries some, not a whole budget."""
    decode_sequences: Array
    """Time average."""
    kv_tokens: Array
    """Time average of cached tokens of decoding sequences."""


@dataclass(frozen=True)
class _Mix:
    """What one mean step of a busy replica carries."""

    busy_frac: Array
    decode: Array
    kv: Array
    arrivals: Array
    full_frac: Array
    prefill_frac: Array
    partial_tokens: Array


def take(replica: Replica, index: NDArray[np.int64]) -> Replica:
    """The candidates at `index`, in that order."""
    return Replica(**{field.name: getattr(replica, field.name)[index] for field in fields(replica)})


def work_s(replica: Replica, tokens: Array) -> Array:
    """Weights or arithmetic of `tokens` batched tokens, whichever lasts longer [s]."""
    return np.asarray(np.maximum(replica.weights_s, replica.token_s * tokens), float)


def decode_step_s(replica: Replica, *, sequences: Array, kv_tokens: Array) -> Array:
    """Step that carries decode only [s]."""
    rest = replica.sequence_s * sequences + replica.kv_token_s * kv_tokens
    work = work_s(replica, replica.decode_tokens * sequences)
    return np.asarray(replica.overhead_s + work + rest, float)


def full_step_s(replica: Replica, *, sequences: Array, kv_tokens: Array) -> Array:
    """Step that uses its whole token budget, without the attention of its prefill [s]."""
    rest = replica.sequence_s * sequences + replica.kv_token_s * kv_tokens
    prefill = replica.prefill_step_s + work_s(replica, replica.budget_tokens)
    return np.asarray(replica.overhead_s + prefill + rest, float)


def rate_ceiling(replica: Replica, lengths: Lengths) -> Array:
    """Rate that no schedule exceeds [1/s]: step of the most requests a step can finish.

    A step that serves a prompts also decodes a (O-1) sequences; the token budget, the sequence
    limit and the cache each bound a, and a / (least time of such a step) grows with a.
    """
    tokens = lengths.computed + replica.decode_tokens * lengths.decode_steps
    bounds = [replica.budget_tokens / tokens]
    if lengths.decode_steps > 0:
        bounds.append(replica.sequences_max / lengths.decode_steps)
        bounds.append(replica.kv_tokens / lengths.kv_steps)
    most = np.minimum.reduce(bounds)
    linear = (
        replica.sequence_s * lengths.decode_steps
        + replica.kv_token_s * lengths.kv_steps
        + replica.prefill_context_s * lengths.context_mean
    )
    least_s = replica.overhead_s + work_s(replica, most * tokens) + most * linear
    return np.asarray(most / least_s, float)


def mean_step(replica: Replica, lengths: Lengths, arrivals: Arrivals, rate_rps: Array) -> Steps:
    """Mean iteration at `rate_rps` (candidates,): smallest root of H = T(H).

    Newton from below: where T is convex, as it is in the decode load, the iterates rise to the
    smallest root and never pass it. Where T is steeper than H they climb by a fixed factor, and
    give up beyond the longest step that budget, slots and cache allow.
    """
    if lengths.decode_steps <= 0:
        return _prefill_only(replica, lengths, arrivals, rate_rps)
    shortest = np.asarray(replica.overhead_s + replica.weights_s, float)
    step = shortest
    longest = LONGEST_FACTOR * _longest_s(replica, lengths)
    steady = np.ones(step.shape, bool)
    for _ in range(NEWTON_STEPS):
        time = _step_time(replica, lengths, _mix(replica, lengths, arrivals, rate_rps, step))
        slope = _slope(replica, lengths, arrivals, rate_rps, step=step, time=time)
        gap = time - step
        settled = np.abs(gap) < CONVERGED * step
        steady &= step <= longest
        if np.all(settled | ~steady):
            break
        climb = step * np.where(gap > 0, CLIMB, 1.0 / np.sqrt(CLIMB))
        newton = np.maximum(step + gap / np.maximum(1.0 - slope, 1.0 - SLOPE_MAX), shortest)
        step = np.where(settled | ~steady, step, np.where(slope < SLOPE_MAX, newton, climb))
    steady &= np.abs(gap) < 1e-3 * step
    rate = np.where(steady, rate_rps, IDLE_RPS)
    step = np.where(steady, step, shortest)
    mix = _mix(replica, lengths, arrivals, rate, step)
    return Steps(
        steady=steady,
        rate_rps=rate,
        step_s=step,
        elasticity=np.where(steady, np.clip(slope, 0.0, 0.98), 0.0),
        busy_frac=mix.busy_frac,
        arrivals=mix.arrivals,
        prefill_frac=mix.prefill_frac,
        full_frac=mix.full_frac,
        partial_tokens=mix.partial_tokens,
        decode_sequences=mix.decode * mix.busy_frac,
        kv_tokens=mix.kv * mix.busy_frac,
    )


@dataclass(frozen=True)
class Batches:
    """Steps of a replica that only computes prompts; arrays (candidates,)."""

    prompts: Array
    """That gathered while those before them were computed, one at least."""
    each_s: Array
    """Time for one of the prompts of a full step."""
    fixed_s: Array
    """Time beyond that for a batch, whatever its prompts."""
    weights_s: Array
    hidden_s: Array
    """Time of the weights' streaming that a prompt's tokens hide, (candidates, nodes)."""
    shares: Array
    """Probability of each node, (nodes,)."""

    def time_s(self, prompts: Array) -> Array:
        """Time for a batch of so many, and for weights that its tokens do not hide."""
        bare_s = np.maximum(self.weights_s[:, None] - prompts[:, None] * self.hidden_s, 0.0)
        return np.asarray(self.each_s * prompts + self.fixed_s + bare_s @ self.shares, float)


def batches(replica: Replica, lengths: Lengths, arrivals: Arrivals, rate_rps: Array) -> Batches:
    r"""Batch service of prompts where nothing decodes.

    .. math:: n = u / (1 - e^{-u}), \quad u = \lambda T(n) P / \rho

    n prompts, one at least (Poisson), gathered in the time T of those before them; with k replicas
    they join one that is busy as often as all are, P (Erlang's C). Damped Newton from n = 1.
    """
    budget = replica.budget_tokens
    extra_s = replica.overhead_s + replica.prefill_step_s
    filled = lengths.computed / budget
    each_s = filled * (extra_s + work_s(replica, budget))
    each_s = each_s + replica.prefill_context_s * lengths.context_mean
    found = Batches(
        prompts=np.ones_like(rate_rps),
        each_s=each_s,
        fixed_s=extra_s * (1.0 + lengths.extra_chunks(budget) - filled),
        weights_s=replica.weights_s,
        hidden_s=np.outer(work_s(replica, budget) / budget, lengths.computed_tokens),
        shares=lengths.weights,
    )
    stream = Arrivals(1.0, arrivals.replicas)
    for _ in range(NEWTON_STEPS):
        time = found.time_s(found.prompts)
        met = met_by_arrivals(np.minimum(rate_rps * time / found.prompts, 1.0), stream)
        joining = met.all_busy / met.busy_frac
        gathered = np.maximum(rate_rps * joining * time, TINY)
        some = -np.expm1(-gathered)
        slope = (some - gathered * (1.0 - some)) / some**2
        gap = gathered / some - found.prompts
        step = gap / np.maximum(1.0 - slope * rate_rps * joining * each_s, 0.05)
        prompts = np.maximum(found.prompts + (step if stream.replicas == 1.0 else step / 2.0), 1.0)
        found = replace(found, prompts=prompts)
        if np.all(np.abs(gap) < CONVERGED * prompts):
            break
    return found


def _prefill_only(replica: Replica, lengths: Lengths, arrivals: Arrivals, rate_rps: Array) -> Steps:
    """Mean step where nothing decodes: there are no steps without prefill."""
    idle = batches(replica, lengths, arrivals, np.full_like(rate_rps, IDLE_RPS))
    steady = rate_rps * idle.each_s < 1.0
    rate = np.where(steady, rate_rps, IDLE_RPS)
    batch = batches(replica, lengths, arrivals, rate)
    time = batch.time_s(batch.prompts)
    filled = lengths.computed / replica.budget_tokens
    steps = 1.0 + lengths.extra_chunks(replica.budget_tokens) + (batch.prompts - 1.0) * filled
    none = np.zeros_like(rate)
    return Steps(
        steady=steady,
        rate_rps=rate,
        step_s=time / steps,
        elasticity=none,
        busy_frac=np.minimum(rate * time / batch.prompts, 1.0),
        arrivals=batch.prompts / steps,
        prefill_frac=np.ones_like(rate),
        full_frac=none,
        partial_tokens=none,
        decode_sequences=none,
        kv_tokens=none,
    )


def _longest_s(replica: Replica, lengths: Lengths) -> Array:
    """Step with budget, slots and cache all full [s]."""
    full = full_step_s(replica, sequences=replica.sequences_max, kv_tokens=replica.kv_tokens)
    attention = replica.prefill_context_s * replica.budget_tokens * lengths.context_rate
    return np.asarray(full + attention, float)


def _slope(
    replica: Replica, lengths: Lengths, arrivals: Arrivals, rate: Array, *, step: Array, time: Array
) -> Array:
    """dT/dH by forward difference; infinite where T overflows."""
    more = DIFFERENCE * step
    ahead = _step_time(replica, lengths, _mix(replica, lengths, arrivals, rate, step + more))
    slope = (ahead - time) / more
    return np.where(np.isfinite(slope), slope, np.inf)


def _mix(replica: Replica, lengths: Lengths, arrivals: Arrivals, rate: Array, step: Array) -> _Mix:
    """Composition of a busy replica's mean step of duration `step`."""
    decode = rate * lengths.decode_steps * step
    kv = rate * lengths.kv_steps * step
    alone_s = (
        replica.overhead_s
        + replica.prefill_step_s
        + work_s(replica, np.asarray(lengths.computed))
        + replica.prefill_context_s * lengths.context_mean
    )
    busy = np.maximum(-np.expm1(-(decode + rate * alone_s)), TINY)
    decode, kv, prompts = decode / busy, kv / busy, rate * step / busy
    room = np.maximum(replica.budget_tokens - replica.decode_tokens * decode, 1.0)
    batch = step_batch(rate * step, arrivals)
    filled = np.minimum(prompts * lengths.computed / room, 1.0)
    chunks = lengths.extra_chunks(room) + (batch - 1.0) * lengths.computed / room
    full = np.minimum(np.minimum(prompts / batch * chunks, 1.0), filled)
    rest = np.maximum(prompts * lengths.computed - full * room, 0.0)
    carrying = _prefill_frac(
        replica,
        rate / batch,
        prompts / batch,
        decode=decode,
        kv=kv,
        room=room,
        full=full,
        rest=rest,
    )
    carrying = np.minimum(np.maximum(carrying, filled), 1.0)
    partial = np.minimum(rest / np.maximum(carrying - full, TINY), room)
    return _Mix(busy, decode, kv, prompts, full, carrying, partial)


def _prefill_frac(
    replica: Replica,
    clusters_rps: Array,
    clusters: Array,
    *,
    decode: Array,
    kv: Array,
    room: Array,
    full: Array,
    rest: Array,
) -> Array:
    """Share of steps that carry prefill: two-state chain of decode-only and prefill steps.

    A decode-only step is followed by a prefill step if a cluster arrives during it; a prefill
    step lasts longer by an exponential extra and so is more often followed by another.
    """
    plain_s = decode_step_s(replica, sequences=decode, kv_tokens=kv)
    quiet = np.exp(-clusters_rps * plain_s)
    decoded = replica.token_s * replica.decode_tokens * decode
    slack_s = np.maximum(replica.weights_s - decoded, 0.0)
    carrying = 1.0 - (1.0 - full) * np.exp(-clusters)
    for _ in range(3):
        tokens = np.minimum(rest / np.maximum(carrying - full, TINY), room)
        extra_s = np.maximum(replica.token_s * tokens - slack_s, 0.0) + replica.prefill_step_s
        back = quiet / (1.0 + clusters_rps * extra_s)
        carrying = full + (1.0 - full) * (1.0 - quiet) / np.maximum(back + 1.0 - quiet, TINY)
    return np.asarray(carrying, float)


def _step_time(replica: Replica, lengths: Lengths, mix: _Mix) -> Array:
    """Mean over step types of the step-time equation [s]."""
    decoded = replica.decode_tokens * mix.decode
    plain = (1.0 - mix.prefill_frac) * work_s(replica, decoded)
    full = mix.full_frac * work_s(replica, replica.budget_tokens)
    partial_frac = mix.prefill_frac - mix.full_frac
    partial = partial_frac * work_s(replica, decoded + mix.partial_tokens)
    every = replica.overhead_s + replica.sequence_s * mix.decode + replica.kv_token_s * mix.kv
    prefill = (
        mix.prefill_frac * replica.prefill_step_s
        + mix.arrivals * replica.prefill_context_s * lengths.context_mean
    )
    return np.asarray(every + plain + full + partial + prefill, float)
