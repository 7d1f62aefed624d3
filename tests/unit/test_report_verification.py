"""What a reader sees of a verified plan: sheet, checks, cover and terminal."""

from io import BytesIO

import openpyxl
import pytest
from rich.console import Console

from planner.report.console_verification import verdicts
from planner.report.words import lowered_text, promise_text
from planner.report.workbook import workbook_bytes
from planner.result import (
    Attained,
    Incident,
    Repair,
    RepairRound,
    ReplayedTrace,
    Verification,
)
from planner.result import TestedPool as Pool
from tests.plan_fixture import small_plan

NAME = "assistant/m/h100/fp8+kv-fp8/vllm/tp8/chunked"
LATE = Attained(
    percentile=0.95, target_ms=2000.0, value_ms=2100.0, low_ms=2050.0, high_ms=2150.0,
    late_frac=0.062,
)  # fmt: skip
GOOD = Attained(
    percentile=0.95, target_ms=40.0, value_ms=31.0, low_ms=30.5, high_ms=31.5, late_frac=0.01
)


def load(block, verdict, **more):
    return Pool(
        candidate=NAME, demand_class="assistant", site="hq", period="2027-Q1", block=block,
        **{"condition": "normal", "replicas": 4.0, "rps_per_replica": 1.5, "utilization": 0.7,
           "verdict": verdict, **more},
    )  # fmt: skip


def verification(**more):
    pools = [
        load("night", "broken", reason="TTFT p95 2,100 ms", decided_by="hq, 2027-Q1, day"),
        load(
            "day", "broken", reason="=1+1", ttft=LATE, tpot=GOOD, requests=80_000,
            replicas_simulated=4, kv_mean_frac=0.4, kv_max_frac=0.9, preempted_frac=0.0,
            refused_frac=0.001,
        ),
        load(
            "day", "exposed", condition="one_more_out", nodes_out=2, replicas=0.0,
            rps_per_replica=float("inf"), utilization=float("inf"), reason="no replica is left",
        ),
    ]  # fmt: skip
    incident = Incident(
        kind="node_fails", candidate=NAME, demand_class="assistant", site="hq", period="2027-Q1",
        block="day", replicas=4, rps_per_replica=1.5, replicas_out=1, back_s=300.0,
        back_by="an idle node starts", late_frac=0.031, promised_late_frac=0.05, worst_frac=0.4,
        recovered_s=None, taken_over_by=["other at hq"],
    )  # fmt: skip
    trace = ReplayedTrace(
        trace="=cmd.csv", candidate=NAME, demand_class="assistant", site="hq", period="2027-Q1",
        block="day", replicas=4, rate="plan", rate_note="time x 0.5", mean_rps=5.0, peak_rps=6.0,
        share_frac=1.0, requests=900, seconds=3600.0, verdict="broken", reason="TTFT", ttft=LATE,
        tpot=GOOD, utilization=0.6, kv_mean_frac=0.3, kv_max_frac=0.5, preempted_frac=0.0,
        refused_frac=0.0,
    )  # fmt: skip
    step = RepairRound(lowered={NAME: 0.93}, npv_usd=110.0, broken=0)
    repair = Repair(npv_before_usd=100.0, npv_after_usd=110.0, rounds=[step], ended="all holds")
    values = {
        "scenario": "s", "scenario_sha256": "0", "seed": 0, "kept": False, "pools": pools,
        "unserved": ["assistant: nothing serves 15.00% of it in 2027-Q1, day"],
        "incidents": [incident], "traces": [trace], "repair": repair, "seconds": 1.0,
        "requests": 80_000, "notes": ["A peak lasts minutes."],
    }  # fmt: skip
    return Verification(**{**values, **more})


@pytest.fixture(scope="module")
def book():
    plan = small_plan().model_copy(update={"verification": verification()})
    return openpyxl.load_workbook(BytesIO(workbook_bytes(plan)), data_only=True)


def rows_of(sheet):
    return [[cell.value for cell in row] for row in sheet.iter_rows()]


def test_counts_everything_that_breaks():
    # Two loads, one trace, one class that is not served whole.
    assert verification().broken == 4
    assert promise_text(verification()) == "promises break in simulation: 4 loads"
    assert promise_text(verification(kept=True)) == "every promise holds in simulation"


def test_sheet_has_every_load_with_those_simulated_first(book):
    assert "Verification" in book.sheetnames
    sheet = book["Verification"]
    rows = rows_of(sheet)
    top = max(i for i, row in enumerate(rows) if row[6] == "Replicas" and row[9] == "TTFT, ms")
    first, second, third = rows[top + 1 : top + 4]
    assert first[:6] == ["assistant on h100", "hq", "2027-Q1", "day", "none", "broken"]
    assert first[6:13] == [4, 1.5, 0.7, 2100, 2050, 2150, 2000]
    assert first[17:19] == [0.062, 0.01]
    assert second[-1] == "TTFT p95 2,100 ms; as hq, 2027-Q1, day"
    # Nothing serves there: no rate and no use of the limit.
    assert third[4:9] == ["2, one too many", "exposed", 0, None, None]
    assert sheet.auto_filter.ref.startswith(f"A{top + 1}:")


