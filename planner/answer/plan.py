"""Plan: everything decided, labelled, with sources; what every report is made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from planner.answer import fleet, sources, trail
from planner.answer.class_cost import class_costs
from planner.answer.curves import curves
from planner.answer.decided import Decided
from planner.answer.money import books, quantities
from planner.answer.unit_price import cheapest
from planner.candidates.rows import rows
from planner.finance import ledger
from planner.problem import AuditRow
from planner.result import AuditLine, BindingLimit, Plan

Array = NDArray[np.float64]
AUDIT_REL = 1e-6
DISTRIBUTION = "inference-fleet-planner"


def plan(
    decided: Decided,
    *,
    gap_asked_frac: float,
    audit: Sequence[AuditRow],
    binding: Sequence[BindingLimit],
    seconds: Mapping[str, float],
) -> Plan:
    """The answer to a scenario."""
    money, today = books(decided), datetime.now(UTC).date()
    written = decided.case.scenario.model_dump(mode="json")
    costs = class_costs(decided, money)
    price, way = cheapest(decided.case)
    x = decided.solution
    return Plan(
        tool_version=version(DISTRIBUTION),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        scenario=written,
        scenario_sha256=sha256(written),
        status="optimal" if x.status == "optimal" else "stopped",
        gap_asked_frac=gap_asked_frac,
        npv_usd=money.npv_usd,
        bound_usd=x.bound_usd,
        gap_frac=x.gap_frac,
        rounding_usd=x.rounding_usd,
        seconds=dict(seconds),
        periods=fleet.periods(decided),
        blocks=fleet.blocks(decided),
        demand=fleet.demand(decided),
        fleet=fleet.fleet(decided),
        pools=fleet.pools(decided),
        apis=fleet.apis(decided),
        ledger_inputs=sources.ledger_inputs(money.inputs),
        ledger_quantities=quantities(money),
        ledger_lines=ledger.dump(money.lines),
        class_costs=costs,
        candidates=rows(decided.case.table, price, way),
        trails=trail.trails(decided, costs),
        curves=curves(decided),
        binding=list(binding),
        audit=[_audited(row) for row in audit],
        sources=sources.sources(decided, money, today),
        notes=sources.notes(decided, money, today),
    )


Use = tuple[str, tuple[str, ...], float, float, str]
"""Family, labels with the period last, used, limit, unit."""


def limits_in_use(rows: Sequence[Use]) -> list[BindingLimit]:
    """Limits that the plan uses up, those that hold in several periods as one line.

    Examples
    --------
    >>> [one.where for one in limits_in_use([("site_power", ("hq", "2027-Q1"), 9.0, 10.0, "kW"),
    ...                                      ("site_power", ("hq", "2027-Q2"), 9.0, 10.0, "kW")])]
    ['hq, 2 periods from 2027-Q1']
    """
    together: dict[tuple[str, tuple[str, ...], float, float, str], list[str]] = {}
    for family, labels, used, limit, unit in rows:
        key = (family, labels[:-1], used, limit, unit)
        together.setdefault(key, []).append(labels[-1])
    return [
        BindingLimit(family=family, where=_where(place, periods), used=used, limit=limit, unit=unit)
        for (family, place, used, limit, unit), periods in together.items()
    ]


def _where(place: Sequence[str], periods: Sequence[str]) -> str:
    when = periods[0] if len(periods) == 1 else f"{len(periods)} periods from {periods[0]}"
    return ", ".join((*place, when))


def sha256(written: Mapping[str, object]) -> str:
    """Fingerprint of a scenario: of its JSON with sorted keys."""
    text = json.dumps(written, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _audited(row: AuditRow) -> AuditLine:
    return AuditLine(
        family=row.family,
        rows=row.rows,
        worst_rel=float(np.nan_to_num(row.worst_rel, neginf=0.0)),
        where=row.where,
        holds=bool(row.worst_rel <= AUDIT_REL) or row.rows == 0,
    )
