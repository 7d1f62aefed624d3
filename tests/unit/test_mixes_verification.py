"""Classes that share a pool, tried together: each one's own promise, loads and verdicts by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from planner.candidates.subject import Subject
from planner.schema.demand import Lengths, Online, Slo
from planner.simulate.arrivals import Piece, requests_of
from planner.simulate.pool import Pool
from planner.simulate.state import Numbers
from planner.verification.hours import Case, Part, simulated
from planner.verification.loads import Beside, Load, Node, hardest, loads
from planner.verification.replays import _run
from planner.verification.shared import arriving, planned_beside
from planner.verification.streams import Stream
from planner.verification.trials import attained, trial
from planner.verification.verify import _asked, _verdicts, tried

# A prompt of 100 tokens takes 0.1 s, one of 2,000 takes 2 s; one at a time.
SERVER = Numbers(0.0, 0.0, 0.0, 1e-3, 0.0, 0.0, 0.0, 10**6, 1, 10**6)
SIDE = Lengths(mean=1000, cv=0.1)
NODES = {("g", "hq"): Node(8, 0.0), ("h", "hq"): Node(8, 0.0)}
SHORT, LONG = "short~long/m/g", "long~short/m/g"


def online(name, ttft_ms, cv=1.0):
    return Online(
        name=name, models=("m",), requests_per_s=1.0, input_tokens=SIDE, output_tokens=SIDE,
        slo=Slo(ttft_ms=ttft_ms, tpot_ms=1000), arrival_cv=cv,
    )  # fmt: skip


def subject(name, ttft_ms, prompt, cv=1.0):
    requests = requests_of(np.array([float(prompt)]), np.ones(1))
    return Subject(Pool(SERVER), requests, online(name, ttft_ms, cv), 0.0, 1000.0 / prompt)


def subjects(short_ms=600.0, long_ms=60_000.0):
    return {SHORT: subject("short", short_ms, 100), LONG: subject("long", long_ms, 2000)}


def load(short_rps, long_rps, replicas=1.0, period="2027"):
    """As the short class sees it."""
    return Load(
        SHORT, "short", "hq", period, "day", "normal", replicas, short_rps,
        beside=(Beside(LONG, long_rps, 20.0),),
    )  # fmt: skip


def row_of(name, demand_class, accelerator="g", rate=1.0):
    return SimpleNamespace(
        id=name, accelerators=(accelerator,), parts=((accelerator, 2, 1),), mode="chunked",
        demand_class=demand_class, rate_stated=False, rate_rps=rate, stability_rps=2 * rate,
    )  # fmt: skip


def part(name, others, replicas, served=1.0):
    return SimpleNamespace(
        candidate=name, shared_with=others, site="hq", replicas=[[replicas]],
        served_frac=[[served]],
    )  # fmt: skip


def machines(accelerator, lots):
    return SimpleNamespace(
        option="owned", site="hq", accelerator=accelerator, lot_gpus=8, lots_by_block=[[lots]]
    )


def shared_plan(*, short_rps=12.0, long_rps=0.6, replicas=4.0, lots=1.0):
    """Replicas of 2 on nodes of 8; the short class's part is two thirds of the pool."""
    demand = [
        SimpleNamespace(name=name, kind="online", peak_rps=[[rps]], mean_rps=[[rps]])
        for name, rps in (("short", short_rps), ("long", long_rps))
    ]
    return SimpleNamespace(
        candidates=[row_of(SHORT, "short", rate=10.0), row_of(LONG, "long", rate=0.5)],
        pools=[part(SHORT, [LONG], replicas * 2 / 3), part(LONG, [SHORT], replicas / 3)],
        fleet=[machines("g", lots)], apis=[], demand=demand,
        periods=[SimpleNamespace(label="2027")],
        blocks=[SimpleNamespace(label="day", day="weekday", hours=[10.0])],
    )  # fmt: skip


def test_each_class_sees_the_whole_pool_with_the_other_beside_it():
    # 12/s and 0.6/s on 4 replicas: 3 and 0.15 each. A long request counts for 10 / 0.5 short ones.
    short, long = [x for x in loads(shared_plan(), NODES, 0.9) if x.condition == "normal"]
    assert (short.candidate, short.demand_class, short.replicas) == (SHORT, "short", 4.0)
    assert short.rps_each == pytest.approx(3.0)
    (beside,) = short.beside
    assert (beside.candidate, beside.worth) == (LONG, pytest.approx(20.0))
    assert beside.rps_each == pytest.approx(0.15)
    assert (long.demand_class, long.replicas) == ("long", 4.0)
    assert long.rps_each == pytest.approx(0.15)
    assert long.all_each == pytest.approx(3.15)
    assert short.work_each == pytest.approx(3.0 + 20 * 0.15)


