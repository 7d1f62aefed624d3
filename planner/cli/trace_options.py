"""Options of every command that reads a trace of requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from planner.files.trace_rules import CLEAN_RULES, ROLES, TIME_UNITS

F = TypeVar("F", bound=Callable[..., Any])


def column_map_option(function: F) -> F:
    """--column-map, where columns have names of their own."""
    return click.option(
        "--column-map", "columns", help=f"ROLE=COLUMN,... with the roles {', '.join(ROLES)}."
    )(function)


def time_unit_option(function: F) -> F:
    """--time-unit of numeric stamps."""
    return click.option(
        "--time-unit",
        type=click.Choice(list(TIME_UNITS)),
        help="Of numeric stamps; default: by their size.",
    )(function)


def clean_option(function: F) -> F:
    """--clean, for what may be dropped or moved."""
    return click.option(
        "--clean",
        type=click.Choice(list(CLEAN_RULES)),
        multiple=True,
        help="What may be dropped or moved; nothing is without it.",
    )(function)


def column_map(text: str | None) -> dict[str, str]:
    """Column by role, as written after --column-map.

    Examples
    --------
    >>> column_map("timestamp=sent, input_tokens=prompt")
    {'timestamp': 'sent', 'input_tokens': 'prompt'}
    """
    found: dict[str, str] = {}
    for part in (text or "").split(",") if text else []:
        role, sign, column = (word.strip() for word in part.partition("="))
        if not sign or not column or role not in ROLES:
            known = ", ".join(ROLES)
            raise click.BadParameter(f"--column-map: {part!r}: write ROLE=COLUMN; roles: {known}")
        found[role] = column
    return found
