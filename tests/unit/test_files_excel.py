"""Scenarios as workbooks: nothing is lost on the way, and what is wrong is named by its cell."""

import io
import json
import re
import zipfile
from datetime import date, datetime
from functools import cache

import pytest
import yaml
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from pydantic import BaseModel
from pydantic import Field as PydanticField

import planner
from planner.cli import main
from planner.errors import ScenarioError
from planner.files.catalog import load_catalog
from planner.files.excel_cell import LETTERS_MAX, from_cell, to_cell
from planner.files.excel_form import Field, forms
from planner.files.excel_write import write_workbook
from planner.files.scenario import (
    dump_scenario,
    load_scenario,
    packaged_names,
    parse_scenario,
    written,
)
from planner.files.template import EXAMPLE, template
from planner.schema.base import Frozen
from planner.schema.scenario import Scenario


@cache
def catalog():
    return load_catalog()


def there_and_back(scenario, tmp_path):
    path = tmp_path / "x.xlsx"
    write_workbook(path, written(scenario), catalog())
    return load_scenario(path)


@pytest.mark.parametrize("name", packaged_names())
def test_packaged_scenarios_survive(name, tmp_path):
    scenario = load_scenario(name)
    back = there_and_back(scenario, tmp_path)
    assert back == scenario
    assert written(back) == written(scenario)
    assert parse_scenario(dump_scenario(back, defaults=False).encode(), "back") == scenario


def test_template_is_the_one_of_yaml(tmp_path):
    path = tmp_path / "my_fleet.xlsx"
    write_workbook(path, EXAMPLE, catalog())
    assert planner.load(str(path)) == parse_scenario(template("my_fleet").encode(), "t")


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "=1+1",
        "+1",
        "-1",
        "@a",
        "1e3",
        "true",
        "",
        " a ",
        '"',
        '"a"',
        "a\nb",
        "\r",
        "_x0041_",
        "a, b",
    ]
)
NAMES = st.from_regex(r"\A[a-z0-9][a-z0-9_-]{0,8}\Z")
NUMBERS = st.floats(1e-3, 1e9) | st.integers(1, 10**7)
SHARES = st.floats(0, 1)


def lengths():
    plain = st.fixed_dictionaries({"mean": NUMBERS, "cv": st.floats(0.1, 2)})
    pairs = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=4)
    histogram = pairs.map(
        lambda found: {"values": [v for v, _ in found], "weights": [w for _, w in found]}
    )
    return plain | histogram


def day():
    return st.lists(st.floats(0.1, 9), min_size=24, max_size=24)


def online(name):
    return st.fixed_dictionaries(
        {
            "kind": st.just("online"),
            "name": st.just(name),
            "models": st.lists(TEXT, min_size=1, max_size=3),
            "requests_per_s": NUMBERS,
            "input_tokens": lengths(),
            "output_tokens": lengths(),
            "slo": st.fixed_dictionaries(
                {"ttft_ms": st.floats(1, 1e4), "tpot_ms": st.floats(1, 1e3)},
                optional={"ttft_percentile": st.floats(0.5, 0.999)},
            ),
        },
        optional={
            "profile": st.sampled_from(["flat", "office"])
            | st.fixed_dictionaries({"weekday": day(), "weekend": day()}),
            "growth": st.fixed_dictionaries(
                {},
                optional={
                    "rate_per_year": st.floats(-0.5, 3),
                    "events": st.lists(
                        st.fixed_dictionaries({"month": st.just("2027-05"), "factor": NUMBERS}),
                        min_size=1,
                        max_size=3,
                    ),
                },
            ),
            "api_allowed": st.booleans(),
            "quality_floor": SHARES,
        },
    )


