"""Cash rows of each supply option, every figure by hand."""

import dataclasses
import time

import numpy as np
import pytest

from planner.finance import ledger
from planner.finance.calendar import TIMING_MONTHS, calendar_quantities
from planner.finance.lines import (
    COMMON_INPUTS,
    active_energy_lines,
    api_lines,
    assemble,
    commitment_lines,
    common_lines,
    on_demand_lines,
)
from planner.finance.offers import (
    ApiOffer,
    Assumed,
    CommitmentOffer,
    Common,
    OnDemandOffer,
    OwnedOffer,
    SiteCosts,
)
from planner.finance.owned import owned_lines
from planner.finance.unit import (
    input_values,
    monthly_orders,
    monthly_spread,
    npv_usd,
    unit_cash,
    unit_npv,
    unit_values,
)


def a(value):
    return Assumed(value, "test", "2026-11-01", "estimated")


NO_DISCOUNT = {
    "discount_rate": 0.0,
    "discount_timing": TIMING_MONTHS["mid"],
    "tail_value_frac": 0.0,
    "electricity_per_year": 0.0,
    "rent_per_year": 0.0,
    "network_frac": 0.25,
    "storage_frac": 0.03,
    "installation_frac": 0.03,
    "maintenance_frac_per_year": 0.04,
    "insurance_frac_per_year": 0.01,
    "cloud_support_frac": 0.05,
    "decline_per_year": 0.30,
    "condition_frac": 0.72,
    "selling_cost_frac": 0.10,
    "api_per_year": 0.0,
}


def common(capex=0.0, rental=0.0, **changes):
    figures = {**NO_DISCOUNT, **changes}
    return Common(
        **{name: a(value) for name, value in figures.items()},
        capex_per_year={"all": a(capex)},
        rental_per_year={"all": a(rental)},
    )


SITE = SiteCosts("hq", a(1.2), a(0.10), a(200.0))


def owned(lead=0, network=False, accelerator="h100", site="hq"):
    return OwnedOffer(
        accelerator, site, f"{accelerator} at {site}, owned", "node", "all", a(100_000.0), network,
        a(lead), a(10.0), a(0.3),
    )  # fmt: skip


def reserved(term=12, option="reserved_1y", accelerator="h100"):
    return CommitmentOffer(
        option, accelerator, "us-east", "h100 at us-east, 1 year", "node", "all", a(2.0), a(8),
        a(term),
    )  # fmt: skip


RENTED = OnDemandOffer("h100", "us-east", "h100 at us-east", "node", "all", a(3.0), a(8))
API = ApiOffer("nebius/llama", "Llama by Nebius", a(1.0), a(3.0), a(0.25))


def rows(option, given=None, *, months=12, total=None, quantities):
    """Evaluated cash by key, and the NPV."""
    total = total or months
    lines, inputs = assemble([common_lines(given or common()), option])
    values = ledger.evaluate(
        lines,
        input_values(inputs),
        {**calendar_quantities("2027-01", months, total), **quantities},
        total,
    )
    return values, float(npv_usd(lines, values))


def at(month, quantity=1.0, total=12):
    """A quantity in one month, counted from 0."""
    return quantity * np.eye(total)[month]


def test_one_node_for_one_year_without_discounting():
    values, npv = rows(owned_lines(owned(), SITE), quantities={"own_h100_hq_bought": at(0)})
    cash = {key: values[f"own_h100_hq_{key}"].sum() for key in (
        "servers_usd", "network_usd", "storage_usd", "installation_usd", "maintenance_usd",
        "insurance_usd", "rent_usd", "idle_energy_usd", "end_value_usd",
    )}  # fmt: skip
    assert cash == pytest.approx({
        "servers_usd": 100_000,
        "network_usd": 25_000,
        "storage_usd": 3_000,
        "installation_usd": 3_000,
        "maintenance_usd": 4_000,
        "insurance_usd": 1_000,
        "rent_usd": 10 * 200 * 12,
        "idle_energy_usd": 10 * 0.3 * 8760 * 1.2 * 0.10,  # 3,153.60
        "end_value_usd": -100_000 * 0.7 * 0.72 * 0.9,  # one year in service: -45,360
    })  # fmt: skip
    assert npv == pytest.approx(131_000 + 5_000 + 24_000 + 3_153.6 - 45_360)


