"""Published finance cases, one test a case id, against the product's functions."""

import math
from dataclasses import MISSING

import numpy as np
import pytest

from planner.facility import energy_kwh
from planner.finance import ledger
from planner.finance.calendar import calendar_quantities
from planner.finance.commitments import (
    apply_commitment,
    newsvendor_quantile,
    ski_rental_bounds,
    utilization,
)
from planner.finance.depreciation import book_by_month, mid_quarter_applies, rates_by_tax_year
from planner.finance.leases import lease_schedule
from planner.finance.lines import (
    active_energy_lines,
    assemble,
    common_lines,
    on_demand_lines,
)
from planner.finance.metrics import (
    annuity_factor,
    break_even_utilization,
    capital_recovery_factor,
    effective_savings_rate,
    irr,
    net_advantage_to_leasing,
    resale_usd,
)
from planner.finance.offers import Assumed, Common, OnDemandOffer, OwnedOffer, SiteCosts
from planner.finance.owned import owned_lines
from planner.finance.unit import input_values, npv_usd
from tests.crosscheck.outside_cases import read

CASES = {case["id"]: case for case in read("finance/cases.json")}
CHECKS = {}

LEFT = {
    "cluster_capex_rollup": "names its rows but not their amounts: nothing to add up",
}
"""Cases that nothing can be computed from, with the reason."""


def case(name):
    def add(check):
        CHECKS[name] = check
        return check

    return add


@pytest.mark.parametrize("name", sorted(set(CASES) - set(LEFT)))
def test_case(name):
    CHECKS[name](CASES[name]["given"], CASES[name]["expected"])


def a(value):
    return Assumed(value, "published case", "2026-11-21", "quoted")


def flat():
    """No discounting, no adders, flat prices: the sources' own arithmetic."""
    paths = ("capex_per_year", "rental_per_year")
    names = [
        name
        for name, field in Common.__dataclass_fields__.items()
        if name not in paths and field.default is MISSING and field.default_factory is MISSING
    ]
    return Common(**{name: a(0.0) for name in names}, **{path: {"all": a(0)} for path in paths})


def total_usd(option, quantities, months=1):
    lines, inputs = assemble([common_lines(flat()), option])
    given = {**calendar_quantities("2027-01", months, months), **quantities}
    return float(npv_usd(lines, ledger.evaluate(lines, input_values(inputs), given, months)))


@case("macrs_A1_half_year")
def half_year(given, expected):
    # Classes 10, 15 and 20 are buildings' equipment and land: no machine of a fleet is in them.
    for life in ("3", "5", "7"):
        shares = rates_by_tax_year(f"macrs_{life}", convention="half_year", quarter=4)
        published = np.array(expected[life]) / 100
        assert shares[: len(published)] == pytest.approx(published, abs=1e-12)
        assert shares.sum() == pytest.approx(1, abs=1e-12)


@case("macrs_A5_mid_quarter_Q4")
def fourth_quarter(given, expected):
    for life, percent in expected.items():
        shares = rates_by_tax_year(f"macrs_{life}", convention="mid_quarter", quarter=4)
        assert shares[: len(percent)] == pytest.approx(np.array(percent) / 100, abs=1e-12)
    assert mid_quarter_applies([30, 15, 14, 41])
    assert not mid_quarter_applies([30, 15, 15, 40])


@case("bonus_100_obbba")
def all_in_the_first_year(given, expected):
    shares = rates_by_tax_year(
        "macrs_5", convention="half_year", quarter=1, bonus_frac=given["bonus"]
    )
    assert given["basis"] * shares[0] == expected["year1"]
    assert given["basis"] * shares[1:].sum() == expected["later"]


@case("bonus_40_election_first_year")
def forty_percent_first(given, expected):
    shares = given["basis"] * rates_by_tax_year(
        "macrs_5", convention="half_year", quarter=1, bonus_frac=given["bonus"]
    )
    assert shares[:6] == pytest.approx(expected["tax_depreciation"])
    assert shares[6:].sum() == 0


@case("excel_function_vectors")
def excel(given, expected):
    # DB, DDB, SYD and NORM.INV have no counterpart here: no tax law or plan that the planner
    # knows writes off by them, and demand is counted by hours, not by a normal law.
    payment = 100_000 * capital_recovery_factor(rate=0.1, count=5)
    assert payment == pytest.approx(expected["PMT(0.1,5,-100000)"], rel=1e-12)
    assert irr([8000, *[-200] * 48]) == pytest.approx(expected["RATE(48,-200,8000)"], abs=1e-12)
    loan = lease_schedule(
        [8000 / annuity_factor(rate=0.1 / 12, count=36)] * 36,
        borrowing_rate_per_year=(1 + 0.1 / 12) ** 12 - 1,
        treatment="finance",
        in_advance=False,
    )
    assert loan.interest[0] == pytest.approx(-expected["IPMT(0.1/12,1,36,8000)"], rel=1e-12)


@case("lease_vs_buy_tasha")
def lease_or_buy(given, expected):
    years = given["payments"]
    advantage = net_advantage_to_leasing(
        price_usd=given["price"],
        lease_usd=[given["lease_payment"]] * years,
        depreciation_usd=[given["price"] / 5] * years,
        tax_rate_frac=given["tax"],
        after_tax_rate=given["after_tax_rate"],
    )
    assert advantage == pytest.approx(expected["NAL"], abs=0.005)


@case("straight_line_life_sensitivity")
def book_life(given, expected):
    for life, usd_per_year in expected.items():
        years = int(life.removesuffix("y"))
        share = book_by_month(life_months=12 * years, months=12 * years)
        assert given["cost"] * share[-12:].sum() == pytest.approx(usd_per_year, abs=0.5)
        assert share.sum() == pytest.approx(1)


