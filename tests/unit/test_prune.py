"""Dominance: what may go without changing any optimum."""

import numpy as np

from planner.candidates.prune import dominated_by


def by(*rows, group=None, small=None):
    """Rows are (gpus, rate, offset); one group, and small pools on the line, unless given."""
    gpus, rate, offset = np.array(rows, float).T
    line = np.maximum(rate[:, None] * np.array([1.0, 2.0, 3.0]) - offset[:, None], 0.0)
    return dominated_by(
        group=group or ["g"] * len(rows), gpus=gpus, rate_rps=rate, offset_rps=offset,
        small_rps=line if small is None else np.array(small),
    ).tolist()  # fmt: skip


def test_same_size_and_slower_goes():
    assert by((8, 2.0, 0.1), (8, 3.0, 0.1)) == [1, -1]


def test_groups_do_not_compete():
    assert by((8, 2.0, 0.1), (8, 3.0, 0.1), group=[(0, "h100"), (0, "b200")]) == [-1, -1]


def test_steeper_line_with_a_larger_loss_stays_beside_its_rival():
    # 8 x 0.5 / 3 = 1.33 accelerators lost against 8 x 0.1 / 2 = 0.4: each is best at some rate.
    assert by((8, 3.0, 0.5), (8, 2.0, 0.1)) == [-1, -1]


def test_smaller_replica_does_not_replace_one_it_does_not_divide():
    # 8 is no multiple of 3, however good three are.
    assert by((3, 9.0, 0.0), (8, 2.0, 0.0)) == [-1, -1]
    assert by((4, 9.0, 0.0), (8, 2.0, 0.0)) == [-1, 0]


def test_larger_replica_never_replaces_a_smaller_one():
    # Eight are better a rate, four are the smaller step.
    assert by((4, 1.0, 0.0), (8, 4.0, 0.0)) == [-1, -1]


def test_larger_parts_never_replace_smaller_ones():
    # A rack of 72 holds four parts of 16, which leave 8 idle; parts of 8 fill it.
    rows = np.array([(48, 2.0, 0.0), (48, 3.0, 0.0)], float).T
    for largest, expected in (([8.0, 16.0], [-1, -1]), ([8.0, 8.0], [1, -1])):
        found = dominated_by(
            group=["g", "g"], gpus=rows[0], rate_rps=rows[1], offset_rps=rows[2],
            small_rps=rows[1][:, None], smallest=np.array(largest), largest=np.array(largest),
        )  # fmt: skip
        assert found.tolist() == expected


def test_of_equals_the_first_stays():
    assert by((4, 1.0, 0.1), (4, 1.0, 0.1), (4, 1.0, 0.1)) == [-1, 0, 0]


def test_every_winner_is_kept():
    rng = np.random.default_rng(7)
    rows = np.column_stack(
        [2.0 ** rng.integers(0, 4, 60), rng.uniform(1, 5, 60), rng.uniform(0, 1, 60)]
    )
    winners = by(*rows.tolist())
    assert {winners[w] for w in winners if w >= 0} == {-1}


def test_nothing_to_prune():
    empty = np.zeros(0)
    none = dominated_by(
        group=[], gpus=empty, rate_rps=empty, offset_rps=empty, small_rps=np.zeros((0, 3))
    )
    assert none.tolist() == []


def test_a_pool_of_one_that_carries_more_is_kept():
    # The second line is the better one at every size, 3 k - 0.3 against 2 k - 0.2; but one
    # replica of the first carries 3.
    lines = [(8, 2.0, 0.2), (8, 3.0, 0.3)]
    assert by(*lines) == [1, -1]
    assert by(*lines, small=[[3.0, 3.8, 5.8], [2.7, 5.7, 8.7]]) == [-1, -1]


def test_only_the_line_of_smaller_replicas_replaces_a_small_pool():
    # Two replicas of 4 accelerators carry 4.5 as a small pool, 2 x 2.4 - 0.6 = 4.2 on the line:
    # enough for 4.2 of one replica of 8, not for 4.4.
    lines = [(4, 2.4, 0.6), (8, 4.4, 1.2)]
    assert by(*lines, small=[[1.8, 4.5, 6.6], [4.2, 7.6, 12.0]])[1] == -1  # it loses less alone
    assert by(*lines, small=[[1.8, 4.5, 6.6], [3.2, 7.6, 12.0]]) == [-1, 0]
