"""Worlds small enough to plan by hand: the cost of each term alone, then limits and timing."""

from __future__ import annotations

import numpy as np
import pytest

from planner.errors import InfeasibleError, PlannerError
from planner.optimize.solve import optimize
from planner.problem import Solution
from tests.builders import make_problem


def plan(**fields: object) -> Solution:
    return optimize(make_problem(**fields), gap=1e-6)


def test_owned_nodes_carry_the_peak():
    # 10 rps at 2.5 rps a replica = 4 replicas of 8 GPUs = 4 nodes x 300,000
    x = plan()
    assert x.lots_bought.tolist() == [[[4.0]]]
    assert x.replicas_peak.tolist() == [[[4.0]]]
    assert x.cost_usd == pytest.approx(4 * 300_000)
    assert x.bound_usd == pytest.approx(x.cost_usd)
    assert x.status == "optimal"


def test_a_started_replica_is_a_whole_replica():
    # 9 / 2.5 = 3.6 -> 4
    assert plan(peak_rps=9.0).lots_bought.sum() == 4


def test_the_offset_of_a_pool_is_lost_once():
    # (10 + 0.5) / 2.5 = 4.2 -> 5
    assert plan(offset_rps=0.5).lots_bought.sum() == 5


def test_one_spare_stands_by():
    # 4 needed + 1; P(4 of 5 up) = 0.99^5 + 5*0.01*0.99^4 = 0.99902 >= 0.99
    x = plan(spare_offset=1.0, node_unavailability=0.01)
    assert x.lots_bought.sum() == 5
    assert x.cost_usd == pytest.approx(1_500_000)


def test_small_replicas_share_a_node():
    # 4 replicas of 2 GPUs = 8 GPUs = 1 node
    assert plan(replica_gpus=2.0).lots_bought.sum() == 1


def test_two_classes_share_idle_machines():
    # class 0 peaks in block 0 (4 replicas), class 1 in block 1 (4); each needs 2 in the other:
    # 6 nodes, not 8
    x = plan(c=2, d=2, b=2, class_of=[0, 1], peak_rps=[[[10, 5]], [[5, 10]]])
    assert x.lots_bought.sum() == 6


def test_energy_is_paid_by_share_of_the_traffic():
    # 4 nodes + all traffic at 7,000 and 5,000 a block
    x = plan(b=2, energy_usd=[[[[7_000, 5_000]]]])
    assert x.cost_usd == pytest.approx(4 * 300_000 + 12_000)


def test_api_is_taken_where_it_is_cheaper():
    x = plan(a=1, api_usd=500_000.0)
    assert x.cost_usd == pytest.approx(500_000)
    assert x.api_frac.tolist() == [[[1.0]]]
    assert x.lots_bought.sum() == 0


def test_on_demand_is_rented_by_the_block():
    # 4 lots in block 0, 5 rps -> 2 lots in block 1, 40,000 each
    x = plan(b=2, peak_rps=[[[10, 5]]], purchasable=False, on_demand=True, on_premises=False)
    assert x.lots_on_demand.tolist() == [[[[4.0, 2.0]]]]
    assert x.cost_usd == pytest.approx(6 * 40_000)


def test_a_quota_by_the_hour_is_filled_up_by_orders():
    # 4 lots needed, 1 may be rented at 40,000, 3 are bought at 300,000
    x = plan(on_demand=True, on_demand_max=1.0)
    assert x.lots_on_demand.sum() == 1
    assert x.cost_usd == pytest.approx(3 * 300_000 + 40_000)


@pytest.mark.parametrize("limit", ["lots_max", "on_demand_max"])
def test_many_lots_round_up_only_as_far_as_the_quota_lets_them(limit):
    # 999.1 replicas of 2 GPUs over two blocks; in block 1 499.55 x 2 / 8 = 124.9 -> 125 lots;
    # block 0 keeps 1000 whole replicas = 250 lots, exactly the quota
    fields = {limit: 250.0}
    x = plan(
        b=2,
        peak_rps=[[[2497.75, 1248.875]]],
        replica_gpus=2.0,
        purchasable=False,
        on_demand=True,
        on_premises=False,
        **fields,
    )
    assert x.lots_on_demand.tolist() == [[[[250.0, 125.0]]]]


def test_more_lots_than_the_program_counts_one_by_one_are_whole_too():
    # 39,996.4 replicas of 2 GPUs in block 1 = 9,999.1 lots -> 10,000; block 0: 19,990 lots
    x = plan(
        b=2,
        peak_rps=[[[199_900, 99_991]]],
        replica_gpus=2.0,
        purchasable=False,
        on_demand=True,
        on_premises=False,
    )
    assert x.lots_on_demand.tolist() == [[[[19_990.0, 10_000.0]]]]
    # 29,990 x 40,000 against a relaxation of 29,989.1: the rounding is in the gap
    assert x.cost_usd == pytest.approx(29_990 * 40_000)
    assert x.gap_frac == pytest.approx(0.9 / 29_990, rel=1e-3)


