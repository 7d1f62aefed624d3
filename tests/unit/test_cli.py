"""Commands: what they print, where, and what they end with. Planning itself is replaced here."""

import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

import planner
from planner.cli import main
from planner.cli.candidates import conditions, ordered
from planner.errors import InfeasibleError, StoppedError, VerificationError
from planner.files.scenario import parse_scenario
from planner.files.template import template
from planner.result import CandidateRow, Plan
from tests.plan_fixture import small_plan

EMPTY = (
    "periods", "blocks", "demand", "fleet", "pools", "apis", "ledger_lines", "class_costs",
    "candidates", "trails", "curves", "binding", "audit", "sources", "notes",
)  # fmt: skip


def make_plan(**more):
    rate = {
        "name": "discount_rate", "label": "Discount rate", "unit": "share", "value": 0.08,
        "scenario_path": "finance.discount_rate", "source": "scenario", "as_of": "2026-11-01",
        "basis": "scenario",
    }  # fmt: skip
    return Plan.model_validate(
        {
            **{key: [] for key in EMPTY},
            "tool_version": "0", "created_at": "2026-11-01T00:00:00Z", "scenario": {},
            "scenario_sha256": "0", "status": "optimal", "gap_asked_frac": 0.001, "npv_usd": 100.0,
            "bound_usd": 99.95, "gap_frac": 0.0005, "rounding_usd": 0.0, "seconds": {},
            "ledger_inputs": [rate], "ledger_quantities": {}, **more,
        }
    )  # fmt: skip


def make_row(**more):
    return CandidateRow.model_validate(
        {
            "id": "chat/m/h100-sxm", "demand_class": "chat", "model": "m",
            "accelerator": "h100-sxm", "quantization": "fp8", "kv_dtype": "bf16",
            "engine": "vllm", "tp": 4, "pp": 1, "ep": 1, "mode": "chunked", "gpus": 4,
            "feasible": True, **more,
        }
    )  # fmt: skip


@pytest.fixture
def world(tmp_path, monkeypatch):
    """An empty folder, and a planner whose planning is replaced; records what was asked."""
    asked = types.SimpleNamespace(plan=make_plan(), rows=[make_row()], recost=None)

    def load(scenario, catalog=None):
        assert catalog == "rows"
        return parse_scenario(template("demo").encode(), scenario)

    def solve(scenario, **options):
        asked.options = options
        if isinstance(asked.plan, BaseException):
            raise asked.plan
        return asked.plan() if callable(asked.plan) else asked.plan

    def recost(plan, values):
        asked.recost = values
        return plan.model_copy(update={"npv_usd": 90.0})

    report = types.ModuleType("planner.report")
    report.__path__ = [str(Path(planner.__file__).parent / "report")]
    report.write = lambda plan, path: path.write_text(plan.model_dump_json())
    report.metrics = lambda plan: {"npv_usd": plan.npv_usd}
    report.recost = recost
    console = types.ModuleType("planner.report.console")
    console.summary = lambda plan: f"cost {plan.npv_usd:g} [usd]"
    console.candidates_table = lambda rows: "\n".join(row.id for row in rows)
    catalog = types.ModuleType("planner.files.catalog")
    catalog.load_catalog = lambda overlay: "rows"
    for name, module in [("report", report), ("report.console", console)]:
        monkeypatch.setitem(sys.modules, f"planner.{name}", module)
    monkeypatch.setattr(planner, "report", report, raising=False)
    monkeypatch.setitem(sys.modules, "planner.files.catalog", catalog)
    monkeypatch.setattr(planner, "load", load, raising=False)
    monkeypatch.setattr(planner, "solve", solve, raising=False)
    monkeypatch.setattr(planner, "check", lambda scenario, rows: ["a price is old"], raising=False)
    monkeypatch.setattr(planner, "evaluate", lambda s, catalog: asked.rows, raising=False)
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    yield asked
    signal.signal(signal.SIGTERM, before)


def run(capsys, *words):
    """Exit status, standard output, standard error of a command."""
    with pytest.raises(SystemExit) as end:
        main(words)
    out, err = capsys.readouterr()
    return end.value.code, out, err


def test_solve_writes_plan_and_workbook(world, capsys, tmp_path):
    status, out, err = run(capsys, "solve", "demo", "--gap", "0.01", "--time-limit-s", "5")
    assert status == 0
    assert out == "cost 100 [usd]\n"
    assert "wrote reports/demo/plan.json" in err
    assert sorted(p.name for p in (tmp_path / "reports" / "demo").iterdir()) == [
        "plan.html",
        "plan.json",
        "plan.xlsx",
    ]
    assert (world.options["gap"], world.options["time_limit_s"]) == (0.01, 5.0)
    assert world.options["progress"] is None  # nobody watches


