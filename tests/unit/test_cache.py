"""The cache saves time and decides nothing."""

import json
import os

import pytest
from click.testing import CliRunner

import planner
from planner.cli import group
from planner.files import cache
from planner.simulate import compiled


@pytest.fixture
def folder(tmp_path, monkeypatch):
    place = tmp_path / "kept"
    monkeypatch.setattr(cache, "cache_folder", lambda: place)
    monkeypatch.setattr(compiled, "cache_folder", lambda: place)
    return place


def test_computed_once(folder):
    calls = []

    def compute():
        calls.append(1)
        return 1.5, float("-inf")

    assert cache.remembered("k", compute) == (1.5, float("-inf"))
    assert cache.remembered("k", compute) == (1.5, float("-inf"))
    assert len(calls) == 1
    assert [path.name for path in (folder / "rates").iterdir()] == ["k.json"]


def test_damaged_file_is_computed_again(folder):
    cache.remembered("k", lambda: [1.0])
    for text in ("{", "null", '["x"]', ""):
        (folder / "rates" / "k.json").write_text(text)
        assert cache.remembered("k", lambda: [2.0]) == (2.0,)


def test_without_the_cache_nothing_is_read_or_kept(folder, monkeypatch):
    cache.remembered("k", lambda: [1.0])
    cache.remembered_json("j", lambda: {"a": 1})
    monkeypatch.setenv(cache.OFF, "1")
    assert cache.remembered("k", lambda: [2.0]) == (2.0,)
    assert cache.remembered_json("j", lambda: {"a": 2}) == {"a": 2}
    cache.remembered("other", lambda: [3.0])
    monkeypatch.delenv(cache.OFF)
    assert cache.recalled("k") == (1.0,)
    assert cache.remembered_json("j", lambda: {"a": 3}) == {"a": 1}
    assert cache.recalled("other") is None


@pytest.mark.parametrize(("more", "off"), [(["--no-cache"], True), ([], False)])
def test_commands_turn_it_off(folder, monkeypatch, more, off):
    seen = []
    monkeypatch.setenv(cache.OFF, "to be restored")
    monkeypatch.delenv(cache.OFF)
    monkeypatch.setattr(
        planner, "load", lambda *args, **options: seen.append(cache.OFF in os.environ)
    )
    CliRunner().invoke(group, ["solve", "chat_8b", *more])
    assert seen == [off]


def test_folder_that_cannot_be_made(folder):
    folder.write_text("a file in the way")
    assert cache.remembered("k", lambda: [3.0]) == (3.0,)


def test_key_holds_every_part():
    assert cache.key_of(1, "a") == cache.key_of(1, "a")
    assert len({cache.key_of(1, "a"), cache.key_of(2, "a"), cache.key_of("1", "a")}) == 3


def test_show_and_clear(folder):
    cache.remembered("k", lambda: [1.0])
    shown = CliRunner().invoke(group, ["cache", "show", "--json"])
    assert json.loads(shown.output) == {"folder": str(folder), "files": 1, "bytes": 5}
    assert "1 files removed" in CliRunner().invoke(group, ["cache", "clear"]).output
    assert "0 files removed" in CliRunner().invoke(group, ["cache", "clear"]).output


def test_what_others_are_writing_is_not_cleared(folder):
    cache.remembered("k", lambda: [1.0])
    names = "tmpabc.part", "code.nbi.tmp.0123"
    for name in names:
        (folder / "rates" / name).write_text("half")
    assert cache.clear() == 1
    assert cache.size() == (2, 8)
    # Nobody has touched them for long: whoever wrote them has ended.
    for name in names:
        os.utime(folder / "rates" / name, (0, 0))
    assert cache.clear() == 2
    assert cache.remembered("k", lambda: [2.0]) == (2.0,)


def test_compiled_code_is_kept_outside_the_package():
    assert compiled.source_digest() in str(compiled._FOLDER)