def test_a_base_is_committed_and_the_peak_rented():
    # a term of 2 periods costs 100,000 a lot; by the hour a lot costs 40,000 x 4 (period, block)
    # for the 2 lots that always run, 40,000 x 2 for the 2 of block 0 only: commit 2, rent 2
    x = plan(
        o=1,
        t=2,
        b=2,
        peak_rps=[[[10, 5], [10, 5]]],
        purchasable=False,
        on_demand=True,
        committable=True,
        commit_usd=100_000.0,
        on_premises=False,
    )
    assert x.lots_signed.ravel().tolist() == [2.0, 0.0]
    assert x.cost_usd == pytest.approx(2 * 100_000 + 2 * 2 * 40_000)


def test_a_commitment_ends_with_its_term():
    # term 2, 3 periods of equal demand: 4 lots signed in 0 serve 0 and 1, period 2 needs 4 more
    x = plan(o=1, t=3, purchasable=False, committable=True, on_premises=False)
    assert x.lots_signed.sum() == 8


def test_orders_wait_for_their_lead_time():
    # nothing owned before period 2: rent 4 lots for two periods, then own
    x = plan(t=4, s=1, lead_periods=2, on_demand=True, buy_usd=30_000.0)
    assert x.lots_bought.ravel().tolist() == [4.0, 0.0, 0.0, 0.0]
    assert x.lots_on_demand.ravel().tolist() == [4.0, 4.0, 0.0, 0.0]


def test_batch_moves_to_the_quiet_block_of_its_day():
    # online takes 4 replicas in block 0 and 2 in block 1; batch of 1 rps in both (2 x 1000 h)
    # fits whole into block 1: 2 rps / 2.5 = 0.8 replicas; nothing more to buy
    x = plan(
        c=2,
        d=2,
        b=2,
        class_of=[0, 1],
        batch=[False, True],
        peak_rps=[[[10, 5]], [[0, 0]]],
        mean_rps=[[[5, 5]], [[1, 1]]],
    )
    assert x.lots_bought.sum() == 4
    assert x.served_frac[1, 0, 0].tolist() == pytest.approx([0.0, 2.0])


def test_batch_stays_within_its_day():
    # the quiet block belongs to another day type: 4 + 1 / 2.5 = 4.4 -> 5 nodes
    x = plan(
        c=2,
        d=2,
        b=2,
        class_of=[0, 1],
        batch=[False, True],
        day_of_block=[0, 1],
        peak_rps=[[[10, 5]], [[0, 0]]],
        mean_rps=[[[5, 5]], [[1, 1]]],
    )
    assert x.lots_bought.sum() == 5


def test_part_of_the_volume_stays_on_premises():
    # cloud is cheaper; 30 % of 10 rps = 3 rps -> 2 nodes owned, 7 rps -> 3 lots rented
    x = plan(
        s=2,
        on_premises=[True, False],
        purchasable=[[True, False]],
        on_demand=[[False, True]],
        on_premises_min_frac=0.3,
        buy_usd=100_000.0,
        on_demand_usd=10_000.0,
    )
    assert x.lots_bought.sum() == 2
    # 2 owned replicas carry 5 rps, so 5 rps = 2 lots are enough in the cloud
    assert x.lots_on_demand.sum() == 2


def test_the_cheaper_of_two_accelerators_is_bought():
    x = plan(
        c=2,
        g=2,
        accelerator_of=[0, 1],
        rate_rps=[2.5, 5.0],
        buy_usd=[[[300_000]], [[500_000]]],
    )
    # 4 x 300,000 = 1.2 M against 2 x 500,000 = 1.0 M
    assert x.lots_bought.ravel().tolist() == [0.0, 2.0]


TWO_SKUS = {
    "c": 2,
    "g": 2,
    "replica_gpus": [[8.0, 0.0], [8.0, 16.0]],
    "rate_rps": [2.5, 10.0],
    "buy_usd": [[[300_000]], [[200_000]]],
}
"""A replica of candidate 1 takes a node of SKU 0 and two of SKU 1."""


def test_a_replica_of_two_accelerators_needs_nodes_of_both():
    x = plan(**TWO_SKUS)
    # one replica: 300,000 + 2 x 200,000 = 0.7 M against 4 x 300,000 = 1.2 M
    assert x.lots_bought.ravel().tolist() == [1.0, 2.0]
    assert x.cost_usd == pytest.approx(700_000)


def test_a_replica_of_two_accelerators_stands_only_where_both_can_be_had():
    x = plan(**TWO_SKUS, s=2, purchasable=[[True, False], [False, True]])
    assert x.lots_bought[:, :, 0].tolist() == [[4.0, 0.0], [0.0, 0.0]]


def test_a_replica_of_two_accelerators_counts_as_both_kinds():
    x = plan(**TWO_SKUS, accelerator_types_max=1)
    assert x.lots_bought.ravel().tolist() == [4.0, 0.0]


