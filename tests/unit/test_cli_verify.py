"""`planner verify` from the shell: what it refuses before any work, what it writes."""

import json

import pytest

import planner
from planner.cli import main
from planner.files.plan_json import read_plan
from tests.formulas import on_formulas
from tests.small_world import CHAT, CLOUD, NIGHT, scenario


@pytest.fixture(scope="module")
def plan_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("plans") / "plan.json"
    planner.report.write(on_formulas(scenario()), path)
    return path


def run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    said = capsys.readouterr()
    return end.value.code, said.out, said.err


def test_a_bad_trace_is_refused_by_row_before_anything_is_read(capsys, tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("timestamp,input_tokens,output_tokens\n0,10,5\n1,-3,5\n2,10,x\n")
    status, _, said = run(capsys, "verify", tmp_path / "no plan.json", "--trace", log)
    assert status == 2
    assert "input_tokens: row 2" in said
    assert "output_tokens: row 3" in said


@pytest.mark.parametrize(
    "words",
    [("--class", "chat"), ("--rate", "trace"), ("--clean", "sort"), ("--time-unit", "s")],
)
def test_options_of_a_trace_need_one(capsys, plan_file, words):
    status, _, said = run(capsys, "verify", plan_file, *words)
    assert status == 2
    assert "belong to --trace" in said


def test_rounds_need_a_repair(capsys, plan_file):
    status, _, said = run(capsys, "verify", plan_file, "--rounds", "2")
    assert status == 2
    assert "--rounds belongs to --repair" in said


def a_log(path, count=300):
    path.write_text(
        "timestamp,input_tokens,output_tokens\n" + "".join(f"{i},900,100\n" for i in range(count))
    )
    return path


def test_a_trace_of_no_class_is_refused_before_a_solve(capsys, monkeypatch, tmp_path):
    def never(*arguments, **more):
        raise AssertionError("solved")

    monkeypatch.setattr(planner, "solve", never, raising=False)
    asked = ("verify", "chat_8b", "--trace", a_log(tmp_path / "log.csv"), "-q")
    status, _, said = run(capsys, *asked, "--class", "nobody")
    assert status == 2
    assert "online classes of the plan: chat; 'nobody' is none of them" in said


def test_a_plan_without_any_online_class_is_tried_and_takes_no_trace(capsys, tmp_path):
    path = tmp_path / "night.json"
    planner.report.write(on_formulas(scenario(demand=[NIGHT])), path)
    status, text, _ = run(capsys, "verify", path, "--json")
    found = json.loads(text)
    assert (status, found["kept"], found["incidents"]) == (0, True, [])
    assert {row["demand_class"] for row in found["pools"]} == {"night"}
    status, _, said = run(capsys, "verify", path, "--trace", a_log(tmp_path / "log.csv"))
    assert status == 2
    assert "no class is online" in said


def test_api_traffic_alone_leaves_nothing_to_simulate(capsys, tmp_path):
    chat = {**CHAT, "models": ["llama-3.1-405b"], "requests_per_s": 5}
    question = scenario(
        demand=[chat], sites=[CLOUD], supply={"options": ["api"], "lead_time_months": {}}
    )
    path = tmp_path / "api.json"
    planner.report.write(on_formulas(question), path)
    status, text, _ = run(capsys, "verify", path, "--repair")
    assert status == 0
    assert "nothing to simulate: no traffic is served on modelled rates" in text
    assert "Traffic sent to APIs is not simulated" in text
    status, _, said = run(capsys, "verify", path, "--trace", a_log(tmp_path / "log.csv"))
    assert status == 2
    assert "no pool that can be simulated serves chat: its traffic goes to APIs" in said


def test_the_plan_is_written_with_its_verification_only_where_asked(capsys, plan_file, tmp_path):
    before = plan_file.read_bytes()
    out = tmp_path / "verified.json"
    log = a_log(tmp_path / "log.csv")
    status, text, _ = run(
        capsys, "verify", plan_file, "--trace", log, "-o", out, "--json", "--interruptions", "4"
    )
    said = json.loads(text)
    written = read_plan(out).verification
    assert status == (0 if said["kept"] else 5)
    assert written is not None
    assert json.loads(written.model_dump_json()) == said
    assert [row["trace"] for row in said["traces"]] == ["log.csv"]
    assert {row["kind"] for row in said["incidents"]} == {"node_fails", "interruptions"}
    assert plan_file.read_bytes() == before


def test_ctrl_c_in_simulation_says_that_nothing_is_written(
    capsys, monkeypatch, plan_file, tmp_path
):
    def stopped(plan, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(planner, "verify", stopped, raising=False)
    status, _, said = run(capsys, "verify", plan_file, "-o", tmp_path / "out.json")
    assert status == 6
    assert "nothing written" in said
    assert not (tmp_path / "out.json").exists()


def test_static_batches_are_unverified_and_no_pass(capsys, tmp_path):
    slow = {**CHAT, "requests_per_s": 5, "slo": {"ttft_ms": 60_000, "tpot_ms": 200}}
    path = tmp_path / "static.json"
    planner.report.write(
        planner.solve(scenario(demand=[slow, NIGHT], supply={"modes": ["static"]})), path
    )
    status, text, said = run(capsys, "verify", path, "--json", "--repair")
    found = json.loads(text)
    assert status == 5
    assert {row["verdict"] for row in found["pools"]} == {"unverified"}
    assert found["repair"]["ended"] == "static batches are not simulated"
    assert found["repair"]["rounds"] == []
    assert "not all were tried" in said
