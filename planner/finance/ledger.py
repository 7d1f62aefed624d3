"""The ledger: monthly rows written once as short formulas, read by three callers.

The optimizer's coefficient of a decision is the present value of one unit's rows, the plan's NPV
is the present value of all rows, and the workbook prints the same formulas into its cells.

A formula is a Python expression over names and numbers:

- a name is an input (one number) or another line (its value in the same month);
- ``prev`` is this line's own value one month earlier, 0 before the first month;
- ``lag(line, n)`` is the line n months earlier, 0 before the first month; ``ahead(line, n)`` the
  line n months later, in the last month at the latest; n is made of inputs and literals;
- ``pick(code, a, b, ...)`` is a where code is 1, b where it is 2, ...; ``min`` and ``max``;
- operators ``+ - * / **`` and the literals 0, 1, 12, 100;
- a formula with ``prev`` is affine in it, slope times ``prev`` plus a rest without it, or the
  ``min`` or ``max`` of such.

Lines stand in calculation order: a formula names only lines above its own. Cost is positive.

Three kinds of lines are money. Cash is what is paid. Profit and loss is every cash line that is
not `deferred`, in the month it is paid, and every book line (depreciation, amortization, loss on
disposal), which spread what deferred cash bought; over the whole life both add up to the same.
Tax lines are deductions, before the rate.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Kind = Literal["calendar", "quantity", "calculation", "cash", "book", "tax"]
LITERALS = frozenset({0, 1, 12, 100})


@dataclass(frozen=True)
class Input:
    """A number behind the rows, with its source."""

    name: str
    label: str
    unit: str
    value: float
    source: str
    as_of: str
    basis: str
    scenario_path: str = ""


@dataclass(frozen=True)
class Line:
    """One monthly row. `quantity` lines have no formula: the optimizer's result is their value."""

    key: str
    label: str
    unit: str
    kind: Kind
    formula: str = ""
    category: str = ""
    """Of cash lines: capex, energy, rent, ... ; reports add up by it. Of other lines what they are
    for the books, where they are it: orders, placed in service, net book value, depreciation,
    amortization, disposal, obligation, deductions, federal basis, state basis, deferred tax and
    its balances."""
    group: str = ""
    """What it belongs to: GB200 NVL72 at hq, owned."""
    deferred: bool = False
    """Cash that is no expense when paid: book lines recognize it over time."""


Rows = tuple[tuple[Line, ...], tuple[Input, ...]]
"""Lines and the inputs behind them."""


def evaluate(
    lines: Sequence[Line],
    inputs: Mapping[str, float],
    quantities: Mapping[str, ArrayLike],
    months: int,
) -> dict[str, Array]:
    """Every line's values, shape (..., months); leading axes broadcast from `quantities`.

    Raises
    ------
    ValueError : a formula that is outside the grammar, or names what is not above it.
    """
    values: dict[str, Array] = {}
    for line in lines:
        if line.kind == "quantity":
            given = np.asarray(quantities.get(line.key, 0.0), float)
            values[line.key] = np.broadcast_to(given, (*given.shape[:-1], months))
        else:
            values[line.key] = _row(line, inputs, values, months)
    return values


def _row(line: Line, inputs: Mapping[str, float], above: Mapping[str, Array], months: int) -> Array:
    tree = parse(line.formula)
    parts, name = [tree], "min"
    chosen = isinstance(tree, ast.Call) and called(tree) in ("min", "max")
    if isinstance(tree, ast.Call) and chosen and "prev" in _names(line.formula):
        parts, name = tree.args, called(tree)
    best = np.minimum if name == "min" else np.maximum
    pairs = [_affine(part, inputs, above) for part in parts]
    if all(slope is None for slope, _ in pairs):
        rest = pairs[0][1]
        return np.broadcast_to(rest, (*np.shape(rest)[:-1], months))
    known = [x for pair in pairs for x in pair if x is not None]
    shape = np.broadcast_shapes(*map(np.shape, known), (months,))
    slopes, rests = (
        [np.moveaxis(np.broadcast_to(0.0 if x is None else x, shape), -1, 0) for x in side]
        for side in zip(*pairs, strict=True)
    )
    value = best.reduce(rests).copy()
    for month in range(1, months):
        if len(parts) == 1:
            value[month] += slopes[0][month] * value[month - 1]
            continue
        value[month] = best.reduce(
            [
                rest[month] + slope[month] * value[month - 1]
                for slope, rest in zip(slopes, rests, strict=True)
            ]
        )
    return np.moveaxis(value, 0, -1)


@cache
def parse(formula: str) -> ast.expr:
    """Syntax tree of a formula; only the grammar of this module passes."""
    tree = ast.parse(formula, mode="eval").body
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            raise ValueError(f"{formula!r}: {type(node).__name__} is outside the ledger's grammar")
        if isinstance(node, ast.Constant) and node.value not in LITERALS:
            raise ValueError(f"{formula!r}: literal {node.value!r}; make it an input")
        if isinstance(node, ast.Call):
            _check_call(formula, node)
    return tree


def _check_call(formula: str, call: ast.Call) -> None:
    name, given = called(call), call.args
    if name in SHIFTS:
        right = len(given) == 2 and isinstance(given[0], ast.Name) and not call.keywords
    else:
        right = name in _CHOICES and len(given) >= 2 and not call.keywords
    if not right:
        raise ValueError(
            f"{formula!r}: only lag(line, months), ahead(line, months), pick(code, a, b, ...), "
            "min and max may be called"
        )


def called(call: ast.Call) -> str:
    """Name of the function that a formula calls."""
    return call.func.id if isinstance(call.func, ast.Name) else ""


