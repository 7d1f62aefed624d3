"""Workbooks built to do harm are refused before anything of them is read."""

import io
import struct
import zipfile

import pytest

from planner.errors import ScenarioError
from planner.files.catalog import load_catalog
from planner.files.excel_guard import FILE_MAX_BYTES, refuse_harmful
from planner.files.excel_write import write_workbook
from planner.files.scenario import load_scenario
from planner.files.template import EXAMPLE


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    path = tmp_path_factory.mktemp("form") / "x.xlsx"
    write_workbook(path, EXAMPLE, load_catalog())
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(parts, *, compressed=True):
    raw = io.BytesIO()
    how = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(raw, "w", how) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return raw.getvalue()


def refused(raw):
    with pytest.raises(ScenarioError) as caught:
        refuse_harmful(raw, "x.xlsx")
    return caught.value.problems


def test_an_honest_workbook_passes(parts):
    refuse_harmful(packed(parts), "x.xlsx")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("xl/vbaProject.bin", "macros"),
        ("xl/macrosheets/sheet1.xml", "macros"),
        ("xl/activeX/activeX1.bin", "controls"),
        ("xl/externalLinks/externalLink1.xml", "links to other files"),
        ("xl/connections.xml", "connections"),
        ("xl/embeddings/oleObject1.bin", "embedded files"),
    ],
)
def test_active_content(parts, name, what):
    found = refused(packed({**parts, name: b"<a/>"}))
    assert any(what in text for text in found)


def test_macros_by_content_type(parts):
    types = parts["[Content_Types].xml"].replace(
        b"spreadsheetml.sheet.main+xml", b"spreadsheetml.sheet.macroEnabled.main+xml"
    )
    assert refused(packed({**parts, "[Content_Types].xml": types})) == (
        "holds macros; save it without",
    )


def test_bomb(parts):
    bomb = packed({**parts, "xl/worksheets/sheet99.xml": b" " * 60_000_000})
    assert len(bomb) < 200_000
    assert "unpacks into 60," in refused(bomb)[0]


def test_bomb_that_lies_about_its_size(parts):
    content = b"<a>" + b" " * 60_000_000 + b"</a>"
    raw = packed({**parts, "xl/lie.xml": content})
    size = struct.pack("<L", len(content))
    assert raw.count(size) == 2  # local and central header
    found = refused(raw.replace(size, struct.pack("<L", 100)))
    assert found[0].startswith("xl/lie.xml: cannot be unpacked")


def test_too_many_parts(parts):
    assert "parts; at most" in refused(packed({**parts, **{f"a{i}": b"" for i in range(1001)}}))[0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE a [<!ENTITY x "y">]>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE a [<!ENTITY x "aaaaaaaaaa"><!ENTITY y "&x;&x;&x;&x;&x;&x;">]>',
    ],
)
def test_document_types_and_entities(parts, head, encoding):
    text = f'<?xml version="1.0" encoding="{encoding}"?>{head}<a>&x;</a>'
    found = refused(packed({**parts, "xl/worksheets/sheet1.xml": text.encode(encoding)}))
    assert found == (
        "xl/worksheets/sheet1.xml: has a document type or entities, which are not read",
    )


def test_broken_xml(parts):
    found = refused(packed({**parts, "xl/styles.xml": b"<a><b></a>"}))
    assert found[0].startswith("xl/styles.xml: is no valid XML")


@pytest.mark.parametrize("raw", [b"", b"name: x", b"PK\3\4 and no more", b"\xd0\xcf\x11\xe0" * 99])
def test_no_archive(raw):
    assert refused(raw) == ("is no .xlsx workbook, or is protected by a password",)


def test_an_archive_of_something_else():
    assert "is no .xlsx workbook" in refused(packed({"a.txt": b"a"}))


def test_password(parts):
    raw = bytearray(packed(parts))
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        raw[raw.index(mark) + offset] |= 1
    assert "is protected by a password" in refused(bytes(raw))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_parts_of_one_name(parts):
    raw = io.BytesIO(packed(parts))
    with zipfile.ZipFile(raw, "a") as archive:
        archive.writestr("xl/workbook.xml", b"<a/>")
    assert "two parts have the same name" in refused(raw.getvalue())


def test_size(tmp_path):
    path = tmp_path / "big.xlsx"
    path.write_bytes(b"PK" + b"0" * FILE_MAX_BYTES)
    with pytest.raises(ScenarioError, match="at most 5,000,000 are read"):
        load_scenario(path)


@pytest.mark.parametrize("suffix", [".xlsm", ".XLSM", ".xls", ".xlsb", ".ods"])
def test_other_formats(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"anything")
    with pytest.raises(ScenarioError, match=r"save it as \.xlsx"):
        load_scenario(path)


def test_parts_that_openpyxl_cannot_follow(parts, tmp_path):
    for name in ("xl/workbook.xml", "xl/styles.xml", "xl/worksheets/sheet2.xml"):
        path = tmp_path / "x.xlsx"
        path.write_bytes(packed({**parts, name: b"<a/>"}))
        with pytest.raises(ScenarioError):
            load_scenario(path)
        path.write_bytes(packed({n: raw for n, raw in parts.items() if n != name}))
        with pytest.raises(ScenarioError):
            load_scenario(path)
