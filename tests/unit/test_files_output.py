"""Files appear whole or not at all; what cannot be written is said before any work."""

import json
import os

import pytest

from planner.errors import ScenarioError
from planner.files.output import atomic_path, ensure_folder, ensure_writable, safe_name, write_text
from planner.files.plan_json import read_plan
from tests.plan_fixture import small_plan


def write_half(path):
    """A writer that fails on the way."""
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("disk")


def test_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="disk"):
        write_half(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["plan.json"]


def test_temporary_file_lies_beside_with_the_same_suffix(tmp_path):
    with atomic_path(tmp_path / "a" / "plan.xlsx") as temporary:
        assert temporary.parent == tmp_path / "a"
        assert temporary.suffix == ".xlsx"
        temporary.write_bytes(b"x")
    assert (tmp_path / "a" / "plan.xlsx").read_bytes() == b"x"


def test_mode_follows_the_umask_and_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    before = os.umask(0o027)
    try:
        write_text(path, "1")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640  # 0o666 & ~0o027
    path.chmod(0o600)
    write_text(path, "2")
    assert path.stat().st_mode & 0o777 == 0o600


def test_link_keeps_pointing(tmp_path):
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    write_text(tmp_path / "link.json", "new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "new"


def test_file_in_the_way(tmp_path):
    (tmp_path / "reports").write_text("x")
    with pytest.raises(ScenarioError, match="reports is a file; a folder is needed there"):
        ensure_folder(tmp_path / "reports" / "demo")


def test_folder_in_the_way(tmp_path):
    with pytest.raises(ScenarioError, match="is a folder; a file name is needed"):
        ensure_writable(tmp_path)


def test_unwritable_folder(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    where = folder if os.geteuid() else "/proc/self"  # modes do not stop the superuser
    with pytest.raises(ScenarioError, match="cannot write there"):
        ensure_folder(type(tmp_path)(where))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", ".hidden", "a..b", "x" * 90, "a\n"])
def test_unsafe_names(name):
    with pytest.raises(ScenarioError, match="only make a file name"):
        safe_name(name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"plan_version": 1, "too', r"is no valid JSON: .*\(cut off\?\)"),
        ("[]", "is no plan: it has no plan_version"),
        ('{"name": "x"}', "is no plan: it has no plan_version"),
        ('{"plan_version": 9}', "plan_version 9; this planner reads 1; solve its scenario again"),
        ('{"plan_version": 1, "npv_usd": "x"}', "npv_usd: expected a number, found 'x'"),
        ("[" * 100_000, "is no valid JSON"),
    ],
)
def test_damaged_plan(tmp_path, text, says):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=says):
        read_plan(path)


def test_missing_plan(tmp_path):
    with pytest.raises(ScenarioError, match="cannot be read: No such file or directory"):
        read_plan(tmp_path / "none.json")


def test_many_damages_are_cut_short(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"plan_version": 1, "notes": [1] * 99}))
    with pytest.raises(ScenarioError, match=r"and [0-9]+ more"):
        read_plan(path)


def test_a_file_that_nobody_may_write_stays(tmp_path):
    path = tmp_path / "plan.xlsx"
    path.write_text("kept")
    path.chmod(0o444)
    with pytest.raises(ScenarioError, match="read-only"), atomic_path(path) as temporary:
        temporary.write_text("lost")
    assert path.read_text() == "kept"


def edited(change):
    data = json.loads(small_plan().model_dump_json())
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(npv_usd=2 * d["npv_usd"]), "the file was edited"),
        (lambda d: d["ledger_inputs"][0].update(value=0.5), "its own ledger gives"),
        (lambda d: d["ledger_lines"][0].update(formula="import os"), "no formula of the ledger"),
        (lambda d: d["ledger_lines"][0].update(formula="month + x"), "neither an input nor a line"),
        (lambda d: d["ledger_lines"][0].update(colour="red"), "fields of a ledger line"),
        (lambda d: d.update(periods=[]), "periods: none"),
        (lambda d: d["fleet"][0].update(lots_in_service=[1.0]), "1 values for"),
        (lambda d: d["pools"][0].update(served_frac=[[1.0]]), "pools\\[0\\].served_frac"),
        (lambda d: d["scenario"].pop("horizon"), "scenario.horizon.start: missing"),
    ],
)
def test_plans_whose_parts_do_not_fit_are_refused(tmp_path, change, says):
    path = tmp_path / "plan.json"
    path.write_text(edited(change))
    with pytest.raises(ScenarioError, match=says):
        read_plan(path)
    path.write_text(edited(lambda _: None))
    assert read_plan(path) == small_plan()
