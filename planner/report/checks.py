"""What must hold in a workbook: each check as a formula and as the value it has at the solve."""

from __future__ import annotations

import numpy as np

from planner.report.check import MONEY_RATIO, MONEY_USD, SHARE, SHARE_FORMAT, Check, Parts
from planner.report.checks_books import of_books
from planner.report.checks_service import of_service
from planner.report.ledger_view import terms
from planner.report.sheet_annual import TOTAL as ANNUAL_TOTAL
from planner.report.sheet_annual import AnnualSheet
from planner.report.sheet_assets import AssetsSheet
from planner.report.sheet_cash import NPV_NAME
from planner.report.sheet_commitments import CommitmentsSheet
from planner.report.sheet_tax import TaxSheet
from planner.report.style import CENTS, COUNT, SCIENTIFIC
from planner.report.tax_deferred import DeferredSheet
from planner.report.traffic_share import served_by_period
from planner.result import Plan

__all__ = ["MONEY_RATIO", "MONEY_USD", "SHARE", "Check", "Parts", "checks"]


def checks(parts: Parts) -> list[Check]:
    """Money adds up, demand is served, the gap and every constraint hold."""
    return [
        *_money(parts),
        *of_books(parts),
        *_assets(parts.assets),
        *_owed(parts.commitments),
        *_tax(parts.tax, parts.annual),
        *_room(parts),
        *_served(parts),
        *_carried(parts),
        *of_service(parts),
        *_optimality(parts.plan),
        *_promises(parts.plan),
    ]


def _money(parts: Parts) -> list[Check]:
    view, cash, annual, costs = parts.view, parts.cash, parts.annual, parts.costs
    profit = parts.profit
    total = float(view.cash_usd.sum())
    cash_total = f"={cash.total(cash.total_row)}"
    amounts, categories = costs.column("E", fixed=True), costs.column("B", fixed=True)
    by_year = annual.cell(annual.total_row, ANNUAL_TOTAL)
    present = annual.cell(annual.pv_row, ANNUAL_TOTAL)
    solved = parts.plan.npv_usd
    return [
        Check(
            name="Net present cost here = the planner's",
            note="USD, of the option that is shown; while the inputs are those of the solve",
            found=f"={NPV_NAME}", found_value=view.npv_usd,
            expected=parts.scenarios.npv_chosen if parts.scenarios else "",
            expected_value=solved,
            style=CENTS, money=True, when_as_solved=True,
        ),
        Check(
            name="Cash by category = cash lines of the ledger",
            note="USD, undiscounted: no line is left out or counted twice",
            found=cash_total, found_value=total,
            expected=f'=SUMIFS({amounts},{categories},"<>")', expected_value=total,
            style=CENTS, money=True,
        ),
        Check(
            name="Profit and loss over the whole life = cash",
            note="USD: expenses, depreciation, amortization and disposal against what is paid",
            found=f"={profit.total(profit.total_row)}", found_value=float(view.profit_usd.sum()),
            expected=cash_total, expected_value=total, style=CENTS, money=True,
        ),
        Check(
            name="Profit and loss by fiscal year = by month",
            note="USD",
            found=f"={profit.years_total}*{annual.scale.name}",
            found_value=float(view.profit_usd.sum()),
            expected=f"={profit.total(profit.total_row)}",
            expected_value=float(view.profit_usd.sum()), style=CENTS, money=True,
        ),
        Check(
            name="Cash by fiscal year = cash by month",
            note="USD, undiscounted",
            found=f"={by_year}*{annual.scale.name}", found_value=total,
            expected=cash_total, expected_value=total, style=CENTS, money=True,
        ),
        Check(
            name="Present value by fiscal year = net present cost",
            note="USD",
            found=f"={present}*{annual.scale.name}", found_value=view.npv_usd,
            expected=f"={NPV_NAME}", expected_value=view.npv_usd, style=CENTS, money=True,
        ),
    ]  # fmt: skip


def _assets(sheet: AssetsSheet | None) -> list[Check]:
    """The register, order by order, against the ledger's rows of whole groups."""
    if sheet is None:
        return []
    rows = [
        ("cost of all orders", sheet.cost, sheet.cost_in_costs, sheet.cost_usd),
        (
            "book depreciation", sheet.depreciation, sheet.depreciation_in_costs,
            sheet.depreciation_usd,
        ),
        ("federal tax basis at the end", sheet.basis, sheet.basis_in_costs, sheet.basis_usd),
    ]  # fmt: skip
    return [
        Check(
            name=f"Asset register = ledger: {what}", note="USD, of the plan's orders",
            found=f"={found}", found_value=usd, expected=f"={expected}", expected_value=usd,
            style=CENTS, money=True, when_plan_shown=True,
        )
        for what, found, expected, usd in rows
        if found
    ] + [
        Check(
            name="Asset register = ledger: deferred tax", note="USD, sum over all years' ends",
            found=f"={one.found}", found_value=one.found_usd, expected=f"={one.expected}",
            expected_value=one.expected_usd, style=CENTS, money=True, when_plan_shown=True,
        )
        for one in (sheet.deferred,)
        if one is not None
    ] + [
        Check(
            name=f"Asset register = ledger: {one.what}", note="USD, at the end of the horizon",
            found=f"={one.found}", found_value=one.found_usd, expected=f"={one.expected}",
            expected_value=one.expected_usd, style=CENTS, money=True, when_plan_shown=True,
        )
        for one in sheet.sales
    ]  # fmt: skip


