"""The ledger's evaluation against a plain interpreter, month by month."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.finance.ledger import Line, cash, evaluate, parse, present_value

MONTHS = 9


def calculation(key, formula):
    return Line(key, key, "USD", "calculation", formula)


def plainly(lines, inputs, quantities):
    """Python's own arithmetic, one month after the other, for quantities without leading axes."""
    done = {}
    for line in lines:
        row = []
        for month in range(MONTHS):

            def lag(name, months, month=month):
                back = month - int(months)
                return done[name][back] if back >= 0 else 0.0

            if line.kind == "quantity":
                row.append(quantities[line.key][month])
                continue
            names = {**inputs, **{key: values[month] for key, values in done.items()}}
            # Lines are looked up by name where they are lagged.
            formula = line.formula.replace("lag(flow", "lag('flow'").replace(
                "lag(stock", "lag('stock'"
            )
            names |= {"prev": row[-1] if row else 0.0, "lag": lag}
            row.append(float(eval(formula, {"__builtins__": {}}, names)))
        done[line.key] = row
    return done


FORMULAS = (
    "prev + flow",
    "prev + flow - lag(flow, delay)",
    "(prev + lag(flow, delay)) * rate",
    "(prev - flow) / (1 + rate) + rate ** 12",
    "flow * (rate * prev + lag(stock, delay)) - 100",
    "-(-prev * rate - flow) - (0 - prev) / 100",
    "flow - rate * prev",
    "flow * rate ** (1 / 12) - 12",
    "rate * 100",
)


@settings(max_examples=60, deadline=None)
@given(
    formula=st.sampled_from(FORMULAS),
    flow=st.lists(st.floats(-50, 50), min_size=MONTHS, max_size=MONTHS),
    rate=st.floats(0.1, 1.5),
    delay=st.integers(0, MONTHS + 2),
)
def test_evaluation_is_the_interpreters(formula, flow, rate, delay):
    lines = (
        Line("flow", "flow", "USD", "quantity"),
        calculation("stock", "prev + flow"),
        calculation("row", formula),
    )
    inputs = {"rate": rate, "delay": float(delay)}
    expected = plainly(lines, inputs, {"flow": flow})["row"]
    found = evaluate(lines, inputs, {"flow": flow}, MONTHS)["row"]
    np.testing.assert_allclose(
        found, expected, rtol=1e-9, atol=1e-9 * max(map(abs, [1, *expected]))
    )


def test_leading_axes_are_independent_ledgers():
    lines = (
        Line("flow", "flow", "USD", "quantity"),
        calculation("row", "(prev + flow) * half"),
    )
    flow = np.arange(12.0).reshape(2, 2, 3)
    together = evaluate(lines, {"half": 0.5}, {"flow": flow}, 3)["row"]
    assert together.shape == (2, 2, 3)
    # Flow 3, 4, 5: 1.5, 2.75, 3.875.
    assert together[0, 1].tolist() == [1.5, 2.75, 3.875]


def test_quantities_not_given_are_zero():
    lines = (Line("flow", "flow", "USD", "quantity"), calculation("row", "flow + 1"))
    assert evaluate(lines, {}, {}, 3)["row"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "formula",
    [
        "prev ** one",
        "one ** prev",
        "one / prev",
        "prev * prev",
        "1 + max(prev, one)",
        "pick(prev, 1)",
    ],
)
def test_formulas_not_affine_in_prev_are_refused(formula):
    with pytest.raises(ValueError, match="affine"):
        evaluate((calculation("row", formula),), {"one": 1.0}, {}, 3)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("2 * prev", "literal 2"),
        ("sqrt(prev)", "only lag"),
        ("pick(prev)", "only lag"),
        ("ahead(prev + prev, 1)", "only lag"),
        ("lag(prev + prev, prev)", "only lag"),
        ("prev if prev else prev", "outside the ledger's grammar"),
        ("prev.real", "outside the ledger's grammar"),
        ("'text'", "literal 'text'"),
        ("prev % prev", "outside the ledger's grammar"),
    ],
)
def test_what_is_outside_the_grammar_is_refused(formula, message):
    with pytest.raises(ValueError, match=message):
        parse(formula)


def test_choices_are_made_month_by_month():
    lines = (
        Line("flow", "flow", "USD", "quantity"),
        calculation("picked", "pick(1 + flow, 100, ten * flow, 12)"),
        calculation("fixed", "pick(code, 0, flow)"),
        calculation("low", "min(flow, 1)"),
        calculation("high", "max(flow, 1, code)"),
    )
    found = evaluate(lines, {"ten": 10.0, "code": 2.0}, {"flow": [0.0, 1.0, 2.0]}, 3)
    assert found["picked"].tolist() == [100, 10, 12]
    assert found["fixed"].tolist() == [0, 1, 2]
    assert found["low"].tolist() == [0, 1, 1]
    assert found["high"].tolist() == [2, 2, 2]


@pytest.mark.parametrize("code", [0.0, 3.0])
def test_a_code_that_names_no_choice_is_refused(code):
    with pytest.raises(ValueError, match="a code is 1 to 2"):
        evaluate((calculation("row", "pick(code, 0, 1)"),), {"code": code}, {}, 3)


def test_a_balance_that_never_falls_below_nothing():
    # 3, 3 - 5 -> 0, 0 + 2, 2 + 4; the ceiling cuts at 5.
    lines = (
        Line("flow", "flow", "USD", "quantity"),
        calculation("floor", "max(prev + flow, 0)"),
        calculation("both", "min(prev + flow, five, 100 - prev)"),
    )
    flow = np.array([[3.0, -5.0, 2.0, 4.0], [1.0, 1.0, 1.0, 1.0]])
    found = evaluate(lines, {"five": 5.0}, {"flow": flow}, 4)
    assert found["floor"].tolist() == [[3, 0, 2, 6], [1, 2, 3, 4]]
    assert found["both"].tolist() == [[3, -2, 0, 4], [1, 2, 3, 4]]


def test_shifts_forward_and_back():
    lines = (
        Line("flow", "flow", "USD", "quantity"),
        calculation("late", "lag(flow, one + one)"),
        calculation("early", "ahead(flow, term - 1)"),
    )
    found = evaluate(lines, {"one": 1.0, "term": 3.0}, {"flow": [1.0, 2.0, 3.0, 4.0]}, 4)
    assert found["late"].tolist() == [0, 0, 1, 2]
    assert found["early"].tolist() == [3, 4, 4, 4]  # the last month stands for later ones


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="'nothing' is neither"):
        evaluate((calculation("row", "nothing + 1"),), {}, {}, 3)


def test_cash_adds_up_cash_lines_only():
    lines = (
        Line("flow", "flow", "h", "quantity"),
        Line("fee", "fee", "USD", "cash", "flow * price"),
        Line("rebate", "rebate", "USD", "cash", "0 - 1"),
    )
    values = evaluate(lines, {"price": 3.0}, {"flow": [1.0, 2.0]}, 2)
    assert cash(lines, values).tolist() == [2, 5]
    assert present_value(cash(lines, values), np.array([1.0, 0.5])) == 4.5