def test_lead_time_delays_service_and_ageing_not_payment():
    values, npv = rows(owned_lines(owned(lead=3), SITE), quantities={"own_h100_hq_bought": at(0)})
    assert values["own_h100_hq_servers_usd"].tolist() == [100_000] + [0] * 11
    assert values["own_h100_hq_in_service"].tolist() == [0, 0, 0] + [1] * 9
    # Nine months: 3,750 of maintenance and insurance, 18,000 rent, 8,760 - 2,160 = 6,600 h.
    end_value = 100_000 * 0.7**0.75 * 0.72 * 0.9
    assert npv == pytest.approx(131_000 + 3_750 + 18_000 + 10 * 0.3 * 6_600 * 0.12 - end_value)


def test_one_month_horizon():
    # January 2027: 744 h; value after a month 100,000 x 0.7^(1/12) x 0.72 x 0.9.
    _, npv = rows(
        owned_lines(owned(), SITE), months=1, quantities={"own_h100_hq_bought": at(0, total=1)}
    )
    upkeep = 100_000 * 0.05 / 12 + 2_000 + 10 * 0.3 * 744 * 0.12
    assert npv == pytest.approx(131_000 + upkeep - 64_800 * 0.7 ** (1 / 12))


def test_an_order_that_arrives_after_the_horizon_is_all_loss():
    values, npv = rows(owned_lines(owned(lead=3), SITE), quantities={"own_h100_hq_bought": at(10)})
    assert npv == pytest.approx(131_000)
    assert not values["own_h100_hq_in_service"].any()


def test_nothing_is_paid_after_the_horizon_and_value_is_taken_at_its_end():
    values, npv = rows(
        owned_lines(owned(), SITE), total=24, quantities={"own_h100_hq_bought": at(0, total=24)}
    )
    assert not values["own_h100_hq_rent_usd"][12:].any()
    assert np.flatnonzero(values["own_h100_hq_end_value_usd"]).tolist() == [11]
    assert npv == pytest.approx(117_793.6)  # the sum of the first test


def test_vintages_keep_their_own_price_and_age():
    # Prices fall 20 % a year: 100,000 in month 0, 80,000 in month 12; at month 24's start they
    # are two years and one year old: 100,000 x 0.49 + 80,000 x 0.7 = 105,000.
    values, _ = rows(
        owned_lines(owned(), SITE), common(capex=-0.2), months=24,
        quantities={"own_h100_hq_bought": at(0, total=24) + at(12, total=24)},
    )  # fmt: skip
    assert values["own_h100_hq_servers_usd"][[0, 12]].tolist() == pytest.approx([100_000, 80_000])
    assert values["own_h100_hq_kept_value_usd"][23] == pytest.approx(105_000)
    assert values["own_h100_hq_value_in_service_usd"][23] == pytest.approx(180_000)
    assert values["own_h100_hq_insurance_usd"][23] == pytest.approx(150)


def test_network_in_the_price_is_not_paid_twice():
    lines, _ = owned_lines(owned(network=True), SITE)
    assert not any("network" in line.key for line in lines)
    _, npv = rows(owned_lines(owned(network=True), SITE), quantities={"own_h100_hq_bought": at(0)})
    assert npv == pytest.approx(117_793.6 - 25_000)


def test_running_costs_escalate_with_the_year():
    values, _ = rows(
        owned_lines(owned(), SITE), common(electricity_per_year=0.1, rent_per_year=0.05),
        months=24, quantities={"own_h100_hq_bought": at(0, total=24)},
    )  # fmt: skip
    rent, energy = values["own_h100_hq_rent_usd"], values["own_h100_hq_idle_energy_usd"]
    assert rent[[0, 12]].tolist() == pytest.approx([2_000, 2_100])
    assert energy[[0, 12]].tolist() == pytest.approx([0.36 * 744, 0.36 * 744 * 1.1])


def test_residual_of_a_published_valuation():
    # SpotWire valuator v0.6: anchor 30,000, three years 0.46, used 0.72: 9,936.
    offer = dataclasses.replace(owned(), lot_usd=a(30_000.0))
    values, _ = rows(
        owned_lines(offer, SITE), common(decline_per_year=1 - 0.46 ** (1 / 3), selling_cost_frac=0),
        months=36, quantities={"own_h100_hq_bought": at(0, total=36)},
    )  # fmt: skip
    assert values["own_h100_hq_end_value_usd"].sum() == pytest.approx(-9_936)


