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
from planner.report.ledger_view import View, lags
from planner.report.page import Book, Page
from planner.report.style import BAD_FILL, COUNT, DASH_FOR_ZERO, TEAL, money_or_count
from planner.result import LedgerInput
from planner.units import MILLION, THOUSAND

DISCOUNT_RATE = "DiscountRate"
SCALES = {"Thousand": THOUSAND, "Million": MILLION}
"""Global names of the display units."""
LABEL, NAME, VALUE, UNIT, SOLVED, CHANGED, BASIS, AS_OF, SOURCE, PATH = range(1, 11)
_WIDTHS = (52, 40, 16, 15, 16, 9, 12, 12, 90, 40)
_HEAD = 4
_HEADINGS = (
    "Input",
    "Name",
    "Value",
    "Unit",
    "As solved",
    "Changed",
    "Basis",
    "As of",
    "Source",
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
    page.row(_HEAD, 1, _HEADINGS[:2], "head")
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
    _limit_months(page, view, addresses)
    _limit_shares(page, view, addresses)
    _limit_life(page, view, addresses)
    changed = _changed_total(page, last)
    _mark_changed(page, last)
    page.freeze(_HEAD + 1, VALUE)
    page.print_setup(titles=f"{_HEAD}:{_HEAD}")
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
        number, CHANGED, f"=IF(C{number}=E{number},0,1)", 0.0, "calculation", number_format=COUNT
    )
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
    formula = f"=CHOOSE(C{number}+{1 - first},{names})"
    page.formula(number, UNIT, formula, words[round(row.value) - first], "unit")
    codes = [str(code) for code, _ in enumerate(words, first)]
    rule = DataValidation("list", formula1=f'"{",".join(codes)}"', showInputMessage=True)
    rule.promptTitle = row.label.split(":")[0][:32]
    rule.prompt = ", ".join(f"{code} {word}" for code, word in zip(codes, words, strict=True))
    rule.errorTitle, rule.error = "Choose one of", rule.prompt
    rule.add(f"{get_column_letter(VALUE)}{number}")
    page.sheet.add_data_validation(rule)


def _limit_shares(page: Page, view: View, addresses: dict[str, str]) -> None:
    """Shares of a price or of income: more than all of it would be a mistake."""
    rule = DataValidation("decimal", operator="between", formula1="0", formula2="1")
    rule.errorTitle, rule.error = "Share", "0 to 1: 0.3 is 30 %"
    tables = {row.name for row in view.inputs if row.source == TABLE_SOURCE}
    for row in view.inputs:
        if row.unit == "frac" and row.name not in tables:
            rule.add(addresses[row.name].split("!")[1].replace("$", ""))
    if rule.sqref:
        page.sheet.add_data_validation(rule)


def _limit_life(page: Page, view: View, addresses: dict[str, str]) -> None:
    """Whole years, so that months in service are whole too."""
    if "book_life_years" not in addresses:
        return
    rule = DataValidation("whole", operator="between", formula1="1", formula2="10")
    rule.errorTitle, rule.error = "Book life", "1 to 10 whole years"
    rule.promptTitle = "Book life"
    rule.prompt = "Moves P&L and Assets only: cash and net present cost stay."
    rule.showInputMessage = True
    rule.add(addresses["book_life_years"].split("!")[1].replace("$", ""))
    page.sheet.add_data_validation(rule)


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


def _limit_months(page: Page, view: View, addresses: dict[str, str]) -> None:
    """Terms and lead times are whole months: the ledger looks back by whole columns."""
    rule = DataValidation("whole", operator="between", formula1="0", formula2=str(view.months))
    rule.errorTitle, rule.error = "Whole months", f"0 to {view.months} months"
    for name in sorted(lags(view.lines)):
        rule.add(addresses[name].split("!")[1].replace("$", ""))
    if rule.sqref:
        page.sheet.add_data_validation(rule)


def _changed_total(page: Page, last: int) -> str:
    row = _HEAD - 1
    page.put(row, SOLVED, "Inputs changed", "label bold")
    page.formula(
        row, CHANGED, f"=SUM(F{_HEAD + 1}:F{last})", 0.0, "label bold", number_format=COUNT
    )
    return page.address(row, CHANGED)


def _mark_changed(page: Page, last: int) -> None:
    fill = PatternFill("solid", bgColor=BAD_FILL)
    first = _HEAD + 1
    page.sheet.conditional_formatting.add(
        f"E{first}:F{last}",
        Rule(type="expression", formula=[f"$F{first}=1"], dxf=DifferentialStyle(fill=fill)),
    )
