"""What a plan says of its fleet, its sources and itself."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from planner.answer.money import books
from planner.answer.plan import sha256
from planner.answer.sources import is_stale, ledger_inputs, notes, sources
from planner.answer.unit_price import cheapest
from planner.finance.ledger import Input
from planner.result import Plan
from tests.formulas import on_formulas
from tests.small_world import CHAT, catalog, decide, known, mixed, scenario, with_rows

TODAY = date(2026, 11, 21)


def test_json_and_back():
    plan = mixed()[1]
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_solve_gives_the_same_answer():
    decided, _ = mixed()
    plan = on_formulas(decided.case.scenario, catalog=catalog(), gap=1e-6)
    assert plan.npv_usd == pytest.approx(decided.solution.cost_usd, rel=2e-6)
    assert plan.status == "optimal"
    steps = ("prices and traffic", "candidates", "assemble", "solve", "report")
    assert set(steps) <= set(plan.seconds)
    assert all(row.holds for row in plan.audit)


def test_solve_reports_its_progress():
    seen = []
    on_formulas(scenario(), catalog=catalog(), progress=seen.append)
    steps = list(dict.fromkeys(stage.step for stage in seen))
    assert steps == ["prices and traffic", "candidates", "assemble", "solve", "report"]
    gaps = [stage.gap_frac for stage in seen if stage.gap_frac is not None]
    assert gaps == sorted(gaps, reverse=True)


def test_scenario_and_its_fingerprint_travel_along():
    plan = mixed()[1]
    assert plan.scenario["name"] == "small"
    assert plan.scenario["finance"]["discount_rate"] == 0.08  # a default, filled in
    assert plan.scenario_sha256 == sha256(plan.scenario)
    reordered = dict(reversed(list(plan.scenario.items())))
    assert sha256(reordered) == plan.scenario_sha256
    assert sha256({**plan.scenario, "title": "another"}) != plan.scenario_sha256


def test_machines_bought_serve_after_their_lead_time():
    plan = mixed()[1]
    owned = next(row for row in plan.fleet if row.option == "owned")
    ordered = np.array(owned.lots_ordered)
    assert ordered[0] > 0
    # Three months, one quarter: nothing serves in the first, then everything ordered before.
    assert owned.lots_in_service == [0.0, *np.cumsum(ordered)[:-1].tolist()]
    assert all(set(row) == {held} for row, held in
               zip(owned.lots_by_block, owned.lots_in_service, strict=True))  # fmt: skip
    first = [row for row in plan.pools if row.site == "hq"]
    assert all(np.sum(row.served_frac[0]) == 0 for row in first)


def test_commitments_end_with_their_term():
    asked = {**CHAT, "growth": {"table": [1, 1, 1, 1, 3, 1, 1, 1]}}
    _, plan = decide(
        scenario(
            demand=[asked], horizon={"start": "2027-01", "months": 24},
            supply={"options": ["reserved_1y"]},
        )
    )  # fmt: skip
    (row,) = plan.fleet
    signed = np.array(row.lots_ordered)
    by_hand = [signed[max(0, t - 3) : t + 1].sum() for t in range(8)]
    assert row.lots_in_service == by_hand
    assert row.lots_in_service[4] > row.lots_in_service[3] > 0


def test_all_traffic_is_served_in_every_period():
    plan = mixed()[1]
    online = [c for c in plan.demand if c.kind == "online"]
    for asked in online:
        pools = [r.served_frac for r in plan.pools if r.candidate.startswith(f"{asked.name}/")]
        apis = [r.served_frac for r in plan.apis if r.demand_class == asked.name]
        total = np.sum([*pools, *apis], axis=0)
        busy = np.array(asked.mean_rps) > 0
        assert total[busy] == pytest.approx(1.0)


def test_every_money_input_has_a_source_and_a_date():
    plan = mixed()[1]
    assert plan.ledger_inputs
    for row in plan.ledger_inputs:
        assert row.source, row.name
        own = row.basis == "scenario" or row.source == "the option's own term"
        assert own or date.fromisoformat(row.as_of), row.name


def test_sources_of_everything_used():
    decided, _ = mixed()
    found = sources(decided, books(decided), TODAY)
    assert all(row.source for row in found)
    used = {row.what for row in found}
    assert {"accelerator l40s", "model llama-3.1-8b", "engine vllm", "format fp8",
            "format kv-bf16", "demand.chat.slo"} <= used  # fmt: skip
    assert "model llama-3.3-70b" not in used  # an API serves it
    fitted = [row for row in found if row.what.startswith("calibration ")]
    assert fitted
    assert all(date.fromisoformat(row.as_of) for row in fitted)
    assert len(ledger_inputs(books(decided).inputs)) == len(
        [r for r in found if r.used_in == "money"]
    )


def aged(days, unit="USD/GPU/h"):
    day = date.fromordinal(TODAY.toordinal() - days).isoformat()
    return Input("x", "a price", unit, 1.0, "s", day, "quoted", "")


def test_price_is_stale_the_day_after_its_limit():
    assert not is_stale(aged(180), TODAY, 180)
    assert is_stale(aged(181), TODAY, 180)
    assert not is_stale(aged(999, unit="kW"), TODAY, 180)  # power does not age
    assert not is_stale(replace(aged(0), as_of=""), TODAY, 180)


def test_stale_prices_are_named():
    decided, _ = mixed()
    money = books(decided)
    assert not [n for n in notes(decided, money, date(2026, 11, 2)) if n.startswith("Prices older")]
    later = [n for n in notes(decided, money, date(2028, 1, 1)) if n.startswith("Prices older")]
    assert "180 days" in later[0]
    assert "L40S at cloud, on demand" in later[0]
    stale = [row for row in sources(decided, money, date(2028, 1, 1)) if row.stale]
    assert {row.what for row in stale} >= {"L40S at cloud, on demand", "Rent at hq"}


def test_notes_say_what_a_reader_should_know():
    found = "\n".join(notes(mixed()[0], books(mixed()[0]), TODAY))
    for words in ("planner verify simulates", "provider's latency", "Staff and software licences",
                  "extrapolated", "load blocks overstate", "Traffic out of clouds"):  # fmt: skip
        assert words in found


def test_rack_note():
    rows = with_rows("accelerators", l40s={"lot_name": "rack", "lot_gpus": 8})
    decided, _ = decide(scenario(supply={"options": ["reserved_1y"]}), rows)
    assert "a whole rack that fails" in "\n".join(notes(decided, books(decided), TODAY))


def test_curves_of_the_pools_that_serve():
    plan = mixed()[1]
    (curve,) = plan.curves  # batch work promises no latency
    assert curve.demand_class == "chat"
    assert (curve.ttft_target_ms, curve.tpot_target_ms) == (2000, 60)
    rates = [point.rps for point in curve.points]
    assert rates == sorted(rates)
    assert 0 < curve.operating_rps < rates[-1]
    below = [p for p in curve.points if p.rps <= curve.operating_rps]
    assert all(p.ttft_ms <= 2000 and p.tpot_ms <= 60 for p in below)
    assert [p.ttft_ms for p in curve.points] == sorted(p.ttft_ms for p in curve.points)


def test_unit_price_at_full_use():
    # One way only: 1 USD an hour and 5 % support; at a flat price levelling changes nothing.
    own = {"accelerator": "l40s", "option": "on_demand", "usd": 1.0, "source": "by hand",
           "as_of": "2026-10-01"}  # fmt: skip
    question = known(scenario(supply={"options": ["on_demand"], "prices": [own]}))
    price, way = cheapest(question)
    for i in np.flatnonzero(question.table.feasible):
        tokens_per_h = question.table.rate_rps[i] * 3600 * 1200
        assert price[i] == pytest.approx(1.05 / tokens_per_h * 1e6, rel=1e-3)
        assert way[i] == "L40S at cloud, on demand"
    refused = np.flatnonzero(~question.table.feasible)
    assert np.isnan(price[refused]).all()


def test_cheapest_way_is_taken():
    plan = mixed()[1]
    ways = {row.usd_per_mtoken_way for row in plan.candidates if row.feasible}
    assert ways == {"L40S at hq, owned"}


def test_plan_is_plain_json():
    text = mixed()[1].model_dump_json()
    assert "NaN" not in text
    assert json.loads(text)["plan_version"] == 1
