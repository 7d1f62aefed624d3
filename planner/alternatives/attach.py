"""The plan with its options: one ledger whose lines serve them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.alternatives.outcome import Answered, nothing
from planner.answer.sources import ledger_inputs
from planner.finance import ledger, tax
from planner.finance.ledger import Input, Rows
from planner.finance.lines import assemble
from planner.result import Plan


def with_options(plan: Plan, found: Sequence[Answered], asked: int) -> Plan:
    """The plan beside its options, doing nothing last.

    Its ledger gains the lines that only options use; the plan has no quantity of them, so its
    own money does not move.

    Parameters
    ----------
    asked : variants that were to be solved; a note says so where some are missing.
    """
    given = tuple(_input(row.model_dump()) for row in plan.ledger_inputs)
    own = ledger.load(plan.ledger_lines), given
    lines, inputs = _joined([own, *(one.rows for one in found)])
    missing = asked - len(found)
    left = [f"{missing} of {asked} options were not solved: stopped early."] if missing else []
    return plan.model_copy(
        update={
            "options": [plan.as_option(), *(one.row for one in found), nothing(plan)],
            "ledger_lines": ledger.dump(lines),
            "ledger_inputs": ledger_inputs(inputs),
            "notes": [*plan.notes, *left],
        }
    )


def _joined(parts: Sequence[Rows]) -> Rows:
    """One ledger; where tax is the company's, it is of the deductions of all parts."""
    lines, inputs = assemble(
        (tuple(line for line in part if line.group != tax.COMPANY), given) for part, given in parts
    )
    made = tax.deductions(lines)
    company = (
        replace(line, formula=tax.summed(made[line.key])) if line.key in made else line
        for line in parts[0][0]
        if line.group == tax.COMPANY
    )
    return (*lines, *company), inputs


def _input(row: dict[str, object]) -> Input:
    return Input(**row)  # type: ignore[arg-type]
