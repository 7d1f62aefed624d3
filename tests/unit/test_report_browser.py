"""The page in a browser: no complaints, no network, every chart drawn, all of it usable."""

import pytest

from planner.report.html import html_text
from tests.browser import PROGRAM, browser
from tests.pages import hostile_plan
from tests.plan_fixture import small_plan

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed here"),
]
EMPTY = """[...document.querySelectorAll("canvas")].filter((canvas) => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return !data.some((value) => value);
}).map((canvas) => canvas.id)"""
COLOURS = """(() => {
  const canvas = document.getElementById("decision-years");
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const found = new Set();
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] === 255) found.add([data[i], data[i + 1], data[i + 2]].join());
  }
  return [...found];
})()"""
CHOOSE = """(() => {
  const select = document.querySelector("#candidates-grid select");
  select.value = "used";
  select.dispatchEvent(new Event("change"));
})()"""
SEARCH = """(() => {
  const box = document.querySelector("#candidates-grid input");
  box.value = "DIGEST";
  box.dispatchEvent(new Event("input"));
})()"""
SORT = """(() => {
  for (const heading of document.querySelectorAll("#candidates-grid th[scope=col]")) {
    if (heading.textContent !== "GPUs") continue;
    heading.firstChild.click();
    heading.firstChild.click();
  }
})()"""
CANDIDATES = 'document.querySelector("#candidates-grid '


@pytest.fixture(scope="module")
def page():
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    plan = small_plan()
    many = [plan.candidates[-1].model_copy(update={"gpus": n}) for n in range(1, 101)]
    plan = plan.model_copy(update={"candidates": [*plan.candidates, *many]})
    (folder / "plan.html").write_text(html_text(plan), encoding="utf-8")
    return folder / "plan.html"


@pytest.mark.parametrize("dark", [False, True])
def test_quiet_alone_and_every_chart_drawn(page, path, dark):
    page.dark(on=dark)
    page.open(path)
    assert page.complaints() == []
    assert page.requests() == [path.as_uri()]
    assert page.value("document.querySelectorAll('canvas').length") >= 8
    assert page.value(EMPTY) == []


def test_charts_take_the_colours_that_the_reader_prefers(page, path):
    page.dark(on=False)
    page.open(path)
    assert "31,58,95" in page.value(COLOURS)  # capex, #1f3a5f
    page.dark(on=True)
    assert "127,166,214" in page.value(COLOURS)  # #7fa6d6
    page.dark(on=False)
    assert "31,58,95" in page.value(COLOURS)


@pytest.mark.parametrize("width", [1400, 800, 390])
def test_no_width_makes_the_page_scroll_sideways(page, path, width):
    page.open(path, width=width)
    assert page.value("document.documentElement.scrollWidth") <= width


def test_grid_searches_filters_and_sorts(page, path):
    page.open(path)
    count = CANDIDATES + 'output").textContent'
    total = page.value(CANDIDATES + 'tbody").rows.length')
    assert total == 60
    page.value(CANDIDATES + '.tools button").click()')
    everything = len(small_plan().candidates) + 100
    assert page.value(CANDIDATES + 'tbody").rows.length') == everything
    page.value(CHOOSE)
    used = {pool.candidate for pool in small_plan().pools}
    assert page.value(CANDIDATES + 'tbody").rows.length') == len(used)
    assert page.value(count) == f"{len(used)} shown of {len(used)} found, {everything} in all"
    page.value(SEARCH)
    digests = {name for name in used if name.startswith("digest")}
    assert page.value(CANDIDATES + 'tbody").rows.length') == len(digests) == 1
    page.open(path)
    page.value(SORT)
    column = page.value(
        '[...document.querySelectorAll("#candidates-grid th[scope=col]")]'
        '.findIndex((th) => th.ariaSort === "descending")'
    )
    cells = page.value(
        f'[...{CANDIDATES}tbody").rows].map((row) => Number(row.cells[{column}].textContent))'
    )
    assert cells == sorted(cells, reverse=True)
    assert cells[0] == max(100, *(row.gpus for row in small_plan().candidates))
    assert page.complaints() == []


def test_hostile_texts_run_nothing(page, tmp_path):
    (tmp_path / "plan.html").write_text(html_text(hostile_plan()), encoding="utf-8")
    page.open(tmp_path / "plan.html")
    assert page.value("typeof hacked") == "undefined"
    assert page.value("document.images.length") == 0
    assert page.complaints() == []
    assert len(page.requests()) == 1
    assert page.value(EMPTY) == []


def test_prints_in_light_with_all_charts(page, path):
    page.dark(on=True)
    page.open(path)
    raw = page.pdf()
    page.dark(on=False)
    assert raw.startswith(b"%PDF")
    assert raw.count(b"/Type /Page\n") >= 12 or raw.count(b"/Type /Page") >= 12
