"""Traces as files: formats, stamps, what is refused by row number, what cleaning does."""

import gzip
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.cli import main
from planner.errors import ScenarioError
from planner.files import traces
from planner.files.scenario import load_scenario
from planner.files.trace_fit import demand_yaml, fit_trace
from planner.files.trace_rules import CLEAN_RULES
from planner.files.traces import read_trace
from planner.schema.demand import Online
from planner.workload.burstiness import day_shape

HEAD = "timestamp,input_tokens,output_tokens\n"


@pytest.fixture
def write(tmp_path):
    def to_file(text, name="trace.csv"):
        path = tmp_path / name
        raw = text.encode() if isinstance(text, str) else text
        path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return path

    return to_file


def problems(path, **options):
    with pytest.raises(ScenarioError) as caught:
        read_trace(path, **options)
    return caught.value.problems


def seen(trace):
    time_s = None if trace.time_s is None else [round(t, 6) for t in trace.time_s.tolist()]
    return time_s, trace.input_tokens.tolist(), trace.output_tokens.tolist()


ROWS = ([0.0, 1.5, 4.0], [10, 20, 30], [1, 2, 3])

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9000000,10,1
2023-11-16 18:17:05.4000000,20,2
2023-11-16 18:17:07.9000000,30,3
"""
BURSTGPT = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,10,1,11,Conversation log
6.5,ChatGPT,20,2,22,Conversation log
9,GPT-4,30,3,33,API log
"""
MOONCAKE = "".join(
    json.dumps({"timestamp": t, "input_length": i, "output_length": o, "hash_ids": [0, 1]}) + "\n"
    for t, i, o in [(0, 10, 1), (1500, 20, 2), (4000, 30, 3)]
)
OPENAI = "".join(
    json.dumps({"created": t, "usage": {"prompt_tokens": i, "completion_tokens": o}}) + "\n\n"
    for t, i, o in [(1700000000, 10, 1), (1700000001.5, 20, 2), (1700000004, 30, 3)]
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("azure.csv", AZURE),
        ("azure.csv.gz", AZURE),
        ("burstgpt.csv", BURSTGPT),
        ("mooncake.jsonl", MOONCAKE),
        ("log.jsonl.gz", OPENAI),
        ("semicolon.csv", HEAD.replace(",", ";") + "0;10;1\n1.5;20;2\n4;30;3\n"),
        ("bom.csv", "\ufeff" + HEAD + "0,10,1\n1.5,20,2\n4,30,3\n"),
    ],
)
def test_known_formats(write, name, text):
    assert seen(read_trace(write(text, name))) == ROWS


@pytest.mark.parametrize(
    ("unit", "stamps"),
    [
        ("s", ["1700000000", "1700000001.5", "1700000004"]),
        ("ms", ["1700000000000", "1700000001500", "1700000004000"]),
        ("us", ["1700000000000000", "1700000001500000", "1700000004000000"]),
        ("ns", ["1700000000000000000", "1700000001500000000", "1700000004000000000"]),
        ("iso", ["2023-11-14T22:13:20Z", "2023-11-14T22:13:21.500Z", "2023-11-14T22:13:24Z"]),
    ],
)
def test_stamps_of_every_kind_give_the_same_trace(write, unit, stamps):
    lengths = [(10, 1), (20, 2), (30, 3)]
    text = "".join(f"{t},{i},{o}\n" for t, (i, o) in zip(stamps, lengths, strict=True))
    trace = read_trace(write(HEAD + text))
    assert seen(trace) == ROWS
    # 1,700,000,000 s since 1970 is 2023-11-14 22:13:20 UTC.
    assert datetime.fromtimestamp(trace.wall_s[0], UTC).isoformat() == "2023-11-14T22:13:20+00:00"
    assert trace.clock == "UTC"


def test_nanoseconds_keep_their_digits(write):
    stamps = [1700000000000000000 + 1000 * k for k in range(3)]  # a float steps by 256 ns there
    trace = read_trace(write(HEAD + "".join(f"{t},10,1{k}\n" for k, t in enumerate(stamps))))
    assert np.diff(trace.time_s) == pytest.approx([1e-6, 1e-6], rel=1e-6)


def test_time_unit_can_be_said(write):
    trace = read_trace(write(HEAD + "0,10,1\n1500,20,2\n4000,30,3\n"), time_unit="ms")
    assert seen(trace) == ROWS


