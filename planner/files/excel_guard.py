"""What is looked at before a workbook is opened: a file from elsewhere may be built to do harm.

Refused: other formats and macros, large files, archives that unpack into much more than they
hold, links to other files, XML with a document type or entities. Nothing of the content is
interpreted until all of this has passed.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from xml.sax import SAXException
from xml.sax.handler import ContentHandler

import defusedxml.sax
from defusedxml.common import DefusedXmlException

from planner.errors import ScenarioError

FILE_MAX_BYTES = 5_000_000
UNPACKED_MAX_BYTES = 50_000_000
PARTS_MAX = 1_000
OTHER_FORMATS = {
    ".xlsm": "holds macros",
    ".xltm": "holds macros",
    ".xlsb": "is a binary workbook",
    ".xls": "is a workbook of the old format",
    ".ods": "is an OpenDocument spreadsheet",
}
"""Spreadsheets that are not read, by suffix."""
_ACTIVE = (
    ("vbaproject", "macros"),
    ("xl/macrosheets/", "macros"),
    ("xl/activex/", "controls"),
    ("xl/externallinks/", "links to other files"),
    ("xl/connections", "connections to data elsewhere"),
    ("xl/querytables/", "connections to data elsewhere"),
    ("xl/embeddings/", "embedded files"),
)
"""Beginnings and parts of names inside the archive that a scenario has no use for."""


def refuse_other_format(suffix: str, where: str) -> None:
    """Refuse spreadsheets that are no .xlsx.

    Raises
    ------
    ScenarioError saying what to do.
    """
    if suffix.lower() in OTHER_FORMATS:
        what = OTHER_FORMATS[suffix.lower()]
        raise ScenarioError(where, [f"{what}; save it as .xlsx, which is read"])


def refuse_harmful(raw: bytes, where: str) -> None:
    """Check a workbook's bytes before anything parses them.

    Parameters
    ----------
    raw : the file; `FILE_MAX_BYTES` at most.
    where : name of the file, for messages.

    Raises
    ------
    ScenarioError with every reason found.
    """
    if len(raw) > FILE_MAX_BYTES:
        raise ScenarioError(where, [f"{len(raw):,} bytes; at most {FILE_MAX_BYTES:,} are read"])
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            problems = list(_of_archive(archive)) or list(_of_parts(archive))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError):
        problems = ["is no .xlsx workbook, or is protected by a password"]
    if problems:
        raise ScenarioError(where, problems)


def _of_archive(archive: zipfile.ZipFile) -> Iterator[str]:
    """By the archive's directory alone; zipfile never unpacks more than it states."""
    parts = archive.infolist()
    unpacked = sum(part.file_size for part in parts)
    if len(parts) > PARTS_MAX:
        yield f"{len(parts):,} parts; at most {PARTS_MAX:,} are read"
    if unpacked > UNPACKED_MAX_BYTES:
        yield f"unpacks into {unpacked:,} bytes; at most {UNPACKED_MAX_BYTES:,} are read"
    names = [part.filename.lower() for part in parts]
    if len(set(names)) < len(names):
        yield "two parts have the same name"
    if any(part.flag_bits & 1 for part in parts):
        yield "is protected by a password"
    if "[content_types].xml" not in names or "xl/workbook.xml" not in names:
        yield "is no .xlsx workbook"
    found = {what for mark, what in _ACTIVE if any(mark in name for name in names)}
    yield from (f"holds {what}; save it without" for what in sorted(found))


def _of_parts(archive: zipfile.ZipFile) -> Iterator[str]:
    for part in archive.infolist():
        if not part.filename.lower().endswith((".xml", ".rels", ".vml")):
            continue
        with archive.open(part) as stream:
            try:
                defusedxml.sax.parse(stream, ContentHandler(), forbid_dtd=True)
            except DefusedXmlException:
                yield f"{part.filename}: has a document type or entities, which are not read"
            except (SAXException, UnicodeError, LookupError) as error:
                yield f"{part.filename}: is no valid XML: {error}"
            except (zipfile.BadZipFile, zlib.error) as error:
                yield f"{part.filename}: cannot be unpacked: {error}"
    if b"macroenabled" in archive.read("[Content_Types].xml").lower():
        yield "holds macros; save it without"
