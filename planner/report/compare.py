"""Several plans side by side, all against the first: what differs, by how much, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from planner.report.compare_bridge import Bridge, bridge
from planner.report.compare_changes import Change, changes, summary
from planner.report.compare_inputs import Difference, catalog_differences, scenario_differences
from planner.report.compare_metrics import Metric, currency, metrics, months_differ, sides
from planner.report.words import gap_text
from planner.result import Plan


@dataclass(frozen=True)
class Failure:
    """A scenario without a plan."""

    name: str
    kind: str
    """InfeasibleError or StoppedError."""
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Named:
    """A plan under the name that distinguishes it here."""

    name: str
    plan: Plan

    @property
    def title(self) -> str:
        """Title of its scenario."""
        return str(self.plan.scenario.get("title") or self.name)

    @property
    def stopped(self) -> bool:
        """Whether its solve ended before its gap was reached."""
        return self.plan.status != "optimal" and math.isfinite(self.plan.bound_usd)


@dataclass(frozen=True)
class Pair:
    """One plan against the first."""

    name: str
    changes: tuple[Change, ...]
    scenario: tuple[Difference, ...]
    catalog: tuple[Difference, ...]
    bridge: Bridge | None
    refused: str = ""
    """Why there is no bridge, and money is not compared month by month."""

    @property
    def summary(self) -> str:
        """2 to add, 1 to change, 1 to drop: machines and APIs."""
        return summary([one for one in self.changes if one.section != "configurations"])


@dataclass(frozen=True)
class Comparison:
    """Everything that the reports of a comparison print."""

    plans: tuple[Named, ...]
    failures: tuple[Failure, ...]
    metrics: tuple[Metric, ...]
    pairs: tuple[Pair, ...]
    """The second plan and every later one against the first."""

    @property
    def first(self) -> Named:
        """The plan that the others are compared with."""
        return self.plans[0]


def compare(plans: Sequence[Named], failures: Sequence[Failure] = ()) -> Comparison:
    """Compare plans with the first of them.

    Parameters
    ----------
    plans : at least one; with a single one its figures stand alone.
    failures : scenarios that have no plan, named in every report.
    """
    answers = [one.plan for one in plans]
    pairs = tuple(_pair(plans[0].plan, one) for one in plans[1:])
    return Comparison(tuple(plans), tuple(failures), metrics(sides(answers)), pairs)


def _pair(first: Plan, other: Named) -> Pair:
    refused = _refused(first, other.plan)
    return Pair(
        other.name,
        changes(first, other.plan),
        scenario_differences(first, other.plan),
        catalog_differences(first, other.plan),
        None if refused else bridge(first, other.plan),
        refused,
    )


def _refused(first: Plan, second: Plan) -> str:
    if currency(first) != currency(second):
        return (
            f"no money is compared: {currency(first)} against {currency(second)}, and neither "
            "plan says how one is exchanged for the other"
        )
    if months := months_differ(first, second):
        return (
            f"no bridge: the horizons differ ({months}), so the cash of one plan covers other "
            "months than that of the other; compare the annualized cost"
        )
    return ""


def as_dict(found: Comparison) -> dict[str, Any]:
    """The comparison as plain data for JSON; the plans themselves are left out."""
    return {
        "plans": [_plan(one) for one in found.plans],
        "failures": [asdict(one) for one in found.failures],
        "metrics": [_metric(one, found.plans) for one in found.metrics],
        "against_first": [_pair_dict(pair) for pair in found.pairs],
    }


def _plan(one: Named) -> dict[str, Any]:
    plan = one.plan
    return {
        "name": one.name,
        "title": one.title,
        "scenario_sha256": plan.scenario_sha256,
        "status": plan.status,
        "gap": gap_text(plan),
        "created_at": plan.created_at,
    }


def _metric(one: Metric, plans: Sequence[Named]) -> dict[str, Any]:
    return {
        "family": one.family,
        "label": one.label,
        "unit": one.unit,
        "plans": [
            {
                "name": plan.name,
                "value": one.values[number],
                "change": one.change(number) if number else None,
                "change_frac": one.relative(number) if number else None,
                "note": one.note(number),
            }
            for number, plan in enumerate(plans)
        ],
    }


def _pair_dict(pair: Pair) -> dict[str, Any]:
    steps = pair.bridge and [asdict(step) for step in pair.bridge.steps]
    return {
        "name": pair.name,
        "summary": pair.summary,
        "changes": [asdict(one) for one in pair.changes],
        "scenario_differences": [asdict(one) for one in pair.scenario],
        "catalog_differences": [asdict(one) for one in pair.catalog],
        "bridge": pair.bridge
        and {
            "start_usd": pair.bridge.start_usd,
            "end_usd": pair.bridge.end_usd,
            "steps": steps,
            "by_cause_usd": pair.bridge.by_cause(),
            "left_usd": pair.bridge.left_usd,
        },
        "no_bridge": pair.refused,
    }
