"""Sheet Demand: planned demand, cells to change it, and whether the fleet still carries it.

The fleet stays as solved: more demand than it carries asks for another solve, and so does less,
since a smaller fleet would do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from openpyxl.utils import get_column_letter

from planner.report.charts import Band, bars, place
from planner.report.demand_room import Segment, segments
from planner.report.input_limits import FACTOR, limit_cells
from planner.report.page import Book, Page
from planner.report.style import CENTS, COUNT, PERCENT, TEAL
from planner.result import ClassTraffic, Plan

LABEL, UNIT, FIRST = 1, 2, 3
HEAD, FLAG_ROW = 5, 3
AS_PLANNED = "Demand as planned"
SOLVE_AGAIN = "Demand changed: solve again, the fleet and its cost are those of the planned demand"
_NOTE = (
    "Change a blue factor: demand follows, the fleet does not. Load above 100 % of capacity fails "
    "a check. On paper: the fullest period."
)
_CHART_ROWS = 18


@dataclass(frozen=True)
class DemandSheet:
    """Where the flags stand."""

    title: str
    changed: str
    """Address of the number of factors that differ from 1."""
    most_loaded: str
    """Formula of the highest load, share of capacity."""
    most_loaded_now: float


def write_demand(book: Book, plan: Plan) -> DemandSheet | None:
    """Write the sheet; None where there is no demand."""
    found = segments(plan)
    if not found:
        return None
    last = FIRST + len(plan.periods) - 1
    page = book.page("Demand", widths=(36, 11, *[8.5] * len(plan.periods)), tab=TEAL)
    page.heading("Demand and capacity", _NOTE)
    page.put(HEAD, LABEL, "Period", "head")
    page.put(HEAD, UNIT, "Unit", "head unit")
    page.row(HEAD, FIRST, [period.label for period in plan.periods], "head right")
    writer = _Writer(page, plan, last, HEAD + 1, [], [])
    for traffic in plan.demand:
        writer.of_class(traffic, [one for one in found if one.demand_class == traffic.name])
    changed = _flag(writer)
    top = writer.row + 1
    bottom = _chart(writer, found)
    page.freeze(HEAD + 1, FIRST)
    # Factors and blocks are levers for the screen; the fullest period says what they add up to.
    page.sheet.print_area = f"A{top}:{get_column_letter(last)}{bottom}"
    page.print_setup(titles="1:1")
    spans = ",".join(f"{page.sheet.title}!{writer.span(row)}" for row in writer.loads)
    most = max(float(_load(one).max()) for one in found)
    return DemandSheet(page.sheet.title, changed, f"=MAX({spans})", most)


@dataclass
class _Writer:
    page: Page
    plan: Plan
    last: int
    row: int
    loads: list[int]
    """Rows of load over capacity."""
    changes: list[int]
    """Rows that count changed factors."""

    def span(self, row: int) -> str:
        """All periods of a row, columns fixed."""
        return f"${get_column_letter(FIRST)}${row}:${get_column_letter(self.last)}${row}"

    def of_class(self, traffic: ClassTraffic, found: list[Segment]) -> None:
        """Factors, then demand, capacity and load of each block."""
        page = self.page
        page.band(self.row, 1, self.last, "group")
        page.put(self.row, LABEL, f"Class {traffic.name}", "group")
        growth, peak, counted = self.row + 1, self.row + 2, self.row + 3
        for row, label in (
            (growth, "Demand against plan (growth)"),
            (peak, "Peak over mean against plan"),
        ):
            page.put(row, LABEL, label)
            page.put(row, UNIT, "factor", "unit")
            page.row(row, FIRST, [1.0] * len(self.plan.periods), "input", "0.00")
            limit_cells(page, [self.span(row)], FACTOR)
        self.row = counted
        self.formulas(
            "Factors changed", "count", f"=IF({{c}}{growth}=1,0,1)+IF({{c}}{peak}=1,0,1)",
            np.zeros(len(self.plan.periods)), COUNT,
        )  # fmt: skip
        self.changes.append(counted)
        factor = f"{{c}}${growth}" + (f"*{{c}}${peak}" if traffic.kind == "online" else "")
        for one in found:
            self.segment(one, factor)
        self.row += 1

    def segment(self, one: Segment, factor: str) -> None:
        """Rows of one block."""
        first = self.row
        self.solved(f"{one.label}: demand as planned", "requests/s", one.demand_rps, CENTS)
        self.solved("   machines can serve", "requests/s", one.machines_rps, CENTS)
        self.solved("   share sent to APIs", "share", one.api_frac, PERCENT)
        self.formulas("   demand", "requests/s", f"={{c}}{first}*{factor}", one.demand_rps, CENTS)
        self.formulas(
            "   capacity", "requests/s", f"={{c}}{first + 1}+{{c}}{first + 2}*{{c}}{first + 3}",
            one.capacity_rps, CENTS,
        )  # fmt: skip
        demand, capacity = f"{{c}}{first + 3}", f"{{c}}{first + 4}"
        self.loads.append(self.row)
        self.formulas(
            "   load of capacity", "share",
            f"=IF({demand}=0,0,IF({capacity}=0,100,{demand}/{capacity}))", _load(one), PERCENT,
        )  # fmt: skip

    def solved(self, label: str, unit: str, values: np.ndarray, style: str) -> None:
        """A row of values."""
        self.page.put(self.row, LABEL, label)
        self.page.put(self.row, UNIT, unit, "unit")
        self.page.row(self.row, FIRST, values.tolist(), "solved", style)
        self.row += 1

    def formulas(self, label: str, unit: str, formula: str, values: np.ndarray, style: str) -> None:
        """A row of formulas; {c} is the period's column."""
        self.page.put(self.row, LABEL, label)
        self.page.put(self.row, UNIT, unit, "unit")
        for column, value in enumerate(values.tolist(), FIRST):
            text = formula.format(c=get_column_letter(column))
            self.page.formula(self.row, column, text, value, number_format=style)
        self.row += 1


