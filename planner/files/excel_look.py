"""Looks of the scenario workbook: blue on yellow is what a person fills in."""

from __future__ import annotations

from typing import Any

from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.worksheet import Worksheet

NAVY, INK, MUTED, RULE, BAND = "1F3A5F", "1B1F24", "66727F", "C5CED8", "EDF1F5"
INPUT_BLUE, INPUT_FILL = "0000FF", "FFF9DB"
FAMILY = "Arial"
HEAD: dict[str, Any] = {"bold": True, "color": "FFFFFF", "fill": NAVY, "align": "left"}
"""Look of column and row heads."""


def put(
    cell: Any,
    value: Any,
    *,
    bold: bool = False,
    color: str = INK,
    fill: str = "",
    size: float = 9,
    wrap: bool = False,
    align: str | None = None,
) -> None:
    """Write a constant; text is text, whatever it begins with."""
    cell.value = value
    if isinstance(value, str):
        cell.data_type = "s"
        cell.quotePrefix = value.startswith(("=", "+", "-", "@"))
    cell.font = Font(name=FAMILY, size=size, bold=bold, color=color)
    # Wrapped text explains the cell beside it: keep it off that cell's edge.
    indent = 1 if wrap else 0
    side = "left" if wrap and align is None else align
    cell.alignment = Alignment(vertical="top", wrap_text=wrap, horizontal=side, indent=indent)
    if fill:
        cell.fill = PatternFill("solid", fgColor=fill)


def put_input(cell: Any, value: Any, *, as_text: bool) -> None:
    """Write what a person may change."""
    line = Side(style="thin", color=RULE)
    wide = isinstance(value, str) and len(value) > 20
    put(cell, value, color=INPUT_BLUE, fill=INPUT_FILL, wrap=wide, align="left")
    cell.border = Border(left=line, right=line, top=line, bottom=line)
    if as_text:  # so that no spreadsheet program takes 2027-01 for a day or 1, 2 for a number
        cell.number_format = "@"


def set_page(sheet: Worksheet) -> None:
    """No grid; printed landscape, one page wide."""
    sheet.sheet_view.showGridLines = False
    sheet.page_setup.orientation = "landscape"
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = 1, 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