def test_commitment_keeps_its_first_price_and_falls_due_beyond_the_horizon():
    values, npv = rows(
        commitment_lines(reserved()), common(rental=-0.5, tail_value_frac=0.25), total=24,
        quantities={"reserved_1y_h100_us_east_signed": at(6, total=24)},
    )  # fmt: skip
    # Signed in July 2027 at 2 x 0.5^0.5 USD: July to December has 4,416 h, January to June 2028
    # 4,368 h of which 25 % are taken to keep their value.
    hourly = 8 * 2 * 0.5**0.5 * 1.05
    assert npv == pytest.approx(hourly * (4_416 + 0.75 * 4_368))
    assert values["reserved_1y_h100_us_east_in_force"].tolist() == [0] * 6 + [1] * 12 + [0] * 6
    paid = values["reserved_1y_h100_us_east_paid_usd"]
    assert paid.sum() * 1.05 == pytest.approx(hourly * 8_784)
    assert paid[18:] == pytest.approx(np.zeros(6), abs=1e-9)


def test_renewed_commitment_takes_the_new_price():
    values, _ = rows(
        commitment_lines(reserved()), common(rental=-0.1), months=24, total=36,
        quantities={"reserved_1y_h100_us_east_signed": at(0, 3.0, 36) + at(12, 2.0, 36)},
    )  # fmt: skip
    rate = values["reserved_1y_h100_us_east_usd_per_h"]
    assert rate[[0, 11, 12, 23]].tolist() == pytest.approx([48, 48, 28.8, 28.8])
    assert rate[24:] == pytest.approx(np.zeros(12), abs=1e-9)


def test_on_demand_of_a_published_block():
    # 8 accelerators at 5.97 USD/h cost 47.76 USD an hour (AWS Capacity Blocks, October 2026).
    offer = dataclasses.replace(RENTED, usd_per_gpu_h=a(5.97))
    _, npv = rows(
        on_demand_lines(offer), common(cloud_support_frac=0.0),
        quantities={"on_demand_h100_us_east_lot_hours": at(4)},
    )  # fmt: skip
    assert npv == pytest.approx(47.76)


@pytest.mark.parametrize(("timing", "months"), [("start", 12), ("mid", 12.5), ("end", 13)])
def test_discounting_convention(timing, months):
    given = common(discount_rate=0.10, discount_timing=TIMING_MONTHS[timing])
    _, npv = rows(
        on_demand_lines(RENTED), given, months=24,
        quantities={"on_demand_h100_us_east_lot_hours": at(12, 100.0, 24)},
    )  # fmt: skip
    assert npv == pytest.approx(100 * 8 * 3 * 1.05 / 1.1 ** (months / 12))


def test_api_tokens():
    _, npv = rows(
        api_lines(API), common(api_per_year=-0.1), months=24,
        quantities={
            "api_nebius_llama_input_mtokens": at(0, 100.0, 24),
            "api_nebius_llama_cached_mtokens": at(0, 40.0, 24),
            "api_nebius_llama_output_mtokens": at(12, 10.0, 24),
        },
    )  # fmt: skip
    assert npv == pytest.approx(100 * 1 + 40 * 0.25 + 10 * 3 * 0.9)


def test_api_without_a_cache_price_charges_cached_tokens_in_full():
    _, npv = rows(
        api_lines(dataclasses.replace(API, cached_input_usd_per_mtoken=None)),
        quantities={"api_nebius_llama_cached_mtokens": at(0, 40.0)},
    )
    assert npv == pytest.approx(40)


def test_energy_of_work():
    _, npv = rows(active_energy_lines(SITE), quantities={"energy_hq_it_kwh": at(3, 1_000.0)})
    assert npv == pytest.approx(1_000 * 1.2 * 0.10)


