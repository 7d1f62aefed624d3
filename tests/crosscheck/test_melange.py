"""Published allocation cases by measured rates alone: Mélange, AIBrix and llm-d autoscaling.

Their inputs are rates of one GPU, found outside; so a serving table holds them, with one-GPU lots
and prices by the hour. Buckets whose requests may share a GPU are batch classes, as replicas of
online classes are whole. Expected answers: exact optima by a separate program (HiGHS on the
published inequalities, assignment continuous, counts whole), checked by hand below.
"""

import numpy as np
import pytest
from pydantic import ValidationError

import planner
from planner.errors import InfeasibleError
from planner.files.catalog import load_catalog
from planner.files.names import check_names
from planner.schema.scenario import Scenario
from tests.formulas import on_formulas

MODEL = "llama-3.1-8b"
GAP = 1e-3

# github.com/tyler-griggs/melange-release, example_input.json: USD an hour and requests/s of one
# GPU for four buckets (input length x output length), shares of the traffic, total rate 30/s.
# The catalog's A10 stands for the A10G; only its name and its price here matter.
MELANGE_USD = {"a10": 1.01, "a100-80-sxm": 3.67}
MELANGE_RPS = {"a10": (2, 1, 5, 2), "a100-80-sxm": (20, 20, 40, 20)}
MELANGE_SHARE = (0.2, 0.1, 0.5, 0.2)


def batch(name, rps, tokens=100):
    return {
        "kind": "batch", "name": name, "models": [MODEL], "requests_per_day": rps * 86_400,
        "input_tokens": {"mean": tokens, "cv": 0.1}, "output_tokens": {"mean": 100, "cv": 0.1},
        "api_allowed": False,
    }  # fmt: skip


def online(name, rps):
    common = batch(name, rps)
    del common["requests_per_day"]
    slo = {"ttft_ms": 500, "tpot_ms": 40}
    return {**common, "kind": "online", "requests_per_s": rps, "five_minute_cv": 0, "slo": slo}


def row(demand_class, accelerator, rps, **more):
    return {
        "demand_class": demand_class, "accelerator": accelerator, "gpus": 1,
        "requests_per_s": rps, "source": "published case", **more,
    }  # fmt: skip


def question(demand, table, usd, **supply):
    return {
        "name": "table", "title": "Rates from a table",
        "horizon": {"start": "2027-01", "months": 12, "period": "quarter"},
        "finance": {"discount_rate": 0.0, "adders": {"cloud_support_frac": 0.0}},
        "demand": demand,
        "sites": [{"name": "cloud", "kind": "cloud", "region": "us"}],
        "supply": {
            "options": ["on_demand"], "accelerators": list(usd),
            "prices": [
                {"accelerator": g, "option": "on_demand", "usd": price, "source": "the case",
                 "as_of": "2026-11-01"}
                for g, price in usd.items()
            ],
            **supply,
        },
        "planning": {"load_blocks": 2},  # one block a day: no work moves within a day
        "serving_table": table,
    }  # fmt: skip


def one_gpu_lots(names):
    catalog = load_catalog()
    lots = {
        name: row.model_copy(update={"lot_gpus": 1, "gpus_per_node": 1})
        for name, row in catalog.accelerators.items()
        if name in names
    }
    return catalog.model_copy(update={"accelerators": {**catalog.accelerators, **lots}})


def solved(asked):
    scenario = Scenario.model_validate(asked)
    return on_formulas(scenario, catalog=one_gpu_lots(scenario.supply.accelerators), gap=GAP)


def usd_per_h(plan):
    return plan.npv_usd / sum(sum(block.hours) for block in plan.blocks)


def gpus(plan):
    counts = {fleet.accelerator: np.array(fleet.lots_by_block) for fleet in plan.fleet}
    for name, lots in counts.items():
        assert (lots == lots[0, 0]).all(), f"{name} varies though the traffic does not"
    return {name: int(lots[0, 0]) for name, lots in counts.items()}


