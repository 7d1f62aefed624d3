"""Changes, differing inputs and figures side by side, against arithmetic by hand."""

import json
import math
from io import StringIO

import pytest
from rich.console import Console

from planner.report import recost
from planner.report.compare import Failure, Named, as_dict, compare
from planner.report.compare_changes import Change, changes, summary
from planner.report.compare_console import comparison
from planner.report.compare_inputs import catalog_differences, scenario_differences
from planner.report.compare_metrics import OPEN, WITHIN, metrics, sides
from planner.result import ApiRow, Period
from tests.plan_fixture import small_plan
from tests.tiny_plans import machines, rented, tiny_plan

QUARTERS = [
    Period(label=f"2027-Q{q + 1}", first_month=3 * q, months=3, fiscal_year="FY2027")
    for q in range(4)
]


def fleet(*rows, **more):
    return rented(periods=QUARTERS, fleet=list(rows), **more)


def lines(first, second):
    return [one.line for one in changes(first, second)]


def test_added_changed_and_dropped_machines():
    kept = machines("owned", [25, 0, 0, 0], [0, 0, 0, 25])
    first = fleet(machines("on_demand", [32, 32, 31.5, 12], [20, 20, 20, 8]))
    assert lines(first, fleet(machines("on_demand", [12, 12, 12, 12], [8, 8, 8, 8]), kept)) == [
        "+ 25 H100 nodes at us, owned, from 2027-Q4",
        "~ H100 at us, on demand: 32 -> 12 nodes",
    ]
    assert lines(first, fleet(kept)) == [
        "+ 25 H100 nodes at us, owned, from 2027-Q4",
        "- 32 H100 nodes at us, on demand, from 2027-Q1",
    ]


def test_the_same_machines_at_other_times_are_a_change():
    early = fleet(machines("owned", [2, 1, 0, 0], [2, 3, 3, 3]))
    late = fleet(machines("owned", [1, 1, 1, 0], [1, 2, 3, 3]))
    assert lines(early, late) == [
        "~ H100 at us, owned: 3 nodes, ordered 2 in 2027-Q1, 1 in 2027-Q2 -> "
        "1 in 2027-Q1, 1 in 2027-Q2, 1 in 2027-Q3"
    ]
    busy = fleet(machines("on_demand", [4, 4, 4, 4], [2, 2, 2, 4]))
    idle = fleet(machines("on_demand", [4, 4, 4, 4], [1, 1, 1, 1]))
    assert lines(busy, idle) == ["~ H100 at us, on demand: 4 nodes, mean in service 2.50 -> 1.00"]


def test_reservations_count_what_is_in_force_at_once():
    # 4 nodes signed twice for half the time each are never more than 4.
    row = machines("reserved_1y", [4, 0, 4, 0], [4, 4, 4, 4])
    assert lines(fleet(), fleet(row)) == ["+ 4 H100 nodes at us, reserved 1 year, from 2027-Q1"]


def test_apis_are_told_by_their_largest_share():
    def api(share):
        return ApiRow(demand_class="chat", provider="seller", product="m-large", model="m",
                      served_frac=[[share, 0.1]])  # fmt: skip

    assert lines(rented(), rented(apis=[api(0.3)])) == ["+ up to 30% of chat by m-large"]
    assert lines(rented(apis=[api(0.3)]), rented(apis=[api(0.5)])) == [
        "~ chat by m-large: at most 30.0% -> 50.0% of its requests"
    ]
    assert lines(rented(apis=[api(0.3)]), rented()) == ["- up to 30% of chat by m-large"]


def test_summary_counts():
    one = Change("add", "machines", "x")
    two = Change("change", "machines", "x")
    assert summary([one, one, two, Change("drop", "APIs", "x")]) == (
        "2 to add, 1 to change, 1 to drop"
    )
    assert summary([]) == "nothing to add, change or drop"


