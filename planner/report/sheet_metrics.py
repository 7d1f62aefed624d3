"""Sheet Metrics: what finance asks of the plan, of its machines and tokens, and of the difference.

Rates of return and paybacks exist only for the difference between two fleets: the plan alone
only costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from openpyxl.utils import get_column_letter

from planner.finance.metrics import irr_per_year, mirr, monthly_rate, payback
from planner.report.checks import Parts
from planner.report.input_limits import FACTOR, POSITIVE_SHARE, limit_cells
from planner.report.ledger_view import CAPEX, Array, View, is_firm
from planner.report.option_figures import OptionFigures
from planner.report.page import Book, Page
from planner.report.payback_rows import SoFar, payback_formula, write_so_far
from planner.report.sheet_annual import AnnualSheet
from planner.report.sheet_cash import NPV_NAME, CashSheet
from planner.report.sheet_inputs import DISCOUNT_RATE
from planner.report.sheet_scenarios import PLAN_NUMBER, SWITCH_NAME, ScenariosSheet
from planner.report.style import CENTS, COUNT, FINE, PERCENT, TEAL, TENTHS
from planner.result import ClassCost, Plan
from planner.units import MILLION, MONTHS_PER_YEAR, SECONDS_PER_HOUR

LABEL, UNIT, FIRST = 1, 2, 3
_WIDTHS = (46, 13, *[12] * 9)
_API, TOKEN_WEIGHT = "api", 4.0
"""Input tokens that one output token costs: the median of the catalog's 51 price lists of November
2026 (quartiles 3 and 5). It only divides a class's cost, and stands in a blue cell."""
_MONTHS = "#,##0.0_)"
"""Of paybacks: 0 is a number, the plan is ahead from the start."""
_TWO_LINES = 22
"""Letters that two lines of a heading hold."""
_LEAST_RATE, _CENTS_FROM_USD = -0.9, 0.1
_NOTE = "Positive is cost. Green and black follow the inputs; violet is as solved."
DIFFERENCES = (
    ("Net present saving", "discounted"),
    ("Cash saved", "undiscounted"),
    ("IRR", "a year"),
    ("MIRR", "a year"),
    ("Payback", "months"),
    ("Discounted payback", "months"),
)


@dataclass(frozen=True)
class Use:
    """Accelerator-hours over the horizon."""

    in_service_h: float
    """Held or rented."""
    at_work_h: float
    """Of replicas that the plan keeps active."""

    @property
    def utilization(self) -> float:
        """At work over in service; 0 without machines."""
        return self.at_work_h / self.in_service_h if self.in_service_h else 0.0


def use_of(plan: Plan) -> Use:
    """Accelerator-hours of a plan."""
    hours = np.array([block.hours for block in plan.blocks]).T
    gpus = {row.id: row.gpus for row in plan.candidates}
    held = sum(float((np.array(m.lots_by_block) * hours).sum()) * m.lot_gpus for m in plan.fleet)
    work = sum(
        float((np.array(pool.replicas) * hours).sum()) * gpus.get(pool.candidate, 0)
        for pool in plan.pools
    )
    return Use(held, work)


@dataclass
class _Writer:
    page: Page
    annual: AnnualSheet
    row: int

    def head(self, title: str, columns: Sequence[str]) -> None:
        """A table's heading row."""
        self.page.band(self.row, LABEL, max(FIRST, FIRST + len(columns) - 1), "head")
        self.page.put(self.row, LABEL, title, "head")
        self.page.put(self.row, UNIT, "Unit", "head unit")
        self.page.row(self.row, FIRST, columns, "head right")
        longest = max(map(len, columns))
        self.page.sheet.row_dimensions[self.row].height = 38 if longest > _TWO_LINES else 26
        self.row += 1

    def formula(
        self, label: str, unit: str, formula: str, value: float, *, style: str, note: str = ""
    ) -> str:
        """A labelled formula; its address on this sheet."""
        self._labels(label, unit, note)
        self.page.formula(self.row, FIRST, formula, value, "link", number_format=style)
        return self._next()

    def money(self, label: str, source: str, usd: float, note: str = "") -> str:
        """A labelled amount in the display unit, from a formula in USD."""
        scale = self.annual.scale
        formula = f"={source}/{scale.name}"
        return self.formula(
            label, scale.unit, formula, usd / scale.usd, style=scale.number_format, note=note
        )

    def value(
        self, label: str, unit: str, value: float, style: str, *, look: str, note: str
    ) -> str:
        """A labelled constant."""
        self._labels(label, unit, note)
        self.page.put(self.row, FIRST, value, look, style)
        return self._next()

    def _labels(self, label: str, unit: str, note: str) -> None:
        self.page.put(self.row, LABEL, label)
        self.page.put(self.row, UNIT, unit, "unit")
        if note:
            self.page.put(self.row, FIRST + 1, note, "note")

    def _next(self) -> str:
        self.row += 1
        return f"${get_column_letter(FIRST)}${self.row - 1}"


