"""The plan against other ways, on the page: options, one driver at a time, finance's metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from planner.finance.metrics import irr_per_year, mirr, monthly_rate, payback
from planner.report.class_figures import class_figures
from planner.report.html_charts import table_of
from planner.report.html_model import (
    Block,
    Cell,
    Chart,
    Column,
    Plots,
    Row,
    Section,
    Series,
    Style,
    Table,
)
from planner.report.html_money import Money, category_label, paid
from planner.report.ledger_view import Array, View
from planner.report.option_figures import OptionFigures, option_figures
from planner.report.residual import BreakEven, break_evens
from planner.report.sensitivity import DISCOUNT, Exposure, break_even, exposure
from planner.report.sheet_metrics import TOKEN_WEIGHT, use_of
from planner.report.sheet_options import STATES, said
from planner.report.sheet_sensitivity import exposures
from planner.result import Plan
from planner.units import MILLION, MONTHS_PER_YEAR

NONE = "n/a"
THOUSAND = 1000


def options(plan: Plan, money: Money) -> Section | None:
    """The same demand served one way only, beside the plan; None where nothing was compared."""
    figures = {one.row.name: one for one in option_figures(plan)}
    if not figures:
        return None
    years = next(iter(figures.values())).view.years
    headings = ("Net present cost", "Above the plan", "Lowest possible", "Capex", "Firm")
    columns = [
        Column("Option"),
        Column("Serves"),
        *money.columns(headings),
        Column("Firm share", style="percent"),
        *money.columns(("Peak cash", "Cash out", *years)),
    ]
    rows = [
        Row(
            [row.title, STATES[row.status], *_amounts(figures.get(row.name), plan, money, years)],
            look="total" if row.status == "plan" else "",
        )
        for row in plan.options
    ]
    words = [Row([row.title, said(plan, row)]) for row in plan.options]
    what = [Column("Option"), Column("What it needs, or why it cannot", wide=True)]
    names = [row.name for row in plan.options if row.has_money and row.status != "nothing"]
    blocks: list[Block] = [
        Table(f"Options on equal service, {money.unit}", columns, rows, note=_FOOT),
        Plots(_charts([figures[name] for name in names], money)),
        Table("What each option takes", what, words),
    ]
    lead = "The same demand, horizon and promises, served in one way only or by no one."
    return Section("options", "Options", lead, blocks)


_FOOT = (
    "Firm: purchases and commitments, owed once signed. Peak cash: most that is ever out. "
    "Lowest possible: no fleet of the kind costs less."
)


def _amounts(
    one: OptionFigures | None, plan: Plan, money: Money, years: Sequence[str]
) -> list[Cell]:
    if one is None:
        return [NONE] * (8 + len(years))
    apart = money.text(one.npv_usd - plan.npv_usd) if one.row.equal_service else "serves less"
    by_year = one.cash_usd_by_year
    bound = one.row.bound_usd
    return [
        money.of(one.npv_usd),
        apart,
        money.of(bound) if bound is not None and math.isfinite(bound) else NONE,
        money.of(one.capex_usd),
        money.of(one.firm_usd),
        one.firm_frac,
        money.of(one.peak_usd),
        money.of(sum(by_year.values())),
        *[money.of(by_year[year]) for year in years],
    ]


def _charts(figures: Sequence[OptionFigures], money: Money) -> list[Chart]:
    """Present value by category, and cash so far, of each option."""
    labels = [_name(one) for one in figures]
    categories = list(dict.fromkeys(c for one in figures for c in one.view.categories))
    present = [
        Series(category_label(c), [_present(one.view, c, money) for one in figures])
        for c in categories
    ]
    title = "Net present cost by option"
    stacked = Chart(
        "options-npv", title, "stacked", "Option", money.unit, present,
        table_of(f"{title}, {money.unit}", "Option", labels, present, money.style),
        labels=labels, decimals=money.decimals, half=True,
    )  # fmt: skip
    return [stacked, _so_far(figures, money)]


def _name(one: OptionFigures) -> str:
    """Title in a chart, marked where the option serves less than the plan."""
    less = "" if one.row.equal_service else f" ({STATES[one.row.status]})"
    return f"{one.row.title}{less}"


def _present(view: View, category: str, money: Money) -> float:
    return money.of(float((view.category_usd(category) * view.weight).sum()))


def _so_far(figures: Sequence[OptionFigures], money: Money) -> Chart:
    months = max(paid(one.view).months for one in figures)
    labels = [day.strftime("%b %Y") for day in figures[0].view.dates[:months]]
    series = [
        Series(_name(one), (np.cumsum(one.cash_usd)[:months] / money.scale.usd).tolist())
        for one in figures
    ]
    title = "Cash out so far by option, undiscounted"
    return Chart(
        "options-cash", title, "lines", "Month", money.unit, series,
        table_of(f"{title}, {money.unit}", "Month", labels, series, money.style),
        labels=labels, decimals=money.decimals, half=True,
    )  # fmt: skip


def sensitivity(plan: Plan, seen: View, money: Money) -> Section | None:
    """One driver at a time on the same fleet, and where an option would win."""
    figures = option_figures(plan) or [OptionFigures(plan.as_option(), seen)]
    found = exposures(figures)
    if not found:
        return None
    base = figures[0].npv_usd
    blocks: list[Block] = [
        Plots([_tornado(found, base, money)]),
        _drivers(found, base, money),
        *_break_evens(found, [one for one in figures if one.row.equal_service]),
    ]
    lead = "The fleet stays as it is and one driver moves; the largest swing stands first."
    return Section("sensitivity", "Sensitivity", lead, blocks)


def _tornado(found: Sequence[Exposure], base: float, money: Money) -> Chart:
    labels = [one.driver.label for one in found]
    series = [
        Series("At the low end", [money.of(one.low_usd - base) for one in found]),
        Series("At the high end", [money.of(one.high_usd - base) for one in found]),
    ]
    title = "Change of net present cost by driver"
    return Chart(
        "sensitivity-tornado", title, "tornado", "Driver", money.unit, series,
        table_of(f"{title}, {money.unit}", "Driver", labels, series, money.style),
        labels=labels, decimals=money.decimals,
    )  # fmt: skip


def _drivers(found: Sequence[Exposure], base: float, money: Money) -> Table:
    columns = [
        Column("Driver"),
        Column("Low end"),
        Column("High end"),
        *money.columns(("Net present cost, low", "high", "Change, low", "high")),
    ]
    rows = [
        Row(
            [
                *(one.driver.label, _change(one, one.driver.low), _change(one, one.driver.high)),
                *(money.of(one.low_usd), money.of(one.high_usd)),
                *(money.of(one.low_usd - base), money.of(one.high_usd - base)),
            ]
        )
        for one in found
    ]
    return Table(f"Net present cost with one driver changed, {money.unit}", columns, rows)


def _change(one: Exposure, change: float) -> str:
    """Points of the discount rate, else a share of the inputs' values."""
    return f"{change * 100:+.1f} points" if one.driver.name == DISCOUNT else f"{change:+.0%}"