def test_a_promise_to_the_last_token_has_its_columns():
    end = LATE.model_copy(update={"target_ms": 9000.0, "value_ms": 12345.6, "low_ms": 12000.0,
                                  "high_ms": 12700.0, "late_frac": 0.08})  # fmt: skip
    found = verification(pools=[load("day", "broken", ttft=LATE, tpot=GOOD, e2e=end, requests=9)])
    plan = small_plan().model_copy(update={"verification": found})
    sheet = openpyxl.load_workbook(BytesIO(workbook_bytes(plan)), data_only=True)["Verification"]
    rows = rows_of(sheet)
    top = max(i for i, row in enumerate(rows) if row[6] == "Replicas" and row[9] == "TTFT, ms")
    heads, values = rows[top], rows[top + 1]
    assert "Token ITL, ms" not in heads
    at = heads.index("E2E, ms")
    assert values[at : at + 4] == [12345.6, 12000, 12700, 9000]
    assert values[at + 4 : at + 7] == [0.062, 0.01, 0.08]
    # The trace above has none: its cells stay empty below the same headings.
    above = next(row for row in rows if row[4] == "=cmd.csv")
    assert above[at : at + 4] == [None] * 4
    screen = Console(width=150, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    screen.print(verdicts(found, every=False))
    text = screen.export_text()
    for line in ("last token", "12,346", "± 350", "> 9,000", "8.0%"):
        assert line in text


def test_text_stays_text(book):
    cells = [cell for row in book["Verification"].iter_rows() for cell in row]
    mine = [cell for cell in cells if cell.value in ("=1+1", "=cmd.csv")]
    assert len(mine) == 2
    assert all(cell.data_type == "s" and cell.quotePrefix for cell in mine)


def test_hours_traces_and_repair_are_listed(book):
    text = [
        " | ".join(str(x) for x in row if x is not None) for row in rows_of(book["Verification"])
    ]
    assert any(
        "a node fails | yes | 4 | 1 | 5 | 0.031 | 0.05 | 0.4 | not yet | 1" in x for x in text
    )
    assert any("=cmd.csv | broken | 4 | 5 | 6 | 2100" in x for x in text)
    assert any("100 USD before, 110 after, +10 USD (+10.00%)" in x for x in text)
    assert any("nothing serves 15.00%" in x for x in text)


def test_a_broken_promise_fails_the_checks(book):
    rows = {row[0]: row for row in rows_of(book["Checks"])}
    assert rows["Promises that break in simulation, or were not tried"][1] == 4
    assert rows["Promises that break in simulation, or were not tried"][4] == 0
    assert "A check fails" in str(rows_of(book["Cover"]))
    assert "promises break in simulation: 4 loads" in str(rows_of(book["Cover"]))
    assert "promises break in simulation: 4 loads" in str(rows_of(book["Decision"]))


def test_a_plan_that_was_not_simulated_says_so():
    found = openpyxl.load_workbook(BytesIO(workbook_bytes(small_plan())), data_only=True)
    assert "Verification" not in found.sheetnames
    assert "not simulated" in str(rows_of(found["Cover"]))
    assert "Promises" not in [row[0] for row in rows_of(found["Checks"])]


@pytest.mark.parametrize("every", [False, True])
def test_terminal_says_what_breaks_and_what_repair_cost(every):
    screen = Console(width=150, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    screen.print(verdicts(verification(), every=every))
    text = screen.export_text()
    for words in (
        "promises break in simulation: 4 loads", "2,100", "± 50", "> 2,000", "6.2%",
        "a node fails", "1 other pool beside",
        "3.1%", "+10 USD (+10.00%)", "nothing serves 15.00%", "no replica is left", "=cmd.csv",
    ):  # fmt: skip
        assert words in text, words
    assert ("Every load" in text) == every


@pytest.mark.parametrize("every", [False, True])
def test_terminal_of_80_columns_cuts_nothing(every):
    screen = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    screen.print(verdicts(verification(), every=every))
    text = screen.export_text()
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert max(map(len, text.splitlines())) <= 80
    for words in ("refused", "pre-empted", "of limit", "cache", "at most", "± 95 %", "busy"):
        assert words in text, words


def test_what_could_not_be_tried_is_no_pass():
    rows = [load("day", "unverified", reason="static batches are not simulated")]
    found = verification(pools=rows, unserved=[], traces=[], repair=None)
    assert promise_text(found) == (
        "no promise breaks in simulation, but not all were tried: 1 load not simulated"
    )
    screen = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    screen.print(verdicts(found))
    text = screen.export_text()
    assert "Not verified: no pass" in text
    assert "static batches are not simulated" in text


def test_a_round_that_lowers_many_alike_names_one():
    step = RepairRound(lowered={"a": 0.9, "b": 0.9, "c": 0.5}, npv_usd=1.0, broken=0)
    assert lowered_text(step) == "a and 1 more to 90.0%; c to 50.0%"
    larger = step.model_copy(update={"lowered": {}, "least_replicas": {"a": 2, "b": 2}})
    assert lowered_text(larger) == "pools of a and 1 more of 2 or more"


def test_a_lost_pool_and_its_stand_in_say_who_serves():
    other = "assistant/m/h200/fp8+kv-fp8/vllm/tp8/chunked"
    rows = [
        load("day", "kept", condition="one_more_out", nodes_out=1, replicas=0.0,
             decided_by=f"its traffic goes to {other} at hq"),
        load("day", "kept", condition="one_more_out", nodes_out=1, takes_over=f"{other} at hq"),
    ]  # fmt: skip
    plan = small_plan().model_copy(update={"verification": verification(pools=rows)})
    found = openpyxl.load_workbook(BytesIO(workbook_bytes(plan)), data_only=True)["Verification"]
    said = [row[24] for row in rows_of(found) if row[0] == "assistant on h100"]
    assert said[-2:] == [
        f"its traffic goes to {other} at hq",
        "in place of assistant on h200 at hq",
    ]
