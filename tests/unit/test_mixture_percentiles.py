"""Latencies of each class of a mixed stream at given rates."""

import numpy as np
import pytest

from planner.perf import mixture, queueing
from tests.benchmarks.mixes import CHAT, REPORT, SMALL, member, replica_of

REPLICA = replica_of(SMALL)
KEPT = {"ttft_percentile": 0.95, "tpot_percentile": 0.95, "arrival_cv": 1.0}


def test_percentiles_of_a_mix_meet_the_targets_at_its_rate():
    kinds, shares = [CHAT, REPORT], [0.8, 0.2]
    members = [member(kind) for kind in kinds]
    rate = float(mixture.mix_star(REPLICA, members, shares, replicas=4).rate_rps[0])
    at = mixture.percentiles(REPLICA, members, shares, rate, replicas=4)
    above = mixture.percentiles(REPLICA, members, shares, 1.1 * rate, replicas=4)
    kept = [(float(t[0]) <= m.ttft_s * 1.001, float(p[0]) <= m.tpot_s * 1.001)
            for (t, p), m in zip(at, members, strict=True)]  # fmt: skip
    assert kept == [(True, True), (True, True)]
    pairs = zip(above, members, strict=True)
    assert any(t[0] > m.ttft_s or p[0] > m.tpot_s for (t, p), m in pairs)
    # A class alone is the class alone.
    mine = mixture.percentiles(REPLICA, [members[0]], [1.0], 1.0, replicas=4)[0]
    own = queueing.percentiles(REPLICA, members[0].lengths, 1.0, replicas=4, **KEPT)
    assert np.stack(mine) == pytest.approx(np.stack(own), rel=1e-6)


def test_percentiles_beyond_the_limit_are_infinite():
    found = mixture.percentiles(REPLICA, [member(CHAT), member(REPORT)], [0.5, 0.5], 1e6)
    assert all(np.isinf(values).all() for pair in found for values in pair)