def write_metrics(book: Book, parts: Parts) -> None:
    """Write the sheet."""
    page = book.page("Metrics", widths=_WIDTHS, tab=TEAL)
    page.heading("Metrics", _NOTE)
    plan, view, cash = parts.plan, parts.view, parts.cash
    writer = _Writer(page, parts.annual, 4)
    _of_the_plan(writer, view, cash)
    writer.row += 1
    factor = _machines(writer, parts)
    if plan.class_costs:
        writer.row += 1
        _classes(writer, plan, factor)
    if parts.scenarios is not None and parts.scenarios.saved:
        writer.row += 1
        sheet = book.workbook[parts.scenarios.title]
        so_far = write_so_far(Page(book, sheet), parts.scenarios, parts.costs)
        _differences(writer, parts, parts.scenarios, so_far)
    page.print_setup(one_page=True)


def _of_the_plan(writer: _Writer, view: View, cash: CashSheet) -> None:
    writer.head("The plan (or the option that sheet Scenarios shows)", ("Value",))
    spent = float(view.cash_usd.sum())
    writer.money("Net present cost", NPV_NAME, view.npv_usd)
    total = writer.money("Cash out, undiscounted", cash.total(cash.total_row), spent)
    months = writer.value(
        "Horizon", "months", float(view.horizon_months), COUNT, look="solved", note=""
    )
    years = view.horizon_months / MONTHS_PER_YEAR
    scale = writer.annual.scale
    writer.formula(
        "Cash out a year, mean", scale.unit, f"={total}/({months}/12)",
        spent / years / scale.usd, style=scale.number_format,
    )  # fmt: skip
    capex = cash.total(cash.categories[CAPEX]) if CAPEX in cash.categories else "0"
    writer.money("Purchases", capex, float(view.category_usd(CAPEX).sum()))
    firm = sum(float(view.values[x.key].sum()) for x in view.cash_lines if is_firm(x))
    writer.money("Firm once signed", cash.total(cash.firm_row), firm)
    peak = float(np.cumsum(view.cash_usd).max(initial=0.0))
    span = cash.span(cash.cumulative_row)
    writer.money("Peak cash exposure", f"MAX(0,{span})", peak, "most that is ever out")


def _machines(writer: _Writer, parts: Parts) -> str:
    """The plan's hours; their cost only while the money is the plan's.

    Returns the address of what unit costs are multiplied by at the utilization that the reader
    sets; blank without machines.
    """
    cash, used = parts.cash, use_of(parts.plan)
    writer.head("Machines over the horizon", ("Value",))
    held = writer.value(
        "GPU-hours in service", "GPU-h", used.in_service_h, COUNT, look="solved",
        note="owned, reserved and rented, of the plan",
    )  # fmt: skip
    work = writer.value(
        "GPU-hours at work", "GPU-h", used.at_work_h, COUNT, look="solved",
        note="of replicas that the demand of each block keeps active",
    )  # fmt: skip
    if not used.in_service_h or not used.at_work_h:
        return ""
    solved = writer.formula(
        "Utilization as solved", "share", f"={work}/{held}", used.utilization, style=PERCENT
    )
    lever = writer.value(
        "Utilization to price at", "share", used.utilization, PERCENT, look="input",
        note="moves unit costs only: the fleet, its cash and net present cost stay",
    )  # fmt: skip
    limit_cells(writer.page, [lever], POSITIVE_SHARE)
    api = f"-{cash.total(cash.categories[_API])}" if _API in cash.categories else ""
    total = cash.total(cash.total_row)
    machines = f"({total}{api})"
    _gpu_hours(writer, parts, machines, (held, f"({held}*{lever})"))
    factor = f"({machines}*{solved}/{lever}+{total}-{machines})/{total}"
    return writer.formula(
        "Unit costs against those at the plan's utilization", "ratio",
        f"={_while_plan(parts, factor, '1')}", 1.0, style=FINE,
        note="machines' cost over more or fewer tokens; API fees stay",
    )  # fmt: skip


