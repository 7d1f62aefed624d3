"""The terminal summary fits and says what matters."""

import io

import pytest
from rich.console import Console

from planner.report import recost
from planner.report.console import REFUSED_COLUMNS, candidates_table, summary
from tests.compared_plan import compared_plan
from tests.plan_fixture import small_plan


def printed(renderable: object, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(renderable)
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 100])
def test_summary_fits_and_has_the_figures(width):
    plan = small_plan()
    text = printed(summary(plan), width)
    assert max(map(len, text.splitlines())) <= width
    assert f"{plan.npv_usd / 1e6:,.2f} USD million" in text
    assert "6.57" in text  # purchases of FY2027, 6,572,000
    assert "within 0.06% of the cheapest possible" in text
    assert "older than prices may be: H100, on demand" in text
    assert "5.41" in text  # USD per million tokens, assistant


@pytest.mark.parametrize("width", [80, 100])
def test_options_say_what_they_cost_or_why_they_cannot(width):
    plan = compared_plan()
    text = printed(summary(plan), width)
    assert max(map(len, text.splitlines())) <= width
    lines = text.splitlines()
    rented = plan.options[1]
    apart = rented.npv_usd - plan.npv_usd
    (line,) = [x for x in lines if "All on demand" in x]
    assert f"{rented.npv_usd / 1e6:,.2f}" in line
    assert f"{apart / 1e6:+,.2f}" in line
    (late,) = [x for x in lines if "All owned" in x]
    assert "from 2027-Q3 on" in late
    (refused,) = [x for x in lines if "API only" in x]
    assert "cannot: =no provider" in refused


def test_a_recosted_plan_claims_no_gap():
    text = printed(summary(recost(small_plan(), {"finance.discount_rate": 0.1})), 100)
    assert "not optimized for these inputs" in text
    assert "inf" not in text.split("In service")[0]


def test_a_plan_without_machines_prints():
    plan = small_plan(fleet=[], pools=[], binding=[], class_costs=[], curves=[])
    assert "no machines" in printed(summary(plan), 80)


def test_candidates_show_why_not():
    rows = [row for row in small_plan().candidates if not row.feasible]
    text = " ".join(printed(candidates_table(rows, REFUSED_COLUMNS), 100).split())
    assert "weights need 101.4 GB of 72.0 GB usable" in text


def test_markup_in_names_is_shown_as_it_is():
    plan = small_plan(title="Budget [bold red]2027[/]")
    assert "[bold red]2027[/]" in printed(summary(plan), 100)