def test_solve_json_is_the_plan(world, capsys):
    status, out, _ = run(capsys, "solve", "demo", "--json", "-o", "a.json")
    assert status == 0
    assert Plan.model_validate_json(out) == world.plan


def test_stopped_plan_is_written_and_ends_with_4(world, capsys, tmp_path):
    world.plan = make_plan(status="stopped", gap_frac=0.02)
    status, out, err = run(capsys, "solve", "demo", "-o", "a.json")
    assert status == 4
    assert out
    assert "gap 2.00%, asked 0.10%" in err
    assert (tmp_path / "a.json").exists()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InfeasibleError(["site_power: hq, 2027: 310 kW short of 1,200 kW"]), 3),
        (VerificationError("chat: TTFT"), 5),
        (StoppedError("time ran out"), 6),
        (KeyboardInterrupt(), 6),
        (MemoryError(), 6),
    ],
)
def test_each_error_has_its_exit_status(world, capsys, error, expected):
    world.plan = error
    status, out, err = run(capsys, "solve", "demo")
    assert (status, out) == (expected, "")
    assert err.startswith("Error: ")
    status, out, _ = run(capsys, "solve", "demo", "--json")
    assert status == expected
    assert json.loads(out)["error"]["exit_status"] == expected


def test_infeasible_json_carries_the_reasons(world, capsys):
    world.plan = InfeasibleError(["rack_space: hq short by 2"])
    _, out, _ = run(capsys, "solve", "demo", "--json")
    assert json.loads(out)["error"]["problems"] == ["rack_space: hq short by 2"]


def test_defect_shows_its_traceback(world):
    world.plan = ZeroDivisionError("defect")
    with pytest.raises(ZeroDivisionError):
        main(["solve", "demo"])


def test_sigterm_is_like_ctrl_c(world, capsys):
    def terminated():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        except KeyboardInterrupt:
            return make_plan(status="stopped")

    world.plan = terminated
    status, _, err = run(capsys, "solve", "demo")
    assert status == 4
    assert "wrote reports/demo/plan.json" in err


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("plan.pdf", ".pdf; a report is one of .json, .xlsx, .html, .csv, .parquet"),
        ("taken/plan.json", "taken is a file; a folder is needed there"),
        ("folder.json", "is a folder; a file name is needed"),
    ],
)
def test_outputs_are_checked_before_solving(world, capsys, tmp_path, out, says):
    (tmp_path / "taken").write_text("x")
    (tmp_path / "folder.json").mkdir()
    status, _, err = run(capsys, "solve", "demo", "-o", out)
    assert status == 2
    assert says in err
    assert not hasattr(world, "options")  # nothing was solved


@pytest.mark.parametrize(
    "words",
    [
        ["nosuch"],
        ["solve"],
        ["solve", "demo", "--gap", "2"],
        ["solve", "demo", "--time-limit-s", "0"],
        ["solve", "demo", "--catalog", "no/folder"],
        ["candidates", "demo", "--sort", "usd_per_mtok"],
        ["candidates", "demo", "--filter", "acelerator=l4"],
        ["candidates", "demo", "--filter", "tp"],
        ["candidates", "demo", "--filter", "tp<=x"],
        ["candidates", "demo", "--filter", "model<x"],
        ["candidates", "demo", "--class", "chatt"],
        ["report", "none.json"],
        ["schema", "nosuch"],
        ["completion", "tcsh"],
        ["new", "My Fleet"],
        ["new", "../up"],
    ],
    ids=" ".join,
)
def test_wrong_words_end_with_2(world, capsys, words):
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert "Error: " in err
    status, out, _ = run(capsys, *words, "--json")
    assert status == 2
    assert json.loads(out)["error"]["message"]


def test_check(world, capsys):
    status, out, _ = run(capsys, "check", "demo")
    assert status == 0
    assert "a price is old" in out
    assert "finance.discounting: mid" in out
    _, out, _ = run(capsys, "check", "demo", "--json")
    assert json.loads(out)["notes"] == ["a price is old"]


