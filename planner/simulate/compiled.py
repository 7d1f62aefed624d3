"""How the simulator's functions are compiled: to machine code, kept in the user's cache folder.

The folder's name holds a digest of this package's sources: numba looks only at the file of the
outermost function, and would run yesterday's code of any other.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import platformdirs

F = TypeVar("F", bound=Callable[..., Any])


def cache_folder() -> Path:
    """Where everything that can be computed again is kept."""
    return Path(platformdirs.user_cache_dir("inference-fleet-planner", appauthor=False))


def source_digest() -> str:
    """Digest of this package's sources."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


_CONFIG: Any = numba.config
_FOLDER = Path(_CONFIG.CACHE_DIR or cache_folder() / "numba") / source_digest()
_KEPT = _writable(_FOLDER)


def compiled(function: F) -> F:
    """Compile when first called; kept for the next process where the folder can be written.

    Compiled code runs beside other threads.
    """
    before = _CONFIG.CACHE_DIR
    _CONFIG.CACHE_DIR = str(_FOLDER) if _KEPT else before
    try:
        return cast(F, numba.njit(cache=_KEPT, nogil=True)(function))
    finally:
        _CONFIG.CACHE_DIR = before