PERIODS, QUARTER, HORIZON, TOTAL = 4, 3, 12, 48
CALENDAR = calendar_quantities("2027-01", HORIZON, TOTAL)
ORDERS = monthly_orders(periods=PERIODS, period_months=QUARTER, total_months=TOTAL)
SPREAD = monthly_spread(periods=PERIODS, period_months=QUARTER, hours=CALENDAR["hours"])
RICH = common(
    capex=-0.15, rental=-0.1, api_per_year=-0.2, discount_rate=0.09, tail_value_frac=0.3,
    electricity_per_year=0.04, rent_per_year=0.03,
)  # fmt: skip
OPTIONS = {
    "own_h100_hq_bought": (owned_lines(owned(lead=3), SITE), ORDERS),
    "own_mi300x_hq_bought": (owned_lines(owned(network=True, accelerator="mi300x"), SITE), ORDERS),
    "reserved_1y_h100_us_east_signed": (commitment_lines(reserved()), ORDERS),
    "reserved_3y_h100_us_east_signed": (commitment_lines(reserved(36, "reserved_3y")), ORDERS),
    "on_demand_h100_us_east_lot_hours": (on_demand_lines(RENTED), SPREAD),
    "api_nebius_llama_input_mtokens": (api_lines(API), SPREAD),
    "api_nebius_llama_cached_mtokens": (api_lines(API), SPREAD),
    "api_nebius_llama_output_mtokens": (api_lines(API), SPREAD),
    "energy_hq_it_kwh": (active_energy_lines(SITE), SPREAD),
}


def coefficient(key, measure=unit_npv, **more):
    option, by_month = OPTIONS[key]
    lines, inputs = assemble([common_lines(RICH), option])
    return measure(
        lines, input_values(inputs), quantity_key=key, by_month=by_month, calendar=CALENDAR, **more
    )


@pytest.mark.parametrize("keys", [*[[key] for key in OPTIONS], list(OPTIONS)], ids=len)
@pytest.mark.parametrize("seed", range(3))
def test_quantity_times_coefficient_is_the_ledgers_npv(keys, seed):
    rng = np.random.default_rng(seed)
    lots = {key: rng.uniform(0, 1e4, PERIODS) for key in keys}
    lines, inputs = assemble([common_lines(RICH), *(OPTIONS[key][0] for key in keys)])
    by_month = {key: lots[key] @ OPTIONS[key][1] for key in keys}
    values = ledger.evaluate(lines, input_values(inputs), {**CALENDAR, **by_month}, TOTAL)
    summed = sum(float(lots[key] @ coefficient(key)) for key in keys)
    assert summed == pytest.approx(float(npv_usd(lines, values)), rel=1e-9)


def test_capex_of_a_unit_is_cash_undiscounted():
    # 131 % of 100,000 falling 15 % a year, at the starts of quarters.
    capex = coefficient("own_h100_hq_bought", unit_cash, category="capex")
    assert capex.tolist() == pytest.approx([131_000 * 0.85**t for t in (0, 0.25, 0.5, 0.75)])
    assert not coefficient("energy_hq_it_kwh", unit_cash, category="capex").any()


def test_quantities_by_period_fall_into_months():
    # First quarter of 2027: 744 + 672 + 744 = 2,160 h.
    assert SPREAD[0, :4].tolist() == pytest.approx([744 / 2160, 672 / 2160, 744 / 2160, 0])
    assert SPREAD.sum(axis=1) == pytest.approx(np.ones(4))
    assert np.argwhere(ORDERS).tolist() == [[0, 0], [1, 3], [2, 6], [3, 9]]


def test_coefficient_of_an_unknown_quantity_is_refused():
    option, by_month = OPTIONS["energy_hq_it_kwh"]
    lines, inputs = assemble([common_lines(RICH), option])
    for key in ("energy_hq_it_mwh", "energy_hq_usd"):
        with pytest.raises(ValueError, match="no quantity line"):
            unit_values(
                lines, input_values(inputs), quantity_key=key, by_month=by_month, calendar=CALENDAR
            )


def test_shared_rows_stand_once_and_contradictions_are_refused():
    lines, inputs = assemble(
        [common_lines(RICH), OPTIONS["own_h100_hq_bought"][0], active_energy_lines(SITE)]
    )
    assert sum(given.name == "site_hq_pue" for given in inputs) == 1
    assert len({line.key for line in lines}) == len(lines)
    dearer = dataclasses.replace(SITE, pue=a(1.5))
    with pytest.raises(ValueError, match="'site_hq_pue' is given twice"):
        assemble([active_energy_lines(SITE), active_energy_lines(dearer)])
    with pytest.raises(ValueError, match="line 'own_h_100_hq_bought' is given twice"):
        assemble([owned_lines(owned(accelerator=name), SITE) for name in ("h-100", "h_100")])


