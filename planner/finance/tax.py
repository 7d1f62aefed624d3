"""Income tax as ledger rows: what is deducted, and what it takes off the tax bill.

Conventions. Every cost is deducted in the month in which it is paid, prepayments over their term,
purchases by a method of `depreciation` from the fiscal year placed in service, with the bonus in
that year. At the end of the horizon the basis left is deducted from the end value, and the gain
taxed. State tax is deducted from federal income: a cost lowers tax by f + s (1 - f), of which
f goes with federal and s (1 - f) with state deductions. Tax is settled in the last month of each
fiscal year and, beyond the horizon, month by month. The profit and loss statement shows tax when
it is settled, and beside it what `deferred` moves between years.

Where every deduction finds income in its year, tax is linear and belongs to each option's rows.
Where it does not, options carry their deductions only and tax is a matter of the company: what
exceeds its other income in a fiscal year is lost, or waits in a loss balance for the years of the
horizon that follow; what waits at the end of the horizon is lost. State tax has its own deductions
and losses against the same income I, and is deducted from federal income: with u the deductions
that the state has used, federal income before the plan's deductions is I - s (I - u), and tax falls
by f for each USD used there and by s (1 - f) for each used in the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from planner.finance import deferred
from planner.finance.depreciation import Method, rates_by_tax_year
from planner.finance.lease_lines import RENT
from planner.finance.ledger import Array, Input, Kind, Line, Rows, whole_years
from planner.finance.offers import TaxTerms

METHODS: tuple[Method, ...] = get_args(Method)
CONVENTIONS = ("auto", "half_year", "mid_quarter")
TABLES: tuple[Method, ...] = ("macrs_3", "macrs_5", "macrs_7")
"""Methods whose shares are published tables."""
TAX_YEARS = 6
"""Fiscal years that a horizon of 60 months can touch: later ones are past the end value."""
GROUP = "Income tax"
COMPANY = "Income tax of the company"
COMPANY_DEDUCTED = "company_deducted_usd"
COMPANY_STATE_DEDUCTED = "company_state_deducted_usd"
DEDUCTIONS = "deductions"
"""Category of what options deduct from federal income."""
STATE_DEDUCTIONS = "state deductions"
"""Category of what machines bought deduct from state income; others deduct alike in both."""
DEDUCTED_OVER_TERM = ("amortization", RENT)
"""Categories of rows that tax deducts beside cash: prepayments used up, rent of leases. Tax takes a
lease as rent whatever the books make of it."""
TABLE_SOURCE = "IRS Publication 946, tables A-1 (half-year) and A-2 to A-5 (mid-quarter)"
INPUTS = {
    "tax_rate": ("Income tax rate, federal", "frac"),
    "state_tax_rate": ("Income tax rate, state", "frac"),
    "tax_method": (
        "Tax depreciation: " + ", ".join(f"{code} {name}" for code, name in enumerate(METHODS, 1)),
        "code",
    ),
    "tax_life_years": ("Life for tax, straight line only", "years"),
    "bonus_frac": ("Bonus depreciation in the first year", "frac"),
    "state_bonus_conforms": ("State allows the bonus: 1 yes, 0 no", "flag"),
    "tax_convention": (
        "First-year convention: "
        + ", ".join(f"{code} {name}" for code, name in enumerate(CONVENTIONS, 1)),
        "code",
    ),
}

STATE_NET = "state_tax_rate * (1 - tax_rate)"
"""State tax less what it saves in federal tax."""
OF_STATE = ("state_tax_rate", "state_bonus_conforms")
"""Inputs of state tax."""


@dataclass(frozen=True)
class Asset:
    """Names of what tax has to know of machines bought."""

    orders: str
    placed: str
    end_value: str
    """Cash of the sale, negative."""
    lead_months: str
    """Input: order to entry into service."""


def common_lines(terms: TaxTerms) -> Rows:
    """Rates, shares of a purchase deducted by tax year, the fiscal year's first and last month.

    Row `placed_share_<k>` is the share deducted in tax year k of what is placed in service in its
    month, row `tax_share_<k>` that of what was placed in service k - 1 years before its month.
    """
    together = terms.other_income_usd_per_year is not None
    inputs = [
        getattr(terms, name).as_input(name, *words)
        for name, words in INPUTS.items()
        if not (together and name in OF_STATE and not has_state(terms))
    ]
    lines = [
        *_calendar(),
        *([] if together else _rates()),
        _row("bonus_share", "Bonus on what is ordered", "frac",
             "bonus_frac * bonus_open * pick(tax_method, 0, 1, 1, 1, 1)"),
    ]  # fmt: skip
    lines += _straight_line()
    for year in range(1, TAX_YEARS + 1):
        tables = [_table(method, year) for method in TABLES]
        inputs += [figure for _, figures in tables for figure in figures]
        picked = ", ".join(f"pick(tax_table, {', '.join(names)})" for names, _ in tables)
        before = f" - straight_line_{year - 1}" if year > 1 else ""
        lines += [
            _row(f"placed_share_{year}", f"Deducted in tax year {year} of what enters service now",
                 "frac", f"pick(tax_method, 0, straight_line_{year}{before}, {picked})"),
            _row(f"tax_share_{year}", f"Tax year {year} of what entered service then", "frac",
                 f"lag(placed_share_{year}, {whole_years(year - 1)})"),
        ]  # fmt: skip
    return tuple(lines), tuple(inputs)


def has_state(terms: TaxTerms) -> bool:
    """Whether a state taxes income too."""
    return terms.state_tax_rate.value > 0


def _rates() -> list[Line]:
    return [
        _row("tax_rate_all", "Tax on income, state and federal", "frac",
             "tax_rate + state_tax_rate * (1 - tax_rate)"),
        _row("state_tax_net", "State tax less what it saves in federal tax", "frac",
             STATE_NET),
    ]  # fmt: skip


def _row(key: str, label: str, unit: str, formula: str) -> Line:
    return Line(key, label, unit, "calculation", formula, group=GROUP)


def _calendar() -> list[Line]:
    flags = (
        ("fiscal_year_first", "First month of a fiscal year", "flag"),
        ("fiscal_year_end", "Last month of a fiscal year", "flag"),
        ("fiscal_quarter", "Quarter of the fiscal year", "quarter"),
        ("mid_quarter", "Mid-quarter convention, as the solved purchases ask", "flag"),
        ("bonus_open", "Orders get the bonus", "flag"),
    )
    lines = [Line(key, label, unit, "quantity", group=GROUP) for key, label, unit in flags]
    mid = "pick(tax_convention, mid_quarter, 0, 1)"
    return [
        *lines,
        _row("mid_quarter_used", "Mid-quarter convention used", "flag", mid),
        _row("tax_table", "Table: 1 half-year, 2 to 5 mid-quarter by quarter", "code",
             "1 + mid_quarter_used * fiscal_quarter"),
        _row("first_year_share", "Share of the first tax year that counts", "frac",
             "pick(1 + mid_quarter_used, 1 / (1 + 1), 1 - fiscal_quarter * (1 + 1 + 1) / 12"
             " + (1 + 1 + 1) / (12 + 12))"),
    ]  # fmt: skip


def _straight_line() -> list[Line]:
    """Deducted to the end of tax year k: years in service over the life, at most all."""
    found = []
    for year in range(1, TAX_YEARS + 1):
        grown = f"straight_line_{year - 1} + 1 / tax_life_years"
        formula = f"min({grown if year > 1 else 'first_year_share / tax_life_years'}, 1)"
        label = f"Straight line, deducted to the end of tax year {year}"
        found.append(_row(f"straight_line_{year}", label, "frac", formula))
    return found


def _table(method: Method, year: int) -> tuple[list[str], list[Input]]:
    """Half-year share of a tax year, then those of mid-quarter by quarter."""
    names, inputs = [], []
    for quarter in range(5):
        convention = "mid_quarter" if quarter else "half_year"
        rates = rates_by_tax_year(
            method,
            convention="mid_quarter" if quarter else "half_year",
            quarter=max(quarter, 1),
        )
        name = f"{method}_{f'q{quarter}' if quarter else 'half_year'}_year_{year}"
        when = f"mid-quarter, Q{quarter}" if convention == "mid_quarter" else "half-year"
        label = f"{method.replace('_', ' ').upper()}, {when}, tax year {year}"
        names.append(name)
        inputs.append(
            Input(name, label, "frac", float(rates[year - 1]), TABLE_SOURCE, "", "quoted")
        )
    return names, inputs


def taxed(
    rows: Rows, *, key: str, asset: Asset | None = None, settled: bool = True, state: bool = True
) -> Rows:
    """Rows of one option with those of its tax: cash `<key>_tax_usd`, a saving negative.

    Parameters
    ----------
    rows : all of one group.
    key : prefix of the option's lines.
    asset : of machines bought: their price is depreciated, what their sale brings is taxed.
    settled : False leaves deductions only, for `company_lines` to settle.
    state : whether a state taxes income too; settled rows have it at any rate, 0 too.
    """
    lines, inputs = rows
    group = lines[0].group
    expenses = [
        line.key
        for line in lines
        if (line.kind == "cash" and not line.deferred) or line.category in DEDUCTED_OVER_TERM
    ]
    deducted = " + ".join(expenses)
    extra: list[Line] = []
    if asset is None:
        extra.append(_deduction(f"{key}_deducted_usd", "Costs deducted", deducted, group))
        saved = f"{key}_deducted_usd * tax_rate_all"
    else:
        systems = ("federal", "state") if settled or state else ("federal",)
        extra += _depreciation(asset, key, group, systems)
        for who in systems:
            formula = (
                f"{deducted} + {key}_{who}_depreciation_usd"
                f" + last_month * {key}_{who}_basis_usd + {asset.end_value}"
            )
            label = f"Deducted, {who}: costs, depreciation, loss on the end value"
            extra.append(_deduction(f"{key}_{who}_deducted_usd", label, formula, group, who))
        saved = f"{key}_federal_deducted_usd * tax_rate + {key}_state_deducted_usd * state_tax_net"
    net = "state_tax_net" if settled else STATE_NET
    rates = {"federal": "tax_rate", **({"state": net} if settled or state else {})}
    later = deferred.lines((*lines, *extra), key=key, rates=rates)
    if not settled:
        return (*lines, *extra, *later), inputs
    extra += [
        Line(
            f"{key}_tax_saved_usd", "Tax saved in the fiscal year so far", "USD", "calculation",
            f"prev * (1 - fiscal_year_first) + {saved}", group=group,
        ),
        Line(
            f"{key}_tax_usd", "Income tax (saving negative)", "USD", "cash",
            f"-fiscal_year_end * {key}_tax_saved_usd", "tax", group,
        ),
        *later,
    ]  # fmt: skip
    return (*lines, *extra), inputs


def deducted_key(key: str, *, asset: bool, who: str = "federal") -> str:
    """Line of an option's deductions, federal or state.

    Examples
    --------
    >>> deducted_key("own_h100_hq", asset=True)
    'own_h100_hq_federal_deducted_usd'
    """
    return f"{key}_{who}_deducted_usd" if asset else f"{key}_deducted_usd"


def deductions(lines: Iterable[Line]) -> dict[str, list[str]]:
    """Lines that the company's tax adds up, by the line that holds their sum."""
    made = [line for line in lines if line.kind == "tax"]
    state = [line for line in made if line.category == STATE_DEDUCTIONS]
    alone = {line.group for line in state}
    federal = [line for line in made if line.category == DEDUCTIONS]
    both = [line for line in federal if line.group not in alone]
    return {
        COMPANY_DEDUCTED: [line.key for line in federal],
        COMPANY_STATE_DEDUCTED: [line.key for line in (*both, *state)],
    }