def melange(rate, kind=batch):
    names = [f"bucket{i}" for i in range(len(MELANGE_SHARE))]
    demand = [kind(n, rate * share) for n, share in zip(names, MELANGE_SHARE, strict=True)]
    table = [
        row(name, g, rps)
        for g, rates in MELANGE_RPS.items()
        for name, rps in zip(names, rates, strict=True)
    ]
    return question(demand, table, MELANGE_USD)


@pytest.mark.parametrize(
    ("rate", "cost", "fleet"),
    [
        # 0.2/2 + 0.1/1 + 0.5/5 + 0.2/2 = 0.4 A10G
        (1, 1.01, {"a10": 1}),
        # 5 x 0.4 = 2 A10G; one A100 would cost 3.67
        (5, 2.02, {"a10": 2}),
        # All on A100: 6/20 + 3/20 + 15/40 + 6/20 = 1.125. One A10G takes 5 of the 15/s of
        # bucket 2, 5/40 = 0.125 A100, and exactly one A100 remains: 1.01 + 3.67.
        (30, 4.68, {"a10": 1, "a100-80-sxm": 1}),
    ],
)
def test_melange_reaches_the_exact_optimum(rate, cost, fleet):
    plan = solved(melange(rate))
    assert plan.status == "optimal"
    assert usd_per_h(plan) == pytest.approx(cost, rel=GAP)
    assert gpus(plan) == fleet


def test_melange_published_answer_costs_more():
    # 3 A10G and 1 A100 are the tool's own answer at 30/s: 3 x 1.01 + 3.67 = 6.70
    assert usd_per_h(solved(melange(30))) < 6.70 - 2.0


def test_online_classes_share_no_replica():
    # Where the classes have their peak one whole A10G a bucket, 4, where fractions needed 0.4.
    plan = solved(melange(1, online))
    (fleet,) = plan.fleet
    assert [max(blocks) for blocks in fleet.lots_by_block] == [4.0] * 4
    assert sum(np.array(pool.replicas_peak) for pool in plan.pools).tolist() == [4.0] * 4


def test_aibrix_stock_is_respected():
    # github.com/vllm-project/aibrix issue 637: one L20 in stock, and its allocator asked for
    # {A10: 4, L20: 2}; {A10: 7, L20: 1} serves the same load, so an L20 carries 3 A10. The
    # catalog's L40S stands for the L20. With 2.00 against 1.00 USD an L20 is always preferred.
    usd = {"a10": 1.0, "l40s": 2.0}
    table = [row("load", "a10", 1.0), row("load", "l40s", 3.0)]
    stock = [{"accelerator": "l40s", "site": "cloud", "lots_max": 1}]
    plan = solved(question([batch("load", 10.0)], table, usd, stock=stock))
    assert gpus(plan) == {"a10": 7, "l40s": 1}
    # 3 L20 carry 9, one A10 the tenth: 3 x 2 + 1
    assert usd_per_h(solved(question([batch("load", 10.0)], table, usd))) == pytest.approx(7.0)


def test_llmd_greedy_pays_ten_where_six_do():
    # github.com/llm-d/llm-d-autoscaling issue 1251: capacity 100 asked; variant A has 200 for
    # 10, B has 100 for 6. Greedy by cost a unit takes A.
    usd = {"l4": 10.0, "l40s": 6.0}
    table = [row("load", "l4", 200.0), row("load", "l40s", 100.0)]
    plan = solved(question([online("load", 100.0)], table, usd))
    assert gpus(plan) == {"l40s": 1}
    assert usd_per_h(plan) == pytest.approx(6.0, rel=GAP)


