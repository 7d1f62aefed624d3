"""Checks between books: each holds on a whole plan and fails on one that is broken there."""

from io import BytesIO

import openpyxl
import pytest

from planner.finance import deferred
from planner.report import recost
from planner.report.ledger_view import view
from planner.report.workbook import workbook_bytes
from tests.compared_plan import compared_plan
from tests.taxed_world import answered, leased

NAMES = {
    "hours": "Hours of all load blocks = hours of the calendar",
    "fleet": "Machines ordered on Fleet = in the ledger",
    "paid": "Signed and ordered = paid under contracts and orders",
    "owed": "Owed at the end of the horizon = paid after it",
    "register": "Asset register rolls forward: cost - depreciation = net book value",
    "payment": "Shares of a purchase paid by delivery are at most all of it",
}
BAD = "A check fails: see sheet Checks"


def whole():
    return answered()[1].model_copy(update={"gap_frac": 0.0})


def held(plan) -> dict[str, bool]:
    """Whether each of the checks holds; the flag says the same."""
    values = openpyxl.load_workbook(BytesIO(workbook_bytes(plan)), data_only=True)
    rows = {row[0].value: row[4].value for row in values["Checks"].iter_rows()}
    found = {key: rows[name] == 1 for key, name in NAMES.items()}
    assert all(found.values()) or values["Cover"]["B5"].value == BAD
    return found


def test_all_hold_on_a_whole_plan():
    assert set(held(whole()).values()) == {True}


def test_one_machine_more_on_the_fleet_sheet_than_in_the_ledger():
    plan = whole()
    row = plan.fleet[0]
    more = row.model_copy(update={"lots_ordered": [row.lots_ordered[0] + 1, *row.lots_ordered[1:]]})
    found = held(plan.model_copy(update={"fleet": [more, *plan.fleet[1:]]}))
    assert [key for key, holds in found.items() if not holds] == ["fleet"]


def test_an_hour_that_no_block_has():
    plan = whole()
    first = plan.blocks[0]
    short = first.model_copy(update={"hours": [first.hours[0] - 1, *first.hours[1:]]})
    found = held(plan.model_copy(update={"blocks": [short, *plan.blocks[1:]]}))
    assert not found["hours"]


def test_a_contract_of_which_half_is_paid():
    plan = whole()
    lines = [
        {**line, "formula": f"({line['formula']}) * (1 - 1 / (1 + 1))"}
        if line["key"].endswith("_paid_usd") and line["category"] == "commitments"
        else line
        for line in plan.ledger_lines
    ]
    assert lines != plan.ledger_lines
    assert not held(plan.model_copy(update={"ledger_lines": lines}))["paid"]


def test_more_than_all_of_a_purchase_paid_by_delivery():
    # 0.7 with the order and 0.6 at delivery: the rest would be paid back at acceptance.
    changes = {"payment_order_frac": 0.7, "payment_delivery_frac": 0.6}
    found = held(recost(whole(), changes))
    assert [key for key, holds in found.items() if not holds] == ["payment"]


def test_the_page_of_options_is_tied_where_there_is_one():
    name = "The plan on Options = net present cost"
    values = openpyxl.load_workbook(BytesIO(workbook_bytes(compared_plan())), data_only=True)
    rows = {row[0].value: row for row in values["Checks"].iter_rows()}
    assert rows[name][4].value == 1
    assert rows[name][1].value == pytest.approx(compared_plan().npv_usd)


@pytest.mark.parametrize(
    ("standard", "spoiled", "red"),
    [
        ("ifrs_16", "_lease_liability_usd",
         ["lease liability", "expense of the period"]),
        ("ifrs_16", "_right_of_use_used_usd", ["right-of-use asset", "expense of the period"]),
        ("asc_842", "_right_of_use_usd", ["right-of-use asset"]),
    ],
)  # fmt: skip
def test_leases_by_contract_are_tied_to_the_ledger(standard, spoiled, red):
    plan = leased(standard)
    assert set(leases_held(plan).values()) == {True}
    lines = [
        {**line, "formula": f"({line['formula']}) * 100 / (100 + 1)"}
        if line["key"].endswith(spoiled) else line
        for line in plan.ledger_lines
    ]  # fmt: skip
    found = leases_held(plan.model_copy(update={"ledger_lines": lines}))
    assert [what for what, holds in found.items() if not holds] == red


def leases_held(plan) -> dict[str, bool]:
    values = openpyxl.load_workbook(BytesIO(workbook_bytes(plan)), data_only=True)
    name = "Leases by contract = ledger: "
    rows = [row for row in values["Checks"].iter_rows() if str(row[0].value).startswith(name)]
    return {row[0].value.removeprefix(name): row[4].value == 1 for row in rows}


DEFERRED = (
    "Asset register = ledger: deferred tax", "Deferred tax over the whole life = 0",
    "Tax expense of every year = enacted rate on its cost",
)  # fmt: skip


@pytest.mark.parametrize(
    ("end", "spoiled", "red"),
    [
        ("own_l40s_hq_deferred_liability_usd", "({}) * 100 / (100 + 1)", [0, 2]),
        ("own_l40s_hq_deferred_tax_usd", "({}) + last_month", [1, 2]),
        ("_net_book_usd", "{}", []),
    ],
)
def test_deferred_tax_is_tied_to_the_books(end, spoiled, red):
    plan = whole()
    lines = [
        {**line, "formula": spoiled.format(line["formula"])} if line["key"].endswith(end) else line
        for line in plan.ledger_lines
    ]
    assert any(line["key"].endswith(end) for line in lines)
    raw = workbook_bytes(plan.model_copy(update={"ledger_lines": lines}))
    values = openpyxl.load_workbook(BytesIO(raw), data_only=True)
    held = {row[0].value: row[4].value for row in values["Checks"].iter_rows()}
    assert [place for place, name in enumerate(DEFERRED) if held[name] != 1] == red


def test_deferred_tax_moves_no_cash():
    plan = whole()
    before = view(plan)
    lines = [line for line in plan.ledger_lines if line["category"] != deferred.TAX]
    after = view(plan.model_copy(update={"ledger_lines": lines}))
    assert len(lines) < len(plan.ledger_lines)
    assert after.npv_usd == before.npv_usd == pytest.approx(plan.npv_usd)
    assert after.profit_usd.sum() == pytest.approx(before.profit_usd.sum())
    assert abs(after.profit_usd - before.profit_usd).max() > 1
