"""IronCalc recomputes the shipped workbook, as it stands and with every lever changed."""

import ironcalc
import openpyxl
import pytest

from planner.finance.metrics import payback
from planner.report import recost
from planner.report.ledger_view import view
from planner.report.option_figures import option_figures
from planner.report.workbook import write_workbook
from tests.compared_plan import compared_plan, option
from tests.crosscheck.workbook_engines import CASES, Case, check, in_ironcalc, tries
from tests.crosscheck.workbook_engines import input_cell as place_of
from tests.plan_fixture import small_plan
from tests.taxed_world import answered


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    """Writes each case's workbook once."""
    folder, written = tmp_path_factory.mktemp("workbook"), {}

    def path(case):
        if case.name not in written:
            written[case.name] = folder / f"{case.name}.xlsx"
            write_workbook(case.plan(), written[case.name])
        return written[case.name]

    return path


@pytest.mark.parametrize(("case", "changes"), tries(slow=False), ids=str)
def test_ironcalc_agrees_after_every_change(books, case, changes):
    check(in_ironcalc(books(case), changes), case, changes)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "changes"), tries(slow=True), ids=str)
def test_ironcalc_agrees_on_the_samples(books, case, changes):
    check(in_ironcalc(books(case), changes), case, changes)


@pytest.fixture(scope="module")
def shipped(books):
    return books(CASES[0])


COMPARED = Case("compared", compared_plan, ({},))


@pytest.fixture(scope="module")
def compared(books):
    return books(COMPARED)


def test_ironcalc_agrees_with_every_value_of_the_comparison(compared):
    check(in_ironcalc(compared, {}), COMPARED, {})


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
    return book.sheetnames.index("Inputs"), *place_of(book, name)


def test_a_term_longer_than_the_sheets_raises_the_flag(shipped):
    # 24 months after the last signing reach beyond the 12 months that the sheets have.
    book = openpyxl.load_workbook(shipped)
    model = ironcalc.load_from_xlsx(str(shipped), "en", "UTC")
    model.set_user_input(*input_cell(book, "term_1y"), "24")
    model.evaluate()
    cover = book.sheetnames.index("Cover")
    assert model.get_cell_value(cover, 5, 2) == "A check fails: see sheet Checks"


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


@pytest.mark.parametrize("rate", [0.08, 0.25])
def test_paybacks_follow_the_discount_rate(tmp_path, rate):
    # The other fleet rents a fifth of the plan's hours for six months, then 40 times as many: the
    # plan is behind until months of saving have made up for it.
    plan = small_plan()
    month = range(len(plan.ledger_quantities["rent_hours_h100"]))
    hours = [x * (0.2 if m < 6 else 40.0) for m, x in
             zip(month, plan.ledger_quantities["rent_hours_h100"], strict=True)]  # fmt: skip
    quantities = {**plan.ledger_quantities, "rent_hours_h100": hours}
    other = option(plan, "on_demand", "Late", rent_hours_h100=1.0)
    other = other.model_copy(update={"ledger_quantities": quantities})
    other = other.model_copy(update={"npv_usd": view(plan, other).npv_usd})
    plan = plan.model_copy(update={"options": [plan.as_option(), other]})
    path = tmp_path / "payback.xlsx"
    write_workbook(plan, path)
    seen = in_ironcalc(path, {"discount_rate": rate})
    flow = view(plan, other).cash_usd - view(plan).cash_usd
    monthly = (1 + rate) ** (1 / 12) - 1
    row = next(c.row for c in seen.book["Metrics"]["A"] if c.value == "Late")
    assert 6 < payback(flow) < len(flow)
    assert seen.value("Metrics", row, 7) == pytest.approx(payback(flow), abs=1e-7)
    assert seen.value("Metrics", row, 8) == pytest.approx(payback(flow, rate=monthly), abs=1e-7)
    assert payback(flow, rate=monthly) > payback(flow)


def test_utilization_moves_unit_costs_and_nothing_else(shipped):
    as_solved = in_ironcalc(shipped, {})
    book = as_solved.book
    rows = {str(c.value): c.row for c in book["Metrics"]["A"]}
    at, used = rows["Utilization to price at"], rows["Utilization as solved"]
    half = as_solved.value("Metrics", used, 3) / 2
    model = ironcalc.load_from_xlsx(str(shipped), "en", "UTC")
    metrics = book.sheetnames.index("Metrics")
    model.set_user_input(metrics, at, 3, repr(half))
    model.evaluate()
    delivered = rows["Cost of a GPU-hour delivered, at that utilization"]
    before = as_solved.value("Metrics", delivered, 3)
    assert model.get_cell_value(metrics, delivered, 3) == pytest.approx(2 * before, rel=1e-12)
    # API fees are the cash of category api; all else is spread over half as many tokens.
    cash = {str(c.value): as_solved.value("Cash", c.row, 5) for c in book["Cash"]["A"]}
    machines = (cash["Cash out"] - cash["API"]) / cash["Cash out"]
    tokens = rows["Cost of tokens and requests at that utilization"] + 1
    before = as_solved.value("Metrics", tokens, 6)
    expected = before * (2 * machines + 1 - machines)
    assert model.get_cell_value(metrics, tokens, 6) == pytest.approx(expected, rel=1e-9)
    assert npv_of(model, book) == pytest.approx(as_solved.npv_usd, rel=1e-12)
