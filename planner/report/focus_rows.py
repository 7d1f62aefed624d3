"""The plan's cash and books as FOCUS charges: one row a month, resource and charge.

- Running costs, on-demand machines and tokens are Usage: billed and effective cost are alike.
- A commitment is bought month by month (Purchase, effective cost 0), or at once where it is paid
  upfront, and used (Usage, billed cost 0): the part that replicas fill is Used, the rest Unused.
- Machines bought are Purchase rows in the month they are paid, effective cost 0; their use is
  Usage, billed cost 0, effective cost what the books write off. What they bring in the end is an
  Adjustment: prices of purchases are never negative. FOCUS is about bills and has no such thing:
  `x_IsCapitalExpenditure` marks them.
- Hours used under a commitment cost, contracted, what they would on demand, where the ledger has
  that price: contracted less effective cost is what the commitment saves.
- Deferred tax is no charge: nobody bills it and nothing is used. The export leaves it out.
- A plan knows no list prices: list cost is contracted cost, and so are unit prices.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from planner.errors import PlannerError
from planner.finance import lease_lines
from planner.finance.ledger import Line
from planner.finance.offers import rented_key, slug
from planner.report.compare_bridge import names_in
from planner.report.compare_metrics import currency
from planner.report.focus_amounts import (
    AMORTIZATION,
    COMMITMENTS,
    DISPOSAL,
    END_VALUE,
    Order,
    groups,
    is_book,
    is_charged,
    is_deferred,
    lot_name_of,
    orders,
    spread_by_us,
    straight_line,
    used_frac,
)
from planner.report.focus_columns import ContractCommitment, CostAndUsage
from planner.report.focus_resources import Resource, resource_of
from planner.report.ledger_view import CAPEX, View, category_of
from planner.result import FleetRow, Plan
from planner.units import MILLION

Array = NDArray[np.float64]
Frequency = Literal["One-Time", "Recurring", "Usage-Based"]
CAPITAL = (CAPEX, END_VALUE, "depreciation", DISPOSAL)
"""Categories of machines bought."""
TAX = "tax"
FREQUENCY: dict[str, Frequency] = {
    CAPEX: "One-Time",
    END_VALUE: "One-Time",
    DISPOSAL: "One-Time",
    "depreciation": "Recurring",
    COMMITMENTS: "Recurring",
    AMORTIZATION: "Recurring",
    **dict.fromkeys(lease_lines.COSTS, "Recurring"),
    "maintenance": "Recurring",
    "insurance": "Recurring",
    "rent": "Recurring",
    "staff": "Recurring",
    "licences": "Recurring",
    TAX: "Recurring",
    "energy": "Usage-Based",
    "on demand": "Usage-Based",
    "support": "Usage-Based",
    "egress": "Usage-Based",
    "storage": "Usage-Based",
    "api": "Usage-Based",
}
"""Every category that this export knows; another one is refused, so that no cost is lost."""
NOISE_USD = 1e-9
GPU_HOURS, MONTHS, TOKENS, KILOWATT_HOURS = "GPU-Hours", "Months", "Tokens", "Kilowatt-Hours"
MILLION_TOKENS = "1000000 Tokens"


@dataclass(frozen=True)
class Amount:
    """One charge in one month, before it becomes a row."""

    month: int
    line: str
    category: str
    what: str
    billed: float
    effective: float
    charge: Literal["Usage", "Purchase", "Tax", "Adjustment"] = "Usage"
    frequency: Frequency = "Recurring"
    quantity: float = 1.0
    unit: str = MONTHS
    consumed: tuple[float, str] | None = None
    """Quantity and unit, where they are not those of the price."""
    contract: str = ""
    """Commitment; blank without one."""
    contracted: float | None = None
    """Cost without the commitment; None: what is billed of a purchase, else the effective cost."""
    status: Literal["Used", "Unused"] | None = None
    token_type: str | None = None


def unknown_categories(seen: View) -> dict[str, float]:
    """Cash and books of categories that this export does not know [USD]."""
    found: dict[str, float] = {}
    for line in seen.lines:
        if (line.kind == "cash" or is_charged(line)) and category_of(line) not in FREQUENCY:
            category = category_of(line)
            found[category] = found.get(category, 0.0) + float(seen.values[line.key].sum())
    return found


def focus_rows(plan: Plan, seen: View) -> tuple[list[CostAndUsage], list[ContractCommitment]]:
    """Rows of both datasets, by month and resource.

    Raises
    ------
    PlannerError : cash of a category that this export does not know, or a contract without
        machines.
    """
    if unknown := unknown_categories(seen):
        told = ", ".join(f"{category!r} ({usd:,.2f} USD)" for category, usd in unknown.items())
        raise PlannerError(f"FOCUS export does not know these categories of cost: {told}")
    rows: list[CostAndUsage] = []
    contracts: list[ContractCommitment] = []
    for group, lines in groups(seen).items():
        resource = resource_of(plan, group, lines)
        amounts = [*_plain(seen, lines, resource), *_capital(plan, seen, group, lines)]
        for number, order in enumerate(_contracts(plan, seen, group, lines), 1):
            contract = f"{resource.identity}-{number}"
            amounts += _committed(plan, seen, order, resource, contract)
            contracts.append(_terms(plan, seen, order, resource, contract))
        rows += [_row(plan, seen, resource, one) for one in amounts]
    return sorted(rows, key=lambda row: (row.ChargePeriodStart, row.ResourceId or "")), contracts


def _paid(row: Array) -> list[int]:
    return np.flatnonzero(np.abs(row) > NOISE_USD).tolist()


def _plain(seen: View, lines: Sequence[Line], resource: Resource) -> Iterator[Amount]:
    """What is an expense in the month it is paid, with its quantity where a row counts one."""
    for line in lines:
        category = category_of(line)
        if line.kind != "cash" or category in (*CAPITAL, COMMITMENTS):
            continue
        counted = _counted(seen, line, resource)
        for month in _paid(seen.values[line.key]):
            usd = float(seen.values[line.key][month])
            one = Amount(month, line.key, category, line.label, usd, usd,
                         frequency=FREQUENCY[category])  # fmt: skip
            if category == TAX:
                yield replace(one, charge="Tax")
            else:
                yield counted(one)


def _counted(seen: View, line: Line, resource: Resource) -> Callable[[Amount], Amount]:
    """Function that gives an amount its quantity: of the row that its formula counts."""
    named = names_in(line)
    rows = [other for other in seen.lines if other.kind == "quantity" and other.key in named]
    units = {row.unit for row in rows} & {"Mtokens", "kWh", "GB", "h", f"{resource.lot_name}-h"}
    if len(units) != 1:
        return lambda one: one
    unit = units.pop()
    rows = [row for row in rows if row.unit == unit]
    total = np.sum([seen.values[row.key] for row in rows], axis=0)

    def tell(one: Amount) -> Amount:
        amount = float(total[one.month])
        if unit == "Mtokens":
            kind = rows[0].label.split()[0].lower() if len(rows) == 1 else "all"
            return replace(one, quantity=amount, unit=MILLION_TOKENS,
                           consumed=(amount * MILLION, TOKENS), token_type=kind)  # fmt: skip
        if unit == "kWh":
            return replace(one, quantity=amount, unit=KILOWATT_HOURS)
        if unit == "GB":
            return replace(one, quantity=amount, unit=unit)
        return replace(one, quantity=amount * resource.lot_gpus, unit=GPU_HOURS)

    return tell


def _capital(plan: Plan, seen: View, group: str, lines: tuple[Line, ...]) -> Iterator[Amount]:
    """Machines bought: paid, used up over their life, written off and sold at the end."""
    sold = sum(
        (seen.values[x.key] for x in lines if x.category == END_VALUE), np.zeros(seen.months)
    )
    for line in lines:
        category = category_of(line)
        if category not in CAPITAL or not (line.kind == "cash" or is_book(line)):
            continue
        row = seen.values[line.key]
        if category == DISPOSAL:  # the sale has a row of its own: here what the books still held
            row = row - sold
        for month in _paid(row):
            usd = float(row[month])
            one = Amount(month, line.key, category, line.label, usd, 0.0, charge="Purchase",
                         frequency="One-Time", unit="Units")  # fmt: skip
            if is_book(line):
                one = replace(one, billed=0.0, effective=usd, charge="Usage", unit=MONTHS,
                              frequency=FREQUENCY[category])  # fmt: skip
            elif category == END_VALUE:
                one = replace(one, effective=usd, charge="Adjustment")
            yield one
    if spread_by_us(lines):
        used = straight_line(plan, seen, lines, lot_name_of(plan, group, lines))
        for month in _paid(used):
            what = "Use of machines bought, straight line"
            yield Amount(month, "straight_line", "depreciation", what, 0.0, float(used[month]))


def _contracts(plan: Plan, seen: View, group: str, lines: tuple[Line, ...]) -> list[Order]:
    committed = any(line.kind == "cash" and category_of(line) == COMMITMENTS for line in lines)
    return orders(plan, seen, lines, lot_name_of(plan, group, lines)) if committed else []


def _use_usd(order: Order) -> Array:
    """What a contract costs by month of its term: monthly payments and the prepayment used up.

    Of a lease: interest and the use of the right, or the operating lease's cost.
    """
    spread = [order.book_usd(category) for category in (AMORTIZATION, *lease_lines.COSTS)]
    return sum(spread, order.cash_usd(COMMITMENTS, deferred=False))


def _committed(
    plan: Plan, seen: View, order: Order, resource: Resource, contract: str
) -> Iterator[Amount]:
    """One contract: what is paid for it, and what of it is used and not used."""
    keys = [line for line in order.lines if category_of(line) == COMMITMENTS]
    per_month = order.lots * resource.lot_gpus * seen.values["hours"]
    use = _use_usd(order)
    term = _paid(use)
    for line in keys:
        paid = order.cash_of(line)
        # Payments of a lease are deferred too, but there are many of them.
        upfront = is_deferred(line) and len(_paid(paid)) == 1
        for month in _paid(paid):
            hours = float(per_month[term].sum()) if upfront else float(per_month[month])
            yield Amount(
                month, line.key, COMMITMENTS, line.label, float(paid[month]), 0.0,
                charge="Purchase", frequency="One-Time" if upfront else "Recurring",
                quantity=hours, unit=GPU_HOURS, contract=contract,
            )  # fmt: skip
    if resource.fleet is None:
        raise PlannerError(f"{contract}: no machines of the plan's fleet are under this contract")
    filled = used_frac(plan, resource.fleet)
    full = _on_demand_usd_per_gpu_h(seen, resource.fleet)
    whole = Amount(
        0, keys[0].key, COMMITMENTS, "Commitment used", 0.0, 0.0, frequency="Usage-Based",
        contract=contract, unit=GPU_HOURS, status="Used",
    )  # fmt: skip
    for month in term:
        usd, hours = float(use[month]), float(per_month[month])
        one = replace(whole, month=month, effective=usd, quantity=hours)
        if full is not None:
            one = replace(one, contracted=float(full[month]) * hours)
        yield from _used(one, _filled(seen, filled, month))


def _on_demand_usd_per_gpu_h(seen: View, row: FleetRow) -> Array | None:
    """What the same machines cost by the hour, (months,); None where the ledger does not say."""
    key = f"{rented_key('on_demand', row.accelerator, row.site)}_price_usd_per_h"
    return seen.values[key] / row.lot_gpus if key in seen.values else None


def _used(whole: Amount, filled: float) -> Iterator[Amount]:
    """The used and the unused part of a month of a commitment."""
    if filled > 0:
        used = whole.effective * filled, whole.quantity * filled
        full = None if whole.contracted is None else whole.contracted * filled
        yield replace(whole, effective=used[0], quantity=used[1], contracted=full)
    if filled < 1:
        idle = whole.effective * (1 - filled), whole.quantity * (1 - filled)
        yield replace(whole, effective=idle[0], quantity=idle[1], status="Unused",
                      contracted=None, what="Commitment not used")  # fmt: skip


def _filled(seen: View, by_period: Array, month: int) -> float:
    """Share of a commitment in use; after the horizon nothing is planned to run on it."""
    if month >= seen.horizon_months:
        return 0.0
    labels = list(dict.fromkeys(seen.periods))
    return float(min(max(by_period[labels.index(seen.periods[month])], 0.0), 1.0))


def _terms(
    plan: Plan, seen: View, order: Order, resource: Resource, contract: str
) -> ContractCommitment:
    use = _use_usd(order)
    term = _paid(use)
    hours = float((order.lots * resource.lot_gpus * seen.values["hours"])[term].sum())
    start, end = moment(seen.dates[term[0]]), moment(after(seen.dates[term[-1]]))
    what = f"{order.lots:,.0f} {resource.lot_name}s, {resource.name}"
    return ContractCommitment(
        BillingCurrency=currency(plan), ContractCommitmentCategory="Usage",
        ContractCommitmentCost=float(order.cash_usd(COMMITMENTS).sum()),
        ContractCommitmentDescription=what, ContractCommitmentId=contract,
        ContractCommitmentPeriodEnd=end, ContractCommitmentPeriodStart=start,
        ContractCommitmentQuantity=hours, ContractCommitmentType=resource.option_name,
        ContractCommitmentUnit=GPU_HOURS, ContractId=contract, ContractPeriodEnd=end,
        ContractPeriodStart=start, x_PlanId=plan_id(plan), x_Scenario=_scenario(plan),
        x_IsForecast=True,
    )  # fmt: skip


def plan_id(plan: Plan) -> str:
    """Names this answer: its scenario's fingerprint and when it was solved."""
    return f"{plan.scenario_sha256[:16]}@{plan.created_at}"


