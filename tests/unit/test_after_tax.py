"""Plans after tax: solved, costed again, in the metrics, the register and the notes."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from planner import report
from planner.answer.decided import Decided
from planner.answer.plan import plan
from planner.answer.tax import assuming, mid_quarter_years
from planner.candidates.assemble import build
from planner.optimize.objective import cost_usd
from planner.report.assets import register
from planner.report.ledger_view import view
from planner.schema.finance import Finance
from tests.formulas import on_formulas
from tests.small_world import (
    CLOUD,
    HQ,
    OWNED_CHEAP,
    catalog,
    decide,
    known,
    scenario,
)
from tests.taxed_world import PAYMENT, TAX, answered, question


def test_the_plans_npv_is_its_ledgers():
    decided, answer = answered()
    assert answer.npv_usd == pytest.approx(decided.solution.cost_usd, rel=1e-9)
    assert view(answer).npv_usd == pytest.approx(answer.npv_usd, rel=1e-12)
    assert sum(c.npv_usd for c in answer.class_costs) == pytest.approx(answer.npv_usd, rel=1e-9)
    assert any("After tax" in note for note in answer.notes)
    assert any("bonus_frac is 0" in note for note in answer.notes)


@pytest.mark.parametrize(
    ("changes", "finance"),
    [
        ({"finance.tax.rate": 0.3}, {"tax": {**TAX, "rate": 0.3}}),
        ({"finance.tax.state_rate": 0.0}, {"tax": {**TAX, "state_rate": 0.0}}),
        ({"finance.tax.bonus_frac": 1.0}, {"tax": {**TAX, "bonus_frac": 1.0}}),
        ({"tax_method": 5.0}, {"tax": {**TAX, "depreciation": "macrs_7"}}),
        ({"tax_method": 2.0, "finance.tax.life_years": 4.0},
         {"tax": {**TAX, "depreciation": "straight_line", "life_years": 4}}),
        ({"finance.payment.order_frac": 0.1}, {"payment": {**PAYMENT, "order_frac": 0.1}}),
        ({"finance.payment.upfront_frac.reserved_1y": 1.0},
         {"payment": {**PAYMENT, "upfront_frac": {"reserved_1y": 1.0}}}),
    ],
    ids=str,
)  # fmt: skip
def test_costed_again_is_the_same_fleet_in_a_changed_problem(changes, finance):
    decided, answer = answered()
    case = assuming(known(question(**finance)), decided.case.offers.tax_calendar.mid_quarter)
    again = report.recost(answer, changes).npv_usd
    assert again == pytest.approx(cost_usd(build(case)[0], decided.solution), rel=1e-9)
    assert abs(again - answer.npv_usd) > 1


def test_book_life_moves_profit_and_no_cash():
    answer = answered()[1]
    again = report.recost(answer, {"finance.book_life_years": 3})
    assert again.npv_usd == pytest.approx(answer.npv_usd, rel=1e-12)
    first = "FY2027"
    key = "profit_and_loss_usd_by_fiscal_year"
    before, after = report.metrics(answer)[key], report.metrics(again)[key]
    assert after[first] > before[first]
    assert sum(after.values()) == pytest.approx(sum(before.values()), rel=1e-9)


def test_metrics_split_tax_and_show_exposure():
    answer = answered()[1]
    found, seen = report.metrics(answer), view(answer)
    assert found["npv_tax_usd"] < 0 < found["npv_before_tax_usd"]
    assert found["npv_before_tax_usd"] + found["npv_tax_usd"] == pytest.approx(found["npv_usd"])
    assert found["peak_cash_usd"] >= found["undiscounted_usd"]
    # Signed in October 2028 for a year, half paid then; the rest is owed to September 2029.
    key = "reserved_1y_l40s_cloud"
    paid = seen.values[f"{key}_paid_usd"]
    owed = found["obligations_usd_by_fiscal_year"]
    assert owed["FY2028"] == pytest.approx(paid[24:].sum(), rel=1e-9)
    assert paid[24:].sum() > 0


def test_register_adds_up_to_the_ledger():
    seen = view(answered()[1])
    vintages = register(seen)
    owned = [line for line in seen.lines if line.group == vintages[0].group]
    orders = next(line.key for line in owned if line.category == "orders")
    assert sum(v.cost_usd for v in vintages) == pytest.approx(seen.values[orders].sum())
    for category, total in (
        ("net book value", np.sum([v.net_book_usd for v in vintages], axis=0)),
        ("federal basis", np.sum([v.tax_basis_usd["federal"] for v in vintages], axis=0)),
    ):
        key = next(line.key for line in owned if line.category == category)
        np.testing.assert_allclose(total, seen.at_year_end(seen.values[key]), rtol=1e-9)
    first = vintages[0]
    assert first.in_service is not None
    assert (first.in_service - first.ordered).days in range(89, 93)
    # A year's share of five: from April 2027 nine months of sixty.
    if first.ordered.isoformat() == "2027-01-01":
        assert first.book_depreciation_usd[0] == pytest.approx(first.cost_usd * 9 / 60)
        assert first.tax_basis_usd["federal"][0] == pytest.approx(first.cost_usd * 0.8)


def test_purchases_late_in_the_year_ask_for_mid_quarter():
    # The room opens in October 2027: machines of that year enter service in its last quarter.
    asked = scenario(
        finance={"tax": TAX}, horizon={"start": "2027-01", "months": 24},
        sites=[{**HQ, "available_from": "2027-10"}, CLOUD],
        supply={"options": ["owned", "on_demand"], "prices": [OWNED_CHEAP],
                "lead_time_months": {"l40s": 0}},
    )  # fmt: skip
    decided, _ = decide(asked)
    assert decided.solution.lots_bought[0, 0].argmax() == 3
    assert mid_quarter_years(decided) == {"FY2027"}
    answer = on_formulas(asked, catalog=catalog(), gap=1e-6)
    assert any(note.startswith("Mid-quarter convention holds in FY2027") for note in answer.notes)
    flags = np.array(answer.ledger_quantities["mid_quarter"])
    assert flags[:12].all()
    assert not flags[12:].any()


@pytest.mark.parametrize(
    ("finance", "message"),
    [
        ({"tax": {"pays_tax": True}}, "pays_tax needs rate and depreciation"),
        ({"tax": {"pays_tax": True, "rate": 0.2}}, "pays_tax needs depreciation"),
        ({"tax": {"rate": 0.2}}, "rate given, but pays_tax is false"),
        ({"tax": {**TAX, "losses": "never"}}, "needs other_taxable_income_usd"),
        ({"payment": {"order_frac": 0.7, "delivery_frac": 0.6}}, "more than the whole price"),
        ({"running": {"staff_per_accelerator": 0.002}}, "give both"),
        ({"book_life_years": 7}, "less than or equal to 6"),
    ],
)  # fmt: skip
def test_what_is_missing_or_unknown_is_refused(finance, message):
    with pytest.raises(ValidationError, match=message):
        Finance.model_validate(finance)


def test_costed_again_makes_the_mid_quarter_test_again():
    # Half of the machines enter service in January and half in October: mid-quarter. Delivered
    # three months later they enter in April and in January of the next year: no year asks for it.
    def asked(lead):
        supply = {"prices": [OWNED_CHEAP], "lead_time_months": {"l40s": lead}}
        finance = {"tax": {"pays_tax": True, "rate": 0.25, "depreciation": "macrs_5"}}
        return scenario(horizon={"start": "2027-01", "months": 24}, supply=supply, finance=finance)

    found, _ = decide(asked(0))
    bought = np.zeros_like(found.solution.lots_bought)
    bought[0, 0, [0, 3]] = 10
    first = assuming(found.case, frozenset({"FY2027"}))
    problem, axes = build(first)
    x = replace(found.solution, lots_bought=bought)
    decided = Decided(first, problem, axes, replace(x, cost_usd=cost_usd(problem, x)))
    assert mid_quarter_years(decided) == {"FY2027"}
    answer = plan(decided, gap_asked_frac=1e-6, audit=[], binding=[], seconds={})
    again = report.recost(answer, {"supply.lead_time_months.l40s": 3})
    assert not any(again.ledger_quantities["mid_quarter"])
    changed, _ = build(known(asked(3)))
    assert again.npv_usd == pytest.approx(cost_usd(changed, x), rel=1e-9)
