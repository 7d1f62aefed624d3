"""Variants solved in a second process while the main solve runs in this one.

The process is started afresh (spawn), everywhere: a copy of this one (fork) would inherit the
solver's threads dead. A plain process rather than a pool of concurrent.futures, whose workers
cannot be ended from outside before Python 3.14. It leaves Ctrl-C to this process, sends each
answer when it has it, and ends with this process in whatever way this one ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from multiprocessing import connection
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from planner.alternatives.kept import answered
from planner.alternatives.outcome import GAP_FRAC, TIME_LIMIT_S, Answered
from planner.alternatives.variants import Variant

Task = tuple[Variant, str]
"""A variant and the fingerprint of what it follows from."""


class Beside:
    """A second process at work; leaving the context ends it."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks, self._found = list(tasks), list[Answered]()
        world = multiprocessing.get_context("spawn")
        self._receiver, sender = world.Pipe(duplex=False)
        self._process = world.Process(target=_work, args=(self._tasks, sender), daemon=True)
        self._process.start()
        sender.close()

    @property
    def process_id(self) -> int | None:
        """Of the second process."""
        return self._process.pid

    @property
    def asked(self) -> int:
        """Variants to be solved."""
        return len(self._tasks)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.join()
        self._receiver.close()

    def answers(self, *, wait: bool) -> list[Answered]:
        """Answers in the order of the tasks; without `wait` those that are there already.

        Ctrl-C ends the waiting. Where the process could not work (a program that starts it
        while it is itself imported), the rest is solved in this one.
        """
        try:
            while len(self._found) < len(self._tasks) and self._next(wait):
                pass
            for variant, key in self._tasks[len(self._found) :] if wait else ():
                self._found.append(answered(variant, key, gap=GAP_FRAC, limit_s=TIME_LIMIT_S))
        except KeyboardInterrupt:
            return self._found
        return self._found

    def _next(self, wait: bool) -> bool:
        """Take one answer; False where there is none, or none any more."""
        if not wait and not self._receiver.poll():
            return False
        try:
            self._found.append(self._receiver.recv())
        except EOFError:
            return False
        return True


def _work(tasks: Sequence[Task], sender: Connection) -> None:
    """In the second process: solve one after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for variant, key in tasks:
        sender.send(answered(variant, key, gap=GAP_FRAC, limit_s=TIME_LIMIT_S))
    sender.close()


def _end_with_parent() -> None:
    """A parent that is killed cleans nothing up; its end wakes this thread."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
