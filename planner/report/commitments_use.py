"""Use of commitments on sheet Commitments: coverage, utilization and the saving rate."""

from __future__ import annotations

from openpyxl.utils import get_column_letter

from planner.finance.offers import rented_key
from planner.report.commitments_part import CommitmentsPart
from planner.report.contracts import Use, uses
from planner.report.style import COUNT, FINE, PERCENT
from planner.report.yearly import LABEL, TOTAL, UNIT, ledger_span

_USES = (
    "Committed GPU-h", "of it at work", "On demand GPU-h", "Coverage", "Utilization",
    "Committed USD/GPU/h", "On demand USD/GPU/h", "Effective savings rate",
)  # fmt: skip


def write_uses(sheet: CommitmentsPart) -> None:
    """Coverage, utilization, and the saving where both prices are known."""
    found = uses(sheet.plan)
    if not found:
        return
    page, writer = sheet.page, sheet.writer
    page.band(writer.row, LABEL, TOTAL + len(_USES) - 1, "head")
    page.put(writer.row, LABEL, "Use of commitments over the horizon, of the plan", "head")
    page.put(writer.row, UNIT, "Unit", "head unit")
    page.row(writer.row, TOTAL, _USES, "head right")
    page.sheet.row_dimensions[writer.row].height = 38
    writer.row += 1
    for use in found:
        _use(sheet, use)
        writer.row += 1
    writer.note(
        "Coverage: share of rented work under commitments. Utilization: share of committed hours "
        "at work; own machines work first. Savings rate, against the on-demand price of the same "
        "hours: coverage x (1 - committed / on demand / utilization)."
    )
    writer.row += 1


def _use(sheet: CommitmentsPart, use: Use) -> None:
    page, row = sheet.page, sheet.writer.row
    page.put(row, LABEL, f"{use.title} at {use.site}")
    page.put(row, UNIT, "GPU-h, share", "unit")
    for column, value in enumerate((use.committed_h, use.used_h, use.on_demand_h), TOTAL):
        page.put(row, column, value, "solved", COUNT)
    held, used, rented = (f"{get_column_letter(TOTAL + i)}{row}" for i in range(3))
    eligible = use.used_h + use.on_demand_h
    covered = use.used_h / eligible if eligible else 0.0
    utilized = use.used_h / use.committed_h if use.committed_h else 0.0
    at = TOTAL + 3
    formula = f"=IF({used}+{rented}=0,0,{used}/MAX({used}+{rented},1))"
    page.formula(row, at, formula, covered, number_format=PERCENT)
    formula = f"=IF({held}=0,0,{used}/MAX({held},1))"
    page.formula(row, at + 1, formula, utilized, number_format=PERCENT)
    prices = _prices(sheet, use)
    if prices is None or not utilized:
        page.row(row, at + 2, ("n/a",) * 3, "text right")
        return
    for column, (formula, price) in enumerate(prices, at + 2):
        page.formula(row, column, formula, price, "link", number_format=FINE)
    share, use_of, committed, full = (f"{get_column_letter(at + i)}{row}" for i in range(4))
    saved = covered * (1 - prices[0][1] / prices[1][1] / utilized)
    formula = f"=IF({committed}=0,0,{share}*(1-{committed}/{full}/{use_of}))"
    page.formula(row, at + 4, formula, saved, number_format=PERCENT)


def _prices(sheet: CommitmentsPart, use: Use) -> list[tuple[str, float]] | None:
    """Formula and value of a committed hour's price, and of the same hours' on demand.

    None where the ledger has no price on demand of these machines.
    """
    view, costs = sheet.view, sheet.costs
    values = {x.name: x.value for x in view.inputs}
    rented = rented_key("on_demand", use.accelerator, use.site)
    keys = [key for key in use.keys if f"{key}_signed_usd" in view.values]
    if f"{rented}_price_usd_per_h" not in view.values or not keys:
        return None
    held = [view.values[f"{key}_in_force"] * view.values["hours"] for key in keys]
    gpus = [values[f"{key}_gpus"] for key in keys]
    gpu_h = sum(float(row.sum()) * count for row, count in zip(held, gpus, strict=True))
    price = view.values[f"{rented}_price_usd_per_h"]
    full = sum(float((row * price).sum()) * n for row, n in zip(held, gpus, strict=True))
    paid = sum(float(view.values[f"{key}_signed_usd"].sum()) for key in keys)
    hours = ledger_span(costs, "hours")
    in_force = [(ledger_span(costs, f"{key}_in_force"), sheet.inputs[f"{key}_gpus"])
                for key in keys]  # fmt: skip
    all_h = "+".join(f"{count}*SUMPRODUCT({row},{hours})" for row, count in in_force)
    values_usd = "+".join(f"SUM({ledger_span(costs, f'{key}_signed_usd')})" for key in keys)
    rate = ledger_span(costs, f"{rented}_price_usd_per_h")
    paid_full = "+".join(f"{count}*SUMPRODUCT({row},{hours},{rate})" for row, count in in_force)
    lot = values[f"{rented}_gpus"]
    return [
        (f"=({values_usd})/MAX({all_h},1)", paid / gpu_h),
        (
            f"=({paid_full})/MAX({all_h},1)/{sheet.inputs[f'{rented}_gpus']}",
            full / gpu_h / lot,
        ),
    ]  # fmt: skip
