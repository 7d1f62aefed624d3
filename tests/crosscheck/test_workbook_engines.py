"""Two spreadsheet engines recompute the shipped workbook: IronCalc and LibreOffice.

The values in the file come from the ledger in numpy; both engines start from the formulas.
"""

import re
import shutil
import subprocess
import zipfile
from datetime import date, datetime
from io import BytesIO

import ironcalc
import openpyxl
import pytest

from planner.report import recost
from planner.report.ledger_view import view
from planner.report.option_figures import option_figures
from planner.report.workbook import workbook_bytes, write_workbook
from tests.compared_plan import compared_plan
from tests.plan_fixture import small_plan
from tests.taxed_world import answered, company

EPOCH = date(1899, 12, 30)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    path = tmp_path_factory.mktemp("workbook") / "plan.xlsx"
    write_workbook(small_plan(), path)
    return path


def number(value):
    if isinstance(value, datetime):
        return (value.date() - EPOCH).days
    return value


def agrees(found, cached) -> bool:
    if isinstance(cached, str):
        return found == cached
    return abs(found - cached) <= max(0.01, 1e-9 * abs(cached)) if cached != 0 else (
        abs(found) <= 1e-6
    )  # fmt: skip


def compare(model, formulas, values) -> tuple[int, list[tuple[str, str, object, object]]]:
    """Number of formulas compared, and those on which the engine disagrees with the cache."""
    count, wrong = 0, []
    for position, sheet in enumerate(formulas.worksheets):
        for row in sheet.iter_rows():
            for cell in row:
                if cell.data_type != "f":
                    continue
                count += 1
                cached = number(values[sheet.title][cell.coordinate].value)
                found = model.get_cell_value(position, cell.row, cell.column)
                if not agrees(found, cached):
                    wrong.append((sheet.title, cell.coordinate, found, cached))
    return count, wrong


def test_ironcalc_agrees_with_every_value(shipped):
    model = ironcalc.load_from_xlsx(str(shipped), "en", "UTC")
    model.evaluate()
    formulas = openpyxl.load_workbook(shipped)
    values = openpyxl.load_workbook(shipped, data_only=True)
    count, wrong = compare(model, formulas, values)
    assert count > 2000
    assert wrong == []


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    path = tmp_path_factory.mktemp("workbook") / "compared.xlsx"
    write_workbook(compared_plan(), path)
    return path


def test_ironcalc_agrees_with_every_value_of_the_comparison(compared):
    model = ironcalc.load_from_xlsx(str(compared), "en", "UTC")
    model.evaluate()
    formulas = openpyxl.load_workbook(compared)
    values = openpyxl.load_workbook(compared, data_only=True)
    count, wrong = compare(model, formulas, values)
    assert count > 2300
    assert wrong == []


def npv_of(model, book) -> float:
    cash = book.sheetnames.index("Cash")
    row = next(c.row for c in book["Cash"]["A"] if str(c.value).startswith("Present value of"))
    return model.get_cell_value(cash, row, 5)


def flip(model, book, number: int) -> None:
    model.set_user_input(book.sheetnames.index("Scenarios"), 8, 5, str(number))
    model.evaluate()


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_switch_reproduces_each_option(compared, number):
    book = openpyxl.load_workbook(compared)
    model = ironcalc.load_from_xlsx(str(compared), "en", "UTC")
    flip(model, book, number)
    chosen = [row for row in compared_plan().options if row.has_money][number - 1]
    assert npv_of(model, book) == pytest.approx(chosen.npv_usd, abs=0.01, rel=1e-12)
    cover = book.sheetnames.index("Cover")
    assert model.get_cell_value(cover, 5, 2) == "All checks hold"
    assert (model.get_cell_value(cover, 5, 3) == "Inputs as solved") == (number == 1)


def test_the_switch_and_changed_inputs_agree_with_the_ledger(compared):
    changes = {"discount_rate": 0.12, "demand_h100": 5.5, "decline_year": 0.4}
    book = openpyxl.load_workbook(compared)
    model = ironcalc.load_from_xlsx(str(compared), "en", "UTC")
    for name, value in changes.items():
        model.set_user_input(*input_cell(book, name), repr(value))
    again = option_figures(recost(compared_plan(), changes))
    for number, figures in enumerate(again, 1):
        flip(model, book, number)
        assert npv_of(model, book) == pytest.approx(figures.npv_usd, abs=0.01, rel=1e-9)


