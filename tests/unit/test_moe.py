from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.perf import moe


def touched(experts, per_token, tokens):
    return float(moe.experts_touched(experts=experts, experts_per_token=per_token, tokens=tokens))


def test_experts_touched_equals_enumeration():
    # 3 tokens, one of 3 experts each: mean distinct values over all 27 draws.
    draws = list(product(range(3), repeat=3))
    mean = sum(len(set(draw)) for draw in draws) / len(draws)
    assert mean == pytest.approx(19 / 9)
    assert touched(3, 1, 3) == pytest.approx(mean)


def test_deepseek_decode_of_64_touches_most_experts():
    # 256 (1 - (1 - 8/256)^64) = 256 (1 - 0.13109) = 222.4.
    assert touched(256, 8, 64) == pytest.approx(222.44, abs=0.01)


@given(experts=st.integers(1, 1024), share=st.floats(0.001, 1.0), tokens=st.floats(1, 1e5))
def test_experts_touched_are_bounded(experts, share, tokens):
    per_token = max(1, round(experts * share))
    count = touched(experts, per_token, tokens)
    assert count <= experts
    assert count <= per_token * tokens * (1 + 1e-9)
    assert count >= per_token * (1 - 1e-9)


@given(tokens=st.floats(0, 1e4), more=st.floats(0, 1e4))
def test_more_tokens_touch_no_fewer(tokens, more):
    assert touched(128, 8, tokens + more) >= touched(128, 8, tokens)


def test_dense_models_and_empty_batches_touch_none():
    assert touched(0, 0, 100) == 0.0
    assert touched(128, 8, 0) == 0.0


def test_a_token_that_visits_every_expert_touches_all():
    assert touched(8, 8, 1) == pytest.approx(8)


def test_one_group_is_balanced():
    loads = moe.imbalance(expert_groups=np.array([1.0, 2.0, 8.0]), imbalance_frac=0.05)
    # 1; 1 + 0.05 / 2; 1 + 0.05 x 7/8
    assert loads == pytest.approx([1.0, 1.025, 1.04375])