def summed(keys: Sequence[str]) -> str:
    """Formula of the sum of lines."""
    return " + ".join(keys) or "0"


def company_lines(terms: TaxTerms, lines: Iterable[Line]) -> Rows:
    """Tax of all options together, for losses that are not used at once: last in a ledger.

    `lines` are those of every option, with their deductions. Tax is the company's with the plan
    less that without it.
    """
    assert terms.other_income_usd_per_year is not None
    assert terms.losses_carried is not None
    inputs = (
        terms.other_income_usd_per_year.as_input(
            "other_income_usd_per_year", "Other taxable income of the company", "USD/year"
        ),
        terms.losses_carried.as_input(
            "losses_carried", "Losses: 1 carried forward, 0 lost", "flag"
        ),
    )
    made = {total: summed(keys) for total, keys in deductions(lines).items()}
    so_far = "prev * (1 - fiscal_year_first) + other_income_usd_per_year / 12"
    income = _company(
        "year_income", "Other income of the fiscal year so far", "calculation", so_far
    )
    if not has_state(terms):
        federal = _used("", "", made[COMPANY_DEDUCTED], "company_year_income_usd")
        losses = deferred.of_losses(COMPANY, {"company_losses_usd": "tax_rate"})
        return (income, *federal, _company_tax(""), *losses), inputs
    found = (
        income,
        *_used("state_", ", state", made[COMPANY_STATE_DEDUCTED], "company_year_income_usd"),
        _company("federal_income", "Income less state tax of the fiscal year", "calculation",
                 "company_year_income_usd * (1 - state_tax_rate)"
                 " + company_state_used_usd * state_tax_rate"),
        *_used("", ", federal", made[COMPANY_DEDUCTED], "company_federal_income_usd"),
        _company_tax(f" - company_state_used_usd * {STATE_NET}"),
        *deferred.of_losses(
            COMPANY, {"company_losses_usd": "tax_rate", "company_state_losses_usd": STATE_NET}
        ),
    )  # fmt: skip
    return found, inputs


