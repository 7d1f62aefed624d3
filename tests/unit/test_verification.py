"""Which loads are tried, what decides the others, and verdicts by hand."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

import planner
from planner.candidates.subject import Subject
from planner.errors import ScenarioError
from planner.schema.demand import Batch, Lengths, Online, Slo
from planner.simulate.arrivals import requests_of
from planner.simulate.state import Numbers
from planner.verification.loads import Load, hardest, loads
from planner.verification.trials import trial
from planner.verification.verify import tried

# 1 s for each whole prompt of 1000 tokens, one at a time: M/D/1.
SERVER = Numbers(0.0, 0.0, 0.0, 1e-3, 0.0, 0.0, 0.0, 10**6, 1, 10**6)
SIDE = Lengths(mean=1000, cv=0.1)


def online(ttft_ms):
    slo = Slo(ttft_ms=ttft_ms, tpot_ms=1000)
    return Online(
        name="chat", models=("m",), requests_per_s=1.0, input_tokens=SIDE, output_tokens=SIDE,
        slo=slo,
    )  # fmt: skip


def batch():
    return Batch(
        kind="batch", name="night", models=("m",), requests_per_day=1.0, input_tokens=SIDE,
        output_tokens=SIDE,
    )  # fmt: skip


def subject(demand, *, prompts=(1000,), request_s=0.0):
    requests = requests_of(np.array(prompts, float), np.ones(len(prompts)))
    return Subject(SERVER, requests, demand, request_s, 1.0)


def load(replicas, rps_each, *, candidate="c", condition="normal", period="2027"):
    return Load(candidate, "chat", "hq", period, "day", condition, replicas, rps_each)


def test_a_lower_rate_in_a_larger_pool_is_no_harder():
    assert load(5, 0.5).no_harder_than(load(4, 0.6))
    assert load(4, 0.6).no_harder_than(load(4, 0.6, period="2028"))
    assert not load(3, 0.5).no_harder_than(load(4, 0.6))
    assert not load(5, 0.7).no_harder_than(load(4, 0.6))
    assert not load(5, 0.5).no_harder_than(load(4, 0.6, candidate="other"))
    # Beyond 32 replicas more make no difference that is relied on; a part of one counts as none.
    assert load(33, 0.5).no_harder_than(load(400, 0.5))
    assert not load(3.9, 0.5).no_harder_than(load(4, 0.5))


def test_hardest_of_several():
    many = [load(8, 0.5), load(4, 0.6), load(8, 0.6), load(2, 0.3)]
    assert hardest(many) == load(4, 0.6)


def test_a_node_out_takes_what_idle_accelerators_do_not_cover():
    # Two nodes of 8 and replicas of 2: 7 serve, 2 accelerators idle. A node out leaves 8 of 14
    # used: 3 replicas fall, 4 carry 7 x 0.6 = 4.2 requests/s, 1.05 each.
    row = SimpleNamespace(id="c", accelerator="g", gpus=2, demand_class="chat", rate_stated=False)
    pool = SimpleNamespace(candidate="c", site="hq", replicas=[[7.0]], served_frac=[[1.0]])
    fleet = SimpleNamespace(site="hq", accelerator="g", lot_gpus=8, lots_by_block=[[2.0]])
    demand = SimpleNamespace(name="chat", kind="online", peak_rps=[[4.2]], mean_rps=[[1.0]])
    plan = SimpleNamespace(
        candidates=[row], pools=[pool], fleet=[fleet], demand=[demand],
        periods=[SimpleNamespace(label="2027")], blocks=[SimpleNamespace(label="day")],
    )  # fmt: skip
    catalog = SimpleNamespace(accelerators={"g": SimpleNamespace(gpus_per_node=8)})
    normal, out = loads(plan, catalog)
    assert (normal.replicas, normal.rps_each) == (7.0, pytest.approx(0.6))
    assert (out.condition, out.replicas) == ("node_out", 4.0)
    assert out.rps_each == pytest.approx(1.05)
    fleet.lots_by_block = [[3.0]]
    assert [load.condition for load in loads(plan, catalog)] == ["normal"]
    # A part of a replica is whole where machines stand idle, and else for a part of the block.
    pool.replicas = [[6.4]]
    assert loads(plan, catalog)[0].replicas == 7.0
    fleet.lots_by_block = [[13.5 / 8]]
    assert loads(plan, catalog)[0].replicas == 6.4


def test_promise_kept_and_broken_by_a_margin():
    # M/D/1 at load 0.5, Crommelin: P(W <= t) = 0.5 sum over n <= t of (-(t - n) / 2)^n
    # exp((t - n) / 2) / n! is 0.95 at t = 2.0506 s; with the service 3.0506 s.
    kept = trial(subject(online(4000)), load(1, 0.5), seed=1)
    assert kept.reason == ""
    assert kept.ttft is not None
    assert kept.ttft.low_ms - 10 <= 3050.6 <= kept.ttft.high_ms + 10
    late = trial(subject(online(2500)), load(1, 0.5), seed=1)
    assert late.reason.startswith("TTFT p95 3,")
    assert late.reason.endswith("promised 2,500")


def test_time_outside_the_engine_counts():
    assert trial(subject(online(4000), request_s=2.0), load(1, 0.5), seed=1).reason


def test_nothing_left_breaks_without_simulation():
    found = trial(subject(online(4000)), load(0, math.inf, condition="node_out"), seed=1)
    assert (found.reason, found.run) == ("no replica is left", None)


def test_batch_must_keep_up():
    # One request a second at most; nothing else is promised.
    assert trial(subject(batch()), load(2, 0.99), seed=1).reason == ""
    slow = trial(subject(batch()), load(2, 1.05), seed=1)
    assert slow.throughput_rps == pytest.approx(1.0, rel=1e-3)
    assert slow.reason == "finishes 1 of 1.05 requests/s"


def test_trials_decide_every_load_and_no_more_than_needed():
    easy = [load(1, 0.2, period=str(i)) for i in range(5)]
    broken = [load(1, 0.9), load(1, 0.95)]
    found = tried([*easy, *broken], {"c": subject(online(3600))}, seed=0)
    # 0.95 breaks, 0.9 is tried for itself and breaks, of the easy ones the first is tried.
    assert [(x.load.rps_each, bool(x.reason)) for x in found] == [
        (0.95, True), (0.9, True), (0.2, False),
    ]  # fmt: skip


@pytest.mark.slow
def test_verified_plan_of_a_packaged_scenario():
    plan = planner.solve(planner.load("chat_8b"))
    found = planner.verify(plan, seed=1)
    pairs = {(p.candidate, p.site, t, b) for p in plan.pools for t in range(len(plan.periods))
             for b in range(len(plan.blocks)) if p.served_frac[t][b] > 1e-6}  # fmt: skip
    normal = [row for row in found.pools if row.condition == "normal"]
    assert len(normal) == len(pairs)
    assert all(row.requests or row.decided_by for row in found.pools if row.replicas >= 1)
    assert found.kept == all(row.verdict == "kept" for row in normal)
    again = planner.verify(plan, seed=1)
    assert again.model_dump(exclude={"seconds"}) == found.model_dump(exclude={"seconds"})
    rows = [
        row.model_copy(update={"stability_rps": 1.1 * (row.stability_rps or 0)})
        for row in plan.candidates
    ]
    with pytest.raises(ScenarioError, match="solve it again"):
        planner.verify(plan.model_copy(update={"candidates": rows}))
    assert json.loads(found.model_dump_json())["kept"] == found.kept
