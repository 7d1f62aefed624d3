"""What is wrong with the rows of a trace, counted with row numbers; cleaned where a rule allows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from planner.files.trace_columns import LATEST_S, Clock, numbers
from planner.files.trace_rules import CLEAN_RULES
from planner.units import DAYS_PER_YEAR, SECONDS_PER_DAY, SECONDS_PER_HOUR
from planner.workload.burstiness import rounding_tick

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Int32 = NDArray[np.int32]
Cells = pd.Series

ABSURD_TOKENS = 10_000_000
"""The longest context that any published model states; a longer request is a slip."""
HOLE_S = SECONDS_PER_HOUR
CLOCK_MOVED_S = 60.0
"""Least by which a zone's clock is put on or back."""
SPAN_MAX_S = 10 * DAYS_PER_YEAR * SECONDS_PER_DAY
SPREADSHEET_DAY_0, SPREADSHEET_DAYS = date(1899, 12, 30), (36_526.0, 73_051.0)
"""Day 0 of spreadsheets, and their numbers of 2000-01-01 and 2100-01-01."""
SPREADSHEET_SLACK_S = 0.02
STUCK_LEAST, STUCK_TIMES = 100, 10
"""Rows of one stamp that are named: at least, and over those of any other."""
SHOWN, LETTERS = 3, 24
"""Rows shown of each problem, and letters of what stands there."""
_RULES = {
    "missing": "drop-missing",
    "unreadable": "drop-unreadable",
    "negative": "drop-negative",
    "zero": "drop-zero",
    "absurd": "drop-absurd",
    "hits": "clip-hits",
    "zones": "naive-local",
    "unsorted": "sort",
    "repeated": "drop-duplicates",
}
_NO_TIME = "no time: ISO 8601 is read, and numbers of s, ms, us or ns"
_WORDS = {
    "missing": "blank",
    "unreadable": "no whole number in plain digits",
    "negative": "below zero",
    "zero": "zero",
    "absurd": f"above {ABSURD_TOKENS:,} tokens",
    "hits": "below zero or above the prompt",
    "zones": "without an offset, others have one",
    "unsorted": "earlier than the row before",
    "repeated": "time and lengths repeat another row",
}


@dataclass
class _Found:
    count: int = 0
    first: list[tuple[int, str]] = field(default_factory=list)
    """Row number, and what stands there where that says more."""


