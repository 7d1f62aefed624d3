"""Subject: one candidate as the simulator needs it, with what its class was promised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from planner.candidates.end_to_end import target_s
from planner.candidates.table import Table
from planner.candidates.traffic import length_samples
from planner.errors import ScenarioError
from planner.schema.catalog import Catalog
from planner.schema.demand import Batch, Online
from planner.schema.scenario import Scenario
from planner.simulate import units
from planner.simulate.arrivals import Requests, requests_of
from planner.simulate.pool import Outage, Pool
from planner.simulate.rates import Promise
from planner.simulate.state import numbers_of
from planner.units import MILLI

LEAST_TTFT_S = 1e-6
"""Of a promise that the request's own path already breaks: nothing keeps it."""


@dataclass(frozen=True)
class Subject:
    """What serves, what it is asked and what was promised."""

    one: Pool
    """A replica, or a disaggregated unit of both kinds, on its own."""
    requests: Requests
    demand: Online | Batch
    request_s: float
    """Part of the time to first token outside the engine."""
    stability_rps: float


def pool_of(subject: Subject, replicas: int, outages: Sequence[Outage] = ()) -> Pool:
    """So many replicas or units of a candidate; an outage of a unit takes all of its replicas."""
    one, stage = subject.one, subject.one.decode
    if stage is None:
        return replace(one, replicas=replicas, outages=tuple(outages))
    return replace(
        one, replicas=replicas * one.replicas, outages=_of_each(outages, one.replicas),
        decode=replace(
            stage, replicas=replicas * stage.replicas, units=replicas,
            outages=_of_each(outages, stage.replicas),
        ),
    )  # fmt: skip


def _of_each(outages: Sequence[Outage], copies: int) -> tuple[Outage, ...]:
    """Outages of the replicas of a stage, whose unit `u` has those from u x copies on."""
    return tuple(
        replace(one, replica=one.replica * copies + k) for one in outages for k in range(copies)
    )


def promise_of(subject: Subject) -> Promise:
    """What the engine must keep: the promise of an online class, less the request's own path."""
    assert isinstance(subject.demand, Online)
    slo = subject.demand.slo
    end_s = target_s(slo, np.array(subject.request_s))
    return Promise(
        max(slo.ttft_ms * MILLI - subject.request_s, LEAST_TTFT_S), slo.ttft_percentile,
        slo.tpot_ms * MILLI, slo.tpot_percentile,
        math.inf if slo.token_itl_ms is None else slo.token_itl_ms * MILLI,
        slo.token_itl_percentile,
        math.inf if end_s is None else float(end_s),
        slo.e2e_percentile,
    )  # fmt: skip


def subject_of(scenario: Scenario, catalog: Catalog, table: Table, i: int) -> Subject:
    """Position i of the table.

    Raises
    ------
    ScenarioError : a static batch, which the simulator does not know.
    """
    if table.configurations[i].mode == "static":
        raise ScenarioError("simulation", [f"{table.names[i]}: static batches are not simulated"])
    unit = table.configurations[i].decode is not None
    demand = scenario.demand[table.configurations[i].demand_class]
    assert isinstance(demand, Online | Batch)
    inputs, outputs = length_samples(demand, catalog)
    return Subject(
        one=units.pool_of(table.unit([i])) if unit else Pool(numbers_of(table.replica, i)),
        requests=requests_of(inputs, outputs, prefix_hit_frac=demand.prefix_cache_hit_frac),
        demand=demand,
        request_s=float(table.request_s[i]),
        stability_rps=float(table.stability_rps[i]),
    )
