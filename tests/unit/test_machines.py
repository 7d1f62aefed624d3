"""Machines as the optimizer sees them, by hand."""

import numpy as np
import pytest

from planner.candidates.assemble import packed_gpus
from planner.candidates.machines import machines_of
from planner.reliability import spares
from tests.small_world import CHAT, CLOUD, HQ, axes_of, known, scenario, with_rows

RARE = {
    "failure_hard_per_gpu_year": {"value": 0.04}, "failure_soft_per_gpu_year": {"value": 0.1},
    "repair_hard_days": {"value": 4.0}, "repair_soft_h": {"value": 2.0},
    "cloud_replacement_h": {"value": 0.5},
}  # fmt: skip


def machines(rows=None, **sections):
    question = known(scenario(**sections), rows)
    axes = axes_of(question)
    return machines_of(question, axes), axes


@pytest.mark.parametrize(
    ("gpus", "lot", "taken"),
    [
        (8, 8, 8), (4, 8, 4), (1, 8, 1),
        (16, 8, 16),  # two nodes
        (12, 8, 16),  # the rest of the second node serves nobody
        (16, 72, 18),  # four replicas leave 8 of a rack idle
        (64, 72, 72), (72, 72, 72), (32, 72, 36), (144, 72, 144),
    ],
)  # fmt: skip
def test_accelerators_that_a_replica_takes(gpus, lot, taken):
    assert packed_gpus(gpus, lot) == taken


def test_replicas_that_fill_lots_never_exceed_them():
    for lot in (4, 8, 72):
        for gpus in range(1, lot + 1):
            assert packed_gpus(gpus, lot) * (lot // gpus) == pytest.approx(lot)


def test_time_out_of_service():
    found, axes = machines(with_rows("assumptions", **RARE))
    at = {site: float(found.node_unavailability[0, s]) for s, site in enumerate(axes.sites)}
    # Own: 8 cards x (0.04 x 96 h + 0.1 x 2 h) / 8760 h; rented ones are replaced in half an hour.
    assert at["hq"] == pytest.approx(8 * (0.04 * 96 + 0.1 * 2) / 8760)
    assert at["cloud"] == pytest.approx(8 * (0.04 * 0.5 + 0.1 * 0.5) / 8760)


def test_spare_line_covers_the_whole_fleet():
    found, axes = machines(with_rows("assumptions", **RARE))
    for s, _ in enumerate(axes.sites):
        line = found.spare_slope[0, s] * np.arange(1, 5) + found.spare_offset[0, s]
        need = spares(np.arange(1, 5), float(found.node_unavailability[0, s]), 0.999)
        assert np.all(line >= need - 1e-9)


def test_what_can_be_had_where():
    found, axes = machines()
    assert (axes.accelerators, axes.sites, axes.options) == (
        ("l40s",), ("hq", "cloud"), ("reserved_1y",)
    )  # fmt: skip
    assert found.purchasable.tolist() == [[True, False]]
    assert found.on_demand.tolist() == [[False, True]]
    assert found.committable.tolist() == [[[False, True]]]
    assert found.term_periods.tolist() == [4]  # a year of quarters


def test_terms_in_months():
    options = ["owned", "on_demand", "reserved_1y", "reserved_3y"]
    found, axes = machines(
        horizon={"start": "2027-01", "months": 12, "period": "month"}, supply={"options": options}
    )
    assert axes.options == ("reserved_1y", "reserved_3y")
    assert found.term_periods.tolist() == [12, 36]


def test_lead_time_in_periods():
    for months, periods in ((3, 1), (10, 4), (0, 0)):
        found, _ = machines(supply={"lead_time_months": {"l40s": months}})
        assert found.lead_periods[0, 0] == periods


def test_lots_of_a_rack_position():
    # A node takes 4.48 kW; heights allow 4.
    rows = with_rows("accelerators", l40s={"node_kw": 4.48, "nodes_per_rack_max": 4})
    for rack_kw, lots in ((40, 4), (9, 2), (4.48, 1), (4.4, 0)):
        found, _ = machines(rows, sites=[{**HQ, "rack_kw": rack_kw}, CLOUD])
        assert found.lots_per_rack[0, 0] == lots
        assert found.purchasable[0, 0] == (lots > 0)
        assert found.lot_kw[0] == 4.48


def test_liquid_cooled_machines_need_liquid():
    rows = with_rows("accelerators", l40s={"cooling": "liquid"})
    for cooling, stands in (("air", False), ("liquid", True)):
        found, _ = machines(rows, sites=[{**HQ, "cooling": cooling}, CLOUD])
        assert found.purchasable[0, 0] == stands


INF = np.inf


@pytest.mark.parametrize(
    ("stock", "most", "rented"),
    [
        ([], [INF] * 4, [INF] * 4),
        ([{"lots_max": 5}], [5] * 4, [INF] * 4),
        ([{"lots_max": 5, "option": "on_demand"}], [INF] * 4, [5] * 4),
        # July begins the third quarter; August lies within it and binds it too.
        ([{"lots_max": 5, "from_month": "2027-07"}], [INF, INF, 5, 5], [INF] * 4),
        ([{"lots_max": 5, "from_month": "2027-08"}], [INF, INF, 5, 5], [INF] * 4),
        ([{"lots_max": 5, "from_month": "2026-01"}], [5] * 4, [INF] * 4),
        ([{"lots_max": 5, "from_month": "2029-01"}], [INF] * 4, [INF] * 4),
        # Each limit holds from its month on: the least counts.
        ([{"lots_max": 5}, {"lots_max": 2, "from_month": "2027-10"}], [5, 5, 5, 2], [INF] * 4),
        ([{"lots_max": 9}, {"lots_max": 4, "option": "on_demand"}], [9] * 4, [4] * 4),
    ],
)
def test_stock_by_month_and_option(stock, most, rented):
    at = {"accelerator": "l40s", "site": "cloud"}
    found, _ = machines(supply={"stock": [{**at, **limit} for limit in stock]})
    assert found.lots_max[0, 1].tolist() == most
    assert found.on_demand_max[0, 1].tolist() == rented
    assert np.all(np.isinf(found.lots_max[0, 0]))


def test_stock_of_an_accelerator_that_cannot_be_had_is_no_matter():
    # An A10 has no price, so that it never enters.
    question = scenario(
        demand=[CHAT],
        supply={"accelerators": ["l40s", "a10"], "lead_time_months": {},
                "stock": [{"accelerator": "a10", "site": "cloud", "lots_max": 1}]},
    )  # fmt: skip
    found = machines_of(known(question), axes_of(known(question)))
    assert np.all(np.isinf(found.lots_max))