def test_column_map(write):
    path = write("when,in,out,cache\n0,10,1,0\n1.5,20,2,16\n4,30,3,16\n")
    roles = {"timestamp": "when", "input_tokens": "in", "output_tokens": "out"}
    trace = read_trace(path, column_map=roles | {"hit_tokens": "cache"})
    assert seen(trace) == ROWS
    assert trace.hit_tokens.tolist() == [0, 16, 16]
    assert (
        "no column 'inn' for input_tokens; "
        in problems(path, column_map={"input_tokens": "inn"})[0]
    )
    both = write("prompt_tokens,input_tokens,output_tokens\n1,1,1\n")
    assert problems(both) == (
        "input_tokens may be prompt_tokens or input_tokens: --column-map input_tokens=COLUMN",
    )


def test_clock_follows_the_zone(write):
    # Germany: UTC+1 in winter, UTC+2 from 2026-03-29 01:00 UTC.
    path = write(HEAD + "2026-03-29T00:30:00Z,10,1\n2026-03-29T01:30:00Z,20,2\n")
    berlin = read_trace(path, timezone="Europe/Berlin", clean=["keep-holes"])
    hours = [datetime.fromtimestamp(t, UTC).hour for t in berlin.wall_s]
    assert hours == [1, 3]
    assert berlin.time_s.tolist() == [0.0, 3600.0]


def test_one_offset_gives_its_own_clock(write):
    trace = read_trace(
        write(HEAD + "2026-01-05T08:00:00+02:00,10,1\n2026-01-05T08:00:01+02:00,2,2\n")
    )
    assert datetime.fromtimestamp(trace.wall_s[0], UTC).hour == 8
    assert trace.clock == "UTC+2 h"


def test_stamps_without_an_offset_are_local(write):
    path = write(HEAD + "2026-01-05 08:00:00,10,1\n2026-01-05 08:00:01,2,2\n")
    for zone, clock in [(None, "as the stamps are written"), ("Asia/Tokyo", "Asia/Tokyo")]:
        trace = read_trace(path, timezone=zone)
        assert datetime.fromtimestamp(trace.wall_s[0], UTC).hour == 8
        assert trace.clock == clock


def test_stamps_of_bigquery_and_of_python_s_logging(write):
    rows = '"{0}00{1}",10,1\n"{0}01{2}",20,2\n"{0}04{1}",30,3\n'
    for ends in (" UTC", ".500000 UTC"), (",000", ",500"):
        assert seen(read_trace(write(HEAD + rows.format("2026-03-02 09:00:", *ends)))) == ROWS


@pytest.mark.parametrize(("first", "twice"), [("2026-10-23", 2.0), ("2026-03-27", 0.0)])
def test_hours_that_a_clock_shows_twice_or_leaves_out(write, first, twice):
    # A request a minute from Friday 00:00 UTC for four days; Berlin's clock moves on Sunday at
    # 01:00 UTC: 02:00 to 03:00 comes twice in October and not at all in March.
    start = datetime.fromisoformat(first).replace(tzinfo=UTC).timestamp()
    stamps = [int(start) + 60 * i for i in range(4 * 1440 + 1)]
    trace = read_trace(write(rows_of(stamps)), timezone="Europe/Berlin")
    assert sum(b - a for a, b in trace.observed) == 4 * 86_400
    shape = day_shape(trace.wall_s, observed=trace.observed)
    assert np.nanmax(np.abs(shape.rates_rps * 60 - 1)) < 0.04  # one request of 60 at an edge
    assert shape.observed_s[1, 2] == (1 + twice) * 3600  # and Saturday's


def test_several_offsets_need_a_zone(write):
    path = write(HEAD + "2026-01-05T08:00:00+01:00,10,1\n2026-01-05T08:00:01+00:00,2,2\n")
    assert problems(path, clean=["keep-holes"]) == (
        "timestamp: 2 offsets from UTC (+0 h, +1 h); --timezone says whose clock gives the hours "
        "of the day",
    )
    trace = read_trace(path, timezone="UTC", clean=["keep-holes"])
    assert trace.time_s.tolist() == [0.0, 3601.0]