@dataclass
class Problems:
    """Collects problems while chunks are read."""

    clean: frozenset[str]
    found: dict[tuple[str, str], _Found] = field(default_factory=dict)
    hopeless: list[str] = field(default_factory=list)
    """Problems that no rule cleans."""
    notes: list[str] = field(default_factory=list)
    blank_hits: int = 0
    """Rows that say nothing of prefix hits."""

    def allows(self, kind: str) -> bool:
        """Whether the user lets this kind be cleaned."""
        return _RULES[kind] in self.clean

    def rows(
        self, kind: str, role: str, bad: Mask, *, first: int = 0, cells: Cells | None = None
    ) -> None:
        """Count bad rows; `first` is the number of rows before these, `cells` what they hold."""
        places = np.flatnonzero(bad)
        some = [] if cells is None else [_cell(cells.iloc[place]) for place in places[:SHOWN]]
        self.numbered(kind, role, places + first + 1, some)

    def numbered(
        self, kind: str, role: str, found: NDArray[np.int64], shown: Sequence[str] = ()
    ) -> None:
        """Count bad rows of these numbers, with what stands in the first of them."""
        if len(found):
            entry = self.found.setdefault((kind, role), _Found())
            entry.count += len(found)
            some = found[: SHOWN - len(entry.first)].tolist()
            entry.first += zip(some, [*shown, *[""] * len(some)], strict=False)

    def lengths(self, role: str, cells: Cells, *, first: int) -> tuple[Int32, Mask]:
        """Lengths as whole numbers, 0 where bad, and which rows are bad.

        Blank prefix hits count as no hit.
        """
        values, blank, unreadable = numbers(cells)
        hit = role == "hit_tokens"
        self.blank_hits += int(blank.sum()) if hit else 0
        with np.errstate(invalid="ignore"):
            kinds = {
                "missing": blank & (not hit),
                "unreadable": unreadable | (np.isfinite(values) & (values != np.floor(values))),
                "negative": (values < 0) & (not hit),
                "zero": (values == 0) & (not hit),
                "absurd": values > ABSURD_TOKENS,
            }
        bad = np.zeros(len(values), bool)
        for kind, mask in kinds.items():
            told = None if kind in ("missing", "zero") else cells
            self.rows(kind, role, mask & ~bad, first=first, cells=told)
            bad |= mask
        safe = np.clip(np.where(bad | blank, 0.0, values), -ABSURD_TOKENS, ABSURD_TOKENS)
        return safe.astype(np.int32), bad

    def hits(self, hit: Int32, prompt: Int32, keep: Mask, *, first: int) -> Int32:
        """Prefix hits, cut to 0 and the prompt."""
        wrong = keep & ((hit < 0) | (hit > prompt))
        self.rows("hits", "hit_tokens", wrong, first=first, cells=pd.Series(hit))
        return np.clip(hit, 0, np.maximum(prompt, 0)).astype(np.int32)

    @property
    def open(self) -> list[str]:
        """Sentences about everything that is not cleaned."""
        return [
            *(
                f"{_sentence(kind, role, entry)}; --clean {rule} would {CLEAN_RULES[rule]}"
                for kind, role, entry in self._by_row()
                if (rule := _RULES[kind]) not in self.clean
            ),
            *self.hopeless,
        ]

    def cleaned(self) -> list[str]:
        """Sentences about what a rule cleaned."""
        return [
            f"cleaned by {_RULES[kind]}: {_sentence(kind, role, entry)}"
            for kind, role, entry in self._by_row()
            if self.allows(kind)
        ]

    def _by_row(self) -> list[tuple[str, str, _Found]]:
        """What was found, in the order of first rows, however large the chunks are."""
        found = [(kind, role, entry) for (kind, role), entry in self.found.items()]
        return sorted(found, key=lambda one: (one[2].first[0], one[0], one[1]))


def _sentence(kind: str, role: str, entry: _Found) -> str:
    shown = ", ".join(f"{number:,} {cell}".strip() for number, cell in entry.first)
    rows = f"row {shown}" if entry.count == 1 else f"{entry.count:,} rows ({shown}"
    more = ", ...)" if entry.count > len(entry.first) else ")"
    words = _NO_TIME if (kind, role) == ("unreadable", "timestamp") else _WORDS[kind]
    return f"{role}: {rows}{'' if entry.count == 1 else more}: {words}"


def _cell(value: Any) -> str:
    """What stands in a cell, short, text that is no number in quotation marks.

    Examples
    --------
    >>> _cell("1,250"), _cell("-4"), _cell(-4.0), _cell(2.5)
    ("'1,250'", '-4', '-4', '2.5')
    """
    text = str(value)
    try:
        number = float(text.replace("_", "no number"))  # Python alone reads 1_000
    except ValueError:
        return repr(text if len(text) <= LETTERS else f"{text[:LETTERS]}...")
    return f"{number:.0f}" if number.is_integer() else str(number)


@dataclass(frozen=True)
class Rows:
    """Rows that survived reading, in the order of the file."""

    number: NDArray[np.int64]
    lengths: dict[str, Int32]
    time_s: Array | None
    naive: Mask | None

    def taken(self, which: NDArray[np.int64] | Mask) -> Rows:
        """Some of the rows, or all in another order."""
        return Rows(
            number=self.number[which],
            lengths={role: values[which] for role, values in self.lengths.items()},
            time_s=None if self.time_s is None else self.time_s[which],
            naive=None if self.naive is None else self.naive[which],
        )


