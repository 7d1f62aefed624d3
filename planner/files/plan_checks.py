"""Whether a plan that was read is whole: its parts fit together and its ledger gives its cost.

A plan is a file that people keep, send and open in editors. What does not fit is said here, before
a report is half made of it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import numpy as np

from planner.finance import ledger, unit
from planner.finance.calendar import calendar_quantities
from planner.finance.reach import months_beyond
from planner.result import Plan

NPV_REL = 1e-6
"""By which a plan's cost may differ from its ledger's, as when it was solved."""


def contradictions(plan: Plan) -> list[str]:
    """What is wrong with a plan, each with its path; empty where it is whole."""
    found = [*_calendar(plan), *_shapes(plan), *_parts(plan), *_ledger(plan)]
    return found or list(_cost(plan))


def _calendar(plan: Plan) -> Iterator[str]:
    if not plan.periods:
        yield "periods: none; a plan has at least one"
    if not isinstance(plan.scenario.get("horizon"), dict) or not plan.scenario["horizon"].get(
        "start"
    ):
        yield "scenario.horizon.start: missing"


def _shapes(plan: Plan) -> Iterator[str]:
    """Lists by period, and by period and block, that have another length."""
    periods, blocks = len(plan.periods), len(plan.blocks)
    rows: list[tuple[str, list[float]]] = []
    tables: list[tuple[str, list[list[float]]]] = []
    for n, row in enumerate(plan.fleet):
        rows += [(f"fleet[{n}].lots_ordered", row.lots_ordered),
                 (f"fleet[{n}].lots_in_service", row.lots_in_service)]  # fmt: skip
        tables.append((f"fleet[{n}].lots_by_block", row.lots_by_block))
    for n, pool in enumerate(plan.pools):
        rows.append((f"pools[{n}].replicas_peak", pool.replicas_peak))
        tables += [(f"pools[{n}].replicas", pool.replicas),
                   (f"pools[{n}].served_frac", pool.served_frac)]  # fmt: skip
    for n, api in enumerate(plan.apis):
        tables.append((f"apis[{n}].served_frac", api.served_frac))
    for path, values in rows:
        if len(values) != periods:
            yield f"{path}: {len(values)} values for {periods} periods"
    for path, table in tables:
        if len(table) != periods or any(len(values) != blocks for values in table):
            yield f"{path}: not {periods} periods of {blocks} blocks"


def _parts(plan: Plan) -> Iterator[str]:
    """Parts of shared pools that name no part, or one that does not name them."""
    rows = {(pool.site, pool.candidate): {pool.candidate, *pool.shared_with} for pool in plan.pools}
    for n, pool in enumerate(plan.pools):
        for other in pool.shared_with:
            if rows.get((pool.site, other)) != rows[pool.site, pool.candidate]:
                yield f"pools[{n}].shared_with: {other} is no part of the same pool at {pool.site}"


def _ledger(plan: Plan) -> Iterator[str]:
    """Formulas outside the grammar, and names that nothing above them has."""
    above = {"prev", *ledger.SHIFTS, "pick", "min", "max", *(x.name for x in plan.ledger_inputs)}
    for n, row in enumerate(plan.ledger_lines):
        path = f"ledger_lines[{n}]"
        try:
            line = ledger.load([row])[0]
            tree = ast.Constant(0) if line.kind == "quantity" else ledger.parse(line.formula)
        except TypeError:
            yield f"{path}: expected the fields of a ledger line"
            continue
        except (SyntaxError, ValueError):
            yield f"{path}.formula: {row.get('formula')!r} is no formula of the ledger"
            continue
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        for name in sorted(names - above):
            yield f"{path}.formula: {name!r} is neither an input nor a line above {line.key!r}"
        above.add(line.key)
    for name in unit.WEIGHTS:
        if name not in above:
            yield f"ledger_lines: no line {name!r}"


def _cost(plan: Plan) -> Iterator[str]:
    """Whether the ledger's present value is the plan's."""
    found = _npv_usd(plan)
    if not np.isclose(found, plan.npv_usd, rtol=NPV_REL, atol=1.0):
        yield (
            f"npv_usd: {plan.npv_usd:,.2f}, but its own ledger gives {found:,.2f}; the file was "
            "edited: use --set to cost it again, or solve its scenario again"
        )


def _npv_usd(plan: Plan) -> float:
    lines = ledger.load(plan.ledger_lines)
    inputs = {row.name: row.value for row in plan.ledger_inputs}
    months = sum(period.months for period in plan.periods)
    longest = max((len(row) for row in plan.ledger_quantities.values()), default=0)
    total = max(months + months_beyond(lines, inputs), longest)
    when = plan.scenario["horizon"]
    calendar = calendar_quantities(
        str(when["start"]), months, total,
        fiscal_year_start_month=int(when.get("fiscal_year_start_month", 1)),
    )  # fmt: skip
    solved = {key: np.pad(row, (0, total - len(row))) for key, row in
              plan.ledger_quantities.items()}  # fmt: skip
    values = ledger.evaluate(lines, inputs, {**solved, **calendar}, total)
    return float(unit.npv_usd(lines, values))