def test_stamps_with_and_without_offset(write):
    path = write(
        HEAD + "2026-01-05T08:00:00Z,10,1\n2026-01-05T09:00:01,20,2\n2026-01-05T08:00:02Z,3,3\n"
    )
    (sentence,) = [p for p in problems(path) if "naive-local" in p]
    assert sentence.startswith("timestamp: row 2: without an offset, others have one")
    assert problems(path, clean=["naive-local", "sort", "keep-holes"]) == (
        "timestamp: --clean naive-local needs --timezone",
    )
    trace = read_trace(path, timezone="Europe/Berlin", clean=["naive-local"])
    assert trace.time_s.tolist() == [0.0, 1.0, 2.0]


BAD = (
    HEAD
    + """0,100,20
1,-5,20
2,100,0
3,,20
4,abc,20
5,99999999999,20
soon,100,20
,100,20
9,12.5,20
8,100,20
10,100,20
10,100,20
11,inf,20
12,100,20
"""
)


def test_everything_wrong_is_said_at_once(write):
    found = problems(write(BAD))
    starts = [
        "input_tokens: row 2 -5: below zero; --clean drop-negative",
        "output_tokens: row 3: zero; --clean drop-zero",
        "input_tokens: row 4: blank; --clean drop-missing",
        "input_tokens: 3 rows (5 'abc', 9 12.5, 13 inf): no whole number in plain digits; ",
        "input_tokens: row 6 99999999999: above 10,000,000 tokens; --clean drop-absurd",
        "timestamp: row 7 'soon': no time: ISO 8601 is read, and numbers of s, ms, us or ns; ",
        "timestamp: row 8: blank; --clean drop-missing",
        "rows: row 12: time and lengths repeat another row; --clean drop-duplicates",
    ]
    assert len(found) == len(starts)
    for sentence, start in zip(found, starts, strict=True):
        assert sentence.startswith(start)


def test_rules_clean_and_are_noted(write):
    trace = read_trace(write(BAD), clean=[*(set(CLEAN_RULES) - {"keep-holes"})])
    assert trace.time_s.tolist() == [0.0, 8.0, 10.0, 12.0]
    assert trace.input_tokens.tolist() == [100] * 4
    assert trace.rows == 14
    assert sum(note.startswith("cleaned by ") for note in trace.notes) == 8


def test_a_rule_covers_only_its_own_problem(write):
    found = problems(write(BAD), clean=["drop-negative"])
    assert len(found) == 7
    assert not any("below zero" in sentence for sentence in found)


def test_order(write):
    path = write(HEAD + "5,1,1\n3,2,2\n9,3,3\n8,4,4\n10,5,5\n")
    assert problems(path)[0].startswith(
        "timestamp: 2 rows (2 by 2 s, 4 by 1 s): earlier than the row before"
    )
    trace = read_trace(path, clean=["sort"])
    assert seen(trace) == ([0.0, 2.0, 5.0, 6.0, 7.0], [2, 1, 4, 3, 5], [2, 1, 4, 3, 5])


def test_repetition_is_no_slip_where_stamps_are_rounded(write):
    rows = "".join(f"{k // 10},{5 + k % 3},7\n" for k in range(200))
    trace = read_trace(write(HEAD + rows))
    assert len(trace.input_tokens) == 200
    # 10 rows a second with 3 kinds of request: 7 of them repeat one of that second.
    assert any("140 rows repeat time and lengths" in note for note in trace.notes)
    assert len(read_trace(write(HEAD + rows), clean=["drop-duplicates"]).input_tokens) == 60


def hourly(hours, per_hour=60):
    return "".join(
        f"{3600 * h + 60 * k + 0.001 * (h % 7)},{10 + k},{5 + h % 3}\n"
        for h in hours
        for k in range(per_hour)
    )


def test_holes_are_quiet_or_not_recorded(write):
    path = write(HEAD + hourly([0, 1, 5, 6]))
    (sentence,) = problems(path)
    # After the 120th row, at 1 h 59 min; the next row stands at 5 h.
    assert "1 hole of an hour or more without a request, after row 120" in sentence
    assert "lasts 3.0 h; 3 clock hours are empty" in sentence
    assert "--clean keep-holes" in sentence
    kept = read_trace(path, clean=["keep-holes"])
    assert kept.time_s[-1] == pytest.approx(6 * 3600 + 59 * 60, abs=1)
    skipped = read_trace(path, clean=["skip-holes"])
    assert skipped.time_s[-1] == pytest.approx(3 * 3600 + 59 * 60, abs=1)
    assert len(skipped.observed) == 2
    assert problems(path, clean=["keep-holes", "skip-holes"])


