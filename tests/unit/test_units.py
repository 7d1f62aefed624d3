"""Disaggregated units from configuration to plan: what is offered, what it holds, what it costs."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import planner
from planner.answer.unit_price import cheapest
from planner.candidates.assemble import active_kwh, build
from planner.candidates.disaggregated import ratios, smallest, units
from planner.candidates.enumerate import Configuration, Part
from planner.candidates.offers import FULL, IDLE, assumption
from planner.candidates.rows import rows
from planner.candidates.subject import Subject, pool_of, subject_of
from planner.candidates.traffic import traffic
from planner.report.engine_commands import commands, options_yaml, script
from planner.simulate.arrivals import requests_of
from planner.simulate.pool import Outage, Pool, Stage
from planner.simulate.state import Numbers
from tests.small_world import CHAT, CLOUD, HQ, NIGHT, catalog, known, scenario, with_rows

MODES = ["chunked", "disaggregated"]
TWO = {"accelerators": ["h100-sxm", "h200-sxm"], "modes": MODES, "options": ["on_demand"],
       "lead_time_months": {}}  # fmt: skip
LONG = {**CHAT, "models": ["llama-3.1-70b"], "requests_per_s": 10,
        "input_tokens": {"mean": 12_000, "cv": 0.5}, "output_tokens": {"mean": 300, "cv": 0.75},
        "slo": {"ttft_ms": 4000, "tpot_ms": 25}}  # fmt: skip


def long_prompts(**supply):
    return scenario(demand=[LONG], sites=[CLOUD], supply={**TWO, "tp_max": 8, **supply})


@pytest.fixture(scope="module")
def long():
    return known(long_prompts())


@pytest.fixture(scope="module")
def solved():
    return planner.solve(long_prompts(), gap=0.05)


def of_units(case):
    return [i for i, c in enumerate(case.table.configurations) if c.decode is not None]


def refusals(question, catalog=None):
    table = known(question, catalog).table
    return {c.reason for c in table.configurations if c.mode == "disaggregated" and c.reason}


def prefill(**fields):
    return Configuration(
        0, "llama", "h100-sxm", "fp8", "fp8", "vllm", mode="disaggregated", **fields
    )


def test_a_unit_says_what_it_is_made_of():
    side = replace(prefill(tp=8), accelerator="h200-sxm")
    unit = replace(prefill(tp=4), decode=side, prefill_replicas=2, decode_replicas=3)
    assert unit.name("chat") == (
        "chat/llama/h100-sxm+h200-sxm/fp8+kv-fp8/vllm/2xtp4+3xtp8/disaggregated"
    )
    assert unit.parts == (Part("h100-sxm", 4, 2), Part("h200-sxm", 8, 3))
    assert unit.gpus == 2 * 4 + 3 * 8
    assert unit.accelerators == ("h100-sxm", "h200-sxm")
    assert prefill(tp=4).parts == (Part("h100-sxm", 4, 1),)


@pytest.mark.parametrize(
    ("rates", "gpus", "within", "expected"),
    [
        ((1.0, 1.0), (1.0, 1.0), 0.02, (1, 1)),
        # 1:3 takes 4 accelerators for 3 requests, 1.33; 1:2 takes 1.5, 12.5 % more; 1:1 takes 2.
        ((3.0, 1.0), (1.0, 1.0), 0.02, (1, 3)),
        ((3.0, 1.0), (1.0, 1.0), 0.25, (1, 2)),
        # 5:1 is exact, 24 for 5 = 4.8; 3:1 takes 16 for 3 = 5.33, 2:1 12 for 2 = 6, just within.
        ((1.0, 5.0), (4.0, 4.0), 0.02, (5, 1)),
        ((1.0, 5.0), (4.0, 4.0), 0.2501, (2, 1)),
        # Nothing up to 8 replicas balances 1:20: 7:1 takes 8 / 7 = 1.14, 6:1 1.17, 2 % more.
        ((1.0, 20.0), (1.0, 1.0), 0.02, (7, 1)),
    ],
)
def test_ratios_by_hand(rates, gpus, within, expected):
    some = [(size, need, (0, 0, x, y)) for size, need, x, y in ratios(rates, gpus)]
    assert smallest(some, within)[2][2:] == expected


def test_units_are_offered_only_where_the_scenario_asks():
    question = long_prompts(modes=["chunked"])
    assert units(question, catalog(), traffic(question, catalog())) == (None, [])
    assert not of_units(known(question))


def test_few_units_for_each_pair_of_accelerators(long):
    pairs = Counter(long.table.configurations[i].hardware for i in of_units(long))
    names = ("h100-sxm", "h200-sxm")
    assert set(pairs) == {f"{a}+{b}" for a in names for b in names}
    assert max(pairs.values()) <= 2


def test_both_sides_speak_one_format(long):
    for i in of_units(long):
        one = long.table.configurations[i]
        for name in ("demand_class", "model", "quantization", "kv_dtype", "engine"):
            assert getattr(one, name) == getattr(one.decode, name)
        assert one.pp == one.decode.pp == 1


def test_each_side_holds_what_a_replica_of_its_layout_holds(long):
    """The chunked row of the same layout, from the same formulas asked in the usual way."""
    table = long.table
    usual = {(c.accelerator, c.quantization, c.kv_dtype, c.layout): i
             for i, c in enumerate(table.configurations) if c.mode == "chunked"}  # fmt: skip
    for i in of_units(long):
        one = table.configurations[i]
        own = replace(one, decode=None)
        for side, found in ((own, table), (one.decode, table.decoders)):
            j = usual[side.accelerator, side.quantization, side.kv_dtype, side.layout]
            assert found.weights_bytes[i] == table.weights_bytes[j]
            assert found.kv_tokens[i] == table.kv_tokens[j]
            assert found.replica.overhead_s[i] == table.replica.overhead_s[j]


def test_the_cache_moves_over_the_slower_sides_ports(long):
    # Llama 3.1 70B: 80 layers x 8 KV heads x 128 x 2 = 163,840 elements a token, at 1 or 2 bytes.
    # 400 Gbit/s a port is 50 GB/s, 90 % of it 45; the cache is split over at most 8 heads' ports.
    table = long.table
    for i in of_units(long):
        one = table.configurations[i]
        size = {"fp8": 1, "bf16": 2}[one.kv_dtype]
        assert table.decoders.token_bytes[i] == pytest.approx(163_840 * size)
        assert table.decoders.link_bytes_s[i] == pytest.approx(45e9 * min(one.tp, one.decode.tp, 8))
        assert table.decoders.handover_s[i] == 0.1


def test_accelerators_of_both_sides_are_taken_from_lots(long):
    problem, axes = build(long)
    assert axes.accelerators == ("h100-sxm", "h200-sxm")
    for c, i in enumerate(axes.kept):
        one = long.table.configurations[i]
        expected = dict.fromkeys(axes.accelerators, 0.0)
        for part in one.parts:
            expected[part.accelerator] += part.gpus * part.copies
        assert problem.pools.replica_gpus[c].tolist() == list(expected.values())


def test_energy_of_a_unit_by_hand(long):
    kwh, axes = active_kwh(long, build(long)[1]), build(long)[1]
    hours, rps = long.traffic.load.hours, long.traffic.load.mean_rps[0]
    share = assumption(long.catalog, FULL).value - assumption(long.catalog, IDLE).value
    for c, i in enumerate(axes.kept):
        one = long.table.configurations[i]
        kw = sum(
            part.gpus * part.copies * long.catalog.accelerators[part.accelerator].node_kw / 8
            for part in one.parts
        )
        expected = rps / long.table.rate_rps[i] * kw * share * hours
        np.testing.assert_allclose(kwh[c], expected)


def test_price_of_a_unit_adds_both_accelerators(long):
    price, way = cheapest(long)
    table = long.table
    hourly = {}
    for i, c in enumerate(table.configurations):
        if c.mode == "chunked" and np.isfinite(price[i]):
            tokens = table.rate_rps[i] * 12_300 * 3600 / 1e6  # 12,000 of prompt, 300 of answer
            hourly[c.accelerator] = price[i] * tokens / c.gpus
    for i in of_units(long):
        usd = sum(hourly[p.accelerator] * p.gpus * p.copies for p in table.configurations[i].parts)
        assert price[i] == pytest.approx(usd / (table.rate_rps[i] * 12_300 * 3600 / 1e6), rel=2e-3)
    both = next(i for i in of_units(long) if len(table.configurations[i].accelerators) == 2)
    assert " + " in way[both]


def test_kept_units_save_what_a_replica_on_one_of_their_accelerators_would_take(long):
    table = long.table
    need = {i: {name: sum(p.gpus * p.copies for p in table.configurations[i].parts
                          if p.accelerator == name) / table.rate_rps[i]
                for name in table.configurations[i].accelerators}
            for i in table.kept.tolist()}  # fmt: skip
    for i in (i for i in need if table.configurations[i].decode):
        plain = [j for j in need if not table.configurations[j].decode]
        for name in need[i]:
            others = [need[j][name] for j in plain if name in need[j]]
            assert all(need[i][name] < other for other in others)


def test_rows_show_both_sides(long):
    found = rows(long.table, *cheapest(long))
    for i in of_units(long):
        row, one = found[i], long.table.configurations[i]
        assert row.id == long.table.names[i]
        assert row.parts == tuple((p.accelerator, p.gpus, p.copies) for p in one.parts)
        assert (row.layout, row.hardware) == (one.layout, one.hardware)
        assert row.gpus == sum(row.gpus_on(name) for name in row.accelerators)
        assert row.decode.weights_gb > 0
        assert row.kv_wait_frac is None


def test_rate_of_a_unit_is_that_of_its_slower_stage(long):
    from planner.perf.disaggregated import stage_limits  # noqa: PLC0415

    for i in of_units(long):
        limits = stage_limits(long.table.unit([i]), long.table.lengths[0])
        assert long.table.stability_rps[i] == pytest.approx(min(float(x[0]) for x in limits))
        assert 0 < long.table.pool_rps[i, -1] <= 0.8 * long.table.stability_rps[i] * (1 + 1e-9)


@pytest.mark.parametrize(
    ("slo", "why"),
    [
        ({"ttft_ms": 50, "tpot_ms": 25}, "no prefill side fits: none keeps TTFT p95 of 50 ms"),
        ({"ttft_ms": 4000, "tpot_ms": 1}, "no decode side fits: none keeps TPOT p95 of 1 ms"),
    ],
)
def test_promises_that_no_side_keeps_are_refused_with_the_reason(slo, why):
    question = long_prompts(options=["on_demand", "api"])
    demand = [
        question.demand[0].model_copy(
            update={"slo": question.demand[0].slo.model_copy(update=slo), "api_allowed": True}
        )
    ]
    question = question.model_copy(update={"demand": tuple(demand)})
    found = planner.evaluate(question)
    reasons = [row.reason for row in found if row.mode == "disaggregated"]
    assert len(reasons) == 1
    assert reasons[0].startswith(why)


def test_batch_work_is_not_disaggregated():
    question = scenario(demand=[NIGHT], supply={"modes": MODES})
    assert refusals(question) == {"batch work has no pace to protect"}


def test_an_accelerator_without_a_known_port_sends_no_cache():
    rows_of = with_rows("accelerators", l40s={"scaleout_gbit_per_s": None})
    found = refusals(scenario(supply={"modes": MODES}), rows_of)
    assert any(why.startswith("no network port known") for why in found)


def test_sides_meet_at_one_site_only():
    """H100 only in the cloud, L40S only at home: no unit spans both."""
    prices = [{"accelerator": "l40s", "option": "owned", "usd": 9_000.0, "source": "a letter",
               "as_of": "2026-10-01"}]  # fmt: skip
    question = scenario(
        sites=[HQ, CLOUD],
        supply={"accelerators": ["l40s", "h100-sxm"], "modes": MODES, "prices": prices,
                "options": ["owned", "on_demand"], "stock": []},
    )  # fmt: skip
    case = known(question)
    both_in_cloud = {("l40s", "cloud"), ("h100-sxm", "cloud")} <= set(case.offers.on_demand)
    pairs = {case.table.configurations[i].hardware for i in of_units(case)}
    assert ("l40s+h100-sxm" in pairs) == both_in_cloud


SERVER = Numbers(
    overhead_s=0.01, prefill_step_s=0.0, weights_s=0.0, token_s=0.0, sequence_s=0.0,
    kv_token_s=0.0, prefill_context_s=0.0, budget=1000, sequences_max=10, kv_tokens=10_000,
    decode_tokens=1, decode_gain=1.0,
)  # fmt: skip


def test_a_pool_of_units_by_hand():
    one = Pool(SERVER, 2, decode=Stage(SERVER, 3, token_s=1e-6, latency_s=0.1))
    subject = Subject(one, requests_of(np.array([10.0]), np.array([2.0])), None, 0.0, 1.0)
    pool = pool_of(subject, 4, [Outage(5.0, 1, 9.0)])
    assert (pool.replicas, pool.decode.replicas, pool.units) == (8, 12, 4)
    # Unit 1 is out: its prefill replicas 2 and 3, its decode replicas 3, 4 and 5.
    assert [o.replica for o in pool.outages] == [2, 3]
    assert [o.replica for o in pool.decode.outages] == [3, 4, 5]
    assert all((o.start_s, o.end_s) == (5.0, 9.0) for o in (*pool.outages, *pool.decode.outages))


def test_a_pool_of_plain_replicas_stays_plain():
    subject = Subject(Pool(SERVER), requests_of(np.ones(1), np.ones(1)), None, 0.0, 1.0)
    assert pool_of(subject, 3, [Outage(0.0, 2, 1.0)]) == Pool(
        SERVER, 3, outages=(Outage(0.0, 2, 1.0),)
    )


def test_a_subject_of_the_table_has_both_stages(long):
    i = of_units(long)[0]
    one = long.table.configurations[i]
    pool = subject_of(long.scenario, long.catalog, long.table, i).one
    assert (pool.replicas, pool.decode.replicas) == (one.prefill_replicas, one.decode_replicas)
    assert pool.decode.latency_s == 0.1
    assert pool.decode.token_s == pytest.approx(
        long.table.decoders.token_bytes[i] / long.table.decoders.link_bytes_s[i]
    )


def test_disaggregation_is_cheaper_where_prompts_break_the_pace(solved):
    mixed = planner.solve(long_prompts(modes=["chunked"]), gap=0.05)
    assert solved.npv_usd < 0.8 * mixed.bound_usd
    assert all(row.holds for row in solved.audit)
    rows_of = {row.id: row for row in solved.candidates}
    assert any(rows_of[pool.candidate].decode for pool in solved.pools)
    trail = solved.trails[0].steps
    labels = {item.label for step in trail for item in step.items}
    assert {"Prefill: layout", "Decode: layout", "Handover to the decode replica"} <= labels


def test_launch_commands_of_both_roles(solved):
    found = [c for c in commands(solved, catalog()) if c.role]
    assert {c.role for c in found} == {"prefill", "decode"}
    rows_of = {row.id: row for row in solved.candidates}
    peaks = {pool.candidate: pool.replicas_peak for pool in solved.pools}
    for command in found:
        row = rows_of[command.candidate]
        copies, tp = (
            (row.prefill_replicas, row.tp) if command.role == "prefill"
            else (row.decode.replicas, row.decode.tp)
        )  # fmt: skip
        assert command.flags["--tensor-parallel-size"] == str(tp)
        assert command.replicas["cloud"] == [n * copies for n in peaks[command.candidate]]
        kind = {"prefill": "kv_producer", "decode": "kv_consumer"}[command.role]
        assert f'"kv_role": "{kind}"' in command.flags["--kv-transfer-config"]
        assert command.name.endswith(command.role)
        assert f"# {command.role}\n" in script(command)


@pytest.mark.parametrize("engine", ["sglang", "tensorrt-llm"])
def test_launch_commands_of_other_engines(solved, engine):
    changed = [row.model_copy(update={"engine": engine}) for row in solved.candidates]
    found = commands(solved.model_copy(update={"candidates": changed}), catalog())
    for command in (c for c in found if c.role):
        if engine == "sglang":
            assert command.flags["--disaggregation-mode"] == command.role
            assert "--enable-mixed-chunk" not in command.flags
        else:
            assert "backend: NIXL" in options_yaml(command)
            overlap = command.options.get("disable_overlap_scheduler")
            assert overlap == (True if command.role == "prefill" else None)


@pytest.mark.slow
def test_simulation_keeps_the_promise_of_a_plan_with_units(solved):
    verdict = planner.verify(solved)
    assert verdict.kept
    rows_of = {row.id: row for row in solved.candidates}
    simulated = [p for p in verdict.pools if p.requests and rows_of[p.candidate].decode]
    assert any(p.condition == "normal" and p.verdict == "kept" for p in simulated)


@pytest.mark.slow
def test_simulated_rates_of_a_unit_come_near_the_formulas(long):
    from planner.candidates.refine import refined  # noqa: PLC0415

    i = min(of_units(long), key=lambda i: long.table.configurations[i].gpus)
    after = refined(long, [i], lambda *_: None).table
    assert after.simulated[i]
    assert after.pool_rps[i, -1] == pytest.approx(long.table.pool_rps[i, -1], rel=0.1)
    assert np.isnan(after.kv_wait_frac[i])
