"""Everything that can be had, priced and with its origin."""

import pytest

from planner.candidates.offers import lead_months, lot_kw, offers
from planner.finance.lines import assemble
from planner.finance.offers import slug
from tests.small_world import CHAT, CLOUD, HQ, catalog, scenario, with_rows

COLO = {**HQ, "name": "leased", "kind": "colo"}
API = {"options": ["owned", "on_demand", "api"]}
LLAMA70 = {**CHAT, "models": ["llama-3.3-70b"]}


def offered(rows=None, **sections):
    return offers(scenario(**sections), rows or catalog())


def test_options_belong_to_kinds_of_sites():
    found = offered(
        sites=[HQ, COLO, CLOUD],
        supply={"options": ["owned", "colo", "on_demand", "reserved_1y", "reserved_3y"]},
    )
    assert set(found.owned) == {("l40s", "hq"), ("l40s", "leased")}
    assert set(found.on_demand) == {("l40s", "cloud")}
    assert set(found.commitments) == {
        ("reserved_1y", "l40s", "cloud"),
        ("reserved_3y", "l40s", "cloud"),
    }
    assert found.commitments["reserved_3y", "l40s", "cloud"].term_months.value == 36
    assert found.accelerators() == {"l40s"}


def test_colo_is_not_offered_in_an_own_room():
    found = offered(sites=[HQ, COLO, CLOUD], supply={"options": ["colo", "on_demand"]})
    assert set(found.owned) == {("l40s", "leased")}


def test_what_has_no_price_is_not_offered_and_said():
    found = offered(supply={"accelerators": ["l40s", "a100-80-pcie"]})
    assert set(found.owned) == {("l40s", "hq")}
    assert "no owned price, so not offered: a100-80-pcie" in found.notes
    assert "no reserved_1y price, so not offered: a100-80-pcie" in found.notes
    assert len(offered().notes) == 0


def test_excluded_accelerators_are_not_offered():
    found = offered(supply={"accelerators": ["l40s", "tpu-v6e"]})
    assert found.accelerators() == {"l40s"}


@pytest.mark.parametrize(
    ("period", "asked", "months"),
    [("quarter", 10, 12), ("month", 10, 10), ("quarter", 12, 12), ("quarter", 1, 3),
     ("quarter", 0, 0)],
)  # fmt: skip
def test_lead_times_are_whole_periods(period, asked, months):
    question = scenario(horizon={"start": "2027-01", "months": 12, "period": period},
                        supply={"lead_time_months": {"l40s": asked}})  # fmt: skip
    found = lead_months(question, catalog().accelerators["l40s"], "l40s")
    assert (found.value, found.basis) == (months, "scenario")
    assert found.scenario_path == "supply.lead_time_months.l40s"


def test_lead_time_of_the_catalog():
    row = catalog().accelerators["h100-sxm"].model_copy(update={"lead_time_months": 10})
    found = lead_months(scenario(), row, "h100-sxm")
    assert (found.value, found.basis, found.as_of) == (12, "quoted", row.as_of.isoformat())
    unknown = lead_months(scenario(), row.model_copy(update={"lead_time_months": None}), "h100-sxm")
    assert (unknown.value, unknown.basis) == (0, "estimated")


def test_power_of_a_rack_is_that_of_its_trays():
    row = catalog().accelerators["gb200-nvl72"].model_copy(
        update={"node_kw": 6.5, "node_kw_basis": "derived"}
    )  # fmt: skip
    found = lot_kw(row)
    assert (found.value, found.basis) == (117.0, "derived")  # 18 trays


def test_price_paths_by_generation():
    paths = {"capex_per_year": {"hopper": -0.2, "other": -0.1}, "rental_per_year": -0.05}
    found = offered(
        finance={"price_paths": paths},
        supply={"accelerators": ["l40s", "h100-sxm"], "lead_time_months": {}},
    )
    assert found.owned["h100-sxm", "hq"].path == "hopper"
    assert found.owned["l40s", "hq"].path == "other"
    assert found.on_demand["h100-sxm", "cloud"].path == "all"
    rates = {name: rate.value for name, rate in found.common.capex_per_year.items()}
    assert rates == {"hopper": -0.2, "other": -0.1}
    assert found.common.capex_per_year["hopper"].scenario_path == (
        "finance.price_paths.capex_per_year.hopper"
    )
    assert {n: r.value for n, r in found.common.rental_per_year.items()} == {"all": -0.05}


def test_price_path_of_the_rest_is_flat_where_unsaid():
    found = offered(finance={"price_paths": {"rental_per_year": {"hopper": -0.2}}})
    assert found.on_demand["l40s", "cloud"].path == "other"
    assert found.common.rental_per_year["other"].value == 0.0


def test_residency_and_refusal_exclude_apis():
    assert offered(demand=[LLAMA70], supply=API).apis
    assert not offered(demand=[{**LLAMA70, "residency": ["us"]}], supply=API).apis
    assert not offered(demand=[{**LLAMA70, "api_allowed": False}], supply=API).apis
    assert not offered(demand=[LLAMA70]).apis  # not among the options


def test_apis_are_for_one_class_each():
    found = offered(demand=[CHAT, {**LLAMA70, "name": "large"}], supply=API)
    assert {api.demand_class for api in found.apis} == {1}
    assert all(api.offer.name.startswith("large-") for api in found.apis)


def test_network_within_the_price_of_a_rack():
    rows = with_rows("accelerators")
    for name in ("gb200-nvl72", "l40s"):
        found = offered(rows, supply={"accelerators": [name], "lead_time_months": {}})
        assert found.owned[name, "hq"].price_includes_network == (name == "gb200-nvl72")


def test_all_rows_stand_in_one_ledger():
    rows = offered(
        demand=[LLAMA70], sites=[HQ, {**COLO, "pue": 1.7}, CLOUD],
        supply={"options": ["owned", "colo", "on_demand", "reserved_1y", "reserved_3y", "api"],
                "accelerators": "all", "lead_time_months": {}},
    ).rows()  # fmt: skip
    lines, inputs = assemble(rows)
    assert len({line.key for line in lines}) == len(lines)
    assert len({given.name for given in inputs}) == len(inputs)


def test_two_own_quotations_for_one_model_stand_in_one_ledger():
    own = {"model": "llama-3.3-70b", "option": "api", "as_of": "2026-10-01"}
    prices = [{**own, "usd": 0.01, "output_usd": 2.0, "source": "letter A"},
              {**own, "usd": 0.05, "output_usd": 0.1, "source": "letter B"}]  # fmt: skip
    found = offered(demand=[LLAMA70], supply={**API, "prices": prices})
    mine = [api for api in found.apis if api.provider.startswith("own quotation")]
    assert len(mine) == 2
    assemble(found.rows())


def test_products_of_one_model_have_rows_of_their_own():
    names = [slug(f"{r.provider}-{r.product}") for r in catalog().api_prices if r.model]
    assert len(set(names)) == len(names)


def test_titles_are_unique_since_groups_of_cash_are_named_by_them():
    titles = [row.title for row in catalog().accelerators.values()]
    assert len(set(titles)) == len(titles)


def test_every_input_says_where_it_comes_from():
    _, inputs = assemble(offered(demand=[LLAMA70], supply=API).rows())
    assert all(given.source for given in inputs)
    undated = [g for g in inputs if not g.as_of and g.basis not in ("scenario", "estimated")]
    assert not undated
