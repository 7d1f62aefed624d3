"""Worked examples of published sizing guides, from their own assumptions.

Sources: [1] "Why Inference Sizing Is Now a Capital Allocation Problem"; [2] the enterprise
inference guide with the 75,000-user, Llama 3.1 405B, GB200 NVL72 example, sections A to G;
[3] the compute-planning chapter, sections 57.1 and 57.1.4. Where a published figure is wrong the
test says what is right and shows how the published one came about.
"""

import math
from dataclasses import MISSING

import numpy as np
import pytest

from planner.candidates.enumerate import Configuration
from planner.candidates.shapes import serving
from planner.finance import ledger
from planner.finance.calendar import calendar_quantities
from planner.finance.lines import api_lines, assemble, common_lines, on_demand_lines
from planner.finance.metrics import break_even_months
from planner.finance.offers import ApiOffer, Assumed, Common, OnDemandOffer
from planner.finance.unit import input_values, npv_usd
from planner.perf import memory
from planner.units import GIB, GIGA, MILLION, TERA
from planner.workload.profile import hourly_mean_rps, peak_ratio, users_to_rps
from tests.small_world import CHAT, CLOUD, catalog, decide, scenario

PUBLISHED = "published example"


def a(value):
    return Assumed(value, PUBLISHED, "2026-11-21", "quoted")


def undiscounted():
    """One month, no discounting, no adders, flat prices: the guides' own arithmetic."""
    names = [
        name
        for name, field in Common.__dataclass_fields__.items()
        if name not in {"capex_per_year", "rental_per_year"}
        and field.default is MISSING
        and field.default_factory is MISSING
    ]
    return Common(
        **{n: a(0.0) for n in names}, capex_per_year={"all": a(0)}, rental_per_year={"all": a(0)}
    )


def month_usd(option, quantities):
    lines, inputs = assemble([common_lines(undiscounted()), option])
    given = {**calendar_quantities("2027-01", 1, 1), **quantities}
    return float(npv_usd(lines, ledger.evaluate(lines, input_values(inputs), given, 1)))


def test_8b_model_on_h100_at_8000_tokens():
    # [3]: 32 layers, 8 KV heads of 128, bf16, 8,000 tokens; 80 GB less 16 GB of weights.
    kv_bytes = 2 * 32 * 8 * 128 * 8000 * 2
    assert kv_bytes == 1_048_576_000
    assert kv_bytes / GIGA == pytest.approx(1.049, abs=5e-4)
    assert math.floor(64 * GIGA / kv_bytes) == 61
    # Published: 0.98 "GB" are GiB, and 64 GB / 0.98 GiB gives 65.
    assert kv_bytes / GIB == pytest.approx(0.977, abs=5e-4)
    assert math.floor(64 / 0.98) == 65
    # Batch 48, 256 tokens of 18 ms each; 50 requests/s at 70 % use.
    rps = 48 / (256 * 0.018)
    assert rps == pytest.approx(10.42, abs=0.005)
    assert math.ceil(50 / (rps * 0.7)) == 7


def test_75000_users_of_an_enterprise():
    # [2]F: 150 queries a day within 8 hours, peak twice the mean, 512 tokens each.
    hours = [0.0] * 9 + [1.0] * 8 + [0.0] * 7
    mean_rps = users_to_rps(users=75_000, requests_per_user_per_day=150)
    rate = hourly_mean_rps(weekday=hours, weekend=[0.0] * 24, mean_rps=mean_rps)
    busy_rps = rate.max()
    peak_rps = busy_rps * peak_ratio(percentile=0.9, five_minute_cv=0.0, peak_to_mean=2.0)
    assert busy_rps == pytest.approx(390.6, abs=0.05)
    assert peak_rps == pytest.approx(781.25)
    tokens_per_s = round(float(peak_rps * 512), 6)
    assert tokens_per_s == 400_000
    # A rack's 25,000 (FP16) and 50,000 (FP8) tokens/s are assumptions, not measurements.
    assert [math.ceil(tokens_per_s / rack) for rack in (25_000, 50_000)] == [16, 8]


def test_prefill_that_the_enterprise_example_leaves_out():
    # [2] counts decode only. 4,096 prompt tokens x 780/s x 810 GFLOP (2 x 405e9 parameters).
    flop_per_s = 780 * 4096 * 2 * 405 * GIGA
    assert flop_per_s == pytest.approx(2.6e18, rel=0.01)
    # 72 accelerators x 5 PFLOP/s (FP8) at 30 % of peak: 24 racks (about 25), at 70 % prefix hits 8.
    rack_flop_per_s = 72 * 5_000 * TERA * 0.3
    assert flop_per_s / rack_flop_per_s == pytest.approx(25, rel=0.05)
    assert math.ceil(flop_per_s * (1 - 0.7) / rack_flop_per_s) == 8


@pytest.mark.parametrize(
    ("layers", "kib_a_token", "gib_a_session"), [(126, 504, 2.21), (128, 512, 2.25)]
)
def test_4608_token_session_of_405b(layers, kib_a_token, gib_a_session):
    # [2]B uses 128 layers; the model has 126.
    token_bytes = 2 * 8 * 128 * 2 * layers
    assert token_bytes == kib_a_token * 1024
    assert token_bytes * 4608 / GIB == pytest.approx(gib_a_session, abs=0.005)


