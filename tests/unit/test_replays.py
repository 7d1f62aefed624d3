"""Traces against pools: by hand on a plain server, scaled and as recorded."""

from types import SimpleNamespace

import numpy as np
import pytest

from planner.candidates.subject import Subject
from planner.errors import ScenarioError
from planner.files.traces import Trace
from planner.schema.demand import Lengths, Online, Slo
from planner.simulate.arrivals import requests_of
from planner.simulate.pool import Pool
from planner.simulate.state import Numbers
from planner.verification.loads import Load
from planner.verification.replays import Ask, Mend, beyond_plan, mends, replayed
from planner.verification.subjects import Grounds

# 1 ms a prompt token, one prompt at a time.
SERVER = Numbers(0.0, 0.0, 0.0, 1e-3, 0.0, 0.0, 0.0, 10**6, 1, 10**6)
SIDE = Lengths(mean=500, cv=0.1)


def online(ttft_ms, name="chat"):
    return Online(
        name=name, models=("m",), requests_per_s=1.0, input_tokens=SIDE, output_tokens=SIDE,
        prefix_cache_hit_frac=0.2, slo=Slo(ttft_ms=ttft_ms, tpot_ms=1000),
    )  # fmt: skip


def trace(times_s, *, prompt=500, hits=None):
    count = len(times_s) if times_s is not None else 300
    whole = np.full(count, prompt, np.int64)
    return Trace(
        name="log.csv", rows=count, input_tokens=whole, output_tokens=np.ones(count, np.int64),
        hit_tokens=None if hits is None else np.full(count, hits, np.int64),
        time_s=None if times_s is None else np.asarray(times_s, float), wall_s=None, observed=(),
        clock="", notes=(),
    )  # fmt: skip


def replay(log, *, rate="trace", ttft_ms=600.0, share=1.0, rps=1.0, replicas=1, ask_class="chat",
           context=10**6, play=replayed):  # fmt: skip
    demand = online(ttft_ms)
    load = Load("c", "chat", "hq", "2027", "day", "normal", float(replicas), rps / replicas)
    plan = SimpleNamespace(
        candidates=[SimpleNamespace(id="c", model="m")],
        periods=[SimpleNamespace(label="2027")], blocks=[SimpleNamespace(label="day")],
        pools=[SimpleNamespace(candidate="c", site="hq", served_frac=[[share]])],
    )  # fmt: skip
    subject = Subject(Pool(SERVER), requests_of(np.array([500.0]), np.ones(1)), demand, 0.0, 2.0)
    scenario = SimpleNamespace(demand=[demand])
    catalog = SimpleNamespace(models={"m": SimpleNamespace(max_context=context)})
    on = Grounds(plan, scenario, catalog, {"c": subject}, [load], np.zeros((2, 24), np.int64))
    return play(Ask(log, ask_class, rate), on, seed=1)


def test_as_recorded_by_hand():
    # A prompt of 500 tokens a second: with 20 % found in the cache 0.4 s each, and no wait.
    (found,) = replay(trace(np.arange(400.0)))
    assert found.ttft.value_ms == pytest.approx(400, rel=2e-3)
    assert (found.verdict, found.reason) == ("kept", "")
    assert found.mean_rps == pytest.approx(400 / 399)
    assert found.utilization == pytest.approx(0.4, rel=0.02)
    # The first twentieth warms; nothing varies, so the interval is the bin's width.
    assert found.requests == 380
    assert found.ttft.high_ms - found.ttft.low_ms < 2
    assert found.rate_note == (
        "rate as recorded; 20% of each prompt found in the prefix cache, as planned"
    )


def test_hits_as_recorded():
    (found,) = replay(trace(np.arange(400.0), hits=400))
    assert found.ttft.value_ms == pytest.approx(100, rel=2e-3)
    assert "hits as recorded" in found.rate_note


def test_scaled_to_the_planned_rate():
    # Twice as fast, 400 s become 200: too short for five-minute rates, so the mean counts. At
    # 2/s of 0.4 s each nothing waits yet; at 4/s the queue grows without end.
    (found,) = replay(trace(np.arange(400.0)), rate="plan", rps=2.0)
    assert found.mean_rps == pytest.approx(2.0, rel=1e-6)
    assert found.verdict == "kept"
    assert "its mean rate is 2/s where 2/s are planned" in found.rate_note
    (late,) = replay(trace(np.arange(400.0)), rate="plan", rps=4.0)
    assert late.verdict == "broken"
    assert late.reason.startswith("TTFT p95")
    assert late.ttft.late_frac > 0.9


