"""What took long to compute, kept on the disk by a digest of everything it follows from.

Where the environment says so, nothing is read or kept; other processes that this one starts are
told by it too.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from planner.simulate.compiled import cache_folder, source_digest

OFF = "PLANNER_NO_CACHE"
"""Environment variable that turns the cache off, whatever its value."""
WRITTEN_S = 60.0
"""Age from which a file that was not finished is what a process that died left behind."""


def key_of(*parts: object) -> str:
    """Digest of the parts' text and of the simulator's own sources."""
    text = json.dumps([source_digest(), *(repr(part) for part in parts)])
    return hashlib.sha256(text.encode()).hexdigest()


def remembered(key: str, compute: Callable[[], Sequence[float]]) -> tuple[float, ...]:
    """Numbers kept under a key; computed and kept where there are none."""
    known = recalled(key)
    if known is not None:
        return known
    values = tuple(compute())
    keep(key, values)
    return values


def recalled(key: str) -> tuple[float, ...] | None:
    """Numbers kept under a key; a file that cannot be read counts as missing."""
    if OFF in os.environ:
        return None
    try:
        text = (results_folder() / f"{key}.json").read_text(encoding="ascii")
        return tuple(float(x) for x in json.loads(text))
    except (OSError, ValueError, TypeError):
        return None


def keep(key: str, values: Sequence[float]) -> None:
    """Keep numbers under a key."""
    _keep(results_folder() / f"{key}.json", json.dumps(tuple(values)))


def remembered_json(key: str, compute: Callable[[], Any]) -> Any:
    """Anything that JSON holds, kept under a key; `compute` gives it as JSON would return it."""
    path = options_folder() / f"{key}.json"
    if OFF in os.environ:
        return compute()
    try:
        return json.loads(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        value = compute()
    _keep(path, json.dumps(value))
    return value


def _keep(path: Path, text: str) -> None:
    """Write where the folder can be written: the cache saves time and decides nothing."""
    if OFF in os.environ:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
        Path(name).replace(path)
    except OSError:
        return


def options_folder() -> Path:
    """Where solved options are kept."""
    return cache_folder() / "options"


def results_folder() -> Path:
    """Where results are kept."""
    return cache_folder() / "rates"


def size() -> tuple[int, int]:
    """Files in the cache, compiled code included, and their bytes."""
    found = [known.st_size for _, known in _files()]
    return len(found), sum(found)


def clear() -> int:
    """Remove everything that is kept; the number of files that were.

    Other processes may be at work: folders stay, and so does what is being written.
    """
    removed = 0
    for path, known in _files():
        unfinished = path.suffix == ".part" or ".tmp." in path.name
        if unfinished and time.time() - known.st_mtime < WRITTEN_S:
            continue
        with suppress(FileNotFoundError):
            path.unlink()
            removed += 1
    return removed


def _files() -> Iterator[tuple[Path, os.stat_result]]:
    for path in sorted(cache_folder().rglob("*")):
        with suppress(FileNotFoundError):  # another process has removed it since
            known = path.stat()
            if stat.S_ISREG(known.st_mode):
                yield path, known
