"""Case to Problem: what enters, and every limit in its place."""

import numpy as np
import pytest

from planner.candidates.assemble import build
from tests.small_world import CHAT, CLOUD, HQ, NIGHT, known, scenario, with_rows

EU = {**CLOUD, "name": "eu-cloud", "region": "eu"}


def problem(rows=None, **sections):
    return build(known(scenario(**sections), rows))[0]


def test_only_kept_candidates_on_obtainable_accelerators_enter():
    question = known(scenario(supply={"accelerators": ["l40s", "a10"], "quantizations": ["bf16"],
                                      "options": ["owned"], "lead_time_months": {}},
                              sites=[HQ]))  # fmt: skip
    able = {question.table.configurations[i].accelerator for i in question.table.kept}
    assert able == {"l40s", "a10"}
    p, axes = build(question)
    assert axes.accelerators == p.labels.accelerators == ("l40s",)  # no price of an A10
    assert all("/l40s/" in name for name in p.labels.candidates)


def test_labels_name_every_axis():
    p = problem(demand=[CHAT, NIGHT], horizon={"start": "2027-01", "months": 24})
    assert p.labels.classes == ("chat", "night")
    assert p.labels.sites == ("hq", "cloud")
    assert p.labels.commitments == ("reserved_1y",)
    assert p.labels.fiscal_years == ("FY2027", "FY2028")
    assert p.limits.fiscal_year_of.tolist() == [0] * 4 + [1] * 4
    assert len(p.labels.periods) == 8
    assert len(p.labels.blocks) == 2


def test_classes_on_their_candidates():
    p = problem(demand=[CHAT, NIGHT])
    assert p.demand.batch.tolist() == [False, True]
    for c, name in enumerate(p.labels.candidates):
        assert p.labels.classes[p.pools.class_of[c]] == name.split("/")[0]
        assert p.pools.replica_gpus[c].tolist() == [1.0]


def test_residency_keeps_a_class_in_its_region():
    p = problem(demand=[{**CHAT, "residency": ["eu"]}, NIGHT], sites=[HQ, CLOUD, EU])
    by_class = [p.pools.allowed[p.pools.class_of == d] for d in (0, 1)]
    assert {tuple(row) for row in by_class[0].tolist()} == {(False, False, True)}
    assert {tuple(row) for row in by_class[1].tolist()} == {(True, True, True)}


def test_bound_on_replicas_admits_all_traffic_on_one_pool():
    p = problem()
    peak = p.demand.peak_rps[0].max(axis=1)
    for c in range(len(p.labels.candidates)):
        carried = p.pools.rate_rps[c] * p.pools.replicas_max[c] - p.pools.offset_rps[c]
        assert np.all(carried >= peak)


def test_power_and_racks_of_a_site_that_opens_later():
    p = problem(sites=[{**HQ, "available_from": "2027-05"}, CLOUD])
    # May lies in the second quarter: whole only from July.
    assert p.sites.it_kw[0].tolist() == [0, 0, 200, 200]
    assert p.sites.racks[0].tolist() == [0, 0, 10, 10]
    assert np.all(np.isinf(p.sites.it_kw[1]))
    assert p.sites.on_premises.tolist() == [True, False]


def test_site_that_opens_with_a_quarter():
    p = problem(sites=[{**HQ, "available_from": "2027-04"}, CLOUD])
    assert p.sites.it_kw[0].tolist() == [0, 200, 200, 200]


@pytest.mark.parametrize(
    ("budget", "most"),
    [(None, [np.inf, np.inf]), (1e6, [1e6, 1e6]), (0, [0, 0]), ({2028: 5e5}, [np.inf, 5e5])],
)
def test_budget_by_fiscal_year(budget, most):
    p = problem(horizon={"start": "2027-01", "months": 24}, limits={"capex_per_year_usd": budget})
    assert p.limits.capex_max_usd.tolist() == most


def test_other_limits():
    limits = {"accelerator_types_max": 2, "availability_target": 0.99}
    p = problem(limits=limits, demand=[{**CHAT, "on_premises_min_frac": 0.4}])
    assert (p.limits.accelerator_types_max, p.limits.availability_target) == (2, 0.99)
    assert p.demand.on_premises_min_frac.tolist() == [0.4]
    assert problem().limits.accelerator_types_max == 1  # as many as there are


def test_replica_of_a_rack_takes_its_part_of_it():
    rows = with_rows("accelerators", l40s={"lot_gpus": 72, "gpus_per_node": 4, "lot_name": "rack",
                                           "node_kw": 2.0})  # fmt: skip
    p = problem(rows, supply={"tp_max": 4})
    assert p.machines.lot_gpus.tolist() == [72]
    assert p.machines.node_gpus.tolist() == [4]
    assert p.machines.lot_kw.tolist() == [36.0]
    sizes = {int(n.split("/tp")[1].split("/")[0]) for n in p.labels.candidates}
    assert sizes <= {1, 2, 4}


def test_nothing_negative_and_nothing_unknown():
    p = problem(demand=[CHAT, NIGHT])
    for part in (p.demand, p.pools, p.machines, p.sites, p.costs):
        for name in part.__dataclass_fields__:
            values = np.asarray(getattr(part, name), float)
            assert not np.isnan(values).any(), name
            assert np.all(values >= 0), name