def _used(prefix: str, who: str, made: str, income: str) -> list[Line]:
    """What is deducted, waits, and is used against an income, of one tax."""
    name = f"company_{prefix}"
    return [
        _company(f"{prefix}deducted", f"Deducted by all options{who}", "tax", made),
        _company(f"{prefix}year_deducted", f"Deducted in the fiscal year so far{who}",
                 "calculation", f"prev * (1 - fiscal_year_first) + {name}deducted_usd"),
        _company(f"{prefix}losses", f"Losses waiting at month end{who}", "calculation",
                 f"max(prev + fiscal_year_end * ({name}year_deducted_usd - {income}), 0)"),
        _company(f"{prefix}used", f"Deductions used against income{who}", "calculation",
                 f"min(fiscal_year_end * {name}year_deducted_usd"
                 f" + losses_carried * in_horizon * lag({name}losses_usd, 1),"
                 f" fiscal_year_end * {income})"),
    ]  # fmt: skip


def _company_tax(of_state: str) -> Line:
    formula = f"-company_used_usd * tax_rate{of_state}"
    return _company("tax", "Income tax (saving negative)", "cash", formula, category="tax")


def _company(name: str, label: str, kind: Kind, formula: str, category: str = "") -> Line:
    return Line(f"company_{name}_usd", label, "USD", kind, formula, category, COMPANY)


