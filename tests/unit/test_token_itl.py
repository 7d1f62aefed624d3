"""A promise on gaps between tokens, from the scenario to the reasons and the trail."""

import pytest
from pydantic import ValidationError

import planner
from planner.answer.trail import _gap_target
from planner.candidates.evaluate import _jump
from planner.schema.demand import Slo
from tests.small_world import CHAT, scenario


def rows(**promise):
    slo = {**CHAT["slo"], **promise}
    found = planner.evaluate(scenario(demand=[{**CHAT, "slo": slo}]))
    return {row.id: row for row in found}


def test_without_the_promise_nothing_changes_and_a_wide_one_never_binds():
    free, wide = rows(), rows(token_itl_ms=10_000)
    assert {name: row.lambda_star_rps for name, row in free.items()} == {
        name: row.lambda_star_rps for name, row in wide.items()
    }
    assert "token_itl" not in {row.binding for row in wide.values()}


def test_a_tight_promise_binds_or_refuses_with_the_jump():
    free = rows()
    tight = rows(token_itl_ms=40, token_itl_percentile=0.98)
    able = {name for name, row in free.items() if not row.reason}
    bound = [name for name in able if tight[name].binding == "token_itl"]
    assert bound
    for name in able:
        assert (tight[name].lambda_star_rps or 0) <= free[name].lambda_star_rps * (1 + 1e-6)
    strict = rows(token_itl_ms=40, token_itl_percentile=0.999)
    reasons = [strict[name].reason for name in able if "token ITL" in strict[name].reason]
    assert reasons
    assert any("chunk-carrying steps take up to" in why for why in reasons)


def test_the_jump_in_words():
    assert _jump(0.99, 0.18, 8192.0) == (
        "token ITL p99: chunk-carrying steps take up to 180 ms and too many gaps meet one; "
        "lower the token budget (8,192)"
    )
    slo = Slo(ttft_ms=1000, tpot_ms=50, token_itl_ms=60)
    (item,) = _gap_target(slo)
    assert (item.label, item.value) == ("Token ITL p95", 60)
    assert "jumps" in item.note
    assert _gap_target(Slo(ttft_ms=1000, tpot_ms=50)) == []


def test_zero_is_no_promise():
    with pytest.raises(ValidationError, match="token_itl_ms"):
        rows(token_itl_ms=0)