def test_parts_of_replicas_are_one_pool_on_the_machines():
    # 2 2/3 + 1 1/3 replicas of 2 fill a node of 8; counted apart they would be 3 + 2 = 5.
    (short, _) = [x for x in loads(shared_plan(), NODES, 0.9) if x.condition == "normal"]
    assert (short.replicas, short.idle_nodes, short.node_replicas) == (4.0, 0, 4)
    # 5 replicas on two nodes: one out leaves 4, of which both classes get less.
    plan = shared_plan(replicas=5.0, lots=2.0)
    out = [x for x in loads(plan, NODES, 0.9) if x.condition == "one_more_out"]
    assert [(x.demand_class, x.replicas) for x in out] == [("short", 4.0), ("long", 4.0)]
    assert out[0].rps_each == pytest.approx(12 / 4)
    assert out[1].rps_each == pytest.approx(0.6 / 4)


def test_no_harder_means_no_higher_rate_of_any_class():
    assert load(3, 0.1).no_harder_than(load(3, 0.1, period="2028"))
    assert load(2, 0.1, 5).no_harder_than(load(3, 0.1, 4))
    assert not load(2, 0.2).no_harder_than(load(3, 0.1))
    assert not load(3, 0.1, 3).no_harder_than(load(3, 0.1, 4))
    alone = Load(SHORT, "short", "hq", "2027", "day", "normal", 1.0, 3.0)
    assert alone.no_harder_than(load(3, 0.1))
    assert not load(3, 0.1).no_harder_than(alone)


def test_the_hardest_is_that_of_most_work():
    # 3 + 20 x 0.1 = 5 against 1 + 20 x 0.3 = 7.
    assert hardest([load(3, 0.1), load(1, 0.3)]) == load(1, 0.3)


def test_one_load_of_several_decides_only_what_is_lower_in_every_class():
    known = subjects(short_ms=60_000)
    every = [load(1, 0.3, period="a"), load(3, 0.1, period="b"), load(1, 0.1, period="c")]
    trials = tried(every, known, seed=1)
    assert [x.load.period for x in trials] == ["a", "b"]
    rows = _verdicts(every, trials, known)
    assert [bool(row.requests) for row in rows] == [True, True, False]
    assert {row.verdict for row in rows} == {"kept"}
    # 3 x 0.1 s + 0.1 x 2 s of every second.
    assert rows[1].utilization == pytest.approx(0.5)
    assert rows[1].rps_beside == {LONG: 0.1}


def test_short_requests_behind_long_ones_break_their_own_promise():
    # 0.2/s of 2 s keep the server busy 40 % of the time with a long one, of which 1 s is left in
    # the mean: more than 0.5 s for 30 % of the short ones, of which 5 % may be late. The long
    # ones' minute is far away: utilization is 1 x 0.1 + 0.2 x 2 = 0.5.
    known, beside = subjects(), load(1.0, 0.2)
    late = trial(known[SHORT], beside, seed=1, others=known)
    assert late.reason.startswith("TTFT p95")
    assert late.attained["ttft"].late_frac > 0.3
    turned = Load(LONG, "long", "hq", "2027", "day", "normal", 1.0, 0.2,
                  beside=(Beside(SHORT, 1.0),))  # fmt: skip
    assert trial(known[LONG], turned, seed=1, others=known).reason == ""
    # Alone, at the same utilization of 0.5, at most two short ones are before 95 % of them.
    alone = Load(SHORT, "short", "hq", "2027", "day", "normal", 1.0, 5.0)
    assert trial(known[SHORT], alone, seed=1).reason == ""


def test_few_long_ones_do_no_harm():
    # Busy 2 % of the time with a long one: no more than 2 % wait for one.
    known = subjects()
    kept = trial(known[SHORT], load(1.0, 0.01), seed=1, others=known)
    assert kept.reason == ""
    assert 0.005 < kept.attained["ttft"].late_frac < 0.03


def test_a_verdict_for_each_class_of_a_pool():
    # 4 replicas of one server each: 12 x 0.1 + 0.6 x 2 = 2.4 of 4 servers are busy.
    plan, known = shared_plan(), subjects(short_ms=150.0)
    every = [x for x in loads(plan, NODES, 0.9) if x.condition == "normal"]
    rows = {r.demand_class: r for r in _verdicts(every, tried(every, known, seed=1), known)}
    assert rows["long"].verdict == "kept"
    assert rows["short"].verdict == "broken"
    assert rows["short"].reason.startswith("TTFT p95")
    assert rows["short"].replicas == rows["long"].replicas == 4.0
    assert rows["short"].utilization == pytest.approx(0.6)
    loose = subjects(short_ms=60_000.0)
    kept = _verdicts(every, tried(every, loose, seed=1), loose)
    assert [row.verdict for row in kept] == ["kept", "kept"]


