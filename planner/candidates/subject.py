"""Subject: one candidate as the simulator needs it, with what its class was promised."""

from __future__ import annotations

import math
from dataclasses import dataclass

from planner.candidates.table import Table
from planner.candidates.traffic import length_samples
from planner.errors import ScenarioError
from planner.schema.catalog import Catalog
from planner.schema.demand import Batch, Online
from planner.schema.scenario import Scenario
from planner.simulate.arrivals import Requests, requests_of
from planner.simulate.rates import Promise
from planner.simulate.state import Numbers, numbers_of
from planner.units import MILLI

LEAST_TTFT_S = 1e-6
"""Of a promise that the request's own path already breaks: nothing keeps it."""


@dataclass(frozen=True)
class Subject:
    """What serves, what it is asked and what was promised."""

    numbers: Numbers
    requests: Requests
    demand: Online | Batch
    request_s: float
    """Part of the time to first token outside the engine."""
    stability_rps: float


def promise_of(subject: Subject) -> Promise:
    """What the engine must keep: the promise of an online class, less the request's own path."""
    assert isinstance(subject.demand, Online)
    slo = subject.demand.slo
    return Promise(
        max(slo.ttft_ms * MILLI - subject.request_s, LEAST_TTFT_S), slo.ttft_percentile,
        slo.tpot_ms * MILLI, slo.tpot_percentile,
        math.inf if slo.token_itl_ms is None else slo.token_itl_ms * MILLI,
        slo.token_itl_percentile,
    )  # fmt: skip


def subject_of(scenario: Scenario, catalog: Catalog, table: Table, i: int) -> Subject:
    """Position i of the table.

    Raises
    ------
    ScenarioError : a static batch, which the simulator does not know.
    """
    if table.configurations[i].mode == "static":
        raise ScenarioError("simulation", [f"{table.names[i]}: static batches are not simulated"])
    demand = scenario.demand[table.configurations[i].demand_class]
    assert isinstance(demand, Online | Batch)
    inputs, outputs = length_samples(demand, catalog)
    return Subject(
        numbers=numbers_of(table.replica, i),
        requests=requests_of(inputs, outputs, prefix_hit_frac=demand.prefix_cache_hit_frac),
        demand=demand,
        request_s=float(table.request_s[i]),
        stability_rps=float(table.stability_rps[i]),
    )