def _owed(sheet: CommitmentsSheet | None) -> list[Check]:
    """What contracts owe, one by one, against the ledger's rows of whole groups."""
    if sheet is None:
        return []
    return [
        Check(
            name="Owed by contract = ledger", note="USD, sum over the ends of all periods",
            found=f"={sheet.owed}", found_value=sheet.owed_usd,
            expected=f"={sheet.owed_in_costs}", expected_value=sheet.owed_usd,
            style=CENTS, money=True, when_plan_shown=True,
        ),
        *(
            Check(
                name=f"Leases by contract = ledger: {one.what}", note="USD, sum over all periods",
                found=f"={one.found}", found_value=one.found_usd, expected=f"={one.expected}",
                expected_value=one.expected_usd, style=CENTS, money=True, when_plan_shown=True,
            )
            for one in sheet.leases
        ),
    ]  # fmt: skip


def _tax(sheet: TaxSheet | None, annual: AnnualSheet) -> list[Check]:
    """Tax from deductions and rates by fiscal year, against the ledger's tax by month."""
    if sheet is None:
        return []
    return [
        Check(
            name="Tax saved by deductions and rates = ledger", note="USD, all fiscal years",
            found=f"={sheet.saved}*{annual.scale.name}", found_value=sheet.saved_usd,
            expected=f"=-({sheet.paid_in_costs})", expected_value=sheet.saved_usd,
            style=CENTS, money=True,
        ),
        *_deferred(sheet.deferred, annual),
    ]  # fmt: skip


def _deferred(sheet: DeferredSheet | None, annual: AnnualSheet) -> list[Check]:
    """It only moves tax between years, and so that each year bears the rate on its own cost."""
    if sheet is None:
        return []
    found = [
        Check(
            name="Deferred tax over the whole life = 0", note="USD: it moves tax between years",
            found=f"={sheet.life}", found_value=sheet.life_usd, expected_value=0.0,
            style=CENTS, money=True,
        )
    ]  # fmt: skip
    if sheet.off:
        found.append(
            Check(
                name="Tax expense of every year = enacted rate on its cost",
                note="USD, largest difference: settled and deferred against cost before tax",
                found=f"={sheet.off}*{annual.scale.name}", found_value=sheet.off_usd,
                expected_value=0.0, style=CENTS, money=True,
            )
        )  # fmt: skip
    return found


def _room(parts: Parts) -> list[Check]:
    """A term set longer than the months that the sheets have would lose payments."""
    view = parts.view
    names = sorted(terms(view.lines))
    beyond = view.months - view.horizon_months
    if not names or not beyond:
        return []
    values = {row.name: row.value for row in view.inputs}
    addresses = ",".join(parts.inputs.addresses[name] for name in names)
    return [
        Check(
            name="Every obligation ends within the months of the sheets",
            note="months: the longest term against those after the horizon; else cost it again",
            found=f"=MAX({addresses})",
            found_value=max(values[name] for name in names),
            expected_value=float(beyond),
            style=COUNT,
            at_most=True,
        )
    ]


def _served(parts: Parts) -> list[Check]:
    found = []
    for name, row in parts.fleet.served.items():
        served = served_by_period(parts.plan, name)
        span = parts.fleet.span(row)
        for word, function, value in (
            ("least", "MIN", served.min()),
            ("most", "MAX", served.max()),
        ):
            found.append(
                Check(
                    name=f"Traffic of {name} served, {word} period",
                    note="share of requests over pools and APIs",
                    found=f"={function}({span})",
                    found_value=float(value),
                    expected_value=1.0,
                    style=SHARE_FORMAT,
                )
            )
    return found


def _carried(parts: Parts) -> list[Check]:
    if parts.demand is None:
        return []
    return [
        Check(
            name="Demand within capacity in every block",
            note="highest load, share of what pools and APIs can serve; above 1: solve again",
            found=parts.demand.most_loaded,
            found_value=parts.demand.most_loaded_now,
            expected_value=1.0,
            style=SHARE_FORMAT,
            at_most=True,
        )
    ]


def _optimality(plan: Plan) -> list[Check]:
    found = []
    if np.isfinite(plan.gap_frac):
        found.append(
            Check(
                name="Optimality gap within what was asked",
                note="(cost - bound) / cost of the whole-number plan, at the solve",
                found_value=plan.gap_frac,
                expected_value=plan.gap_asked_frac,
                style="0.0000%",
                at_most=True,
            )
        )
    for line in plan.audit:
        where = f", worst at {line.where}" if line.where else ""
        found.append(
            Check(
                name=f"Constraints: {line.family.replace('_', ' ')}",
                note=f"{line.rows:,} rows recomputed without the solver{where}",
                found_value=line.worst_rel,
                expected_value=0.0,
                style=SCIENTIFIC,
                at_most=True,
            )
        )
    return found


def _promises(plan: Plan) -> list[Check]:
    """Where simulation tried them."""
    found = plan.verification
    if found is None:
        return []
    return [
        Check(
            name="Promises that break in simulation, or were not tried",
            note=f"loads of {len(found.pools):,} and traces: see sheet Verification",
            found_value=float(found.broken + found.unverified),
            expected_value=0.0,
            style=COUNT,
            at_most=True,
        )
    ]
