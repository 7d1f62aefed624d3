"""Random small problems that always have a plan: cloud machines by the hour know no limit."""

from __future__ import annotations

import numpy as np

from planner.problem import Problem
from tests.builders import make_problem


def random_problem(
    seed: int,
    *,
    classes: int = 2,
    candidates: int = 5,
    skus: int = 2,
    periods: int = 3,
    blocks: int = 3,
    scale: float = 1.0,
    paired: int = 0,
) -> Problem:
    """Owned site and cloud region, two commitments, spares, power, racks, one batch class.

    The last `paired` candidates use half as many of the next SKU beside their own.
    """
    rng = np.random.default_rng(seed)
    own = np.array([True, False])
    peak = rng.uniform(4, 12, (classes, periods, blocks)) * scale
    batch = np.arange(classes) == classes - 1
    mean = np.where(batch[:, None, None], peak.mean(axis=2, keepdims=True), 0.6 * peak)
    class_of = np.arange(candidates) % classes
    accelerator_of = (np.arange(candidates) // classes) % skus
    gpus = 2.0 ** rng.integers(0, 4, candidates)
    taken = np.eye(skus)[accelerator_of] * gpus[:, None]
    late = np.arange(candidates) >= candidates - paired
    taken += np.roll(taken, 1, axis=1) / 2 * late[:, None]
    lot_usd = rng.uniform(2e5, 4e5, skus)[:, None, None]
    hourly = lot_usd / 8 * rng.uniform(0.5, 2.0)
    return make_problem(
        c=candidates,
        d=classes,
        g=skus,
        o=2,
        s=2,
        t=periods,
        b=blocks,
        a=1,
        class_of=class_of,
        replica_gpus=taken,
        rate_rps=gpus * rng.uniform(0.2, 0.5, candidates),
        offset_rps=gpus * rng.uniform(0.0, 0.1, candidates) * (rng.random(candidates) < 0.7),
        energy_usd=rng.uniform(0, 2000, (candidates, 1, 1, 1)) * own[:, None, None],
        batch=batch,
        peak_rps=peak,
        mean_rps=mean,
        day_of_block=np.arange(blocks) % 2,
        hours=rng.uniform(500, 1500, (periods, blocks)),
        on_premises_min_frac=np.where(np.arange(classes) == 0, rng.choice([0.0, 0.3]), 0.0),
        purchasable=own,
        on_demand=~own,
        committable=~own,
        term_periods=[1, 2],
        lot_kw=rng.uniform(5, 15, skus),
        it_kw=np.where(own, rng.uniform(60, 200) * scale, np.inf)[:, None],
        racks=np.where(own, np.ceil(rng.uniform(3, 8) * scale), np.inf)[:, None],
        spare_slope=np.where(own, 0.05, 0.0),
        spare_offset=np.where(own, 1.0, 0.0),
        node_unavailability=0.005,
        buy_usd=lot_usd * np.linspace(1.0, 0.7, periods),
        capex_usd=lot_usd,
        commit_usd=hourly * blocks * np.array([0.8, 1.3])[:, None, None, None],
        on_demand_usd=hourly[..., None],
        api_usd=rng.uniform(2e5, 2e6) * scale,
        on_premises=own,
    )
