"""The workbook's make: values beside formulas, one pattern a row, text that stays text."""

import re
import time
import zipfile
from io import BytesIO

import openpyxl
import pytest
from openpyxl.formula import Tokenizer
from openpyxl.utils import column_index_from_string

from planner.report.cache_values import with_values
from planner.report.sheet_cover import SHEETS
from planner.report.workbook import FUNCTIONS, workbook_bytes
from tests.compared_plan import compared_plan
from tests.plan_fixture import LINES, small_plan

REFERENCE = re.compile(r"(\$?)([A-Z]{1,3})(\$?)([0-9]+)")


@pytest.fixture(scope="module", params=[small_plan, compared_plan])
def plan(request):
    return request.param()


@pytest.fixture(scope="module")
def raw(plan) -> bytes:
    return workbook_bytes(plan)


@pytest.fixture(scope="module")
def book(raw):
    return openpyxl.load_workbook(BytesIO(raw))


@pytest.fixture(scope="module")
def values(raw):
    return openpyxl.load_workbook(BytesIO(raw), data_only=True)


def formulas(book):
    for sheet in book.worksheets:
        for row in sheet.iter_rows():
            yield from (cell for cell in row if cell.data_type == "f")


def tokens(cell):
    return Tokenizer(cell.value).items


def relative(cell) -> str:
    """The formula as seen from its cell: row and column steps, R1C1 in short."""

    def step(found: re.Match[str]) -> str:
        column = column_index_from_string(found[2])
        row = int(found[4])
        across = f"C{column}" if found[1] else f"C[{column - cell.column}]"
        down = f"R{row}" if found[3] else f"R[{row - cell.row}]"
        return down + across

    return REFERENCE.sub(step, cell.value)


def test_sheets_stand_in_reading_order(book):
    order = ["Cover", *SHEETS]
    assert book.sheetnames == [title for title in order if title in book.sheetnames]


def test_every_sheet_is_there_when_it_has_content():
    book = openpyxl.load_workbook(BytesIO(workbook_bytes(compared_plan())))
    everything = ["Cover", *SHEETS]
    # Its ledger is of before books, contracts and tax: test_report_books has those.
    without = {"Verification", "Assets", "Commitments", "Tax"}
    assert book.sheetnames == [title for title in everything if title not in without]


def test_every_formula_has_its_value(book, values):
    found = list(formulas(book))
    assert len(found) > 2000
    blank = [
        f"{cell.parent.title}!{cell.coordinate}"
        for cell in found
        if values[cell.parent.title][cell.coordinate].value is None
    ]
    assert blank == []


def test_no_error_values(values):
    errors = [
        cell.coordinate
        for sheet in values.worksheets
        for row in sheet.iter_rows()
        for cell in row
        if cell.data_type == "e"
    ]
    assert errors == []


def test_only_functions_that_every_program_has(book):
    used = {
        token.value[:-1]
        for cell in formulas(book)
        for token in tokens(cell)
        if token.type == "FUNC" and token.subtype == "OPEN"
    }
    assert used <= FUNCTIONS
    assert {"SUM", "SUMIFS", "INDEX"} <= used


def test_no_numbers_hide_in_formulas(book):
    hidden = {
        (cell.parent.title, cell.coordinate, token.value)
        for cell in formulas(book)
        for token in tokens(cell)
        if token.type == "OPERAND"
        and token.subtype == "NUMBER"
        and token.value not in {"0", "1", "12", "100"}
    }
    assert hidden == set()


@pytest.mark.parametrize(
    ("title", "first"), [("Costs", 7), ("Cash", 7), ("P&L months", 7), ("P&L", 4), ("Annual", 4)]
)
def test_one_formula_a_row(book, title, first):
    rows = 0
    for row in book[title].iter_rows(min_row=4, min_col=first):
        patterns = {relative(cell) for cell in row if cell.data_type == "f"}
        kinds = {cell.data_type for cell in row if cell.value is not None}
        assert len(patterns) <= 1, (title, row[0].row, sorted(patterns)[:2])
        assert not patterns or kinds == {"f"}
        rows += bool(patterns)
    assert rows >= (len([x for x in LINES if x.formula]) if title == "Costs" else 8)


def test_same_column_is_the_same_month_on_every_monthly_sheet(values):
    costs = [cell.value for cell in values["Costs"][4][6:]]
    cash = [cell.value for cell in values["Cash"][4][6:]]
    assert costs == cash
    assert costs[0].strftime("%Y-%m") == "2027-01"
    assert len(costs) == 48  # 36 of the horizon and 12 of the longest term


def test_the_column_before_the_first_month_is_blank(book):
    # Otherwise "prev" of the first month would not be 0.
    lines = [cell.value for cell in book["Costs"]["F"][6:]]
    assert set(lines) == {None}


def test_every_input_has_unit_source_and_colour(book):
    sheet, found = book["Inputs"], 0
    for row in sheet.iter_rows(min_row=5):
        if row[1].value is None:
            continue
        found += 1
        assert row[1].font.color.rgb.endswith("0000FF"), row[0].value
        assert row[1].fill.fgColor.rgb.endswith("FFF9DB")
        assert row[2].value, row[0].value
        assert row[7].value, row[0].value
    assert found == len(small_plan().ledger_inputs) + 2


