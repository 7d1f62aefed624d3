"""Gaps between tokens: counted in simulation, and as the formulas predict them."""

import math

import numpy as np
import pytest

from planner.perf.arrivals import Arrivals
from planner.perf.lengths import from_samples
from planner.perf.operating_point import operate, spread_of
from planner.perf.queueing import GAP_MARGIN, Binding, lambda_star
from planner.perf.replica import Replica
from planner.perf.token_gaps import chunk_share, gap_exceeds
from planner.simulate.arrivals import Piece, requests_of
from planner.simulate.pool import Pool, replay, simulate
from planner.simulate.state import Numbers, numbers_of
from planner.simulate.statistics import BINS, bin_of, count_series, share_above


def gaps(numbers, prompts, answers):
    """Counts by gap of requests that all come at once."""
    none = np.zeros(len(prompts))
    piece = Piece(
        0, none + 1e-9, np.array(prompts), np.array(answers), *(none.astype(int), none, none)
    )
    piece = piece._replace(homes=none.astype(int))
    return replay(Pool(numbers), [piece], counted=(0, len(prompts))).itl[0]


def test_every_decode_step_is_a_gap_of_each_sequence():
    # Budget 100, prompts of 150 and 50, answers of 3 and 2 tokens; 1 s a step, 0.01 s a token.
    # After two steps of prefill both decode in one step of 1.02 s, then one alone in 1.01 s.
    found = gaps(Numbers(1.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 100, 8, 10_000), [150, 50], [3, 2])
    assert (found[bin_of(1.02)], found[bin_of(1.01)], found.sum()) == (2, 1, 3)


def test_gap_of_a_preempted_request_lasts_until_it_is_computed_again():
    # Steps of 1 s, room for 120 tokens. Two requests of 50 + 60 tokens have their first token at
    # 1 s and hold 120 tokens at 11 s: the newer one goes, with 11 tokens sent. The other one ends
    # at 60 s; at 61 s comes the next token of the first: a gap of 50 s among 59 + 10 + 48 of 1 s.
    found = gaps(Numbers(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1000, 8, 120), [50, 50], [60, 60])
    assert (found[bin_of(50.0)], found[bin_of(1.0)], found.sum()) == (1, 117, 118)


def test_steps_that_grow_are_counted_bin_by_bin():
    # 1,000 steps from 1 s, each 1 ms longer than the last, of 3 sequences: as counted one by one.
    table, slow = np.zeros((2, BINS + 2), np.int64)
    count_series(table, 1.0, 0.001, 1000, 3)
    for i in range(1000):
        slow[bin_of(1.0 + 0.001 * i)] += 3
    assert table.sum() == 3000
    # Steps at the very edge of a bin may fall to either side.
    assert np.abs(np.cumsum(table) - np.cumsum(slow)).max() <= 3


ONE = Replica(*(np.array([x]) for x in (1e-3, 0.0, 7e-3, 1e-4, 0.0, 0.0, 0.0, 2048.0, 256.0, 1e6)))
EVEN = from_samples([1000] * 50, [101] * 50)


def at(rate, **kind):
    point = operate(ONE, EVEN, Arrivals(1.0, **kind), rate_rps=np.array([rate]))
    return point, spread_of(point)


@pytest.mark.parametrize("cv", [1.0, 2.0])
def test_share_of_gaps_that_meet_a_chunk_as_simulated(cv):
    # Decode-only steps take 8 ms, those that carry a prompt of 1,000 tokens 101 ms and more: 50 ms
    # lie between. Simulation counts every gap.
    rate, requests = 3.0, requests_of(np.full(50, 1000.0), np.full(50, 101.0))
    run = simulate(Pool(numbers_of(ONE)), requests, rate_rps=rate, arrival_cv=cv, seed=1)
    point = operate(ONE, EVEN, Arrivals(cv**2), rate_rps=np.array([rate]))
    beyond = [gap_exceeds(point, spread_of(point), np.array([x]))[0] for x in (0.0079, 0.05, 0.25)]
    assert beyond[0] == pytest.approx(1.0)
    assert beyond[1] == pytest.approx(share_above(run.itl.sum(axis=0), 0.05), rel=0.15)
    assert beyond[1] == pytest.approx(chunk_share(point)[0], rel=1e-6)
    assert beyond[2] < 1e-6


def star(gap_s, percentile=0.95):
    return lambda_star(
        ONE, EVEN, ttft_s=10.0, ttft_percentile=0.95, tpot_s=10.0, tpot_percentile=0.95,
        arrival_cv=1.0, gap_s=gap_s, gap_percentile=percentile,
    )  # fmt: skip


def test_a_promise_between_the_two_steps_holds_while_few_gaps_meet_a_chunk():
    # 50 ms lie between the step of 8 ms and that of 101 ms: the promise is that at most 5 % of
    # gaps meet a chunk, 1 % at the 99th percentile. 250 ms are beyond any step of 2,048 tokens.
    free, none, between, strict = star(math.inf), star(None), star(0.05), star(0.05, 0.99)
    assert free.rate_rps[0] == none.rate_rps[0] == star(0.25).rate_rps[0]
    assert Binding(between.binding[0]) is Binding(strict.binding[0]) is Binding.TOKEN_ITL
    for found, allowed in ((between, 0.05), (strict, 0.01)):
        point, spread = at(found.rate_rps[0])
        share = gap_exceeds(point, spread, np.array([0.05]))[0]
        assert share * GAP_MARGIN == pytest.approx(allowed, rel=0.01)
    assert strict.rate_rps[0] < between.rate_rps[0] < free.rate_rps[0]


def test_no_gap_is_shorter_than_a_step():
    found = star(0.007)
    assert (found.rate_rps[0], Binding(found.binding[0])) == (0.0, Binding.UNREACHABLE)
