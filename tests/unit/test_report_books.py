"""Sheets and sections of the books: profit and loss, assets, commitments, leases, tax."""

import re
from io import BytesIO

import openpyxl
import pytest

from planner import report
from planner.report.contracts import contracts, leases, uses
from planner.report.html import html_text
from planner.report.ledger_view import view
from planner.report.profit import costs_of
from planner.report.workbook import FUNCTIONS, workbook_bytes
from tests.taxed_world import answered, company
from tests.unit.test_report_workbook import formulas, relative, tokens

KEY = "reserved_1y_l40s_cloud"
BOOKS = ("P&L", "P&L months", "Assets", "Commitments", "Tax")


@pytest.fixture(scope="module")
def plan():
    return answered()[1]


@pytest.fixture(scope="module")
def raw(plan):
    return workbook_bytes(plan)


@pytest.fixture(scope="module")
def book(raw):
    return openpyxl.load_workbook(BytesIO(raw))


@pytest.fixture(scope="module")
def values(raw):
    return openpyxl.load_workbook(BytesIO(raw), data_only=True)


def row_of(sheet, label: str, nth: int = 0) -> int:
    """Row of a label, counted from 0 where it stands more than once."""
    return [cell.row for cell in sheet["A"] if cell.value == label][nth]


def cells(sheet, row: int, first: int = 4) -> list:
    return [cell.value for cell in sheet[row][first - 1 :] if cell.value is not None]


def test_sheets_of_the_books_are_there(book):
    assert set(BOOKS) <= set(book.sheetnames)


def test_no_numbers_hide_and_functions_are_common(book):
    for cell in formulas(book):
        if cell.parent.title not in BOOKS:
            continue
        for token in tokens(cell):
            if token.type == "OPERAND" and token.subtype == "NUMBER":
                assert token.value in {"0", "1", "12", "100"}, (cell.parent.title, cell.coordinate)
            if token.type == "FUNC" and token.subtype == "OPEN":
                assert token.value[:-1] in FUNCTIONS


@pytest.mark.parametrize(("title", "first"), [("P&L months", 7), ("P&L", 4), ("Tax", 4)])
def test_one_formula_a_row(book, title, first):
    rows = 0
    for row in book[title].iter_rows(min_row=5, min_col=first):
        patterns = {relative(cell) for cell in row if cell.data_type == "f"}
        assert len(patterns) <= 1, (title, row[0].row, sorted(patterns)[:2])
        rows += bool(patterns)
    assert rows > 10


def test_cost_in_the_books_is_cash_over_the_whole_life(values, plan):
    sheet, seen = values["P&L"], view(plan)
    total = sheet.cell(row_of(sheet, "Cost in profit and loss"), 3).value
    assert total * 1000 == pytest.approx(seen.cash_usd.sum(), rel=1e-9)
    assert sheet.cell(row_of(sheet, "Cash out less cost"), 3).value == pytest.approx(0, abs=1e-9)


def test_parts_add_up_to_the_total(plan):
    seen = view(plan)
    added = sum(cost.usd(seen) for cost in costs_of(seen))
    assert added == pytest.approx(seen.profit_usd, rel=1e-9, abs=1e-6)


def test_every_line_of_the_plan_stands_under_its_group(values):
    sheet = values["P&L"]
    head = row_of(sheet, "Cost in the books by line of sheet Costs")
    last = row_of(sheet, "Lines of what the plan does not use")
    amounts = [sheet.cell(row, 3).value for row in range(head + 1, last + 1)]
    total = sheet.cell(row_of(sheet, "Cost in profit and loss"), 3).value
    assert sum(x for x in amounts if x is not None) == pytest.approx(total, rel=1e-9)
    assert sheet.cell(last, 3).value == pytest.approx(0, abs=1e-9)


def test_book_life_moves_the_books_and_no_cash(plan):
    again = report.recost(plan, {"finance.book_life_years": 3})
    old, new = (
        openpyxl.load_workbook(BytesIO(workbook_bytes(x)), data_only=True) for x in (plan, again)
    )
    for title, label in (("P&L", "Depreciation"), ("Assets", "All orders")):
        sheets = old[title], new[title]
        first = [cells(x, row_of(x, label, -1 if title == "P&L" else 1), 4)[0] for x in sheets]
        # Five years became three.
        assert first[1] / first[0] == pytest.approx(5 / 3, rel=1e-9)
    cash = row_of(old["Cash"], "Present value of cash out (total: net present cost)")
    assert old["Cash"].cell(cash, 5).value == new["Cash"].cell(cash, 5).value


