"""How far past the horizon a ledger's rows can reach, read off its formulas."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from planner.finance import ledger
from planner.finance.ledger import Line

BOUNDS = frozenset({"in_horizon", "last_month"})
"""A product with one of these is 0 beyond the horizon."""


def months_beyond(lines: Sequence[Line], inputs: Mapping[str, float]) -> int:
    """Months after the horizon in which any cash can fall, for quantities within it.

    Examples
    --------
    >>> rows = (Line("signed", "Signed", "nodes", "quantity"),
    ...         Line("paid", "Paid", "USD", "cash", "prev + signed - lag(signed, term)"))
    >>> months_beyond(rows, {"term": 12.0})
    12
    """
    reach: dict[str, int] = {}
    for line in lines:
        tree = None if line.kind == "quantity" else ledger.parse(line.formula)
        reach[line.key] = 0 if tree is None or is_bounded(tree) else _reach(tree, reach, inputs)
    return max((reach[line.key] for line in lines if line.kind == "cash"), default=0)


def is_bounded(tree: ast.expr) -> bool:
    """Whether a formula is a product that is 0 beyond the horizon."""
    if isinstance(tree, ast.UnaryOp):
        return is_bounded(tree.operand)
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult):
        return is_bounded(tree.left) or is_bounded(tree.right)
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Div):
        return is_bounded(tree.left)
    return isinstance(tree, ast.Name) and tree.id in BOUNDS


def _reach(tree: ast.expr, above: Mapping[str, int], inputs: Mapping[str, float]) -> int:
    lagged = [
        above[call.args[0].id] + round(ledger.number(call.args[1], inputs))
        for call in lag_calls(tree)
        if isinstance(call.args[0], ast.Name)
    ]
    named = [above.get(n.id, 0) for n in ast.walk(tree) if isinstance(n, ast.Name)]
    return max([0, *lagged, *named])


def lag_calls(tree: ast.expr) -> Iterator[ast.Call]:
    """Calls of lag in a formula."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ledger.called(node) == "lag":
            yield node
