"""A progress bar on standard error, where somebody watches; it is gone when the work is done."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from planner.progress import Tell


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Tell | None]:
    """Give a function to report progress to; None where nobody watches.

    Parameters
    ----------
    quiet : say nothing even on a terminal.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    from planner.cli.bar import Bar

    with Bar(Console(stderr=True)) as bar:
        yield bar.tell
