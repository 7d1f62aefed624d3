"""Pruning is exact: without the dominated candidates the cheapest fleet costs the same."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.candidates.assemble import packed_gpus
from planner.candidates.prune import dominated_by
from planner.errors import InfeasibleError
from planner.optimize.solve import optimize
from planner.problem import Problem
from tests.builders import make_problem

SHAPE = {"d": 2, "g": 2, "s": 2, "t": 1, "b": 2}
LOT_GPUS = [8, 72]


@st.composite
def questions(draw):
    """Candidates of two classes, crowded on one SKU; energy goes with accelerators a rate."""
    c = 5

    def hundredths(low, high, count=c):
        found = draw(st.lists(st.integers(low, high), min_size=count, max_size=count))
        return np.array(found) / 100

    gpus = np.array(draw(st.lists(st.sampled_from([1, 2, 4, 8]), min_size=c, max_size=c)), float)
    rate = gpus * hundredths(20, 60)
    offset = rate * hundredths(0, 80)
    line = np.maximum(rate[:, None] * np.array([1.0, 2.0, 3.0]) - offset[:, None], 0.0)
    raised = hundredths(0, 40, 3 * c).reshape(c, 3) * draw(st.sampled_from([0.0, 1.0]))
    small = np.maximum.accumulate(line + raised * offset[:, None], axis=1)
    sku = np.array([0, 0, 0, 0, draw(st.integers(0, 1))])
    demand = np.array([0, 1, *draw(st.lists(st.integers(0, 1), min_size=c - 2, max_size=c - 2))])
    mean = hundredths(20, 150, 4).reshape(2, 1, 2)
    kwh_usd = 20 * draw(st.integers(0, 100)) * np.array([1.0, 0.0])
    batch = np.array([False, draw(st.booleans())])
    return make_problem(
        c=c, o=1, **SHAPE,
        class_of=demand, accelerator_of=sku,
        replica_gpus=np.array(
            [packed_gpus(int(n), LOT_GPUS[g]) for n, g in zip(gpus, sku, strict=True)]
        ),
        rate_rps=rate, offset_rps=offset, small_rps=small,
        energy_usd=(gpus / rate)[:, None, None, None] * mean[demand][:, None]
        * kwh_usd[None, :, None, None],
        mean_rps=mean, peak_rps=mean * draw(st.sampled_from([1.0, 1.4])), batch=batch,
        on_premises_min_frac=np.array([draw(st.sampled_from([0.0, 0.5])), 0.0]),
        lot_gpus=np.array(LOT_GPUS), node_gpus=np.array([8, 4]),
        on_premises=np.array([True, False]),
        purchasable=np.array([[True, False]] * 2), on_demand=np.array([[False, True]] * 2),
        committable=np.array([[[False, True]] * 2]),
        buy_usd=np.array([3e5, 2.4e6])[:, None, None],
        commit_usd=np.array([1.5e5, 1.3e6])[None, :, None, None],
        on_demand_usd=np.array([0.9e5, 0.7e6])[:, None, None, None],
        spare_slope=draw(st.sampled_from([0.0, 0.05])),
        spare_offset=draw(st.sampled_from([0.0, 0.5])),
        accelerator_types_max=draw(st.sampled_from([1, 2])),
    ), gpus  # fmt: skip


def without(p: Problem, keep):
    """The problem with some of its candidates only."""
    pools = p.pools
    return replace(
        p,
        labels=replace(p.labels, candidates=tuple(p.labels.candidates[i] for i in keep)),
        pools=replace(pools, **{n: getattr(pools, n)[keep] for n in pools.__dataclass_fields__}),
    )


@given(questions())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_pruned_problem_has_the_same_optimum(question):
    p, gpus = question
    by = dominated_by(
        group=list(zip(p.pools.class_of.tolist(), p.pools.replica_gpus.argmax(axis=1).tolist(),
                       strict=True)),
        gpus=gpus, rate_rps=p.pools.rate_rps, offset_rps=p.pools.offset_rps,
        small_rps=p.pools.small_rps,
    )  # fmt: skip
    kept = np.flatnonzero(by < 0)
    if len(kept) == len(by):
        return
    try:
        whole = optimize(p, gap=0.0)
    except InfeasibleError:
        with pytest.raises(InfeasibleError):
            optimize(without(p, kept), gap=0.0)
        return
    pruned = optimize(without(p, kept), gap=0.0)
    assert pruned.cost_usd == pytest.approx(whole.cost_usd, rel=1e-6)
