"""Lines of ten mixes against simulation of the mixed streams.

    python -m tests.benchmarks.mixes

For each mix, pool size and share of the first class: what the line below the formulas' border
gives the pool, over the largest total rate at which simulation finds every class's promise kept.
Above 1 a promise breaks: such a mix must not be offered.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from planner.perf import mix_region, mixture, queueing
from planner.perf.lengths import Lengths, from_samples
from planner.perf.replica import Replica
from planner.simulate.arrivals import Requests, requests_of
from planner.simulate.mixture import Member, largest_mix_rate
from planner.simulate.pool import Pool
from planner.simulate.rates import Promise
from planner.simulate.state import numbers_of

Engine = tuple[float, ...]
# Overhead, prefill step, weights, token, sequence, cached token, prefill context [s], then step
# budget, sequences and cache [tokens]: 8 billion parameters at 16 bit on one GPU, and 70 billion
# at 8 bit over four.
SMALL: Engine = (1e-3, 0.5e-3, 6.37e-3, 2.94e-5, 4e-6, 5.22e-8, 1.38e-9, 2048, 256, 400_000)
LARGE: Engine = (2.3e-3, 1e-3, 7.0e-3, 4.7e-5, 6e-6, 3.26e-8, 1.05e-9, 8192, 256, 1_200_000)
SAMPLES, SEED = 20_000, 20_261_121
EXPECTED = (0.7, 0.3)
POOLS, SHARES = (2, 8), (0.2, 0.7, 0.95)


@dataclass(frozen=True)
class Kind:
    """One class: mean tokens and their CV, promises at the 95th percentile [s], burstiness."""

    prompt: float
    prompt_cv: float
    answer: float
    answer_cv: float
    ttft_s: float
    tpot_s: float
    arrival_cv: float = 1.0
    hit_frac: float = 0.0

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Prompt and answer of each sample, lognormal."""
        draw = np.random.default_rng(SEED)
        return (
            _lognormal(draw, self.prompt, self.prompt_cv),
            _lognormal(draw, self.answer, self.answer_cv),
        )

    def lengths(self) -> Lengths:
        """As the formulas see it."""
        return from_samples(*self.samples(), prefix_hit_frac=self.hit_frac)

    def requests(self) -> Requests:
        """As the simulator sees it."""
        return requests_of(*self.samples(), prefix_hit_frac=self.hit_frac)


def _lognormal(draw: np.random.Generator, mean: float, cv: float) -> np.ndarray:
    sigma = np.sqrt(np.log(1.0 + cv**2))
    return np.maximum(draw.lognormal(np.log(mean) - sigma**2 / 2, sigma, SAMPLES), 1.0)


CHAT = Kind(500, 1.0, 200, 1.0, 0.5, 0.03)
AGENT = Kind(3000, 0.7, 400, 0.8, 1.5, 0.04)
SEARCH = Kind(4000, 0.5, 150, 0.7, 2.0, 0.05)
REPORT = Kind(8000, 0.5, 800, 0.5, 5.0, 0.06)
CODE = Kind(2000, 1.0, 40, 1.0, 0.4, 0.03)
BURSTY = Kind(800, 1.0, 200, 1.0, 1.0, 0.04, arrival_cv=2.0)
CACHED = Kind(3000, 0.7, 300, 0.8, 0.8, 0.03, hit_frac=0.7)
RELAXED = Kind(500, 1.0, 200, 1.0, 2.0, 0.06)
MIXES: dict[str, tuple[Engine, Kind, Kind]] = {
    "8b chat + search": (SMALL, CHAT, SEARCH),
    "8b chat + report": (SMALL, CHAT, REPORT),
    "8b chat + agent": (SMALL, CHAT, AGENT),
    "8b chat strict + relaxed": (SMALL, CHAT, RELAXED),
    "8b code + search": (SMALL, CODE, SEARCH),
    "8b chat + bursty": (SMALL, CHAT, BURSTY),
    "8b cached + chat": (SMALL, CACHED, CHAT),
    "70b agent + report": (LARGE, AGENT, REPORT),
    "70b chat + search": (LARGE, CHAT, SEARCH),
    "70b bursty + cached": (LARGE, BURSTY, CACHED),
}


def replica_of(engine: Engine) -> Replica:
    """One candidate with these numbers."""
    return Replica(*(np.array([float(x)]) for x in engine))


def member(kind: Kind) -> mixture.Member:
    """A class of a mix for the formulas."""
    return mixture.Member(kind.lengths(), kind.ttft_s, 0.95, kind.tpot_s, 0.95, kind.arrival_cv)


def row_of(engine: Engine, kinds: tuple[Kind, Kind], replicas: int) -> np.ndarray:
    """Rates of the linear row of a pool [1/s of one replica]."""
    shares = mix_region.rays(2)
    border = mix_region.border(
        replica_of(engine), [member(kind) for kind in kinds], shares, replicas=replicas
    )
    return mix_region.linear_row(shares, border[0], EXPECTED) * (1.0 - mix_region.ROW_MARGIN)


def simulated(
    engine: Engine, kinds: tuple[Kind, Kind], share: float, replicas: int, guess_rps: float
) -> float:
    """Largest total rate of one replica in simulation [1/s], capped where plans are capped."""
    shares = (share, 1.0 - share)
    replica = replica_of(engine)
    stream = mixture.mixed([kind.lengths() for kind in kinds], shares)
    stable = float(queueing.stability_limit(replica, stream)[0])
    cv = float(np.sqrt(np.dot(shares, [kind.arrival_cv**2 for kind in kinds])))
    members = [
        Member(kind.requests(), w, Promise(kind.ttft_s, 0.95, kind.tpot_s, 0.95))
        for kind, w in zip(kinds, shares, strict=True)
    ]
    return largest_mix_rate(
        Pool(numbers_of(replica, 0), replicas), members, guess_rps=guess_rps, limit_rps=stable,
        arrival_cv=cv, batches=2,
    )  # fmt: skip


def main() -> None:
    """A line for each mix and pool."""
    for name, (engine, *kinds) in MIXES.items():
        pair = (kinds[0], kinds[1])
        for replicas in POOLS:
            row = row_of(engine, pair, replicas)
            if not row.all():
                sys.stdout.write(f"{name:28s} {replicas:2d}  no common rate\n")
                continue
            ratios = []
            for share in SHARES:
                planned = 1.0 / float(np.dot((share, 1.0 - share), 1.0 / row))
                ratios.append(planned / simulated(engine, pair, share, replicas, planned))
            cells = "  ".join(f"{x:5.2f}" for x in ratios)
            verdict = "breaks" if max(ratios) > 1 else ""
            sys.stdout.write(f"{name:28s} {replicas:2d}  {cells}  {verdict}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
