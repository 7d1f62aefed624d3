"""Cost of small fleets with and without mixes of two classes.

    python -m tests.benchmarks.mixed_fleet

Two classes of one model, each with pools of its own or also in one pool of both: the best
configurations of every accelerator that serve either class enter a second time as a mix.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np

import planner
from planner.candidates.assemble import build
from planner.candidates.case import Axes, Case
from planner.files.catalog import load_catalog
from planner.optimize.solve import optimize
from planner.perf.mix_region import MixLine, mix_lines
from planner.perf.mixture import Member
from planner.perf.steps import take
from planner.pipeline import case
from planner.problem import Problem
from planner.schema.demand import Lengths, Online, Slo
from planner.schema.scenario import Scenario
from planner.units import MILLI

PER_ACCELERATOR = 2
GAP, LIMIT_S = 2e-3, 40.0
SIZES = (1, 2, 3, 4, 8, 16)
LARGE = {"accelerators": ["h200-sxm"], "quantizations": ["bf16"]}
"""A replica is a whole node of eight: pools of 405 billion parameters share none."""


def question(
    name: str, rates_rps: tuple[float, float], prompt: float, supply: dict[str, list[str]]
) -> Scenario:
    """A packaged scenario's first class at another rate, and a second one.

    Parameters
    ----------
    prompt : mean tokens of the second one's.
    supply : fields of it that differ from the scenario's.
    """
    scenario = planner.load(name, catalog=load_catalog())
    first = scenario.demand[0]
    assert isinstance(first, Online)
    chat = {
        "name": "chat", "requests_per_s": rates_rps[0], "users": None,
        "requests_per_user_per_day": None, "prefix_cache_hit_frac": 0.0,
        "input_tokens": Lengths(mean=600, cv=1.0), "output_tokens": Lengths(mean=250, cv=0.8),
        "slo": Slo(ttft_ms=1500, tpot_ms=40),
    }  # fmt: skip
    search = {
        **chat, "name": "search", "requests_per_s": rates_rps[1],
        "input_tokens": Lengths(mean=prompt, cv=1.0), "slo": Slo(ttft_ms=4000, tpot_ms=60),
    }  # fmt: skip
    demand = [first.model_copy(update=update) for update in (chat, search)]
    changed = scenario.supply.model_copy(update=supply)
    return scenario.model_copy(update={"demand": demand, "supply": changed})


def pairs(known: Case) -> list[tuple[int, int]]:
    """Positions in the table of one configuration for both classes, the best by accelerator."""
    table, peak = known.table, known.traffic.load.peak_rps.max(axis=(1, 2))
    place = {
        (c.demand_class, replace(c, demand_class=0)): i
        for i, c in enumerate(table.configurations)
        if not table.reasons[i] and c.mode == "chunked"
    }
    scored = []
    for (d, config), i in place.items():
        j = place.get((1, config))
        if d == 0 and j is not None:
            gpus = config.gpus * (peak[0] / table.rate_rps[i] + peak[1] / table.rate_rps[j])
            scored.append((float(gpus), config.accelerator, i, j))
    found: dict[str, list[tuple[int, int]]] = {}
    for _, accelerator, i, j in sorted(scored):
        best = found.setdefault(accelerator, [])
        if len(best) < PER_ACCELERATOR:
            best.append((i, j))
    return [pair for best in found.values() for pair in best]


def lines_of(known: Case, places: list[tuple[int, int]]) -> list[MixLine | None]:
    """The mixes' lines on the numbers of the second class, whose cache is the smaller."""
    table, members = known.table, []
    for d in (0, 1):
        demand = known.scenario.demand[d]
        assert isinstance(demand, Online)
        slo, mine = demand.slo, [pair[d] for pair in places]
        members.append(
            Member(
                table.lengths[d], slo.ttft_ms * MILLI - table.request_s[mine],
                slo.ttft_percentile, slo.tpot_ms * MILLI, slo.tpot_percentile, demand.arrival_cv,
            )
        )  # fmt: skip
    return mix_lines(
        take(table.replica, np.array([pair[1] for pair in places])), members,
        expected_rps=known.traffic.load.peak_rps.max(axis=(1, 2)), pool_sizes=SIZES,
        utilization_max=known.scenario.planning.utilization_max,
    )  # fmt: skip


