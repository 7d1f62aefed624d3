"""Cost bridge: what turns one plan's net present cost into another's, step by step.

The order is fixed, since effects that meet depend on it: prices and rates first, then how costs
are counted, then demand, then the fleet.

1. Prices and rates: the first plan's fleet, figures of one family after the other set to the
   second plan's. Figures that only one plan has stay: they belong to machines that only it uses.
2. Rules: cash rows that the second plan counts in another way for the same machines, a tax say.
3. Demand: what each class costs grows with its tokens. A class pays its API fees and its share
   of the machines; one that only one plan serves goes or comes with all that it costs there.
4. Fleet and mix: what is left of each category of cash, since the second plan buys, rents and
   sends elsewhere.

Each step is the present value after it less that before it, so they sum to the difference.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from planner.finance import ledger
from planner.finance.ledger import Line
from planner.finance.offers import api_key
from planner.report.ledger_view import CAPEX, View, category_of, view
from planner.result import ClassCost, LedgerInput, Plan

Cause = Literal["price", "rules", "demand", "fleet"]
DISCOUNTING, OTHER = "discounting", "other figures"
DELIVERY, TAX = "delivery times and terms", "tax"
FAMILY_OF = {
    "capex": "purchase prices",
    "commitments": "rental prices",
    "on demand": "rental prices",
    "api": "API prices",
    "energy": "energy and power",
    "rent": "site rent",
    "maintenance": "maintenance, insurance, support",
    "insurance": "maintenance, insurance, support",
    "support": "maintenance, insurance, support",
    "end value": "end value",
}
"""Family of a figure by the first of these categories that it moves; another category is its own.

A price moves maintenance and end value too, so the order matters; tax moves with everything, so
its own figures are those that move nothing else.
"""
ROUNDING = 1e-13
"""Of sums of cash: what is smaller is no step."""
ORDER = (DISCOUNTING, *dict.fromkeys(FAMILY_OF.values()), DELIVERY, TAX)
"""Families in the order in which they are set to the second plan's; unknown ones follow."""


@dataclass(frozen=True)
class Step:
    """One bar of the bridge."""

    cause: Cause
    what: str
    """discount rate and tail; demand of chat; fleet: capex."""
    usd: float
    """Change of net present cost; positive costs more."""
    note: str = ""
    """Which figures, with both values."""


@dataclass(frozen=True)
class Bridge:
    """From one net present cost to another."""

    start_usd: float
    end_usd: float
    steps: tuple[Step, ...]

    @property
    def left_usd(self) -> float:
        """End less start less all steps: zero but for rounding of the sums."""
        return self.end_usd - self.start_usd - sum(step.usd for step in self.steps)

    def by_cause(self) -> dict[Cause, float]:
        """Sums of the steps."""
        causes: tuple[Cause, ...] = ("price", "rules", "demand", "fleet")
        return {
            cause: sum(step.usd for step in self.steps if step.cause == cause) for cause in causes
        }


def bridge(first: Plan, second: Plan) -> Bridge:
    """Bridge between plans of the same months and currency."""
    moved, prices = _priced(first, second)
    ruled = _with_rules(moved, second)
    before, after, end = view(moved), view(ruled), view(second)
    steps = [*prices]
    if rules := after.npv_usd - before.npv_usd:
        steps.append(Step("rules", "cash rows counted in another way", rules))
    scaled, demand = _demand(ruled, first, second)
    steps += demand
    steps += _fleet(scaled, end)
    return Bridge(view(first).npv_usd, end.npv_usd, tuple(steps))