@dataclass(frozen=True)
class CleanRows:
    """Rows in the order of time, with the clock's hours."""

    lengths: dict[str, Int32]
    time_s: Array | None
    wall_s: Array | None
    observed: tuple[tuple[float, float], ...]
    clock: str


def checked(
    rows: Rows, *, total: int, clock: Clock, zone: ZoneInfo | None, problems: Problems
) -> CleanRows:
    """Order, repetition, holes and clock of the rows; problems are added to `problems`.

    Parameters
    ----------
    rows : with readable figures.
    total : rows of the file.
    """
    if len(rows.number) < 2:
        left = f"{len(rows.number)} of {total:,} rows can be used"
        problems.hopeless.append(f"{left}: no distribution follows from fewer than two requests")
        return CleanRows({}, None, None, (), "")
    if rows.time_s is None:
        problems.notes += problems.cleaned()
        return CleanRows(rows.lengths, None, None, (), "")
    usable = rows.taken(np.isfinite(rows.time_s))
    if len(usable.number) < 2:
        return CleanRows({}, None, None, (), "")
    usable = _one_zone(usable, clock, zone, problems)
    ordered = _distinct(_sorted(usable, problems), problems)
    assert ordered.time_s is not None
    time_s = ordered.time_s - ordered.time_s[0]
    wrong = _implausible(ordered, time_s, clock)
    if wrong:
        problems.hopeless.append(wrong)
        return CleanRows({}, None, None, (), "")
    problems.notes += _stuck_words(time_s, ordered.number)
    wall, name = _wall(time_s, clock.origin + float(ordered.time_s[0]), clock, zone, problems)
    found = CleanRows(ordered.lengths, time_s, wall, (), name)
    found = _holes(found, ordered.number, problems)
    problems.notes += problems.cleaned()
    return found


def _implausible(ordered: Rows, time_s: Array, clock: Clock) -> str:
    """What is wrong with the stamps as a whole; blank for nothing."""
    assert ordered.time_s is not None
    if clock.is_epoch and clock.origin > LATEST_S:
        return f"timestamp: {clock.origin:g} s since 1970 is no plausible date"
    if time_s[-1] > SPAN_MAX_S:
        return _span_words(time_s, ordered.number)
    if clock.is_text and time_s[-1] > 0 and not np.any(time_s % SECONDS_PER_DAY):
        return (
            "timestamp: stamps lie whole days apart, dates without a time of day: no rate follows "
            "from them; remove the column and give --rps"
        )
    if clock.guessed and _counts_days(ordered.time_s + clock.origin):
        first = clock.origin + float(ordered.time_s[0])
        day = SPREADSHEET_DAY_0 + timedelta(days=math.floor(first))
        return (
            f"timestamp: row {ordered.number[0]:,}: {first:,.8g} looks like a spreadsheet's day, "
            f"{day:%Y-%m-%d}: write dates; --time-unit s if these are seconds"
        )
    return ""


def _span_words(time_s: Array, numbers: NDArray[np.int64]) -> str:
    """Where rows lie apart that cannot belong together."""
    year_s = DAYS_PER_YEAR * SECONDS_PER_DAY
    gaps = np.diff(time_s)
    widest = int(np.argmax(gaps))
    return (
        f"timestamp: the rows span {time_s[-1] / year_s:,.0f} years, 10 are read; "
        f"{gaps[widest] / year_s:,.1f} of them lie between row {numbers[widest]:,} and row "
        f"{numbers[widest + 1]:,}: two units of time, or a wrong clock"
    )


def _counts_days(stamps: Array) -> bool:
    """Whether numbers are days of this century, as spreadsheets write them, to the second."""
    low, high = SPREADSHEET_DAYS
    inside = low <= float(stamps[0]) and float(stamps[-1]) < high
    seconds = stamps * SECONDS_PER_DAY
    to_the_second = bool(np.all(np.abs(seconds - np.rint(seconds)) < SPREADSHEET_SLACK_S))
    return inside and to_the_second and bool(np.any(stamps != np.floor(stamps)))