def test_names_are_few(book, plan):
    names = {"DiscountRate", "Thousand", "Million", "NetPresentCost"}
    assert set(book.defined_names) == (names | {"Scenario"} if plan.options else names)


def test_monthly_sheets_freeze_and_print(book):
    for title, orientation in (("Costs", "portrait"), ("Cash", "landscape")):
        sheet = book[title]
        assert sheet.freeze_panes == "G7"
        assert sheet.page_setup.orientation == orientation
        assert sheet.print_title_rows == ("$4:$6" if title == "Cash" else "$4:$4")
        assert sheet.sheet_properties.pageSetUpPr.fitToPage


@pytest.mark.parametrize(
    ("title", "last", "words"),
    [
        ("Costs", "E", "On paper: totals"), ("P&L months", "E", "On paper: totals"),
        ("Inputs", "G", ""), ("Sources", "H", "On paper: all but"),
    ],
)  # fmt: skip
def test_what_is_for_the_screen_is_not_printed_and_says_so(book, title, last, words):
    sheet = book[title]
    assert f":${last}$" in sheet.print_area
    assert any(words in str(cell.value) for row in sheet["A1:A4"] for cell in row)


def test_charts_survive_the_last_step(raw, plan):
    names = zipfile.ZipFile(BytesIO(raw)).namelist()
    # Annual 1, P&L 1 and a copy of Annual's, Fleet 1, Decision 4, Latency 2 for each of 2 curves,
    # Sensitivity 1, Demand 1, Decision's copy of Sensitivity 1; Options 1 and its copy
    charts = 17 if plan.options else 15
    assert len([n for n in names if n.startswith("xl/charts/chart")]) == charts
    assert not [n for n in names if "vba" in n.lower()]


def test_checks_hold_and_say_so(values):
    assert values["Cover"]["B5"].value == "All checks hold"
    assert values["Decision"]["A3"].value == "All checks hold"


def test_a_false_npv_raises_the_flag():
    plan = small_plan()
    wrong = plan.model_copy(update={"npv_usd": plan.npv_usd + 0.02})
    values = openpyxl.load_workbook(BytesIO(workbook_bytes(wrong)), data_only=True)
    assert values["Cover"]["B5"].value == "A check fails: see sheet Checks"


def test_unserved_traffic_raises_the_flag():
    plan = small_plan()
    values = openpyxl.load_workbook(
        BytesIO(workbook_bytes(plan.model_copy(update={"apis": []}))), data_only=True
    )
    assert values["Cover"]["B5"].value == "A check fails: see sheet Checks"


@pytest.mark.parametrize("text", ["=cmd()", "+1+1", "-2", "@SUM(A1)", "=HYPERLINK(1)\x07"])
def test_text_from_users_stays_text(text):
    plan = small_plan(title=text, notes=[text])
    periods = [period.model_copy(update={"label": text}) for period in plan.periods]
    fleet = [row.model_copy(update={"accelerator_title": text}) for row in plan.fleet]
    plan = plan.model_copy(update={"periods": periods, "fleet": fleet})
    book = openpyxl.load_workbook(BytesIO(workbook_bytes(plan)))
    shown = text.replace("\x07", " ")
    for sheet, address in (("Cover", "B2"), ("Decision", "A1")):
        cell = book[sheet][address]
        assert cell.value == shown
        assert cell.data_type == "s"
        assert cell.quotePrefix
    assert all("cmd" not in cell.value for cell in formulas(book))
    assert book["Costs"]["G6"].value == shown
    assert book["Costs"]["G6"].data_type == "s"


def test_equal_plans_give_equal_files(raw, plan):
    again = compared_plan() if plan.options else small_plan()
    assert workbook_bytes(again) == raw


def test_a_formula_without_value_is_refused(raw):
    with pytest.raises(ValueError, match="formulas"):
        with_values(raw_without_values(raw), [{} for _ in range(12)])


def raw_without_values(raw: bytes) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(BytesIO(raw)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, re.sub(rb"</f><v>[^<]*</v>", b"</f><v/>", old.read(name)))
    return out.getvalue()


def test_plans_at_the_edge_have_workbooks():
    bare = {
        "fleet": [], "pools": [], "apis": [], "demand": [], "class_costs": [], "candidates": [],
        "trails": [], "curves": [], "binding": [], "audit": [], "sources": [], "notes": [],
    }  # fmt: skip
    plan = small_plan(**bare)
    values = openpyxl.load_workbook(BytesIO(workbook_bytes(plan)), data_only=True)
    # Its ledger pays for machines that its fleet does not have: the export of bills refuses that.
    rows = [row for row in values["Checks"].iter_rows(min_row=11) if row[0].value]
    failed = [row[0].value for row in rows if row[4].value != 1]
    assert len(failed) == 2
    assert all(name.startswith("FOCUS export") for name in failed)


@pytest.mark.slow
def test_four_years_in_three_seconds_and_three_megabytes():
    plan = small_plan(months=48)
    refused = plan.candidates[-1]
    plan = plan.model_copy(update={"candidates": [*plan.candidates, *[refused] * 2500]})
    start = time.process_time()
    raw = workbook_bytes(plan)
    assert time.process_time() - start < 3
    assert len(raw) < 3e6
