"""One driver at a time on the same fleet: what it moves, by how much, and where the plan loses.

A driver scales inputs of the ledger. Where every cash line moves in proportion to it, the net
present cost is a straight line in the driver and a workbook needs only its slope, the present
value that moves. The test is made on the ledger itself, so that no line has to be declared.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planner.finance import ledger
from planner.finance.ledger import Line
from planner.report.ledger_view import CAPEX, View, category_of
from planner.report.option_figures import OptionFigures
from planner.result import LedgerInput

LINEAR_REL = 1e-9
"""Of the present value: a bend below this is rounding."""
SHARE_NOISE = 1e-12
DISCOUNT = "discount_rate"


@dataclass(frozen=True)
class Driver:
    """Inputs that move together."""

    name: str
    label: str
    low: float
    """Change as a share of the inputs' values, or in points of the discount rate."""
    high: float
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Exposure:
    """What a driver moves in one fleet."""

    driver: Driver
    shares: Mapping[str, float]
    """Share of each cash line that is proportional to the driver."""
    linear: bool
    low_usd: float
    """Net present cost at the driver's low change."""
    high_usd: float
    slope_usd: float
    """Present value that is proportional to the driver."""


Chosen = Callable[[LedgerInput, View], bool]


def _unit(*units: str) -> Chosen:
    return lambda row, _: row.unit in units


def _named(*names: str) -> Chosen:
    return lambda row, _: row.name in names


def _buys(row: LedgerInput, view: View) -> bool:
    """Whether an input is a price of purchases: USD, and purchases are proportional to it."""
    return row.unit.split("/")[0] == "USD" and any(
        category_of(line) == CAPEX and _moves(line, row.name, view) for line in view.cash_lines
    )


def _moves(line: Line, name: str, view: View) -> bool:
    """Whether a line's formula reads an input, itself or through lines above it."""
    lines = {one.key: one for one in view.lines}
    seen, waiting = set(), [line.key]
    while waiting:
        key = waiting.pop()
        if key == name:
            return True
        if key in lines and key not in seen:
            seen.add(key)
            waiting += _names(lines[key].formula)
    return False


def _names(formula: str) -> list[str]:
    """Inputs and lines that a formula reads."""
    if not formula:
        return []
    return [node.id for node in ast.walk(ledger.parse(formula)) if isinstance(node, ast.Name)]


DRIVERS: tuple[tuple[str, str, float, float, Chosen], ...] = (
    (DISCOUNT, "Discount rate, points", -0.02, 0.02, _named(DISCOUNT)),
    ("capital", "Purchase prices", -0.2, 0.2, _buys),
    ("rental", "Rental prices, all terms", -0.2, 0.2, _unit("USD/GPU/h")),
    ("electricity", "Electricity price", -0.25, 0.25, _unit("USD/kWh")),
    ("rent", "Colocation rent", -0.2, 0.2, _unit("USD/kW/month")),
    ("api", "Per-token prices", -0.2, 0.2, _unit("USD/Mtoken")),
    ("residual", "End value of machines", -1.0, 0.5, _named("condition_frac")),
    ("tax", "Income tax rate, federal", -0.2, 0.2, _named("tax_rate")),
)
"""Name, label, low and high change, inputs: ranges are conventions, cells that one can change.
Residual to nothing, since used machines may find no buyer; two points are usual for the rate."""


def drivers(view: View) -> list[Driver]:
    """Drivers that this ledger has, with a value to change."""
    found = []
    for name, label, low, high, chosen in DRIVERS:
        inputs = tuple(row.name for row in view.inputs if row.value and chosen(row, view))
        if inputs:
            found.append(Driver(name, label, low, high, inputs))
    return found


def exposure(driver: Driver, figures: OptionFigures, shares: Mapping[str, float]) -> Exposure:
    """What a driver moves in the fleet of one option.

    Parameters
    ----------
    shares : of `line_shares`; empty for a driver that scales nothing.
    """
    view = figures.view
    low, high = (npv_at(view, driver, change) for change in (driver.low, driver.high))
    weight = view.weight
    slope = sum(
        shares.get(line.key, 0.0) * float((view.values[line.key] * weight).sum())
        for line in view.cash_lines
    )
    size = LINEAR_REL * max(abs(figures.npv_usd), 1.0)
    linear = all(
        abs(figures.npv_usd + change * slope - npv) <= size
        for change, npv in ((driver.low, low), (driver.high, high))
    )
    return Exposure(driver, shares, linear, low, high, slope)


def line_shares(driver: Driver, figures: Sequence[OptionFigures]) -> dict[str, float]:
    """Share of each cash line that is proportional to a driver, in the first fleet that uses it.

    0 for lines that no fleet uses.
    """
    doubled = [_changed(option.view, driver, 1.0) for option in figures]
    found = {}
    for line in figures[0].view.cash_lines:
        found[line.key] = 0.0
        for option, after in zip(figures, doubled, strict=True):
            weight = option.view.weight
            before = float((option.view.values[line.key] * weight).sum())
            if before:
                moved = float((after[line.key] * weight).sum()) - before
                found[line.key] = moved / before if abs(moved / before) > SHARE_NOISE else 0.0
                break
    return found


def npv_at(view: View, driver: Driver, change: float) -> float:
    """Net present cost of the same fleet with a driver changed [USD]."""
    values = _changed(view, driver, change)
    rows = [values[line.key] for line in view.cash_lines]
    weight = values["discount_factor"] * values["counted"]
    return float((np.sum(np.broadcast_arrays(*rows), axis=0) * weight).sum()) if rows else 0.0


def _changed(view: View, driver: Driver, change: float) -> dict[str, np.ndarray]:
    """Every line with a driver's inputs changed: points for the discount rate, else a share."""
    points = driver.name == DISCOUNT
    inputs = {row.name: row.value for row in view.inputs}
    for name in driver.inputs:
        inputs[name] = inputs[name] + change if points else inputs[name] * (1 + change)
    quantities = {line.key: view.values[line.key] for line in view.lines if line.kind == "quantity"}
    return ledger.evaluate(view.lines, inputs, quantities, view.months)


def break_even(plan: Exposure, other: Exposure, npv_usd: tuple[float, float]) -> float:
    """Change of a driver at which two fleets cost the same; inf if both move alike.

    Parameters
    ----------
    npv_usd : of the plan and of the other fleet.

    Examples
    --------
    The plan costs 100, 50 of it proportional; the other 120, 10 of it: at +50 % both cost 125.

    >>> driver = Driver("x", "x", -1, 1, ())
    >>> ours, theirs = (Exposure(driver, {}, True, 0, 0, slope) for slope in (50.0, 10.0))
    >>> break_even(ours, theirs, (100.0, 120.0))
    0.5
    """
    apart = plan.slope_usd - other.slope_usd
    if abs(apart) <= LINEAR_REL * max(abs(npv_usd[0]), abs(npv_usd[1]), 1.0):
        return float("inf")
    return (npv_usd[1] - npv_usd[0]) / apart
