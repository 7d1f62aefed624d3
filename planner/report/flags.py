"""Cells that say whether all is well, green where it is and red where not."""

from __future__ import annotations

from typing import Literal

from openpyxl.formatting.rule import Rule
from openpyxl.styles import Font, PatternFill
from openpyxl.styles.differential import DifferentialStyle

from planner.report.page import Page
from planner.report.style import BAD, BAD_FILL, GOOD, GOOD_FILL

GOOD_FLAG = "All checks hold"
_COLOURS: tuple[tuple[Literal["equal", "notEqual"], str, str], ...] = (
    ("equal", GOOD, GOOD_FILL),
    ("notEqual", BAD, BAD_FILL),
)


def mark_flag(page: Page, cell: str, good: str) -> None:
    """Green where a flag's cell says `good`, red otherwise."""
    for cell_is, color, fill in _COLOURS:
        style = DifferentialStyle(
            font=Font(bold=True, color=color), fill=PatternFill("solid", bgColor=fill)
        )
        rule = Rule(type="cellIs", operator=cell_is, formula=[f'"{good}"'], dxf=style)
        page.sheet.conditional_formatting.add(cell, rule)
