"""Sheets that compare: Options and Scenarios; the front pages say when another option is shown."""

from io import BytesIO

import openpyxl
import pytest

from planner.report.option_figures import option_figures
from planner.report.workbook import workbook_bytes
from tests.compared_plan import compared_plan
from tests.plan_fixture import small_plan


@pytest.fixture(scope="module")
def raw() -> bytes:
    return workbook_bytes(compared_plan())


@pytest.fixture(scope="module")
def values(raw):
    return openpyxl.load_workbook(BytesIO(raw), data_only=True)


def row_of(sheet, label):
    return next(cell.row for cell in sheet["A"] if cell.value == label)


def test_sheets_exist_only_where_there_are_options(values):
    assert {"Options", "Scenarios"} <= set(values.sheetnames)
    alone = openpyxl.load_workbook(BytesIO(workbook_bytes(small_plan())))
    assert not {"Options", "Scenarios"} & set(alone.sheetnames)


def test_differences_to_the_plan_add_up(values):
    sheet = values["Options"]
    plan, rented = row_of(sheet, "The plan"), row_of(sheet, "All on demand")
    npv = {row: sheet.cell(row, 3).value for row in (plan, rented)}
    assert npv[plan] == pytest.approx(compared_plan().npv_usd / 1e6)
    assert sheet.cell(rented, 4).value == pytest.approx(npv[rented] - npv[plan])
    assert sheet.cell(plan, 4).value == 0


def test_who_serves_less_has_no_difference(values):
    sheet = values["Options"]
    for label, serves in (("All owned", "late"), ("Do nothing", "no one")):
        row = row_of(sheet, label)
        assert sheet.cell(row, 2).value == serves
        assert sheet.cell(row, 4).value == "serves less"


def test_an_option_that_cannot_serve_shows_its_reason_as_text(values, raw):
    sheet = values["Options"]
    row = row_of(sheet, "API only")
    assert [sheet.cell(row, column).value for column in (2, 3, 4)] == ["cannot", "n/a", "n/a"]
    cell = next(c for c in openpyxl.load_workbook(BytesIO(raw))["Options"]["B"]
                if c.value == "=no provider")  # fmt: skip
    assert cell.data_type == "s"


def test_the_switch_stands_on_the_plan(values):
    assert values["Scenarios"]["E8"].value == 1
    assert values["Scenarios"]["E9"].value == "The plan"
    assert values["Cover"]["C5"].value == "Inputs as solved"


def test_figures_of_an_option_by_hand():
    # Owned: purchases alone are firm, nothing else is a commitment.
    plan = compared_plan()
    owned = next(f for f in option_figures(plan) if f.row.name == "owned")
    assert owned.capex_usd == pytest.approx(owned.firm_usd)
    # Orders at 3.1 million x 1.06, 10 % less a year.
    orders = owned.row.ledger_quantities["buy_gb200"]
    by_hand = sum(
        count * 3_100_000 * 1.06 * 0.9 ** (month / 12) for month, count in enumerate(orders)
    )
    assert owned.capex_usd == pytest.approx(by_hand)
    assert sum(owned.cash_usd_by_year.values()) == pytest.approx(owned.cash_usd.sum())
    assert owned.peak_usd >= owned.cash_usd.sum()  # the end value comes back last


def test_decision_compares_says_what_breaks_it_and_asks_for_names(values):
    labels = [cell.value for cell in values["Decision"]["A"] if cell.value]
    for wanted in ("Against what", "All on demand", "What breaks it", "Prepared by", "Approved by"):
        assert wanted in labels
    assert compared_plan().scenario_sha256 in labels[-2]
    assert compared_plan().tool_version in labels[-1]


def test_decision_shows_the_three_largest_swings(values):
    sheet = values["Sensitivity"]
    first = [sheet.cell(row, 1).value for row in range(6, 9)]
    swings = [abs(sheet.cell(r, 9).value - sheet.cell(r, 8).value) for r in range(6, 12)]
    assert swings == sorted(swings, reverse=True)
    labels = [cell.value for cell in values["Decision"]["A"]]
    start = labels.index("Same fleet, one driver at a time") + 1
    assert labels[start : start + 3] == first
