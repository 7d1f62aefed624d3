"""Reading: one operating point as a benchmark tool states it, in the units of the points table.

Seconds, tokens and percentiles are converted here and nowhere else. A format's module asks
`Fields` for its figures; every figure that is missing or no finite number is named, so that one
look at a file finds everything that is wrong with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from planner.files.problems import found_value
from planner.units import MILLI

TO_MS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1 / MILLI, "sec": 1 / MILLI}
"""Milliseconds of one unit, by the name that a file gives the unit."""
AGREE_REL = 0.02
"""A stated rate and its own tokens / seconds differ by rounding only."""
LARGEST = 1e18
"""No count, rate or duration of a benchmark is larger."""
FAILED_MAX_FRAC = 0.01
"""Above this share of failed requests a run says nothing of the load that it names."""


@dataclass(frozen=True)
class Load:
    """What the benchmark client offered."""

    kind: str
    """closed_loop, poisson_qps, qps or inf: the words of the points table."""
    value: float
    """Requests in flight (closed loop) or requests a second; inf: all at once."""

    @property
    def mode(self) -> str:
        """Its word in the points table."""
        return "concurrency" if self.kind == "closed_loop" else "qps"


@dataclass(frozen=True)
class Reading:
    """One operating point, with only what the file states; None where it is silent."""

    tool: str
    """Tool and, where stated, its version."""
    isl_tokens: float
    """Mean prompt of a completed request."""
    osl_tokens: float
    """Mean answer of a completed request."""
    output_tok_s: float
    """Of the whole system."""
    load: Load | None = None
    ttft_ms: float | None = None
    ttft_stat: str = ""
    tpot_ms: float | None = None
    tpot_stat: str = ""
    e2e_ms: float | None = None
    measured_date: str = ""
    stated: Mapping[str, str | int] = field(default_factory=dict)
    """Columns that are usually options: model, engine, tp, ..."""
    notes: tuple[str, ...] = ()
    doubtful: bool = False
    """Speculative decoding or failed requests: not to be tuned on."""


class Fields:
    """Figures of one mapping by dotted path; collects what is wrong instead of stopping."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self.problems: list[str] = []

    def get(self, path: str) -> Any:
        """Value at a dotted path, None where there is none."""
        value: Any = self.data
        for step in path.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        return value

    def number(self, path: str, *, least: float = 0.0) -> float | None:
        """A finite number of at least `least`; None where the file is silent."""
        value = self.get(path)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.problems.append(f"{path}: expected a number, found {found_value(value)}")
        elif not least <= value < LARGEST:
            self.problems.append(f"{path}: expected at least {least:g}, found {found_value(value)}")
        else:
            return float(value)
        return None

    def whole(self, path: str) -> int | None:
        """A whole number above 0; None where the file is silent."""
        value = self.number(path, least=1)
        if value is not None and value != int(value):
            self.problems.append(f"{path}: expected a whole number, found {value:g}")
            return None
        return None if value is None else int(value)

    def text(self, path: str) -> str:
        """Text; empty where the file is silent."""
        value = self.get(path)
        if value is None or isinstance(value, str):
            return value or ""
        self.problems.append(f"{path}: expected text, found {found_value(value)}")
        return ""

    def mappings(self, path: str) -> list[Mapping[str, Any]]:
        """A list of mappings; empty where the file is silent."""
        value = self.get(path)
        if value is None:
            return []
        if isinstance(value, list) and all(isinstance(entry, Mapping) for entry in value):
            return value
        self.problems.append(f"{path}: expected a list of mappings, found {found_value(value)}")
        return []

    def needed(self, path: str) -> float:
        """A number above 0; NaN, and a problem, where it is missing."""
        known = len(self.problems)
        value = self.number(path)
        if value is not None and value > 0:
            return value
        if len(self.problems) == known:
            found = "is missing" if value is None else f"expected above 0, found {value:g}"
            self.problems.append(f"{path}: {found}")
        return math.nan

    def ms(self, path: str, unit: str) -> float | None:
        """A duration in milliseconds."""
        value = self.number(path)
        if value is None:
            return None
        if unit not in TO_MS:
            self.problems.append(f"{path}: unit {unit!r} is none of {', '.join(TO_MS)}")
            return None
        return value * TO_MS[unit]

    def first_ms(self, paths: Mapping[str, str], unit: str) -> tuple[float | None, str]:
        """The first duration that the file has, and its statistic: (milliseconds, words)."""
        for stat, path in paths.items():
            value = self.ms(path, unit)
            if value is not None:
                return value, stat
        return None, ""

    def agree(self, path: str, stated: float, tokens: float, seconds: float | None) -> None:
        """A rate must be its own tokens / seconds, or the file is not what it seems."""
        if seconds is None or not seconds > 0 or not math.isfinite(stated + tokens):
            return
        if abs(stated - tokens / seconds) > AGREE_REL * stated:
            self.problems.append(
                f"{path}: {stated:g} tokens/s, but {tokens:g} tokens in {seconds:g} s "
                f"are {tokens / seconds:g}"
            )


def known_numbers(**values: float | None) -> str:
    """Figures for the notes: only those that are known.

    Examples
    --------
    >>> known_numbers(p99_ttft=81.25, mean_tpot=None)
    'p99_ttft=81.25'
    """
    return ", ".join(f"{name}={value:g}" for name, value in values.items() if value is not None)