SHIFTS = frozenset({"lag", "ahead"})
_CHOICES = frozenset({"pick", "min", "max"})
_ALLOWED = (
    ast.BinOp, ast.UnaryOp, ast.USub, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow,
    ast.Name, ast.Load, ast.Constant, ast.Call,
)  # fmt: skip
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
}


def _affine(
    node: ast.expr, inputs: Mapping[str, float], above: Mapping[str, Array]
) -> tuple[Any, Any]:
    """Slope and rest of a formula as a function of `prev`; slope None where it has no `prev`."""
    if isinstance(node, ast.BinOp):
        left = _affine(node.left, inputs, above)
        return _combined(type(node.op), left, _affine(node.right, inputs, above))
    if isinstance(node, ast.UnaryOp):
        slope, rest = _affine(node.operand, inputs, above)
        return None if slope is None else -slope, -rest
    if isinstance(node, ast.Name) and node.id == "prev":
        return 1.0, 0.0
    return None, _leaf(node, inputs, above)


def _combined(
    operator: type[ast.operator], left: tuple[Any, Any], right: tuple[Any, Any]
) -> tuple[Any, Any]:
    apply = _OPERATORS[operator]
    (a, x), (b, y) = left, right
    if a is None and b is None:
        return None, apply(x, y)
    if operator in (ast.Add, ast.Sub):
        return apply(0.0 if a is None else a, 0.0 if b is None else b), apply(x, y)
    if operator in (ast.Mult, ast.Div) and b is None:
        return apply(a, y), apply(x, y)
    if operator is ast.Mult and a is None:
        return x * b, x * y
    raise ValueError("a formula must be affine in prev: no power of it, nothing divided by it")


def _leaf(node: ast.expr, inputs: Mapping[str, float], above: Mapping[str, Array]) -> Any:
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.Call):
        return _call(node, inputs, above)
    assert isinstance(node, ast.Name)
    if node.id in above:
        return above[node.id]
    if node.id in inputs:
        return inputs[node.id]
    raise ValueError(f"{node.id!r} is neither an input nor a line above")


def _call(call: ast.Call, inputs: Mapping[str, float], above: Mapping[str, Array]) -> Any:
    name = called(call)
    if name in SHIFTS:
        line, months = call.args
        assert isinstance(line, ast.Name)
        shift = _shifted if name == "ahead" else _lagged
        return shift(above[line.id], round(number(months, inputs)))
    values = [_plain(argument, inputs, above) for argument in call.args]
    if name == "pick":
        return _picked(values[0], values[1:])
    smaller = np.minimum if name == "min" else np.maximum
    return smaller.reduce(np.broadcast_arrays(*values))


def number(node: ast.expr, inputs: Mapping[str, float]) -> float:
    """Value of an expression of inputs and literals alone."""
    return float(_plain(node, inputs, {}))


def _plain(node: ast.expr, inputs: Mapping[str, float], above: Mapping[str, Array]) -> Any:
    slope, rest = _affine(node, inputs, above)
    if slope is not None:
        raise ValueError("a formula must be affine in prev: it is no argument of a function")
    return rest


def _picked(code: Any, choices: Sequence[Any]) -> Any:
    """The choice that a code, 1 for the first, names; month by month where it is a row."""
    at = np.round(code).astype(np.int64) - 1
    if at.min() < 0 or at.max() >= len(choices):
        raise ValueError(f"a code is 1 to {len(choices)}, not {np.min(code):g} to {np.max(code):g}")
    if at.ndim == 0:
        return choices[int(at)]
    return np.choose(at, choices)


def _lagged(row: Array, months: int) -> Array:
    if months == 0:
        return row
    late = np.zeros_like(row)
    late[..., months:] = row[..., :-months]
    return late


def _shifted(row: Array, months: int) -> Array:
    count = row.shape[-1]
    return np.asarray(row[..., np.clip(np.arange(count) + months, 0, count - 1)], float)


def whole_years(count: int) -> str:
    """Months of whole years, in the literals of the grammar.

    Examples
    --------
    >>> whole_years(2), whole_years(0)
    ('12 + 12', '0')
    """
    return " + ".join(["12"] * count) or "0"


def behind(lines: Sequence[Line], wanted: Collection[str]) -> tuple[Line, ...]:
    """The wanted lines and those that they rest on, in their order.

    Examples
    --------
    >>> rows = [Line("n", "", "", "quantity"), Line("a", "", "", "cash", "n * 12"),
    ...         Line("b", "", "", "book", "a + n")]
    >>> [line.key for line in behind(rows, {"a"})]
    ['n', 'a']
    """
    needed, found = set(wanted), []
    for line in reversed(lines):
        if line.key in needed:
            found.append(line)
            needed |= _names(line.formula)
    return tuple(reversed(found))


@cache
def _names(formula: str) -> frozenset[str]:
    tree = parse(formula) if formula else ast.Constant(0)
    return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def cash(lines: Sequence[Line], values: Mapping[str, Array]) -> Array:
    """Sum of the cash lines by month [USD], shape (..., months)."""
    rows = [values[line.key] for line in lines if line.kind == "cash"]
    return np.sum(np.broadcast_arrays(*rows), axis=0) if rows else np.zeros(1)


def present_value(cash_usd: Array, discount_factor: Array) -> Array:
    """Present value [USD] of monthly cash, shape (...)."""
    return np.asarray((cash_usd * discount_factor).sum(axis=-1), float)


def dump(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Lines as plain dictionaries, for the Plan."""
    return [asdict(line) for line in lines]


def load(rows: Sequence[Mapping[str, Any]]) -> tuple[Line, ...]:
    """Lines back from `dump`."""
    return tuple(Line(**row) for row in rows)
