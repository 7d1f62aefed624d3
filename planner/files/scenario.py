"""Scenario files: found by path or packaged name, read safely, refused with all reasons at once."""

from __future__ import annotations

import difflib
import importlib.resources
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from planner.errors import ScenarioError
from planner.files.names import check_names, notes
from planner.files.plain_yaml import SIZE_MAX_BYTES, Document, parse, plain_value
from planner.files.problems import found_value, meant, sentences
from planner.schema.base import Later
from planner.schema.scenario import Scenario

__all__ = [
    "check_names",
    "dump_scenario",
    "left_at_default",
    "load_scenario",
    "notes",
    "packaged_names",
    "parse_scenario",
]

_SUFFIXES = {".yaml", ".yml", ".json"}


def load_scenario(path_or_name: str | Path) -> Scenario:
    """Read a scenario file, or a packaged scenario by its name.

    Parameters
    ----------
    path_or_name : a YAML or JSON file, or a name that `packaged_names` lists.

    Raises
    ------
    ScenarioError with every problem of the file, each with path, line, value and what would do.
    """
    name, packaged = str(path_or_name), _packaged()
    return parse_scenario(_read(Path(name), packaged), name)


def parse_scenario(raw: bytes, where: str) -> Scenario:
    """Check the bytes of a scenario file.

    Parameters
    ----------
    raw : YAML or JSON, UTF-8.
    where : name of the file, for messages.

    Raises
    ------
    ScenarioError with every problem found.
    """
    document = parse(raw, where)
    if not isinstance(document.data, dict):
        what = "is empty" if document.data is None else f"is {found_value(document.data)}"
        raise ScenarioError(where, [f"{what}; a mapping with name, horizon, demand is needed"])
    try:
        # JSON mode is strict about numbers in quotes and yet reads lists as tuples.
        return Scenario.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        raise ScenarioError(where, sentences(error, _as_json(document), Scenario)) from None


def dump_scenario(scenario: Scenario) -> str:
    """YAML of a scenario with every default filled in; reads back as the same scenario.

    Parameters
    ----------
    scenario : the scenario. Fields that are not supported yet are left out.
    """
    written = scenario.model_dump(mode="json", exclude_none=True)
    return yaml.dump(written, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that this planner's reader would take for something else."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if isinstance(plain_value(text), str) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


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
    return Document(data, document.lines)
