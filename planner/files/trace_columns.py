"""Cells of a trace as numbers: which column is which, lengths, stamps of every usual kind."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from planner.files.problems import meant
from planner.files.trace_rules import KNOWN_NAMES, ROLES, TIME_UNITS
from planner.units import DAYS_PER_YEAR, SECONDS_PER_DAY, SECONDS_PER_HOUR

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

EPOCH_MIN_S = 1e8
"""Seconds since 1970 of March 1973: smaller numbers count from the trace's own start."""
LATEST_S = 230 * DAYS_PER_YEAR * SECONDS_PER_DAY
"""The year 2199; stamps from then on, or before 1970, are slips."""
# Seconds since 1970 stay below 1e11 until the year 5138; ms, us and ns are 1000 x each.
_MAGNITUDES = ((1e17, "ns"), (1e14, "us"), (1e11, "ms"))
MINUTE_S = 60.0
_OFFSET = r"[T ].*?(Z|z|[+-]\d{2}(?::?\d{2})?)\s*$"
_NO_OFFSET = "none"


def recognized(
    columns: Sequence[str], column_map: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Column of every role that is found, and what is missing or ambiguous.

    Parameters
    ----------
    columns : as the file names them.
    column_map : role -> column, where the user says so.

    Examples
    --------
    >>> recognized(["TIMESTAMP", "ContextTokens", "GeneratedTokens"], {})[0]["input_tokens"]
    'ContextTokens'
    """
    found, problems = {}, []
    for role in ROLES:
        asked = column_map.get(role)
        if asked is not None:
            if asked not in columns:
                problems.append(f"no column {asked!r} for {role}; {meant(asked, columns)}")
            found[role] = asked
            continue
        known = {_folded(name) for name in KNOWN_NAMES[role]}
        fitting = list(dict.fromkeys(name for name in columns if _folded(name) in known))
        if len(fitting) > 1:
            problems.append(f"{role} may be {' or '.join(fitting)}: --column-map {role}=COLUMN")
        elif fitting:
            found[role] = fitting[0]
        elif role in ("input_tokens", "output_tokens"):
            seen = ", ".join(map(str, columns[:12])) or "none"
            problems.append(f"no column for {role} among {seen}: --column-map {role}=COLUMN")
    named = list(found.values())
    for name in dict.fromkeys(named):
        if list(columns).count(name) > 1:
            problems.append(f"{list(columns).count(name)} columns are called {name!r}")
        if named.count(name) > 1:
            roles = " and ".join(role for role, column in found.items() if column == name)
            problems.append(f"{name!r} cannot be {roles}: --column-map ROLE=COLUMN")
    return found, problems


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def numbers(cells: pd.Series[Any]) -> tuple[Array, Mask, Mask]:
    """Values, which cells are blank, and which hold something that is no finite number.

    Examples
    --------
    >>> values, blank, unreadable = numbers(pd.Series(["12", "", "many", None]))
    >>> blank.tolist(), unreadable.tolist()
    ([False, True, False, True], [False, False, True, False])
    """
    if pd.api.types.is_bool_dtype(cells):
        everything = np.ones(len(cells), bool)
        return np.full(len(cells), np.nan), ~everything, everything
    if pd.api.types.is_numeric_dtype(cells):
        values = cells.to_numpy(dtype=float, na_value=np.nan)
        blank = np.isnan(values)
        return values, blank, np.isinf(values)
    text = cells.astype("string").str.strip()
    blank = (cells.isna() | (text == "").fillna(value=True)).to_numpy(dtype=bool)
    # pandas reads True as 1; a truth value is no length.
    values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    return values, blank, ~np.isfinite(values) & ~blank


@dataclass
class Clock:
    """Reads stamps chunk by chunk; the first chunk decides what kind they are."""

    unit: str | None = None
    """Of numeric stamps, where the user or the kind of trace says so."""
    is_text: bool | None = None
    origin: float = 0.0
    """First stamp: seconds since 1970, or of the trace's own clock."""
    offsets_s: set[float] = field(default_factory=set)
    """Offsets from UTC of ISO stamps that state one."""
    has_naive: bool = False
    """Whether some state none."""
    guessed: bool = False
    """Whether the unit follows from the size of the stamps alone."""
    _first: Any = None

    @property
    def is_epoch(self) -> bool:
        """Whether stamps say the time of day."""
        return bool(self.is_text) or self.origin >= EPOCH_MIN_S

    def read(self, cells: pd.Series[Any]) -> tuple[Array, Mask, Mask, Mask]:
        """Seconds from the first stamp, blank cells, unreadable ones, those without an offset."""
        if self.is_text:
            return self._text_cells(cells)
        values, blank, unreadable = numbers(cells)
        if self.is_text is None and not blank.all():
            self.is_text = bool(unreadable.sum() > np.isfinite(values).sum())
        if self.is_text:
            return self._text_cells(cells)
        bad = blank | unreadable
        seconds = values if bad.all() else self._from_numbers(cells, values, bad)
        return seconds, blank, unreadable, np.zeros(len(cells), bool)

    def _text_cells(self, cells: pd.Series[Any]) -> tuple[Array, Mask, Mask, Mask]:
        text = cells.astype("string").str.strip()
        blank = (cells.isna() | (text == "").fillna(value=True)).to_numpy(dtype=bool)
        seconds, naive = self._from_text(text)
        return seconds, blank, np.isnan(seconds) & ~blank, naive & ~blank

    def _from_numbers(self, cells: pd.Series[Any], values: Array, bad: Mask) -> Array:
        if self._first is None:
            place = int(np.argmin(bad))
            whole = pd.api.types.is_integer_dtype(cells)
            self._first = int(cells.iloc[place]) if whole else float(values[place])
            if self.unit is None:
                self.guessed = True
                self.unit = _unit(float(np.nanmedian(np.abs(values[~bad]))))
            self.origin = float(self._first) * TIME_UNITS[self.unit]
        assert self.unit is not None
        scale = TIME_UNITS[self.unit]
        if cells.dtype == np.int64 and isinstance(self._first, int):
            # Nanoseconds since 1970 have more digits than a float; their differences do not.
            ticks = cells.to_numpy(dtype=np.int64) - np.int64(self._first)
            return np.asarray(ticks.astype(float) * scale, float)
        return np.asarray((values - self._first) * scale, float)

    def _from_text(self, text: pd.Series[Any]) -> tuple[Array, Mask]:
        text = _iso(text)
        try:
            stamps = pd.to_datetime(text, format="ISO8601", errors="coerce")
        except ValueError:  # several offsets, or stamps with and without one
            offsets = text.str.extract(_OFFSET)[0].fillna(_NO_OFFSET)
            stamps = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
        else:
            zone = stamps.dt.tz
            offsets = pd.Series(_NO_OFFSET if zone is None else str(zone), index=text.index)
        plausible = (stamps >= _stamp(0.0, stamps)) & (stamps < _stamp(LATEST_S, stamps))
        readable = plausible.to_numpy(dtype=bool)
        stated = set(offsets[readable].unique())
        self.has_naive |= _NO_OFFSET in stated
        self.offsets_s |= {offset_seconds(offset) for offset in stated - {_NO_OFFSET}}
        if stamps.dt.tz is not None:
            stamps = stamps.dt.tz_convert("UTC").dt.tz_localize(None)
        micro = stamps.to_numpy(dtype="datetime64[us]").astype(np.int64)
        if self._first is None and readable.any():
            self._first = int(micro[int(np.argmax(readable))])
            self.origin = self._first * TIME_UNITS["us"]
        seconds = (micro - (self._first or 0)) * TIME_UNITS["us"]
        return np.where(readable, seconds, np.nan), (offsets == _NO_OFFSET).to_numpy(dtype=bool)


def _iso(text: pd.Series[Any]) -> pd.Series[Any]:
    """Stamps as ISO 8601 has them, where the first ends in UTC or has a comma before fractions.

    So write BigQuery and Python's logging.

    Examples
    --------
    >>> _iso(pd.Series(["2026-03-02 09:00:00,5 UTC"])).tolist()
    ['2026-03-02 09:00:00.5Z']
    """
    first = next((str(stamp) for stamp in text if not pd.isna(stamp) and stamp), "")
    if not re.search(r"UTC$|\d,\d+", first):
        return text
    return text.str.replace(r"\s*UTC$", "Z", regex=True).str.replace(",", ".", regex=False)


def _stamp(seconds: float, like: pd.Series[Any]) -> pd.Timestamp:
    """Seconds since 1970 as a stamp that can be compared with these."""
    return pd.Timestamp(seconds, unit="s", tz=like.dt.tz)


def _unit(typical: float) -> str:
    """Unit of numeric stamps by their size.

    Examples
    --------
    >>> _unit(1.7e9), _unit(1.7e12), _unit(3500.0)
    ('s', 'ms', 's')
    """
    return next((unit for least, unit in _MAGNITUDES if typical >= least), "s")


def offset_seconds(offset: str) -> float:
    """Seconds by which a clock with this offset is ahead of UTC.

    Examples
    --------
    >>> [offset_seconds(text) for text in ("Z", "UTC", "+0530", "UTC-03:00")]
    [0.0, 0.0, 19800.0, -10800.0]
    """
    digits = re.sub(r"[^0-9]", "", offset).ljust(4, "0")
    ahead = SECONDS_PER_HOUR * int(digits[:2]) + MINUTE_S * int(digits[2:4])
    return -ahead if "-" in offset else ahead