def _load(one: Segment) -> np.ndarray:
    """Demand over capacity; 100 where there is demand and none."""
    capacity = one.capacity_rps
    ratio = np.divide(one.demand_rps, capacity, out=np.full(capacity.shape, 100.0),
                      where=capacity > 0)  # fmt: skip
    return np.asarray(np.where(one.demand_rps > 0, ratio, 0.0))


def _flag(writer: _Writer) -> str:
    """How many factors were changed, beside what that means; the address of the number."""
    page = writer.page
    spans = ",".join(writer.span(row) for row in writer.changes)
    page.formula(FLAG_ROW, UNIT, f"=SUM({spans})", 0.0, number_format=COUNT)
    address = page.address(FLAG_ROW, UNIT)
    page.formula(
        FLAG_ROW, LABEL, f'=IF($B${FLAG_ROW}=0,"{AS_PLANNED}","{SOLVE_AGAIN}")', AS_PLANNED,
        "label bold",
    )  # fmt: skip
    return address


def _chart(writer: _Writer, found: list[Segment]) -> int:
    """Demand against capacity by block, in the period of the highest demand; the last row."""
    page, row = writer.page, writer.row + 1
    total = np.sum([one.demand_rps for one in found], axis=0)
    period = int(np.argmax(total))
    column = get_column_letter(FIRST + period)
    title = f"Demand and capacity by block in {writer.plan.periods[period].label}, requests/s"
    page.band(row, 1, writer.last, "group")
    label = f"Requests/s in {writer.plan.periods[period].label}"
    page.put(row, LABEL, label, "group")
    page.put(row, UNIT, "Demand", "group")
    page.put(row, FIRST, "Capacity", "group")
    names, first = [], row + 1
    for number, (one, load) in enumerate(zip(found, writer.loads, strict=True), first):
        names.append(f"{one.demand_class}: {one.label}")
        page.put(number, LABEL, names[-1])
        for place_at, offset, values in (
            (UNIT, 2, one.demand_rps),
            (FIRST, 1, one.capacity_rps),
        ):
            page.formula(
                number, place_at, f"={column}{load - offset}", float(values[period]),
                number_format=CENTS,
            )  # fmt: skip
    axis = Band(page.sheet.title, first, LABEL, LABEL, names, down=True)
    bands = [
        ("Demand", UNIT, [float(one.demand_rps[period]) for one in found]),
        ("Capacity", FIRST, [float(one.capacity_rps[period]) for one in found]),
    ]
    chart = bars(
        title, axis,
        [(label, Band(page.sheet.title, first, at, at, values, down=True))
         for label, at, values in bands],
        upright=True,
    )  # fmt: skip
    place(page, chart, first + len(found) + 1, left=0, width=100, height=_CHART_ROWS)
    bottom = first + len(found) + 1 + _CHART_ROWS
    page.put(bottom, LABEL, None, "text")
    return bottom