def _scenario(plan: Plan) -> str:
    return str(plan.scenario.get("name", "plan"))


def moment(day: date) -> str:
    """Midnight UTC.

    Examples
    --------
    >>> moment(date(2027, 1, 1))
    '2027-01-01T00:00:00Z'
    """
    return f"{day.isoformat()}T00:00:00Z"


def after(day: date) -> date:
    """First day of the next month.

    Examples
    --------
    >>> after(date(2027, 12, 1))
    datetime.date(2028, 1, 1)
    """
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _row(plan: Plan, seen: View, resource: Resource, one: Amount) -> CostAndUsage:
    start, end = moment(seen.dates[one.month]), moment(after(seen.dates[one.month]))
    contracted = one.billed if one.charge == "Purchase" else one.effective
    contracted = contracted if one.contracted is None else one.contracted
    return CostAndUsage(
        **{**resource.columns(), **_price(one, contracted, resource), **_commitment(one, resource)},
        BilledCost=one.billed, EffectiveCost=one.effective, ListCost=contracted,
        ContractedCost=contracted, PricingCurrencyEffectiveCost=one.effective,
        BillingAccountId=f"plan-{slug(_scenario(plan))}",
        BillingAccountName=str(plan.scenario.get("title") or _scenario(plan)),
        BillingAccountType="Plan",
        BillingCurrency=currency(plan), PricingCurrency=currency(plan),
        BillingPeriodStart=start, BillingPeriodEnd=end, ChargePeriodStart=start,
        ChargePeriodEnd=end, ChargeCategory=one.charge, ChargeDescription=one.what,
        ChargeFrequency=one.frequency, x_PlanId=plan_id(plan), x_Scenario=_scenario(plan),
        x_IsForecast=True, x_Category=one.category, x_LedgerLine=one.line,
        x_IsCapitalExpenditure=one.category in CAPITAL, x_TokenType=one.token_type,
    )  # fmt: skip