def test_only_named_classes_leave_the_model_and_the_plan_says_so():
    table = [row("load", "l40s", 7.5)]
    demand = [online("load", 10.0), online("other", 1.0)]
    scenario = Scenario.model_validate(question(demand, table, {"l40s": 2.0}))
    rows = planner.evaluate(scenario, catalog=load_catalog())
    mine = [r for r in rows if r.demand_class == "load"]
    assert [(r.label, r.rate_rps, r.offset_rps, r.recovery_frac) for r in mine] == [
        ("measured", 7.5, 0.0, None)
    ]
    assert all(r.label != "measured" for r in rows if r.demand_class == "other")
    plan = on_formulas(scenario, catalog=load_catalog())
    # Two replicas of 7.5/s carry 10/s, not 10 / 7.5 = 1.3
    (pool,) = [p for p in plan.pools if "/measured" in p.candidate]
    assert pool.replicas_peak == [2.0] * 4
    assert any("serving table" in note for note in plan.notes)
    (source,) = [s for s in plan.sources if s.what.startswith("measured rate")]
    assert source.source == "published case"


def test_a_bucket_of_lengths_names_the_classes_within():
    table = [
        {**row(None, "l40s", 4.0), "input_tokens": [0, 100]},
        {**row(None, "l40s", 3.0), "input_tokens": [100, 200]},
    ]
    demand = [batch("short", 1.0, tokens=50), batch("long", 1.0, tokens=100)]
    asked = question(demand, table, {"l40s": 2.0})
    rows = planner.evaluate(Scenario.model_validate(asked), catalog=load_catalog())
    assert {r.demand_class: r.rate_rps for r in rows} == {"short": 4.0, "long": 3.0}


def test_a_format_below_the_quality_floor_and_a_machine_left_out_are_refused():
    table = [
        row("load", "l40s", 4.0, quantization="int4-awq"), row("load", "l40s", 3.0),
        row("load", "l4", 2.0),
    ]  # fmt: skip
    strict = {**batch("load", 1.0), "quality_floor": 1.0}
    asked = question([strict], table, {"l40s": 2.0})
    rows = planner.evaluate(Scenario.model_validate(asked), catalog=load_catalog())
    assert [r.feasible for r in rows] == [False, True, False]
    assert "floor 1" in rows[0].reason
    assert rows[2].reason == "supply.accelerators leaves it out"


def test_more_load_than_the_stock_carries_is_infeasible():
    stock = [{"accelerator": "l40s", "site": "cloud", "lots_max": 1}]
    table = [row("load", "l40s", 3.0)]
    with pytest.raises(InfeasibleError):
        solved(question([batch("load", 10.0)], table, {"l40s": 2.0}, stock=stock))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ([row("lode", "l40s", 1.0)], "no class 'lode', known: load"),
        ([row(None, "l40s", 1.0)], "give either demand_class, or input_tokens"),
        ([row("load", "l40s", 1.0, input_tokens=[0, 9])], "give either demand_class"),
        ([row(None, "l40s", 1.0, input_tokens=[9, 9])], "the range 9 to 9 is empty"),
        ([row(None, "l40s", 1.0, input_tokens=[0, 9])], "no class has such means"),
        ([row("load", "l40s", 1.0, gpus=4, tp=3)], "4 gpus are no multiple of tp 3"),
        ([row("load", "l40s", 1.0, model="qwen3-32b")], "qwen3-32b is not among llama-3.1-8b"),
        ([row("load", "l40s", 1.0), row("load", "l40s", 2.0)], "says again what serving_table[0]"),
        ([row("load", "l40s", 0.0)], "greater than 0"),
    ],
)
def test_a_row_that_means_nothing_is_refused(table, said):
    with pytest.raises(ValidationError) as refused:
        Scenario.model_validate(question([batch("load", 1.0)], table, {"l40s": 2.0}))
    assert said in str(refused.value)


def test_unknown_names_are_refused_with_the_nearest():
    table = [row("load", "l40x", 1.0, quantization="kv-fp8", engine="vlm")]
    asked = question([batch("load", 1.0)], table, {"l40s": 2.0})
    problems = check_names(Scenario.model_validate(asked), load_catalog())
    assert [p.split(":")[0] for p in problems] == [
        "serving_table[0].accelerator", "serving_table[0].quantization",
        "serving_table[0].engine",
    ]  # fmt: skip
    assert all("did you mean" in p or "known" in p for p in problems)
