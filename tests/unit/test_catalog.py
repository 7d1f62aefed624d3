"""Every catalog row, and figures checked by hand or against the fact sheets they came from."""

import csv
from datetime import date
from pathlib import Path

import pytest

from planner.files.catalog import load_catalog
from planner.schema.base import Basis
from planner.schema.catalog import Catalog

FACTS = Path(__file__).resolve().parents[3] / "shared" / "facts"
TODAY = date(2026, 11, 21)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def rows(catalog):
    for table in type(catalog).model_fields:
        found = getattr(catalog, table)
        pairs = found.items() if isinstance(found, dict) else enumerate(found)
        for name, row in pairs:
            yield f"{table}.{name}", row


def facts(name):
    if not (FACTS / name).is_file():
        pytest.skip(f"{FACTS / name} is not in this checkout: figures not compared with it")
    with open(FACTS / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Every row


def test_every_row_has_source_date_and_basis(catalog):
    for where, row in rows(catalog):
        assert len(row.source.strip()) >= 3, where
        assert date(2020, 1, 1) <= row.as_of <= TODAY, where
        assert row.basis in Basis, where


def test_estimates_and_derivations_are_explained(catalog):
    silent = [
        where
        for where, row in rows(catalog)
        if row.basis is Basis.estimated and not row.note and not getattr(row, "item", "")
    ]
    assert not silent


def test_there_are_42_accelerators_and_54_models(catalog):
    assert len(catalog.accelerators) == 42
    assert len(catalog.models) == 56


# Accelerators

TIERS_2026 = {  # the hardware tiers of the sizing guides, and whether plans may use them
    "b200-sxm": True, "b300-sxm": True, "gb200-nvl72": True, "h100-sxm": True, "h200-sxm": True,
    "a100-80-sxm": True, "l40s": True, "rtx-6000-ada": True, "mi355x": True, "tpu-v6e": False,
    "tpu-v7": False, "trainium2": False, "trainium3": False, "groq-lpu-v1": False,
    "cerebras-wse3": False, "tt-wormhole-n300": False, "tt-blackhole-p150": False,
    "rtx-5090": False, "rtx-4090": False,
}  # fmt: skip


def test_all_tiers_of_2026_are_present_and_labelled(catalog):
    found = {name: catalog.accelerators[name].plannable for name in TIERS_2026}
    assert found == TIERS_2026


def test_excluded_accelerators_say_why_in_their_own_words(catalog):
    excluded = [a for a in catalog.accelerators.values() if not a.plannable]
    assert all(len(a.excluded_because) > 20 for a in excluded)
    assert "licence" in catalog.accelerators["rtx-4090"].excluded_because
    assert "announced" in catalog.accelerators["mi455x"].excluded_because


def test_plannable_accelerators_are_data_centre_gpus_with_known_figures(catalog):
    for name, a in catalog.accelerators.items():
        if a.plannable:
            assert a.vendor in {"NVIDIA", "AMD"}, name
            known = (a.memory_tb_per_s, a.bf16_tflop_per_s, a.tdp_w, a.node_kw)
            assert all(known), name


def test_peaks_are_dense(catalog):
    # The data sheet's 1,979 bf16 TFLOP/s of H100 SXM is sparse: 1,979 / 2 = 989.5, stated 989.
    h100 = catalog.accelerators["h100-sxm"]
    assert h100.bf16_tflop_per_s == 989
    assert h100.fp8_tflop_per_s == 1979
    assert catalog.accelerators["b200-sxm"].bf16_tflop_per_s == 2250
    for name, a in catalog.accelerators.items():
        # Wafer and SRAM parts aside, dense bf16 lies within 10,000 TFLOP/s and fp8 at 1-2.2x.
        if a.plannable and a.fp8_tflop_per_s:
            assert 1.9 <= a.fp8_tflop_per_s / a.bf16_tflop_per_s <= 2.1, name


def test_nvl72_is_bought_by_the_rack_and_fails_by_the_tray(catalog):
    gb200, gb300 = (catalog.accelerators[n] for n in ("gb200-nvl72", "gb300-nvl72"))
    for a in (gb200, gb300):
        assert (a.lot_gpus, a.lot_name, a.gpus_per_node) == (72, "rack", 4)
        assert (a.nodes_per_rack_max, a.cooling, a.scaleup_domain_gpus) == (18, "liquid", 72)
    # 120 kW / 18 trays = 6.667 kW; 142 / 18 = 7.889
    assert gb200.node_kw == pytest.approx(6.667, abs=5e-4)
    assert gb300.node_kw == pytest.approx(7.889, abs=5e-4)


def test_lots_are_whole_nodes(catalog):
    for name, a in catalog.accelerators.items():
        assert a.lot_gpus % a.gpus_per_node == 0, name
        assert a.lot_gpus == (72 if a.lot_name == "rack" else a.gpus_per_node), name


def test_derived_node_power_is_gpus_times_tdp_times_1_6(catalog):
    derived = [a for a in catalog.accelerators.values() if a.node_kw_basis == "derived"]
    assert len(derived) > 10
    for a in derived:
        assert a.node_kw == pytest.approx(a.gpus_per_node * a.tdp_w / 1000 * 1.6, abs=1e-3)
    # 8 x 2.09 kW all-in = 16.72 kW is quoted for MI355X, where 8 x 1.4 x 1.6 would give 17.92
    assert catalog.accelerators["mi355x"].node_kw == 16.72
    assert catalog.accelerators["h100-sxm"].node_kw == 10.2


def test_only_amd_boards_are_a_mesh(catalog):
    mesh = {name for name, a in catalog.accelerators.items() if a.scaleup_mesh}
    assert mesh == {"mi250x", "mi300x", "mi325x", "mi350x", "mi355x"}


def test_memory_the_driver_shows_is_near_the_stated_memory(catalog):
    for name, a in catalog.accelerators.items():
        if a.memory_usable_gib:
            # between decimal reading less 4 % reserve and binary reading
            low, high = a.memory_gb * 1e9 / 2**30 * 0.96, a.memory_gb
            assert low <= a.memory_usable_gib <= high, name
    # 143,771 MiB / 1024 = 140.40 GiB
    assert catalog.accelerators["h200-sxm"].memory_usable_gib == pytest.approx(140.40, abs=0.01)


def test_lead_times_are_midpoints_of_their_sources(catalog):
    # H100: (36 + 52) / 2 = 44 weeks = 44 x 7 / 30.4 = 10.1 months; GB200: (6 + 12) / 2 = 9
    assert catalog.accelerators["h100-sxm"].lead_time_months == 10
    assert catalog.accelerators["gb200-nvl72"].lead_time_months == 9
    assert catalog.accelerators["mi300x"].lead_time_months is None


def test_accelerators_agree_with_the_fact_sheet(catalog):
    columns = {
        "memory_gb": "memory_gb", "memory_bandwidth_tb_s": "memory_tb_per_s",
        "bf16_dense_tflops": "bf16_tflop_per_s", "fp8_dense_tflops": "fp8_tflop_per_s",
        "int8_dense_tops": "int8_tflop_per_s", "tdp_w": "tdp_w",
        "scaleup_domain_size": "scaleup_domain_gpus", "host_gb_s_per_dir": "host_gb_per_s",
    }  # fmt: skip
    sheet = facts("accelerators.csv")
    assert {row["id"] for row in sheet} == set(catalog.accelerators)
    for row in sheet:
        for theirs, ours in columns.items():
            got = getattr(catalog.accelerators[row["id"]], ours)
            want = float(row[theirs]) if row[theirs] else None
            assert got == (want or (1 if ours == "scaleup_domain_gpus" else None)), row["id"]


# Models

KV_EXCEPTIONS = {
    # 61 and 78 layers of latent 512 + 64, plus 128 of the sparse-attention indexer
    "deepseek-v3.2": 61 * (512 + 64 + 128),
    "glm-5": 78 * (512 + 64 + 128),
    # five global layers with two heads of 512 whose keys and values are one tensor
    "gemma-4-26b-a4b": 5 * 2 * 512,
    # compressed layers: 512 + 128 (indexer) for 4 tokens, or 512 for 128 tokens, K = V
    "deepseek-v4-flash": 21 * 640 // 4 + 20 * 512 // 128,
    "deepseek-v4-pro": 30 * 640 // 4 + 31 * 512 // 128,
}


def test_kv_elements_follow_from_the_architecture(catalog):
    for name, m in catalog.models.items():
        if name in KV_EXCEPTIONS:
            expected = KV_EXCEPTIONS[name]
        elif m.attention == "MLA":
            expected = m.layers * (m.kv_lora_rank + m.qk_rope_dim)
        else:
            expected = 2 * m.full_layers * m.kv_heads * m.head_dim
        assert m.kv_elems_per_token_full == expected, name


def test_windowed_kv_elements_follow_from_the_architecture(catalog):
    for name, m in catalog.models.items():
        if name.startswith("deepseek-v4"):  # every layer keeps a window of the shared head
            assert m.kv_elems_per_token_window == m.layers * 512, name
        else:
            expected = 2 * m.window_layers * m.kv_heads * m.head_dim
            assert m.kv_elems_per_token_window == expected, name
        assert (m.kv_elems_per_token_window > 0) <= (m.sliding_window > 0), name


def test_known_kv_bytes(catalog):
    # Llama 3.1 8B in bf16: 2 x 32 x 8 x 128 x 2 B = 131,072 B; 405B has 126 layers: 516,096 B.
    assert catalog.models["llama-3.1-8b"].kv_elems_per_token_full * 2 == 131_072
    assert catalog.models["llama-3.1-405b"].kv_elems_per_token_full * 2 == 516_096


def test_parameters_are_consistent(catalog):
    for name, m in catalog.models.items():
        excl, active, total = (
            m.active_params_excl_embedding_b, m.active_params_b, m.total_params_b
        )  # fmt: skip
        assert excl <= active <= total, name
        assert (active < total) == (m.experts > 0), name
        if not m.tied_embeddings:  # the input embedding: vocabulary x hidden
            assert active - excl == pytest.approx(m.vocab * m.hidden / 1e9, abs=0.002), name
        assert m.full_layers + m.window_layers + m.linear_layers <= m.layers, name


def test_mixtures_of_experts_are_complete(catalog):
    for name, m in catalog.models.items():
        fields = (m.experts_per_token, m.moe_intermediate, m.moe_layers)
        assert all(fields) if m.experts else not any(fields), name
        assert m.experts_per_token <= m.experts, name
        assert (m.shared_experts > 0) == (m.shared_intermediate > 0), name


def test_expert_sizes_follow_from_total_less_active(catalog):
    # A token skips experts - experts_per_token of them, so (total - active) / skipped is the size
    # of one expert over all layers: matrices x input x moe_intermediate x moe_layers.
    shapes = {  # two matrices (squared ReLU), and for the larger two a latent input
        "nemotron-3-nano-30b-a3b": (2, 2688),
        "nemotron-3-super-120b-a12b": (2, 1024),
        "nemotron-3-ultra-550b-a55b": (2, 2048),
    }
    for name, m in catalog.models.items():
        if m.experts:
            matrices, width = shapes.get(name, (3, m.hidden))
            one_b = matrices * width * m.moe_intermediate * m.moe_layers / 1e9
            skipped = m.experts - m.experts_per_token
            got = (m.total_params_b - m.active_params_b) / skipped
            assert got == pytest.approx(one_b, rel=0.002), name


def test_native_formats(catalog):
    native = {n: m.native_quantization for n, m in catalog.models.items() if m.native_quantization}
    assert native["gpt-oss-120b"] == "mxfp4"
    assert native["kimi-k2.5"] == "int4-experts"
    assert native["deepseek-r1"] == "fp8"
    assert "llama-3.3-70b" not in native
    for scheme in ("mxfp4", "int4-experts"):
        assert catalog.quantizations[scheme].parts == "experts"


def test_models_agree_with_the_fact_sheet(catalog):
    sheet = facts("models.csv")
    # Llama 2 is not in the sheet: it is here for benchmarks that still use it.
    older = {"llama-2-7b", "llama-2-70b"}
    assert {row["id"] for row in sheet} | older == set(catalog.models)
    for row in sheet:
        m = catalog.models[row["id"]]
        assert m.total_params_b == float(row["computed_total_b"]), row["id"]
        assert (m.layers, m.hidden) == (int(row["layers"]), int(row["hidden_size"])), row["id"]
        assert m.max_context == int(row["max_context"]), row["id"]
        assert m.experts == int(row["num_experts"] or 0), row["id"]


# Engines and formats


def test_three_engines_plan_and_three_are_described(catalog):
    plannable = {n: e.calibration for n, e in catalog.engines.items() if e.plannable}
    assert plannable == {"vllm": "vllm", "tensorrt-llm": "trt", "sglang": "sgl"}
    assert {"lmdeploy", "ollama", "triton"} == set(catalog.engines) - set(plannable)
    assert catalog.engines["tensorrt-llm"].vendors == ("NVIDIA",)


def test_bits_count_their_scales(catalog):
    bits = {n: q.bits_per_element for n, q in catalog.quantizations.items()}
    assert bits["int4-gptq"] == pytest.approx(4 + 16 / 128)  # 4.125
    assert bits["int4-awq"] == pytest.approx(4 + 20 / 128, abs=1e-3)  # 4.15625
    assert bits["int4-experts"] == pytest.approx(4 + 16 / 32)  # 4.5
    assert bits["nvfp4"] == pytest.approx(4 + 8 / 16)  # 4.5
    assert bits["mxfp4"] == pytest.approx(4 + 8 / 32)  # 4.25
    assert bits["kv-int8"] == pytest.approx(8 + 32 / 128)  # 8.25


def test_recovery_starts_at_zero_and_never_falls_with_size(catalog):
    for name, q in catalog.quantizations.items():
        sizes = [point.params_b_min for point in q.recovery]
        values = [point.recovery_frac for point in q.recovery]
        assert sizes[0] == 0, name
        assert sizes == sorted(sizes), name
        assert values == sorted(values), name


def test_hardware_support_of_formats(catalog):
    q = catalog.quantizations
    assert "ampere" in q["fp8"].weight_only_generations  # no fp8 arithmetic before Ada
    assert "ampere" not in q["fp8"].native_generations
    blackwells = {"blackwell", "blackwell-ultra", "blackwell-rtx"}
    assert set(q["nvfp4"].native_generations) == blackwells
    assert "cdna4" in q["mxfp4"].native_generations
    for scheme in ("int4-awq", "int4-gptq", "int4-experts"):
        assert "cdna3" not in q[scheme].weight_only_generations
        assert not q[scheme].native_generations
    for name, scheme in q.items():
        both = set(scheme.native_generations) & set(scheme.weight_only_generations)
        assert not both, name


def test_native_formats_have_a_peak_on_every_plannable_accelerator(catalog):
    for name, scheme in catalog.quantizations.items():
        for accelerator, a in catalog.accelerators.items():
            if a.plannable and a.generation in scheme.native_generations:
                assert getattr(a, f"{scheme.compute}_tflop_per_s"), (name, accelerator)


def test_every_engine_format_has_a_generation_of_its_vendors(catalog):
    for name, engine in catalog.engines.items():
        mine = {a.generation for a in catalog.accelerators.values() if a.vendor in engine.vendors}
        for scheme in engine.quantizations:
            q = catalog.quantizations[scheme]
            assert mine & {*q.native_generations, *q.weight_only_generations}, (name, scheme)


# Facilities and assumptions


def test_facilities(catalog):
    f = catalog.facilities
    assert f["us-average"].pue == 1.3
    assert f["us-average-liquid"].pue == 1.15
    assert f["us-average-old"].pue == 1.54
    assert f["us-average"].rent_usd_per_kw_month == 195
    assert f["own-us"].rent_usd_per_kw_month == 150
    # 0.17 EUR/kWh x 1.10 USD/EUR = 0.187, an assumed rate: estimated
    assert f["germany"].electricity_usd_per_kwh == pytest.approx(0.187)
    assert f["germany"].electricity_usd_per_kwh == pytest.approx(
        0.17 * catalog.assumptions["usd-per-eur"].value
    )
    assert f["germany"].basis is Basis.estimated
    assert f["us-virginia"].carbon_kg_per_kwh == 0.245
    # (30 + 41 + 79) / 3 = 50 g
    assert f["nordics"].carbon_kg_per_kwh == 0.050


def test_assumptions_recomputed(catalog):
    a = catalog.assumptions
    # 419 / 16,384 / 54 x 365 = 0.1729; faulty GPU and HBM 220 / 16,384 / 54 x 365 = 0.0908
    soft = (419 - 220) / 16_384 / 54 * 365
    assert a["failure-soft-per-gpu-year"].value == pytest.approx(soft, abs=5e-4)
    assert a["failure-hard-per-gpu-year"].value == 0.04
    assert (a["repair-hard-days"].value, a["repair-soft-h"].value) == (4, 2.2)
    # index of dispersion 56 at 300 s and 5.53 requests/s: sqrt(56 / 1659) = 0.1837
    assert a["five-minute-cv"].value == pytest.approx((56 / (5.53 * 300)) ** 0.5, abs=0.005)
    # (288,000 + 675,840) / 512 = 1,882.5
    assert a["network-usd-per-gpu-1-tier"].value == pytest.approx(963_840 / 512, abs=1)
    assert a["price-stale-days"].value == 180
    for name, row in a.items():
        low = row.value if row.low is None else row.low
        high = row.value if row.high is None else row.high
        assert low <= row.value <= high, name


def test_residual_points_fall_with_age(catalog):
    points = [catalog.assumptions[f"residual-year-{y}-frac"].value for y in range(1, 6)]
    assert points == sorted(points, reverse=True)
    assert points == [0.62, 0.42, 0.30, 0.17, 0.12]
