"""Spares: against a table of binomial tails, by hand, and the line above the staircase."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from planner.reliability import node_unavailability, spare_line, spares

# Smallest k with P[Binom(N + k, u) > k] < 1 - target for 99, 99.9, 99.99 %; computed apart from
# this package (facts on failures, section 3).
TABLE = [
    (1, 0.004, (0, 1, 1)), (1, 0.009, (0, 1, 1)),
    (4, 0.004, (1, 1, 2)), (4, 0.009, (1, 1, 2)),
    (8, 0.004, (1, 1, 2)), (8, 0.009, (1, 2, 2)),
    (16, 0.004, (1, 2, 2)), (16, 0.009, (2, 2, 3)),
    (32, 0.004, (1, 2, 3)), (32, 0.009, (2, 3, 4)),
    (64, 0.004, (2, 3, 4)), (64, 0.009, (3, 4, 5)),
    (128, 0.004, (3, 4, 5)), (128, 0.009, (4, 6, 7)),
    (512, 0.004, (6, 8, 9)), (512, 0.009, (10, 13, 15)),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "u", "expected"), TABLE)
def test_binomial_table(nodes, u, expected):
    found = tuple(int(spares(nodes, u, target)) for target in (0.99, 0.999, 0.9999))
    assert found == expected


def tail(n, k, u):
    """P[more than k of n + k nodes are out], in exact fractions."""
    total, u = n + k, Fraction(str(u))
    return 1 - sum(comb(total, i) * u**i * (1 - u) ** (total - i) for i in range(k + 1))


@pytest.mark.parametrize("n", [1, 2, 7, 40])
@pytest.mark.parametrize("u", [0.001, 0.02, 0.3])
def test_spares_are_enough_and_one_fewer_is_not(n, u):
    k = int(spares(n, u, 0.999))
    assert tail(n, k, u) <= Fraction(1, 1000)
    assert k == 0 or tail(n, k - 1, u) > Fraction(1, 1000)


def test_spares_broadcast_and_degenerate_cases():
    assert spares([[0], [10]], [0.0, 0.01], 0.999).tolist() == [[0, 0], [0, 2]]
    # A target met exactly: one node out 1 % of the time, 99 % promised.
    assert int(spares(1, 0.01, 0.99)) == 0


@pytest.mark.parametrize(
    ("n", "u", "target"), [(1, 1.0, 0.9), (1, -0.1, 0.9), (1, 0.1, 1.0), (-1, 0.1, 0.9)]
)
def test_impossible_questions_are_refused(n, u, target):
    with pytest.raises(ValueError, match=r"must lie in|negative"):
        spares(n, u, target)


def test_unavailability_by_hand():
    # 4 trays' GPUs: 4 x (0.09 x 96 h + 0.1 x 2 h) / 8760 = 4 x 8.84 / 8760
    u = node_unavailability(
        node_gpus=[4, 8],
        hard_per_gpu_year=0.09,
        hard_repair_h=96,
        soft_per_gpu_year=0.1,
        soft_repair_h=2,
    )
    assert u.tolist() == pytest.approx([4 * 8.84 / 8760, 8 * 8.84 / 8760])


def test_rates_that_leave_a_node_always_out_are_refused():
    with pytest.raises(ValueError, match="of the time"):
        node_unavailability(
            node_gpus=8,
            hard_per_gpu_year=10,
            hard_repair_h=200,
            soft_per_gpu_year=0,
            soft_repair_h=0,
        )


@pytest.mark.parametrize("u", [0.0005, 0.004, 0.009, 0.05])
@pytest.mark.parametrize("nodes_max", [1, 2, 3, 10, 57, 300])
def test_line_lies_above_the_staircase_and_no_line_is_closer(u, nodes_max):
    slope, offset = spare_line(nodes_max, u, 0.999)
    n = np.arange(1, nodes_max + 1)
    k = spares(n, u, 0.999)
    line = slope * n + offset
    assert np.all(line >= k - 1e-9)
    assert slope >= 0
    assert offset >= 0
    # Every other line through the staircase's corners (or the origin) that stays above it.
    corners = [(0, 0), *zip(n.tolist(), k.tolist(), strict=True)]
    step = max(1, len(corners) // 40)
    for i, (x, y) in enumerate(corners[::step]):
        for x2, y2 in corners[::step][i + 1 :]:
            a = (y2 - y) / (x2 - x)
            b = y - a * x
            if b >= -1e-12 and np.all(a * n + b >= k - 1e-9):
                assert line.sum() <= (a * n + b).sum() + 1e-6


def test_line_by_hand():
    # u = 0.4 %, 99 %: no spare up to 2 nodes (1.2 % > 1 % at 3), one from 3 to 8: from the
    # origin the steepest edge ends at (3, 1); beyond it the envelope is level.
    assert spares(np.arange(9), 0.004, 0.99).tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1]
    assert spare_line(8, 0.004, 0.99) == pytest.approx((0.0, 1.0))
    # Middle of 1 to 4 is 2.5, left of 3: the first edge.
    assert spare_line(4, 0.004, 0.99) == pytest.approx((1 / 3, 0.0))


def test_no_spares_no_line():
    assert spare_line(20, 0.0, 0.999) == (0.0, 0.0)
    with pytest.raises(ValueError, match="empty"):
        spare_line(0, 0.01, 0.999)
