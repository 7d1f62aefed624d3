"""Reading a page as a browser would, and plans whose every text is hostile."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

from planner.result import Plan
from tests.plan_fixture import small_plan

HOSTILE = "</script><script>hacked=1</script><img src=x onerror=hacked=1>\"'&{{7*7}}`${1}<!--"
"""Ends a script, starts one, breaks out of attributes, is a template, opens a comment."""
_KEPT = {
    "plan_version", "created_at", "status", "day", "kind", "option", "key", "formula", "start",
    "basis", "category",
}  # fmt: skip
"""Fields whose words the program reads: enumerations, formulas, dates."""


class Page(HTMLParser):
    """Tags in order, the text between them, what stands in scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._inside: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag in ("script", "style"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        (self.scripts if self._inside else self.texts).append(data)

    @property
    def text(self) -> str:
        """All that is read, blanks joined."""
        return " ".join(" ".join(self.texts).split())

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script draws."""
        found = next(text for text in self.scripts if text.startswith('{"charts"'))
        read: dict[str, Any] = json.loads(found)
        return read


def hostile_plan() -> Plan:
    """The small plan with the hostile text behind every word that a person could have written."""
    plan = small_plan().model_dump()
    return Plan.model_validate({key: _spoiled(key, value) for key, value in plan.items()})


def _spoiled(key: str, value: Any, inside: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _spoiled(name, item, inside or key) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spoiled(key, item, inside or key) for item in value]
    program = key in _KEPT or (key, inside) in {("name", "ledger_inputs"), ("label", "candidates")}
    return f"{value}{HOSTILE}" if isinstance(value, str) and not program else value
