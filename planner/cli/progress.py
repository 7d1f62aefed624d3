"""A line on standard error that says what is going on, where somebody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, float, "float | None"], None]
"""step, seconds since the start, gap as a share where there is one"""


@contextmanager
def progress_line(*, quiet: bool) -> Iterator[Progress | None]:
    """Give a function to report progress to; None where nobody watches.

    Parameters
    ----------
    quiet : say nothing even on a terminal.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda step, seconds, gap: bar.update(task, description=line(step, seconds, gap))


def line(step: str, seconds: float, gap_frac: float | None) -> str:
    """One step as a reader sees it.

    Examples
    --------
    >>> line("solve", 12.3, 0.0123)
    'solve  gap 1.23 %  12 s'
    """
    gap = f"  gap {gap_frac:.2%}".replace("%", " %") if gap_frac is not None else ""
    return f"{step}{gap}  {seconds:.0f} s"
