"""Deferred tax on sheet Tax: the expense of profit and loss, its rate, and the balances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from openpyxl.utils import get_column_letter

from planner.finance import deferred
from planner.report.profit import DEFERRED, of_part
from planner.report.sheet_annual import HEAD
from planner.report.sheet_costs import YEAR_ROW
from planner.report.style import PERCENT, WITHOUT_ROUNDING
from planner.report.tax_part import TaxPart
from planner.report.yearly import TOTAL, ledger_at, ledger_span

_NOTES = (
    "Carrying amount less tax base, times the enacted rate, not discounted (liability method).",
    "IAS 12.15, 12.47 and 12.53; ASC 740-10-25-2 and 740-10-30-8.",
    "It moves profit and loss between years and adds up to 0. It is no cash: net present cost is "
    "the same without it.",
)
_BALANCES = {
    deferred.MACHINES: "Machines: net book value less tax basis",
    deferred.LEASES: "Leases: right of use less liability and prepaid rent",
    deferred.LOSSES: "Losses carried forward (asset negative)",
}


@dataclass(frozen=True)
class DeferredSheet:
    """Formulas without the equals sign, and their values in USD."""

    life: str
    """Deferred tax of the whole life, in USD."""
    life_usd: float
    off: str
    """Largest difference of a year's tax expense from the rate on its cost, in the display unit;
    blank where deductions may find no income."""
    off_usd: float


def write_deferred(sheet: TaxPart, *, saved: int, cost: int, rate: int) -> DeferredSheet | None:
    """Write the section; None where books and tax see everything alike.

    Parameters
    ----------
    saved, cost : rows of the tax saved and of cost before tax.
    rate : row of the enacted rate, state and federal together; 0 where losses are not used at once.
    """
    view, writer = sheet.view, sheet.writer
    keys = [line.key for line in view.lines if line.category == deferred.TAX]
    if not keys:
        return None
    writer.row += 1
    writer.group("Tax expense in profit and loss: settled and deferred")
    usd = sheet.sums(keys)
    paid = sheet.sums([x.key for x in view.lines if (x.category, x.kind) == ("tax", "cash")])
    scale = sheet.annual.scale
    settled = sheet.by_year("Tax as settled (saving negative)", f"=-{{c}}{saved}", paid.tolist())
    row, years = sheet.profit.rows[DEFERRED], sheet.profit.span(YEAR_ROW)
    formula = f"=SUMIFS({sheet.profit.span(row)},{years},{{c}}${HEAD})/{scale.name}"
    later = sheet.by_year(f"{DEFERRED}, of sheet P&L", formula, usd.tolist(), "link")
    both = sheet.by_year(
        "Tax expense", f"={{c}}{settled}+{{c}}{later}", (paid + usd).tolist(), "total"
    )
    off, off_usd = "", 0.0
    if rate:
        off, off_usd = _against_rate(sheet, both=both, cost=cost, rate=rate, usd=paid + usd)
    _balances(sheet)
    for text in _NOTES:
        writer.note(text)
    life = "+".join(f"SUM({ledger_span(sheet.costs, key)})" for key in keys)
    return DeferredSheet(life, float(usd.sum()), off, off_usd)


def _against_rate(
    sheet: TaxPart, *, both: int, cost: int, rate: int, usd: np.ndarray
) -> tuple[str, float]:
    """The expense is the enacted rate on the year's cost, where all deductions are used."""
    before = sheet.view.by_year(of_part(sheet.view, "operating", "spread"))
    share = [-t / c if c else 0.0 for t, c in zip(usd, before, strict=True)]
    letter, whole = get_column_letter(TOTAL), float(before.sum())
    sheet.writer.write(
        "Effective rate with deferred tax", "frac",
        f"=IF({{c}}{cost}=0,0,-{{c}}{both}/{{c}}{cost})", share, style=PERCENT, look="calculation",
        total=f"=IF({letter}{cost}=0,0,-{letter}{both}/{letter}{cost})",
        total_value=-float(usd.sum()) / whole if whole else 0.0,
    )  # fmt: skip
    enacted = sheet.value("tax_rate")
    enacted += sheet.value("state_tax_rate") * (1 - enacted)
    apart = usd + enacted * before
    row = sheet.by_year(
        "Difference from the enacted rate on the year's cost",
        f"={{c}}{both}+{{c}}{rate}*{{c}}{cost}", apart.tolist(),
    )  # fmt: skip
    span = f"'{sheet.writer.page.sheet.title}'!{sheet.writer.span(row)}"
    return f"MAX(MAX({span}),-MIN({span}))", float(np.abs(apart).max())


def _balances(sheet: TaxPart) -> None:
    """Liabilities at year ends, after what is sold at the end of the horizon."""
    writer, view, costs = sheet.writer, sheet.view, sheet.costs
    scale = sheet.annual.scale
    keys = {kind: [x.key for x in view.lines if x.category == kind] for kind in _BALANCES}
    ends = sheet.month_ends()
    first = writer.row
    sold = ledger_at(costs, "last_month", f"{{c}}${ends}")
    total = np.zeros(len(writer.labels))
    for kind, words in _BALANCES.items():
        if not keys[kind]:
            continue
        held = np.sum([np.broadcast_to(view.values[key], view.months) for key in keys[kind]],
                      axis=0)  # fmt: skip
        at = "+".join(ledger_at(costs, key, f"{{c}}${ends}") for key in keys[kind])
        left = f"=({at})/{scale.name}"
        if kind == deferred.MACHINES:
            held, left = held * (1 - view.values["last_month"]), f"=({at})*(1-{sold})/{scale.name}"
        usd = view.at_year_end(held)
        total = total + usd
        writer.write(words, scale.unit, left, (usd / scale.usd).tolist(),
                     style=WITHOUT_ROUNDING[scale.number_format])  # fmt: skip
    writer.write(
        "Deferred tax liability at year end, after disposal", scale.unit,
        f"=SUM({{c}}{first}:{{c}}{writer.row - 1})", (total / scale.usd).tolist(),
        style=WITHOUT_ROUNDING[scale.number_format], look="total",
    )  # fmt: skip