UNIT_PRICES = (
    "ContractedUnitPrice", "ListUnitPrice", "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyListUnitPrice",
)  # fmt: skip
"""All alike: a plan knows one price, in the currency of billing."""


def _price(one: Amount, contracted: float, resource: Resource) -> Mapping[str, Any]:
    """Quantities, unit prices and SKU; taxes and adjustments have none."""
    if one.charge not in ("Usage", "Purchase"):
        return {}
    price = contracted / one.quantity if one.quantity else 0.0
    found: dict[str, Any] = {
        "PricingQuantity": one.quantity, "PricingUnit": one.unit,
        "PricingCategory": "Committed" if one.status else "Standard",
        "SkuId": one.line, "SkuPriceId": f"{one.line}-{one.frequency.lower()}",
        "SkuMeter": "Commitment" if one.contract else one.what,
        "SkuPriceDetails": resource.details, **dict.fromkeys(UNIT_PRICES, price),
    }  # fmt: skip
    if one.charge == "Usage" and one.status != "Unused":
        quantity, unit = one.consumed or (one.quantity, one.unit)
        found |= {"ConsumedQuantity": quantity, "ConsumedUnit": unit}
    return found


def _commitment(one: Amount, resource: Resource) -> Mapping[str, Any]:
    if not one.contract:
        return {}
    found: dict[str, Any] = {
        "CommitmentDiscountId": one.contract, "CommitmentDiscountCategory": "Usage",
        "CommitmentDiscountName": resource.name, "CommitmentDiscountType": resource.option_name,
        "CommitmentDiscountQuantity": one.quantity, "CommitmentDiscountUnit": GPU_HOURS,
        "CommitmentDiscountStatus": one.status,
    }  # fmt: skip
    if one.status != "Used":
        # What is bought or lies idle is the commitment itself, no machine.
        found |= {"ResourceId": one.contract, "ResourceType": "Commitment"}
    if one.status:
        applied = {
            "ContractId": one.contract, "ContractCommitmentId": one.contract,
            "ContractCommitmentAppliedCost": one.effective,
            "ContractCommitmentAppliedQuantity": one.quantity,
            "ContractCommitmentAppliedUnit": GPU_HOURS,
        }  # fmt: skip
        found["ContractApplied"] = json.dumps({"Elements": [applied]})
    return found