def _stuck_words(time_s: Array, numbers: NDArray[np.int64]) -> list[str]:
    """A stamp that far more rows bear than any other."""
    starts = np.flatnonzero(np.diff(time_s, prepend=-1.0) > 0)
    runs = np.diff(np.append(starts, len(time_s)))
    longest = int(np.argmax(runs))
    usual = float(np.max(np.delete(runs, longest), initial=1.0))
    if len(runs) < 2 or runs[longest] < max(STUCK_LEAST, STUCK_TIMES * usual):
        return []
    return [
        f"{runs[longest]:,} rows from row {numbers[starts[longest]]:,} on bear one time stamp, "
        f"others at most {usual:,.0f}: a burst, or a clock that stood; rates and burstiness count "
        "them as they are"
    ]


def _one_zone(rows: Rows, clock: Clock, zone: ZoneInfo | None, problems: Problems) -> Rows:
    """Stamps without an offset put on the common clock, where the others have one."""
    if not (clock.has_naive and clock.offsets_s):
        return rows
    assert rows.naive is not None
    assert rows.time_s is not None
    problems.numbered("zones", "timestamp", rows.number[rows.naive])
    if not problems.allows("zones"):
        return rows
    if zone is None:
        problems.hopeless.append("timestamp: --clean naive-local needs --timezone")
        return rows
    local = rows.time_s[rows.naive] + clock.origin
    time_s = rows.time_s.copy()
    time_s[rows.naive] -= _ahead(local - _ahead(local, zone), zone)
    return replace(rows, time_s=time_s)


def _ahead(utc_s: Array, zone: ZoneInfo) -> Array:
    """Seconds by which the zone's clock is ahead of UTC at these instants."""
    utc = pd.DatetimeIndex((utc_s * 1e6).astype(np.int64).astype("datetime64[us]"), tz="UTC")
    local = utc.tz_convert(zone).tz_localize(None)
    shift = local.to_numpy() - utc.tz_localize(None).to_numpy()
    return np.asarray(shift / np.timedelta64(1, "s"), float)


def _sorted(rows: Rows, problems: Problems) -> Rows:
    assert rows.time_s is not None
    back = np.flatnonzero(np.diff(rows.time_s) < 0) + 1
    if not len(back):
        return rows
    by = [f"by {-step:,.6g} s" for step in np.diff(rows.time_s)[back[:SHOWN] - 1].tolist()]
    problems.numbered("unsorted", "timestamp", rows.number[back], by)
    return rows.taken(np.argsort(rows.time_s, kind="stable"))


def _distinct(rows: Rows, problems: Problems) -> Rows:
    """Rows without repetitions; equal rows are no slip where stamps are rounded."""
    assert rows.time_s is not None
    ties = np.flatnonzero(np.diff(rows.time_s) == 0)
    if not len(ties):
        return rows
    tied = np.zeros(len(rows.number), bool)
    tied[ties] = tied[ties + 1] = True
    near = np.flatnonzero(tied)
    keys = {role: values[near] for role, values in rows.lengths.items()}
    same = pd.DataFrame({**keys, "time": rows.time_s[near]}).duplicated().to_numpy()
    repeated = near[same]
    if not len(repeated):
        return rows
    keep = np.ones(len(rows.number), bool)
    keep[repeated] = False
    if problems.allows("repeated") or rounding_tick(rows.time_s[keep]) is None:
        problems.numbered("repeated", "rows", np.sort(rows.number[repeated]))
        return rows.taken(keep)
    problems.notes.append(
        f"{len(repeated):,} rows repeat time and lengths of another (first: row "
        f"{rows.number[repeated].min():,}); stamps are rounded, so they count as requests"
    )
    return rows


