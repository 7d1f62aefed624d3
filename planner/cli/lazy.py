"""Groups of commands whose modules are read when they are asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyEntries(click.Group):
    """A group with one module a command; `entries` gives the module of each name."""

    def __init__(self, *words: Any, entries: Mapping[str, str], **settings: Any) -> None:
        super().__init__(*words, **settings)
        self.entries = dict(entries)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a reader meets them."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in self.entries:
            return None
        command = importlib.import_module(self.entries[cmd_name]).command
        return command if isinstance(command, click.Command) else None
