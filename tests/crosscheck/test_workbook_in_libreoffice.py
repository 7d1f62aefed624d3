"""LibreOffice recomputes the shipped workbook, as it stands and with every lever changed.

The same levers as for IronCalc; the comparison is with the same plans costed again.
"""

import pytest

from planner.report.workbook import write_workbook
from tests.compared_plan import compared_plan
from tests.crosscheck.workbook_engines import (
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


@pytest.mark.parametrize(
    "chosen", [[*tries(slow=False), (COMPARED, {})], tries(slow=True)], ids=["small", "samples"]
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
