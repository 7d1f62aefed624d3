"""Leases, egress, state tax and residual curves in the workbook, by an independent engine."""

from datetime import date, datetime
from functools import cache
from io import BytesIO

import ironcalc
import openpyxl
import pytest

from planner.report import recost
from planner.report.workbook import workbook_bytes
from tests import taxed_world
from tests.crosscheck.workbook_engines import input_cell
from tests.small_world import decide

FINANCE = {
    "tax": {
        "pays_tax": True, "rate": 0.21, "state_rate": 0.06, "depreciation": "macrs_5",
        "bonus_frac": 0.4, "losses": "carried_forward", "other_taxable_income_usd": 78_000.0,
    },
    "lease": {
        "dedicated": ["reserved_1y"], "short_term_elected": False, "standard": "ifrs_16",
        "borrowing_rate": 0.07,
    },
    "egress": {"usd_per_gb": 0.09},
    "residual": {"curve": [0.78, 0.60]},
}  # fmt: skip
CHANGES = (
    ("borrowing_rate", 0.15), ("egress_usd_per_gb", 0.2), ("state_tax_rate", 0.1),
    ("losses_carried", 0.0), ("residual_kept_year_2", 0.3), ("discount_rate", 0.05),
)  # fmt: skip


@cache
def plan():
    decided, _ = decide(taxed_world.question(**FINANCE))
    return taxed_world.with_contract(decided)


@cache
def shipped():
    return workbook_bytes(plan())


def engine(path):
    path.write_bytes(shipped())
    return ironcalc.load_from_xlsx(str(path), "en", "UTC")


def worst(model, sheets=()):
    """Formulas compared, and the cells in which a workbook's value and the engine's differ."""

    def of(raw):
        formulas = openpyxl.load_workbook(BytesIO(raw))
        values = openpyxl.load_workbook(BytesIO(raw), data_only=True)
        count, wrong = 0, []
        for index, name in enumerate(formulas.sheetnames):
            for row in formulas[name].iter_rows() if not sheets or name in sheets else ():
                for cell in row:
                    if cell.data_type != "f":
                        continue
                    count += 1
                    cached = values[name][cell.coordinate].value
                    found = model.get_cell_value(index, cell.row, cell.column)
                    if isinstance(cached, date | datetime | str | bool):
                        continue
                    if cached != pytest.approx(float(found or 0), rel=1e-9, abs=1e-6):
                        wrong.append((name, cell.coordinate, cached, found))
        return count, wrong

    return of


def test_every_value_is_the_engines(tmp_path):
    model = engine(tmp_path / "plan.xlsx")
    model.evaluate()
    count, wrong = worst(model)(shipped())
    assert count > 4000
    assert wrong == []


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_a_changed_cell_moves_the_books_as_it_moves_the_plan(tmp_path, name, value):
    book = openpyxl.load_workbook(BytesIO(shipped()))
    model = engine(tmp_path / "plan.xlsx")
    model.set_user_input(book.sheetnames.index("Inputs"), *input_cell(book, name), repr(value))
    model.evaluate()
    again = recost(plan(), {name: value})
    sheets = ("Cash", "P&L", "P&L months", "Costs", "Assets", "Commitments", "Tax")
    count, wrong = worst(model, sheets)(workbook_bytes(again))
    assert count > 2000
    assert wrong == []
    assert again.npv_usd != plan().npv_usd or name == "borrowing_rate"


@pytest.mark.parametrize(
    ("label", "check"),
    [
        ("Sent to APIs", "Tokens of large served, of those demanded"),
        ("Billed cost, purchase", "FOCUS export: billed cost = cash out"),
        ("Effective cost, usage", "FOCUS export: effective cost = cost in profit and loss"),
        ("IT power of the site", "Contracted power at hq within the site's limit"),
    ],
)
def test_a_spoiled_figure_turns_its_check_red(tmp_path, label, check):
    book = openpyxl.load_workbook(BytesIO(shipped()))
    model = engine(tmp_path / "plan.xlsx")
    sheet, checks = book["Balances"], book["Checks"]
    row = [cell.row for cell in sheet["A"] if cell.value == label][-1]
    for column in range(3, 12):
        cell = sheet.cell(row, column)
        if isinstance(cell.value, int | float):
            spoiled = repr(cell.value * 0.01)
            model.set_user_input(book.sheetnames.index("Balances"), row, column, spoiled)
    model.evaluate()
    at = next(cell.row for cell in checks["A"] if cell.value == check)
    assert model.get_cell_value(book.sheetnames.index("Checks"), at, 5) == 0
    assert str(model.get_cell_value(book.sheetnames.index("Cover"), 5, 2)).startswith("A check")
