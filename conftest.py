"""How the tests run: on all cores, or in one process where only some files are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# Beside other workers an example may take any time; what must be fast is timed in its test.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Workers for `-n auto`: none where starting them takes longer than the tests of a file."""
    named = [Path(argument.split("::")[0]) for argument in config.args]
    return 0 if named and all(path.is_file() for path in named) else None
