"""A shared pool in the answer: replicas divided by what each class needs, costs likewise."""

from types import SimpleNamespace

import numpy as np
import pytest

from planner.answer import fleet
from planner.answer.class_cost import _machine_shares
from planner.answer.decided import Decided
from planner.optimize.solve import optimize
from planner.result import whole_pools
from tests.builders import make_problem

# Candidates 0 and 1 serve a class each, 2 and 3 both of them as one pool.
MIX = {"c": 4, "d": 2, "class_of": [0, 1, 0, 1], "pool_of": [0, 1, 2, 2]}


def decided(**fields):
    p = make_problem(**{**MIX, "replicas_max": 20.0, **fields})
    axes = SimpleNamespace(sites=p.labels.sites)
    return Decided(SimpleNamespace(), p, axes, optimize(p, gap=1e-7))


def unlike(**fields):
    # 4 / 4 + 0.5 / 1 = 1.5 replicas, and 0.5 lost in the pool: 2 replicas.
    return decided(
        peak_rps=[[[4.0]], [[0.5]]], rate_rps=[4.0, 1.0, 4.0, 1.0], offset_rps=[2.0, 0.5, 2.0, 0.5],
        **fields,
    )  # fmt: skip


def test_replicas_are_divided_by_what_each_class_needs():
    # One replica's worth of the first class, half of one of the second: 2/3 and 1/3 of 2.
    rows = fleet.pools(unlike())
    parts = {row.candidate: row for row in rows}
    assert set(parts) == {"candidate2", "candidate3"}
    assert parts["candidate2"].replicas_peak == pytest.approx([4 / 3])
    assert parts["candidate3"].replicas_peak == pytest.approx([2 / 3])
    assert parts["candidate2"].replicas == [pytest.approx([4 / 3])]
    assert parts["candidate2"].shared_with == ["candidate3"]
    assert parts["candidate3"].shared_with == ["candidate2"]


def test_parts_make_the_whole_pool():
    (pool,) = whole_pools(fleet.pools(unlike()))
    assert pool.shared
    assert pool.replicas_peak == [2.0]
    assert pool.replicas == [[2.0]]


def test_every_block_is_divided_by_its_own_load():
    # Rate 2.5, offset 1: blocks ask 10 and 2 of one class, 2 and 9 of the other. Replicas 6 in
    # block 0 and (11 + 1) / 2.5 = 4.8 in block 1; the block of most load divides the peak.
    rows = fleet.pools(
        decided(
            b=2, peak_rps=[[[10.0, 2.0]], [[2.0, 9.0]]], rate_rps=2.5, offset_rps=1.0,
            purchasable=False, on_demand=True, on_premises=False,
        )
    )  # fmt: skip
    parts = {row.candidate: row for row in rows}
    assert parts["candidate2"].replicas[0] == pytest.approx([6 * 10 / 12, 4.8 * 2 / 11])
    assert parts["candidate3"].replicas[0] == pytest.approx([6 * 2 / 12, 4.8 * 9 / 11])
    assert parts["candidate2"].replicas_peak == pytest.approx([5.0])
    assert parts["candidate3"].replicas_peak == pytest.approx([1.0])


def test_a_class_that_stays_away_leaves_the_pool_to_the_other():
    # The second class is cheaper by API: 9 / 2.5 + 0.4 = 4 replicas, all of the first class's.
    (row,) = fleet.pools(
        decided(peak_rps=[[[9.0]], [[9.0]]], a=1, api_class=1, api_usd=1.0, rate_rps=2.5,
                offset_rps=1.0, replica_gpus=[16, 16, 8, 8])
    )  # fmt: skip
    assert (row.candidate, row.shared_with, row.replicas_peak) == ("candidate2", [], [4.0])


def test_machines_of_a_shared_pool_are_paid_by_use():
    # 2/3 and 1/3 of the active accelerator-hours of the only machines.
    assert _machine_shares(unlike())[:, 0, 0] == pytest.approx([2 / 3, 1 / 3])


def test_pools_of_one_class_keep_their_own_replicas():
    found = decided(peak_rps=2.0, rate_rps=2.5, offset_rps=0.0, pool_of=[0, 1, 2, 3])
    assert found.replicas == pytest.approx(found.solution.replicas)
    assert np.array_equal(found.replicas_peak, found.solution.replicas_peak)
    assert all(row.shared_with == [] for row in fleet.pools(found))
