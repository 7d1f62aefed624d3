"""Layers, public names, help and manual stay as they are meant to be."""

import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

import planner
from planner.cli import group
from planner.cli.manual import commands_page, scenario_page
from planner.schema.base import Later
from planner.schema.scenario import Scenario

ROOT = Path(__file__).parents[1]
REWRITE = "write it again with: python -m planner.cli.manual docs"


def every_command():
    """Path and command, groups too."""
    pending = [("planner", group)]
    while pending:
        path, command = pending.pop()
        yield path, command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                pending.append((f"{path} {name}", command.get_command(context, name)))


COMMANDS = dict(every_command())


def test_layers_import_one_way():
    tool = shutil.which("lint-imports") or str(Path(sys.executable).with_name("lint-imports"))
    done = subprocess.run([tool], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_public_names_exist():
    for name in planner.__all__:
        assert getattr(planner, name) is not None
    assert {"load", "solve", "check", "evaluate", "Plan", "Scenario", "PlannerError"} <= {
        *planner.__all__
    }


def test_public_verbs_stay_what_they_are_once_everything_is_imported():
    code = (
        "import planner\n"
        "planner.solve\n"  # brings in every module below it
        "for name in ('load', 'check', 'evaluate', 'solve', 'verify', 'repair'):\n"
        "    assert callable(getattr(planner, name)), getattr(planner, name)\n"
        "assert callable(planner.report.write)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_explains_itself(path):
    text = COMMANDS[path].help or ""
    assert "Example:\n" in text
    assert f"    {path}" in text or path == "planner"
    assert "Exit status" in text
    assert (
        path == "planner"
        or isinstance(COMMANDS[path], click.Group)
        or "as_json" in {parameter.name for parameter in COMMANDS[path].params}
    )
    assert all(p.help for p in COMMANDS[path].params if isinstance(p, click.Option))


def test_manual_of_commands_is_in_step():
    page = (ROOT / "docs" / "commands.md").read_text()
    assert page == commands_page(), REWRITE
    assert [path for path in COMMANDS if f"\n## {path}\n" not in page] == []


def test_manual_of_scenario_is_in_step():
    page = (ROOT / "docs" / "scenario.md").read_text()
    assert page == scenario_page(), REWRITE
    for key, info in Scenario.model_fields.items():
        later = any(isinstance(mark, Later) for mark in info.metadata)
        assert (f"| `{key}` | *later*" in page) == later


def test_every_scenario_key_has_a_meaning():
    rows = [line for line in scenario_page().splitlines() if line.startswith("| `")]
    blank = [row for row in rows if row.endswith("|  |") and "`kind`" not in row]
    assert len(rows) > 100
    assert blank == []


def test_readme_names_the_test_command():
    assert ".venv/bin/pip install '.[test]' && .venv/bin/pytest" in (ROOT / "README.md").read_text()
    steps = (ROOT / ".ci" / "run").read_text()
    assert "pip install --quiet '.[test]'\nstep pytest\n" in steps
