"""Tokens against demand, power against limits, the export against the books: right, and spoiled."""

from io import BytesIO

import openpyxl
import pytest

from planner.report.workbook import workbook_bytes
from tests.taxed_world import answered

BAD = "A check fails: see sheet Checks"
NAMES = ("Tokens of ", "Contracted power ", "FOCUS export")


def whole():
    return answered()[1].model_copy(update={"gap_frac": 0.0})


def book_of(plan):
    return openpyxl.load_workbook(BytesIO(workbook_bytes(plan)), data_only=True)


def red(plan) -> list[str]:
    """Checks of these kinds that fail; the flag says that one does."""
    values = book_of(plan)
    rows = [row for row in values["Checks"].iter_rows() if str(row[0].value).startswith(NAMES)]
    assert len(rows) >= 5  # three classes, one site, the export
    failed = [row[0].value for row in rows if row[4].value != 1]
    assert not failed or values["Cover"]["B5"].value == BAD
    return failed


def row_of(sheet, label, nth=0):
    return [cell.row for cell in sheet["A"] if cell.value == label][nth]


def test_all_hold_on_a_whole_plan():
    assert red(whole()) == []


def test_tokens_by_hand():
    # All requests of class large go to an API: requests of every block x tokens of a request.
    plan = whole()
    traffic = next(row for row in plan.demand if row.name == "large")
    seconds = sum(
        rate * hours * 3600
        for by_block, t in zip(traffic.mean_rps, range(len(plan.periods)), strict=True)
        for rate, hours in zip(by_block, [b.hours[t] for b in plan.blocks], strict=True)
    )
    tokens = seconds * (traffic.input_tokens_mean + traffic.output_tokens_mean) / 1e9
    sheet = book_of(plan)["Balances"]
    bought = row_of(sheet, "Bought from APIs, of sheet Costs")
    assert sheet.cell(bought, 3).value == pytest.approx(tokens, rel=1e-9)
    group = row_of(sheet, "Tokens of class large")
    assert sheet.cell(bought - 1, 3).value == pytest.approx(0, abs=1e-6)  # by machines
    assert group < bought


def test_tokens_that_nobody_bought():
    plan = whole()
    key = next(k for k in plan.ledger_quantities if k.endswith("_output_mtokens"))
    less = [x * 0.99 for x in plan.ledger_quantities[key]]
    spoiled = {**plan.ledger_quantities, key: less}
    assert red(plan.model_copy(update={"ledger_quantities": spoiled})) == [
        "Tokens of large served, of those demanded"
    ]


def with_site(plan, **changes):
    sites = [{**site, **changes} if site["kind"] != "cloud" else site
             for site in plan.scenario["sites"]]  # fmt: skip
    return plan.model_copy(update={"scenario": {**plan.scenario, "sites": sites}})


POWER = ["Contracted power at hq within the site's limit"]


def test_more_power_than_the_site_has():
    # 8.96 % of 200 kW is in service: 17.92 kW.
    plan = whole()
    held = max(
        sum(row.lots_in_service[t] * row.lot_kw for row in plan.fleet if row.site == "hq")
        for t in range(len(plan.periods))
    )
    assert held == pytest.approx(17.92)
    assert red(with_site(plan, it_power_kw=17.92)) == []
    assert red(with_site(plan, it_power_kw=17.91)) == POWER


def test_a_feed_is_divided_by_pue():
    plan = whole()
    pue = next(row.value for row in plan.ledger_inputs if row.name == "site_hq_pue")
    feed = {"it_power_kw": None}
    assert red(with_site(plan, **feed, feed_kw=17.93 * pue)) == []
    assert red(with_site(plan, **feed, feed_kw=17.91 * pue)) == POWER


def test_machines_at_a_site_that_is_not_open_yet():
    assert red(with_site(whole(), available_from="2028-12")) == POWER
    assert red(with_site(whole(), available_from="2027-01")) == []


def test_a_category_that_the_export_refuses():
    plan = whole()
    lines = [
        {**line, "category": "magic"} if line["category"] == "insurance" else line
        for line in plan.ledger_lines
    ]
    assert red(plan.model_copy(update={"ledger_lines": lines})) == [
        "FOCUS export: billed cost = cash out",
        "FOCUS export: effective cost = cost in profit and loss",
    ]
