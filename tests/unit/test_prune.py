"""Dominance: what may go without changing any optimum."""

import numpy as np

from planner.candidates.prune import dominated_by


def by(*rows, group=None):
    """Rows are (gpus, rate, offset); one group unless given."""
    gpus, rate, offset = np.array(rows, float).T
    return dominated_by(
        group=group or ["g"] * len(rows), gpus=gpus, rate_rps=rate, offset_rps=offset
    ).tolist()


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
            smallest=np.array(largest), largest=np.array(largest),
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
    assert dominated_by(group=[], gpus=empty, rate_rps=empty, offset_rps=empty).tolist() == []
