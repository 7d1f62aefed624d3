"""Scenario files: every mistake is named, nothing random gives a traceback, text comes back."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import ScenarioError
from planner.files import scenario as files
from planner.files.plain_yaml import SIZE_MAX_BYTES, parse
from planner.files.scenario import (
    dump_scenario,
    left_at_default,
    load_scenario,
    packaged_names,
    parse_scenario,
)
from planner.files.template import template
from planner.schema.scenario import Scenario

BAD = sorted((Path(__file__).parents[1] / "bad_scenarios").glob("*.yaml"))
TEMPLATE = parse(template("my_fleet").encode(), "template").data


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_each_mistake_is_named(path):
    expected = re.findall(r"^# says: (.*)$", path.read_text(), flags=re.MULTILINE)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(str(path))
    assert expected
    assert [text for text in expected if text not in str(caught.value)] == [], str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_one_mistake_gives_one_problem():
    for path in BAD:
        says = re.findall(r"^# says: ", path.read_text(), flags=re.MULTILINE)
        with pytest.raises(ScenarioError) as caught:
            load_scenario(path)
        found = caught.value.problems
        # A mistyped key also leaves the right one missing: two problems for one mistake.
        allowed = {"unknown_key": 2, "alias_bomb": 1}.get(path.stem, len(says))
        assert len(found) <= allowed, (path.name, found)


def test_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "chat.yaml").write_text("x")
    with pytest.raises(ScenarioError, match=r"no such file; near it: .*chat\.yaml"):
        load_scenario(tmp_path / "chta.yaml")


def test_missing_name_lists_packaged(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_packaged", lambda: {"enterprise_405b": tmp_path / "none.yaml"})
    with pytest.raises(ScenarioError, match="did you mean enterprise_405b"):
        load_scenario("enterprise_405")


def test_packaged_name_loads(tmp_path, monkeypatch):
    path = tmp_path / "demo.yaml"
    path.write_text(template("demo"))
    monkeypatch.setattr(files, "_packaged", lambda: {"demo": path})
    assert packaged_names() == ["demo"]
    assert load_scenario("demo").name == "demo"


@pytest.mark.parametrize(
    ("name", "says"),
    [(".", "is a folder"), ("a\0b", "no such file"), ("x" * 300, "cannot be read: File name too")],
)
def test_odd_paths(name, says):
    with pytest.raises(ScenarioError, match=says):
        load_scenario(name)


def test_size_limit(tmp_path):
    path = tmp_path / "big.yaml"
    path.write_bytes(b"#" * (SIZE_MAX_BYTES + 1))
    with pytest.raises(ScenarioError, match="at most 5,000,000 are read"):
        load_scenario(path)


def test_no_utf8():
    with pytest.raises(ScenarioError, match=r"is no UTF-8 text \(byte 6\)"):
        parse_scenario(b"name: \xff", "x.yaml")


def test_merge_keys_and_anchors():
    raw = b"a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [{x: 5}, *a]}"
    data = parse(raw, "x").data
    assert data["b"] == {"x": 1, "y": 3}
    assert data["c"] == {"x": 5, "y": 2}


def test_template_with_every_optional_line_is_the_same_scenario():
    text = template("my_fleet")
    _, body = text.split("\n\n", 1)
    uncommented = re.sub(r"^( *)# ", r"\1", body, flags=re.MULTILINE)
    assert uncommented.count("#") > 60
    assert parse_scenario(uncommented.encode(), "u") == parse_scenario(text.encode(), "t")


def test_dump_reads_back():
    scenario = parse_scenario(template("my_fleet").encode(), "t")
    odd = scenario.model_copy(update={"title": "1e3", "description": 'no: "yes" # ~\n2027'})
    assert parse_scenario(dump_scenario(odd).encode(), "d") == odd


def test_left_at_default_names_what_the_file_leaves_out():
    raw = template("my_fleet").encode()
    left = left_at_default(parse_scenario(raw, "t"))
    assert left["finance.discounting"] == "mid"
    assert left["demand[chat].slo.ttft_percentile"] == 0.95
    assert "finance.discount_rate" not in left  # written
    assert "finance.pays_tax" not in left  # later


WORDS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["owned", "online", "2027-01", "8 %", "1e3", "training", "h100-sxm"]),
)
KEYS = st.one_of(
    st.text(max_size=5),
    st.sampled_from(["name", "kind", "demand", "slo", "mean", "online", "[key]"]),
)
TREES = st.recursive(
    WORDS, lambda below: st.lists(below, max_size=4) | st.dictionaries(KEYS, below, max_size=4)
)


def places(tree, path=()):
    """Every path of a tree."""
    yield path
    if isinstance(tree, dict):
        for key, below in tree.items():
            yield from places(below, (*path, key))
    elif isinstance(tree, list):
        for i, below in enumerate(tree):
            yield from places(below, (*path, i))


def changed(tree, path, new):
    """The tree with one place replaced."""
    if not path:
        return new
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[path[0]] = changed(tree[path[0]], path[1:], new)
    return copy


def refused_or_read(raw):
    """A scenario, or None where it was refused in sentences."""
    try:
        return parse_scenario(raw, "fuzz.yaml")
    except ScenarioError as error:
        refused = error
    assert refused.problems
    assert all(isinstance(p, str) and p for p in refused.problems)
    return None


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_fuzzed_place_never_gives_a_traceback(data):
    path = data.draw(st.sampled_from(list(places(TEMPLATE))))
    raw = json.dumps(changed(TEMPLATE, path, data.draw(TREES))).encode()
    scenario = refused_or_read(raw)
    assert scenario is None or isinstance(scenario, Scenario)


@given(TREES)
@settings(max_examples=60, deadline=None)
def test_fuzzed_tree_never_gives_a_traceback(tree):
    assert refused_or_read(json.dumps(tree).encode()) is None


@given(st.text(alphabet="ab:-?[]{}&*!|>'\"%@`#,~<\n\t 01.e+_\u0085\ufeff\ud7ff", max_size=60))
@settings(max_examples=80, deadline=None)
def test_fuzzed_text_never_gives_a_traceback(text):
    assert refused_or_read(text.encode()) is None


@given(st.binary(max_size=40))
def test_fuzzed_bytes_never_give_a_traceback(raw):
    assert refused_or_read(raw) is None
