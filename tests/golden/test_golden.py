"""Packaged scenarios give the plans they gave; a change of a number is a decision."""

import pytest

from tests.golden.cases import expected, numbers, solve


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("chat_8b", marks=pytest.mark.slow),
        "enterprise_405b",
        pytest.param("portfolio", marks=pytest.mark.slow),
    ],
)
def test_plan_of_a_packaged_scenario(name):
    plan = solve(name)
    assert plan.status == "optimal"
    assert all(row.holds for row in plan.audit)
    found, kept = numbers(plan), expected(name)
    moved = [
        f"{key}: {found[key]['value']:,.6g}, kept {row['value']:,.6g} within {row['rel']:.1%}"
        for key, row in kept.items()
        if key in found and found[key]["value"] != pytest.approx(row["value"], rel=row["rel"])
    ]
    moved += [f"{key}: new" for key in found.keys() - kept.keys()]
    moved += [f"{key}: gone" for key in kept.keys() - found.keys()]
    if moved:
        lines = "\n  ".join(sorted(moved))
        pytest.fail(
            f"{name} has moved:\n  {lines}\nif that is meant: python -m tests.golden.update {name}",
            pytrace=False,
        )
