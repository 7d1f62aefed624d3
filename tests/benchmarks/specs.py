"""Frozen sizes of synthetic problems, and the seeded data behind them.

Prices, rates and traffic are plausible in size and shape and otherwise made up; they measure the
program, not the market. A spec never changes once a measurement has been published for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planner.problem import Problem
from tests.builders import make_problem

HOURS_PER_YEAR = 8760.0
YEARS = 4.0
# name, USD a GPU bought, USD a GPU-hour on demand, relative speed, kW a GPU, GPUs a lot, a node
SKUS = (
    ("a100", 9_000, 1.8, 1.0, 0.6, 8, 8),
    ("h100", 27_000, 2.9, 2.5, 1.0, 8, 8),
    ("h200", 32_000, 3.6, 3.3, 1.0, 8, 8),
    ("b200", 45_000, 5.5, 6.3, 1.5, 8, 8),
    ("gb200", 55_000, 6.8, 8.6, 1.8, 72, 4),
    ("b300", 52_000, 6.6, 7.6, 1.7, 8, 8),
    ("gb300", 62_000, 8.2, 10.6, 2.0, 72, 4),
    ("mi300x", 21_000, 2.6, 2.7, 1.1, 8, 8),
    ("mi355x", 36_000, 4.4, 5.6, 1.7, 8, 8),
    ("l40s", 9_500, 1.2, 0.6, 0.5, 8, 8),
    ("rtx6000", 11_000, 1.7, 1.2, 0.7, 8, 8),
    ("gaudi3", 16_000, 2.1, 1.8, 1.0, 8, 8),
)


@dataclass(frozen=True)
class Spec:
    """Size of one synthetic problem."""

    periods: int
    blocks: int
    sites: int
    skus: int
    classes: int
    candidates: int
    scale: float = 10.0
    """Traffic and sites against a fleet of about two racks."""
    seed: int = 1


SPECS = {
    "small": Spec(periods=4, blocks=4, sites=2, skus=4, classes=2, candidates=12),
    "medium": Spec(periods=12, blocks=8, sites=3, skus=8, classes=3, candidates=48),
    "large": Spec(periods=16, blocks=12, sites=3, skus=12, classes=5, candidates=100),
    "lumpy": Spec(periods=12, blocks=8, sites=3, skus=8, classes=3, candidates=48, scale=1.0),
}


def synthetic(spec: Spec) -> Problem:
    """Problem of one spec: site 0 owned, site 1 colo, site 2 a cloud with two commitments."""
    rng = np.random.default_rng(spec.seed)
    skus = SKUS[: spec.skus]
    _, gpu_usd, gpu_h_usd, speed, gpu_kw, lot, node = (np.array(x) for x in zip(*skus, strict=True))
    pools = _pools(spec, rng, speed, node)
    demand = _demand(spec, rng)
    cloud = spec.sites - 1
    own = np.arange(spec.sites) < cloud
    years = YEARS / spec.periods
    discount = 1.08 ** (-years * np.arange(spec.periods))
    left = np.maximum(YEARS - years * np.arange(spec.periods), 0.0)
    price_path = 0.93 ** (years * np.arange(spec.periods))
    lot_usd = gpu_usd * lot
    site_cost = np.linspace(1.0, 1.15, spec.sites)
    keep = (0.7 + 0.06 * left) * price_path * discount
    hours_usd = gpu_h_usd * lot
    terms = np.array([max(1, round(1 / years)), max(1, round(3 / years))])
    factor = np.array([0.65, 0.45])
    horizon = np.array([[min(k, spec.periods - t) for t in range(spec.periods)] for k in terms])
    whole_term = terms[:, None] * np.ones(spec.periods)
    paid = 0.5 * (horizon + whole_term) * years * HOURS_PER_YEAR * discount * price_path
    on_demand = hours_usd[:, None, None, None] * demand["hours"] * (discount * price_path)[:, None]
    sites = np.zeros((spec.skus, spec.sites), dtype=bool)
    capex = lot_usd[:, None, None] * price_path
    return make_problem(
        c=spec.candidates,
        d=spec.classes,
        g=spec.skus,
        o=2,
        s=spec.sites,
        t=spec.periods,
        b=spec.blocks,
        a=1,
        y=4,
        **pools,
        **demand,
        lot_gpus=lot,
        node_gpus=node,
        lot_kw=gpu_kw * lot,
        lots_per_rack=np.where(lot == 72, 1.0, 4.0)[:, None],
        purchasable=sites | own,
        on_demand=sites | ~own,
        committable=(sites | ~own)[None],
        lead_periods=np.where(np.arange(spec.sites) == 1, 2 * own, 0),
        term_periods=terms,
        spare_slope=np.where(own, 0.02, 0.0),
        spare_offset=np.where(own, 1.0, 0.0),
        node_unavailability=0.001,
        on_premises=own,
        it_kw=np.where(
            own, [spec.scale * (3000.0 if s == 0 else 6000.0) for s in range(spec.sites)], np.inf
        )[:, None],
        racks=np.where(own, 120.0 * spec.scale, np.inf)[:, None],
        buy_usd=capex * (keep / price_path) * site_cost[:, None],
        commit_usd=factor[:, None, None, None] * hours_usd[:, None, None] * paid[:, None, None],
        on_demand_usd=on_demand,
        api_usd=3e-3 * 3600 * (demand["mean_rps"] * demand["hours"])[:1] * discount[:, None],
        capex_usd=capex,
        capex_max_usd=spec.scale * np.array([4e7, 4e7, 3e7, 3e7]),
        fiscal_year_of=np.minimum((years * np.arange(spec.periods)).astype(int), 3),
        accelerator_types_max=min(4, spec.skus),
    )


def _demand(spec: Spec, rng: np.random.Generator) -> dict[str, np.ndarray]:
    weekday = max(1, round(spec.blocks * 2 / 3))
    day = (np.arange(spec.blocks) >= weekday).astype(int)
    block_hours = HOURS_PER_YEAR * YEARS / spec.periods / spec.blocks
    clock = (np.arange(spec.blocks) + 0.5) / spec.blocks
    last = spec.classes - 1
    shape = np.empty((spec.classes, spec.blocks))
    for d in range(spec.classes):
        shift = rng.uniform(0.5, 0.7)
        wave = 0.3 + 0.7 * (0.5 + 0.5 * np.cos(2 * np.pi * (clock - shift))) ** 1.3
        shape[d] = wave * np.where(day == 1, 0.72, 1.0)
    batch = np.arange(spec.classes) == last
    shape[last] = shape[last].mean()
    growth = (1 + rng.uniform(0.15, 0.4, spec.classes))[:, None] ** (
        YEARS / spec.periods * np.arange(spec.periods)
    )
    base = rng.uniform(60, 300, spec.classes) * spec.scale
    mean = base[:, None, None] * growth[..., None] * shape[:, None]
    sovereign = np.where(np.arange(spec.classes) == 1, 0.5, 0.0)
    return {
        "mean_rps": mean,
        "peak_rps": 1.3 * mean,
        "hours": np.full((spec.periods, spec.blocks), block_hours),
        "day_of_block": day,
        "batch": batch,
        "on_premises_min_frac": sovereign,
    }


def _pools(
    spec: Spec, rng: np.random.Generator, speed: np.ndarray, node: np.ndarray
) -> dict[str, np.ndarray]:
    c = np.arange(spec.candidates)
    class_of, accelerator_of = c % spec.classes, (c // spec.classes) % spec.skus
    work = np.linspace(0.6, 2.5, spec.classes)[class_of]
    gpus = np.minimum(2 ** rng.integers(0, 4, spec.candidates), node[accelerator_of])
    rate = 0.5 * speed[accelerator_of] * gpus**0.95 / work * rng.uniform(0.8, 1.2, spec.candidates)
    shape = (spec.candidates, spec.sites, spec.periods, spec.blocks)
    energy = np.broadcast_to(
        rng.uniform(500, 4000, (spec.candidates, 1, 1, 1))
        / speed[accelerator_of][:, None, None, None],
        shape,
    ).copy()
    energy[:, -1] = 0.0
    return {
        "class_of": class_of,
        "accelerator_of": accelerator_of,
        "replica_gpus": gpus.astype(float),
        "rate_rps": rate,
        "offset_rps": rate * rng.uniform(0.1, 0.4, spec.candidates),
        "energy_usd": energy,
    }
