"""A mix that broke: all of its classes are lowered together, to what their row holds."""

from types import SimpleNamespace

import pytest

from planner import repairs
from planner.progress import unheard
from planner.result import TestedPool
from planner.verification.loads import Beside, Load
from tests.unit.test_mixes_verification import LONG, SHORT, subjects


def broken(short_rps, long_rps):
    return TestedPool(
        candidate=SHORT, demand_class="short", site="hq", period="2027", block="day",
        condition="normal", replicas=1.0, rps_per_replica=short_rps, rps_beside={LONG: long_rps},
        verdict="broken", replicas_simulated=1, requests=20_000,
    )  # fmt: skip


ROWS = {
    name: SimpleNamespace(
        rate_rps=rate, offset_rps=0.0, small_rps=[rate, 2 * rate, 3 * rate], simulated=True
    )
    for name, rate in ((SHORT, 4.0), (LONG, 0.4))
}


def test_a_row_is_asked_for_the_sum_of_its_classes():
    # 1 / 4 + 0.2 / 0.4 = 0.75 of a replica.
    assert repairs._asked_replicas(broken(1.0, 0.2), ROWS) == pytest.approx(0.75)


def test_what_asks_for_more_than_the_row_only_needs_another_solve():
    beyond, within = broken(2.4, 0.2), broken(1.0, 0.2)
    found = repairs._worst(SimpleNamespace(pools=[beyond, within]), ROWS)
    assert found == {SHORT: within}


def test_the_share_that_a_mix_holds_is_that_of_its_row():
    # At 0.02/s of 2 s a replica is busy 4 % of the time with a long one, and 5 % of the short ones
    # may wait for one: at the asked 1/s and 0.2/s it is 40 %. About an eighth of the asked rates
    # hold, on 0.75 of the row that is planned: a tenth, the least share, with a margin of 1 %.
    share = repairs._held_share(subjects(), ROWS, broken(1.0, 0.2), 0)
    assert 0.1 * 0.99 <= share <= 0.75 / 5
    # A row of which the load asks all holds all that was asked: no long one waits for a minute.
    loose = subjects(short_ms=60_000.0)
    assert repairs._held_share(loose, ROWS, broken(2.0, 0.2), 0) == pytest.approx(0.99)


def test_candidates_of_a_mix_are_lowered_together(monkeypatch):
    monkeypatch.setattr(repairs, "grounds", lambda plan, catalog: SimpleNamespace(known={}))
    monkeypatch.setattr(repairs, "_held_share", lambda known, rows, load, seed: 0.9)
    rows = [SimpleNamespace(id=name, **vars(row)) for name, row in ROWS.items()]
    plan, verdict = (
        SimpleNamespace(candidates=rows),
        SimpleNamespace(pools=[broken(1.0, 0.2)], traces=[]),
    )
    # The long class was lowered to 0.8 before: 0.9 of that for both.
    before = repairs.Change({LONG: 0.8})
    found = repairs._tightened(plan, verdict, None, before, seed=0, replay=(), tell=unheard)
    assert found.shares == {SHORT: pytest.approx(0.72), LONG: pytest.approx(0.72)}
    assert not found.least


def test_a_trace_lowers_a_mix_by_the_share_of_its_row():
    # 1 + 0.2 x 10 = 3 requests of the short class are asked of one replica of 4: three quarters of
    # the row, of which the trace keeps nine tenths, less a margin of 1 %. The long class's share
    # so far is the row's.
    row = SimpleNamespace(
        id=SHORT, demand_class="short", model="m", accelerator="g", gpus=1, mode="chunked",
        **vars(ROWS[SHORT]),
    )  # fmt: skip
    at = Load(SHORT, "short", "hq", "2027", "day", "normal", 1.0, 1.0,
              beside=(Beside(LONG, 0.2, 10.0),))  # fmt: skip
    mend = SimpleNamespace(load=at, frac=0.9, replicas=0)
    found = repairs._mended(mend, row, [row], {LONG: 0.8})
    assert found.shares == {SHORT: pytest.approx(0.9 * 0.75 * 0.99 * 0.8)}
