"""`planner compare`: what it reads, prints, writes and ends with."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import planner
from planner.cli import main
from planner.cli.solve_many import Settings, solve_many
from planner.errors import InfeasibleError, ScenarioError, StoppedError
from planner.report import recost
from tests import small_world
from tests.plan_fixture import small_plan

ROOT = Path(__file__).parents[2]


def run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(words)
    out, err = capsys.readouterr()
    return end.value.code, out, err


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two plans, and two scenarios whose solves are replaced: base.yaml, hard.yaml."""
    monkeypatch.chdir(tmp_path)
    plan = small_plan()
    Path("a.json").write_text(plan.model_dump_json())
    Path("b.json").write_text(recost(plan, {"finance.discount_rate": 0.1}).model_dump_json())
    for name in ("base", "hard"):
        Path(f"{name}.yaml").write_text(yaml.safe_dump(small_world.written(name=name)))
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, before)


def solves(monkeypatch, **answers):
    """Give each scenario's name its plan or its error."""

    def solve(scenario, **options):
        answer = answers[scenario.name]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr(planner, "solve", solve, raising=False)


def test_two_plans(folder, capsys):
    status, out, err = run(capsys, "compare", "a.json", "b.json", "-o", "out.json")
    assert status == 0
    assert "finance.discount_rate" in out
    assert "wrote out.json" in err
    written = json.loads(Path("out.json").read_text())
    assert [one["name"] for one in written["plans"]] == ["a.json", "b.json"]
    status, out, _ = run(capsys, "compare", "a.json", "b.json", "--json")
    assert json.loads(out) == written


def test_plans_and_scenarios_together(folder, capsys, monkeypatch):
    solves(monkeypatch, base=small_plan())
    status, out, _ = run(capsys, "compare", "a.json", "base.yaml", "--json")
    assert status == 0
    assert [one["name"] for one in json.loads(out)["plans"]] == ["assistant_405b", "base"]


def test_an_infeasible_scenario_is_named_and_the_rest_compared(folder, capsys, monkeypatch):
    solves(monkeypatch, base=small_plan(), hard=InfeasibleError(["site_power: hq, 3 kW short"]))
    words = ("compare", "hard.yaml", "base.yaml", "a.json", "--workers", "1")
    status, out, _ = run(capsys, *words)
    assert status == 3
    assert "hard: no fleet meets it" in out
    assert "site_power: hq, 3 kW short" in out
    assert "base -> assistant_405b" in out


def test_nothing_feasible_gives_every_reason(folder, capsys, monkeypatch):
    refused = InfeasibleError(["too little power"])
    solves(monkeypatch, base=refused, hard=StoppedError("time ran out before any plan was found"))
    status, _, err = run(capsys, "compare", "hard.yaml", "base.yaml", "--workers", "1")
    assert status == 3
    assert "base: too little power" in err
    assert "hard: time ran out" in err


def test_stopped_before_a_plan_is_6_and_with_one_4(folder, capsys, monkeypatch):
    early = small_plan(status="stopped")
    solves(monkeypatch, base=early, hard=StoppedError("time ran out before any plan was found"))
    status, _, err = run(capsys, "compare", "a.json", "base.yaml")
    assert status == 4
    assert "base stopped early: gap 0.06%" in err
    assert run(capsys, "compare", "a.json", "hard.yaml")[0] == 6


def test_every_wrong_file_is_told_before_anything_is_solved(folder, capsys, monkeypatch):
    solves(monkeypatch)
    Path("broken.json").write_text('{"plan_version": 1')
    status, _, err = run(capsys, "compare", "base.yaml", "broken.json", "no_such_scenario")
    assert status == 2
    assert "broken.json: is no valid JSON" in err
    assert "no_such_scenario: " in err


@pytest.mark.parametrize(
    "words",
    [["a.json"], ["a.json", "b.json", "-o", "x.csv"], ["a.json", "b.json", "--workers", "0"]],
)
def test_wrong_words(folder, capsys, words):
    assert run(capsys, "compare", *words)[0] == 2


def small(**sections):
    return small_world.scenario(**sections)


@pytest.mark.slow
def test_processes_give_the_same_plans_in_order_and_reasons():
    settings = Settings(small_world.catalog(), gap=1e-6, time_limit_s=60.0)
    cramped = {**small_world.HQ, "it_power_kw": 0.5}
    questions = [
        small(),
        small(name="hard", sites=[cramped], supply={"options": ["owned"]}),
        small(demand=[{**small_world.CHAT, "requests_per_s": 30}]),
    ]
    seen = []
    together = solve_many(questions, settings, workers=2, progress=seen.append)
    told = []
    alone = solve_many(questions, settings, workers=1, progress=told.append)
    assert [stage.count.done for stage in seen] == [0, 1, 2, 3]
    assert sorted({stage.within.done for stage in told}) == [1, 2, 3]
    assert [one.kind for one in together] == ["", "InfeasibleError", ""]
    assert together[1].reasons == alone[1].reasons
    for a, b in zip(together, alone, strict=True):
        assert (a.plan and a.plan.npv_usd) == (b.plan and b.plan.npv_usd)


def test_what_a_solve_finds_wrong_with_a_scenario_is_an_input_error(monkeypatch):
    solves(monkeypatch, small=ScenarioError("small", ["sites[0]: no price of power"]))
    settings = Settings(small_world.catalog(), gap=1e-3, time_limit_s=60.0)
    with pytest.raises(ScenarioError, match="no price of power"):
        solve_many([small()], settings, workers=1)


@pytest.mark.slow
def test_sigterm_reaches_every_solve(tmp_path):
    # Two large questions at once; both are stopped and the command ends by itself.
    command = [sys.executable, "-m", "planner", "compare", "enterprise_405b", "portfolio",
               "--workers", "2", "--gap", "0", "-q"]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    time.sleep(6)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode in (4, 6), (out, err)
    assert "Traceback" not in err