def test_unrecorded_hours_do_not_lower_the_rate(write):
    path = write(HEAD + hourly([*range(10), *range(20, 40)]))
    quiet, absent = (
        fit_trace(read_trace(path, clean=[rule]), name="a", model="m", max_context=1e5)
        for rule in ("keep-holes", "skip-holes")
    )
    assert absent.demand["requests_per_s"] == pytest.approx(1 / 60, rel=0.01)
    assert quiet.demand["requests_per_s"] < 0.9 / 60


@pytest.mark.parametrize(
    ("name", "raw", "says"),
    [
        ("one.csv", HEAD + "1,5,5\n", "1 of 1 rows can be used"),
        ("none.csv", HEAD, "0 of 0 rows can be used"),
        ("empty.csv", "", "is empty"),
        ("blank.jsonl", " \n", "is empty"),
        ("array.jsonl", '[\n{"input_tokens": 5, "output_tokens": 6}]', "no array over lines"),
        (
            "twice.csv",
            "input_tokens,output_tokens,input_tokens\n1,2,3\n4,5,6\n",
            "2 columns are called 'input_tokens'",
        ),
        ("packed.csv", gzip.compress(HEAD.encode(), mtime=0), "compressed by gzip: give it a name"),
        ("excel.csv", "\ufeffa,b\n".encode("utf-16-le"), "is UTF-16 text: save it as UTF-8"),
        (
            "days.csv",
            HEAD + "2026-03-01,1,1\n2026-03-01,2,1\n2026-03-03,3,1\n",
            "dates without a time of day",
        ),
        (
            "latin.csv",
            (HEAD + "0,1,1\n1,é,2\n").encode("latin-1"),
            "row 2 is no UTF-8 text (byte 0xe9): save the file as UTF-8",
        ),
        ("names.csv", "a,b\n1,2\n", "no column for input_tokens among a, b"),
        ("long.csv", HEAD + "1,5,5\n1,2,3,4\n", "is no CSV table"),
        ("longer.csv", HEAD + "1,5,5,7\n1,2,3\n", "rows have more fields than the header"),
        ("binary.csv", b"\xcb\x00\xff\n", "the header is no UTF-8 text (byte 0xcb)"),
        ("trace.xlsx", "x", "expected a name that ends in .csv"),
        ("far.csv", HEAD + "0,1,1\n9e9,2,2\n", "span 285 years"),
        ("late.csv", HEAD + "9e15,1,1\n9e15,2,2\n", "no plausible date"),
    ],
)
def test_unusable_files(write, name, raw, says):
    assert any(says in sentence for sentence in problems(write(raw, name), clean=["keep-holes"]))


def rows_of(stamps):
    return HEAD + "".join(f"{stamp},{100 + i},{50 + i}\n" for i, stamp in enumerate(stamps))


def test_two_units_of_time_are_named_by_row(write):
    stamps = [1_700_000_000 + i for i in range(30)] + [1000 * (1_700_000_030 + i) for i in range(9)]
    (problem,) = problems(write(rows_of(stamps)))
    # (1.70000003e12 - 1.700000029e9) ms of 365 days: 53.9 years, if the unit is ms.
    assert "between row 30 and row 31: two units of time, or a wrong clock" in problem


def test_a_stamp_of_another_century_is_named_by_row(write):
    stamps = [f"2026-03-01T10:00:{i:02d}Z" for i in range(40)]
    stamps[7] = "2099-01-01T00:00:00Z"
    found = problems(write(rows_of(stamps)))
    # Sorted it is the last, after row 40.
    assert any("72.9 of them lie between row 40 and row 8" in problem for problem in found)


def test_days_of_a_spreadsheet_are_no_seconds(write):
    # 46,000 days after 1899-12-30; a second is 1 / 86,400.
    days = [f"{46_000 + i / 86_400:.8f}" for i in range(300)]
    (problem,) = problems(write(rows_of(days)))
    assert problem.startswith("timestamp: row 1: 46,000 looks like a spreadsheet's day, 2025-12-09")
    # Who says that they are seconds is believed, and so are whole numbers.
    assert read_trace(write(rows_of(days)), time_unit="s").time_s[-1] == pytest.approx(299 / 86_400)
    assert read_trace(write(rows_of(range(46_000, 46_300)))).time_s[-1] == 299