def with_mixes(known: Case, p: Problem, axes: Axes) -> tuple[Problem, int]:
    """The problem with mixes on the accelerators that it holds, and how many."""
    pools, names, mixes = p.pools, list(p.labels.candidates), 0
    rows = {name: [getattr(pools, name)] for name in vars(pools)}
    configs = known.table.configurations
    places = [pair for pair in pairs(known) if configs[pair[0]].accelerator in axes.accelerators]
    for pair, line in zip(places, lines_of(known, places), strict=True):
        config = configs[pair[0]]
        if line is None:
            continue
        like = [axes.kept.index(_kept_like(known, axes, config.accelerator, d)) for d in (0, 1)]
        peak = p.demand.peak_rps.max(axis=2)
        need = sum(peak[d] / line.rate_rps[d] for d in (0, 1)) + line.offset_rps[0]
        for d in (0, 1):
            busy = pools.rate_rps[like[d]] / pools.replica_gpus[like[d]]
            energy = pools.energy_usd[like[d]] * busy / (line.rate_rps[d] / config.gpus)
            values = {
                "class_of": d, "pool_of": len(axes.kept) + mixes,
                "accelerator_of": pools.accelerator_of[like[d]],
                "replica_gpus": float(config.gpus), "rate_rps": line.rate_rps[d],
                "offset_rps": line.offset_rps[d], "small_rps": line.small_rps[d],
                "allowed": pools.allowed[like[d]], "replicas_max": np.ceil(need) + 1,
                "energy_usd": energy,
            }  # fmt: skip
            for name, value in values.items():
                rows[name].append(np.asarray(value)[None])
            names.append(f"mix {mixes} of {known.table.names[pair[d]]}")
        mixes += 1
    joined = {name: np.concatenate(parts) for name, parts in rows.items()}
    labels = replace(p.labels, candidates=tuple(names))
    return replace(p, pools=replace(pools, **joined), labels=labels), mixes


def _kept_like(known: Case, axes: Axes, accelerator: str, demand_class: int) -> int:
    configs = known.table.configurations
    return next(
        i for i in axes.kept
        if configs[i].accelerator == accelerator and configs[i].demand_class == demand_class
    )  # fmt: skip


def measure(
    name: str, rates_rps: tuple[float, float], prompt: float, supply: dict[str, list[str]]
) -> str:
    """A line of figures."""
    known = case(question(name, rates_rps, prompt, supply), load_catalog())
    apart, axes = build(known)
    started = time.process_time()
    mixed, mixes = with_mixes(known, apart, axes)
    making = time.process_time() - started
    costs = []
    for p in (apart, mixed):
        started = time.process_time()
        x = optimize(p, gap=GAP, time_limit_s=LIMIT_S)
        costs.append((x, time.process_time() - started))
    (own, own_s), (both, both_s) = costs
    shares = both.served_frac[len(axes.kept) :].mean(axis=(2, 3)).sum()
    only = " ".join(word for words in supply.values() for word in words) or "any"
    return (
        f"{name} at {rates_rps}, second prompt {prompt:.0f}, on {only}: "
        f"apart {own.cost_usd:,.0f} USD (gap {own.gap_frac:.2%}, {own_s:.1f} s), "
        f"with {mixes} mixes {both.cost_usd:,.0f} (gap {both.gap_frac:.2%}, {both_s:.1f} s; "
        f"making them {making:.1f} s), {both.cost_usd / own.cost_usd - 1:+.1%}; "
        f"mixes serve {shares / 2:.0%}\n"
    )


def main() -> None:
    """Small and medium fleets of a large and a small model."""
    for name, rates_rps, prompt, supply in (
        ("enterprise_405b", (0.2, 0.05), 4000.0, {}),
        ("enterprise_405b", (0.2, 0.05), 4000.0, LARGE),
        ("enterprise_405b", (0.05, 0.05), 600.0, LARGE),
        ("chat_8b", (2.0, 0.3), 4000.0, {}),
        ("chat_8b", (150.0, 30.0), 4000.0, {"accelerators": ["h100-sxm"]}),
    ):
        sys.stdout.write(measure(name, rates_rps, prompt, supply))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
