"""What routing by prefix keeps of the rates that plans count on.

    python -m tests.benchmarks.prefix_routing

Plans take prefix hits on whichever replica has least to do. A hit is only found where the prefix
lies: the router must send the request there, or give the hit up where that replica is far behind.
Largest rate at which both p95 promises hold in simulated pools, with the best of several bounds on
how far behind it may be, over the rate that plans count on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

from planner.simulate.pool import Pool
from planner.simulate.rates import Promise, refined_rate
from planner.simulate.routing import Routing
from planner.simulate.state import numbers_of
from tests.benchmarks.rates import PERCENTILE, world

HITS = 0.6
REPLICAS = 4, 8, 16
PATIENCE_TOKENS = 500, 2_000, 8_000, 32_000
CASES = {
    ("8b", 500, 200): (0.3, 0.02),
    ("8b", 4096, 512): (1.0, 0.03),
    ("70b", 500, 200): (0.5, 0.04),
    ("70b", 4096, 512): (2.0, 0.05),
}
"""Promises: time to first token, time per token [s]."""


def rate_rps(pool: Pool, case: tuple[str, int, int], guess_rps: float) -> float:
    """Of one replica, simulated."""
    _, _, asked, stable = world(*case, 1.0, 1.0, HITS)
    ttft_s, tpot_s = CASES[case]
    promise = Promise(ttft_s, PERCENTILE, tpot_s, PERCENTILE)
    found = refined_rate(pool, asked, promise, guess_rps=guess_rps, limit_rps=stable)
    return found.value


def lines() -> Iterator[str]:
    """One for each case and size of pool."""
    for case in CASES:
        one, _, _, stable = world(*case, 1.0, 1.0, HITS)
        for size in REPLICAS:
            pool = Pool(numbers_of(one, 0), replicas=size)
            counted_on = rate_rps(pool, case, 0.7 * stable)
            found = {
                tokens: rate_rps(
                    replace(pool, routing=Routing.PREFIX_AFFINE, patience_tokens=tokens),
                    case, 0.9 * counted_on,
                )
                for tokens in PATIENCE_TOKENS
            }  # fmt: skip
            best = max(found, key=lambda tokens: found[tokens])
            yield (
                f"{case[0]} {case[1]}/{case[2]}, {size} replicas: {counted_on:.3g}/s counted on, "
                f"{found[best]:.3g}/s by prefix ({found[best] / counted_on - 1:+.1%}), at most "
                f"{best:,} tokens behind"
            )


if __name__ == "__main__":
    for line in lines():
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
