"""Write the sample reports again: python -m tests.samples.update [--render] [NAME ...].

Without --render each scenario is solved first; with it the reports and previews are built from the
plan that is stored, which is what a change of the reports needs. LibreOffice, pdftoppm and
Chromium draw the previews.
"""

from __future__ import annotations

import sys

import planner
from planner.files.plan_json import read_plan
from planner.report import write
from planner.result import Plan
from tests.golden.cases import GAPS, TIME_LIMIT_S
from tests.samples.cases import NAMES, PLAN, folder, render


def update(names: list[str], *, solved: bool) -> None:
    """The reports of these scenarios, of all if none is named."""
    for name in names or NAMES:
        where = folder(name)
        if not solved:
            write(_solved(name), where / PLAN)
        render(read_plan(where / PLAN), where)
        size = sum(path.stat().st_size for path in where.iterdir())
        sys.stdout.write(f"{where}: {size / 1e6:,.1f} MB\n")


def _solved(name: str) -> Plan:
    """The plan with all that a report can show."""
    scenario = planner.load(name)
    return planner.solve(scenario, gap=GAPS[name], time_limit_s=TIME_LIMIT_S, options=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    update([word for word in words if word != "--render"], solved="--render" in words)
