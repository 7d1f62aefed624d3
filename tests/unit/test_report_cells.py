"""Ledger formulas as spreadsheet text, against text and values worked out by hand."""

import ironcalc
import pytest

from planner.report.cells import Grid, template

GRID = Grid(
    first_column=7,
    months=24,
    month_row=7,
    rows={"month": 7, "buy": 9, "up": 10},
    inputs={"a": "Inputs!$C$5", "b": "Inputs!$C$6", "c": "Inputs!$C$7", "lead": "Inputs!$C$8"},
)


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("prev + buy", "={p}10+{c}9"),
        ("a - (b - c)", "=Inputs!$C$5-(Inputs!$C$6-Inputs!$C$7)"),
        ("a / (b * c)", "=Inputs!$C$5/(Inputs!$C$6*Inputs!$C$7)"),
        ("(a - b) - c", "=Inputs!$C$5-Inputs!$C$6-Inputs!$C$7"),
        ("(1 + a) ** (buy / 12)", "=(1+Inputs!$C$5)^({c}9/12)"),
        ("a * -buy", "=Inputs!$C$5*(-{c}9)"),
        ("lag(buy, 12 + 12)", "=IF({c}$7>12+12,INDEX($G9:$AD9,1,{c}$7-(12+12)),0)"),
        ("ahead(buy, lead - 1)", "=INDEX($G9:$AD9,1,MIN({c}$7+Inputs!$C$8-1,$AD$7))"),
        ("1 + pick(a, buy, min(b, 0))", "=1+CHOOSE(Inputs!$C$5,{c}9,MIN(Inputs!$C$6,0))"),
        ("lag(buy, lead)", "=IF({c}$7>Inputs!$C$8,INDEX($G9:$AD9,1,{c}$7-Inputs!$C$8),0)"),
    ],
)
def test_text_of_a_formula(formula, text):
    assert template("up", formula, GRID) == text


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        # a = 2, b = 3, c = 2; Python reads a ** b ** c as 2^9, spreadsheets a^b^c as 64.
        ("a ** b ** c", 512.0),
        # Python reads -a ** c as -(2^2), spreadsheets -a^c as (-2)^2.
        ("-a ** c", -4.0),
        ("(-a) ** c", 4.0),
        ("a - b - c", -3.0),
        ("a - (b - c)", 1.0),
        ("a / b * c", 4 / 3),
        ("a / (b * c)", 1 / 3),
        ("-(a + b) * c", -10.0),
        ("1 - -a", 3.0),
        ("(a + b) ** (1 / c)", 5**0.5),
        ("100 * a - 12", 188.0),
    ],
)
def test_a_spreadsheet_reads_it_as_the_ledger_does(formula, value):
    grid = Grid(1, 1, 1, {}, {"a": "$A$1", "b": "$A$2", "c": "$A$3"})
    model = ironcalc.create("book", "en", "UTC")
    for row, number in enumerate(("2", "3", "2"), 1):
        model.set_user_input(0, row, 1, number)
    model.set_user_input(0, 5, 1, template("x", formula, grid))
    model.evaluate()
    assert model.get_cell_value(0, 5, 1) == pytest.approx(value, rel=1e-14)


def test_a_name_that_no_cell_holds_is_an_error():
    with pytest.raises(KeyError):
        template("up", "missing * a", GRID)