SCENARIOS = st.fixed_dictionaries(
    {
        "name": NAMES,
        "title": TEXT.map(lambda text: "abc" + text),
        "horizon": st.just({"start": "2027-01", "months": 36}),
        "demand": st.lists(NAMES, min_size=1, max_size=3, unique=True).flatmap(
            lambda names: st.tuples(*(online(name) for name in names))
        ),
        "sites": st.just(
            [
                {"name": "1e3", "kind": "cloud", "region": "us"},
                {"name": "b", "kind": "owned", "region": "00", "it_power_kw": 1, "racks": 0,
                 "rack_kw": 0.1},
            ]
        ),
        "supply": st.fixed_dictionaries(
            {"options": st.sampled_from([["owned"], ["on_demand", "api"]])},
            optional={
                "accelerators": st.just("all") | st.lists(TEXT, max_size=3),
                "lead_time_months": st.dictionaries(TEXT, st.integers(0, 36), max_size=3),
                "stock": st.lists(
                    st.fixed_dictionaries(
                        {"accelerator": TEXT, "site": st.just("1e3"),
                         "lots_max": st.integers(0, 10**18)}
                    ),
                    max_size=2,
                ),
            },
        ),
    },
    optional={
        "description": TEXT,
        "sources": st.dictionaries(TEXT, TEXT, max_size=4),
        "limits": st.fixed_dictionaries(
            {},
            optional={
                "capex_per_year_usd": NUMBERS
                | st.dictionaries(st.integers(2000, 2099).map(str), NUMBERS, max_size=2)
            },
        ),
        "finance": st.just({"price_paths": {"rental_per_year": {"hopper": -0.1, "other: x": 0}}}),
    },
)  # fmt: skip


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes minutes
)
@given(raw=SCENARIOS)
def test_made_up_scenarios_survive(raw, tmp_path):
    scenario = Scenario.model_validate_json(json.dumps(raw), strict=True)
    back = there_and_back(scenario, tmp_path)
    assert back == scenario
    assert parse_scenario(dump_scenario(back, defaults=False).encode(), "back") == scenario


def field(*types, words=(), month=False):
    return Field(("x",), "", frozenset(types), words=words, month=month)


VALUES = st.recursive(
    st.booleans() | TEXT | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXT, below, max_size=3),
)  # fmt: skip


@settings(max_examples=300)
@given(text=TEXT)
@example(text='"\\u0041"')
@example(text="\ufeffa")
def test_any_text_fits_a_cell(text):
    cell = to_cell(text, field("string"))
    assert from_cell(cell, field("string")) == text


@settings(max_examples=200)
@given(values=st.lists(VALUES, max_size=4))
def test_any_list_fits_a_cell(values):
    words = ("all",)
    for types in (("array",), ("array", "string")):
        cell = to_cell(values, field(*types, words=words))
        assert from_cell(cell, field(*types, words=words)) == values


@settings(max_examples=200)
@given(values=st.dictionaries(TEXT, VALUES, max_size=4))
def test_any_mapping_fits_a_cell(values):
    for types in (("object",), ("object", "number")):
        assert from_cell(to_cell(values, field(*types)), field(*types)) == values


