"""Published commitment cases and one published mistake, against the product's functions."""

import pytest

from planner.finance.commitments import (
    apply_commitment,
    effective_usd_per_h,
    halving_ladder,
    savings_rate,
)
from planner.finance.metrics import break_even_months, break_even_utilization
from planner.units import HOURS_PER_YEAR
from tests.crosscheck.outside_cases import read

RESERVED = read("commitments/aws_ri_payment_options.json")
LADDER = read("commitments/dichotomy_ladder.json")
SAVINGS = read("commitments/esr_prosperops.json")
FOCUS = read("commitments/focus_usage_scenarios.json")
TRAP = read("traps/breakeven_double_count.json")

# "break-even utilisation = effective / on demand", by payment option, in percent
BREAK_EVEN = {"all_upfront": 58.8, "partial_upfront": 60.2, "no_upfront": 63.0}


@pytest.mark.parametrize("option", RESERVED["options"], ids=lambda option: option["payment"])
def test_reserved_instance(option):
    rate = effective_usd_per_h(
        upfront_usd=option["upfront"], usd_per_h=option["hourly"], term_hours=HOURS_PER_YEAR
    )
    assert rate == pytest.approx(option["effective_per_hour"], abs=5e-5)
    assert rate * HOURS_PER_YEAR == pytest.approx(option["total_1y"], abs=0.005)
    share = break_even_utilization(
        committed_usd_per_h=rate, on_demand_usd_per_h=RESERVED["on_demand_per_hour"]
    )
    assert 100 * (1 - share) == pytest.approx(option["off_on_demand_pct"], abs=0.005)
    assert 100 * share == pytest.approx(BREAK_EVEN[option["payment"]], abs=0.05)


def test_ladder():
    published = LADDER["published_progression"]
    covered = 100 * halving_ladder(
        target_frac=LADDER["target_pct"] / 100,
        first_frac=LADDER["max_pct"] / 100,
        purchases=len(published),
    )
    # The source prints the fourth as 89; its note says 89.06.
    assert covered.tolist() == [*published[:3], 89.0625]
    assert int(covered[3]) == published[3]


def test_effective_savings_rate():
    stable = SAVINGS["stable_usage"]
    found = savings_rate(
        coverage_frac=stable["coverage_pct"] / 100,
        utilization_frac=stable["utilization_pct"] / 100,
        discount_frac=stable["discount_pct"] / 100,
    )
    assert 100 * found == pytest.approx(stable["esr_pct"], abs=0.05)


def paid_up_front():
    return [row for row in FOCUS["read_here"] if "purchase" in row]


@pytest.mark.parametrize("row", paid_up_front(), ids=lambda row: row["file"])
def test_savings_plan_paid_up_front(row):
    # The third file of the case (partial upfront) states no check and no hours of its 50.23.
    rate = effective_usd_per_h(
        upfront_usd=row["purchase"], usd_per_h=0.0, term_hours=HOURS_PER_YEAR
    )
    assert rate == pytest.approx(row["hourly_commit"], abs=0.005)
    if "discount_pct" in row:
        share = break_even_utilization(
            committed_usd_per_h=rate, on_demand_usd_per_h=row["list_per_hour"]
        )
        assert 100 * (1 - share) == pytest.approx(row["discount_pct"], abs=0.05)


def test_rules_of_an_hour():
    assert FOCUS["simple_rules"] == [
        "$1.00/h commit, $0.75 used -> $0.25 unused",
        "$1.50 eligible -> $1.00 amortised + $0.50 on-demand",
    ]
    use = apply_commitment(1.0, plan_usd_per_h=[[0.75], [1.5]], on_demand_usd_per_h=[[0.75], [1.5]])
    assert use.used.tolist() == [0.75, 1.0]
    assert use.unused.tolist() == [0.25, 0.0]
    assert use.on_demand.tolist() == [0.0, 0.5]


def test_purchase_is_not_counted_twice():
    given, computed = TRAP["inputs"], TRAP["computed"]
    capex = given["n"] * given["gpu_price"] * (1 + given["overhead"])
    power = given["n"] * given["kw"] * given["pue"] * given["hours"] * given["usd_kwh"]
    assert capex == pytest.approx(computed["capex"])
    assert power == pytest.approx(computed["power_month"])
    own, cloud = power + given["dc_month"], computed["cloud_month"]
    amortized = capex / (12 * given["years"])
    assert cloud - own - amortized == pytest.approx(
        TRAP["correct"]["onprem_cheaper_per_month_by"], abs=0.005
    )

    def months(own_usd):
        return break_even_months(
            capex_usd=capex, own_usd_per_month=own_usd, rent_usd_per_month=cloud
        )

    assert months(own) == pytest.approx(TRAP["correct"]["breakeven_months"], abs=0.005)
    assert months(own + amortized) == pytest.approx(TRAP["their_formula_gives_months"], abs=0.05)
