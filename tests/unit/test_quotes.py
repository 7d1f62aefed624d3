"""Which price holds."""

from datetime import date

import pytest

from planner.candidates.quotes import ApiQuote, api_quotes, machine_quote, undominated
from planner.schema.catalog import ApiPrice, Price
from planner.schema.supply import Option
from tests.small_world import CHAT, NIGHT, catalog, scenario

SOURCED = {"source": "a price list", "as_of": date(2026, 6, 1), "basis": "quoted"}
CALM = {"provider": "seller", "confidence": "high", **SOURCED}


def rows(*prices, apis=()):
    return catalog().model_copy(
        update={
            "prices": tuple(Price(**{**CALM, **p}) for p in prices),
            "api_prices": tuple(ApiPrice(**{**CALM, "product": "p", **a}) for a in apis),
        }
    )


ON_DEMAND = {"option": "on_demand", "accelerator": "l40s", "unit": "usd_per_gpu_h"}
OWN = {"accelerator": "l40s", "option": "on_demand", "usd": 9.0, "source": "our own letter",
       "as_of": "2026-10-01"}  # fmt: skip


def test_only_the_recommended_row_counts():
    listed = rows({**ON_DEMAND, "usd": 1.0}, {**ON_DEMAND, "usd": 2.0, "recommended": True})
    quote = machine_quote(scenario(), listed, "l40s", Option.on_demand)
    assert quote.usd == 2.0
    assert (quote.source, quote.as_of, quote.basis) == ("seller: a price list", "2026-06-01",
                                                        "quoted")  # fmt: skip
    assert quote.scenario_path == ""


def test_own_quotation_beats_the_catalog_even_if_dearer():
    question = scenario(supply={"prices": [{**OWN, "option": "reserved_1y"}, OWN]})
    listed = rows({**ON_DEMAND, "usd": 2.0, "recommended": True})
    quote = machine_quote(question, listed, "l40s", Option.on_demand)
    assert (quote.usd, quote.source, quote.as_of) == (9.0, "our own letter", "2026-10-01")
    assert quote.scenario_path == "supply.prices[1].usd"


def test_own_quotation_is_for_its_accelerator_and_option():
    question = scenario(supply={"prices": [OWN]})
    nothing = rows()
    assert machine_quote(question, nothing, "l40s", Option.reserved_3y) is None
    assert machine_quote(question, nothing, "h100-sxm", Option.on_demand) is None


def test_price_of_one_accelerator_is_multiplied_to_a_lot():
    capex = {"option": "capex", "accelerator": "gb200-nvl72", "recommended": True}
    listed = rows({**capex, "usd": 50_000.0, "unit": "usd_per_gpu", "includes_network": True})
    quote = machine_quote(scenario(), listed, "gb200-nvl72", Option.owned)
    assert quote.usd == 3_600_000.0  # 72 a rack
    assert quote.includes_network
    listed = rows({**capex, "usd": 50_000.0, "unit": "usd_per_lot"})
    assert machine_quote(scenario(), listed, "gb200-nvl72", Option.owned).usd == 50_000.0


def test_owned_and_colo_share_the_purchase_price():
    both = [machine_quote(scenario(), catalog(), "l40s", o) for o in (Option.owned, Option.colo)]
    assert both[0] == both[1]


def test_recommended_rows_are_one_an_accelerator_and_option():
    found = [(p.accelerator, p.option) for p in catalog().prices if p.recommended]
    assert len(set(found)) == len(found)


API = {"model": "llama-3.1-8b", "input_usd_per_mtoken": 1.0, "output_usd_per_mtoken": 3.0}


def quotes(demand, *apis, **supply):
    question = scenario(demand=[demand], supply=supply)
    return api_quotes(question, rows(apis=apis), question.demand[0])


def test_batch_work_pays_the_batch_price_where_there_is_one():
    half = {**API, "batch_input_usd_per_mtoken": 0.5, "batch_output_usd_per_mtoken": 1.5}
    for demand, expected in ((NIGHT, (0.5, 1.5)), (CHAT, (1.0, 3.0))):
        (quote,) = quotes(demand, half)
        assert (quote.input_usd, quote.output_usd) == expected
    (full,) = quotes(NIGHT, {**API, "batch_input_usd_per_mtoken": 0.5})
    assert (full.input_usd, full.output_usd) == (1.0, 3.0)  # half a batch price is none


def test_cached_input_costs_no_more_than_input():
    assert quotes(CHAT, {**API, "cached_input_usd_per_mtoken": 0.2})[0].cached_usd == 0.2
    assert quotes(CHAT, API)[0].cached_usd == 1.0
    batch = {**API, "batch_input_usd_per_mtoken": 0.1, "batch_output_usd_per_mtoken": 1.5,
             "cached_input_usd_per_mtoken": 0.2}  # fmt: skip
    assert quotes(NIGHT, batch)[0].cached_usd == 0.1


def test_only_models_and_providers_that_may_answer():
    other = {**API, "model": "llama-3.3-70b"}
    assert quotes(CHAT, other) == []
    assert quotes(CHAT, API, api_providers=["another"]) == []
    assert len(quotes(CHAT, API, api_providers=["seller"])) == 1


def test_own_api_quotation():
    own = {"model": "llama-3.1-8b", "option": "api", "usd": 0.3, "output_usd": 0.9,
           "source": "our own letter", "as_of": "2026-10-01"}  # fmt: skip
    mine, listed = quotes(CHAT, API, prices=[own])
    assert (mine.input_usd, mine.cached_usd, mine.output_usd) == (0.3, 0.3, 0.9)
    assert (mine.provider, mine.scenario_path) == ("own quotation 1", "supply.prices[0].usd")
    assert listed.provider == "seller"


def quote(name, entry, cached, exit_, model="m"):
    return ApiQuote(name, "p", model, entry, cached, exit_, "s", "2026-06-01", "quoted", "high")


@pytest.mark.parametrize(
    ("offered", "kept"),
    [
        ([("a", 1, 1, 3), ("b", 1, 1, 4)], "a"),
        ([("a", 1, 1, 3), ("b", 2, 1, 1)], "ab"),  # each is cheaper for some traffic
        ([("a", 1, 1, 3), ("b", 1.5, 0.1, 3)], "ab"),  # cheaper where prefixes repeat
        ([("b", 1, 1, 1), ("a", 1, 1, 1)], "b"),  # of equals the first
    ],
)
def test_products_that_no_plan_can_want_go(offered, kept):
    found = undominated([quote(*o) for o in offered])
    assert "".join(sorted(q.provider for q in found)) == kept


def test_models_do_not_compete_by_price():
    assert len(undominated([quote("a", 1, 1, 1), quote("b", 9, 9, 9, model="n")])) == 2
