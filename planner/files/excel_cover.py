"""First and last sheet of the scenario workbook: how to fill it in, and the catalog's names."""

from __future__ import annotations

from collections.abc import Sequence

from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from planner.files.excel_form import SINGLE_VALUES, Form
from planner.files.excel_look import HEAD, MUTED, NAVY, put, set_page
from planner.schema.catalog import Catalog

TOP = 4
"""Row of the first line below the title."""
INTRODUCTION = (
    "Fill in the yellow cells. A blank cell takes the default that stands beside it.",
    "Fields in bold need a value. Field names are those of the YAML format and of messages.",
    "Lists stand in one cell: a, b, c. Mappings too: 2027: 500000, 2028: 300000.",
    "Shares and rates are decimals: 0.08 (or 8%) is 8 %. Months are written 2027-01.",
    "Text that must stay text (1e3, true) stands in double quotes. Formulas may be used; the value"
    " that the spreadsheet program stored last is read.",
    "More entries: use the next yellow column or row, or insert some. Sheets of your own begin"
    " with Notes.",
    "Then: planner check FILE.xlsx   planner solve FILE.xlsx",
)


def write_lists(sheet: Worksheet, catalog: Catalog) -> dict[str, str]:
    """The catalog's names, a column each, and their ranges."""
    columns = {
        "Accelerators": [n for n, row in catalog.accelerators.items() if row.plannable],
        "Models": list(catalog.models),
        "Engines": [n for n, row in catalog.engines.items() if getattr(row, "plannable", True)],
        "Weight formats": [
            n for n, row in catalog.quantizations.items() if row.applies_to == "weights"
        ],
        "Facilities": list(catalog.facilities),
        "API providers": sorted({row.provider for row in catalog.api_prices}),
    }
    put(sheet.cell(1, 1), "Names of the catalog", size=14, bold=True, color=NAVY)
    put(sheet.cell(2, 1), "What drop-down lists offer; nothing is read from here.", color=MUTED)
    ranges = {}
    for column, (title, names) in enumerate(columns.items(), 1):
        put(sheet.cell(TOP, column), title, **HEAD)
        for row, name in enumerate(names, TOP + 1):
            put(sheet.cell(row, column), name)
        letter = get_column_letter(column)
        longest = max(len(name) for name in [title, *names])
        sheet.column_dimensions[letter].width = max(16, longest + 2)
        ranges[title] = f"Lists!${letter}${TOP + 1}:${letter}${TOP + len(names)}"
    sheet.freeze_panes = sheet.cell(TOP + 1, 1).coordinate
    set_page(sheet)
    return ranges


def write_cover(sheet: Worksheet, title: str, every: Sequence[Form]) -> None:
    """How to fill in the workbook, and what each sheet holds."""
    put(sheet.cell(1, 1), "A planning question", size=16, bold=True, color=NAVY)
    put(sheet.cell(2, 1), ILLEGAL_CHARACTERS_RE.sub(" ", title), size=11, color=MUTED)
    row = TOP
    for text in INTRODUCTION:
        put(sheet.cell(row, 1), text, size=10, wrap=True)
        sheet.merge_cells(start_row=row, start_column=1, end_row=row, end_column=2)
        sheet.row_dimensions[row].height = 14 * (1 + len(text) // 125)
        row += 1
    row += 1
    for column, head in enumerate(("Sheet", "What it holds"), 1):
        put(sheet.cell(row, column), head, **HEAD)
    for form in every:
        row += 1
        put(sheet.cell(row, 1), form.sheet, color=NAVY)
        sheet.cell(row, 1).hyperlink = f"#'{form.sheet}'!A1"
        put(sheet.cell(row, 2), form.meaning or SINGLE_VALUES, color=MUTED)
    sheet.row_dimensions[1].height = 24
    sheet.column_dimensions["A"].width, sheet.column_dimensions["B"].width = 32, 78
    set_page(sheet)
