"""Sample reports say what today's reports would say of the same plans; nothing is solved here."""

from __future__ import annotations

import zipfile
from io import BytesIO
from itertools import zip_longest

import openpyxl
import pytest

from planner.files.plan_json import read_plan
from planner.report.html import html_text
from planner.report.workbook import workbook_bytes
from planner.result import Plan
from tests.samples.cases import (
    DECISION_PREVIEW,
    FILES,
    NAMES,
    PAGE,
    PAGE_PREVIEW,
    PLAN,
    TOTAL_BYTES_MOST,
    UPDATE,
    WORKBOOK,
    folder,
)

LEAST_PREVIEW_BYTES = 20_000
"""An empty picture of that size is smaller."""
SHOWN_MOST = 10
CASES = [pytest.param(name, marks=() if name == "chat_8b" else pytest.mark.slow) for name in NAMES]


def stored(name: str) -> Plan:
    return read_plan(folder(name) / PLAN)


def fail(name: str, lines: list[str]) -> None:
    text = "\n  ".join(lines[:SHOWN_MOST])
    pytest.fail(f"reports/{name} has drifted:\n  {text}\nwrite it again: {UPDATE}", pytrace=False)


@pytest.mark.parametrize("name", CASES)
def test_workbook_has_the_same_cells(name):
    kept = (folder(name) / WORKBOOK).read_bytes()
    built = workbook_bytes(stored(name))
    if _parts(kept) == _parts(built):
        return
    moved = [*_moved(kept, built, data_only=False), *_moved(kept, built, data_only=True)]
    if moved:
        fail(name, moved)


def _parts(raw: bytes) -> dict[str, bytes]:
    """What a workbook holds, without its file times."""
    with zipfile.ZipFile(BytesIO(raw)) as package:
        return {entry: package.read(entry) for entry in package.namelist()}


def _moved(kept: bytes, built: bytes, *, data_only: bool) -> list[str]:
    """Cells whose formula (or value) is not that of the stored workbook."""
    old = openpyxl.load_workbook(BytesIO(kept), data_only=data_only, read_only=True)
    new = openpyxl.load_workbook(BytesIO(built), data_only=data_only, read_only=True)
    if old.sheetnames != new.sheetnames:
        return [f"sheets {old.sheetnames}, now {new.sheetnames}"]
    return [
        f"{title}, row {number}: {before!r}, now {after!r}"
        for title in old.sheetnames
        for number, (one, two) in enumerate(
            zip_longest(
                old[title].iter_rows(values_only=True),
                new[title].iter_rows(values_only=True),
                fillvalue=(),
            ),
            1,
        )
        for before, after in zip_longest(one, two)
        if before != after
    ]


@pytest.mark.parametrize("name", CASES)
def test_page_says_the_same(name):
    kept = (folder(name) / PAGE).read_text(encoding="utf-8").splitlines()
    built = html_text(stored(name)).splitlines()
    moved = [
        f"line {number}: {str(before)[:80]!r}, now {str(after)[:80]!r}"
        for number, (before, after) in enumerate(zip_longest(kept, built), 1)
        if before != after
    ]
    if moved:
        fail(name, moved)


@pytest.mark.parametrize("name", NAMES)
def test_every_sample_has_its_files_and_previews(name):
    assert {path.name for path in folder(name).iterdir()} >= set(FILES)
    for preview in (DECISION_PREVIEW, PAGE_PREVIEW):
        raw = (folder(name) / preview).read_bytes()
        assert raw.startswith(b"\x89PNG")
        assert len(raw) > LEAST_PREVIEW_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_whole_plans_of_their_scenarios(name):
    plan = stored(name)
    assert plan.scenario["name"] == name
    assert plan.status == "optimal"
    assert all(row.holds for row in plan.audit)


def test_samples_stay_small():
    paths = [folder(name) / file for name in NAMES for file in FILES]
    assert sum(path.stat().st_size for path in paths) < TOTAL_BYTES_MOST
