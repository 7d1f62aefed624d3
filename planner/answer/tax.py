"""What a decided plan makes of tax law: the convention its purchases ask for, and what to say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.answer.decided import Decided
from planner.answer.money import Books, books
from planner.candidates.case import Case
from planner.finance.depreciation import years_of_mid_quarter

Array = NDArray[np.float64]
CONVENTION_ROUNDS = 4
"""Most solves until the purchases ask for the tax convention under which they were chosen."""


def in_convention(question: Case, decide: Callable[[Case], Decided]) -> Decided:
    """What is decided under the convention that its own purchases ask for.

    After `CONVENTION_ROUNDS` the last answer stands, and `notes` says that it does not settle.
    """
    for _ in range(CONVENTION_ROUNDS):
        decided = decide(question)
        asked = mid_quarter_years(decided)
        if asked == _assumed(question):
            break
        question = assuming(question, asked)
    return decided


def mid_quarter_years(decided: Decided) -> frozenset[str]:
    """Fiscal years for which the law asks for the mid-quarter convention.

    Those already assumed where the scenario states the convention or does not use one.
    """
    return _asked(decided, books(decided)) if _open(decided.case) else _assumed(decided.case)


def assuming(question: Case, years: frozenset[str]) -> Case:
    """The case with the mid-quarter convention in these fiscal years."""
    calendar = replace(question.offers.tax_calendar, mid_quarter=years)
    return replace(question, offers=replace(question.offers, tax_calendar=calendar))


def _open(question: Case) -> bool:
    tax = question.scenario.finance.tax
    method = tax.depreciation or "none"
    return tax.pays_tax and tax.convention == "auto" and method.startswith("macrs")


def _assumed(question: Case) -> frozenset[str]:
    return question.offers.tax_calendar.mid_quarter


def _asked(decided: Decided, money: Books) -> frozenset[str]:
    when = decided.case.traffic.calendar
    placed = [
        np.broadcast_to(money.values[line.key], money.values["month"].shape)
        for line in money.lines
        if line.category == "placed in service"
    ]
    if not placed:
        return frozenset()
    return years_of_mid_quarter(
        np.sum(placed, axis=0)[: when.months],
        fiscal_quarter=money.values["fiscal_quarter"][: when.months],
        fiscal_years=[year for year in when.fiscal_years for _ in range(when.period_months)],
    )


def notes(decided: Decided, money: Books) -> Iterator[str]:
    """What a reader of an after-tax plan should know."""
    tax = decided.case.scenario.finance.tax
    if not tax.pays_tax:
        return
    use = {
        "at_once": "every deduction finding income in its fiscal year",
        "carried_forward": "losses beyond other taxable income carried to later years planned",
        "never": "deductions beyond other taxable income of their fiscal year lost",
    }[tax.losses]
    yield f"After tax: costs are net of the tax they save, {use}; the discount rate is after tax."
    if (tax.depreciation or "").startswith("macrs") and not tax.bonus_frac:
        yield (
            "finance.tax.bonus_frac is 0: US law allows 1.0 for what is acquired and placed in "
            "service after 2025-01-19 (P.L. 119-21)."
        )
    if not _open(decided.case):
        return
    assumed, asked = _assumed(decided.case), _asked(decided, money)
    if assumed != asked:
        yield (
            f"Tax convention not settled: planned with mid-quarter in {_listed(assumed)}, the "
            f"purchases ask for it in {_listed(asked)}."
        )
    elif asked:
        yield f"Mid-quarter convention holds in {_listed(asked)}: over 40 % enter service late."


def _listed(years: frozenset[str]) -> str:
    return ", ".join(sorted(years)) or "no fiscal year"
