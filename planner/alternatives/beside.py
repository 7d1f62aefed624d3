"""Variants solved in a second process while the main solve runs in this one.

The process starts afresh: a copy of this one (fork) would inherit the solver's threads dead. It
is a plain interpreter rather than a worker of concurrent.futures: that would import the caller's
main program again, and could not be ended from outside before Python 3.14. Tasks go in and
answers come out as pickles, each when it is there. Ctrl-C reaches only this process; the other
ends with it in whatever way this one ends, because its input closes.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from planner.alternatives.kept import answered
from planner.alternatives.outcome import GAP_FRAC, TIME_LIMIT_S, Answered
from planner.alternatives.variants import Variant

Task = tuple[Variant, str]
"""A variant and the fingerprint of what it follows from."""
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from planner.alternatives.worker import main; main()"
)


class Beside:
    """A second process at work; leaving the context ends it."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks, self._found = list(tasks), list[Answered]()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what goes wrong there is done, and told, here
            start_new_session=True,
        )
        self._talk = threading.Thread(target=self._exchange, daemon=True)
        self._talk.start()

    @property
    def process_id(self) -> int:
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
        self._process.kill()
        self._process.wait()
        self._talk.join()

    def answers(self, *, wait: bool) -> list[Answered]:
        """Answers in the order of the tasks; without `wait` those that are there already.

        Ctrl-C ends the waiting. What the other process could not do is done in this one.
        """
        if not wait:
            return list(self._found)
        try:
            self._talk.join()
            for variant, key in self._tasks[len(self._found) :]:
                self._found.append(answered(variant, key, gap=GAP_FRAC, limit_s=TIME_LIMIT_S))
        except KeyboardInterrupt:
            return list(self._found)
        return list(self._found)

    def _exchange(self) -> None:
        """Send the tasks, take the answers; ends when the other process does.

        The pipe in stays open until then: its end tells the other that this one has gone.
        """
        into, out = self._process.stdin, self._process.stdout
        assert into is not None
        assert out is not None
        try:
            with into, out:
                pickle.dump((self._tasks, GAP_FRAC, TIME_LIMIT_S), into)
                into.flush()
                while len(self._found) < len(self._tasks):
                    self._found.append(pickle.load(out))
        except (BrokenPipeError, EOFError, pickle.UnpicklingError):
            return
