"""Pressure on the KV cache: when a request finds it full."""

import numpy as np
import pytest

from planner.perf.lengths import from_samples
from planner.perf.pressure import kv_wait_frac
from planner.perf.queueing import stability_limit
from planner.perf.replica import Replica

LENGTHS = from_samples(np.full(64, 1000.0), np.full(64, 200.0))


def replica(kv_tokens):
    numbers = (0.002, 0.001, 0.01, 1e-5, 1e-5, 1e-8, 0.0, 8192.0, 256.0, kv_tokens)
    return Replica(*(np.array([number]) for number in numbers))


def waiting(kv_tokens, share):
    one = replica(kv_tokens)
    stable = stability_limit(one, LENGTHS)
    return float(kv_wait_frac(
        one, LENGTHS, share * stable, arrival_cv=1.0, replicas=1.0, stability_rps=stable
    )[0])  # fmt: skip


def test_a_cache_of_ten_requests_is_met_full_ever_more_often_as_the_rate_grows():
    # 12,000 tokens hold 10 requests of 1,200; at 99 % of stability they are nearly always held.
    shares = [waiting(12_000.0, share) for share in (0.2, 0.5, 0.8, 0.95)]
    assert shares == sorted(shares)
    assert shares[0] < 0.01
    assert shares[-1] > 0.5


def test_a_larger_cache_at_the_same_rate_is_met_full_less_often():
    stable = stability_limit(replica(12_000.0), LENGTHS)
    found = [
        float(kv_wait_frac(replica(kv), LENGTHS, 0.8 * stable, arrival_cv=1.0, replicas=1.0,
                           stability_rps=stability_limit(replica(kv), LENGTHS))[0])
        for kv in (12_000.0, 24_000.0)
    ]  # fmt: skip
    # Twice the room at the same mean use of 0.8 x 10 requests: more than 4 sigma away.
    assert found[0] > 0.1
    assert found[1] < 0.01


def test_beyond_stability_every_request_waits():
    assert waiting(12_000.0, 1.0) == 1.0
    assert waiting(12_000.0, 1.5) == 1.0


@pytest.mark.parametrize("rate", [0.0, np.nan])
def test_without_a_rate_there_is_no_pressure_to_state(rate):
    one = replica(12_000.0)
    found = kv_wait_frac(one, LENGTHS, np.array([rate]), arrival_cv=1.0, replicas=1.0,
                         stability_rps=np.array([1.0]))  # fmt: skip
    assert np.isnan(found[0])
