"""Traffic out of clouds: volume by hand, its price in the plan, in tax, classes and exports."""

import pytest

from planner.candidates.assemble import build
from planner.candidates.costs import egress_gb
from planner.finance.lines import egress_lines
from planner.report.focus import export
from planner.report.ledger_view import view
from tests.small_world import CHAT, HQ, NIGHT, axes_of, decide, known, scenario
from tests.unit.test_finance_lines import a, at, rows

RENTED = {"options": ["on_demand"]}
CHEAP_TOKENS = {"usd_per_gb": 0.09, "bytes_per_output_token": 500}


def test_row_by_hand():
    # 2,000 GB in January at 0.09.
    values, npv = rows(
        egress_lines("us-east", a(0.09)), quantities={"egress_us_east_gb": at(0, 2000.0)}
    )
    assert values["egress_us_east_usd"][0] == pytest.approx(180)
    assert npv == pytest.approx(180)


def test_volume_is_output_tokens_times_bytes():
    # 20 requests a second x 200 tokens x 500 bytes are 2 MB/s: 8,760 h x 3,600 s are 63,072 GB.
    case = known(scenario(finance={"egress": CHEAP_TOKENS}, supply=RENTED))
    gb = egress_gb(case, axes_of(case))
    assert gb.sum(axis=(1, 2)) == pytest.approx(63_072)


def test_stated_volume_is_shared_by_output_tokens():
    # Chat sends 20 x 200 tokens a second, night 432,000 x 200 / 86,400 = 5 x 200: four fifths.
    demand = [CHAT, NIGHT]
    egress = {"usd_per_gb": 0.09, "gb_per_month": 100}
    case = known(scenario(demand=demand, finance={"egress": egress}, supply=RENTED))
    gb = egress_gb(case, axes_of(case))
    classes = [case.table.configurations[i].demand_class for i in axes_of(case).kept]
    by_class = dict(zip(classes, gb.sum(axis=(1, 2)), strict=True))
    assert by_class == pytest.approx({0: 960, 1: 240})


def test_a_rented_plan_pays_it_and_the_books_agree():
    question = scenario(finance={"egress": CHEAP_TOKENS}, supply=RENTED)
    plan = decide(question)[1]  # refused where the ledger's NPV is not the optimizer's
    seen = view(plan)
    assert seen.category_usd("egress").sum() == pytest.approx(63_072 * 0.09)
    free = decide(scenario(supply=RENTED))[1]
    note = "Traffic out of clouds is taken as free: finance.egress."
    assert (note in free.notes, note in plan.notes) == (True, False)
    assert plan.npv_usd - free.npv_usd == pytest.approx(
        (seen.category_usd("egress") * seen.weight).sum(), rel=1e-6
    )
    assert sum(c.npv_usd for c in plan.class_costs) == pytest.approx(plan.npv_usd)
    found = export(plan)
    assert all(one.holds for one in found.reconciliations)
    (row, *_) = [r for r in found.cost_and_usage if r.x_Category == "egress"]
    assert (row.ServiceCategory, row.PricingUnit) == ("Networking", "GB")
    assert row.HostProviderName == "cloud"


def test_own_sites_pay_none():
    supply = {"options": ["owned"], "lead_time_months": {"l40s": 0}}
    question = scenario(finance={"egress": CHEAP_TOKENS}, supply=supply, sites=[HQ])
    plan = decide(question)[1]
    assert not view(plan).category_usd("egress").any()


@pytest.mark.parametrize("losses", ["at_once", "carried_forward"])
def test_it_is_deducted(losses):
    tax = {"pays_tax": True, "rate": 0.25, "depreciation": "macrs_5", "losses": losses}
    if losses != "at_once":
        tax["other_taxable_income_usd"] = 1e9
    question = scenario(finance={"egress": CHEAP_TOKENS, "tax": tax}, supply=RENTED)
    plan = decide(question)[1]
    seen = view(plan)
    before = seen.cash_usd - seen.category_usd("tax")
    assert seen.category_usd("tax").sum() == pytest.approx(-0.25 * before.sum())
    assert build(known(question))[0].pools.energy_usd.max() > 0
