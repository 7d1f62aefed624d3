"""Facilities: IT power to facility power, energy and carbon, and how many lots a rack holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

ROUNDING = 1e-9
"""40.8 kW hold four nodes of 10.2 kW although 40.8 / 10.2 in binary is 3.9999999999999996."""


def facility_kw(*, it_kw: ArrayLike, pue: ArrayLike) -> Array:
    """Power drawn from the feed [kW]: IT power x PUE (ISO/IEC 30134-2).

    Examples
    --------
    >>> float(facility_kw(it_kw=100, pue=1.3))
    130.0
    """
    return np.multiply(it_kw, pue, dtype=float)


def it_kw_of_feed(*, feed_kw: ArrayLike, pue: ArrayLike) -> Array:
    """IT power that a feed carries [kW].

    Examples
    --------
    >>> float(it_kw_of_feed(feed_kw=130, pue=1.3))
    100.0
    """
    return np.divide(feed_kw, pue, dtype=float)


def energy_kwh(
    *, it_kw: ArrayLike, load_frac: ArrayLike, pue: ArrayLike, hours: ArrayLike
) -> Array:
    """Energy at the meter [kWh]: nameplate IT power x share drawn x PUE x hours.

    Examples
    --------
    >>> float(energy_kwh(it_kw=10, load_frac=0.5, pue=1.2, hours=100))
    600.0
    """
    drawn_kw = facility_kw(it_kw=np.multiply(it_kw, load_frac), pue=pue)
    return np.multiply(drawn_kw, hours, dtype=float)


def carbon_kg(*, facility_kwh: ArrayLike, carbon_kg_per_kwh: ArrayLike) -> Array:
    """Operational emissions of electricity [kg CO2e], location-based.

    Examples
    --------
    >>> float(carbon_kg(facility_kwh=1000, carbon_kg_per_kwh=0.369))
    369.0
    """
    return np.multiply(facility_kwh, carbon_kg_per_kwh, dtype=float)


def lots_per_rack(
    *,
    lot_kw: ArrayLike,
    rack_kw: ArrayLike,
    lots_max: ArrayLike,
    needs_liquid: ArrayLike = False,
    has_liquid: ArrayLike = True,
) -> Array:
    r"""Lots (nodes, or whole racks) that one rack position can feed, cool and hold, whole.

    .. math:: \min(\lfloor P_{rack} / P_{lot} \rfloor,\; h)

    0 where the position's power is below one lot's, or liquid cooling is needed and missing.

    Parameters
    ----------
    lot_kw : most IT power of a lot, above 0.
    rack_kw : IT power that a position feeds and cools.
    lots_max : h, lots by height; 1 where the lot is a rack.
    needs_liquid, has_liquid : of the lot, of the site.

    Examples
    --------
    >>> float(lots_per_rack(lot_kw=10.2, rack_kw=40.8, lots_max=8))
    4.0
    >>> float(lots_per_rack(lot_kw=132, rack_kw=140, lots_max=1, needs_liquid=True,
    ...                     has_liquid=False))
    0.0
    """
    by_power = np.floor(np.divide(rack_kw, lot_kw) * (1 + ROUNDING))
    cooled = np.logical_or(np.logical_not(needs_liquid), has_liquid)
    return np.where(cooled, np.minimum(by_power, lots_max), 0.0)