def _priced(first: Plan, second: Plan) -> tuple[Plan, list[Step]]:
    """The first plan at the second's figures, and what each family of them does."""
    theirs = {row.name: row for row in second.ledger_inputs}
    families = families_of(first)
    changed: dict[str, list[LedgerInput]] = {}
    for row in first.ledger_inputs:
        other = theirs.get(row.name)
        if other is not None and other.value != row.value:
            changed.setdefault(families[row.name], []).append(row)
    steps, before = [], view(first).npv_usd
    for family in sorted(changed, key=_place):
        rows = changed[family]
        names = {row.name: theirs[row.name].value for row in rows}
        first = first.model_copy(update={"ledger_inputs": _set(first, names)})
        now = view(first).npv_usd
        note = "; ".join(
            f"{row.label} {row.value:,.9g} -> {names[row.name]:,.9g} {row.unit}" for row in rows
        )
        if now != before:
            steps.append(Step("price", family, now - before, note))
        before = now
    return first, steps


def _place(family: str) -> tuple[int, str]:
    return (ORDER.index(family) if family in ORDER else len(ORDER), family)


def _set(plan: Plan, values: Mapping[str, float]) -> list[LedgerInput]:
    return [
        row.model_copy(update={"value": values[row.name]}) if row.name in values else row
        for row in plan.ledger_inputs
    ]


def families_of(plan: Plan) -> dict[str, str]:
    """Family of every figure behind the plan's cash: by the cash that it moves."""
    moved = _categories_moved(ledger.load(plan.ledger_lines))
    return {row.name: _family(row, moved.get(row.name, frozenset())) for row in plan.ledger_inputs}


def _family(row: LedgerInput, categories: frozenset[str]) -> str:
    if DISCOUNTING in categories:
        return DISCOUNTING
    if row.unit == "months":
        return DELIVERY
    for category, family in FAMILY_OF.items():
        if category in categories:
            return family
    return min(categories - {TAX}, default=TAX if TAX in categories else OTHER)


def _categories_moved(lines: tuple[Line, ...]) -> dict[str, frozenset[str]]:
    """Categories of cash that follow from each name, directly or through other lines."""
    users: dict[str, list[Line]] = {}
    for line in lines:
        for name in names_in(line):
            users.setdefault(name, []).append(line)
    found: dict[str, frozenset[str]] = {}
    for line in reversed(lines):
        mine = {category_of(line)} if line.kind == "cash" else set()
        if line.key in ("discount_factor", "counted"):
            mine.add(DISCOUNTING)
        found[line.key] = frozenset(mine).union(
            *(found[user.key] for user in users.get(line.key, ()))
        )
    for name in users.keys() - found.keys():
        found[name] = frozenset().union(*(found[user.key] for user in users[name]))
    return found


def names_in(line: Line) -> frozenset[str]:
    """Inputs and lines that a line's formula names, but not itself."""
    if not line.formula:
        return frozenset()
    tree = ast.walk(ledger.parse(line.formula))
    names = {node.id for node in tree if isinstance(node, ast.Name)}
    return frozenset(names - {"prev", "lag", line.key})


def _with_rules(moved: Plan, second: Plan) -> Plan:
    """The same fleet with the second plan's lines for machines that both have.

    Lines of machines that only the first has stay; of shared ones, cash that the second plan does
    not count is no cash any more.
    """
    theirs = ledger.load(second.ledger_lines)
    keys, groups = {line.key for line in theirs}, {line.group for line in theirs}
    kept = [
        {**row, "kind": "calculation"} if row["kind"] == "cash" and row["group"] in groups else row
        for row in moved.ledger_lines
        if row["key"] not in keys
    ]
    names = {row.name for row in moved.ledger_inputs}
    extra = [row for row in second.ledger_inputs if row.name not in names]
    return moved.model_copy(
        update={
            "ledger_lines": [*second.ledger_lines, *kept],
            "ledger_inputs": [*moved.ledger_inputs, *extra],
        }
    )


