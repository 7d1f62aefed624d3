"""Names that the catalog does not know, prices that it does not have."""

import pytest

from planner.files.scenario import check_names, notes, parse_scenario
from planner.files.template import template
from planner.schema.catalog import Catalog

ORIGIN = {"source": "test bench", "as_of": "2026-11-01", "basis": "estimated"}


def accelerator(**more):
    return {
        **ORIGIN, "vendor": "v", "title": "t", "architecture": "a", "generation": "hopper",
        "form_factor": "SXM5", "memory_gb": 80, "plannable": True, **more,
    }  # fmt: skip


def model(**more):
    return {
        **ORIGIN, "family": "f", "hf_repo": "r", "total_params_b": 70, "active_params_b": 70,
        "active_params_excl_embedding_b": 69, "layers": 80, "hidden": 8192, "heads": 64,
        "kv_heads": 8, "head_dim": 128, "vocab": 128256, "attention": "GQA",
        "attention_as_stated": "GQA", "full_layers": 80, "kv_elems_per_token_full": 163840,
        "max_context": 131072, "checkpoint": "bf16", "licence": "test", **more,
    }  # fmt: skip


def engine(**more):
    return {
        **ORIGIN, "title": "t", "plannable": True, "vendors": ["v"], "quantizations": ["fp8"],
        "kv_dtypes": ["bf16"], "modes": ["chunked"], "features": {}, "version": "1", **more,
    }  # fmt: skip


def quantization(applies_to):
    return {
        **ORIGIN, "title": "t", "applies_to": applies_to, "bits_per_element": 8, "compute": "fp8",
        "native_generations": ["hopper"], "recovery": [],
    }  # fmt: skip


def price(option, name, **more):
    return {
        **ORIGIN, "option": option, "accelerator": name, "provider": "p", "usd": 2.0,
        "unit": "usd_per_gpu_h", "confidence": "low", **more,
    }  # fmt: skip


def api_price(name):
    return {
        **ORIGIN, "provider": "acme", "product": "m", "model": name, "input_usd_per_mtoken": 1,
        "output_usd_per_mtoken": 2, "confidence": "low",
    }  # fmt: skip


def catalog(**more):
    every = [price(o, "h100-sxm") for o in ("capex", "on_demand", "reserved_1y", "reserved_3y")]
    return Catalog.model_validate(
        {
            "accelerators": {
                "h100-sxm": accelerator(),
                "h200-sxm": accelerator(),
                "l40s": accelerator(),
                "groq-lpu-v1": accelerator(plannable=False, excluded_because="no public rates"),
            },
            "models": {"llama-3.1-70b": model(), "llama-3.1-8b": model()},
            "engines": {
                "vllm": engine(),
                "ollama": engine(plannable=False, excluded_because="no calibration"),
            },
            "quantizations": {"fp8": quantization("weights"), "kv-fp8": quantization("kv")},
            "prices": every,
            "api_prices": [api_price("llama-3.1-70b")],
            "facilities": {
                "own-room": {
                    **ORIGIN, "title": "t", "pue": 1.4, "electricity_usd_per_kwh": 0.1,
                    "rent_usd_per_kw_month": 100, "carbon_kg_per_kwh": 0.3,
                }
            },
            "assumptions": {},
            "calibration": {},
            **more,
        }
    )  # fmt: skip


def scenario(*changes):
    """The template with pieces of its text replaced."""
    text = template("my_fleet")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return parse_scenario(text.encode(), "s")


def test_template_is_sound():
    assert check_names(scenario(), catalog()) == []


SUPPLY = "  tp_max: 8"
MISTAKES = [
    (("[llama-3.1-70b]", "[llama-3.1-70]"), "demand[chat].models: no model 'llama-3.1-70'; did"),
    (("h200-sxm", "h200_sxm"), "no accelerator 'h200_sxm'; did you mean h200-sxm"),
    (("l40s]", "groq-lpu-v1]"), "groq-lpu-v1 cannot be planned with: no public rates"),
    (("[vllm]", "[vlm]"), "supply.engines: no engine 'vlm'; did you mean vllm?"),
    (("[vllm]", "[ollama]"), "supply.engines: ollama cannot be planned with: no calibration"),
    ((SUPPLY, "  quantizations: [fp9]"), "no weight format 'fp9'; did you mean fp8?"),
    ((SUPPLY, "  quantizations: [kv-fp8]"), "'kv-fp8' is a KV cache format; name it in kv_dtypes"),
    ((SUPPLY, "  lead_time_months: {h10: 2}"), "supply.lead_time_months.h10: no accelerator 'h10'"),
    ((SUPPLY, "  api_providers: [acne]"), "no provider 'acne'; did you mean acme?"),
    ((SUPPLY, "  stock: [{accelerator: b9, site: hq, lots_max: 1}]"), "no accelerator 'b9'; known"),
    (("    pue: 1.4", "    facility: own_room"), "no facility 'own_room'; did you mean own-room?"),
    (("    pue: 1.4", ""), "sites[hq]: give pue, or a facility that supplies them"),
    (("# table: []", "table: [1, 2]\n      #"), "growth.table: 2 entries, the horizon has 12 per"),
    (
        (SUPPLY, "  prices: [{option: api, usd: 1, source: abc, as_of: 2026-11-02}]"),
        "supply.prices[0]: the price of an API names a model and no accelerator",
    ),
    (
        (SUPPLY, "  prices: [{option: owned, usd: 1, source: abc, as_of: yesterday,"
                 " accelerator: l40s}]"),
        "supply.prices[0].as_of: expected a day such as 2026-11-02, found 'yesterday'",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), MISTAKES, ids=[says for _, says in MISTAKES])
def test_unknown_names(change, says):
    if says.startswith(("growth", "demand")):
        extra = (
            [("      rate_per_year: 0.25", "      rate_per_year: 0")] if "growth" in says else []
        )
    else:
        extra = []
    problems = check_names(scenario(change, *extra), catalog())
    assert len([p for p in problems if says in p]) == 1, problems


def test_missing_price_is_a_note_while_another_way_remains():
    few = catalog(prices=[price("on_demand", "h100-sxm")])
    assert check_names(scenario(), few) == []
    said = notes(scenario(), few)
    assert "owned: not offered for h100-sxm, h200-sxm, l40s, which have no such price" in said
    assert "on_demand: not offered for h200-sxm, l40s, which have no such price" in said


def test_own_quotation_is_a_price():
    quoted = (
        "  prices: [{option: owned, usd: 9, source: abc, as_of: 2026-11-02, accelerator: l40s}]"
    )
    assert check_names(scenario((SUPPLY, quoted)), catalog(prices=[], api_prices=[])) == []


def test_no_price_at_all_is_a_problem():
    assert check_names(scenario(), catalog(prices=[], api_prices=[])) == [
        "demand[chat]: no way of serving it has a price; see supply.options"
    ]


def test_api_alone_is_enough():
    assert check_names(scenario(), catalog(prices=[])) == []


def test_seconds_for_milliseconds_is_noted():
    said = notes(scenario(("ttft_ms: 2000", "ttft_ms: 2")), catalog())
    assert "demand[chat].slo.ttft_ms: 2 ms is under 20 ms; seconds?" in said