def test_every_row_can_be_explained():
    lines, inputs = assemble([common_lines(RICH), *(option for option, _ in OPTIONS.values())])
    names = [given.name for given in inputs]
    assert all(name.isidentifier() for name in [*names, *(line.key for line in lines)])
    assert set(COMMON_INPUTS) < set(names)
    assert all(given.label and given.unit and given.source and given.as_of for given in inputs)
    for line in lines:
        assert line.label
        assert line.unit
        if line.kind == "cash":
            assert (line.unit, bool(line.category), bool(line.group)) == ("USD", True, True)


def test_an_offer_takes_no_other_sites_costs():
    with pytest.raises(ValueError, match="costs are those of 'elsewhere'"):
        owned_lines(owned(), dataclasses.replace(SITE, site="elsewhere"))


def test_dumped_lines_load_again():
    lines, _ = assemble([common_lines(RICH), *(option for option, _ in OPTIONS.values())])
    assert ledger.load(ledger.dump(lines)) == lines


@pytest.mark.slow
def test_coefficients_of_a_large_problem_take_half_a_second():
    # 12 accelerators x 3 sites, bought, reserved for 1 and 3 years, on demand; 16 quarters over
    # 84 months. 0.15 s on one core of a 2-core machine.
    calendar = calendar_quantities("2027-01", 48, 84)
    orders = monthly_orders(periods=16, period_months=3, total_months=84)
    base = common_lines(RICH)
    started = time.process_time()
    for accelerator in (f"gpu{i}" for i in range(12)):
        for site in ("a", "b", "c"):
            place = dataclasses.replace(SITE, site=site)
            options = {
                "own_{}_{}_bought": owned_lines(owned(accelerator=accelerator, site=site), place),
                **{
                    f"reserved_{years}y_{{}}_{{}}_signed": commitment_lines(
                        dataclasses.replace(
                            reserved(12 * years, f"reserved_{years}y", accelerator), site=site
                        )
                    )
                    for years in (1, 3)
                },
                "on_demand_{}_{}_lot_hours": on_demand_lines(
                    dataclasses.replace(RENTED, accelerator=accelerator, site=site)
                ),
            }
            for name, option in options.items():
                lines, inputs = assemble([base, option])
                usd = unit_npv(
                    lines, input_values(inputs), quantity_key=name.format(accelerator, site),
                    by_month=orders, calendar=calendar,
                )  # fmt: skip
                assert np.all(usd > 0)
    assert time.process_time() - started < 0.5


def test_residual_curve_by_hand():
    # 0.80 after one year, 0.50 after two, nothing said later. Bought in months 0 and 6 of 24, at
    # 100,000 each: 24 months old keeps 0.50, 18 months old halfway from 0.80 to 0.50.
    given = dataclasses.replace(common(), residual_curve=(a(0.8), a(0.5)))
    offer = dataclasses.replace(owned(), curve_years=2)
    values, _ = rows(
        owned_lines(offer, SITE), given, months=24,
        quantities={"own_h100_hq_bought": at(0, total=24) + at(6, total=24)},
    )  # fmt: skip
    kept = values["own_h100_hq_kept_value_usd"]
    assert kept[23] == pytest.approx(50_000 + 65_000)
    assert kept[11] == pytest.approx(80_000 + 90_000)  # 12 and 6 months old
    assert values["own_h100_hq_end_value_usd"][23] == pytest.approx(-115_000 * 0.72 * 0.9)


def test_beyond_its_last_year_a_residual_curve_is_level():
    given = dataclasses.replace(common(), residual_curve=(a(0.8),))
    values, _ = rows(
        owned_lines(dataclasses.replace(owned(), curve_years=1), SITE), given, months=36,
        quantities={"own_h100_hq_bought": at(0, total=36)},
    )  # fmt: skip
    assert values["own_h100_hq_kept_value_usd"][[5, 11, 20, 35]].tolist() == pytest.approx(
        [90_000, 80_000, 80_000, 80_000]
    )
