"""Static batching: its formulas by hand, and what it costs beside continuous batching."""

import numpy as np
import pytest

import planner
from planner.candidates.subject import subject_of
from planner.errors import ScenarioError
from planner.files.catalog import load_catalog
from planner.perf.lengths import from_samples
from planner.perf.replica import Replica
from planner.perf.static_batch import batched, lambda_star, longest, throughput_max, ttft_exceeds
from planner.pipeline import case


def replica(**changes):
    numbers = {
        "overhead_s": 0.1, "prefill_step_s": 0.0, "weights_s": 0.4, "token_s": 0.001,
        "sequence_s": 0.0, "kv_token_s": 0.0, "prefill_context_s": 0.0, "budget_tokens": 1e6,
        "sequences_max": 256.0, "kv_tokens": 1e6, **changes,
    }  # fmt: skip
    return Replica(**{name: np.array([x]) for name, x in numbers.items()})


LENGTHS = from_samples([1000.0, 1000.0], [11.0, 31.0])


def test_longest_of_four_by_hand():
    # One in 16 has four short ones: 11 / 16 + 31 x 15 / 16 = 29.75.
    mean, scv = longest(np.array([0.5, 0.5]), np.array([11.0, 31.0]), 4)
    assert mean == pytest.approx(29.75)
    assert scv * mean**2 == pytest.approx(400 * 15 / 256)  # 20^2 p (1 - p)


def test_a_batch_lasts_as_long_as_its_longest_answer():
    # Prefill 0.1 + 0.001 x 4 x 1000 = 4.1 s; 28.75 steps of 0.1 + max(0.4, 0.004) = 0.5 s.
    batch = batched(replica(), LENGTHS, 4)
    assert batch.prefill_s[0] == pytest.approx(4.1)
    assert batch.service_s[0] == pytest.approx(4.1 + 28.75 * 0.5)
    assert batch.stability_rps[0] == pytest.approx(4 / 18.475)


def test_a_batch_must_fit_the_cache_at_its_longest():
    # Four of 1,000 + 29.75 tokens: 4,119.
    assert batched(replica(kv_tokens=4119.0), LENGTHS, 4).fits[0]
    assert not batched(replica(kv_tokens=4118.0), LENGTHS, 4).fits[0]
    assert throughput_max(replica(kv_tokens=500.0), LENGTHS)[0] == 0.0


def test_one_request_a_batch_is_a_single_server_queue():
    # Equal answers, Poisson: M/D/1 at half use waits 0.5 / (2 x 0.5) = 0.5 service times.
    equal = from_samples([1000.0, 1000.0], [11.0, 11.0])
    batch = batched(replica(), equal, 1)
    service = 1.1 + 10 * 0.5
    assert batch.service_s[0] == pytest.approx(service)
    rate = np.array([0.5 / service])
    # Mean 0.5 S; gamma with the queue's second moment: E[W^2] = 2 x (0.5 S)^2 / 0.5, so the
    # variance is 3 x (0.5 S)^2 and the shape 1 / 3. P(W > S), twice the mean, is
    # P(gamma(1/3) > 2/3) = 0.15799 (scipy.stats.gamma.sf).
    late = ttft_exceeds(
        batch, rate, np.array([1.1 + service]), arrival_scv=1.0, replicas=1.0
    )  # fmt: skip
    assert late[0] == pytest.approx(0.15799, abs=2e-5)


def test_promise_takes_smaller_batches_or_less_load():
    promise = {"ttft_percentile": 0.95, "arrival_cv": 1.0, "replicas": 1.0, "utilization_max": 0.8}
    wide = lambda_star(replica(), LENGTHS, ttft_s=np.array([600.0]), tpot_s=1.0, **promise)
    tight = lambda_star(replica(), LENGTHS, ttft_s=np.array([60.0]), tpot_s=1.0, **promise)
    none = lambda_star(replica(), LENGTHS, ttft_s=np.array([60.0]), tpot_s=0.49, **promise)
    assert wide.rate_rps[0] > tight.rate_rps[0] > 0 == none.rate_rps[0]
    assert wide.rate_rps[0] <= 0.8 * wide.stability_rps[0]


@pytest.fixture(scope="module")
def both():
    scenario = planner.load("chat_8b")
    supply = scenario.supply.model_copy(update={"modes": ("static", "chunked")})
    return case(scenario.model_copy(update={"supply": supply}), load_catalog())


def test_static_batching_is_shown_as_dominated_with_its_price(both):
    rows = {row.id: row for row in planner.evaluate(both.scenario)}
    static = [row for row in rows.values() if row.mode == "static" and row.feasible]
    assert len(static) > 10
    best = {
        name: min(
            row.gpus / row.rate_rps for row in rows.values()
            if row.feasible and (row.mode, row.accelerator) == ("chunked", name)
        )
        for name in {row.accelerator for row in static}
    }  # fmt: skip
    assert all(row.gpus / row.rate_rps > best[row.accelerator] for row in static)
    assert not any(row.simulated for row in static)
    cheapest = {
        mode: {
            name: min(
                row.usd_per_mtoken
                for row in rows.values()
                if row.feasible and (row.mode, row.accelerator) == (mode, name)
            )
            for name in {row.accelerator for row in static}
        }
        for mode in ("static", "chunked")
    }
    assert len(cheapest["static"]) > 3
    for name, usd in cheapest["static"].items():
        assert usd > 1.2 * cheapest["chunked"][name]


def test_static_batches_are_never_simulated_as_something_else(both):
    table = both.table
    i = next(
        i for i in np.flatnonzero(table.feasible) if table.configurations[i].mode == "static"
    )  # fmt: skip
    assert table.formulaic([i], [True]) == []
    with pytest.raises(ScenarioError, match="static batches are not simulated"):
        subject_of(both.scenario, both.catalog, table, int(i))
