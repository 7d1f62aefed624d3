"""Writing files so that a reader never sees half of one, and saying early what cannot be written.

What goes into a file belongs to `report`; here is only how it gets onto the disk.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from planner.errors import ScenarioError

WRITE_BITS = 0o222
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def safe_name(name: str) -> str:
    """Return the name where it can be a file or folder name on every system, else refuse it.

    Raises
    ------
    ScenarioError where it is empty, long, hidden, or holds a path character.

    Examples
    --------
    >>> safe_name("enterprise_405b")
    'enterprise_405b'
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise ScenarioError(repr(name), ["letters, digits, dot, - and _ only make a file name"])
    return name


def ensure_folder(folder: Path) -> Path:
    """Make the folder with its parents; refuse where one cannot be made or written to.

    Raises
    ------
    ScenarioError naming the file in the way, or what the system answered.
    """
    for part in [folder, *folder.parents]:
        if part.exists() and not part.is_dir():
            raise ScenarioError(str(folder), [f"{part} is a file; a folder is needed there"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ScenarioError(str(folder), [f"cannot write there: {error.strerror}"]) from None
    return folder


def ensure_writable(path: Path) -> Path:
    """Check, before any long work, that a file can be written at this path.

    Raises
    ------
    ScenarioError where the folder cannot be written to or a folder is in the way.
    """
    if path.is_dir():
        raise ScenarioError(str(path), ["is a folder; a file name is needed"])
    ensure_folder(path.parent)
    if path.exists() and _read_only(path):
        raise ScenarioError(str(path), ["exists and is read-only"])
    return path


def _read_only(path: Path) -> bool:
    """Whether nobody may write a file; the superuser may always, but should not here."""
    return not os.access(path, os.W_OK) or not path.stat().st_mode & WRITE_BITS


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; it replaces `path` once the block ends well.

    Parameters
    ----------
    path : the file to write; the temporary one keeps its suffix.

    Raises
    ------
    ScenarioError where the system refuses; an error inside the block leaves `path` untouched.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder) / "plan.json"
    ...     with atomic_path(target) as temporary:
    ...         _ = temporary.write_text("{}")
    ...     target.read_text(), len(os.listdir(folder))
    ('{}', 1)
    """
    target = path.resolve()  # a link keeps pointing where it points
    ensure_writable(target)
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.stem[:40]}-", suffix=target.suffix
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _replace(temporary: Path, target: Path) -> None:
    try:
        temporary.chmod(target.stat().st_mode if target.exists() else 0o666 & ~_umask())
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise ScenarioError(str(target), [f"cannot be written: {error.strerror}"]) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
