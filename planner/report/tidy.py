"""The plan's monthly ledger as one long table for other programs: a row a line and month."""

from __future__ import annotations

import ast
import csv
import io
import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from planner.errors import ScenarioError
from planner.finance.ledger import Line, parse
from planner.report.ledger_view import View, view
from planner.result import Plan

if TYPE_CHECKING:
    import pandas as pd

_FORMULA_STARTS = ("=", "+", "-", "@")
"""First letters by which a spreadsheet takes a text for a formula."""
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")
SOLVED = "solved"
"""Basis of the optimizer's quantities, which no source states."""
_TEXTS = ("fiscal_year", "period", "group", "category", "line", "label", "unit", "kind", "basis")


def ledger_rows(plan: Plan) -> pd.DataFrame:
    """Every ledger line in every month.

    Returns
    -------
    month (first day), fiscal_year, period, group (what is paid for), category (of cash), line
    (key), label, unit, kind (calendar, quantity, calculation, cash), value, basis (of the inputs
    behind the line, directly or through other lines: quoted, estimated, ...; solved where it rests
    on the optimizer's quantities). Cost is positive; sums of `value` make sense over kind cash.
    """
    import pandas as pd  # noqa: PLC0415  (0.4 s that other formats need not wait)

    seen = view(plan)
    basis = _basis(seen, frozenset(plan.ledger_quantities))
    months = pd.DatetimeIndex(seen.dates)
    frames = [
        pd.DataFrame(
            {
                "month": months, "fiscal_year": seen.fiscal_years, "period": seen.periods,
                "group": line.group, "category": line.category, "line": line.key,
                "label": line.label, "unit": line.unit, "kind": line.kind,
                "value": seen.values[line.key] + 0.0, "basis": basis[line.key],
            }
        )
        for line in seen.lines
    ]  # fmt: skip
    # + 0.0 makes a zero of -0.0, which other programs would print.
    return pd.concat(frames, ignore_index=True)


def csv_bytes(plan: Plan) -> bytes:
    """UTF-8 without a byte order mark; months as 2027-01-01; no text is a formula."""
    table = ledger_rows(plan)
    table["month"] = table["month"].dt.strftime("%Y-%m-%d")
    for name in _TEXTS:
        table[name] = table[name].map(plain_text)
    out = io.StringIO()
    table.to_csv(out, index=False, lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    return out.getvalue().encode()


def parquet_bytes(plan: Plan) -> bytes:
    """The same with types: month a date, value a double, texts that repeat as dictionaries.

    Raises
    ------
    ScenarioError where pyarrow is not installed.
    """
    require_parquet("plan.parquet")
    import pandas as pd  # noqa: PLC0415

    table = ledger_rows(plan)
    table["month"] = table["month"].dt.date
    for name in _TEXTS:
        table[name] = pd.Categorical(table[name])
    out = io.BytesIO()
    table.to_parquet(out, engine="pyarrow", index=False)
    return out.getvalue()


def require_parquet(where: str) -> None:
    """Refuse early where Parquet cannot be written.

    Raises
    ------
    ScenarioError saying what to install.
    """
    if find_spec("pyarrow") is None:
        text = "Parquet needs pyarrow: pip install 'inference-fleet-planner[parquet]'; or use .csv"
        raise ScenarioError(where, [text])


def plain_text(text: str) -> str:
    """A text on one line that no spreadsheet takes for a formula: an apostrophe stands before it.

    Examples
    --------
    >>> plain_text("=cmd()"), plain_text("GB200 at hq")
    ("'=cmd()", 'GB200 at hq')
    """
    line = _CONTROLS.sub(" ", text)
    # Some programs drop blanks before they look at the first letter.
    return f"'{line}" if line.lstrip().startswith(_FORMULA_STARTS) else line


def _basis(seen: View, solved: frozenset[str]) -> dict[str, str]:
    """Basis of what each line rests on; lines stand in calculation order."""
    inputs = {row.name: row.basis for row in seen.inputs}
    found = dict.fromkeys(solved, frozenset({SOLVED}))
    for line in seen.lines:
        found.setdefault(line.key, _rests_on(line, inputs, found))
    return {line.key: ", ".join(sorted(found[line.key])) for line in seen.lines}


def _rests_on(
    line: Line, inputs: Mapping[str, str], above: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    if not line.formula:
        return frozenset()
    names = {node.id for node in ast.walk(parse(line.formula)) if isinstance(node, ast.Name)}
    direct = frozenset(inputs[name] for name in names if name in inputs)
    return direct.union(*(above[name] for name in names if name in above))