def test_both_accelerators_of_a_replica_keep_spares():
    # 1 of SKU 0 and 2 of SKU 1 must be up, one spare each: 2 x 300,000 + 3 x 200,000
    x = plan(**TWO_SKUS, spare_offset=1.0, node_unavailability=0.01)
    assert x.lots_bought.ravel().tolist() == [2.0, 3.0]
    assert x.cost_usd == pytest.approx(1_200_000)


def test_racks_and_their_trays():
    # a rack of 72 GPUs holds 18 trays of 4; 4 replicas of 8 GPUs need 8 trays: one rack
    x = plan(lot_gpus=72.0, node_gpus=4.0, lots_per_rack=1.0, racks=3.0)
    assert x.lots_bought.sum() == 1
    assert x.racks_used.sum() == 1


def test_rack_positions_count_started_racks():
    # 4 nodes, 3 a rack -> 2 racks
    assert plan(lots_per_rack=3.0, racks=2.0).racks_used.sum() == 2


def test_one_kind_of_accelerator():
    # class 0 is cheaper on SKU 0, class 1 on SKU 1; with one kind allowed both take one SKU
    fields = {
        "c": 4,
        "d": 2,
        "g": 2,
        "class_of": [0, 0, 1, 1],
        "accelerator_of": [0, 1, 0, 1],
        "rate_rps": [5.0, 2.5, 2.5, 5.0],
    }
    assert plan(**fields).cost_usd == pytest.approx(4 * 300_000)
    one = plan(**fields, accelerator_types_max=1)
    assert one.cost_usd == pytest.approx(6 * 300_000)  # 2 + 4 on either SKU


def test_the_second_year_has_its_own_budget():
    # 4 lots now, 8 from period 1; capex 250,000 a lot; budget for 6 in the first year, 6 in the
    # second: both hold
    x = plan(t=2, y=2, peak_rps=[[[10], [20]]], capex_max_usd=[1.5e6, 1.5e6], fiscal_year_of=[0, 1])
    assert x.lots_bought.ravel().tolist() in ([4.0, 4.0], [5.0, 3.0], [6.0, 2.0])


def test_no_traffic_needs_nothing():
    x = plan(peak_rps=0.0, mean_rps=0.0)
    assert x.cost_usd == 0.0
    assert x.gap_frac == 0.0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"it_kw": 30.0}, "site_power: site0, period0: 10 kW short of 30 kW"),
        ({"racks": 0.0}, "rack_positions: site0, period0: 1 racks short of 0 racks"),
        ({"lots_max": 2.0}, "stock: sku0, site0, period0: 2 lots short of 2 lots"),
        ({"capex_max_usd": 5e5}, "capex_budget: FY0: 500,000 USD short of 500,000 USD"),
        ({"allowed": False}, "demand_served: class0: no candidate may serve it at any site"),
    ],
)
def test_what_is_short_is_said_in_its_own_unit(fields, reason):
    with pytest.raises(InfeasibleError) as caught:
        plan(**fields)
    assert caught.value.reasons == (reason,)


def test_two_limits_that_are_both_short_are_both_named():
    with pytest.raises(InfeasibleError) as caught:
        plan(it_kw=30.0, racks=0.0)
    assert [reason.split(":")[0] for reason in caught.value.reasons] == [
        "site_power",
        "rack_positions",
    ]


def test_either_of_two_remedies_is_enough():
    # site 0 lacks 10 kW; site 1 has none of its 1 lot of stock to spare
    with pytest.raises(InfeasibleError) as caught:
        plan(s=2, it_kw=[[30.0], [np.inf]], lots_max=[[[np.inf], [0.0]]])
    assert len(caught.value.reasons) == 2
    assert all(reason.endswith("(this alone is enough)") for reason in caught.value.reasons)


def test_lead_time_is_named_when_nothing_can_stand_in_time():
    with pytest.raises(InfeasibleError) as caught:
        plan(t=3, lead_periods=2)
    reasons = caught.value.reasons
    assert any(reason.startswith("demand_served: class0, period0: 100.0%") for reason in reasons)
    assert "lead_time: site0: nothing ordered now is in service before period2" in reasons


def test_a_price_that_is_no_number_is_refused():
    with pytest.raises(PlannerError, match="not a number"):
        plan(buy_usd=np.nan)


def test_traffic_away_from_the_peak_goes_to_the_pool_that_carries_most():
    # 10 rps at 2.5 a replica: 3 nodes of the first accelerator, all there are, and 1 of the
    # second. At night either could take the 2 rps at no cost: the first, which carries more.
    # The second's candidate comes first, lest an order of columns decides.
    x = plan(
        c=2, g=2, b=2, accelerator_of=[1, 0], peak_rps=[[[10.0, 2.0]]],
        lots_max=[[[3.0]], [[9.0]]], buy_usd=[[[300_000.0]], [[310_000.0]]],
    )  # fmt: skip
    assert x.lots_bought.ravel().tolist() == [3.0, 1.0]
    assert x.served_frac[:, 0, 0, 0] == pytest.approx([0.25, 0.75])
    assert x.served_frac[:, 0, 0, 1] == pytest.approx([0.0, 1.0])
