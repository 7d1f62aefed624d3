"""Repair: what is lowered, when it ends, what it says it cost."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

import planner
from planner import repairs
from planner.candidates import refine
from planner.candidates.lower import lowered
from planner.errors import InfeasibleError
from planner.files.traces import read_trace
from planner.progress import Count, Stage
from planner.repairs import Change
from planner.result import Verification
from planner.verification.replays import Ask
from tests.formulas import on_formulas
from tests.small_world import CHAT, known, scenario

BUSY = {**CHAT, "requests_per_s": 100}


def cut(plan, share):
    """The plan with a share of its machines and replicas, and all of its traffic."""

    def shrunk(rows, name):
        return [
            row.model_copy(update={name: [[x * share for x in xs] for xs in getattr(row, name)]})
            for row in rows
        ]

    return plan.model_copy(
        update={
            "pools": shrunk(plan.pools, "replicas"),
            "fleet": shrunk(plan.fleet, "lots_by_block"),
        }
    )


def verdict(kept):
    return Verification(
        scenario="s", scenario_sha256="0", seed=0, kept=kept, pools=[], seconds=0.0, requests=0,
        notes=[], unserved=[] if kept else ["chat: nothing serves it"],
    )  # fmt: skip


def test_lowered_rates_carry_proportionally_less():
    question = known(scenario())
    i = int(question.table.kept[0])
    name = question.table.names[i]
    found = lowered(question, {name: 0.5})
    for field in ("pool_rps", "rate_rps", "offset_rps", "lambda_star_rps"):
        before, after = getattr(question.table, field), getattr(found.table, field)
        assert np.array_equal(after[i], 0.5 * before[i])
        others = np.arange(len(before)) != i
        assert np.array_equal(after[others], before[others], equal_nan=True)
    assert found.lowered == {name: 0.5}
    assert lowered(found, {}).lowered == {name: 0.5}
    for wrong in ({"nobody": 0.5}, {name: 0.0}, {name: 1.5}):
        with pytest.raises(ValueError, match="share"):
            lowered(question, wrong)


def test_simulated_rates_are_lowered_too(monkeypatch):
    monkeypatch.setattr(refine, "remembered", lambda key, compute: (1.0, 1.0) * len(refine.SIZES))
    question = known(scenario())
    i = int(question.table.kept[0])
    whole = refine.refined(question, [i], lambda text: None).table
    half = lowered(question, {question.table.names[i]: 0.5})
    assert np.allclose(refine.refined(half, [i], lambda text: None).table.pool_rps[i],
                       0.5 * whole.pool_rps[i])  # fmt: skip


def test_pools_of_fewer_replicas_carry_nothing():
    question = known(scenario())
    i = int(question.table.kept[0])
    name, table = question.table.names[i], question.table
    found = lowered(question, {}, {name: 3}).table
    sizes = np.array(table.pool_sizes)
    # Two carry nothing, three all that they did: the line leaves the axis at two, below the
    # lowest of all chords from there to a pool's capacity, and nothing else moves.
    assert found.small_rps[i].tolist() == pytest.approx([0, 0, 3 * table.pool_rps[i, 2]])
    assert found.offset_rps[i] / found.rate_rps[i] == pytest.approx(2.0)
    chords = (sizes * table.pool_rps[i])[2:] / (sizes[2:] - 2)
    assert found.rate_rps[i] <= chords.min() * (1 + 1e-9)
    assert np.array_equal(found.pool_rps, table.pool_rps, equal_nan=True)
    others = np.arange(len(table.names)) != i
    assert np.array_equal(found.small_rps[others], table.small_rps[others], equal_nan=True)
    for wrong in ({"nobody": 2}, {name: 6}):
        with pytest.raises(ValueError, match=r"no candidate"):
            lowered(question, {}, wrong)


@pytest.mark.parametrize("fewest", [1, 2, 5])
def test_a_plan_has_as_many_replicas_as_its_pools_need(fewest):
    # Two requests a second: one replica carries them, at night a part of it.
    question = scenario(demand=[{**CHAT, "requests_per_s": 2}])
    names = {row.id: fewest for row in planner.evaluate(question)}
    plan = planner.solve(question, refine=False, least=names if fewest > 1 else None)
    (pool,) = plan.pools
    peaks = [max(row) for row in pool.replicas]
    assert peaks == pytest.approx([fewest] * len(peaks))
    assert all(math.ceil(n - 1e-6) == fewest for row in pool.replicas for n in row)


def test_the_tighter_of_two_changes():
    one = Change({"a": 0.9, "b": 0.5}, {"a": 2})
    other = Change({"a": 0.8}, {"a": 3, "c": 2})
    assert one.tighter(other) == Change({"a": 0.8, "b": 0.5}, {"a": 3, "c": 2})
    assert not Change()
    assert Change(least={"a": 2})


def slope(plan, name):
    return next(row.rate_rps for row in plan.candidates if row.id == name)


class Loop:
    """A solver and a simulator that only count: each plan costs 1 more than the one before."""

    def __init__(self, monkeypatch, *, kept_after=math.inf, fails=None, least=None):
        self.asked, self.kept_after, self.fails = [], kept_after, fails
        self.least = least or {}
        monkeypatch.setattr(repairs.pipeline, "solve", self.solve)
        monkeypatch.setattr(repairs, "verify", lambda plan, **more: verdict(self.kept()))
        monkeypatch.setattr(
            repairs,
            "_tightened",
            lambda *arguments, **more: Change({"c": 0.9 ** len(self.asked)}, self.least),
        )

    def kept(self):
        return len(self.asked) >= self.kept_after

    def solve(self, question, *, shares, least, refine, progress, **more):
        assert refine
        assert least == self.least
        progress(Stage("solve"))
        self.asked.append(dict(shares))
        if self.fails and len(self.asked) == 2:
            raise self.fails
        return self.plan.model_copy(update={"npv_usd": self.plan.npv_usd + len(self.asked)})


@pytest.fixture(scope="module")
def plan():
    return on_formulas(scenario())


def repaired(loop, plan, **more):
    loop.plan = plan
    found = planner.repair(plan, found=verdict(kept=False), **more)
    return found, found.verification.repair


def test_rounds_until_kept_and_what_they_cost(monkeypatch, plan):
    found, story = repaired(Loop(monkeypatch, kept_after=3), plan)
    assert found.verification.kept
    assert (story.ended, len(story.rounds)) == ("every promise holds", 3)
    assert [step.lowered["c"] for step in story.rounds] == pytest.approx([1.0, 0.9, 0.81])
    assert [step.broken for step in story.rounds] == [1, 1, 0]
    assert story.cost_usd == pytest.approx(3.0)
    assert story.cost_frac == pytest.approx(3.0 / plan.npv_usd)
    assert "Rates of c planned at 81.0%" in found.notes[-2]
    assert found.notes[-1].startswith("The repair costs +3 USD")


def test_larger_pools_are_said(monkeypatch, plan):
    found, story = repaired(Loop(monkeypatch, kept_after=1, least={"c": 2, "d": 2}), plan)
    assert story.rounds[0].least_replicas == {"c": 2, "d": 2}
    assert any(
        note.startswith("Pools of c and 1 more planned with 2 replicas or more")
        for note in found.notes
    )


def test_rounds_are_bounded(monkeypatch, plan):
    told = []
    found, story = repaired(Loop(monkeypatch), plan, rounds=2, progress=told.append)
    assert [stage.within for stage in told] == [Count(n, 2, "round") for n in (1, 2)]
    assert not found.verification.kept
    assert story.ended == "a promise still breaks after 2 rounds"
    assert found.npv_usd == plan.npv_usd + 2


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (InfeasibleError(["site hq: power"]), "no fleet meets the lowered rates: site hq: power"),
        (KeyboardInterrupt(), "stopped"),
    ],
)
def test_the_last_plan_survives_what_ends_the_loop(monkeypatch, plan, error, ended):
    found, story = repaired(Loop(monkeypatch, fails=error), plan)
    assert (story.ended, len(story.rounds)) == (ended, 1)
    assert found.npv_usd == plan.npv_usd + 1
    assert not found.verification.kept


def test_nothing_left_to_lower_ends_it(monkeypatch, plan):
    loop = Loop(monkeypatch)
    monkeypatch.setattr(repairs, "_tightened", lambda *arguments, **more: Change())
    _, story = repaired(loop, plan)
    assert len(story.rounds) == 1
    assert "nothing is left to lower" in story.ended


def test_a_kept_plan_comes_back_as_it_is(plan):
    found = planner.repair(plan, found=verdict(kept=True))
    assert found.verification.repair is None
    assert found.model_copy(update={"verification": None}) == plan


def test_batch_is_lowered_to_what_it_finishes():
    subject = SimpleNamespace(demand=None)
    row = SimpleNamespace(rate_rps=2.0, offset_rps=0.0, small_rps=[2.0, 4.0, 6.0])
    load = SimpleNamespace(candidate="c", throughput_rps=1.8, asked_rps={"c": 2.0}, replicas=4.0)
    # 1.8 of 2, less one percent.
    assert repairs._held_share({"c": subject}, {"c": row}, load, 0) == pytest.approx(0.891)


def test_rates_are_measured_against_the_line_they_were_planned_on():
    # 3 - 4 / 8 a replica in a pool of 8, of which the load asks 2.4.
    row = SimpleNamespace(rate_rps=3.0, offset_rps=4.0, small_rps=[1.0, 2.0, 5.0])
    assert repairs._planned_rps(row, 8.0, 2.4) == pytest.approx(2.5)
    # Two replicas carry 2 together as a small pool, which is more than the load asks.
    assert repairs._planned_rps(row, 2.0, 0.9) == pytest.approx(1.0)


@pytest.mark.slow
def test_a_plan_cut_by_15_percent_fails_with_its_reason_and_is_repaired():
    whole = planner.solve(scenario(demand=[BUSY]))
    assert planner.verify(whole).kept
    short = cut(whole, 0.85)
    found = planner.verify(short)
    broken = [row for row in found.pools if row.verdict == "broken"]
    assert not found.kept
    assert {row.condition for row in broken} == {"normal"}
    assert all("TPOT p95" in row.reason and "promised 60" in row.reason for row in broken)
    again = planner.repair(short, found=found)
    assert again.verification.kept
    # The cut plan's figures were the whole plan's: nothing but its machines was missing.
    assert again.verification.repair.cost_usd == pytest.approx(0.0, abs=1e-3 * whole.npv_usd)


@pytest.mark.slow
def test_rates_that_simulation_finds_too_high_are_lowered(monkeypatch):
    question = scenario(demand=[BUSY], planning={"utilization_max": 0.95})
    honest = planner.solve(question)
    true = refine._planned
    monkeypatch.setattr(refine, "_planned", lambda *arguments: 1.15 * true(*arguments))
    plan = planner.solve(question)
    found = planner.verify(plan)
    assert not found.kept
    again = planner.repair(plan, found=found)
    story = again.verification.repair
    assert again.verification.kept
    assert story.ended == "every promise holds"
    # Honest rates lie 2.5 to 4 % below what just holds, repaired ones 1 %.
    (name,) = story.rounds[-1].lowered
    ratio = slope(again, name) / slope(honest, name)
    assert 0.98 <= ratio <= 1.05
    assert story.cost_usd >= 0


def longer_log(path, *, prompts=1.4, answers=1.2, seconds=600):
    """Requests at 100/s, longer than those of `BUSY`."""
    draw = np.random.default_rng(2)
    times = np.cumsum(draw.exponential(1 / 100, 100 * seconds))
    lengths = [
        np.maximum(draw.gamma(4, mean / 4, len(times)), 1).astype(int)
        for mean in (1000 * prompts, 200 * answers)
    ]
    rows = zip(times, *lengths, strict=True)
    path.write_text(
        "timestamp,input_tokens,output_tokens\n" + "".join(f"{t:.6f},{p},{a}\n" for t, p, a in rows)
    )
    return path


@pytest.mark.slow
def test_a_trace_that_breaks_a_plan_is_repaired(tmp_path):
    plan = planner.solve(scenario(demand=[BUSY]))
    asked = [Ask(read_trace(longer_log(tmp_path / "longer.csv")))]
    found = planner.verify(plan, replay=asked)
    (row,) = found.traces
    assert (row.verdict, found.broken) == ("broken", 1)
    assert "prompts 1.40 times as long and answers 1.20 times as long" in row.advice
    again = planner.repair(plan, found=found, replay=asked)
    assert again.verification.kept
    assert [row.verdict for row in again.verification.traces] == ["kept"]
    # Between a fifth and two thirds more work a request.
    assert 0.2 < again.verification.repair.cost_frac < 0.67


@pytest.mark.slow
def test_a_trace_beyond_the_plan_is_not_bought_for(tmp_path):
    plan = planner.solve(scenario(demand=[{**BUSY, "requests_per_s": 40}]))
    log = longer_log(tmp_path / "more.csv", prompts=1, answers=1, seconds=1500)
    again = planner.repair(plan, replay=[Ask(read_trace(log), rate="trace")])
    story = again.verification.repair
    assert not again.verification.kept
    assert story.rounds == []
    # 100/s, where 40/s and its five-minute peak, 1.42 times as much, were planned.
    assert "its busiest five minutes have 1.7" in story.ended
    assert "raise the rate of chat" in story.ended