@case("power_cost_aiinframap")
def five_years_of_power(given, expected):
    site = SiteCosts(
        site="s",
        pue=a(given["pue"]),
        electricity_usd_per_kwh=a(given["usd_kwh"]),
        rent_usd_per_kw_month=a(0),
    )
    for gpu, kw in given["tdp_kw"].items():
        monthly_kwh = energy_kwh(
            it_kw=given["gpus"] * kw,
            load_frac=given["utilization"],
            pue=1.0,
            hours=np.full(60, given["hours"] / 60),
        )
        usd = total_usd(active_energy_lines(site), {"energy_s_it_kwh": monthly_kwh}, months=60)
        assert usd / 1e6 == pytest.approx(expected[f"{gpu}_5y_usd_m"], abs=0.005)
    for gpu, price in (("H100", 30_000), ("B200", 40_000)):
        # Prices of the source's capex figures: 30.72 M and 40.96 M for 1,024.
        offer = OwnedOffer(
            gpu, "s", gpu, "GPU", "all", a(price), True, a(0), a(given["tdp_kw"][gpu]), a(0)
        )
        bought = {f"own_{gpu.lower()}_s_bought": np.array([given["gpus"]])}
        usd = total_usd(owned_lines(offer, site), bought)
        # The condition factor is 0: no end value.
        assert usd / 1e6 == pytest.approx(expected[f"capex_{gpu}_m"])


def rented_hour_usd(usd_per_gpu_h, gpus):
    offer = OnDemandOffer("gpu", "s", "gpu", "node", "all", a(usd_per_gpu_h), a(gpus))
    return total_usd(on_demand_lines(offer), {"on_demand_gpu_s_lot_hours": np.array([1.0])})


@case("bundled_gpu_vm_price")
def machine_of_parts(given, expected):
    # Prices are the scenario's by GPU: the provider's parts are added up by whoever types it in.
    parts = [(1, given["gpu"]), tuple(given["vcpu"]), tuple(given["ram_gib"])]
    per_gpu = sum(count * usd for count, usd in parts)
    assert rented_hour_usd(per_gpu, 1) == pytest.approx(expected["usd_hour"], abs=0.005)


@case("capacity_block_instance")
def instance_of_accelerators(given, expected):
    found = rented_hour_usd(given["per_accelerator"], given["n"])
    assert found == pytest.approx(expected["instance_hour"])


@case("aws_savings_plan_scenario1")
def savings_plan_that_fits(given, expected):
    # (units, on demand, savings plan) of the four items that the source lists
    items = np.array([(1, 4.0, 2.0), (1, 10.0, 8.0), (10, 1.5, 1.0), (5, 2.0, 1.0)])
    use = apply_commitment(
        25.0,
        plan_usd_per_h=items[:, 0] * items[:, 2],
        on_demand_usd_per_h=items[:, 0] * items[:, 1],
    )
    assert float(use.cost) == expected["hour_cost"]
    assert float(use.unused) == float(use.on_demand) == 0
    assert (items[:, 0] * items[:, 1]).sum() == 39.0


@case("savings_plan_use_it_or_lose_it")
def unused_is_lost(given, expected):
    usage = np.array(given["sp_priced_usage"], float)[:, None]
    use = apply_commitment(given["commit"], plan_usd_per_h=usage, on_demand_usd_per_h=usage)
    assert use.unused.tolist() == expected["wasted"]
    assert use.on_demand.tolist() == expected["overflow_at_on_demand_sp_usd"]


@case("esr")
def savings(given, expected):
    for equivalent, actual, key, tolerance in (
        (given["on_demand_equivalent"], given["actual"], "esr", 1e-12),
        (3, 2, "buy2get1", 0.005),
        (5, 3, "buy3get2", 1e-12),
    ):
        found = effective_savings_rate(on_demand_equivalent_usd=equivalent, actual_usd=actual)
        assert found == pytest.approx(expected[key], abs=tolerance)


@case("ri_utilization")
def hours_used(given, expected):
    found = utilization(used=given["used"], purchased=given["ri"] * given["hours"])
    assert found == pytest.approx(expected["utilization"], abs=5e-4)


@case("ski_rental_bounds")
def bounds_without_forecast(given, expected):
    for alpha in (0.0, 0.25, 1.0):
        bounds = ski_rental_bounds(alpha)
        assert bounds.deterministic == 2 - alpha
        assert bounds.randomized == pytest.approx(math.e / (math.e - 1 + alpha))
    at_zero = ski_rental_bounds(0.0)
    assert [at_zero.deterministic, at_zero.randomized] == pytest.approx(
        expected["alpha0"], abs=5e-4
    )


@case("residual_value_spotwire")
def used_machine(given, expected):
    for sale, key in (("orderly", "rv_orderly"), ("auction_30d", "rv_auction")):
        usd = resale_usd(
            price_usd=given["anchor"],
            vintage_frac=given["vintage_3y"],
            condition_frac=given["used_working"],
            sale_frac=given[sale],
        )
        assert usd == pytest.approx(expected[key])


@case("commit_break_even_utilization")
def break_even(given, expected):
    # Rates of the case's own source line: on demand, one year, three years
    rates = {"aws_b200": (14.242, 11.215, 10.459), "crusoe_h100": (3.90, 2.93, 2.54)}
    for name, (on_demand, one_year, three_years) in rates.items():
        for term, rate in (("1y", one_year), ("3y", three_years)):
            found = break_even_utilization(committed_usd_per_h=rate, on_demand_usd_per_h=on_demand)
            assert found == pytest.approx(expected[f"{name}_{term}"], abs=5e-5)
            assert newsvendor_quantile(
                committed_usd_per_h=rate, on_demand_usd_per_h=on_demand
            ) == pytest.approx(1 - found)
