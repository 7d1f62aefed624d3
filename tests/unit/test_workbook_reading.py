"""What a reader meets: sizes on paper, words instead of identifiers, rules that refuse mistakes."""

import re
from io import BytesIO

import openpyxl
import pytest
from openpyxl.utils import get_column_letter
from openpyxl.utils.cell import range_boundaries

from planner.report.input_limits import limit_of
from planner.report.sheet_tables import SOURCE_WIDTHS
from planner.report.workbook import workbook_bytes
from planner.result import LedgerInput, SourceRow
from tests.compared_plan import compared_plan
from tests.plan_fixture import small_plan
from tests.taxed_world import answered, company

PAPERS = {"A4": (8.27, 11.69), "Letter": (8.5, 11.0)}
"""Inches, upright."""
POINTS, DEFAULT_HEIGHT, DEFAULT_WIDTH = 72.0, 12.75, 8.43
IDENTIFIER = re.compile(r"\b(reserved_\dy|on_demand|[a-z]+[0-9]+-(?:sxm|pcie|nvl))\b")


@pytest.fixture(scope="module")
def books():
    plans = {"compared": compared_plan(), "after tax": answered()[1]}
    return {
        name: openpyxl.load_workbook(BytesIO(workbook_bytes(plan))) for name, plan in plans.items()
    }


def width(sheet, column: int) -> float:
    """Points: a width of 1 is 7 pixels, and 5 pixels are around it."""
    dimension = sheet.column_dimensions.get(get_column_letter(column))
    return ((dimension.width if dimension else DEFAULT_WIDTH) * 7 + 5) * 0.75


def printed(sheet) -> tuple[float, float]:
    """Points across one page and down the sheet, of what is printed."""
    area = sheet.print_area or f"A1:{get_column_letter(sheet.max_column)}{sheet.max_row}"
    first, top, last, bottom = range_boundaries(area.split("!")[-1].replace("$", ""))
    pages = sheet.page_setup.fitToWidth or 1
    titles = 5 if pages > 1 else 0
    each = -(-(last - titles) // pages)
    across = [width(sheet, column) for column in range(first, titles + each + 1)]
    rows = (sheet.row_dimensions.get(row) for row in range(top, bottom + 1))
    return sum(across), sum(row.height or DEFAULT_HEIGHT if row else DEFAULT_HEIGHT for row in rows)


def scale(sheet, paper: str) -> float:
    """How much smaller a sheet is on paper."""
    wide, high = PAPERS[paper]
    if sheet.page_setup.orientation == "landscape":
        wide, high = high, wide
    margins = sheet.page_margins
    across, down = printed(sheet)
    found = (wide - margins.left - margins.right) * POINTS / across
    if sheet.page_setup.fitToHeight:
        found = min(found, (high - margins.top - margins.bottom) * POINTS / down)
    return min(found, 1.0)


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("name", ["compared", "after tax"])
def test_the_page_that_is_signed_is_read_without_glasses(books, name, paper):
    sheet = books[name]["Decision"]
    size = next(cell.font.size for cell in sheet["A"] if cell.value == "Cash out")
    assert sheet.page_setup.fitToHeight == 1
    assert size * scale(sheet, paper) >= 8


def test_every_sheet_can_be_read_on_paper(books):
    for book in books.values():
        small = {
            sheet.title: 9 * scale(sheet, "A4")
            for sheet in book.worksheets
            if 9 * scale(sheet, "A4") < 5.5
        }
        assert small == {}


def test_every_sheet_has_its_width_on_paper_a_name_and_a_number(books):
    for sheet in books["after tax"].worksheets:
        assert sheet.sheet_properties.pageSetUpPr.fitToPage
        assert sheet.page_setup.fitToWidth >= 1
        assert sheet.oddFooter.left.text == "&A"
        assert "&P" in sheet.oddFooter.right.text


def test_labels_are_words(books):
    titles = ("Decision", "Detail", "Options", "Costs", "P&L", "Commitments", "Assets", "Metrics")
    for title in (*titles, "Inputs", "Sensitivity", "Scenarios"):
        if title not in books["after tax"].sheetnames:
            continue
        sheet = books["after tax"][title]
        found = [c.value for c in sheet["A"] if IDENTIFIER.search(str(c.value))]
        assert found == [], title


@pytest.mark.parametrize("plan", [small_plan, compared_plan, lambda: answered()[1], company])
def test_every_value_that_may_be_changed_has_a_rule_that_it_obeys(plan):
    plan = plan()
    sheet = openpyxl.load_workbook(BytesIO(workbook_bytes(plan)))["Inputs"]
    ruled = {c for x in sheet.data_validations.dataValidation for c in str(x.sqref).split()}
    blue = {
        cell.coordinate: sheet.cell(cell.row, 9).value
        for cell in sheet["B"]
        if cell.fill.fgColor.rgb.endswith("FFF9DB")
    }
    tables = {row.name for row in plan.ledger_inputs if "946" in row.source}
    without = {name for cell, name in blue.items() if cell not in ruled}
    assert without <= tables | {"Thousand", "Million"}
    for row in plan.ledger_inputs:
        limit = limit_of(row)
        assert limit.low <= row.value or row.name in tables, row.name
        assert limit.high is None or row.value <= limit.high or row.name in tables, row.name


def test_every_other_blue_cell_has_a_rule_too(books):
    # Tolerances of Checks are the planner's.
    found = 0
    for book in books.values():
        for sheet in book.worksheets:
            if sheet.title in ("Inputs", "Checks", "Cover"):
                continue
            ranges = [x.sqref for x in sheet.data_validations.dataValidation]
            for row in sheet.iter_rows():
                for cell in row:
                    if cell.fill.fgColor.rgb.endswith("FFF9DB"):
                        found += 1
                        assert any(cell.coordinate in x for x in ranges), (sheet, cell)
    assert found > 50


@pytest.mark.parametrize(
    ("unit", "value", "low", "high"),
    [("frac", 0.3, 0, 1), ("1/year", 0.05, -0.9, 2), ("USD", 10.0, 0, None)],
)
def test_rules_follow_units(unit, value, low, high):
    row = LedgerInput(name="x", label="x", unit=unit, value=value, source="", as_of="",
                      basis="quoted")  # fmt: skip
    assert (limit_of(row).low, limit_of(row).high) == (low, high)


def test_a_long_source_stands_once_and_is_referred_to():
    long = "a survey of prices " * 20
    row = SourceRow(what="one", value="1", unit="USD", source=long, as_of="2026-11-01",
                    basis="quoted", used_in="performance", stale=False)  # fmt: skip
    rows = [row, row.model_copy(update={"what": "money", "used_in": "money"})]
    book = openpyxl.load_workbook(BytesIO(workbook_bytes(small_plan(sources=rows))))
    sheet = book["Sources"]
    assert sheet["A5"].value == "money"  # what moves money comes first
    assert sheet["H5"].value == long
    assert sheet["H6"].value.startswith("as in row 5: a survey")
    assert len(sheet["H6"].value) < SOURCE_WIDTHS[-1] + 10


def test_months_in_which_nothing_is_paid_are_not_printed(books):
    # 36 months of the horizon; the reservation of the 28th month is paid to the 39th.
    area = books["compared"]["Cash"].print_area.split("!")[-1]
    last = range_boundaries(area.replace("$", ""))[2]
    assert last - 6 == 39
    assert books["compared"]["Cash"].page_setup.fitToWidth == 4
