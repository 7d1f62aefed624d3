"""The wheel works from any folder: its data travel with it."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow

LOAD_EVERYTHING = """
import planner, sys
from planner.files.catalog import load_catalog
from planner.files.scenario import load_scenario, packaged_names
assert planner.__file__.startswith(sys.argv[1]), planner.__file__
catalog = load_catalog(None)
assert catalog.accelerators and catalog.models and catalog.prices
print(*[load_scenario(name).name for name in packaged_names()])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built as pip builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT],
        check=True,
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with nothing but the wheel; dependencies come from this environment."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, wheel],
        check=True,
    )
    return folder


def run(installed, tmp_path, *words):
    """A process elsewhere that sees the installed planner only."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_wheel_holds_data_types_and_licence(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for path in [*(ROOT / "scenarios").glob("*.yaml"), *(ROOT / "catalogs").rglob("*.yaml")]:
        assert f"planner/data/{path.relative_to(ROOT).as_posix()}" in names
    for path in (ROOT / "planner" / "report" / "templates").iterdir():
        assert path.relative_to(ROOT).as_posix() in names
    assert "planner/py.typed" in names
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    assert not [name for name in names if name.startswith("tests/")]


def test_schema_from_another_folder(installed, tmp_path):
    schema = json.loads(run(installed, tmp_path, "-m", "planner", "schema"))
    assert schema["properties"]["demand"]["description"] == "Traffic classes."


def test_packaged_scenarios_and_catalog_from_another_folder(installed, tmp_path):
    names = run(installed, tmp_path, "-c", LOAD_EVERYTHING, str(installed)).split()
    assert names == sorted(path.stem for path in (ROOT / "scenarios").glob("*.yaml"))
    assert names


def test_template_is_checked_from_another_folder(installed, tmp_path):
    run(installed, tmp_path, "-m", "planner", "new", "fresh")
    checked = run(installed, tmp_path, "-m", "planner", "check", "fresh.yaml", "--json")
    assert json.loads(checked)["scenario"] == "fresh"
