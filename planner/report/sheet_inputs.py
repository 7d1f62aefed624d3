"""Sheet Inputs: every number behind the cash rows, blue on yellow, with unit and source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from openpyxl.formatting.rule import Rule
from openpyxl.styles import PatternFill
from openpyxl.styles.differential import DifferentialStyle
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation

from planner.finance.tax import CONVENTIONS, METHODS, TABLE_SOURCE
from planner.report.input_limits import LONGEST_PROMPT, limit_inputs
from planner.report.ledger_view import View
from planner.report.page import Book, Page
from planner.report.style import BAD_FILL, COUNT, DASH_FOR_ZERO, TEAL, money_or_count
from planner.result import LedgerInput
from planner.units import MILLION, THOUSAND

DISCOUNT_RATE = "DiscountRate"
SCALES = {"Thousand": THOUSAND, "Million": MILLION}
"""Global names of the display units."""
LABEL, VALUE, UNIT, SOLVED, CHANGED, BASIS, AS_OF, SOURCE, NAME, PATH = range(1, 11)
_WIDTHS = (42, 13, 14, 13, 9, 10, 11, 110, 40, 40)
_PRINTED = AS_OF
"""Last column that is printed: sheet Sources prints the sources, names and paths are for those who
work in the file."""
_VALUE, _SOLVED, _CHANGED = (get_column_letter(x) for x in (VALUE, SOLVED, CHANGED))
_HEAD = 4
_HEADINGS = (
    "Input",
    "Value",
    "Unit",
    "As solved",
    "Changed",
    "Basis",
    "As of",
    "Source",
    "Name",
    "Scenario path",
)


CHOICES = {"tax_method": METHODS, "tax_convention": CONVENTIONS}
"""Inputs that are the number of a choice, 1 for the first; the unit column names it."""
FLAGS = ("no", "yes")


@dataclass(frozen=True)
class InputsSheet:
    """Where the inputs stand."""

    addresses: dict[str, str]
    """Of each input, absolute or a global name."""
    changed: str
    """Address of the number of inputs that differ from the solved plan."""
    changed_now: float
    """Its value."""


def write_inputs(book: Book, view: View) -> InputsSheet:
    """Write the sheet; value cells are the only ones meant to be changed."""
    page = book.page("Inputs", widths=_WIDTHS, tab=TEAL)
    page.heading("Inputs", "Change a blue cell: all costs follow. The fleet stays as solved.")
    page.row(_HEAD, 1, _HEADINGS, "head unit")
    page.put(_HEAD, LABEL, _HEADINGS[LABEL - 1], "head")
    for column in (VALUE, SOLVED, CHANGED):
        page.put(_HEAD, column, _HEADINGS[column - 1], "head right")
    page.sheet.row_dimensions[_HEAD].height = 20
    scenario = [row for row in view.inputs if _is_scenario(row)]
    tables = [row for row in view.inputs if row.source == TABLE_SOURCE]
    figures = [row for row in view.inputs if not _is_scenario(row) and row not in tables]
    addresses: dict[str, str] = {}
    last = _section(book, page, "Scenario", scenario, first=_HEAD + 1, addresses=addresses)
    last = _section(book, page, "Prices and figures", figures, first=last + 1, addresses=addresses)
    if tables:
        last = _section(book, page, "Tax tables", tables, first=last + 1, addresses=addresses)
    last = _display_units(book, page, last + 1)
    _limit(page, view, addresses)
    changed = _changed_total(page, last)
    _mark_changed(page, last)
    page.freeze(_HEAD + 1, VALUE)
    page.sheet.print_area = f"A1:{get_column_letter(_PRINTED)}{last - 1}"
    page.print_setup(titles=f"{_HEAD}:{_HEAD}", portrait=True)
    return InputsSheet(addresses, changed, 0.0)


def _is_scenario(row: LedgerInput) -> bool:
    return bool(row.scenario_path) or row.basis == "scenario"


def _section(
    book: Book,
    page: Page,
    title: str,
    rows: Sequence[LedgerInput],
    *,
    first: int,
    addresses: dict[str, str],
) -> int:
    """Rows of one kind under a heading; returns the next free row."""
    page.band(first, 1, PATH, "group")
    page.put(first, 1, title, "group")
    for number, row in enumerate(rows, first + 1):
        _input(page, number, row)
        addresses[row.name] = page.address(number, VALUE)
        if row.name == "discount_rate":
            book.name(DISCOUNT_RATE, addresses[row.name])
            addresses[row.name] = DISCOUNT_RATE
    return first + len(rows) + 1


def _input(page: Page, number: int, row: LedgerInput) -> None:
    style = money_or_count(row.unit, abs(row.value), whole=float(row.value).is_integer())
    style = style.removesuffix(DASH_FOR_ZERO)
    page.fit_height(number, ((row.label, _WIDTHS[LABEL - 1]), (row.source, _WIDTHS[SOURCE - 1])))
    page.put(number, LABEL, row.label, "label wrap")
    page.put(number, NAME, row.name, "muted")
    page.put(number, VALUE, row.value, "input", style)
    _unit(page, number, row)
    page.put(number, SOLVED, row.value, "muted", style)
    page.formula(
        number, CHANGED, f"=IF({_VALUE}{number}={_SOLVED}{number},0,1)", 0.0, "calculation",
        number_format=COUNT,
    )  # fmt: skip
    page.row(number, BASIS, (row.basis, row.as_of), "unit")
    page.put(number, SOURCE, row.source, "wrap")
    page.put(number, PATH, row.scenario_path, "unit")


def _unit(page: Page, number: int, row: LedgerInput) -> None:
    """Unit; of a code or flag its live meaning, and a list to choose from."""
    if row.name in CHOICES:
        first, words = 1, CHOICES[row.name]
    elif row.unit == "flag":
        first, words = 0, FLAGS
    else:
        page.put(number, UNIT, row.unit, "unit")
        return
    names = ",".join(f'"{word}"' for word in words)
    formula = f"=CHOOSE({_VALUE}{number}+{1 - first},{names})"
    page.formula(number, UNIT, formula, words[round(row.value) - first], "unit")
    codes = [str(code) for code, _ in enumerate(words, first)]
    rule = DataValidation("list", formula1=f'"{",".join(codes)}"', showInputMessage=True)
    rule.promptTitle = row.label.split(":")[0][:32]
    rule.prompt = ", ".join(f"{code} {word}" for code, word in zip(codes, words, strict=True))
    rule.prompt = rule.prompt[:LONGEST_PROMPT]
    rule.errorTitle, rule.error = "Choose one of", rule.prompt
    rule.add(f"{get_column_letter(VALUE)}{number}")
    page.sheet.add_data_validation(rule)


def _limit(page: Page, view: View, addresses: dict[str, str]) -> None:
    """Every value but those of tax tables, and those that have a list to choose from."""
    free = {row.name for row in view.inputs if row.source == TABLE_SOURCE or row.unit == "flag"}
    rows = {str(cell.value): cell.row for (cell,) in page.sheet.iter_rows(
        min_row=_HEAD + 1, min_col=NAME, max_col=NAME)}  # fmt: skip
    cells = {name: f"{_VALUE}{rows[name]}" for name in addresses}
    limit_inputs(page, view, cells, frozenset(free | set(CHOICES)))


def _display_units(book: Book, page: Page, first: int) -> int:
    page.band(first, 1, PATH, "group")
    page.put(first, 1, "Display units", "group")
    for number, (name, value) in enumerate(SCALES.items(), first + 1):
        row = LedgerInput(
            name=name,
            label=f"USD in one {name.lower()} USD",
            unit="USD",
            value=value,
            source="definition",
            as_of="",
            basis="derived",
        )
        _input(page, number, row)
        book.name(name, page.address(number, VALUE))
    return first + len(SCALES)


def _changed_total(page: Page, last: int) -> str:
    row = _HEAD - 1
    page.put(row, SOLVED, "Inputs changed", "label bold")
    page.formula(
        row,
        CHANGED,
        f"=SUM({_CHANGED}{_HEAD + 1}:{_CHANGED}{last})",
        0.0,
        "label bold",
        number_format=COUNT,
    )
    return page.address(row, CHANGED)


def _mark_changed(page: Page, last: int) -> None:
    fill = PatternFill("solid", bgColor=BAD_FILL)
    first = _HEAD + 1
    page.sheet.conditional_formatting.add(
        f"{_SOLVED}{first}:{_CHANGED}{last}",
        Rule(
            type="expression", formula=[f"${_CHANGED}{first}=1"], dxf=DifferentialStyle(fill=fill)
        ),
    )
