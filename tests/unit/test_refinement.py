"""Plans on simulated rates: what ends the search, what is proven, what survives an early end."""

import math
import time
from dataclasses import replace

import pytest

import planner
from planner import refinement
from planner.candidates import optimistic, refine
from planner.decide import Clock
from planner.errors import InfeasibleError
from planner.files import cache
from planner.optimize import solve as program
from planner.pipeline import case
from tests import small_world


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Few sizes of pools, and a cache of its own."""
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(refine, "SIZES", (1, 4))


def solved(**more):
    return planner.solve(small_world.scenario(), catalog=small_world.catalog(), **more)


def used(plan):
    return {pool.candidate for pool in plan.pools}


def simulated(plan):
    return {row.id for row in plan.candidates if row.simulated}


def test_a_plan_uses_simulated_rates_and_its_bound_holds_against_the_others():
    plan = solved()
    assert plan.status == "optimal"
    assert used(plan) <= simulated(plan)
    assert 0 <= plan.gap_frac <= plan.gap_asked_frac * (1 + 1e-9)
    assert any("Rates of every pool used are simulated" in note for note in plan.notes)


def test_a_second_solve_simulates_nothing_and_gives_the_same_plan(monkeypatch):
    first = solved()
    monkeypatch.setattr(refine, "refined_rate", None)  # nothing is left to simulate
    monkeypatch.setattr(optimistic, "simulate", None)
    second = solved()
    keep = {"created_at", "seconds"}
    assert second.model_dump(exclude=keep) == first.model_dump(exclude=keep)


def test_bound_is_that_of_the_rates_that_simulation_may_give(monkeypatch):
    # Simulation finds half of the formulas' rates; nothing is known of other engines, which may
    # carry what no plan exceeds. The bound lies below that of the plan's own rates.
    question = small_world.scenario(supply={"engines": ["vllm", "sglang"]})
    monkeypatch.setattr(
        refine, "_one",
        lambda known, i: refine._Found(0.5 * known.table.pool_rps[i], 0.0, 0.0),
    )  # fmt: skip
    plan = planner.solve(question, catalog=small_world.catalog(), gap=0.5)
    exact = planner.solve(question, catalog=small_world.catalog(), gap=1e-6)
    assert plan.bound_usd <= exact.npv_usd * (1 + 1e-9)
    assert simulated(plan) <= simulated(exact)
    assert exact.gap_frac <= 1e-6 * (1 + 1e-6)


def test_time_over_before_anything_is_simulated_leaves_a_plan_on_formulas_that_says_so(
    monkeypatch,
):
    monkeypatch.setattr(Clock, "deadline", lambda self, share=1.0: time.monotonic() - 1.0)
    plan = solved()
    assert simulated(plan) == set()
    assert plan.status == "stopped"
    assert any("not simulated" in note for note in plan.notes)
    assert used(plan)


def test_time_over_while_proving_leaves_the_plan_on_simulated_rates(monkeypatch):
    left = program.leaning

    def out_of_time(p, **options):
        found = left(p, **options)
        return found if options.get("beat_usd", 0.0) == 0 else replace(found, bound_usd=-math.inf)

    monkeypatch.setattr(program, "leaning", out_of_time)
    monkeypatch.setattr(refinement._Search, "_answer", lambda self, more: None)
    plan = solved()
    assert used(plan) <= simulated(plan)
    assert (plan.status, plan.bound_usd) == ("stopped", 0.0)


def test_ctrl_c_while_proving_keeps_the_plan(monkeypatch):
    def stop(self, gap):
        raise KeyboardInterrupt

    monkeypatch.setattr(refinement._Search, "_cheaper", stop)
    plan = solved()
    assert used(plan) <= simulated(plan)
    assert plan.status == "stopped"


def test_ctrl_c_in_the_solver_ends_both_searches(monkeypatch):
    seen, search = [], program.leaning

    def stopped(p, **options):
        found = search(p, **options)
        if not options.get("beat_usd"):
            return found
        seen.append(options)
        return replace(found, bound_usd=0.0, interrupted=True)

    monkeypatch.setattr(program, "leaning", stopped)
    plan = solved()
    assert len(seen) == 1
    assert (plan.status, used(plan) <= simulated(plan)) == ("stopped", True)


def test_ctrl_c_before_any_plan_ends_it(monkeypatch):
    def stop(self, gap):
        raise KeyboardInterrupt

    monkeypatch.setattr(refinement._Search, "_plan", stop)
    with pytest.raises(KeyboardInterrupt):
        solved()


def test_infeasible_questions_keep_their_reasons():
    narrow = small_world.scenario(
        supply={"options": ["owned"]}, sites=[{**small_world.HQ, "it_power_kw": 1}]
    )
    with pytest.raises(InfeasibleError):
        planner.solve(narrow, catalog=small_world.catalog())


def test_all_steps_share_one_deadline(monkeypatch):
    limits = []
    optimize, left = program.optimize, program.leaning

    def watched(search):
        def run(p, *, time_limit_s, **more):
            limits.append(time_limit_s)
            return search(p, time_limit_s=time_limit_s, **more)

        return run

    monkeypatch.setattr(program, "optimize", watched(optimize))
    monkeypatch.setattr(program, "leaning", watched(left))
    solved(time_limit_s=50.0)
    assert limits
    assert max(limits) < 50.0
    # By half of the time rates for a plan are there, by 70 % the first plan.
    assert limits[0] < 25.0


def test_nothing_beats_a_cost_below_the_relaxation():
    question = case(small_world.scenario(), small_world.catalog())
    problem, _ = refinement.build(question)
    best = program.optimize(problem, gap=1e-6)
    sure = program.leaning(problem, beat_usd=best.bound_usd * 0.5, time_limit_s=60)
    assert sure.bound_usd >= best.bound_usd * 0.5
    seen = program.leaning(problem, beat_usd=best.cost_usd * 1.01, time_limit_s=60)
    assert seen.serving
    assert seen.bound_usd <= best.cost_usd * (1 + 1e-6)
    none = program.leaning(problem, beat_usd=best.cost_usd * 0.9999, time_limit_s=60)
    assert none.bound_usd == pytest.approx(best.cost_usd * 0.9999)
