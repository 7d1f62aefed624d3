"""Ledger formulas as spreadsheet text: one pattern a row, so that every month reads the same."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from openpyxl.utils import get_column_letter

from planner.finance.ledger import called, parse

_SYMBOLS: dict[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "^",
}  # fmt: skip
_BINDING: dict[type[ast.operator], int] = {
    ast.Add: 1, ast.Sub: 1, ast.Mult: 2, ast.Div: 2, ast.Pow: 3,
}  # fmt: skip
_UNARY, _ATOM = 4, 5
_FUNCTIONS = {"pick": "CHOOSE", "min": "MIN", "max": "MAX"}


@dataclass(frozen=True)
class Grid:
    """Where the months, rows and inputs of a monthly sheet stand."""

    first_column: int
    """Column of the first month; the column left of it stays blank, so that prev of it is 0."""
    months: int
    month_row: int
    """Row that holds 1, 2, 3, ..."""
    rows: Mapping[str, int]
    """Row of each ledger line."""
    inputs: Mapping[str, str]
    """Absolute address or defined name of each input."""

    @property
    def last_column(self) -> int:
        """Column of the last month."""
        return self.first_column + self.months - 1

    def letters(self) -> list[tuple[str, str]]:
        """Column letters of each month and of the one before it."""
        columns = range(self.first_column, self.last_column + 1)
        return [(get_column_letter(c), get_column_letter(c - 1)) for c in columns]

    def span(self, row: int) -> str:
        """All months of a row, columns fixed."""
        first, last = get_column_letter(self.first_column), get_column_letter(self.last_column)
        return f"${first}{row}:${last}{row}"


def template(key: str, formula: str, grid: Grid) -> str:
    """Spreadsheet formula of a ledger line.

    {c} stands for this month's column, {p} for the one before.

    Examples
    --------
    >>> grid = Grid(7, 36, 5, {"month": 5, "buy": 9, "up": 10}, {"lead": "Inputs!$C$8"})
    >>> template("up", "prev + 12 * -buy / (1 + lead)", grid)
    '={p}10+12*(-{c}9)/(1+Inputs!$C$8)'
    >>> template("up", "lag(buy, lead)", grid)
    '=IF({c}$5>Inputs!$C$8,INDEX($G9:$AP9,1,{c}$5-Inputs!$C$8),0)'
    >>> template("up", "pick(lead, buy, max(buy, 0))", grid)
    '=CHOOSE(Inputs!$C$8,{c}9,MAX({c}9,0))'
    """
    return "=" + _text(parse(formula), key, grid)[0]


def _text(node: ast.expr, key: str, grid: Grid) -> tuple[str, int]:
    """Text and how tightly its outermost operator binds."""
    if isinstance(node, ast.BinOp):
        return _binary(node, key, grid)
    if isinstance(node, ast.UnaryOp):
        return "-" + _wrapped(node.operand, key, grid, _ATOM), _UNARY
    if isinstance(node, ast.Constant):
        return str(node.value), _ATOM
    if isinstance(node, ast.Call):
        return _call(node, key, grid), _ATOM
    assert isinstance(node, ast.Name)
    return _name(node.id, key, grid), _ATOM


def _binary(node: ast.BinOp, key: str, grid: Grid) -> tuple[str, int]:
    # Spreadsheets bind ^ from the left and a leading minus tighter than ^, Python does neither.
    binds = _BINDING[type(node.op)]
    power = isinstance(node.op, ast.Pow)
    left = _wrapped(node.left, key, grid, _ATOM if power else binds)
    right = _wrapped(node.right, key, grid, _ATOM if power else binds + 1)
    return f"{left}{_SYMBOLS[type(node.op)]}{right}", binds


def _wrapped(node: ast.expr, key: str, grid: Grid, least: int) -> str:
    text, binds = _text(node, key, grid)
    return f"({text})" if binds < least or binds == _UNARY else text


def _name(name: str, key: str, grid: Grid) -> str:
    if name == "prev":
        return f"{{p}}{grid.rows[key]}"
    if name in grid.rows:
        return f"{{c}}{grid.rows[name]}"
    return grid.inputs[name]


def _call(call: ast.Call, key: str, grid: Grid) -> str:
    name = called(call)
    if name in _FUNCTIONS:
        return f"{_FUNCTIONS[name]}({','.join(_text(a, key, grid)[0] for a in call.args)})"
    line, shift = call.args
    assert isinstance(line, ast.Name)
    month, span = f"{{c}}${grid.month_row}", grid.span(grid.rows[line.id])
    if name == "ahead":
        months = _wrapped(shift, key, grid, _BINDING[ast.Add])
        last = f"${get_column_letter(grid.last_column)}${grid.month_row}"
        return f"INDEX({span},1,MIN({month}+{months},{last}))"
    months, taken = _text(shift, key, grid)[0], _wrapped(shift, key, grid, _BINDING[ast.Mult])
    return f"IF({month}>{months},INDEX({span},1,{month}-{taken}),0)"
