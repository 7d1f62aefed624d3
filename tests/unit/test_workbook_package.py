"""What makes Excel offer a repair, or Google Sheets drop a part, is in no workbook's XML."""

import re
import zipfile
from collections import Counter
from io import BytesIO
from posixpath import join, normpath

import openpyxl
import pytest
from defusedxml import ElementTree
from openpyxl.utils.cell import range_boundaries

from planner.report.workbook import workbook_bytes
from tests.compared_plan import compared_plan
from tests.plan_fixture import small_plan
from tests.taxed_world import answered

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
TEXT_MOST, FORMULA_MOST, PROMPT_MOST, TITLE_MOST = 32_767, 8_192, 255, 32
HEIGHT_MOST, WIDTH_MOST, SHEET_NAME_MOST, ARGUMENTS_MOST = 409, 255, 31, 255
CHART_KINDS = {"barChart", "lineChart", "scatterChart"}
"""Native in Excel, LibreOffice and Google Sheets alike."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
LIKE_A_CELL = re.compile(r"[A-Za-z]{1,3}[0-9]+|[Rr][0-9]*[Cc][0-9]*")
REFERENCE = re.compile(r"'?([^'!]+)'?!\$?([A-Z]+)\$?([0-9]+)(?::\$?([A-Z]+)\$?([0-9]+))?")


def long_texts():
    """A plan whose texts from users are as long and as odd as they can be."""
    long = "a 'quoted' <b> & \u2028 \x0b " * 4000
    plan = compared_plan(title=long, notes=[long])
    sources = [row.model_copy(update={"source": long, "what": long}) for row in plan.sources]
    return plan.model_copy(update={"sources": sources})


@pytest.fixture(
    scope="module", params=[small_plan, compared_plan, lambda: answered()[1], long_texts],
    ids=["small", "compared", "after tax", "long texts"],
)  # fmt: skip
def raw(request) -> bytes:
    return workbook_bytes(request.param())


@pytest.fixture(scope="module")
def package(raw):
    return zipfile.ZipFile(BytesIO(raw))


@pytest.fixture(scope="module")
def book(raw):
    return openpyxl.load_workbook(BytesIO(raw))


def parts(package, pattern):
    """Parsed parts by name."""
    return {
        name: ElementTree.fromstring(package.read(name))
        for name in package.namelist()
        if re.fullmatch(pattern, name)
    }


def sheets(package):
    return parts(package, r"xl/worksheets/sheet[0-9]+\.xml")


def test_every_part_is_there_once_and_every_relationship_leads_to_one(package):
    names = Counter(package.namelist())
    assert {name: n for name, n in names.items() if n > 1} == {}
    for name, root in parts(package, r".*\.rels").items():
        folder = join(*name.split("/")[:-2]) if name.count("/") > 1 else ""
        for link in root:
            if link.get("TargetMode") == "External":
                continue
            target = link.get("Target")
            path = target.lstrip("/") if target.startswith("/") else normpath(join(folder, target))
            assert path in names, (name, target)


def test_every_part_has_a_content_type(package):
    root = ElementTree.fromstring(package.read("[Content_Types].xml"))
    overrides = [x.get("PartName") for x in root if x.tag.endswith("Override")]
    extensions = {x.get("Extension") for x in root if x.tag.endswith("Default")}
    assert len(overrides) == len(set(overrides))
    for name in package.namelist():
        known = f"/{name}" in overrides or name.rsplit(".", 1)[-1] in extensions
        assert known or name == "[Content_Types].xml", name


def test_names_of_sheets(book):
    lower = [name.lower() for name in book.sheetnames]
    assert len(set(lower)) == len(lower)
    for name in book.sheetnames:
        assert 0 < len(name) <= SHEET_NAME_MOST
        assert not set(name) & set("[]:*?/\\")
        assert not name.startswith("'")
        assert not name.endswith("'")


def test_global_names_are_names_and_lead_to_cells(book):
    for name, defined in book.defined_names.items():
        assert NAME.fullmatch(name)
        assert not LIKE_A_CELL.fullmatch(name)
        title, *_ = REFERENCE.fullmatch(defined.attr_text).groups()
        assert title in book.sheetnames


def test_texts_and_formulas_fit_into_cells(package):
    found = 0
    for root in [*sheets(package).values(), *parts(package, r"xl/sharedStrings\.xml").values()]:
        for text in root.iter(f"{MAIN}t"):
            found += 1
            assert len(text.text or "") <= TEXT_MOST
        for formula in root.iter(f"{MAIN}f"):
            assert len(formula.text) <= FORMULA_MOST
            assert formula.text.count(",") < ARGUMENTS_MOST
    assert found > 100


def test_rows_and_columns_have_sizes_that_programs_take(package):
    for name, root in sheets(package).items():
        heights = [float(x.get("ht")) for x in root.iter(f"{MAIN}row") if x.get("ht")]
        widths = [float(x.get("width")) for x in root.iter(f"{MAIN}col")]
        assert max(heights, default=0) <= HEIGHT_MOST, name
        assert max(widths, default=0) <= WIDTH_MOST, name


def test_data_validations_are_short_and_apply_to_single_cells(package):
    found = 0
    for root in sheets(package).values():
        for rule in root.iter(f"{MAIN}dataValidation"):
            found += 1
            for kind in ("prompt", "error"):
                assert len(rule.get(kind) or "") <= PROMPT_MOST
                assert len(rule.get(f"{kind}Title") or "") <= TITLE_MOST
            for formula in (rule.find(f"{MAIN}formula1"), rule.find(f"{MAIN}formula2")):
                assert formula is None or len(formula.text or "") <= PROMPT_MOST
            cells = rule.get("sqref").split()
            assert len(cells) == len(set(cells))
            assert all(range_boundaries(cell) for cell in cells)
    assert found > 2


def test_no_cell_has_two_validations(package):
    for name, root in sheets(package).items():
        cells = [c for x in root.iter(f"{MAIN}dataValidation") for c in x.get("sqref").split()]
        assert {c: n for c, n in Counter(cells).items() if n > 1} == {}, name


def test_conditional_formats_have_styles_and_ranges(package):
    styles = ElementTree.fromstring(package.read("xl/styles.xml"))
    known = len(list(styles.find(f"{MAIN}dxfs")))
    for root in sheets(package).values():
        for block in root.iter(f"{MAIN}conditionalFormatting"):
            assert all(range_boundaries(cell) for cell in block.get("sqref").split())
            for rule in block:
                assert int(rule.get("dxfId")) < known
                assert int(rule.get("priority")) > 0


def test_merged_cells_do_not_overlap(book):
    for sheet in book.worksheets:
        cells = [cell for merged in sheet.merged_cells.ranges for cell in merged.cells]
        assert len(cells) == len(set(cells)), sheet.title


def test_hyperlinks_lead_to_sheets(package, book):
    found = [x for root in sheets(package).values() for x in root.iter(f"{MAIN}hyperlink")]
    links = [link.get("location") for link in found]
    assert len(links) > 10
    assert {link.split("!")[0].strip("'") for link in links} <= set(book.sheetnames)


def test_charts_are_of_kinds_that_every_program_draws(package):
    for name, root in parts(package, r"xl/charts/chart[0-9]+\.xml").items():
        kinds = {child.tag.removeprefix(CHART) for child in root.find(f".//{CHART}plotArea")}
        drawn = {kind for kind in kinds if kind.endswith("Chart")}
        assert drawn, name
        assert drawn <= CHART_KINDS, name


def test_charts_read_cells_and_hold_as_many_values(package, book):
    found = 0
    for root in parts(package, r"xl/charts/chart[0-9]+\.xml").values():
        for holder in [*root.iter(f"{CHART}numRef"), *root.iter(f"{CHART}strRef")]:
            found += 1
            title, *corners = REFERENCE.fullmatch(holder.find(f"{CHART}f").text).groups()
            sheet = book[title]
            first = sheet[f"{corners[0]}{corners[1]}"]
            last = sheet[f"{corners[2] or corners[0]}{corners[3] or corners[1]}"]
            cells = (last.row - first.row + 1) * (last.column - first.column + 1)
            assert cells == int(holder.find(f".//{CHART}ptCount").get("val"))
            assert last.row <= sheet.max_row
            assert last.column <= sheet.max_column
    assert found > 20


def test_charts_have_titles_with_units_or_counts(package):
    for name, root in parts(package, r"xl/charts/chart[0-9]+\.xml").items():
        texts = root.iter("{http://schemas.openxmlformats.org/drawingml/2006/main}t")
        assert next(texts).text, name


def test_headers_and_footers_are_short(package):
    for root in sheets(package).values():
        for text in root.iter(f"{MAIN}oddFooter"):
            assert 0 < len(text.text) <= PROMPT_MOST


def test_print_areas_lie_within_their_sheets(book):
    for sheet in book.worksheets:
        if sheet.print_area:
            corner = range_boundaries(sheet.print_area.split("!")[-1].replace("$", ""))
            assert corner[2] <= sheet.max_column
            assert corner[3] <= sheet.max_row
