"""The plan as one page: no network, charts to hover, prints to PDF, every text only text.

The page carries its library, its style and its data. A policy in its head forbids the network
and every script but the two that stand in it, each by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from planner.report import html_books, html_fleet, html_lists, html_options
from planner.report.html_decision import decision
from planner.report.html_model import Section
from planner.report.html_money import Money, commitments, costs, paid
from planner.report.html_parts import parts
from planner.report.ledger_view import view
from planner.report.words import gap_text
from planner.result import Plan

TEMPLATES = "templates"


def html_bytes(plan: Plan) -> bytes:
    """The page, UTF-8."""
    return html_text(plan).encode()


def html_text(plan: Plan) -> str:
    """The page."""
    found = html_lists.verdicts(plan)
    shown = sections(plan, html_lists.audit(plan, found))
    first, last = plan.periods[0].label, plan.periods[-1].label
    return page(
        "page.html.j2",
        shown,
        title=str(plan.scenario.get("title") or plan.scenario.get("name") or "Plan"),
        subtitle=f"Fleet decision {first} to {last}, {gap_text(plan)}; "
        f"solved {plan.created_at[:10]}",
        holds=all(check.holds for check in found),
        tool=f"inference-fleet-planner {plan.tool_version}",
    )


def page(template: str, shown: list[Section], **words: Any) -> str:
    """A template with the sections, and all that lets the page stand alone."""
    library, script, style = _asset("chart.umd.min.js"), _asset("page.js"), _asset("page.css")
    return _environment().get_template(template).render(
        sections=shown,
        data=_data(shown),
        library=library,
        script=script,
        style=style,
        licence=_asset("chart.LICENSE.md"),
        policy=_policy([library, script], style),
        **words,
    )  # fmt: skip


def sections(plan: Plan, audit: Section) -> list[Section]:
    """What the page holds, in reading order; parts without content are left out."""
    whole = view(plan)
    seen = paid(whole)
    money = Money.of_view(seen)
    found = (
        decision(plan, seen, money),
        html_options.options(plan, money),
        html_options.sensitivity(plan, whole, money),
        html_options.metrics(plan, seen, money),
        html_fleet.demand(plan),
        html_fleet.fleet(plan),
        html_lists.trail(plan),
        html_fleet.latency(plan),
        html_lists.candidates(plan),
        costs(seen, money),
        html_books.profit(seen, money),
        html_books.assets(seen, money),
        commitments(plan, seen, money, html_books.contract_blocks(plan, whole, money)),
        html_books.tax(seen, money),
        *parts(plan),
        html_lists.inputs(plan),
        html_lists.sources(plan),
        audit,
        html_lists.about(plan),
    )
    return [section for section in found if section is not None and section.blocks]


def _data(shown: list[Section]) -> dict[str, Any]:
    """What the page's script draws."""
    return {
        "charts": [chart.data() for section in shown for chart in section.charts],
        "grids": [grid.data() for section in shown for grid in section.grids],
    }


def _policy(scripts: list[str], style: str) -> str:
    """Content security policy: these scripts and this style, nothing from anywhere."""
    allowed = " ".join(f"'{_digest(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src '{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _asset(name: str) -> str:
    """A file of the templates' folder; the hint to a library's map is dropped, it is not here."""
    text = (files("planner.report") / TEMPLATES / name).read_text(encoding="utf-8")
    return "\n".join(x for x in text.splitlines() if not x.startswith("//# sourceMappingURL="))


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("planner.report", TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