@given(number=st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_fits_a_cell(number):
    cell = to_cell(number, field("number"))
    if isinstance(cell, int | float):
        cell = float(f"{cell:.16g}")  # as the file keeps it
    assert from_cell(cell, field("number")) == number


def test_list_that_reads_like_a_choice():
    accelerators = field("array", "string", words=("all",))
    assert to_cell(["all"], accelerators) == "[all]"
    assert from_cell("[all]", accelerators) == ["all"]
    assert from_cell("all", accelerators) == "all"
    assert from_cell(" l4,  h100-sxm ", accelerators) == ["l4", "h100-sxm"]
    assert from_cell(7.0, field("array")) == [7]


def test_days_that_spreadsheets_make_of_months():
    assert from_cell(datetime(2027, 1, 1), field("string", month=True)) == "2027-01"
    assert from_cell(date(2027, 1, 2), field("string", month=True)) == "2027-01-02"
    assert from_cell(datetime(2026, 11, 2), field("string")) == "2026-11-02"


def test_numbers_typed_as_text_are_numbers_where_nothing_else_fits():
    assert from_cell("5", field("integer")) == 5
    assert from_cell("5", field("string")) == "5"
    assert from_cell("5 %", field("number")) == "5 %"
    assert from_cell("2027: 5, 2028: 6.5", field("object", "number")) == {"2027": 5, "2028": 6.5}
    assert from_cell("TRUE", field("boolean")) is True


def test_text_longer_than_a_cell(tmp_path):
    values = {**EXAMPLE, "description": "x" * (LETTERS_MAX + 1)}
    with pytest.raises(ScenarioError, match="description: 32,768 characters"):
        write_workbook(tmp_path / "x.xlsx", values, catalog())
    assert not list(tmp_path.iterdir())


def test_every_live_field_of_the_schema_has_a_place():
    found = set()
    for form in forms():
        at = "/".join(form.path)
        found |= {(at, f.label) for f in form.fields}
        found |= {(f"{at}/{'/'.join(i.path)}", f.label) for i in form.inner for f in i.fields}
    assert ("", "finance.adders.network_frac") in found
    assert ("demand", "profile.weekday") in found
    assert ("demand/growth/events", "factor") in found
    assert ("supply/lead_time_months", "value") in found
    assert ("demand", "requests_per_day") in found
    assert not any("vendor_share" in label for _, label in found)  # not supported yet
    sheets = [f.sheet for form in forms() for f in (form, *form.inner)]
    assert len(set(sheets)) == len(sheets)
    assert max(map(len, sheets)) <= 31


class Part(Frozen):
    """A part."""

    name: str
    """Name."""
    weight_kw: float = 1.0
    """Weight."""


class Branch(Frozen):
    """A future."""

    probability: float
    """Probability."""


class Question(Frozen):
    """A schema that the form has never seen."""

    name: str
    """Name."""
    parts: tuple[Part, ...] = ()
    """Parts."""
    futures: dict[str, Branch] = PydanticField(default_factory=dict)
    """Futures."""
    maybe: Part | None = None
    """An optional section."""


def test_a_new_schema_needs_no_code():
    single, parts, futures = forms(Question)
    assert [f.label for f in single.fields] == ["name", "maybe.name", "maybe.weight_kw"]
    assert [f.required for f in single.fields] == [True, False, False]
    assert (parts.sheet, parts.shape, [f.label for f in parts.fields]) == (
        "Parts", "list", ["name", "weight_kw"],
    )  # fmt: skip
    assert parts.fields[1].unit == "kW"
    assert parts.fields[1].meaning == "Weight."
    assert (futures.shape, [f.label for f in futures.fields]) == (
        "dictionary", ["key", "probability"],
    )  # fmt: skip
    assert issubclass(Question, BaseModel)


# What is wrong is named by its cell.


@pytest.fixture
def book(tmp_path):
    """The packaged portfolio as a workbook to spoil, and its path."""
    path = tmp_path / "portfolio.xlsx"
    write_workbook(path, written(load_scenario("portfolio")), catalog())
    return Book(path)


class Book:
    """Cells by field and entry."""

    def __init__(self, path):
        self.path = path
        self.workbook = load_workbook(path)

    def at(self, sheet, label, entry=1):
        """Cell of a field in the entry-th column (cards) or row (tables)."""
        page = self.workbook[sheet]
        rows = {page.cell(row, 1).value: row for row in range(4, page.max_row + 1)}
        if label in rows:
            return page.cell(rows[label], 2 + entry)
        columns = {page.cell(4, column).value: column for column in range(1, page.max_column + 1)}
        return page.cell(7 + entry, columns[label])

    def problems(self):
        """What reading the workbook says."""
        self.workbook.save(self.path)
        with pytest.raises(ScenarioError) as caught:
            planner.load(str(self.path))
        return caught.value.problems


def test_every_problem_at_once_with_its_cell(book):
    wrong = {
        ("Demand", "slo.ttft_ms", 1): "x",
        ("Demand", "name", 3): None,
        ("Demand", "input_tokens.values", 2): "1, [2",
        ("Demand", "output_tokens.mean", 1): "=1+1",
        ("Scenario", "horizon.months", 1): 35.5,
        ("Scenario", "finance.discount_rate", 1): "8 %",
        ("Scenario", "supply.options", 1): "owned, spott",
        ("Scenario", "supply.tp_max", 1): "#N/A",
        ("Demand growth events", "demand", 1): "assistent",
    }
    cells = {}
    for (sheet, label, entry), value in wrong.items():
        cell = book.at(sheet, label, entry)
        cell.value = value
        cells[label] = f"{sheet}!{cell.coordinate}"
    book.at("Sites", "rack_kw").value = 2
    book.workbook["Sites"].cell(book.at("Sites", "rack_kw").row, 1).value = "rack_kv"
    found = book.problems()
    expected = {
        "slo.ttft_ms": "demand[chat].slo.ttft_ms: expected a number, found 'x'",
        "name": "demand[2].name: is required",
        "input_tokens.values": "input_tokens.values: expected a list (a, b, c), found '1, [2'",
        "output_tokens.mean": "output_tokens.mean: a formula without a stored value",
        "horizon.months": "horizon.months: expected a whole number, found 35.5",
        "finance.discount_rate": "finance.discount_rate: expected a number, found '8 %': write",
        "supply.options": "supply.options[1]: expected 'owned', 'colo'",
        "supply.tp_max": "supply.tp_max: the formula gives #N/A",
        "demand": "demand: no entry 'assistent'; did you mean assistant?",
    }
    for label, words in expected.items():
        assert any(text.startswith(f"{cells[label]}: {words}") for text in found), (label, found)
    unknown = [text for text in found if "sites[hq].rack_kv: unknown key; did you mean" in text]
    assert len(unknown) == 1, found
    assert unknown[0].startswith("Sites!C")
    assert len(found) == 10, found


def test_names_and_contradictions_have_cells_too(book):
    cell = book.at("Demand", "models", 2)
    cell.value = "llama-3.3-70bb"
    assert book.problems()[0].startswith(
        f"Demand!{cell.coordinate}: demand[assistant].models: no model 'llama-3.3-70bb'; did you"
    )
    cell.value = "llama-3.3-70b"
    options = book.at("Scenario", "supply.options")
    options.value = "colo"
    assert (
        f"Scenario!{options.coordinate}: supply.options has colo but no site is of kind colo"
        in book.problems()
    )


def test_missing_entries_and_sections(book):
    for column in (3, 4):
        for row in range(5, 30):
            book.workbook["Sites"].cell(row, column).value = None
    assert any(re.match(r"Sites!C5: sites: is required", text) for text in book.problems())


def test_what_stands_twice_or_nowhere(book):
    book.at("Demand", "profile.weekday", 1).value = "1, 2"
    page = book.workbook["Demand"]
    page.cell(page.max_row + 1, 3).value = 5
    stray = f"Demand!C{page.max_row}"
    sources = book.workbook["Sources"]
    sources["B9"].value = sources["B8"].value
    sources["B10"].value = None
    notes = book.problems()
    profile = book.at("Demand", "profile.weekday", 1).coordinate
    assert f"Demand!{profile}: profile.weekday: given both whole and in parts" in notes
    assert f"{stray}: found 5 beside no field" in notes
    assert any(text.startswith("Sources!B9: key ") and "twice" in text for text in notes)
    assert "Sources!C10: a value without a key" in notes


def test_unknown_sheets(book):
    book.workbook.create_sheet("Notes of mine")["A1"] = "free"
    book.workbook.save(book.path)
    assert planner.load(str(book.path)).name == "portfolio"
    book.workbook["Sites"].title = "Site"
    assert book.problems() == (
        "sheet 'Site' is none of a scenario, did you mean Sites?"
        " (sheets of your own begin with Notes)",
    )


def test_too_many_rows(book):
    book.workbook["Sources"].cell(5_001, 2).value = "x"
    assert "at most 5,000 rows" in book.problems()[0]


def test_a_workbook_of_something_else(book):
    for name in book.workbook.sheetnames:
        if name != "Read me":
            del book.workbook[name]
    assert "no sheet of a scenario" in book.problems()[0]


def test_inserted_rows_columns_and_notes_do_no_harm(book):
    page = book.workbook["Demand"]
    page.insert_rows(4, amount=2)
    page.cell(6, page.max_column + 1).value = "Notes"
    page.cell(9, page.max_column).value = "why"
    book.workbook["Supply stock"].insert_cols(2)
    book.workbook["Sites"].insert_cols(4)
    book.workbook.save(book.path)
    assert planner.load(str(book.path)) == load_scenario("portfolio")


def test_formulas_count_by_their_stored_value(book, tmp_path):
    cell = book.at("Demand", "slo.ttft_ms", 1)
    cell.value = "=500*2"
    book.workbook.save(book.path)
    out = tmp_path / "stored.xlsx"
    with zipfile.ZipFile(book.path) as source, zipfile.ZipFile(out, "w") as target:
        for part in source.namelist():
            raw = source.read(part)
            raw = re.sub(
                rb"<f>500\*2</f><v\s*/>|<f>500\*2</f><v></v>", b"<f>500*2</f><v>1000</v>", raw
            )
            target.writestr(part, raw)
    assert planner.load(str(out)) == load_scenario("portfolio")


def test_text_never_becomes_a_formula(tmp_path):
    values = {**EXAMPLE, "title": "=1+1", "sources": {"@a": "+1", "-b": "=HYPERLINK(1)"}}
    path = tmp_path / "x.xlsx"
    write_workbook(path, values, catalog())
    assert b"<f>" not in b"".join(parts(path).values())
    assert written(load_scenario(path))["sources"] == values["sources"]
    page = load_workbook(path)["Scenario"]
    title = next(page.cell(row, 3) for row in range(4, 20) if page.cell(row, 1).value == "title")
    assert title.quotePrefix


def parts(path):
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_drop_down_lists(tmp_path):
    path = tmp_path / "x.xlsx"
    write_workbook(path, EXAMPLE, catalog())
    book = load_workbook(path)
    rules = {str(rule.sqref): rule for rule in book["Demand"].data_validations.dataValidation}
    labels = {book["Demand"].cell(row, 1).value: row for row in range(4, 60)}
    assert rules[f"C{labels['kind']}:E{labels['kind']}"].formula1 == '"online,batch"'
    models = rules[f"C{labels['models']}:E{labels['models']}"]
    assert models.formula1.startswith("Lists!$B$5:$B$")
    assert not models.showErrorMessage  # several names, or the user's own
    percentile = rules[f"C{labels['peak_percentile']}:E{labels['peak_percentile']}"]
    assert percentile.formula1 == '"0.5,0.9,0.95,0.99,0.999"'
    hit = rules[f"C{labels['prefix_cache_hit_frac']}:E{labels['prefix_cache_hit_frac']}"]
    assert (hit.type, hit.formula1, hit.formula2) == ("decimal", "0", "0.99")
    stock = book["Supply stock"].data_validations.dataValidation
    assert {rule.formula1 for rule in stock} >= {"'Sites'!$C$5:$E$5"}


# The command


def run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(words)
    out = capsys.readouterr()
    return end.value.code, out.out, out.err


def test_new_goes_both_ways(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "new", "fresh", "--excel") == (
        0, "wrote fresh.xlsx; next: planner check fresh.xlsx\n", "",
    )  # fmt: skip
    assert run(capsys, "check", "fresh.xlsx")[0] == 0
    assert run(capsys, "new", "--from", "fresh.xlsx", "-o", "fresh.yaml")[0] == 0
    assert planner.load("fresh.yaml") == planner.load("fresh.xlsx")
    assert yaml.safe_load((tmp_path / "fresh.yaml").read_text())["name"] == "fresh"
    assert run(capsys, "new", "other", "--from", "chat_8b", "-o", "o.xlsx")[0] == 0
    assert planner.load("o.xlsx") == planner.load("chat_8b").model_copy(update={"name": "other"})
    assert run(capsys, "new", "1e3")[0] == 0  # a name that is a number without quotes
    assert planner.load("1e3.yaml").name == "1e3"
    assert run(capsys, "new", "--from", "portfolio", "--excel")[1].startswith(
        "wrote portfolio.xlsx"
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--excel", "-o", "a.yaml"], "ends in .xlsx"),
        (["-o", "a.txt"], "ends in .yaml or .yml or .xlsx"),
        (["--from", "nothing_like_it.xlsx"], "no such file"),
        (["My Fleet", "--excel"], "My Fleet"),
        (["--excel", "-o", "there.xlsx"], "--force overwrites"),
    ],
)
def test_what_new_refuses(words, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.xlsx").write_text("mine")
    status, _, err = run(capsys, "new", *words)
    assert (status, says in err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["there.xlsx"]
    assert (tmp_path / "there.xlsx").read_text() == "mine"
