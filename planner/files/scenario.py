"""Scenario files: found by path or packaged name, read safely, refused with all reasons at once."""

from __future__ import annotations

import difflib
import importlib.resources
import json
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from planner.errors import ScenarioError
from planner.files.names import check_names, notes
from planner.files.plain_yaml import SIZE_MAX_BYTES, Document, parse
from planner.files.problems import found_value, meant, sentences, with_cells
from planner.files.write_yaml import block
from planner.schema.base import Later
from planner.schema.catalog import Catalog
from planner.schema.scenario import Scenario

__all__ = [
    "check_names",
    "dump_scenario",
    "left_at_default",
    "load_scenario",
    "notes",
    "packaged_names",
    "parse_scenario",
    "written",
]

_SUFFIXES = {".yaml", ".yml", ".json", ".xlsx"}


def load_scenario(path_or_name: str | Path, *, catalog: Catalog | None = None) -> Scenario:
    """Read a scenario file, or a packaged scenario by its name.

    Parameters
    ----------
    path_or_name : a YAML, JSON or Excel (.xlsx) file, or a name that `packaged_names` lists.
    catalog : names and prices to check the scenario against, if any.

    Raises
    ------
    ScenarioError with every problem of the file, each with path, line or cell, value and what
    would do.
    """
    where = str(path_or_name)
    path = Path(where)
    raw = _read(path, _packaged())
    if path.suffix.lower() in _SPREADSHEETS:
        scenario, document = _from_workbook(raw, path.suffix, where)
    else:
        document = parse(raw, where)
        scenario = _checked(document, where)
    problems = check_names(scenario, catalog) if catalog else []
    if problems:
        raise ScenarioError(where, with_cells(problems, document))
    return scenario


_SPREADSHEETS = {".xlsx", ".xlsm", ".xltm", ".xlsb", ".xls", ".ods"}


def _from_workbook(raw: bytes, suffix: str, where: str) -> tuple[Scenario, Document]:
    """Read a workbook; openpyxl is imported here, because most scenarios do not need it."""
    from planner.files.excel_guard import refuse_other_format
    from planner.files.excel_read import read_workbook

    refuse_other_format(suffix, where)
    document, wrong = read_workbook(raw, where)
    try:
        scenario = _checked(document, where)
    except ScenarioError as error:
        # A cell that could not be read is missing from the document too: say so once.
        others = [p for p in error.problems if p.split(": ")[0] not in wrong]
        raise ScenarioError(where, [*_by_cell(wrong), *others]) from None
    if wrong:
        raise ScenarioError(where, _by_cell(wrong))
    return scenario, document


def _by_cell(wrong: dict[str, str]) -> list[str]:
    return [f"{cell}: {what}" for cell, what in wrong.items()]


def parse_scenario(raw: bytes, where: str) -> Scenario:
    """Check the bytes of a YAML or JSON scenario file.

    Parameters
    ----------
    raw : YAML or JSON, UTF-8.
    where : name of the file, for messages.

    Raises
    ------
    ScenarioError with every problem found.
    """
    return _checked(parse(raw, where), where)


def _checked(document: Document, where: str) -> Scenario:
    if not isinstance(document.data, dict):
        what = "is empty" if document.data is None else f"is {found_value(document.data)}"
        raise ScenarioError(where, [f"{what}; a mapping with name, horizon, demand is needed"])
    try:
        # JSON mode is strict about numbers in quotes and yet reads lists as tuples.
        return Scenario.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        raise ScenarioError(where, sentences(error, _as_json(document), Scenario)) from None


def dump_scenario(scenario: Scenario, *, defaults: bool = True) -> str:
    """YAML of a scenario; reads back as the same scenario.

    Parameters
    ----------
    scenario : the scenario. Fields that are not supported yet are left out.
    defaults : fill in every default; else write what the scenario itself says.
    """
    if defaults:
        return block(scenario.model_dump(mode="json", exclude_none=True))
    return block(written(scenario))


def written(scenario: Scenario) -> dict[str, Any]:
    """What a scenario itself says, without its defaults, as plain values."""
    return {name: _plain(getattr(scenario, name)) for name in _said(scenario)}


def _said(model: BaseModel) -> list[str]:
    """Fields that were given; a kind of entry always counts, it decides what the others mean."""
    given = model.model_fields_set | ({"kind"} & type(model).model_fields.keys())
    return [n for n in type(model).model_fields if n in given and getattr(model, n) is not None]


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in _said(value)}
    if isinstance(value, dict):
        return {str(key): _plain(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(below) for below in value]
    return value.value if isinstance(value, Enum) else value


def packaged_names() -> list[str]:
    """Names of the scenarios that come with the planner."""
    return sorted(_packaged())


def left_at_default(scenario: Scenario) -> dict[str, Any]:
    """Fields that the scenario does not name, by path, with the value they then have.

    Parameters
    ----------
    scenario : as read. Empty defaults and fields that are not supported yet are left out.
    """
    return dict(_defaults(scenario, ""))


def _defaults(value: BaseModel, path: str) -> Iterator[tuple[str, Any]]:
    plain = value.model_dump(mode="json")
    for name, info in type(value).model_fields.items():
        here, below = f"{path}{name}", getattr(value, name)
        if any(isinstance(mark, Later) for mark in info.metadata):
            continue
        if isinstance(below, BaseModel):
            yield from _defaults(below, f"{here}.")
        elif name not in value.model_fields_set:
            if below not in (None, (), {}, ""):
                yield here, plain[name]
        elif isinstance(below, tuple):
            for i, entry in enumerate(below):
                if isinstance(entry, BaseModel):
                    label = getattr(entry, "name", i)
                    yield from _defaults(entry, f"{here}[{label}].")


def _packaged() -> dict[str, Path]:
    package = Path(str(importlib.resources.files("planner")))
    for folder in (package / "data" / "scenarios", package.parent / "scenarios"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def _read(path: Path, packaged: dict[str, Path]) -> bytes:
    where = str(path)
    try:
        if not path.is_file() and where in packaged:
            path = packaged[where]
        if path.is_dir():
            raise ScenarioError(where, ["is a folder; name one scenario file"])
        if not path.exists():
            raise ScenarioError(where, [_absent(path, packaged)])
        with path.open("rb") as stream:  # one byte over the limit is enough to refuse it
            return stream.read(SIZE_MAX_BYTES + 1)
    except OSError as error:
        raise ScenarioError(where, [f"cannot be read: {error.strerror}"]) from None


def _absent(path: Path, packaged: dict[str, Path]) -> str:
    here = path.parent
    files = [p.name for p in here.iterdir() if p.suffix in _SUFFIXES] if here.is_dir() else []
    near = difflib.get_close_matches(path.name, files, n=3, cutoff=0.5)
    if near:
        return f"no such file; near it: {', '.join(str(here / name) for name in near)}"
    return f"no such file or packaged scenario; packaged: {meant(path.stem, packaged)}"


def _as_json(document: Document) -> Document:
    """The document as JSON shows it to pydantic."""
    data: Any = json.loads(json.dumps(document.data))
    return Document(data, document.lines, document.cells)
