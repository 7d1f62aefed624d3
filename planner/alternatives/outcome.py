"""A variant solved: its fleet and money, or the reasons why there is none."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from planner.alternatives import late
from planner.alternatives.variants import Variant, unserved
from planner.answer import fleet
from planner.answer.decided import Decided
from planner.answer.money import Books, books, quantities
from planner.answer.tax import in_convention
from planner.candidates.assemble import build
from planner.candidates.case import Case
from planner.errors import InfeasibleError, StoppedError
from planner.finance.ledger import Input, Line, Rows
from planner.result import OptionRow, Plan

GAP_FRAC = 0.01
"""At which a variant counts as solved: a comparison needs no more."""
TIME_LIMIT_S = 45.0


@dataclass(frozen=True)
class Answered:
    """An option, and the ledger rows that its quantities need."""

    row: OptionRow
    lines: tuple[Line, ...] = ()
    inputs: tuple[Input, ...] = ()

    @property
    def rows(self) -> Rows:
        """As the ledger joins them."""
        return self.lines, self.inputs


@dataclass(frozen=True)
class _Found:
    decided: Decided
    money: Books


def outcome(variant: Variant, *, gap: float = GAP_FRAC, limit_s: float = TIME_LIMIT_S) -> Answered:
    """Solve a variant; an infeasible one is an answer with its reasons.

    Parameters
    ----------
    gap : (cost - bound) / cost at which the search ends.
    limit_s : wall time of each search.
    """
    started = time.perf_counter()
    try:
        found = _answered(variant, gap, limit_s)
    except InfeasibleError as none:
        found = Answered(_without(variant, "infeasible", _plain(none.reasons)))
    except StoppedError as none:
        found = Answered(_without(variant, "unsolved", [str(none)]))
    seconds = time.perf_counter() - started
    return replace(found, row=found.row.model_copy(update={"seconds": seconds}))


def _answered(variant: Variant, gap: float, limit_s: float) -> Answered:
    question = variant.case()
    hopeless = unserved(question, variant.supply)
    if hopeless:
        raise InfeasibleError(hopeless)
    try:
        return _priced(variant, _solved(question, gap, limit_s))
    except InfeasibleError as none:
        problem, _ = build(question)
        for first in late.first_periods(problem):
            try:
                found = _solved(late.from_period(question, first), gap, limit_s)
            except InfeasibleError:
                continue
            answer = _priced(variant, found)
            update = {
                "status": "late",
                "reasons": late.reasons(question, problem, first, _plain(none.reasons)),
                "serves_from": problem.labels.periods[first],
                "served_frac": late.served_frac(question, first),
            }
            return replace(answer, row=answer.row.model_copy(update=update))
        raise


def _solved(question: Case, gap: float, limit_s: float) -> _Found:
    from planner.optimize.solve import optimize  # noqa: PLC0415  (Pyomo takes half a second)

    def decide(now: Case) -> Decided:
        problem, axes = build(now)
        return Decided(now, problem, axes, optimize(problem, gap=gap, time_limit_s=limit_s))

    decided = in_convention(question, decide)
    return _Found(decided, books(decided))


def _priced(variant: Variant, found: _Found) -> Answered:
    x = found.decided.solution
    row = OptionRow(
        name=variant.name,
        title=variant.title,
        status="solved",
        npv_usd=found.money.npv_usd,
        bound_usd=x.bound_usd,
        gap_frac=x.gap_frac,
        fleet=fleet.fleet(found.decided),
        apis=fleet.apis(found.decided),
        ledger_quantities=quantities(found.money),
    )
    return Answered(row, found.money.lines, found.money.inputs)


def _without(variant: Variant, status: str, reasons: Sequence[str]) -> OptionRow:
    return OptionRow.model_validate(
        {
            "name": variant.name, "title": variant.title, "status": status,
            "reasons": list(reasons), "served_frac": 0.0,
        }
    )  # fmt: skip


def _plain(reasons: Sequence[str]) -> list[str]:
    """Reasons with the names of limits as words."""
    from planner.optimize.explain import UNITS  # noqa: PLC0415  (Pyomo takes half a second)

    parts = (reason.partition(":") for reason in reasons)
    return [
        f"{family.replace('_', ' ')}{colon}{rest}" if family in UNITS else f"{family}{colon}{rest}"
        for family, colon, rest in parts
    ]


def nothing(plan: Plan) -> OptionRow:
    """Doing nothing: without machines of one's own, no capacity."""
    classes = ", ".join(row.name for row in plan.demand)
    return OptionRow(
        name="nothing",
        title="Do nothing",
        status="nothing",
        reasons=[f"no machines are held: no capacity, no cost, and {classes} is not served"],
        served_frac=0.0,
        npv_usd=0.0,
    )
