"""FOCUS 1.3-shaped export of a plan: two files, checked row by row and reconciled with the plan.

FOCUS has no dataset for forecasts; a plan takes the shape of Cost and Usage and says so in
`x_IsForecast`. Billed cost sums to the plan's cash, effective cost to its profit and loss before
deferred tax, month by month; both are computed from the written rows and refused where they differ.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from planner.errors import PlannerError
from planner.files.output import atomic_path, ensure_folder
from planner.report.focus_amounts import Array, profit_usd
from planner.report.focus_columns import ContractCommitment, CostAndUsage, kinds, names
from planner.report.focus_rows import focus_rows, moment
from planner.report.ledger_view import View, view
from planner.report.tidy import plain_text, require_parquet
from planner.result import Plan

if TYPE_CHECKING:
    import pandas as pd

COST_AND_USAGE, CONTRACT_COMMITMENT = "cost_and_usage", "contract_commitment"
TOLERANCE_USD, TOLERANCE_REL = 0.01, 1e-9


@dataclass(frozen=True)
class Reconciliation:
    """One sum of the export beside the plan's own."""

    what: str
    exported_usd: float
    plan_usd: float
    worst_month: str
    worst_usd: float
    """Largest difference of any month."""

    @property
    def holds(self) -> bool:
        """Whether no month differs by more than a cent or the rounding of sums."""
        limit = max(TOLERANCE_USD, TOLERANCE_REL * abs(self.plan_usd))
        total = abs(self.exported_usd - self.plan_usd)
        return abs(self.worst_usd) <= limit and total <= limit


@dataclass(frozen=True)
class Export:
    """Both datasets and what they were checked against."""

    cost_and_usage: tuple[CostAndUsage, ...]
    contract_commitment: tuple[ContractCommitment, ...]
    reconciliations: tuple[Reconciliation, ...]


def export(plan: Plan) -> Export:
    """Rows of a plan.

    Raises
    ------
    PlannerError : a category that the export does not know, or a sum that differs from the plan's.
    pydantic.ValidationError : a row that breaks the specification; a defect of this export.
    """
    seen = view(plan)
    rows, contracts = focus_rows(plan, seen)
    checks = reconcile(plan, seen, rows)
    if broken := [check for check in checks if not check.holds]:
        told = "; ".join(
            f"{one.what}: exported {one.exported_usd:,.2f}, plan {one.plan_usd:,.2f}, "
            f"worst month {one.worst_month} by {one.worst_usd:,.2f} USD"
            for one in broken
        )
        raise PlannerError(f"FOCUS export does not reconcile with the plan: {told}")
    return Export(tuple(rows), tuple(contracts), checks)


def reconcile(
    plan: Plan, seen: View, rows: Sequence[CostAndUsage]
) -> tuple[Reconciliation, Reconciliation, Reconciliation]:
    """Billed with cash and effective with profit and loss by month; effective with all cash.

    Cash is summed over every cash row of the ledger, whatever its category.
    """
    cash = _sum(seen)
    billed, effective = (_by_month(seen, rows, name) for name in ("BilledCost", "EffectiveCost"))
    whole = Reconciliation(
        "EffectiveCost and cash, whole life", float(effective.sum()), float(cash.sum()),
        "all months", float(effective.sum() - cash.sum()),
    )  # fmt: skip
    return (
        _compared("BilledCost and cash", seen, billed, cash),
        _compared("EffectiveCost and profit and loss before deferred tax", seen, effective,
                  profit_usd(plan, seen)),
        whole,
    )  # fmt: skip


def _sum(seen: View) -> Array:
    rows = [seen.values[line.key] for line in seen.lines if line.kind == "cash"]
    return np.sum(rows, axis=0) if rows else np.zeros(seen.months)


def _by_month(seen: View, rows: Sequence[CostAndUsage], column: str) -> Array:
    position = {moment(day): month for month, day in enumerate(seen.dates)}
    total = np.zeros(seen.months)
    for row in rows:
        total[position[row.ChargePeriodStart]] += getattr(row, column)
    return total


def _compared(what: str, seen: View, exported: Array, expected: Array) -> Reconciliation:
    off = exported - expected
    worst = int(np.abs(off).argmax()) if len(off) else 0
    label = f"{seen.dates[worst]:%Y-%m}" if len(off) else ""
    amount = float(off[worst]) if len(off) else 0.0
    return Reconciliation(what, float(exported.sum()), float(expected.sum()), label, amount)


def write_export(found: Export, folder: Path, *, parquet: bool = False) -> list[Path]:
    """Write both datasets as CSV, and as Parquet where asked; give the files.

    Raises
    ------
    ScenarioError : a folder that cannot be written to, or no pyarrow for Parquet.
    """
    ensure_folder(folder)
    if parquet:
        require_parquet("--parquet")
    written = []
    for name, model, rows in _datasets(found):
        path = folder / f"{name}.csv"
        with atomic_path(path) as temporary:
            temporary.write_text(csv_text(model, rows), encoding="utf-8", newline="")
        written.append(path)
        if parquet:
            path = folder / f"{name}.parquet"
            with atomic_path(path) as temporary:
                _frame(model, rows).to_parquet(temporary, index=False)
            written.append(path)
    return written


def _datasets(found: Export) -> list[tuple[str, type[BaseModel], Sequence[BaseModel]]]:
    return [
        (COST_AND_USAGE, CostAndUsage, found.cost_and_usage),
        (CONTRACT_COMMITMENT, ContractCommitment, found.contract_commitment),
    ]


def csv_text(model: type[BaseModel], rows: Sequence[BaseModel]) -> str:
    """A dataset as CSV: nulls are blank; text that a spreadsheet may run gets an apostrophe."""
    columns = names(model)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_cell(getattr(row, column)) for column in columns] for row in rows)
    return stream.getvalue()


def _cell(value: Any) -> str:
    """One value as CSV text.

    Examples
    --------
    >>> [_cell(value) for value in (None, 0.5, True, "=1+1", "H100")]
    ['', '0.5', 'true', "'=1+1", 'H100']
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    return plain_text(str(value))


_PANDAS = {float: "float64", bool: "boolean", str: "string"}


def _frame(model: type[BaseModel], rows: Sequence[BaseModel]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415  (0.4 s that a CSV need not wait for)

    data = {name: [getattr(row, name) for row in rows] for name in names(model)}
    types = {name: _PANDAS[kind] for name, kind in kinds(model).items()}
    return pd.DataFrame(data).astype(types)