def test_candidates_filters_and_sorts(world, capsys):
    world.rows = [
        make_row(id="a", usd_per_mtoken=2.0),
        make_row(id="b", usd_per_mtoken=1.0, tp=8),
        make_row(id="c", feasible=False, reason="does not fit"),
        make_row(id="d", usd_per_mtoken=0.5, pruned_by="b"),
        make_row(id="e"),
    ]
    status, out, err = run(capsys, "candidates", "demo")
    assert (status, out.split()) == (0, ["b", "a", "e"])
    assert "3 of 3 rows shown, 5 candidates in all" in err
    _, out, _ = run(capsys, "candidates", "demo", "--all", "--sort", "-usd_per_mtoken")
    assert out.split() == ["a", "b", "d", "c", "e"]
    _, out, _ = run(capsys, "candidates", "demo", "--filter", "tp>4", "--json")
    assert [row["id"] for row in json.loads(out)] == ["b"]
    _, out, _ = run(capsys, "candidates", "demo", "--limit", "1", "--class", "chat")
    assert out.split() == ["b"]


def test_blank_figures_meet_no_bound_and_sort_last():
    (below,) = conditions(["usd_per_mtoken<5"])
    (other,) = conditions(["usd_per_mtoken!=5"])
    blank, cheap = make_row(), make_row(usd_per_mtoken=1.0)
    assert (below(blank), below(cheap), other(blank)) == (False, True, True)
    assert ordered([blank, cheap], "usd_per_mtoken", falling=True) == [cheap, blank]


def test_report_recosts_and_writes(world, capsys, tmp_path):
    (tmp_path / "plan.json").write_text(small_plan().model_dump_json())
    change = ["--set", "finance.discount_rate=0.1"]
    status, out, _ = run(capsys, "report", "plan.json", *change, "-o", "b.json", "--json")
    assert status == 0
    assert world.recost == {"finance.discount_rate": 0.1}
    assert json.loads(out) == {"npv_usd": 90.0}
    assert json.loads((tmp_path / "b.json").read_text())["npv_usd"] == 90.0
    _, out, _ = run(capsys, "report", "plan.json")
    assert out == f"cost {small_plan().npv_usd:g} [usd]\n"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("finance.discount_rte=0.1", "did you mean finance.discount_rate"),
        ("discount_rate=x", "'x' is no number"),
        ("discount_rate=nan", "expected a finite number"),
        ("discount_rate", "write PATH=NUMBER"),
    ],
)
def test_report_refuses_what_it_cannot_set(world, capsys, tmp_path, change, says):
    (tmp_path / "plan.json").write_text(small_plan().model_dump_json())
    status, _, err = run(capsys, "report", "plan.json", "--set", change)
    assert status == 2
    assert says in err


def test_new_loads_and_never_overwrites(world, capsys, tmp_path):
    status, _, _ = run(capsys, "new", "fresh")
    assert status == 0
    assert parse_scenario((tmp_path / "fresh.yaml").read_bytes(), "fresh").name == "fresh"
    (tmp_path / "fresh.yaml").write_text("mine")
    status, _, err = run(capsys, "new", "fresh")
    assert status == 2
    assert "exists; --force overwrites it" in err
    assert (tmp_path / "fresh.yaml").read_text() == "mine"
    status, out, _ = run(capsys, "new", "fresh", "--force", "--json")
    assert (status, json.loads(out)) == (0, {"wrote": "fresh.yaml"})


@pytest.mark.parametrize("kind", ["scenario", "plan", "catalog"])
def test_schema(capsys, kind):
    status, out, _ = run(capsys, "schema", kind)
    assert status == 0
    assert json.loads(out)["type"] == "object"


def test_completion(capsys):
    status, out, _ = run(capsys, "completion", "bash")
    assert status == 0
    assert out.splitlines()[-1] == 'eval "$(_PLANNER_COMPLETE=bash_source planner)"'


def command(*words, **more):
    """A real process."""
    return subprocess.run(
        [sys.executable, "-m", "planner", *words],
        capture_output=True,
        text=True,
        check=False,
        **more,
    )


def test_shell_gets_completions():
    environment = {
        **os.environ, "_PLANNER_COMPLETE": "bash_complete", "COMP_WORDS": "planner so",
        "COMP_CWORD": "1",
    }  # fmt: skip
    assert command(env=environment).stdout.strip() == "plain,solve"


def test_help_loads_nothing_heavy():
    code = (
        "import sys, planner.cli\n"
        "try: planner.cli.main(['--help'])\n"
        "finally: print(sorted({'pyomo', 'numpy', 'pandas', 'pydantic', 'rich'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "completion" in done.stdout


def test_closed_reader_is_quiet():
    process = subprocess.Popen(
        [sys.executable, "-m", "planner", "schema", "plan"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), error) == (141, b"")


def test_damaged_file_ends_with_2(tmp_path):
    path = tmp_path / "bad.json"
    path.write_bytes(b"\xff\xfe")
    done = command("report", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no valid JSON" in done.stderr
