"""Sensitivities and metrics: by hand where all cash moves, by the ledger where only some does."""

from io import BytesIO

import numpy as np
import openpyxl
import pytest

from planner.report import recost
from planner.report.option_figures import option_figures
from planner.report.sensitivity import (
    DISCOUNT,
    Driver,
    break_even,
    drivers,
    exposure,
    line_shares,
    npv_at,
)
from planner.report.sheet_metrics import requests_of, use_of
from planner.report.workbook import workbook_bytes
from tests import small_world
from tests.compared_plan import compared_plan


@pytest.fixture(scope="module")
def rented():
    """A fleet of rented machines alone: all of its cash is rent and support on rent."""
    plan = small_world.decide(small_world.scenario(supply={"options": ["on_demand"]}))[1]
    return plan.model_copy(update={"options": [plan.as_option()]})


def named(view, name) -> Driver:
    return next(driver for driver in drivers(view) if driver.name == name)


def test_where_all_cash_is_rent_it_all_moves_with_rent(rented):
    figures = option_figures(rented)
    driver = named(figures[0].view, "rental")
    found = exposure(driver, figures[0], line_shares(driver, figures))
    assert found.linear
    assert set(found.shares.values()) == {1.0}
    assert found.slope_usd == pytest.approx(figures[0].npv_usd)
    assert found.high_usd == pytest.approx(1.2 * figures[0].npv_usd)
    assert found.low_usd == pytest.approx(0.8 * figures[0].npv_usd)


def test_the_break_even_of_two_rents_is_the_ratio_of_their_prices(rented):
    # The other fleet costs 150 and does not move: rent may rise until 1 + x = 150 / npv.
    figures = option_figures(rented)
    driver = named(figures[0].view, "rental")
    ours = exposure(driver, figures[0], line_shares(driver, figures))
    still = exposure(driver, figures[0], {})
    npv = figures[0].npv_usd
    assert break_even(ours, still, (npv, 1.5 * npv)) == pytest.approx(0.5)
    assert break_even(still, still, (npv, 1.5 * npv)) == float("inf")


GROUPS = {
    "capital": ["capex_gb200"],
    "rental": ["reserved_h100", "demand_h100"],
    "electricity": ["power_hq"],
    "rent": ["rent_hq"],
    "api": ["api_price_in", "api_price_out"],
    "residual": ["condition_frac"],
}


@pytest.mark.parametrize("name", [*GROUPS, DISCOUNT])
def test_each_driver_moves_the_plan_as_recosting_does(name):
    plan = compared_plan()
    figures = option_figures(plan)
    driver = named(figures[0].view, name)
    found = exposure(driver, figures[0], line_shares(driver, figures))
    values = {row.name: row.value for row in plan.ledger_inputs}
    for change, npv in ((driver.low, found.low_usd), (driver.high, found.high_usd)):
        changes = (
            {DISCOUNT: values[DISCOUNT] + change}
            if name == DISCOUNT
            else {key: values[key] * (1 + change) for key in GROUPS[name]}
        )
        assert sorted(changes) == sorted(driver.inputs)
        assert npv == pytest.approx(recost(plan, changes).npv_usd, rel=1e-12)
    assert found.linear == (name != DISCOUNT)


def test_at_the_break_even_both_fleets_cost_the_same():
    figures = option_figures(compared_plan())
    driver = named(figures[0].view, "rental")
    shares = line_shares(driver, figures)
    ours, theirs = (exposure(driver, option, shares) for option in figures[:2])
    change = break_even(ours, theirs, (figures[0].npv_usd, figures[1].npv_usd))
    assert -1 < change < 0
    both = [npv_at(option.view, driver, change) for option in figures[:2]]
    assert both[0] == pytest.approx(both[1])


def test_use_and_requests_by_hand():
    plan = small_world.decide(small_world.scenario(supply={"options": ["on_demand"]}))[1]
    (machines,) = plan.fleet
    lots = machines.lots_by_block[0][0]
    used = use_of(plan)
    assert used.in_service_h == pytest.approx(lots * machines.lot_gpus * 8760)
    assert 0 < used.utilization <= 1
    # 20 requests a second on working days, and the profile is flat.
    assert requests_of(plan, "chat") == pytest.approx(20 * 8760 * 3600)


def test_metrics_say_why_there_is_no_rate(tmp_path):
    values = openpyxl.load_workbook(BytesIO(workbook_bytes(compared_plan())), data_only=True)
    sheet = values["Metrics"]
    row = next(cell.row for cell in sheet["A"] if cell.value == "All on demand")
    plan, rented = option_figures(compared_plan())[:2]
    flow = rented.cash_usd - plan.cash_usd
    assert sheet.cell(row, 4).value == pytest.approx(flow.sum() / 1e6)
    changes = int((np.diff(np.sign(flow[flow != 0])) != 0).sum())
    irr, note = sheet.cell(row, 5).value, sheet.cell(row, 9).value
    assert (irr == "n/a") == bool(note)
    assert changes > 1 or irr != "n/a"
