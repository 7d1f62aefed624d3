"""Sites: blanks filled from the facility row, every figure with its origin."""

import math

import pytest

from planner.candidates.places import places
from planner.errors import ScenarioError
from tests.small_world import CLOUD, HQ, catalog, scenario, with_rows

OWN = {"pue": 1.2, "electricity_usd_per_kwh": 0.11, "rent_usd_per_kw_month": 99.0}


def only(site, rows=None):
    return places(scenario(sites=[site, CLOUD]), rows or catalog())[0]


def without(*keys, **more):
    return {**{k: v for k, v in HQ.items() if k not in keys}, **more}


def test_blank_figures_come_from_the_facility():
    row = catalog().facilities["own-us"]
    costs = only(HQ).costs
    for name in OWN:
        figure = getattr(costs, name)
        assert figure.value == getattr(row, name)
        assert (figure.source, figure.as_of) == (row.source, row.as_of.isoformat())
        assert figure.basis == row.basis.value
        assert figure.scenario_path == f"sites[0].{name}"


def test_figures_of_the_site_come_first():
    costs = only({**HQ, "pue": 1.5}).costs
    assert (costs.pue.value, costs.pue.basis, costs.pue.source) == (1.5, "scenario", "scenario")
    assert costs.rent_usd_per_kw_month.basis != "scenario"


def test_site_that_needs_no_facility():
    costs = only(without("facility", **OWN)).costs
    assert [getattr(costs, name).value for name in OWN] == [1.2, 0.11, 99.0]


def test_feed_is_divided_by_pue():
    site = without("it_power_kw", feed_kw=260.0, pue=1.3)
    assert only(site).it_kw == pytest.approx(200.0)


def test_feed_is_divided_by_the_facilitys_pue():
    rows = with_rows("facilities", own_us={"pue": 1.6})
    assert only(without("it_power_kw", feed_kw=320.0), rows).it_kw == pytest.approx(200.0)


def test_everything_missing_is_told_at_once():
    bare = without("facility")
    question = scenario(sites=[bare, {**bare, "name": "second", "pue": 1.3}, CLOUD])
    with pytest.raises(ScenarioError) as caught:
        places(question, catalog())
    assert len(caught.value.problems) == 5
    assert caught.value.problems[0].startswith("sites[0].pue: needed at hq")
    assert all("name a facility" in problem for problem in caught.value.problems)


def test_cloud_has_no_limit_and_no_running_cost():
    cloud = places(scenario(), catalog())[1]
    assert (cloud.costs, cloud.it_kw, cloud.on_premises) == (None, math.inf, False)
    assert cloud.position == 1
