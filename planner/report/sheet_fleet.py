"""Sheet Fleet: what the optimizer chose, by period, as values; solve again to change it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.pagebreak import Break

from planner.report.charts import Band, place, stacked_columns
from planner.report.page import Book, Page
from planner.report.style import CENTS, COUNT, PERCENT
from planner.report.traffic_share import (
    fullness,
    served_by_period,
    served_parts,
    share_by_period,
)
from planner.report.words import classes_of, machine, pool_label
from planner.result import FleetRow, Plan, whole_pools

LABEL, UNIT, GPUS, KW, FIRST = range(1, 6)
HEAD, YEAR_ROW = 4, 5
_WIDTHS = (44, 9, 7, 8)
_NOTE = "Violet: optimizer results, values; solve again to change them. Black: formulas."


@dataclass(frozen=True)
class FleetSheet:
    """Where the fleet stands."""

    title: str
    ordered: dict[int, int]
    """Row of lots ordered, by position in plan.fleet."""
    in_service: dict[int, int]
    """Row of lots in service, by position in plan.fleet."""
    gpus: dict[int, int]
    """Row of accelerators in service, by position in plan.fleet."""
    served: dict[str, int]
    """Row of the served share, by class."""
    last_column: int

    def cell(self, row: int, period: int) -> str:
        """Address of one period's value from another sheet."""
        return f"{self.title}!${get_column_letter(FIRST + period)}${row}"

    def span(self, row: int) -> str:
        """All periods of a row from another sheet."""
        last = get_column_letter(self.last_column)
        return f"{self.title}!${get_column_letter(FIRST)}${row}:${last}${row}"


"""Width of the first column: names of candidates differ in length."""
ROWS_WITH_CHART = 30
"""Rows that leave room for the chart on the same printed page."""


def write_fleet(book: Book, plan: Plan) -> FleetSheet:
    """Write the sheet."""
    count = len(plan.periods)
    page = book.page("Fleet", widths=(*_WIDTHS, *[8.5] * count))
    page.heading("Fleet by period", _NOTE)
    page.put(HEAD, LABEL, "Period", "head")
    page.put(HEAD, UNIT, "Unit", "head unit")
    page.row(HEAD, GPUS, ("GPU a lot", "kW a lot"), "head right")
    page.row(HEAD, FIRST, [period.label for period in plan.periods], "head right")
    page.row(YEAR_ROW, 1, ("Fiscal year", None, None, None), "subhead left")
    page.row(YEAR_ROW, FIRST, [period.fiscal_year for period in plan.periods], "subhead")
    writer = _Writer(page, plan, YEAR_ROW + 1)
    writer.section("Ordered in the period (on demand: most at once)")
    ordered = {
        i: writer.solved(machine(fleet), f"{fleet.lot_name}s", fleet.lots_ordered)
        for i, fleet in enumerate(plan.fleet)
    }
    writer.section("In service (on demand: mean over the period)")
    in_service = {i: writer.lots(fleet) for i, fleet in enumerate(plan.fleet)}
    gpus = _products(writer, plan, in_service, "Accelerators in service", unit="GPUs", column=GPUS)
    _products(writer, plan, in_service, "Contracted IT power in service", unit="kW", column=KW)
    _pools(writer, plan)
    served = _served(writer, plan)
    _fullness(writer, plan)
    sheet = FleetSheet(page.sheet.title, ordered, in_service, gpus, served, FIRST + count - 1)
    if plan.fleet:
        if writer.row > ROWS_WITH_CHART:
            page.sheet.row_breaks.append(Break(id=writer.row))
        place(page, fleet_chart(plan, sheet), writer.row + 2, left=0, width=110, height=18)
    page.freeze(YEAR_ROW + 1, FIRST)
    page.print_setup(titles=f"{HEAD}:{YEAR_ROW}", columns="A:B")
    return sheet