def test_a_plan_against_itself_differs_in_nothing():
    found = compare([Named("a", small_plan()), Named("b", small_plan())])
    (pair,) = found.pairs
    assert (pair.changes, pair.scenario, pair.catalog) == ((), (), ())
    assert all(metric.change(1) in (0.0, None) for metric in found.metrics)


def test_scenario_paths_with_both_values_and_whole_entries():
    first = rented(scenario={"title": "a", "limits": {"types": 2}, "sites": [
        {"name": "hq", "pue": 1.2}, {"name": "old", "pue": 1.9}]})  # fmt: skip
    second = rented(scenario={"title": "b", "limits": {"types": None}, "sites": [
        {"name": "hq", "pue": 1.3}, {"name": "new", "pue": 1.1}]})  # fmt: skip
    found = [(row.what, row.first, row.second) for row in scenario_differences(first, second)]
    assert found == [
        ("limits.types", "2", "null"),
        ("sites.hq.pue", "1.2", "1.3"),
        ("sites.old", "present", "absent"),
        ("sites.new", "absent", "present"),
    ]


def test_catalog_figures_with_both_values_and_sources():
    first, second = rented(), rented(price=3.0)
    newer = [
        row.model_copy(update={"source": "another letter"}) if row.name == "rent_price" else row
        for row in second.ledger_inputs
    ]
    (row,) = catalog_differences(first, second.model_copy(update={"ledger_inputs": newer}))
    assert (row.what, row.unit, row.first, row.second) == ("rent_price", "USD/h", "2", "3")
    assert row.first_source == "a letter; 2026-11-01; quoted"
    assert row.second_source == "another letter; 2026-11-01; quoted"


def metric(plans, label):
    (found,) = (one for one in metrics(sides(plans)) if one.label == label)
    return found


def test_figures_and_their_changes_by_hand():
    # 2,400 and 150 h x 2 USD x 12 = 3,600 USD.
    row = machines("owned", [2, 0, 0, 0], [1, 2, 2, 2])
    plans = [rented(), fleet(row, hours=150.0)]
    npv = metric(plans, "Net present cost")
    assert npv.values == pytest.approx((2400.0, 3600.0))
    assert (npv.change(1), npv.relative(1)) == pytest.approx((1200.0, 0.5))
    # At no interest the level cost of a year is the cash of the year.
    assert metric(plans, "Annualized cost").values == pytest.approx((2400.0, 3600.0))
    assert metric(plans, "Cash out in FY2027").change(1) == pytest.approx(1200.0)
    # 2,400 / 1,000 and 3,600 / 1,000 M tokens.
    assert metric(plans, "A million tokens of chat").values == pytest.approx((2.4, 3.6))
    # Two nodes of eight, 10 kW each.
    assert metric(plans, "Accelerators in service, most of any period").values == (0.0, 16.0)
    assert metric(plans, "Contracted IT power of own machines, most").values == (0.0, 20.0)


def test_annualized_cost_by_hand():
    # 10 % a year over 12 months of 200 USD each at month ends: twelve equal payments are 200.
    plan = rented()
    at_ten = [
        row.model_copy(update={"value": 0.1}) if row.name == "discount_rate" else row
        for row in plan.ledger_inputs
    ]
    plan = plan.model_copy(update={"ledger_inputs": at_ten})
    assert metric([plan], "Annualized cost").values[0] == pytest.approx(2400.0)


def test_differences_within_the_two_gaps_are_marked():
    # Gaps of 30 and 40 USD: 60 USD apart mean nothing, 84 USD do.
    first = rented(gap_usd=30.0)
    near, far = rented(hours=102.5, gap_usd=40.0), rented(hours=103.5, gap_usd=40.0)
    npv = metric([first, near, far], "Net present cost")
    assert [npv.change(1), npv.change(2)] == pytest.approx([60.0, 84.0])
    assert [npv.note(n) for n in range(3)] == ["", WITHIN, ""]
    again = recost(first, {"rent_price": 2.01})
    assert metric([first, again], "Net present cost").note(1) == OPEN


