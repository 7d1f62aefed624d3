"""The ledger as one long table, read back by other programs."""

import csv
import io
from datetime import date

import pandas as pd
import pyarrow.parquet as pq
import pytest

from planner.errors import ScenarioError
from planner.report import tidy
from planner.report.ledger_view import view
from tests.pages import hostile_plan
from tests.plan_fixture import LINES, small_plan


@pytest.fixture(scope="module")
def rows():
    return list(csv.DictReader(io.StringIO(tidy.csv_bytes(small_plan()).decode())))


def test_a_row_a_line_and_month(rows):
    assert len(rows) == len(LINES) * 48  # 36 months of the horizon and 12 of the longest term
    first = next(row for row in rows if row["line"] == "capex_cash_gb200")
    assert first["month"] == "2027-01-01"
    assert first["period"] == "2027-Q1"
    assert first["category"] == "capex"
    # Two racks at 3,100,000 USD with 6 % adders.
    assert float(first["value"]) == pytest.approx(6_572_000.0)


def test_cash_adds_up_to_the_plan(rows):
    total = sum(float(row["value"]) for row in rows if row["kind"] == "cash")
    assert total == pytest.approx(view(small_plan()).cash_usd.sum(), rel=1e-12)


def test_basis_is_of_all_that_a_line_rests_on(rows):
    basis = {row["line"]: row["basis"] for row in rows}
    assert basis["buy_gb200"] == "solved"
    # power_hq is quoted, power_growth of the scenario.
    assert basis["tariff_hq"] == "quoted, scenario"
    # Racks ordered (solved) x price (quoted, adders derived, growth of the scenario).
    assert basis["capex_cash_gb200"] == "derived, quoted, scenario, solved"
    assert basis["month"] == ""


def test_csv_is_plain_utf8(rows):
    raw = tidy.csv_bytes(small_plan())
    assert not raw.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in raw
    assert list(rows[0]) == [
        "month", "fiscal_year", "period", "group", "category", "line", "label", "unit", "kind",
        "value", "basis",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=cmd()", "'=cmd()"),
        ("+1", "'+1"),
        ("-2", "'-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "' =1"),
        ("\r\n=1", "' =1"),
        (" =1", "' =1"),
        ("a\x00b\nc", "a b c"),
        ('a,"b"', 'a,"b"'),
    ],
)
def test_no_text_is_a_formula_or_breaks_a_line(text, written):
    plan = small_plan()
    periods = [period.model_copy(update={"label": text}) for period in plan.periods]
    lines = [{**line, "group": text, "label": text} for line in plan.ledger_lines]
    spoiled = plan.model_copy(update={"periods": periods, "ledger_lines": lines})
    raw = tidy.csv_bytes(spoiled).decode()
    assert raw.count("\n") == 1 + len(LINES) * 48
    assert "\r" not in raw
    read = list(csv.DictReader(io.StringIO(raw)))
    assert {row["group"] for row in read} == {row["label"] for row in read} == {written}
    assert {row["period"] for row in read} == {written, "After horizon"}


def test_hostile_texts_survive_a_round_trip():
    plan = hostile_plan()
    read = pd.read_csv(io.BytesIO(tidy.csv_bytes(plan)), keep_default_na=False)
    assert set(read["period"]) == {row.label for row in plan.periods} | {"After horizon"}
    assert len(read) == len(tidy.ledger_rows(plan))


def test_parquet_has_types_and_the_same_values(rows):
    table = pq.read_table(io.BytesIO(tidy.parquet_bytes(small_plan())))
    types = {field.name: str(field.type) for field in table.schema}
    assert types["month"] == "date32[day]"
    assert types["value"] == "double"
    assert types["label"].startswith("dictionary<values=string")
    read = table.to_pylist()
    assert len(read) == len(rows)
    assert read[0]["month"] == date(2027, 1, 1)
    assert [row["value"] for row in read] == [float(row["value"]) for row in rows]


def test_missing_pyarrow_is_a_sentence(monkeypatch):
    monkeypatch.setattr(tidy, "find_spec", lambda _: None)
    with pytest.raises(ScenarioError, match=r"Parquet needs pyarrow: pip install"):
        tidy.parquet_bytes(small_plan())