def _gpu_hours(writer: _Writer, parts: Parts, machines: str, hours: tuple[str, str]) -> None:
    """Cost of an hour in service, and of one delivered."""
    view, used = parts.view, use_of(parts.plan)
    spent = float((view.cash_usd - view.category_usd(_API)).sum())
    for label, cell, count in (
        ("Cost of a GPU-hour in service", hours[0], used.in_service_h),
        ("Cost of a GPU-hour delivered, at that utilization", hours[1], used.at_work_h),
    ):
        cost = _while_plan(parts, f"{machines}/{cell}", '"n/a"')
        writer.formula(
            label, "USD/GPU/h", f"={cost}", spent / count, style=CENTS,
            note="cash out less API fees, undiscounted",
        )  # fmt: skip


def _while_plan(parts: Parts, formula: str, other: str) -> str:
    """A formula that holds of the plan only."""
    if parts.scenarios is None:
        return formula
    return f"IF({SWITCH_NAME}={PLAN_NUMBER},{formula},{other})"


def _classes(writer: _Writer, plan: Plan, factor: str) -> None:
    """Tokens, requests and users of each class; its cost is that of the solve."""
    weight = writer.value(
        "Cost of an output token, in input tokens", "ratio", TOKEN_WEIGHT, CENTS, look="input",
        note="median of token price lists: divides a class's cost between input and output",
    )  # fmt: skip
    limit_cells(writer.page, [weight], FACTOR)
    columns = (
        "Cost", "Tokens in, million", "Tokens out, million", "USD a million, all",
        "USD a million in", "USD a million out", "Requests, million", "USD a request",
        "USD a user a month, as solved",
    )  # fmt: skip
    writer.head("Cost of tokens and requests at that utilization", columns)
    users = {row["name"]: row.get("users") for row in plan.scenario.get("demand", [])}
    for cost in plan.class_costs:
        _class(writer, plan, cost, weight, f"*{factor}" if factor else "")
        _users(writer, plan, cost, users.get(cost.demand_class))
        writer.row += 1


def _unit_format(usd: float) -> str:
    """Two digits that say something."""
    return CENTS if usd >= _CENTS_FROM_USD else FINE


def requests_of(plan: Plan, demand_class: str) -> float:
    """Requests of a class over the horizon."""
    hours = np.array([block.hours for block in plan.blocks]).T
    traffic = next((row for row in plan.demand if row.name == demand_class), None)
    if traffic is None:
        return 0.0
    return float((np.array(traffic.mean_rps) * hours).sum() * SECONDS_PER_HOUR)


def _class(writer: _Writer, plan: Plan, cost: ClassCost, weight: str, factor: str) -> None:
    page, row = writer.page, writer.row
    scale = writer.annual.scale
    mtokens = cost.input_mtokens + cost.output_mtokens
    usd, requests = cost.usd_per_mtoken * mtokens, requests_of(plan, cost.demand_class)
    page.put(row, LABEL, cost.demand_class)
    page.put(row, UNIT, scale.unit, "unit")
    for column, value, style in (
        (FIRST, usd / scale.usd, scale.number_format),
        (FIRST + 1, cost.input_mtokens, COUNT),
        (FIRST + 2, cost.output_mtokens, COUNT),
        (FIRST + 6, requests / MILLION, TENTHS),
    ):
        page.put(row, column, value, "solved", style)
    name = scale.name
    input_usd = usd / (cost.input_mtokens + TOKEN_WEIGHT * cost.output_mtokens)
    formulas = [
        (FIRST + 3, f"=C{row}*{name}/(D{row}+E{row}){factor}", cost.usd_per_mtoken, CENTS),
        (FIRST + 4, f"=C{row}*{name}/(D{row}+{weight}*E{row}){factor}", input_usd, CENTS),
        (FIRST + 5, f"=G{row}*{weight}", input_usd * TOKEN_WEIGHT, CENTS),
    ]
    if requests:
        formulas.append(
            (
                FIRST + 7,
                f"=C{row}*{name}/(I{row}*Million){factor}",
                usd / requests,
                _unit_format(usd / requests),
            )
        )
    for column, formula, value, style in formulas:
        page.formula(row, column, formula, value, number_format=style)


