"""Prices: one default each, nothing made up, every quotation of the fact sheets."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from planner.files.catalog import load_catalog
from planner.schema.catalog import Catalog

FACTS = Path(__file__).resolve().parents[3] / "shared" / "facts"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def facts(name):
    if not (FACTS / name).is_file():
        pytest.skip(f"{FACTS / name} is not in this checkout: figures not compared with it")
    with open(FACTS / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def defaults(catalog):
    return {(p.accelerator, p.option): p for p in catalog.prices if p.recommended}


def test_one_default_for_each_accelerator_and_option(catalog):
    count = Counter((p.accelerator, p.option) for p in catalog.prices if p.recommended)
    assert set(count.values()) == {1}
    capex = {g for g, option in count if option == "capex"}
    assert capex == {
        "h100-sxm", "h200-sxm", "b200-sxm", "b300-sxm", "gb200-nvl72", "gb300-nvl72",
        "mi300x", "mi325x", "mi355x", "l40s", "rtx-pro-6000-bw-server",
    }  # fmt: skip
    assert all(p.unit == "usd_per_lot" for key, p in defaults(catalog).items() if key[1] == "capex")


def test_no_default_is_made_up_for_a_missing_term(catalog):
    for accelerator in ("gb200-nvl72", "gb300-nvl72", "mi300x", "mi325x", "mi355x"):
        assert (accelerator, "reserved_1y") not in defaults(catalog)
        assert (accelerator, "reserved_3y") in defaults(catalog)


def test_ranges_hold_their_price(catalog):
    for p in catalog.prices:
        low, high = p.usd_low or p.usd, p.usd_high or p.usd
        assert low <= p.usd <= high, p
    for key, p in defaults(catalog).items():
        if key[1] == "capex":
            assert p.usd_low, key
            assert p.usd_high, key


def test_no_sentinel_and_no_unknown_accelerator(catalog):
    assert all(p.usd != 700.0 for p in catalog.prices)
    assert {p.accelerator for p in catalog.prices} <= set(catalog.accelerators)


def test_rents_lie_in_a_plausible_band(catalog):
    for p in catalog.prices:
        if p.unit == "usd_per_gpu_h":
            assert 0.3 <= p.usd <= 20, p  # an instance price left undivided would stand out


def test_longer_terms_cost_less_except_where_the_note_says_so(catalog):
    found = defaults(catalog)
    inverted = set()
    for accelerator in catalog.accelerators:
        terms = [
            found[accelerator, option].usd
            for option in ("on_demand", "reserved_1y", "reserved_3y")
            if (accelerator, option) in found
        ]
        if terms != sorted(terms, reverse=True):
            inverted.add(accelerator)
    assert inverted == {"mi355x"}
    assert "below the newer 3-year rate" in found["mi355x", "on_demand"].note


def test_instance_hours_are_divided_by_their_accelerators(catalog):
    # p5.48xlarge in us-east-1: 55.04 / 8 = 6.88; CoreWeave GB200: 42 / 4 = 10.50;
    # GB200 superchip 9.08 / 2 = 4.54; TPU v6e-64 slice 172.8 / 64 = 2.70
    found = {(p.provider, p.accelerator, p.item, p.region): p.usd for p in catalog.prices}
    assert found["AWS", "h100-sxm", "p5.48xlarge", "us-east-1"] == 6.88
    assert found["CoreWeave", "gb200-nvl72", "on-demand instance", "North America"] == 10.5
    assert found["Spheron", "gb200-nvl72", "GB200 superchip (2 GPUs)", "any"] == 4.54
    assert found["GCP", "tpu-v6e", "TPU v6e-64 slice", "us-central1"] == 2.7


def test_central_values(catalog):
    found = {key: p.usd for key, p in defaults(catalog).items()}
    assert found["h100-sxm", "capex"] == 260_000
    assert found["gb200-nvl72", "capex"] == 3_400_000
    # 389,400 USD a server-year / 8 / 8760 h = 5.557
    assert found["b300-sxm", "reserved_1y"] == pytest.approx(389_400 / 8 / 8760, abs=0.005)
    # midpoint of 0.90 and 1.17
    assert found["l40s", "reserved_1y"] == pytest.approx((0.90 + 1.17) / 2)
    assert found["h100-sxm", "reserved_3y"] == 2.0


def test_rack_prices_include_the_network_and_servers_do_not(catalog):
    for (accelerator, option), p in defaults(catalog).items():
        if option == "capex":
            assert p.includes_network == accelerator.endswith("nvl72"), accelerator


def test_on_demand_defaults_are_no_hyperscaler_list_price(catalog):
    hyperscalers = {"AWS", "Azure", "GCP", "OCI"}
    for (accelerator, option), p in defaults(catalog).items():
        if option == "on_demand" and catalog.accelerators[accelerator].plannable:
            assert p.provider not in hyperscalers, accelerator
            assert p.note.find("Default:") >= 0, accelerator


def test_every_usable_price_of_the_fact_sheets_is_here(catalog):
    kinds = {"capex", "on_demand", "reserved_1y", "reserved_3y", "reserved_5y", "monthly",
             "capacity_block", "spot"}  # fmt: skip
    sheet = [
        row
        for name in ("prices.csv", "capex_and_commitments.csv")
        for row in facts(name)
        if row["kind"] in kinds
    ]
    quoted = [p for p in catalog.prices if p.provider != "market, central value"]
    # left out: 4 CNY, 4 data centres a GW, 3 server-years that repeat a row per hour, 2 systems
    # without a GPU count, 2 buildings, and 5 that are for no accelerator of the catalog
    assert len(quoted) == len(sheet) - (4 + 4 + 3 + 2 + 2 + 5)


# API prices


def test_api_prices_pair_input_and_output(catalog):
    assert len(catalog.api_prices) == 51
    products = Counter((p.provider, p.product) for p in catalog.api_prices)
    assert max(products.values()) == 1
    for p in catalog.api_prices:
        assert (p.cached_input_usd_per_mtoken or 0) <= p.input_usd_per_mtoken, p.product
        assert (p.batch_input_usd_per_mtoken or 0) <= p.input_usd_per_mtoken, p.product
        assert (p.batch_output_usd_per_mtoken or 0) <= p.output_usd_per_mtoken, p.product
        batch = (p.batch_input_usd_per_mtoken is None, p.batch_output_usd_per_mtoken is None)
        assert batch[0] == batch[1], p.product


def test_known_api_prices(catalog):
    found = {(p.provider, p.product): p for p in catalog.api_prices}
    v32 = found["bedrock_converse", "deepseek.v3.2"]
    assert (v32.model, v32.input_usd_per_mtoken, v32.output_usd_per_mtoken) == (
        "deepseek-v3.2", 0.62, 1.85
    )  # fmt: skip
    assert (v32.batch_input_usd_per_mtoken, v32.batch_output_usd_per_mtoken) == (0.31, 0.925)
    groq = found["groq", "groq/openai/gpt-oss-120b"]
    assert (groq.model, groq.cached_input_usd_per_mtoken) == ("gpt-oss-120b", 0.075)
    assert found["openai", "gpt-5.6-sol"].model is None
    models = Counter(p.model for p in catalog.api_prices if p.model)
    assert models["llama-3.3-70b"] == 9
    assert models["llama-3.1-405b"] == 4


def test_a_newer_version_is_not_passed_off_as_the_catalog_model(catalog):
    later = [p for p in catalog.api_prices if "V4.1" in p.product or "v4p1" in p.product]
    assert len(later) == 2
    assert all(p.model is None for p in later)