@dataclass
class _Writer:
    """Writes rows downwards."""

    page: Page
    plan: Plan
    row: int
    """Next free row."""

    @property
    def last(self) -> int:
        return FIRST + len(self.plan.periods) - 1

    def section(self, title: str) -> None:
        self.row += 1 if self.row > YEAR_ROW + 1 else 0
        self.page.band(self.row, 1, self.last, "group")
        self.page.put(self.row, LABEL, title, "group")
        self.row += 1

    def solved(self, label: str, unit: str, values: Sequence[float], style: str = "") -> int:
        whole = all(float(value).is_integer() for value in values)
        self.page.put(self.row, LABEL, label, "label wrap")
        self.page.fit_height(self.row, ((label, _WIDTHS[0]),))
        self.page.put(self.row, UNIT, unit, "unit")
        self.page.row(self.row, FIRST, values, "solved", style or (COUNT if whole else CENTS))
        self.row += 1
        return self.row - 1

    def lots(self, fleet: FleetRow) -> int:
        self.page.put(self.row, GPUS, fleet.lot_gpus, "solved", COUNT)
        self.page.put(self.row, KW, fleet.lot_kw, "solved", CENTS)
        return self.solved(machine(fleet), f"{fleet.lot_name}s", fleet.lots_in_service)

    def formulas(
        self,
        label: str,
        unit: str,
        formula: Callable[[str], str],
        values: Sequence[float],
        *,
        look: str,
        style: str,
    ) -> int:
        total = look == "total"
        self.page.put(self.row, LABEL, label, "label total" if total else "label")
        self.page.put(self.row, UNIT, unit, "unit total" if total else "unit")
        for column, value in enumerate(values, FIRST):
            text = formula(get_column_letter(column))
            self.page.formula(self.row, column, text, float(value), look, number_format=style)
        self.row += 1
        return self.row - 1


def _products(
    writer: _Writer, plan: Plan, in_service: dict[int, int], title: str, *, unit: str, column: int
) -> dict[int, int]:
    """Lots in service times what a lot has, a row a machine, and their sum."""
    writer.section(title)
    rows, total = {}, np.zeros(len(plan.periods))
    for i, fleet in enumerate(plan.fleet):
        each = fleet.lot_gpus if column == GPUS else fleet.lot_kw
        values = np.array(fleet.lots_in_service) * each
        factor = f"${get_column_letter(column)}{in_service[i]}"
        rows[i] = writer.formulas(
            machine(fleet),
            unit,
            _product(factor, in_service[i]),
            values.tolist(),
            look="calculation",
            style=COUNT,
        )
        total = total + values
    if rows:
        writer.formulas(
            "Total",
            unit,
            _sum(rows[0], max(rows.values())),
            total.tolist(),
            look="total",
            style=COUNT,
        )
    return rows


def _product(factor: str, row: int) -> Callable[[str], str]:
    return lambda letter: f"={factor}*{letter}{row}"


def _sum(first: int, last: int) -> Callable[[str], str]:
    return lambda letter: f"=SUM({letter}{first}:{letter}{last})"


def _pools(writer: _Writer, plan: Plan) -> None:
    writer.section("Replicas at the peak")
    for label, unit, values in replica_lines(plan):
        writer.solved(label, unit, values)


def replica_lines(plan: Plan) -> list[tuple[str, str, list[float]]]:
    """Label, unit and replicas at the peak of every pool; of a shared one its parts below it."""
    rows = {row.id: row for row in plan.candidates}
    found = []
    for pool in whole_pools(plan.pools):
        row = rows.get(pool.first.candidate)
        unit = "units" if row is not None and row.decode is not None else "replicas"
        found.append((pool_label(pool, rows), unit, pool.replicas_peak))
        if pool.shared:
            classes = classes_of(pool, rows)
            found += [
                (f"    of these {name}", unit, part.replicas_peak)
                for name, part in zip(classes, pool.parts, strict=True)
            ]
    return found


def _served(writer: _Writer, plan: Plan) -> dict[str, int]:
    """Share of each class's requests by pool and API, and their sum."""
    rows = {}
    for traffic in plan.demand:
        writer.section(f"Share of {traffic.name} served")
        first = writer.row
        for label, served in served_parts(plan, traffic.name):
            share = share_by_period(plan, traffic, served)
            writer.solved(label, "share", share.tolist(), PERCENT)
        total = served_by_period(plan, traffic.name).tolist()
        last = max(writer.row - 1, first)
        writer.row = last + 1
        rows[traffic.name] = writer.formulas(
            "Served", "share", _sum(first, last), total, look="total", style=PERCENT
        )
    return rows


def _fullness(writer: _Writer, plan: Plan) -> None:
    candidates = {row.id: row for row in plan.candidates}
    writer.section("Load of what keeps the promises, fullest block")
    for pool in whole_pools(plan.pools):
        if pool.first.candidate in candidates:
            values = fullness(plan, pool).tolist()
            writer.solved(pool_label(pool, candidates), "share", values, PERCENT)


def fleet_chart(plan: Plan, sheet: FleetSheet) -> object:
    """Stacked columns: accelerators in service by machine."""
    labels = [period.label for period in plan.periods]
    bands = [
        (
            machine(fleet),
            Band(
                sheet.title,
                sheet.gpus[i],
                FIRST,
                sheet.last_column,
                [lots * fleet.lot_gpus for lots in fleet.lots_in_service],
            ),
        )
        for i, fleet in enumerate(plan.fleet)
    ]
    axis = Band(sheet.title, HEAD, FIRST, sheet.last_column, labels)
    return stacked_columns("Accelerators in service", axis, bands, gap=30)
