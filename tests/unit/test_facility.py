"""Power, energy, carbon and racks, by hand."""

import numpy as np
import pytest

from planner.facility import carbon_kg, energy_kwh, facility_kw, it_kw_of_feed, lots_per_rack


def test_feed_and_it_power_are_inverse():
    assert facility_kw(it_kw=[100, 200], pue=1.25).tolist() == [125, 250]
    assert it_kw_of_feed(feed_kw=125, pue=1.25) == pytest.approx(100)


def test_energy_of_a_published_cluster():
    # 1,024 accelerators at 0.7 and 1.0 kW, 70 % drawn, PUE 1.2, five years, 8 cents a kWh:
    # 2.11 and 3.01 million USD (aiinframap.com, h100-vs-h200-vs-b200-tco).
    kwh = energy_kwh(it_kw=1024 * np.array([0.7, 1.0]), load_frac=0.7, pue=1.2, hours=43_800)
    assert (kwh * 0.08 / 1e6).round(2).tolist() == [2.11, 3.01]


def test_carbon():
    # 10 kW for 1,000 h at PUE 1.2 in Germany (381 g/kWh): 12,000 kWh, 4,572 kg
    kwh = energy_kwh(it_kw=10, load_frac=1, pue=1.2, hours=1000)
    assert carbon_kg(facility_kwh=kwh, carbon_kg_per_kwh=0.381) == pytest.approx(4572)


@pytest.mark.parametrize(
    ("lot_kw", "rack_kw", "lots_max", "liquid", "expected"),
    [
        (10.2, 40.0, 8, (False, False), 3),  # 3.92 nodes by power
        (10.2, 40.8, 8, (False, False), 4),  # exactly four
        (3.0, 40.0, 4, (False, False), 4),  # by height
        (14.3, 10.0, 4, (False, False), 0),  # one node is too much
        (132.0, 140.0, 1, (True, True), 1),  # a rack on a position with liquid
        (132.0, 140.0, 1, (True, False), 0),  # and without
        (132.0, 120.0, 1, (True, True), 0),  # and with too little power
        (10.2, 20.4, 8, (False, True), 2),  # air-cooled nodes may stand there too
    ],
)
def test_lots_per_rack(lot_kw, rack_kw, lots_max, liquid, expected):
    needs, has = liquid
    found = lots_per_rack(
        lot_kw=lot_kw, rack_kw=rack_kw, lots_max=lots_max, needs_liquid=needs, has_liquid=has
    )
    assert float(found) == expected


def test_lots_per_rack_broadcasts_over_machines_and_sites():
    found = lots_per_rack(
        lot_kw=np.array([[10.0], [132.0]]),
        rack_kw=np.array([40.0, 140.0]),
        lots_max=np.array([[8], [1]]),
        needs_liquid=np.array([[False], [True]]),
        has_liquid=np.array([False, True]),
    )
    assert found.tolist() == [[4, 8], [0, 1]]
