"""Files are written whole or not at all."""

import pytest

from planner.errors import ScenarioError
from planner.files import output
from planner.report import write
from tests.plan_fixture import small_plan


def test_a_file_where_a_folder_should_be_is_a_sentence(tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(ScenarioError, match="is a file; a folder is needed"):
        write(small_plan(), tmp_path / "taken" / "plan.json")
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_missing_folder_is_made(tmp_path):
    write(small_plan(), tmp_path / "new" / "plan.json")
    assert (tmp_path / "new" / "plan.json").exists()


def test_unknown_suffix_names_the_known_ones(tmp_path):
    with pytest.raises(ScenarioError, match=r"\.docx; a report is one of \.xlsx, \.json"):
        write(small_plan(), tmp_path / "plan.docx")


def test_old_file_survives_a_failed_write(tmp_path, monkeypatch):
    path = tmp_path / "plan.json"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output.os, "replace", full)
    with pytest.raises(ScenarioError, match="No space left on device"):
        write(small_plan(), path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["plan.json"]


def test_existing_file_is_replaced(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text("old")
    write(small_plan(), path)
    assert path.read_text().startswith("{")
    assert [entry.name for entry in tmp_path.iterdir()] == ["plan.json"]