def _demand(moved: Plan, first: Plan, second: Plan) -> tuple[dict[str, float], list[Step]]:
    """Cost after the change of demand by category, and the steps that lead there."""
    theirs = {row.demand_class: _mtokens(row) for row in second.class_costs}
    shares, after = machine_shares(first), view(moved)
    scaled, steps = _by_category(after), []
    for row in first.class_costs:
        old, new = _mtokens(row), theirs.get(row.demand_class, 0.0)
        if not old or new == old:
            continue
        growth = new / old - 1
        added = _times(_parts(moved, after, row.demand_class, shares), growth)
        _join(scaled, added)
        gone = "" if row.demand_class in theirs else ": no longer served"
        note = f"{old:,.0f} -> {new:,.0f} million tokens, at the first plan's cost of a token"
        what = f"demand of {row.demand_class}{gone}"
        steps.append(Step("demand", what, sum(added.values()), note))
    steps += _new_classes(first, second, scaled)
    return scaled, steps


def _new_classes(first: Plan, second: Plan, scaled: dict[str, float]) -> Iterator[Step]:
    """Classes that only the second plan serves, at what they cost there; joins `scaled`."""
    known = {row.demand_class for row in first.class_costs}
    shares, end = machine_shares(second), view(second)
    for row in second.class_costs:
        if row.demand_class not in known:
            added = _parts(second, end, row.demand_class, shares)
            _join(scaled, added)
            what = f"demand of {row.demand_class}: new"
            yield Step("demand", what, sum(added.values()), "at its cost in the second plan")


def _mtokens(row: ClassCost) -> float:
    return row.input_mtokens + row.output_mtokens


def machine_shares(plan: Plan) -> dict[str, float]:
    """Share of each class in everything but API fees, which each class pays itself."""
    seen = view(plan)
    rest = {
        row.demand_class: max(row.npv_usd - sum(_own(plan, seen, row.demand_class).values()), 0.0)
        for row in plan.class_costs
    }
    whole = sum(rest.values())
    return {name: usd / whole if whole else 1 / len(rest) for name, usd in rest.items()}


def _parts(plan: Plan, seen: View, name: str, shares: Mapping[str, float]) -> dict[str, float]:
    """Present value of one class by category: its API fees and its share of the rest."""
    rest = _by_category(seen)
    for row in plan.class_costs:
        _join(rest, _times(_own(plan, seen, row.demand_class), -1.0))
    parts = _times(rest, shares[name])
    _join(parts, _own(plan, seen, name))
    return parts


def _own(plan: Plan, seen: View, name: str) -> dict[str, float]:
    """Present value by category of the APIs that serve one class."""
    counted = {
        f"{api_key(f'{row.demand_class}-{row.provider}-{row.product}')}_input_mtokens"
        for row in plan.apis
        if row.demand_class == name
    }
    groups = {line.group for line in seen.lines if line.key in counted}
    found: dict[str, float] = {}
    for line in seen.cash_lines:
        if line.group in groups:
            usd = float((seen.values[line.key] * seen.weight).sum())
            _join(found, {category_of(line): usd})
    return found


def _times(parts: Mapping[str, float], factor: float) -> dict[str, float]:
    return {category: usd * factor for category, usd in parts.items()}


def _join(parts: dict[str, float], more: Mapping[str, float]) -> None:
    for category, usd in more.items():
        parts[category] = parts.get(category, 0.0) + usd


def _fleet(scaled: Mapping[str, float], end: View) -> Iterator[Step]:
    """What is left of each category."""
    final = _by_category(end)
    whole = sum(abs(usd) for usd in (*final.values(), *scaled.values()))
    for category in dict.fromkeys((*final, *scaled)):
        left = final.get(category, 0.0) - scaled.get(category, 0.0)
        if abs(left) > ROUNDING * whole:
            name = "purchases" if category == CAPEX else category
            yield Step("fleet", f"fleet and mix: {name}", left)


def _by_category(seen: View) -> dict[str, float]:
    """Present value by category."""
    return {
        category: float((seen.category_usd(category) * seen.weight).sum())
        for category in seen.categories
    }