def _users(writer: _Writer, plan: Plan, cost: ClassCost, users: float | None) -> None:
    """What a user costs a month, as solved."""
    page, row = writer.page, writer.row
    usd = cost.usd_per_mtoken * (cost.input_mtokens + cost.output_mtokens)
    if users:
        months = sum(period.months for period in plan.periods)
        a_month = usd / users / months
        page.put(row, FIRST + 8, a_month, "solved", _unit_format(a_month))
    else:
        page.put(row, FIRST + 8, "n/a", "text right")


def _differences(
    writer: _Writer, parts: Parts, scenarios: ScenariosSheet,
    so_far: Mapping[str, tuple[SoFar, SoFar]],
) -> None:  # fmt: skip
    writer.head("What the plan saves against", [f"{name}, {how}" for name, how in DIFFERENCES])
    plan = scenarios.figures[0]
    rate = next((row.value for row in parts.view.inputs if row.name == "discount_rate"), 0.0)
    for option in scenarios.figures[1:]:
        if option.row.name in scenarios.saved:
            _difference(writer, scenarios, option, plan, rate)
            for column, one, months in zip(
                (FIRST + 4, FIRST + 5), so_far[option.row.name],
                _paybacks(option, plan, rate), strict=True,
            ):  # fmt: skip
                formula = payback_formula(scenarios, parts.costs, one)
                writer.page.formula(
                    writer.row, column, formula, months, "link right", number_format=_MONTHS
                )
            writer.row += 1
    writer.page.put(
        writer.row, LABEL,
        "Of the difference in cash as solved, month by month; net present saving, MIRR and "
        "discounted payback follow the discount rate, other inputs do not move this table. Payback "
        "counts months from the start until the plan has stayed ahead.", "note",
    )  # fmt: skip
    writer.row += 1


def _difference(
    writer: _Writer, scenarios: ScenariosSheet, option: OptionFigures, plan: OptionFigures,
    rate: float,
) -> None:  # fmt: skip
    page, row, scale = writer.page, writer.row, writer.annual.scale
    flow = option.cash_usd - plan.cash_usd
    span = scenarios.span(scenarios.saved[option.row.name])
    monthly = monthly_rate(rate)
    page.put(row, LABEL, option.row.title)
    page.put(row, UNIT, scale.unit, "unit")
    stored = scenarios.figures.index(option)
    page.formula(
        row, FIRST, f"=({scenarios.npv(stored)}-{scenarios.npv(0)})/{scale.name}",
        (option.npv_usd - plan.npv_usd) / scale.usd, "link", number_format=scale.number_format,
    )  # fmt: skip
    page.formula(
        row, FIRST + 1, f"=SUM({span})/{scale.name}", float(flow.sum()) / scale.usd, "link",
        number_format=scale.number_format,
    )  # fmt: skip
    each_month = f"(1+{DISCOUNT_RATE})^(1/12)-1"
    reasons = []
    for column, formula, compute in (
        (FIRST + 2, f"=(1+IRR({span},{DISCOUNT_RATE}/12))^12-1", irr_per_year),
        (FIRST + 3, f"=(1+MIRR({span},{each_month},{each_month}))^12-1", _mirr(monthly)),
    ):
        try:
            rate_found = _meaningful(compute(flow))
        except ValueError as none:
            reasons.append(str(none))
            page.put(row, column, "n/a", "text right")
        else:
            page.formula(row, column, formula, rate_found, "link", number_format=PERCENT)
    if reasons:
        page.put(row, FIRST + 6, f"n/a: {reasons[0]}", "note")


def _meaningful(rate: float) -> float:
    """A rate that says something, and that every program's search finds."""
    if rate < _LEAST_RATE:
        raise ValueError(f"the rate is below {_LEAST_RATE:.0%} a year")
    return rate


def _paybacks(option: OptionFigures, plan: OptionFigures, rate: float) -> list[float | str]:
    """Undiscounted and discounted [months]; the word for no payback."""
    flow = option.cash_usd - plan.cash_usd
    found = (payback(flow), payback(flow, rate=monthly_rate(rate)))
    return ["never" if math.isinf(months) else months for months in found]


def _mirr(monthly: float) -> Callable[[Array], float]:
    def compute(flow: Array) -> float:
        found = mirr(flow, finance_rate=monthly, reinvest_rate=monthly)
        return float((1 + found) ** MONTHS_PER_YEAR - 1)

    return compute