def test_a_row_of_another_length_is_counted_like_all_rows(write):
    (problem,) = problems(write(rows_of(range(300)).replace("\n99,", "\n99,5,", 1)))
    assert "3 fields in row 100, saw 4" in problem


def test_a_clock_that_stood_is_named_by_row(write):
    stamps = [*range(100), *[100] * 1900, *range(101, 300)]
    (note,) = [n for n in read_trace(write(rows_of(stamps))).notes if "one time stamp" in n]
    assert note.startswith("1,900 rows from row 101 on bear one time stamp, others at most 1")
    assert not [n for n in read_trace(write(rows_of(range(300)))).notes if "one time" in n]


def test_damaged_gzip(tmp_path):
    whole = gzip.compress((HEAD + hourly(range(9))).encode())
    for raw, says in [(whole[:400], "no whole gzip file"), (b"not gzip", "cannot be read")]:
        path = tmp_path / "trace.csv.gz"
        path.write_bytes(raw)
        assert says in problems(path)[0]
    assert "cannot be read" in problems(tmp_path / "absent.csv")[0]


def test_json_lines_that_are_none(write):
    good = '{"input_tokens": 5, "output_tokens": 6}\n'
    path = write(good + "{broken\n[1]\n" + good, "log.jsonl")
    assert problems(path)[0].startswith(
        "input_tokens: 2 rows (2 '(no JSON object)', 3 '(no JSON object)'): no whole number"
    )
    assert read_trace(path, clean=["drop-unreadable"]).input_tokens.tolist() == [5, 5]


def test_prefix_hits(write):
    text = "prompt_tokens,completion_tokens,cached_tokens\n100,5,\n200,5,150\n100,6,120\n"
    path = write(text)
    assert problems(path)[0].startswith("hit_tokens: row 3 120: below zero or above the prompt")
    trace = read_trace(path, clean=["clip-hits"])
    fit = fit_trace(trace, name="a", model="m", max_context=1e5, rps=2.0)
    assert fit.demand["prefix_cache_hit_frac"] == pytest.approx(250 / 400)
    assert "hit_tokens: blank in 1 of 3 rows, counted as none" in fit.notes


def test_chunks_do_not_matter(write, monkeypatch):
    path = write(BAD)
    whole, said = seen(read_trace(path, clean=CLEAN_RULES.keys() - {"keep-holes"})), problems(path)
    monkeypatch.setattr(traces, "CHUNK_ROWS", 3)
    assert seen(read_trace(path, clean=CLEAN_RULES.keys() - {"keep-holes"})) == whole
    assert problems(path) == said
    log = write(MOONCAKE, "m.jsonl")
    monkeypatch.setattr(traces, "CHUNK_ROWS", 2)
    assert seen(read_trace(log)) == ROWS


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "trace.parquet"
    when = pd.to_datetime([1_700_000_000_000, 1_700_000_001_500, 1_700_000_004_000], unit="ms")
    frame = pd.DataFrame({"timestamp": when, "input_tokens": ROWS[1], "output_tokens": ROWS[2]})
    frame.to_parquet(path)
    assert seen(read_trace(path)) == ROWS
    frame.assign(timestamp=when.tz_localize("Europe/Berlin")).to_parquet(path)
    assert datetime.fromtimestamp(read_trace(path).wall_s[0], UTC).hour == 22
    path.write_bytes(b"no table")
    assert "is no Parquet file" in problems(path)[0]


