"""The compiled simulator against an independent one that takes every step by itself."""

import numpy as np
import pytest

from planner.simulate.arrivals import Piece
from planner.simulate.pool import Pool, replay
from planner.simulate.state import numbers_of
from tests.crosscheck.test_queueing_simulation import CASES, requests, simulate

PERCENTILES = (0.5, 0.9, 0.95, 0.99)
RATES = {"8b_chat": (15.0, 26.0), "8b_long": (2.0, 2.6), "70b_long": (1.5, 2.6)}
COUNT = 4000


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("place", [0, 1])
def test_percentiles_of_the_same_requests(case, place):
    # The other simulator does not pre-empt: at these rates the cache suffices. Bins are 0.2 % wide.
    engine, prompt, answer, *_ = CASES[case]
    unit, prompts, answers = requests(prompt, answer, COUNT, seed=4)
    times = unit / RATES[case][place]
    ttft, tpot = simulate(engine, times.tolist(), prompts.tolist(), answers.tolist())
    none = np.zeros(COUNT, np.int64)
    piece = Piece(0, times, prompts, answers, none, np.zeros(COUNT), none)
    found = replay(Pool(numbers_of(engine.replica())), [piece], counted=(0, COUNT))
    assert found.preempted[0] == 0
    for percentile in PERCENTILES:
        assert found.ttft_s(percentile).value == pytest.approx(
            np.nanpercentile(ttft, 100 * percentile), rel=0.01
        )
        assert found.tpot_s(percentile).value == pytest.approx(
            np.nanpercentile(tpot, 100 * percentile), rel=0.01
        )