def test_6000_sessions_need_two_racks():
    # [2]C to E in its own mixture of units: 810 GB + 13,500 GiB + 20 %.
    assert 6000 * 2.25 == 13_500
    published_tb = (810 + 13_500) * 1.2 / 1000
    assert published_tb == pytest.approx(17.2, abs=0.05)
    # In bytes: 14.5 TB = 13.2 TiB of cache; two racks of 72 x 192 GB still hold it with weights.
    kv_bytes = 6000 * 2 * 8 * 128 * 2 * 128 * 4608
    assert kv_bytes / (1024 * GIB) == pytest.approx(13.2, abs=0.05)
    need_bytes = (kv_bytes + 810 * GIGA) * 1.2
    assert math.ceil(need_bytes / (72 * 192 * GIGA)) == 2


def test_40_against_70_percent_utilization():
    # [1] says 2.5 times; the cost a token goes with 1 / utilization: 70 / 40.
    fixed_usd, tokens_at_full_use = 1.0, 1.0
    cost = [fixed_usd / (tokens_at_full_use * use) for use in (0.40, 0.70)]
    assert cost[0] / cost[1] == pytest.approx(1.75)


def test_20_billion_tokens_by_api():
    # [3]: 10 million documents x 2,000 tokens at 0.88 USD per million; published 4,800 USD.
    offer = ApiOffer("together", "Llama 3 70B", a(0.88), a(0.88), None)
    mtokens = 10 * MILLION * 2_000 / MILLION
    usd = month_usd(api_lines(offer), {"api_together_input_mtokens": np.array([mtokens])})
    assert usd == pytest.approx(17_600)


def test_576_h100_for_a_month():
    # [2]: 5.7 million USD a month "at 10-15 USD" an hour: 13.55 in a month of 730 h.
    offer = OnDemandOffer("h100", "oci", "H100 at OCI", "node", "all", a(13.55), a(8))
    lot_hours = np.array([576 / 8 * 730])
    usd = month_usd(on_demand_lines(offer), {"on_demand_h100_oci_lot_hours": lot_hours})
    assert usd / MILLION == pytest.approx(5.7, abs=0.005)


def test_crossover_of_40_million_against_5_7_million_a_month():
    # [2] says "over three years" for 40-60 million USD of purchase against 5.7 million USD a
    # month; without running costs those figures give 7 to 10.5 months.
    months = [
        break_even_months(capex_usd=usd, own_usd_per_month=0, rent_usd_per_month=5.7 * MILLION)
        for usd in (40 * MILLION, 60 * MILLION)
    ]
    assert months == pytest.approx([7.02, 10.53], abs=0.005)


def shaped(model, quantization="bf16", **layout):
    config = Configuration(0, model, "h100-sxm", quantization, "bf16", "vllm", mode="chunked",
                           **layout)  # fmt: skip
    return serving([config], catalog())[0]


def cache_bytes(model, tokens):
    """Cache of one sequence on one accelerator, by the planner's own memory model."""
    one = shaped(model)
    found = memory.sequence_bytes_per_gpu(
        architecture=one.architecture, layout=one.layout, form=one.format,
        context_tokens=np.array([float(tokens)]),
    )  # fmt: skip
    return float(found[0])


def test_memory_model_holds_the_published_caches():
    # [2]B with the model's 126 layers: 2 x 126 x 8 x 128 x 2 bytes = 504 KiB a token.
    assert cache_bytes("llama-3.1-405b", 1) == 516_096 == 504 * 1024
    # [3]: 8B at 8,000 tokens, 1.049 GB.
    assert cache_bytes("llama-3.1-8b", 8000) == 1_048_576_000


def test_memory_model_holds_the_published_weights():
    # [2]B: 405 billion parameters of 2 bytes are 810 GB; the checkpoint counts 405.853 billion.
    eight = shaped("llama-3.1-405b", tp=8)
    on_one = memory.weight_bytes_per_gpu(
        architecture=eight.architecture, layout=eight.layout, form=eight.format
    )
    assert float(on_one[0]) * 8 / GIGA == pytest.approx(810, rel=0.005)
    # [3]: 8 billion parameters, 16 GB.
    one = shaped("llama-3.1-8b")
    alone = memory.weight_bytes_per_gpu(
        architecture=one.architecture, layout=one.layout, form=one.format
    )
    assert float(alone[0]) / GIGA == pytest.approx(16, rel=0.01)


def test_8b_on_h100_needs_more_than_seven():
    # [3] counts decode alone, 48 sequences at 18 ms: 7 accelerators, as above. A prompt of 7,744
    # tokens is 2 x 8e9 x 7,744 = 124 TFLOP; 50 a second take 6.2 of 989 TFLOP/s accelerators at
    # full peak before the first token is decoded.
    decode_only = math.ceil(50 / (48 / (256 * 0.018) * 0.7))
    assert decode_only == 7
    prefill_flop = 50 * 7744 * 2 * 8.03 * GIGA
    assert prefill_flop / (989 * TERA) == pytest.approx(6.3, abs=0.05)
    asked = {**CHAT, "requests_per_s": 50, "input_tokens": {"mean": 7744, "cv": 0.3},
             "output_tokens": {"mean": 256, "cv": 0.75}, "slo": {"ttft_ms": 2000, "tpot_ms": 40},
             "peak_to_mean": 1.0}  # fmt: skip
    decided, _ = decide(
        scenario(
            demand=[asked], sites=[CLOUD],
            supply={"options": ["on_demand"], "accelerators": ["h100-sxm"], "tp_max": 1,
                    "quantizations": ["bf16"], "lead_time_months": {}},
        )
    )  # fmt: skip
    replicas = decided.solution.replicas_peak.sum(axis=(0, 1)).max()
    assert replicas > decode_only
