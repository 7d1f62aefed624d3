"""The page: whole, readable without scripts, and no text of a plan becomes markup."""

import base64
import hashlib
import re
from itertools import pairwise

import pytest
from pydantic import Field

from planner.report import html_parts, recost
from planner.report.html import html_bytes, html_text
from planner.report.html_model import chunks
from planner.report.ledger_view import view
from planner.result import Plan, Record
from tests.pages import HOSTILE, Page, hostile_plan
from tests.plan_fixture import small_plan


@pytest.fixture(scope="module")
def text() -> str:
    return html_text(small_plan())


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


def test_sections_stand_in_reading_order(text):
    ids = re.findall(r'<section id="([a-z-]+)"', text)
    assert ids == [
        "decision", "demand", "fleet", "trail", "latency", "candidates", "costs", "commitments",
        "inputs", "sources", "checks", "notes",
    ]  # fmt: skip
    assert re.findall(r'<li><a href="#([a-z-]+)">', text) == ids


def test_headings_descend_by_one(page):
    levels = [int(tag[1]) for tag in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_tables_have_captions_and_headers(page):
    assert page.tags.count("table") == page.tags.count("caption") == page.tags.count("thead") > 20
    scopes = [value for name, value in page.attributes if name == "scope"]
    assert {"col", "row", "rowgroup"} == set(scopes)


def test_every_chart_has_its_table_and_its_words(page):
    charts = page.data["charts"]
    labels = [value for name, value in page.attributes if name == "aria-label"]
    assert page.tags.count("canvas") == len(charts) >= 8
    for chart in charts:
        assert any(label.startswith(f"{chart['title']}, {chart['y']}") for label in labels)
        assert chart["x"]
        assert chart["y"]
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_purchases_of_the_first_year_by_hand(page):
    # Two racks at 3,100,000 USD and 6 % adders: 6.572 million; the third a year later at 0.90:
    # 3.286 x 0.9 = 2.957; together 9.529.
    assert "Purchases (capex) 6.57 2.96 – – 9.53" in page.text


def test_cash_chart_holds_the_same_sums(page):
    chart = next(one for one in page.data["charts"] if one["id"] == "decision-years")
    capex = next(one for one in chart["series"] if one["label"] == "Capex")
    assert capex["values"] == pytest.approx([6.572, 2.9574, 0.0, 0.0])


def test_months_end_with_the_last_payment(page):
    # Signed in month 28 for 12 months: the last payment is in month 39, March 2030.
    assert "Mar 2030" in page.text
    assert "Apr 2030" not in page.text


def test_orders_by_hand(page):
    assert "2027-Q1 GB200 NVL72, owned, hq owned 2 racks 144" in page.text
    assert "2028-Q1 GB200 NVL72, owned, hq owned 1 racks 72" in page.text


def test_every_candidate_reaches_the_page(page):
    grid = next(one for one in page.data["grids"] if one["id"] == "candidates-grid")
    plan = small_plan()
    assert grid["count"] == len(plan.candidates)
    reasons = grid["columns"][-1]
    words = {reasons["words"][i] for i in reasons["values"]}
    assert {row.reason for row in plan.candidates if row.reason} <= words
    assert all(len(column["values"]) == grid["count"] for column in grid["columns"])


def test_long_list_of_candidates_is_cut_only_in_the_markup():
    plan = small_plan()
    many = [plan.candidates[-1].model_copy(update={"id": f"x{i}"}) for i in range(500)]
    shown = Page(html_text(plan.model_copy(update={"candidates": many})))
    assert shown.data["grids"][0]["count"] == 500
    assert "The first 60 of 500 rows" in shown.text


def test_policy_allows_exactly_what_stands_in_the_page(text, page):
    policy = next(value for name, value in page.attributes if name == "content" and "src" in value)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    runs = re.findall(r"<script>(.*?)</script>", text, re.S)
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    for content in (*runs, style):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert len(runs) == 2


def test_nothing_is_fetched(page):
    fetching = [
        (name, value)
        for name, value in page.attributes
        if name in ("src", "srcset", "action", "data") or (name == "href" and value[0] != "#")
    ]
    assert fetching == []
    assert not {"link", "img", "iframe", "object", "base", "form"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name == "style" or name.startswith("on")]


def test_hostile_texts_stay_texts(page):
    plan = hostile_plan()
    spoiled = Page(html_text(plan))
    assert spoiled.tags == page.tags
    assert [name for name, _ in spoiled.attributes] == [name for name, _ in page.attributes]
    shown = " ".join(HOSTILE.split())
    for field in (
        plan.scenario["title"], plan.notes[0], plan.periods[0].label, plan.candidates[0].model,
        plan.fleet[0].accelerator_title, plan.sources[0].source, plan.ledger_inputs[0].label,
        plan.binding[0].where, plan.audit[0].family, plan.demand[0].name, plan.apis[0].provider,
        plan.curves[0].candidate, plan.trails[0].steps[0].items[0].label,
    ):  # fmt: skip
        assert shown in field
    assert spoiled.text.count(shown) > 300
    assert any(HOSTILE in word for grid in spoiled.data["grids"]
               for column in grid["columns"] for word in column.get("words", ()))  # fmt: skip


def test_data_cannot_end_their_script():
    raw = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', html_text(hostile_plan()), re.S
    )[1]
    assert not set("<>&'") & set(raw)
    assert Page(html_text(hostile_plan())).data["charts"]


