"""Cost of small fleets with supply.mixes and without.

    python -m tests.benchmarks.mixed_fleet [--refine]

Classes of one model, each with pools of its own or also in pools that they share, as the planner
offers them: on the formulas' rates, or on simulated ones.
"""

from __future__ import annotations

import sys
import time

import planner
from planner.errors import StoppedError
from planner.files.catalog import load_catalog
from planner.result import Plan
from planner.schema.demand import Lengths, Online, Slo
from planner.schema.scenario import Scenario

GAP, LIMIT_S = 2e-3, 150.0
KINDS = {
    "chat": (600, 250, 1500, 40),
    "search": (4000, 250, 4000, 60),
    "code": (1500, 150, 2500, 50),
    "mail": (600, 200, 3000, 60),
}
"""Mean prompt and answer, and the promises on TTFT and TPOT [ms]."""
LARGE = {"accelerators": ("h200-sxm",), "quantizations": ("bf16",)}
"""A replica is a whole node of eight: pools of 405 billion parameters share none."""


def question(name: str, rates_rps: dict[str, float], supply: dict[str, object]) -> Scenario:
    """A packaged scenario with these classes in place of its own.

    Parameters
    ----------
    supply : fields of it that differ from the scenario's.
    """
    scenario = planner.load(name, catalog=load_catalog())
    first = scenario.demand[0]
    assert isinstance(first, Online)
    demand = []
    for kind, rate in rates_rps.items():
        prompt, answer, ttft_ms, tpot_ms = KINDS[kind]
        demand.append(
            first.model_copy(
                update={
                    "name": kind, "requests_per_s": rate, "users": None,
                    "requests_per_user_per_day": None, "prefix_cache_hit_frac": 0.0,
                    "input_tokens": Lengths(mean=prompt, cv=1.0),
                    "output_tokens": Lengths(mean=answer, cv=0.8),
                    "slo": Slo(ttft_ms=ttft_ms, tpot_ms=tpot_ms),
                }
            )
        )  # fmt: skip
    changed = scenario.supply.model_copy(update=supply)
    return scenario.model_copy(update={"demand": tuple(demand), "supply": changed})


def solved(asked: Scenario, *, mixes: bool, refine: bool) -> tuple[Plan, float]:
    """The plan, and CPU seconds to it."""
    supply = asked.supply.model_copy(update={"mixes": mixes})
    started = time.process_time()
    plan = planner.solve(
        asked.model_copy(update={"supply": supply}), gap=GAP, time_limit_s=LIMIT_S, refine=refine
    )
    return plan, time.process_time() - started


def measure(
    name: str, rates_rps: dict[str, float], supply: dict[str, object], *, refine: bool
) -> str:
    """A line of figures."""
    asked = question(name, rates_rps, supply)
    what = f"{name}, {rates_rps}, {supply}: "
    try:
        apart, apart_s = solved(asked, mixes=False, refine=refine)
        both, both_s = solved(asked, mixes=True, refine=refine)
    except StoppedError as stopped:
        return f"{what}{stopped}\n"
    offered = [row for row in both.candidates if row.shares_with]
    entered = sum(row.feasible for row in offered)
    return (
        f"{what}apart {apart.npv_usd:,.0f} USD (gap {apart.gap_frac:.2%}, {apart_s:.1f} s), "
        f"with mixes {both.npv_usd:,.0f} (gap {both.gap_frac:.2%}, {both_s:.1f} s; "
        f"{entered} of {len(offered)} of their candidates entered), "
        f"{both.npv_usd / apart.npv_usd - 1:+.1%}\n"
    )


def main() -> None:
    """Small and medium fleets of a large and a small model."""
    refine = "--refine" in sys.argv[1:]
    few = dict.fromkeys(KINDS, 0.02)
    for name, rates_rps, supply in (
        ("enterprise_405b", {"chat": 0.2, "search": 0.05}, {}),
        ("enterprise_405b", {"chat": 0.2, "search": 0.05}, LARGE),
        ("enterprise_405b", {"chat": 0.05, "mail": 0.05}, LARGE),
        ("enterprise_405b", few, LARGE),
        ("chat_8b", {"chat": 2.0, "search": 0.3}, {}),
        ("chat_8b", {"chat": 150.0, "search": 30.0}, {"accelerators": ("h100-sxm",)}),
    ):
        sys.stdout.write(measure(name, rates_rps, dict(supply), refine=refine))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