def _break_evens(found: Sequence[Exposure], equal: Sequence[OptionFigures]) -> list[Block]:
    """Change of each driver at which each option costs what the plan costs."""
    linear = [one for one in found if one.linear and one.driver.name != DISCOUNT]
    if len(equal) < 2 or not linear:
        return []
    plan, *others = equal
    rows = []
    for one in linear:
        cells: list[Cell] = [one.driver.label]
        for other in others:
            theirs = exposure(one.driver, other, one.shares)
            change = break_even(one, theirs, (plan.npv_usd, other.npv_usd))
            cells.append("never" if not math.isfinite(change) or change < -1 else f"{change:+.0%}")
        rows.append(Row(cells))
    columns = [Column("Driver"), *[Column(one.row.title, style="auto") for one in others]]
    note = "“never”: both move alike, or the driver would have to be below nothing."
    return [Table("Change at which an option costs what the plan costs", columns, rows, note)]


def metrics(plan: Plan, seen: View, money: Money) -> Section:
    """What finance asks of the machines, and of the difference to each option."""
    blocks: list[Block] = [_machines(plan, seen, money)]
    if plan.class_costs:
        blocks.append(_classes(plan))
    figures = option_figures(plan)
    rows = [
        Row([one.row.title, *_difference(one, figures[0], money)])
        for one in figures[1:]
        if one.row.equal_service
    ]
    if rows:
        columns = [
            Column("Against"),
            *money.columns((f"Present saving, {money.unit}", f"Cash saved, {money.unit}")),
            Column("IRR", "a year", "percent"),
            Column("MIRR", "a year", "percent"),
            Column("Payback", "months", "tenths"),
            Column("Discounted payback", "months", "tenths"),
        ]
        note = "Rates and paybacks are of the difference in cash, month by month, as solved."
        blocks.append(Table("What the plan saves", columns, rows, note))
    blocks += _residuals(figures, money)
    lead = "Cost of an accelerator-hour at the plan's use, and what the plan saves."
    return Section("metrics", "Metrics", lead, blocks)


