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
from tests.compared_plan import compared_plan
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
        "decision", "sensitivity", "metrics", "demand", "fleet", "trail", "latency", "candidates",
        "costs", "profit", "commitments", "inputs", "sources", "checks", "notes",
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


def test_hostile_texts_stay_texts(compared):
    plan = hostile_plan()
    spoiled = Page(html_text(plan))
    assert spoiled.tags == compared.tags
    assert [name for name, _ in spoiled.attributes] == [name for name, _ in compared.attributes]
    shown = " ".join(HOSTILE.split())
    for field in (
        plan.scenario["title"], plan.notes[0], plan.periods[0].label, plan.candidates[0].model,
        plan.fleet[0].accelerator_title, plan.sources[0].source, plan.ledger_inputs[0].label,
        plan.binding[0].where, plan.audit[0].family, plan.demand[0].name, plan.apis[0].provider,
        plan.options[1].title, plan.options[3].reasons[0],
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


@pytest.fixture(scope="module")
def compared() -> Page:
    return Page(html_text(compared_plan()))


def test_options_stand_beside_the_plan_with_money_or_reasons(compared):
    plan = compared_plan()
    rented = next(row for row in plan.options if row.name == "on_demand")
    assert f"All on demand all {rented.npv_usd / 1e6:,.2f}" in compared.text
    assert "API only cannot n/a n/a" in compared.text
    assert "API only =no provider" in compared.text
    assert "All owned late" in compared.text
    assert "serves less" in compared.text


def test_option_chart_adds_up_to_the_net_present_cost(compared):
    plan = compared_plan()
    chart = next(one for one in compared.data["charts"] if one["id"] == "options-npv")
    sums = [sum(row["values"][i] for row in chart["series"]) for i in range(3)]
    shown = [row.npv_usd / 1e6 for row in plan.options if row.status in ("plan", "solved", "late")]
    assert sums == pytest.approx(shown, rel=1e-4)  # values reach the page with six digits


def test_sensitivity_of_the_discount_rate_is_the_recosted_plan(compared):
    # 8 % and 2 points: the same plan costed at 10 %.
    dearer = recost(small_plan(), {"finance.discount_rate": 0.1}).npv_usd / 1e6
    row = re.search(r"Discount rate, points -2.0 points \+2.0 points (\S+) (\S+)", compared.text)
    assert row[2] == f"{dearer:,.2f}"


def test_break_even_price_makes_the_fleets_cost_the_same(compared):
    plan = compared_plan()
    # Rented hours are 40 times those of the plan, and nothing else is paid: the plan costs as much
    # when rental prices change by the share c with plan + c * its rentals = other * (1 + c).
    *_, shown = re.findall(r"Rental prices, all terms ([+-][0-9]+)%", compared.text)
    rental = sum(
        (seen.values[key] * seen.weight).sum()
        for seen in [view(plan)]
        for key in ("pay_h100", "pay_rent_h100")
    )
    other = plan.options[1].npv_usd
    change = (other - plan.npv_usd) / (rental - other)
    assert int(shown) / 100 == pytest.approx(change, abs=0.006)


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


class Measured(Record):
    """A value beside its promise."""

    value_ms: float
    target_ms: float


class Load(Record):
    """One of many."""

    pool: str
    ttft: Measured | None = None
    tpot: Measured | None = None


class LoadedPlan(Plan):
    """A plan with a long part of records in records."""

    loads: list[Load] = Field(default_factory=list)
    """Every load that was tried."""


def test_records_in_records_are_columns_and_long_parts_can_be_searched():
    loads = [Load(pool=f"p{i}", ttft=Measured(value_ms=i, target_ms=90.0)) for i in range(1, 201)]
    page = Page(html_text(LoadedPlan(**dict(small_plan()), loads=loads)))
    assert "Pool TTFT value ms TTFT target ms p1 1.0 90.0 p2 2.0 90.0" in page.text
    grid = next(one for one in page.data["grids"] if one["id"] == "part-loads-1")
    assert grid["count"] == 200
    assert grid["columns"][1]["values"][199] == 200.0


def test_an_empty_part_has_no_section():
    assert html_parts.parts(WiderPlan(**dict(small_plan()))) == []


def test_every_field_of_a_plan_is_shown_by_a_section_or_as_a_part():
    assert set(Plan.model_fields) >= html_parts.SHOWN


def test_totals_of_the_page_are_those_of_the_ledger(page):
    total = view(small_plan()).cash_usd.sum() / 1e6
    assert f"Cash out, undiscounted {total:,.2f} USD million" in page.text


def luminance(colour):
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        ("ink", "page"), ("ink", "band"), ("muted", "page"), ("muted", "band"), ("navy", "page"),
        ("navy", "band"), ("teal", "page"), ("head-ink", "head"), ("good", "good-fill"),
        ("bad", "bad-fill"),
    ],
)  # fmt: skip
def test_text_has_contrast(text, scheme, ink, ground):
    block = re.findall(r":root \{(.*?)\}", text, re.S)[scheme]
    colours = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", block))
    light, dark = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5
