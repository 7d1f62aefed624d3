"""A plan's figures for programs: named metrics, pandas frames, the same fleet at other prices."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from planner.errors import ScenarioError
from planner.finance.depreciation import years_of_mid_quarter
from planner.finance.tax import CONVENTIONS, METHODS, TABLES
from planner.report.assets import register
from planner.report.class_figures import class_figures
from planner.report.contracts import contracts
from planner.report.ledger_view import CAPEX, TAX, View, view
from planner.report.option_figures import option_figures
from planner.report.profit import costs_of
from planner.report.residual import break_evens
from planner.result import CandidateRow, ClassCost, LedgerInput, Plan, Record
from planner.schema.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd


def metrics(plan: Plan) -> dict[str, Any]:
    """Key figures: USD, positive is cost; shares as fractions.

    Returns
    -------
    npv_usd, undiscounted_usd, gap_frac (None where the fleet was not optimized for the inputs),
    npv_before_tax_usd, npv_tax_usd (negative where the plan saves tax), peak_cash_usd (most cash
    out at any month's end), obligations_usd_by_fiscal_year (still owed at each year's end, what
    ending all contracts and orders would cost), peak_obligations_usd (most of it at any month's
    end), profit_and_loss_usd_by_fiscal_year (expenses),
    capex_usd_by_fiscal_year, cost_usd_by_category (undiscounted), cost_usd_by_fiscal_year,
    usd_per_mtoken by class; unit_costs by class (usd_per_input_mtoken, usd_per_output_mtoken,
    usd_per_request, usd_per_user_month; None where there are none); break_even_residual_frac by
    option, of the price paid for machines (None where both move alike).
    """
    seen = view(plan)
    tax_usd = float((seen.category_usd(TAX) * seen.weight).sum())
    return {
        "npv_usd": seen.npv_usd,
        "npv_before_tax_usd": seen.npv_usd - tax_usd,
        "npv_tax_usd": tax_usd,
        "undiscounted_usd": float(seen.cash_usd.sum()),
        "peak_cash_usd": float(np.cumsum(seen.cash_usd).max(initial=0.0)),
        "gap_frac": plan.gap_frac if optimized(plan) else None,
        "status": plan.status,
        "capex_usd_by_fiscal_year": _by_year(seen, seen.category_usd(CAPEX)),
        "cost_usd_by_category": {c: float(seen.category_usd(c).sum()) for c in seen.categories},
        "cost_usd_by_fiscal_year": _by_year(seen, seen.cash_usd),
        "profit_and_loss_usd_by_fiscal_year": _by_year(seen, seen.profit_usd),
        "obligations_usd_by_fiscal_year": dict(
            zip(seen.years, seen.at_year_end(seen.obligations_usd).tolist(), strict=True)
        ),
        "peak_obligations_usd": float(seen.obligations_usd.max(initial=0.0)),
        "usd_per_mtoken": {row.demand_class: row.usd_per_mtoken for row in plan.class_costs},
        "unit_costs": {
            one.demand_class: {name: getattr(one, name) for name in _UNIT_COSTS}
            for one in class_figures(plan)
        },
        "break_even_residual_frac": {
            one.option: None if isnan(one.frac) else one.frac
            for one in break_evens(option_figures(plan))
        },
    }


_UNIT_COSTS = (
    "usd_per_input_mtoken", "usd_per_output_mtoken", "usd_per_request", "usd_per_user_month",
)  # fmt: skip


def optimized(plan: Plan) -> bool:
    """Whether a bound is known: a re-costed plan has none."""
    return plan.bound_usd != float("-inf")


def _by_year(seen: View, row: Any) -> dict[str, float]:
    return dict(zip(seen.years, seen.by_year(row).tolist(), strict=True))


def frames(plan: Plan) -> dict[str, pd.DataFrame]:
    """The plan as tables: fleet, pools, apis, candidates, inputs, ledger, cash, classes, sources.

    `ledger` has a row a month and a column a ledger line, `cash` a column a category, `profit` a
    column a kind of cost in the books; `fleet`, `pools` and `apis` have a row for each period of
    each entry, `assets` one for each order and fiscal year, `commitments` one for each contract.
    """
    import pandas as pd  # noqa: PLC0415  (0.4 s that commands without frames need not wait)

    seen = view(plan)
    months = pd.DatetimeIndex(seen.dates, name="month")
    cash = {category: seen.category_usd(category) for category in seen.categories}
    present = seen.cash_usd * seen.weight
    return {
        "ledger": pd.DataFrame(seen.values, index=months),
        "cash": pd.DataFrame(
            {**cash, "total": seen.cash_usd, "present_value": present}, index=months
        ),
        "profit": pd.DataFrame(
            {**{cost.label: cost.usd(seen) for cost in costs_of(seen)}, "total": seen.profit_usd},
            index=months,
        ),
        "assets": pd.DataFrame(_assets(seen)),
        "commitments": pd.DataFrame(_commitments(seen)),
        "fleet": pd.DataFrame(_fleet(plan)),
        "pools": pd.DataFrame(_pools(plan)),
        "apis": pd.DataFrame(_apis(plan)),
        "inputs": pd.DataFrame(_rows(plan.ledger_inputs)),
        "candidates": pd.DataFrame([_candidate(row) for row in plan.candidates]),
        "class_costs": pd.DataFrame(_rows(plan.class_costs)),
        "sources": pd.DataFrame(_rows(plan.sources)),
    }


def _candidate(row: CandidateRow) -> dict[str, Any]:
    """A candidate in one line, the figures of a decode side with a prefix."""
    own = row.model_dump(exclude={"decode"}) | {"shares_with": " ".join(row.shares_with)}
    side = {} if row.decode is None else row.decode.model_dump()
    return {**own, **{f"decode_{name}": value for name, value in side.items()}}


def _rows(records: list[Any]) -> list[dict[str, Any]]:
    return [record.model_dump() for record in records if isinstance(record, Record)]


def _assets(seen: View) -> list[dict[str, Any]]:
    return [
        {
            "group": one.group, "ordered": one.ordered, "in_service": one.in_service,
            "lots": one.lots, "cost_usd": one.cost_usd, "fiscal_year": year,
            "accumulated_depreciation_usd": one.book_depreciation_usd[y],
            "net_book_usd": one.net_book_usd[y],
            **{f"{who}_basis_usd": row[y] for who, row in one.tax_basis_usd.items()},
        }
        for one in register(seen)
        for y, year in enumerate(seen.years)
    ]  # fmt: skip


def _commitments(seen: View) -> list[dict[str, Any]]:
    return [
        {
            "group": one.group, "signed": seen.dates[one.month],
            "last_month": seen.dates[one.last_month], "lots": one.lots,
            "term_months": one.term_months, "usd_per_h": one.usd_per_h,
            "value_usd": one.value_usd, "upfront_usd": one.upfront_usd,
            "monthly_usd": one.monthly_usd,
        }
        for one in contracts(seen)
    ]  # fmt: skip


def _fleet(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "option": row.option, "accelerator": row.accelerator, "site": row.site,
            "period": period.label, "fiscal_year": period.fiscal_year,
            "lots_ordered": row.lots_ordered[t], "lots_in_service": row.lots_in_service[t],
            "gpus_in_service": row.lots_in_service[t] * row.lot_gpus,
        }
        for row in plan.fleet
        for t, period in enumerate(plan.periods)
    ]  # fmt: skip


def _pools(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "candidate": row.candidate, "site": row.site, "period": period.label,
            "block": block.label, "replicas_peak": row.replicas_peak[t],
            "replicas": row.replicas[t][b], "served_frac": row.served_frac[t][b],
            "shared_with": " ".join(row.shared_with),
        }
        for row in plan.pools
        for t, period in enumerate(plan.periods)
        for b, block in enumerate(plan.blocks)
    ]  # fmt: skip


def _apis(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "demand_class": row.demand_class, "provider": row.provider, "product": row.product,
            "period": period.label, "block": block.label, "served_frac": row.served_frac[t][b],
        }
        for row in plan.apis
        for t, period in enumerate(plan.periods)
        for b, block in enumerate(plan.blocks)
    ]  # fmt: skip


def recost(plan: Plan, changes: Mapping[str, float]) -> Plan:
    """The same fleet at other inputs, by scenario path (finance.discount_rate) or input name.

    The fleet was not optimized for them: the bound is -inf, the gap inf and the status stopped.
    Costs by class are scaled with the plan's, which keeps each class's share. The mid-quarter test
    of tax depreciation is made again: prices and lead times move what enters service when.

    Raises
    ------
    ScenarioError : a path that no input of this plan has, with those that exist; or a figure that
        no scenario may have.
    """
    known = {row.scenario_path or row.name for row in plan.ledger_inputs}
    names = {row.name for row in plan.ledger_inputs}
    unknown = [path for path in changes if path not in known | names]
    if unknown:
        problems = [f"{path}: no such input; known: {', '.join(sorted(known))}" for path in unknown]
        raise ScenarioError("changed inputs", problems)
    path_of = {row.name: row.scenario_path or row.name for row in plan.ledger_inputs}
    scenario = _set(plan.scenario, {path_of.get(name, name): x for name, x in changes.items()})
    _check_ranges(scenario, {path_of.get(name, name) for name in changes})
    inputs = [_changed(row, changes) for row in plan.ledger_inputs]
    before = view(plan)
    moved = _in_convention(plan.model_copy(update={"ledger_inputs": inputs}))
    after = view(moved)
    what = ", ".join(f"{path} = {value:g}" for path, value in changes.items())
    note = (
        f"Costed again with {what}: the fleet is that of the original solve, not optimized for "
        "these inputs; costs by class keep their shares."
    )
    return moved.model_copy(
        update={
            "npv_usd": after.npv_usd,
            "bound_usd": float("-inf"),
            "gap_frac": float("inf"),
            "status": "stopped",
            "scenario": scenario,
            "class_costs": [_scaled(row, before, after) for row in plan.class_costs],
            "notes": [note, *plan.notes],
        }
    )


def _check_ranges(scenario: dict[str, Any], paths: Collection[str]) -> None:
    """Refuse figures that a scenario may not have; of other parts nothing is asked again."""
    try:
        Scenario.model_validate(scenario)
    except ValidationError as error:
        found = {".".join(map(str, one["loc"])): one["msg"] for one in error.errors()}
        problems = [f"{path}: {found[path]}" for path in sorted(paths) if path in found]
        if problems:
            raise ScenarioError("changed inputs", problems) from None


def _in_convention(plan: Plan) -> Plan:
    """The plan with the mid-quarter convention in the years that its purchases ask for."""
    inputs = {row.name: round(row.value) for row in plan.ledger_inputs if row.name in _CONVENTION}
    if inputs.keys() != _CONVENTION.keys() or any(
        code not in _CONVENTION[name] for name, code in inputs.items()
    ):
        return plan
    options = [
        option.model_copy(
            update={"ledger_quantities": _mid_quarter(option.ledger_quantities, view(plan, option))}
        )
        if option.ledger_quantities
        else option
        for option in plan.options
    ]
    quantities = _mid_quarter(plan.ledger_quantities, view(plan))
    return plan.model_copy(update={"ledger_quantities": quantities, "options": options})


_CONVENTION = {
    "tax_convention": {CONVENTIONS.index("auto") + 1},
    "tax_method": {METHODS.index(method) + 1 for method in TABLES},
}
"""Inputs and their codes with which purchases decide on the convention."""


def _mid_quarter(quantities: dict[str, list[float]], seen: View) -> dict[str, list[float]]:
    """The same quantities with the convention's flags of what enters service."""
    months = seen.horizon_months
    placed = [seen.values[x.key] for x in seen.lines if x.category == "placed in service"]
    years = years_of_mid_quarter(
        np.sum(placed, axis=0)[:months] if placed else np.zeros(months),
        fiscal_quarter=seen.values["fiscal_quarter"][:months],
        fiscal_years=seen.fiscal_years[:months],
    )
    return {**quantities, "mid_quarter": [float(year in years) for year in seen.fiscal_years]}


def _changed(row: LedgerInput, changes: Mapping[str, float]) -> LedgerInput:
    for key in (row.name, row.scenario_path):
        if key and key in changes:
            update = {
                "value": float(changes[key]),
                "basis": "scenario",
                "source": "changed after the solve",
            }
            return row.model_copy(update=update)
    return row


def _scaled(row: ClassCost, before: View, after: View) -> ClassCost:
    npv = after.npv_usd / before.npv_usd if before.npv_usd else 1.0
    spent = float(before.cash_usd.sum())
    cash = float(after.cash_usd.sum()) / spent if spent else 1.0
    update = {"npv_usd": row.npv_usd * npv, "usd_per_mtoken": row.usd_per_mtoken * cash}
    return row.model_copy(update=update)


def _set(scenario: dict[str, Any], changes: Mapping[str, float]) -> dict[str, Any]:
    """The scenario with changed paths, where it holds them as plain keys."""
    changed = deepcopy(scenario)
    for path, value in changes.items():
        *folders, last = path.split(".")
        place: Any = changed
        for folder in folders:
            place = place.get(folder) if isinstance(place, dict) else None
        if isinstance(place, dict) and last in place and folders:
            place[last] = value
    return changed
