"""Checks of service and its limits: tokens, power, and the export against the books."""

from __future__ import annotations

from planner.report.balances import EXPORTED
from planner.report.check import SHARE_FORMAT, Check, Parts
from planner.report.style import CENTS


def of_service(parts: Parts) -> list[Check]:
    """Those for which this plan has the figures."""
    return [*_tokens(parts), *_power(parts), *_focus(parts)]


def _tokens(parts: Parts) -> list[Check]:
    if parts.balances is None:
        return []
    return [
        Check(
            name=f"Tokens of {tie.name} served, of those demanded",
            note="share over the horizon: by machines, and bought from APIs in the ledger",
            found=f"={tie.found}", found_value=tie.found_value, expected_value=tie.expected_value,
            style=SHARE_FORMAT, when_plan_shown=True,
        )
        for tie in parts.balances.tokens
    ]  # fmt: skip


def _power(parts: Parts) -> list[Check]:
    if parts.balances is None:
        return []
    return [
        Check(
            name=f"Contracted power at {tie.name} within the site's limit",
            note="share of the limit in the fullest period, machines in service at full load",
            found=f"={tie.found}", found_value=tie.found_value, expected_value=tie.expected_value,
            style=SHARE_FORMAT, at_most=True,
        )
        for tie in parts.balances.power
    ]  # fmt: skip


def _focus(parts: Parts) -> list[Check]:
    """The export is made of the plan as it was written here."""
    if parts.balances is None:
        return []
    if parts.balances.focus_problem:
        return [
            Check(
                name=f"FOCUS export: {name[0].lower()}{name[1:]}",
                note=parts.balances.focus_problem, found_value=0.0, expected_value=1.0,
                style=SHARE_FORMAT,
            )
            for name in EXPORTED
        ]  # fmt: skip
    return [
        Check(
            name=f"FOCUS export: {tie.name[0].lower()}{tie.name[1:]}",
            note="USD, undiscounted, the whole life; while the inputs are those of the solve",
            found=f"={tie.found}", found_value=tie.found_value, expected=f"={tie.expected}",
            expected_value=tie.expected_value, style=CENTS, money=True, when_as_solved=True,
            when_plan_shown=True,
        )
        for tie in parts.balances.focus
    ]  # fmt: skip
