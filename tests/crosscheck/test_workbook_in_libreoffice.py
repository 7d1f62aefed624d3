"""LibreOffice recomputes the shipped workbook, as it stands and with every lever changed.

The same levers as for IronCalc: one by one in the small workbooks, in the samples all of a workbook
at once, but for those whose change has checks of its own. The comparison is with the same plans
costed again.
"""

import pytest

from planner.report.workbook import write_workbook
from tests.compared_plan import compared_plan
from tests.crosscheck.workbook_engines import (
    BOOKS_ONLY,
    OTHER_MONTHS,
    SOFFICE,
    Case,
    check,
    in_libreoffice,
    tries,
    worst,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(SOFFICE is None, reason="LibreOffice (soffice) is not installed"),
]
COMPARED = Case("compared", compared_plan, ({},))
OWN_CHECKS = {OTHER_MONTHS, *BOOKS_ONLY, "payment_order_frac"}
"""The last one's shares sum to one only in the change as it is."""


def together(chosen):
    """Each workbook as it stands, with all its levers, and with those that have own checks."""
    alone = [(c, x) for c, x in chosen if not x or OWN_CHECKS & x.keys()]
    merged: dict[str, tuple[Case, dict]] = {}
    for case, changes in chosen:
        if (case, changes) not in alone:
            merged.setdefault(case.name, (case, {}))[1].update(changes)
    return [*alone, *merged.values()]


@pytest.mark.parametrize(
    "chosen",
    [[*tries(slow=False), (COMPARED, {})], together(tries(slow=True))],
    ids=["small", "samples"],
)
def test_libreoffice_agrees_after_every_change(chosen, tmp_path, record_property):
    paths = {}
    for case, _ in chosen:
        if case.name not in paths:
            paths[case.name] = tmp_path / f"{case.name}.xlsx"
            write_workbook(case.plan(), paths[case.name])
    seen = in_libreoffice([(paths[case.name], changes) for case, changes in chosen], tmp_path)
    found = [check(one, *tried) for one, tried in zip(seen, chosen, strict=True)]
    record_property("agreement", worst(found))
