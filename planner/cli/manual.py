"""The pages of docs/ that follow from the code: `python -m planner.cli.manual docs` writes them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from planner.cli import group
from planner.files.output import write_text
from planner.files.template import model_classes
from planner.schema.base import Later
from planner.schema.scenario import Scenario

NOTE = "<!-- Written by `python -m planner.cli.manual docs`; edit the code instead. -->"
_MONTH = r"^\d{4}-(0[1-9]|1[0-2])$"
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}
_LENGTHS = {"minItems": "{} or more", "maxItems": "at most {}"}


def commands_page() -> str:
    """Markdown of every command with its help and options."""
    context = click.Context(group, info_name="planner")
    parts = ["# Commands", NOTE, _command(group, "planner")]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            raise LookupError(name)
        parts += _commands(command, f"planner {name}")
    return "\n\n".join(parts) + "\n"


def _commands(command: click.Command, path: str) -> Iterator[str]:
    yield _command(command, path)
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is None:
                raise LookupError(name)
            yield from _commands(child, f"{path} {name}")


def _command(command: click.Command, path: str) -> str:
    usage = " ".join([path, *(_argument(a) for a in _arguments(command))])
    parts = [f"## {path}", f"    {usage} [OPTIONS]", _help(command.help or "")]
    rows = [f"| `{_flags(o)}` | {_option_text(o)} |" for o in _options(command)]
    if rows:
        parts.append("\n".join(["| option | meaning |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def _help(text: str) -> str:
    """Help as Markdown: paragraphs kept in shape become code blocks."""
    parts = []
    for part in inspect.cleandoc(text).split("\n\n"):
        kept, title, *lines = part.split("\n") if part.startswith("\b") else ("", part)
        parts += ["\n".join([title, "", *lines])] if kept else [part]
    return "\n\n".join(parts)


def _arguments(command: click.Command) -> list[click.Argument]:
    return [p for p in command.params if isinstance(p, click.Argument)]


def _argument(argument: click.Argument) -> str:
    kind = argument.type
    choices = "|".join(map(str, kind.choices)) if isinstance(kind, click.Choice) else ""
    word = choices or str(argument.name).upper()
    return word if argument.required else f"[{word}]"


def _options(command: click.Command) -> list[click.Option]:
    return [p for p in command.params if isinstance(p, click.Option)]


def _flags(option: click.Option) -> str:
    return ", ".join(option.opts)


def _option_text(option: click.Option) -> str:
    shown = f" Default: {option.default}." if option.show_default else ""
    more = " May be repeated." if option.multiple else ""
    return f"{option.help}{shown}{more}".replace("|", "\\|")


def scenario_page() -> str:
    """Markdown of every key of a scenario."""
    schema = Scenario.model_json_schema()
    intro = (
        "A scenario is one YAML file. `planner new` writes one with comments, `planner check`\n"
        "names everything that is wrong with it, and `planner schema` prints the JSON Schema for\n"
        "editors. Keys without a default are required. Keys marked *later* are refused by name\n"
        "until they do what they say."
    )
    parts = ["# The scenario file", NOTE, intro]
    for model in _reachable(Scenario):
        parts += [f"## {model.__name__}", *([_about(model)] if _about(model) else [])]
        parts.append("\n".join(_table(model, schema)))
    return "\n\n".join(parts) + "\n"


def _about(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "")


def _reachable(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Classes in reading order, each once."""
    found = [model]
    for info in model.model_fields.values():
        for child in model_classes(info.annotation):
            found += [m for m in _reachable(child) if m not in found]
    return list(dict.fromkeys(found))


def _table(model: type[BaseModel], schema: dict[str, Any]) -> Iterator[str]:
    node = schema if model is Scenario else schema["$defs"][model.__name__]
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for key, info in model.model_fields.items():
        child = node["properties"][key]
        later = any(isinstance(mark, Later) for mark in info.metadata)
        default = "" if info.is_required() or later else _default(child)
        meaning = " ".join((info.description or "").split())
        cells = [f"`{key}`", "*later*" if later else words(child, schema), default, meaning]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(node: dict[str, Any]) -> str:
    default = node.get("default")
    if isinstance(default, dict) and default:
        return "see there"
    return "none" if default in (None, "", [], {}) else f"`{default}`"


def words(node: dict[str, Any], schema: dict[str, Any]) -> str:
    """What a JSON Schema node accepts, in words.

    Examples
    --------
    >>> words({"type": "number", "minimum": 0, "maximum": 1}, {})
    'number, at least 0, at most 1'
    """
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        target = schema["$defs"][name]
        return words(target, schema) if "enum" in target else f"[{name}](#{name.lower()})"
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    parts = node.get("anyOf") or node.get("oneOf")
    if parts:
        return " or ".join(words(p, schema) for p in parts if p.get("type") != "null")
    return _typed(node, schema)


def _typed(node: dict[str, Any], schema: dict[str, Any]) -> str:
    kind = node.get("type")
    if kind == "array":
        entries = words(node["items"], schema) if "items" in node else "anything"
        if node.get("minItems") == node.get("maxItems") is not None:
            return f"list of {node['minItems']}: {entries}"
        return ", ".join([f"list of {entries}", *_limits(node, _LENGTHS)])
    if kind == "object":
        return f"mapping of names to {words(node.get('additionalProperties', {}), schema)}"
    if kind == "string":
        return "month, as 2027-01" if node.get("pattern") == _MONTH else "text"
    plain = {"number": "number", "integer": "whole number", "boolean": "true or false"}
    return ", ".join([plain.get(str(kind), "anything"), *_limits(node, _BOUNDS)])


def _limits(node: dict[str, Any], texts: dict[str, str]) -> list[str]:
    return [text.format(f"{node[key]:g}") for key, text in texts.items() if key in node]


def write_pages(folder: Path) -> None:
    """Write commands.md and scenario.md."""
    write_text(folder / "commands.md", commands_page())
    write_text(folder / "scenario.md", scenario_page())


if __name__ == "__main__":
    write_pages(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
