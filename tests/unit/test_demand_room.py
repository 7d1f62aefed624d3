"""Demand against capacity, by hand and on solved plans."""

import numpy as np
import pytest

from planner.report.demand_room import segments
from tests import small_world
from tests.plan_fixture import small_plan


def test_capacity_is_the_pools_lines_and_the_apis_share():
    plan = small_plan()
    found = {(one.demand_class, one.label): one for one in segments(plan)}
    one = found["assistant", "weekday 9-17"]
    # 16 replicas of 1.7 requests/s less the pool's offset of 0.4; the other pool is closed, and a
    # closed pool loses no offset.
    assert one.machines_rps[0] == pytest.approx(16 * 1.7 - 0.4)
    # 24 requests a second, 6 % of them to the API.
    assert one.capacity_rps[0] == pytest.approx(26.8 + 0.06 * 24.0)


def test_batch_is_compared_day_by_day():
    labels = [one.label for one in segments(small_plan()) if one.demand_class == "digest"]
    assert labels == ["weekday, mean", "weekend, mean"]


def test_a_solved_plan_carries_its_demand_and_not_much_more():
    _, plan = small_world.mixed()
    loads = []
    for one in segments(plan):
        assert (one.demand_rps <= one.capacity_rps * (1 + 1e-6)).all(), one.label
        busy = one.demand_rps > 0
        loads += (one.demand_rps[busy] / one.capacity_rps[busy]).tolist()
    assert np.max(loads) > 0.95
