"""Commitments by hand: coverage, use, waste, quantiles, ladders, leaving early."""

import math

import numpy as np
import pytest

from planner.finance.commitments import (
    apply_commitment,
    coverage,
    effective_usd_per_h,
    halving_ladder,
    newsvendor_commitment,
    newsvendor_quantile,
    savings_rate,
    ski_rental_bounds,
    termination_cost,
    utilization,
)


def test_coverage_and_utilization():
    assert utilization(used=6_800, purchased=7_200) == pytest.approx(0.944, abs=5e-4)
    assert coverage(covered=1, eligible=4) == 0.25
    assert math.isnan(coverage(covered=0, eligible=0))
    assert math.isnan(utilization(used=0, purchased=0))


def test_savings_rate_of_a_mix():
    # 94.7 % covered, all used, 30 % off: 28.4 % (published)
    published = savings_rate(coverage_frac=0.947, utilization_frac=1, discount_frac=0.3)
    assert published == pytest.approx(0.2841)
    # On demand 10 a unit, 100 units: 90 covered by 100 bought at 7 = 700, 10 on demand = 100.
    found = savings_rate(coverage_frac=0.9, utilization_frac=0.9, discount_frac=0.3)
    assert found == pytest.approx(1 - 800 / 1000)
    with pytest.raises(ValueError, match="how much was bought"):
        savings_rate(coverage_frac=0.0, utilization_frac=0.0, discount_frac=0.3)


def test_effective_rate():
    # AWS m5.xlarge, one year, partial upfront: 505 + 0.058 an hour = 0.11565
    found = effective_usd_per_h(upfront_usd=505, usd_per_h=0.058, term_hours=8760)
    assert found == pytest.approx(0.11565, abs=5e-6)


def test_highest_saving_is_covered_first():
    # Savings 50 %, 20 %, 50 %: the two at 50 % first, the cheaper of them before the other.
    use = apply_commitment(7, plan_usd_per_h=[4, 8, 2], on_demand_usd_per_h=[8, 10, 4])
    # 2 + 4 of them use 6; 1 of the 8 is left to cover 1/8 of the item at 10 on demand.
    assert float(use.used) == 7
    assert float(use.unused) == 0
    assert float(use.on_demand) == pytest.approx(10 * 7 / 8)
    assert float(use.cost) == pytest.approx(15.75)


def test_items_without_use_or_price_do_no_harm():
    use = apply_commitment(5, plan_usd_per_h=[0, 0], on_demand_usd_per_h=[0, 0])
    assert [float(use.used), float(use.unused), float(use.on_demand)] == [0, 5, 0]


def test_newsvendor():
    assert newsvendor_quantile(committed_usd_per_h=2.54, on_demand_usd_per_h=3.90) == (
        pytest.approx(0.3487, abs=5e-5)
    )
    assert newsvendor_quantile(committed_usd_per_h=5, on_demand_usd_per_h=4) == 0
    assert newsvendor_commitment([1, 2], committed_usd_per_h=5, on_demand_usd_per_h=4) == 0


def test_newsvendor_commitment_is_the_cheapest_one():
    rng = np.random.default_rng(5)
    demand = rng.integers(0, 40, 501).astype(float)
    for committed in (0.7, 1.3, 2.9, 3.6):
        costs = [
            committed * size + 4 * np.clip(demand - size, 0, None).mean() for size in range(41)
        ]
        found = newsvendor_commitment(demand, committed_usd_per_h=committed, on_demand_usd_per_h=4)
        assert costs[int(found)] == pytest.approx(min(costs))


def test_ski_rental():
    assert ski_rental_bounds(0).deterministic == 2
    assert ski_rental_bounds(0).randomized == pytest.approx(1.582, abs=5e-4)
    assert ski_rental_bounds(1).deterministic == pytest.approx(1)
    assert ski_rental_bounds(1).randomized == pytest.approx(1)


def test_ladder():
    found = halving_ladder(target_frac=0.9, first_frac=0.5, purchases=4)
    assert found.tolist() == [0.5, 0.75, 0.875, 0.890625]
    assert halving_ladder(target_frac=0.5, first_frac=0.5, purchases=3).tolist() == [0.5] * 3
    # The first step itself may be too large.
    assert halving_ladder(target_frac=0.3, first_frac=0.5, purchases=1).tolist() == [0.25]


def test_termination():
    assert termination_cost([10, 20, 30]).tolist() == [50, 30, 0]
    # Half of it owed, 5 to leave, the rest of the term sells for 10 then 0
    found = termination_cost([10, 20, 30], owed_frac=0.5, fee=5, resale=[10, 0, 0])
    assert found.tolist() == [20, 20, 5]
