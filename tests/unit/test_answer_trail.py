"""The sizing trail: thirteen steps, every number finite and the one that was used."""

import math

import numpy as np
import pytest

from tests.small_world import catalog, mixed


def trail(name):
    return next(t for t in mixed()[1].trails if t.demand_class == name)


def value(name, step, label):
    items = trail(name).steps[step - 1].items
    return next(item.value for item in items if item.label.startswith(label))


@pytest.mark.parametrize("name", ["chat", "night"])
def test_thirteen_steps(name):
    steps = trail(name).steps
    assert [step.number for step in steps] == list(range(1, 14))
    assert all(step.title and step.items for step in steps)


def test_class_that_only_an_api_serves_has_the_steps_that_mean_something():
    steps = trail("large").steps
    assert [step.number for step in steps] == [1, 2, 3, 4, 13]
    assert "deepinfra" in str(steps[3].items[0].value)


def test_every_number_is_finite():
    for one in mixed()[1].trails:
        for step in one.steps:
            for item in step.items:
                where = (one.demand_class, step.title, item.label)
                assert item.label, where
                if isinstance(item.value, str):
                    assert item.value.strip(), where
                    assert "nan" not in item.value, where
                else:
                    assert math.isfinite(item.value), where
                    assert item.unit, where


def test_workload_and_peak():
    # Office hours are the weekday's: over the week the mean is lower than the 20 of a working day.
    assert 0 < value("chat", 1, "Mean rate, first") < 20 * 1.5 ** (2 / 12)
    assert value("night", 1, "Mean rate, first") == pytest.approx(5.0)
    assert value("night", 1, "Requests a day") == pytest.approx(432_000)
    assert value("chat", 1, "Prompt, mean") == pytest.approx(1000, rel=1e-3)
    assert value("night", 2, "Peak") == "none: work moves within its day"
    peaks = np.array(mixed()[1].demand[0].peak_rps)
    assert value("chat", 2, "Planned peak, last") == pytest.approx(peaks[-1].max())


def test_promise():
    assert value("chat", 3, "TTFT p95") == 2000
    note = trail("chat").steps[2].items[1].note
    assert note.startswith("16.7 tokens/s")  # 1 / 60 ms


def test_memory_by_hand():
    # Llama 3.1 8B: 2 x 32 layers x 8 heads x 128 = 65,536 elements of 2 bytes.
    assert value("chat", 6, "Cache a token") == 131_072
    assert value("chat", 6, "Cache of a mean request") == pytest.approx(
        131_072 * 1200 / 1e9, rel=1e-3
    )
    # fp8 linear layers and two bf16 embeddings of 128,256 x 4,096: about 9.1 GB.
    embeddings = 2 * 128_256 * 4096
    bytes_ = (8.03e9 - embeddings) * 8.01 / 8 + embeddings * 2
    assert value("chat", 5, "Weights of a replica") == pytest.approx(bytes_ / 1e9, rel=1e-3)
    assert value("chat", 7, "Fewest accelerators") == 1
    gib = catalog().accelerators["l40s"].memory_usable_gib
    assert value("chat", 7, "Memory that") == pytest.approx(gib * 1024**3 / 1e9)


def test_operating_point_is_the_tables():
    decided, plan = mixed()
    row = next(r for r in plan.candidates if r.id == plan.pools[0].candidate)
    assert value("chat", 12, "Promised rate, replica alone") == row.lambda_star_rps
    assert value("chat", 12, "Promised rate, each more") == row.rate_rps
    assert value("chat", 12, "Headroom") == pytest.approx(1 - row.rate_rps / row.stability_rps)
    assert decided.problem.limits.availability_target == 0.999
    assert "99.90% availability" in trail("chat").steps[11].items[7].note


def test_cost_is_the_classes():
    for cost in mixed()[1].class_costs:
        items = {i.label: i.value for i in trail(cost.demand_class).steps[-1].items}
        assert items["Net present cost of the class"] == cost.npv_usd
        assert items["Cost of tokens, both kinds"] == cost.usd_per_mtoken
