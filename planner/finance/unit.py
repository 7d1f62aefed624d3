"""Present value of one unit of each option by period: the optimizer's objective coefficients.

The rows of an option are evaluated with the identity as quantity, one row a period, so that the
coefficient of a decision and the cash that reports print for it come from the same formulas.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from planner.finance import ledger
from planner.finance.ledger import Input, Line

Array = NDArray[np.float64]
WEIGHTS = ("discount_factor", "counted")
"""Lines by which cash enters the present value."""


def input_values(inputs: Sequence[Input]) -> dict[str, float]:
    """Inputs as the ledger's `evaluate` takes them."""
    return {given.name: given.value for given in inputs}


def monthly_orders(*, periods: int, period_months: int, total_months: int) -> Array:
    """One order in the first month of each period, shape (periods, total_months).

    Quantities by month are quantities by period @ this matrix.

    Examples
    --------
    >>> monthly_orders(periods=2, period_months=3, total_months=7)
    array([[1., 0., 0., 0., 0., 0., 0.],
           [0., 0., 0., 1., 0., 0., 0.]])
    """
    placed = np.zeros((periods, total_months))
    placed[np.arange(periods), np.arange(periods) * period_months] = 1.0
    return placed


def monthly_spread(*, periods: int, period_months: int, hours: Array) -> Array:
    """Share of each period's hours in each month, shape (periods, total_months); rows sum to 1.

    `hours` are the calendar hours of every month (total_months,); for use that is even over a
    period: lot-hours, tokens, energy.

    Examples
    --------
    >>> monthly_spread(periods=1, period_months=2, hours=np.array([744.0, 672.0, 744.0])) * 1416
    array([[744., 672.,   0.]])
    """
    blocks = np.kron(np.eye(periods), np.ones(period_months))
    spread = np.zeros((periods, len(hours)))
    spread[:, : blocks.shape[1]] = blocks * hours[: blocks.shape[1]]
    return np.asarray(spread / spread.sum(axis=1, keepdims=True), float)


def unit_values(
    lines: Sequence[Line],
    inputs: Mapping[str, float],
    *,
    quantity_key: str,
    by_month: Array,
    calendar: Mapping[str, Array],
    more: Collection[str] = (),
) -> dict[str, Array]:
    """Lines for one unit a period, shape (periods, months); all other quantities are 0.

    Only those behind cash, its weight and `more`: the books' rows cost time and no present value.

    Raises
    ------
    ValueError : no quantity line of that name, so that nothing would be measured.
    """
    if not any(line.key == quantity_key and line.kind == "quantity" for line in lines):
        raise ValueError(f"{quantity_key!r} is no quantity line of this ledger")
    quantities = {**calendar, quantity_key: by_month}
    paid = {line.key for line in lines if line.kind == "cash"}
    wanted = {*paid, *WEIGHTS, *more}
    return ledger.evaluate(ledger.behind(lines, wanted), inputs, quantities, by_month.shape[-1])


def common_values(
    lines: Sequence[Line], inputs: Sequence[Input], calendar: Mapping[str, Array]
) -> dict[str, Array]:
    """Lines that belong to no option, shape (months,)."""
    return ledger.evaluate(lines, input_values(inputs), calendar, calendar["hours"].shape[-1])


def weight(values: Mapping[str, Array]) -> Array:
    """Discount factor x share of cash that counts, shape (months,)."""
    return np.asarray(values["discount_factor"] * values["counted"], float)


def npv_usd(lines: Sequence[Line], values: Mapping[str, Array]) -> Array:
    """Net present cost of evaluated lines [USD], shape (...)."""
    return ledger.present_value(ledger.cash(lines, values), weight(values))


def unit_npv(
    lines: Sequence[Line],
    inputs: Mapping[str, float],
    *,
    quantity_key: str,
    by_month: Array,
    calendar: Mapping[str, Array],
) -> Array:
    """Net present cost of one unit in each period [USD], shape (periods,).

    Parameters
    ----------
    lines, inputs : common lines and those of one option; `assemble` joins them.
    quantity_key : the decision's quantity line.
    by_month : (periods, total months): `monthly_orders` or `monthly_spread`.
    calendar : `calendar.calendar_quantities` over the same months.
    """
    values = unit_values(
        lines, inputs, quantity_key=quantity_key, by_month=by_month, calendar=calendar
    )
    return np.broadcast_to(npv_usd(lines, values), by_month.shape[:-1])


def unit_cash(
    lines: Sequence[Line],
    inputs: Mapping[str, float],
    *,
    quantity_key: str,
    by_month: Array,
    calendar: Mapping[str, Array],
    category: str,
) -> Array:
    """Undiscounted cash of one unit in one category [USD], shape (periods,): capex for budgets."""
    values = unit_values(
        lines, inputs, quantity_key=quantity_key, by_month=by_month, calendar=calendar
    )
    chosen = [line for line in lines if line.kind == "cash" and line.category == category]
    total = ledger.cash(chosen, values).sum(axis=-1)
    return np.broadcast_to(np.asarray(total, float), by_month.shape[:-1])