def test_the_busiest_five_minutes_get_the_planned_rate():
    # Two hours at 1/s with half an hour at 2/s in it: p99 of five-minute rates is 2/s.
    calm, busy = np.arange(0, 3600, 1.0), np.arange(3600, 5400, 0.5)
    times = np.concatenate([calm, busy, np.arange(5400, 9000, 1.0)])
    (found,) = replay(trace(times), rate="plan", rps=1.0)
    assert found.peak_rps == pytest.approx(1.0, rel=0.01)
    assert found.mean_rps == pytest.approx(10_800 / 9000 / 2, rel=0.02)
    assert "p99 of five-minute rates" in found.rate_note


def test_a_pool_gets_its_share():
    (found,) = replay(trace(np.arange(4000.0) / 2), share=0.25)
    # Binomial: 1000 of 4000 with a standard deviation of 27; 950 after the warm-up.
    assert found.requests == pytest.approx(950, abs=5 * 27)
    assert found.share_frac == 0.25


def test_what_cannot_be_replayed_is_refused_at_once():
    with pytest.raises(ScenarioError) as error:
        replay(trace(None), ask_class="nobody")
    assert len(error.value.problems) == 2
    assert "online classes of the plan: chat; 'nobody' is none of them" in str(error.value)
    assert "no time stamps" in str(error.value)
    with pytest.raises(ScenarioError, match="200 are the fewest"):
        replay(trace(np.arange(50.0)))


def test_the_only_class_needs_no_name():
    (found,) = replay(trace(np.arange(400.0)), ask_class="")
    assert found.demand_class == "chat"


def test_requests_beyond_the_context_are_refused_and_late():
    # Every fifth has 900 tokens of prompt and one of answer, the context holds 900.
    log = trace(np.arange(400.0))
    log.input_tokens[::5] = 900
    (found,) = replay(log, context=900)
    assert found.refused_frac == pytest.approx(0.2)
    assert found.verdict == "broken"
    assert found.ttft.late_frac == pytest.approx(0.2, abs=0.003)
    assert "80 requests exceed the context of 900 tokens" in found.rate_note
    assert "a model with a longer one" in found.advice
    (all_served,) = replay(log, context=901)
    assert all_served.refused_frac == 0.0


def test_what_breaks_beyond_the_planned_rate_is_the_demand_s():
    # 2 a second of 0.4 s each, where 1 a second was planned, in at most 0.42 s.
    log = trace(np.arange(0, 1200, 0.5))
    (found,) = replay(log, rps=1.0, ttft_ms=300)
    assert beyond_plan(found)
    assert found.advice.startswith("its busiest five minutes have 2.00 times the planned 1/s")
    assert "raise the rate of chat" in found.advice
    assert replay(log, rps=1.0, ttft_ms=300, play=mends) == []


def test_the_rate_that_a_trace_keeps():
    # Pairs at once: the second of each waits for the first, 0.8 s at every rate. Bursts of 10 a
    # 6 s: of 4 s of work each burst the last ends after 4.0 s, whatever the rate below 1.5 of it.
    bursts = np.repeat(np.arange(0, 2400, 6.0), 10)
    (found,) = replay(trace(bursts), rps=10 / 6, rate="plan", ttft_ms=4100)
    assert found.verdict == "kept"
    # Half as long between bursts, the backlog grows without end; a stretch by 4 / 3 ends that.
    crowded = np.repeat(np.arange(0, 1200, 3.0), 10)
    (mend,) = replay(trace(crowded), rps=10 / 3, rate="plan", ttft_ms=4100, play=mends)
    assert (mend.load.candidate, mend.replicas) == ("c", 0)
    assert mend.frac == pytest.approx(3 / 4, rel=0.02)


@pytest.mark.parametrize(("ttft_ms", "replicas"), [(2100, 2), (1500, 4), (300, 0)])
def test_requests_at_once_need_replicas_at_once(ttft_ms, replicas):
    # Ten at once, of 0.4 s each: the last ends after 4 s on one replica, whatever the rate; after
    # 2 s on two, 1.6 s on three (one of ten), 1.2 s on four. None is done in 0.3 s.
    bursts = trace(np.repeat(np.arange(0, 1200, 3.0), 10))
    (mend,) = replay(bursts, rps=10 / 3, rate="plan", ttft_ms=ttft_ms, play=mends)
    assert mend == Mend(mend.load, 0.0, replicas)


def test_longer_requests_than_planned_are_named():
    # 600 tokens of prompt where 500 are planned: 0.48 s each against 0.45 promised.
    (found,) = replay(trace(np.arange(400.0), prompt=600), ttft_ms=450)
    assert found.advice.startswith("it has prompts 1.20 times as long as planned: fit chat to it")