def _machines(plan: Plan, seen: View, money: Money) -> Table:
    used = use_of(plan)
    spent = float((seen.cash_usd - seen.category_usd("api")).sum())
    peak = float(max(np.cumsum(seen.cash_usd).max(initial=0.0), 0.0))
    lines: list[tuple[str, float, str, Style]] = [
        ("Peak cash exposure, most that is ever out", money.of(peak), money.unit, money.style),
        ("Accelerator-hours in service", used.in_service_h, "GPU-h", "count"),
        ("Accelerator-hours at work, of active replicas", used.at_work_h, "GPU-h", "count"),
    ]
    if used.in_service_h and used.at_work_h:
        lines += [
            ("Utilization", used.utilization, "share", "percent"),
            ("Cost of an hour in service", spent / used.in_service_h, "USD/GPU/h", "cents"),
            ("Cost of an hour at work", spent / used.at_work_h, "USD/GPU/h", "cents"),
        ]
    columns = [Column("Figure"), Column("Value", style="auto"), Column("Unit")]
    rows = [Row([label, value, unit], style) for label, value, unit, style in lines]
    note = "Cash out less API fees, undiscounted."
    return Table("The plan and its machines over the horizon", columns, rows, note)


def _classes(plan: Plan) -> Table:
    """Cost of a class by token, request and user."""
    figures = class_figures(plan)
    columns = [
        Column("Class"),
        Column("Input", "USD/Mtoken", "cents"),
        Column("Output", "USD/Mtoken", "cents"),
        Column("Requests", "million", "tenths"),
        Column("1,000 requests", "USD", "cents"),
        Column("A user", "USD/month", "cents"),
    ]
    rows = []
    for one in figures:
        request, user = one.usd_per_request, one.usd_per_user_month
        cells: list[Cell] = [
            NONE if request is None else request * THOUSAND,
            NONE if user is None else user,
        ]
        prices = (one.usd_per_input_mtoken, one.usd_per_output_mtoken, one.requests / MILLION)
        rows.append(Row([one.demand_class, *prices, *cells]))
    note = (
        "Undiscounted, at the plan's utilization. An output token counts as "
        f"{TOKEN_WEIGHT:g} input tokens, the median of token price lists; users as stated, "
        "whatever the demand grows to."
    )
    return Table("Cost of tokens, requests and users", columns, rows, note)


def _residuals(figures: Sequence[OptionFigures], money: Money) -> list[Block]:
    """End value at which the plan costs what an option costs."""
    found = break_evens(figures)
    if not found:
        return []
    columns = [
        Column("Against"),
        Column("End value of"),
        *money.columns(("Price paid", "End value planned")),
        Column("Planned", "of price", "percent"),
        Column("Break-even", "of price", "auto"),
    ]
    rows = [
        Row([one.option, one.owner, money.of(one.price_usd), money.of(one.planned_usd),
             one.planned_frac, _break_even_words(one)])
        for one in found
    ]  # fmt: skip
    note = (
        "End value of machines, after the cost of selling, at which both cost the same; all end "
        "values move together, tax on the sale with them."
    )
    return [Table(f"Break-even residual, {money.unit}", columns, rows, note)]


def _break_even_words(one: BreakEven) -> str:
    if math.isnan(one.frac):
        return "both move alike"
    return f"{one.frac:.1%}" if one.frac >= 0 else "below nothing"


def _difference(option: OptionFigures, plan: OptionFigures, money: Money) -> list[Cell]:
    flow = option.cash_usd - plan.cash_usd
    rate = next((row.value for row in plan.view.inputs if row.name == DISCOUNT), 0.0)
    monthly = monthly_rate(rate)
    return [
        money.of(option.npv_usd - plan.npv_usd),
        money.of(float(flow.sum())),
        _rate(irr_per_year, flow),
        _rate(lambda cash: _mirr_per_year(cash, monthly), flow),
        *(_months(payback(flow)), _months(payback(flow, rate=monthly))),
    ]


def _rate(compute: Callable[[Array], float], flow: Array) -> Cell:
    """A rate of return; n/a where the difference has none."""
    try:
        return compute(flow)
    except ValueError:
        return NONE


def _mirr_per_year(flow: Array, monthly: float) -> float:
    found = mirr(flow, finance_rate=monthly, reinvest_rate=monthly)
    return float((1 + found) ** MONTHS_PER_YEAR - 1)


def _months(count: float) -> Cell:
    if math.isinf(count):
        return "never"
    return count or "at once"