def deductions_used(
    deducted: Array, income: Array, *, in_horizon: NDArray[np.bool_], carried: bool
) -> Array:
    """Deductions that find income at each settlement of tax [USD], shape (settlements,).

    The same as row `company_used_usd` for amounts by settlement in order of time.

    Examples
    --------
    15 of the first year's 25 wait; the second year has room for 6 of them, the third for none.

    >>> deductions_used(np.array([25.0, 4.0, 30.0]), np.array([10.0, 10.0, 10.0]),
    ...                 in_horizon=np.array([True, True, True]), carried=True).tolist()
    [10.0, 10.0, 10.0]
    >>> deductions_used(np.array([25.0, 4.0]), np.array([10.0, 10.0]),
    ...                 in_horizon=np.array([True, True]), carried=False).tolist()
    [10.0, 4.0]
    """
    used, waiting = np.zeros(len(deducted)), 0.0
    for y, (amount, earned) in enumerate(zip(deducted, income, strict=True)):
        usable = amount + (waiting if carried and in_horizon[y] else 0.0)
        used[y] = min(usable, earned)
        waiting = max(waiting + amount - earned, 0.0)
    return used


def federal_income(income: Array, used_in_state: Array, *, state_rate: float) -> Array:
    """Income less the state tax on it, which the deductions used in the state lower [USD].

    Examples
    --------
    10 % of state tax on 100 less 40 used is 6.

    >>> federal_income(np.array([100.0]), np.array([40.0]), state_rate=0.1).tolist()
    [94.0]
    """
    return np.asarray(income - state_rate * (income - used_in_state), float)


def _deduction(key: str, label: str, formula: str, group: str, who: str = "federal") -> Line:
    category = DEDUCTIONS if who == "federal" else STATE_DEDUCTIONS
    return Line(key, label, "USD", "tax", formula, category, group)


def _depreciation(asset: Asset, key: str, group: str, systems: Sequence[str]) -> list[Line]:
    bonus, regular, of_bonus = (
        f"{key}_{name}_usd" for name in ("bonus", "regular", "regular_of_bonus")
    )
    found = [
        Line(
            bonus, "Bonus depreciation where allowed", "USD", "calculation",
            f"{asset.placed} * lag(bonus_share, {asset.lead_months})", group=group,
        ),
        Line(
            regular, "Depreciation by the method alone", "USD", "calculation",
            _by_tax_year(asset.placed), group=group,
        ),
        Line(
            of_bonus, "Part of it that the bonus replaces", "USD", "calculation",
            _by_tax_year(bonus), group=group,
        ),
    ]  # fmt: skip
    formulas = {
        "federal": f"{bonus} + {regular} - {of_bonus}",
        "state": f"{regular} + state_bonus_conforms * ({bonus} - {of_bonus})",
    }
    for who in systems:
        depreciated = f"{key}_{who}_depreciation_usd"
        found += [
            Line(
                depreciated, f"Tax depreciation, {who}", "USD", "tax", formulas[who],
                "depreciation", group,
            ),
            Line(
                f"{key}_{who}_basis_usd", f"Tax basis left, {who}, orders under way included",
                "USD", "calculation", f"(prev + {asset.orders} - {depreciated}) * in_horizon",
                f"{who} basis", group,
            ),
        ]  # fmt: skip
    return found


def _by_tax_year(row: str) -> str:
    """What is deducted in a month of everything in the row, within the horizon."""
    terms = [f"{row} * tax_share_1"]
    for year in range(2, TAX_YEARS + 1):
        terms.append(f"lag({row}, {whole_years(year - 1)}) * tax_share_{year}")
    return f"({' + '.join(terms)}) * in_horizon"
