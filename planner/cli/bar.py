"""The progress bar: on one line what is done, below it the step under way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from planner.progress import Count, Stage

SHOWN_S = 1.0
"""A step that took less is not worth a word when it is done."""


class Bar(Progress):
    """Told where a command stands, it shows that, until it is left.

    Parameters
    ----------
    clock : seconds from any moment on.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        def text(form: str) -> TextColumn:
            return TextColumn(form, markup=False, table_column=Column(no_wrap=True))

        self._spent_s: dict[str, float] = {}
        self._now = Stage("read")
        super().__init__(
            SpinnerColumn(), text("{task.description}"), BarColumn(bar_width=None),
            text("{task.fields[known]}"), _TimeLeft(), TimeElapsedColumn(),
            console=console, transient=True, redirect_stdout=False, expand=True,
            get_time=clock,
        )  # fmt: skip
        self._task, self._first = self._begin(self._now)

    def tell(self, stage: Stage) -> None:
        """Show a stage; from any thread."""
        with self._lock:
            if _what(stage) != _what(self._now):
                self._end()
                self._task, self._first = self._begin(stage)
            self._now, done = stage, _done(stage)
            self.update(self._task, completed=done, known=known(stage), ends=self._ends(done))

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is done, where anything is, and the step under way."""
        before = done_text(self._spent_s, self._now.within)
        if before:
            yield Text(before, style="dim", no_wrap=True, overflow="ellipsis")
        yield from super().get_renderables()

    def _begin(self, stage: Stage) -> tuple[TaskID, int]:
        total = None if stage.count is None else stage.count.total
        return self.add_task(stage.step, total=total, known="", ends=None), _done(stage)

    def _end(self) -> None:
        step, spent_s = self._now.step, self.tasks[0].elapsed or 0.0
        self._spent_s[step] = self._spent_s.get(step, 0.0) + spent_s
        self.remove_task(self._task)

    def _ends(self, done: int) -> float | None:
        """When the step under way will be through, if the rest goes as fast as it went so far."""
        task, since = self.tasks[0], done - self._first
        if not since or task.total is None:
            return None
        return self.get_time() + (task.elapsed or 0.0) * (task.total - done) / since


class _TimeLeft(ProgressColumn):
    """Counts down from one estimate to the next."""

    def __init__(self) -> None:
        super().__init__(table_column=Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        """Nothing where no time is known."""
        ends = task.fields["ends"]
        return Text("" if ends is None else left_text(max(ends - task.get_time(), 0.0)))


def _done(stage: Stage) -> int:
    return 0 if stage.count is None else stage.count.done


def _what(stage: Stage) -> tuple[object, ...]:
    """What time left is an estimate of: the same step, and as much of the same."""
    count = stage.count
    return stage.step, stage.within, count and (count.total, count.of)


def known(stage: Stage) -> str:
    """How far a stage is.

    Examples
    --------
    >>> known(Stage("simulate", Count(3, 12, "candidates")))
    '3 of 12 candidates'
    >>> known(Stage("solve", gap_frac=0.0123))
    'gap 1.23 %'
    """
    if stage.count is not None:
        return f"{stage.count.done:,} of {stage.count.total:,} {stage.count.of}"
    return "" if stage.gap_frac is None else f"gap {stage.gap_frac * 100:.2f} %"


def left_text(seconds: float) -> str:
    """Time left in the unit that a reader thinks in.

    Examples
    --------
    >>> left_text(9.4), left_text(200.0), left_text(9000.0)
    ('9 s left', '3 min left', '2.5 h left')
    """
    if seconds < 100:
        return f"{seconds:.0f} s left"
    return f"{seconds / 60:.0f} min left" if seconds < 6000 else f"{seconds / 3600:.1f} h left"


def done_text(spent_s: dict[str, float], within: Count | None) -> str:
    """Steps that are done, with the time of those that took some.

    Examples
    --------
    >>> done_text({"candidates": 0.2, "simulate": 24.3, "relax": 3.1}, Count(2, 4, "round"))
    'round 2 of 4: simulate 24 s, relax 3 s'
    """
    steps = ", ".join(f"{step} {s:.0f} s" for step, s in spent_s.items() if s >= SHOWN_S)
    if within is None:
        return f"done: {steps}" if steps else ""
    return f"{within.of} {within.done} of {within.total}" + (f": {steps}" if steps else "")