def test_parquet_without_pyarrow(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    said = problems(write(b"x", "trace.parquet"))[0]
    assert said == "Parquet needs pyarrow: pip install 'inference-fleet-planner[parquet]'"


CELLS = st.sampled_from(
    [
        "", "  ", "abc", '"', "1,2", "\x00", "nan", "inf", "1e308", "1e999", "9" * 400, "0x10",
        "True", "-1", "0", "7.5", "18446744073709551615", "-1700000000", "1700000000", "20230101",
        "0001-01-01T00:00:00-14:00", "9999-12-31T23:59:59", "2023-02-30", "2023-01-01T00:00:01",
        "2023-01-01T00:00:02+02:00", "2023-06-01T00:00:00.123456789123Z", "10", "12", "100",
    ]
)  # fmt: skip
STAMPS = {"iso": "2023-01-01T00:00:{:02d}Z", "epoch": "16000000{:02d}", "relative": "{}"}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 2), CELLS, st.integers(0, 3)), min_size=2, max_size=8),
    st.sampled_from(sorted(STAMPS)),
    st.sampled_from([None, "Europe/Berlin"]),
    st.booleans(),
)
def test_whatever_stands_in_the_cells(tmp_path, rows, kind, zone, cleaned):
    """A trace that is read is sound; any other is refused with reasons, without a defect."""
    text = HEAD
    for k, (place, cell, spoiled) in enumerate(rows):
        cells = [STAMPS[kind].format(k), str(10 + k), str(5 + k)]
        if spoiled == 0:
            cells[place] = cell
        text += ",".join(cells) + "\n"
    path = tmp_path / "trace.csv"
    path.write_text(text)
    rules = [*(CLEAN_RULES.keys() - {"keep-holes"})] if cleaned else []
    try:
        trace = read_trace(path, timezone=zone, clean=rules)
    except ScenarioError:
        return
    assert 2 <= len(trace.input_tokens) <= trace.rows
    assert trace.input_tokens.min() > 0
    assert trace.output_tokens.min() > 0
    if trace.time_s is not None:
        assert trace.time_s[0] == 0
        assert np.all(np.diff(trace.time_s) >= 0)


def week(counts):
    """Requests of one week from Monday 2026-01-05 00:00, `counts(day, hour)` of them an hour."""
    monday = datetime(2026, 1, 5, tzinfo=UTC).timestamp()
    lines = []
    for day in range(7):
        for hour in range(24):
            n = counts(day, hour)
            start = monday + 86_400 * day + 3600 * hour
            lines += [f"{start + 3600 * k / n:.3f},{100 + k % 5},{10 + k % 3}\n" for k in range(n)]
    return HEAD + "".join(lines)


def test_profile_of_a_week(write):
    # Working days 36 an hour and 108 from 8 to 20 h: mean 72 an hour, 0.02/s; weekends 36.
    text = week(lambda day, hour: 108 if day < 5 and 8 <= hour < 20 else 36)
    fit = fit_trace(read_trace(write(text)), name="a", model="m", max_context=1e5)
    profile = fit.demand["profile"]
    assert fit.demand["requests_per_s"] == pytest.approx(0.02, rel=1e-3)
    assert profile["weekday"][:8] == pytest.approx([0.5] * 8, rel=1e-3)
    assert profile["weekday"][8:20] == pytest.approx([1.5] * 12, rel=1e-3)
    assert profile["weekend"] == pytest.approx([0.5] * 24, rel=0.03)  # its last gap is not seen


def test_burstiness_by_window_and_whose_clock_are_told(write):
    # Pairs of requests every 60 s for two days. Windows of 1 s hold 0 or 2, mean 1/30: variance
    # 4 / 60 - 1 / 900, over the mean 2 - 1 / 30 = 1.97; of 10 s 2 - 1 / 3 = 1.67; longer ones
    # hold the same number each.
    stamps = [1_772_409_600 + 60 * i + 0.25 * j for i in range(2880) for j in range(2)]
    fit = fit_trace(read_trace(write(rows_of(stamps))), name="a", model="m", max_context=1e5)
    assert (
        "index of dispersion of counts, 1 for a Poisson stream: 1.97 in 1 s, 1.67 in 10 s, "
        "0 in 60 s, 0 in 300 s"
    ) in fit.notes
    assert "hours of the day: UTC; --timezone gives another clock's" in fit.notes


def test_profile_moves_with_the_zone(write):
    text = week(lambda day, hour: 108 if hour == 8 else 36)
    trace = read_trace(write(text), timezone="Asia/Tokyo")  # 9 h ahead
    profile = fit_trace(trace, name="a", model="m", max_context=1e5).demand["profile"]
    assert int(np.argmax(profile["weekday"])) == 17