def _wall(
    time_s: Array, origin_s: float, clock: Clock, zone: ZoneInfo | None, problems: Problems
) -> tuple[Array, str]:
    """Local clock of every request, and whose clock it is."""
    if not clock.is_epoch:
        return time_s, ""
    if clock.is_text and not clock.offsets_s:
        return time_s + origin_s, zone.key if zone else "as the stamps are written"
    if zone is not None:
        utc = time_s + origin_s
        return utc + _ahead(utc, zone), zone.key
    if len(clock.offsets_s) > 1:
        hours = ", ".join(f"{s / SECONDS_PER_HOUR:+g} h" for s in sorted(clock.offsets_s))
        problems.hopeless.append(
            f"timestamp: {len(clock.offsets_s)} offsets from UTC ({hours}); "
            "--timezone says whose clock gives the hours of the day"
        )
    ahead = min(clock.offsets_s, default=0.0)
    return time_s + (origin_s + ahead), f"UTC{ahead / SECONDS_PER_HOUR:+g} h" if ahead else "UTC"


def _holes(found: CleanRows, numbers: NDArray[np.int64], problems: Problems) -> CleanRows:
    """Stretches of an hour or more without a request: quiet, or not recorded, as the user says."""
    assert found.time_s is not None
    assert found.wall_s is not None
    line = found.wall_s
    gaps = np.diff(found.time_s)
    holes = np.flatnonzero(gaps >= HOLE_S)
    whole = replace(found, observed=_stretches(found.time_s, line, [0], [len(line) - 1]))
    if not len(holes):
        return whole
    text = _hole_words(gaps, holes, line, numbers)
    keep, skip = "keep-holes" in problems.clean, "skip-holes" in problems.clean
    if keep == skip:
        rules = " or ".join(
            f"--clean {r} to {CLEAN_RULES[r]}" for r in ("keep-holes", "skip-holes")
        )
        problems.hopeless.append(f"{text}; {'only one of ' if keep else ''}{rules}")
        return whole
    problems.notes.append(f"cleaned by {'keep' if keep else 'skip'}-holes: {text}")
    if keep:
        return whole
    usual = float((gaps.sum() - gaps[holes].sum()) / max(len(gaps) - len(holes), 1))
    closed = gaps.copy()
    closed[holes] = usual
    starts = [0, *(holes + 1).tolist()]
    ends = [*holes.tolist(), len(line) - 1]
    stretches = _stretches(found.time_s, line, starts, ends)
    return replace(found, time_s=np.concatenate([[0.0], np.cumsum(closed)]), observed=stretches)


def _stretches(
    time_s: Array, wall_s: Array, starts: Sequence[int], ends: Sequence[int]
) -> tuple[tuple[float, float], ...]:
    """Stretches between two rows each on the local clock, cut where the clock is put on or back.

    An hour that the clock shows twice then counts twice, and one that it leaves out not at all.
    """
    moved = np.flatnonzero(np.abs(np.diff(wall_s - time_s)) >= CLOCK_MOVED_S) + 1
    found = []
    for start, end in zip(starts, ends, strict=True):
        cuts = [start, *moved[(moved > start) & (moved <= end)].tolist()]
        for a, b in zip(cuts, [*cuts[1:], end], strict=True):
            found.append((float(wall_s[a]), float(wall_s[a] + time_s[b] - time_s[a])))
    return tuple(found)


def _hole_words(
    gaps: Array, holes: NDArray[np.int64], line: Array, numbers: NDArray[np.int64]
) -> str:
    empty = sum(
        max(0, math.floor(line[i + 1] / SECONDS_PER_HOUR) - math.ceil(line[i] / SECONDS_PER_HOUR))
        for i in holes
    )
    longest = holes[int(np.argmax(gaps[holes]))]
    shown = ", ".join(f"{numbers[i]:,}" for i in holes[:SHOWN])
    more = ", ..." if len(holes) > SHOWN else ""
    return (
        f"timestamp: {len(holes):,} {'hole' if len(holes) == 1 else 'holes'} of an hour or more "
        f"without a request, after row "
        f"{shown}{more}; the longest, after row {numbers[longest]:,}, lasts "
        f"{gaps[longest] / SECONDS_PER_HOUR:,.1f} h; {empty:,} clock hours are empty"
    )