def beside_others(other_classes):
    """The shared pool on a node of its own, and another pool of 12 replicas on other nodes."""
    plan = shared_plan()
    plan.pools[0].served_frac, plan.pools[1].served_frac = [[0.5]], [[0.5]]
    names = [f"{name}/h" for name in other_classes]
    for name, demand_class in zip(names, other_classes, strict=True):
        plan.candidates.append(row_of(name, demand_class, "h", rate=5.0))
        others = [x for x in names if x != name]
        plan.pools.append(part(name, others, 12.0 / len(names), 0.5))
    plan.fleet.append(machines("h", 3.0))
    return plan


def test_traffic_of_a_lost_pool_goes_to_pools_of_its_classes():
    # 6/s of the short class on the 12 replicas that carry 6/s; nothing else serves the long one.
    every = loads(beside_others(["short"]), NODES, 0.9)
    lost = [x for x in every if x.down]
    assert [x.demand_class for x in lost] == ["short", "long"]
    (taken,) = [x for x in every if x.taken_from]
    assert (taken.candidate, taken.taken_from) == ("short/h", f"{SHORT} at hq")
    assert taken.rps_each == pytest.approx(1.0)
    # The long class's lost pool is tried as what it is: nothing is left.
    assert [x.demand_class for x in _asked(every) if x.down] == ["long"]


def test_both_classes_may_go_to_another_shared_pool():
    every = loads(beside_others(["short", "long"]), NODES, 0.9)
    taken = {x.demand_class: x for x in every if x.taken_from}
    assert taken["short"].taken_from == f"{SHORT} at hq"
    assert taken["long"].taken_from == f"{LONG} at hq"
    assert taken["short"].rps_each == pytest.approx(1.0)
    (beside,) = taken["short"].beside
    assert (beside.candidate, beside.rps_each) == ("long/h", pytest.approx(0.6 / 12))
    assert not [x for x in _asked(every) if x.down]


def test_a_class_whose_pool_takes_another_ones_traffic_is_tried_too():
    # The third class loses nothing, but its pool gets the short class's 6/s.
    plan = beside_others(["short", "third"])
    plan.demand.append(
        SimpleNamespace(name="third", kind="online", peak_rps=[[2.4]], mean_rps=[[1.0]])
    )
    taken = {x.demand_class: x for x in loads(plan, NODES, 0.9) if x.taken_from}
    assert set(taken) == {"short", "third"}
    assert taken["third"].taken_from == f"{SHORT} at hq"
    assert taken["third"].rps_each == pytest.approx(1.2 / 12)
    assert taken["third"].beside[0].rps_each == pytest.approx(1.0)


def test_gaps_of_mixed_streams_are_as_variable_as_the_classes_by_their_rates():
    known = {SHORT: subject("short", 600, 100, cv=2.0), LONG: subject("long", 600, 2000, cv=1.0)}
    come = arriving(load(3.0, 1.0), known[SHORT], known)
    # 0.75 x 4 + 0.25 x 1 = 3.25
    assert come.arrival_cv == pytest.approx(3.25**0.5)
    assert come.all_per_own == pytest.approx(4 / 3)
    assert come.requests.prompts.tolist() == [100, 2000]
    assert come.requests.unseen.tolist() == [0, 1]


def test_bad_hours_have_the_other_classes_too():
    # A replica that never fails: 40 % of the time it works on a long one.
    def late(asked):
        part = Part(asked, 1, 1.0, asked.rps_each)
        return simulated(Case("node_fails", (part,), 0, 0.0, ""), subjects(), seed=1).late_frac

    assert late(load(1.0, 0.2)) > 0.25
    assert late(Load(SHORT, "short", "hq", "2027", "day", "normal", 1.0, 1.0)) < 0.01


def test_a_trace_is_replayed_beside_the_other_class_as_planned():
    # One short request every second for an hour, alone and with 0.2 long ones a second.
    times = np.arange(3600.0)
    piece = Piece(
        offset=0, times_s=times, prompts=np.full(3600, 100), answers=np.ones(3600, np.int64),
        hits=np.zeros(3600, np.int64), draws=np.zeros(3600), homes=np.zeros(3600, np.int64),
    )  # fmt: skip
    alone, known = Stream(piece, np.zeros(0), ""), subjects()
    assert planned_beside(Load(SHORT, "short", "hq", "2027", "day", "normal", 1.0, 1.0), known,
                          alone, 1) is None  # fmt: skip
    both = replace(alone, beside=planned_beside(load(1.0, 0.2), known, alone, 1))
    assert both.beside is not None
    assert both.beside.times_s.size == pytest.approx(0.2 * 3600, rel=0.15)
    assert both.all.unseen.sum() == both.beside.times_s.size
    assert np.all(np.diff(both.all.times_s) >= 0)
    assert both.mean_rps == pytest.approx(alone.mean_rps)  # the trace's own
    late = [
        attained(run, known[SHORT].demand.slo, 0.0)["ttft"].late_frac
        for run in (_run(stream, known[SHORT].one) for stream in (alone, both))
    ]
    assert late[0] == 0.0
    assert late[1] > 0.25
    slow = both.slower(2.0)
    assert slow.all.times_s[-1] == pytest.approx(2 * both.all.times_s[-1])
