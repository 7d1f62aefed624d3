"""A scenario to start from: every key of the format with its meaning, the unused ones commented.

Keys, meanings and defaults come from the schema; only the example's own figures stand here.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from planner.files.plain_yaml import plain_value
from planner.schema.base import Later
from planner.schema.scenario import Scenario

WIDTH = 100
HEAD = """\
# A planning question for inference-fleet-planner.
# Lines that begin with "# " and a key are optional and show the default.
#   planner check {name}.yaml
#   planner solve {name}.yaml
"""
EXAMPLE: dict[str, Any] = {
    "name": "my_fleet",
    "title": "Assistant for 3,000 people: own room, cloud or API",
    "description": "Replace this by what is asked and for whom.",
    "horizon": {"start": "2027-01", "months": 36},
    "finance": {"discount_rate": 0.08},
    "demand": [
        {
            "kind": "online",
            "name": "chat",
            "models": ["llama-3.1-70b"],
            "users": 3000,
            "requests_per_user_per_day": 40,
            "profile": "office",
            "growth": {"rate_per_year": 0.25},
            "input_tokens": {"mean": 1500, "p95": 4000},
            "output_tokens": {"mean": 300, "p95": 800},
            "slo": {"ttft_ms": 2000, "tpot_ms": 60},
        }
    ],
    "sites": [
        {
            "name": "hq",
            "kind": "owned",
            "region": "us",
            "it_power_kw": 120,
            "racks": 6,
            "rack_kw": 25,
            "pue": 1.4,
            "electricity_usd_per_kwh": 0.1,
            "carbon_kg_per_kwh": 0.35,
            "rent_usd_per_kw_month": 100,
        },
        {"name": "cloud-us", "kind": "cloud", "region": "us"},
    ],
    "supply": {
        "options": ["owned", "on_demand", "reserved_1y", "reserved_3y", "api"],
        "accelerators": ["h100-sxm", "h200-sxm", "l40s"],
        "engines": ["vllm"],
        "tp_max": 8,
    },
    "sources": {"demand.chat": "Replace this by where the figures come from"},
}


def template(name: str, changes: Mapping[str, Any] | None = None) -> str:
    """YAML of a scenario that loads as it is, with the meaning of every key.

    Parameters
    ----------
    name : the scenario's name, as the schema allows it.
    changes : top-level keys to write instead of the example's.

    Returns
    -------
    Text that reads back as a scenario; a name that the schema refuses is refused on reading.
    """
    lines = _lines(Scenario, {**EXAMPLE, **(changes or {}), "name": name}, "")
    return HEAD.format(name=name) + "\n" + "\n".join(lines) + "\n"


def _lines(model: type[BaseModel], values: dict[str, Any], indent: str) -> Iterator[str]:
    for key, info in model.model_fields.items():
        if is_later(info):
            continue
        if key in values:
            yield from _written(key, values[key], info, indent)
        else:
            yield from _optional(key, info, indent)


def _optional(key: str, info: FieldInfo, indent: str) -> Iterator[str]:
    """A key that the example leaves out, commented, with its default."""
    default = info.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        yield _beside(f"{indent}# {key}:", info.description)
        for line in "\n".join(_lines(type(default), {}, "")).split("\n"):
            yield f"{indent}#   {line.removeprefix('# ')}"
    else:
        yield _beside(f"{indent}# {key}: {_flow(default)}".rstrip(), info.description)


def _written(key: str, value: Any, info: FieldInfo, indent: str) -> Iterator[str]:
    models = list(model_classes(info.annotation))
    if isinstance(value, dict) and models:
        yield _beside(f"{indent}{key}:", info.description)
        yield from _lines(models[0], value, indent + "  ")
    elif isinstance(value, list) and models:
        yield _beside(f"{indent}{key}:", info.description)
        first, *others = value
        lines = _lines(_kind(models, first), first, indent + "    ")
        yield f"{indent}  - {next(lines).strip()}"
        yield from lines
        yield from (f"{indent}  - {_flow(entry)}" for entry in others)
    elif isinstance(value, dict) and len(f"{indent}{key}: {_flow(value)}") > WIDTH:
        yield _beside(f"{indent}{key}:", info.description)
        yield from (f"{indent}  {entry}: {_flow(below)}" for entry, below in value.items())
    else:
        yield _beside(f"{indent}{key}: {_flow(value)}", info.description)


def model_classes(annotation: Any) -> Iterator[type[BaseModel]]:
    """Schema classes inside an annotation: of a list, a union, or itself."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        if part is not NoneType:
            yield from model_classes(part)


def _kind(models: list[type[BaseModel]], entry: dict[str, Any]) -> type[BaseModel]:
    """Of several classes the one whose `kind` the entry names."""
    for model in models:
        kind = model.model_fields.get("kind")
        if kind is not None and entry.get("kind") in get_args(kind.annotation):
            return model
    return models[0]


def _flow(value: Any) -> str:
    """A value on one line; JSON is YAML."""
    if isinstance(value, BaseModel):
        live = {k: i for k, i in type(value).model_fields.items() if not is_later(i)}
        return "{" + ", ".join(f"{k}: {_flow(getattr(value, k))}" for k in live) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(entry) for entry in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, str) and isinstance(plain_value(value), str) and _is_word(value):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _is_word(text: str) -> bool:
    return text.replace("-", "").replace("_", "").replace(".", "").isalnum()


def is_later(info: FieldInfo) -> bool:
    """Whether a field's behaviour does not exist yet, so that no form offers it."""
    return any(isinstance(mark, Later) for mark in info.metadata)


def _beside(line: str, text: str | None) -> str:
    """The meaning behind the line where it fits, else above it."""
    if not text:
        return line
    sentence = " ".join(text.split())
    if len(line) + len(sentence) + 4 <= WIDTH:
        return f"{line}  # {sentence}"
    indent = " " * (len(line) - len(line.lstrip()))
    above = textwrap.wrap(sentence, WIDTH - len(indent) - 3)
    return "\n".join([*(f"{indent}## {part}" for part in above), line])