def test_register_of_the_first_order(values, plan):
    sheet = values["Assets"]
    # Four nodes ordered in January 2027 enter service in April: nine months of sixty.
    cost = sheet.cell(5, 9).value
    depreciation = next(
        row for row in range(8, 30)
        if sheet.cell(row, 1).value == "Book depreciation by fiscal year"
    )  # fmt: skip
    assert sheet.cell(5, 4).value == 1
    assert sheet.cell(5, 7).value == 4
    assert sheet.cell(depreciation + 1, 4).value == pytest.approx(cost * 9 / 60)
    # MACRS table A-1: 20 % in the first year, 32 % in the second.
    basis = row_of(sheet, "Tax basis at year end, federal, before disposal")
    assert cells(sheet, basis + 1) == pytest.approx([cost * 0.8, cost * 0.48])


def test_contract_owes_the_unpaid_half_of_what_remains(values, plan):
    # Signed in October 2028 for 12 months, half upfront: at the end of December 2028 it owes half
    # of the rate for the hours of January to September 2029, 273 days.
    seen = view(plan)
    (one,) = contracts(seen)
    owed = one.usd_per_h * 0.5 * 273 * 24
    sheet = values["Commitments"]
    assert sheet.cell(5, 4).value == 22
    assert sheet.cell(5, 9).value == "After horizon"
    assert cells(sheet, row_of(sheet, "Commitments", 1))[-1] == pytest.approx(owed)
    assert one.value_usd == pytest.approx(one.usd_per_h * 365 * 24)
    assert sheet.cell(5, 13).value == pytest.approx(one.value_usd / 2)
    assert cells(sheet, row_of(sheet, "Expires after the horizon"))[-1] == pytest.approx(owed)
    assert seen.obligations_usd[23] == pytest.approx(owed)


def test_termination_follows_the_share_owed(values):
    sheet = values["Commitments"]
    owed = cells(sheet, row_of(sheet, "Commitments", 1))
    assert cells(sheet, row_of(sheet, "Cost of ending all contracts")) == owed


def test_use_counts_committed_hours_of_the_machines(plan):
    (found,) = uses(plan)
    row = next(x for x in plan.fleet if x.option == "reserved_1y")
    hours = sum(
        lots * block
        for t in range(len(plan.periods))
        for lots, block in zip(row.lots_by_block[t], [b.hours[t] for b in plan.blocks], strict=True)
    )
    assert found.committed_h == pytest.approx(hours * row.lot_gpus)
    assert 0 <= found.used_h <= found.committed_h
    assert found.keys == (KEY,)


def test_capacity_of_a_pool_is_a_service(plan):
    seen = view(plan)
    (one,) = leases(plan, seen, contracts(seen))
    assert one.read.treatment == "service"
    assert one.schedule is None


def test_named_machines_are_a_lease_with_its_schedule(plan):
    stated = {"dedicated": ["reserved_1y"], "short_term_elected": False}
    finance = {**plan.scenario["finance"], "lease": stated}
    leased = plan.model_copy(update={"scenario": {**plan.scenario, "finance": finance}})
    seen = view(leased)
    (one,) = leases(leased, seen, contracts(seen))
    assert one.read.treatment == "operating"
    assert one.schedule is not None
    # All that is expensed is what is paid: the half upfront and the half by month.
    assert one.schedule.expense.sum() == pytest.approx(one.contract.value_usd)
    assert one.schedule.asset[-1] == pytest.approx(0, abs=1e-6)
    sheet = openpyxl.load_workbook(BytesIO(workbook_bytes(leased)), data_only=True)["Commitments"]
    started = sheet.cell(row_of(sheet, "Right-of-use asset"), 3).value
    assert started == pytest.approx(one.schedule.initial_asset)


def test_tax_saved_is_deductions_times_rates(values, plan):
    # 21 % federal and 6 % state, which federal tax deducts: 0.06 x 0.79 = 4.74 % more.
    sheet = values["Tax"]
    saved = cells(sheet, row_of(sheet, "Tax saved"))
    federal = cells(sheet, row_of(sheet, "Deducted from federal income"))
    assert saved == pytest.approx([x * 0.2574 for x in federal])
    assert sum(saved) * 1000 == pytest.approx(-view(plan).category_usd("tax").sum())
    assert cells(sheet, row_of(sheet, "Convention that the test asks for"))[0] == "half-year"


