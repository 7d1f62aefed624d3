"""Where a long command stands: one record, told by whoever works to whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock


@dataclass(frozen=True)
class Count:
    """So many of so many."""

    done: int
    total: int
    of: str
    """What is counted: candidates, loads."""


@dataclass(frozen=True)
class Stage:
    """What is being done, and how far it is."""

    step: str
    count: Count | None = None
    """None where nobody knows how much there is."""
    gap_frac: float | None = None
    """Of the best plan so far; None where there is no plan or no bound."""
    within: Count | None = None
    """Round or scenario, of which the step is a part."""


Tell = Callable[[Stage], None]
"""Takes every change, from any thread."""


def unheard(_: Stage) -> None:
    """Nobody watches."""


class Counting:
    """Counts what is through of a step, from any thread; tells at the start and each time.

    Examples
    --------
    >>> through = Counting("simulate", 3, "candidates", lambda stage: print(stage.count))
    Count(done=0, total=3, of='candidates')
    >>> through()
    Count(done=1, total=3, of='candidates')
    """

    def __init__(self, step: str, total: int, of: str, tell: Tell) -> None:
        self._step, self._total, self._of, self._tell = step, total, of, tell
        self._lock, self._done = Lock(), 0
        if total:
            self._say()

    def __call__(self) -> None:
        """One more is through."""
        with self._lock:
            self._done += 1
            self._say()

    def _say(self) -> None:
        self._tell(Stage(self._step, Count(self._done, self._total, self._of)))
