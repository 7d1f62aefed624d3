"""The second process of `beside`: solves what it is given, one after the other."""

from __future__ import annotations

import os
import pickle
import sys
import threading

from planner.alternatives.kept import answered


def main() -> None:
    """Read tasks from standard input, write each answer to standard output when it is there."""
    tasks, gap, limit_s = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Nothing else may write where answers go.
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        for variant, key in tasks:
            pickle.dump(answered(variant, key, gap=gap, limit_s=limit_s), out)
            out.flush()


def _end_with_parent() -> None:
    """Standard input ends when the parent does, however it ends."""
    sys.stdin.buffer.read()
    os._exit(1)