def input_cell(book, name: str) -> tuple[int, int, int]:
    sheet = book["Inputs"]
    row = next(cell.row for cell in sheet["B"] if cell.value == name)
    return book.sheetnames.index("Inputs"), row, 3


CHANGES = [
    {"discount_rate": 0.12},
    {"discount_timing": 0.0},
    {"tail_value_frac": 0.0},
    {"capex_gb200": 3_650_000.0},
    {"power_hq": 0.13, "power_growth": -0.02},
    {"decline_year": 0.45, "selling_frac": 0.0},
    {"reserved_h100": 2.35, "rental_growth": 0.15},
    {"api_price_out": 9.0},
    {"term_1y": 6.0},
    {"lead_gb200": 0.0},
    {"lead_gb200": 11.0},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_changed_inputs_move_the_sheet_as_they_move_the_plan(shipped, changes):
    book = openpyxl.load_workbook(shipped)
    model = ironcalc.load_from_xlsx(str(shipped), "en", "UTC")
    for name, value in changes.items():
        model.set_user_input(*input_cell(book, name), repr(value))
    model.evaluate()
    again = recost(small_plan(), changes)
    assert abs(again.npv_usd - small_plan().npv_usd) > 100
    cash = book.sheetnames.index("Cash")
    row = next(c.row for c in book["Cash"]["A"] if str(c.value).startswith("Present value of"))
    found = model.get_cell_value(cash, row, 5)
    assert found == pytest.approx(again.npv_usd, abs=0.01, rel=1e-9)
    cover = book.sheetnames.index("Cover")
    assert model.get_cell_value(cover, 5, 2) == "All checks hold"
    assert str(model.get_cell_value(cover, 5, 3)).startswith("Inputs changed since the solve")


def test_a_term_longer_than_the_sheets_raises_the_flag(shipped):
    # 24 months after the last signing reach beyond the 12 months that the sheets have.
    book = openpyxl.load_workbook(shipped)
    model = ironcalc.load_from_xlsx(str(shipped), "en", "UTC")
    model.set_user_input(*input_cell(book, "term_1y"), "24")
    model.evaluate()
    cover = book.sheetnames.index("Cover")
    assert model.get_cell_value(cover, 5, 2) == "A check fails: see sheet Checks"


def test_every_value_after_a_change_equals_the_workbook_of_that_plan(shipped):
    changes = {"discount_rate": 0.1, "capex_growth": 0.05, "pue_hq": 1.5}
    book = openpyxl.load_workbook(shipped)
    model = ironcalc.load_from_xlsx(str(shipped), "en", "UTC")
    for name, value in changes.items():
        model.set_user_input(*input_cell(book, name), repr(value))
    model.evaluate()
    raw = BytesIO(workbook_bytes(recost(small_plan(), changes)))
    values = openpyxl.load_workbook(raw, data_only=True)
    for title in BOOKS:
        if title not in book.sheetnames:
            continue
        sheet = book[title]
        position = book.sheetnames.index(title)
        for row in sheet.iter_rows():
            for cell in row:
                if cell.data_type == "f":
                    cached = number(values[title][cell.coordinate].value)
                    found = model.get_cell_value(position, cell.row, cell.column)
                    assert agrees(found, cached), (title, cell.coordinate, found, cached)


def demand_cell(book, label: str, period: int) -> tuple[int, int, int]:
    sheet = book["Demand"]
    row = next(cell.row for cell in sheet["A"] if cell.value == label)
    return book.sheetnames.index("Demand"), row, 3 + period


@pytest.mark.parametrize(
    ("label", "factor", "carried"),
    [
        ("Demand against plan (growth)", 0.9, True),
        ("Demand against plan (growth)", 1.5, False),
        ("Peak over mean against plan", 1.5, False),
    ],
)
def test_changed_demand_asks_for_another_solve(compared, label, factor, carried):
    book = openpyxl.load_workbook(compared)
    model = ironcalc.load_from_xlsx(str(compared), "en", "UTC")
    before = npv_of(model, book)
    model.set_user_input(*demand_cell(book, label, 0), repr(factor))
    model.evaluate()
    assert npv_of(model, book) == pytest.approx(before, rel=1e-12)  # fleet and money stay
    cover = book.sheetnames.index("Cover")
    assert str(model.get_cell_value(cover, 5, 3)).startswith("Demand changed: solve again")
    flag = model.get_cell_value(cover, 5, 2)
    assert flag == ("All checks hold" if carried else "A check fails: see sheet Checks")


def driver_row(book, label: str) -> int:
    return next(cell.row for cell in book["Sensitivity"]["A"] if cell.value == label)


@pytest.mark.parametrize(
    ("label", "column", "change", "scaled"),
    [
        ("Purchase prices", 4, 0.35, {"capex_gb200": 3_100_000.0}),
        ("Electricity price", 3, -0.5, {"power_hq": 0.089}),
        ("Per-token prices", 4, 0.1, {"api_price_in": 1.0, "api_price_out": 3.0}),
        ("Discount rate, points", 4, 0.05, {}),
    ],
)
def test_sensitivities_are_live(compared, label, column, change, scaled):
    # Beside an edited range, an edited input: the line must move with both.
    others = {"tail_value_frac": 0.5, "rent_hq": 150.0}
    book = openpyxl.load_workbook(compared)
    model = ironcalc.load_from_xlsx(str(compared), "en", "UTC")
    for name, value in others.items():
        model.set_user_input(*input_cell(book, name), repr(value))
    sheet, row = book.sheetnames.index("Sensitivity"), driver_row(book, label)
    model.set_user_input(sheet, row, column, repr(change))
    model.evaluate()
    moved = {name: value * (1 + change) for name, value in scaled.items()}
    expected = recost(compared_plan(), {**others, **(moved or {"discount_rate": 0.08 + change})})
    found = model.get_cell_value(sheet, row, column + 3) * 1e6
    assert found == pytest.approx(expected.npv_usd, abs=0.01, rel=1e-9)


@pytest.fixture(scope="module")
def after_tax(tmp_path_factory):
    path = tmp_path_factory.mktemp("workbook") / "after_tax.xlsx"
    write_workbook(answered()[1], path)
    return path


AFTER_TAX = [
    {},
    {"tax_rate": 0.35, "state_tax_rate": 0.0},
    {"tax_method": 1.0},
    {"tax_method": 2.0, "tax_life_years": 3.5, "tax_convention": 3.0},
    {"tax_method": 3.0, "bonus_frac": 0.4},
    {"tax_method": 5.0, "bonus_frac": 1.0, "state_bonus_conforms": 1.0},
    {"tax_convention": 3.0},
    {"payment_order_frac": 1.0, "payment_delivery_frac": 0.0},
    {"payment_delivery_frac": 0.2, "payment_acceptance_months": 4.0},
    {"reserved_1y_upfront_frac": 1.0, "reserved_1y_term_months": 6.0},
    {"book_life_years": 3.0},
]


@pytest.mark.parametrize("changes", AFTER_TAX, ids=str)
def test_tax_and_payment_move_every_cell_as_they_move_the_plan(after_tax, changes):
    book, model, again = changed(after_tax, answered()[1], changes)
    moves = bool(changes) and "book_life_years" not in changes
    assert (abs(again.npv_usd - answered()[1].npv_usd) > 1) == moves
    assert every_cell_agrees(book, model, again) > 6000


COMPANY = [
    {},
    {"losses_carried": 0.0},
    {"other_income_usd_per_year": 20_000.0, "tax_rate": 0.3},
    {"fx_eur_year_1": 1.5},
]


@pytest.mark.parametrize("changes", COMPANY, ids=str)
def test_losses_and_currencies_move_every_cell_as_they_move_the_plan(tmp_path, changes):
    path = tmp_path / "company.xlsx"
    write_workbook(company(), path)
    book, model, again = changed(path, company(), changes)
    assert (abs(again.npv_usd - company().npv_usd) > 1) == bool(changes)
    assert every_cell_agrees(book, model, again) > 2000


TIED = ("Profit and loss", "Asset register", "Owed by contract", "Tax saved")
BOOKS = ("Costs", "Cash", "Annual", "P&L", "P&L months", "Assets", "Commitments", "Tax")


def changed(path, plan, changes):
    """The workbook, an engine that has recalculated it with changes, and the plan costed again."""
    book = openpyxl.load_workbook(path)
    model = ironcalc.load_from_xlsx(str(path), "en", "UTC")
    for name, value in changes.items():
        model.set_user_input(*input_cell(book, name), repr(value))
    model.evaluate()
    return book, model, recost(plan, changes)


def every_cell_agrees(book, model, again) -> int:
    """Compare with the workbook of the plan costed again; number of formulas."""
    values = openpyxl.load_workbook(BytesIO(workbook_bytes(again)), data_only=True)
    count = 0
    for title in BOOKS:
        if title not in book.sheetnames:
            continue
        position = book.sheetnames.index(title)
        for row in book[title].iter_rows():
            for cell in row:
                if cell.data_type == "f":
                    count += 1
                    cached = number(values[title][cell.coordinate].value)
                    found = model.get_cell_value(position, cell.row, cell.column)
                    assert agrees(found, cached), (title, cell.coordinate, found, cached)
    checks = book.sheetnames.index("Checks")
    names = {str(cell.value): cell.row for cell in book["Checks"]["A"]}
    tied = [row for name, row in names.items() if name.startswith(TIED)]
    assert len(tied) >= 3
    assert all(model.get_cell_value(checks, row, 5) == 1 for row in tied)
    return count


def test_books_hold_while_another_option_is_shown(tmp_path):
    # The other option buys nothing and signs twice as much.
    plan = answered()[1]
    other = {
        key: [x * (0 if key.endswith("_bought") else 2 if key.endswith("_signed") else 1)
              for x in row]
        for key, row in plan.ledger_quantities.items()
    }  # fmt: skip
    option = plan.as_option().model_copy(
        update={"name": "rented", "title": "Rented", "status": "solved", "ledger_quantities": other}
    )
    seen = view(plan, option)
    option = option.model_copy(update={"npv_usd": seen.npv_usd})
    path = tmp_path / "options.xlsx"
    write_workbook(
        plan.model_copy(update={"options": [plan.as_option(), option], "gap_frac": 0.0}), path
    )
    book = openpyxl.load_workbook(path)
    model = ironcalc.load_from_xlsx(str(path), "en", "UTC")
    flip(model, book, 2)
    assert npv_of(model, book) == pytest.approx(seen.npv_usd, abs=0.01, rel=1e-9)
    assert model.get_cell_value(book.sheetnames.index("Cover"), 5, 2) == "All checks hold"
    note = model.get_cell_value(book.sheetnames.index("Assets"), 3, 1)
    assert note.startswith("Another option is shown")
    owed = next(c.row for c in book["Commitments"]["A"] if c.value == "Owed whatever happens")
    last = 3 + len(plan.periods)
    found = model.get_cell_value(book.sheetnames.index("Commitments"), owed, last)
    assert found == pytest.approx(seen.obligations_usd[seen.horizon_months - 1], abs=0.01)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
def test_libreoffice_agrees_with_every_value(shipped, tmp_path):
    # LibreOffice trusts stored values, so it gets the file without them.
    bare = tmp_path / "bare.xlsx"
    with zipfile.ZipFile(shipped) as old, zipfile.ZipFile(bare, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.startswith("xl/worksheets/"):
                content = re.sub(rb'(?: t="(?:str|b)")?><f>(.*?)</f><v>[^<]*</v>',
                                 rb"><f>\1</f><v/>", content)  # fmt: skip
            new.writestr(name, content)
    profile = f"-env:UserInstallation=file://{tmp_path / 'profile'}"
    subprocess.run(
        ["soffice", profile, "--headless", "--convert-to", "xlsx:Calc MS Excel 2007 XML",
         "--outdir", str(tmp_path / "out"), str(bare)],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    formulas = openpyxl.load_workbook(shipped)
    values = openpyxl.load_workbook(shipped, data_only=True)
    recalculated = openpyxl.load_workbook(tmp_path / "out" / "bare.xlsx", data_only=True)
    count = 0
    for sheet in formulas.worksheets:
        for row in sheet.iter_rows():
            for cell in row:
                if cell.data_type != "f":
                    continue
                count += 1
                cached = number(values[sheet.title][cell.coordinate].value)
                found = number(recalculated[sheet.title][cell.coordinate].value)
                assert agrees(found, cached), (sheet.title, cell.coordinate, found, cached)
    assert count > 2000