def test_other_months_refuse_the_bridge_and_compare_the_annualized_cost():
    longer = rented(months=24)
    found = compare([Named("a", rented()), Named("b", longer)])
    assert found.pairs[0].bridge is None
    assert "12 months from 2027-01 against 24 months from 2027-01" in found.pairs[0].refused
    by_label = {one.label: one for one in found.metrics}
    assert by_label["Net present cost"].values == pytest.approx((2400.0, 4800.0))
    assert by_label["Net present cost"].change(1) is None
    assert by_label["Annualized cost"].change(1) == pytest.approx(0.0, abs=1e-9)
    assert by_label["A million tokens of chat"].change(1) == pytest.approx(2.4)


def test_another_start_refuses_the_bridge():
    later = rented(scenario={"horizon": {"start": "2027-07", "months": 12}})
    (pair,) = compare([Named("a", rented()), Named("b", later)]).pairs
    assert "12 months from 2027-01 against 12 months from 2027-07" in pair.refused


def test_another_currency_compares_no_money():
    euro = rented(scenario={"finance": {"currency": "EUR"}})
    found = compare([Named("a", rented()), Named("b", euro)])
    assert "USD against EUR" in found.pairs[0].refused
    assert all(one.change(1) is None for one in found.metrics if one.family == "money")
    assert any(one.change(1) is not None for one in found.metrics if one.family == "machines")


def test_three_plans_are_all_compared_with_the_first():
    names = [Named("a", rented()), Named("b", rented(hours=90.0)), Named("c", rented(price=1.0))]
    found = compare(names)
    assert [pair.name for pair in found.pairs] == ["b", "c"]
    npv = found.metrics[0]
    # 90 x 2 x 12 - 2,400; 100 x 1 x 12 - 2,400
    assert [npv.change(1), npv.change(2)] == pytest.approx([-240.0, -1200.0])


def test_json_is_complete_and_finite():
    again = recost(small_plan(), {"finance.discount_rate": 0.1})
    failure = Failure("c", "InfeasibleError", ("site_power: 3 kW short",))
    found = as_dict(compare([Named("a", small_plan()), Named("b", again)], [failure]))
    text = json.dumps(found, allow_nan=False)
    back = json.loads(text)
    assert back["failures"][0]["reasons"] == ["site_power: 3 kW short"]
    (pair,) = back["against_first"]
    total = pair["bridge"]["start_usd"] + sum(step["usd"] for step in pair["bridge"]["steps"])
    assert total == pytest.approx(pair["bridge"]["end_usd"])
    assert math.isclose(pair["bridge"]["end_usd"], again.npv_usd)
    assert pair["scenario_differences"][0]["what"] == "finance.discount_rate"


def printed(found, width=80):
    console = Console(width=width, record=True, file=StringIO())
    console.print(comparison(found), markup=False)
    return console.export_text()


def test_terminal_fits_and_shows_text_as_it_is():
    first = Named("[red]a", small_plan())
    plans = [first, Named("b", recost(small_plan(), {"discount_rate": 0.1}))]
    assert "…" not in printed(compare([*plans, Named("c", rented())]))
    text = printed(compare(plans))
    assert "[red]a" in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "nothing to add, change or drop" in text


def test_a_longer_horizon_is_compared_where_both_have_periods():
    # The shorter plan is the longer one's beginning: nothing is changed.
    assert changes(small_plan(), small_plan(months=30)) == ()


def test_plans_without_costs_compare():
    empty = tiny_plan(lines=(), inputs={}, quantities={}, mtokens={})
    found = compare([Named("a", empty), Named("b", rented())])
    # 2,400 USD for a class that only the second plan serves.
    (step,) = found.pairs[0].bridge.steps
    assert (step.what, step.usd) == ("demand of chat: new", pytest.approx(2400.0))
    assert "Net present cost" in printed(found)
    assert compare([Named("a", rented()), Named("b", empty)]).pairs[0].bridge.left_usd == 0.0