def test_company_tax_shows_income_and_losses():
    values = openpyxl.load_workbook(BytesIO(workbook_bytes(company())), data_only=True)
    sheet = values["Tax"]
    other = cells(sheet, row_of(sheet, "Other income"))
    assert other[0] * 1000 == pytest.approx(70_000)
    used = cells(sheet, row_of(sheet, "Deductions used"))
    assert all(x <= y + 1e-9 for x, y in zip(used, other, strict=True))
    assert cells(sheet, row_of(sheet, "Tax saved")) == pytest.approx([x * 0.25 for x in used])


def test_codes_are_named_and_listed(book, values):
    sheet = book["Inputs"]
    rows = {sheet.cell(r, 9).value: r for r in range(5, sheet.max_row + 1)}
    assert values["Inputs"].cell(rows["tax_method"], 3).value == "macrs_5"
    assert values["Inputs"].cell(rows["tax_convention"], 3).value == "auto"
    assert values["Inputs"].cell(rows["state_bonus_conforms"], 3).value in {"yes", "no"}
    lists = {str(x.sqref): x for x in sheet.data_validations.dataValidation if x.type == "list"}
    assert lists[f"B{rows['tax_method']}"].formula1 == '"1,2,3,4,5"'
    assert "4 macrs_5" in lists[f"B{rows['tax_method']}"].prompt


def test_covers_say_after_tax(values):
    assert values["Decision"]["A7"].value.startswith("after tax")
    shown = [values["Cover"].cell(row, 3).value for row in range(7, 16)]
    assert any(str(text).startswith("after tax") for text in shown)


def test_the_page_has_the_books(plan):
    text = html_text(plan)
    assert re.findall(r'<section id="([a-z-]+)"', text)[8:13] == [
        "costs", "profit", "assets", "commitments", "tax",
    ]  # fmt: skip
    assert "Owed at period end, by expiry" in text
    assert "A service: no identified asset" in text


def test_sale_at_the_end_of_the_horizon_by_hand(values, plan):
    # Three nodes of 5,000 USD ordered in January 2027 serve from April on, 21 months: they keep
    # 0.7 ^ (21 / 12) of 15,000, of which 72 % for their condition and 90 % after selling cost.
    sheet = values["Assets"]
    row = row_of(sheet, "Sale at the end of the horizon") + 1
    months, proceeds, book, gain, basis, taxed = cells(sheet, row, 3)
    assert months == 21
    assert proceeds == pytest.approx(15_000 * 0.7**1.75 * 0.72 * 0.9)
    # 19,650 with network and the rest, over 60 months; tax has taken 20 and 32 %, and
    # 48 % are left.
    assert book == pytest.approx(19_650 * (60 - 21) / 60)
    assert basis == pytest.approx(19_650 * 0.48)
    assert gain == pytest.approx(proceeds - book)
    assert taxed == pytest.approx(proceeds - basis)


def test_books_are_checked_against_the_ledger(plan):
    sheet = openpyxl.load_workbook(BytesIO(workbook_bytes(plan)))["Checks"]
    names = [str(cell.value) for cell in sheet["A"]]
    assert sum(name.startswith("Asset register") for name in names) == 7
    assert "Owed by contract = ledger" in names
    assert "Tax saved by deductions and rates = ledger" in names


def test_frames_hold_the_books(plan):
    seen, found = view(plan), report.frames(plan)
    assert found["profit"]["total"].sum() == pytest.approx(seen.cash_usd.sum(), rel=1e-9)
    orders = found["assets"].drop_duplicates(["group", "ordered"])
    (bought,) = [line.key for line in seen.lines if line.category == "orders"]
    assert orders["cost_usd"].sum() == pytest.approx(seen.values[bought].sum())
    (contract,) = found["commitments"].to_dict("records")
    assert contract["upfront_usd"] == pytest.approx(contract["value_usd"] / 2)
    peak = report.metrics(plan)["peak_obligations_usd"]
    assert peak == pytest.approx(seen.obligations_usd.max())