def test_relative_stamps_have_a_shape_without_a_clock(write):
    rows = "".join(
        f"{86_400 * d + 3600 * h + 3600 * k / n},{9 + k},{5}\n"
        for d in range(2)
        for h in range(24)
        for n in [90 if h == 4 else 30]
        for k in range(n)
    )
    fit = fit_trace(read_trace(write(HEAD + rows)), name="a", model="m", max_context=1e5)
    assert fit.demand["profile"]["weekday"] == fit.demand["profile"]["weekend"]
    assert int(np.argmax(fit.demand["profile"]["weekday"])) == 4
    assert any("do not tell the hour" in note for note in fit.notes)


def test_short_trace_is_flat_and_says_so(write):
    fit = fit_trace(
        read_trace(write(HEAD + hourly(range(3)))), name="a", model="m", max_context=1e5
    )
    assert fit.demand["profile"] == "flat"
    assert any("shorter than a day" in note for note in fit.notes)
    other = fit_trace(
        read_trace(write(HEAD + hourly(range(3)))), name="a", model="m", max_context=1e5, rps=40.0
    )
    assert other.demand["requests_per_s"] == 40.0
    assert any("rate 40 requests/s is given" in note for note in other.notes)


def test_lengths_only_need_a_rate(write):
    path = write("timestamp,input_tokens,output_tokens\n,5,6\n,7,8\n")
    trace = read_trace(path)
    assert trace.time_s is None
    with pytest.raises(ScenarioError, match="--rps gives the mean rate"):
        fit_trace(trace, name="a", model="m", max_context=1e5)
    fit = fit_trace(trace, name="a", model="m", max_context=1e5, rps=3.0)
    assert (fit.demand["requests_per_s"], fit.demand["profile"]) == (3.0, "flat")
    assert not {"five_minute_cv", "arrival_cv"} & fit.demand.keys()


def test_context_of_the_model(write):
    trace = read_trace(write("input_tokens,output_tokens\n50,6\n170,8\n"))
    fit = fit_trace(trace, name="a", model="m", max_context=128, rps=1.0)
    assert any("1 requests exceed the context of m" in note for note in fit.notes)
    with pytest.raises(ScenarioError, match="exceeds the context of m, 100: name another"):
        fit_trace(trace, name="a", model="m", max_context=100, rps=1.0)


def test_means_together_must_fit_the_model(write):
    trace = read_trace(write("input_tokens,output_tokens\n60,50\n70,60\n"))
    with pytest.raises(ScenarioError, match="of 120 tokens together exceed the context of m, 100"):
        fit_trace(trace, name="a", model="m", max_context=100, rps=1.0)


def test_lengths_that_go_together_are_fitted_together(write):
    rows = "".join(f"{i},{100 + i % 50},{200 - i % 50}\n" for i in range(1500))
    fit = fit_trace(read_trace(write(HEAD + rows)), name="a", model="m", max_context=1e5)
    shares = np.reshape(fit.demand["length_pairs"]["shares"], (12, 12))
    # The shorter the prompt the longer the answer: most on the other diagonal, rest beside it
    # (prompts of one length, 2 % of all, are dealt to both sides of a border at random).
    assert shares[:, ::-1].trace() > 0.7
    assert any("planned together" in note for note in fit.notes)
    Online.model_validate(fit.demand)
    few = fit_trace(
        read_trace(write(HEAD + rows[: rows.index("900,")])), name="a", model="m", max_context=1e5
    )
    assert "length_pairs" not in few.demand
    assert any("fewer than 1,000 requests" in note for note in few.notes)


def test_too_bursty_is_cut_and_said(write):
    # 30 at once each minute: gaps of a hundredth of a second and one of 59.7 s.
    rows = "".join(f"{60 * m + k / 100},{9 + k},{5 + m}\n" for m in range(60) for k in range(30))
    fit = fit_trace(read_trace(write(HEAD + rows)), name="a", model="m", max_context=1e5)
    assert fit.demand["arrival_cv"] == 5.0
    assert any("the planner takes 5: capacity may fall short" in note for note in fit.notes)


def test_block_is_a_class_and_every_figure_has_a_source(write):
    import yaml  # noqa: PLC0415

    fit = fit_trace(read_trace(write(week(lambda *_: 30))), name="web", model="m", max_context=1e5)
    block = yaml.safe_load(demand_yaml(fit))
    (entry,) = block["demand"]
    Online.model_validate(entry)
    assert block["sources"].keys() == {
        f"demand.web.{key}" for key in entry.keys() - {"kind", "name"}
    }


