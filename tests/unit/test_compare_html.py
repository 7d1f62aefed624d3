"""The page of a comparison: whole, readable without scripts, and text stays text."""

import re

import pytest

from planner.errors import ScenarioError
from planner.report import recost
from planner.report.compare import Failure, Named, compare
from planner.report.compare_html import comparison_html
from planner.report.compare_output import check_comparison_outputs
from tests.browser import PROGRAM, browser
from tests.pages import HOSTILE, Page, hostile_plan
from tests.plan_fixture import small_plan
from tests.tiny_plans import rented

EMPTY = """[...document.querySelectorAll("canvas")].filter((canvas) => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return !data.some((value) => value);
}).map((canvas) => canvas.id)"""


def text_of(*plans, failures=()):
    named = [Named(name, plan) for name, plan in plans]
    return comparison_html(compare(named, failures)).decode()


@pytest.fixture(scope="module")
def page() -> Page:
    # 2,400 USD; 150 h x 3 USD x 12 with a fifth more tokens.
    return Page(text_of(("a", rented()), ("b", rented(hours=150.0, price=3.0, mtokens=1200.0))))


def test_sections_stand_in_reading_order():
    text = text_of(("a", small_plan()), ("b", recost(small_plan(), {"finance.discount_rate": 0.1})))
    ids = re.findall(r'<section id="([a-z-]+)"', text)
    assert ids == ["summary", "changes", "bridge", "figures", "inputs", "plans"]
    assert re.findall(r'<li><a href="#([a-z-]+)">', text) == ids
    assert 'href="#decision"' not in text


def test_bridge_hangs_together_by_hand(page):
    (chart,) = page.data["charts"]
    series = {one["label"]: one["values"] for one in chart["series"]}
    # In thousands: 2.4 + 1.2 (price) + 0.72 (demand) + 1.08 (fleet) = 5.4.
    assert chart["labels"] == [
        "a", "rental prices", "demand of chat", "fleet and mix: on demand", "b"
    ]  # fmt: skip
    assert series[""] == pytest.approx([0, 2.4, 3.6, 4.32, 0])
    assert series["More"] == pytest.approx([0, 1.2, 0.72, 1.08, 0])
    assert series["Net present cost"] == pytest.approx([2.4, 0, 0, 0, 5.4])
    assert "demand of chat Demand 0.7200 4.3200" in page.text


def test_figures_show_change_and_share(page):
    assert "Net present cost USD thousand 2.40 5.40 3 +125.0%" in page.text


def test_refused_bridges_and_failures_are_said():
    failure = Failure("hard", "InfeasibleError", ("site_power: 3 kW short",))
    found = Page(text_of(("a", rented()), ("b", rented(months=24)), failures=[failure]))
    assert "b: no bridge: the horizons differ" in found.text
    assert "hard: site_power: 3 kW short" in found.text
    assert "1 scenario without a plan" in found.text
    assert found.data["charts"] == []


def test_no_text_becomes_markup():
    text = text_of((HOSTILE, hostile_plan()), (f"b{HOSTILE}", small_plan()),
                   failures=[Failure(HOSTILE, "InfeasibleError", (HOSTILE,))])  # fmt: skip
    page = Page(text)
    assert page.tags.count("script") == 3
    assert "img" not in page.tags
    assert page.text.count("onerror=hacked=1") > 10
    assert not any(name == "onerror" for name, _ in page.attributes)


def test_outputs_are_refused_by_suffix(tmp_path):
    with pytest.raises(ScenarioError, match=r"a comparison is one of \.json, \.xlsx, \.html"):
        check_comparison_outputs([tmp_path / "x.csv"])


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed here")
def test_the_page_draws_its_bridge_without_complaint(tmp_path):
    path = tmp_path / "compare.html"
    again = recost(small_plan(), {"finance.discount_rate": 0.1, "capex_gb200": 2_600_000.0})
    path.write_text(text_of(("a", small_plan()), ("b", again)), encoding="utf-8")
    with browser() as opened:
        opened.open(path)
        assert opened.complaints() == []
        assert opened.value(EMPTY) == []
        assert opened.value("document.querySelectorAll('canvas').length") == 1
        assert all(address.startswith("file:") for address in opened.requests())
