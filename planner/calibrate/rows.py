"""Rows: fitted values as a calibration file, each with source, date, basis and its fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import yaml

from planner.calibrate.fit import fitted_on, group_of
from planner.calibrate.parameters import Parameter
from planner.calibrate.points import Point
from planner.perf.bands import FITTED, RULES
from planner.schema.catalog import Calibration

Row = dict[str, Any]
BAND_UNIT = "measured over predicted"
HEAD = """\
# Coefficients of the performance model (planner/perf/calibrated.py looks them up), its bands
# (planner/perf/bands.py) and how many points of each accelerator and model were fitted.
# Written by `planner calibrate fit`; rows that a fit does not move keep their source.
"""


def _plain(row: Calibration) -> Row:
    return row.model_dump(mode="json", exclude_none=True)


def _number(value: float) -> float:
    return float(f"{value:.4g}")


def fitted_rows(
    known: Mapping[str, Calibration],
    values: Mapping[str, float],
    parameters: Sequence[Parameter],
    *,
    source: str,
    rows: int,
    spread: float,
    today: date,
) -> dict[str, Row]:
    """All coefficients; those that moved carry the fit that moved them.

    Parameters
    ----------
    known : rows of the catalog.
    values : of `fit.fit`.
    source : what was fitted.
    rows : points that were fitted.
    spread : half the distance of the 16 % and 84 % quantiles of held-out log errors of the time
        per output token.
    """
    notes = {p.name: p.note for p in parameters}
    out = {}
    for name, row in known.items():
        if name.startswith(("band_", FITTED)):
            continue
        plain = _plain(row)
        if name in notes:
            note = f"{notes[name]}; {rows:,} rows, held-out spread {spread:.3f} (log)"
            plain |= {"value": _number(values[name]), "source": source, "basis": "measured"}
            plain |= {"as_of": today.isoformat(), "note": note}
        out[name] = plain
    return out


def band_rows(
    values: Mapping[str, float], counts: Mapping[str, int], *, source: str, today: date
) -> dict[str, Row]:
    """Rows of the bands."""
    out = {}
    for name, value in values.items():
        rule = name.removeprefix("band_widen_")
        count = counts.get(name)
        note = f"{count:,} held-out figures" if count else "judgement: too few points, not fitted"
        out[name] = {
            "value": _number(value),
            "unit": "power of both factors" if rule in RULES else BAND_UNIT,
            "applies_to": rule if rule in RULES else name.removeprefix("band_"),
            "source": source,
            "as_of": today.isoformat(),
            "basis": "measured" if count else "estimated",
            "note": note,
        }
    return out


def count_rows(points: Sequence[Point], *, source: str, today: date) -> dict[str, Row]:
    """How many points of each accelerator and model were fitted."""
    counts = Counter(group_of(p) for p in points if fitted_on(p))
    return {
        f"{FITTED}{accelerator}_{model}": {
            "value": float(count),
            "unit": "operating points",
            "applies_to": f"{accelerator}, {model}",
            "source": source,
            "as_of": today.isoformat(),
            "basis": "measured",
        }
        for (accelerator, model), count in sorted(counts.items())
    }


def text_of(rows: Mapping[str, Row]) -> str:
    """A calibration file."""
    parts = [HEAD]
    for name, row in rows.items():
        body = yaml.safe_dump({name: row}, sort_keys=False, allow_unicode=True, width=1000)
        parts.append(body)
    return "\n".join(parts)
