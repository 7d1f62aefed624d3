"""FOCUS export: rows by hand, the specification's columns, and sums that agree with the plan."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
from pydantic import ValidationError

from planner.cli import main
from planner.errors import PlannerError
from planner.finance.ledger import Line
from planner.report.focus import csv_text, export, reconcile, write_export
from planner.report.focus_amounts import used_frac
from planner.report.focus_columns import ContractCommitment, CostAndUsage, names
from planner.report.focus_rows import focus_rows
from planner.report.ledger_view import view
from planner.result import Block, Period, Plan, PoolRow
from tests import small_world, taxed_world
from tests.plan_fixture import candidate, small_plan
from tests.tiny_plans import OWNED, OWNED_LINES, machines, rented, tiny_plan

# FOCUS 1.3, typed from the columns of the specification's datasets.
NEVER_NULL = {
    "BilledCost", "BillingAccountId", "BillingAccountType", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
    "EffectiveCost", "HostProviderName", "InvoiceIssuerName", "ListCost", "PricingCurrency",
    "PricingCurrencyEffectiveCost", "ProviderName", "PublisherName", "ServiceCategory",
    "ServiceName", "ServiceProviderName", "ServiceSubcategory",
}  # fmt: skip
NULLABLE = {
    "AllocatedMethodDetails", "AllocatedMethodId", "AllocatedResourceId", "AllocatedResourceName",
    "AllocatedTags", "AvailabilityZone", "BillingAccountName",
    "CapacityReservationId", "CapacityReservationStatus", "ChargeClass", "ChargeDescription",
    "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName",
    "CommitmentDiscountQuantity", "CommitmentDiscountStatus", "CommitmentDiscountType",
    "CommitmentDiscountUnit", "ConsumedQuantity", "ConsumedUnit", "ContractApplied",
    "ContractedUnitPrice", "InvoiceId", "ListUnitPrice", "PricingCategory",
    "PricingCurrencyContractedUnitPrice", "PricingCurrencyListUnitPrice", "PricingQuantity",
    "PricingUnit", "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType", "SkuId",
    "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName",
    "SubAccountType", "Tags",
}  # fmt: skip
CONTRACT = {
    "BillingCurrency", "ContractCommitmentCategory", "ContractCommitmentCost",
    "ContractCommitmentDescription", "ContractCommitmentId", "ContractCommitmentPeriodEnd",
    "ContractCommitmentPeriodStart", "ContractCommitmentQuantity", "ContractCommitmentType",
    "ContractCommitmentUnit", "ContractId", "ContractPeriodEnd", "ContractPeriodStart",
}  # fmt: skip


def nullable(model):
    fields = model.model_fields.items()
    return {name for name, field in fields if type(None) in get_args(field.annotation)}


def test_columns_are_those_of_the_specification():
    own = [name for name in names(CostAndUsage) if name.startswith("x_")]
    assert set(names(CostAndUsage)) - set(own) == NEVER_NULL | NULLABLE
    assert len(NEVER_NULL | NULLABLE) == 65
    assert nullable(CostAndUsage) - set(own) == NULLABLE
    assert {name for name in names(ContractCommitment) if not name.startswith("x_")} == CONTRACT
    assert nullable(ContractCommitment) == {
        "ContractCommitmentCost", "ContractCommitmentDescription", "ContractCommitmentQuantity",
        "ContractCommitmentUnit",
    }  # fmt: skip


def test_on_demand_machines_by_hand():
    plan = rented(fleet=[machines("on_demand", [1.0], [0.5])])
    rows = export(plan).cost_and_usage
    assert len(rows) == 12
    row = rows[1]
    # 100 node hours of eight accelerators at 2 USD a node hour.
    assert (row.BilledCost, row.EffectiveCost, row.ListCost) == (200.0, 200.0, 200.0)
    assert (row.ConsumedQuantity, row.ConsumedUnit) == (800.0, "GPU-Hours")
    assert row.ContractedUnitPrice == pytest.approx(0.25)
    assert (row.ChargePeriodStart, row.ChargePeriodEnd) == (
        "2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z"
    )  # fmt: skip
    assert (row.ChargeCategory, row.PricingCategory) == ("Usage", "Standard")
    assert (row.x_IsForecast, row.x_IsCapitalExpenditure, row.x_Option) == (
        True, False, "on_demand"
    )  # fmt: skip


def bought(**more):
    """Three nodes at 1,000 USD ordered in January, in service from April."""
    inputs = {"node_usd": 1000.0, "lead": 3.0, "node_kw": 10.0, "tariff": 1.0, "upkeep_frac": 0.12}
    row = machines("owned", [3.0], [2.25]).model_copy(
        update={"accelerator": "b200", "accelerator_title": "B200", "site": "hq"}
    )
    return tiny_plan(
        lines=OWNED_LINES, inputs=inputs, quantities={"bought": [3.0] + [0.0] * 11},
        mtokens={"chat": 1000.0}, fleet=[row], **more,
    )  # fmt: skip


def test_machines_bought_are_purchases_whose_use_is_spread_over_their_service():
    rows = export(bought()).cost_and_usage
    (purchase,) = [row for row in rows if row.ChargeCategory == "Purchase"]
    assert (purchase.BilledCost, purchase.EffectiveCost) == (3000.0, 0.0)
    assert (purchase.ChargeFrequency, purchase.x_IsCapitalExpenditure) == ("One-Time", True)
    use = [row for row in rows if row.x_Category == "depreciation"]
    # April to December: 3,000 / 9.
    assert [row.ChargePeriodStart[:7] for row in use] == [f"2027-{m:02}" for m in range(4, 13)]
    assert [row.EffectiveCost for row in use] == pytest.approx([3000 / 9] * 9)
    assert {(row.BilledCost, row.x_IsCapitalExpenditure) for row in use} == {(0.0, True)}
    # Energy 3 x 10 kW x 1 and maintenance 3,000 x 12 % / 12 a month in service.
    running = [row for row in rows if row.x_Category in ("energy", "maintenance")]
    assert [row.BilledCost for row in running] == pytest.approx([30.0] * 18)


RESERVED = "H100 at us, reserved 1 year"
RESERVED_LINES = (
    Line("signed", "Signed", "nodes", "quantity", group=RESERVED),
    Line("in_force", "In force", "nodes", "calculation", "prev + signed - lag(signed, term)",
         group=RESERVED),
    Line("paid", "Reserved machines", "USD", "cash", "in_force * month_usd", "commitments",
         RESERVED),
)  # fmt: skip


def reserved():
    """Two nodes for 12 months from January, two more from October: nine months after the end.

    One node's worth of replicas is active: half of two nodes, then a quarter of four.
    """
    who = "chat/m/h100/fp8+fp8/vllm/tp8pp1ep1/chunked"
    periods = [Period(label="early", first_month=0, months=9, fiscal_year="FY2027"),
               Period(label="late", first_month=9, months=3, fiscal_year="FY2027")]  # fmt: skip
    plan = tiny_plan(
        lines=RESERVED_LINES, inputs={"month_usd": 100.0, "term": 12.0},
        quantities={"signed": [2.0] + [0.0] * 8 + [2.0, 0.0, 0.0]}, mtokens={"chat": 1000.0},
        fleet=[machines("reserved_1y", [2.0, 2.0], [2.0, 4.0])], periods=periods,
        blocks=[Block(label="always", day="weekday", hours=[6552.0, 2208.0])],
        candidates=[candidate(who)],
        pools=[PoolRow(candidate=who, site="us", replicas_peak=[1.0, 1.0],
                       replicas=[[1.0], [1.0]], served_frac=[[1.0], [1.0]])],
    )  # fmt: skip
    return plan.model_copy(update={"npv_usd": view(plan).npv_usd})


def test_a_commitment_is_bought_each_month_and_used_or_not():
    rows = export(reserved()).cost_and_usage
    january = [row for row in rows if row.ChargePeriodStart.startswith("2027-01")]
    facts = {
        (row.ChargeCategory, row.CommitmentDiscountStatus): (row.BilledCost, row.EffectiveCost)
        for row in january
    }
    # Two nodes of 100 USD a month; replicas fill one of them.
    assert facts == {
        ("Purchase", None): (200.0, 0.0),
        ("Usage", "Used"): (0.0, 100.0),
        ("Usage", "Unused"): (0.0, 100.0),
    }
    used = next(row for row in january if row.CommitmentDiscountStatus == "Used")
    # 744 hours of one node of eight accelerators.
    assert (used.CommitmentDiscountQuantity, used.ConsumedQuantity) == (5952.0, 5952.0)
    assert used.PricingCategory == "Committed"
    unused = next(row for row in january if row.CommitmentDiscountStatus == "Unused")
    assert unused.ConsumedQuantity is None
    assert unused.ResourceId == unused.CommitmentDiscountId != used.ResourceId
    applied = json.loads(used.ContractApplied)["Elements"][0]
    assert applied["ContractCommitmentId"] == used.CommitmentDiscountId


def test_commitments_share_what_is_used_and_are_unused_after_the_horizon():
    rows = export(reserved()).cost_and_usage

    def status(month):
        chosen = [r for r in rows if r.ChargePeriodStart.startswith(month)]
        return sorted((r.CommitmentDiscountStatus, r.EffectiveCost) for r in chosen
                      if r.CommitmentDiscountStatus)  # fmt: skip

    # Four nodes, one filled: a quarter of each contract's 200 USD.
    assert status("2027-11") == [("Unused", 150.0)] * 2 + [("Used", 50.0)] * 2
    assert status("2028-05") == [("Unused", 200.0)]


def test_contracts_by_hand():
    first, second = export(reserved()).contract_commitment
    # Two nodes x eight accelerators x 8,760 hours of 2027; 12 months x 200 USD.
    assert (first.ContractCommitmentQuantity, first.ContractCommitmentCost) == (140_160.0, 2400.0)
    assert (first.ContractPeriodStart, first.ContractPeriodEnd) == (
        "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"
    )  # fmt: skip
    # October 2027 to September 2028 has a leap day.
    assert second.ContractCommitmentQuantity == 2 * 8 * 8784.0
    assert second.ContractPeriodEnd == "2028-10-01T00:00:00Z"


def test_each_commitments_use_sums_to_its_purchases():
    # The specification's rule for every commitment.
    for plan in (reserved(), small_plan()):
        rows = export(plan).cost_and_usage
        for contract in {row.CommitmentDiscountId for row in rows} - {None}:
            mine = [row for row in rows if row.CommitmentDiscountId == contract]
            bought = sum(row.BilledCost for row in mine if row.ChargeCategory == "Purchase")
            used = sum(row.EffectiveCost for row in mine if row.ChargeCategory == "Usage")
            assert used == pytest.approx(bought)


def test_tokens_have_a_row_for_each_type():
    plan = small_world.mixed()[1]
    rows = [row for row in export(plan).cost_and_usage if row.x_Category == "api"]
    january = {row.x_TokenType: row for row in rows if row.ChargePeriodStart.startswith("2027-01")}
    assert set(january) == {"input", "output"}
    row = january["input"]
    # Two requests a second x 1,000 tokens over the 744 hours of January, less or more as the
    # weekdays of a month are spread evenly over its quarter: within 5 %.
    assert row.ConsumedUnit == "Tokens"
    assert row.ConsumedQuantity == pytest.approx(2 * 1000 * 744 * 3600, rel=0.05)
    assert (row.ServiceCategory, row.ServiceSubcategory) == (
        "AI and Machine Learning", "Generative AI"
    )  # fmt: skip
    assert row.x_Model == "llama-3.3-70b"
    assert row.PricingQuantity == pytest.approx(row.ConsumedQuantity / 1e6)


PLANS = [small_plan, lambda: small_world.mixed()[1], bought, reserved, rented]


@pytest.mark.parametrize("make", PLANS, ids=["fixture", "solved", "bought", "reserved", "rented"])
def test_billed_is_the_cash_and_effective_the_profit_and_loss(make):
    plan = make()
    found = export(plan)
    assert all(one.holds for one in found.reconciliations)
    cash = float(view(plan).cash_usd.sum())
    assert sum(row.BilledCost for row in found.cost_and_usage) == pytest.approx(cash, abs=0.01)
    assert sum(row.EffectiveCost for row in found.cost_and_usage) == pytest.approx(cash, abs=0.01)


def test_a_lost_row_does_not_reconcile():
    plan = small_plan()
    seen = view(plan)
    rows, _ = focus_rows(plan, seen)
    billed, effective, whole = reconcile(plan, seen, rows[:-1])
    assert not (billed.holds and effective.holds and whole.holds)
    purchase = next(row for row in rows if row.ChargeCategory == "Purchase")
    billed, effective, _ = reconcile(plan, seen, [row for row in rows if row is not purchase])
    assert (billed.holds, effective.holds) == (False, True)
    assert billed.worst_month == purchase.ChargePeriodStart[:7]
    assert billed.worst_usd == pytest.approx(-purchase.BilledCost)


def test_a_category_that_the_export_does_not_know_is_refused():
    line = Line("water_usd", "Water", "USD", "cash", "rent_hours * 12", "water", "Site")
    plan = rented()
    lines = [*plan.ledger_lines, dataclasses.asdict(line)]
    with pytest.raises(PlannerError, match=r"'water' \(14,400.00 USD\)"):
        export(plan.model_copy(update={"ledger_lines": lines}))


BOOKS = "deferred" in {field.name for field in dataclasses.fields(Line)}


@pytest.mark.skipif(not BOOKS, reason="the ledger keeps no books")
def test_what_is_paid_upfront_is_bought_once_and_used_month_by_month():
    plan = reserved()
    lines = [
        Line("upfront", "Paid when signed", "USD", "cash", "signed * month_usd * 12",
             "commitments", RESERVED, deferred=True),
        Line("monthly", "Paid monthly: nothing", "USD", "cash", "in_force * (1 - 1)",
             "commitments", RESERVED),
        Line("used_up", "Prepayment used up", "USD", "book", "in_force * month_usd",
             "amortization", RESERVED),
    ]  # fmt: skip
    kept = [row for row in plan.ledger_lines if row["key"] != "paid"]
    plan = plan.model_copy(
        update={"ledger_lines": [*kept, *(dataclasses.asdict(line) for line in lines)]}
    )
    rows = export(plan).cost_and_usage
    purchases = [row for row in rows if row.ChargeCategory == "Purchase"]
    assert [(row.BilledCost, row.ChargeFrequency) for row in purchases] == [
        (2400.0, "One-Time"), (2400.0, "One-Time")
    ]  # fmt: skip
    assert sum(row.EffectiveCost for row in rows) == pytest.approx(4800.0)


def good(**changes):
    row = export(rented()).cost_and_usage[0]
    return CostAndUsage.model_validate({**row.model_dump(), **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ChargeCategory": "Rent"}, "ChargeCategory"),
        ({"BilledCost": float("nan")}, "BilledCost"),
        ({"BillingCurrency": "usd"}, "BillingCurrency"),
        ({"ChargePeriodStart": "2027-01-01"}, "ChargePeriodStart"),
        ({"ServiceName": None}, "ServiceName"),
        ({"SkuPriceDetails": "[1]"}, "JSON object"),
        ({"Unheard": "x"}, "Unheard"),
        ({"ChargeCategory": "Purchase"}, "not usage-based"),
        ({"PricingCategory": None}, "price category"),
        ({"PricingQuantity": None}, "have a quantity"),
        ({"SkuId": None}, "no SKU"),
        ({"ConsumedQuantity": None}, "usage without quantity"),
        ({"CommitmentDiscountId": "c"}, "commitment without category"),
        ({"CommitmentDiscountStatus": "Used"}, "only usage of a commitment"),
        ({"PricingCategory": "Committed"}, "committed is the price"),
        ({"ServiceSubcategory": "Generative AI"}, "another service category"),
        ({"ContractedUnitPrice": 7.0}, "unit price x quantity"),
        ({"ListUnitPrice": 7.0}, "list unit price x quantity"),
        ({"ListUnitPrice": None}, "have unit prices"),
        ({"ListUnitPrice": -1.0}, "a unit price below 0"),
        ({"SkuId": None}, "details of no SKU"),
        ({"ResourceType": None}, "resource without type"),
        ({"ChargeCategory": "Tax"}, "taxes have neither"),
        ({"ChargeCategory": "Credit", "EffectiveCost": 1.0}, "cost what is billed"),
        ({"ChargePeriodEnd": "2026-01-01T00:00:00Z"}, "ends before"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_rows_against_the_specification_are_refused(changes, words):
    assert good() == export(rented()).cost_and_usage[0]
    with pytest.raises(ValidationError, match=words):
        good(**changes)


def test_contracts_against_the_specification_are_refused():
    row = export(reserved()).contract_commitment[0].model_dump()
    for changes in (
        {"ContractCommitmentPeriodEnd": "2026-01-01T00:00:00Z"},
        {"ContractCommitmentUnit": None},
        {"ContractCommitmentUnit": None, "ContractCommitmentQuantity": None,
         "ContractCommitmentCost": None},
    ):  # fmt: skip
        with pytest.raises(ValidationError):
            ContractCommitment.model_validate({**row, **changes})


def test_files_hold_every_row_and_pass_the_column_table(tmp_path):
    found = export(small_plan())
    written = write_export(found, tmp_path / "focus", parquet=True)
    assert [path.name for path in written] == [
        "cost_and_usage.csv", "cost_and_usage.parquet",
        "contract_commitment.csv", "contract_commitment.parquet",
    ]  # fmt: skip
    with written[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found.cost_and_usage)
    assert all(row[name] for row in rows for name in NEVER_NULL)
    total = sum(float(row["BilledCost"]) for row in rows)
    assert total == pytest.approx(float(view(small_plan()).cash_usd.sum()))
    frame = pd.read_parquet(written[1])
    assert list(frame.columns) == list(names(CostAndUsage))
    assert frame["BilledCost"].sum() == pytest.approx(total)
    assert frame["x_IsForecast"].all()
    assert len(pd.read_parquet(written[3])) == 3


def test_text_of_users_is_no_spreadsheet_formula():
    plan = rented(scenario={"title": "=HYPERLINK(1)", "name": "@x"})
    rows = export(plan).cost_and_usage
    (cells,) = list(csv.DictReader(csv_text(CostAndUsage, rows[:1]).splitlines()))
    assert cells["BillingAccountName"] == "'=HYPERLINK(1)"
    assert cells["x_Scenario"] == "'@x"
    assert float(cells["BilledCost"]) == 200.0


def run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(words)
    out, err = capsys.readouterr()
    return end.value.code, out, err


def test_command_prints_both_sums(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plan.json").write_text(small_plan().model_dump_json())
    status, out, err = run(capsys, "export", "focus", "plan.json", "-o", "focus")
    assert status == 0
    assert "wrote focus/cost_and_usage.csv" in err
    assert "BilledCost and cash" in out
    assert out.count("yes") == 3
    status, out, _ = run(capsys, "export", "focus", "plan.json", "-o", "focus", "--json")
    found = json.loads(out)
    assert found["rows"]["contract_commitment"] == 3
    assert all(one["holds"] for one in found["reconciliations"])


def test_command_writes_nothing_that_does_not_reconcile(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = Line("water_usd", "Water", "USD", "cash", "rent_hours * 12", "water", "Site")
    plan: Plan = rented()
    lines = [*plan.ledger_lines, dataclasses.asdict(line)]
    strange = plan.model_copy(update={"ledger_lines": lines})
    strange = strange.model_copy(update={"npv_usd": view(strange).npv_usd})
    Path("plan.json").write_text(strange.model_dump_json())
    status, _, err = run(capsys, "export", "focus", "plan.json", "-o", "focus")
    assert status == 1
    assert "'water'" in err
    assert not list(Path().glob("focus/*"))


def test_owned_group_label_is_the_resource():
    assert {row.ResourceName for row in export(bought()).cost_and_usage} == {OWNED}


def test_machines_that_are_paid_for_anyway_are_filled_first():
    # Two lots are needed: one own lot is full, then half of two reserved, nothing on demand.
    plan = reserved()
    pools = [plan.pools[0].model_copy(update={"replicas": [[2.0], [2.0]]})]
    own, held, rent = (
        machines(option, [n, n], [n, n])
        for option, n in (("owned", 1.0), ("reserved_1y", 2.0), ("on_demand", 1.0))
    )
    plan = plan.model_copy(update={"fleet": [rent, held, own], "pools": pools})
    assert used_frac(plan, own).tolist() == [1.0, 1.0]
    assert used_frac(plan, held).tolist() == [0.5, 0.5]
    assert used_frac(plan, rent).tolist() == [0.0, 0.0]


def test_a_plan_without_costs_is_two_empty_files(tmp_path):
    plan = tiny_plan(lines=(), inputs={}, quantities={}, mtokens={})
    found = export(plan)
    assert (found.cost_and_usage, found.contract_commitment) == ((), ())
    written = write_export(found, tmp_path, parquet=True)
    assert written[0].read_text().splitlines() == [",".join(names(CostAndUsage))]
    assert list(pd.read_parquet(written[1]).columns) == list(names(CostAndUsage))


def test_what_machines_bring_in_the_end_is_an_adjustment():
    plan = taxed_world.answered()[1]
    seen, rows = view(plan), export(plan).cost_and_usage
    (sale,) = [row for row in rows if row.x_Category == "end value"]
    assert (
        sale.BilledCost
        == sale.EffectiveCost
        == pytest.approx(float(seen.category_usd("end value").sum()))
    )
    assert (sale.ChargeCategory, sale.SkuId, sale.PricingQuantity) == ("Adjustment", None, None)
    # What the books still hold of the machines is written off in the same month.
    (left,) = [row for row in rows if row.x_Category == "disposal"]
    held = next(x.key for x in seen.lines if x.category == "net book value")
    assert left.EffectiveCost == pytest.approx(seen.values[held][seen.horizon_months - 1])
    assert left.ChargePeriodStart == sale.ChargePeriodStart


def test_hours_used_under_a_commitment_cost_what_they_would_on_demand():
    # 1.50 USD an hour and node on demand, 1.00 committed: of January's 744 node hours in use,
    # 1,116 contracted and 100 effective.
    price = Line("on_demand_h100_us_price_usd_per_h", "Price", "USD/h", "calculation", "node_usd",
                 group="H100 at us, on demand")  # fmt: skip
    plan = reserved()
    plan = plan.model_copy(update={
        "ledger_lines": [*plan.ledger_lines, dataclasses.asdict(price)],
        "ledger_inputs": [*plan.ledger_inputs,
                          plan.ledger_inputs[0].model_copy(
                              update={"name": "node_usd", "value": 1.5, "scenario_path": ""})],
    })  # fmt: skip
    rows = export(plan).cost_and_usage
    used = next(row for row in rows if row.CommitmentDiscountStatus == "Used")
    assert (used.EffectiveCost, used.ContractedCost) == pytest.approx((100.0, 744 * 1.5))
    unused = next(row for row in rows if row.CommitmentDiscountStatus == "Unused")
    assert unused.ContractedCost == unused.EffectiveCost
