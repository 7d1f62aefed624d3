"""Sheet Checks: what must hold, rolled up to one flag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planner.report.checks import MONEY_RATIO, MONEY_USD, SHARE, Check, Parts, checks
from planner.report.flags import GOOD_FLAG, mark_flag
from planner.report.page import Book, Page
from planner.report.sheet_demand import SOLVE_AGAIN
from planner.report.sheet_scenarios import PLAN_NUMBER, SWITCH_NAME
from planner.report.style import CENTS, SCIENTIFIC

NAME, FOUND, EXPECTED, TOLERANCE, HOLDS, NOTE = range(1, 7)
_WIDTHS = (46, 17, 17, 11, 8, 62)
FLAG_ROW, STATE_ROW, LIMITS, HEAD = 3, 4, 6, 10
BAD_FLAG = "A check fails: see sheet Checks"
YES_NO = '"yes";;[Red]"NO"'
"""1 is yes. The colour is in the number format: conditional formats on these cells make
LibreOffice 7.4 crash when it prints."""
AS_SOLVED = "Inputs as solved"
CHANGED = "Inputs changed since the solve: costs follow, the fleet does not"
OTHER_SHOWN = "Money is that of another option than the plan: see sheet Scenarios"
_TOLERANCES = (
    ("Tolerance: money, absolute", "USD", MONEY_USD, CENTS),
    ("Tolerance: money, relative", "ratio", MONEY_RATIO, SCIENTIFIC),
    ("Tolerance: shares and constraints", "ratio", SHARE, SCIENTIFIC),
)


@dataclass(frozen=True)
class ChecksSheet:
    """Where the flags stand, and what they say at the solve."""

    flag: str
    flag_text: str
    state: str


def write_checks(book: Book, parts: Parts) -> ChecksSheet:
    """Write the sheet."""
    page = book.page("Checks", widths=_WIDTHS)
    page.heading("Checks", "Each line must hold; the flag stands on Cover and Decision too.")
    limits = _tolerances(page)
    rows = checks(parts)
    page.put(HEAD, NAME, "Check", "head")
    page.row(HEAD, FOUND, ("Found", "Expected", "Tolerance"), "head right")
    page.row(HEAD, HOLDS, ("Holds", "What it means"), "head unit")
    for row, check in enumerate(rows, HEAD + 1):
        other = f"{SWITCH_NAME}<>{PLAN_NUMBER}" if parts.scenarios is not None else ""
        _write(page, row, check, limits, changed=parts.inputs.changed, other=other)
    sheet = _flags(page, rows, parts)
    page.sheet.freeze_panes = f"B{HEAD + 1}"
    page.print_setup(titles=f"{HEAD}:{HEAD}")
    return sheet


def _tolerances(page: Page) -> list[str]:
    """Addresses of the tolerances: money absolute and relative, shares."""
    addresses = []
    for row, (label, unit, value, style) in enumerate(_TOLERANCES, LIMITS):
        page.put(row, NAME, label)
        page.put(row, FOUND, value, "input", style)
        page.put(row, EXPECTED, unit, "unit")
        page.put(row, NOTE, "set by the planner", "note")
        addresses.append(f"$B${row}")
    return addresses


def _write(
    page: Page, row: int, check: Check, limits: Sequence[str], *, changed: str, other: str
) -> None:
    page.put(row, NAME, check.name, "label wrap")
    for column, formula, value in (
        (FOUND, check.found, check.found_value),
        (EXPECTED, check.expected, check.expected_value),
    ):
        if formula:
            page.formula(row, column, formula, value, "link", number_format=check.style)
        else:
            page.put(row, column, value, "solved", check.style)
    money, ratio, share = limits
    limit = f"=MAX({money},{ratio}*ABS(C{row}))" if check.money else f"={share}"
    page.formula(row, TOLERANCE, limit, check.tolerance, number_format=SCIENTIFIC)
    over = f"B{row}-C{row}" if check.at_most else f"ABS(B{row}-C{row})"
    test = f"{over}<=D{row}"
    if check.when_as_solved:
        test = f"OR({changed}>0,{test})"
    if check.when_plan_shown and other:
        test = f"OR({other},{test})"
    page.formula(row, HOLDS, f"=IF({test},1,0)", float(check.holds), "flag", number_format=YES_NO)
    page.put(row, NOTE, check.note, "note wrap")
    page.fit_height(row, ((check.note, _WIDTHS[NOTE - 1]), (check.name, _WIDTHS[NAME - 1])))


def _flags(page: Page, rows: Sequence[Check], parts: Parts) -> ChecksSheet:
    first, last = HEAD + 1, HEAD + len(rows)
    text = GOOD_FLAG if all(check.holds for check in rows) else BAD_FLAG
    flag = f'=IF(MIN(E{first}:E{last})=1,"{GOOD_FLAG}","{BAD_FLAG}")'
    page.formula(FLAG_ROW, NAME, flag, text, "label bold")
    state = f'IF({parts.inputs.changed}=0,"{AS_SOLVED}","{CHANGED}")'
    if parts.scenarios is not None:
        state = f'IF({SWITCH_NAME}={PLAN_NUMBER},{state},"{OTHER_SHOWN}")'
    if parts.demand is not None:
        state = f'IF({parts.demand.changed}=0,{state},"{SOLVE_AGAIN}")'
    page.formula(STATE_ROW, NAME, f"={state}", AS_SOLVED, "text")
    mark_flag(page, f"A{FLAG_ROW}", GOOD_FLAG)
    mark_flag(page, f"A{STATE_ROW}", AS_SOLVED)
    return ChecksSheet(page.address(FLAG_ROW, NAME), text, page.address(STATE_ROW, NAME))
