"""Accounting view on sheet Commitments: which contracts would be leases, and their schedules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from planner.finance.leases import DISCLAIMER
from planner.report.commitments_part import MONTHLY, CommitmentsPart, label
from planner.report.contracts import LeaseView, leases
from planner.report.ledger_view import Array, View
from planner.report.style import MONEY
from planner.report.yearly import FIRST, LABEL, TOTAL, UNIT


def write_leases(sheet: CommitmentsPart) -> None:
    """Accounting view of each contract, and the schedule of those on the balance sheet."""
    if not sheet.found:
        return
    page, writer = sheet.page, sheet.writer
    page.band(writer.row, LABEL, MONTHLY, "head")
    page.put(writer.row, LABEL, "Accounting view, as solved", "head")
    page.put(writer.row, UNIT, "Treatment", "head unit")
    page.put(writer.row, TOTAL, "Why", "head unit")
    writer.row += 1
    seen = leases(sheet.plan, sheet.view, list(sheet.found))
    for one in seen:
        page.put(writer.row, LABEL, label(one.contract, sheet.view))
        page.put(writer.row, UNIT, one.read.treatment.replace("_", " "), "text left")
        page.put(writer.row, TOTAL, one.read.reason, "text left")
        writer.row += 1
    writer.note(f"{DISCLAIMER} State the facts in finance.lease; no cash follows from them.")
    held = [one for one in seen if one.schedule is not None]
    if held:
        writer.row += 1
        _schedules(sheet, held)


def _schedules(sheet: CommitmentsPart, held: Sequence[LeaseView]) -> None:
    writer, view = sheet.writer, sheet.view
    writer.head("Right of use, as solved", total="At the start")
    for one in held:
        writer.group(label(one.contract, view))
        for words, start, values in schedule_rows(one, view):
            sheet.page.put(writer.row, LABEL, words)
            sheet.page.put(writer.row, UNIT, "USD", "unit")
            if start is not None:
                sheet.page.put(writer.row, TOTAL, start, "solved", MONEY)
            at_ends = _of_periods(values, sheet.ends, flow=start is None)
            sheet.page.row(writer.row, FIRST, at_ends, "solved", MONEY)
            writer.row += 1


def schedule_rows(one: LeaseView, view: View) -> list[tuple[str, float | None, Array]]:
    """Label, value at commencement (None of flows) and values by month of the horizon."""
    found = one.schedule
    assert found is not None

    def placed(row: Array) -> Array:
        whole = np.zeros(view.months)
        whole[one.contract.month : one.contract.month + len(row)] = row
        return whole

    return [
        ("Lease liability", found.initial_liability, placed(found.liability)),
        ("Right-of-use asset", found.initial_asset, placed(found.asset)),
        ("Payments of the period", None, placed(found.payment)),
        ("Interest", None, placed(found.interest)),
        ("Expense of the period", None, placed(found.expense)),
    ]


def _of_periods(values: Array, ends: Sequence[int], *, flow: bool) -> list[float]:
    if not flow:
        return [float(values[end - 1]) for end in ends]
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return [float(sums[end] - sums[start]) for start, end in zip((0, *ends), ends, strict=False)]