def test_plans_at_the_edge_have_pages():
    bare = {
        "fleet": [], "pools": [], "apis": [], "demand": [], "class_costs": [], "candidates": [],
        "trails": [], "curves": [], "binding": [], "audit": [], "sources": [], "notes": [],
    }  # fmt: skip
    page = Page(html_text(small_plan(**bare)))
    assert "No fleet is needed: there is no demand." in page.text
    assert "No online class is served by machines of this plan." in page.text


def test_recosted_plan_says_that_it_is_not_optimal():
    page = Page(html_text(recost(small_plan(), {"finance.discount_rate": 0.1})))
    assert "not optimized for these inputs" in page.text
    assert "Infinity" not in "".join(page.scripts[-3:-2])


def test_a_false_cost_raises_the_flag():
    plan = small_plan()
    good, bad = "All checks hold see checks", "A check fails see checks"
    assert good in Page(html_text(plan)).text
    wrong = plan.model_copy(update={"npv_usd": plan.npv_usd + 0.02})
    assert bad in Page(html_text(wrong)).text


def test_equal_plans_give_equal_pages(text):
    assert html_bytes(small_plan()) == text.encode()


def test_size_without_data_is_that_of_the_library(text):
    assert len(text) < 600_000


def test_monthly_periods_are_broken_into_tables_that_fit():
    assert [len(run) for run in chunks(48, 16)] == [16, 16, 16]
    assert [len(run) for run in chunks(17, 16)] == [9, 8]


class Rung(Record):
    """One step."""

    name: str
    value_usd: float
    kept_frac: float | None = None
    years: list[float] = Field(default_factory=list)


class Ladder(Record):
    """A part that another module adds."""

    title: str
    saved_usd: float
    rungs: list[Rung]


class WiderPlan(Plan):
    """A plan with a part of which the page knows nothing."""

    ladder: Ladder | None = None
    """What each step saves."""


def test_a_new_part_of_the_plan_is_shown_with_its_units():
    rungs = [Rung(name="sell", value_usd=1234.4, kept_frac=0.25, years=[1.0, 2.0])]
    wide = WiderPlan(**dict(small_plan()), ladder=Ladder(title="t", saved_usd=5e6, rungs=rungs))
    shown = Page(html_text(wide)).text
    assert "Ladder What each step saves." in shown
    assert "Saved 5,000,000 USD" in shown
    assert "Name Value USD Kept Years sell 1,234 25.0% 1, 2" in shown


def test_an_empty_part_has_no_section():
    assert html_parts.parts(WiderPlan(**dict(small_plan()))) == []


def test_every_field_of_a_plan_is_shown_by_a_section_or_as_a_part():
    assert set(Plan.model_fields) >= html_parts.SHOWN


def test_totals_of_the_page_are_those_of_the_ledger(page):
    total = view(small_plan()).cash_usd.sum() / 1e6
    assert f"Cash out, undiscounted {total:,.2f} USD million" in page.text
