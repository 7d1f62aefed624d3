"""Files are written whole or not at all."""

import tempfile
from pathlib import Path

import pytest

from planner.cli.shared import write_reports
from planner.errors import ScenarioError
from planner.files import output
from planner.files.plan_json import read_plan
from planner.report import tidy, write
from planner.report.output import SUFFIXES, check_outputs
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
    with pytest.raises(ScenarioError, match=r"\.docx; a report is one of \.json, \.xlsx, \.html,"):
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


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_is_written_and_replaced_whole(tmp_path, suffix):
    path = tmp_path / f"plan{suffix}"
    path.write_text("old")
    write(small_plan(), path)
    assert path.stat().st_size > 1000
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_suffixes_may_be_written_large(tmp_path):
    write(small_plan(), tmp_path / "PLAN.JSON")
    assert (tmp_path / "PLAN.JSON").read_text().startswith("{")


def test_outputs_come_in_the_order_of_worth_without_repetition(tmp_path):
    names = ["a.html", "a.csv", "a.json", "a.xlsx"]
    paths = [tmp_path / name for name in names]
    paths.append(tmp_path / "." / "a.html")
    found = [path.name for path in check_outputs(paths)]
    assert found == ["a.json", "a.xlsx", "a.html", "a.csv"]


@pytest.mark.parametrize("lock", ["~$plan.xlsx", ".~lock.plan.xlsx#"])
def test_a_file_open_elsewhere_is_a_sentence(tmp_path, lock):
    (tmp_path / lock).write_text("")
    with pytest.raises(ScenarioError, match="is open in another program"):
        check_outputs([tmp_path / "plan.xlsx"])
    assert check_outputs([tmp_path / "other.xlsx"])


def test_a_folder_in_the_way_is_a_sentence(tmp_path):
    (tmp_path / "plan.html").mkdir()
    with pytest.raises(ScenarioError, match="is a folder; a file name is needed"):
        check_outputs([tmp_path / "plan.html"])


def test_missing_pyarrow_is_found_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(tidy, "find_spec", lambda _: None)
    with pytest.raises(ScenarioError, match="pip install"):
        check_outputs([tmp_path / "plan.parquet"])


def test_a_full_disk_is_a_sentence(tmp_path, monkeypatch):
    path = tmp_path / "plan.html"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ScenarioError, match="No space left on device"):
        write(small_plan(), path)
    assert path.read_text() == "old"


def test_one_report_that_fails_holds_no_other_back(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "spare"))
    (tmp_path / "spare").mkdir()
    (tmp_path / "gone.xlsx").mkdir()
    with pytest.raises(ScenarioError, match="is a folder"):
        write_reports(small_plan(), [tmp_path / "gone.xlsx", tmp_path / "b.html"], keep=True)
    assert (tmp_path / "b.html").exists()
    (kept,) = (tmp_path / "spare").rglob("plan.json")
    assert str(kept) in capsys.readouterr().err
    assert read_plan(kept) == small_plan()


def test_a_plan_that_is_written_is_not_kept_twice(tmp_path, capsys):
    (tmp_path / "gone.xlsx").mkdir()
    with pytest.raises(ScenarioError, match="is a folder"):
        write_reports(small_plan(), [tmp_path / "a.json", tmp_path / "gone.xlsx"], keep=True)
    assert "kept at" not in capsys.readouterr().err