def run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(["workload", "fit", *map(str, words)])
    out, err = capsys.readouterr()
    return end.value.code, out, err


def test_command_writes_block_and_scenario(write, capsys, tmp_path):
    trace = write(HEAD + hourly(range(3)), "web.csv")
    block, whole = tmp_path / "demand.yaml", tmp_path / "mine.yaml"
    status, out, err = run(capsys, trace, "-o", block, "--scenario", whole, "--name", "web")
    assert (status, "shorter than a day" in out) == (0, True)
    assert f"wrote {block}" in err
    scenario = load_scenario(str(whole))
    assert (scenario.name, scenario.demand[0].name) == ("mine", "web")
    assert scenario.sources["demand.web.requests_per_s"].startswith("fitted to web.csv, 180 ")
    # The block alone takes the place of another scenario's demand and sources.
    text = Path("scenarios/chat_8b.yaml").read_text()
    rest = text[: text.index("demand:")] + text[text.index("sites:") : text.index("sources:")]
    (tmp_path / "pasted.yaml").write_text(rest + block.read_text())
    assert load_scenario(str(tmp_path / "pasted.yaml")).demand == scenario.demand
    status, _, err = run(capsys, trace, "-o", block)
    assert (status, "exists; --force" in err) == (2, True)


def test_a_scenario_s_name_is_made_of_its_file_s(write, capsys, tmp_path):
    whole = tmp_path / "My Traffic.v2.yaml"
    status, _, err = run(capsys, write(HEAD + hourly(range(3))), "--scenario", whole)
    assert (status, err) == (0, f"wrote {whole}\n")
    assert load_scenario(str(whole)).name == "my-traffic-v2"


def test_command_overwrites_neither_the_trace_nor_its_own_file(write, capsys, tmp_path):
    trace, other = write(HEAD + hourly(range(3))), tmp_path / "x.yaml"
    before = trace.read_bytes()
    status, _, err = run(capsys, trace, "-o", trace, "--force")
    assert (status, "is the trace itself" in err, trace.read_bytes()) == (2, True, before)
    status, _, err = run(capsys, trace, "-o", other, "--scenario", other, "--force")
    assert (status, "is asked for twice" in err, other.exists()) == (2, True, False)


def test_more_prefix_hits_than_planned_are_safe(write):
    rows = "".join(f"{i},{10 + i % 3},{2 + i % 5},{10 + i % 3}\n" for i in range(100))
    fit = fit_trace(
        read_trace(write("timestamp,input_tokens,output_tokens,cached_tokens\n" + rows)),
        name="chat", model="llama-3.1-8b", max_context=131_072,
    )  # fmt: skip
    assert fit.demand["prefix_cache_hit_frac"] == 0.99
    (note,) = [note for note in fit.notes if "the planner takes 0.99" in note]
    assert note.endswith("this errs on the safe side")


def test_command_prints_the_block_or_json(write, capsys):
    trace = write(HEAD + hourly(range(3)))
    _, out, _ = run(capsys, trace)
    assert "\ndemand:\n- kind: online\n" in out
    _, out, _ = run(capsys, trace, "--json")
    found = json.loads(out)
    assert found["demand"]["requests_per_s"] == pytest.approx(1 / 60, rel=0.01)
    assert found["measured"]["burstiness"]["dispersion"].keys() == {"1", "10", "60", "300"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--timezone", "Mars/Base"], "no zone 'Mars/Base'"),
        (["--column-map", "prompt=a"], "write ROLE=COLUMN"),
        (
            ["--column-map", "input_tokens=output_tokens"],
            "'output_tokens' cannot be input_tokens and output_tokens",
        ),
        (["--model", "llama-3.1-8"], "llama-3.1-8b"),
        (["--clean", "all"], "drop-missing"),
        (["--rps", "0"], "--rps"),
        (["--rps", "nan"], "--rps nan: expected a finite number"),
        (["--name", "Two Words"], "demand[Two Words].name"),
    ],
)
def test_command_refuses_wrong_words(write, capsys, words, says):
    status, _, err = run(capsys, write(HEAD + hourly(range(3))), *words)
    assert status == 2
    assert says in err


def test_command_refuses_a_bad_trace_as_json(write, capsys):
    status, out, _ = run(capsys, write(BAD), "--json")
    assert status == 2
    assert len(json.loads(out)["error"]["problems"]) == 8
