"""IronCalc recomputes the workbook of a comparison; its text stays text, its formulas plain."""

import re
from itertools import pairwise

import ironcalc
import openpyxl
import pytest

from planner.report import recost
from planner.report.compare import Failure, Named, compare
from planner.report.compare_bridge_sheet import axis_start
from planner.report.compare_output import write_comparison
from planner.report.workbook import FUNCTIONS
from planner.result import Plan
from tests import small_world
from tests.crosscheck.workbook_engines import in_ironcalc
from tests.plan_fixture import small_plan
from tests.tiny_plans import rented

HOSTILE = '=HYPERLINK("http://x","a")'


def hostile(plan: Plan) -> Plan:
    """The plan with text that a spreadsheet could take for formulas."""
    fleet = [row.model_copy(update={"site": "@site", "accelerator_title": "=1+1"})
             for row in plan.fleet]  # fmt: skip
    sources = [row.model_copy(update={"what": "-2+3", "source": "+4"}) for row in plan.sources]
    return plan.model_copy(update={"fleet": fleet, "sources": sources})


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Four plans: as they are, re-costed, of other months, and hostile; one without a plan."""
    plan = small_plan()
    again = recost(plan, {"finance.discount_rate": 0.1, "capex_gb200": 2_600_000.0})
    plans = [Named("base", plan), Named("dear", again), Named("short", small_plan(months=30)),
             Named(HOSTILE, hostile(plan))]  # fmt: skip
    found = compare(plans, [Failure("hard", "InfeasibleError", ("+3 kW short",))])
    path = tmp_path_factory.mktemp("compare") / "compare.xlsx"
    write_comparison(found, path)
    return path


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """Two solved plans with other demand and prices."""
    other = small_world.mixed_scenario(
        name="other", finance={"discount_rate": 0.12},
        demand=[{**small_world.CHAT, "requests_per_s": 30}, small_world.NIGHT],
    )  # fmt: skip
    plans = [Named("a", small_world.mixed()[1]), Named("b", small_world.decide(other)[1])]
    path = tmp_path_factory.mktemp("compare") / "solved.xlsx"
    write_comparison(compare(plans), path)
    return path


@pytest.mark.parametrize("name", ["shipped", "solved"])
def test_ironcalc_agrees_with_every_value(name, request):
    path = request.getfixturevalue(name)
    seen = in_ironcalc(path, {})
    found = seen.against(path.read_bytes())
    assert found.formulas > 80
    assert found.wrong == []
    assert seen.value("Summary", 3, 1) == "All checks hold"


def test_a_changed_step_raises_the_flag(solved):
    book = openpyxl.load_workbook(solved)
    model = ironcalc.load_from_xlsx(str(solved), "en", "UTC")
    sheet = book["Bridge"]
    row = next(cell.row for cell in sheet["A"] if cell.value == "discounting")
    model.set_user_input(book.sheetnames.index("Bridge"), row, 3, "12345")
    model.evaluate()
    found = model.get_cell_value(book.sheetnames.index("Summary"), 3, 1)
    assert found == "A check fails: see sheet Checks".replace("Checks", "Bridge")


def cells(path):
    for sheet in openpyxl.load_workbook(path).worksheets:
        for row in sheet.iter_rows():
            yield from row


def test_hostile_text_is_text(shipped):
    texts = [cell for cell in cells(shipped) if cell.value == HOSTILE]
    assert texts
    assert all(cell.data_type == "s" and cell.quotePrefix for cell in texts)
    assert any("=1+1" in str(cell.value) and cell.data_type == "s" for cell in cells(shipped))


def test_formulas_use_known_functions_and_no_numbers(shipped):
    for cell in cells(shipped):
        if cell.data_type == "f":
            bare = re.sub(r"\"[^\"]*\"|'[^']*'|\$?[A-Z]+\$?[0-9]+", "", cell.value)
            assert set(re.findall(r"[A-Z]{2,}(?=\()", bare)) <= FUNCTIONS, cell.value
            assert set(re.findall(r"[0-9.]+", bare)) <= {"0", "1"}, cell.value


def test_the_chart_of_a_bridge_joins_up(solved):
    # Every column starts where the one before ended: under, up and down of the sheet.
    sheet = openpyxl.load_workbook(solved, data_only=True)["Bridge"]
    rows = [row for row in sheet.iter_rows(min_row=11, values_only=True) if row[3] is not None]
    steps = [row for row in rows if row[1] and row[4] is not None]
    assert len(steps) > 5
    for before, after in pairwise(steps):
        end = before[4] + before[6] if before[2] > 0 else before[4]
        start = after[4] if after[2] > 0 else after[4] + after[7]
        assert start == pytest.approx(end)


def test_axis_of_small_steps_starts_above_zero():
    assert axis_start([100.0, 103.0, 101.0]) == 98.0
    assert axis_start([5.0, 5.0]) == 0.0
    assert axis_start([0.0, 0.0]) == 0.0


def test_costs_below_zero_have_no_chart(tmp_path):
    # A price below zero: the cost so far falls through zero.
    found = compare([Named("a", rented()), Named("b", rented(price=-1.0))])
    write_comparison(found, tmp_path / "x.xlsx")
    book = openpyxl.load_workbook(tmp_path / "x.xlsx")
    assert book["Summary"]._charts == []
    assert book.sheetnames == [
        "Summary", "Changes", "Bridge", "Metrics", "Inputs differing", "Sources"
    ]  # fmt: skip
